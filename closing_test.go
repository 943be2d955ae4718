package antflow_test

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/testkit"
)

var nilContext context.Context // which vet and staticcheck would complain about

func TestClosing(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		for name, shutdown := range map[string]func(e *antflow.Executor){
			"Close":         func(e *antflow.Executor) { e.Close() },
			"NoWait":        func(e *antflow.Executor) { e.Shutdown(t.Context(), antflow.NoWait()) },
			"CancelRunning": func(e *antflow.Executor) { e.Shutdown(t.Context(), antflow.CancelRunning()) },
		} {
			e, free := held()
			closing := e.Closing()
			if !testkit.Blocked(closing) {
				t.Errorf("%s: closed before", name)
			}
			done := testkit.Started(func() { shutdown(e) })
			if testkit.Blocked(closing) || e.Closing() != closing {
				t.Errorf("%s: not closed while the shutdown waits", name)
			}
			shutdown2 := testkit.Started(func() { e.Close() })
			free()
			<-done
			<-shutdown2
			if testkit.Blocked(e.Closing()) {
				t.Errorf("%s: not closed after", name)
			}
		}
		e := antflow.New(1)
		e.Close()
		if testkit.Blocked(e.Closing()) {
			t.Error("asked for after the shutdown it is not closed")
		}
	})
	mustPanic(t, "Closing of nil", func() { (*antflow.Executor)(nil).Closing() })
}

// Who holds the channel doesn't hold the executor.
func TestClosingKeepsNothingAlive(t *testing.T) {
	testkit.NoLeak(t)
	e := antflow.New(1)
	closing, p := e.Closing(), weak.Make(e)
	e = nil
	for end := time.Now().Add(10 * time.Second); p.Value() != nil; runtime.GC() {
		if time.Now().After(end) {
			t.Fatal("the executor is still there")
		}
	}
	runtime.KeepAlive(closing)
}

func TestAccepts(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(2, antflow.QueueLimit(1))
		other := antflow.New(1)
		defer other.Close()
		stranger := other.Go(t.Context(), func(ctx context.Context) error {
			begun, next := make(chan context.Context), make(chan struct{})
			for range 2 {
				e.Go(t.Context(), func(ctx context.Context) error { begun <- ctx; <-next; return nil })
			}
			own, last := <-begun, <-begun
			e.Go(t.Context(), func(context.Context) error { return nil }) // the queue is full
			check := func(when string, background, mine bool) {
				t.Helper()
				ended, cancel := context.WithCancel(context.WithoutCancel(own))
				cancel()
				for _, c := range []struct {
					name string
					ctx  context.Context
					want bool
				}{
					{"background", t.Context(), background},
					{"another executor's task", ctx, background},
					{"own task", own, mine},
					{"derived from it", context.WithoutCancel(own), mine},
					{"derived and ended", ended, mine},
					{"without the task", antflow.WithoutTask(own), background},
				} {
					if got := e.Accepts(c.ctx); got != c.want {
						t.Errorf("%s, %s: %v", when, c.name, got)
					}
				}
			}
			check("open, with a full queue", true, true)
			e.Shutdown(t.Context(), antflow.NoWait())
			check("while it drains", false, true)
			e.Shutdown(t.Context(), antflow.NoWait(), antflow.CancelQueued())
			check("while it cancels", false, false)
			next <- struct{}{}
			next <- struct{}{}
			e.Close()
			if e.Accepts(own) || e.Accepts(last) {
				t.Error("a task that is over is accepted")
			}
			return nil
		})
		stranger.Result(t.Context())
	})
	mustPanic(t, "Accepts(nil)", func() { antflow.New(1).Accepts(nilContext) })
	mustPanic(t, "Accepts of nil", func() { (*antflow.Executor)(nil).Accepts(context.Background()) })
}

// A Submit agrees with what Accepts said of it, also when the task that the
// context is of has ended while the executor drains.
func TestAcceptsSaysWhatSubmitDoes(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(2)
		keep := make(chan struct{})
		e.Go(t.Context(), func(context.Context) error { <-keep; return nil })
		var own context.Context
		e.Go(t.Context(), func(ctx context.Context) error { own = ctx; return nil }).Result(t.Context())
		e.Shutdown(t.Context(), antflow.NoWait())
		own = context.WithoutCancel(own)
		f := e.Go(own, func(context.Context) error { return nil })
		_, err := f.Result(t.Context())
		if accepted := e.Accepts(own); accepted != (err == nil) || accepted {
			t.Errorf("Accepts says %v, the submitted task has %v", accepted, err)
		}
		close(keep)
		e.Close()
	})
}

func TestWithoutTask(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(1)
		parent, cancel := context.WithCancel(context.WithValue(t.Context(), contextKey("k"), "v"))
		begun := make(chan struct{})
		var inner *antflow.Future[struct{}]
		f := e.Go(parent, func(ctx context.Context) error {
			outside := antflow.WithoutTask(ctx)
			if _, ok := antflow.TaskFrom(outside); ok {
				t.Error("TaskFrom finds a task")
			}
			if outside.Value(contextKey("k")) != "v" {
				t.Error("the values are lost")
			}
			if antflow.WithoutTask(outside) != outside {
				t.Error("without a task the context is another one")
			}
			derived, stop := context.WithCancel(outside)
			defer stop()
			inner = e.Go(context.WithoutCancel(outside), func(context.Context) error { return nil })
			close(begun)
			// The wait lends nothing, so the inner task can't run before
			// this one has ended.
			_, err := inner.Result(derived)
			if _, ok := errors.AsType[*antflow.WaitError](err); !ok {
				t.Errorf("the wait ended with %v", err)
			}
			return nil
		})
		<-begun
		synctest.Wait()
		if s := e.Stats(); s.Running != 1 || s.Blocked != 0 || s.Queued != 1 {
			t.Errorf("the wait lent its slot: %+v", s)
		}
		cancel() // the end stays
		f.Result(t.Context())
		if _, err := inner.Result(t.Context()); err != nil {
			t.Error(err)
		}
		e.Close()
	})
	if ctx := context.Background(); antflow.WithoutTask(ctx) != ctx {
		t.Error("of a context without a task it is another one")
	}
	mustPanic(t, "WithoutTask(nil)", func() { antflow.WithoutTask(nilContext) })
}

// From outside a Submit waits for room, and is refused after a shutdown.
func TestSubmitWithoutTaskIsFromOutside(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(1, antflow.QueueLimit(1))
		f := e.Go(t.Context(), func(ctx context.Context) error {
			nop := func(context.Context) error { return nil }
			outside := antflow.WithoutTask(ctx)
			e.Go(outside, nop)
			if f := e.Go(outside, nop, antflow.NonBlocking()); !errors.Is(f.Err(), antflow.ErrQueueFull) {
				t.Errorf("with a full queue: %v", f.Err())
			}
			if f := e.Go(ctx, nop, antflow.NonBlocking()); f.Err() != nil {
				t.Errorf("from the task itself: %v", f.Err())
			}
			e.Shutdown(t.Context(), antflow.NoWait())
			if f := e.Go(outside, nop); !errors.Is(f.Err(), antflow.ErrShutdown) {
				t.Errorf("after the shutdown: %v", f.Err())
			}
			return nil
		})
		f.Result(t.Context())
		e.Close()
	})
}
