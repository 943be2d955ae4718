package futures_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
)

func TestAPromiseIsSettledOnce(t *testing.T) {
	type settler func(*antflow.Promise[int]) bool
	result := func(p *antflow.Promise[int]) bool { return p.SetResult(1) }
	failure := func(p *antflow.Promise[int]) bool { return p.SetError(errBoom) }
	canceled := func(p *antflow.Promise[int]) bool { return p.SetError(antflow.ErrCanceled) }
	for state, first := range map[antflow.State]settler{
		antflow.StateSucceeded: result, antflow.StateFailed: failure, antflow.StateCanceled: canceled,
	} {
		for _, second := range []settler{func(p *antflow.Promise[int]) bool { return p.SetResult(2) }, failure, canceled} {
			p := antflow.NewPromise[int]()
			f := p.Future()
			kitEq(t, "the same future", p.Future() == f, true)
			kitEq(t, "state at first", f.State(), antflow.StatePending)
			kitEq(t, "done at first", f.IsDone(), false)
			kitEq(t, "settled", first(p), true)
			value, err := f.Result(context.Background())
			kitEq(t, "settled again", second(p), false)
			again, errAgain := f.Result(context.Background())
			kitEq(t, "value stays", again, value)
			kitEq(t, "error stays", errAgain, err)
			kitEq(t, "state stays", f.State(), state)
			kitEq(t, "Cancel", f.Cancel(), false)
		}
	}
}

func TestAPromisesErrorComesBackAsItIs(t *testing.T) {
	for _, own := range []error{errBoom, context.Canceled, context.DeadlineExceeded, antflow.ErrShutdown} {
		p := antflow.NewPromise[int]()
		p.SetError(own)
		_, err := p.Future().Result(context.Background())
		kitEq(t, "error", err, own)
		kitEq(t, "state", p.Future().State(), antflow.StateFailed)
	}
}

func TestSetErrorOfACancellationSettlesAsCanceled(t *testing.T) {
	wrapped := fmt.Errorf("remote: %w", antflow.ErrCanceled)
	for _, own := range []error{antflow.ErrCanceled, wrapped} {
		p := antflow.NewPromise[int]()
		kitEq(t, "SetError", p.SetError(own), true)
		kitEq(t, "state", p.Future().State(), antflow.StateCanceled)
		kitIs(t, p.Future().Err(), antflow.ErrCanceled, own)
	}
}

func TestSetErrorPanicsOnNil(t *testing.T) {
	p := antflow.NewPromise[int]()
	kitPanics(t, "SetError(nil)", func() { p.SetError(nil) })
	kitEq(t, "done", p.Future().IsDone(), false)
	p.SetResult(1)
	kitPanics(t, "SetError(nil) of a settled one", func() { p.SetError(nil) })
}

// OnCancel is said to leave the settling to the promise, so without it I read that Cancel settles, as on a queued task.
func TestCancelOfAPromiseWithoutOnCancelSettlesIt(t *testing.T) {
	p := antflow.NewPromise[int]()
	ran := 0
	p.Future().OnDone(func(*antflow.Future[int]) { ran++ })
	kitEq(t, "Cancel", p.Future().Cancel(), true)
	kitAssertCanceled(t, p.Future())
	kitEq(t, "Cancel again", p.Future().Cancel(), false)
	kitEq(t, "SetResult", p.SetResult(1), false)
	kitEq(t, "SetError", p.SetError(errBoom), false)
	kitAssertCanceled(t, p.Future())
	kitEq(t, "callbacks", ran, 1)
}

func TestTheFirstCancelCallsOnCancelAndLeavesTheSettling(t *testing.T) {
	for state, settle := range map[antflow.State]func(*antflow.Promise[int]) bool{
		antflow.StateSucceeded: func(p *antflow.Promise[int]) bool { return p.SetResult(7) },
		antflow.StateFailed:    func(p *antflow.Promise[int]) bool { return p.SetError(errBoom) },
		antflow.StateCanceled:  func(p *antflow.Promise[int]) bool { return p.SetError(antflow.ErrCanceled) },
	} {
		p := antflow.NewPromise[int]()
		calls := 0
		p.OnCancel(func() { calls++ })
		kitEq(t, "calls before", calls, 0)
		kitEq(t, "first Cancel", p.Future().Cancel(), true)
		kitEq(t, "calls", calls, 1)
		p.Future().Cancel() // what it returns is open: not done yet, but asked for before
		kitEq(t, "calls after the second Cancel", calls, 1)
		kitEq(t, "done", p.Future().IsDone(), false)
		kitEq(t, "settled by the promise", settle(p), true)
		kitEq(t, "state", p.Future().State(), state)
		kitEq(t, "Cancel of a settled one", p.Future().Cancel(), false)
	}
}

func TestOnCancelMaySettleItself(t *testing.T) {
	p := antflow.NewPromise[int]()
	p.OnCancel(func() { p.SetError(antflow.ErrCanceled) })
	kitEq(t, "Cancel", p.Future().Cancel(), true)
	kitEq(t, "state", p.Future().State(), antflow.StateCanceled)
}

func TestOnCancelIsNotCalledOnceSettled(t *testing.T) {
	p := antflow.NewPromise[int]()
	p.OnCancel(func() { t.Error("OnCancel was called") })
	p.SetResult(1)
	kitEq(t, "Cancel", p.Future().Cancel(), false)
}

func TestCallbacksRunOnTheGoroutineThatSettlesAPromise(t *testing.T) {
	p := antflow.NewPromise[int]()
	var order []int // no race and complete at once: the same goroutine
	for i := range 5 {
		p.Future().OnDone(func(*antflow.Future[int]) { order = append(order, i) })
	}
	p.SetResult(1)
	kitList(t, "callbacks when SetResult returned", order, []int{0, 1, 2, 3, 4})
	p.Future().OnDone(func(*antflow.Future[int]) { order = append(order, 5) })
	kitEq(t, "callbacks when OnDone returned", len(order), 6)
}

func TestOneOfManySettlersWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := antflow.NewPromise[int]()
		var wins, winner atomic.Int64
		values := make([]int, 10) // its own element for each reader
		var all sync.WaitGroup
		for i := range values {
			all.Go(func() { values[i] = kitValue(t, p.Future()) })
		}
		synctest.Wait()
		for i := range 50 {
			all.Go(func() {
				if p.SetResult(i + 1) {
					wins.Add(1)
					winner.Store(int64(i + 1))
				}
			})
		}
		all.Wait()
		kitEq(t, "winners", wins.Load(), 1)
		for _, v := range values {
			kitEq(t, "value read", int64(v), winner.Load())
		}
	})
}

func TestAPromiseWakesItsReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		p := antflow.NewPromise[int]()
		time.AfterFunc(3*time.Second, func() { p.SetResult(7) })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := p.Future().Result(ctx)
		kitIs(t, kitAs[*antflow.WaitError](t, err), context.DeadlineExceeded)
		kitAt(t, "wait ended", start, time.Second)
		kitEq(t, "value", kitValue(t, p.Future()), 7)
		kitAt(t, "settled", start, 3*time.Second)
	})
}
