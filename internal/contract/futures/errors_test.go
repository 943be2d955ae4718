package futures_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
)

var errMine = errors.New("what fn returned")

// kitStages submits one task for each stage at which a cancellation may find it, and returns them once they are there:
// running (it answers with errMine), in a retry delay (its attempt failed with errMine), and queued (it never starts).
func kitStages(ctx context.Context, t *testing.T, e *antflow.Executor) (running, delayed, queued *antflow.Future[int]) {
	delayed = antflow.Submit(ctx, e, kitAfter(0, 0, errMine), antflow.Retries(3), antflow.RetryDelay(time.Hour))
	synctest.Wait()
	running = antflow.Submit(ctx, e, func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, errMine })
	synctest.Wait()
	queued = antflow.Submit(ctx, e, func(context.Context) (int, error) { t.Error("the queued task ran"); return 0, nil })
	synctest.Wait()
	return running, delayed, queued
}

func TestWhatACancellationIs(t *testing.T) {
	cause := errors.New("cause")
	for _, c := range []struct {
		name    string
		ctx     func(context.Context) (context.Context, context.CancelFunc)
		act     func(e *antflow.Executor, futures []*antflow.Future[int])
		is, not []error
	}{
		{"Future.Cancel", context.WithCancel, func(_ *antflow.Executor, futures []*antflow.Future[int]) {
			for _, f := range futures {
				f.Cancel()
			}
		}, []error{context.Canceled}, []error{antflow.ErrShutdown, context.DeadlineExceeded}},
		{"ctx canceled", func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancelCause(ctx)
			time.AfterFunc(time.Second, func() { cancel(cause) })
			return ctx, func() { cancel(nil) }
		}, nil, []error{context.Canceled, cause}, []error{antflow.ErrShutdown, context.DeadlineExceeded}},
		{"deadline", func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, time.Second)
		}, nil, []error{context.DeadlineExceeded}, []error{antflow.ErrShutdown, context.Canceled}},
		{"deadline with a cause", func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeoutCause(ctx, time.Second, cause)
		}, nil, []error{context.DeadlineExceeded, cause}, []error{antflow.ErrShutdown, context.Canceled}},
		{"shutdown", context.WithCancel, func(e *antflow.Executor, _ []*antflow.Future[int]) {
			e.Shutdown(context.Background(), antflow.CancelRunning())
		}, []error{context.Canceled, antflow.ErrShutdown}, []error{context.DeadlineExceeded}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := kitNew(t, 1)
				ctx, cancel := c.ctx(t.Context())
				defer cancel()
				running, delayed, queued := kitStages(ctx, t, e)
				if c.act != nil {
					c.act(e, []*antflow.Future[int]{queued, delayed, running})
				} else {
					time.Sleep(time.Second)
				}
				synctest.Wait()
				for what, f := range map[string]*antflow.Future[int]{"running": running, "delayed": delayed, "queued": queued} {
					err := f.Err()
					if err == nil {
						t.Fatalf("%s: not settled, or succeeded", what)
					}
					kitEq(t, what, f.State(), antflow.StateCanceled)
					kitIs(t, err, antflow.ErrCanceled)
					kitIs(t, err, c.is...)
					kitNotIs(t, err, c.not...)
					kitNotAs[*antflow.RetryError](t, err)
					if f == queued {
						kitNotIs(t, err, errMine)
					} else {
						kitIs(t, err, errMine)
					}
					kitMessage(t, err)
				}
			})
		})
	}
}

func TestCancelQueuedIsShutdownsCancellation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := kitNew(t, 1)
		start := time.Now()
		first := antflow.Submit(t.Context(), e, kitAfter(time.Second, 7, nil))
		synctest.Wait()
		queued := antflow.Submit(t.Context(), e, kitAfter(0, 0, nil))
		kitEq(t, "Shutdown", e.Shutdown(t.Context(), antflow.CancelQueued()), nil)
		kitAt(t, "drained", start, time.Second)
		kitEq(t, "value", kitValue(t, first), 7)
		kitIs(t, queued.Err(), antflow.ErrCanceled, antflow.ErrShutdown, context.Canceled)
		kitEq(t, "state", queued.State(), antflow.StateCanceled)
	})
}

func TestAWaitErrorIsErrAndCauseOfTheEndedContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := kitNew(t, 2)
		p := antflow.NewPromise[int]()
		futures := []*antflow.Future[int]{p.Future()}
		cause := errors.New("cause")
		canceled, cancel := context.WithCancelCause(t.Context())
		cancel(cause)
		passed, cancelPassed := context.WithTimeoutCause(t.Context(), time.Second, cause)
		defer cancelPassed()
		time.Sleep(2 * time.Second)
		for ctx, want := range map[context.Context]error{canceled: context.Canceled, passed: context.DeadlineExceeded} {
			waits := map[string]func() error{
				"Result": func() error { _, err := p.Future().Result(ctx); return err },
				"Wait":   func() error { _, _, err := antflow.Wait(ctx, futures, antflow.FirstSuccess); return err },
				"WaitN":  func() error { _, _, err := antflow.WaitN(ctx, futures, 1); return err },
				"AsCompleted": func() (last error) {
					for _, err := range antflow.AsCompleted(ctx, futures) {
						last = err
					}
					return last
				},
				"Map": func() (last error) {
					for _, err := range antflow.Map(ctx, e, kitInts(1), kitAfterItem(0)) {
						last = err
					}
					return last
				},
				"MapSlice": func() error { _, err := antflow.MapSlice(ctx, e, []int{1}, kitAfterItem(0)); return err },
				"ForEach": func() error {
					return antflow.ForEach(ctx, e, kitInts(1), func(context.Context, int) error { return nil })
				},
			}
			for name, wait := range waits {
				err := wait()
				if err == nil {
					t.Errorf("%s: no error", name)
					continue
				}
				kitAs[*antflow.WaitError](t, err)
				kitIs(t, err, want, cause)
				if want == context.DeadlineExceeded {
					kitNotIs(t, err, context.Canceled)
				} else {
					kitNotIs(t, err, context.DeadlineExceeded)
				}
				kitMessage(t, err)
			}
		}
		p.SetResult(1)
	})
}

func TestAPanicErrorTellsValueAndStackAndUnwrapsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := kitNew(t, 1)
		for _, value := range []any{errBoom, "text", 42} {
			f := antflow.Submit(t.Context(), e, func(context.Context) (int, error) { return kitPanicking(value), nil })
			err := kitAs[*antflow.PanicError](t, kitErr(t, f))
			kitEq(t, "state", f.State(), antflow.StateFailed)
			kitEq(t, "value", err.Value, value)
			if !strings.Contains(string(err.Stack), "kitPanicking") {
				t.Errorf("the stack lacks the function that panicked:\n%s", err.Stack)
			}
			if own, ok := value.(error); ok {
				kitIs(t, err, own)
				kitEq(t, "Unwrap", errors.Unwrap(err), own)
			} else {
				kitEq(t, "Unwrap", errors.Unwrap(err), nil)
			}
			kitMessage(t, err)
		}
	})
}

//go:noinline
func kitPanicking(value any) int { panic(value) }

func TestAGoexitIsErrGoexit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := kitNew(t, 1)
		f := antflow.Submit(t.Context(), e, func(context.Context) (int, error) { runtime.Goexit(); return 0, nil })
		kitIs(t, kitErr(t, f), antflow.ErrGoexit)
		kitEq(t, "state", f.State(), antflow.StateFailed)
		kitMessage(t, f.Err())
		kitEq(t, "the worker lives", kitValue(t, antflow.Submit(t.Context(), e, kitAfter(0, 7, nil))), 7)
	})
}

func TestARetryErrorUnwrapsToTheLastError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := kitNew(t, 1)
		attempt := 0
		errs := []error{errors.New("first"), errors.New("second"), errors.New("last")}
		f := antflow.Submit(t.Context(), e, func(context.Context) (int, error) { attempt++; return 0, errs[attempt-1] }, antflow.Retries(2))
		err := kitAs[*antflow.RetryError](t, kitErr(t, f))
		kitEq(t, "Attempts", err.Attempts, 3)
		kitEq(t, "Err", err.Err, errs[2])
		kitEq(t, "Unwrap", errors.Unwrap(err), errs[2])
		kitNotIs(t, err, errs[0], errs[1])
		kitMessage(t, err)
		if !strings.Contains(err.Error(), "last") {
			t.Errorf("message %q lacks the last error's", err)
		}
	})
}

func TestErrorsUnwrap(t *testing.T) {
	for _, err := range []error{
		&antflow.ItemError{Index: 3, Err: errBoom},
		&antflow.RetryError{Attempts: 2, Err: errBoom},
		&antflow.WaitError{Err: errBoom},
		&antflow.PanicError{Value: errBoom},
		&antflow.ItemError{Index: 3, Err: &antflow.RetryError{Attempts: 2, Err: &antflow.PanicError{Value: errBoom}}},
	} {
		kitIs(t, err, errBoom)
		kitNotIs(t, err, antflow.ErrCanceled, antflow.ErrShutdown, antflow.ErrGoexit, antflow.ErrQueueFull, antflow.ErrQueueTimeout)
	}
	sentinels := []error{antflow.ErrShutdown, antflow.ErrQueueFull, antflow.ErrQueueTimeout, antflow.ErrGoexit}
	for i, err := range sentinels {
		for j, other := range sentinels {
			kitEq(t, fmt.Sprintf("%v Is %v", err, other), errors.Is(err, other), i == j)
		}
	}
}

func TestMessagesStartWithThePackageAndSayItOnce(t *testing.T) {
	item := func(err error) error { return &antflow.ItemError{Index: 3, Err: err} }
	retry := func(err error) error { return &antflow.RetryError{Attempts: 2, Err: err} }
	wait := func(err error) error { return &antflow.WaitError{Err: err} }
	thrown := func(value any) error { return &antflow.PanicError{Value: value, Stack: []byte("stack")} }
	for _, err := range []error{
		antflow.ErrShutdown, antflow.ErrQueueFull, antflow.ErrQueueTimeout, antflow.ErrGoexit, antflow.ErrCanceled,
		item(errBoom), retry(errBoom), wait(context.Canceled), thrown("text"), thrown(errBoom), thrown(nil), thrown(42),
		item(antflow.ErrShutdown), item(antflow.ErrGoexit), item(antflow.ErrCanceled), retry(antflow.ErrGoexit), retry(antflow.ErrQueueTimeout),
		item(retry(errBoom)), item(retry(thrown("text"))), item(retry(thrown(errBoom))), item(retry(antflow.ErrGoexit)),
		item(thrown("text")), item(wait(context.DeadlineExceeded)), retry(wait(context.Canceled)), thrown(item(retry(errBoom))),
		thrown(antflow.ErrShutdown), item(item(item(antflow.ErrQueueFull))),
	} {
		kitMessage(t, err)
		kitEq(t, "%v and Error", fmt.Sprintf("%v", err), err.Error())
		if errors.Is(err, errBoom) && !strings.Contains(err.Error(), "boom") {
			t.Errorf("message %q lacks the user's text", err)
		}
	}
}

func TestMessagesOfRealErrorsSayThePackageOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := kitNew(t, 4)
		panics := func(context.Context, int) (int, error) { panic("text") }
		for _, err := range antflow.Map(t.Context(), e, kitInts(1), panics, antflow.Retries(1), antflow.RetryIf(func(error) bool { return true })) {
			kitAs[*antflow.ItemError](t, err)
			kitAs[*antflow.RetryError](t, err)
			kitAs[*antflow.PanicError](t, err)
			kitMessage(t, err)
		}
		_, err := antflow.MapSlice(t.Context(), e, []int{0}, func(context.Context, int) (int, error) { runtime.Goexit(); return 0, nil })
		kitIs(t, err, antflow.ErrGoexit)
		kitMessage(t, err)
		for _, err := range antflow.Map(t.Context(), e, kitInts(1), kitAfterItem(time.Hour), antflow.ResultTimeout(time.Second)) {
			kitMessage(t, err)
		}
		shut := antflow.New(1)
		shut.Close()
		kitMessage(t, shut.Go(t.Context(), func(context.Context) error { return nil }).Err())
		_, err = antflow.MapSlice(t.Context(), shut, []int{0}, kitAfterItem(0))
		kitMessage(t, err)
	})
}

func TestTheTextOfAUsersErrorIsNotTouched(t *testing.T) {
	for _, own := range []error{
		errors.New("antflow: is what I call my own package"),
		fmt.Errorf("mine: %w", antflow.ErrShutdown),
		fmt.Errorf("antflow: antflow: %w", &antflow.ItemError{Index: 1, Err: antflow.ErrGoexit}),
	} {
		for _, err := range []error{
			&antflow.ItemError{Index: 3, Err: own},
			&antflow.RetryError{Attempts: 2, Err: own},
			&antflow.ItemError{Index: 3, Err: &antflow.RetryError{Attempts: 2, Err: own}},
		} {
			if text := err.Error(); !strings.HasPrefix(text, "antflow: ") || !strings.Contains(text, own.Error()) {
				t.Errorf("message %q: want the user's %q in it as it is", text, own)
			} else if rest := strings.Replace(text, own.Error(), "", 1); strings.Count(rest, "antflow: ") != 1 {
				t.Errorf("message %q: without the user's text %q", text, rest)
			}
		}
	}
}

func TestItemErrorsFindsThoseInsideInInputOrder(t *testing.T) {
	item := func(n int) error { return &antflow.ItemError{Index: n, Err: errBoom} }
	for _, c := range []struct {
		err  error
		want []int
	}{
		{nil, nil},
		{errBoom, nil},
		{errors.Join(errBoom, context.Canceled), nil},
		{item(4), []int{4}},
		{fmt.Errorf("wrapped: %w", item(4)), []int{4}},
		{errors.Join(item(4), errBoom, item(0), item(2)), []int{0, 2, 4}},
		{fmt.Errorf("%w and %w", errors.Join(item(7), item(3)), fmt.Errorf("deep: %w", item(5))), []int{3, 5, 7}},
	} {
		var got []int
		for _, e := range antflow.ItemErrors(c.err) {
			got = append(got, e.Index)
			kitIs(t, e.Err, errBoom)
		}
		kitList(t, fmt.Sprint("item errors of ", c.err), got, c.want)
	}
}
