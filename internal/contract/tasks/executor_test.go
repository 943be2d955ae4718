package tasks_test

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
)

func TestDefaultMaxWorkersIsFive(t *testing.T) {
	if antflow.DefaultMaxWorkers != 5 {
		t.Error(antflow.DefaultMaxWorkers)
	}
}

func TestNewStartsNothing(t *testing.T) {
	fake(t, func(b *bubble) {
		base := runtime.NumGoroutine()
		e := antflow.New(3, antflow.QueueLimit(10), antflow.ExecutorName("x"))
		synctest.Wait()
		if n := runtime.NumGoroutine(); n > base {
			b.Errorf("%d goroutines, %d before New", n, base)
		}
		if got, want := e.Stats(), (antflow.Stats{MaxWorkers: 3}); got != want || e.MaxWorkers() != 3 {
			b.Errorf("%+v", got)
		}
	})
}

func TestWorkersStartOnDemand(t *testing.T) {
	fake(t, func(b *bubble) {
		e := antflow.New(100)
		free := occupy(b, e, 2)
		if w := e.Stats().Workers; w != 2 {
			b.Errorf("%d workers for 2 tasks", w)
		}
		free()
	})
}

// The bubble ends without Close: a goroutine left behind would be reported as a deadlock.
func TestIdleExecutorHasNoGoroutine(t *testing.T) {
	fake(t, func(b *bubble) {
		e := antflow.New(3, antflow.QueueLimit(50))
		kept, cancel := context.WithCancel(bg)
		defer cancel()
		sem, lim := spy(2), &pacer{every: time.Second}
		for i := range 20 {
			e.Go(kept, func(ctx context.Context) error {
				if info, _ := antflow.TaskFrom(ctx); info.Attempt < 2 && i%3 == 0 {
					return errMine
				}
				_, err := e.Go(context.WithoutCancel(ctx), sleeps(time.Second)).Result(ctx)
				return err
			}, antflow.Retries(1), antflow.WithSemaphore(sem), antflow.WithRateLimit(lim),
				antflow.Timeout(time.Hour), antflow.QueueTimeout(time.Hour))
		}
		time.Sleep(30 * time.Minute)
		b.stats(e, antflow.Stats{Succeeded: 40, Retries: 7})
		if w := e.Stats().Workers; w != 0 {
			b.Errorf("%d workers while idle", w)
		}
		sem.balanced(b)
		f := e.Go(bg, noop) // and it wakes up again
		ok(b, result(f))
	})
}

func collected(t *testing.T, gone <-chan struct{}) {
	t.Helper()
	for range 500 {
		runtime.GC()
		select {
		case <-gone:
			return
		case <-time.After(5 * time.Millisecond):
		}
	}
	t.Error("not collected")
}

func TestDroppedExecutorIsCollected(t *testing.T) {
	kept, cancel := context.WithCancel(bg) // contexts outlive the executor
	defer cancel()
	sem := antflow.NewSemaphore(1)
	use := map[string]func(e *antflow.Executor){
		"unused": func(*antflow.Executor) {},
		"used": func(e *antflow.Executor) {
			for range 20 {
				ok(t, result(e.Go(kept, noop, antflow.Timeout(time.Hour), antflow.QueueTimeout(time.Hour),
					antflow.WithSemaphore(sem))))
			}
		},
		"canceled": func(e *antflow.Executor) {
			f := e.Go(kept, func(context.Context) error { return errMine }, antflow.Retries(1), antflow.RetryDelay(time.Hour))
			for f.Attempts() == 0 || f.State() != antflow.StatePending {
				runtime.Gosched()
			}
			f.Cancel()
			is(t, result(f), antflow.ErrCanceled)
		},
	}
	for name, fn := range use {
		t.Run(name, func(t *testing.T) {
			gone := make(chan struct{})
			func() {
				e := antflow.New(2)
				fn(e)
				runtime.AddCleanup(e, func(c chan struct{}) { close(c) }, gone)
			}()
			collected(t, gone)
		})
	}
}

func TestExecutorRetainsNothingDone(t *testing.T) {
	e := antflow.New(2)
	gone := make(chan struct{}, 2)
	func() {
		in, out := new([1 << 16]byte), new([1 << 16]byte)
		for _, p := range []*[1 << 16]byte{in, out} {
			runtime.AddCleanup(p, func(c chan struct{}) { c <- struct{}{} }, gone)
		}
		f := antflow.Submit(bg, e, func(context.Context) (*[1 << 16]byte, error) { in[0] = 1; return out, nil })
		ok(t, result(f))
	}()
	collected(t, gone)
	collected(t, gone)
	runtime.KeepAlive(e)
}

func TestAtMostMaxWorkersRunAndNoSlotIsWasted(t *testing.T) {
	for _, n := range []int{1, 2, 7} {
		fake(t, func(b *bubble) {
			e, g := antflow.New(n), new(gauge)
			for range 50 {
				e.Go(bg, g.task(time.Second))
			}
			ok(b, e.Close())
			g.want(b, int64(n))
			b.at(time.Duration((50+n-1)/n) * time.Second)
		})
	}
}

func TestFreedSlotGoesToTheNextTaskAtOnce(t *testing.T) {
	fake(t, func(b *bubble) {
		e := antflow.New(3)
		starts, ends := []int{0, 0, 0, 1, 1, 2, 3}, []int{3, 1, 1, 2, 3, 7, 4}
		for i := range starts {
			e.Go(bg, func(context.Context) error {
				b.at(time.Duration(starts[i]) * time.Second)
				time.Sleep(time.Duration(ends[i]-starts[i]) * time.Second)
				return nil
			})
		}
		ok(b, e.Close())
		b.at(7 * time.Second)
	})
}

// No batching may put a quick task behind a slow one while a slot is free.
func TestNoRunnableTaskWaitsBehindASlowOne(t *testing.T) {
	for _, busy := range []bool{false, true} {
		fake(t, func(b *bubble) {
			e := antflow.New(8)
			free := func() {}
			if busy {
				free = occupy(b, e, 8)
			}
			stop := make(chan struct{})
			for i := range 1007 {
				e.Go(bg, func(context.Context) error {
					if i%3 == 0 && i < 21 {
						<-stop
					}
					return nil
				})
			}
			free()
			synctest.Wait()
			if s := e.Stats(); s.Running != 7 || s.Queued != 0 {
				b.Errorf("a quick task waits: %+v", s)
			}
			close(stop)
			b.at(0)
		})
	}
}

func TestTaskSubmittedByARunningTaskStartsBesideIt(t *testing.T) {
	fake(t, func(b *bubble) {
		e := antflow.New(2)
		f := e.Go(bg, func(ctx context.Context) error {
			child := e.Go(ctx, func(context.Context) error { b.at(0); return nil })
			time.Sleep(time.Hour)
			state(b, child, antflow.StateSucceeded)
			return nil
		})
		ok(b, result(f))
	})
}

func TestWaitingTasksDelayNobody(t *testing.T) {
	fake(t, func(b *bubble) {
		e := antflow.New(1)
		sem := antflow.NewSemaphore(1)
		sem.TryAcquire(1)
		ctx, cancel := context.WithCancel(bg)
		prio := antflow.Priority(1000)
		e.Go(ctx, func(context.Context) error { return errMine }, antflow.Retries(1), antflow.RetryDelay(time.Hour), prio)
		e.Go(ctx, noop, antflow.WithSemaphore(sem), prio)
		e.Go(ctx, noop, antflow.WithRateLimit(never{}), prio)
		b.stats(e, antflow.Stats{Waiting: 3})
		for range 3 {
			ok(b, result(e.Go(bg, noop)))
		}
		b.at(0)
		cancel()
		b.stats(e, antflow.Stats{Succeeded: 3, Canceled: 3})
	})
}

func TestResizeUpStartsQueuedTasks(t *testing.T) {
	fake(t, func(b *bubble) {
		e := antflow.New(1)
		for range 5 {
			e.Go(bg, sleeps(time.Second))
		}
		b.stats(e, antflow.Stats{Running: 1, Queued: 4})
		e.Resize(3)
		b.stats(e, antflow.Stats{Running: 3, Queued: 2})
		if e.MaxWorkers() != 3 || e.Stats().MaxWorkers != 3 {
			b.Error("MaxWorkers is not 3")
		}
		ok(b, e.Close())
		b.at(2 * time.Second)
	})
}

func TestResizeDownTakesEffectAsTasksFinish(t *testing.T) {
	fake(t, func(b *bubble) {
		e, rec := antflow.New(3), new(record)
		for i, d := range []time.Duration{1, 2, 3, 1, 1, 1} {
			e.Go(bg, func(context.Context) error {
				rec.add("%d@%v", i, b.now())
				time.Sleep(d * time.Second)
				return nil
			})
		}
		synctest.Wait()
		e.Resize(1)
		if e.MaxWorkers() != 1 {
			b.Error("MaxWorkers is not 1")
		}
		b.until(2500 * time.Millisecond)
		if s := e.Stats(); s.Running != 1 {
			b.Errorf("%+v", s)
		}
		ok(b, e.Close())
		b.at(6 * time.Second)
		if got := rec.items[3:]; got[0] != "3@3s" || got[1] != "4@4s" || got[2] != "5@5s" {
			b.Errorf("%q", got)
		}
	})
}

func TestResizeDownHoldsForResumingTasks(t *testing.T) {
	fake(t, func(b *bubble) {
		e, g, p := antflow.New(2), new(gauge), antflow.NewPromise[int]()
		for range 2 {
			e.Go(bg, func(ctx context.Context) error {
				_, err := p.Future().Result(ctx)
				g.in()
				defer g.out()
				time.Sleep(time.Second)
				return err
			})
		}
		for range 2 {
			e.Go(bg, sleeps(2*time.Second))
		}
		b.until(time.Second)
		b.stats(e, antflow.Stats{Running: 2, Blocked: 2})
		e.Resize(1)
		p.SetResult(1)
		ok(b, e.Close())
		g.want(b, 1)
		b.at(4 * time.Second)
	})
}

func TestIDsCountFromZero(t *testing.T) {
	fake(t, func(b *bubble) {
		e, other := antflow.New(2), antflow.New(2)
		for i := range uint64(10) {
			f, g := e.Go(bg, noop), other.Go(bg, noop)
			if f.ID() != i || g.ID() != i {
				b.Errorf("IDs %d and %d, want %d", f.ID(), g.ID(), i)
			}
		}
	})
}
