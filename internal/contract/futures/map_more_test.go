package futures_test

import (
	"context"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
)

func TestMapOfNothingYieldsNothing(t *testing.T) {
	kitBothMaps(t, func(t *testing.T, m kitMapFunc) {
		e := kitNew(t, 1)
		for v, err := range m(t.Context(), e, kitInts(0), func(context.Context, int) (int, error) { return 0, nil }) {
			t.Errorf("yielded %v, %v", v, err)
		}
		kitEq(t, "submitted", e.Stats().Submitted, 0)
	})
}

func TestMap2TakesPairs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := kitNew(t, 3)
		var got []string
		pairs := antflow.Zip(kitInts(-1), slices.Values([]string{"a", "b", "c"}))
		for v, err := range antflow.Map2(t.Context(), e, pairs, func(_ context.Context, n int, s string) (string, error) {
			time.Sleep(time.Duration(3-n) * time.Second)
			if n == 1 {
				return "lost", errBoom
			}
			return fmt.Sprint(n, s), nil
		}, antflow.Window(2)) {
			if v == "" {
				kitEq(t, "index", kitAs[*antflow.ItemError](t, err).Index, 1)
				kitIs(t, err, errBoom)
			}
			got = append(got, v)
		}
		kitList(t, "values", got, []string{"0a", "", "2c"})
	})
}

func TestZipStopsWithTheShorter(t *testing.T) {
	for _, c := range [][3]int{{3, 5, 3}, {5, 3, 3}, {4, 4, 4}, {0, 3, 0}, {3, 0, 0}, {-1, 2, 2}, {2, -1, 2}} {
		var as, bs kitSource
		n := 0
		for a, b := range antflow.Zip(as.ints(c[0]), bs.ints(c[1])) {
			if a != n || b != n {
				t.Errorf("%v: pair %d is %d, %d", c, n, a, b)
			}
			n++
		}
		kitEq(t, "pairs", n, c[2])
		// What was started was also ended, and neither was pulled more than one beyond the pairs.
		kitEq(t, "as ended", as.ended.Load(), as.started.Load())
		kitEq(t, "bs ended", bs.ended.Load(), bs.started.Load())
		if as.pulled.Load() > int64(n+1) || bs.pulled.Load() > int64(n+1) {
			t.Errorf("%v: pulled %d and %d for %d pairs", c, as.pulled.Load(), bs.pulled.Load(), n)
		}
	}
	var as, bs kitSource
	for range antflow.Zip(as.ints(-1), bs.ints(-1)) {
		break
	}
	kitEq(t, "as ended by break", as.ended.Load(), as.started.Load())
	kitEq(t, "bs ended by break", bs.ended.Load(), bs.started.Load())
}

func TestMaxConcurrencyBoundsThisCall(t *testing.T) {
	kitBothMaps(t, func(t *testing.T, m kitMapFunc) {
		e := kitNew(t, 8)
		start := time.Now()
		var all sync.WaitGroup
		for range 2 { // two calls side by side, each with a bound of its own
			all.Go(func() {
				var now, peak atomic.Int64
				n := 0
				for range m(t.Context(), e, kitInts(7), func(_ context.Context, n int) (int, error) {
					if v := now.Add(1); v > peak.Load() {
						peak.Store(v)
					}
					time.Sleep(time.Second)
					now.Add(-1)
					return n, nil
				}, antflow.MaxConcurrency(2)) {
					n++
				}
				kitEq(t, "yields", n, 7)
				kitEq(t, "peak", peak.Load(), 2)
				kitAt(t, "end", start, 4*time.Second)
			})
		}
		all.Wait()
	})
}

func TestARetryDelayGivesTheConcurrencyBack(t *testing.T) {
	kitBothMaps(t, func(t *testing.T, m kitMapFunc) {
		e := kitNew(t, 4)
		start := time.Now()
		var failed atomic.Bool
		var at [3]time.Duration
		for range m(t.Context(), e, kitInts(3), func(_ context.Context, n int) (int, error) {
			if n == 0 && failed.CompareAndSwap(false, true) {
				return 0, errBoom
			}
			time.Sleep(time.Second)
			at[n] = time.Since(start)
			return n, nil
		}, antflow.MaxConcurrency(1), antflow.Retries(1), antflow.RetryDelay(10*time.Second)) {
		}
		kitEq(t, "ends of the items", at, [3]time.Duration{11 * time.Second, time.Second, 2 * time.Second})
	})
}

func TestTaskOptionsApplyToEachItem(t *testing.T) {
	kitBothMaps(t, func(t *testing.T, m kitMapFunc) {
		e := kitNew(t, 4)
		n := 0
		for _, err := range m(t.Context(), e, kitInts(4), func(ctx context.Context, n int) (int, error) {
			info, _ := antflow.TaskFrom(ctx)
			kitEq(t, "name", info.Name, "item")
			if info.Attempt == 1 {
				return 0, errBoom
			}
			<-ctx.Done()
			return 0, ctx.Err()
		}, antflow.TaskName("item"), antflow.JoinOptions(antflow.Retries(2), antflow.Timeout(time.Second))) {
			kitIs(t, err, context.DeadlineExceeded)
			kitAs[*antflow.ItemError](t, err)
			kitEq(t, "attempts", kitAs[*antflow.RetryError](t, err).Attempts, 3)
			n++
		}
		kitEq(t, "yields", n, 4)
	})
}

// The consumer takes its slot back before each yield, so with one worker no item runs during a loop body; and it comes
// first when its condition holds, so the body begins when its item ends.
func TestATaskThatRangesLendsItsSlotAndTakesItBackBeforeEachYield(t *testing.T) {
	kitBothMaps(t, func(t *testing.T, m kitMapFunc) {
		e := kitNew(t, 1)
		start := time.Now()
		var running atomic.Int64
		f := antflow.Submit(t.Context(), e, func(ctx context.Context) (int, error) {
			n := 0
			for _, err := range m(ctx, e, kitInts(20), func(_ context.Context, n int) (int, error) {
				running.Add(1)
				defer running.Add(-1)
				time.Sleep(time.Second)
				return n, nil
			}) {
				if err != nil {
					return 0, err
				}
				kitAt(t, "body begins", start, time.Second+time.Duration(n)*1500*time.Millisecond)
				time.Sleep(250 * time.Millisecond)
				kitEq(t, "items running in the body", running.Load(), 0)
				s := e.Stats()
				kitEq(t, "running", s.Running, 1)
				kitEq(t, "blocked", s.Blocked, 0)
				time.Sleep(250 * time.Millisecond)
				n++
			}
			return n, nil
		})
		kitEq(t, "yields", kitValue(t, f), 20)
		kitAt(t, "end", start, 30*time.Second)
	})
}

func TestMapsNestAtAnyDepthWithOneWorker(t *testing.T) {
	kitBothMaps(t, func(t *testing.T, m kitMapFunc) {
		e := kitNew(t, 1)
		var running, peak atomic.Int64
		var tree func(ctx context.Context, depth int) (int, error)
		tree = func(ctx context.Context, depth int) (int, error) {
			if depth == 0 {
				peak.Store(max(peak.Load(), running.Add(1)))
				time.Sleep(time.Second)
				running.Add(-1)
				return 1, nil
			}
			sum := 0
			for n, err := range m(ctx, e, kitInts(3), func(ctx context.Context, _ int) (int, error) { return tree(ctx, depth-1) }) {
				if err != nil {
					return 0, err
				}
				sum += n
			}
			return sum, nil
		}
		start := time.Now()
		n, err := tree(t.Context(), 4)
		if n != 81 || err != nil {
			t.Errorf("got %d, %v, want 81 leaves", n, err)
		}
		kitEq(t, "leaves at once", peak.Load(), 1)
		kitAt(t, "end", start, 81*time.Second)
	})
}

func TestATaskMayLeaveItsLoopEarlyWithOneWorker(t *testing.T) {
	kitBothMaps(t, func(t *testing.T, m kitMapFunc) {
		e := kitNew(t, 1)
		var inputs iter.Seq[int] = kitInts(-1)
		f := antflow.Submit(t.Context(), e, func(ctx context.Context) (int, error) {
			for range 3 {
				for range m(ctx, e, inputs, func(_ context.Context, n int) (int, error) { return n, nil }) {
					break
				}
			}
			return 7, nil
		})
		kitEq(t, "value", kitValue(t, f), 7)
		kitIdle(t, e)
	})
}

func TestAFailedItemYieldsAnItemErrorAndTheIterationGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := kitNew(t, 2)
		i := 0
		for v, err := range antflow.Map(t.Context(), e, kitInts(6), func(_ context.Context, n int) (int, error) {
			switch n {
			case 1:
				return 99, errBoom
			case 3:
				panic(errBoom)
			case 4:
				runtime.Goexit()
			}
			return n, nil
		}) {
			switch i {
			case 1, 3, 4:
				kitEq(t, "zero value", v, 0)
				item := kitAs[*antflow.ItemError](t, err)
				kitEq(t, "index", item.Index, i)
				if i == 4 {
					kitIs(t, err, antflow.ErrGoexit)
				} else {
					kitIs(t, err, errBoom)
				}
				if i == 1 {
					kitEq(t, "Err is fn's own", item.Err, errBoom)
				}
				if i == 3 {
					kitAs[*antflow.PanicError](t, err)
				}
			default:
				kitEq(t, "error", err, nil)
				kitEq(t, "value", v, i)
			}
			i++
		}
		kitEq(t, "yields", i, 6)
	})
}

func TestAFailedItemOfMapUnorderedComesWithIndexAndInput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := kitNew(t, 3)
		inputs := kitInts(3)
		var order []int
		for item, err := range antflow.MapUnordered(t.Context(), e, inputs, func(_ context.Context, n int) (string, error) {
			time.Sleep(time.Duration(3-n) * time.Second)
			return "lost", errBoom
		}) {
			kitEq(t, "item", item, antflow.Item[int, string]{Index: item.Index, Input: item.Index})
			kitEq(t, "index of the error", kitAs[*antflow.ItemError](t, err).Index, item.Index)
			kitIs(t, err, errBoom)
			order = append(order, item.Index)
		}
		kitList(t, "indexes", order, []int{2, 1, 0})
	})
}

func TestTheConsumerBreaksAtAFailureIfItWantsTo(t *testing.T) {
	kitBothMaps(t, func(t *testing.T, m kitMapFunc) {
		e := kitNew(t, 1)
		src := new(kitSource)
		n := 0
		for _, err := range m(t.Context(), e, src.ints(-1), func(_ context.Context, n int) (int, error) {
			time.Sleep(time.Millisecond)
			if n == 5 {
				return 0, errBoom
			}
			return n, nil
		}) {
			if err != nil {
				kitEq(t, "index", kitAs[*antflow.ItemError](t, err).Index, 5)
				break
			}
			n++
		}
		kitEq(t, "yields before", n, 5)
		time.Sleep(time.Second) // the item that began after the failed one sleeps on
		kitIdle(t, e)
		kitEq(t, "source ended", src.ended.Load(), 1)
	})
}
