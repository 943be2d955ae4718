package otelantflow

import (
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// The keys of attributes.
const (
	keyExecutor = attribute.Key("antflow.executor.name")
	keyTask     = attribute.Key("antflow.task.name")
	keyOutcome  = attribute.Key("antflow.outcome")
	keyError    = attribute.Key("error.type")
	keyWorkers  = attribute.Key("antflow.worker.state")
)

// The values of antflow.outcome.
const (
	succeeded = "succeeded"
	failed    = "failed"
	canceled  = "canceled"
)

// boundaries are those of all histograms, in seconds: from short calls to jobs
// of minutes.
var boundaries = []float64{.005, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10, 60, 300}

// instruments are what a [Telemetry] measures with. The times are recorded as
// they are known, in the context of their span. Counts are not: the executor
// has them anyway, also of tasks that no tracer hears of, so they are read at
// each collection and cost a task nothing.
type instruments struct {
	duration, queueDuration, rateDuration metric.Float64Histogram
	completed, retries, rejected          metric.Int64ObservableCounter
	queueSize, queueCapacity, workers     metric.Int64ObservableUpDownCounter
}

func newInstruments(meter metric.Meter) (*instruments, error) {
	m := maker{meter: meter}
	in := &instruments{
		duration: m.seconds("antflow.task.duration",
			"How long attempts ran."),
		queueDuration: m.seconds("antflow.task.queue.duration",
			"How long tasks waited from their submission to their first start."),
		rateDuration: m.seconds("antflow.ratelimit.wait.duration",
			"How long attempts waited for their rate limit."),
		completed: m.counter("antflow.task.completed", "{task}",
			"Tasks that have settled."),
		retries: m.counter("antflow.task.retries", "{retry}",
			"Attempts that failed and that another one was to follow."),
		rejected: m.counter("antflow.task.rejected", "{task}",
			"Tasks that were never accepted."),
		queueSize: m.level("antflow.queue.size", "{task}",
			"Tasks that wait: for a worker, a permit, a rate limit or their retry."),
		queueCapacity: m.level("antflow.queue.capacity", "{task}",
			"Tasks that may wait for their first start, where that is limited."),
		workers: m.level("antflow.worker.count", "{worker}",
			"Workers, by whether they run a task."),
	}
	return in, m.err
}

// maker makes instruments, and keeps the first error.
type maker struct {
	meter metric.Meter
	err   error
}

func (m *maker) seconds(name, description string) metric.Float64Histogram {
	i, err := m.meter.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(description),
		metric.WithExplicitBucketBoundaries(boundaries...))
	m.keep(err)
	return i
}

func (m *maker) counter(name, unit, description string) metric.Int64ObservableCounter {
	i, err := m.meter.Int64ObservableCounter(name, metric.WithUnit(unit), metric.WithDescription(description))
	m.keep(err)
	return i
}

func (m *maker) level(name, unit, description string) metric.Int64ObservableUpDownCounter {
	i, err := m.meter.Int64ObservableUpDownCounter(name, metric.WithUnit(unit), metric.WithDescription(description))
	m.keep(err)
	return i
}

func (m *maker) keep(err error) {
	if m.err == nil {
		m.err = err
	}
}

// observables are the instruments that [Telemetry.observe] reports.
func (in *instruments) observables() []metric.Observable {
	return []metric.Observable{in.completed, in.retries, in.rejected, in.queueSize, in.queueCapacity, in.workers}
}

// report reports the sums of all executors. Each set of attributes is reported
// once: what became of a second one of the same would be up to the SDK.
func (in *instruments) report(to metric.Observer, counts tally, loads map[string]load) {
	for s, n := range counts {
		to.ObserveInt64(s.of.instrument(in), int64(n), with(s.attributes()...))
	}
	for executor, l := range loads {
		name := named(keyExecutor, executor)
		to.ObserveInt64(in.queueSize, l.queued, with(name...))
		if l.capacity > 0 {
			to.ObserveInt64(in.queueCapacity, l.capacity, with(name...))
		}
		to.ObserveInt64(in.workers, l.busy, with(append(name, keyWorkers.String("busy"))...))
		to.ObserveInt64(in.workers, l.idle, with(append(name, keyWorkers.String("idle"))...))
	}
}

func with(attributes ...attribute.KeyValue) metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(attributes...))
}

// named is the attribute, or none where the value is empty.
func named(key attribute.Key, value string) []attribute.KeyValue {
	if value == "" {
		return nil
	}
	return []attribute.KeyValue{key.String(value)}
}
