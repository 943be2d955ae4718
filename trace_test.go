package antflow_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/testkit"
)

// A tape is a tracer that writes down what it is told, under its name.
type tape struct {
	name  string
	mu    *sync.Mutex
	lines *[]string
}

type tapeKey struct{ name string }

func newTape() *tape { return &tape{"t", new(sync.Mutex), new([]string)} }

func (p *tape) write(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	*p.lines = append(*p.lines, p.name+" "+fmt.Sprintf(format, args...))
}

func (p *tape) AttemptStart(ctx context.Context, a antflow.AttemptStart) context.Context {
	first := "first"
	if a.First != nil {
		first = fmt.Sprintf("after %v", a.First.Value(tapeKey{p.name}))
	}
	joined := ""
	if a.Joined {
		joined = ", joined"
	}
	p.write("start %d.%d, queued %v, %s%s", a.Task.ID, a.Task.Attempt, a.Queued, first, joined)
	return context.WithValue(ctx, tapeKey{p.name}, fmt.Sprintf("%d.%d", a.Task.ID, a.Task.Attempt))
}

func (p *tape) AttemptEnd(ctx context.Context, a antflow.AttemptEnd) {
	canceled := ""
	if a.Canceled {
		canceled = ", canceled"
	}
	p.write("end %v: ran %v, %v, retry %v %v%s", ctx.Value(tapeKey{p.name}), a.Ran, a.Err, a.Retry, a.Delay, canceled)
}

func (p *tape) TaskEnd(ctx context.Context, t antflow.TaskEnd) {
	p.write("task %v %v after %d: %v", ctx.Value(tapeKey{p.name}), t.State, t.Task.Attempt, t.Err)
}

func (p *tape) expect(t *testing.T, want ...string) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if !slices.Equal(*p.lines, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(*p.lines, "\n"), strings.Join(want, "\n"))
	}
	*p.lines = nil
}

// The tracer's context is the function's, for each attempt, and a task's end is
// told before its result is.
func TestTracerOfAttempts(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		p := newTape()
		e := antflow.New(1, antflow.WithTracer(p))
		calls := 0
		f := antflow.Submit(t.Context(), e, func(ctx context.Context) (int, error) {
			calls++
			p.write("in %v", ctx.Value(tapeKey{"t"}))
			if info, ok := antflow.TaskFrom(ctx); !ok || info.Attempt != calls {
				t.Errorf("%+v, %v", info, ok)
			}
			testkit.Sleep(ctx, time.Second)
			if calls < 3 {
				return 0, errTest
			}
			return 1, nil
		}, antflow.Retries(3), antflow.RetryDelay(time.Minute))
		f.OnDone(func(*antflow.Future[int]) { p.write("done") })
		f.Result(t.Context())
		e.Close()
		p.expect(t,
			"t start 0.1, queued 0s, first", "t in 0.1", "t end 0.1: ran 1s, test failure, retry true 1m0s",
			"t start 0.2, queued 0s, after 0.1", "t in 0.2", "t end 0.2: ran 1s, test failure, retry true 1m0s",
			"t start 0.3, queued 0s, after 0.1", "t in 0.3", "t end 0.3: ran 1s, <nil>, retry false 0s",
			"t task 0.1 succeeded after 3: <nil>", "t done")
	})
}

// Tracers are nested, and a task knows its submitter by the context's values.
func TestTracersAreNested(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		outer := newTape()
		outer.name = "outer"
		inner := &tape{"inner", outer.mu, outer.lines}
		e := antflow.New(1, antflow.WithTracer(outer), antflow.WithTracer(inner))
		antflow.ForEach(t.Context(), e, slices.Values([]int{1}), func(ctx context.Context, _ int) error {
			outer.write("in %v %v", ctx.Value(tapeKey{"outer"}), ctx.Value(tapeKey{"inner"}))
			_, err := e.Go(ctx, func(ctx context.Context) error { return nil }).Result(ctx)
			return err
		})
		e.Close()
		outer.expect(t,
			"outer start 0.1, queued 0s, first, joined", "inner start 0.1, queued 0s, first, joined", "outer in 0.1 0.1",
			"outer start 1.1, queued 0s, first", "inner start 1.1, queued 0s, first",
			"inner end 1.1: ran 0s, <nil>, retry false 0s", "outer end 1.1: ran 0s, <nil>, retry false 0s",
			"inner task 1.1 succeeded after 1: <nil>", "outer task 1.1 succeeded after 1: <nil>",
			"inner end 0.1: ran 0s, <nil>, retry false 0s", "outer end 0.1: ran 0s, <nil>, retry false 0s",
			"inner task 0.1 succeeded after 1: <nil>", "outer task 0.1 succeeded after 1: <nil>")
	})
}

// A task that is canceled between two attempts has an end, and one that never
// started is none of the tracer's.
func TestTracerOfCanceledTasks(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		p := newTape()
		e := antflow.New(1, antflow.WithTracer(p))
		f := e.Go(t.Context(), func(context.Context) error { return errTest }, antflow.Retries(1), antflow.RetryDelay(time.Hour))
		synctest.Wait()
		f.Cancel()
		p.expect(t, "t start 0.1, queued 0s, first", "t end 0.1: ran 0s, test failure, retry true 1h0m0s",
			"t task 0.1 canceled after 1: antflow: canceled: the task returned: test failure")
		e.Go(t.Context(), func(ctx context.Context) error { return testkit.Sleep(ctx, time.Hour) })
		synctest.Wait()
		e.Go(t.Context(), func(context.Context) error { return nil })
		e.Shutdown(t.Context(), antflow.CancelRunning())
		p.expect(t, "t start 1.1, queued 0s, first", "t end 1.1: ran 0s, context canceled, retry false 0s, canceled",
			"t task 1.1 canceled after 1: antflow: canceled: the executor is shut down")
	})
}

// A panic and a Goexit of the function are told as the error that they become.
func TestTracerOfCrashes(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		var errs []error
		p := &watchTracer{end: func(a antflow.AttemptEnd) { errs = append(errs, a.Err) }}
		e := antflow.New(1, antflow.WithTracer(p))
		e.Go(t.Context(), func(context.Context) error { panic("boom") })
		e.Go(t.Context(), func(context.Context) error { runtime.Goexit(); return nil })
		e.Close()
		if len(errs) != 2 || !errors.Is(errs[1], antflow.ErrGoexit) {
			t.Fatal(errs)
		}
		if panicked, ok := errors.AsType[*antflow.PanicError](errs[0]); !ok || panicked.Value != "boom" || len(panicked.Stack) == 0 {
			t.Error(errs[0])
		}
		if p.tasks != 2 {
			t.Errorf("%d tasks ended", p.tasks)
		}
	})
}

type watchTracer struct {
	end   func(antflow.AttemptEnd)
	tasks int
}

func (w *watchTracer) AttemptStart(ctx context.Context, _ antflow.AttemptStart) context.Context {
	return nil // is as good as ctx
}
func (w *watchTracer) AttemptEnd(_ context.Context, a antflow.AttemptEnd) { w.end(a) }
func (w *watchTracer) TaskEnd(context.Context, antflow.TaskEnd)           { w.tasks++ }

type panickingTracer struct{}

func (panickingTracer) AttemptStart(context.Context, antflow.AttemptStart) context.Context {
	panic("start")
}
func (panickingTracer) AttemptEnd(context.Context, antflow.AttemptEnd) { panic("end") }
func (panickingTracer) TaskEnd(context.Context, antflow.TaskEnd)       { panic("task") }

// A tracer that panics changes no result, and is logged once.
func TestTracerPanics(t *testing.T) {
	output := logged(t)
	testkit.Bubble(t, func(t *testing.T) {
		p := newTape()
		e := antflow.New(2, antflow.WithTracer(panickingTracer{}), antflow.WithTracer(p))
		results, err := antflow.MapSlice(t.Context(), e, indexes(10), func(ctx context.Context, i int) (int, error) {
			if ctx.Value(tapeKey{"t"}) == nil {
				t.Error("the other tracer's context is missing")
			}
			return i, nil
		})
		if err != nil || results[9] != 9 {
			t.Error(results, err)
		}
		e.Close()
		if n := len(*p.lines); n != 30 {
			t.Errorf("the other tracer was told %d times", n)
		}
	})
	if text := output.String(); strings.Count(text, "antflow: a tracer panicked: start") != 1 || strings.Count(text, "panicked") != 1 {
		t.Errorf("logged: %s", text)
	}
}

// Waiting for a permit and a rate limit is told apart.
func TestTracerOfWaits(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		var starts []antflow.Event
		e := antflow.New(4)
		e.Observe(func(ev antflow.Event) { starts = append(starts, ev) }, antflow.EventStarted)
		sem := antflow.NewSemaphore(1)
		for range 2 {
			e.Go(t.Context(), func(ctx context.Context) error { return testkit.Sleep(ctx, time.Second) },
				antflow.WithSemaphore(sem), antflow.WithRateLimit(&everySecond{}))
			synctest.Wait()
		}
		e.Close()
		for i, ev := range starts {
			permit := time.Duration(i) * 2 * time.Second
			if ev.PermitWait != permit || ev.RateWait != time.Second || ev.Queued != permit+time.Second {
				t.Errorf("start %d: %v for the permit, %v for the rate limit, %v in all", i, ev.PermitWait, ev.RateWait, ev.Queued)
			}
		}
		if len(starts) != 2 {
			t.Errorf("%d starts", len(starts))
		}
	})
}

// everySecond lets an event pass after a second.
type everySecond struct{ _ byte }

func (*everySecond) Wait(ctx context.Context) error { return testkit.Sleep(ctx, time.Second) }

// exitingTracer ends the goroutine where it says, as a failed test does.
type exitingTracer struct{ at string }

func (x exitingTracer) exit(at string) {
	if x.at == at {
		runtime.Goexit()
	}
}

func (x exitingTracer) AttemptStart(ctx context.Context, _ antflow.AttemptStart) context.Context {
	x.exit("start")
	return ctx
}
func (x exitingTracer) AttemptEnd(context.Context, antflow.AttemptEnd) { x.exit("end") }
func (x exitingTracer) TaskEnd(context.Context, antflow.TaskEnd)       { x.exit("task") }

// A tracer that exits at the end of an attempt or a task changes no result. At
// the start it is as if the function did.
func TestTracerExits(t *testing.T) {
	for at, want := range map[string]error{"start": antflow.ErrGoexit, "end": nil, "task": nil} {
		testkit.Bubble(t, func(t *testing.T) {
			e := antflow.New(2, antflow.WithTracer(exitingTracer{at}))
			fs := []*antflow.Future[struct{}]{e.Go(t.Context(), nothing), e.Go(t.Context(), nothing), e.Go(t.Context(), nothing)}
			for _, f := range fs {
				if _, err := f.Result(t.Context()); err != want {
					t.Errorf("%s: %v", at, err)
				}
			}
			// Canceled between two attempts, by this goroutine.
			f := e.Go(t.Context(), func(context.Context) error { return errTest }, antflow.Retries(1), antflow.RetryDelay(time.Hour))
			synctest.Wait()
			f.Cancel()
			if at != "start" && f.State() != antflow.StateCanceled {
				t.Errorf("%s: %v", at, f)
			}
			e.Close()
			if err := e.CheckInvariants(); err != nil {
				t.Error(err)
			}
		})
	}
}

// A tracer that takes its time at the end of a task holds up no other one that
// has a free worker, and is none of its time.
func TestSlowTracer(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		start := time.Now()
		e := antflow.New(2, antflow.WithTracer(slowTracer{}))
		var begun []string
		e.Observe(func(ev antflow.Event) {
			begun = append(begun, fmt.Sprint(ev.Task.ID, " ", ev.Time.Sub(start), " ", ev.Ran))
		}, antflow.EventSucceeded)
		e.Go(t.Context(), nothing, antflow.TaskName("slow end"))
		synctest.Wait()
		for range 3 {
			e.Go(t.Context(), func(ctx context.Context) error { return testkit.Sleep(ctx, time.Second) })
		}
		e.Close()
		// The first worker is with the tracer for five seconds.
		if want := []string{"0 0s 0s", "1 1s 1s", "2 2s 1s", "3 3s 1s"}; !slices.Equal(begun, want) {
			t.Errorf("%q", begun)
		}
	})
}

type slowTracer struct{}

func (slowTracer) AttemptStart(ctx context.Context, _ antflow.AttemptStart) context.Context {
	return ctx
}
func (slowTracer) AttemptEnd(context.Context, antflow.AttemptEnd) {}
func (slowTracer) TaskEnd(_ context.Context, t antflow.TaskEnd) {
	if t.Task.Name == "slow end" {
		time.Sleep(5 * time.Second)
	}
}
