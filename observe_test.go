package antflow_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/testkit"
)

// log collects what an observer is told. It needs no lock: the calls come one
// at a time, and Close waits for them.
type log []antflow.Event

func (l *log) observe(ev antflow.Event) { *l = append(*l, ev) }

// lines are the events without what the clock decides.
func (l log) lines() []string {
	var lines []string
	for _, ev := range l {
		s := fmt.Sprintf("%d %v %d worker %d", ev.Task.ID, ev.Kind, ev.Task.Attempt, ev.Worker)
		if ev.Err != nil {
			s += ": " + ev.Err.Error()
		}
		lines = append(lines, s)
	}
	return lines
}

func TestEventsOfATask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		defer testkit.NoLeak(t)
		e := antflow.New(1, antflow.ExecutorName("crawl"))
		var events log
		e.Observe(events.observe)
		boom := errors.New("boom")
		calls := 0
		f := antflow.Submit(t.Context(), e, func(ctx context.Context) (int, error) {
			testkit.Sleep(ctx, time.Second)
			if calls++; calls < 3 {
				return 0, boom
			}
			return 7, nil
		}, antflow.TaskName("fetch"), antflow.Retries(2), antflow.RetryDelay(10*time.Second), antflow.Priority(5))
		f.Result(t.Context())
		e.Close()
		want := []string{
			"0 submitted 0 worker -1", "0 started 1 worker 0", "0 retrying 1 worker 0: boom",
			"0 started 2 worker 0", "0 retrying 2 worker 0: boom",
			"0 started 3 worker 0", "0 succeeded 3 worker 0",
		}
		if got := events.lines(); !slices.Equal(got, want) {
			t.Fatalf("%q", got)
		}
		for i, ev := range events {
			if ev.Task.Name != "fetch" || ev.Task.Executor != "crawl" || ev.Task.Priority != 5 || ev.Lost != 0 {
				t.Errorf("%+v", ev)
			}
			at := []int{0, 0, 1, 11, 12, 32, 33}[i]
			if got := ev.Time.Sub(events[0].Time); got != time.Duration(at)*time.Second {
				t.Errorf("%v after %v", ev.Kind, got)
			}
			ran := time.Duration(0)
			if ev.Kind == antflow.EventRetrying || ev.Kind == antflow.EventSucceeded {
				ran = time.Second
			}
			if ev.Ran != ran || ev.Queued != 0 {
				t.Errorf("%v: ran %v, queued %v", ev.Kind, ev.Ran, ev.Queued)
			}
		}
		if events[2].Delay != 10*time.Second || events[4].Delay != 20*time.Second {
			t.Errorf("delays %v and %v", events[2].Delay, events[4].Delay)
		}
	})
}
