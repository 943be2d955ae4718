package otelantflow_test

import (
	"context"
	"testing"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/otelantflow"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
)

// BenchmarkTask is an empty task, submitted and waited for in a group: without
// telemetry, with providers that do nothing, and with an SDK that measures, and
// that makes spans of no task or of every one, to be dropped.
func BenchmarkTask(b *testing.B) {
	meters := func() otelantflow.Option {
		return otelantflow.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader())))
	}
	tracers := func(s sdktrace.Sampler) otelantflow.Option {
		return otelantflow.WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSampler(s), sdktrace.WithSpanProcessor(dropping{})))
	}
	noMeters := otelantflow.WithMeterProvider(metricnoop.NewMeterProvider())
	noTracers := otelantflow.WithTracerProvider(tracenoop.NewTracerProvider())
	for _, c := range []struct {
		name string
		opts []otelantflow.Option
	}{
		{"noop", []otelantflow.Option{noMeters, noTracers}},
		{"metrics", []otelantflow.Option{meters(), noTracers}},
		{"unsampled", []otelantflow.Option{meters(), tracers(sdktrace.NeverSample())}},
		{"sampled", []otelantflow.Option{meters(), tracers(sdktrace.AlwaysSample())}},
	} {
		b.Run(c.name, func(b *testing.B) {
			tel, err := otelantflow.New(c.opts...)
			if err != nil {
				b.Fatal(err)
			}
			benchmark(b, tel.NewExecutor(4))
		})
	}
	b.Run("none", func(b *testing.B) { benchmark(b, antflow.New(4)) })
	b.Run("measured", func(b *testing.B) {
		e := antflow.New(4)
		defer e.Measure()()
		benchmark(b, e)
	})
}

// dropping drops all spans.
type dropping struct{}

func (dropping) OnStart(context.Context, sdktrace.ReadWriteSpan) {}
func (dropping) OnEnd(sdktrace.ReadOnlySpan)                     {}
func (dropping) Shutdown(context.Context) error                  { return nil }
func (dropping) ForceFlush(context.Context) error                { return nil }

func benchmark(b *testing.B, e *antflow.Executor) {
	b.ReportAllocs()
	g := antflow.NewGroup(context.Background(), e, antflow.TaskName("n"))
	for b.Loop() {
		g.Go(func(context.Context) error { return nil })
	}
	if err := g.Wait(); err != nil {
		b.Fatal(err)
	}
	e.Close()
}
