package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/testkit"
	"github.com/antflow/antflow/pipeline"
)

// Members of a batch share its result, and its failure.
func TestMembersOfABatchShareItsResult(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, e *antflow.Executor) {
		p := pipeline.Then(pipeline.Batch[int](2, 0), pipeline.Stage("sum", func(_ context.Context, xs []int) (int, error) {
			time.Sleep(time.Second)
			if xs[0] == 9 {
				return 0, errFlaky
			}
			return xs[0] + xs[1], nil
		}, pipeline.Workers(2)))
		run := p.Start(t.Context(), e)
		futures := runFeed(t, run, 1, 2, 9, 4)
		time.Sleep(time.Second)
		synctest.Wait()
		expect(t, "results", runOutcomes(t, futures), "[3 3 failed failed]")
		item, ok := errors.AsType[*pipeline.ItemError](futures[3].Err())
		if !ok || item.Stage != "sum" || !slices.Equal(item.Item.Members, []uint64{2, 3}) || item.Item.ID != 2 || !errors.Is(item, errFlaky) {
			t.Errorf("the failure is %+v", item)
		}
		run.Close()
	})
}

func TestCancelingMembersOfABatch(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, e *antflow.Executor) {
		var mu sync.Mutex
		var batches []string
		p := pipeline.Then(pipeline.Batch[int](3, 10*time.Second), pipeline.Stage("a", func(ctx context.Context, xs []int) ([]int, error) {
			mu.Lock()
			batches = append(batches, fmt.Sprint(xs))
			mu.Unlock()
			return xs, testkit.Sleep(ctx, 5*time.Second)
		}, pipeline.Workers(4)))
		run := p.Start(t.Context(), e)

		// Before it is full the member leaves, and makes room for another one.
		futures := runFeed(t, run, 1, 2)
		futures[0].Cancel()
		expect(t, "at once", futures[0].State(), "canceled")
		futures = append(futures, runFeed(t, run, 3, 4)...)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		expect(t, "results", runOutcomes(t, futures), "[canceled [2 3 4] [2 3 4] [2 3 4]]")

		// In flight only the member itself is settled, at once.
		futures = runFeed(t, run, 5, 6, 7)
		time.Sleep(time.Second)
		futures[1].Cancel()
		synctest.Wait()
		expect(t, "the member", futures[1].State(), "canceled")
		expect(t, "another", futures[0].IsDone(), false)
		time.Sleep(4 * time.Second)
		synctest.Wait()
		expect(t, "results", runOutcomes(t, futures), "[[5 6 7] canceled [5 6 7]]")

		// So are all of them.
		futures = runFeed(t, run, 8, 9, 10)
		time.Sleep(time.Second)
		for _, f := range futures {
			f.Cancel()
		}
		synctest.Wait()
		expect(t, "results", runOutcomes(t, futures), "[canceled canceled canceled]")

		// An empty batch is none, and the time is that of the first to stay.
		futures = runFeed(t, run, 11)
		time.Sleep(time.Second)
		futures[0].Cancel()
		time.Sleep(time.Minute)
		mu.Lock()
		expect(t, "batches", batches, "[[2 3 4] [5 6 7] [8 9 10]]")
		mu.Unlock()
		run.Close()
	})
}

// The time of a batch is that of the first in it, not of one that has left.
func TestTheTimeOfABatchIsOfTheFirstInIt(t *testing.T) {
	for second, want := range map[int]string{4: "15s", 6: "17s"} {
		inBubble(t, 2, func(t *testing.T, e *antflow.Executor) {
			start := time.Now()
			run := runBatches(seconds(10)).Start(t.Context(), e)
			first := run.Feed(t.Context(), 1)
			time.AfterFunc(seconds(5), func() { first.Cancel() })
			runUntil(start, seconds(second))
			expect(t, "result", fmt.Sprint(run.Feed(t.Context(), 2).Result(t.Context())), "2 <nil>")
			expect(t, fmt.Sprint("fed after ", second, " seconds, done"), time.Since(start), want)
			run.Close()
		})
	}
}

func TestEachItemGetsItsOwnOfABatch(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, e *antflow.Executor) {
		p := join3(pipeline.Batch[int](3, 0),
			pipeline.Stage("double", func(_ context.Context, xs []int) ([]int, error) {
				out := make([]int, len(xs))
				for i, x := range xs {
					out[i] = 2 * x
				}
				return out, nil
			}),
			pipeline.Then(pipeline.Unbatch[int](), pipeline.Stage("name", func(ctx context.Context, x int) (string, error) {
				it, _ := pipeline.ItemFrom(ctx)
				if x == 4 {
					return "", errFlaky
				}
				if err := testkit.Sleep(ctx, seconds(x)); err != nil {
					return "", err
				}
				return fmt.Sprint(x, it), nil
			}, pipeline.Workers(4))))
		run := p.Start(t.Context(), e, pipeline.Key(func(x int) string { return fmt.Sprint("k", x) }))
		futures := runFeed(t, run, 3, 1, 2, 5)
		time.Sleep(5 * time.Second)
		synctest.Wait() // they are independent of each other
		expect(t, "done after 5s", []bool{futures[0].IsDone(), futures[1].IsDone(), futures[2].IsDone()}, "[false true true]")
		futures[0].Cancel()
		run.Close()
		expect(t, "results", runOutcomes(t, futures), `[canceled 2 item "k1" failed 10 item "k5"]`)
		item, _ := errors.AsType[*pipeline.ItemError](futures[2].Err())
		expect(t, "the failure", []any{item.Item.ID, item.Item.Key, item.Item.Members, item.Input}, "[2 k2 [] 2]")
	})
}

// An Unbatch of another length makes parts, which all members share.
func TestPartsOfABatchOfAnotherLength(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, e *antflow.Executor) {
		p := join3(pipeline.Batch[int](2, 0),
			pipeline.Stage("more", func(_ context.Context, xs []int) ([]int, error) { return append(xs, 3), nil }),
			pipeline.Then(pipeline.Unbatch[int](), runSleep("a", pipeline.Workers(3))))
		run := p.Start(t.Context(), e)
		futures := runFeed(t, run, 2, 1)
		time.Sleep(2500 * time.Millisecond)
		synctest.Wait()
		expect(t, "done with a part to go", futures[0].IsDone(), false)
		time.Sleep(time.Second)
		synctest.Wait()
		expect(t, "results", runOutcomes(t, futures), "[10 10]") // the first to finish
		run.Close()
	})
}

// A batch in which nobody is left is canceled with the last one.
func TestABatchIsCanceledWithTheLastInIt(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, e *antflow.Executor) {
		start := time.Now()
		ended := 0
		run := pipeline.Then(pipeline.Batch[int](2, 0), pipeline.Stage("sum", func(ctx context.Context, xs []int) (int, error) {
			err := testkit.Sleep(ctx, time.Hour)
			ended++
			return len(xs), err
		})).Start(t.Context(), e)
		futures := runFeed(t, run, 1, 2)
		time.Sleep(time.Second)
		futures[0].Cancel()
		synctest.Wait()
		expect(t, "after one", ended, 0)
		futures[1].Cancel()
		run.Close()
		expect(t, "after both", []any{ended, time.Since(start)}, "[1 1s]")
		expect(t, "results", runOutcomes(t, futures), "[canceled canceled]")
	})
}
