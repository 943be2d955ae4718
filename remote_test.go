package antflow_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/testkit"
)

// Those who observe a task that runs elsewhere see what they would see of one
// that runs here, and the figures are the same at each step.
func TestRemoteLooksLikeLocal(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		start := time.Now()
		here, elsewhere := antflow.New(1), antflow.New(1)
		var events [2][]antflow.Event
		var ledgers []*ledger
		for i, e := range []*antflow.Executor{here, elsewhere} {
			ledgers = append(ledgers, newLedger(t, e, 0))
			e.Observe(func(ev antflow.Event) { events[i] = append(events[i], ev) })
		}

		// It waits a second, runs two and fails, waits three, runs four.
		fn := antflow.NewTask("t", func(ctx context.Context, _ int) (int, error) {
			info, _ := antflow.TaskFrom(ctx)
			time.Sleep(time.Duration(2*info.Attempt) * time.Second)
			if info.Attempt == 1 {
				return 0, errTest
			}
			return 7, nil
		}, antflow.Retries(1), antflow.RetryDelay(3*time.Second), antflow.Priority(5))
		here.Go(t.Context(), sleep(time.Second), antflow.TaskName("first"))
		synctest.Wait()
		local := fn.Submit(t.Context(), here, 1)
		h := newByHand(elsewhere)
		_, first := h.submit(t.Context(), 0, antflow.TaskName("first"))
		first.Started(1)
		f := fn.Submit(t.Context(), h, 1)
		call := <-h.calls

		same := func(what string, state antflow.State, attempts int) {
			t.Helper()
			rest(t, elsewhere)
			rest(t, here)
			a, b := here.Stats(), elsewhere.Stats()
			if a.Workers, b.Workers = 0, 0; a != b {
				t.Errorf("%s: here\n %+v, elsewhere\n %+v", what, a, b)
			}
			x, y := here.Snapshot().Tasks, elsewhere.Snapshot().Tasks
			if !slices.Equal(x, y) {
				t.Errorf("%s: here\n %+v, elsewhere\n %+v", what, x, y)
			}
			if f.State() != state || f.Attempts() != attempts || f.State() != local.State() || f.Attempts() != local.Attempts() {
				t.Errorf("%s: %v after %d, %v after %d", what, f, f.Attempts(), local, local.Attempts())
			}
			for _, l := range ledgers {
				if err := l.compare(); err != nil {
					t.Errorf("%s: %v", what, err)
				}
			}
		}
		same("queued", antflow.StatePending, 0)
		time.Sleep(time.Second)
		first.Settle(value(0))
		call.Started(1)
		same("running", antflow.StateRunning, 1)
		time.Sleep(2 * time.Second)
		call.Retrying(antflow.RemoteRetry{Attempt: 1, Err: errTest, Delay: 3 * time.Second, Ran: time.Hour})
		same("between attempts", antflow.StatePending, 1)
		time.Sleep(3 * time.Second)
		call.Started(2)
		same("running again", antflow.StateRunning, 2)
		time.Sleep(4 * time.Second)
		end := value(7)
		end.Attempts, end.Queued, end.Ran = 2, time.Hour, time.Hour // what is known here counts
		if !call.Settle(end) {
			t.Error("the first Settle did nothing")
		}
		same("settled", antflow.StateSucceeded, 2)
		if d := time.Since(start); d != 10*time.Second {
			t.Errorf("the test took %v", d)
		}
		if len(events[0]) != len(events[1]) {
			t.Fatalf("here\n %+v, elsewhere\n %+v", events[0], events[1])
		}
		for i, ev := range events[1] {
			if ev.Time = ev.Time.Round(0); ev != withoutMonotonic(events[0][i]) {
				t.Errorf("here\n %+v, elsewhere\n %+v", events[0][i], ev)
			}
		}
		x, y := here.Snapshot(), elsewhere.Snapshot()
		for i := range x.Names {
			a, b := x.Names[i], y.Names[i]
			if a.QueueTime.Max() != b.QueueTime.Max() || a.RunTime.Max() != b.RunTime.Max() || a.QueueTime.Count() != 1 || b.RunTime.Count() != a.RunTime.Count() {
				t.Errorf("here %+v, elsewhere %+v", a, b)
			}
		}
		if len(x.Failures) != 1 || fmt.Sprint(x.Failures) != fmt.Sprint(y.Failures) {
			t.Errorf("here\n %+v, elsewhere\n %+v", x.Failures, y.Failures)
		}
		here.Close()
		elsewhere.Close()
	})
}

func withoutMonotonic(ev antflow.Event) antflow.Event {
	ev.Time = ev.Time.Round(0)
	return ev
}

// Who settles first is the one; all else comes too late.
func TestRemoteSettlesOnce(t *testing.T) {
	testkit.NoLeak(t)
	e := antflow.New(1)
	h := newByHand(e)
	for range 200 {
		f, call := h.submit(t.Context(), 1)
		var decoded, won, told atomic.Int64
		f.OnDone(func(*antflow.Future[int]) { told.Add(1) })
		var all sync.WaitGroup
		for i := range 4 {
			all.Go(func() {
				end := value(i)
				decode := end.Decode
				end.Decode = func(out any) error { decoded.Add(1); return decode(out) }
				if i == 3 {
					end = antflow.RemoteEnd{Canceled: true}
				}
				if call.Settle(end) {
					won.Add(1)
				}
			})
			all.Go(func() { call.Started(i + 1) })
			all.Go(func() { call.Retrying(antflow.RemoteRetry{Attempt: i + 1, Err: errTest}) })
			all.Go(func() { f.Cancel() })
		}
		all.Wait()
		v, err := f.Result(t.Context())
		if won.Load() != 1 || told.Load() != 1 || decoded.Load() > 1 || (err != nil) != errors.Is(err, antflow.ErrCanceled) {
			t.Fatalf("%d settled it with %d, %v, %d callbacks, %d decoded", won.Load(), v, err, told.Load(), decoded.Load())
		}
		before := e.Stats()
		call.Started(9)
		call.Retrying(antflow.RemoteRetry{Attempt: 9, Err: errTest})
		if call.Settle(value(9)) || f.Cancel() || e.Stats() != before || call.asked.Load() > 1 {
			t.Fatalf("after the end: %+v, %d asked", e.Stats(), call.asked.Load())
		}
		if again, err2 := f.Result(t.Context()); again != v || err2 != err {
			t.Fatalf("%d, %v became %d, %v", v, err, again, err2)
		}
	}
	e.Close()
	if err := e.CheckInvariants(); err != nil {
		t.Error(err)
	}
}

// News that come late or twice change nothing.
func TestRemoteNewsAreLate(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(1)
		l := newLedger(t, e, 0)
		f, call := newByHand(e).submit(t.Context(), 1)
		fails := func(attempt int) antflow.RemoteRetry {
			return antflow.RemoteRetry{Attempt: attempt, Err: errTest, Delay: time.Second}
		}
		look := func(what string, state antflow.State, attempts int, retries uint64) {
			t.Helper()
			rest(t, e)
			if f.State() != state || f.Attempts() != attempts || e.Stats().Retries != retries {
				t.Errorf("%s: %v after %d attempts, %+v", what, f, f.Attempts(), e.Stats())
			}
			if err := l.compare(); err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
		call.Started(1)
		call.Started(1)
		look("started twice", antflow.StateRunning, 1, 0)
		call.Retrying(fails(1))
		call.Started(1)
		look("started after it failed", antflow.StatePending, 1, 1)
		call.Retrying(fails(1))
		look("failed twice", antflow.StatePending, 1, 1)
		time.Sleep(time.Second)
		call.Started(2)
		call.Retrying(fails(1))
		call.Started(1)
		look("old news", antflow.StateRunning, 2, 1)
		end := value(5)
		end.Attempts = 1 // who says that knows less
		call.Settle(end)
		call.Started(3)
		call.Retrying(fails(3))
		look("after the end", antflow.StateSucceeded, 2, 1)
		e.Close()
	})
}

// What nobody told of an attempt before it was over is in the figures anyway,
// and in what is told of its end.
func TestRemoteNewsNeverCome(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(1)
		var events []antflow.Event
		e.Observe(func(ev antflow.Event) { events = append(events, ev) })
		h := newByHand(e)
		quick, call := h.submit(t.Context(), 1)
		time.Sleep(time.Minute)
		end := value(3)
		end.Queued, end.Ran = 2*time.Second, 5*time.Second
		call.Settle(end)
		fails, call := h.submit(t.Context(), 2)
		call.Retrying(antflow.RemoteRetry{Attempt: 1, Err: errTest, Delay: time.Second, Ran: 3 * time.Second})
		rest(t, e)
		if s := e.Stats(); s.Waiting != 1 || s.Retries != 1 || fails.Attempts() != 1 || fails.State() != antflow.StatePending {
			t.Errorf("%v: %+v", fails, s)
		}
		call.Retrying(antflow.RemoteRetry{Attempt: 2, Err: errTest, Delay: -time.Second, Ran: 4 * time.Second})
		rest(t, e)
		call.Settle(antflow.RemoteEnd{Attempts: 3, Err: errTest, Queued: time.Hour, Ran: 7 * time.Second})
		unstarted, call := h.submit(t.Context(), 3)
		call.Settle(antflow.RemoteEnd{Err: errTest, Queued: time.Hour, Ran: time.Hour})
		rest(t, e)
		var got []string
		for _, ev := range events {
			got = append(got, fmt.Sprint(ev.Task.ID, " ", ev.Kind, " ", ev.Task.Attempt, " ", ev.Worker, " ", ev.Ran, " ", ev.Delay))
		}
		want := []string{
			"0 submitted 0 -1 0s 0s", "0 started 1 0 0s 0s", "0 succeeded 1 0 5s 0s",
			"1 submitted 0 -1 0s 0s", "1 started 1 0 0s 0s", "1 retrying 1 0 3s 1s",
			"1 started 2 0 0s 0s", "1 retrying 2 0 4s 0s", "1 started 3 0 0s 0s", "1 failed 3 0 7s 0s",
			"2 submitted 0 -1 0s 0s", "2 failed 0 -1 0s 0s",
		}
		if !slices.Equal(got, want) {
			t.Errorf("the events are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		// A start is told of with its own time.
		if d := events[2].Time.Sub(events[1].Time); d != events[2].Ran {
			t.Errorf("an attempt of %v began %v before its end", events[2].Ran, d)
		}
		s := e.Snapshot()
		if s.QueueTime.Count() != 1 || s.QueueTime.Max() < 2*time.Second || s.QueueTime.Max() > 3*time.Second || s.RunTime.Count() != 4 || s.RunTime.Max() < 7*time.Second {
			t.Errorf("queued %v, ran %v", s.QueueTime, s.RunTime)
		}
		if n := s.Names[0]; n.Succeeded != 1 || n.Failed != 2 || n.Retries != 2 || n.Running != 0 || n.Submitted != 3 {
			t.Errorf("%+v", n)
		}
		if quick.Attempts() != 1 || fails.Attempts() != 3 || unstarted.Attempts() != 0 || fails.Err() != errTest {
			t.Errorf("%d, %d and %d attempts, %v", quick.Attempts(), fails.Attempts(), unstarted.Attempts(), fails.Err())
		}
		e.Close()
	})
}

// An attempt that another one follows without a word of its end has ended then.
func TestRemoteAttemptIsLost(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(1)
		var last antflow.Event
		e.Observe(func(ev antflow.Event) { last = ev }, antflow.EventStarted)
		f, call := newByHand(e).submit(t.Context(), 1)
		call.Started(1)
		time.Sleep(time.Minute)
		call.Started(2)
		rest(t, e)
		s := e.Snapshot()
		if f.Attempts() != 2 || f.State() != antflow.StateRunning || s.Running != 1 || len(s.Tasks) != 1 || s.Tasks[0].Task.Attempt != 2 || !s.Tasks[0].Since.Equal(time.Now()) {
			t.Errorf("%v after %d attempts, %+v", f, f.Attempts(), s.Tasks)
		}
		if last.Task.Attempt != 2 || last.Queued != 0 || s.RunTime.Count() != 1 || s.QueueTime.Count() != 1 || s.Retries != 0 {
			t.Errorf("%+v, %+v", last, s.Stats)
		}
		call.Settle(antflow.RemoteEnd{Attempts: 2, Err: errTest})
		rest(t, e)
		e.Close()
	})
}
