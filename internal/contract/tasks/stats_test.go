package tasks_test

import (
	"context"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
)

func TestStatsOfEveryKindOfTask(t *testing.T) {
	fake(t, func(b *bubble) {
		e := antflow.New(2, antflow.QueueLimit(4))
		ctx, cancel := context.WithCancel(bg)
		stop := make(chan struct{})
		e.Go(ctx, func(context.Context) error { return errMine }, antflow.Retries(1), antflow.RetryDelay(time.Hour))
		e.Go(bg, func(context.Context) error { return errMine })
		synctest.Wait()
		e.Go(ctx, noop, antflow.WithSemaphore(taken()))
		e.Go(ctx, noop, antflow.WithRateLimit(never{}))
		for range 3 {
			e.Go(bg, func(ctx context.Context) error {
				return antflow.Blocking(ctx, func() error { <-stop; return nil })
			})
			synctest.Wait()
		}
		for range 4 { // two run, two fill the queue
			e.Go(bg, func(context.Context) error { <-stop; return nil })
			synctest.Wait()
		}
		e.Go(bg, noop, antflow.NonBlocking())
		b.stats(e, antflow.Stats{Running: 2, Blocked: 3, Queued: 2, Waiting: 3, Failed: 1, Rejected: 1})
		if s := e.Stats(); s.Submitted != 11 || s.MaxWorkers != 2 || s.Workers < 2 {
			b.Errorf("%+v", s)
		}
		cancel()
		close(stop)
		b.stats(e, antflow.Stats{Succeeded: 7, Failed: 1, Canceled: 3, Rejected: 1})
	})
}

// At any instant: Submitted is the sum, limits hold, counters only grow.
func TestStatsInvariantsUnderLoad(t *testing.T) {
	e := antflow.New(4, antflow.QueueLimit(64))
	sem := antflow.NewSemaphore(2)
	var g gauge
	var over atomic.Bool
	polled := make(chan struct{})
	go func() {
		defer close(polled)
		var last antflow.Stats
		for !over.Load() && !t.Failed() {
			s := e.Stats()
			checkSum(t, s)
			if s.Running > 4 || s.Queued < 0 || s.Waiting < 0 || s.Blocked < 0 || s.Running < 0 || s.Submitted < last.Submitted ||
				s.Succeeded < last.Succeeded || s.Failed < last.Failed || s.Canceled < last.Canceled || s.Retries < last.Retries || s.Rejected < last.Rejected {
				t.Errorf("%+v\nafter %+v", s, last)
			}
			last = s
			runtime.Gosched()
		}
	}()
	compute := func() {
		g.in()
		defer g.out()
		runtime.Gosched()
	}
	var counted, settled atomic.Int64
	for i := range 20_000 {
		opts := []antflow.TaskOption{antflow.Priority(i % 3)}
		if i%5 == 0 {
			opts = append(opts, antflow.WithSemaphore(sem))
		}
		if i%7 == 0 {
			opts = append(opts, antflow.NonBlocking())
		}
		f := e.Go(bg, func(ctx context.Context) error {
			compute()
			switch i % 11 {
			case 1:
				return errMine
			case 2:
				panic(i)
			case 3:
				goexit()
			case 4, 5:
				_, err := e.Go(ctx, func(context.Context) error { compute(); return nil }, antflow.WithRateLimit(&pacer{})).Result(ctx)
				compute()
				return err
			case 6:
				e.Go(ctx, noop) // canceled with this attempt, or done
			}
			return nil
		}, append(opts, antflow.Retries(1), antflow.RetryDelay(0))...)
		counted.Add(1)
		f.OnDone(func(*antflow.Future[struct{}]) { settled.Add(1) })
		if i%13 == 0 {
			f.Cancel()
		}
	}
	ok(t, e.Close())
	over.Store(true)
	<-polled
	s := e.Stats()
	checkSum(t, s)
	if s.Workers+s.Running+s.Blocked+s.Queued+s.Waiting != 0 || counted.Load() != settled.Load() {
		t.Errorf("%d of %d settled: %+v", settled.Load(), counted.Load(), s)
	}
	if m := g.max.Load(); m > 4 {
		t.Errorf("%d computed at once", m)
	}
}
