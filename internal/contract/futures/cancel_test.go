package futures_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
)

// kitAssertCanceled asserts a future that is settled now, as canceled, by a plain Cancel.
func kitAssertCanceled[T any](t *testing.T, f *antflow.Future[T]) {
	t.Helper()
	kitEq(t, "done", f.IsDone(), true)
	kitEq(t, "state", f.State(), antflow.StateCanceled)
	kitIs(t, f.Err(), antflow.ErrCanceled, context.Canceled)
	kitNotIs(t, f.Err(), antflow.ErrShutdown, context.DeadlineExceeded)
	kitNotAs[*antflow.RetryError](t, f.Err())
	kitNotAs[*antflow.WaitError](t, f.Err())
}

func TestCancelSettlesAQueuedTaskBeforeItReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := kitNew(t, 1)
		gate := make(chan struct{})
		e.Go(t.Context(), func(context.Context) error { <-gate; return nil })
		ran := false
		f := antflow.Submit(t.Context(), e, func(context.Context) (int, error) { ran = true; return 0, nil })
		kitEq(t, "Cancel", f.Cancel(), true)
		kitAssertCanceled(t, f)
		<-f.Done()
		kitEq(t, "Cancel of a canceled one", f.Cancel(), false)
		kitEq(t, "queued", e.Stats().Queued, 0)
		close(gate)
		kitIdle(t, e)
		kitEq(t, "ran", ran, false)
	})
}

func TestCancelSettlesAWaitingTaskBeforeItReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := kitNew(t, 2)
		start := time.Now()
		delayed := antflow.Submit(t.Context(), e, kitAfter(time.Second, 0, errBoom), antflow.Retries(3), antflow.RetryDelay(time.Hour))
		sem := antflow.NewSemaphore(1)
		sem.Acquire(t.Context(), 1)
		ran := false
		permit := e.Go(t.Context(), func(context.Context) error { ran = true; return nil }, antflow.WithSemaphore(sem))
		time.Sleep(2 * time.Second)
		kitEq(t, "Cancel in the delay", delayed.Cancel(), true)
		kitAssertCanceled(t, delayed)
		kitIs(t, delayed.Err(), errBoom) // what the last attempt returned
		kitEq(t, "attempts", delayed.Attempts(), 1)
		kitEq(t, "Cancel behind a semaphore", permit.Cancel(), true)
		kitAssertCanceled(t, permit)
		sem.Release(1)
		kitIdle(t, e)
		kitEq(t, "ran", ran, false)
		kitEq(t, "the permit is free again", sem.TryAcquire(1), true)
		kitAt(t, "all", start, 2*time.Second)
	})
}

func TestCancelOfARunningTaskLeavesTheSettlingToFn(t *testing.T) {
	own := errors.New("tidied up")
	for name, c := range map[string]struct {
		end   func(context.Context) (int, error)
		state antflow.State
	}{
		"ctx error": {func(ctx context.Context) (int, error) { return 0, ctx.Err() }, antflow.StateCanceled},
		"any error": {func(context.Context) (int, error) { return 0, own }, antflow.StateCanceled},
		"no error":  {func(context.Context) (int, error) { return 7, nil }, antflow.StateSucceeded},
		"panic":     {func(context.Context) (int, error) { panic(own) }, antflow.StateFailed},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := kitNew(t, 1)
				start := time.Now()
				f := antflow.Submit(t.Context(), e, func(ctx context.Context) (int, error) {
					<-ctx.Done()
					kitAt(t, "context canceled", start, time.Second)
					kitEq(t, "its error", ctx.Err(), context.Canceled)
					time.Sleep(3 * time.Second)
					return c.end(ctx)
				}, antflow.Retries(5))
				time.Sleep(time.Second)
				kitEq(t, "Cancel of a running task", f.Cancel(), true)
				synctest.Wait()
				kitEq(t, "state until fn returns", f.State(), antflow.StateRunning)
				kitEq(t, "Err until fn returns", f.Err(), nil)
				<-f.Done()
				kitAt(t, "settled", start, 4*time.Second)
				kitEq(t, "state", f.State(), c.state)
				kitEq(t, "attempts", f.Attempts(), 1)
				kitEq(t, "Cancel of a settled one", f.Cancel(), false)
				switch name {
				case "no error":
					kitEq(t, "value", kitValue(t, f), 7)
				case "panic":
					kitEq(t, "panic value", kitAs[*antflow.PanicError](t, f.Err()).Value, any(own))
					kitNotIs(t, f.Err(), antflow.ErrCanceled)
				case "any error":
					kitIs(t, f.Err(), own)
					kitAssertCanceled(t, f)
				default:
					kitAssertCanceled(t, f)
				}
			})
		})
	}
}

func TestCancelOfASettledFutureIsFalseAndChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := kitNew(t, 2)
		ok := antflow.Submit(t.Context(), e, kitAfter(0, 7, nil))
		bad := antflow.Submit(t.Context(), e, kitAfter(0, 0, errBoom))
		synctest.Wait()
		kitEq(t, "Cancel of a success", ok.Cancel(), false)
		kitEq(t, "Cancel of a failure", bad.Cancel(), false)
		kitEq(t, "value", kitValue(t, ok), 7)
		kitEq(t, "error", bad.Err(), errBoom)
		kitEq(t, "state", bad.State(), antflow.StateFailed)
	})
}

func TestTheEndOfCtxDecidesAsCancelDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := kitNew(t, 2)
		start := time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		ok := antflow.Submit(ctx, e, func(ctx context.Context) (int, error) { <-ctx.Done(); return 7, nil })
		bad := antflow.Submit(ctx, e, func(ctx context.Context) (int, error) {
			<-ctx.Done()
			time.Sleep(time.Second)
			return 0, errBoom
		}, antflow.Retries(3))
		time.Sleep(time.Second)
		cancel()
		kitEq(t, "value in spite of the end", kitValue(t, ok), 7)
		kitEq(t, "state", ok.State(), antflow.StateSucceeded)
		kitErr(t, bad)
		kitAt(t, "settled when fn returned", start, 2*time.Second)
		kitAssertCanceled(t, bad)
		kitIs(t, bad.Err(), errBoom)
		kitEq(t, "attempts", bad.Attempts(), 1)
	})
}

func TestAStrangersCanceledIsAFailureAndRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := kitNew(t, 1)
		start := time.Now()
		plain := antflow.Submit(t.Context(), e, kitAfter(0, 0, fmt.Errorf("theirs: %w", context.Canceled)),
			antflow.Retries(2), antflow.RetryBackoff(antflow.ConstantBackoff(time.Second)))
		err := kitErr(t, plain)
		kitAt(t, "two retries", start, 2*time.Second)
		kitEq(t, "state", plain.State(), antflow.StateFailed)
		kitEq(t, "attempts", plain.Attempts(), 3)
		kitIs(t, err, context.Canceled)
		kitNotIs(t, err, antflow.ErrCanceled)
		kitAs[*antflow.RetryError](t, err)

		// The error of another canceled future is a stranger's too.
		p := antflow.NewPromise[int]()
		p.Future().Cancel()
		passed := antflow.Submit(t.Context(), e, func(ctx context.Context) (int, error) { return p.Future().Result(ctx) },
			antflow.Retries(1))
		kitErr(t, passed)
		kitEq(t, "state", passed.State(), antflow.StateFailed)
		kitEq(t, "attempts", passed.Attempts(), 2)
	})
}

func TestOnDoneRunsInOrderOnceAndAfterDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := kitNew(t, 1)
		f := antflow.Submit(t.Context(), e, kitAfter(time.Second, 7, nil))
		var order []int
		for i := range 20 {
			f.OnDone(func(g *antflow.Future[int]) {
				order = append(order, i)
				if g != f {
					t.Error("the callback got another future")
				}
				select {
				case <-g.Done():
				default:
					t.Error("Done is open in a callback")
				}
				v, err := g.Result(kitDeadCtx())
				if v != 7 || err != nil {
					t.Errorf("Result in a callback: %v, %v", v, err)
				}
			})
		}
		kitValue(t, f)
		synctest.Wait()
		time.Sleep(time.Hour)
		want := make([]int, 20)
		for i := range want {
			want[i] = i
		}
		kitList(t, "callbacks", order, want)
	})
}

func TestOnDoneOfADoneFutureRunsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := kitNew(t, 1)
		for _, f := range []*antflow.Future[int]{
			antflow.Submit(t.Context(), e, kitAfter(0, 0, nil)),
			antflow.Submit(t.Context(), e, kitAfter(0, 0, errBoom)),
			antflow.Submit(kitDeadCtx(), e, kitAfter(0, 0, nil)),
		} {
			synctest.Wait()
			ran := 0
			f.OnDone(func(*antflow.Future[int]) { ran++ })
			kitEq(t, "ran when OnDone returned", ran, 1)
		}
	})
}

func TestOnDoneRunsForACanceledQueuedTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := kitNew(t, 1)
		gate := make(chan struct{})
		e.Go(t.Context(), func(context.Context) error { <-gate; return nil })
		f := antflow.Submit(t.Context(), e, kitAfter(0, 0, nil))
		ran := 0
		f.OnDone(func(f *antflow.Future[int]) { ran++; kitEq(t, "state", f.State(), antflow.StateCanceled) })
		f.Cancel()
		synctest.Wait()
		kitEq(t, "callbacks run", ran, 1)
		close(gate)
	})
}

func TestOnDoneHoldsNoLockAndNoSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := kitNew(t, 1)
		f := antflow.Submit(t.Context(), e, kitAfter(time.Second, 7, nil))
		nested := false
		var next *antflow.Future[int]
		f.OnDone(func(f *antflow.Future[int]) {
			s := e.Stats()
			kitEq(t, "running during the callback", s.Running, 0)
			kitEq(t, "submitted balances", s.Submitted, uint64(s.Queued+s.Waiting+s.Blocked)+s.Succeeded+s.Failed+s.Canceled)
			kitEq(t, "Cancel", f.Cancel(), false)
			_ = f.String()
			e.Resize(2)
			e.Resize(1)
			f.OnDone(func(*antflow.Future[int]) { nested = true })
			next = antflow.Submit(t.Context(), e, kitAfter(time.Second, 8, nil))
		})
		kitValue(t, f)
		synctest.Wait()
		kitEq(t, "nested callback", nested, true)
		kitEq(t, "the callback's own task", kitValue(t, next), 8)
	})
}

func TestOnDoneRegisteredByManyRunsEachOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := kitNew(t, 1)
		f := antflow.Submit(t.Context(), e, kitAfter(time.Second, 7, nil))
		var counts [100]int // its own element for each goroutine
		var group sync.WaitGroup
		for i := range counts {
			group.Go(func() {
				time.Sleep(time.Second) // at the very instant at which the task ends
				f.OnDone(func(*antflow.Future[int]) { counts[i]++ })
			})
		}
		group.Wait()
		kitValue(t, f)
		synctest.Wait()
		for i, n := range counts {
			if n != 1 {
				t.Errorf("callback %d ran %d times", i, n)
			}
		}
	})
}

func TestPanicsOfCallbacksAreNotRecovered(t *testing.T) {
	done := antflow.NewPromise[int]()
	done.SetResult(1)
	kitEq(t, "panic from OnDone of a done future",
		kitPanics(t, "OnDone", func() { done.Future().OnDone(func(*antflow.Future[int]) { panic("mine") }) }), any("mine"))
	p := antflow.NewPromise[int]()
	p.Future().OnDone(func(*antflow.Future[int]) { panic("mine") })
	kitEq(t, "panic from SetResult", kitPanics(t, "SetResult", func() { p.SetResult(1) }), any("mine"))
	kitEq(t, "settled all the same", p.Future().State(), antflow.StateSucceeded)
}

func TestAPanicOfACallbackOnAWorkerEndsTheProcess(t *testing.T) {
	if kitIsChild() {
		e := antflow.New(1)
		gate := make(chan struct{})
		f := e.Go(context.Background(), func(context.Context) error { <-gate; return nil })
		survived := make(chan struct{})
		f.OnDone(func(*antflow.Future[struct{}]) { panic("callback on a worker") })
		f.OnDone(func(*antflow.Future[struct{}]) { close(survived) })
		close(gate)
		<-survived
		os.Exit(0)
	}
	out, err := kitRunChild(t)
	if err == nil || !strings.Contains(out, "panic: callback on a worker") {
		t.Errorf("want the child to die of the callback's panic: %v\n%s", err, out)
	}
}

func TestTheEndOfMainEndsTheTasksAfterNoWait(t *testing.T) {
	if kitIsChild() {
		e := antflow.New(1)
		started := make(chan struct{})
		e.Go(context.Background(), func(context.Context) error { close(started); select {} })
		<-started
		if err := e.Shutdown(context.Background(), antflow.NoWait()); err != nil {
			t.Error(err)
		}
		return // the test process's main ends after this test
	}
	if out, err := kitRunChild(t); err != nil {
		t.Errorf("want the child to end in peace: %v\n%s", err, out)
	}
}

func TestADeferredCloseDrainsTheBacklogWhilePanicAndGoexitUnwind(t *testing.T) {
	for name, leave := range map[string]func(){"panic": func() { panic("user") }, "Goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				ran := 0
				var left sync.WaitGroup
				left.Go(func() {
					defer func() {
						if name == "panic" {
							kitEq(t, "the panic goes on", recover(), any("user"))
						}
					}()
					e := antflow.New(1)
					defer e.Close()
					for range 5 {
						e.Go(context.Background(), func(context.Context) error { time.Sleep(time.Second); ran++; return nil })
					}
					leave()
				})
				left.Wait()
				kitAt(t, "drained", start, 5*time.Second)
				kitEq(t, "tasks run", ran, 5)
			})
		})
	}
}
