package antflow_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/testkit"
)

// countingSemaphore counts the permits that it gave.
type countingSemaphore struct {
	antflow.Semaphore
	given atomic.Int64
}

func (s *countingSemaphore) Acquire(ctx context.Context, n int64) error {
	err := s.Semaphore.Acquire(ctx, n)
	if err == nil {
		s.given.Add(n)
	}
	return err
}

func (s *countingSemaphore) TryAcquire(n int64) bool {
	ok := s.Semaphore.TryAcquire(n)
	if ok {
		s.given.Add(n)
	}
	return ok
}

// pacer is a rate limit of one event a second that counts them.
type pacer struct{ given atomic.Int64 }

func (p *pacer) Wait(ctx context.Context) error {
	select {
	case <-time.After(time.Second):
		p.given.Add(1)
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Invariant 7.
func TestOnePendingPerLine(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(1)
		sem := &countingSemaphore{Semaphore: antflow.NewSemaphore(5)}
		sem.Semaphore.TryAcquire(5)
		limit := new(pacer)
		for range 3 {
			e.Go(t.Context(), sleep(0), antflow.WithSemaphore(sem))
			e.Go(t.Context(), sleep(0), antflow.WithRateLimit(limit))
		}
		leaves := []*antflow.Future[struct{}]{
			e.Go(t.Context(), sleep(0), antflow.WithSemaphore(sem)),
			e.Go(t.Context(), sleep(0), antflow.WithRateLimit(limit)),
		}
		rest(t, e)
		e.Go(t.Context(), sleep(time.Minute))
		sem.Release(5)
		time.Sleep(10 * time.Second)
		for _, f := range leaves {
			f.Cancel()
		}
		time.Sleep(10 * time.Second)
		rest(t, e)
		if sem.given.Load() != 1 || limit.given.Load() != 1 {
			t.Errorf("%d permits and %d events without a start", sem.given.Load(), limit.given.Load())
		}
		e.Close()
		if sem.given.Load() != 3 || limit.given.Load() != 3 {
			t.Errorf("%d permits and %d events for 3 starts each", sem.given.Load(), limit.given.Load())
		}
	})
}

// What a task had got that is canceled before it starts goes to the next in
// line, which asks for nothing.
func TestPendingIsHandedOn(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(1)
		sem := &countingSemaphore{Semaphore: antflow.NewSemaphore(1)}
		sem.Semaphore.TryAcquire(1)
		limit := new(pacer)
		start := time.Now()
		var firsts, seconds []*antflow.Future[struct{}]
		for _, opt := range []antflow.TaskOption{antflow.WithSemaphore(sem), antflow.WithRateLimit(limit)} {
			firsts = append(firsts, e.Go(t.Context(), sleep(0), opt))
			seconds = append(seconds, e.Go(t.Context(), sleep(0), opt))
		}
		synctest.Wait()
		e.Go(t.Context(), sleep(time.Minute))
		sem.Release(1)
		time.Sleep(10 * time.Second)
		for _, f := range firsts {
			f.Cancel()
		}
		rest(t, e)
		for _, f := range seconds {
			if _, err := f.Result(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if d := time.Since(start); d != time.Minute || sem.given.Load() != 1 || limit.given.Load() != 1 {
			t.Errorf("%d permits and %d events, %v", sem.given.Load(), limit.given.Load(), d)
		}
		// Without a next one the permit goes back.
		e.Close()
		if !sem.TryAcquire(1) {
			t.Error("the permit is still held")
		}
	})
}

// A task that was called back to a free place, and leaves the queue without
// taking it, calls the next one.
func TestPlaceIsHandedOn(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(2)
		g := antflow.NewGroup(t.Context(), e, antflow.MaxConcurrency(1), antflow.CollectErrors())
		g.Go(sleep(time.Second))
		ran := false
		g.Go(func(context.Context) error { t.Error("the expired task ran"); return nil }, antflow.QueueTimeout(2*time.Second))
		g.Go(func(context.Context) error { ran = true; return nil })
		synctest.Wait()
		for range 4 { // two more than there are slots at 1s, so the place stays free
			e.Go(t.Context(), sleep(3*time.Second), antflow.Priority(1))
		}
		if err := g.Wait(); !errors.Is(err, antflow.ErrQueueTimeout) || !ran {
			t.Errorf("%v, and the last task ran: %v", err, ran)
		}
		rest(t, e)
		e.Close()
	})
}

func TestSemaphore(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		s := antflow.NewSemaphore(3)
		acquire := func(ctx context.Context, n int64) (<-chan struct{}, *error) {
			err := new(error)
			done := testkit.Started(func() { *err = s.Acquire(ctx, n) })
			synctest.Wait()
			return done, err
		}
		if !s.TryAcquire(2) || s.TryAcquire(2) {
			t.Error("TryAcquire does not count")
		}
		ctx, cancel := context.WithCancel(t.Context())
		big, bigErr := acquire(ctx, 3)
		small, smallErr := acquire(t.Context(), 1)
		if !testkit.Blocked(big) || !testkit.Blocked(small) || s.TryAcquire(1) {
			t.Error("a later one overtook the first waiter")
		}
		cancel()
		if testkit.Blocked(big) || !errors.Is(*bigErr, context.Canceled) {
			t.Errorf("the canceled Acquire: %v", *bigErr)
		}
		if testkit.Blocked(small) || *smallErr != nil {
			t.Errorf("the one behind it: %v", *smallErr)
		}
		s.Release(3)
		if all, err := acquire(t.Context(), 3); testkit.Blocked(all) || *err != nil {
			t.Errorf("all permits: %v", *err)
		}
		ctx, cancel = context.WithCancel(t.Context())
		never, neverErr := acquire(ctx, 4)
		s.Release(3)
		if !testkit.Blocked(never) {
			t.Error("more permits than there are")
		}
		cancel()
		if testkit.Blocked(never) || !errors.Is(*neverErr, context.Canceled) {
			t.Errorf("more permits than there are: %v", *neverErr)
		}
		ended, endedErr := acquire(ctx, 1)
		if testkit.Blocked(ended) || !errors.Is(*endedErr, context.Canceled) || !s.TryAcquire(3) {
			t.Errorf("an ended context: %v", *endedErr)
		}
	})
}
