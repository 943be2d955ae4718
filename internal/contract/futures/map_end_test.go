package futures_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
)

// kitEnd ranges to the end, and asserts that one last error, no *ItemError, ended it. It returns how many pairs came before.
func kitEnd(t *testing.T, seq func(yield func(int, error) bool)) (before int, last error) {
	t.Helper()
	for v, err := range seq {
		if last != nil {
			t.Errorf("yielded %v, %v after the last error %v", v, err, last)
		}
		if _, ok := errors.AsType[*antflow.ItemError](err); err == nil || ok {
			before++
			continue
		}
		last = err
	}
	if last == nil {
		t.Fatalf("%d pairs and no last error", before)
	}
	return before, last
}

func TestTheEndOfCtxEndsTheIterationWithAWaitError(t *testing.T) {
	for name, deaf := range map[string]bool{"tasks obey": false, "tasks ignore it": true} {
		t.Run(name, func(t *testing.T) {
			kitBothMaps(t, func(t *testing.T, m kitMapFunc) {
				e := kitNew(t, 1)
				src := new(kitSource)
				start := time.Now()
				cause := errors.New("cause")
				ctx, cancel := context.WithCancelCause(t.Context())
				time.AfterFunc(2500*time.Millisecond, func() { cancel(cause) })
				ok := 0
				_, err := kitEnd(t, func(yield func(int, error) bool) {
					for v, err := range m(ctx, e, src.ints(-1), func(ctx context.Context, n int) (int, error) {
						if deaf {
							time.Sleep(time.Second)
							if n == 2 {
								time.Sleep(time.Minute)
							}
							return n, nil
						}
						return n, kitWork(ctx, time.Second)
					}) {
						if err == nil {
							ok++
						}
						if !yield(v, err) {
							return
						}
					}
				})
				kitAt(t, "ended", start, 2500*time.Millisecond)
				kitEq(t, "results before", ok, 2)
				kitAs[*antflow.WaitError](t, err)
				kitIs(t, err, context.Canceled, cause)
				if deaf {
					time.Sleep(2 * time.Minute)
				}
				kitIdle(t, e)
				kitEq(t, "source ended", src.ended.Load(), 1)
			})
		})
	}
}

func TestAnEndedCtxYieldsOneWaitErrorAndRunsNothing(t *testing.T) {
	kitBothMaps(t, func(t *testing.T, m kitMapFunc) {
		e := kitNew(t, 1)
		ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
		defer cancel()
		_, err := kitEnd(t, m(ctx, e, kitInts(3), func(context.Context, int) (int, error) { t.Error("fn ran"); return 0, nil }))
		kitAs[*antflow.WaitError](t, err)
		kitIs(t, err, context.DeadlineExceeded)
		kitNotIs(t, err, context.Canceled)
		kitIdle(t, e)
	})
}

func TestTheEndOfCtxIsSeenWhileTheSourceBlocks(t *testing.T) {
	kitBothMaps(t, func(t *testing.T, m kitMapFunc) {
		e := kitNew(t, 1)
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		source := func(yield func(int) bool) {
			if yield(0) {
				time.Sleep(time.Hour)
			}
		}
		n, err := kitEnd(t, m(ctx, e, source, func(_ context.Context, n int) (int, error) { return n, nil }))
		kitAt(t, "ended", start, 5*time.Second)
		kitEq(t, "before", n, 1)
		kitIs(t, kitAs[*antflow.WaitError](t, err), context.DeadlineExceeded)
		time.Sleep(2 * time.Hour) // the source's step is over by then, and nothing is left in the bubble
	})
}

// 50s in all under a ResultTimeout of 11s: it is of each item, where CPython's is absolute.
func TestResultTimeoutIsOfEachResultAndNotAbsolute(t *testing.T) {
	kitBothMaps(t, func(t *testing.T, m kitMapFunc) {
		e := kitNew(t, 1)
		start := time.Now()
		n := 0
		for _, err := range m(t.Context(), e, kitInts(5), kitAfterItem(10*time.Second), antflow.ResultTimeout(11*time.Second)) {
			kitEq(t, "error", err, nil)
			n++
		}
		kitEq(t, "yields", n, 5)
		kitAt(t, "end", start, 50*time.Second)
	})
}

func TestResultTimeoutCountsFromWhenTheResultIsAskedFor(t *testing.T) {
	kitBothMaps(t, func(t *testing.T, m kitMapFunc) {
		e := kitNew(t, 1)
		src := new(kitSource)
		start := time.Now()
		// Items end at 30s, 60s, 90s. Asked for at 0, 55s and 65s; the limit of 31s passes at no time but 96s for the
		// item that never ends.
		n := 0
		_, err := kitEnd(t, func(yield func(int, error) bool) {
			for v, err := range m(t.Context(), e, src.ints(-1), func(ctx context.Context, n int) (int, error) {
				if n == 3 {
					<-ctx.Done()
					return 0, ctx.Err()
				}
				return n, kitWork(ctx, 30*time.Second)
			}, antflow.ResultTimeout(31*time.Second)) {
				switch n++; n {
				case 1:
					kitAt(t, "first", start, 30*time.Second)
					time.Sleep(25 * time.Second)
				case 2:
					kitAt(t, "second", start, 60*time.Second)
					time.Sleep(5 * time.Second)
				case 3:
					kitAt(t, "third", start, 90*time.Second)
					time.Sleep(40 * time.Second) // longer than the limit: the loop body is none of its business
				}
				if !yield(v, err) {
					return
				}
			}
		})
		kitAt(t, "asked for at 130s", start, 161*time.Second)
		kitEq(t, "pairs with the last error", n, 4)
		kitAs[*antflow.WaitError](t, err)
		kitIs(t, err, context.DeadlineExceeded)
		kitNotIs(t, err, context.Canceled)
		kitIdle(t, e) // it canceled what was outstanding
		kitEq(t, "source ended", src.ended.Load(), 1)
	})
}

func TestResultTimeoutBoundsTheWaitForABlockedSource(t *testing.T) {
	kitBothMaps(t, func(t *testing.T, m kitMapFunc) {
		e := kitNew(t, 1)
		start := time.Now()
		source := func(yield func(int) bool) {
			if yield(0) {
				time.Sleep(time.Hour)
			}
		}
		n, err := kitEnd(t, m(t.Context(), e, source, kitAfterItem(time.Second), antflow.ResultTimeout(5*time.Second)))
		kitAt(t, "ended", start, 6*time.Second)
		kitEq(t, "before", n, 1)
		kitIs(t, kitAs[*antflow.WaitError](t, err), context.DeadlineExceeded)
		time.Sleep(2 * time.Hour) // the source's step is over by then, and nothing is left in the bubble
	})
}

func TestResultTimeoutZeroIsOff(t *testing.T) {
	kitBothMaps(t, func(t *testing.T, m kitMapFunc) {
		e := kitNew(t, 1)
		for _, err := range m(t.Context(), e, kitInts(2), kitAfterItem(1000*time.Hour), antflow.ResultTimeout(0)) {
			kitEq(t, "error", err, nil)
		}
	})
}

func TestShutdownEndsTheIterationAfterTheAcceptedItems(t *testing.T) {
	for _, wait := range []bool{false, true} {
		t.Run(fmt.Sprintf("wait %v", wait), func(t *testing.T) {
			kitBothMaps(t, func(t *testing.T, m kitMapFunc) {
				e := kitNew(t, 2)
				src := new(kitSource)
				var ran atomic.Int64
				shut := false
				n, err := kitEnd(t, func(yield func(int, error) bool) {
					for v, err := range m(t.Context(), e, src.ints(-1), func(_ context.Context, n int) (int, error) {
						time.Sleep(time.Second)
						ran.Add(1)
						return n, nil
					}, antflow.Window(6)) {
						if !shut {
							shut = true
							synctest.Wait()
							if wait {
								kitEq(t, "Close", e.Close(), nil)
							} else {
								kitEq(t, "Shutdown", e.Shutdown(t.Context(), antflow.NoWait()), nil)
							}
						}
						if _, ok := errors.AsType[*antflow.ItemError](err); ok {
							t.Errorf("item error %v: an accepted item runs on", err)
						}
						if !yield(v, err) {
							return
						}
					}
				})
				kitIs(t, err, antflow.ErrShutdown)
				kitNotAs[*antflow.WaitError](t, err)
				kitEq(t, "accepted items yielded", int64(n), ran.Load())
				if n < 3 { // the first, and at least what ran beside it and after it when the executor was shut down
					t.Errorf("only %d items were yielded", n)
				}
				kitIdle(t, e)
				kitEq(t, "source ended", src.ended.Load(), 1)
			})
		})
	}
}

func TestAShutExecutorYieldsErrShutdown(t *testing.T) {
	kitBothMaps(t, func(t *testing.T, m kitMapFunc) {
		e := antflow.New(1)
		e.Close()
		n, err := kitEnd(t, m(t.Context(), e, kitInts(3), func(context.Context, int) (int, error) { t.Error("fn ran"); return 0, nil }))
		kitEq(t, "before", n, 0)
		kitIs(t, err, antflow.ErrShutdown)
	})
}

// I read "the executor shut down" as an end of its own, like that of ctx: with all accepted items yielded the
// iteration doesn't wait for a source from which nothing can be accepted. Items 0 and 1 end at 1s and at 11s.
func TestShutdownEndsTheIterationWhileTheSourceBlocks(t *testing.T) {
	for shutdown, end := range map[time.Duration]time.Duration{5 * time.Second: 11 * time.Second, 20 * time.Second: 20 * time.Second} {
		t.Run(shutdown.String(), func(t *testing.T) {
			kitBothMaps(t, func(t *testing.T, m kitMapFunc) {
				e := kitNew(t, 2)
				start := time.Now()
				var ended atomic.Bool
				source := func(yield func(int) bool) {
					defer ended.Store(true)
					if yield(0) && yield(1) {
						time.Sleep(time.Hour)
						if yield(2) {
							t.Error("yield told the source to go on")
						}
					}
				}
				time.AfterFunc(shutdown, func() { e.Shutdown(t.Context(), antflow.NoWait()) })
				n, err := kitEnd(t, m(t.Context(), e, source, func(_ context.Context, n int) (int, error) {
					time.Sleep(time.Duration(10*n+1) * time.Second)
					return n, nil
				}))
				kitAt(t, "end", start, end)
				kitEq(t, "before", n, 2)
				kitIs(t, err, antflow.ErrShutdown)
				kitEq(t, "source ended", ended.Load(), false)
				time.Sleep(2 * time.Hour)
				kitEq(t, "source ended after its step", ended.Load(), true)
			})
		})
	}
}

func TestAPanicInTheSourceSurfacesInTheConsumer(t *testing.T) {
	kitBothMaps(t, func(t *testing.T, m kitMapFunc) {
		e := kitNew(t, 2)
		source := func(yield func(int) bool) {
			if yield(0) && yield(1) {
				panic("source-boom")
			}
		}
		yields := 0
		value := kitPanics(t, "range", func() {
			for range m(t.Context(), e, source, kitAfterItem(time.Second)) {
				yields++
			}
		})
		// The value may come as it is or in a *PanicError.
		if !strings.Contains(fmt.Sprint(value), "source-boom") {
			t.Errorf("got %v (%T)", value, value)
		}
		if yields > 2 {
			t.Errorf("%d yields for 2 inputs", yields)
		}
		kitIdle(t, e)
		kitEq(t, "the executor lives", kitValue(t, antflow.Submit(t.Context(), e, kitAfter(0, 7, nil))), 7)
	})
}

// What a Goexit in the source becomes is open; but it must not leave the consumer waiting.
func TestAGoexitInTheSourceDoesNotHangTheConsumer(t *testing.T) {
	kitBothMaps(t, func(t *testing.T, m kitMapFunc) {
		e := kitNew(t, 2)
		start := time.Now()
		source := func(yield func(int) bool) {
			if yield(0) {
				runtime.Goexit()
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour) // so that a hang is a failure and no deadlock
		defer cancel()
		var consumer sync.WaitGroup
		consumer.Go(func() {
			defer func() { recover() }()
			for range m(ctx, e, source, kitAfterItem(time.Second)) {
			}
		})
		consumer.Wait()
		if d := time.Since(start); d > time.Second {
			t.Errorf("the consumer was free after %v", d)
		}
		kitIdle(t, e)
	})
}
