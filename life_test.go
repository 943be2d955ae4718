package antflow_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/testkit"
)

// TestLifeOfATask takes one task through the steps of the section of that name
// in the package documentation, held up at each of them in turn.
func TestLifeOfATask(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		l := newLife(t)
		l.submit()
		for _, step := range []struct {
			name string
			pass func()
			want antflow.Stats
		}{
			{"Admission", l.admit, antflow.Stats{Queued: 2, Running: 1}},
			{"Queue", l.freeWorker, antflow.Stats{Queued: 1, Running: 0, Waiting: 1}},
			{"Place", l.freePlace, antflow.Stats{Waiting: 1}},
			{"Permit", l.freePermit, antflow.Stats{Waiting: 1}},
			{"Event", l.freeEvent, antflow.Stats{Running: 1}},
			{"Run", l.fail, antflow.Stats{Waiting: 1}},
			{"Delay", func() { time.Sleep(time.Minute) }, antflow.Stats{Running: 1}},
			{"Retry", l.succeed, antflow.Stats{}},
		} {
			step.pass()
			rest(t, l.e)
			got := l.e.Stats()
			got = antflow.Stats{Running: got.Running, Blocked: got.Blocked, Queued: got.Queued, Waiting: got.Waiting}
			if got != step.want {
				t.Fatalf("after the step %s: %+v, want %+v", step.name, got, step.want)
			}
		}
		if err := l.group.Wait(); err != nil {
			t.Error(err)
		}
		if l.attempts != 2 || !l.limiter.asked || l.e.Stats().Retries != 1 {
			t.Errorf("%d attempts, %+v", l.attempts, l.e.Stats())
		}
		l.e.Close()
	})
}

// life holds a task up at each step. It is the second of its group, under
// MaxConcurrency(1), so the first one holds its place.
type life struct {
	t        *testing.T
	e        *antflow.Executor
	group    *antflow.Group
	worker   chan struct{} // closed: the only worker is free
	sem      antflow.Semaphore
	place    antflow.Semaphore // what the holder of the place waits for
	limiter  *gateLimiter
	admitted <-chan struct{}
	queued   *antflow.Future[struct{}]
	results  chan error
	attempts int
}

type gateLimiter struct {
	open  chan struct{}
	asked bool
}

func (l *gateLimiter) Wait(ctx context.Context) error {
	l.asked = true
	select {
	case <-l.open:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func newLife(t *testing.T) *life {
	l := &life{
		t: t, e: antflow.New(1, antflow.QueueLimit(2)),
		worker: make(chan struct{}), results: make(chan error),
		sem: antflow.NewSemaphore(1), place: antflow.NewSemaphore(1),
		limiter: &gateLimiter{open: make(chan struct{})},
	}
	l.group = antflow.NewGroup(t.Context(), l.e, antflow.MaxConcurrency(1))
	l.sem.TryAcquire(1)
	l.place.TryAcquire(1)
	l.e.Go(t.Context(), func(context.Context) error { <-l.worker; return nil })
	return l
}

func (l *life) submit() {
	l.group.Go(func(context.Context) error { return nil }, antflow.WithSemaphore(l.place))
	l.queued = l.e.Go(l.t.Context(), func(context.Context) error { return errors.New("canceled before it runs") })
	l.admitted = testkit.Started(func() {
		l.group.Go(func(context.Context) error { l.attempts++; return <-l.results },
			antflow.WithSemaphore(l.sem), antflow.WithRateLimit(l.limiter), antflow.Retries(1), antflow.RetryDelay(time.Minute))
	})
	if !testkit.Blocked(l.admitted) {
		l.t.Error("the Submit did not block at the limit")
	}
}

func (l *life) admit() {
	l.queued.Cancel()
	if testkit.Blocked(l.admitted) {
		l.t.Error("the Submit blocks with room in the queue")
	}
}

func (l *life) freeWorker() { close(l.worker) }
func (l *life) freePlace()  { l.place.Release(1) }

func (l *life) freePermit() {
	if l.limiter.asked {
		l.t.Error("the limiter was asked before there was a permit")
	}
	l.sem.Release(1)
}

func (l *life) freeEvent() { close(l.limiter.open) }

func (l *life) fail() { l.results <- errTest }

func (l *life) succeed() {
	l.results <- nil
	synctest.Wait()
	if !l.sem.TryAcquire(1) {
		l.t.Error("the permit is still held after the task")
	}
}

// A cancellation that comes while RetryIf and Backoff are asked is in time: it
// explains an error, and not a panic, and neither is retried.
func TestCancelWhileDeciding(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		for name, c := range map[string]struct {
			fn   func(context.Context) error
			want antflow.State
		}{
			"error": {func(context.Context) error { return errTest }, antflow.StateCanceled},
			"panic": {func(context.Context) error { panic(errTest) }, antflow.StateFailed},
		} {
			e := antflow.New(1)
			var f *antflow.Future[struct{}]
			made := make(chan struct{})
			f = e.Go(t.Context(), c.fn, antflow.Retries(1), antflow.RetryIf(func(error) bool { return true }),
				antflow.RetryBackoff(func(int, error) time.Duration {
					<-made
					if !f.Cancel() {
						t.Error("Cancel came too late")
					}
					return time.Hour
				}))
			close(made)
			if _, err := f.Result(t.Context()); !errors.Is(err, errTest) || f.State() != c.want || f.Attempts() != 1 {
				t.Errorf("%s: %v after %d attempts: %v", name, f, f.Attempts(), err)
			}
			rest(t, e)
		}
	})
}

// The context of an attempt that is over is no task's own any more.
func TestShutdownAfterTheAttempt(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(2)
		var kept context.Context
		e.Go(t.Context(), func(ctx context.Context) error { kept = context.WithoutCancel(ctx); return nil }).Result(t.Context())
		e.Go(t.Context(), sleep(time.Second))
		start := time.Now()
		if err := e.Shutdown(kept); err != nil || time.Since(start) != time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}
