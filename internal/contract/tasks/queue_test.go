package tasks_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
)

// full makes an executor of one worker, occupied, whose queue of n is full.
func full(b *bubble, n int, opts ...antflow.Option) (e *antflow.Executor, queued []*antflow.Future[struct{}], free func()) {
	e = antflow.New(1, append(opts, antflow.QueueLimit(n))...)
	free = occupy(b, e, 1)
	for range n {
		queued = append(queued, e.Go(bg, noop))
	}
	b.at(0)
	b.stats(e, antflow.Stats{Running: 1, Queued: n})
	return e, queued, free
}

func TestSubmitBlocksWhileTheQueueIsFull(t *testing.T) {
	fake(t, func(b *bubble) {
		e := antflow.New(1, antflow.QueueLimit(2))
		for i := range time.Duration(6) {
			e.Go(bg, sleeps(10*time.Second))
			synctest.Wait()
			b.at(max(0, i-2) * 10 * time.Second) // one runs and two are queued
		}
		ok(b, e.Close())
		b.at(time.Minute)
	})
}

func TestBlockedSubmitsAreAdmittedFirstComeFirstServed(t *testing.T) {
	fake(t, func(b *bubble) {
		e, _, free := full(b, 1)
		rec := new(record)
		for i := range 6 {
			go e.Go(bg, func(context.Context) error {
				rec.add("%d@%v", i, b.now())
				time.Sleep(time.Second)
				return nil
			}, antflow.Priority(i)) // Priority is for the queue, not for admission
			synctest.Wait()
		}
		b.stats(e, antflow.Stats{Running: 1, Queued: 1}) // blocked ones are not submitted yet
		free()
		b.until(3500 * time.Millisecond)
		b.stats(e, antflow.Stats{Running: 1, Queued: 1, Succeeded: 5})
		b.until(10 * time.Second)
		rec.want(b, "0@0s", "1@1s", "2@2s", "3@3s", "4@4s", "5@5s")
	})
}

func TestQueueLimitCountsWaitersBeforeTheirFirstAttempt(t *testing.T) {
	for _, name := range []string{"permit", "event"} {
		t.Run(name, func(t *testing.T) {
			fake(t, func(b *bubble) {
				opt := antflow.WithRateLimit(never{})
				if name == "permit" {
					opt = antflow.WithSemaphore(taken())
				}
				e := antflow.New(5, antflow.QueueLimit(2))
				ctx, cancel := context.WithCancel(bg)
				defer cancel()
				e.Go(ctx, noop, opt)
				e.Go(ctx, noop, opt)
				b.stats(e, antflow.Stats{Waiting: 2})
				is(b, e.Go(bg, noop, antflow.NonBlocking()).Err(), antflow.ErrQueueFull)
				go func() {
					time.Sleep(time.Second)
					cancel()
				}()
				f := e.Go(bg, noop)
				b.at(time.Second) // the room came back with the cancellation
				ok(b, result(f))
			})
		})
	}
}

// taken is a semaphore without a free permit.
func taken() antflow.Semaphore {
	s := antflow.NewSemaphore(1)
	s.TryAcquire(1)
	return s
}

func TestRunningTasksAndRetriesDoNotCountAgainstTheLimit(t *testing.T) {
	fake(t, func(b *bubble) {
		e, rec := antflow.New(2, antflow.QueueLimit(1)), new(record)
		n := 0
		retried := e.Go(bg, func(context.Context) error {
			if n++; n < 3 {
				return errMine
			}
			return nil
		}, antflow.Retries(2), antflow.RetryDelay(time.Second))
		synctest.Wait()
		free := occupy(b, e, 2)
		q := e.Go(bg, rec.task("q", 0), antflow.NonBlocking())
		b.stats(e, antflow.Stats{Running: 2, Queued: 1, Waiting: 1})
		b.until(2 * time.Second) // resumed, above the limit
		b.stats(e, antflow.Stats{Running: 2, Queued: 2})
		is(b, e.Go(bg, noop, antflow.NonBlocking()).Err(), antflow.ErrQueueFull)
		free()
		ok(b, result(retried))
		ok(b, q.Err())
		b.at(4 * time.Second)
		b.stats(e, antflow.Stats{Succeeded: 4, Rejected: 1, Retries: 2})
	})
}

func TestNestedSubmitIsAdmittedBeyondTheLimit(t *testing.T) {
	fake(t, func(b *bubble) {
		e, other := antflow.New(1, antflow.QueueLimit(1)), antflow.New(1)
		var children []*antflow.Future[struct{}]
		f := e.Go(bg, func(ctx context.Context) error {
			derived, cancel := context.WithTimeout(ctx, time.Hour)
			defer cancel()
			for range 10 {
				// Reading: NonBlocking fails a task only where it would have blocked.
				children = append(children, e.Go(ctx, noop), e.Go(derived, noop, antflow.NonBlocking()),
					e.Go(context.WithoutCancel(ctx), noop))
			}
			b.at(0)
			if s := e.Stats(); s.Queued != 30 || s.Rejected != 0 {
				b.Errorf("%+v", s)
			}
			_, err := other.Go(ctx, func(ctx context.Context) error { // a derived context, too
				children = append(children, e.Go(ctx, noop))
				_, err := children[30].Result(ctx)
				return err
			}).Result(ctx)
			ok(b, err)
			_, _, err = antflow.Wait(ctx, children, antflow.AllCompleted)
			return err
		})
		ok(b, result(f))
		for _, c := range children {
			state(b, c, antflow.StateSucceeded)
		}
	})
}

// The reason for the rule above: a permit holder behind the waiters for its permit.
func TestPermitHolderBehindTheWaitersForItsPermit(t *testing.T) {
	semaphores(t, 1, func(b *bubble, sem antflow.Semaphore) {
		e := antflow.New(1, antflow.QueueLimit(2))
		holder := e.Go(bg, func(ctx context.Context) error {
			time.Sleep(time.Second) // until the waiters fill the queue
			_, err := e.Go(ctx, sleeps(time.Second)).Result(ctx)
			return err
		}, antflow.WithSemaphore(sem))
		synctest.Wait()
		waiters := []*antflow.Future[struct{}]{
			e.Go(bg, sleeps(time.Second), antflow.WithSemaphore(sem)), e.Go(bg, sleeps(time.Second), antflow.WithSemaphore(sem))}
		blocked := e.Go(bg, noop)
		b.at(2 * time.Second) // the first waiter started when the holder ended
		ok(b, holder.Err())
		ok(b, e.Close())
		b.at(4 * time.Second)
		ok(b, errors.Join(waiters[0].Err(), waiters[1].Err(), blocked.Err()))
	})
}

func TestAnotherExecutorsTaskIsNotAdmittedBeyondTheLimit(t *testing.T) {
	fake(t, func(b *bubble) {
		e, _, free := full(b, 1)
		other := antflow.New(1)
		f := other.Go(bg, func(ctx context.Context) error {
			return e.Go(ctx, noop, antflow.NonBlocking()).Err()
		})
		is(b, result(f), antflow.ErrQueueFull)
		free()
	})
}

func TestNonBlockingFailsTheTaskWhenFull(t *testing.T) {
	fake(t, func(b *bubble) {
		e, _, free := full(b, 3)
		fail := func(context.Context) (int, error) { b.Error("runs"); return 0, nil }
		for _, opts := range [][]antflow.TaskOption{nil, {antflow.Retries(3)}, {antflow.Priority(9)}, {antflow.QueueTimeout(time.Hour)}} {
			f := antflow.Submit(bg, e, fail, append(opts, antflow.NonBlocking())...)
			is(b, f.Err(), antflow.ErrQueueFull)
			ours(b, f.Err())
			state(b, f, antflow.StateFailed)
		}
		b.at(0)
		b.stats(e, antflow.Stats{Running: 1, Queued: 3, Rejected: 4})
		free()
		b.stats(e, antflow.Stats{Succeeded: 4, Rejected: 4})
		ok(b, result(e.Go(bg, noop, antflow.NonBlocking()))) // room again
	})
}

func TestNonBlockingAsDefaultAndWithoutLimit(t *testing.T) {
	fake(t, func(b *bubble) {
		e, _, free := full(b, 2, antflow.WithTaskOptions(antflow.NonBlocking()))
		is(b, e.Go(bg, noop).Err(), antflow.ErrQueueFull)
		free()
		unbounded := antflow.New(1)
		free = occupy(b, unbounded, 1)
		for range 5000 {
			unbounded.Go(bg, noop, antflow.NonBlocking())
		}
		b.stats(unbounded, antflow.Stats{Running: 1, Queued: 5000})
		free()
	})
}

func TestRoomComesBackHoweverAQueuedTaskEnds(t *testing.T) {
	for _, how := range []string{"Cancel", "context", "QueueTimeout"} {
		fake(t, func(b *bubble) {
			e := antflow.New(1, antflow.QueueLimit(1))
			free := occupy(b, e, 1)
			ctx, cancel := context.WithCancel(bg)
			defer cancel()
			q := e.Go(ctx, noop, antflow.QueueTimeout(2*time.Second))
			go func() {
				time.Sleep(time.Second)
				switch how {
				case "Cancel":
					q.Cancel()
				case "context":
					cancel()
				}
			}()
			f := e.Go(bg, noop) // blocks until then
			want := time.Second
			if how == "QueueTimeout" {
				want *= 2
			}
			b.at(want)
			free()
			ok(b, result(f))
		})
	}
}

func TestContextGovernsAdmission(t *testing.T) {
	fake(t, func(b *bubble) {
		e, _, free := full(b, 1)
		cause := errors.New("too late")
		ctx, cancel := context.WithTimeoutCause(bg, 3*time.Second, cause)
		defer cancel()
		fail := func(context.Context) error { b.Error("runs"); return nil }
		f := e.Go(ctx, fail, antflow.Retries(2))
		b.at(3 * time.Second)
		synctest.Wait()
		canceled(b, f, context.DeadlineExceeded, cause)
		isNot(b, f.Err(), context.Canceled, antflow.ErrQueueTimeout)
		f = e.Go(ctx, fail) // ended before
		b.at(3 * time.Second)
		synctest.Wait()
		canceled(b, f, context.DeadlineExceeded, cause)
		b.stats(e, antflow.Stats{Running: 1, Queued: 1, Rejected: 2})
		free()
	})
}

func TestShutdownReleasesBlockedSubmits(t *testing.T) {
	fake(t, func(b *bubble) {
		e, queued, free := full(b, 1)
		time.AfterFunc(time.Second, func() { e.Shutdown(bg, antflow.NoWait()) })
		f := e.Go(bg, func(context.Context) error { b.Error("runs"); return nil })
		b.at(time.Second)
		is(b, f.Err(), antflow.ErrShutdown)
		b.stats(e, antflow.Stats{Running: 1, Queued: 1, Rejected: 1})
		free()
		ok(b, e.Close())
		ok(b, queued[0].Err())
	})
}

func TestQueueTimeoutCountsFromSubmit(t *testing.T) {
	fake(t, func(b *bubble) {
		e, queued, free := full(b, 1)
		f := e.Go(bg, noop, antflow.QueueTimeout(2*time.Second)) // blocked all the time
		b.at(2 * time.Second)
		is(b, f.Err(), antflow.ErrQueueTimeout)
		ours(b, f.Err())
		b.stats(e, antflow.Stats{Running: 1, Queued: 1, Rejected: 1})
		time.AfterFunc(time.Second, func() { queued[0].Cancel() })
		f = e.Go(bg, func(context.Context) error { b.Error("runs"); return nil }, antflow.QueueTimeout(4*time.Second))
		b.at(3 * time.Second) // one second blocked, three queued
		is(b, result(f), antflow.ErrQueueTimeout)
		b.at(6 * time.Second)
		state(b, f, antflow.StateFailed)
		free()
	})
}

func TestQueueTimeoutCoversEveryWaitBeforeTheFirstStart(t *testing.T) {
	fake(t, func(b *bubble) {
		e := antflow.New(1)
		free := occupy(b, e, 1)
		fail := func(context.Context) error { b.Error("runs"); return nil }
		for i, opt := range []antflow.TaskOption{antflow.Retries(5), antflow.WithSemaphore(taken()), antflow.WithRateLimit(never{})} {
			f := e.Go(bg, fail, opt, antflow.QueueTimeout(time.Second))
			is(b, result(f), antflow.ErrQueueTimeout)
			b.at(time.Duration(i+1) * time.Second)
			asNot[*antflow.RetryError](b, f.Err())
		}
		free()
		b.stats(e, antflow.Stats{Succeeded: 1, Failed: 3})
	})
}

func TestQueueTimeoutEndsWithTheFirstStart(t *testing.T) {
	fake(t, func(b *bubble) {
		e := antflow.New(1, antflow.WithTaskOptions(antflow.QueueTimeout(time.Second)))
		n := 0
		f := e.Go(bg, func(context.Context) error {
			time.Sleep(2 * time.Second)
			if n++; n < 3 {
				return errMine
			}
			return nil
		}, antflow.Retries(2), antflow.RetryDelay(10*time.Second))
		ok(b, result(f))
		b.at(36 * time.Second)
		f = e.Go(bg, sleeps(5*time.Second))
		off := e.Go(bg, noop, antflow.QueueTimeout(0)) // 0 switches the default off
		ok(b, result(f))
		ok(b, result(off))
	})
}

func TestSubmitBlockedOnAnotherExecutorLends(t *testing.T) {
	fake(t, func(b *bubble) {
		other, _, free := full(b, 1)
		e, rec := antflow.New(1), new(record)
		hold := occupy(b, e, 1)
		f := e.Go(bg, func(ctx context.Context) error {
			rec.add("submit")
			other.Go(ctx, noop)
			rec.add("in@%v", b.now())
			return nil
		})
		e.Go(bg, rec.task("beside", 5*time.Second))
		hold()
		b.stats(e, antflow.Stats{Running: 1, Blocked: 1, Succeeded: 1})
		b.until(time.Second)
		free()
		b.until(2 * time.Second)
		b.stats(e, antflow.Stats{Running: 1, Blocked: 1, Succeeded: 1}) // admitted, takes a slot back first
		ok(b, result(f))
		rec.want(b, "submit", "beside", "in@5s")
		b.at(5 * time.Second)
	})
}

func TestWhateverKeepsATaskFromRunningSettlesItsFuture(t *testing.T) {
	fake(t, func(b *bubble) {
		e, _, free := full(b, 1)
		ended, cancel := context.WithCancel(bg)
		cancel()
		fail := func(context.Context) error { b.Error("runs"); return nil }
		fs := []*antflow.Future[struct{}]{e.Go(ended, fail), e.Go(bg, fail, antflow.NonBlocking())}
		free()
		ok(b, e.Close())
		fs = append(fs, e.Go(bg, fail))
		synctest.Wait()
		for i, target := range []error{antflow.ErrCanceled, antflow.ErrQueueFull, antflow.ErrShutdown} {
			_, err := fs[i].Result(ended) // settled: whatever that context is
			is(b, err, target)
			if n := fs[i].Attempts(); n != 0 {
				b.Errorf("%d attempts", n)
			}
		}
	})
}
