package tasks_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
)

// depth submits a chain of tasks, each waiting for the next.
func depth(ctx context.Context, n int, next func(n int) *antflow.Executor, bottom func()) (int, error) {
	if n == 0 {
		bottom()
		return 0, nil
	}
	v, err := antflow.Submit(ctx, next(n), func(ctx context.Context) (int, error) {
		return depth(ctx, n-1, next, bottom)
	}).Result(ctx)
	return v + 1, err
}

func TestNestingNeverDeadlocks(t *testing.T) {
	for _, workers := range []int{1, 2} {
		fake(t, func(b *bubble) {
			e := antflow.New(workers, antflow.QueueLimit(1))
			v, err := depth(bg, 100, func(int) *antflow.Executor { return e }, func() {
				// With a second worker the parent may not have come to wait yet.
				if s := e.Stats(); s.Running+s.Blocked != 100 || s.Running > workers {
					b.Errorf("%+v", s)
				}
				checkSum(b, e.Stats())
			})
			ok(b, err)
			if v != 100 {
				b.Error(v)
			}
		})
	}
}

func TestNestingAcrossExecutorsNeverDeadlocks(t *testing.T) {
	fake(t, func(b *bubble) {
		es := []*antflow.Executor{antflow.New(1, antflow.QueueLimit(1)), antflow.New(1), antflow.New(1)}
		v, err := depth(bg, 90, func(n int) *antflow.Executor { return es[n%3] }, func() {})
		ok(b, err)
		if v != 90 {
			b.Error(v)
		}
		for _, e := range es {
			b.stats(e, antflow.Stats{Succeeded: 30})
		}
	})
}

// blockingWays are the ways to wait for children of one's own.
var blockingWays = map[string]func(ctx context.Context, e *antflow.Executor, child func(context.Context) error) error{
	"Map": func(ctx context.Context, e *antflow.Executor, child func(context.Context) error) error {
		for _, err := range antflow.Map(ctx, e, slices.Values([]int{1}), func(ctx context.Context, _ int) (int, error) { return 0, child(ctx) }) {
			return err
		}
		return errMine
	},
	"Map2": func(ctx context.Context, e *antflow.Executor, child func(context.Context) error) error {
		for _, err := range antflow.Map2(ctx, e, slices.All([]int{1}), func(ctx context.Context, _, _ int) (int, error) { return 0, child(ctx) }) {
			return err
		}
		return errMine
	},
	"MapUnordered": func(ctx context.Context, e *antflow.Executor, child func(context.Context) error) error {
		for _, err := range antflow.MapUnordered(ctx, e, slices.Values([]int{1}), func(ctx context.Context, _ int) (int, error) { return 0, child(ctx) }) {
			return err
		}
		return errMine
	},
	"MapSlice": func(ctx context.Context, e *antflow.Executor, child func(context.Context) error) error {
		_, err := antflow.MapSlice(ctx, e, []int{1}, func(ctx context.Context, _ int) (int, error) { return 0, child(ctx) })
		return err
	},
	"ForEach": func(ctx context.Context, e *antflow.Executor, child func(context.Context) error) error {
		return antflow.ForEach(ctx, e, slices.Values([]int{1}), func(ctx context.Context, _ int) error { return child(ctx) })
	},
	"Group": func(ctx context.Context, e *antflow.Executor, child func(context.Context) error) error {
		g := antflow.NewGroup(ctx, e)
		g.Go(child)
		return g.Wait()
	},
	"Blocking": func(ctx context.Context, e *antflow.Executor, child func(context.Context) error) error {
		f := e.Go(ctx, child)
		return antflow.Blocking(ctx, func() error { <-f.Done(); return f.Err() })
	},
	"another goroutine": func(ctx context.Context, e *antflow.Executor, child func(context.Context) error) error {
		f, done := e.Go(ctx, child), make(chan error)
		go func() {
			_, err := f.Result(ctx)
			done <- err
		}()
		return <-done
	},
}

func TestEveryBlockingCallLendsTheSlot(t *testing.T) {
	for name, way := range blockingWays {
		t.Run(name, func(t *testing.T) {
			fake(t, func(b *bubble) {
				e, g := antflow.New(1), new(gauge)
				for range 3 {
					e.Go(bg, func(ctx context.Context) error {
						g.task(time.Second)(ctx)
						ok(b, way(ctx, e, g.task(time.Second)))
						return g.task(time.Second)(ctx)
					})
				}
				ok(b, e.Close())
				g.want(b, 1)
				b.at(9 * time.Second)
			})
		})
	}
}

// futureWays are the ways to wait for a future.
var futureWays = map[string]func(ctx context.Context, f *antflow.Future[int]) error{
	"Result": func(ctx context.Context, f *antflow.Future[int]) error { _, err := f.Result(ctx); return err },
	"Wait": func(ctx context.Context, f *antflow.Future[int]) error {
		_, _, err := antflow.Wait(ctx, []*antflow.Future[int]{f}, antflow.FirstCompleted)
		return err
	},
	"WaitN": func(ctx context.Context, f *antflow.Future[int]) error {
		_, _, err := antflow.WaitN(ctx, []antflow.Waitable{f, f}, 5)
		return err
	},
	"AsCompleted": func(ctx context.Context, f *antflow.Future[int]) error {
		for _, err := range antflow.AsCompleted(ctx, []*antflow.Future[int]{f}) {
			return err
		}
		return errMine
	},
}

func TestSlotIsLentWhateverTheFuturesOriginAndTakenBackBeforeReturn(t *testing.T) {
	for name, way := range futureWays {
		for _, origin := range []string{"promise", "queued here", "elsewhere"} {
			t.Run(name+"/"+origin, func(t *testing.T) {
				fake(t, func(b *bubble) {
					e, p := antflow.New(1), antflow.NewPromise[int]()
					free := occupy(b, e, 1)
					f := p.Future()
					switch origin {
					case "queued here": // started as the first thing in the lent slot
						f = antflow.Submit(bg, e, func(ctx context.Context) (int, error) { return 1, nextSecond(ctx) })
					case "elsewhere":
						f = antflow.Submit(bg, antflow.New(1), func(ctx context.Context) (int, error) { return 1, nextSecond(ctx) })
					default:
						time.AfterFunc(time.Second, func() { p.SetResult(1) })
					}
					e.Go(bg, func(ctx context.Context) error {
						derived, cancel := context.WithTimeout(ctx, time.Hour)
						defer cancel()
						ok(b, way(derived, f))
						want := 5 * time.Second // the one beside runs from 0 to 5 in the lent slot
						if origin == "queued here" {
							want = time.Second // no slot for the one beside
						}
						b.at(want)
						return nil
					}, antflow.Priority(2))
					e.Go(bg, sleeps(5*time.Second), antflow.Priority(1))
					free()
					ok(b, e.Close())
				})
			})
		}
	}
}

func nextSecond(ctx context.Context) error { return nap(ctx, time.Second) }

func TestWhatIsNotLent(t *testing.T) {
	ways := map[string]func(ctx, foreign context.Context, f *antflow.Future[int]){
		"Done":            func(_, _ context.Context, f *antflow.Future[int]) { <-f.Done() },
		"another context": func(_, foreign context.Context, f *antflow.Future[int]) { f.Result(foreign) },
		"a settled future": func(ctx, _ context.Context, f *antflow.Future[int]) {
			<-f.Done()
			f.Result(ctx)
		},
	}
	for name, way := range futureWays {
		ways[name+" through Background"] = func(_, _ context.Context, f *antflow.Future[int]) { way(bg, f) }
	}
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			fake(t, func(b *bubble) {
				e, other, p, rec := antflow.New(1), antflow.New(1), antflow.NewPromise[int](), new(record)
				var foreign context.Context
				stop := make(chan struct{})
				other.Go(bg, func(ctx context.Context) error { foreign = ctx; <-stop; return nil })
				synctest.Wait()
				free := occupy(b, e, 1)
				e.Go(bg, func(ctx context.Context) error {
					way(ctx, foreign, p.Future())
					rec.add("waited")
					return nil
				})
				e.Go(bg, rec.task("beside", 0))
				free()
				b.until(time.Second)
				b.stats(e, antflow.Stats{Running: 1, Queued: 1, Succeeded: 1})
				p.SetResult(1)
				ok(b, e.Close())
				rec.want(b, "waited", "beside")
				close(stop)
			})
		})
	}
}

func TestGroupOfAnotherContextIsNotLent(t *testing.T) {
	fake(t, func(b *bubble) {
		e, other := antflow.New(1), antflow.New(1)
		g := antflow.NewGroup(bg, other)
		g.Go(sleeps(time.Second))
		f := e.Go(bg, func(context.Context) error { return g.Wait() })
		synctest.Wait()
		beside := e.Go(bg, func(context.Context) error { b.at(time.Second); return nil })
		b.stats(e, antflow.Stats{Running: 1, Queued: 1})
		ok(b, result(beside))
		ok(b, f.Err())
	})
}

func TestPermitIsNotLent(t *testing.T) {
	semaphores(t, 1, func(b *bubble, sem antflow.Semaphore) {
		e, p := antflow.New(1), antflow.NewPromise[int]()
		holder := antflow.Submit(bg, e, p.Future().Result, antflow.WithSemaphore(sem))
		synctest.Wait()
		waiter := e.Go(bg, noop, antflow.WithSemaphore(sem))
		ok(b, result(e.Go(bg, noop))) // the slot is
		b.stats(e, antflow.Stats{Blocked: 1, Waiting: 1, Succeeded: 1})
		p.SetResult(7)
		value(b, holder, 7)
		ok(b, result(waiter))
	})
}

func TestOverlappingWaitsLendOnce(t *testing.T) {
	fake(t, func(b *bubble) {
		e, g := antflow.New(1), new(gauge)
		ps := []*antflow.Promise[int]{antflow.NewPromise[int](), antflow.NewPromise[int](), antflow.NewPromise[int]()}
		free := occupy(b, e, 1)
		f := e.Go(bg, func(ctx context.Context) error {
			var wg sync.WaitGroup
			for _, p := range ps {
				wg.Go(func() { p.Future().Result(ctx) })
			}
			wg.Wait()
			b.at(10 * time.Second)
			return g.task(time.Second)(ctx)
		})
		for range 3 {
			e.Go(bg, g.task(10*time.Second))
		}
		free()
		b.until(time.Second)
		b.stats(e, antflow.Stats{Running: 1, Blocked: 1, Queued: 2, Succeeded: 1})
		time.Sleep(time.Second)
		for _, p := range ps {
			p.SetResult(1)
		}
		ok(b, result(f))
		b.at(11 * time.Second)
		ok(b, e.Close())
		b.at(31 * time.Second)
		g.want(b, 1)
	})
}

func TestWaitInsideBlockingLendsOnce(t *testing.T) {
	fake(t, func(b *bubble) {
		e, p, g := antflow.New(2), antflow.NewPromise[int](), new(gauge)
		free := occupy(b, e, 2)
		f := e.Go(bg, func(ctx context.Context) error {
			err := antflow.Blocking(ctx, func() error { _, err := p.Future().Result(ctx); return err })
			g.in()
			defer g.out()
			time.Sleep(time.Second)
			return err
		})
		for range 5 {
			e.Go(bg, g.task(4*time.Second))
		}
		free()
		b.until(time.Second)
		b.stats(e, antflow.Stats{Running: 2, Blocked: 1, Queued: 3, Succeeded: 2})
		p.SetResult(1)
		ok(b, result(f))
		b.at(5 * time.Second)
		ok(b, e.Close())
		g.want(b, 2)
	})
}

func TestNeverMoreThanMaxWorkersComputeAndNoneIdles(t *testing.T) {
	fake(t, func(b *bubble) {
		e, g := antflow.New(3), new(gauge)
		for range 20 {
			e.Go(bg, func(ctx context.Context) error {
				g.task(time.Second)(ctx)
				_, err := e.Go(ctx, g.task(time.Second)).Result(ctx)
				g.task(time.Second)(ctx)
				return err
			})
		}
		ok(b, e.Close())
		g.want(b, 3)
		b.at(21 * time.Second) // seven rounds of three parents
	})
}

func TestMapTakesTheSlotBackBeforeEachYield(t *testing.T) {
	fake(t, func(b *bubble) {
		e, g := antflow.New(1), new(gauge)
		f := e.Go(bg, func(ctx context.Context) error {
			for v, err := range antflow.Map(ctx, e, slices.Values([]int{0, 1, 2}), func(ctx context.Context, i int) (int, error) {
				return i, g.task(time.Second)(ctx)
			}) {
				b.at(time.Duration(2*v+1) * time.Second)
				ok(b, errors.Join(err, g.task(time.Second)(ctx)))
			}
			return nil
		})
		ok(b, result(f))
		b.at(6 * time.Second)
		g.want(b, 1)
	})
}
