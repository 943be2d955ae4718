package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"testing"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/pipeline"
)

// every yields 0 to n-1, one each d, the first at once.
func every(d time.Duration, n int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := range n {
			if i > 0 {
				time.Sleep(d)
			}
			if !yield(i) {
				return
			}
		}
	}
}

// gathered are the batches of a run and when they came.
func gathered(t *testing.T, seq iter.Seq2[[]int, error]) (got []string) {
	t.Helper()
	start := time.Now()
	for xs, err := range seq {
		if err != nil {
			t.Error(err)
		}
		got = append(got, fmt.Sprint(xs, "@", time.Since(start)))
	}
	return got
}

// A batch goes on when it is full, when its first item has waited for d, or at
// the end, whichever comes first.
func TestBatch(t *testing.T) {
	for _, c := range []struct {
		size   int
		d      time.Duration
		inputs iter.Seq[int]
		want   string
	}{
		{3, 0, upTo(7), "[[0 1 2]@0s [3 4 5]@0s [6]@0s]"},
		{3, 0, upTo(6), "[[0 1 2]@0s [3 4 5]@0s]"},
		{1, 0, upTo(2), "[[0]@0s [1]@0s]"},
		{5, 0, upTo(0), "[]"},
		{10, 0, every(time.Second, 4), "[[0 1 2 3]@3s]"},
		{10, seconds(3) / 2, every(time.Second, 5), "[[0 1]@1.5s [2 3]@3.5s [4]@4s]"},
		{2, seconds(3) / 2, every(time.Second, 4), "[[0 1]@1s [2 3]@3s]"},
		{10, time.Second / 2, every(time.Second, 3), "[[0]@500ms [1]@1.5s [2]@2s]"},
		{2, time.Hour, upTo(3), "[[0 1]@0s [2]@0s]"},
	} {
		for _, window := range []int{1, 2, 100} {
			inBubble(t, 1, func(t *testing.T, e *antflow.Executor) {
				p := pipeline.Batch[int](c.size, c.d)
				got := gathered(t, p.Run(t.Context(), e, c.inputs, pipeline.Window(window)))
				expect(t, fmt.Sprint("batches of ", c.size, c.d, " in order"), got, c.want)
				got = gathered(t, p.RunUnordered(t.Context(), e, c.inputs, pipeline.Window(window)))
				expect(t, fmt.Sprint("batches of ", c.size, c.d), got, c.want)
			})
		}
	}
}

// In order batches are of consecutive items, though they finish in another
// one; items that fail or are skipped are in none.
func TestBatchesAreOfConsecutiveItems(t *testing.T) {
	inBubble(t, 10, func(t *testing.T, e *antflow.Executor) {
		a := pipeline.Stage("a", func(_ context.Context, x int) (int, error) {
			time.Sleep(time.Duration(10-x) * time.Second)
			switch x {
			case 2:
				return 0, errFlaky
			case 4:
				return 0, pipeline.ErrSkipped
			}
			return x, nil
		}, pipeline.Workers(10))
		values, errs := results(pipeline.Then(a, pipeline.Batch[int](3, 0)).Run(t.Context(), e, upTo(8)))
		expect(t, "batches", values, "[[0 1 3] [5 6 7]]")
		expect(t, "errors", len(errs), 1)
		values, _ = results(pipeline.Then(a, pipeline.Batch[int](3, 0)).RunUnordered(t.Context(), e, upTo(8)))
		expect(t, "batches", values, "[[7 6 5] [3 1 0]]")
	})
}

// A batch has the identity of its first item, and tells its members.
func TestBatchesHaveMembers(t *testing.T) {
	inBubble(t, 10, func(t *testing.T, e *antflow.Executor) {
		var members []string
		p := pipeline.Then(pipeline.Batch[int](2, 0), pipeline.Stage("a", func(ctx context.Context, xs []int) (int, error) {
			item, _ := pipeline.ItemFrom(ctx)
			members = append(members, fmt.Sprint(item.ID, item.Members))
			if xs[0] == 2 {
				return 0, errFlaky
			}
			return len(xs), nil
		}))
		values, errs := results(p.Run(t.Context(), e, upTo(5)))
		expect(t, "results", values, "[2 1]")
		expect(t, "members", members, "[0 [0 1] 2 [2 3] 4 [4]]")
		var item *pipeline.ItemError
		if len(errs) != 1 || !errors.As(errs[0], &item) || item.Item.ID != 2 || fmt.Sprint(item.Item.Members) != "[2 3]" {
			t.Error(errs)
		}
	})
}

// Gathering holds no worker, neither of the executor nor of the stages.
func TestGatheringHoldsNoWorker(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, e *antflow.Executor) {
		r := newRecord()
		p := join3(pipeline.Stage("a", r.taking(time.Second)), pipeline.Batch[int](100, 0), pipeline.Stage("b", func(_ context.Context, xs []int) (int, error) { return len(xs), nil }))
		values, errs := results(p.Run(t.Context(), e, upTo(150), pipeline.Window(3)))
		expect(t, "results", values, "[100 50]")
		expect(t, "errors", errs, []error(nil))
		expect(t, "time", time.Since(r.start), seconds(150))
	})
}

// A partial batch goes on by the time though the source blocks.
func TestABatchDoesNotWaitForTheSource(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, e *antflow.Executor) {
		p := join3(pipeline.Batch[int](10, time.Second), pipeline.Stage("a", func(_ context.Context, xs []int) ([]int, error) { return xs, nil }), pipeline.Unbatch[int]())
		got := deliveries(t, p.Run(t.Context(), e, every(time.Minute, 3)))
		expect(t, "results", got, "[0@1s 1@1m1s 2@2m0s]")
	})
}

// Unbatch takes apart any slice, an empty one into nothing, and behind a Batch
// the elements are again what was gathered.
func TestUnbatch(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, e *antflow.Executor) {
		slices := pipeline.Stage("slices", func(_ context.Context, x int) ([]int, error) { return make([]int, x), nil })
		values, errs := results(pipeline.Then(slices, pipeline.Unbatch[int]()).Run(t.Context(), e, upTo(5), pipeline.Window(2)))
		expect(t, "results", len(values), 1+2+3+4)
		expect(t, "errors", errs, []error(nil))

		ids := pipeline.Stage("ids", func(ctx context.Context, x int) (string, error) {
			item, _ := pipeline.ItemFrom(ctx)
			if item.Members != nil {
				t.Error("an element with members", item.Members)
			}
			return fmt.Sprint(x, item.Key, item.ID), nil
		})
		half := pipeline.Stage("half", func(_ context.Context, xs []int) ([]int, error) {
			if xs[0] == 3 {
				return nil, errFlaky
			}
			return xs, nil
		})
		p := pipeline.Then(join3(pipeline.Batch[int](3, 0), half, pipeline.Unbatch[int]()), ids)
		texts, errs := results(p.Run(t.Context(), e, upTo(7), pipeline.Key(func(x int) string { return fmt.Sprint("k", x) })))
		expect(t, "items", texts, "[0k00 1k11 2k22 6k66]")
		expect(t, "errors", len(errs), 1)
	})
}

// A slice of another length than the batch had has the batch's identity.
func TestUnbatchOfAnotherLength(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, e *antflow.Executor) {
		ids := pipeline.Stage("ids", func(ctx context.Context, x int) (uint64, error) {
			item, _ := pipeline.ItemFrom(ctx)
			return item.ID, nil
		})
		more := pipeline.Stage("more", func(_ context.Context, xs []int) ([]int, error) { return append(xs, 0), nil })
		p := pipeline.Then(join3(pipeline.Batch[int](2, 0), more, pipeline.Unbatch[int]()), ids)
		values, _ := results(p.Run(t.Context(), e, upTo(4)))
		expect(t, "items", values, "[0 0 0 2 2 2]")
	})
}

func concat(_ context.Context, acc string, x int) (string, error) { return acc + fmt.Sprint(x), nil }

func empty() string { return "<" }

// A reduction gives one result, after the end, whatever came; in order the
// items come in order.
func TestReduce(t *testing.T) {
	inBubble(t, 10, func(t *testing.T, e *antflow.Executor) {
		shuffled := pipeline.Stage("a", func(_ context.Context, x int) (int, error) {
			time.Sleep(time.Duration(10-x) * time.Second)
			return x, nil
		}, pipeline.Workers(10))
		reduce := pipeline.Reduce("all", empty, concat)
		after := pipeline.Stage("after", func(_ context.Context, s string) (string, error) { return s + ">", nil })
		p := join3(shuffled, reduce, after)
		for n, want := range map[int]string{0: "[<>]", 1: "[<0>]", 9: "[<012345678>]"} {
			values, errs := results(p.Run(t.Context(), e, upTo(n), pipeline.Window(9)))
			expect(t, "results", values, want)
			expect(t, "errors", errs, []error(nil))
		}
		values, _ := results(p.RunUnordered(t.Context(), e, upTo(9)))
		expect(t, "results", values, "[<876543210>]")

		none := pipeline.Filter("none", func(context.Context, int) (bool, error) { return false, nil })
		values, errs := results(pipeline.Then(none, reduce).Run(t.Context(), e, upTo(9)))
		expect(t, "results", values, "[<]")
		expect(t, "errors", errs, []error(nil))
	})
}

// The inputs of a reduction are not in the window, and it has one worker.
func TestReduceManyInASmallWindow(t *testing.T) {
	inBubble(t, 10, func(t *testing.T, e *antflow.Executor) {
		r := newRecord()
		p := pipeline.Reduce("sum", func() int { return 0 }, func(_ context.Context, acc, x int) (int, error) {
			r.begin(0)
			defer r.end()
			time.Sleep(time.Second)
			return acc + x, nil
		})
		for _, run := range []func(context.Context, *antflow.Executor, iter.Seq[int], ...pipeline.RunOption) iter.Seq2[int, error]{p.Run, p.RunUnordered} {
			values, _ := results(run(t.Context(), e, upTo(100), pipeline.Window(2)))
			expect(t, "results", values, "[4950]")
		}
		expect(t, "calls at a time", r.most, 1)
	})
}

// A call that fails leaves what was reduced as it was, and its item is a
// failure; one that is retried counts once.
func TestFailuresInAReduction(t *testing.T) {
	inBubble(t, 10, func(t *testing.T, e *antflow.Executor) {
		tries := newRecord()
		p := pipeline.Reduce("all", empty, func(_ context.Context, acc string, x int) (string, error) {
			n := tries.begin(x)
			switch {
			case x == 1:
				panic("boom")
			case x == 2:
				return "lost", errFlaky
			case x == 3 && n == 1:
				return "lost", errFlaky
			case x == 4:
				return "lost", pipeline.ErrSkipped
			}
			return concat(context.Background(), acc, x)
		}, antflow.Retries(1), antflow.RetryDelay(time.Second))
		var got []string
		for v, err := range p.Run(t.Context(), e, upTo(6)) {
			var item *pipeline.ItemError
			if errors.As(err, &item) {
				v = fmt.Sprint(item.Stage, item.Item.ID, "/", item.Attempts)
			}
			got = append(got, v)
		}
		expect(t, "results", got, "[all1/1 all2/2 <035]")
	})
}

// A reduction begins anew in each run, also with several at once.
func TestEachRunReducesAnew(t *testing.T) {
	inBubble(t, 10, func(t *testing.T, e *antflow.Executor) {
		a, b := pipeline.Reduce("a", empty, concat), pipeline.Reduce("b", func() string { return "{" }, concat)
		p := pipeline.Tee(a, b)
		for range 2 {
			values, _ := results(p.Run(t.Context(), e, upTo(3)))
			expect(t, "results", values, "[<012 {012]")
		}
	})
}
