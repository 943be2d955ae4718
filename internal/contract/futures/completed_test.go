package futures_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
)

func TestAsCompletedYieldsInCompletionOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := kitNew(t, 4)
		start := time.Now()
		var futures []*antflow.Future[int]
		for _, n := range []int{3, 1, 4, 2} {
			futures = append(futures, antflow.Submit(t.Context(), e, kitAfter(time.Duration(n)*kitS, n, nil)))
		}
		want := 1
		for f, err := range antflow.AsCompleted(t.Context(), futures) {
			kitEq(t, "error", err, nil)
			kitEq(t, "value", kitValue(t, f), want)
			kitAt(t, "yielded", start, time.Duration(want)*kitS)
			want++
		}
		kitEq(t, "yields", want-1, 4)
		for f, err := range antflow.AsCompleted(t.Context(), []*antflow.Future[int]{}) {
			t.Errorf("of nothing: yielded %v, %v", f, err)
		}
	})
}

// Those already done come first, in whatever order among themselves; those that end during a loop body in theirs.
func TestAsCompletedYieldsThoseAlreadyDoneFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		futures := kitSettling(kitEnding{3 * kitS, nil}, kitEnding{0, errBoom}, kitEnding{2 * kitS, nil}, kitEnding{0, errCanceled}, kitEnding{kitS, errBoom})
		place := map[*antflow.Future[int]]int{}
		for i, f := range futures {
			place[f] = i
		}
		var order []int
		for f, err := range antflow.AsCompleted(t.Context(), futures) {
			kitEq(t, "error", err, nil)
			kitEq(t, "done", f.IsDone(), true)
			order = append(order, place[f])
			switch len(order) {
			case 2:
				kitAt(t, "those already done", start, 0)
				if order[0]+order[1] != 4 {
					t.Errorf("first two: %v, want 1 and 3", order)
				}
				time.Sleep(time.Minute)
			}
		}
		kitList(t, "the others", order[2:], []int{4, 2, 0})
		kitAt(t, "no waiting after the body", start, time.Minute)
	})
}

func TestAsCompletedSaysOnceAndLastThatItsCtxEnded(t *testing.T) {
	for name, mixed := range map[string]bool{"futures": false, "Waitables": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				futures := kitSettling(kitEnding{4 * kitS, nil}, kitEnding{12 * kitS, nil}, kitEnding{8 * kitS, nil}, kitEnding{13 * kitS, nil})
				cause := errors.New("cause")
				// One absolute deadline: each round alone would keep it.
				ctx, cancel := context.WithTimeoutCause(t.Context(), 10*kitS, cause)
				defer cancel()
				var at []time.Duration
				var last error
				note := func(none bool, err error) {
					if last != nil {
						t.Error("yielded after the last error")
					}
					at = append(at, time.Since(start))
					last = err
					kitEq(t, "no future beside the error", none, err != nil)
				}
				if mixed {
					var list []antflow.Waitable
					for _, f := range futures {
						list = append(list, f)
					}
					for f, err := range antflow.AsCompleted(ctx, list) {
						note(f == nil, err)
					}
				} else {
					for f, err := range antflow.AsCompleted(ctx, futures) {
						note(f == nil, err)
					}
				}
				kitList(t, "yields", at, []time.Duration{4 * kitS, 8 * kitS, 10 * kitS})
				kitAs[*antflow.WaitError](t, last)
				kitIs(t, last, context.DeadlineExceeded, cause)
				kitNotIs(t, last, context.Canceled)
				if !strings.Contains(last.Error(), "2 of 4 futures unfinished") {
					t.Errorf("message %q", last)
				}
				kitMessage(t, last)
				kitEq(t, "the others go on", kitValue(t, futures[3]), 3)
				kitAt(t, "the others go on", start, 13*kitS)
			})
		})
	}
}

func TestAsCompletedOnAnEndedCtxPolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		futures := kitSettling(kitEnding{kitS, nil}, kitEnding{0, nil}, kitEnding{0, errBoom})
		done := 0
		var last error
		for f, err := range antflow.AsCompleted(kitDeadCtx(), futures) {
			if last = err; f != nil {
				done++
			}
		}
		kitAt(t, "end", start, 0)
		kitEq(t, "those done", done, 2)
		kitIs(t, kitAs[*antflow.WaitError](t, last), context.Canceled)
		if !strings.Contains(last.Error(), "1 of 3 futures unfinished") {
			t.Errorf("message %q", last)
		}
		for _, err := range antflow.AsCompleted(kitDeadCtx(), futures[1:]) {
			kitEq(t, "error when all are done", err, nil)
		}
		kitValue(t, futures[0])
	})
}

func TestAsCompletedYieldsDuplicatesOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := kitSettling(kitEnding{0, nil}, kitEnding{kitS, nil}, kitEnding{time.Hour, nil})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		seen := map[*antflow.Future[int]]int{}
		for f, err := range antflow.AsCompleted(ctx, []*antflow.Future[int]{f[1], f[0], f[2], f[1], f[0], f[2]}) {
			if err != nil && !strings.Contains(err.Error(), "1 of 3 futures unfinished") {
				t.Errorf("message %q", err)
			}
			seen[f]++
		}
		for f, n := range seen { // nil is the last error's
			if n != 1 {
				t.Errorf("%d yields of %p", n, f)
			}
		}
		kitEq(t, "yields with the error's", len(seen), 3)
		kitValue(t, f[2])
	})
}

func TestAsCompletedMayBeLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		futures := kitSettling(kitEnding{kitS, nil}, kitEnding{2 * kitS, nil})
		for range antflow.AsCompleted(t.Context(), futures) {
			break
		}
		kitAt(t, "left", start, kitS)
		n := 0
		for range antflow.AsCompleted(t.Context(), futures) { // a new one sees both again
			n++
		}
		kitEq(t, "yields", n, 2)
	})
}

func TestWaitsStartNoGoroutinePerFuture(t *testing.T) {
	const n = 1000
	waits := map[string]func(ctx context.Context, futures []*antflow.Future[int]){
		"Wait": func(ctx context.Context, futures []*antflow.Future[int]) {
			antflow.Wait(ctx, futures, antflow.AllCompleted)
		},
		"WaitN":       func(ctx context.Context, futures []*antflow.Future[int]) { antflow.WaitN(ctx, futures, n) },
		"AsCompleted": func(ctx context.Context, futures []*antflow.Future[int]) { kitDrain(antflow.AsCompleted(ctx, futures)) },
	}
	for name, wait := range waits {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				promises := make([]*antflow.Promise[int], n)
				futures := make([]*antflow.Future[int], n)
				for i := range promises {
					promises[i] = antflow.NewPromise[int]()
					futures[i] = promises[i].Future()
				}
				before := runtime.NumGoroutine()
				ended := make(chan struct{})
				go func() { wait(t.Context(), futures); close(ended) }()
				synctest.Wait()
				if more := runtime.NumGoroutine() - before; more > 10 {
					t.Errorf("%d goroutines for one wait over %d futures", more, n)
				}
				for _, p := range promises {
					p.SetResult(1)
				}
				<-ended
			})
		})
	}
}

// What is counted is the work of the allocator: bytes for each future must not grow with their number, as they do when
// each round rebuilds a list. That nothing rescans without allocating is seen only in the time the test takes.
func TestWaitsCostLinearWork(t *testing.T) {
	costs := func(n int, wait func(context.Context, []*antflow.Future[int]) int) (bytes, mallocs uint64) {
		promises := make([]*antflow.Promise[int], n)
		futures := make([]*antflow.Future[int], n)
		for i := range promises {
			promises[i] = antflow.NewPromise[int]()
			futures[i] = promises[i].Future()
		}
		var before, after runtime.MemStats
		count := make(chan int)
		runtime.ReadMemStats(&before)
		go func() { count <- wait(context.Background(), futures) }()
		for i := range promises {
			promises[n-1-i].SetResult(i)
			if i%64 == 0 {
				runtime.Gosched() // so that there are many rounds
			}
		}
		got := <-count
		runtime.ReadMemStats(&after)
		kitEq(t, "futures seen", got, n)
		return (after.TotalAlloc - before.TotalAlloc) / uint64(n), (after.Mallocs - before.Mallocs) / uint64(n)
	}
	for name, wait := range map[string]func(context.Context, []*antflow.Future[int]) int{
		"AsCompleted": func(ctx context.Context, futures []*antflow.Future[int]) (n int) {
			for range antflow.AsCompleted(ctx, futures) {
				n++
			}
			return n
		},
		"Wait": func(ctx context.Context, futures []*antflow.Future[int]) int {
			done, _, _ := antflow.Wait(ctx, futures, antflow.AllCompleted)
			return len(done)
		},
	} {
		t.Run(name, func(t *testing.T) {
			fewBytes, fewMallocs := costs(5_000, wait)
			manyBytes, manyMallocs := costs(100_000, wait)
			// 20 times the futures: quadratic work would be 20 times the cost of each.
			if manyBytes > 4*fewBytes+256 {
				t.Errorf("bytes for each of 5000 futures: %d, of 100000: %d", fewBytes, manyBytes)
			}
			if manyMallocs > 2*fewMallocs+4 {
				t.Errorf("allocations for each of 5000 futures: %d, of 100000: %d", fewMallocs, manyMallocs)
			}
		})
	}
}
