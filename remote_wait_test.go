package antflow_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/testkit"
)

// The backlog is the tasks that are not known to have started. Submits block on
// it in their order, and lend.
func TestRemoteQueueLimit(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e, other := antflow.New(1, antflow.QueueLimit(1)), antflow.New(1)
		h := newByHand(e)
		_, first := h.submit(t.Context(), 0)
		var order []int
		blocked := func(i int) <-chan struct{} {
			done := testkit.Started(func() { doubling.Submit(t.Context(), h, i); order = append(order, i) })
			if !testkit.Blocked(done) {
				t.Errorf("the Submit %d does not block", i)
			}
			return done
		}
		ctx, cancel := context.WithCancel(t.Context())
		gone := testkit.Started(func() {
			if err := doubling.Submit(ctx, h, -1).Err(); !errors.Is(err, antflow.ErrCanceled) {
				t.Error(err)
			}
		})
		synctest.Wait()
		a, b, c := blocked(1), blocked(2), blocked(3)
		rest(t, e)
		cancel()
		<-gone
		<-h.calls // which was refused
		first.Started(1)
		<-a
		first.Retrying(antflow.RemoteRetry{Attempt: 1, Err: errTest})
		first.Started(2)
		if !testkit.Blocked(b) || !testkit.Blocked(c) {
			t.Error("a start was counted twice")
		}
		second := <-h.calls
		second.Retrying(antflow.RemoteRetry{Attempt: 1, Err: errTest}) // so it has started
		<-b
		third := <-h.calls
		third.Settle(antflow.RemoteEnd{Err: errTest})
		<-c
		fourth := <-h.calls
		rest(t, e)
		if s := e.Stats(); s.Queued != 1 || s.Waiting != 1 || s.Running != 1 || s.Failed != 1 || s.Rejected != 1 || fmt.Sprint(order) != "[1 2 3]" {
			t.Errorf("%v, %+v", order, s)
		}
		// A task of another executor that blocks here lends its slot there.
		parent := other.Go(t.Context(), func(ctx context.Context) error {
			return doubling.Submit(ctx, h, 4).Err()
		})
		synctest.Wait()
		if _, err := other.Go(t.Context(), sleep(time.Second)).Result(t.Context()); err != nil || other.Stats().Blocked != 1 {
			t.Errorf("%v, %+v", err, other.Stats())
		}
		e.Shutdown(t.Context(), antflow.NoWait())
		if _, err := parent.Result(t.Context()); err != antflow.ErrShutdown {
			t.Error(err)
		}
		for _, call := range []*handCall{first, second, fourth} {
			call.Settle(value(0))
		}
		e.Close()
		rest(t, e)
		other.Close()
	})
}

// The queue timeout of a Submit that blocks is the executor's, and from its
// admission on the runner's.
func TestRemoteQueueTimeoutOfABlockedSubmit(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(1, antflow.QueueLimit(1))
		h := newByHand(e)
		_, first := h.submit(t.Context(), 0)
		var refused, admitted *antflow.Future[int]
		start := time.Now()
		a := testkit.Started(func() { refused = doubling.Submit(t.Context(), h, 1, antflow.QueueTimeout(time.Second)) })
		<-a
		if d := time.Since(start); d != time.Second || refused.Err() != antflow.ErrQueueTimeout {
			t.Errorf("after %v: %v", d, refused.Err())
		}
		<-h.calls // which was refused
		b := testkit.Started(func() { admitted = doubling.Submit(t.Context(), h, 2, antflow.QueueTimeout(time.Second)) })
		synctest.Wait()
		first.Settle(value(0))
		<-b
		time.Sleep(time.Minute) // from its admission on the runner decides
		rest(t, e)
		if admitted.IsDone() {
			t.Errorf("%v", admitted)
		}
		(<-h.calls).Settle(value(4))
		if v, err := admitted.Result(t.Context()); v != 4 || err != nil {
			t.Error(v, err)
		}
		e.Close()
		rest(t, e)
	})
}

// A shutdown waits for what runs elsewhere, and for the callbacks.
func TestRemoteShutdownWaits(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(1)
		f, call := newByHand(e).submit(t.Context(), 1)
		f.OnDone(func(*antflow.Future[int]) { time.Sleep(time.Second) })
		soon, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := e.Shutdown(soon); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "1 task unfinished") {
			t.Error(err)
		}
		closed := testkit.Started(func() { e.Close() })
		go call.Settle(value(1))
		if !testkit.Blocked(closed) || !f.IsDone() {
			t.Errorf("the shutdown did not wait for the callback of %v", f)
		}
		<-closed
		rest(t, e)
	})
}

// Waits for what runs elsewhere lend the slot, whoever keeps the books of it.
func TestRemoteWaitLends(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e, other := antflow.New(1), antflow.New(1)
		for _, books := range []*antflow.Executor{e, other} {
			h := newByHand(books)
			var order []string
			note := func(s string) func(context.Context) error {
				return func(context.Context) error { order = append(order, s); return nil }
			}
			parent := antflow.Submit(t.Context(), e, func(ctx context.Context) (int, error) {
				f := doubling.Submit(ctx, h, 1)
				order = append(order, "parent")
				v, err := f.Result(ctx)
				order = append(order, "result")
				return v, err
			})
			e.Go(t.Context(), note("other")).Result(t.Context())
			rest(t, e)
			call := <-h.calls
			call.Started(1)
			if s := e.Stats(); s.Blocked != 1 || books == e && s.Running != 1 {
				t.Errorf("%+v", s)
			}
			e.Go(t.Context(), sleep(time.Second))
			last := e.Go(t.Context(), note("last"))
			synctest.Wait()
			call.Settle(value(6)) // so it resumes before the last
			if v, err := parent.Result(t.Context()); v != 6 || err != nil {
				t.Error(v, err)
			}
			if last.Result(t.Context()); fmt.Sprint(order) != "[parent other result last]" {
				t.Error(order)
			}
		}
		for _, f := range []*antflow.Executor{e, other} {
			f.Close()
			rest(t, f)
		}
	})
}

// Until a drain is over, tasks of the executor may still have things run
// elsewhere; and the end of an attempt asks for the cancellation of those that
// it began.
func TestRemoteOfOwnTasks(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(1, antflow.QueueLimit(1))
		h := newByHand(e)
		var kept *antflow.Future[int]
		e.Go(t.Context(), func(ctx context.Context) error {
			time.Sleep(time.Second)
			doubling.Submit(ctx, h, 1)
			kept = doubling.Submit(ctx, h, 2) // beyond the limit
			return nil
		})
		synctest.Wait()
		e.Shutdown(t.Context(), antflow.NoWait())
		time.Sleep(2 * time.Second)
		rest(t, e)
		if len(h.calls) != 2 || kept.IsDone() {
			t.Fatalf("%d calls, %v", len(h.calls), kept)
		}
		for range 2 {
			call := <-h.calls
			if call.asked.Load() != 1 {
				t.Error("the end of the attempt asked nothing")
			}
			call.Settle(antflow.RemoteEnd{Canceled: true})
		}
		if err := e.Close(); err != nil || !errors.Is(kept.Err(), context.Canceled) {
			t.Error(err, kept.Err())
		}
		rest(t, e)
	})
}

// Who begins to observe finds a task that runs elsewhere at its next start.
func TestRemoteIsObservedLater(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(1)
		f, call := newByHand(e).submit(t.Context(), 1)
		if e.Cancel(f.ID()) {
			t.Error("nobody observes, but the task was found")
		}
		var kinds []antflow.EventKind
		stop := e.Observe(func(ev antflow.Event) { kinds = append(kinds, ev.Kind) })
		call.Started(1)
		rest(t, e)
		if s := e.Snapshot(); len(s.Tasks) != 1 || s.Tasks[0].Task.Name != "double" || s.Names[0].Running != 1 {
			t.Errorf("%+v", s)
		}
		if !e.Cancel(f.ID()) || call.asked.Load() != 1 {
			t.Error("the task was not found")
		}
		call.Retrying(antflow.RemoteRetry{Attempt: 1, Err: errTest})
		rest(t, e)
		stop()
		call.Started(2)
		call.Retrying(antflow.RemoteRetry{Attempt: 2, Err: errTest})
		rest(t, e)
		call.Settle(antflow.RemoteEnd{Err: errTest})
		rest(t, e)
		if fmt.Sprint(kinds) != "[started retrying]" {
			t.Error(kinds)
		}
		if s := e.Snapshot(); len(s.Failures) != 1 || s.Failures[0].Failed != 1 || s.Failures[0].Retried != 2 || s.Names[0].Running != 0 {
			t.Errorf("%+v", s)
		}
		e.Close()
	})
}

// What is called of a runner's and a user's may use the executor.
func TestRemoteForeignCodeOutsideLocks(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(1)
		e.Measure()
		probe := func() { e.Stats(); e.Resize(e.MaxWorkers()) }
		var remote antflow.Remote
		r := runnerFunc(func(ctx context.Context, c antflow.Call) antflow.Waitable {
			remote = c.Remote(ctx, e, func() {
				probe()
				remote.Retrying(antflow.RemoteRetry{Attempt: 1, Err: probingError{probe}})
				remote.Settle(antflow.RemoteEnd{Err: probingError{probe}})
			})
			return remote.Future()
		})
		for i := range 4 {
			ctx, cancel := context.WithCancelCause(probingContext{t.Context(), probe})
			f := doubling.Submit(ctx, r, 1)
			f.OnDone(func(*antflow.Future[int]) { probe() })
			switch i {
			case 0:
				f.Cancel()
			case 1:
				cancel(probingError{probe})
			case 2:
				remote.Settle(antflow.RemoteEnd{Decode: func(any) error { probe(); return probingError{probe} }})
			case 3:
				e.Shutdown(t.Context(), antflow.CancelQueued())
			}
			f.Result(t.Context())
			rest(t, e)
			cancel(nil)
		}
	})
}
