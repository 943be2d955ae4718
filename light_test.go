package antflow_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/testkit"
)

// Invariant 3: what was submitted while a slot was free has it, whatever comes
// before its worker does.
func TestSlotIsTakenAtSubmit(t *testing.T) {
	long := sleep(time.Second)
	overtakers := map[string]func(ctx context.Context, e *antflow.Executor) *antflow.Future[struct{}]{
		"priority": func(ctx context.Context, e *antflow.Executor) *antflow.Future[struct{}] {
			return e.Go(ctx, long, antflow.Priority(1))
		},
		"shutdown": func(ctx context.Context, e *antflow.Executor) *antflow.Future[struct{}] {
			f := e.Go(ctx, long)
			e.Shutdown(ctx, antflow.NoWait(), antflow.CancelQueued())
			return f
		},
		"full queue": func(ctx context.Context, e *antflow.Executor) *antflow.Future[struct{}] {
			return e.Go(ctx, long, antflow.NonBlocking())
		},
		"resize": func(ctx context.Context, e *antflow.Executor) *antflow.Future[struct{}] {
			f := e.Go(ctx, long)
			e.Resize(1)
			return f
		},
	}
	for name, overtake := range overtakers {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				e := antflow.New(1, antflow.QueueLimit(1))
				first := e.Go(t.Context(), long)
				second := overtake(t.Context(), e)
				if s := e.Stats(); s.Running != 1 {
					t.Errorf("%+v", s)
				}
				time.Sleep(1500 * time.Millisecond)
				if first.State() != antflow.StateSucceeded || second.State() == antflow.StateSucceeded {
					t.Errorf("%v, %v", first, second)
				}
				if err := second.Err(); errors.Is(err, antflow.ErrQueueFull) {
					t.Error(err)
				}
				rest(t, e)
				e.Close()
			})
		})
	}
}

// Invariant 4: a segment that is open, with much more in it than was taken, is
// closed by whatever comes before the rest.
func TestOpenSegmentIsClosed(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(1)
		var order []string
		note := func(s string) func(context.Context) error {
			return func(context.Context) error { order = append(order, s); return nil }
		}
		g := antflow.NewGroup(t.Context(), e)
		var canceled *antflow.Future[struct{}]
		queued := make(chan struct{})
		g.Go(func(ctx context.Context) error {
			<-queued
			order = append(order, "first")
			e.Go(t.Context(), note("urgent"), antflow.Priority(1))
			canceled.Cancel()
			return nil
		})
		g.Go(note("second"))
		canceled = e.Go(t.Context(), note("canceled"))
		g.Go(func(ctx context.Context) error {
			order = append(order, "third")
			_, err := e.Go(ctx, note("child")).Result(ctx)
			order = append(order, "third again")
			return err
		})
		g.Go(note("fourth"))
		close(queued)
		if err := g.Wait(); err != nil {
			t.Error(err)
		}
		want := []string{"first", "urgent", "second", "third", "child", "third again", "fourth"}
		if !slices.Equal(order, want) {
			t.Errorf("%q, want %q", order, want)
		}
		if canceled.State() != antflow.StateCanceled {
			t.Errorf("%v", canceled)
		}
		rest(t, e)
	})
}

// The context of a light task is one like any other: it says who it is, ends
// with its attempt and stays so, carries values, and can be derived from.
func TestLightContext(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(2, antflow.ExecutorName("e"))
		type key struct{}
		parent := context.WithValue(t.Context(), key{}, "value")
		var mu sync.Mutex
		var kept, derived []context.Context
		ids := make(map[uint64]bool)
		inputs := slices.Values(make([]int, 100))
		keep := func(ctx context.Context, _ int) (int, error) {
			info, ok := antflow.TaskFrom(ctx)
			mu.Lock()
			defer mu.Unlock()
			if !ok || info.Executor != "e" || info.Attempt != 1 || ids[info.ID] {
				t.Errorf("%+v, %v", info, ok)
			}
			ids[info.ID] = true
			if ctx.Err() != nil || ctx.Value(key{}) != "value" {
				t.Errorf("%v, %v", ctx.Err(), ctx.Value(key{}))
			}
			kept = append(kept, ctx)
			if len(kept)%3 == 0 {
				child, cancel := context.WithCancel(ctx)
				t.Cleanup(cancel)
				derived = append(derived, child)
			}
			return 0, nil
		}
		for _, err := range antflow.Map(parent, e, inputs, keep) {
			if err != nil {
				t.Error(err)
			}
		}
		for i, ctx := range kept {
			done := ctx.Done()
			<-done
			if ctx.Err() != context.Canceled || ctx.Done() != done || ctx.Value(key{}) != "value" {
				t.Fatalf("context %d: %v, %v", i, ctx.Err(), ctx.Value(key{}))
			}
			if info, ok := antflow.TaskFrom(ctx); !ok || !ids[info.ID] {
				t.Fatalf("context %d: %+v", i, info)
			}
			if _, ok := ctx.Deadline(); ok {
				t.Fatal("a deadline")
			}
			if f := e.Go(ctx, sleep(0)); f.State() != antflow.StateCanceled {
				t.Fatalf("a task under an ended attempt: %v", f)
			}
			if text := fmt.Sprint(ctx); text == "" {
				t.Fatal("no text")
			}
		}
		for _, ctx := range derived {
			<-ctx.Done()
		}
		e.Close()
	})
}

// closeEven closes an executor after a storm and checks that its books are even.
func closeEven(t *testing.T, e *antflow.Executor, round int) {
	t.Helper()
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	s := e.Stats()
	if sum := s.Succeeded + s.Failed + s.Canceled; s.Submitted != sum || s.Running+s.Blocked+s.Queued+s.Waiting != 0 {
		t.Fatalf("round %d: %+v", round, s)
	}
	if err := e.CheckInvariants(); err != nil {
		t.Fatalf("round %d: %v", round, err)
	}
}

// Light tasks meet everything that can befall a task, at the moments when it
// is being taken, run or finished.
func TestLightTasksInAStorm(t *testing.T) {
	testkit.NoLeak(t)
	rounds := 300
	if testing.Short() {
		rounds = 50
	}
	for round := range rounds {
		r := rand.New(rand.NewPCG(uint64(round), 1))
		e := antflow.New(1 + r.IntN(4))
		ctx, cancel := context.WithCancel(t.Context())
		g := antflow.NewGroup(ctx, e, antflow.CollectErrors(), antflow.Retries(1), antflow.RetryDelay(0))
		var loose sync.WaitGroup
		const n = 300
		for i := range n {
			kind := r.IntN(12)
			g.Go(func(ctx context.Context) error {
				switch kind {
				case 0:
					return errTest
				case 1:
					panic(errTest)
				case 2:
					runtime.Goexit()
				case 3:
					_, err := antflow.Submit(ctx, e, func(context.Context) (int, error) { return i, nil }).Result(ctx)
					return err
				case 4:
					loose.Go(func() { // may come before the end of the attempt, or after
						antflow.Blocking(ctx, func() error { return nil })
						<-ctx.Done()
					})
				case 5:
					if info, _ := antflow.TaskFrom(ctx); info.Attempt == 1 {
						return errTest
					}
				}
				return nil
			})
			if i == n/2 {
				switch r.IntN(6) {
				case 0:
					cancel()
				case 1:
					e.Resize(1)
				case 2:
					e.Shutdown(t.Context(), antflow.NoWait(), antflow.CancelQueued())
				case 3:
					e.Shutdown(t.Context(), antflow.NoWait(), antflow.CancelRunning())
				}
			}
		}
		g.Wait()
		loose.Wait()
		cancel()
		closeEven(t, e, round)
	}
}

// A shutdown that cancels what runs reaches light tasks that nobody knows by
// name, and none starts after it.
func TestCancelRunningFindsLightTasks(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(3)
		var started atomic.Int64
		g := antflow.NewGroup(t.Context(), e, antflow.CollectErrors())
		for range 10 {
			g.Go(func(ctx context.Context) error {
				started.Add(1)
				<-ctx.Done()
				return context.Cause(ctx)
			})
		}
		synctest.Wait()
		if s := e.Stats(); s.Running != 3 || s.Queued != 7 {
			t.Errorf("%+v", s)
		}
		if err := e.Shutdown(t.Context(), antflow.CancelRunning()); err != nil {
			t.Error(err)
		}
		if err := g.Wait(); !errors.Is(err, antflow.ErrShutdown) || !errors.Is(err, antflow.ErrCanceled) {
			t.Error(err)
		}
		if s := e.Stats(); s.Canceled != 10 || started.Load() != 3 {
			t.Errorf("%+v, %d started", s, started.Load())
		}
		rest(t, e)
	})
}

// A Submit that is about to block, at the moment when a worker takes what fills
// the queue without the lock, must not wait for a start that never comes.
func TestBlockedSubmitSeesRoom(t *testing.T) {
	testkit.NoLeak(t)
	submits := 200_000
	if testing.Short() {
		submits = 20_000
	}
	e := antflow.New(2, antflow.QueueLimit(2))
	nothing := func(context.Context) error { return nil }
	for range submits {
		e.Go(t.Context(), nothing)
	}
	e.Close()
	if s := e.Stats(); s.Succeeded != uint64(submits) {
		t.Errorf("%+v", s)
	}
}
