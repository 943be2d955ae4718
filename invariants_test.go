package antflow_test

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/testkit"
)

// The tests of this file show one invariant of docs/design.md each.

var errTest = errors.New("test failure")

func sleep(d time.Duration) func(context.Context) error {
	return func(context.Context) error { time.Sleep(d); return nil }
}

func rest(t *testing.T, e *antflow.Executor) {
	t.Helper()
	synctest.Wait()
	if err := e.CheckInvariants(); err != nil {
		t.Error(err)
	}
}

// Invariant 1.
func TestStatsAddUpAtAnyInstant(t *testing.T) {
	testkit.NoLeak(t)
	e := antflow.New(4)
	var stop atomic.Bool
	watched := testkit.Started(func() {
		for !stop.Load() {
			s := e.Stats()
			sum := uint64(s.Running+s.Blocked+s.Queued+s.Waiting) + s.Succeeded + s.Failed + s.Canceled
			if s.Submitted != sum {
				t.Errorf("submitted is not the sum: %+v", s)
				return
			}
			if s.Workers > s.MaxWorkers+s.Blocked {
				t.Errorf("too many workers: %+v", s)
				return
			}
		}
	})
	sem := antflow.NewSemaphore(2)
	for i := range 3000 {
		ctx, cancel := context.WithCancel(t.Context())
		f := antflow.Submit(ctx, e, func(ctx context.Context) (int, error) {
			c := e.Go(ctx, func(context.Context) error { return errTest }, antflow.Retries(1), antflow.RetryDelay(time.Microsecond))
			c.Result(ctx)
			return i, nil
		})
		g := e.Go(ctx, sleep(0), antflow.WithSemaphore(sem))
		switch i % 4 {
		case 0:
			f.Cancel()
		case 1:
			cancel()
		case 2:
			g.Result(ctx)
		}
		defer cancel()
	}
	e.Close()
	stop.Store(true)
	<-watched
}

// Invariant 5.
func TestWaitingCostsNoGoroutine(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(4)
		sem := antflow.NewSemaphore(1)
		sem.TryAcquire(1)
		for range 1000 {
			e.Go(t.Context(), func(context.Context) error { return errTest }, antflow.Retries(1), antflow.RetryDelay(time.Hour))
			e.Go(t.Context(), sleep(0), antflow.WithSemaphore(sem))
		}
		rest(t, e)
		if s := e.Stats(); s.Waiting != 2000 || s.Workers != 0 {
			t.Errorf("%+v", s)
		}
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		if n := bytes.Count(stacks, []byte("created by github.com/antflow/antflow.(*Executor)")); n != 1 {
			t.Errorf("%d goroutines for 2000 waiting tasks, want the one of the semaphore\n%s", n, stacks)
		}
		sem.Release(1)
		e.Close()
	})
}

// Invariant 8: two waits of one task overlap, then a third begins while the
// second is parked, then the attempt ends under it.
func TestLeaseOverlap(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(1)
		wait := func(ctx context.Context, d time.Duration) <-chan struct{} {
			return testkit.Started(func() { antflow.Blocking(ctx, func() error { time.Sleep(d); return nil }) })
		}
		var short, long, third <-chan struct{}
		f := e.Go(t.Context(), func(ctx context.Context) error {
			short, long = wait(ctx, time.Second), wait(ctx, 3*time.Second)
			<-short
			if at := e.Stats(); at.Blocked != 1 {
				t.Errorf("after the first of two waits: %+v", at)
			}
			// The other task has the slot from 0s to 5s, so the second wait
			// is over at 3s and parked. This one sends it on.
			time.Sleep(3 * time.Second)
			third = wait(ctx, time.Hour)
			synctest.Wait()
			<-long
			return nil
		})
		other := e.Go(t.Context(), sleep(5*time.Second))
		if testkit.Blocked(f.Done()) != true {
			t.Error("the task ended at once")
		}
		start := time.Now()
		f.Result(t.Context())
		if d := time.Since(start); d != 4*time.Second {
			t.Errorf("the task ended after %v", d)
		}
		rest(t, e)
		if s := e.Stats(); s.Running != 1 || s.Blocked != 0 {
			t.Errorf("after the attempt: %+v", s)
		}
		other.Result(t.Context())
		rest(t, e)
		if s := e.Stats(); s.Running+s.Blocked != 0 {
			t.Errorf("at the end: %+v", s)
		}
		<-third
		rest(t, e)
	})
}

// Invariant 9.
func TestSettleRace(t *testing.T) {
	testkit.NoLeak(t)
	for range 2000 {
		p := antflow.NewPromise[int]()
		f := p.Future()
		var told, won atomic.Int64
		var all sync.WaitGroup
		for i := range 4 {
			all.Go(func() {
				if p.SetResult(i) {
					won.Add(1)
				}
			})
			all.Go(func() {
				f.OnDone(func(f *antflow.Future[int]) { told.Add(1) })
				<-f.Done()
			})
			all.Go(func() {
				if v, err := f.Result(t.Context()); err != nil || v < 0 || v > 3 {
					t.Errorf("%d, %v", v, err)
				}
			})
			all.Go(func() {
				if done, _, err := antflow.Wait(t.Context(), []*antflow.Future[int]{f}, antflow.AllCompleted); len(done) != 1 || err != nil {
					t.Errorf("%v, %v", done, err)
				}
			})
		}
		all.Wait()
		if told.Load() != 4 || won.Load() != 1 {
			t.Fatalf("%d callbacks, %d settlers", told.Load(), won.Load())
		}
	}
}

// Invariant 10.
func TestBooksBeforeNews(t *testing.T) {
	testkit.NoLeak(t)
	e := antflow.New(1, antflow.QueueLimit(1))
	defer e.Close()
	sem := antflow.NewSemaphore(1)
	for i := range uint64(2000) {
		f := e.Go(t.Context(), sleep(0), antflow.WithSemaphore(sem))
		called := make(chan antflow.Stats, 1)
		f.OnDone(func(*antflow.Future[struct{}]) { called <- e.Stats() })
		f.Result(t.Context())
		if s := e.Stats(); s.Succeeded != i+1 || s.Running != 0 {
			t.Fatalf("after the result: %+v", s)
		}
		if !sem.TryAcquire(1) {
			t.Fatal("the permit is not free after the result")
		}
		sem.Release(1)
		if s := <-called; s.Succeeded != i+1 || s.Running != 0 {
			t.Fatalf("in the callback: %+v", s)
		}
	}
}

// Invariant 11: user code of every kind calls back into the executor, which
// would deadlock under its lock.
func TestForeignCodeOutsideLocks(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(1, antflow.QueueLimit(2))
		probe := func() { e.Stats(); e.Resize(e.MaxWorkers()) }
		ctx, cancel := context.WithCancelCause(probingContext{t.Context(), probe})
		sem := probingSemaphore{antflow.NewSemaphore(1), &probe}
		opts := antflow.JoinOptions(
			antflow.WithSemaphore(sem), antflow.WithRateLimit(&probingLimiter{probe}), antflow.Retries(2),
			antflow.RetryIf(func(error) bool { probe(); return true }),
			antflow.RetryBackoff(func(int, error) time.Duration { probe(); return time.Second }),
			antflow.QueueTimeout(time.Hour),
		)
		for range 5 {
			f := e.Go(ctx, func(ctx context.Context) error { probe(); time.Sleep(time.Second); return probingError{probe} }, opts)
			f.OnDone(func(*antflow.Future[struct{}]) { probe() })
		}
		time.Sleep(2500 * time.Millisecond)
		rest(t, e)
		cancel(probingError{probe})
		rest(t, e)
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
}

type probingContext struct {
	context.Context
	probe func()
}

func (c probingContext) Value(key any) any { c.probe(); return c.Context.Value(key) }
func (c probingContext) Err() error        { c.probe(); return c.Context.Err() }

type probingSemaphore struct {
	antflow.Semaphore
	probe *func()
}

func (s probingSemaphore) Acquire(ctx context.Context, n int64) error {
	(*s.probe)()
	return s.Semaphore.Acquire(ctx, n)
}
func (s probingSemaphore) TryAcquire(n int64) bool { (*s.probe)(); return s.Semaphore.TryAcquire(n) }
func (s probingSemaphore) Release(n int64)         { (*s.probe)(); s.Semaphore.Release(n) }

type probingLimiter struct{ probe func() }

func (l *probingLimiter) Wait(context.Context) error { l.probe(); return nil }

type probingError struct{ probe func() }

func (e probingError) Error() string   { e.probe(); return "probe" }
func (e probingError) Unwrap() error   { e.probe(); return nil }
func (e probingError) Is(error) bool   { e.probe(); return false }
func (e probingError) As(any) bool     { e.probe(); return false }
func (e probingError) Timeout() bool   { e.probe(); return false }
func (e probingError) Temporary() bool { e.probe(); return false }

// Invariant 13.
func TestScopeSweep(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(1)
		cause := errors.New("cause")
		ctx, cancel := context.WithCancelCause(t.Context())
		block := make(chan struct{})
		e.Go(t.Context(), func(context.Context) error { <-block; return nil })
		var fs []*antflow.Future[struct{}]
		for i := range 20_000 {
			c := ctx
			if i%2 == 1 {
				c = context.WithValue(ctx, errTest, i) // ends with it
			}
			fs = append(fs, e.Go(c, sleep(0)))
		}
		stays := e.Go(t.Context(), sleep(0))
		cancel(cause)
		synctest.Wait()
		for _, f := range fs {
			if err := f.Err(); f.State() != antflow.StateCanceled || !errors.Is(err, cause) || !errors.Is(err, context.Canceled) {
				t.Fatalf("%v: %v", f, err)
			}
		}
		rest(t, e)
		if s := e.Stats(); s.Queued != 1 || s.Canceled != 20_000 || stays.IsDone() {
			t.Errorf("%+v", s)
		}
		close(block)
		e.Close()
	})
}

// Invariant 15.
func TestIdleIsNothing(t *testing.T) {
	testkit.NoLeak(t)
	var ref weak.Pointer[antflow.Executor]
	func() {
		e := antflow.New(4, antflow.QueueLimit(100))
		ref = weak.Make(e)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		sem := antflow.NewSemaphore(1)
		g := antflow.NewGroup(ctx, e, antflow.MaxConcurrency(2), antflow.Retries(1), antflow.RetryDelay(time.Microsecond))
		for i := range 50 {
			g.Go(func(context.Context) error {
				if i%2 == 0 {
					return antflow.Permanent(nil)
				}
				return nil
			}, antflow.WithSemaphore(sem), antflow.QueueTimeout(time.Hour))
		}
		if err := g.Wait(); err != nil {
			t.Error(err)
		}
		// The last worker may still be on its way out.
		err := e.CheckInvariants()
		for end := time.Now().Add(10 * time.Second); err != nil && time.Now().Before(end); err = e.CheckInvariants() {
			runtime.Gosched()
		}
		if err != nil || e.Stats().Workers > 0 {
			t.Errorf("%v, %+v", err, e.Stats())
		}
	}()
	for range 100 {
		runtime.GC()
		if ref.Value() == nil {
			return
		}
	}
	t.Error("an executor that was dropped without Close is not collected")
}

// Invariant 17.
func TestWindowIsExact(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(8)
		defer e.Close()
		for window := 1; window <= 5; window++ {
			var pulled atomic.Int64
			source := func(yield func(int) bool) {
				for i := 0; ; i++ {
					pulled.Add(1)
					if !yield(i) {
						return
					}
				}
			}
			yielded := 0
			id := func(_ context.Context, i int) (int, error) { return i, nil }
			for range antflow.Map(t.Context(), e, source, id, antflow.Window(window)) {
				synctest.Wait()
				if n := int(pulled.Load()) - yielded; n != window {
					t.Fatalf("window %d: %d inputs pulled and not yet yielded", window, n)
				}
				if yielded++; yielded == 20 {
					break
				}
			}
		}
	})
}

// Invariant 19.
func TestNothingDoneIsRetained(t *testing.T) {
	testkit.NoLeak(t)
	e := antflow.New(1)
	block := make(chan struct{})
	e.Go(t.Context(), func(context.Context) error { <-block; return nil })
	var input, result weak.Pointer[[1 << 16]byte]
	f := func() *antflow.Future[struct{}] {
		big := new([1 << 16]byte)
		input = weak.Make(big)
		f := e.Go(t.Context(), func(context.Context) error { big[0]++; return nil })
		f.Cancel()
		return f
	}()
	close(block)
	func() {
		for v, err := range antflow.Map(t.Context(), e, func(yield func(int) bool) { yield(1) }, func(context.Context, int) (*[1 << 16]byte, error) {
			return new([1 << 16]byte), nil
		}) {
			if err == nil {
				result = weak.Make(v)
			}
		}
	}()
	for range 100 {
		runtime.GC()
		if input.Value() == nil && result.Value() == nil {
			break
		}
	}
	if input.Value() != nil || result.Value() != nil {
		t.Errorf("kept: input %v, result %v", input.Value() != nil, result.Value() != nil)
	}
	runtime.KeepAlive(f)
	e.Close()
}
