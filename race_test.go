package antflow_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/testkit"
)

// The tests of this file hit windows between two steps of the package, each by
// user code that runs just there.

// A hookContext runs a hook each time that it was asked whether it has ended.
type hookContext struct {
	context.Context
	hook func()
}

func (c *hookContext) Err() error {
	err := c.Context.Err()
	if h := c.hook; h != nil {
		h()
	}
	return err
}

// ctx ends, and the task is canceled, between the worker's look at ctx and the
// call of the function: it must not count as succeeded.
func TestCancelBeforeTheFunction(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		for nth := 1; nth <= 4; nth++ {
			e := antflow.New(1)
			inner, end := context.WithCancel(t.Context())
			ctx := &hookContext{Context: inner}
			block := make(chan struct{})
			e.Go(t.Context(), func(context.Context) error { <-block; return nil })
			ran := false
			f := e.Go(ctx, func(context.Context) error { ran = true; return nil })
			synctest.Wait()
			calls := 0
			ctx.hook = func() {
				if calls++; calls == nth {
					ctx.hook = nil
					end()
					f.Cancel()
				}
			}
			close(block)
			_, err := f.Result(t.Context())
			if ran != (f.State() == antflow.StateSucceeded) || ran != (err == nil) {
				t.Errorf("at call %d: ran %v, %v, %v", nth, ran, f, err)
			}
			e.Close()
		}
	})
}

// A slowSemaphore runs a hook within TryAcquire.
type slowSemaphore struct {
	antflow.Semaphore
	hook func()
}

func (s *slowSemaphore) TryAcquire(n int64) bool { s.hook(); return s.Semaphore.TryAcquire(n) }

// A task is settled at once also while its worker tries for the permit.
func TestSettleWhileTrying(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		ways := map[string]func(e *antflow.Executor, f *antflow.Future[struct{}], end context.CancelFunc){
			"Cancel":  func(_ *antflow.Executor, f *antflow.Future[struct{}], _ context.CancelFunc) { f.Cancel() },
			"context": func(_ *antflow.Executor, _ *antflow.Future[struct{}], end context.CancelFunc) { end(); synctest.Wait() },
			"CancelQueued": func(e *antflow.Executor, _ *antflow.Future[struct{}], _ context.CancelFunc) {
				e.Shutdown(t.Context(), antflow.CancelQueued(), antflow.NoWait())
			},
			"QueueTimeout": func(*antflow.Executor, *antflow.Future[struct{}], context.CancelFunc) {
				time.Sleep(2 * time.Second)
				synctest.Wait()
			},
		}
		for name, way := range ways {
			e := antflow.New(1)
			trying, goOn := make(chan struct{}), make(chan struct{})
			sem := &slowSemaphore{antflow.NewSemaphore(1), func() { close(trying); <-goOn }}
			ctx, end := context.WithCancel(t.Context())
			f := e.Go(ctx, func(context.Context) error { t.Errorf("%s: it ran", name); return nil },
				antflow.WithSemaphore(sem), antflow.QueueTimeout(time.Second))
			<-trying
			way(e, f, end)
			if !f.IsDone() || f.Err() == nil {
				t.Errorf("%s: %v", name, f)
			}
			close(goOn)
			rest(t, e)
			if !sem.Semaphore.TryAcquire(1) {
				t.Errorf("%s: the permit is not given back", name)
			}
			e.Close()
			end()
		}
	})
}

// ctx ends while ForEach waits for room, and every task it started succeeds:
// the rest of the inputs is missing all the same.
func TestForEachIsNotDoneAtTheEndOfItsContext(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(2)
		ctx, cancel := context.WithCancel(t.Context())
		release := make(chan struct{})
		var err error
		done := testkit.Started(func() {
			err = antflow.ForEach(ctx, e, slices.Values(make([]int, 100)), func(ctx context.Context, _ int) error {
				return antflow.Blocking(ctx, func() error { <-release; return nil })
			})
		})
		synctest.Wait()
		cancel()
		synctest.Wait()
		close(release)
		<-done
		if _, ok := errors.AsType[*antflow.WaitError](err); !ok {
			t.Errorf("64 of 100 inputs ran: %v", err)
		}
	})
}

// A graceful shutdown of an executor that has all of a slice's tasks already
// is no error of theirs.
func TestMapSliceOfAWindowAndShutdown(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		for _, n := range []int{1, 63, 64} {
			e := antflow.New(4)
			var err error
			done := testkit.Started(func() {
				_, err = antflow.MapSlice(t.Context(), e, make([]int, n), func(context.Context, int) (int, error) { return 0, sleep1() })
			})
			synctest.Wait()
			e.Close()
			<-done
			if err != nil {
				t.Errorf("%d inputs: %v", n, err)
			}
		}
	})
}

// A callback sees Done closed, however late it was registered.
func TestCallbackSeesDoneClosed(t *testing.T) {
	testkit.NoLeak(t)
	e := antflow.New(2)
	var early atomic.Int64
	for range 30000 {
		f := e.Go(context.Background(), func(context.Context) error { return nil })
		done := f.Done()
		for !f.IsDone() {
			runtime.Gosched()
		}
		f.OnDone(func(*antflow.Future[struct{}]) {
			select {
			case <-done:
			default:
				early.Add(1)
			}
		})
	}
	e.Close()
	if n := early.Load(); n > 0 {
		t.Errorf("%d callbacks ran before Done was closed", n)
	}
}

// The source panics while the body of the loop runs, and the body leaves.
func TestSourcePanicsAndTheLoopIsLeft(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(1)
		defer e.Close()
		defer func() {
			if v := recover(); v != errTest {
				t.Errorf("the loop raised %v", v)
			}
		}()
		source := func(yield func(int) bool) { yield(0); panic(errTest) }
		for range antflow.Map(t.Context(), e, source, func(context.Context, int) (int, error) { return 0, nil }) {
			synctest.Wait()
			break
		}
	})
}

// The body of the loop may change the list, and what was yielded is not kept.
func TestAsCompletedOwnsItsList(t *testing.T) {
	t.Run("done before", func(t *testing.T) { testAsCompletedOwnsItsList(t, true) })
	t.Run("done meanwhile", func(t *testing.T) { testAsCompletedOwnsItsList(t, false) })
}

func testAsCompletedOwnsItsList(t *testing.T, before bool) {
	testkit.NoLeak(t)
	e := antflow.New(1)
	defer e.Close()
	start, gate := make(chan struct{}), make(chan struct{})
	var ref weak.Pointer[[1 << 16]byte]
	fs := []*antflow.Future[*[1 << 16]byte]{
		antflow.Submit(t.Context(), e, func(context.Context) (*[1 << 16]byte, error) {
			<-start
			p := new([1 << 16]byte)
			ref = weak.Make(p)
			return p, nil
		}),
		antflow.Submit(t.Context(), e, func(context.Context) (*[1 << 16]byte, error) { <-gate; return nil, nil }),
	}
	begin := sync.OnceFunc(func() { close(start) })
	if before {
		begin()
		<-fs[0].Done()
	}
	n := 0
	for f, err := range antflow.AsCompleted(&hooked{t.Context(), begin}, fs) {
		if f == nil || err != nil {
			t.Fatalf("%v, %v", f, err)
		}
		if n++; n == 1 {
			clear(fs)
			for range 100 {
				if runtime.GC(); ref.Value() == nil {
					break
				}
			}
			if ref.Value() != nil {
				t.Error("the result of a yielded future is kept")
			}
			close(gate)
		}
	}
	if n != 2 {
		t.Errorf("%d futures", n)
	}
}

// A preset is what it was when it was made.
func TestJoinOptionsOwnsItsList(t *testing.T) {
	testkit.NoLeak(t)
	e := antflow.New(1)
	defer e.Close()
	opts := []antflow.TaskOption{antflow.TaskName("before")}
	preset := antflow.JoinOptions(opts...)
	opts[0] = antflow.TaskName("after")
	e.Go(t.Context(), func(ctx context.Context) error {
		if info, _ := antflow.TaskFrom(ctx); info.Name != "before" {
			t.Errorf("the name is %q", info.Name)
		}
		return nil
	}, preset).Result(t.Context())
}
