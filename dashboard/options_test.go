package dashboard_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/dashboard"
	"github.com/antflow/antflow/pipeline"
)

func TestMisuse(t *testing.T) {
	e := dashboard.Executor(antflow.New(1))
	for want, fn := range map[string]func(){
		"antflow: dashboard: Handler: there is nothing to show; give it an Executor, a Pipeline or a Cluster": func() { dashboard.Handler(dashboard.Title("x")) },
		"antflow: dashboard: Handler: nil Option at index 1":                                                  func() { dashboard.Handler(e, nil) },
		"antflow: dashboard: Executor(nil): the executor must not be nil":                                     func() { dashboard.Executor(nil) },
		`antflow: dashboard: Cluster("prod", nil): the function must not be nil`:                              func() { dashboard.Cluster("prod", nil) },
		`antflow: dashboard: Pipeline("etl", nil): the monitor must not be nil`:                               func() { dashboard.Pipeline("etl", nil) },
		"antflow: dashboard: AllowActions(nil): the function must not be nil":                                 func() { dashboard.AllowActions(nil) },
		"antflow: dashboard: FormatInput(nil): the function must not be nil":                                  func() { dashboard.FormatInput(nil) },
		"antflow: dashboard: Hosts: the name at index 1 is empty":                                             func() { dashboard.Hosts("a", "") },
	} {
		mustPanic(t, want, fn)
	}
}

// Sources have names that tell them apart, and that fit on a page.
func TestNamesOfSources(t *testing.T) {
	h := dashboard.Handler(
		dashboard.Executor(antflow.New(1)),
		dashboard.Executor(antflow.New(1, antflow.ExecutorName("crawl"))),
		dashboard.Executor(antflow.New(1, antflow.ExecutorName("crawl"))),
		dashboard.Executor(antflow.New(1)),
		dashboard.Pipeline("crawl", new(pipeline.Monitor)),
		dashboard.Pipeline("", new(pipeline.Monitor)),
		dashboard.Pipeline("executor 4", new(pipeline.Monitor)),
		dashboard.Executor(antflow.New(1, antflow.ExecutorName(strings.Repeat("日", 1000)))),
	)
	var got []string
	for _, s := range getJSON(t, h, "/snapshot.json")["sources"].([]any) {
		got = append(got, values(s, "kind name"))
	}
	want := []string{
		"executor executor 1", "executor crawl", "executor crawl (2)", "executor executor 4", "pipeline crawl (3)",
		"pipeline pipeline 2", "pipeline executor 4 (2)", "executor " + strings.Repeat("日", 41) + "…",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the sources are\n%q, not\n%q", got, want)
	}
}

// Options are values: they may be used for more than one handler.
func TestOptionsAreReusable(t *testing.T) {
	e, title := dashboard.Executor(antflow.New(1)), dashboard.Title(strings.Repeat("title", 100))
	names := []string{"a.example"}
	hosts := dashboard.Hosts(names...)
	names[0] = "b.example"
	one, two := dashboard.Handler(e, title, hosts), dashboard.Handler(e, e, title, hosts)
	if a, b := getJSON(t, one, "/snapshot.json"), getJSON(t, two,
		"/snapshot.json"); len(a["sources"].([]any)) != 1 || len(b["sources"].([]any)) != 2 ||
		a["boot"] == b["boot"] || len(a["title"].(string)) != 128 {
		t.Errorf("%v\n%v", a, b)
	}
	for host, want := range map[string]int{"a.example": http.StatusOK, "b.example": http.StatusForbidden} {
		r := fromLoopback(httptest.NewRequest("GET", "http://"+host+"/metrics", nil))
		if w := do(two, r); w.Code != want {
			t.Errorf("%s: %d", host, w.Code)
		}
	}
}
