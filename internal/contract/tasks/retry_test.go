package tasks_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
)

const ms = time.Millisecond

// attempts runs a task that returns fail's errors and returns when its attempts started.
func attempts(b *bubble, fail func(n int) error, opts ...antflow.TaskOption) (at []time.Duration, f *antflow.Future[struct{}]) {
	b.Helper()
	e, start := antflow.New(1), time.Now()
	f = e.Go(bg, func(context.Context) error {
		at = append(at, time.Since(start))
		return fail(len(at))
	}, opts...)
	result(f)
	if f.Attempts() != len(at) {
		b.Errorf("Attempts %d, want %d", f.Attempts(), len(at))
	}
	b.stats(e, antflow.Stats{Succeeded: e.Stats().Succeeded, Failed: e.Stats().Failed, Retries: uint64(len(at) - 1)})
	return at, f
}

func mine(int) error { return errMine }

func same(t testing.TB, got []time.Duration, want ...time.Duration) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("attempts at %v, want %v", got, want)
	}
}

func TestRetrySchedule(t *testing.T) {
	const s, m = time.Second, time.Minute
	linear := antflow.Backoff(func(attempt int, err error) time.Duration {
		if err != errMine {
			t.Errorf("backoff for %v", err)
		}
		return time.Duration(attempt) * s
	})
	O := func(opts ...antflow.TaskOption) []antflow.TaskOption { return opts }
	for name, c := range map[string]struct {
		opts []antflow.TaskOption
		want []time.Duration
	}{
		"default none":        {nil, []time.Duration{0}},
		"none":                {O(antflow.Retries(0), antflow.RetryDelay(s)), []time.Duration{0}},
		"default delay":       {O(antflow.Retries(4)), []time.Duration{0, 100 * ms, 300 * ms, 700 * ms, 1500 * ms}},
		"doubles to a minute": {O(antflow.Retries(4), antflow.RetryDelay(20*s)), []time.Duration{0, 20 * s, 60 * s, 120 * s, 180 * s}},
		"d above a minute":    {O(antflow.RetryDelay(2*m), antflow.Retries(3)), []time.Duration{0, 2 * m, 4 * m, 6 * m}},
		"zero delay":          {O(antflow.Retries(3), antflow.RetryDelay(0)), []time.Duration{0, 0, 0, 0}},
		"backoff":             {O(antflow.Retries(3), antflow.RetryBackoff(linear)), []time.Duration{0, s, 3 * s, 6 * s}},
		"later backoff wins":  {O(antflow.Retries(2), antflow.RetryDelay(m), antflow.RetryBackoff(linear)), []time.Duration{0, s, 3 * s}},
		"later delay wins":    {O(antflow.Retries(2), antflow.RetryBackoff(linear), antflow.RetryDelay(5*s)), []time.Duration{0, 5 * s, 15 * s}},
		"constant":            {O(antflow.Retries(2), antflow.RetryBackoff(antflow.ConstantBackoff(7*s))), []time.Duration{0, 7 * s, 14 * s}},
		"exponential":         {O(antflow.Retries(4), antflow.RetryBackoff(antflow.ExponentialBackoff(s, 3*s))), []time.Duration{0, s, 3 * s, 6 * s, 9 * s}},
		"preset":              {O(antflow.JoinOptions(antflow.Retries(5), antflow.RetryDelay(s)), antflow.Retries(1)), []time.Duration{0, s}},
	} {
		t.Run(name, func(t *testing.T) {
			fake(t, func(b *bubble) {
				at, f := attempts(b, mine, c.opts...)
				same(b, at, c.want...)
				if len(c.want) == 1 {
					if f.Err() != errMine {
						b.Errorf("not fn's own error: %v", f.Err())
					}
					return
				}
				re := as[antflow.RetryError](b, f.Err())
				if re.Attempts != len(c.want) || re.Err != errMine || errors.Unwrap(re) != errMine {
					b.Errorf("%+v", re)
				}
				if !strings.Contains(f.Err().Error(), "mine") {
					b.Error(f.Err())
				}
			})
		})
	}
}

func TestManyRetriesDoNotOverflowTheDelay(t *testing.T) {
	fake(t, func(b *bubble) {
		at, _ := attempts(b, mine, antflow.Retries(200), antflow.RetryDelay(time.Second))
		if last := at[200] - at[199]; last != time.Minute {
			b.Errorf("last delay %v", last)
		}
		if d := antflow.ExponentialBackoff(1, math.MaxInt64)(1000, errMine); d != math.MaxInt64 {
			b.Errorf("ExponentialBackoff(1, max)(1000) = %v", d)
		}
	})
}

func TestJitter(t *testing.T) {
	seen := map[time.Duration]bool{}
	half, none, full := antflow.ConstantBackoff(time.Hour).Jitter(0.2), antflow.ConstantBackoff(time.Hour).Jitter(0), antflow.ConstantBackoff(time.Hour).Jitter(1)
	for i := range 1000 {
		d := half(i+1, errMine)
		seen[d] = true
		if d < 48*time.Minute || d > 72*time.Minute {
			t.Errorf("delay %v", d)
		}
		if d := none(i+1, errMine); d != time.Hour {
			t.Errorf("delay %v without jitter", d)
		}
		if d := full(i+1, errMine); d < 0 || d > 2*time.Hour {
			t.Errorf("delay %v with full jitter", d)
		}
	}
	if len(seen) < 100 {
		t.Errorf("only %d delays", len(seen))
	}
}

func TestSuccessAfterRetries(t *testing.T) {
	fake(t, func(b *bubble) {
		e, n := antflow.New(1), 0
		f := antflow.Submit(bg, e, func(context.Context) (int, error) {
			if n++; n < 3 {
				return n, errMine
			}
			return n, nil
		}, antflow.Retries(10), antflow.RetryDelay(time.Second))
		value(b, f, 3)
		b.at(3 * time.Second)
		b.stats(e, antflow.Stats{Succeeded: 1, Retries: 2})
	})
}

func TestDefaultsAndTheCallsOwnOptions(t *testing.T) {
	fake(t, func(b *bubble) {
		e := antflow.New(1, antflow.WithTaskOptions(antflow.Retries(3), antflow.RetryDelay(time.Second), antflow.TaskName("default"), antflow.Priority(4)))
		run := func(opts ...antflow.TaskOption) (n int, info antflow.TaskInfo) {
			result(e.Go(bg, func(ctx context.Context) error {
				n++
				info, _ = antflow.TaskFrom(ctx)
				return errMine
			}, opts...))
			return n, info
		}
		if n, info := run(); n != 4 || info.Name != "default" || info.Priority != 4 {
			b.Error(n, info)
		}
		b.at(7 * time.Second)
		if n, info := run(antflow.Retries(0), antflow.TaskName("own"), antflow.Priority(0)); n != 1 || info.Name != "own" || info.Priority != 0 {
			b.Error(n, info)
		}
	})
}

func TestRetryIfAndPermanentAndRetryAfter(t *testing.T) {
	wrap := func(err error) error { return fmt.Errorf("wrapped: %w", err) }
	yes, no := antflow.RetryIf(func(error) bool { return true }), antflow.RetryIf(func(error) bool { return false })
	perm := func(err error) error { return antflow.Permanent(err) }
	after := func(err error) error { return antflow.RetryAfter(err, 7*time.Second) }
	const none, delay, seven = -1, time.Second, 7 * time.Second
	for i, c := range []struct {
		opt   antflow.TaskOption
		first error
		want  time.Duration // until the second attempt
	}{
		{yes, errMine, delay},
		{no, errMine, none},
		{antflow.RetryIf(func(err error) bool { return errors.Is(err, errMine) }), wrap(errMine), delay},
		{antflow.RetryIf(func(err error) bool { return !errors.Is(err, errMine) }), wrap(errMine), none},
		{antflow.JoinOptions(no, yes), errMine, delay},
		{yes, perm(errMine), none}, // Permanent beats RetryIf
		{yes, wrap(perm(errMine)), none},
		{yes, errors.Join(errors.New("other"), perm(errMine)), none},
		{yes, after(errMine), seven},
		{antflow.Priority(0), after(errMine), seven}, // no RetryIf
		{antflow.Priority(0), wrap(after(errMine)), seven},
		{antflow.Priority(0), errors.Join(errors.New("other"), after(errMine)), seven},
		{antflow.Priority(0), antflow.RetryAfter(errMine, 0), 0},
		{antflow.Priority(0), antflow.RetryAfter(errMine, -time.Hour), 0},
		{no, after(errMine), none}, // RetryIf's false beats RetryAfter
		{antflow.Retries(0), after(errMine), none},
		{antflow.RetryBackoff(antflow.ConstantBackoff(time.Hour)), after(errMine), seven},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			fake(t, func(b *bubble) {
				at, f := attempts(b, func(n int) error {
					if n == 1 {
						return c.first
					}
					return nil
				}, antflow.Retries(1), antflow.RetryDelay(delay), c.opt)
				if c.want != none {
					same(b, at, 0, c.want)
					ok(b, f.Err())
					return
				}
				same(b, at, 0)
				is(b, f.Err(), errMine)
				asNot[*antflow.RetryError](b, f.Err())
			})
		})
	}
}

func TestPermanentAndRetryAfterAreStrippedWhereOutermost(t *testing.T) {
	wrapped := fmt.Errorf("user's text: %w", antflow.Permanent(errMine))
	for _, c := range []struct{ returned, want error }{
		{antflow.Permanent(errMine), errMine},
		{antflow.RetryAfter(errMine, time.Second), errMine},
		{wrapped, wrapped},
	} {
		fake(t, func(b *bubble) {
			_, f := attempts(b, func(int) error { return c.returned })
			if f.Err() != c.want {
				b.Errorf("%T %v", f.Err(), f.Err())
			}
			_, f = attempts(b, func(n int) error { // also inside a RetryError
				if n == 1 {
					return errors.New("first")
				}
				return c.returned
			}, antflow.Retries(1))
			if re := as[antflow.RetryError](b, f.Err()); re.Err != c.want || re.Attempts != 2 {
				b.Errorf("%+v", re)
			}
		})
	}
	if antflow.Permanent(nil) != nil || antflow.RetryAfter(nil, time.Second) != nil {
		t.Error("nil does not give nil")
	}
}

func TestBetweenAttemptsTheTaskIsPending(t *testing.T) {
	fake(t, func(b *bubble) {
		e := antflow.New(1)
		var ctxs []context.Context
		f := e.Go(bg, func(ctx context.Context) error {
			ctxs = append(ctxs, ctx)
			if info, found := antflow.TaskFrom(ctx); !found || info.Attempt != len(ctxs) { // Reading: 1 is the first
				b.Errorf("%+v in attempt %d", info, len(ctxs))
			}
			time.Sleep(time.Second)
			return errMine
		}, antflow.Retries(1), antflow.RetryDelay(10*time.Second))
		synctest.Wait()
		state(b, f, antflow.StateRunning)
		b.until(5 * time.Second)
		state(b, f, antflow.StatePending)
		if f.Attempts() != 1 || f.IsDone() || f.Err() != nil || ctxs[0].Err() == nil {
			b.Error("between attempts:", f.Attempts(), f.Err(), ctxs[0].Err())
		}
		b.stats(e, antflow.Stats{Waiting: 1})
		b.until(11500 * time.Millisecond)
		state(b, f, antflow.StateRunning)
		ok(b, ctxs[1].Err())
		is(b, result(f), errMine)
	})
}

func TestRetryingStopsWhenTheContextEnds(t *testing.T) {
	fake(t, func(b *bubble) {
		e, cause := antflow.New(1), errors.New("cause")
		ctx, cancel := context.WithTimeoutCause(bg, 150*ms, cause)
		defer cancel()
		n := 0
		f := e.Go(ctx, func(context.Context) error { n++; return errMine }, antflow.Retries(9))
		err := result(f) // in the middle of the second delay
		b.at(150 * ms)
		canceled(b, f, context.DeadlineExceeded, cause, errMine)
		isNot(b, err, context.Canceled)
		if n != 2 || f.Attempts() != 2 {
			b.Errorf("%d attempts", n)
		}
		b.stats(e, antflow.Stats{Canceled: 1})
	})
}

func TestStrangersCancellationIsAFailureAndRetried(t *testing.T) {
	for _, stranger := range []error{context.Canceled, context.DeadlineExceeded, antflow.ErrCanceled} {
		fake(t, func(b *bubble) {
			at, f := attempts(b, func(int) error { return stranger }, antflow.Retries(2), antflow.RetryDelay(time.Second))
			same(b, at, 0, time.Second, 3*time.Second)
			state(b, f, antflow.StateFailed)
			if re := as[antflow.RetryError](b, f.Err()); re.Err != stranger {
				b.Errorf("%+v", re)
			}
		})
	}
}

func TestTimedOutAttemptIsRetried(t *testing.T) {
	fake(t, func(b *bubble) {
		e, n := antflow.New(1), 0
		f := e.Go(bg, func(ctx context.Context) error {
			if n++; n == 3 {
				return nil
			}
			return nap(ctx, time.Hour)
		}, antflow.Timeout(2*time.Second), antflow.Retries(2), antflow.RetryDelay(time.Second))
		ok(b, result(f))
		b.at(7 * time.Second)
	})
}
