package tasks_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
)

type key struct{}

func TestTaskContextCarriesValuesAndTaskInfo(t *testing.T) {
	fake(t, func(b *bubble) {
		e := antflow.New(1, antflow.ExecutorName("mill"))
		if info, found := antflow.TaskFrom(bg); found {
			b.Errorf("%+v outside of a task", info)
		}
		ctx := context.WithValue(bg, key{}, "carried")
		ok(b, result(e.Go(ctx, noop)))
		f := e.Go(ctx, func(ctx context.Context) error {
			derived, cancel := context.WithCancel(context.WithoutCancel(ctx))
			defer cancel()
			for _, c := range []context.Context{ctx, derived} {
				want := antflow.TaskInfo{ID: 1, Name: "miller", Executor: "mill", Attempt: 1, Priority: 3}
				if info, found := antflow.TaskFrom(c); !found || info != want {
					b.Errorf("%+v, %v", info, found)
				}
				if c.Value(key{}) != "carried" {
					b.Error("value lost")
				}
			}
			_, err := e.Go(ctx, func(ctx context.Context) error {
				if info, _ := antflow.TaskFrom(ctx); info.ID != 2 || info.Name != "" || info.Priority != 0 || ctx.Value(key{}) != "carried" {
					b.Errorf("child is %+v", info)
				}
				return nil
			}).Result(ctx)
			return err
		}, antflow.TaskName("miller"), antflow.Priority(3))
		ok(b, result(f))
	})
}

// watch collects what a context's end sets off: an AfterFunc and a derived context.
func watch(b *bubble, ctx context.Context) (check func(want error)) {
	fired, stoppedFired := 0, false
	context.AfterFunc(ctx, func() { fired++ })
	stop := context.AfterFunc(ctx, func() { stoppedFired = true })
	if !stop() {
		b.Error("AfterFunc ran before the end")
	}
	derived, cancel := context.WithCancel(context.WithValue(ctx, key{}, 1))
	if done := ctx.Done(); ctx.Err() != nil || derived.Err() != nil || done != ctx.Done() {
		b.Error("ended at the start", ctx.Err())
	}
	return func(want error) {
		b.Helper()
		defer cancel()
		synctest.Wait()
		if ctx.Err() != want || derived.Err() != want {
			b.Errorf("ended with %v, derived %v; want %v", ctx.Err(), derived.Err(), want)
			return
		}
		<-ctx.Done()
		<-derived.Done()
		if fired != 1 || stoppedFired {
			b.Errorf("AfterFunc ran %d times, the stopped one %v", fired, stoppedFired)
		}
		if context.Cause(ctx) != context.Cause(derived) {
			b.Errorf("causes %v and %v", context.Cause(ctx), context.Cause(derived))
		}
		late := 0
		context.AfterFunc(ctx, func() { late++ })
		synctest.Wait()
		if late != 1 {
			b.Errorf("AfterFunc of an ended context ran %d times", late)
		}
	}
}

func TestTaskContextEnds(t *testing.T) {
	cause := errors.New("cause")
	for _, name := range []string{"Cancel", "parent", "parent deadline", "CancelRunning", "timeout", "attempt over", "panic", "Goexit"} {
		t.Run(name, func(t *testing.T) {
			fake(t, func(b *bubble) {
				e := antflow.New(1)
				parent, end := context.WithCancelCause(bg)
				defer end(nil)
				if name == "parent deadline" {
					ctx, cancel := context.WithTimeoutCause(parent, time.Second, cause)
					defer cancel()
					parent = ctx
				}
				var ctx context.Context
				gate := make(chan struct{})
				var check func(error)
				f := e.Go(parent, func(c context.Context) error {
					ctx, check = c, watch(b, c)
					<-gate
					switch name {
					case "panic":
						panic(name)
					case "Goexit":
						goexit()
					}
					return nil
				}, map[bool]antflow.TaskOption{true: antflow.Timeout(time.Second), false: antflow.Timeout(0)}[name == "timeout"])
				b.until(500 * ms)
				want, wantCause := context.Canceled, error(nil)
				switch name {
				case "Cancel":
					f.Cancel()
				case "parent":
					end(cause)
					wantCause = cause
				case "parent deadline":
					want, wantCause = context.DeadlineExceeded, cause
					b.until(1500 * ms)
				case "CancelRunning":
					ok(b, e.Shutdown(bg, antflow.CancelRunning(), antflow.NoWait()))
				case "timeout":
					want = context.DeadlineExceeded
					b.until(1500 * ms)
				default: // ended by the end of the attempt
					close(gate)
				}
				check(want)
				if wantCause != nil && context.Cause(ctx) != wantCause {
					b.Errorf("cause %v", context.Cause(ctx))
				}
				if name != "attempt over" && name != "panic" && name != "Goexit" {
					state(b, f, antflow.StateRunning)
					close(gate)
				}
				result(f)
			})
		})
	}
}

func TestTimeoutSetsTheDeadlineOfEachAttempt(t *testing.T) {
	fake(t, func(b *bubble) {
		e := antflow.New(1, antflow.WithTaskOptions(antflow.Timeout(2*time.Second)))
		far, cancel := context.WithTimeout(bg, time.Hour)
		defer cancel()
		f := e.Go(far, func(ctx context.Context) error {
			if d, _ := ctx.Deadline(); time.Until(d) != 2*time.Second {
				b.Errorf("deadline in %v", time.Until(d))
			}
			return nap(ctx, time.Minute)
		}, antflow.Retries(1), antflow.RetryDelay(time.Second))
		err := result(f)
		b.at(5 * time.Second)
		is(b, err, context.DeadlineExceeded)
		isNot(b, err, antflow.ErrCanceled)
		asNot[*antflow.WaitError](b, err)
		state(b, f, antflow.StateFailed)
		f = e.Go(bg, func(ctx context.Context) error { return nap(ctx, time.Minute) })
		if err := result(f); err != context.DeadlineExceeded { // without a retry fn's own error
			b.Errorf("%T %v", err, err)
		}
		for _, c := range []context.Context{bg, far} {
			f = e.Go(c, func(ctx context.Context) error {
				want, has := c.Deadline()
				if d, got := ctx.Deadline(); got != has || !d.Equal(want) {
					b.Errorf("deadline %v, %v", d, got)
				}
				return nap(ctx, time.Minute)
			}, antflow.Timeout(0)) // 0 switches it off
			ok(b, result(f))
		}
	})
}

func TestParentsEarlierDeadlineIsACancellation(t *testing.T) {
	fake(t, func(b *bubble) {
		e := antflow.New(1)
		ctx, cancel := context.WithTimeout(bg, 3*time.Second)
		defer cancel()
		f := e.Go(ctx, func(ctx context.Context) error {
			if d, _ := ctx.Deadline(); time.Until(d) != 3*time.Second {
				b.Errorf("deadline in %v", time.Until(d))
			}
			return nap(ctx, time.Minute)
		}, antflow.Timeout(10*time.Second), antflow.Retries(3))
		err := result(f)
		b.at(3 * time.Second)
		canceled(b, f, context.DeadlineExceeded)
		isNot(b, err, context.Canceled)
	})
}

func TestTimeoutDoesNotSettleATaskThatIgnoresIt(t *testing.T) {
	fake(t, func(b *bubble) {
		f := antflow.New(1).Go(bg, sleeps(5*time.Second), antflow.Timeout(time.Second))
		ok(b, result(f))
		b.at(5 * time.Second)
	})
}

func TestEndedContextNeverRunsATask(t *testing.T) {
	fake(t, func(b *bubble) {
		e, cause := antflow.New(1), errors.New("cause")
		ctx, cancel := context.WithCancelCause(bg)
		cancel(cause)
		for range 100 {
			f := e.Go(ctx, func(context.Context) error { b.Error("runs"); return nil }, antflow.Retries(1))
			synctest.Wait()
			canceled(b, f, context.Canceled, cause)
		}
		b.at(0)
	})
}

func TestTwentyThousandQueuedTasksSettleAtOnceWhenTheirContextEnds(t *testing.T) {
	fake(t, func(b *bubble) {
		e, cause := antflow.New(2), errors.New("cause")
		free := occupy(b, e, 2)
		ctx, cancel := context.WithCancelCause(bg)
		var fs []*antflow.Future[struct{}]
		for i := range 20_000 {
			fs = append(fs, e.Go(ctx, func(context.Context) error { b.Error("runs"); return nil }, antflow.Priority(i%7)))
		}
		stays := e.Go(bg, noop)
		b.stats(e, antflow.Stats{Running: 2, Queued: 20_001})
		cancel(cause)
		b.stats(e, antflow.Stats{Running: 2, Queued: 1, Canceled: 20_000})
		b.at(0)
		for _, f := range fs {
			if f.State() != antflow.StateCanceled || !errors.Is(f.Err(), cause) || !errors.Is(f.Err(), context.Canceled) {
				b.Fatalf("%v: %v", f.State(), f.Err())
			}
		}
		free()
		ok(b, result(stays))
	})
}

// foreignCtx is a context of a type that package context does not know.
type foreignCtx struct {
	context.Context
	done chan struct{}
}

func (c foreignCtx) Done() <-chan struct{} { return c.done }
func (c foreignCtx) Err() error {
	select {
	case <-c.done:
		return context.Canceled
	default:
		return nil
	}
}

func TestForeignContextType(t *testing.T) {
	fake(t, func(b *bubble) {
		e, ctx := antflow.New(1), foreignCtx{bg, make(chan struct{})}
		running := e.Go(ctx, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		synctest.Wait()
		queued := e.Go(ctx, noop)
		b.until(time.Second)
		close(ctx.done)
		synctest.Wait()
		canceled(b, running, context.Canceled)
		canceled(b, queued, context.Canceled)
		b.at(time.Second)
		ok(b, result(e.Go(foreignCtx{bg, nil}, noop))) // a nil Done never ends
	})
}

func TestChildEndsWithItsParentsAttempt(t *testing.T) {
	fake(t, func(b *bubble) {
		e := antflow.New(3)
		var running, waiting, outlives *antflow.Future[struct{}]
		parent := e.Go(bg, func(ctx context.Context) error {
			running = e.Go(ctx, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
			waiting = e.Go(ctx, func(context.Context) error { b.Error("runs"); return nil }, antflow.WithSemaphore(taken()))
			outlives = e.Go(context.WithoutCancel(ctx), func(ctx context.Context) error { return nap(ctx, 5*time.Second) })
			time.Sleep(time.Second)
			return nil
		})
		ok(b, result(parent))
		b.at(time.Second)
		synctest.Wait()
		canceled(b, running, context.Canceled)
		canceled(b, waiting, context.Canceled)
		ok(b, result(outlives))
		b.at(5 * time.Second)
	})
}

func TestCancelSettlesWhatDoesNotRunBeforeItReturns(t *testing.T) {
	fake(t, func(b *bubble) {
		e := antflow.New(1)
		fail := func(context.Context) error { b.Error("runs"); return nil }
		delayed := e.Go(bg, func(context.Context) error { return errMine }, antflow.Retries(3), antflow.RetryDelay(time.Hour))
		fs := []*antflow.Future[struct{}]{delayed,
			e.Go(bg, fail, antflow.WithSemaphore(taken())), e.Go(bg, fail, antflow.WithRateLimit(never{}))}
		synctest.Wait()
		free := occupy(b, e, 1)
		fs = append(fs, e.Go(bg, fail), e.Go(bg, fail, antflow.Priority(3)))
		b.stats(e, antflow.Stats{Running: 1, Queued: 2, Waiting: 3})
		for i, f := range fs {
			if !f.Cancel() {
				b.Errorf("%d: Cancel of an unfinished task is false", i)
			}
			canceled(b, f, context.Canceled)
			isNot(b, f.Err(), antflow.ErrShutdown)
			if f.Cancel() {
				b.Errorf("%d: Cancel of a canceled task is true", i)
			}
		}
		is(b, delayed.Err(), errMine) // what the last attempt returned
		b.stats(e, antflow.Stats{Running: 1, Canceled: 5})
		free()
		done := e.Go(bg, noop)
		ok(b, result(done))
		if done.Cancel() {
			b.Error("Cancel of a done task is true")
		}
		state(b, done, antflow.StateSucceeded)
	})
}

func TestCancelOfARunningTaskSettlesWhenFnReturns(t *testing.T) {
	for name, end := range map[string]func(ctx context.Context) error{
		"error":     func(ctx context.Context) error { return fmt.Errorf("%w and %w", errMine, ctx.Err()) },
		"own error": func(context.Context) error { return errMine },
		"none":      func(context.Context) error { return nil },
		"panic":     func(context.Context) error { panic(1) },
		"retry":     func(context.Context) error { return antflow.RetryAfter(errMine, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			fake(t, func(b *bubble) {
				e, cause := antflow.New(1), errors.New("cause")
				for _, how := range []string{"Cancel", "context"} {
					ctx, cancel := context.WithCancelCause(bg)
					start := time.Now()
					f := e.Go(ctx, func(ctx context.Context) error { <-ctx.Done(); time.Sleep(time.Second); return end(ctx) },
						antflow.Retries(5), antflow.RetryIf(func(error) bool { return true }))
					time.Sleep(time.Second)
					synctest.Wait()
					if how == "context" {
						cancel(cause)
					} else if !f.Cancel() {
						b.Error("Cancel of a running task is false")
					}
					synctest.Wait()
					state(b, f, antflow.StateRunning)
					err := result(f)
					if d := time.Since(start); d != 2*time.Second || f.Attempts() != 1 {
						b.Errorf("after %v and %d attempts", d, f.Attempts())
					}
					switch name {
					case "none":
						state(b, f, antflow.StateSucceeded)
					case "panic":
						state(b, f, antflow.StateFailed)
						as[antflow.PanicError](b, err)
					default:
						canceled(b, f, context.Canceled, errMine)
						if how == "context" {
							is(b, err, cause)
						}
					}
					cancel(nil)
				}
			})
		})
	}
}
