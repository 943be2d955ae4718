package tasks_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
)

func TestQueuedTasksStartInSubmissionOrder(t *testing.T) {
	fake(t, func(b *bubble) {
		e, rec := antflow.New(1), new(record)
		free := occupy(b, e, 1)
		var want []string
		for i := range 1000 {
			want = append(want, fmt.Sprint(i))
			e.Go(bg, rec.task(want[i], 0))
		}
		free()
		ok(b, e.Close())
		rec.want(b, want...)
	})
}

func TestHigherPriorityStartsSoonerThenSubmissionOrder(t *testing.T) {
	fake(t, func(b *bubble) {
		e, rec := antflow.New(1), new(record)
		free := occupy(b, e, 1)
		for i, p := range []int{0, -5, 3, 0, 1 << 30, 3, -5, -1 << 30} {
			opts := []antflow.TaskOption{antflow.Priority(p)}
			if p == 0 && i > 0 {
				opts = nil // 0 is the default
			}
			e.Go(bg, rec.task(fmt.Sprintf("%d/%d", i, p), time.Second), opts...)
		}
		free()
		ok(b, e.Close())
		rec.want(b, "4/1073741824", "2/3", "5/3", "0/0", "3/0", "1/-5", "6/-5", "7/-1073741824")
	})
}

func TestRetriedTaskResumesBeforeAnyPriority(t *testing.T) {
	fake(t, func(b *bubble) {
		e, rec, n := antflow.New(1), new(record), 0
		e.Go(bg, func(context.Context) error {
			rec.add("try")
			if n++; n < 2 {
				return errMine
			}
			return nil
		}, antflow.Retries(1), antflow.RetryDelay(time.Second), antflow.Priority(-1))
		synctest.Wait()
		free := occupy(b, e, 1)
		e.Go(bg, rec.task("high", 0), antflow.Priority(100))
		b.until(500 * time.Millisecond)
		rec.want(b, "try")
		b.until(2 * time.Second) // its delay is over since 1s, no slot yet
		e.Go(bg, rec.task("higher", 0), antflow.Priority(200))
		free()
		ok(b, e.Close())
		rec.want(b, "try", "try", "higher", "high")
	})
}

// Its delay not over, a task has no claim.
func TestTaskResumesOnlyFromTheMomentItsConditionHolds(t *testing.T) {
	fake(t, func(b *bubble) {
		e, rec, n := antflow.New(1), new(record), 0
		e.Go(bg, func(context.Context) error {
			rec.add("try@%v", b.now())
			if n++; n < 2 {
				return errMine
			}
			return nil
		}, antflow.Retries(1), antflow.RetryDelay(1500*time.Millisecond), antflow.Priority(100))
		for i := range 3 {
			e.Go(bg, rec.task(fmt.Sprint(i), time.Second))
		}
		ok(b, e.Close())
		rec.want(b, "try@0s", "0", "1", "try@2s", "2")
	})
}

func TestRetryAtOnceKeepsItsPlace(t *testing.T) {
	fake(t, func(b *bubble) {
		e, rec := antflow.New(1), new(record)
		free := occupy(b, e, 1)
		n := 0
		e.Go(bg, func(context.Context) error {
			rec.add("try")
			if n++; n < 4 {
				return errMine
			}
			return nil
		}, antflow.Retries(3), antflow.RetryDelay(0))
		for i := range 5 {
			e.Go(bg, rec.task(fmt.Sprint(i), 0))
		}
		free()
		ok(b, e.Close())
		b.at(0)
		rec.want(b, "try", "try", "try", "try", "0", "1", "2", "3", "4")
	})
}

func TestWaitedForTasksThenTheWaiterStartBeforeAnyPriority(t *testing.T) {
	fake(t, func(b *bubble) {
		e, rec := antflow.New(1), new(record)
		free := occupy(b, e, 1)
		outside := e.Go(bg, rec.task("outside", 0), antflow.Priority(-7)) // whoever submitted it
		e.Go(bg, func(ctx context.Context) error {
			own := e.Go(ctx, rec.task("own", 0), antflow.Priority(-9))
			e.Go(context.WithoutCancel(ctx), rec.task("not waited for", 0))
			rec.add("wait")
			own.Result(ctx)
			rec.add("between")
			outside.Result(ctx)
			rec.add("end")
			return nil
		}, antflow.Priority(50))
		for range 3 {
			e.Go(bg, rec.task("high", time.Second), antflow.Priority(40))
		}
		free()
		ok(b, e.Close())
		rec.want(b, "wait", "own", "between", "outside", "end", "high", "high", "high", "not waited for")
	})
}

func TestTasksOfTheLatestWaitStartFirst(t *testing.T) {
	fake(t, func(b *bubble) {
		e, rec := antflow.New(2), new(record)
		parent := func(name string, after time.Duration, d ...time.Duration) {
			e.Go(bg, func(ctx context.Context) error {
				time.Sleep(after)
				var fs []*antflow.Future[struct{}]
				for i, d := range d {
					fs = append(fs, e.Go(ctx, rec.task(fmt.Sprint(name, i), d)))
				}
				_, _, err := antflow.Wait(ctx, fs, antflow.AllCompleted)
				return err
			})
		}
		parent("a", time.Second, 10*time.Second, time.Second)
		parent("b", 2*time.Second, 30*time.Second, 10*time.Second)
		ok(b, e.Close())
		rec.want(b, "a0", "b0", "b1", "a1")
		b.at(32 * time.Second)
	})
}

func TestATaskNoLongerWaitedForHasNoClaim(t *testing.T) {
	fake(t, func(b *bubble) {
		e, rec := antflow.New(1), new(record)
		free := occupy(b, e, 1)
		e.Go(bg, func(ctx context.Context) error {
			var fs []*antflow.Future[struct{}]
			for i := range 3 {
				fs = append(fs, e.Go(context.WithoutCancel(ctx), rec.task(fmt.Sprint(i), time.Second)))
			}
			done, pending, err := antflow.WaitN(ctx, fs, 1)
			rec.add("%d %d %v", len(done), len(pending), err)
			return nil
		}, antflow.Priority(9))
		e.Go(bg, rec.task("high", time.Second), antflow.Priority(1))
		free()
		ok(b, e.Close())
		rec.want(b, "0", "1 2 <nil>", "high", "1", "2")
	})
}

func TestAnotherExecutorsWaitGivesNoClaim(t *testing.T) {
	fake(t, func(b *bubble) {
		e, other, rec := antflow.New(1), antflow.New(1), new(record)
		free := occupy(b, e, 1)
		low, high := e.Go(bg, rec.task("low", 0)), e.Go(bg, rec.task("high", 0), antflow.Priority(1))
		f := other.Go(bg, func(ctx context.Context) error { _, err := low.Result(ctx); return err })
		b.stats(other, antflow.Stats{Blocked: 1})
		free()
		ok(b, result(f))
		ok(b, result(high))
		rec.want(b, "high", "low")
	})
}

func TestRecursionGoesDepthFirst(t *testing.T) {
	fake(t, func(b *bubble) {
		e, rec := antflow.New(1), new(record)
		var want []string
		var node func(ctx context.Context, name string) error
		node = func(ctx context.Context, name string) error {
			rec.add("%s", name)
			if len(name) == 5 {
				return nil
			}
			var fs []antflow.Waitable
			for i := range 3 {
				fs = append(fs, e.Go(ctx, func(ctx context.Context) error { return node(ctx, fmt.Sprint(name, i)) }))
			}
			_, _, err := antflow.Wait(ctx, fs, antflow.AllCompleted)
			return err
		}
		var expect func(name string)
		expect = func(name string) {
			want = append(want, name)
			for i := range 3 {
				if len(name) < 5 {
					expect(fmt.Sprint(name, i))
				}
			}
		}
		expect("r")
		ok(b, result(e.Go(bg, func(ctx context.Context) error { return node(ctx, "r") })))
		rec.want(b, want...)
	})
}

// Ten thousand parents don't all start before the first child: with one worker each child runs inside its parent, and
// with more no parent starts while a child that a blocked task waits for is queued.
func TestTenThousandParentsGoDepthFirst(t *testing.T) {
	for _, workers := range []int{1, 4} {
		fake(t, func(b *bubble) {
			e, rec := antflow.New(workers), new(record)
			base := runtime.NumGoroutine()
			var open gauge
			free := occupy(b, e, workers)
			const n = 10_000
			var fs []*antflow.Future[int]
			var want []string
			for i := range n {
				want = append(want, fmt.Sprint("p", i), fmt.Sprint("c", i), fmt.Sprint("e", i))
				fs = append(fs, antflow.Submit(bg, e, func(ctx context.Context) (int, error) {
					open.in()
					defer open.out()
					rec.add("p%d", i)
					_, err := e.Go(ctx, rec.task(fmt.Sprint("c", i), 0)).Result(ctx)
					rec.add("e%d", i)
					return i, err
				}))
			}
			few(b, base)
			free()
			for i, f := range fs {
				value(b, f, i)
			}
			if workers == 1 {
				if !slices.Equal(rec.items, want) {
					b.Errorf("not depth first: %q…", func() []string {
						for i := range rec.items {
							if rec.items[i] != want[i] {
								return rec.items[max(0, i-6) : i+6]
							}
						}
						return nil
					}())
				}
			}
			if m := open.max.Load(); m > int64(workers) {
				b.Errorf("%d parents open with %d workers", m, workers)
			}
		})
	}
}

// Children that are waited for must get a slot though more important work comes in faster than it can be done.
func TestAFloodStarvesNoWaiter(t *testing.T) {
	fake(t, func(b *bubble) {
		e := antflow.New(1)
		var flood func(ctx context.Context) error
		flood = func(ctx context.Context) error {
			if b.now() < 6*time.Second {
				for range 2 {
					e.Go(bg, flood, antflow.Priority(100))
				}
			}
			time.Sleep(time.Second)
			return nil
		}
		f := e.Go(bg, func(ctx context.Context) error {
			flood(ctx)
			for range 5 {
				if _, err := e.Go(ctx, sleeps(time.Second)).Result(ctx); err != nil {
					return err
				}
			}
			return nil
		})
		ok(b, result(f))
		b.at(6 * time.Second)
		ok(b, e.Close())
		b.at(8 * time.Second) // the two of the first second
	})
}
