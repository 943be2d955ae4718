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

func TestMapYieldsInInputOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := kitNew(t, 10)
		start := time.Now()
		i := 0
		for v, err := range antflow.Map(t.Context(), e, kitInts(10), func(_ context.Context, n int) (string, error) {
			time.Sleep(time.Duration(10-n) * time.Second)
			return fmt.Sprint("v", n), nil
		}) {
			kitEq(t, "error", err, nil)
			kitEq(t, "value", v, fmt.Sprint("v", i))
			kitAt(t, "yielded", start, 10*time.Second) // all of them ready with the first
			i++
		}
		kitEq(t, "yields", i, 10)
	})
}

func TestMapUnorderedYieldsInCompletionOrderWithIndexAndInput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := kitNew(t, 4)
		start := time.Now()
		inputs := []time.Duration{30 * time.Second, 10 * time.Second, 40 * time.Second, 20 * time.Second}
		var order []int
		for item, err := range antflow.MapUnordered(t.Context(), e, slices.Values(inputs), func(_ context.Context, d time.Duration) (string, error) {
			time.Sleep(d)
			return d.String(), nil
		}) {
			kitEq(t, "error", err, nil)
			order = append(order, item.Index)
			kitEq(t, "input", item.Input, inputs[item.Index])
			kitEq(t, "value", item.Value, item.Input.String())
			kitAt(t, "yielded", start, item.Input)
		}
		kitList(t, "indexes", order, []int{1, 3, 0, 2})
	})
}

func TestAResultIsYieldedAsSoonAsItAndAllBeforeAreReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := kitNew(t, 3)
		start := time.Now()
		var at []time.Duration
		for range antflow.Map(t.Context(), e, slices.Values([]int{2, 1, 5}), func(_ context.Context, n int) (int, error) {
			time.Sleep(time.Duration(n) * time.Second)
			return n, nil
		}) {
			at = append(at, time.Since(start))
		}
		kitList(t, "yields", at, []time.Duration{2 * time.Second, 2 * time.Second, 5 * time.Second})
	})
}

func TestUnrangedMapDoesNothing(t *testing.T) {
	kitBothMaps(t, func(t *testing.T, m kitMapFunc) {
		e := kitNew(t, 2)
		src := new(kitSource)
		seq := m(t.Context(), e, src.ints(3), func(context.Context, int) (int, error) { t.Error("fn ran"); return 0, nil })
		synctest.Wait()
		time.Sleep(time.Hour)
		runtime.KeepAlive(seq)
		kitEq(t, "source started", src.started.Load(), 0)
		kitEq(t, "submitted", e.Stats().Submitted, 0)
	})
}

// I read "pulled" as handed to the source's yield, and Window as used up to its brim while the source has more: with
// the body of loop k running, k results are yielded, so k + Window inputs are pulled.
func TestWindowIsExact(t *testing.T) {
	for _, window := range []int{1, 2, 7} {
		t.Run(fmt.Sprint(window), func(t *testing.T) {
			kitBothMaps(t, func(t *testing.T, m kitMapFunc) {
				e := kitNew(t, 3)
				src := new(kitSource)
				yielded := 0
				for _, err := range m(t.Context(), e, src.ints(-1), func(_ context.Context, n int) (int, error) {
					if n%3 == 0 {
						return 0, errBoom // failed items count too
					}
					return n, nil
				}, antflow.Window(window)) {
					_ = err
					synctest.Wait()
					kitEq(t, "pulled and not yet yielded", int(src.pulled.Load())-yielded, window)
					if yielded++; yielded == 20 {
						break
					}
				}
				kitIdle(t, e)
				if n := int(src.pulled.Load()); n > 20+window {
					t.Errorf("pulled %d in all, with 20 yields", n)
				}
				kitEq(t, "source ended", src.ended.Load(), 1)
			})
		})
	}
}

func TestWindowHoldsWhateverTheTimingIs(t *testing.T) {
	kitBothMaps(t, func(t *testing.T, m kitMapFunc) {
		e := kitNew(t, 8)
		var yielded atomic.Int64
		pulled := int64(0)
		source := func(yield func(int) bool) {
			for n := range 300 {
				if n%17 == 0 {
					time.Sleep(5 * time.Millisecond)
				}
				if pulled++; pulled-yielded.Load() > 5 {
					t.Errorf("input %d: pulled %d with %d yielded", n, pulled, yielded.Load())
				}
				if !yield(n) {
					return
				}
			}
		}
		for n := range m(t.Context(), e, source, func(_ context.Context, n int) (int, error) {
			time.Sleep(time.Duration(n*7919%11) * time.Millisecond)
			return n, nil
		}, antflow.Window(5)) {
			time.Sleep(time.Duration(n*104729%7) * time.Millisecond)
			yielded.Add(1)
		}
		kitEq(t, "yielded", yielded.Load(), 300)
	})
}

func TestASlowHeadHoldsTheWindowOfMapAndNotOfMapUnordered(t *testing.T) {
	kitBothMaps(t, func(t *testing.T, m kitMapFunc) {
		e := kitNew(t, 8)
		src := new(kitSource)
		start := time.Now()
		var pulled atomic.Int64
		time.AfterFunc(5*time.Second, func() { pulled.Store(src.pulled.Load()) })
		first := -1
		for n := range m(t.Context(), e, src.ints(100), func(_ context.Context, n int) (int, error) {
			if n == 0 {
				time.Sleep(10 * time.Second)
			}
			return n, nil
		}, antflow.Window(4)) {
			if first < 0 {
				first = n
				if n == 0 {
					kitAt(t, "the head", start, 10*time.Second)
					kitEq(t, "pulled by Map at 5s", pulled.Load(), 4)
				} else {
					kitAt(t, "one that overtakes the head", start, 0)
				}
			}
		}
		if first != 0 {
			kitEq(t, "pulled by MapUnordered at 5s", pulled.Load(), 100)
		}
		kitAt(t, "all", start, 10*time.Second)
	})
}

func TestTheDefaultWindow(t *testing.T) {
	for workers, window := range map[int]int{2: 64, 16: 64, 20: 80} {
		t.Run(fmt.Sprint(workers), func(t *testing.T) {
			kitBothMaps(t, func(t *testing.T, m kitMapFunc) {
				e := kitNew(t, workers)
				src := new(kitSource)
				for range m(t.Context(), e, src.ints(-1), func(_ context.Context, n int) (int, error) { return n, nil }) {
					synctest.Wait()
					kitEq(t, "pulled in the first body", int(src.pulled.Load()), window)
					break
				}
			})
		})
	}
}

func TestInfiniteInputsAndASlowConsumerAreFine(t *testing.T) {
	kitBothMaps(t, func(t *testing.T, m kitMapFunc) {
		e := kitNew(t, 4)
		src := new(kitSource)
		start := time.Now()
		n := 0
		for _, err := range m(t.Context(), e, src.ints(-1), func(_ context.Context, n int) (int, error) { return n, nil }) {
			kitEq(t, "error", err, nil)
			time.Sleep(time.Second)
			if n++; n == 1000 {
				break
			}
		}
		kitAt(t, "left", start, 1000*time.Second)
		kitIdle(t, e)
		kitEq(t, "source ended", src.ended.Load(), 1)
	})
}

func TestABlockedSourceDelaysNoResult(t *testing.T) {
	kitBothMaps(t, func(t *testing.T, m kitMapFunc) {
		e := kitNew(t, 2)
		start := time.Now()
		source := func(yield func(int) bool) {
			_ = yield(0) && yield(1)
			time.Sleep(time.Hour)
			yield(2)
		}
		var at []time.Duration
		for range m(t.Context(), e, source, func(_ context.Context, n int) (int, error) {
			time.Sleep(time.Duration(n+1) * time.Second)
			return n, nil
		}) {
			at = append(at, time.Since(start))
		}
		kitList(t, "yields", at, []time.Duration{time.Second, 2 * time.Second, time.Hour + 3*time.Second})
	})
}

// "Once the source's current step returns" says that leaving the loop doesn't wait for it.
func TestBreakLeavesABlockedSourceBehindUntilItsStepReturns(t *testing.T) {
	kitBothMaps(t, func(t *testing.T, m kitMapFunc) {
		e := kitNew(t, 2)
		start := time.Now()
		gate := make(chan struct{})
		time.AfterFunc(time.Hour, func() { close(gate) })
		var more, ended, late atomic.Bool
		source := func(yield func(int) bool) {
			defer ended.Store(true)
			if yield(0) {
				<-gate
				more.Store(yield(1))
			}
		}
		for n, err := range m(t.Context(), e, source, func(_ context.Context, n int) (int, error) {
			if n != 0 {
				late.Store(true)
			}
			return n, nil
		}) {
			if n != 0 || err != nil {
				t.Errorf("got %v, %v", n, err)
			}
			synctest.Wait() // for the source to block
			break
		}
		kitAt(t, "left", start, 0)
		kitIdle(t, e)
		kitEq(t, "source ended before its step returned", ended.Load(), false)
		time.Sleep(2 * time.Hour)
		kitEq(t, "source ended", ended.Load(), true)
		kitEq(t, "yield told it to go on", more.Load(), false)
		kitEq(t, "the late input ran", late.Load(), false)
	})
}

func TestLeavingTheLoopCancelsWhatIsOutstanding(t *testing.T) {
	ways := map[string]func(seq iter.Seq2[int, error]){
		"break": func(seq iter.Seq2[int, error]) {
			for range seq {
				break
			}
		},
		"return": func(seq iter.Seq2[int, error]) {
			for range seq {
				return
			}
		},
		"panic": func(seq iter.Seq2[int, error]) {
			defer func() { recover() }()
			for range seq {
				panic("body")
			}
		},
		"Goexit": func(seq iter.Seq2[int, error]) {
			var other sync.WaitGroup
			other.Go(func() {
				for range seq {
					runtime.Goexit()
				}
			})
			other.Wait()
		},
	}
	for name, leave := range ways {
		t.Run(name, func(t *testing.T) {
			kitBothMaps(t, func(t *testing.T, m kitMapFunc) {
				e := kitNew(t, 3)
				src := new(kitSource)
				start := time.Now()
				var started, canceled atomic.Int64
				leave(m(t.Context(), e, src.ints(-1), func(ctx context.Context, n int) (int, error) {
					if n == 0 {
						time.Sleep(time.Second) // the others have begun by then
						return n, nil
					}
					started.Add(1)
					<-ctx.Done()
					canceled.Add(1)
					return 0, ctx.Err()
				}, antflow.Window(8)))
				kitIdle(t, e)
				kitAt(t, "nothing left", start, time.Second)
				// The slot of item 0 may have gone to item 3 before the consumer left.
				if n := started.Load(); n != canceled.Load() || n < 2 || n > 3 {
					t.Errorf("%d started, %d canceled", n, canceled.Load())
				}
				kitEq(t, "source ended", src.ended.Load(), 1)
				if n := src.pulled.Load(); n > 9 {
					t.Errorf("pulled %d with a window of 8 and one yield", n)
				}
			})
		})
	}
}

func TestEachRangeIsAFreshRun(t *testing.T) {
	kitBothMaps(t, func(t *testing.T, m kitMapFunc) {
		e := kitNew(t, 1) // one worker, and some time for each item: completion order is input order
		src := new(kitSource)
		seq := m(t.Context(), e, src.ints(4), func(_ context.Context, n int) (int, error) {
			time.Sleep(time.Millisecond)
			return n * n, nil
		})
		all := func() (got []int) {
			for v, err := range seq {
				kitEq(t, "error", err, nil)
				got = append(got, v)
			}
			return got
		}
		want := []int{0, 1, 4, 9}
		kitList(t, "first", all(), want)
		kitList(t, "second", all(), want)
		for range seq {
			break
		}
		kitList(t, "after a break", all(), want)
		n := 0
		for range seq {
			n++
			kitList(t, "within its own loop", all(), want)
		}
		kitEq(t, "yields of the outer loop", n, 4)
		synctest.Wait()
		kitEq(t, "sources started", src.started.Load(), 9)
		kitEq(t, "sources ended", src.ended.Load(), 9)
	})
}

func TestEachRangeOfMapUnorderedCountsFromZero(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := kitNew(t, 1)
		seq := antflow.MapUnordered(t.Context(), e, slices.Values([]string{"a", "b"}), func(_ context.Context, s string) (string, error) {
			time.Sleep(time.Millisecond)
			return s, nil
		})
		for range 2 {
			var got []antflow.Item[string, string]
			for item := range seq {
				got = append(got, item)
			}
			kitList(t, "items", got, []antflow.Item[string, string]{{Index: 0, Input: "a", Value: "a"}, {Index: 1, Input: "b", Value: "b"}})
		}
	})
}
