package futures_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
)

// kitBoth runs test in a bubble of its own for MapSlice, and for ForEach over the same inputs 0 … n-1.
func kitBoth(t *testing.T, test func(t *testing.T, run func(ctx context.Context, e *antflow.Executor, n int, fn func(context.Context, int) error, opts ...antflow.GroupOption) error)) {
	t.Run("MapSlice", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			test(t, func(ctx context.Context, e *antflow.Executor, n int, fn func(context.Context, int) error, opts ...antflow.GroupOption) error {
				inputs := make([]int, n)
				for i := range inputs {
					inputs[i] = i
				}
				out, err := antflow.MapSlice(ctx, e, inputs, func(ctx context.Context, i int) (int, error) { return i, fn(ctx, i) }, opts...)
				kitEq(t, "length of the results", len(out), n)
				return err
			})
		})
	})
	t.Run("ForEach", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			test(t, func(ctx context.Context, e *antflow.Executor, n int, fn func(context.Context, int) error, opts ...antflow.GroupOption) error {
				return antflow.ForEach(ctx, e, kitInts(n), fn, opts...)
			})
		})
	})
}

type kitRun = func(ctx context.Context, e *antflow.Executor, n int, fn func(context.Context, int) error, opts ...antflow.GroupOption) error

func TestMapSliceGivesEachResultAtItsInputsIndex(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := kitNew(t, 4)
		start := time.Now()
		out, err := antflow.MapSlice(t.Context(), e, []int{3, 1, 4, 2}, func(_ context.Context, n int) (string, error) {
			time.Sleep(time.Duration(n) * time.Second)
			return fmt.Sprint("v", n), nil
		})
		kitEq(t, "error", err, nil)
		kitList(t, "results", out, []string{"v3", "v1", "v4", "v2"})
		kitAt(t, "end", start, 4*time.Second)

		for _, inputs := range [][]int{nil, {}} {
			out, err := antflow.MapSlice(t.Context(), e, inputs, func(context.Context, int) (int, error) { return 0, nil })
			if len(out) != 0 || err != nil {
				t.Errorf("of nothing: %v, %v", out, err)
			}
		}
	})
}

func TestForEachRunsFnForEachInput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := kitNew(t, 4)
		start := time.Now()
		var ran [10]bool // its own element for each task
		src := new(kitSource)
		kitEq(t, "error", antflow.ForEach(t.Context(), e, src.ints(10), func(_ context.Context, n int) error {
			time.Sleep(time.Second)
			ran[n] = true
			return nil
		}), nil)
		for n, ok := range ran {
			kitEq(t, fmt.Sprint("ran ", n), ok, true)
		}
		kitAt(t, "end", start, 3*time.Second)
		kitEq(t, "source ended", src.ended.Load(), 1)
	})
}

func TestMapSliceKeepsTheResultsThatItHasOnAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := kitNew(t, 3)
		out, err := antflow.MapSlice(t.Context(), e, []int{2, 1, 5}, func(ctx context.Context, n int) (int, error) {
			if err := kitWork(ctx, time.Duration(n)*time.Second); err != nil {
				return -1, err
			}
			if n == 2 {
				return -2, errBoom
			}
			return n, nil
		})
		kitEq(t, "index", kitAs[*antflow.ItemError](t, err).Index, 0)
		kitEq(t, "length", len(out), 3)
		kitEq(t, "the result of the item that had succeeded", out[1], 1)
	})
}

// The failure in time is item 2's, at 2s; the others answer their cancellation at 7s, each in its way.
func TestTheFirstFailureInTimeIsTheErrorAndAllHaveSettled(t *testing.T) {
	kitBoth(t, func(t *testing.T, run kitRun) {
		e := kitNew(t, 4)
		start := time.Now()
		var started, ended atomic.Int64
		err := run(t.Context(), e, 10, func(ctx context.Context, n int) error {
			started.Add(1)
			defer ended.Add(1)
			if n == 2 {
				time.Sleep(2 * time.Second)
				return errBoom
			}
			<-ctx.Done()
			kitAt(t, "canceled", start, 2*time.Second)
			time.Sleep(5 * time.Second)
			switch n {
			case 0:
				return ctx.Err()
			case 1:
				return errors.New("a later failure")
			case 3:
				panic("a later failure that is no cancellation")
			}
			return nil
		})
		kitAt(t, "all settled", start, 7*time.Second)
		kitEq(t, "index", kitAs[*antflow.ItemError](t, err).Index, 2)
		kitIs(t, err, errBoom)
		kitNotIs(t, err, context.Canceled, antflow.ErrCanceled)
		kitEq(t, "ended", ended.Load(), started.Load())
		if n := started.Load(); n < 4 || n > 5 { // item 2's slot may have gone to item 4 before the cancellation
			t.Errorf("%d tasks started", n)
		}
		kitIdle(t, e)
	})
}

func TestAPanicAndAStrangersCanceledAreFailuresToo(t *testing.T) {
	for name, fail := range map[string]func() error{
		"panic":              func() error { panic(errBoom) },
		"stranger's":         func() error { return errors.Join(errBoom, context.Canceled) },
		"stranger's future":  func() error { return errors.Join(errBoom, antflow.ErrCanceled) },
		"its own DeadlineEx": func() error { return errors.Join(errBoom, context.DeadlineExceeded) },
	} {
		t.Run(name, func(t *testing.T) {
			kitBoth(t, func(t *testing.T, run kitRun) {
				e := kitNew(t, 4)
				start := time.Now()
				err := run(t.Context(), e, 4, func(ctx context.Context, n int) error {
					if n == 3 {
						time.Sleep(time.Second)
						return fail()
					}
					<-ctx.Done()
					return ctx.Err()
				})
				kitAt(t, "end", start, time.Second)
				kitEq(t, "index", kitAs[*antflow.ItemError](t, err).Index, 3)
				kitIs(t, err, errBoom)
				kitNotAs[*antflow.WaitError](t, err)
			})
		})
	}
}

func TestAFailureStandsThoughCtxEndsWhileTheRestSettles(t *testing.T) {
	kitBoth(t, func(t *testing.T, run kitRun) {
		e := kitNew(t, 2)
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		err := run(ctx, e, 2, func(_ context.Context, n int) error {
			if n == 1 {
				time.Sleep(time.Second)
				return errBoom
			}
			time.Sleep(5 * time.Second)
			return nil
		})
		kitAt(t, "all settled", start, 5*time.Second)
		kitEq(t, "index", kitAs[*antflow.ItemError](t, err).Index, 1)
		kitIs(t, err, errBoom)
	})
}

func TestTheEndOfCtxIsAWaitErrorOnceAllHaveSettled(t *testing.T) {
	kitBoth(t, func(t *testing.T, run kitRun) {
		e := kitNew(t, 2)
		start := time.Now()
		cause := errors.New("cause")
		ctx, cancel := context.WithTimeoutCause(t.Context(), 1500*time.Millisecond, cause)
		defer cancel()
		err := run(ctx, e, 10, func(ctx context.Context, n int) error {
			if err := kitWork(ctx, time.Second); err != nil {
				time.Sleep(time.Second)
				return err
			}
			return nil
		})
		kitAt(t, "all settled", start, 2500*time.Millisecond)
		kitAs[*antflow.WaitError](t, err)
		kitNotAs[*antflow.ItemError](t, err)
		kitIs(t, err, context.DeadlineExceeded, cause)
		kitNotIs(t, err, context.Canceled)
		kitIdle(t, e)
	})
}

func TestABatchOnAnEndedCtxRunsNothing(t *testing.T) {
	kitBoth(t, func(t *testing.T, run kitRun) {
		e := kitNew(t, 2)
		err := run(kitDeadCtx(), e, 3, func(context.Context, int) error { t.Error("fn ran"); return nil })
		kitIs(t, kitAs[*antflow.WaitError](t, err), context.Canceled)
		kitNotAs[*antflow.ItemError](t, err)
		kitIdle(t, e)
	})
}

func TestABatchOnAShutExecutorIsErrShutdown(t *testing.T) {
	kitBoth(t, func(t *testing.T, run kitRun) {
		e := antflow.New(2)
		e.Close()
		err := run(t.Context(), e, 3, func(context.Context, int) error { t.Error("fn ran"); return nil })
		kitIs(t, err, antflow.ErrShutdown)
		kitNotAs[*antflow.ItemError](t, err)
		kitNotAs[*antflow.WaitError](t, err)
	})
}

func TestShutdownThatCancelsABatchIsErrShutdown(t *testing.T) {
	kitBoth(t, func(t *testing.T, run kitRun) {
		e := antflow.New(1)
		start := time.Now()
		time.AfterFunc(1500*time.Millisecond, func() { e.Shutdown(context.Background(), antflow.CancelRunning()) })
		err := run(t.Context(), e, 5, func(ctx context.Context, n int) error { return kitWork(ctx, time.Second) })
		kitAt(t, "end", start, 1500*time.Millisecond)
		kitIs(t, err, antflow.ErrShutdown)
		kitNotAs[*antflow.WaitError](t, err)
	})
}

func TestCollectErrorsRunsAllAndJoinsAll(t *testing.T) {
	kitBoth(t, func(t *testing.T, run kitRun) {
		e := kitNew(t, 5)
		start := time.Now()
		var ran atomic.Int64
		err := run(t.Context(), e, 5, func(ctx context.Context, n int) error {
			if err := kitWork(ctx, time.Duration(5-n)*time.Second); err != nil {
				t.Errorf("item %d was canceled", n)
			}
			ran.Add(1)
			if n%2 == 0 {
				return fmt.Errorf("boom-%d", n)
			}
			return nil
		}, antflow.CollectErrors())
		kitAt(t, "end", start, 5*time.Second)
		kitEq(t, "ran", ran.Load(), 5)
		var indexes []int
		for _, item := range antflow.ItemErrors(err) { // in input order, though 4 failed first
			indexes = append(indexes, item.Index)
			kitEq(t, "its error", item.Err.Error(), fmt.Sprint("boom-", item.Index))
		}
		kitList(t, "item errors", indexes, []int{0, 2, 4})
		for _, text := range []string{"boom-0", "boom-2", "boom-4"} {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("%q lacks %s", err, text)
			}
		}
		kitNotAs[*antflow.WaitError](t, err)
		kitEq(t, "no error", run(t.Context(), e, 5, func(context.Context, int) error { return nil }, antflow.CollectErrors()), nil)
	})
}

func TestCollectErrorsJoinsTheEndOfCtxAfterTheItems(t *testing.T) {
	kitBoth(t, func(t *testing.T, run kitRun) {
		e := kitNew(t, 1)
		cause := errors.New("the cause")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(2500*time.Millisecond, func() { cancel(cause) })
		err := run(ctx, e, 5, func(ctx context.Context, n int) error {
			if err := kitWork(ctx, time.Second); err != nil {
				return err
			}
			return fmt.Errorf("boom-%d", n)
		}, antflow.CollectErrors())
		kitAs[*antflow.WaitError](t, err)
		kitIs(t, err, context.Canceled, cause)
		items := antflow.ItemErrors(err) // whether the canceled items are among them is open
		if len(items) < 2 || items[0].Index != 0 || items[1].Index != 1 {
			t.Errorf("item errors: %v, want those of 0 and 1 first", items)
		}
		kitLast[*antflow.WaitError](t, err)
		text := err.Error() // Err(), or its cause, or both
		if last := max(strings.LastIndex(text, context.Canceled.Error()), strings.LastIndex(text, "the cause")); strings.LastIndex(text, "boom-1") > last {
			t.Errorf("%q: want the end of ctx after the items' errors", text)
		}
	})
}

func TestCollectErrorsJoinsErrShutdownAfterTheItems(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := antflow.New(1)
		var err error
		source := func(yield func(int) bool) { // shut down between the second input and the third
			if yield(0) && yield(1) {
				time.Sleep(10 * time.Second)
				e.Shutdown(context.Background(), antflow.NoWait())
				yield(2)
			}
		}
		err = antflow.ForEach(t.Context(), e, source, func(_ context.Context, n int) error { return fmt.Errorf("boom-%d", n) }, antflow.CollectErrors())
		kitIs(t, err, antflow.ErrShutdown)
		items := antflow.ItemErrors(err)
		if len(items) < 2 || items[0].Index != 0 || items[1].Index != 1 {
			t.Errorf("item errors: %v, want those of 0 and 1 first", items)
		}
		shutdown := strings.TrimPrefix(antflow.ErrShutdown.Error(), "antflow: ")
		if text := err.Error(); strings.LastIndex(text, "boom-1") > strings.LastIndex(text, shutdown) {
			t.Errorf("%q: want the shutdown after the items' errors", text)
		}
	})
}

// kitLast asserts, where err is a join that can be unwrapped, that its last part is an E and no *ItemError.
func kitLast[E error](t *testing.T, err error) {
	t.Helper()
	if join, ok := err.(interface{ Unwrap() []error }); ok {
		parts := join.Unwrap()
		kitAs[E](t, parts[len(parts)-1])
		kitNotAs[*antflow.ItemError](t, parts[len(parts)-1])
	}
}

func TestABatchBoundsItsConcurrency(t *testing.T) {
	kitBoth(t, func(t *testing.T, run kitRun) {
		e := kitNew(t, 8)
		start := time.Now()
		var now atomic.Int64
		kitEq(t, "error", run(t.Context(), e, 7, func(context.Context, int) error {
			if n := now.Add(1); n > 2 {
				t.Errorf("%d at once", n)
			}
			time.Sleep(time.Second)
			now.Add(-1)
			return nil
		}, antflow.MaxConcurrency(2)), nil)
		kitAt(t, "end", start, 4*time.Second)
	})
}

func TestABatchWithinATaskLendsItsSlot(t *testing.T) {
	kitBoth(t, func(t *testing.T, run kitRun) {
		e := kitNew(t, 1)
		start := time.Now()
		var leaves atomic.Int64
		f := e.Go(t.Context(), func(ctx context.Context) error {
			return run(ctx, e, 3, func(ctx context.Context, _ int) error {
				return run(ctx, e, 3, func(context.Context, int) error { time.Sleep(time.Second); leaves.Add(1); return nil })
			})
		})
		kitValue(t, f)
		kitEq(t, "leaves", leaves.Load(), 9)
		kitAt(t, "end", start, 9*time.Second)
	})
}

func TestABatchTakesTaskOptions(t *testing.T) {
	kitBoth(t, func(t *testing.T, run kitRun) {
		e := kitNew(t, 3)
		start := time.Now()
		var attempts [3]atomic.Int64
		err := run(t.Context(), e, 3, func(_ context.Context, n int) error {
			if attempts[n].Add(1) < 3 {
				return errBoom
			}
			return nil
		}, antflow.Retries(2), antflow.RetryBackoff(antflow.ConstantBackoff(time.Second)))
		kitEq(t, "error", err, nil)
		kitAt(t, "end", start, 2*time.Second)
	})
}
