package otelantflow_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/otelantflow"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

var errFlaky = errors.New("flaky")

// sleep is a task that takes a time, and fails after it if err says so.
func sleep(d time.Duration, err error) func(context.Context) error {
	return func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(d):
			return err
		}
	}
}

// Names, units and descriptions are what dashboards and alerts are made of: all
// there is, as the package's documentation says.
func TestMetricsAreThoseOfTheDocumentation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		e := r.NewExecutor(1)
		limit := antflow.WithRateLimit(&slowLimiter{time.Second})
		e.Go(t.Context(), sleep(time.Second, errFlaky), antflow.Retries(1), limit)
		e.Close()
		want := map[string]string{
			"antflow.task.duration":           "s histogram",
			"antflow.task.queue.duration":     "s histogram",
			"antflow.ratelimit.wait.duration": "s histogram",
			"antflow.task.completed":          "{task} counter",
			"antflow.task.retries":            "{retry} counter",
			"antflow.task.rejected":           "{task} counter",
			"antflow.queue.size":              "{task} up-down counter",
			"antflow.queue.capacity":          "{task} up-down counter",
			"antflow.worker.count":            "{worker} up-down counter",
		}
		e2 := r.NewExecutor(1, antflow.QueueLimit(1))
		for name, m := range r.collect() {
			kind := "?"
			switch data := m.Data.(type) {
			case metricdata.Histogram[float64]:
				kind = "histogram"
				bounds := []float64{.005, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10, 60, 300}
				if got := data.DataPoints[0].Bounds; !slices.Equal(got, bounds) {
					t.Errorf("%s has the buckets %v", name, got)
				}
			case metricdata.Sum[int64]:
				kind = "up-down counter"
				if data.IsMonotonic {
					kind = "counter"
				}
			}
			if got := m.Unit + " " + kind; got != want[name] {
				t.Errorf("%s is %q and should be %q", name, got, want[name])
			}
			if !strings.HasSuffix(m.Description, ".") {
				t.Errorf("%s is described as %q", name, m.Description)
			}
			delete(want, name)
		}
		if len(want) > 0 {
			t.Errorf("missing: %v", want)
		}
		e2.Close()
	})
}

// slowLimiter lets the first one pass after a time, and each further one after
// ten times that of the one before.
type slowLimiter struct{ d time.Duration }

func (l *slowLimiter) Wait(ctx context.Context) error {
	defer func() { l.d *= 10 }()
	return sleep(l.d, nil)(ctx)
}

// The times are those of the executor, of fake time exact, and each attempt is
// one measurement.
func TestTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		e := r.NewExecutor(1, antflow.ExecutorName("x"))
		name := antflow.TaskName("n")
		tries := 0
		e.Go(t.Context(), func(ctx context.Context) error {
			tries++
			return sleep(time.Duration(tries)*time.Second, map[bool]error{true: errFlaky}[tries == 1])(ctx)
		}, name, antflow.Retries(1), antflow.RetryDelay(time.Minute))
		e.Go(t.Context(), sleep(4*time.Second, nil), name)
		e.Go(t.Context(), sleep(0, nil), antflow.TaskName("limited"), antflow.WithRateLimit(&slowLimiter{20 * time.Second}))
		e.Close()
		r.wantMetrics("task.duration task.queue.duration ratelimit.wait.duration",
			"ratelimit.wait.duration{executor.name=x task.name=limited} 1×, 20s",
			"task.duration{error.type=flaky executor.name=x task.name=n} 1×, 1s",
			"task.duration{executor.name=x task.name=limited} 1×, 0s",
			"task.duration{executor.name=x task.name=n} 2×, 6s",
			"task.queue.duration{executor.name=x task.name=limited} 1×, 25s", // for the worker, too
			"task.queue.duration{executor.name=x task.name=n} 2×, 1s",        // the second one behind the first
		)
	})
}

// Every task that was accepted is completed once, also one that never started;
// and whatever its error is wrapped in, its type is that of the attempt.
func TestCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		e := r.NewExecutor(1, antflow.ExecutorName("x"), antflow.QueueLimit(4))
		ctx, cancel := context.WithCancel(t.Context())
		e.Go(t.Context(), sleep(time.Minute, nil), antflow.TaskName("long"))
		synctest.Wait()
		e.Go(t.Context(), sleep(0, errFlaky), antflow.TaskName("bad"), antflow.Retries(2), antflow.RetryDelay(0))
		e.Go(t.Context(), func(context.Context) error { panic("pan 7") }, antflow.TaskName("bad"))
		e.Go(ctx, sleep(0, nil), antflow.TaskName("canceled"))
		e.Go(t.Context(), sleep(0, nil), antflow.TaskName("late"), antflow.QueueTimeout(time.Second))
		e.Go(t.Context(), sleep(0, nil), antflow.TaskName("refused"), antflow.NonBlocking())
		cancel()
		e.Close()
		e.Go(t.Context(), sleep(0, nil), antflow.TaskName("refused"))
		r.wantMetrics("task.completed task.retries task.rejected",
			"task.completed{error.type=flaky executor.name=x outcome=failed task.name=bad} 1",
			"task.completed{error.type=panic: pan # executor.name=x outcome=failed task.name=bad} 1",
			"task.completed{error.type=the queue timeout passed before the task started executor.name=x outcome=failed task.name=late} 1",
			"task.completed{executor.name=x outcome=canceled task.name=canceled} 1",
			"task.completed{executor.name=x outcome=succeeded task.name=long} 1",
			"task.rejected{executor.name=x} 2",
			"task.retries{error.type=flaky executor.name=x task.name=bad} 2",
		)
		r.wantMetrics("task.queue.duration",
			"task.queue.duration{executor.name=x task.name=bad} 2×, 2m0s",
			"task.queue.duration{executor.name=x task.name=long} 1×, 0s",
		)
	})
}

// Queue and workers are those of the moment, and end with the executor.
func TestLevels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		e := r.NewExecutor(3, antflow.ExecutorName("x"))
		levels := "queue.size worker.count"
		r.wantMetrics(levels, "queue.size{executor.name=x} 0",
			"worker.count{executor.name=x worker.state=busy} 0", "worker.count{executor.name=x worker.state=idle} 3")
		e.Go(t.Context(), sleep(0, errFlaky), antflow.Retries(1), antflow.RetryDelay(30*time.Second)) // waits
		synctest.Wait()
		for range 2 {
			e.Go(t.Context(), sleep(time.Minute, nil))
		}
		synctest.Wait()
		r.wantMetrics(levels, "queue.size{executor.name=x} 1",
			"worker.count{executor.name=x worker.state=busy} 2", "worker.count{executor.name=x worker.state=idle} 1")
		for range 3 {
			e.Go(t.Context(), sleep(time.Minute, nil))
		}
		e.Resize(1) // three run on
		synctest.Wait()
		r.wantMetrics(levels, "queue.size{executor.name=x} 3",
			"worker.count{executor.name=x worker.state=busy} 3", "worker.count{executor.name=x worker.state=idle} 0")
		e.Shutdown(t.Context(), antflow.NoWait())
		time.Sleep(61 * time.Second)
		r.wantMetrics(levels, "queue.size{executor.name=x} 1",
			"worker.count{executor.name=x worker.state=busy} 1", "worker.count{executor.name=x worker.state=idle} 0")
		e.Close()
		r.wantMetrics(levels)
		r.wantMetrics("task.rejected", "task.rejected{executor.name=x} 0")
	})
}

// The capacity is that of the executors that have one.
func TestCapacity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		limited := r.NewExecutor(1, antflow.ExecutorName("x"), antflow.QueueLimit(7))
		second := r.NewExecutor(1, antflow.ExecutorName("x"), antflow.QueueLimit(3))
		r.NewExecutor(1, antflow.ExecutorName("y"))
		r.wantMetrics("queue.capacity", "queue.capacity{executor.name=x} 10")
		second.Close()
		r.wantMetrics("queue.capacity", "queue.capacity{executor.name=x} 7")
		limited.Close()
		r.wantMetrics("queue.capacity")
	})
}

// A task that waits through its context has lent its worker.
func TestALentWorkerIsNotBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		e := r.NewExecutor(2)
		e.Go(t.Context(), func(ctx context.Context) error {
			_, err := e.Go(ctx, sleep(time.Minute, nil)).Result(ctx)
			return err
		})
		synctest.Wait()
		r.wantMetrics("queue.size worker.count", "queue.size{} 0",
			"worker.count{worker.state=busy} 1", "worker.count{worker.state=idle} 1")
		e.Close()
	})
}

// Executors of one name are one to metrics, also those that are closed; others
// are apart.
func TestSeveralExecutors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		name := antflow.TaskName("n")
		for _, x := range []string{"a", "a", "b", ""} {
			e := r.NewExecutor(2, antflow.ExecutorName(x))
			e.Go(t.Context(), sleep(time.Second, nil), name)
			if x != "b" {
				e.Close()
			} else {
				defer e.Close()
			}
		}
		time.Sleep(time.Minute)
		open := r.NewExecutor(5, antflow.ExecutorName("b"))
		defer open.Close()
		r.wantMetrics("task.completed worker.count task.duration",
			"task.completed{executor.name=a outcome=succeeded task.name=n} 2",
			"task.completed{executor.name=b outcome=succeeded task.name=n} 1",
			"task.completed{outcome=succeeded task.name=n} 1",
			"task.duration{executor.name=a task.name=n} 2×, 2s",
			"task.duration{executor.name=b task.name=n} 1×, 1s",
			"task.duration{task.name=n} 1×, 1s",
			"worker.count{executor.name=b worker.state=busy} 0",
			"worker.count{executor.name=b worker.state=idle} 7",
		)
	})
}

// Names and errors that are made up at run time can't make more and more
// series; what is over the limit is still counted.
func TestSeriesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, otelantflow.WithAttributeLimit(2))
		for x := range 3 {
			e := r.NewExecutor(1, antflow.ExecutorName(fmt.Sprint("x", x)))
			for n := range 4 {
				e.Go(t.Context(), func(context.Context) error {
					if n < 3 {
						return nil
					}
					return fmt.Errorf("of %c", 'A'+x)
				}, antflow.TaskName(fmt.Sprint("n", n)))
			}
			e.Close()
		}
		r.wantMetrics("task.completed task.duration",
			"task.completed{error.type=_OTHER executor.name=_OTHER outcome=failed task.name=_OTHER} 1",
			"task.completed{error.type=of A executor.name=x0 outcome=failed task.name=_OTHER} 1",
			"task.completed{error.type=of B executor.name=x1 outcome=failed task.name=_OTHER} 1",
			"task.completed{executor.name=_OTHER outcome=succeeded task.name=_OTHER} 1",
			"task.completed{executor.name=_OTHER outcome=succeeded task.name=n0} 1",
			"task.completed{executor.name=_OTHER outcome=succeeded task.name=n1} 1",
			"task.completed{executor.name=x0 outcome=succeeded task.name=_OTHER} 1",
			"task.completed{executor.name=x0 outcome=succeeded task.name=n0} 1",
			"task.completed{executor.name=x0 outcome=succeeded task.name=n1} 1",
			"task.completed{executor.name=x1 outcome=succeeded task.name=_OTHER} 1",
			"task.completed{executor.name=x1 outcome=succeeded task.name=n0} 1",
			"task.completed{executor.name=x1 outcome=succeeded task.name=n1} 1",
			"task.duration{error.type=_OTHER executor.name=_OTHER task.name=_OTHER} 1×, 0s",
			"task.duration{error.type=of A executor.name=x0 task.name=_OTHER} 1×, 0s",
			"task.duration{error.type=of B executor.name=x1 task.name=_OTHER} 1×, 0s",
			"task.duration{executor.name=_OTHER task.name=_OTHER} 1×, 0s",
			"task.duration{executor.name=_OTHER task.name=n0} 1×, 0s",
			"task.duration{executor.name=_OTHER task.name=n1} 1×, 0s",
			"task.duration{executor.name=x0 task.name=_OTHER} 1×, 0s",
			"task.duration{executor.name=x0 task.name=n0} 1×, 0s",
			"task.duration{executor.name=x0 task.name=n1} 1×, 0s",
			"task.duration{executor.name=x1 task.name=_OTHER} 1×, 0s",
			"task.duration{executor.name=x1 task.name=n0} 1×, 0s",
			"task.duration{executor.name=x1 task.name=n1} 1×, 0s",
		)
		for _, s := range r.spans.Ended() {
			if strings.Contains(attributes(s.Attributes()), "_OTHER") {
				t.Errorf("a span is bounded: %v", s.Attributes())
			}
		}
	})
}

// An executor bounds its own figures: what it sums up is other here, too.
func TestMoreNamesThanAnExecutorKnows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, otelantflow.WithAttributeLimit(10_000))
		e := r.NewExecutor(1)
		const names = 400
		for n := range names {
			e.Go(t.Context(), sleep(0, errors.New("of "+word(n))), antflow.TaskName(word(n)))
		}
		e.Close()
		sum := 0
		for _, line := range points(r.collect()["antflow.task.completed"]) {
			if strings.Contains(line, "(other)") {
				t.Errorf("%s", line)
			}
			var n int
			if _, err := fmt.Sscan(line[strings.LastIndexByte(line, ' '):], &n); err != nil {
				t.Fatal(err)
			}
			sum += n
		}
		if sum != names {
			t.Errorf("%d of %d tasks are counted", sum, names)
		}
	})
}

// word is a number without digits, which the types of errors leave out.
func word(n int) string { return string([]rune{'a' + rune(n/26), 'a' + rune(n%26)}) }

// A measurement leads to the trace it was made in: that of an attempt to its own
// span. Without a sample there is none.
func TestExemplars(t *testing.T) {
	for _, sampled := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			sampler := sdktrace.NeverSample()
			if sampled {
				sampler = sdktrace.AlwaysSample()
			}
			r := sampledRig(t, sampler)
			e := r.NewExecutor(1)
			tries := 0
			e.Go(t.Context(), func(ctx context.Context) error {
				if tries++; tries == 1 {
					return sleep(2*time.Second, errFlaky)(ctx)
				}
				return sleep(4*time.Second, nil)(ctx)
			}, antflow.TaskName("n"), antflow.Retries(1), antflow.WithRateLimit(&slowLimiter{time.Second}))
			e.Close()
			spans := make(map[trace.SpanID]string)
			for _, s := range r.spans.Ended() {
				spans[s.SpanContext().SpanID()] = s.Name()
			}
			var got []string
			for name, m := range r.collect() {
				if h, ok := m.Data.(metricdata.Histogram[float64]); ok {
					for _, p := range h.DataPoints {
						for _, x := range p.Exemplars {
							got = append(got, fmt.Sprintf("%s %v: %s", short(name), time.Duration(x.Value*1e9), spans[trace.SpanID(x.SpanID)]))
						}
					}
				}
			}
			slices.Sort(got)
			var want []string
			if sampled {
				want = []string{
					"ratelimit.wait.duration 10s: n retry",
					"ratelimit.wait.duration 1s: n",
					"task.duration 2s: n",
					"task.duration 4s: n retry",
					"task.queue.duration 1s: n",
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
			}
		})
	}
}

// A view of the SDK can leave names out, and the counts are summed up.
func TestAViewMayLeaveNamesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reader := sdkmetric.NewManualReader()
		view := sdkmetric.NewView(sdkmetric.Instrument{Name: "antflow.*"},
			sdkmetric.Stream{AttributeFilter: func(kv attribute.KeyValue) bool { return kv.Key != "antflow.task.name" }})
		r := newRig(t, otelantflow.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader), sdkmetric.WithView(view))))
		r.reader = reader
		e := r.NewExecutor(1)
		e.Go(t.Context(), sleep(0, nil), antflow.TaskName("a"))
		e.Go(t.Context(), sleep(0, nil), antflow.TaskName("b"))
		e.Close()
		r.wantMetrics("task.completed task.duration",
			"task.completed{outcome=succeeded} 2", "task.duration{} 2×, 0s")
	})
}
