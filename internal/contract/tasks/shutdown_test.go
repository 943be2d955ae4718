package tasks_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
)

func TestShutdownStopsAdmissionAtOnce(t *testing.T) {
	fake(t, func(b *bubble) {
		e := antflow.New(2)
		free := occupy(b, e, 1)
		ok(b, e.Shutdown(bg, antflow.NoWait()))
		f := antflow.Submit(bg, e, func(context.Context) (int, error) { b.Error("runs"); return 1, nil }, antflow.Retries(3))
		is(b, f.Err(), antflow.ErrShutdown)
		ours(b, f.Err())
		b.stats(e, antflow.Stats{Running: 1, Rejected: 1})
		free()
		ok(b, e.Close())
		is(b, e.Go(bg, noop).Err(), antflow.ErrShutdown) // and after the end
		b.stats(e, antflow.Stats{Succeeded: 1, Rejected: 2})
	})
}

func TestShutdownWaitsForEveryAcceptedTask(t *testing.T) {
	fake(t, func(b *bubble) {
		e := antflow.New(2)
		retried := e.Go(bg, func(ctx context.Context) error {
			if info, _ := antflow.TaskFrom(ctx); info.Attempt == 1 {
				return errMine
			}
			return nil
		}, antflow.Retries(1), antflow.RetryDelay(10*time.Second))
		limited := e.Go(bg, sleeps(time.Second), antflow.WithRateLimit(&pacer{every: time.Second, next: b.start.Add(5 * time.Second)}))
		var queued []*antflow.Future[struct{}]
		for range 6 {
			queued = append(queued, e.Go(bg, sleeps(time.Second)))
		}
		ok(b, e.Shutdown(bg))
		b.at(10 * time.Second)
		ok(b, retried.Err())
		ok(b, limited.Err())
		for _, f := range queued {
			state(b, f, antflow.StateSucceeded)
		}
	})
}

func TestShutdownOfNothingReturnsAtOnce(t *testing.T) {
	fake(t, func(b *bubble) {
		e := antflow.New(2)
		ok(b, e.Shutdown(bg))
		b.at(0)
		is(b, e.Go(bg, noop).Err(), antflow.ErrShutdown)
	})
}

func TestShutdownContextEndsFirst(t *testing.T) {
	fake(t, func(b *bubble) {
		e, cause := antflow.New(1), errors.New("enough")
		f, queued := e.Go(bg, sleeps(5*time.Second)), e.Go(bg, sleeps(time.Second))
		ctx, cancel := context.WithTimeoutCause(bg, 2*time.Second, cause)
		defer cancel()
		err := e.Shutdown(ctx)
		b.at(2 * time.Second)
		as[antflow.WaitError](b, err)
		is(b, err, context.DeadlineExceeded, cause)
		isNot(b, err, context.Canceled)
		is(b, e.Go(bg, noop).Err(), antflow.ErrShutdown)
		ended, stop := context.WithCancelCause(bg)
		stop(cause)
		err = e.Shutdown(ended)
		b.at(2 * time.Second)
		as[antflow.WaitError](b, err)
		is(b, err, context.Canceled, cause)
		ok(b, e.Shutdown(bg)) // what runs went on
		b.at(6 * time.Second)
		ok(b, f.Err())
		ok(b, queued.Err())
	})
}

func TestShutdownCallersWaitForTheSameEnd(t *testing.T) {
	fake(t, func(b *bubble) {
		e := antflow.New(1)
		stubborn := e.Go(bg, func(ctx context.Context) error { <-ctx.Done(); time.Sleep(time.Second); return ctx.Err() })
		queued := e.Go(bg, noop)
		later := e.Go(bg, noop)
		var ended []time.Duration
		var mu sync.Mutex
		call := func(opts ...antflow.ShutdownOption) {
			err := e.Shutdown(bg, opts...)
			mu.Lock()
			defer mu.Unlock()
			ok(b, err)
			ended = append(ended, b.now())
		}
		go call()
		b.until(time.Second)
		go call()
		go call(antflow.CancelQueued())
		synctest.Wait()
		canceled(b, queued, antflow.ErrShutdown)
		canceled(b, later, antflow.ErrShutdown)
		state(b, stubborn, antflow.StateRunning)
		b.until(3 * time.Second)
		go call(antflow.CancelRunning())
		b.until(5 * time.Second)
		canceled(b, stubborn, antflow.ErrShutdown)
		mu.Lock()
		defer mu.Unlock()
		if fmt.Sprint(ended) != "[4s 4s 4s 4s]" {
			b.Errorf("callers returned at %v", ended)
		}
	})
}

// Reading: NoWait returns nil whatever ctx is.
func TestNoWaitReturnsAtOnceAndTasksStillRun(t *testing.T) {
	fake(t, func(b *bubble) {
		e := antflow.New(1)
		f, g := e.Go(bg, sleeps(2*time.Second)), e.Go(bg, sleeps(time.Second))
		ended, cancel := context.WithCancel(bg)
		cancel()
		ok(b, e.Shutdown(ended, antflow.NoWait()))
		ok(b, e.Shutdown(bg, antflow.NoWait()))
		b.at(0)
		ok(b, result(f))
		ok(b, result(g))
		b.at(3 * time.Second)
	})
}

func TestNoWaitCancelQueued(t *testing.T) {
	fake(t, func(b *bubble) {
		e := antflow.New(1)
		f := e.Go(bg, func(ctx context.Context) error { return nap(ctx, 2*time.Second) })
		q := e.Go(bg, func(context.Context) error { b.Error("runs"); return nil })
		synctest.Wait()
		ok(b, e.Shutdown(bg, antflow.CancelQueued(), antflow.NoWait()))
		b.at(0)
		synctest.Wait()
		canceled(b, q, antflow.ErrShutdown, context.Canceled)
		if q.Attempts() != 0 {
			b.Error("attempts", q.Attempts())
		}
		ok(b, result(f))
		b.at(2 * time.Second)
	})
}

func TestCloseDrainsAndIsIdempotent(t *testing.T) {
	fake(t, func(b *bubble) {
		e := antflow.New(1)
		f := e.Go(bg, sleeps(time.Second))
		for range 3 {
			ok(b, e.Close())
			b.at(time.Second)
		}
		ok(b, f.Err())
	})
}

func TestCancelQueuedMeansFirstAttemptNotStarted(t *testing.T) {
	fake(t, func(b *bubble) {
		e, sem := antflow.New(1), antflow.NewSemaphore(1)
		twice := func() func(context.Context) error {
			n := 0
			return func(context.Context) error {
				if n++; n == 1 {
					return errMine
				}
				return nil
			}
		}
		// One in its retry delay, one waiting for its second permit, one resumed that waits for a slot.
		delayed := e.Go(bg, twice(), antflow.Retries(1), antflow.RetryDelay(20*time.Second))
		permit := e.Go(bg, twice(), antflow.Retries(1), antflow.RetryDelay(time.Second), antflow.WithSemaphore(sem))
		resumed := e.Go(bg, twice(), antflow.Retries(1), antflow.RetryDelay(time.Second))
		synctest.Wait()
		if !sem.TryAcquire(1) {
			b.Error("permit kept between attempts")
		}
		free := occupy(b, e, 1)
		fail := func(context.Context) error { b.Error("runs"); return nil }
		never1 := []*antflow.Future[struct{}]{
			e.Go(bg, fail),
			e.Go(bg, fail, antflow.Retries(3)),
			e.Go(bg, fail, antflow.WithSemaphore(sem)),
			e.Go(bg, fail, antflow.WithRateLimit(never{})),
		}
		b.until(2 * time.Second)
		ok(b, e.Shutdown(bg, antflow.NoWait(), antflow.CancelQueued()))
		synctest.Wait()
		for _, f := range never1 {
			canceled(b, f, antflow.ErrShutdown, context.Canceled)
		}
		b.until(3 * time.Second)
		free()
		synctest.Wait()
		state(b, resumed, antflow.StateSucceeded)
		state(b, permit, antflow.StatePending)
		b.until(4 * time.Second)
		sem.Release(1)
		synctest.Wait()
		state(b, permit, antflow.StateSucceeded)
		ok(b, e.Close())
		b.at(20 * time.Second)
		ok(b, delayed.Err())
	})
}

func TestCancelRunningCancelsContextsAndDelays(t *testing.T) {
	fake(t, func(b *bubble) {
		e := antflow.New(3)
		delayed := e.Go(bg, func(context.Context) error { return errMine }, antflow.Retries(1), antflow.RetryDelay(time.Hour))
		polite := e.Go(bg, func(ctx context.Context) error { <-ctx.Done(); return fmt.Errorf("stopped: %w", errMine) }, antflow.Retries(5))
		stubborn := e.Go(bg, func(ctx context.Context) error { <-ctx.Done(); time.Sleep(2 * time.Second); return nil })
		parent := e.Go(bg, func(ctx context.Context) error {
			_, err := antflow.NewPromise[int]().Future().Result(ctx) // blocked, slot lent
			return err
		})
		panicking := e.Go(bg, func(ctx context.Context) error { <-ctx.Done(); panic("late") })
		synctest.Wait()
		queued := e.Go(bg, noop, antflow.WithRateLimit(never{}))
		b.until(time.Second)
		ok(b, e.Shutdown(bg, antflow.CancelRunning()))
		b.at(3 * time.Second)
		canceled(b, delayed, context.Canceled, antflow.ErrShutdown, errMine)
		canceled(b, polite, context.Canceled, antflow.ErrShutdown, errMine)
		canceled(b, parent, context.Canceled, antflow.ErrShutdown)
		canceled(b, queued, context.Canceled, antflow.ErrShutdown)
		state(b, stubborn, antflow.StateSucceeded)
		state(b, panicking, antflow.StateFailed)
		as[antflow.PanicError](b, panicking.Err())
		if n := polite.Attempts(); n != 1 {
			b.Errorf("a canceled task was retried: %d attempts", n)
		}
		b.stats(e, antflow.Stats{Succeeded: 1, Failed: 1, Canceled: 4})
	})
}

func TestShutdownOfAnotherExecutorLends(t *testing.T) {
	fake(t, func(b *bubble) {
		e, other := antflow.New(1), antflow.New(1)
		f := e.Go(bg, func(ctx context.Context) error {
			other.Go(bg, func(ctx context.Context) error {
				_, err := e.Go(ctx, sleeps(time.Second)).Result(ctx) // needs e's only slot
				return err
			})
			err := other.Shutdown(ctx)
			b.at(time.Second)
			return err
		})
		ok(b, result(f))
		ok(b, e.Close())
	})
}

// After Shutdown returned nil no goroutine runs the executor's or a task's code.
func TestShutdownRacingSubmits(t *testing.T) {
	for i := range 50 {
		var opts []antflow.Option
		if i%2 == 0 {
			opts = append(opts, antflow.QueueLimit(1+i)) // some submitters are blocked
		}
		e := antflow.New(3, opts...)
		var ran, accepted, refused atomic.Int64
		var over atomic.Bool
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for {
					for e.Stats().Queued > 500 {
						runtime.Gosched()
					}
					f := e.Go(bg, func(context.Context) error {
						runtime.Gosched()
						ran.Add(1)
						if over.Load() {
							t.Error("a task runs after Shutdown")
						}
						return nil
					})
					if errors.Is(f.Err(), antflow.ErrShutdown) {
						refused.Add(1)
						return
					}
					accepted.Add(1)
				}
			})
		}
		for ran.Load() < 20 {
			runtime.Gosched()
		}
		ok(t, e.Shutdown(bg))
		over.Store(true)
		if w := e.Stats().Workers; w != 0 {
			t.Errorf("%d workers after Shutdown", w)
		}
		wg.Wait()
		s := e.Stats()
		checkSum(t, s)
		n := uint64(ran.Load())
		if s.Submitted != n || s.Succeeded != n || int64(n) != accepted.Load() || s.Rejected != uint64(refused.Load()) {
			t.Errorf("%d ran, %d accepted, %d refused: %+v", n, accepted.Load(), refused.Load(), s)
		}
	}
}
