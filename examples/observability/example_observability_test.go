package observability_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/dashboard"
	"github.com/antflow/antflow/otelantflow"
	"github.com/antflow/antflow/pipeline"
	"github.com/antflow/antflow/progress"
)

// timeless returns a logger that leaves out the time, which would never be the
// same.
func timeless() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	}))
}

var errRefused = errors.New("connection refused")

// fetch fails for hosts that begin with "down".
func fetch(_ context.Context, host string) (int, error) {
	if strings.HasPrefix(host, "down") {
		return 0, fmt.Errorf("host %q: %w", host, errRefused)
	}
	return len(host), nil
}

func Example_observabilityDashboard() {
	mux := http.NewServeMux()
	e := antflow.New(8, antflow.ExecutorName("crawl"))
	mux.Handle("/debug/antflow/", dashboard.Handler(dashboard.Executor(e)))

	server := httptest.NewServer(mux)
	defer server.Close()
	res, err := http.Get(server.URL + "/debug/antflow/")
	if err != nil {
		log.Fatal(err)
	}
	defer res.Body.Close()
	fmt.Println(res.Status)
	// Output: 200 OK
}

func Example_observabilityStatus() {
	ctx := context.Background()
	e := antflow.New(8)
	e.Measure()
	f := e.Go(ctx, func(ctx context.Context) error {
		for page := range 3 {
			antflow.SetStatus(ctx, fmt.Sprintf("page %d of 3", page+1))
		}
		for _, t := range e.Snapshot().Tasks {
			fmt.Println(t.Task.Name, t.Status)
		}
		return nil
	}, antflow.TaskName("scan"))
	f.Result(ctx)
	// Output: scan page 3 of 3
}

func Example_observabilityEvents() {
	ctx, logger := context.Background(), timeless()
	e := antflow.New(8)
	e.Observe(func(ev antflow.Event) {
		logger.Warn(ev.Kind.String(), "task", ev.Task.Name, "attempt", ev.Task.Attempt, "err", ev.Err)
	}, antflow.EventRetrying, antflow.EventFailed)

	e.Go(ctx, func(context.Context) error { return errRefused },
		antflow.TaskName("fetch"), antflow.Retries(1), antflow.RetryDelay(time.Millisecond))
	e.Close()
	// Output:
	// level=WARN msg=retrying task=fetch attempt=1 err="connection refused"
	// level=WARN msg=failed task=fetch attempt=2 err="antflow: failed after 2 attempts: connection refused"
}

func Example_observabilitySnapshot() {
	ctx := context.Background()
	e := antflow.New(1)
	stop := e.Measure()
	defer stop()

	hosts := []string{"a.example", "down1.example", "b.example", "down2.example"}
	for range antflow.Map(ctx, e, slices.Values(hosts), fetch, antflow.TaskName("fetch")) {
	}

	s := e.Snapshot()
	fmt.Println(s.Succeeded, "of", s.Submitted, "succeeded; p99 known:", s.RunTime.Quantile(0.99) > 0)
	for _, g := range s.Failures {
		fmt.Println(g.Failed, g.Name, "failed:", g.Kind)
		for _, f := range g.Tasks {
			fmt.Println("  task", f.Task.ID, f.Text)
		}
	}
	// Output:
	// 2 of 4 succeeded; p99 known: true
	// 2 fetch failed: connection refused
	//   task 1 host "down1.example": connection refused
	//   task 3 host "down2.example": connection refused
}

func Example_observabilityProgress() {
	ctx := context.Background()
	e := antflow.New(8)
	defer e.Close()
	out := new(strings.Builder)
	hosts := []string{"a.example", "down1.example", "b.example"}

	stop := progress.Show(e, progress.Detailed, progress.Output(out))
	defer stop()
	pages := antflow.Map(ctx, e, slices.Values(hosts), fetch)
	for n, err := range progress.Results(pages, progress.Total(len(hosts)), progress.Output(out)) {
		fmt.Println(n, err)
	}
	// Output:
	// 9 <nil>
	// 0 antflow: item 1: host "down1.example": connection refused
	// 9 <nil>
}

func Example_observabilityPipeline() {
	ctx := context.Background()
	e := antflow.New(8)
	defer e.Close()
	parse := pipeline.Stage("parse", func(_ context.Context, n int) (int, error) { return n, nil })
	var m pipeline.Monitor
	h := dashboard.Handler(dashboard.Executor(e), dashboard.Pipeline("pages", &m))
	for range parse.Run(ctx, e, slices.Values([]int{1, 2, 3}), pipeline.WithMonitor(&m)) {
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for line := range strings.Lines(w.Body.String()) {
		if strings.HasPrefix(line, "antflow_pipeline_results_total") {
			fmt.Print(line)
		}
	}
	// Output: antflow_pipeline_results_total{pipeline="pages"} 3
}

func Example_observabilityOpenTelemetry() {
	tel, err := otelantflow.New() // with the global providers of package otel
	if err != nil {
		log.Fatal(err)
	}
	defer tel.Close()
	e := tel.NewExecutor(8, antflow.ExecutorName("crawl")) // instead of antflow.New
	defer e.Close()
	fmt.Println(e.MaxWorkers())
	// Output: 8
}
