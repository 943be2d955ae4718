package tasks_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/antflow/antflow"
)

func TestWhatAWaitReportsIsDecidedWhenItsConditionHoldsOrItsContextEnds(t *testing.T) {
	for _, first := range []string{"result", "context"} {
		fake(t, func(b *bubble) {
			e, p := antflow.New(1), antflow.NewPromise[int]()
			settle, end := time.Second, 2*time.Second
			if first == "context" {
				settle, end = end, settle
			}
			time.AfterFunc(settle, func() { p.SetResult(7) })
			free := occupy(b, e, 1)
			f := e.Go(bg, func(ctx context.Context) error {
				ctx, cancel := context.WithTimeout(ctx, end)
				defer cancel()
				v, err := p.Future().Result(ctx)
				b.at(9 * time.Second) // when the slot was free again
				if first == "result" {
					ok(b, err)
				} else {
					as[antflow.WaitError](b, err)
					is(b, err, context.DeadlineExceeded)
				}
				if (v == 7) != (first == "result") {
					b.Error(v)
				}
				return nil
			})
			e.Go(bg, sleeps(9*time.Second))
			free()
			ok(b, result(f))
		})
	}
}

func TestBlockingReturnsFnsErrorAndSurvivesItsEnd(t *testing.T) {
	fake(t, func(b *bubble) {
		e, g := antflow.New(2), new(gauge)
		ends := []func() error{
			func() error { return errMine },
			func() error { panic("blocked") },
			func() error { runtime.Goexit(); return nil },
		}
		for i, want := range []string{"mine", "antflow: ", "antflow: "} {
			f := e.Go(bg, func(ctx context.Context) error {
				return antflow.Blocking(ctx, func() error { time.Sleep(time.Second); return ends[i]() })
			})
			b.until(time.Duration(i)*time.Second + time.Second/2)
			b.stats(e, antflow.Stats{Blocked: 1, Failed: uint64(i)})
			if err := result(f); err == nil || len(err.Error()) < len(want) || err.Error()[:len(want)] != want {
				b.Errorf("%d: %v", i, err)
			}
		}
		for range 8 {
			e.Go(bg, g.task(time.Second))
		}
		ok(b, e.Close())
		g.want(b, 2)
		b.at(7 * time.Second)
		b.stats(e, antflow.Stats{Succeeded: 8, Failed: 3})
	})
}

func TestWaitingForATaskInItsRetryDelayLends(t *testing.T) {
	fake(t, func(b *bubble) {
		e, n := antflow.New(1), 0
		f := e.Go(bg, func(ctx context.Context) error {
			_, err := e.Go(ctx, func(context.Context) error {
				if n++; n == 1 {
					return errMine
				}
				return nil
			}, antflow.Retries(1), antflow.RetryDelay(time.Hour)).Result(ctx)
			return err
		})
		b.stats(e, antflow.Stats{Blocked: 1, Waiting: 1})
		ok(b, result(e.Go(bg, noop)))
		b.at(0)
		ok(b, result(f))
		b.at(time.Hour)
	})
}

func TestCanceledParentStopsWaiting(t *testing.T) {
	fake(t, func(b *bubble) {
		e, p := antflow.New(1), antflow.NewPromise[int]()
		f := antflow.Submit(bg, e, func(ctx context.Context) (int, error) {
			v, err := p.Future().Result(ctx)
			as[antflow.WaitError](b, err)
			is(b, err, context.Canceled)
			return v, fmt.Errorf("gave up: %w", err)
		})
		b.until(time.Second)
		if !f.Cancel() {
			b.Error("not canceled")
		}
		is(b, result(f), antflow.ErrCanceled)
		b.at(time.Second)
		if p.Future().IsDone() {
			b.Error("the wait changed the future")
		}
	})
}
