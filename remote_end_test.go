package antflow_test

import (
	"context"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/testkit"
)

// Whoever asks for the cancellation of a task that runs elsewhere asks once, and
// gets an answer when it comes.
func TestRemoteCancel(t *testing.T) {
	cause := errors.New("cause")
	cancelQueued, cancelRunning := antflow.CancelQueued(), antflow.CancelRunning()
	type way struct {
		name  string
		ask   func(e *antflow.Executor, f *antflow.Future[int], cancel func(error))
		asked [3]bool // of a task that has not started, one that runs, one between attempts
		is    []error
		isNot error
	}
	shutdown := func(o antflow.ShutdownOption) func(*antflow.Executor, *antflow.Future[int], func(error)) {
		return func(e *antflow.Executor, _ *antflow.Future[int], _ func(error)) {
			e.Shutdown(context.Background(), o, antflow.NoWait())
		}
	}
	always := [3]bool{true, true, true}
	for _, w := range []way{
		{"Cancel", func(_ *antflow.Executor, f *antflow.Future[int], _ func(error)) { f.Cancel() }, always, []error{context.Canceled}, antflow.ErrShutdown},
		{"Executor.Cancel", func(e *antflow.Executor, f *antflow.Future[int], _ func(error)) { e.Cancel(f.ID()) }, always, []error{context.Canceled}, antflow.ErrShutdown},
		{"the context", func(_ *antflow.Executor, _ *antflow.Future[int], cancel func(error)) { cancel(cause) }, always, []error{context.Canceled, cause}, antflow.ErrShutdown},
		{"CancelQueued", shutdown(cancelQueued), [3]bool{true, false, false}, []error{context.Canceled, antflow.ErrShutdown}, cause},
		{"CancelRunning", shutdown(cancelRunning), always, []error{context.Canceled, antflow.ErrShutdown}, cause},
		{"a drain", func(e *antflow.Executor, _ *antflow.Future[int], _ func(error)) {
			e.Shutdown(context.Background(), antflow.NoWait())
		}, [3]bool{}, nil, nil},
	} {
		for at, when := range []string{"queued", "running", "between attempts"} {
			testkit.Bubble(t, func(t *testing.T) {
				e := antflow.New(1)
				e.Measure()
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				f, call := newByHand(e).submit(ctx, 1)
				if at > 0 {
					call.Started(1)
				}
				if at > 1 {
					call.Retrying(antflow.RemoteRetry{Attempt: 1, Err: io.EOF, Delay: time.Hour})
				}
				state := f.State()
				w.ask(e, f, cancel)
				rest(t, e)
				if asked := call.asked.Load() == 1; asked != w.asked[at] || f.IsDone() || f.State() != state {
					t.Errorf("%s, %s: asked %d times, %v", w.name, when, call.asked.Load(), f)
				}
				if !w.asked[at] {
					call.Settle(value(1))
					e.Close()
					return
				}
				// Nobody asks again, and the first reason counts.
				f.Cancel()
				cancel(errors.New("another cause"))
				e.Shutdown(t.Context(), antflow.CancelRunning(), antflow.NoWait())
				rest(t, e)
				if call.asked.Load() != 1 || f.IsDone() {
					t.Errorf("%s, %s: asked %d times, %v", w.name, when, call.asked.Load(), f)
				}
				given := errors.New("given")
				end := antflow.RemoteEnd{Canceled: true, Err: given}
				last := io.EOF // of the last attempt, if the end has none
				if when == "between attempts" {
					end.Err, given = nil, last
				}
				call.Settle(end)
				err := f.Err()
				for _, want := range append(w.is, antflow.ErrCanceled, given) {
					if !errors.Is(err, want) {
						t.Errorf("%s, %s: %v is not %v", w.name, when, err, want)
					}
				}
				if errors.Is(err, w.isNot) || f.State() != antflow.StateCanceled || !strings.HasPrefix(err.Error(), "antflow: canceled") {
					t.Errorf("%s, %s: %v, %v", w.name, when, f, err)
				}
				e.Close()
				if s := e.Stats(); s.Canceled != 1 || s.Submitted != 1 {
					t.Errorf("%s, %s: %+v", w.name, when, s)
				}
			})
		}
	}
}

// A task that was asked to stop may succeed or fail all the same, one may be
// canceled that nobody asked to stop here, and what has settled is not asked.
func TestRemoteEndsAsItIsTold(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(1)
		h := newByHand(e)
		f, call := h.submit(t.Context(), 1)
		f.Cancel()
		call.Settle(value(4))
		if v, err := f.Result(t.Context()); v != 4 || err != nil {
			t.Error(v, err)
		}
		f, call = h.submit(t.Context(), 1)
		f.Cancel()
		call.Settle(antflow.RemoteEnd{Err: errTest, Attempts: 3})
		if f.Err() != errTest || f.State() != antflow.StateFailed || f.Attempts() != 3 {
			t.Error(f, f.Err())
		}
		f, call = h.submit(t.Context(), 1)
		call.Settle(antflow.RemoteEnd{Err: context.Canceled})
		if f.Err() != context.Canceled || f.State() != antflow.StateFailed {
			t.Error(f, f.Err())
		}
		f, call = h.submit(t.Context(), 1)
		call.Settle(antflow.RemoteEnd{Canceled: true})
		if err := f.Err(); !errors.Is(err, antflow.ErrCanceled) || !errors.Is(err, context.Canceled) || errors.Is(err, antflow.ErrShutdown) {
			t.Error(f, err)
		}
		late, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		f, call = h.submit(late, 1)
		time.Sleep(2 * time.Second)
		call.Settle(antflow.RemoteEnd{Canceled: true})
		if err := f.Err(); !errors.Is(err, antflow.ErrCanceled) || !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || call.asked.Load() != 1 {
			t.Error(f, err)
		}
		for range 20 { // the context has ended, which is the reason, whoever is first to say so
			ctx, cancel := context.WithCancelCause(t.Context())
			f, call = h.submit(ctx, 1)
			cancel(errTest)
			f.Cancel()
			call.Settle(antflow.RemoteEnd{Canceled: true})
			if synctest.Wait(); !errors.Is(f.Err(), errTest) || call.asked.Load() != 1 {
				t.Fatal(f.Err(), call.asked.Load())
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		_, call = h.submit(ctx, 1)
		call.Settle(value(1))
		rest(t, e)
		cancel()
		e.Shutdown(t.Context(), antflow.CancelRunning())
		if synctest.Wait(); call.asked.Load() != 0 {
			t.Error("a task that has settled was asked to stop")
		}
		for what, fn := range map[string]func(){
			"an end without a decoder":     func() { call.Settle(antflow.RemoteEnd{}) },
			"an end of negative attempts":  func() { call.Settle(antflow.RemoteEnd{Err: errTest, Attempts: -1}) },
			"a retry without an error":     func() { call.Retrying(antflow.RemoteRetry{Attempt: 1}) },
			"a retry of no attempt":        func() { call.Retrying(antflow.RemoteRetry{Err: errTest}) },
			"the start of the attempt 0":   func() { call.Started(0) },
			"the start of the attempt -10": func() { call.Started(-10) },
		} {
			mustPanic(t, what, fn)
		}
	})
}

// What the executor refuses has settled when Remote returns.
func TestRemoteIsRefused(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		ended, cancel := context.WithCancelCause(t.Context())
		cancel(errTest)
		full, shut := antflow.New(1, antflow.QueueLimit(1)), antflow.New(1)
		newByHand(full).submit(t.Context(), 1)
		shut.Close()
		for name, c := range map[string]struct {
			e     *antflow.Executor
			ctx   context.Context
			opts  taskOptions
			want  error
			state antflow.State
		}{
			"an ended context": {antflow.New(1), ended, nil, errTest, antflow.StateCanceled},
			"a shutdown":       {shut, t.Context(), nil, antflow.ErrShutdown, antflow.StateFailed},
			"a full queue":     {full, t.Context(), taskOptions{antflow.NonBlocking()}, antflow.ErrQueueFull, antflow.StateFailed},
			"no way to end it": {full, context.Background(), taskOptions{antflow.NonBlocking()}, antflow.ErrQueueFull, antflow.StateFailed},
		} {
			rejected := c.e.Stats().Rejected
			var rejections []antflow.Event
			c.e.Observe(func(ev antflow.Event) { rejections = append(rejections, ev) }, antflow.EventRejected)
			done := false
			r := runnerFunc(func(ctx context.Context, call antflow.Call) antflow.Waitable {
				remote := call.Remote(ctx, c.e, func() { t.Errorf("%s: asked to cancel", name) })
				done = remote.Future().IsDone()
				remote.Started(1)
				remote.Retrying(antflow.RemoteRetry{Attempt: 1, Err: errTest})
				if remote.Settle(antflow.RemoteEnd{Decode: func(any) error { t.Errorf("%s: decoded", name); return nil }}) {
					t.Errorf("%s: settled again", name)
				}
				return remote.Future()
			})
			f := doubling.Submit(c.ctx, r, 1, c.opts...)
			if v, err := f.Result(t.Context()); !done || v != 0 || !errors.Is(err, c.want) || f.State() != c.state || f.Attempts() != 0 || f.Cancel() {
				t.Errorf("%s: %d, %v, %v, done in Remote: %v", name, v, err, f, done)
			}
			rest(t, c.e)
			if n := c.e.Stats().Rejected - rejected; n != 1 || len(rejections) < 1 || rejections[len(rejections)-1].Task.Name != "double" {
				t.Errorf("%s: %d rejected, %+v", name, n, rejections)
			}
		}
		full.Shutdown(t.Context(), antflow.NoWait())
	})
}

// A result that can't be decoded is none.
func TestRemoteDecoderFails(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(1)
		newLedger(t, e, 0)
		h := newByHand(e)
		decoders := map[string]func(out any) error{
			"error":  func(out any) error { *out.(*int) = 7; return errTest },
			"panic":  func(out any) error { *out.(*int) = 7; panic(errTest) },
			"goexit": func(out any) error { *out.(*int) = 7; runtime.Goexit(); return nil },
		}
		for name, decode := range decoders {
			f, call := h.submit(t.Context(), 1)
			called := 0
			f.OnDone(func(*antflow.Future[int]) { called++ })
			<-testkit.Started(func() { call.Settle(antflow.RemoteEnd{Attempts: 1, Decode: decode}) })
			v, err := f.Result(t.Context())
			p := (*antflow.PanicError)(nil)
			right := map[string]bool{
				"error":  err == errTest,
				"panic":  errors.As(err, &p) && p.Value == errTest && strings.Contains(string(p.Stack), "TestRemoteDecoderFails"),
				"goexit": err == antflow.ErrGoexit,
			}[name]
			if v != 0 || !right || f.State() != antflow.StateFailed || called != 1 {
				t.Errorf("%s: %d, %v, %v, %d callbacks", name, v, err, f, called)
			}
		}
		e.Close()
		if s := e.Stats(); s.Failed != uint64(len(decoders)) {
			t.Errorf("%+v", s)
		}
		if s := e.Snapshot(); len(s.Failures) != len(decoders) {
			t.Errorf("%+v", s.Failures)
		}
		rest(t, e)
	})
}
