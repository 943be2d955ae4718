package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/testkit"
	"github.com/antflow/antflow/pipeline"
)

// runSleep is a stage whose calls take x seconds; those of 9 fail.
func runSleep(name string, opts ...pipeline.StageOption) pipeline.Pipeline[int, int] {
	return pipeline.Stage(name, func(ctx context.Context, x int) (int, error) {
		if err := testkit.Sleep(ctx, seconds(x)); err != nil {
			return 0, err
		}
		if x == 9 {
			return x, errFlaky
		}
		return 10 * x, nil
	}, opts...)
}

func runFeed[In, Out any](t *testing.T, run *pipeline.Run[In, Out], xs ...In) (futures []*antflow.Future[Out]) {
	for _, x := range xs {
		futures = append(futures, run.Feed(t.Context(), x))
	}
	return futures
}

// runOutcomes are the results of futures that are done.
func runOutcomes[T any](t *testing.T, futures []*antflow.Future[T]) (got []string) {
	t.Helper()
	for _, f := range futures {
		if !f.IsDone() {
			t.Errorf("%v is not settled", f)
			got = append(got, "-")
			continue
		}
		switch v, err := f.Result(t.Context()); {
		case errors.Is(err, antflow.ErrCanceled):
			got = append(got, "canceled")
		case errors.Is(err, pipeline.ErrSkipped):
			got = append(got, "skipped")
		case errors.Is(err, pipeline.ErrClosed):
			got = append(got, "closed")
		case err != nil:
			got = append(got, "failed")
		default:
			got = append(got, fmt.Sprint(v))
		}
	}
	return got
}

func TestFuturesOfItemsAreFutures(t *testing.T) {
	inBubble(t, 8, func(t *testing.T, e *antflow.Executor) {
		start := time.Now()
		run := runSleep("a", pipeline.Workers(8)).Start(t.Context(), e)
		futures := runFeed(t, run, 3, 1, 9, 2)
		task := antflow.Submit(t.Context(), e, func(context.Context) (int, error) { time.Sleep(1500 * time.Millisecond); return 7, nil })
		futures = append(futures, task)

		done, pending, err := antflow.WaitN(t.Context(), futures, 2)
		expect(t, "WaitN", []any{time.Since(start), runOutcomes(t, done), len(pending), err}, "[1.5s [10 7] 3 <nil>]")
		done, pending, err = antflow.Wait(t.Context(), futures, antflow.FirstError)
		expect(t, "Wait", []any{time.Since(start), runOutcomes(t, done), len(pending), err}, "[9s [30 10 failed 20 7] 0 <nil>]")

		start = time.Now()
		futures = runFeed(t, run, 3, 1, 9, 2)
		time.AfterFunc(2500*time.Millisecond, func() { futures[2].Cancel() })
		var order []string
		for f, err := range antflow.AsCompleted(t.Context(), futures) {
			if err != nil {
				t.Fatal(err)
			}
			order = append(order, fmt.Sprint(time.Since(start), runOutcomes(t, []*antflow.Future[int]{f})))
		}
		expect(t, "AsCompleted", order, "[1s [10] 2s [20] 2.5s [canceled] 3s [30]]")

		called := 0
		futures[0].OnDone(func(f *antflow.Future[int]) { called++ })
		expect(t, "OnDone of a settled one", called, 1)
		run.Close()
	})
}

// The future of an item of which several came is that of all of them.
func TestFuturesOfParts(t *testing.T) {
	parts := pipeline.FlatMap("parts", func(_ context.Context, xs []int) iter.Seq2[int, error] {
		return func(yield func(int, error) bool) {
			for _, x := range xs {
				if x < 0 {
					yield(0, errors.New("the sequence failed"))
					return
				}
				if !yield(x, nil) {
					return
				}
			}
		}
	})
	a := pipeline.Stage("a", func(ctx context.Context, x int) (int, error) {
		if err := testkit.Sleep(ctx, seconds(x%10)); err != nil {
			return 0, err
		}
		switch {
		case x >= 30:
			return 0, pipeline.ErrSkipped
		case x >= 20:
			return 0, fmt.Errorf("failure of %d", x)
		}
		return x, nil
	}, pipeline.Workers(8))
	for _, c := range []struct {
		in   []int
		at   string
		want string
		errs []string
	}{
		{[]int{3, 1, 2}, "3s", "1", nil},
		{[]int{}, "0s", "skipped", nil},
		{[]int{32, 31}, "2s", "skipped", nil},
		{[]int{32, 1}, "2s", "1", nil},
		{[]int{1, 32}, "2s", "1", nil},
		{[]int{1, 22, 3}, "3s", "failed", []string{"failure of 22"}},
		{[]int{24, 2, 21, 33}, "4s", "failed", []string{"failure of 24", "failure of 21"}},
		{[]int{2, 1, -1}, "2s", "failed", []string{"the sequence failed"}},
		{[]int{22, -1}, "2s", "failed", []string{"the sequence failed", "failure of 22"}},
	} {
		t.Run(fmt.Sprint(c.in), func(t *testing.T) {
			inBubble(t, 16, func(t *testing.T, e *antflow.Executor) {
				start := time.Now()
				run := pipeline.Then(parts, a).Start(t.Context(), e)
				f := run.Feed(t.Context(), c.in)
				f.Result(t.Context())
				expect(t, "settled at", time.Since(start), c.at)
				expect(t, "result", runOutcomes(t, []*antflow.Future[int]{f}), "["+c.want+"]")
				for _, text := range c.errs {
					if err := fmt.Sprint(f.Err()); !slices.Contains(runLines(f.Err()), text) {
						t.Errorf("%q is not among the errors %q", text, err)
					}
				}
				if n := len(runItemErrors(f.Err())); n != len(c.errs) {
					t.Errorf("%d ItemErrors in %v", n, f.Err())
				}
				run.Close()
			})
		})
	}
}

// runItemErrors are the *ItemErrors in the tree of err.
func runItemErrors(err error) (found []*pipeline.ItemError) {
	switch x := err.(type) {
	case nil:
	case *pipeline.ItemError:
		return []*pipeline.ItemError{x}
	case interface{ Unwrap() []error }:
		for _, e := range x.Unwrap() {
			found = append(found, runItemErrors(e)...)
		}
	case interface{ Unwrap() error }:
		return runItemErrors(x.Unwrap())
	}
	return found
}

func runLines(err error) (texts []string) {
	for _, item := range runItemErrors(err) {
		texts = append(texts, item.Err.Error())
	}
	return texts
}

func TestFuturesOfATee(t *testing.T) {
	inBubble(t, 16, func(t *testing.T, e *antflow.Executor) {
		start := time.Now()
		slow := pipeline.Stage("slow", func(ctx context.Context, x int) (int, error) {
			if err := testkit.Sleep(ctx, seconds(3)); err != nil || x == 1 {
				return 0, errors.Join(err, errFlaky)
			}
			return 100, nil
		}, pipeline.Workers(4))
		run := pipeline.Tee(slow, runSleep("fast", pipeline.Workers(4))).Start(t.Context(), e)
		futures := runFeed(t, run, 0, 1, 9)
		time.AfterFunc(seconds(2), func() { futures[2].Cancel() })
		var order []string
		for f := range antflow.AsCompleted(t.Context(), futures) {
			order = append(order, fmt.Sprint(time.Since(start), runOutcomes(t, []*antflow.Future[int]{f})))
		}
		slices.Sort(order[1:])
		expect(t, "order", order, "[2s [canceled] 3s [0] 3s [failed]]")
		if !errors.Is(futures[1].Err(), errFlaky) {
			t.Error(futures[1].Err())
		}
		run.Close()
		expect(t, "canceled copies", run.Snapshot().Stages[0].Canceled+run.Snapshot().Stages[1].Canceled, 2)
	})
}

func TestErrSkippedSettlesTheFuture(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, e *antflow.Executor) {
		p := pipeline.Filter("even", func(_ context.Context, x int) (bool, error) { return even(x), nil })
		run := p.Start(t.Context(), e)
		futures := runFeed(t, run, 1, 2, 3)
		run.Close()
		expect(t, "results", runOutcomes(t, futures), "[skipped 2 skipped]")
		expect(t, "the error", futures[0].Err() == pipeline.ErrSkipped, true)
		expect(t, "failures", len(run.Failures()), 0)
	})
}

func TestFuturesOfAReduction(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, e *antflow.Executor) {
		sum := pipeline.Reduce("sum", func() int { return 0 }, func(_ context.Context, acc, x int) (int, error) {
			if x == 9 {
				return 0, errFlaky
			}
			return acc + x, nil
		})
		var got []string
		log := pipeline.Stage("log", func(ctx context.Context, x int) (int, error) {
			it, _ := pipeline.ItemFrom(ctx)
			slices.Sort(it.Members)
			got = append(got, fmt.Sprint(x, it.Members))
			return x, nil
		})
		run := pipeline.Then(sum, log).Start(t.Context(), e)
		futures := runFeed(t, run, 1, 2, 9, 4)
		time.Sleep(time.Hour)
		synctest.Wait()
		expect(t, "done before the end", []bool{futures[0].IsDone(), futures[2].IsDone()}, "[false true]")
		futures[1].Cancel() // it is in the sum, and no longer waits for it
		expect(t, "canceled", futures[1].State(), "canceled")
		run.Close()
		expect(t, "results", runOutcomes(t, futures), "[7 canceled failed 7]")
		expect(t, "reductions", len(got), 1)

		nothing := sum.Start(t.Context(), e)
		expect(t, "Close", nothing.Close(), nil)
		expect(t, "results of an empty one", nothing.Snapshot().Results, 1)
	})
}
