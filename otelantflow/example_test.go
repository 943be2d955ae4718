package otelantflow_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"slices"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/otelantflow"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

func Example() {
	ctx := context.Background()
	spans := tracetest.NewInMemoryExporter() // where a program has one that sends them
	tracers := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))

	tel, err := otelantflow.New(otelantflow.WithTracerProvider(tracers))
	if err != nil {
		log.Fatal(err)
	}
	e := tel.NewExecutor(4, antflow.ExecutorName("mail"))
	ctx, request := tracers.Tracer("shop").Start(ctx, "request")
	antflow.ForEach(ctx, e, slices.Values([]string{"ann@example.org"}), func(ctx context.Context, to string) error {
		_, span := tracers.Tracer("shop").Start(ctx, "SMTP") // of the task, as ctx says
		span.End()
		return nil
	}, antflow.TaskName("send"))
	e.Close()
	request.End()

	for _, s := range spans.GetSpans() {
		fmt.Println(s.Name, s.ChildSpanCount)
	}
	// Output:
	// SMTP 0
	// send 1
	// request 1
}

func ExampleNew() {
	tel, err := otelantflow.New() // for what otel.SetMeterProvider and otel.SetTracerProvider say
	if err != nil {
		log.Fatal(err)
	}
	e := tel.NewExecutor(4)
	defer e.Close()
	_, err = e.Go(context.Background(), func(context.Context) error { return nil }).Result(context.Background())
	fmt.Println(err)
	// Output: <nil>
}

func ExampleTelemetry_NewExecutor() {
	reader := sdkmetric.NewManualReader()
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	tel, err := otelantflow.New(otelantflow.WithMeterProvider(meters))
	if err != nil {
		log.Fatal(err)
	}
	fails := func(context.Context) error { return errors.New("no such user") }
	for range 2 { // of one name, they are one to metrics
		e := tel.NewExecutor(1, antflow.ExecutorName("mail"))
		e.Go(context.Background(), fails, antflow.TaskName("send"))
		e.Close()
	}
	printCounter(reader, "antflow.task.completed")
	// Output: 2 of antflow.executor.name=mail,antflow.outcome=failed,antflow.task.name=send,error.type=no such user
}

func ExampleTelemetry_Close() {
	reader := sdkmetric.NewManualReader()
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	tel, err := otelantflow.New(otelantflow.WithMeterProvider(meters))
	if err != nil {
		log.Fatal(err)
	}
	tel.NewExecutor(1, antflow.ExecutorName("mail")).Close()
	printCounter(reader, "antflow.task.rejected")
	if err := tel.Close(); err != nil {
		log.Fatal(err)
	}
	printCounter(reader, "antflow.task.rejected")
	// Output:
	// 0 of antflow.executor.name=mail
	// antflow.task.rejected is not there
}

func ExampleWithMeterProvider() {
	// Spans alone, and no metrics.
	tel, err := otelantflow.New(otelantflow.WithMeterProvider(noop.NewMeterProvider()))
	fmt.Println(tel != nil, err)
	// Output: true <nil>
}

func ExampleWithTracerProvider() {
	spans := tracetest.NewSpanRecorder()
	tracers := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	tel, err := otelantflow.New(otelantflow.WithTracerProvider(tracers))
	if err != nil {
		log.Fatal(err)
	}
	e := tel.NewExecutor(1)
	e.Go(context.Background(), func(context.Context) error { return nil }, antflow.TaskName("send"))
	e.Close()
	fmt.Println(spans.Ended()[0].Name())
	// Output: send
}

func ExampleWithAttributeLimit() {
	reader := sdkmetric.NewManualReader()
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	tel, err := otelantflow.New(otelantflow.WithMeterProvider(meters), otelantflow.WithAttributeLimit(1))
	if err != nil {
		log.Fatal(err)
	}
	e := tel.NewExecutor(1)
	for _, name := range []string{"send", "to ann", "to bob"} {
		e.Go(context.Background(), func(context.Context) error { return nil }, antflow.TaskName(name))
	}
	e.Close()
	printCounter(reader, "antflow.task.completed")
	// Unordered output:
	// 1 of antflow.outcome=succeeded,antflow.task.name=send
	// 2 of antflow.outcome=succeeded,antflow.task.name=_OTHER
}

func printCounter(reader sdkmetric.Reader, name string) {
	var data metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &data); err != nil {
		log.Fatal(err)
	}
	found := false
	for _, s := range data.ScopeMetrics {
		for _, m := range s.Metrics {
			if sum, ok := m.Data.(metricdata.Sum[int64]); ok && m.Name == name {
				found = true
				for _, p := range sum.DataPoints {
					fmt.Println(p.Value, "of", p.Attributes.Encoded(attribute.DefaultEncoder()))
				}
			}
		}
	}
	if !found {
		fmt.Println(name, "is not there")
	}
}
