package otelantflow_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// A task whose submitter waits is part of the submitter's trace. One that may
// outlive it has a trace of its own, with a link.
func TestParentOrLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		e := r.NewExecutor(1)
		ctx, request := r.tracer.Start(t.Context(), "request")
		fn := func(context.Context, int) error { return nil }
		one := []int{1}

		e.Go(ctx, sleep(0, nil), antflow.TaskName("go"))
		antflow.Submit(ctx, e, func(context.Context) (int, error) { return 0, nil }, antflow.TaskName("submit"))
		e.Go(t.Context(), sleep(0, nil), antflow.TaskName("nobody's"))
		synctest.Wait()
		antflow.ForEach(ctx, e, slices.Values(one), fn, antflow.TaskName("each"))
		antflow.MapSlice(ctx, e, one, func(context.Context, int) (int, error) { return 0, nil }, antflow.TaskName("slice"))
		for range antflow.Map(ctx, e, slices.Values(one), func(context.Context, int) (int, error) { return 0, nil }, antflow.TaskName("map")) {
		}
		g := antflow.NewGroup(ctx, e, antflow.TaskName("group"))
		g.Go(sleep(0, nil))
		g.Wait()
		e.Close()
		request.End()
		r.wantSpans("",
			"go ~ request", "submit ~ request", "nobody's",
			"each < request", "slice < request", "map < request", "group < request",
			"request",
		)
		for _, s := range r.spans.Ended() {
			if s.SpanKind() != trace.SpanKindInternal {
				t.Errorf("%s is of kind %v", s.Name(), s.SpanKind())
			}
			same := s.SpanContext().TraceID() == request.SpanContext().TraceID()
			if want := s.Parent().IsValid() || s.Name() == "request"; same != want {
				t.Errorf("%s is in the submitter's trace: %v", s.Name(), same)
			}
		}
	})
}

// What a function does is part of its task, or of the attempt that does it, and
// so are the tasks that it submits.
func TestNestedTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		e := r.NewExecutor(1)
		other := r.NewExecutor(1)
		tries := 0
		e.Go(t.Context(), func(ctx context.Context) error {
			_, query := r.tracer.Start(ctx, "query")
			query.End()
			if tries++; tries == 1 {
				return errFlaky
			}
			f := e.Go(ctx, sleep(0, nil), antflow.TaskName("later"))
			f.Result(ctx)
			return antflow.ForEach(ctx, other, slices.Values([]int{1}), func(ctx context.Context, _ int) error {
				_, query := r.tracer.Start(ctx, "inner query")
				query.End()
				return nil
			}, antflow.TaskName("part"))
		}, antflow.TaskName("outer"), antflow.Retries(1))
		e.Close()
		other.Close()
		r.wantSpans("task.attempt task.attempts outcome",
			"query < outer",
			"query < outer retry",
			"later ~ outer retry [outcome=succeeded task.attempts=1]",
			"inner query < part",
			"part < outer retry [outcome=succeeded task.attempts=1]",
			"outer retry < outer [task.attempt=2]",
			"outer [outcome=succeeded task.attempts=2] (exception exception.message=flaky exception.type=*errors.errorString) (retry error.type=flaky retry.delay=0.1 task.attempt=1)",
		)
	})
}

// The span of a task lasts from its first start until it has settled, with the
// delays between its attempts inside.
func TestTimesOfSpans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		start := time.Now()
		e := r.NewExecutor(1, antflow.ExecutorName("x"))
		e.Go(t.Context(), sleep(time.Minute, nil), antflow.TaskName("first"))
		e.Go(t.Context(), sleep(time.Second, errFlaky), antflow.TaskName("n"), antflow.Priority(-1),
			antflow.Retries(2), antflow.RetryDelay(10*time.Second))
		e.Close()
		r.wantSpans("executor.name task.name task.id task.attempt task.attempts task.priority task.queue.duration outcome error.type",
			"first [executor.name=x outcome=succeeded task.attempts=1 task.id=0 task.name=first task.priority=0 task.queue.duration=0]",
			"n retry < n [error.type=flaky executor.name=x task.attempt=2 task.id=1 task.name=n] Error: flaky (exception exception.message=flaky exception.type=*errors.errorString)",
			"n retry < n [error.type=flaky executor.name=x task.attempt=3 task.id=1 task.name=n] Error: flaky (exception exception.message=flaky exception.type=*errors.errorString)",
			"n [error.type=flaky executor.name=x outcome=failed task.attempts=3 task.id=1 task.name=n task.priority=-1 task.queue.duration=60] Error: antflow: failed after 3 attempts: flaky"+
				" (exception exception.message=flaky exception.type=*errors.errorString)"+
				" (retry error.type=flaky retry.delay=10 task.attempt=1)"+
				" (retry error.type=flaky retry.delay=20 task.attempt=2)"+
				" (exception exception.message=flaky exception.type=*errors.errorString)",
		)
		want := [][2]time.Duration{{0, 60}, {71, 72}, {92, 93}, {60, 93}}
		for i, s := range r.spans.Ended() {
			got := [2]time.Duration{s.StartTime().Sub(start) / time.Second, s.EndTime().Sub(start) / time.Second}
			if got != want[i] {
				t.Errorf("%s is from %d to %d s, and should be from %d to %d s", s.Name(), got[0], got[1], want[i][0], want[i][1])
			}
		}
		events := r.span("n").Events()
		if at := events[2].Time.Sub(start); at != 72*time.Second {
			t.Errorf("the second delay begins at %v", at)
		}
	})
}

// What fails has the status error, with a panic's stack. A canceled task has
// not failed, and one that never started has no span at all.
func TestEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		e := r.NewExecutor(1)
		ctx, cancel := context.WithCancel(t.Context())
		wait := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

		running := e.Go(t.Context(), wait, antflow.TaskName("canceled"))
		queued := e.Go(t.Context(), wait, antflow.TaskName("never"))
		synctest.Wait()
		queued.Cancel()
		running.Cancel()
		e.Go(ctx, wait, antflow.TaskName("abandoned"))
		synctest.Wait()
		cancel()
		e.Go(ctx, wait, antflow.TaskName("never"))
		e.Go(t.Context(), wait, antflow.TaskName("timeout"), antflow.Timeout(time.Second))
		e.Go(t.Context(), func(context.Context) error { runtime.Goexit(); return nil }, antflow.TaskName("exits"))
		e.Go(t.Context(), sleep(0, errors.Join(errFlaky)), antflow.TaskName("joined"))
		e.Go(t.Context(), sleep(0, nil), antflow.TaskName("bad limit"), antflow.WithRateLimit(badLimiter{}))
		e.Close()
		r.wantSpans("outcome error.type",
			"canceled [outcome=canceled]",
			"abandoned [outcome=canceled]",
			"timeout [error.type=context deadline exceeded outcome=failed] Error: context deadline exceeded"+
				" (exception exception.message=context deadline exceeded exception.type=context.deadlineExceededError)",
			"exits [error.type=the task called runtime.Goexit outcome=failed] Error: antflow: the task called runtime.Goexit"+
				" (exception exception.message=antflow: the task called runtime.Goexit exception.type=antflow.sentinel)",
			"joined [error.type=flaky outcome=failed] Error: flaky"+
				" (exception exception.message=flaky exception.type=*errors.joinError)",
		)
	})
}

// badLimiter refuses all.
type badLimiter struct{}

func (badLimiter) Wait(context.Context) error { return errFlaky }

func TestPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		e := r.NewExecutor(1)
		e.Go(t.Context(), causeTrouble, antflow.TaskName("once"))
		e.Go(t.Context(), causeTrouble, antflow.TaskName("twice"), antflow.Retries(1), antflow.RetryIf(func(error) bool { return true }))
		e.Close()
		for _, name := range []string{"once", "twice", "twice retry"} {
			s := r.span(name)
			exceptions := 0
			for _, ev := range s.Events() {
				if ev.Name != "exception" {
					continue
				}
				exceptions++
				got := valuesOf(ev.Attributes)
				if m := got["exception.message"].AsString(); m != "antflow: panic: trouble" {
					t.Errorf("%s: the message is %q", name, m)
				}
				if m := got["exception.type"].AsString(); m != "*antflow.PanicError" {
					t.Errorf("%s: the type is %q", name, m)
				}
				if stack := got["exception.stacktrace"].AsString(); !strings.Contains(stack, "causeTrouble") {
					t.Errorf("%s: the stack is %q", name, stack)
				}
			}
			if want := map[string]int{"once": 1, "twice": 2, "twice retry": 1}[name]; exceptions != want {
				t.Errorf("%s has %d exceptions, and should have %d", name, exceptions, want)
			}
			if k := valuesOf(s.Attributes())["error.type"].AsString(); k != "panic: trouble" {
				t.Errorf("%s: error.type is %q", name, k)
			}
		}
	})
}

func causeTrouble(context.Context) error { panic("trouble") }

// A task that is canceled while no attempt of it runs ends there and then, and
// with it its span.
func TestCanceledBetweenAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		start := time.Now()
		e := r.NewExecutor(1)
		f := e.Go(t.Context(), sleep(0, errFlaky), antflow.TaskName("n"), antflow.Retries(5), antflow.RetryDelay(time.Hour))
		time.Sleep(90 * time.Minute) // into the second delay
		f.Cancel()
		e.Close()
		r.wantSpans("outcome task.attempts",
			"n retry < n Error: flaky (exception exception.message=flaky exception.type=*errors.errorString)",
			"n [outcome=canceled task.attempts=2] (exception exception.message=flaky exception.type=*errors.errorString)"+
				" (retry error.type=flaky retry.delay=3600 task.attempt=1)"+
				" (retry error.type=flaky retry.delay=3600 task.attempt=2)",
		)
		if at := r.span("n").EndTime().Sub(start); at != 90*time.Minute {
			t.Errorf("the span ends after %v", at)
		}
		r.wantMetrics("task.completed task.retries",
			"task.completed{outcome=canceled task.name=n} 1", "task.retries{error.type=flaky task.name=n} 2")
	})
}

// A retry's context has the end of its own attempt, not that of the first.
func TestARetryHasItsOwnContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		e := r.NewExecutor(1)
		var errs []error
		e.Go(t.Context(), func(ctx context.Context) error {
			errs = append(errs, ctx.Err())
			if info, _ := antflow.TaskFrom(ctx); info.Attempt != len(errs) {
				t.Errorf("attempt %d is told that it is %d", len(errs), info.Attempt)
			}
			<-ctx.Done()
			return ctx.Err()
		}, antflow.Timeout(time.Second), antflow.Retries(2))
		e.Close()
		if !slices.Equal(errs, []error{nil, nil, nil}) {
			t.Errorf("the attempts began with %v", errs)
		}
	})
}

// Baggage goes with the context, whatever becomes of the trace.
func TestBaggage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		e := r.NewExecutor(1)
		member, err := baggage.NewMember("user", "7")
		if err != nil {
			t.Fatal(err)
		}
		bag, err := baggage.New(member)
		if err != nil {
			t.Fatal(err)
		}
		ctx := baggage.ContextWithBaggage(t.Context(), bag)
		tries := 0
		e.Go(ctx, func(ctx context.Context) error {
			tries++
			if v := baggage.FromContext(ctx).Member("user").Value(); v != "7" {
				t.Errorf("attempt %d has the baggage %q", tries, v)
			}
			return errFlaky
		}, antflow.Retries(1))
		e.Close()
		if tries != 2 {
			t.Errorf("%d attempts", tries)
		}
	})
}

// The submitter may be in another process.
func TestRemoteSubmitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		e := r.NewExecutor(1)
		remote := trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled, Remote: true,
		})
		ctx := trace.ContextWithRemoteSpanContext(t.Context(), remote)
		e.Go(ctx, sleep(0, nil), antflow.TaskName("linked"))
		antflow.ForEach(ctx, e, slices.Values([]int{1}), func(context.Context, int) error { return nil }, antflow.TaskName("child"))
		e.Close()
		if l := r.span("linked").Links(); len(l) != 1 || !l[0].SpanContext.Equal(remote) {
			t.Errorf("the links are %v", l)
		}
		if p := r.span("child").Parent(); !p.Equal(remote) {
			t.Errorf("the parent is %v", p)
		}
	})
}

// Sampled or not is decided for a trace as a whole; what isn't is measured all
// the same. A sampler sees the names.
func TestSampling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sampler := &nameSampler{}
		r := sampledRig(t, sdktrace.ParentBased(sampler))
		e := r.NewExecutor(1, antflow.ExecutorName("x"))
		ctx, request := r.tracer.Start(t.Context(), "boring request")
		var inside trace.SpanContext
		antflow.ForEach(ctx, e, slices.Values([]int{1}), func(ctx context.Context, _ int) error {
			inside = trace.SpanContextFromContext(ctx)
			return errFlaky
		}, antflow.TaskName("part"), antflow.Retries(1))
		e.Go(ctx, sleep(0, nil), antflow.TaskName("apart"))
		e.Close()
		request.End()
		if inside.IsSampled() || inside.TraceID() != request.SpanContext().TraceID() {
			t.Errorf("the function of an unsampled trace has %v", inside)
		}
		var names []string
		for _, s := range r.spans.Ended() {
			names = append(names, s.Name())
		}
		if !slices.Equal(names, []string{"apart"}) {
			t.Errorf("sampled: %q", names)
		}
		if want := []string{"", "executor.name=x task.name=apart"}; !slices.Equal(sampler.asked, want) {
			t.Errorf("the sampler was asked of %q", sampler.asked)
		}
		r.wantMetrics("task.duration",
			"task.duration{error.type=flaky executor.name=x task.name=part} 2×, 0s",
			"task.duration{executor.name=x task.name=apart} 1×, 0s")
	})
}

// nameSampler samples what isn't boring.
type nameSampler struct{ asked []string }

func (s *nameSampler) Description() string { return "by name" }
func (s *nameSampler) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	s.asked = append(s.asked, attributes(p.Attributes))
	d := sdktrace.RecordAndSample
	if strings.HasPrefix(p.Name, "boring") {
		d = sdktrace.Drop
	}
	return sdktrace.SamplingResult{Decision: d}
}

// Who has a result finds all of its attempts measured, and the spans of its
// retries ended.
func TestAResultIsMeasured(t *testing.T) {
	noLeak(t)
	r := newRig(t)
	e := r.NewExecutor(2)
	attempts := uint64(0)
	for i := range 300 {
		f := e.Go(t.Context(), sleep(0, []error{nil, errFlaky}[i%2]), antflow.TaskName("n"), antflow.Retries(i%3), antflow.RetryDelay(0))
		f.Result(t.Context())
		attempts += uint64(f.Attempts())
		measured, open := uint64(0), 0
		for _, p := range r.collect()["antflow.task.duration"].Data.(metricdata.Histogram[float64]).DataPoints {
			measured += p.Count
		}
		for _, s := range r.spans.Started() {
			if s.Name() == "n retry" && s.EndTime().IsZero() {
				open++
			}
		}
		if measured != attempts || open > 0 {
			t.Fatalf("task %d: %d of %d attempts are measured, and %d spans open", i, measured, attempts, open)
		}
	}
	e.Close()
	if started, ended := len(r.spans.Started()), len(r.spans.Ended()); started != ended {
		t.Errorf("%d of %d spans have ended", ended, started)
	}
}
