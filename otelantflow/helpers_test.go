package otelantflow_test

import (
	"context"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/antflow/antflow/otelantflow"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

// A rig is a Telemetry with an SDK that keeps what it is told.
type rig struct {
	*otelantflow.Telemetry
	t      *testing.T
	reader *sdkmetric.ManualReader
	meters *sdkmetric.MeterProvider
	spans  *tracetest.SpanRecorder
	tracer trace.Tracer // of the program around
}

func newRig(t *testing.T, opts ...otelantflow.Option) *rig {
	t.Helper()
	return sampledRig(t, sdktrace.AlwaysSample(), opts...)
}

func sampledRig(t *testing.T, sampler sdktrace.Sampler, opts ...otelantflow.Option) *rig {
	t.Helper()
	r := &rig{t: t, reader: sdkmetric.NewManualReader(), spans: tracetest.NewSpanRecorder()}
	r.meters = sdkmetric.NewMeterProvider(sdkmetric.WithReader(r.reader))
	tracers := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(r.spans), sdktrace.WithSampler(sampler))
	r.tracer = tracers.Tracer("test")
	opts = append([]otelantflow.Option{
		otelantflow.WithMeterProvider(r.meters),
		otelantflow.WithTracerProvider(tracers),
	}, opts...)
	var err error
	if r.Telemetry, err = otelantflow.New(opts...); err != nil {
		t.Fatal(err)
	}
	return r
}

// collect returns all metrics by name.
func (r *rig) collect() map[string]metricdata.Metrics {
	r.t.Helper()
	var data metricdata.ResourceMetrics
	if err := r.reader.Collect(context.Background(), &data); err != nil {
		r.t.Fatal(err)
	}
	found := make(map[string]metricdata.Metrics)
	for _, s := range data.ScopeMetrics {
		if s.Scope.Name != "github.com/antflow/antflow/otelantflow" {
			r.t.Errorf("the scope is %q", s.Scope.Name)
		}
		for _, m := range s.Metrics {
			found[m.Name] = m
		}
	}
	return found
}

// wantMetrics compares what the named metrics say now with the lines, which are
// sorted: a metric, its attributes without "antflow.", and the value, of a
// histogram the number of measurements and their sum.
func (r *rig) wantMetrics(names string, want ...string) {
	r.t.Helper()
	all := r.collect()
	var got []string
	for _, name := range strings.Fields(names) {
		got = append(got, points(all["antflow."+name])...)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		r.t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func points(m metricdata.Metrics) (lines []string) {
	add := func(set attribute.Set, value string) {
		lines = append(lines, fmt.Sprintf("%s{%s} %s", short(m.Name), attributes(set.ToSlice()), value))
	}
	switch data := m.Data.(type) {
	case metricdata.Sum[int64]:
		for _, p := range data.DataPoints {
			add(p.Attributes, fmt.Sprint(p.Value))
		}
	case metricdata.Histogram[float64]:
		for _, p := range data.DataPoints {
			add(p.Attributes, fmt.Sprintf("%d×, %v", p.Count, time.Duration(p.Sum*float64(time.Second)+.5)))
		}
	}
	return lines
}

// attributes is the list in the order of its keys.
func attributes(list []attribute.KeyValue) string {
	text := make([]string, len(list))
	for i, kv := range list {
		text[i] = short(kv.Key) + "=" + kv.Value.String()
	}
	slices.Sort(text)
	return strings.Join(text, " ")
}

func short[S ~string](name S) string { return strings.TrimPrefix(string(name), "antflow.") }

// wantSpans compares the spans that have ended, in the order of their ends,
// with the lines; see describe. The attributes that are named, without
// "antflow.", are part of them.
func (r *rig) wantSpans(named string, want ...string) {
	r.t.Helper()
	ended := r.spans.Ended()
	names := make(map[trace.SpanID]string)
	for _, s := range r.spans.Started() {
		names[s.SpanContext().SpanID()] = s.Name()
	}
	var got []string
	for _, s := range ended {
		got = append(got, describe(s, names, strings.Fields(named)))
	}
	if !slices.Equal(got, want) {
		r.t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
	if started := len(r.spans.Started()); started != len(ended) {
		r.t.Errorf("%d of %d spans have ended", len(ended), started)
	}
}

// describe is "name < parent ~ link [attributes] status: text (events)".
func describe(s sdktrace.ReadOnlySpan, names map[trace.SpanID]string, named []string) string {
	text := s.Name()
	if p := s.Parent(); p.IsValid() {
		text += " < " + names[p.SpanID()]
		if p.TraceID() != s.SpanContext().TraceID() {
			text += " of another trace"
		}
	}
	for _, l := range s.Links() {
		text += " ~ " + names[l.SpanContext.SpanID()]
	}
	var shown []attribute.KeyValue
	for _, kv := range s.Attributes() {
		if slices.Contains(named, short(kv.Key)) {
			shown = append(shown, kv)
		}
	}
	if len(shown) > 0 {
		text += " [" + attributes(shown) + "]"
	}
	if st := s.Status(); st.Code != 0 {
		text += fmt.Sprintf(" %v: %s", st.Code, st.Description)
	}
	for _, e := range s.Events() {
		text += " (" + short(e.Name) + " " + attributes(e.Attributes) + ")"
	}
	return text
}

// span returns the one span of that name.
func (r *rig) span(name string) sdktrace.ReadOnlySpan {
	r.t.Helper()
	var found sdktrace.ReadOnlySpan
	for _, s := range r.spans.Ended() {
		if s.Name() == name {
			if found != nil {
				r.t.Fatalf("there are several spans %q", name)
			}
			found = s
		}
	}
	if found == nil {
		r.t.Fatalf("there is no span %q", name)
	}
	return found
}

func valuesOf(list []attribute.KeyValue) map[attribute.Key]attribute.Value {
	return maps.Collect(func(yield func(attribute.Key, attribute.Value) bool) {
		for _, kv := range list {
			if !yield(kv.Key, kv.Value) {
				return
			}
		}
	})
}

// noLeak checks at the end of the test that no more goroutines run than now.
func noLeak(t *testing.T) {
	t.Helper()
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		// A goroutine that has done its last step still has to exit.
		for end := time.Now().Add(10 * time.Second); time.Now().Before(end); runtime.Gosched() {
			if runtime.NumGoroutine() <= before {
				return
			}
		}
		t.Errorf("%d goroutines, %d before the test", runtime.NumGoroutine(), before)
	})
}

// mustPanic checks the message of a panic.
func mustPanic(t *testing.T, want string, fn func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if got := fmt.Sprint(recover()); got != want {
			t.Errorf("the panic says %q, and should %q", got, want)
		}
	}()
	fn()
}
