package antflow_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/testkit"
)

// waits are the ways to wait for two tasks of fn.
var waits = map[string]func(ctx context.Context, e *antflow.Executor, fn func(context.Context) error) error{
	"Result": func(ctx context.Context, e *antflow.Executor, fn func(context.Context) error) error {
		a, b := e.Go(ctx, fn), e.Go(ctx, fn)
		_, errA := a.Result(ctx)
		_, errB := b.Result(ctx)
		return errors.Join(errA, errB)
	},
	"Wait": func(ctx context.Context, e *antflow.Executor, fn func(context.Context) error) error {
		_, _, err := antflow.Wait(ctx, []*antflow.Future[struct{}]{e.Go(ctx, fn), e.Go(ctx, fn)}, antflow.AllCompleted)
		return err
	},
	"AsCompleted": func(ctx context.Context, e *antflow.Executor, fn func(context.Context) error) error {
		for _, err := range antflow.AsCompleted(ctx, []*antflow.Future[struct{}]{e.Go(ctx, fn), e.Go(ctx, fn)}) {
			if err != nil {
				return err
			}
		}
		return nil
	},
	"Group": func(ctx context.Context, e *antflow.Executor, fn func(context.Context) error) error {
		g := antflow.NewGroup(ctx, e)
		g.Go(fn)
		g.Go(fn)
		return g.Wait()
	},
	"Map": func(ctx context.Context, e *antflow.Executor, fn func(context.Context) error) error {
		for _, err := range antflow.Map(ctx, e, slices.Values([]int{1, 2}), func(ctx context.Context, _ int) (int, error) { return 0, fn(ctx) }) {
			if err != nil {
				return err
			}
		}
		return nil
	},
	"ForEach": func(ctx context.Context, e *antflow.Executor, fn func(context.Context) error) error {
		return antflow.ForEach(ctx, e, slices.Values([]int{1, 2}), func(ctx context.Context, _ int) error { return fn(ctx) })
	},
	"MapSlice": func(ctx context.Context, e *antflow.Executor, fn func(context.Context) error) error {
		_, err := antflow.MapSlice(ctx, e, []int{1, 2}, func(ctx context.Context, _ int) (int, error) { return 0, fn(ctx) })
		return err
	},
}

// Invariant 8: whoever fulfils the condition of a wait asks for the slot, so a
// task that has waited goes on before any that only queues.
func TestWaiterComesBeforeTheQueue(t *testing.T) {
	for name, wait := range waits {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				for range 100 {
					e := antflow.New(1)
					var order []string
					e.Go(t.Context(), func(ctx context.Context) error {
						err := wait(ctx, e, func(context.Context) error {
							order = append(order, "child")
							time.Sleep(time.Second) // for the next one to be submitted
							if len(order) == 1 {
								for range 3 {
									e.Go(t.Context(), func(context.Context) error { order = append(order, "queued"); return nil })
								}
							}
							return nil
						})
						order = append(order, "parent")
						return err
					})
					synctest.Wait()
					time.Sleep(time.Minute)
					e.Close()
					if want := []string{"child", "child", "parent", "queued", "queued", "queued"}; !slices.Equal(order, want) {
						t.Fatalf("%q", order)
					}
				}
			})
		})
	}
}

// The attempt ends while a wait of another goroutine of it is parked: the wait
// ends without a slot.
func TestAttemptEndsUnderAParkedWait(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(1)
		var waited <-chan struct{}
		f := e.Go(t.Context(), func(ctx context.Context) error {
			waited = testkit.Started(func() { antflow.Blocking(ctx, sleep1) })
			time.Sleep(2 * time.Second)
			return nil
		})
		other := e.Go(t.Context(), sleep(5*time.Second))
		time.Sleep(1500 * time.Millisecond)
		rest(t, e)
		if s := e.Stats(); s.Blocked != 1 || s.Running != 1 || !testkit.Blocked(waited) {
			t.Errorf("the wait is not parked: %+v", s)
		}
		f.Result(t.Context())
		rest(t, e)
		if s := e.Stats(); s.Running != 1 || s.Blocked != 0 || testkit.Blocked(waited) {
			t.Errorf("after the attempt: %+v", s)
		}
		other.Result(t.Context())
		e.Close()
	})
}

func sleep1() error { time.Sleep(time.Second); return nil }

// The feeder of a map that blocks at another executor's limit is not the
// consumer: while the loop's body runs, its task has its slot.
func TestFeederLendsNoSlot(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		mine, other := antflow.New(1), antflow.New(1, antflow.QueueLimit(1))
		f := mine.Go(t.Context(), func(ctx context.Context) error {
			for _, err := range antflow.Map(ctx, other, slices.Values(make([]int, 10)), func(context.Context, int) (int, error) {
				return 0, sleep1()
			}) {
				synctest.Wait() // for the feeder to block
				if s := mine.Stats(); s.Running != 1 || s.Blocked != 0 || err != nil {
					t.Errorf("in the loop: %+v, %v", s, err)
				}
			}
			return nil
		})
		if _, err := f.Result(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// What fails after ctx has ended is not the cause of the end.
func TestForEachFailureAfterTheEndOfItsContext(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(1)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		err := antflow.ForEach(ctx, e, slices.Values([]int{1}), func(context.Context, int) error {
			time.Sleep(2 * time.Second)
			panic(errTest)
		})
		if _, ok := errors.AsType[*antflow.WaitError](err); !ok || !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}
