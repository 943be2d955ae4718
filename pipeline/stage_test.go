package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/testkit"
	"github.com/antflow/antflow/pipeline"
)

// A stage works on as many items as it has workers, if the executor has as
// many: never on more, and on fewer only when there are none.
func TestWorkersAreNotExceeded(t *testing.T) {
	for _, c := range []struct {
		workers, executor, items int
		most                     int
		took                     time.Duration
	}{
		{1, 8, 5, 1, 5 * time.Second},
		{3, 8, 10, 3, 4 * time.Second},
		{8, 8, 100, 8, 13 * time.Second},
		{8, 2, 10, 2, 5 * time.Second},
		{100, 200, 1000, 100, 10 * time.Second},
		{8, 8, 3, 3, time.Second},
	} {
		for _, buffer := range []int{0, 1, 1000} {
			t.Run(fmt.Sprint(c.workers, "on", c.executor, "buffer", buffer), func(t *testing.T) {
				inBubble(t, c.executor, func(t *testing.T, e *antflow.Executor) {
					r := newRecord()
					p := pipeline.Stage("work", r.taking(time.Second), pipeline.Workers(c.workers), pipeline.Buffer(buffer))
					values, errs := results(p.Run(t.Context(), e, upTo(c.items)))
					expect(t, "results", len(values), c.items)
					expect(t, "errors", errs, []error(nil))
					expect(t, "calls at a time", r.most, c.most)
					expect(t, "time", time.Since(r.start), c.took)
				})
			})
		}
	}
}

func TestOneWorkerIsTheDefault(t *testing.T) {
	inBubble(t, 8, func(t *testing.T, e *antflow.Executor) {
		r := newRecord()
		p := pipeline.Stage("work", r.taking(time.Second))
		results(p.Run(t.Context(), e, upTo(5)))
		expect(t, "calls at a time", r.most, 1)
		expect(t, "workers", p.Workers(), 1)
	})
}

// While items wait every worker is at work: each item starts when the list
// schedule has a worker free, whatever the others take.
func TestWorkersAreBusyWhileItemsWait(t *testing.T) {
	const workers, items = 4, 50
	length := func(x int) time.Duration { return time.Duration(1+x*7919%13) * time.Second }
	inBubble(t, workers, func(t *testing.T, e *antflow.Executor) {
		free := make([]time.Duration, workers)
		want := make(map[int][]time.Duration)
		for x := range items {
			w := slices.Index(free, slices.Min(free))
			want[x] = []time.Duration{free[w]}
			free[w] += length(x)
		}
		r := newRecord()
		p := pipeline.Stage("work", func(_ context.Context, x int) (int, error) {
			r.begin(x)
			time.Sleep(length(x))
			return x, nil
		}, pipeline.Workers(workers))
		results(p.RunUnordered(t.Context(), e, upTo(items)))
		expect(t, "starts", r, strings.TrimPrefix(fmt.Sprint(want), "map"))
	})
}

// Stages share the executor, whose limit holds for all of them together.
func TestStagesShareTheExecutor(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, e *antflow.Executor) {
		r := newRecord()
		fn := r.taking(time.Second)
		p := join3(pipeline.Stage("a", fn, pipeline.Workers(5)), pipeline.Stage("b", fn, pipeline.Workers(5)), pipeline.Stage("c", fn, pipeline.Workers(5)))
		values, _ := results(p.Run(t.Context(), e, upTo(21)))
		expect(t, "results", len(values), 21)
		expect(t, "calls at a time", r.most, 3)
		expect(t, "time", time.Since(r.start), 21*time.Second)
		expect(t, "workers", p.Workers(), 15)
	})
}

// Where stages compete for the executor the one downstream comes first.
func TestDownstreamComesFirst(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, e *antflow.Executor) {
		var order []string
		stage := func(name string) pipeline.Pipeline[int, int] {
			return pipeline.Stage(name, func(_ context.Context, x int) (int, error) {
				order = append(order, fmt.Sprint(name, x))
				time.Sleep(time.Second)
				return x, nil
			})
		}
		results(join3(stage("a"), stage("b"), stage("c")).Run(t.Context(), e, upTo(4)))
		expect(t, "order", order, "[a0 b0 c0 a1 b1 c1 a2 b2 c2 a3 b3 c3]")
	})
}

type key struct{}

// The function's context has the values of the run's, tells the item, and ends
// with the call.
func TestContextOfACall(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, e *antflow.Executor) {
		ctx := context.WithValue(t.Context(), key{}, "run")
		var kept []context.Context
		p := pipeline.Stage("work", func(ctx context.Context, x int) (int, error) {
			kept = append(kept, ctx)
			if ctx.Err() != nil || ctx.Value(key{}) != "run" {
				t.Errorf("the context of %d: %v, %v", x, ctx.Err(), ctx.Value(key{}))
			}
			derived, cancel := context.WithTimeout(ctx, time.Hour)
			defer cancel()
			item, ok := pipeline.ItemFrom(derived)
			if !ok || item.ID != uint64(x) || item.Key != "" || item.Members != nil || !strings.Contains(item.String(), fmt.Sprint(x)) {
				t.Errorf("the item of %d: %+v, %v", x, item, ok)
			}
			if len(kept) <= 3 {
				return 0, errors.New("again")
			}
			return x, nil
		}, antflow.Retries(3))
		values, errs := results(p.Run(ctx, e, upTo(10)))
		if len(values) != 10 || errs != nil {
			t.Error(values, errs)
		}
		for i, ctx := range kept {
			if !errors.Is(ctx.Err(), context.Canceled) {
				t.Errorf("the context of call %d did not end: %v", i, ctx.Err())
			}
			if ctx.Value(key{}) != "run" {
				t.Errorf("the context of call %d has lost its value", i)
			}
		}
		if item, ok := pipeline.ItemFrom(ctx); ok {
			t.Error("an item without a stage", item)
		}
	})
}

func TestItemsHaveKeys(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, e *antflow.Executor) {
		var asked atomic.Int64
		name := pipeline.Key(func(x int) string { asked.Add(1); return fmt.Sprintf("k%d", x*x) })
		p := pipeline.Stage("work", func(ctx context.Context, x int) (string, error) {
			item, _ := pipeline.ItemFrom(ctx)
			if x == 3 {
				return "", errors.New("broken")
			}
			return fmt.Sprint(item.ID, " ", item.Key), nil
		})
		values, errs := results(p.Run(t.Context(), e, upTo(5), name))
		expect(t, "items", values, "[0 k0 1 k1 2 k4 4 k16]")
		expect(t, "calls", asked.Load(), 5)
		if len(errs) != 1 || !strings.Contains(errs[0].Error(), "k9") {
			t.Error(errs)
		}
	})
}

// A call may submit tasks with its context and wait for them on an executor of
// one worker, which it lends meanwhile. They have its values and its item, and
// are canceled when it is over.
func TestCallsWaitForTasksOfTheirs(t *testing.T) {
	for _, workers := range []int{1, 3} {
		inBubble(t, 1, func(t *testing.T, e *antflow.Executor) {
			left := make(map[int]*antflow.Future[struct{}])
			p := pipeline.Stage("work", func(ctx context.Context, x int) (int, error) {
				f := antflow.Submit(ctx, e, func(ctx context.Context) (int, error) {
					time.Sleep(time.Second)
					g := antflow.Submit(ctx, e, func(ctx context.Context) (int, error) {
						item, ok := pipeline.ItemFrom(ctx)
						if !ok || item.ID != uint64(x) {
							t.Error("the item of a task inside:", item, ok)
						}
						return 10 * x, nil
					})
					return g.Result(ctx)
				})
				v, err := f.Result(ctx)
				left[x] = e.Go(ctx, func(ctx context.Context) error { return testkit.Sleep(ctx, time.Hour) })
				return v, err
			}, pipeline.Workers(workers))
			start := time.Now()
			values, errs := results(p.Run(t.Context(), e, upTo(5)))
			expect(t, "results", values, "[0 10 20 30 40]")
			expect(t, "errors", errs, []error(nil))
			expect(t, "time", time.Since(start), 5*time.Second)
			e.Close()
			for x, f := range left {
				if !errors.Is(f.Err(), antflow.ErrCanceled) {
					t.Errorf("what %d left: %v", x, f.Err())
				}
			}
		})
	}
}

// What waits through its context lends the executor's worker and keeps the
// stage's.
func TestWaitingCallsKeepTheStagesWorker(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, e *antflow.Executor) {
		r := newRecord()
		p := pipeline.Stage("work", func(ctx context.Context, x int) (int, error) {
			r.begin(x)
			defer r.end()
			return x, antflow.Blocking(ctx, func() error { time.Sleep(time.Second); return nil })
		}, pipeline.Workers(2))
		results(p.Run(t.Context(), e, upTo(6)))
		expect(t, "calls at a time", r.most, 2)
		expect(t, "time", time.Since(r.start), 3*time.Second)
	})
	inBubble(t, 1, func(t *testing.T, e *antflow.Executor) {
		r := newRecord()
		p := pipeline.Stage("work", func(ctx context.Context, x int) (int, error) {
			r.begin(x)
			defer r.end()
			return x, antflow.Blocking(ctx, func() error { time.Sleep(time.Second); return nil })
		}, pipeline.Workers(3))
		results(p.Run(t.Context(), e, upTo(6)))
		expect(t, "calls at a time", r.most, 3)
		expect(t, "time", time.Since(r.start), 2*time.Second)
	})
}

// A panic and runtime.Goexit fail the item alone, and are not retried.
func TestPanicsFailTheItem(t *testing.T) {
	cause := errors.New("cause")
	inBubble(t, 2, func(t *testing.T, e *antflow.Executor) {
		r := newRecord()
		p := pipeline.Stage("work", func(_ context.Context, x int) (int, error) {
			r.begin(x)
			switch x {
			case 1:
				panic("boom")
			case 2:
				panic(cause)
			case 3:
				runtime.Goexit()
			case 4:
				panic(nil)
			}
			return x, nil
		}, antflow.Retries(3), pipeline.Workers(2))
		values, errs := results(p.Run(t.Context(), e, upTo(7)))
		expect(t, "results", values, "[0 5 6]")
		expect(t, "calls", r, "[0:[0s] 1:[0s] 2:[0s] 3:[0s] 4:[0s] 5:[0s] 6:[0s]]")
		if len(errs) != 4 {
			t.Fatal(errs)
		}
		for i, err := range errs {
			var item *pipeline.ItemError
			if !errors.As(err, &item) || item.Stage != "work" || item.Item.ID != uint64(i+1) || item.Attempts != 1 || item.Input != nil {
				t.Errorf("item %d: %#v", i+1, err)
			}
			var p *antflow.PanicError
			if i == 2 {
				if !errors.Is(err, antflow.ErrGoexit) {
					t.Error(err)
				}
			} else if !errors.As(err, &p) || !strings.Contains(string(p.Stack), "stage_test.go") {
				t.Errorf("item %d: %#v", i+1, err)
			} else if i == 0 && p.Value != "boom" {
				t.Error(p.Value)
			}
		}
		if !errors.Is(errs[1], cause) {
			t.Error(errs[1])
		}
	})
}

// RetryIf may say that panics and Goexit are retried.
func TestPanicsAreRetriedWhenRetryIfSaysSo(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, e *antflow.Executor) {
		r := newRecord()
		p := pipeline.Stage("work", func(_ context.Context, x int) (int, error) {
			switch r.begin(x) {
			case 1:
				panic("boom")
			case 2:
				runtime.Goexit()
			}
			return x, nil
		}, antflow.Retries(3), antflow.RetryIf(func(error) bool { return true }), antflow.RetryDelay(time.Second))
		values, errs := results(p.Run(t.Context(), e, upTo(1)))
		expect(t, "results", values, "[0]")
		expect(t, "errors", errs, []error(nil))
		expect(t, "calls", r, "[0:[0s 1s 3s]]")
	})
}

// A nil is a result like any other.
func TestNilResultsAreKept(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, e *antflow.Executor) {
		null := pipeline.Stage("null", func(context.Context, int) (*int, error) { return nil, nil })
		empty := pipeline.Stage("any", func(context.Context, *int) (any, error) { return nil, nil })
		failing := pipeline.Stage("err", func(context.Context, any) (error, error) { return nil, nil })
		p := join3(null, empty, failing)
		n := 0
		for v, err := range p.Run(t.Context(), e, upTo(5)) {
			if v != nil || err != nil {
				t.Error(v, err)
			}
			n++
		}
		expect(t, "results", n, 5)
		values, errs := results(pipeline.Then(p, pipeline.Batch[error](2, 0)).Run(t.Context(), e, upTo(5)))
		expect(t, "batches", values, "[[<nil> <nil>] [<nil> <nil>] [<nil>]]")
		expect(t, "errors", errs, []error(nil))
	})
}

// Values of any type go through, interfaces and those without a size too.
func TestItemsOfAnyType(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, e *antflow.Executor) {
		type wide [100]int
		a := pipeline.Stage("a", func(_ context.Context, x int) (struct{}, error) { return struct{}{}, nil })
		b := pipeline.Stage("b", func(_ context.Context, _ struct{}) (wide, error) { return wide{7}, nil })
		c := pipeline.Stage("c", func(_ context.Context, w wide) (fmt.Stringer, error) { return time.Duration(w[0]), nil })
		d := pipeline.Stage("d", func(_ context.Context, s fmt.Stringer) (func() string, error) { return s.String, nil })
		for f, err := range pipeline.Then(join3(a, b, c), d).Run(t.Context(), e, upTo(3)) {
			if err != nil || f() != "7ns" {
				t.Error(err)
			}
		}
	})
}
