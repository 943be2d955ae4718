package futures_test

import (
	"context"
	"errors"
	"iter"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
)

var errBoom = errors.New("boom")

// kitNew makes an executor that is closed, and must have drained, when the bubble ends.
func kitNew(t *testing.T, workers int, opts ...antflow.Option) *antflow.Executor {
	t.Helper()
	e := antflow.New(workers, opts...)
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return e
}

func kitEq[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func kitList[T comparable](t *testing.T, what string, got, want []T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// kitAt asserts the exact fake time that passed since start.
func kitAt(t *testing.T, what string, start time.Time, want time.Duration) {
	t.Helper()
	if got := time.Since(start); got != want {
		t.Errorf("%s: at %v, want at %v", what, got, want)
	}
}

func kitIs(t *testing.T, err error, targets ...error) {
	t.Helper()
	for _, target := range targets {
		if !errors.Is(err, target) {
			t.Errorf("error %q (%T): want Is %q", err, err, target)
		}
	}
}

func kitNotIs(t *testing.T, err error, targets ...error) {
	t.Helper()
	for _, target := range targets {
		if errors.Is(err, target) {
			t.Errorf("error %q (%T): want not Is %q", err, err, target)
		}
	}
}

// kitAs returns the E in err's chain; it ends the test when there is none.
func kitAs[E error](t *testing.T, err error) E {
	t.Helper()
	e, ok := errors.AsType[E](err)
	if !ok {
		t.Fatalf("error %v (%T): want a %T in it", err, err, e)
	}
	return e
}

func kitNotAs[E error](t *testing.T, err error) {
	t.Helper()
	if e, ok := errors.AsType[E](err); ok {
		t.Errorf("error %v (%T): want no %T in it", err, err, e)
	}
}

// kitPanics runs fn and returns what it panicked with; not to panic is an error.
func kitPanics(t *testing.T, what string, fn func()) (value any) {
	t.Helper()
	defer func() {
		t.Helper()
		if value = recover(); value == nil {
			t.Errorf("%s: want a panic", what)
		}
	}()
	fn()
	return nil
}

// kitValue is Result of a future that must succeed.
func kitValue[T any](t *testing.T, f *antflow.Future[T]) T {
	t.Helper()
	v, err := f.Result(context.Background())
	if err != nil {
		t.Errorf("Result: %v", err)
	}
	return v
}

// kitErr is the error of a future that must not succeed.
func kitErr[T any](t *testing.T, f *antflow.Future[T]) error {
	t.Helper()
	_, err := f.Result(context.Background())
	if err == nil {
		t.Fatalf("Result of %v: want an error", f)
	}
	return err
}

// kitAfter is a task that returns v and err after d, whatever its context does.
func kitAfter[T any](d time.Duration, v T, err error) func(context.Context) (T, error) {
	return func(context.Context) (T, error) {
		time.Sleep(d)
		return v, err
	}
}

// kitUntilCanceled is a task that returns its context's error as soon as that ended.
func kitUntilCanceled(ctx context.Context) (int, error) {
	<-ctx.Done()
	return 0, ctx.Err()
}

// kitWork waits for d or until ctx ends.
func kitWork(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func kitDeadCtx() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// kitSource is a counting source: 0, 1, 2, … up to n, without end when n < 0.
type kitSource struct {
	pulled  atomic.Int64 // values handed to yield
	started atomic.Int64 // times ranged over
	ended   atomic.Int64 // times that the range returned
}

func (s *kitSource) ints(n int) iter.Seq[int] {
	return func(yield func(int) bool) {
		s.started.Add(1)
		defer s.ended.Add(1)
		for i := 0; i != n; i++ {
			s.pulled.Add(1)
			if !yield(i) {
				return
			}
		}
	}
}

func kitInts(n int) iter.Seq[int] { return new(kitSource).ints(n) }

// kitMapFunc is what Map and MapUnordered have in common.
type kitMapFunc func(ctx context.Context, e *antflow.Executor, inputs iter.Seq[int],
	fn func(context.Context, int) (int, error), opts ...antflow.MapOption) iter.Seq2[int, error]

// kitBothMaps runs test in a bubble of its own for Map and for MapUnordered.
func kitBothMaps(t *testing.T, test func(t *testing.T, m kitMapFunc)) {
	t.Run("Map", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { test(t, antflow.Map[int, int]) })
	})
	t.Run("MapUnordered", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			test(t, func(ctx context.Context, e *antflow.Executor, inputs iter.Seq[int],
				fn func(context.Context, int) (int, error), opts ...antflow.MapOption) iter.Seq2[int, error] {
				seq := antflow.MapUnordered(ctx, e, inputs, fn, opts...)
				return func(yield func(int, error) bool) {
					for item, err := range seq {
						if !yield(item.Value, err) {
							return
						}
					}
				}
			})
		})
	})
}

// kitIdle asserts that nothing is under way in e, and that its books balance.
func kitIdle(t *testing.T, e *antflow.Executor) {
	t.Helper()
	synctest.Wait()
	s := e.Stats()
	if s.Running+s.Blocked+s.Queued+s.Waiting != 0 || s.Submitted != s.Succeeded+s.Failed+s.Canceled {
		t.Errorf("want an idle executor: %+v", s)
	}
}

// kitIsChild says whether this process was started by kitRunChild.
func kitIsChild() bool { return os.Getenv("ANTFLOW_OB_CHILD") == "1" }

// kitRunChild runs the calling test alone in a process of its own. The limit of real time is a net, no assertion.
func kitRunChild(t *testing.T) (output string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^"+t.Name()+"$", "-test.count=1")
	cmd.Env = append(os.Environ(), "ANTFLOW_OB_CHILD=1")
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		t.Fatalf("the child did not end; its output:\n%s", out)
	}
	return string(out), err
}

// kitMessage asserts the shape of this package's messages: the prefix first, and nowhere else.
func kitMessage(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		t.Error("want an error, got nil")
		return
	}
	if text := err.Error(); !strings.HasPrefix(text, "antflow: ") || strings.Count(text, "antflow: ") != 1 {
		t.Errorf("message %q (%T): want \"antflow: \" at the start and only there", text, err)
	}
}

// kitDrain ranges to the end; whether a bad argument panics in the call or in the range is the same to its caller.
func kitDrain[A, B any](seq iter.Seq2[A, B]) {
	for range seq {
	}
}

// kitAfterItem is an item's function that takes d, unless its context ends.
func kitAfterItem(d time.Duration) func(context.Context, int) (int, error) {
	return func(ctx context.Context, n int) (int, error) { return n, kitWork(ctx, d) }
}
