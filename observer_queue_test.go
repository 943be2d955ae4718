package antflow_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/testkit"
)

// The figures of a name have each task that was submitted while somebody
// observed, however it leaves the queue, and whether or not somebody still does
// then; and the events of those that are told have its end.
func TestObservedTasksLeaveTheQueue(t *testing.T) {
	const each = 300 // more than a segment has
	type queued struct {
		e      *antflow.Executor
		cancel context.CancelFunc // of the tasks' context
		gate   chan struct{}      // of the task that has the only slot
		tasks  []*antflow.Future[struct{}]
	}
	for name, leave := range map[string]func(q *queued){
		"they start":         func(q *queued) { close(q.gate) },
		"their context ends": func(q *queued) { q.cancel(); synctest.Wait(); close(q.gate) },
		"a shutdown cancels": func(q *queued) {
			q.e.Shutdown(context.Background(), antflow.NoWait(), antflow.CancelQueued())
			close(q.gate)
		},
		"each is canceled":  func(q *queued) { cancelEach(q.tasks, 1); close(q.gate) },
		"some are canceled": func(q *queued) { cancelEach(q.tasks, 3); close(q.gate) },
		"some by their ID":  func(q *queued) { cancelIDs(t, q.e, q.tasks[:each], 7); close(q.gate) },
		"the last comes first": func(q *queued) {
			last := q.tasks[each-1]
			f := q.e.Go(context.Background(), func(ctx context.Context) error {
				_, err := last.Result(ctx)
				return err
			}, antflow.Priority(1))
			close(q.gate)
			f.Result(context.Background())
		},
	} {
		for _, watching := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				testkit.NoLeak(t)
				q := &queued{e: antflow.New(1), gate: make(chan struct{})}
				var events log
				stop := q.e.Observe(events.observe)
				q.e.Go(t.Context(), func(context.Context) error { <-q.gate; return nil }, antflow.TaskName("gate"))
				ctx, cancel := context.WithCancel(t.Context())
				q.cancel = cancel
				submit := func(name string) {
					for range each {
						q.tasks = append(q.tasks, q.e.Go(ctx, func(context.Context) error { return nil }, antflow.TaskName(name)))
					}
				}
				synctest.Wait()
				submit("observed")
				synctest.Wait()
				if !watching {
					stop()
					submit("not observed")
				}
				if watching { // or else the tasks are left to be taken without the lock
					if err := q.e.CheckInvariants(); err != nil {
						t.Errorf("%s: %v", name, err)
					}
				}
				leave(q)
				synctest.Wait()
				if err := q.e.CheckInvariants(); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				q.e.Close()
				cancel()
				canceled := uint64(0)
				for _, f := range q.tasks[:each] {
					if f.State() == antflow.StateCanceled {
						canceled++
					}
				}
				for _, n := range q.e.Snapshot().Names {
					switch {
					case n.Name == "not observed":
						t.Errorf("%s: %+v", name, n)
					case n.Name == "observed" && (n.Submitted != each || n.Canceled != canceled || n.Succeeded != each-canceled || n.Running != 0 || n.QueueTime.Count() != n.Succeeded):
						t.Errorf("%s: %d submitted, %d succeeded, %d canceled of %d, %d running", name, n.Submitted, n.Succeeded, n.Canceled, canceled, n.Running)
					}
				}
				ends := uint64(0)
				for _, ev := range events {
					if ev.Task.Name == "observed" && (ev.Kind == antflow.EventSucceeded || ev.Kind == antflow.EventCanceled) {
						ends++
					}
				}
				if watching && ends != each {
					t.Errorf("%s: %d ends were told", name, ends)
				}
				stop()
			})
		}
	}
}

func cancelEach(tasks []*antflow.Future[struct{}], step int) {
	for i := 0; i < len(tasks); i += step {
		tasks[i].Cancel()
	}
}

func cancelIDs(t *testing.T, e *antflow.Executor, tasks []*antflow.Future[struct{}], step int) {
	for i := 0; i < len(tasks); i += step {
		if !e.Cancel(tasks[i].ID()) {
			t.Errorf("task %d of %d is not found", i, len(tasks))
		}
	}
}
