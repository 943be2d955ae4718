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

// What workers ran before an item that lends its slot is told, so that more
// items come.
func TestLentItemsDontHoldUpOthers(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(1)
		const n = 200_000
		var most, blocked atomic.Int64
		finished := startMapSlice(t.Context(), e, n, func(ctx context.Context, i int) (int, error) {
			if i%100 == 99 {
				most.Store(max(most.Load(), blocked.Add(1)))
				antflow.Blocking(ctx, func() error { time.Sleep(time.Second); return nil })
				blocked.Add(-1)
			}
			return i, nil
		})
		synctest.Wait()
		if got := most.Load(); got < n/100 {
			t.Errorf("%d items blocked at once, want %d: %+v", got, n/100, e.Stats())
		}
		if err := <-finished; err != nil {
			t.Error(err)
		}
		rest(t, e)
	})
}

// Nothing is accepted once a shutdown is complete.
func TestNothingIsAcceptedAfterClose(t *testing.T) {
	testkit.NoLeak(t)
	for range 5_000 {
		e := antflow.New(1)
		done := make(chan struct{})
		go func() {
			defer close(done)
			antflow.MapSlice(t.Context(), e, indexes(2), func(_ context.Context, i int) (int, error) { return i, nil })
		}()
		if rand.IntN(2) == 0 {
			runtime.Gosched()
		}
		e.Close()
		s := e.Stats()
		<-done
		if after := e.Stats(); after.Submitted != s.Submitted {
			t.Fatalf("%+v, and after the end %+v", s, after)
		}
	}
}

// Everything at once, with contexts that outlive their items.
func TestItemsWithAllElse(t *testing.T) {
	testkit.NoLeak(t)
	rounds := 40
	if testing.Short() {
		rounds = 10
	}
	for round := range rounds {
		r := rand.New(rand.NewPCG(uint64(round), 99))
		e := antflow.New(1 + r.IntN(4))
		ctx, cancel := context.WithCancel(t.Context())
		var running atomic.Int64
		var loose sync.WaitGroup
		stop := watchFigures(t, e, 4)
		var all sync.WaitGroup
		for m := range 3 {
			n := 1 + r.IntN(3000)
			seed := r.Uint64()
			all.Go(func() {
				calls := make([]atomic.Int32, n)
				out, err := antflow.MapSlice(ctx, e, indexes(n), func(ctx context.Context, i int) (int, error) {
					calls[i].Add(1)
					if k := running.Add(1); k > 4 {
						t.Errorf("%d at once", k)
					}
					defer running.Add(-1)
					r := rand.New(rand.NewPCG(seed, uint64(i)))
					switch r.IntN(40) {
					case 0:
						loose.Go(func() { <-ctx.Done() })
					case 1:
						loose.Go(func() { antflow.Blocking(ctx, func() error { runtime.Gosched(); return nil }) })
					case 2:
						running.Add(-1)
						antflow.Blocking(ctx, func() error { runtime.Gosched(); return nil })
						running.Add(1)
					case 3:
						loose.Go(func() { e.Resize(1 + rand.IntN(4)) })
					case 4:
						f := e.Go(context.Background(), func(context.Context) error { return nil }, antflow.Priority(rand.IntN(5)))
						if rand.IntN(2) == 0 {
							loose.Go(func() { f.Cancel() })
						}
					case 5:
						return 0, errTest
					case 6:
						if r.IntN(10) == 0 {
							panic(errTest)
						}
					case 7:
						if r.IntN(10) == 0 {
							runtime.Goexit()
						}
					case 8:
						g := antflow.NewGroup(context.Background(), e, antflow.CollectErrors())
						for range 20 {
							g.Go(func(ctx context.Context) error {
								if rand.IntN(5) == 0 {
									return errTest
								}
								return nil
							})
						}
						loose.Go(func() {
							if err := g.Wait(); err != nil && !errors.Is(err, errTest) {
								t.Error(err)
							}
						})
					}
					return i + 1, nil
				}, antflow.CollectErrors(), antflow.Priority(m%2))
				bad := 0
				for i := range out {
					if calls[i].Load() > 1 || out[i] != 0 && out[i] != i+1 {
						t.Errorf("item %d", i)
					}
					if out[i] == 0 {
						bad++
					}
				}
				if items := antflow.ItemErrors(err); len(items) != bad {
					t.Errorf("%d errors, %d bad", len(items), bad)
				}
			})
		}
		all.Wait()
		stop()
		cancel()
		loose.Wait()
		closeEven(t, e, round)
	}
}
