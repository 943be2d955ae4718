package tasks_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
)

func TestNewSemaphoreIsFIFO(t *testing.T) {
	fake(t, func(b *bubble) {
		s, rec := antflow.NewSemaphore(3), new(record)
		if !s.TryAcquire(1) || !s.TryAcquire(2) || s.TryAcquire(1) {
			b.Error("TryAcquire does not count to 3")
		}
		for _, n := range []int64{1, 3, 1, 3} {
			go func() {
				ok(b, s.Acquire(bg, n))
				rec.add("%d@%v", n, b.now())
				time.Sleep(time.Second)
				s.Release(n)
			}()
			synctest.Wait()
		}
		rec.want(b)
		s.Release(3)
		b.until(time.Minute)
		rec.want(b, "1@0s", "3@1s", "1@2s", "3@3s")
		if !s.TryAcquire(3) {
			b.Error("permits lost")
		}
	})
}

func TestNewSemaphoreAcquireEndsWithItsContext(t *testing.T) {
	fake(t, func(b *bubble) {
		s := taken()
		ctx, cancel := context.WithTimeout(bg, time.Second)
		defer cancel()
		is(b, s.Acquire(ctx, 1), context.DeadlineExceeded)
		b.at(time.Second)
		s.Release(1)
		ok(b, s.Acquire(bg, 1)) // the one that gave up took nothing
	})
}

func TestSemaphoreLimitsRunningAttempts(t *testing.T) {
	semaphores(t, 2, func(b *bubble, sem antflow.Semaphore) {
		e, other, g := antflow.New(10), antflow.New(10), new(gauge)
		for range 5 {
			e.Go(bg, g.task(time.Second), antflow.WithSemaphore(sem))
			other.Go(bg, g.task(time.Second), antflow.WithSemaphore(sem))
		}
		ok(b, e.Close())
		ok(b, other.Close())
		g.want(b, 2)
		b.at(5 * time.Second)
	})
}

func TestPermitIsGivenBackHoweverAnAttemptEnds(t *testing.T) {
	semaphores(t, 1, func(b *bubble, sem antflow.Semaphore) {
		e := antflow.New(2)
		for _, end := range []func(context.Context) error{
			noop,
			func(context.Context) error { return errMine },
			func(context.Context) error { panic(1) },
			func(context.Context) error { runtime.Goexit(); return nil },
			func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		} {
			f := e.Go(bg, end, antflow.WithSemaphore(sem), antflow.Timeout(time.Second))
			result(f)
			synctest.Wait()
			if !sem.TryAcquire(1) {
				b.Error("permit not given back")
			}
			sem.Release(1)
		}
	})
}

func TestPermitIsGivenBackBetweenAttempts(t *testing.T) {
	semaphores(t, 1, func(b *bubble, sem antflow.Semaphore) {
		e, rec, n := antflow.New(5), new(record), 0
		f := e.Go(bg, func(context.Context) error {
			rec.add("try@%v", b.now())
			time.Sleep(time.Second)
			if n++; n < 3 {
				return errMine
			}
			return nil
		}, antflow.WithSemaphore(sem), antflow.Retries(2), antflow.RetryBackoff(antflow.ConstantBackoff(10*time.Second)))
		synctest.Wait()
		g := e.Go(bg, func(context.Context) error { rec.add("beside@%v", b.now()); time.Sleep(20 * time.Second); return nil },
			antflow.WithSemaphore(sem))
		ok(b, result(f))
		ok(b, g.Err())
		rec.want(b, "try@0s", "beside@1s", "try@21s", "try@32s")
	})
}

func TestWaitersForAPermitAreServedInStartOrder(t *testing.T) {
	semaphores(t, 1, func(b *bubble, sem antflow.Semaphore) {
		e, rec := antflow.New(5), new(record)
		sem.TryAcquire(1)
		for i, p := range []int{0, 5, 5, 1, -3, 0} {
			e.Go(bg, rec.task(fmt.Sprint(i), time.Second), antflow.Priority(p), antflow.WithSemaphore(sem))
			synctest.Wait()
		}
		b.stats(e, antflow.Stats{Waiting: 6})
		sem.Release(1)
		ok(b, e.Close())
		rec.want(b, "1", "2", "3", "0", "5", "4")
		b.at(6 * time.Second)
	})
}

func TestPermitWaiterResumesBeforeAnyPriority(t *testing.T) {
	semaphores(t, 1, func(b *bubble, sem antflow.Semaphore) {
		e, rec := antflow.New(1), new(record)
		sem.TryAcquire(1)
		e.Go(bg, rec.task("permit", 0), antflow.WithSemaphore(sem))
		synctest.Wait()
		free := occupy(b, e, 1)
		b.until(time.Second)
		sem.Release(1) // its condition holds
		b.until(2 * time.Second)
		e.Go(bg, rec.task("high", 0), antflow.Priority(100))
		free()
		ok(b, e.Close())
		rec.want(b, "permit", "high")
	})
}

func TestAtMostOneTaskHoldsAPermitOrAnEventWithoutHavingStarted(t *testing.T) {
	fake(t, func(b *bubble) {
		e, sem, lim := antflow.New(1), spy(5), &pacer{}
		free := occupy(b, e, 1)
		for range 20 {
			e.Go(bg, sleeps(time.Second), antflow.WithSemaphore(sem))
			e.Go(bg, sleeps(time.Second), antflow.WithRateLimit(lim))
		}
		synctest.Wait()
		time.Sleep(time.Second)
		synctest.Wait()
		if h, ev := sem.held.Load(), lim.events.Load(); h > 1 || ev > 1 {
			b.Errorf("%d permits and %d events taken", h, ev)
		}
		free()
		ok(b, e.Close())
		b.at(41 * time.Second)
		if ev := lim.events.Load(); ev != 20 {
			b.Errorf("%d events for 20 attempts", ev)
		}
		if m := sem.maxHeld.Load(); m > 2 { // one runs, one is next
			b.Errorf("%d permits held", m)
		}
		sem.balanced(b)
	})
}

// Equal values are one semaphore: together they hold at most one permit without having started.
func TestSemaphoresAreComparableValues(t *testing.T) {
	type wrapped struct{ *spySem }
	fake(t, func(b *bubble) {
		e, sem := antflow.New(1), spy(5)
		free := occupy(b, e, 1)
		for range 10 {
			e.Go(bg, noop, antflow.WithSemaphore(wrapped{sem}))
		}
		b.until(time.Second)
		if h := sem.held.Load(); h > 1 {
			b.Errorf("%d permits taken", h)
		}
		free()
		ok(b, e.Close())
		sem.balanced(b)
	})
}

func TestRateLimitIsOneEventAStartedAttempt(t *testing.T) {
	fake(t, func(b *bubble) {
		e, lim, rec := antflow.New(10), &pacer{every: time.Second}, new(record)
		for i := range 3 {
			n := 0
			e.Go(bg, func(context.Context) error {
				rec.add("%d@%v", i, b.now())
				if n++; n < 2 {
					return errMine
				}
				return nil
			}, antflow.WithRateLimit(lim), antflow.Retries(1), antflow.RetryDelay(10*time.Second))
		}
		ok(b, e.Close())
		rec.want(b, "0@0s", "1@1s", "2@2s", "0@10s", "1@11s", "2@12s")
		if n := lim.events.Load(); n != 6 {
			b.Errorf("%d events for 6 attempts", n)
		}
	})
}

func TestPermitComesBeforeTheEvent(t *testing.T) {
	semaphores(t, 1, func(b *bubble, sem antflow.Semaphore) {
		e, lim := antflow.New(2), &pacer{every: time.Second}
		sem.TryAcquire(1)
		f := e.Go(bg, noop, antflow.WithRateLimit(lim), antflow.WithSemaphore(sem))
		b.until(time.Second)
		if n := lim.calls.Load(); n != 0 {
			b.Errorf("limiter asked %d times before the permit", n)
		}
		sem.Release(1)
		ok(b, result(f))
		if n := lim.events.Load(); n != 1 {
			b.Errorf("%d events", n)
		}
	})
}

func TestWaitersCostNoGoroutineOfTheirOwn(t *testing.T) {
	for _, name := range []string{"permit", "event", "delay"} {
		t.Run(name, func(t *testing.T) {
			fake(t, func(b *bubble) {
				e := antflow.New(3)
				base := runtime.NumGoroutine()
				opt := map[string]antflow.TaskOption{
					"permit": antflow.WithSemaphore(taken()), "event": antflow.WithRateLimit(never{}), "delay": antflow.Retries(1),
				}[name]
				ctx, cancel := context.WithCancel(bg)
				for range 2000 {
					e.Go(ctx, func(context.Context) error { return errMine }, opt, antflow.RetryDelay(time.Hour))
				}
				b.stats(e, antflow.Stats{Waiting: 2000})
				few(b, base)
				cancel()
				b.stats(e, antflow.Stats{Canceled: 2000})
				b.at(0)
			})
		})
	}
}

// No polling: an hour's wait asks the semaphore and the limiter a few times, not every so often.
func TestNoPolling(t *testing.T) {
	fake(t, func(b *bubble) {
		e, sem, lim := antflow.New(2), spy(1), &pacer{every: time.Hour, next: b.start.Add(time.Hour)}
		sem.Semaphore.TryAcquire(1)
		e.Go(bg, noop, antflow.WithSemaphore(sem))
		e.Go(bg, noop, antflow.WithRateLimit(lim))
		b.until(time.Hour - time.Second)
		if n, m := sem.calls.Load(), lim.calls.Load(); n > 3 || m > 3 {
			b.Errorf("%d and %d calls", n, m)
		}
		sem.Semaphore.Release(1)
		ok(b, e.Close())
		b.at(time.Hour)
		sem.balanced(b)
	})
}

// refuses fails every Acquire and Wait.
type refuses struct{ antflow.Semaphore }

func (refuses) Acquire(context.Context, int64) error { return errMine }
func (refuses) TryAcquire(int64) bool                { return false }
func (refuses) Release(int64)                        { panic("released what was never acquired") }
func (refuses) Wait(context.Context) error           { return errMine }

func TestErrorFromAcquireOrWaitFailsTheTaskUnretried(t *testing.T) {
	for i, opt := range []antflow.TaskOption{antflow.WithSemaphore(refuses{}), antflow.WithRateLimit(refuses{})} {
		fake(t, func(b *bubble) {
			e, sem := antflow.New(1), spy(1)
			opts := []antflow.TaskOption{opt, antflow.Retries(5), antflow.RetryIf(func(error) bool { return true })}
			if i == 1 {
				opts = append(opts, antflow.WithSemaphore(sem)) // the permit taken before is given back
			}
			f := e.Go(bg, func(context.Context) error { b.Error("runs"); return nil }, opts...)
			err := result(f)
			is(b, err, errMine)
			isNot(b, err, antflow.ErrCanceled)
			asNot[*antflow.RetryError](b, err)
			state(b, f, antflow.StateFailed)
			b.at(0)
			b.stats(e, antflow.Stats{Failed: 1})
			sem.balanced(b)
			ok(b, result(e.Go(bg, noop)))
		})
	}
}

func TestAttemptTimeoutDoesNotCountTheWaits(t *testing.T) {
	semaphores(t, 1, func(b *bubble, sem antflow.Semaphore) {
		e := antflow.New(1)
		sem.TryAcquire(1)
		f := e.Go(bg, func(ctx context.Context) error {
			b.at(30 * time.Second)
			if d, _ := ctx.Deadline(); !d.Equal(b.start.Add(32 * time.Second)) {
				b.Errorf("deadline at %v", d.Sub(b.start))
			}
			return nap(ctx, time.Second)
		}, antflow.WithSemaphore(sem), antflow.WithRateLimit(&pacer{every: time.Second, next: b.start.Add(20 * time.Second)}),
			antflow.Timeout(2*time.Second))
		time.AfterFunc(10*time.Second, func() { sem.Release(1) })
		b.until(15 * time.Second)
		free := occupy(b, e, 1)
		b.until(30 * time.Second)
		free()
		ok(b, result(f))
	})
}

func TestCanceledWaiterTakesNoPermit(t *testing.T) {
	semaphores(t, 1, func(b *bubble, sem antflow.Semaphore) {
		e := antflow.New(1)
		sem.TryAcquire(1)
		f := e.Go(bg, noop, antflow.WithSemaphore(sem))
		g := e.Go(bg, noop, antflow.WithSemaphore(sem), antflow.QueueTimeout(time.Second))
		h := e.Go(bg, noop, antflow.WithSemaphore(sem))
		b.until(500 * time.Millisecond)
		if !f.Cancel() {
			b.Error("not canceled")
		}
		canceled(b, f, context.Canceled)
		is(b, result(g), antflow.ErrQueueTimeout)
		b.at(time.Second)
		sem.Release(1)
		ok(b, result(h)) // the next one in line
		synctest.Wait()
		if !sem.TryAcquire(1) {
			b.Error("permit lost")
		}
		sem.Release(1)
	})
}

// The permit that came while its task waited for a slot goes back when the task is canceled.
func TestTaskCanceledBetweenPermitAndStartGivesItBack(t *testing.T) {
	semaphores(t, 1, func(b *bubble, sem antflow.Semaphore) {
		e := antflow.New(1)
		free := occupy(b, e, 1)
		f := e.Go(bg, noop, antflow.WithSemaphore(sem))
		g := e.Go(bg, noop, antflow.WithSemaphore(sem))
		b.until(time.Second)
		f.Cancel()
		canceled(b, f)
		free()
		ok(b, result(g))
		b.stats(e, antflow.Stats{Succeeded: 2, Canceled: 1})
		if !sem.TryAcquire(1) {
			b.Error("permit lost")
		}
		sem.Release(1)
	})
}

// deafSem does not notice that Acquire's context ends.
type deafSem struct{ antflow.Semaphore }

func (s deafSem) Acquire(_ context.Context, n int64) error { return s.Semaphore.Acquire(bg, n) }

func TestPermitThatComesTooLateIsGivenBack(t *testing.T) {
	fake(t, func(b *bubble) {
		e, sem := antflow.New(1), spy(1)
		sem.TryAcquire(1)
		f := e.Go(bg, noop, antflow.WithSemaphore(deafSem{sem}))
		b.until(time.Second)
		f.Cancel()
		canceled(b, f)
		sem.Release(1)
		synctest.Wait()
		sem.balanced(b)
		if !sem.TryAcquire(1) {
			b.Error("permit lost")
		}
	})
}

// The bubble ends: no goroutine stays in an Acquire or a Wait for a task that is over.
func TestNobodyStaysInAcquireOrWait(t *testing.T) {
	fake(t, func(b *bubble) {
		e := antflow.New(2)
		fs := []*antflow.Future[struct{}]{
			e.Go(bg, noop, antflow.WithSemaphore(taken())), e.Go(bg, noop, antflow.WithRateLimit(never{}))}
		synctest.Wait()
		for _, f := range fs {
			f.Cancel()
			canceled(b, f, context.Canceled)
		}
		synctest.Wait()
		ok(b, e.Close())
	})
}
