package futures_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
)

func TestAGroupWaitsForAllOfItsTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := kitNew(t, 2)
		start := time.Now()
		g := antflow.NewGroup(t.Context(), e)
		var ran atomic.Int64
		for range 5 {
			g.Go(func(context.Context) error { time.Sleep(time.Second); ran.Add(1); return nil })
		}
		kitEq(t, "Wait", g.Wait(), nil)
		kitEq(t, "ran", ran.Load(), 5)
		kitAt(t, "end", start, 3*time.Second)
		kitEq(t, "Wait of an empty group", antflow.NewGroup(t.Context(), e).Wait(), nil)
	})
}

func TestAGroupsContextCarriesTheValuesOfItsCtx(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		e := kitNew(t, 1)
		g := antflow.NewGroup(context.WithValue(t.Context(), key{}, "value"), e)
		g.Go(func(ctx context.Context) error { kitEq(t, "value", ctx.Value(key{}), any("value")); return nil })
		kitEq(t, "Wait", g.Wait(), nil)
	})
}

func TestTheFirstFailureCancelsTheGroupAndIsItsError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := kitNew(t, 4)
		start := time.Now()
		g := antflow.NewGroup(t.Context(), e)
		var started atomic.Int64
		g.Go(func(ctx context.Context) error { // submitted first, failing last
			<-ctx.Done()
			kitAt(t, "canceled", start, 2*time.Second)
			time.Sleep(5 * time.Second)
			return ctx.Err()
		})
		g.Go(func(ctx context.Context) error { <-ctx.Done(); return errors.New("a later failure") })
		g.Go(func(ctx context.Context) error { <-ctx.Done(); panic("a later failure that is no cancellation") })
		g.Go(func(context.Context) error { time.Sleep(2 * time.Second); return errBoom })
		for range 5 {
			g.Go(func(ctx context.Context) error { started.Add(1); <-ctx.Done(); return ctx.Err() })
		}
		err := g.Wait()
		kitAt(t, "all settled", start, 7*time.Second)
		kitIs(t, err, errBoom)
		kitNotIs(t, err, context.Canceled, antflow.ErrCanceled)
		if n := started.Load(); n > 1 { // one may have taken the failed task's slot before the cancellation
			t.Errorf("%d queued tasks started", n)
		}
		kitIdle(t, e)
	})
}

func TestAPanicFailsTheGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := kitNew(t, 2)
		g := antflow.NewGroup(t.Context(), e)
		g.Go(func(context.Context) error { panic("mine") })
		g.Go(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		kitEq(t, "panic value", kitAs[*antflow.PanicError](t, g.Wait()).Value, any("mine"))
	})
}

func TestAGroupUnderCollectErrorsRunsAllAndJoinsAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := kitNew(t, 2)
		g := antflow.NewGroup(t.Context(), e, antflow.CollectErrors())
		var ran atomic.Int64
		errs := []error{errors.New("one"), nil, errors.New("two"), errors.New("three"), nil}
		for _, err := range errs {
			g.Go(func(ctx context.Context) error {
				if err := kitWork(ctx, time.Second); err != nil {
					t.Error("canceled by a sibling's failure")
				}
				ran.Add(1)
				return err
			})
		}
		err := g.Wait()
		kitEq(t, "ran", ran.Load(), 5)
		kitIs(t, err, errs[0], errs[2], errs[3])

		g = antflow.NewGroup(t.Context(), e, antflow.CollectErrors())
		g.Go(func(context.Context) error { return nil })
		kitEq(t, "no error", g.Wait(), nil)
	})
}

func TestTheEndOfCtxEndsTheGroupOnceAllHaveSettled(t *testing.T) {
	for _, opts := range [][]antflow.GroupOption{nil, {antflow.CollectErrors()}} {
		synctest.Test(t, func(t *testing.T) {
			e := kitNew(t, 1)
			start := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			g := antflow.NewGroup(ctx, e, opts...)
			g.Go(func(ctx context.Context) error { <-ctx.Done(); time.Sleep(time.Second); return ctx.Err() })
			g.Go(func(context.Context) error { t.Error("a queued task started"); return nil })
			err := g.Wait()
			kitAt(t, "all settled", start, 2*time.Second)
			kitIs(t, err, context.DeadlineExceeded) // a cancellation and a *WaitError both are that
			kitNotIs(t, err, context.Canceled)
		})
	}
}

func TestTheGroupsOwnTasksMayGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, workers := range []int{1, 4} {
			e := kitNew(t, workers)
			g := antflow.NewGroup(t.Context(), e, antflow.MaxConcurrency(1))
			var nodes atomic.Int64
			var visit func(depth int)
			visit = func(depth int) {
				g.Go(func(context.Context) error {
					nodes.Add(1)
					time.Sleep(time.Millisecond)
					if depth > 0 {
						visit(depth - 1)
						visit(depth - 1)
					}
					return nil
				})
			}
			visit(5)
			kitEq(t, "Wait", g.Wait(), nil)
			kitEq(t, "nodes", nodes.Load(), 63)
		}
	})
}

func TestGoNeverBlocksForMaxConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := kitNew(t, 8)
		start := time.Now()
		g := antflow.NewGroup(t.Context(), e, antflow.MaxConcurrency(2))
		var now atomic.Int64
		for range 9 {
			g.Go(func(context.Context) error {
				if n := now.Add(1); n > 2 {
					t.Errorf("%d at once", n)
				}
				time.Sleep(time.Second)
				now.Add(-1)
				return nil
			})
		}
		kitAt(t, "Go", start, 0)
		other := antflow.Submit(t.Context(), e, kitAfter(0, 7, nil))
		kitEq(t, "a task outside the group", kitValue(t, other), 7)
		kitAt(t, "a task outside the group", start, 0)
		kitEq(t, "Wait", g.Wait(), nil)
		kitAt(t, "end", start, 5*time.Second)
	})
}

func TestGoBlocksForQueueLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := kitNew(t, 1, antflow.QueueLimit(1))
		start := time.Now()
		g := antflow.NewGroup(t.Context(), e)
		work := func(context.Context) error { time.Sleep(10 * time.Second); return nil }
		g.Go(work)
		synctest.Wait() // it has started, the queue is empty
		g.Go(work)
		kitAt(t, "second Go", start, 0)
		g.Go(work)
		kitAt(t, "third Go", start, 10*time.Second)
		kitEq(t, "Wait", g.Wait(), nil)
		kitAt(t, "end", start, 30*time.Second)
	})
}

func TestNonBlockingGoFailsOnAFullQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := kitNew(t, 1, antflow.QueueLimit(1))
		start := time.Now()
		g := antflow.NewGroup(t.Context(), e, antflow.CollectErrors())
		work := func(context.Context) error { time.Sleep(time.Second); return nil }
		g.Go(work)
		synctest.Wait()
		g.Go(work)
		g.Go(func(context.Context) error { t.Error("it ran"); return nil }, antflow.NonBlocking())
		kitAt(t, "Go", start, 0)
		kitIs(t, g.Wait(), antflow.ErrQueueFull)
		kitAt(t, "end", start, 2*time.Second)
	})
}

func TestAGroupOnAShutExecutorIsErrShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := antflow.New(1)
		e.Close()
		g := antflow.NewGroup(t.Context(), e)
		g.Go(func(context.Context) error { t.Error("it ran"); return nil })
		kitIs(t, g.Wait(), antflow.ErrShutdown)
	})
}

// How Go refuses after Wait is open; that the group's context has ended means that nothing runs any more.
func TestAfterWaitAGroupIsSpent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := kitNew(t, 1)
		g := antflow.NewGroup(t.Context(), e)
		g.Go(func(context.Context) error { return nil })
		kitEq(t, "Wait", g.Wait(), nil)
		func() {
			defer func() { recover() }()
			g.Go(func(context.Context) error { t.Error("a task ran in a spent group"); return nil })
		}()
		kitIdle(t, e)
	})
}

func TestAGroupWithinATaskLendsItsSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := kitNew(t, 1)
		start := time.Now()
		leaves := 0 // one worker: no two tasks at once
		var tree func(ctx context.Context, depth int) error
		tree = func(ctx context.Context, depth int) error {
			if depth == 0 {
				time.Sleep(time.Second)
				leaves++
				return nil
			}
			g := antflow.NewGroup(ctx, e)
			for range 3 {
				g.Go(func(ctx context.Context) error { return tree(ctx, depth-1) })
			}
			return g.Wait()
		}
		kitValue(t, e.Go(t.Context(), func(ctx context.Context) error { return tree(ctx, 3) }))
		kitEq(t, "leaves", leaves, 27)
		kitAt(t, "end", start, 27*time.Second)
	})
}

func TestAGroupTakesTaskOptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := kitNew(t, 1)
		g := antflow.NewGroup(t.Context(), e, antflow.Retries(2), antflow.TaskName("of the group"))
		attempts := 0
		g.Go(func(ctx context.Context) error {
			info, _ := antflow.TaskFrom(ctx)
			kitEq(t, "name", info.Name, "of the group")
			if attempts++; attempts < 3 {
				return errBoom
			}
			return nil
		})
		g.Go(func(ctx context.Context) error {
			info, _ := antflow.TaskFrom(ctx)
			kitEq(t, "name", info.Name, "of the call")
			return nil
		}, antflow.TaskName("of the call"))
		kitEq(t, "Wait", g.Wait(), nil)
		kitEq(t, "attempts", attempts, 3)
	})
}

func TestForEachOfInfiniteInputsStopsAtAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := kitNew(t, 2)
		src := new(kitSource)
		err := antflow.ForEach(t.Context(), e, src.ints(-1), func(_ context.Context, n int) error {
			if n == 10 {
				return errBoom
			}
			return nil
		})
		kitEq(t, "index", kitAs[*antflow.ItemError](t, err).Index, 10)
		kitIdle(t, e)
		kitEq(t, "source ended", src.ended.Load(), 1)
	})
}

func TestAPanicInTheSourceOfForEachSurfacesInItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := kitNew(t, 2)
		source := func(yield func(int) bool) {
			if yield(0) {
				panic("source-boom")
			}
		}
		value := kitPanics(t, "ForEach", func() {
			antflow.ForEach(t.Context(), e, source, func(ctx context.Context, _ int) error { return kitWork(ctx, time.Second) })
		})
		if !strings.Contains(fmt.Sprint(value), "source-boom") {
			t.Errorf("got %v (%T)", value, value)
		}
		kitIdle(t, e)
	})
}
