package antflow_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/testkit"
)

// A storm is everything at once, in fake time: what the model can't predict,
// because the order of simultaneous events is anybody's, still has to keep
// the invariants. A lost wake-up is a bubble that deadlocks.
type storm struct {
	t       *testing.T
	es      [2]*antflow.Executor // whose tasks wait for those of the other
	sems    []antflow.Semaphore
	permits [2]atomic.Int64 // in use by running tasks
	running [2]atomic.Int64
	mu      sync.Mutex
	futures []*antflow.Future[int]
}

const (
	stormPermits = 2
	stormPlaces  = 3
)

// compute is what counts against maxWorkers. It yields, so that others run.
func (s *storm) compute(k int, r *rand.Rand) {
	if n := s.running[k].Add(1); n > stormMax {
		s.t.Errorf("%d tasks run, at most %d may", n, stormMax)
	}
	for range r.IntN(3) {
		runtime.Gosched()
	}
	s.running[k].Add(-1)
}

func (s *storm) keep(f *antflow.Future[int]) *antflow.Future[int] {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.futures = append(s.futures, f)
	return f
}

// submit submits a random task. Its own tasks have a lower depth, so it ends.
func (s *storm) submit(ctx context.Context, r *rand.Rand, depth int) *antflow.Future[int] {
	seed := r.Uint64()
	sem, k := r.IntN(6), r.IntN(2)
	opts := []antflow.TaskOption{
		antflow.Priority(r.IntN(3)),
		antflow.Retries(r.IntN(3)),
		antflow.RetryDelay(time.Duration(r.IntN(3)) * time.Millisecond),
	}
	if depth > 0 {
		sem = 9 // a permit is not lent: waiting with it may deadlock
	}
	if sem < 2 {
		opts = append(opts, antflow.WithSemaphore(s.sems[sem]))
	}
	switch r.IntN(8) {
	case 0:
		opts = append(opts, antflow.Timeout(time.Duration(r.IntN(5))*time.Millisecond))
	case 1:
		opts = append(opts, antflow.QueueTimeout(time.Duration(r.IntN(20))*time.Millisecond))
	case 2:
		opts = append(opts, antflow.NonBlocking())
	case 3:
		own := rand.New(rand.NewPCG(seed, 1)) // attempts follow one another
		opts = append(opts, antflow.RetryIf(func(err error) bool { return own.IntN(2) == 0 || !errors.Is(err, errTest) }))
	}
	return s.keep(antflow.Submit(ctx, s.es[k], func(ctx context.Context) (int, error) {
		r := rand.New(rand.NewPCG(seed, 2))
		if sem < 2 {
			if n := s.permits[sem].Add(1); n > stormPermits {
				s.t.Errorf("%d permits of %d", n, stormPermits)
			}
			defer s.permits[sem].Add(-1)
		}
		return s.act(ctx, k, r, depth)
	}, opts...))
}

// act is the body of a task.
func (s *storm) act(ctx context.Context, k int, r *rand.Rand, depth int) (int, error) {
	s.compute(k, r)
	if depth > 0 {
		if err := s.nest(ctx, k, r, depth-1); err != nil {
			return 0, err
		}
		s.compute(k, r)
	}
	switch r.IntN(12) {
	case 0:
		panic("storm")
	case 1:
		runtime.Goexit()
	case 2:
		return 0, errTest
	case 3:
		return 0, antflow.RetryAfter(errTest, time.Millisecond)
	case 4:
		return 0, antflow.Permanent(errTest)
	case 5:
		s.es[k].Resize(1 + r.IntN(stormMax))
	case 6:
		if err := testkit.Sleep(ctx, time.Duration(r.IntN(4))*time.Millisecond); err != nil {
			return 0, err
		}
	}
	return 1, nil
}

const stormMax = 4

// nest waits for tasks of its own, of executor on, in one of the ways there
// are, as a task of executor k.
func (s *storm) nest(ctx context.Context, k int, r *rand.Rand, depth int) error {
	on := r.IntN(2)
	switch r.IntN(7) {
	case 0:
		_, err := s.submit(ctx, r, depth).Result(ctx)
		return err
	case 1:
		g := antflow.NewGroup(ctx, s.es[on], antflow.MaxConcurrency(stormPlaces))
		var places atomic.Int64
		for range r.IntN(6) {
			seed := r.Uint64()
			g.Go(func(ctx context.Context) error {
				if n := places.Add(1); n > stormPlaces {
					s.t.Errorf("%d of %d places", n, stormPlaces)
				}
				defer places.Add(-1)
				_, err := s.act(ctx, on, rand.New(rand.NewPCG(seed, 3)), depth)
				return err
			}, antflow.Retries(1), antflow.RetryDelay(time.Millisecond))
		}
		return g.Wait()
	case 2:
		var fs []*antflow.Future[int]
		for range r.IntN(6) {
			fs = append(fs, s.submit(ctx, r, depth))
		}
		for _, err := range antflow.AsCompleted(ctx, fs) {
			if err != nil {
				return err
			}
			s.compute(k, r)
		}
		return nil
	case 3:
		n := r.IntN(8)
		for _, err := range antflow.Map(ctx, s.es[on], stormInputs(r.IntN(10)), func(ctx context.Context, seed uint64) (int, error) {
			return s.act(ctx, on, rand.New(rand.NewPCG(seed, 4)), depth)
		}, antflow.Window(1+r.IntN(4))) {
			s.compute(k, r)
			if n--; n < 0 || err != nil {
				break
			}
		}
		return nil
	case 4:
		return antflow.ForEach(ctx, s.es[on], stormInputs(r.IntN(10)), func(ctx context.Context, seed uint64) error {
			_, err := s.act(ctx, on, rand.New(rand.NewPCG(seed, 5)), depth)
			return err
		}, antflow.Retries(r.IntN(2)), antflow.RetryDelay(time.Millisecond))
	}
	if r.IntN(2) == 0 {
		// Waits on other goroutines, which the end of the attempt may find
		// in any state.
		var all sync.WaitGroup
		for range r.IntN(4) {
			f := s.submit(ctx, r, depth)
			all.Go(func() { f.Result(ctx) })
			all.Go(func() { antflow.Blocking(ctx, func() error { <-f.Done(); return nil }) })
		}
		if r.IntN(2) == 0 {
			return antflow.Blocking(ctx, func() error { all.Wait(); return nil })
		}
		return errTest // it must not compute while its slot is lent
	}
	return antflow.Blocking(ctx, func() error { time.Sleep(time.Millisecond); return nil })
}

func stormInputs(n int) func(func(uint64) bool) {
	return func(yield func(uint64) bool) {
		for i := range uint64(n) {
			if !yield(i * 7919) {
				return
			}
		}
	}
}

// Invariants 2, 6 and 14.
func TestStorm(t *testing.T) {
	rounds := 40
	if testing.Short() {
		rounds = 5
	}
	for range rounds {
		seed := rand.Uint64()
		testkit.Bubble(t, func(t *testing.T) { blow(t, seed) })
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func blow(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 0))
	s := &storm{t: t}
	for k := range s.es {
		s.es[k] = antflow.New(stormMax, antflow.QueueLimit(r.IntN(20)))
	}
	var all sync.WaitGroup
	var ledgers []*ledger
	switch r.IntN(3) {
	case 0:
		for _, e := range s.es {
			ledgers = append(ledgers, newLedger(t, e, stormMax))
		}
	case 1:
		for _, e := range s.es {
			all.Go(func() { observeNowAndThen(e) })
		}
	}
	s.sems = []antflow.Semaphore{antflow.NewSemaphore(stormPermits), antflow.NewSemaphore(stormPermits)}
	for range 4 {
		seed := r.Uint64()
		all.Go(func() {
			r := rand.New(rand.NewPCG(seed, 6))
			for range 30 {
				ctx, cancel := context.WithCancel(t.Context())
				f := s.submit(ctx, r, r.IntN(4))
				switch r.IntN(5) {
				case 0:
					f.Cancel()
				case 1:
					cancel()
				case 2:
					f.Result(ctx)
				case 3:
					time.Sleep(time.Duration(r.IntN(3)) * time.Millisecond)
				}
				defer cancel()
			}
		})
	}
	if r.IntN(2) == 0 {
		time.Sleep(time.Duration(r.IntN(30)) * time.Millisecond)
		s.es[r.IntN(2)].Shutdown(t.Context(), [][]antflow.ShutdownOption{
			{antflow.NoWait()},
			{antflow.NoWait(), antflow.CancelQueued()},
			{antflow.NoWait(), antflow.CancelRunning()},
		}[r.IntN(3)]...)
	}
	all.Wait()
	for _, e := range s.es {
		// Tasks of one may still submit to the other, so none is closed first.
		for st := e.Stats(); st.Running+st.Blocked+st.Queued+st.Waiting > 0; st = e.Stats() {
			time.Sleep(time.Millisecond)
		}
	}
	for _, e := range s.es {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, f := range s.futures {
		if !f.IsDone() {
			t.Errorf("%v after the shutdown", f)
		}
	}
	for _, sem := range s.sems {
		if !sem.TryAcquire(stormPermits) {
			t.Error("permits are missing")
		}
	}
	synctest.Wait()
	for _, e := range s.es {
		if err := e.CheckInvariants(); err != nil {
			t.Error(err)
		}
	}
	for _, l := range ledgers {
		if err := l.compare(); err != nil {
			t.Error(err)
		}
	}
}

// observeNowAndThen observes while the executor works, and doesn't.
func observeNowAndThen(e *antflow.Executor) {
	for i := range 40 {
		stop := e.Measure()
		if i%2 == 0 {
			defer e.Observe(func(antflow.Event) {})()
		}
		runtime.Gosched()
		if i%3 == 0 {
			time.Sleep(time.Millisecond)
		}
		stop()
		runtime.Gosched()
	}
}
