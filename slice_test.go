package antflow_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/testkit"
)

// What ends a MapSlice cancels the items that have not begun, each of them.
func TestEndOfMapSliceIsExact(t *testing.T) {
	ends := map[string]struct {
		end  func(e *antflow.Executor, cancel func())
		want error
	}{
		"context":        {func(_ *antflow.Executor, cancel func()) { cancel() }, context.Canceled},
		"cancel queued":  {func(e *antflow.Executor, _ func()) { shutdown(e, antflow.CancelQueued()) }, antflow.ErrShutdown},
		"cancel running": {func(e *antflow.Executor, _ func()) { shutdown(e, antflow.CancelRunning()) }, antflow.ErrShutdown},
		"drain":          {func(e *antflow.Executor, _ func()) { shutdown(e) }, antflow.ErrShutdown},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				e := antflow.New(2)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				const n = 100_000
				var called atomic.Int64
				results, err := antflow.MapSlice(ctx, e, indexes(n), func(ctx context.Context, i int) (int, error) {
					called.Add(1)
					if i == 3000 {
						end.end(e, cancel)
					}
					return i + 1, nil
				}, antflow.CollectErrors())
				if !errors.Is(err, end.want) {
					t.Error(err)
				}
				s := e.Stats()
				items := antflow.ItemErrors(err)
				if uint64(len(items)) != s.Canceled || s.Submitted != s.Succeeded+s.Canceled || s.Succeeded != uint64(called.Load()) {
					t.Errorf("%d item errors, %d called: %+v", len(items), called.Load(), s)
				}
				if name != "drain" && (s.Canceled == 0 || s.Succeeded == 0) || s.Submitted >= n {
					t.Errorf("%+v", s)
				}
				failed := 0
				for i, v := range results {
					switch {
					case failed < len(items) && items[failed].Index == i:
						failed++
						if v != 0 {
							t.Fatalf("result %d of a canceled item is %d", i, v)
						}
					case v != i+1 && v != 0:
						t.Fatalf("result %d is %d", i, v)
					}
				}
				if failed != len(items) {
					t.Errorf("%d of %d item errors in order", failed, len(items))
				}
				e.Close()
				if err := e.CheckInvariants(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func shutdown(e *antflow.Executor, opts ...antflow.ShutdownOption) {
	e.Shutdown(context.Background(), append(opts, antflow.NoWait())...)
}

// The context of an item ends with the item, for whoever kept it.
func TestItemContextEnds(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(3)
		var mu sync.Mutex
		kept := make(map[int]context.Context)
		var derived []context.Context
		first := uint64(0)
		_, err := antflow.MapSlice(t.Context(), e, indexes(3000), func(ctx context.Context, i int) (int, error) {
			if ctx.Err() != nil {
				t.Errorf("item %d: %v", i, ctx.Err())
			}
			mu.Lock()
			defer mu.Unlock()
			kept[i] = ctx
			if i%100 == 7 {
				child, cancel := context.WithCancel(ctx)
				t.Cleanup(cancel)
				derived = append(derived, child)
			}
			return i, nil
		})
		if err != nil {
			t.Error(err)
		}
		for i, ctx := range kept {
			if ctx.Err() != context.Canceled {
				t.Fatalf("item %d: %v", i, ctx.Err())
			}
			if info, ok := antflow.TaskFrom(ctx); !ok || info.ID != first+uint64(i) {
				t.Fatalf("item %d: %+v, %v", i, info, ok)
			}
			<-ctx.Done()
		}
		for _, ctx := range derived {
			<-ctx.Done()
		}
		rest(t, e)
	})
}

// Items meet everything that can befall a task, within their chunks.
func TestItemsInAStorm(t *testing.T) {
	testkit.NoLeak(t)
	rounds := 200
	if testing.Short() {
		rounds = 40
	}
	for round := range rounds {
		r := rand.New(rand.NewPCG(uint64(round), 7))
		e := antflow.New(1 + r.IntN(4))
		ctx, cancel := context.WithCancel(t.Context())
		var loose, maps sync.WaitGroup
		gentle := r.IntN(2) == 0
		for range 1 + r.IntN(3) {
			n, seed := 1+r.IntN(2000), r.Uint64()
			rare := 1 + r.IntN(100)
			priority := r.IntN(2)
			maps.Go(func() {
				calls := make([]atomic.Int64, n)
				results, err := antflow.MapSlice(ctx, e, indexes(n), func(ctx context.Context, i int) (int, error) {
					call := calls[i].Add(1)
					r := rand.New(rand.NewPCG(seed, uint64(i)))
					if r.IntN(rare) > 0 {
						return i + 1, nil
					}
					switch r.IntN(9) {
					case 0:
						return 0, errTest
					case 1:
						panic(errTest)
					case 2:
						runtime.Goexit()
					case 3:
						_, err := e.Go(ctx, func(context.Context) error { return nil }, antflow.Priority(r.IntN(3))).Result(ctx)
						return i + 1, err
					case 4:
						loose.Go(func() {
							antflow.Blocking(ctx, func() error { return nil })
							<-ctx.Done()
						})
					case 5:
						if call == 1 {
							return 0, errTest
						}
					case 6:
						loose.Go(func() { e.Go(context.Background(), func(context.Context) error { return nil }, antflow.Priority(2)) })
					case 7:
						if !gentle && r.IntN(4) == 0 {
							loose.Go(func() {
								switch r.IntN(4) {
								case 0:
									cancel()
								case 1:
									e.Resize(1 + r.IntN(4))
								case 2:
									shutdown(e, antflow.CancelQueued())
								case 3:
									shutdown(e, antflow.CancelRunning())
								}
							})
						}
					case 8:
						runtime.Gosched()
					}
					return i + 1, nil
				}, antflow.CollectErrors(), antflow.Retries(1), antflow.RetryDelay(0), antflow.Priority(priority))
				failed := make(map[int]bool)
				for _, item := range antflow.ItemErrors(err) {
					if failed[item.Index] {
						t.Errorf("round %d: item %d failed twice", round, item.Index)
					}
					failed[item.Index] = true
				}
				for i, v := range results {
					if gentle && (v == i+1) == failed[i] || failed[i] && v != 0 || calls[i].Load() > 2 {
						t.Errorf("round %d: item %d is %d after %d calls, failed: %v", round, i, v, calls[i].Load(), failed[i])
					}
				}
			})
		}
		maps.Wait()
		loose.Wait()
		cancel()
		closeEven(t, e, round)
	}
}
