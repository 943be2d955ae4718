package futures_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
)

func TestResultGivesTheTasksOwnErrorAsItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := kitNew(t, 3)
		kitEq(t, "value", kitValue(t, antflow.Submit(t.Context(), e, kitAfter(0, 7, nil))), 7)
		for _, own := range []error{
			errBoom,
			context.DeadlineExceeded,
			context.Canceled,
			fmt.Errorf("mine: %w", context.DeadlineExceeded),
			&antflow.WaitError{Err: context.DeadlineExceeded},
		} {
			f := antflow.Submit(t.Context(), e, kitAfter(time.Second, 0, own))
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			_, err := f.Result(ctx)
			cancel()
			if err != own {
				t.Errorf("Result: got %v (%T), want the very error %v (%T)", err, err, own, own)
			}
			if f.Err() != own {
				t.Errorf("Err: got %v, want the very error %v", f.Err(), own)
			}
			kitEq(t, "state", f.State(), antflow.StateFailed)
		}
	})
}

func TestOwnDeadlineExceededIsNotTheWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := kitNew(t, 2)
		start := time.Now()
		own := antflow.Submit(t.Context(), e, kitUntilCanceled, antflow.Timeout(time.Second))
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err := own.Result(ctx)
		kitAt(t, "attempt timeout", start, time.Second)
		kitIs(t, err, context.DeadlineExceeded)
		kitNotAs[*antflow.WaitError](t, err)
		kitNotIs(t, err, antflow.ErrCanceled) // a timeout of the attempt is a failure
		kitEq(t, "state", own.State(), antflow.StateFailed)

		slow := antflow.Submit(t.Context(), e, kitAfter(time.Minute, 1, nil))
		_, err = slow.Result(ctx)
		kitAt(t, "wait ended", start, 10*time.Second)
		kitIs(t, err, context.DeadlineExceeded)
		kitAs[*antflow.WaitError](t, err)
	})
}

func TestResultOfASettledFutureIgnoresItsCtx(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := kitNew(t, 1)
		ok := antflow.Submit(t.Context(), e, kitAfter(0, 7, nil))
		bad := antflow.Submit(t.Context(), e, kitAfter(0, 0, errBoom))
		gone := antflow.Submit(kitDeadCtx(), e, kitAfter(0, 0, nil))
		synctest.Wait()
		v, err := ok.Result(kitDeadCtx())
		if v != 7 || err != nil {
			t.Errorf("got %v, %v, want 7, nil", v, err)
		}
		if _, err = bad.Result(kitDeadCtx()); err != errBoom {
			t.Errorf("got %v, want boom", err)
		}
		_, err = gone.Result(kitDeadCtx())
		kitIs(t, err, antflow.ErrCanceled)
		kitNotAs[*antflow.WaitError](t, err)
	})
}

func TestAnEndedWaitChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := kitNew(t, 1)
		start := time.Now()
		f := antflow.Submit(t.Context(), e, func(ctx context.Context) (int, error) {
			if err := kitWork(ctx, 5*time.Second); err != nil {
				return 0, err
			}
			return 7, nil
		})
		var other sync.WaitGroup
		other.Go(func() {
			kitEq(t, "other reader", kitValue(t, f), 7)
			kitAt(t, "other reader", start, 5*time.Second)
		})
		cause := errors.New("cause")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, cause)
		defer cancel()
		v, err := f.Result(ctx)
		kitAt(t, "wait ended", start, time.Second)
		kitEq(t, "value", v, 0)
		kitAs[*antflow.WaitError](t, err)
		kitIs(t, err, context.DeadlineExceeded, cause)
		kitNotIs(t, err, context.Canceled)
		kitEq(t, "state", f.State(), antflow.StateRunning)
		// An ended ctx polls: at once, and without effect.
		_, err = f.Result(kitDeadCtx())
		kitAt(t, "poll", start, time.Second)
		kitIs(t, kitAs[*antflow.WaitError](t, err), context.Canceled)
		kitEq(t, "done", f.IsDone(), false)
		kitEq(t, "value", kitValue(t, f), 7)
		kitAt(t, "settled", start, 5*time.Second)
		other.Wait()
	})
}

func TestAnyNumberOfGoroutinesMayRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := kitNew(t, 1)
		start := time.Now()
		f := antflow.Submit(t.Context(), e, kitAfter(time.Second, 7, nil))
		var readers sync.WaitGroup
		for range 100 {
			readers.Go(func() {
				kitEq(t, "value", kitValue(t, f), 7)
				kitAt(t, "reader", start, time.Second)
				kitEq(t, "done", f.IsDone(), true)
				kitEq(t, "state", f.State(), antflow.StateSucceeded)
			})
		}
		readers.Wait()
	})
}

// The variables are plain: the race detector is the judge of the edges, the values of what travels over them.
func TestSubmitAttemptsAndSettlingAreOrdered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := kitNew(t, 4)
		plain := 1
		f := antflow.Submit(t.Context(), e, func(context.Context) (int, error) {
			plain *= 10
			if plain < 1000 {
				return 0, errBoom
			}
			return 0, nil
		}, antflow.Retries(2), antflow.RetryDelay(time.Second))
		inCallback := 0
		called := make(chan struct{})
		f.OnDone(func(*antflow.Future[int]) { inCallback = plain; close(called) })
		kitValue(t, f)
		kitEq(t, "after Result", plain, 1000)
		<-f.Done()
		kitEq(t, "after Done", plain, 1000)
		<-called
		kitEq(t, "in OnDone", inCallback, 1000)
	})
}

func TestStatesDoneAndErr(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := kitNew(t, 1)
		gate := make(chan struct{})
		first := antflow.Submit(t.Context(), e, func(context.Context) (int, error) { <-gate; return 1, nil })
		failing := antflow.Submit(t.Context(), e, kitAfter(time.Second, 0, errBoom),
			antflow.Retries(1), antflow.RetryDelay(10*time.Second))
		synctest.Wait()
		check := func(what string, f *antflow.Future[int], state antflow.State, done bool, want error) {
			t.Helper()
			kitEq(t, what+": state", f.State(), state)
			kitEq(t, what+": IsDone", f.IsDone(), done)
			select {
			case <-f.Done():
				kitEq(t, what+": Done closed", true, done)
			default:
				kitEq(t, what+": Done closed", false, done)
			}
			if !errors.Is(f.Err(), want) || (want == nil) != (f.Err() == nil) {
				t.Errorf("%s: Err is %v, want %v", what, f.Err(), want)
			}
		}
		check("running", first, antflow.StateRunning, false, nil)
		check("queued", failing, antflow.StatePending, false, nil)
		close(gate)
		synctest.Wait()
		check("succeeded", first, antflow.StateSucceeded, true, nil)
		check("first attempt", failing, antflow.StateRunning, false, nil)
		time.Sleep(5 * time.Second)
		check("between attempts", failing, antflow.StatePending, false, nil)
		time.Sleep(6500 * time.Millisecond)
		check("second attempt", failing, antflow.StateRunning, false, nil)
		kitErr(t, failing)
		check("failed", failing, antflow.StateFailed, true, errBoom)
		canceled := antflow.Submit(kitDeadCtx(), e, kitAfter(0, 0, nil))
		synctest.Wait()
		check("canceled", canceled, antflow.StateCanceled, true, antflow.ErrCanceled)
	})
}

func TestIDsCountFromZeroInEachExecutor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 2 {
			e := kitNew(t, 2)
			for want := uint64(0); want < 6; want += 2 {
				kitEq(t, "ID by Submit", antflow.Submit(t.Context(), e, kitAfter(0, 0, nil)).ID(), want)
				f := e.Go(t.Context(), func(ctx context.Context) error {
					info, ok := antflow.TaskFrom(ctx)
					kitEq(t, "in a task", ok, true)
					kitEq(t, "ID in the task", info.ID, want+1)
					return nil
				})
				kitEq(t, "ID by Go", f.ID(), want+1)
				kitValue(t, f)
			}
		}
	})
}

func TestAttemptsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := kitNew(t, 2)
		one := antflow.Submit(t.Context(), e, kitAfter(0, 0, nil))
		three := antflow.Submit(t.Context(), e, kitAfter(0, 0, errBoom), antflow.Retries(2))
		none := antflow.Submit(kitDeadCtx(), e, kitAfter(0, 0, nil))
		kitValue(t, one)
		retry := kitAs[*antflow.RetryError](t, kitErr(t, three))
		kitErr(t, none)
		kitEq(t, "succeeded at once", one.Attempts(), 1)
		kitEq(t, "failed after two retries", three.Attempts(), 3)
		kitEq(t, "RetryError.Attempts", retry.Attempts, 3)
		kitEq(t, "never started", none.Attempts(), 0)
	})
}

// The wording is free: name and ID must be in it, and another state must read differently.
func TestStringTellsNameIDAndState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := kitNew(t, 1)
		for range 7 {
			kitValue(t, antflow.Submit(t.Context(), e, kitAfter(0, 0, nil)))
		}
		gate := make(chan error)
		blocker := e.Go(t.Context(), func(context.Context) error { return <-gate }, antflow.TaskName("blocker"))
		f := e.Go(t.Context(), func(context.Context) error { return <-gate }, antflow.TaskName("digest"))
		seen := map[string]string{}
		look := func(state string) {
			t.Helper()
			synctest.Wait()
			text := f.String()
			kitEq(t, "fmt", fmt.Sprint(f), text)
			if !strings.Contains(text, "digest") || !strings.Contains(text, "8") {
				t.Errorf("%s: %q lacks the name or the ID 8", state, text)
			}
			if other, ok := seen[text]; ok {
				t.Errorf("%q is said of a future %s and of one %s", text, other, state)
			}
			seen[text] = state
		}
		look("pending")
		gate <- nil
		kitValue(t, blocker)
		look("running")
		gate <- errBoom
		look("failed")
	})
}

func TestStringTellsTheSettledStatesApart(t *testing.T) {
	seen := map[string]bool{}
	for _, settle := range []func(*antflow.Promise[int]){
		func(*antflow.Promise[int]) {},
		func(p *antflow.Promise[int]) { p.SetResult(1) },
		func(p *antflow.Promise[int]) { p.SetError(errBoom) },
		func(p *antflow.Promise[int]) { p.SetError(antflow.ErrCanceled) },
	} {
		// IDs of promises are unspecified, so cut every digit before comparing.
		p := antflow.NewPromise[int]()
		settle(p)
		seen[strings.Map(func(r rune) rune {
			if r >= '0' && r <= '9' {
				return -1
			}
			return r
		}, p.Future().String())] = true
	}
	kitEq(t, "different strings for pending, succeeded, failed, canceled", len(seen), 4)
}

func TestNilPanicsInTheCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := kitNew(t, 1)
		p := antflow.NewPromise[int]()
		f := p.Future()
		ok := func(context.Context, int) (int, error) { return 0, nil }
		each := func(context.Context, int) error { return nil }
		var noCtx context.Context
		for what, fn := range map[string]func(){
			"Result(nil)":          func() { f.Result(noCtx) },
			"OnDone(nil)":          func() { f.OnDone(nil) },
			"OnCancel(nil)":        func() { p.OnCancel(nil) },
			"NewGroup nil ctx":     func() { antflow.NewGroup(noCtx, e) },
			"NewGroup nil e":       func() { antflow.NewGroup(t.Context(), nil) },
			"Group.Go(nil)":        func() { antflow.NewGroup(t.Context(), e).Go(nil) },
			"Wait nil ctx":         func() { antflow.Wait(noCtx, []*antflow.Future[int]{f}, antflow.AllCompleted) },
			"Wait nil future":      func() { antflow.Wait(t.Context(), []*antflow.Future[int]{nil}, antflow.AllCompleted) },
			"Wait nil Waitable":    func() { antflow.Wait(t.Context(), []antflow.Waitable{nil}, antflow.AllCompleted) },
			"WaitN nil future":     func() { antflow.WaitN(t.Context(), []*antflow.Future[int]{nil}, 1) },
			"MapSlice nil ctx":     func() { antflow.MapSlice(noCtx, e, []int{1}, ok) },
			"MapSlice nil e":       func() { antflow.MapSlice(t.Context(), nil, []int{1}, ok) },
			"MapSlice nil fn":      func() { antflow.MapSlice[int, int](t.Context(), e, []int{1}, nil) },
			"ForEach nil ctx":      func() { antflow.ForEach(noCtx, e, kitInts(1), each) },
			"ForEach nil fn":       func() { antflow.ForEach(t.Context(), e, kitInts(1), nil) },
			"Zip nil sequence":     func() { kitDrain(antflow.Zip[int, int](nil, kitInts(1))) },
			"Map nil ctx":          func() { kitDrain(antflow.Map(noCtx, e, kitInts(1), ok)) },
			"Map nil e":            func() { kitDrain(antflow.Map(t.Context(), nil, kitInts(1), ok)) },
			"Map nil fn":           func() { kitDrain(antflow.Map[int, int](t.Context(), e, kitInts(1), nil)) },
			"Map nil inputs":       func() { kitDrain(antflow.Map(t.Context(), e, nil, ok)) },
			"MapUnordered nil fn":  func() { kitDrain(antflow.MapUnordered[int, int](t.Context(), e, kitInts(1), nil)) },
			"AsCompleted nil ctx":  func() { kitDrain(antflow.AsCompleted(noCtx, []*antflow.Future[int]{f})) },
			"AsCompleted nil item": func() { kitDrain(antflow.AsCompleted(t.Context(), []*antflow.Future[int]{nil})) },
			"MaxConcurrency(0)":    func() { antflow.MaxConcurrency(0) },
			"ResultTimeout(-1)":    func() { kitDrain(antflow.Map(t.Context(), e, kitInts(1), ok, antflow.ResultTimeout(-1))) },
		} {
			kitPanics(t, what, fn)
		}
		p.SetResult(0)
	})
}
