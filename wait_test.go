package antflow_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/testkit"
)

// pendingPromises makes n promises and their futures.
func pendingPromises(n int) ([]*antflow.Promise[int], []*antflow.Future[int]) {
	promises := make([]*antflow.Promise[int], n)
	futures := make([]*antflow.Future[int], n)
	for i := range promises {
		promises[i] = antflow.NewPromise[int]()
		futures[i] = promises[i].Future()
	}
	return promises, futures
}

// A hooked context calls hook when a wait has told the futures, and is about
// to block.
type hooked struct {
	context.Context
	hook func()
}

func (h *hooked) Done() <-chan struct{} {
	h.hook()
	return h.Context.Done()
}

// Invariant 9, with everybody who may come, stay and leave at a future while it
// settles: each is told once, and at the end nobody has a seat.
func TestWaitersRace(t *testing.T) {
	testkit.NoLeak(t)
	e := antflow.New(2)
	defer e.Close()
	rounds := 500
	if testing.Short() {
		rounds = 100
	}
	for range rounds {
		promises, futures := pendingPromises(4)
		var told atomic.Int64
		var all sync.WaitGroup
		inTask := e.Go(t.Context(), func(ctx context.Context) error {
			if done, _, err := antflow.Wait(ctx, futures, antflow.AllCompleted); len(done) != 4 || err != nil {
				t.Errorf("Wait in a task: %v, %v", done, err)
			}
			return nil
		})
		all.Go(func() { // a wait that is given up, perhaps
			ctx, cancel := context.WithCancel(t.Context())
			all.Go(cancel)
			done, pending, err := antflow.Wait(ctx, futures, antflow.AllCompleted)
			if len(done)+len(pending) != 4 || (err == nil) != (len(pending) == 0) {
				t.Errorf("%d done, %d pending, %v", len(done), len(pending), err)
			}
		})
		all.Go(func() {
			if done, _, err := antflow.WaitN(t.Context(), futures, 1); len(done) < 1 || err != nil {
				t.Errorf("WaitN: %v, %v", done, err)
			}
		})
		all.Go(func() { // a range that is left early
			for range antflow.AsCompleted(t.Context(), futures) {
				break
			}
		})
		all.Go(func() {
			var yielded []*antflow.Future[int]
			for f, err := range antflow.AsCompleted(t.Context(), futures) {
				if err != nil || !f.IsDone() || slices.Contains(yielded, f) {
					t.Errorf("%v, %v after %v", f, err, yielded)
				}
				yielded = append(yielded, f)
			}
			if len(yielded) != 4 {
				t.Errorf("%d of 4 yielded", len(yielded))
			}
		})
		for i := range 4 {
			all.Go(func() { promises[i].SetResult(i) })
			all.Go(func() {
				futures[i].OnDone(func(f *antflow.Future[int]) {
					select {
					case <-f.Done():
						told.Add(1)
					default:
					}
				})
				<-futures[i].Done()
			})
			all.Go(func() {
				if v, err := futures[i].Result(t.Context()); v != i || err != nil {
					t.Errorf("%d, %v", v, err)
				}
			})
		}
		all.Wait()
		if _, err := inTask.Result(t.Context()); err != nil {
			t.Error(err)
		}
		if told.Load() != 4 {
			t.Fatalf("%d callbacks with Done closed", told.Load())
		}
		for _, f := range futures {
			if !antflow.Unseated(f) {
				t.Fatalf("%v still knows of somebody who waited", f)
			}
		}
	}
}

// Invariant 19: neither a pending nor a settled future keeps anything of a wait
// that is over, whoever else came before, meanwhile and after.
func TestNothingOfAWaitIsRetained(t *testing.T) {
	testkit.NoLeak(t)
	waits := map[string]func(ctx context.Context, futures []*antflow.Future[int]){
		"Wait": func(ctx context.Context, futures []*antflow.Future[int]) {
			antflow.Wait(ctx, futures, antflow.AllCompleted)
		},
		"AsCompleted": func(ctx context.Context, futures []*antflow.Future[int]) {
			for range antflow.AsCompleted(ctx, futures) {
			}
		},
	}
	others := map[string]func(f *antflow.Future[int]){
		"nobody":   func(*antflow.Future[int]) {},
		"Done":     func(f *antflow.Future[int]) { f.Done() },
		"callback": func(f *antflow.Future[int]) { f.OnDone(func(*antflow.Future[int]) {}) },
	}
	for name, wait := range waits {
		for who, other := range others {
			for _, before := range []bool{true, false} {
				promises, futures := pendingPromises(3)
				promises[2].SetResult(0)
				if before {
					other(futures[0])
				}
				inner, cancel := context.WithCancel(t.Context())
				ref := antflow.WaitsAt(futures[0])
				ctx := &hooked{inner, func() {
					ref = antflow.WaitsAt(futures[0])
					if ref.Value() == nil {
						t.Errorf("%s, %s: nobody waits", name, who)
					}
					if !before {
						other(futures[0])
					}
					promises[1].SetResult(1)
					cancel()
				}}
				wait(ctx, futures)
				for range 100 {
					if runtime.GC(); ref.Value() == nil {
						break
					}
				}
				if ref.Value() != nil {
					t.Errorf("%s, %s, before: %v: a future keeps something of the wait", name, who, before)
				}
				if bare := antflow.Unseated(futures[0]); bare != (who == "nobody") || !antflow.Unseated(futures[1]) {
					t.Errorf("%s, %s, before: %v: somebody is still there", name, who, before)
				}
				promises[0].SetResult(2)
				if !antflow.Unseated(futures[0]) {
					t.Errorf("%s, %s, before: %v: somebody is there after the settling", name, who, before)
				}
				runtime.KeepAlive(futures)
			}
		}
	}
}

// Two waits at the same futures, of which one is given up: the other one is
// told, whichever came first.
func TestWaitIsGivenUpBesideAnother(t *testing.T) {
	for _, first := range []bool{true, false} {
		testkit.Bubble(t, func(t *testing.T) {
			promises, futures := pendingPromises(100)
			ctx, cancel := context.WithCancel(t.Context())
			contexts := []context.Context{ctx, t.Context()}
			if !first {
				slices.Reverse(contexts)
			}
			errs := make([]error, 2)
			var all sync.WaitGroup
			for i := range 2 {
				all.Go(func() { _, _, errs[i] = antflow.Wait(contexts[i], futures, antflow.AllCompleted) })
				synctest.Wait()
			}
			cancel()
			synctest.Wait()
			for i, p := range promises {
				p.SetResult(i)
			}
			all.Wait()
			for i, c := range contexts {
				if (errs[i] == nil) != (c.Err() == nil) {
					t.Errorf("wait %d: %v", i, errs[i])
				}
			}
		})
	}
}

// Lists of promises and tasks of two executors, in any order and with
// duplicates: each counts once, at its first place.
func TestWaitMixedLists(t *testing.T) {
	testkit.NoLeak(t)
	d, e := antflow.New(2), antflow.New(2)
	defer d.Close()
	defer e.Close()
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 0))
		promises, futures := pendingPromises(8)
		settled := rng.IntN(9)
		for i := range settled {
			promises[i].SetResult(i)
		}
		var pool, list, want []antflow.Waitable
		for _, f := range futures {
			pool = append(pool, f)
		}
		for range rng.IntN(4) {
			pool = append(pool, d.Go(t.Context(), sleep(0)), antflow.Submit(t.Context(), e, func(context.Context) (int, error) { return 0, nil }))
		}
		for range rng.IntN(24) {
			list = append(list, pool[rng.IntN(len(pool))])
		}
		if rng.IntN(2) == 0 {
			slices.SortStableFunc(list, func(x, y antflow.Waitable) int { return slices.Index(pool, x) - slices.Index(pool, y) })
		}
		for _, f := range list {
			if !slices.Contains(want, f) {
				want = append(want, f)
			}
		}
		pendingOf := func(f antflow.Waitable) bool {
			p, ok := f.(*antflow.Future[int])
			return ok && slices.Contains(futures[settled:], p)
		}
		for _, f := range want {
			if !pendingOf(f) {
				<-f.Done()
			}
		}
		wantDone := slices.DeleteFunc(slices.Clone(want), pendingOf)
		done, pending, err := antflow.WaitN(t.Context(), list, len(wantDone))
		wantPending := slices.DeleteFunc(slices.Clone(want), func(f antflow.Waitable) bool { return !pendingOf(f) })
		if !slices.Equal(done, wantDone) || !slices.Equal(pending, wantPending) || err != nil {
			t.Fatalf("seed %d: %v and %v (%v), want %v and %v", seed, done, pending, err, wantDone, wantPending)
		}
		// Those that were done come in the order of the input, and the others in
		// that of their settling; a second range finds all of them done.
		order := rng.Perm(8)
		wantAll := slices.Clone(wantDone)
		for _, i := range order {
			if slices.Contains(wantPending, antflow.Waitable(futures[i])) {
				wantAll = append(wantAll, futures[i])
			}
		}
		settle := sync.OnceFunc(func() {
			for _, i := range order {
				promises[i].SetResult(i)
			}
		})
		seq := antflow.AsCompleted(&hooked{t.Context(), settle}, list)
		for _, expected := range [][]antflow.Waitable{wantAll, want} {
			var got []antflow.Waitable
			for f, err := range seq {
				if err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
				got = append(got, f)
			}
			if !slices.Equal(got, expected) {
				t.Fatalf("seed %d: %v, want %v", seed, got, expected)
			}
		}
		settle()
	}
}

// To wait for futures that are in one wait at a time allocates nothing for
// each, but for memory that is allocated together.
func TestWaitAllocatesLittle(t *testing.T) {
	testkit.NoLeak(t)
	const n = 10_000
	_, futures := pendingPromises(n)
	for name, wait := range map[string]func(ctx context.Context) error{
		"Wait": func(ctx context.Context) error {
			_, _, err := antflow.Wait(ctx, futures, antflow.AllCompleted)
			return err
		},
		"AsCompleted": func(ctx context.Context) (last error) {
			for _, err := range antflow.AsCompleted(ctx, futures) {
				last = err
			}
			return last
		},
	} {
		if allocs := testing.AllocsPerRun(5, func() {
			ctx, cancel := context.WithCancel(t.Context())
			if err := wait(&hooked{ctx, cancel}); !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", name, err)
			}
		}); allocs > 100 {
			t.Errorf("%s: %v allocations for %d futures", name, allocs, n)
		}
	}
}

// What orders promises is not for others to see.
func TestPromiseHasNoID(t *testing.T) {
	for range 3 {
		if f := antflow.NewPromise[int]().Future(); f.ID() != 0 || f.String() != "promise pending" {
			t.Errorf("%d, %v", f.ID(), f)
		}
	}
}

// A worker whose task has to be told to one that lent its slot does so before
// it takes the next, also when others have come to the same future since.
func TestWaitingTaskIsSeenAmongOthers(t *testing.T) {
	for who, come := range map[string]func(f *antflow.Future[struct{}]){
		"nobody":   func(*antflow.Future[struct{}]) {},
		"Done":     func(f *antflow.Future[struct{}]) { f.Done() },
		"callback": func(f *antflow.Future[struct{}]) { f.OnDone(func(*antflow.Future[struct{}]) {}) },
		"a wait that was given up": func(f *antflow.Future[struct{}]) {
			ctx, cancel := context.WithCancel(context.Background())
			antflow.Wait(&hooked{ctx, cancel}, []*antflow.Future[struct{}]{f}, antflow.AllCompleted)
		},
	} {
		for _, before := range []bool{true, false} {
			testkit.Bubble(t, func(t *testing.T) {
				e := antflow.New(1)
				defer e.Close()
				var order []string
				e.Go(t.Context(), func(ctx context.Context) error {
					var child *antflow.Future[struct{}]
					child = e.Go(ctx, func(context.Context) error {
						if !before {
							come(child)
						}
						order = append(order, "child")
						return nil
					})
					e.Go(t.Context(), func(context.Context) error { order = append(order, "other"); return nil })
					if before {
						come(child)
					}
					antflow.Wait(ctx, []*antflow.Future[struct{}]{child}, antflow.AllCompleted)
					order = append(order, "parent")
					return nil
				})
				synctest.Wait()
				if want := []string{"child", "parent", "other"}; !slices.Equal(order, want) {
					t.Errorf("%s, before: %v: %v, want %v", who, before, order, want)
				}
			})
		}
	}
}
