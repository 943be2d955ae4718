package dashboard_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/dashboard"
	"github.com/antflow/antflow/pipeline"
)

// show prints lines of a page that begin in a certain way.
func show(h http.Handler, target, begin string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", target, nil))
	for line := range strings.Lines(w.Body.String()) {
		if strings.HasPrefix(line, begin) {
			fmt.Print(line)
		}
	}
}

// The page is below the path that it is mounted at, here on a free port.
func ExampleHandler() {
	e := antflow.New(8, antflow.ExecutorName("crawl"))
	mux := http.NewServeMux()
	mux.Handle("/debug/antflow/", dashboard.Handler(dashboard.Executor(e)))
	server := httptest.NewServer(mux) // or http.ListenAndServe("localhost:8080", mux)
	defer server.Close()

	res, err := http.Get(server.URL + "/debug/antflow/")
	if err != nil {
		log.Fatal(err)
	}
	defer res.Body.Close()
	fmt.Println(res.Status, res.Header.Get("Content-Type"))
	// Output: 200 OK text/html; charset=utf-8
}

// Prometheus scrapes the metrics below the same path.
func ExampleHandler_metrics() {
	e := antflow.New(8, antflow.ExecutorName("crawl"))
	h := dashboard.Handler(dashboard.Executor(e))

	antflow.MapSlice(context.Background(), e, []int{1, 2, 3}, func(_ context.Context, n int) (int, error) { return n, nil })
	e.Close()

	show(h, "/debug/antflow/metrics", "antflow_tasks_total")
	// Output:
	// antflow_tasks_total{executor="crawl",outcome="succeeded"} 3
	// antflow_tasks_total{executor="crawl",outcome="failed"} 0
	// antflow_tasks_total{executor="crawl",outcome="canceled"} 0
}

func ExampleExecutor() {
	fast, slow := antflow.New(100, antflow.ExecutorName("fast")), antflow.New(4, antflow.ExecutorName("slow"))
	h := dashboard.Handler(dashboard.Executor(fast), dashboard.Executor(slow))

	show(h, "/metrics", "antflow_workers")
	// Output:
	// antflow_workers{executor="fast",state="busy"} 0
	// antflow_workers{executor="fast",state="idle"} 100
	// antflow_workers{executor="slow",state="busy"} 0
	// antflow_workers{executor="slow",state="idle"} 4
}

func ExamplePipeline() {
	double := pipeline.Stage("double", func(_ context.Context, n int) (int, error) { return 2 * n, nil })
	e := antflow.New(4)
	run := double.Start(context.Background(), e)
	h := dashboard.Handler(dashboard.Executor(e), dashboard.Pipeline("numbers", &run.Monitor))

	for n := range 5 {
		run.Feed(context.Background(), n)
	}
	run.Close()

	show(h, "/metrics", "antflow_pipeline_results_total")
	// Output:
	// antflow_pipeline_results_total{pipeline="numbers"} 5
}

// The client of a cluster has an executor with the tasks that it has submitted; how
// all of the cluster is, its Status tells.
func ExampleCluster() {
	status := func(context.Context) (antflow.ClusterStatus, error) { // or client.Status
		return antflow.ClusterStatus{
			Backlog: 1230,
			Limit:   100_000,
			Queues:  []antflow.QueueStatus{{Queue: "images", Waiting: 1200, Taken: 30}},
			Workers: []antflow.WorkerStatus{{Name: "a-1", State: "serving", Queues: []string{"images"}, MaxWorkers: 32, Running: 30}},
		}, nil
	}
	h := dashboard.Handler(dashboard.Executor(antflow.New(4)), dashboard.Cluster("prod", status))

	show(h, "/metrics", "antflow_cluster_backlog")
	show(h, "/metrics", "antflow_cluster_queue_waiting")
	// Output:
	// antflow_cluster_backlog{cluster="prod"} 1230
	// antflow_cluster_backlog_limit{cluster="prod"} 100000
	// antflow_cluster_queue_waiting{cluster="prod",queue="images",priority="normal"} 1200
}

func ExampleTitle() {
	e := antflow.New(4)
	h := dashboard.Handler(dashboard.Executor(e), dashboard.Title("Nightly import"))

	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/snapshot.json", nil))
	fmt.Println(strings.Contains(w.Body.String(), `"title":"Nightly import"`))
	// Output: true
}

// Whoever has logged in as an operator may cancel tasks, resize and drain.
func ExampleAllowActions() {
	operator := func(r *http.Request) bool {
		user, password, ok := r.BasicAuth()
		return ok && user == "operator" && password == "secret" // better: from a session
	}
	e := antflow.New(4)
	h := dashboard.Handler(dashboard.Executor(e), dashboard.AllowActions(operator))

	r := httptest.NewRequest("POST", "/action", strings.NewReader(`{"do": "resize", "workers": 9}`))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	fmt.Print(w.Code, " ", w.Body)

	r = httptest.NewRequest("POST", "/action", strings.NewReader(`{"do": "resize", "workers": 9}`))
	r.Header.Set("Content-Type", "application/json")
	r.SetBasicAuth("operator", "secret")
	h.ServeHTTP(httptest.NewRecorder(), r)
	fmt.Println(e.MaxWorkers(), "workers")
	// Output:
	// 403 antflow: actions are not allowed; see dashboard.AllowActions
	// 9 workers
}

// A reverse proxy on the same machine passes the public name on.
func ExampleHosts() {
	e := antflow.New(4)
	h := dashboard.Handler(dashboard.Executor(e), dashboard.Hosts("ops.example.com"))
	server := httptest.NewServer(h) // on a loopback address
	defer server.Close()

	for _, host := range []string{"ops.example.com", "evil.example.com"} {
		r, err := http.NewRequest("GET", server.URL, nil)
		if err != nil {
			log.Fatal(err)
		}
		r.Host = host
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			log.Fatal(err)
		}
		res.Body.Close()
		fmt.Println(host, res.StatusCode)
	}
	// Output:
	// ops.example.com 200
	// evil.example.com 403
}

// The inputs of failed items are shown, without what is secret in them.
func ExampleFormatInput() {
	type order struct {
		ID     int
		Secret string
	}
	check := pipeline.Stage("check", func(_ context.Context, o order) (order, error) {
		return o, fmt.Errorf("order %d has no items", o.ID)
	})
	run := check.Start(context.Background(), antflow.New(4))
	h := dashboard.Handler(
		dashboard.Pipeline("orders", &run.Monitor),
		dashboard.FormatInput(func(input any) string { return fmt.Sprint("order ", input.(order).ID) }),
	)
	run.Feed(context.Background(), order{7, "…"})
	run.Close()

	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/failures.json", nil))
	fmt.Println(strings.Contains(w.Body.String(), `"input":"order 7"`))
	// Output:
	// true
}
