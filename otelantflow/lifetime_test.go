package otelantflow_test

import (
	"context"
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

// An executor that is dropped is collected, closed or not, and its tasks stay
// counted, whenever a reader has come by.
func TestDroppedExecutors(t *testing.T) {
	for name, use := range map[string]func(*rig, *antflow.Executor, func()){
		"closed": func(_ *rig, e *antflow.Executor, task func()) { task(); task(); e.Close() },
		"open":   func(_ *rig, e *antflow.Executor, task func()) { task(); task() },
		"read before": func(r *rig, e *antflow.Executor, task func()) {
			r.collect() // lets go of e, for a while
			task()
			task()
		},
		"read amid": func(r *rig, e *antflow.Executor, task func()) {
			task()
			started, block := make(chan struct{}), make(chan struct{})
			f := e.Go(t.Context(), func(context.Context) error { close(started); <-block; return nil }, antflow.TaskName("n"))
			<-started
			r.collect() // doesn't let go of e
			close(block)
			f.Result(t.Context())
		},
		"read after": func(r *rig, e *antflow.Executor, task func()) { task(); task(); r.collect() },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			goroutines := runtime.NumGoroutine()
			gone := make(chan struct{})
			func() {
				e := r.NewExecutor(1, antflow.ExecutorName("x"))
				runtime.AddCleanup(e, func(c chan struct{}) { close(c) }, gone)
				use(r, e, func() { e.Go(t.Context(), sleep(0, nil), antflow.TaskName("n")).Result(t.Context()) })
			}()
			for runtime.NumGoroutine() > goroutines {
				runtime.Gosched() // the worker is on its way out, with its executor
			}
			runtime.GC()
			want := []string{"task.completed{executor.name=x outcome=succeeded task.name=n} 2", "task.rejected{executor.name=x} 0"}
			r.wantMetrics("task.completed task.rejected", want...)
			for end := time.Now().Add(time.Minute); ; {
				runtime.GC()
				select {
				case <-gone:
					r.wantMetrics("task.completed task.rejected worker.count", want...)
					return
				default:
					if time.Now().After(end) {
						t.Fatal("the executor is still there")
					}
					runtime.Gosched()
				}
			}
		})
	}
}

// Where nobody collects, many executors that come and go are collected all the
// same, and what comes by in the end has all of their tasks.
func TestManyDroppedExecutors(t *testing.T) {
	noLeak(t)
	r := newRig(t)
	const executors = 1000
	var gone atomic.Int32
	for range executors {
		e := r.NewExecutor(1, antflow.ExecutorName("x"))
		runtime.AddCleanup(e, func(n *atomic.Int32) { n.Add(1) }, &gone)
		e.Go(t.Context(), sleep(0, nil), antflow.TaskName("n")).Result(t.Context())
	}
	for end := time.Now().Add(time.Minute); gone.Load() < executors/2-64; runtime.Gosched() {
		if runtime.GC(); time.Now().After(end) {
			t.Fatalf("%d of %d executors are collected", gone.Load(), executors)
		}
	}
	r.wantMetrics("task.completed", "task.completed{executor.name=x outcome=succeeded task.name=n} 1000")
}

// After Close there are the times, but no figures any more.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		e := r.NewExecutor(1)
		e.Go(t.Context(), sleep(time.Second, nil), antflow.TaskName("n"))
		for range 2 {
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		}
		r.NewExecutor(1).Close()
		e.Close()
		r.wantMetrics("task.completed task.rejected queue.size worker.count task.duration", "task.duration{task.name=n} 1×, 1s")
		if len(r.spans.Ended()) != 1 {
			t.Errorf("%d spans", len(r.spans.Ended()))
		}
	})
}

// Executors come and go, and tasks run, while two readers collect: in the end
// every task is counted, and on the way no counter falls.
func TestCollectionsAmidTasks(t *testing.T) {
	noLeak(t)
	r := newRig(t)
	stop := make(chan struct{})
	var readers, users sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			last := 0
			for {
				n := 0
				for _, line := range points(r.collect()["antflow.task.completed"]) {
					var one int
					fmt.Sscan(line[strings.LastIndexByte(line, ' '):], &one)
					n += one
				}
				if n < last {
					t.Errorf("from %d tasks to %d", last, n)
				}
				last = n
				select {
				case <-stop:
					return
				default:
					runtime.GC()
				}
			}
		})
	}
	const each, tasks = 20, 50
	for u := range 4 {
		users.Go(func() {
			for i := range each {
				e := r.NewExecutor(2, antflow.ExecutorName(fmt.Sprint("x", u)))
				antflow.ForEach(t.Context(), e, func(yield func(int) bool) {
					for n := range tasks {
						if !yield(n) {
							return
						}
					}
				}, func(context.Context, int) error { return nil }, antflow.TaskName(fmt.Sprint("n", i%3)))
				if i%2 == 0 {
					e.Close()
				}
			}
		})
	}
	users.Wait()
	close(stop)
	readers.Wait()
	var want []string
	for u := range 4 {
		for n, times := range []int{7, 7, 6} {
			want = append(want, fmt.Sprintf("task.completed{executor.name=x%d outcome=succeeded task.name=n%d} %d", u, n, times*tasks))
		}
	}
	r.wantMetrics("task.completed", want...)
}
