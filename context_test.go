package antflow_test

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/testkit"
)

type contextKey string

// attemptContext runs look in a task whose own context is parent.
func attemptContext(t *testing.T, parent context.Context, look func(e *antflow.Executor, ctx context.Context), opts ...antflow.TaskOption) context.Context {
	t.Helper()
	e := antflow.New(1)
	var kept context.Context
	e.Go(parent, func(ctx context.Context) error {
		kept = ctx
		look(e, ctx)
		return nil
	}, opts...).Result(context.Background())
	e.Close()
	return kept
}

// Invariant 12.
func TestAttemptContextLooksLikeAnyOther(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		deadline := time.Now().Add(time.Hour)
		parent, cancel := context.WithDeadline(context.WithValue(t.Context(), contextKey("k"), "v"), deadline)
		defer cancel()
		for _, asked := range []bool{false, true} {
			over := attemptContext(t, parent, func(_ *antflow.Executor, ctx context.Context) {
				if asked {
					ctx.Done()
				}
				if at, ok := ctx.Deadline(); !ok || !at.Equal(deadline) {
					t.Errorf("Deadline: %v, %v", at, ok)
				}
				if ctx.Value(contextKey("k")) != "v" || ctx.Value(contextKey("other")) != nil {
					t.Error("Value does not pass on the parent's values")
				}
				if ctx.Err() != nil || context.Cause(ctx) != nil {
					t.Errorf("before the end: %v, %v", ctx.Err(), context.Cause(ctx))
				}
			})
			if over.Err() != context.Canceled || over.Value(contextKey("k")) != "v" {
				t.Errorf("after the attempt: %v, value %v", over.Err(), over.Value(contextKey("k")))
			}
			select {
			case <-over.Done():
			default:
				t.Error("after the attempt Done is open")
			}
			if cause := context.Cause(over); cause == nil || !strings.HasPrefix(cause.Error(), "antflow: ") {
				t.Errorf("after the attempt the cause is %v", cause)
			}
			child, stop := context.WithCancel(over)
			if child.Err() == nil {
				t.Error("a context derived after the attempt has not ended")
			}
			stop()
		}
	})
}

func TestAttemptContextEndsWithItsParent(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		cause := errors.New("cause")
		for _, asked := range []bool{false, true} {
			parent, cancel := context.WithCancelCause(t.Context())
			attemptContext(t, parent, func(_ *antflow.Executor, ctx context.Context) {
				if asked {
					ctx.Done()
				}
				cancel(cause)
				if ctx.Err() != context.Canceled || context.Cause(ctx) != cause {
					t.Errorf("asked %v: %v, %v", asked, ctx.Err(), context.Cause(ctx))
				}
				<-ctx.Done()
			})
		}
	})
}

func TestAttemptContextDerivesWithoutGoroutines(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		attemptContext(t, t.Context(), func(_ *antflow.Executor, ctx context.Context) {
			child, cancel := context.WithCancel(ctx)
			defer cancel()
			called := make(chan struct{})
			defer context.AfterFunc(child, func() { close(called) })()
			stop := context.AfterFunc(ctx, func() {})
			synctest.Wait()
			stacks := make([]byte, 1<<20)
			stacks = stacks[:runtime.Stack(stacks, true)]
			if n := bytes.Count(stacks, []byte("created by context.")); n != 0 {
				t.Errorf("%d goroutines of package context\n%s", n, stacks)
			}
			if !stop() {
				t.Error("the AfterFunc of an attempt can't be stopped")
			}
		})
	})
}

func TestAttemptContextOfACanceledTask(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		for name, stop := range map[string]func(*antflow.Executor, *antflow.Future[struct{}]){
			"Cancel": func(_ *antflow.Executor, f *antflow.Future[struct{}]) { f.Cancel() },
			"CancelRunning": func(e *antflow.Executor, _ *antflow.Future[struct{}]) {
				e.Shutdown(t.Context(), antflow.CancelRunning())
			},
		} {
			e := antflow.New(1)
			f := e.Go(t.Context(), func(ctx context.Context) error {
				<-ctx.Done()
				if !errors.Is(context.Cause(ctx), antflow.ErrCanceled) || ctx.Err() != context.Canceled {
					t.Errorf("%s: %v, %v", name, ctx.Err(), context.Cause(ctx))
				}
				return errTest
			})
			synctest.Wait()
			stop(e, f)
			_, err := f.Result(t.Context())
			if !errors.Is(err, errTest) || !errors.Is(err, antflow.ErrCanceled) || !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", name, err)
			}
			if !strings.Contains(err.Error(), errTest.Error()) || strings.Count(err.Error(), "antflow: ") != 1 {
				t.Errorf("%s: %v", name, err)
			}
			if errors.Is(err, antflow.ErrShutdown) != (name == "CancelRunning") {
				t.Errorf("%s: %v", name, err)
			}
			e.Close()
		}
	})
}

func TestAttemptContextCostsNothingUnasked(t *testing.T) {
	testkit.NoLeak(t)
	e := antflow.New(1)
	defer e.Close()
	measure := func(fn func(context.Context) error) float64 {
		return testing.AllocsPerRun(500, func() { e.Go(context.Background(), fn).Result(context.Background()) })
	}
	plain := measure(func(context.Context) error { return nil })
	values := measure(func(ctx context.Context) error { ctx.Value(contextKey("k")); return ctx.Err() })
	asked := measure(func(ctx context.Context) error { ctx.Done(); return nil })
	if values != plain {
		t.Errorf("%v allocations for a task that reads its context, %v for one that doesn't", values, plain)
	}
	if asked <= plain {
		t.Errorf("%v allocations for a task that asks for Done, %v for one that doesn't: nothing was measured", asked, plain)
	}
}
