package otelantflow_test

import (
	"bytes"
	"context"
	"errors"
	"log"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/otelantflow"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
)

func TestBadInput(t *testing.T) {
	mustPanic(t, "antflow: otelantflow: WithMeterProvider(nil): the provider must not be nil", func() { otelantflow.WithMeterProvider(nil) })
	mustPanic(t, "antflow: otelantflow: WithTracerProvider(nil): the provider must not be nil", func() { otelantflow.WithTracerProvider(nil) })
	mustPanic(t, "antflow: otelantflow: WithAttributeLimit(0): the limit must be at least 1", func() { otelantflow.WithAttributeLimit(0) })
	mustPanic(t, "antflow: otelantflow: New: nil Option at index 1", func() { otelantflow.New(otelantflow.WithAttributeLimit(1), nil) })
	var none *otelantflow.Telemetry
	mustPanic(t, "antflow: otelantflow: Telemetry.NewExecutor: the telemetry is nil", func() { none.NewExecutor(1) })
	mustPanic(t, "antflow: otelantflow: Telemetry.Close: the telemetry is nil", func() { none.Close() })
	r := newRig(t)
	mustPanic(t, "antflow: otelantflow: Telemetry.NewExecutor: nil Option at index 0", func() { r.NewExecutor(1, nil) })
	mustPanic(t, "antflow: New(0): the number of workers must be at least 1", func() { r.NewExecutor(0) })
	r.wantMetrics("worker.count") // none of these is there
}

// What the meter refuses is New's error, whichever instrument it is.
func TestRefusedInstruments(t *testing.T) {
	for i := range 10 {
		m := &refusingMeter{left: i}
		_, err := otelantflow.New(otelantflow.WithMeterProvider(refusingProvider{meter: m}))
		if !errors.Is(err, errRefused) || err.Error() != "antflow: otelantflow: refused" {
			t.Errorf("after %d instruments: %v", i, err)
		}
	}
	m := &refusingMeter{left: 10}
	tel, err := otelantflow.New(otelantflow.WithMeterProvider(refusingProvider{meter: m}))
	if err != nil {
		t.Fatal(err)
	}
	if err := tel.Close(); !errors.Is(err, errRefused) || err.Error() != "antflow: otelantflow: refused" {
		t.Errorf("Close: %v", err)
	}
}

var errRefused = errors.New("refused")

type refusingProvider struct {
	metricnoop.MeterProvider
	meter metric.Meter
}

func (p refusingProvider) Meter(string, ...metric.MeterOption) metric.Meter { return p.meter }

// refusingMeter refuses all that comes after some instruments.
type refusingMeter struct {
	metricnoop.Meter
	left int
}

func (m *refusingMeter) next() error {
	if m.left--; m.left < 0 {
		return errRefused
	}
	return nil
}

func (m *refusingMeter) Float64Histogram(string, ...metric.Float64HistogramOption) (metric.Float64Histogram, error) {
	return metricnoop.Float64Histogram{}, m.next()
}

func (m *refusingMeter) Int64ObservableCounter(string, ...metric.Int64ObservableCounterOption) (metric.Int64ObservableCounter, error) {
	return metricnoop.Int64ObservableCounter{}, m.next()
}

func (m *refusingMeter) Int64ObservableUpDownCounter(string, ...metric.Int64ObservableUpDownCounterOption) (metric.Int64ObservableUpDownCounter, error) {
	return metricnoop.Int64ObservableUpDownCounter{}, m.next()
}

func (m *refusingMeter) RegisterCallback(metric.Callback, ...metric.Observable) (metric.Registration, error) {
	return refusingRegistration{}, m.next()
}

type refusingRegistration struct{ metricnoop.Registration }

func (refusingRegistration) Unregister() error { return errRefused }

// The executor is that of antflow.New, with all its options, and the slice of
// options stays as it is.
func TestOptionsAreAntflows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		opts := make([]antflow.Option, 0, 8)
		opts = append(opts, antflow.ExecutorName("x"), antflow.WithTaskOptions(antflow.TaskName("n")))
		for range 2 {
			e := r.NewExecutor(3, opts...)
			if e.MaxWorkers() != 3 {
				t.Errorf("%d workers", e.MaxWorkers())
			}
			e.Go(t.Context(), sleep(0, nil))
			e.Close()
		}
		r.wantMetrics("task.completed", "task.completed{executor.name=x outcome=succeeded task.name=n} 2")
		if len(r.spans.Ended()) != 2 {
			t.Errorf("%d spans", len(r.spans.Ended()))
		}
	})
}

// A tracer of the user's works within the spans.
func TestWithinTheSpans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		e := r.NewExecutor(1, antflow.WithTracer(childTracer{r.tracer}))
		e.Go(t.Context(), sleep(0, nil), antflow.TaskName("n"))
		e.Close()
		r.wantSpans("", "inner < n", "n")
	})
}

// childTracer makes a span for each attempt.
type childTracer struct{ tracer trace.Tracer }

func (c childTracer) AttemptStart(ctx context.Context, a antflow.AttemptStart) context.Context {
	ctx, _ = c.tracer.Start(ctx, "inner")
	return ctx
}
func (c childTracer) AttemptEnd(ctx context.Context, _ antflow.AttemptEnd) {
	trace.SpanFromContext(ctx).End()
}
func (c childTracer) TaskEnd(context.Context, antflow.TaskEnd) {}

// Without an SDK nothing is reported, and tasks run as ever. One that is set
// later is heard of.
//
// The global providers can be set once, so that is done in a process of its own.
func TestGlobalProviders(t *testing.T) {
	const child = "OTELANTFLOW_TEST_GLOBALS"
	if os.Getenv(child) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestGlobalProviders$", "-test.v", "-test.count=1")
		cmd.Env = append(os.Environ(), child+"=1")
		out, err := cmd.CombinedOutput()
		if err != nil || !bytes.Contains(out, []byte("--- PASS: TestGlobalProviders")) {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	noLeak(t)
	tel, err := otelantflow.New()
	if err != nil {
		t.Fatal(err)
	}
	defer tel.Close()
	e := tel.NewExecutor(1)
	run := func() {
		if err := antflow.ForEach(t.Context(), e, slices.Values([]int{1, 2}), func(context.Context, int) error { return nil },
			antflow.TaskName("n")); err != nil {
			t.Fatal(err)
		}
	}
	run()
	r := &rig{t: t, reader: sdkmetric.NewManualReader(), spans: tracetest.NewSpanRecorder()}
	otel.SetMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(r.reader)))
	otel.SetTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(r.spans)))
	run()
	e.Close()
	r.wantMetrics("task.completed", "task.completed{outcome=succeeded task.name=n} 4") // which the executor knows
	r.wantSpans("", "n", "n")
}

// A tracer that panics does no harm to tasks, and none to the spans around them.
func TestATracerThatPanics(t *testing.T) {
	var logged bytes.Buffer
	log.SetOutput(&logged)
	defer log.SetOutput(os.Stderr)
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		tel, err := otelantflow.New(otelantflow.WithMeterProvider(r.meters), otelantflow.WithTracerProvider(panickingProvider{tracer: r.tracer}))
		if err != nil {
			t.Fatal(err)
		}
		e, other := tel.NewExecutor(1), tel.NewExecutor(1)
		ctx, request := r.tracer.Start(t.Context(), "request")
		var attempts atomic.Int32
		inner := func(ctx context.Context) error {
			attempts.Add(1)
			if info, _ := antflow.TaskFrom(ctx); info.Attempt == 1 {
				return errFlaky
			}
			return nil
		}
		opts := antflow.JoinOptions(antflow.TaskName("inner"), antflow.Retries(1))
		e.Go(ctx, func(ctx context.Context) error {
			for _, e := range []*antflow.Executor{e, other} {
				if _, err := e.Go(ctx, inner, opts).Result(ctx); err != nil {
					t.Error(err)
				}
				synctest.Wait()
			}
			if n := len(r.spans.Ended()); n != 0 {
				t.Errorf("%d of the spans around the tasks are ended", n)
			}
			return nil
		}, antflow.TaskName("outer"))
		f := e.Go(ctx, inner, opts)
		e.Close()
		other.Close()
		if f.Err() != nil || attempts.Load() != 6 {
			t.Errorf("%d attempts: %v", attempts.Load(), f.Err())
		}
		request.End()
		r.wantSpans("", "outer ~ request", "request")
	})
	if n := strings.Count(logged.String(), "panicked: no spans today"); n != 2 {
		t.Errorf("the panic of two executors was logged %d times:\n%s", n, &logged)
	}
}

type panickingProvider struct {
	tracenoop.TracerProvider
	tracer trace.Tracer
}

func (p panickingProvider) Tracer(string, ...trace.TracerOption) trace.Tracer {
	return panickingTracer{tracer: p.tracer}
}

type panickingTracer struct {
	tracenoop.Tracer
	tracer trace.Tracer
}

func (p panickingTracer) Start(ctx context.Context, name string, opts ...trace.SpanStartOption) (context.Context, trace.Span) {
	if strings.HasPrefix(name, "inner") {
		panic("no spans today")
	}
	return p.tracer.Start(ctx, name, opts...)
}

// An error whose methods panic leaves no span open, and is measured.
func TestAnErrorThatPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		e := r.NewExecutor(1)
		e.Go(t.Context(), sleep(0, badError{}), antflow.TaskName("n"), antflow.Retries(1))
		e.Close()
		const exception = " (exception exception.message=otelantflow_test.badError exception.type=otelantflow_test.badError)"
		r.wantSpans("",
			"n retry < n Error: otelantflow_test.badError"+exception,
			"n Error: *antflow.RetryError"+exception+" (retry error.type=otelantflow_test.badError retry.delay=0.1 task.attempt=1)"+exception)
		r.wantMetrics("task.duration", "task.duration{error.type=otelantflow_test.badError task.name=n} 2×, 0s")
	})
}

type badError struct{}

func (badError) Error() string { panic("no text") }

// Exporters refuse what is not UTF-8.
func TestTextsAreUTF8(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		e := r.NewExecutor(1, antflow.ExecutorName("x\xff"))
		e.Go(t.Context(), sleep(0, errors.New("e\xff")), antflow.TaskName("n\xff"), antflow.Retries(1))
		e.Close()
		const exception = " (exception exception.message=e\uFFFD exception.type=*errors.errorString)"
		r.wantSpans("executor.name task.name error.type",
			"n\uFFFD retry < n\uFFFD [error.type=e\uFFFD executor.name=x\uFFFD task.name=n\uFFFD] Error: e\uFFFD"+exception,
			"n\uFFFD [error.type=e\uFFFD executor.name=x\uFFFD task.name=n\uFFFD] Error: antflow: failed after 2 attempts: e\uFFFD"+
				exception+" (retry error.type=e\uFFFD retry.delay=0.1 task.attempt=1)"+exception)
		r.wantMetrics("task.completed task.duration",
			"task.completed{error.type=e\uFFFD executor.name=x\uFFFD outcome=failed task.name=n\uFFFD} 1",
			"task.duration{error.type=e\uFFFD executor.name=x\uFFFD task.name=n\uFFFD} 2×, 0s")
	})
}

// What goes with a measurement is made once. Beyond what observation costs there
// are the contexts of the span, and little else.
func TestATaskAllocatesLittle(t *testing.T) {
	allocs := func(e *antflow.Executor) float64 {
		defer e.Close()
		fn := func(context.Context) error { return nil }
		return testing.AllocsPerRun(1000, func() { e.Go(t.Context(), fn, antflow.TaskName("n")).Result(t.Context()) })
	}
	observed := antflow.New(1)
	defer observed.Measure()()
	base := allocs(observed)
	reader := sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader()))
	tel, err := otelantflow.New(otelantflow.WithMeterProvider(reader), otelantflow.WithTracerProvider(tracenoop.NewTracerProvider()))
	if err != nil {
		t.Fatal(err)
	}
	if with := allocs(tel.NewExecutor(1)); with > base+6 {
		t.Errorf("%v allocations, %v without telemetry", with, base)
	} else {
		t.Logf("%v allocations, %v without telemetry", with, base)
	}
}
