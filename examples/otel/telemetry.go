package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/antflow/antflow/otelantflow"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

// telemetry is the SDK of this program. A service would have promhttp serve the
// registry, and send its spans away; here both are printed at the end.
type telemetry struct {
	*otelantflow.Telemetry
	tracer   trace.Tracer
	registry *prometheus.Registry
	spans    *tracetest.InMemoryExporter
	shutdown func(context.Context) error
}

func newTelemetry() (*telemetry, error) {
	registry := prometheus.NewRegistry()
	exporter, err := otelprometheus.New(
		otelprometheus.WithRegisterer(registry),
		otelprometheus.WithoutScopeInfo(),
		otelprometheus.WithoutTargetInfo(),
	)
	if err != nil {
		return nil, err
	}
	spans := tracetest.NewInMemoryExporter()
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(exporter))
	tracers := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
	tel, err := otelantflow.New(otelantflow.WithMeterProvider(meters), otelantflow.WithTracerProvider(tracers))
	if err != nil {
		return nil, err
	}
	return &telemetry{
		Telemetry: tel,
		tracer:    tracers.Tracer("links"),
		registry:  registry,
		spans:     spans,
		shutdown: func(ctx context.Context) error {
			return errors.Join(tracers.Shutdown(ctx), meters.Shutdown(ctx))
		},
	}, nil
}

// report prints what there is.
func (t *telemetry) report(out io.Writer) error {
	families, err := t.registry.Gather()
	if err != nil {
		return err
	}
	fmt.Fprintln(out)
	for _, f := range families {
		var text bytes.Buffer
		if _, err := expfmt.MetricFamilyToText(&text, f); err != nil {
			return err
		}
		for line := range strings.Lines(text.String()) {
			if !strings.HasPrefix(line, "#") && !strings.Contains(line, "_bucket{") {
				fmt.Fprint(out, line)
			}
		}
	}
	fmt.Fprintln(out)
	t.printWorst(out)
	return nil
}

// printWorst prints the spans of the task with the most attempts.
func (t *telemetry) printWorst(out io.Writer) {
	spans := t.spans.GetSpans()
	slices.SortStableFunc(spans, func(a, b tracetest.SpanStub) int { return a.StartTime.Compare(b.StartTime) })
	children := make(map[trace.SpanID][]tracetest.SpanStub)
	for _, s := range spans {
		children[s.Parent.SpanID()] = append(children[s.Parent.SpanID()], s)
	}
	worst := slices.MaxFunc(spans, func(a, b tracetest.SpanStub) int { return cmp.Compare(attempts(a), attempts(b)) })
	var printTree func(s tracetest.SpanStub, indent string)
	printTree = func(s tracetest.SpanStub, indent string) {
		fmt.Fprintf(out, "%s%s, %v\n", indent, s.Name, s.EndTime.Sub(s.StartTime).Round(100*time.Microsecond))
		for _, e := range s.Events {
			fmt.Fprintf(out, "%s  after %v: %s", indent, e.Time.Sub(s.StartTime).Round(100*time.Microsecond), e.Name)
			for _, kv := range e.Attributes {
				fmt.Fprintf(out, " %s=%q", kv.Key, kv.Value.String())
			}
			fmt.Fprintln(out)
		}
		for _, c := range children[s.SpanContext.SpanID()] {
			printTree(c, indent+"    ")
		}
	}
	printTree(worst, "")
}

func attempts(s tracetest.SpanStub) int64 {
	for _, kv := range s.Attributes {
		if kv.Key == "antflow.task.attempts" {
			return kv.Value.AsInt64()
		}
	}
	return 0
}
