package tasks_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
)

var (
	bg      = context.Background()
	errMine = errors.New("mine")
)

// bubble is a test in fake time; at compares the time since its start.
type bubble struct {
	*testing.T
	start time.Time
}

func fake(t *testing.T, body func(b *bubble)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { body(&bubble{t, time.Now()}) })
}

func (b *bubble) now() time.Duration { return time.Since(b.start) }

func (b *bubble) at(want time.Duration) {
	b.Helper()
	if got := b.now(); got != want {
		b.Errorf("at %v, want %v", got, want)
	}
}

// until sleeps to an offset from the start of the bubble and lets everything settle.
func (b *bubble) until(d time.Duration) {
	time.Sleep(d - b.now())
	synctest.Wait()
}

// stats settles the bubble and compares all but Workers, MaxWorkers and Submitted, which must fit the rest; Retries only
// where some are wanted, since a retry in its delay may or may not count yet.
func (b *bubble) stats(e *antflow.Executor, want antflow.Stats) {
	b.Helper()
	synctest.Wait()
	got := e.Stats()
	checkSum(b, got)
	got.Workers, got.MaxWorkers, got.Submitted = 0, 0, 0
	if want.Retries == 0 {
		got.Retries = 0
	}
	if got != want {
		b.Errorf("stats %+v\n want %+v", got, want)
	}
}

func checkSum(t testing.TB, s antflow.Stats) {
	t.Helper()
	sum := uint64(s.Running+s.Blocked+s.Queued+s.Waiting) + s.Succeeded + s.Failed + s.Canceled
	if s.Submitted != sum {
		t.Errorf("Submitted %d is not the sum %d: %+v", s.Submitted, sum, s)
	}
	if s.Workers > s.MaxWorkers+s.Blocked {
		t.Errorf("more workers than MaxWorkers + Blocked: %+v", s)
	}
}

// occupy holds n slots of e until free is called.
func occupy(b *bubble, e *antflow.Executor, n int) (free func()) {
	b.Helper()
	gate := make(chan struct{})
	for range n {
		e.Go(bg, func(context.Context) error { <-gate; return nil })
	}
	synctest.Wait()
	if got := e.Stats().Running; got != n {
		b.Errorf("occupied %d slots, want %d", got, n)
	}
	return sync.OnceFunc(func() { close(gate) })
}

func sleeps(d time.Duration) func(context.Context) error {
	return func(context.Context) error { time.Sleep(d); return nil }
}

func noop(context.Context) error { return nil }

// nap sleeps unless ctx ends before, then it returns ctx's error.
func nap(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// record is what happened, in order.
type record struct {
	mu    sync.Mutex
	items []string
}

func (r *record) add(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.items = append(r.items, fmt.Sprintf(format, args...))
}

func (r *record) task(name string, d time.Duration) func(context.Context) error {
	return func(context.Context) error { r.add("%s", name); time.Sleep(d); return nil }
}

func (r *record) want(t testing.TB, items ...string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Equal(r.items, items) {
		t.Errorf("got  %q\nwant %q", r.items, items)
	}
}

// gauge knows how many are in it at once.
type gauge struct{ now, max atomic.Int64 }

func (g *gauge) in() {
	n := g.now.Add(1)
	for m := g.max.Load(); n > m && !g.max.CompareAndSwap(m, n); m = g.max.Load() {
	}
}

func (g *gauge) out() { g.now.Add(-1) }

func (g *gauge) task(d time.Duration) func(context.Context) error {
	return func(context.Context) error { g.in(); defer g.out(); time.Sleep(d); return nil }
}

func (g *gauge) want(t testing.TB, n int64) {
	t.Helper()
	if got := g.max.Load(); got != n {
		t.Errorf("at most %d ran together, want %d", got, n)
	}
}

func is(t testing.TB, err error, targets ...error) {
	t.Helper()
	for _, target := range targets {
		if !errors.Is(err, target) {
			t.Errorf("%q (%T) is not %q", fmt.Sprint(err), err, target)
		}
	}
}

func isNot(t testing.TB, err error, targets ...error) {
	t.Helper()
	for _, target := range targets {
		if errors.Is(err, target) {
			t.Errorf("%q (%T) is %q", fmt.Sprint(err), err, target)
		}
	}
}

// as finds an *E in err and checks the message's prefix, which comes once.
func as[E any, P interface {
	*E
	error
}](t testing.TB, err error) P {
	t.Helper()
	var e P
	if !errors.As(err, &e) {
		t.Errorf("%q (%T) is no %T", fmt.Sprint(err), err, e)
		return new(E)
	}
	ours(t, err)
	return e
}

func asNot[E error](t testing.TB, err error) {
	t.Helper()
	var e E
	if errors.As(err, &e) {
		t.Errorf("%q is a %T", fmt.Sprint(err), e)
	}
}

// ours: the message of this package's errors starts with "antflow: " and says it once.
func ours(t testing.TB, err error) {
	t.Helper()
	if msg := fmt.Sprint(err); !strings.HasPrefix(msg, "antflow: ") || strings.Count(msg, "antflow: ") != 1 {
		t.Errorf("message %q does not say \"antflow: \" once, at its start", msg)
	}
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("unexpected error: %v", err)
	}
}

// result waits for f from outside.
func result[T any](f *antflow.Future[T]) error {
	_, err := f.Result(bg)
	return err
}

func value[T comparable](t testing.TB, f *antflow.Future[T], want T) {
	t.Helper()
	if got, err := f.Result(bg); err != nil || got != want {
		t.Errorf("result %v, %v; want %v", got, err, want)
	}
}

func state(t testing.TB, f interface{ State() antflow.State }, want antflow.State) {
	t.Helper()
	if got := f.State(); got != want {
		t.Errorf("state %v, want %v", got, want)
	}
}

// canceled: f has been settled as canceled, with an error that Is all targets.
func canceled(t testing.TB, f antflow.Waitable, targets ...error) {
	t.Helper()
	if !f.IsDone() {
		t.Errorf("task %d is not settled", f.ID())
		return
	}
	state(t, f, antflow.StateCanceled)
	is(t, f.Err(), append(targets, antflow.ErrCanceled)...)
	ours(t, f.Err())
	asNot[*antflow.RetryError](t, f.Err())
}

// panics wants fn to panic with a message of ours that contains part.
func panics(t testing.TB, what, part string, fn func()) {
	t.Helper()
	defer func() {
		t.Helper()
		v := recover()
		if v == nil {
			t.Errorf("%s does not panic", what)
		} else if msg := fmt.Sprint(v); !strings.HasPrefix(msg, "antflow: ") || !strings.Contains(msg, part) {
			t.Errorf("%s panics with %q, want \"antflow: \" and %q in it", what, msg, part)
		}
	}()
	fn()
}

// few fails when more than 20 goroutines came on top of base.
func few(t testing.TB, base int) {
	t.Helper()
	synctest.Wait()
	if n := runtime.NumGoroutine() - base; n > 20 {
		t.Errorf("%d goroutines more", n)
	}
}

// spySem hides the type of a semaphore and keeps count.
type spySem struct {
	antflow.Semaphore
	held, maxHeld, calls, wrong atomic.Int64
}

func spy(n int64) *spySem { return &spySem{Semaphore: antflow.NewSemaphore(n)} }

func (s *spySem) count(n int64) {
	if n != 1 {
		s.wrong.Add(1)
	}
	h := s.held.Add(n)
	for m := s.maxHeld.Load(); h > m && !s.maxHeld.CompareAndSwap(m, h); m = s.maxHeld.Load() {
	}
}

func (s *spySem) Acquire(ctx context.Context, n int64) error {
	s.calls.Add(1)
	err := s.Semaphore.Acquire(ctx, n)
	if err == nil {
		s.count(n)
	}
	return err
}

func (s *spySem) TryAcquire(n int64) bool {
	s.calls.Add(1)
	got := s.Semaphore.TryAcquire(n)
	if got {
		s.count(n)
	}
	return got
}

func (s *spySem) Release(n int64) {
	if s.held.Add(-n) < 0 || n != 1 {
		s.wrong.Add(1)
	}
	s.Semaphore.Release(n)
}

// balanced: every permit came back, one at a time.
func (s *spySem) balanced(t testing.TB) {
	t.Helper()
	if h, w := s.held.Load(), s.wrong.Load(); h != 0 || w != 0 {
		t.Errorf("%d permits held, %d wrong calls", h, w)
	}
}

// semaphores runs body with a semaphore of the package and with one that it cannot know.
func semaphores(t *testing.T, n int64, body func(b *bubble, s antflow.Semaphore)) {
	t.Run("own", func(t *testing.T) {
		fake(t, func(b *bubble) { body(b, antflow.NewSemaphore(n)) })
	})
	t.Run("foreign", func(t *testing.T) {
		fake(t, func(b *bubble) {
			s := spy(n)
			body(b, s)
			synctest.Wait()
			s.balanced(b)
		})
	})
}

// pacer is a RateLimiter: one event each interval, the first at once.
type pacer struct {
	every         time.Duration
	mu            sync.Mutex
	next          time.Time
	calls, events atomic.Int64
}

func (p *pacer) reserve() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if p.next.Before(now) {
		p.next = now
	}
	d := p.next.Sub(now)
	p.next = p.next.Add(p.every)
	return d
}

func (p *pacer) Wait(ctx context.Context) error {
	p.calls.Add(1)
	if err := nap(ctx, p.reserve()); err != nil {
		return err
	}
	p.events.Add(1)
	return nil
}

// never is a RateLimiter without events.
type never struct{}

func (never) Wait(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
