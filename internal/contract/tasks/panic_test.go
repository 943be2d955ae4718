package tasks_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/antflow/antflow"
)

func goexit() { runtime.Goexit() }

func panicsDeepInside(v any) { panic(v) }

func TestPanicSettlesTheFuture(t *testing.T) {
	for _, v := range []any{"text", io.EOF, []int{1}, nil, fmt.Errorf("w: %w", errMine)} {
		fake(t, func(b *bubble) {
			f := antflow.Submit(bg, antflow.New(1), func(context.Context) (int, error) { panicsDeepInside(v); return 1, nil }, antflow.Retries(3))
			n, err := f.Result(bg)
			state(b, f, antflow.StateFailed)
			pe := as[antflow.PanicError](b, err)
			if n != 0 || f.Attempts() != 1 || !strings.Contains(string(pe.Stack), "panicsDeepInside") {
				b.Errorf("%d after %d attempts, stack %s", n, f.Attempts(), pe.Stack)
			}
			asNot[*antflow.RetryError](b, err)
			switch v := v.(type) {
			case error:
				is(b, err, v)
				if errors.Unwrap(pe) != v {
					b.Errorf("unwraps to %v", errors.Unwrap(pe))
				}
			case nil:
				var pn *runtime.PanicNilError
				if !errors.As(err, &pn) {
					b.Errorf("panic(nil) is %v", pe.Value)
				}
			default:
				if fmt.Sprint(pe.Value) != fmt.Sprint(v) || errors.Unwrap(pe) != nil {
					b.Errorf("%v, %v", pe.Value, errors.Unwrap(pe))
				}
			}
		})
	}
}

func TestGoexitSettlesTheFuture(t *testing.T) {
	fake(t, func(b *bubble) {
		deferred := false
		f := antflow.New(1).Go(bg, func(context.Context) error {
			defer func() { deferred = true }()
			goexit()
			return nil
		}, antflow.Retries(3))
		err := result(f)
		is(b, err, antflow.ErrGoexit)
		ours(b, err)
		asNot[*antflow.PanicError](b, err)
		state(b, f, antflow.StateFailed)
		if !deferred || f.Attempts() != 1 {
			b.Error(deferred, f.Attempts())
		}
	})
}

func TestCapacitySurvivesPanicAndGoexit(t *testing.T) {
	fake(t, func(b *bubble) {
		e, g := antflow.New(3), new(gauge)
		for i := range 300 {
			e.Go(bg, func(ctx context.Context) error {
				switch i % 4 {
				case 0:
					panic(i)
				case 1:
					goexit()
				case 2: // after a wait that lent the slot
					e.Go(ctx, func(context.Context) error { goexit(); return nil }).Result(ctx)
					panic(i)
				}
				return nil
			})
		}
		b.stats(e, antflow.Stats{Succeeded: 75, Failed: 300})
		for range 9 {
			e.Go(bg, g.task(time.Second))
		}
		ok(b, e.Close())
		g.want(b, 3)
		b.at(3 * time.Second)
	})
}

func TestPanicAndGoexitAreRetriedWhenRetryIfSaysSo(t *testing.T) {
	fake(t, func(b *bubble) {
		seen := []error{}
		at, f := attempts(b, func(n int) error {
			switch n {
			case 1:
				panic("first")
			case 2:
				goexit()
			}
			panic(errMine)
		}, antflow.Retries(2), antflow.RetryDelay(time.Second), antflow.RetryIf(func(err error) bool {
			seen = append(seen, err)
			return true
		}))
		same(b, at, 0, time.Second, 3*time.Second)
		if re := as[antflow.RetryError](b, f.Err()); re.Attempts != 3 {
			b.Errorf("%+v", re)
		}
		as[antflow.PanicError](b, f.Err())
		is(b, f.Err(), errMine)
		if len(seen) < 2 {
			b.Fatalf("RetryIf saw %v", seen)
		}
		as[antflow.PanicError](b, seen[0])
		is(b, seen[1], antflow.ErrGoexit)
	})
}

func TestPanicInRetryIfOrBackoffFailsTheTask(t *testing.T) {
	for i, opt := range []antflow.TaskOption{
		antflow.RetryIf(func(error) bool { panicsDeepInside(io.EOF); return true }),
		antflow.RetryBackoff(func(int, error) time.Duration { panicsDeepInside(io.EOF); return 0 }),
		antflow.RetryBackoff(antflow.Backoff(func(int, error) time.Duration { panicsDeepInside(io.EOF); return 0 }).Jitter(0.5)),
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			fake(t, func(b *bubble) {
				e, n := antflow.New(1), 0
				f := e.Go(bg, func(context.Context) error { n++; return errMine }, antflow.Retries(5), opt)
				pe := as[antflow.PanicError](b, result(f))
				if pe.Value != io.EOF || n != 1 {
					b.Errorf("%+v after %d attempts", pe, n)
				}
				state(b, f, antflow.StateFailed)
				ok(b, result(e.Go(bg, noop)))
				b.stats(e, antflow.Stats{Succeeded: 1, Failed: 1})
			})
		})
	}
}

func TestProgrammerErrorsPanicInTheCallerNamingTheValue(t *testing.T) {
	e, ended := antflow.New(1), errors.New("no error")
	var nilCtx context.Context
	p := antflow.NewPromise[int]()
	type check struct {
		what, value string
		fn          func()
	}
	for _, c := range []check{
		{"New(0)", "0", func() { antflow.New(0) }},
		{"New(-17)", "-17", func() { antflow.New(-17) }},
		{"Resize(0)", "0", func() { e.Resize(0) }},
		{"Resize(-17)", "-17", func() { e.Resize(-17) }},
		{"NewSemaphore(0)", "0", func() { antflow.NewSemaphore(0) }},
		{"NewSemaphore(-17)", "-17", func() { antflow.NewSemaphore(-17) }},
		{"Retries(-17)", "-17", func() { antflow.Retries(-17) }},
		{"MaxConcurrency(0)", "0", func() { antflow.MaxConcurrency(0) }},
		{"RetryDelay(-3s)", "-3s", func() { antflow.RetryDelay(-3 * time.Second) }},
		{"Timeout(-3s)", "-3s", func() { antflow.Timeout(-3 * time.Second) }},
		{"QueueTimeout(-3s)", "-3s", func() { antflow.QueueTimeout(-3 * time.Second) }},
		{"ResultTimeout(-3s)", "-3s", func() { antflow.ResultTimeout(-3 * time.Second) }},
		{"ConstantBackoff(-3s)", "-3s", func() { antflow.ConstantBackoff(-3 * time.Second) }},
		{"ExponentialBackoff(-3s)", "-3s", func() { antflow.ExponentialBackoff(-3*time.Second, time.Hour) }},
		// Reading: a fraction outside 0 to 1 is a programmer's error.
		{"Jitter(1.5)", "1.5", func() { antflow.ConstantBackoff(1).Jitter(1.5) }},
		{"Jitter(-0.5)", "-0.5", func() { antflow.ConstantBackoff(1).Jitter(-0.5) }},
		{"nil RetryIf", "", func() { antflow.RetryIf(nil) }},
		{"nil RetryBackoff", "", func() { antflow.RetryBackoff(nil) }},
		{"Submit of nil", "", func() { antflow.Submit[int](bg, e, nil) }},
		{"Go of nil", "", func() { e.Go(bg, nil) }},
		{"Submit to nil", "", func() { antflow.Submit(bg, nil, func(context.Context) (int, error) { return 0, nil }) }},
		{"nil.Go", "", func() { (*antflow.Executor)(nil).Go(bg, noop) }},
		{"Submit with nil context", "", func() { antflow.Submit(nilCtx, e, func(context.Context) (int, error) { return 0, nil }) }},
		{"Go with nil context", "", func() { e.Go(nilCtx, noop) }},
		{"Shutdown with nil context", "", func() { e.Shutdown(nilCtx) }},
		{"Blocking with nil context", "", func() { antflow.Blocking(nilCtx, func() error { return ended }) }},
		{"Blocking of nil", "", func() { antflow.Blocking(bg, nil) }},
		{"Result with nil context", "", func() { p.Future().Result(nilCtx) }},
		{"Wait for a nil future", "", func() { antflow.Wait(bg, []*antflow.Future[int]{p.Future(), nil}, antflow.AllCompleted) }},
		{"SetError(nil)", "", func() { p.SetError(nil) }},
	} {
		t.Run(c.what, func(t *testing.T) { panics(t, c.what, c.value, c.fn) })
	}
	if s := e.Stats(); s != (antflow.Stats{MaxWorkers: 1}) {
		t.Errorf("a panic in the caller left its mark: %+v", s)
	}
	ok(t, result(e.Go(bg, noop)))
}
