package futures_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
)

type kitEnding struct {
	after time.Duration
	err   error // errCanceled: the future is canceled
}

var errCanceled = errors.New("to be canceled")

// kitSettling makes promises' futures that settle as told; one whose time is 0 is settled already.
func kitSettling(endings ...kitEnding) []*antflow.Future[int] {
	var futures []*antflow.Future[int]
	for i, ending := range endings {
		p := antflow.NewPromise[int]()
		futures = append(futures, p.Future())
		settle := func() {
			switch ending.err {
			case nil:
				p.SetResult(i)
			case errCanceled:
				p.Future().Cancel()
			default:
				p.SetError(ending.err)
			}
		}
		if ending.after == 0 {
			settle()
		} else {
			time.AfterFunc(ending.after, settle)
		}
	}
	return futures
}

// kitSplit asserts Wait's lists: futures by their place in all. Duplicates count once, so they are cut before comparing.
func kitSplit[F interface {
	comparable
	antflow.Waitable
}](t *testing.T, all, done, pending []F, wantDone, wantPending []int) {
	t.Helper()
	places := func(list []F) []int {
		places := []int{}
		for _, f := range list {
			for i, g := range all {
				if f == g {
					places = append(places, i)
					break
				}
			}
		}
		return places
	}
	kitList(t, "done", places(done), wantDone)
	kitList(t, "pending", places(pending), wantPending)
}

const kitS = time.Second

func TestWaitReturnsWhenItsConditionHolds(t *testing.T) {
	ok, bad, gone := func(d time.Duration) kitEnding { return kitEnding{d, nil} },
		func(d time.Duration) kitEnding { return kitEnding{d, errBoom} },
		func(d time.Duration) kitEnding { return kitEnding{d, errCanceled} }
	for _, c := range []struct {
		name          string
		endings       []kitEnding
		when          antflow.ReturnWhen
		at            time.Duration
		done, pending []int
	}{
		{"all", []kitEnding{ok(3 * kitS), bad(kitS), gone(2 * kitS)}, antflow.AllCompleted, 3 * kitS, []int{0, 1, 2}, nil},
		{"all, done before", []kitEnding{ok(0), bad(0)}, antflow.AllCompleted, 0, []int{0, 1}, nil},
		{"first", []kitEnding{ok(3 * kitS), bad(kitS), ok(2 * kitS)}, antflow.FirstCompleted, kitS, []int{1}, []int{0, 2}},
		{"first is a cancellation", []kitEnding{ok(3 * kitS), gone(kitS)}, antflow.FirstCompleted, kitS, []int{1}, []int{0}},
		{"first, every finished one is in done", []kitEnding{ok(0), ok(kitS), bad(0), gone(0)}, antflow.FirstCompleted, 0, []int{0, 2, 3}, []int{1}},
		{"error", []kitEnding{ok(kitS), bad(3 * kitS), ok(5 * kitS), gone(2 * kitS)}, antflow.FirstError, 3 * kitS, []int{0, 1, 3}, []int{2}},
		{"error before", []kitEnding{ok(kitS), bad(0), ok(0)}, antflow.FirstError, 0, []int{1, 2}, []int{0}},
		{"no error", []kitEnding{ok(kitS), ok(4 * kitS)}, antflow.FirstError, 4 * kitS, []int{0, 1}, nil},
		{"a cancellation is no error", []kitEnding{gone(kitS), gone(0), ok(4 * kitS)}, antflow.FirstError, 4 * kitS, []int{0, 1, 2}, nil},
		{"success", []kitEnding{bad(kitS), gone(2 * kitS), ok(3 * kitS), ok(4 * kitS)}, antflow.FirstSuccess, 3 * kitS, []int{0, 1, 2}, []int{3}},
		{"success before", []kitEnding{bad(kitS), ok(0)}, antflow.FirstSuccess, 0, []int{1}, []int{0}},
		{"no success", []kitEnding{bad(4 * kitS), gone(kitS)}, antflow.FirstSuccess, 4 * kitS, []int{0, 1}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				futures := kitSettling(c.endings...)
				done, pending, err := antflow.Wait(t.Context(), futures, c.when)
				kitAt(t, "Wait", start, c.at)
				kitEq(t, "error", err, nil)
				kitSplit(t, futures, done, pending, c.done, c.pending)
				// An ended ctx polls; and where the condition holds already, it is no error.
				done, pending, err = antflow.Wait(kitDeadCtx(), futures, c.when)
				kitEq(t, "error of the poll", err, nil)
				kitSplit(t, futures, done, pending, c.done, c.pending)
				time.Sleep(time.Minute)
			})
		})
	}
}

func TestWaitNWaitsForNOfThem(t *testing.T) {
	for n, c := range map[int]struct {
		at            time.Duration
		done, pending []int
	}{
		-1: {0, []int{1}, []int{0, 2, 3}},
		0:  {0, []int{1}, []int{0, 2, 3}},
		1:  {0, []int{1}, []int{0, 2, 3}},
		2:  {2 * kitS, []int{1, 3}, []int{0, 2}},
		3:  {3 * kitS, []int{1, 2, 3}, []int{0}},
		4:  {4 * kitS, []int{0, 1, 2, 3}, nil},
		9:  {4 * kitS, []int{0, 1, 2, 3}, nil},
	} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			futures := kitSettling(kitEnding{4 * kitS, errBoom}, kitEnding{0, nil}, kitEnding{3 * kitS, errCanceled}, kitEnding{2 * kitS, nil})
			done, pending, err := antflow.WaitN(t.Context(), futures, n)
			kitAt(t, "WaitN", start, c.at)
			kitEq(t, "error", err, nil)
			kitSplit(t, futures, done, pending, c.done, c.pending)
			time.Sleep(time.Minute)
		})
	}
}

func TestWaitOfNothingReturnsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		for _, when := range []antflow.ReturnWhen{antflow.AllCompleted, antflow.FirstCompleted, antflow.FirstError, antflow.FirstSuccess} {
			done, pending, err := antflow.Wait(t.Context(), []*antflow.Future[int]{}, when)
			if len(done)+len(pending) != 0 || err != nil {
				t.Errorf("%v: %v, %v, %v", when, done, pending, err)
			}
			_, _, err = antflow.Wait[antflow.Waitable](t.Context(), nil, when)
			kitEq(t, "error", err, nil)
		}
		_, _, err := antflow.WaitN(t.Context(), []antflow.Waitable{}, 3)
		kitEq(t, "error", err, nil)
		kitAt(t, "all", start, 0)
	})
}

func TestWaitEndedByCtxGivesTheTrueSplitAndAWaitError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		futures := kitSettling(kitEnding{10 * kitS, nil}, kitEnding{kitS, nil}, kitEnding{2 * kitS, errCanceled}, kitEnding{9 * kitS, errBoom})
		cause := errors.New("cause")
		ctx, cancel := context.WithTimeoutCause(t.Context(), 5*kitS, cause)
		defer cancel()
		check := func(done, pending []*antflow.Future[int], err error) {
			t.Helper()
			kitAt(t, "end", start, 5*kitS)
			kitAs[*antflow.WaitError](t, err)
			kitIs(t, err, context.DeadlineExceeded, cause)
			kitNotIs(t, err, context.Canceled)
			kitSplit(t, futures, done, pending, []int{1, 2}, []int{0, 3})
		}
		check(antflow.Wait(ctx, futures, antflow.AllCompleted))
		check(antflow.Wait(ctx, futures, antflow.FirstError)) // polls from here on
		check(antflow.WaitN(ctx, futures, 3))
		done, pending, err := antflow.WaitN(ctx, futures, 2)
		kitEq(t, "error of a poll whose condition holds", err, nil)
		kitSplit(t, futures, done, pending, []int{1, 2}, []int{0, 3})
		_, _, err = antflow.Wait(kitDeadCtx(), futures, antflow.AllCompleted)
		kitIs(t, kitAs[*antflow.WaitError](t, err), context.Canceled)
		// Nothing was changed: the futures settle as before.
		done, pending, err = antflow.Wait(t.Context(), futures, antflow.AllCompleted)
		kitEq(t, "error", err, nil)
		kitSplit(t, futures, done, pending, []int{0, 1, 2, 3}, nil)
		kitAt(t, "all", start, 10*kitS)
	})
}

func TestDuplicatesCountOnceInWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		f := kitSettling(kitEnding{kitS, nil}, kitEnding{3 * kitS, nil}, kitEnding{5 * kitS, nil})
		done, _, err := antflow.WaitN(t.Context(), []*antflow.Future[int]{f[0], f[0], f[1], f[0], f[2]}, 2)
		kitAt(t, "two different ones", start, 3*kitS)
		kitEq(t, "error", err, nil)
		seen := map[*antflow.Future[int]]bool{}
		for _, f := range done {
			seen[f] = true
		}
		kitEq(t, "different ones in done", len(seen), 2)
		// Five in the list, three that count: n beyond that means all.
		_, pending, err := antflow.WaitN(t.Context(), []*antflow.Future[int]{f[0], f[2], f[2], f[0], f[1]}, 5)
		kitAt(t, "all", start, 5*kitS)
		kitEq(t, "error", err, nil)
		kitEq(t, "pending", len(pending), 0)
		_, _, err = antflow.Wait(t.Context(), []*antflow.Future[int]{f[0], f[0]}, antflow.AllCompleted)
		kitEq(t, "error", err, nil)
	})
}

func TestWaitTakesMixedWaitables(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := kitNew(t, 3)
		start := time.Now()
		text := antflow.Submit(t.Context(), e, kitAfter(3*kitS, "text", nil))
		none := e.Go(t.Context(), func(context.Context) error { time.Sleep(kitS); return errBoom })
		promise := antflow.NewPromise[int]()
		time.AfterFunc(2*kitS, func() { promise.SetResult(7) })
		futures := []antflow.Waitable{text, none, promise.Future()}
		done, pending, err := antflow.Wait(t.Context(), futures, antflow.FirstSuccess)
		kitAt(t, "first success", start, 2*kitS)
		kitEq(t, "error", err, nil)
		kitSplit(t, futures, done, pending, []int{1, 2}, []int{0})
		kitEq(t, "Err through the interface", done[0].Err(), errBoom)
		kitEq(t, "State through the interface", pending[0].State(), antflow.StateRunning)
		var order []uint64
		for f, err := range antflow.AsCompleted(t.Context(), []antflow.Waitable{text, none}) {
			kitEq(t, "error", err, nil)
			order = append(order, f.ID())
		}
		kitList(t, "IDs", order, []uint64{none.ID(), text.ID()})
	})
}

func TestWaitWithinATaskLendsItsSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := kitNew(t, 1)
		start := time.Now()
		f := e.Go(t.Context(), func(ctx context.Context) error {
			var futures []*antflow.Future[int]
			for i := range 4 {
				futures = append(futures, antflow.Submit(ctx, e, kitAfter(kitS, i, nil)))
			}
			done, pending, err := antflow.WaitN(ctx, futures, 2)
			kitAt(t, "two of four", start, 2*kitS)
			kitEq(t, "error", err, nil)
			kitSplit(t, futures, done, pending, []int{0, 1}, []int{2, 3})
			kitEq(t, "running", e.Stats().Running, 1)
			for range antflow.AsCompleted(ctx, pending) {
				s := e.Stats()
				kitEq(t, "running in the body", s.Running, 1)
				kitEq(t, "blocked in the body", s.Blocked, 0)
			}
			kitAt(t, "all", start, 4*kitS)
			_, _, err = antflow.Wait(ctx, futures, antflow.AllCompleted)
			return err
		})
		kitValue(t, f)
	})
}
