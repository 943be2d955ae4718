package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/testkit"
	"github.com/antflow/antflow/pipeline"
)

// runFails is a stage whose calls take x seconds; the odd ones fail.
func runFails(opts ...pipeline.StageOption) pipeline.Pipeline[int, int] {
	return pipeline.Stage("a", func(ctx context.Context, x int) (int, error) {
		if err := testkit.Sleep(ctx, seconds(x)); err != nil {
			return 0, err
		}
		if !even(x) {
			return 0, errFlaky
		}
		return x, nil
	}, append(opts, pipeline.Workers(99))...)
}

func runLetters[In any](seq iter.Seq2[In, *pipeline.ItemError]) (got []string) {
	for x, err := range seq {
		got = append(got, fmt.Sprint(x, "/", err.Item.ID))
	}
	return got
}

func TestDeadLettersWhileTheRunGoesOn(t *testing.T) {
	inBubble(t, 8, func(t *testing.T, e *antflow.Executor) {
		start := time.Now()
		run := runFails().Start(t.Context(), e)
		var got []string
		read := testkit.Started(func() {
			for x, err := range run.DeadLetters(t.Context()) {
				got = append(got, fmt.Sprintf("%d@%v", x, time.Since(start)))
				if err.Item.ID != uint64(x) || err.Input != x || err.Stage != "a" || err.Attempts != 1 || !errors.Is(err, errFlaky) || len(err.Visits) != 1 {
					t.Errorf("%d: %+v", x, err)
				}
			}
		})
		futures := runFeed(t, run, 0, 1, 2, 3, 4, 5, 6, 7)
		time.AfterFunc(seconds(4), func() { futures[7].Cancel() })
		time.Sleep(time.Minute)
		expect(t, "read to the end of a run at rest", testkit.Blocked(read), true)
		run.Close()
		<-read
		expect(t, "letters", got, "[1@1s 3@3s 5@5s]")
		expect(t, "dropped", run.Dropped(), 0)
		expect(t, "there is none left", runLetters(run.DeadLetters(t.Context())), "[]")
	})
}

// Each letter is taken once, and what nobody took is there after the end.
func TestEachDeadLetterIsTakenOnce(t *testing.T) {
	inBubble(t, 8, func(t *testing.T, e *antflow.Executor) {
		run := runFails().Start(t.Context(), e)
		var mu sync.Mutex
		var got []int
		var loops []<-chan struct{}
		for range 3 {
			loops = append(loops, testkit.Started(func() {
				for x := range run.DeadLetters(t.Context()) {
					mu.Lock()
					got = append(got, x)
					mu.Unlock()
					time.Sleep(seconds(5))
				}
			}))
		}
		var want []int
		for x := range 40 {
			run.Feed(t.Context(), x)
			if !even(x) {
				want = append(want, x)
			}
		}
		run.Close()
		for _, loop := range loops {
			<-loop
		}
		slices.Sort(got)
		expect(t, "letters", got, want)

		run = runFails().Start(t.Context(), e)
		runFeed(t, run, 1, 3, 5, 7)
		run.Close()
		for x := range run.DeadLetters(t.Context()) {
			expect(t, "the oldest", x, 1)
			break
		}
		expect(t, "the others", runLetters(run.DeadLetters(t.Context())), "[3/1 5/2 7/3]")
	})
}

func TestDeadLetterLimit(t *testing.T) {
	for _, c := range []struct {
		limit   int
		want    string
		dropped int
	}{{0, "[]", 5}, {2, "[7/3 9/4]", 3}, {5, "[1/0 3/1 5/2 7/3 9/4]", 0}, {9, "[1/0 3/1 5/2 7/3 9/4]", 0}} {
		inBubble(t, 8, func(t *testing.T, e *antflow.Executor) {
			run := runFails().Start(t.Context(), e, pipeline.DeadLetterLimit(c.limit))
			runFeed(t, run, 1, 3, 5, 7, 9)
			run.Close()
			expect(t, fmt.Sprint("letters of ", c.limit), runLetters(run.DeadLetters(t.Context())), c.want)
			expect(t, fmt.Sprint("dropped of ", c.limit), run.Dropped(), c.dropped)
		})
	}
	inBubble(t, 8, func(t *testing.T, e *antflow.Executor) {
		run := pipeline.Stage("a", func(context.Context, int) (int, error) { return 0, errFlaky }).Start(t.Context(), e)
		for x := range 1024 + 6 {
			run.Feed(t.Context(), x)
		}
		run.Close()
		got := runLetters(run.DeadLetters(t.Context()))
		expect(t, "the default", []any{len(got), got[0], run.Dropped()}, "[1024 6/6 6]")
	})
}

func TestDeadLettersEndWithTheirContext(t *testing.T) {
	inBubble(t, 8, func(t *testing.T, e *antflow.Executor) {
		start := time.Now()
		run := runFails().Start(t.Context(), e)
		runFeed(t, run, 1, 9)
		ctx, cancel := context.WithTimeout(t.Context(), seconds(4))
		defer cancel()
		expect(t, "letters", runLetters(run.DeadLetters(ctx)), "[1/0]")
		expect(t, "it ended after", time.Since(start), "4s")
		run.Stop()
		expect(t, "letters of a stopped run", runLetters(run.DeadLetters(t.Context())), "[]")
	})
}

func TestDeadLettersLendTheSlotOfATask(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, e *antflow.Executor) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		run := runFails().Start(ctx, e)
		runFeed(t, run, 3, 1)
		got := antflow.Submit(ctx, e, func(ctx context.Context) (got []int, _ error) {
			for x := range run.DeadLetters(ctx) {
				if got = append(got, x); len(got) == 2 {
					break
				}
			}
			return got, ctx.Err()
		})
		expect(t, "letters", fmt.Sprint(got.Result(ctx)), "[3 1] <nil>")
		run.Close()
	})
}

// What failed may be fed again, to another run or to the same one.
func TestDeadLettersAreFedAgain(t *testing.T) {
	inBubble(t, 8, func(t *testing.T, e *antflow.Executor) {
		run := runFails().Start(t.Context(), e)
		runFeed(t, run, 1, 2, 3, 5)
		again := runFails().Start(t.Context(), e)
		read := testkit.Started(func() {
			for x := range run.DeadLetters(t.Context()) {
				if x == 5 {
					run.Feed(t.Context(), 7)
				}
				again.Feed(t.Context(), x+1)
			}
		})
		time.Sleep(time.Minute)
		synctest.Wait()
		expect(t, "Close", []error{run.Close(), again.Close()}, "[<nil> <nil>]")
		<-read
		expect(t, "results", []any{run.Snapshot().Stages[0].Failed, again.Snapshot().Stages[0].Done}, "[4 4]")
	})
}

func TestInputsOfDeadLetters(t *testing.T) {
	inBubble(t, 8, func(t *testing.T, e *antflow.Executor) {
		p := join3(pipeline.Stage("len", func(_ context.Context, s string) (int, error) { return len(s), nil }),
			pipeline.Batch[int](2, 0), pipeline.Stage("sum", func(_ context.Context, xs []int) (int, error) { return 0, errFlaky }))
		run := p.Start(t.Context(), e, pipeline.Key(func(s string) string { return s }))
		for _, feed := range []func(){
			func() { run.Feed(t.Context(), "one") },
			func() { run.Feed(t.Context(), "three") },
			func() { pipeline.FeedAt(t.Context(), run, "sum", []int{7, 8}) },
		} {
			feed()
			synctest.Wait()
		}
		run.Close()
		var got []string
		for x, err := range run.DeadLetters(t.Context()) {
			got = append(got, fmt.Sprintf("%q %v %v", x, err.Input, err.Item.Members))
		}
		expect(t, "a member each", got, `["one" one [0 1] "three" three [0 1] "" [7 8] []]`)
	})
}

// An input whose parts fail is one input, and is taken once.
func TestDeadLettersOfParts(t *testing.T) {
	inBubble(t, 8, func(t *testing.T, e *antflow.Executor) {
		parts := pipeline.FlatMap("parts", func(_ context.Context, x int) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) { _ = yield(x, nil) && yield(x+2, nil) && yield(x+3, nil) }
		})
		run := pipeline.Then(parts, runFails()).Start(t.Context(), e)
		f := run.Feed(t.Context(), 1)
		run.Close()
		expect(t, "letters", runLetters(run.DeadLetters(t.Context())), "[1/0]")
		expect(t, "failures of the future", len(runItemErrors(f.Err())), 2)
	})
}
