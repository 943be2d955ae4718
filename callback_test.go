package antflow_test

import (
	"context"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/testkit"
)

// Callbacks that block are in the way of no task, however many there are.
func TestCallbacksThatBlock(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(1)
		begin, open := make(chan struct{}), make(chan struct{})
		const n = 10
		var ran, told atomic.Int64
		for range n {
			f := e.Go(t.Context(), func(context.Context) error { <-begin; ran.Add(1); return nil })
			f.OnDone(func(*antflow.Future[struct{}]) { <-open; told.Add(1) })
		}
		close(begin)
		synctest.Wait()
		if ran.Load() != n || told.Load() != 0 {
			t.Errorf("%d tasks ran and %d callbacks went on, want %d and none", ran.Load(), told.Load(), n)
		}
		if s := e.Stats(); s.Running != 0 || s.Queued != 0 {
			t.Errorf("%d run and %d are queued", s.Running, s.Queued)
		}
		close(open)
		e.Close()
		if told.Load() != n {
			t.Errorf("%d callbacks went on, want %d", told.Load(), n)
		}
	})
}

// A goroutine that has run callbacks goes on with the tasks, unless another one
// was quicker: those that were started for it are few at any time.
func TestCallbacksOfManyTasks(t *testing.T) {
	testkit.NoLeak(t)
	e := antflow.New(1)
	begin := make(chan struct{})
	var most, told atomic.Int64
	const n = 20000
	for range n {
		f := e.Go(context.Background(), func(context.Context) error { <-begin; return nil })
		f.OnDone(func(*antflow.Future[struct{}]) {
			if n := int64(runtime.NumGoroutine()); n > most.Load() {
				most.Store(n)
			}
			told.Add(1)
		})
	}
	before := int64(runtime.NumGoroutine())
	close(begin)
	e.Close()
	if told.Load() != n {
		t.Errorf("%d callbacks ran, want %d", told.Load(), n)
	}
	if most.Load()-before > 100 {
		t.Errorf("%d more goroutines for one worker", most.Load()-before)
	}
}
