package otelantflow

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/antflow/antflow"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
)

// scope names what the instruments and the spans are made by.
const scope = "github.com/antflow/antflow/otelantflow"

// A Telemetry makes executors whose tasks are measured and traced. One is
// enough for a program. Make it with [New]; its methods are safe for concurrent
// use.
type Telemetry struct {
	tracer       trace.Tracer
	instruments  *instruments
	registration metric.Registration

	// What metrics tell apart.
	executorNames, taskNames, errorTypes vocabulary

	// mu guards what follows. It is held while executors are asked for their
	// figures, so nothing that they call may need it.
	mu      sync.Mutex
	members []*member
	sweepAt int   // with so many of them they are looked through
	past    tally // of executors that are gone
}

// An Option configures a [Telemetry]; see [New].
type Option interface{ apply(*config) }

type option func(*config)

func (o option) apply(c *config) { o(c) }

type config struct {
	meters  metric.MeterProvider
	tracers trace.TracerProvider
	limit   int
}

// WithMeterProvider sets who makes the instruments. Without it the global
// provider of package otel does, also one that is set later. For no metrics
// give that of go.opentelemetry.io/otel/metric/noop. A nil p panics.
func WithMeterProvider(p metric.MeterProvider) Option {
	must(p != nil, "WithMeterProvider(nil): the provider must not be nil")
	return option(func(c *config) { c.meters = p })
}

// WithTracerProvider sets who makes the spans. Without it the global provider
// of package otel does, also one that is set later. For no spans give that of
// go.opentelemetry.io/otel/trace/noop. A nil p panics.
func WithTracerProvider(p trace.TracerProvider) Option {
	must(p != nil, "WithTracerProvider(nil): the provider must not be nil")
	return option(func(c *config) { c.tracers = p })
}

// WithAttributeLimit sets how many values metrics tell apart of each of
// antflow.executor.name, antflow.task.name and error.type. Those that come
// after the first n are counted together as "_OTHER". The default is 100. An n
// below 1 panics. Spans always have the value itself. An executor counts its tasks
// by 256 names at most, so a larger n only makes a difference to several of them.
func WithAttributeLimit(n int) Option {
	must(n >= 1, "WithAttributeLimit(%d): the limit must be at least 1", n)
	return option(func(c *config) { c.limit = n })
}

// New makes a Telemetry and its instruments. It fails when the meter refuses
// one of them. It does not block. A nil option panics.
func New(opts ...Option) (*Telemetry, error) {
	c := config{limit: 100}
	for i, o := range opts {
		must(o != nil, "New: nil Option at index %d", i)
		o.apply(&c)
	}
	if c.meters == nil {
		c.meters = otel.GetMeterProvider()
	}
	if c.tracers == nil {
		c.tracers = otel.GetTracerProvider()
	}
	t := &Telemetry{
		tracer:        c.tracers.Tracer(scope),
		executorNames: vocabulary{limit: c.limit},
		taskNames:     vocabulary{limit: c.limit},
		errorTypes:    vocabulary{limit: c.limit},
		sweepAt:       64,
		past:          make(tally),
	}
	meter := c.meters.Meter(scope)
	var err error
	if t.instruments, err = newInstruments(meter); err == nil {
		t.registration, err = meter.RegisterCallback(t.observe, t.instruments.observables()...)
	}
	if err != nil {
		return nil, fmt.Errorf("antflow: otelantflow: %w", err)
	}
	return t, nil
}

// NewExecutor is [antflow.New] with telemetry; it panics where that does. A
// [antflow.WithTracer] among the options is called within the spans. It does
// not block, and there is nothing to be undone: an executor that nobody has any
// more is collected, also with t still there, and what it did stays counted.
func (t *Telemetry) NewExecutor(maxWorkers int, opts ...antflow.Option) *antflow.Executor {
	must(t != nil, "Telemetry.NewExecutor: the telemetry is nil")
	for i, o := range opts {
		must(o != nil, "Telemetry.NewExecutor: nil Option at index %d", i)
	}
	h := &hooks{t: t, m: new(member), labels: make(map[string]*labels)}
	e := antflow.New(maxWorkers, slices.Insert(slices.Clone(opts), 0, antflow.WithTracer(h))...)
	h.executor = valid(e.Snapshot().Executor)
	h.word = t.executorNames.word(h.executor)
	h.m.join(e, h.word)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.members = append(t.members, h.m)
	if len(t.members) >= t.sweepAt { // without an SDK, nobody collects
		t.sumLocked()
		t.sweepAt = 2*len(t.members) + 64
	}
	return e
}

// Close takes the observable instruments off the meter: the counters, the
// queues and the workers are no longer reported. Executors go on, with their
// spans and durations. It is for a meter provider that outlives the Telemetry,
// and should come after the last collection that matters; a program that shuts
// its provider down needs no Close. It waits for a collection that is under
// way. Further calls do nothing.
func (t *Telemetry) Close() error {
	must(t != nil, "Telemetry.Close: the telemetry is nil")
	if err := t.registration.Unregister(); err != nil {
		return fmt.Errorf("antflow: otelantflow: %w", err)
	}
	return nil
}

// observe is called at each collection.
func (t *Telemetry) observe(_ context.Context, to metric.Observer) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	counts, loads := t.sumLocked()
	t.instruments.report(to, counts, loads)
	return nil
}

// sumLocked returns the figures of all executors, the loads by executor name. It lets
// go of those that have nothing to do.
func (t *Telemetry) sumLocked() (tally, map[string]load) {
	counts, loads := maps.Clone(t.past), make(map[string]load)
	t.members = slices.DeleteFunc(t.members, func(m *member) bool {
		s, closed, there := m.snapshot()
		if !there {
			t.past.add(m.counted)
			counts.add(m.counted)
			return true
		}
		m.counted = t.count(m.name, s)
		counts.add(m.counted)
		if !closed || unfinished(s) {
			loads[m.name] = loads[m.name].plus(s)
		}
		return false
	})
	return counts, loads
}

// must panics with the package's prefix when the caller broke a rule of the
// API; the message names the value.
func must(ok bool, format string, args ...any) {
	if !ok {
		panic("antflow: otelantflow: " + fmt.Sprintf(format, args...))
	}
}
