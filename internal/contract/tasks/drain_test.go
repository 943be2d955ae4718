package tasks_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
)

// drained starts a drain while a task runs body, and returns when all is over.
func drained(b *bubble, e *antflow.Executor, body func(ctx context.Context)) {
	e.Go(bg, func(ctx context.Context) error {
		for e.Go(bg, noop).Err() == nil { // until admission has stopped
			time.Sleep(time.Second)
		}
		body(ctx)
		return nil
	})
	synctest.Wait()
	ok(b, e.Close())
}

func TestDrainCompletesNestedWork(t *testing.T) {
	for _, workers := range []int{1, 3} {
		fake(t, func(b *bubble) {
			e, other := antflow.New(workers), antflow.New(1)
			var ran atomic.Int64
			var down func(ctx context.Context, depth int) error
			down = func(ctx context.Context, depth int) error {
				ran.Add(1)
				if depth == 0 {
					return nil
				}
				type key struct{}
				derived, cancel := context.WithTimeout(context.WithValue(ctx, key{}, 1), time.Hour)
				defer cancel()
				_, err := e.Go(derived, func(ctx context.Context) error { return down(ctx, depth-1) }).Result(ctx)
				return err
			}
			drained(b, e, func(ctx context.Context) {
				ok(b, down(ctx, 10))
				e.Go(context.WithoutCancel(ctx), func(context.Context) error { time.Sleep(time.Second); ran.Add(1); return nil })
				is(b, e.Go(bg, noop).Err(), antflow.ErrShutdown) // a stranger's context is no accepted work
				// Reading: a context derived from the task's by way of another executor's task counts too.
				_, err := other.Go(ctx, func(ctx context.Context) error {
					_, err := e.Go(ctx, func(context.Context) error { ran.Add(1); return nil }).Result(ctx)
					return err
				}).Result(ctx)
				ok(b, err)
			})
			if ran.Load() != 13 {
				b.Errorf("%d nested tasks ran, want 13", ran.Load())
			}
		})
	}
}

func TestDrainRefusesWhatNoRunningAttemptSubmits(t *testing.T) {
	fake(t, func(b *bubble) {
		e := antflow.New(2)
		var over context.Context // of an attempt that is over
		retried := e.Go(bg, func(ctx context.Context) error {
			if info, _ := antflow.TaskFrom(ctx); info.Attempt == 1 {
				over = context.WithoutCancel(ctx)
				return errMine
			}
			ok(b, result(e.Go(ctx, noop))) // the second attempt may
			return nil
		}, antflow.Retries(1), antflow.RetryDelay(time.Minute))
		synctest.Wait()
		other := antflow.New(1)
		drained(b, e, func(ctx context.Context) {
			is(b, e.Go(over, noop).Err(), antflow.ErrShutdown)
			ok(b, result(other.Go(bg, func(ctx context.Context) error {
				is(b, e.Go(ctx, noop).Err(), antflow.ErrShutdown) // another executor's task
				return nil
			})))
		})
		ok(b, retried.Err())
	})
}

func TestAfterCancelQueuedNestedWorkIsRefused(t *testing.T) {
	fake(t, func(b *bubble) {
		e := antflow.New(2)
		f := e.Go(bg, func(ctx context.Context) error {
			time.Sleep(2 * time.Second)
			is(b, e.Go(ctx, noop).Err(), antflow.ErrShutdown)
			return nil
		})
		b.until(time.Second)
		ok(b, e.Shutdown(bg, antflow.CancelQueued()))
		ok(b, f.Err())
	})
}

// Reading: a context derived from the task's is one of its contexts, also by way of another executor's task.
func TestShutdownWithOwnTasksContext(t *testing.T) {
	fake(t, func(b *bubble) {
		e, other := antflow.New(1), antflow.New(1)
		free := occupy(b, e, 1)
		f := e.Go(bg, func(ctx context.Context) error {
			check := func(err error) {
				as[antflow.WaitError](b, err)
				is(b, err, antflow.ErrShutdown)
				b.at(0)
			}
			check(e.Shutdown(ctx))
			is(b, e.Go(bg, noop).Err(), antflow.ErrShutdown)
			derived, cancel := context.WithTimeout(ctx, time.Hour)
			defer cancel()
			check(e.Shutdown(derived))
			_, err := other.Go(ctx, func(ctx context.Context) error { check(e.Shutdown(ctx)); return nil }).Result(ctx)
			ok(b, err)
			return nil
		})
		queued := e.Go(bg, sleeps(time.Second))
		free()
		ok(b, result(f))
		ok(b, result(queued)) // admission stopped, the rest goes on
		ok(b, e.Close())
		b.at(time.Second)
	})
}
