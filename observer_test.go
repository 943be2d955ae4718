package antflow_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	stdlog "log"
	"runtime"
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

// logged returns what the standard logger writes until the test ends.
func logged(t *testing.T) *bytes.Buffer {
	var b bytes.Buffer
	before := stdlog.Writer()
	stdlog.SetOutput(&b)
	t.Cleanup(func() { stdlog.SetOutput(before) })
	return &b
}

// What an observer does changes no result, and the events after it are told.
func TestBadObservers(t *testing.T) {
	output := logged(t)
	bad := map[string]func(antflow.Event){
		"panics": func(antflow.Event) { panic("no") },
		"panics at times": func(ev antflow.Event) {
			if ev.Task.ID%7 != 0 {
				panic("now and then")
			}
		},
		"exits":  func(antflow.Event) { runtime.Goexit() },
		"sleeps": func(antflow.Event) { time.Sleep(time.Minute) },
		"blocks": func(antflow.Event) { time.Sleep(1000 * time.Hour) },
	}
	for name, observer := range bad {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				e := antflow.New(3)
				var calls atomic.Int64
				e.Observe(func(ev antflow.Event) { calls.Add(1); observer(ev) })
				var good log
				e.Observe(good.observe)
				start := time.Now()
				results, err := antflow.MapSlice(t.Context(), e, indexes(100), func(_ context.Context, i int) (int, error) { return i * i, nil })
				if err != nil || results[99] != 99*99 {
					t.Error(results, err)
				}
				if d := time.Since(start); d != 0 {
					t.Errorf("the tasks took %v", d)
				}
				e.Close()
				if d := time.Since(start); d > time.Second {
					t.Errorf("Close took %v", d)
				}
				if len(good) != 300 {
					t.Errorf("the other observer was told of %d events", len(good))
				}
				if want, ok := map[string]int64{"panics": 100, "panics at times": 300, "exits": 300}[name]; ok && calls.Load() != want {
					t.Errorf("%d calls", calls.Load())
				}
				time.Sleep(2000 * 300 * time.Hour)
			})
		})
	}
	text := output.String()
	for _, line := range []string{"antflow: an observer panicked: no\n", "antflow: an observer panicked: now and then\n", "antflow: an observer is given up, since it panicked: no\n"} {
		if strings.Count(text, line) != 1 {
			t.Errorf("not once: %s", line)
		}
	}
	if strings.Count(text, "panicked: ") != 3 || !strings.Contains(text, "observer_test.go") {
		t.Errorf("logged: %s", text)
	}
}

// Close waits for an observer that gets on, for a second.
func TestCloseWaitsForObservers(t *testing.T) {
	for each, want := range map[time.Duration]int64{5 * time.Millisecond: 90, 30 * time.Millisecond: 33} {
		testkit.Bubble(t, func(t *testing.T) {
			e := antflow.New(1)
			var told atomic.Int64
			e.Observe(func(antflow.Event) { time.Sleep(each); told.Add(1) })
			for range 30 {
				e.Go(t.Context(), func(context.Context) error { return nil })
			}
			e.Close()
			if n := told.Load(); n != want {
				t.Errorf("%d events of 90 at %v were told when Close returned", n, each)
			}
			time.Sleep(time.Hour) // the rest is told later
			if n := told.Load(); n != 90 {
				t.Errorf("%d events of 90 were told", n)
			}
		})
	}
}

// The end of an observation waits for what has happened, and nothing is told
// after it.
func TestStopOfAnObservation(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(1)
		var first, second log
		stop := e.Observe(func(ev antflow.Event) { time.Sleep(time.Millisecond); first.observe(ev) })
		defer e.Observe(second.observe)()
		run := func() { e.Go(t.Context(), func(context.Context) error { return nil }).Result(t.Context()) }
		run()
		stop()
		stop()
		if len(first) != 3 {
			t.Errorf("%q were told at the end", first.lines())
		}
		run()
		e.Close()
		if len(first) != 3 || len(second) != 6 {
			t.Errorf("%d and %d were told", len(first), len(second))
		}
	})
}

// A stuck observer is given up, with what it has not been told.
func TestStopGivesUp(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(1)
		release := make(chan struct{})
		var told atomic.Int64
		stop := e.Observe(func(antflow.Event) { told.Add(1); <-release })
		e.Go(t.Context(), func(context.Context) error { return nil }).Result(t.Context())
		start := time.Now()
		stop()
		if d := time.Since(start); d != time.Second {
			t.Errorf("the end took %v", d)
		}
		close(release)
		e.Close()
		if n := told.Load(); n != 1 {
			t.Errorf("%d events were told", n)
		}
	})
}

// Those who are behind by too much miss events, and are told how many.
func TestLostEvents(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(1)
		release := make(chan struct{})
		var events, lost uint64
		e.Observe(func(ev antflow.Event) {
			<-release
			events++
			lost += ev.Lost
		})
		const n = 20_000
		run := func(n int) {
			antflow.ForEach(t.Context(), e, slices.Values(make([]int, n)), func(context.Context, int) error { return nil })
		}
		run(n)
		s := e.Snapshot()
		if s.Succeeded != n || s.RunTime.Count() != n || s.Lost == 0 || s.Lost > 3*n-1<<15 {
			t.Errorf("%d succeeded, %d measured, %d lost", s.Succeeded, s.RunTime.Count(), s.Lost)
		}
		close(release)
		synctest.Wait()
		run(1)
		e.Close()
		if lost != s.Lost || events+lost != 3*(n+1) {
			t.Errorf("%d events, %d lost of %d", events, lost, s.Lost)
		}
	})
}

// An observer that hears of some kinds hears of no others.
func TestObserveKinds(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(1)
		var events log
		e.Observe(events.observe, antflow.EventFailed, antflow.EventRetrying)
		e.Go(t.Context(), func(context.Context) error { return errTest }, antflow.Retries(1))
		e.Go(t.Context(), func(context.Context) error { return nil })
		e.Close()
		want := []string{"0 retrying 1 worker 0: test failure", "0 failed 2 worker 0: antflow: failed after 2 attempts: test failure"}
		if got := events.lines(); !slices.Equal(got, want) {
			t.Errorf("%q", got)
		}
	})
}

// Observers may use the executor: they hold no lock and no worker.
func TestObserverUsesTheExecutor(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(1)
		var more *antflow.Future[struct{}]
		e.Observe(func(ev antflow.Event) {
			e.Snapshot()
			if ev.Task.ID == 0 {
				more = e.Go(t.Context(), func(context.Context) error { return nil })
				more.Result(t.Context())
				e.Resize(2)
			}
		}, antflow.EventSucceeded)
		e.Go(t.Context(), func(context.Context) error { return nil })
		synctest.Wait()
		e.Close()
		if more == nil || more.State() != antflow.StateSucceeded {
			t.Errorf("the observer's task: %v", more)
		}
	})
}

// What is queued when somebody begins to observe is told of when it starts, of
// whatever kind it is.
func TestObserveLate(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		for name, submit := range map[string]func(e *antflow.Executor, fn func(context.Context) error){
			"Go": func(e *antflow.Executor, fn func(context.Context) error) {
				for range 10 {
					e.Go(t.Context(), fn)
				}
			},
			"group": func(e *antflow.Executor, fn func(context.Context) error) {
				g := antflow.NewGroup(t.Context(), e)
				for range 10 {
					g.Go(fn)
				}
			},
			"slice": func(e *antflow.Executor, fn func(context.Context) error) {
				go antflow.MapSlice(t.Context(), e, make([]int, 10), func(ctx context.Context, _ int) (int, error) { return 0, fn(ctx) })
				synctest.Wait()
			},
		} {
			e := antflow.New(1)
			block := make(chan struct{})
			e.Go(t.Context(), func(context.Context) error { <-block; return nil })
			synctest.Wait()
			submit(e, func(context.Context) error { return nil })
			var events log
			stop := e.Observe(events.observe)
			if s := e.Snapshot(); !s.Observed || len(s.Tasks) != 0 || s.Running != 1 || s.Queued != 10 {
				t.Errorf("%s: %+v", name, s.Stats)
			}
			close(block)
			synctest.Wait()
			if len(events) != 20 {
				t.Errorf("%s: %q", name, events.lines())
			}
			for i, ev := range events {
				if want := []antflow.EventKind{antflow.EventStarted, antflow.EventSucceeded}[i%2]; ev.Kind != want || ev.Task.ID != uint64(1+i/2) {
					t.Errorf("%s: event %d is %v of task %d", name, i, ev.Kind, ev.Task.ID)
				}
			}
			stop()
			submit(e, func(context.Context) error { return nil })
			e.Close()
			if s := e.Snapshot(); s.Observed || len(events) != 20 || s.Succeeded != 21 || s.RunTime.Count() != 10 {
				t.Errorf("%s: after the end %d events, %+v", name, len(events), s.Stats)
			}
			if err := e.CheckInvariants(); err != nil {
				t.Error(err)
			}
		}
	})
}

// An observed executor has nothing at rest either.
func TestObservedIdleIsNothing(t *testing.T) {
	testkit.NoLeak(t)
	e := antflow.New(4)
	e.Observe(func(antflow.Event) {})
	for range 10 {
		antflow.ForEach(t.Context(), e, slices.Values(make([]int, 100)), func(context.Context, int) error { return nil })
	}
}

// Any number of goroutines may begin and end to observe.
func TestObserversComeAndGo(t *testing.T) {
	testkit.NoLeak(t)
	e := antflow.New(2)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 200 {
				stop := e.Observe(func(antflow.Event) {})
				e.Go(t.Context(), func(context.Context) error { return nil })
				e.Snapshot()
				stop()
			}
		})
	}
	all.Wait()
	e.Close()
	if s := e.Snapshot(); s.Succeeded != 800 || s.Observed {
		t.Errorf("%+v", s.Stats)
	}
}

// Once enough records are there, to be observed takes no allocation more.
func TestObservedSubmitAllocatesOnce(t *testing.T) {
	testkit.NoLeak(t)
	e := antflow.New(1)
	e.Measure()
	fn := func(context.Context) error { return nil }
	ctx := context.Background()
	if n := testing.AllocsPerRun(1000, func() { e.Go(ctx, fn).Result(ctx) }); n > 1 {
		t.Errorf("%v allocations for a Go", n)
	}
	e.Close()
}

func TestMisuseOfObserve(t *testing.T) {
	var noContext context.Context
	var none *antflow.Executor
	e := antflow.New(1)
	for _, misuse := range []struct {
		call func()
		want string
	}{
		{func() { e.Observe(nil) }, "antflow: Executor.Observe(nil): the function must not be nil"},
		{func() { e.Observe(func(antflow.Event) {}, 77) }, "antflow: Executor.Observe: EventKind(77) is no kind of event"},
		{func() { none.Observe(func(antflow.Event) {}) }, "antflow: Executor.Observe: the executor is nil"},
		{func() { none.Measure() }, "antflow: Executor.Measure: the executor is nil"},
		{func() { none.Snapshot() }, "antflow: Executor.Snapshot: the executor is nil"},
		{func() { none.Cancel(1) }, "antflow: Executor.Cancel: the executor is nil"},
		{func() { antflow.SetStatus(noContext, "") }, "antflow: SetStatus(nil): the context must not be nil"},
		{func() { antflow.WithTracer(nil) }, "antflow: WithTracer(nil): the tracer must not be nil"},
		{func() { antflow.Latency{}.Quantile(1.5) }, "antflow: Latency.Quantile(1.5): the fraction must be between 0 and 1"},
	} {
		func() {
			defer func() {
				if got := fmt.Sprint(recover()); got != misuse.want {
					t.Errorf("%q, want %q", got, misuse.want)
				}
			}()
			misuse.call()
		}()
	}
	for k := range antflow.EventRejected + 1 {
		if strings.Contains(k.String(), "(") {
			t.Errorf("kind %d has no name", k)
		}
	}
}

// The cause of a failure outside of an attempt is told like any other.
func TestEventsWithoutAnAttempt(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(1, antflow.QueueLimit(2))
		var events log
		e.Observe(events.observe)
		e.Go(t.Context(), func(ctx context.Context) error { return testkit.Sleep(ctx, time.Hour) })
		synctest.Wait()
		e.Go(t.Context(), func(context.Context) error { return nil }, antflow.QueueTimeout(time.Minute))
		ctx, cancel := context.WithCancelCause(t.Context())
		e.Go(ctx, func(context.Context) error { return nil })
		e.Go(t.Context(), func(context.Context) error { return nil }, antflow.NonBlocking())
		cancel(errors.New("enough"))
		synctest.Wait()
		time.Sleep(2 * time.Minute)
		e.Shutdown(t.Context(), antflow.CancelRunning())
		e.Go(t.Context(), func(context.Context) error { return nil })
		e.Close()
		want := []string{
			"0 submitted 0 worker -1", "0 started 1 worker 0", "1 submitted 0 worker -1", "2 submitted 0 worker -1",
			"3 rejected 0 worker -1: antflow: the queue is full",
			"2 canceled 0 worker -1: antflow: canceled: enough",
			"1 failed 0 worker -1: antflow: the queue timeout passed before the task started",
			"0 canceled 1 worker 0: antflow: canceled: the executor is shut down",
			"4 rejected 0 worker -1: antflow: the executor is shut down",
		}
		if got := events.lines(); !slices.Equal(got, want) {
			t.Errorf("%s", strings.Join(got, "\n"))
		}
	})
}
