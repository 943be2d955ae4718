package dashboard_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/dashboard"
	"github.com/antflow/antflow/pipeline"
)

// A million failures are a few groups, with samples.
func TestFailures(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := antflow.New(4)
		h := dashboard.Handler(dashboard.Executor(e))
		begin := time.Now()
		for i := range 30 {
			antflow.Submit(context.Background(), e, func(context.Context) (int, error) {
				time.Sleep(second)
				return 0, fmt.Errorf("row %d is broken", i)
			}, antflow.TaskName("load"))
		}
		settle(e)
		submit(t, e, 1, func(context.Context) (int, error) { panic("boom") }, antflow.TaskName("save"))
		n := 0
		submit(t, e, 1, func(context.Context) (int, error) {
			if n++; n == 1 {
				return 0, errors.New("flaky")
			}
			return 0, nil
		}, antflow.TaskName("flaky"), antflow.Retries(1))
		list := getJSON(t, h, "/failures.json")
		sameKeys(t, "list", list, "failed groups")
		if list["failed"] != 31.0 || len(list["groups"].([]any)) != 3 {
			t.Errorf("%v", list)
		}
		g := at(list, "groups", 0)
		sameKeys(t, "group", g, "key name kind failed retried first last text tasks")
		ms := float64(begin.UnixMilli())
		if values(g, "name kind failed retried") != "load row # is broken 30 0" || at(g, "first") != ms+1000 ||
			at(g, "last") != ms+8000 {
			t.Errorf("%v", g)
		}
		if tasks := at(g, "tasks").([]any); len(tasks) != 10 || at(g, "text") != at(tasks, 9, "text") {
			t.Errorf("%v", g)
		}
		sameKeys(t, "task", at(g, "tasks", 0), "id attempt priority time ran text")
		if at(g, "tasks", 9, "ran") != 1000.0 || at(g, "tasks", 9, "time") != ms+8000 {
			t.Errorf("%v", at(g, "tasks", 9))
		}
		g = at(list, "groups", 1)
		sameKeys(t, "panic", g, "key name kind failed retried first last text stack tasks")
		if at(g, "kind") != "panic: boom" || !strings.Contains(at(g, "stack").(string), "failures_test.go") {
			t.Errorf("%v", g)
		}
		if g = at(list, "groups", 2); values(g, "name failed retried") != "flaky 0 1" {
			t.Errorf("%v", g)
		}
		if key := at(list, "groups", 0, "key"); key == "" || key == at(list, "groups", 1, "key") {
			t.Errorf("key %v", key)
		}
	})
}

// The failures of a pipeline name its stages. Inputs are shown if that is asked
// for.
func TestFailuresOfPipelines(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := antflow.New(4)
		m := new(pipeline.Monitor)
		plain := dashboard.Handler(dashboard.Pipeline("etl", m))
		format := dashboard.Handler(dashboard.Pipeline("etl", m), dashboard.FormatInput(func(in any) string {
			if in == "c" {
				panic("no c")
			}
			return fmt.Sprint("input ", in, strings.Repeat(".", 5000))
		}))
		p := pipeline.Then(
			pipeline.Stage("fetch", func(_ context.Context, x string) (string, error) {
				time.Sleep(second)
				return x,
					nil
			}),
			pipeline.Stage("parse", func(_ context.Context, x string) (string, error) {
				if x == "c" {
					panic("boom")
				}
				return "", fmt.Errorf("%d bytes are no page", 17)
			}, antflow.Retries(1), antflow.RetryDelay(second)))
		run := p.Start(context.Background(), e, pipeline.WithMonitor(m))
		page := watch(t, plain)
		time.Sleep(second)
		for _, x := range []string{"a", "b", "c"} {
			run.Feed(context.Background(), x, pipeline.WithKey("key "+x))
		}
		run.Close()
		list := getJSON(t, plain, "/failures.json")
		if list["failed"] != 3.0 || len(list["groups"].([]any)) != 2 {
			t.Errorf("%v", list)
		}
		g := at(list, "groups", 0)
		sameKeys(t, "group", g, "key name kind failed retried first last text tasks")
		if values(g, "name kind failed") != "parse # bytes are no page 2" ||
			at(g, "last").(float64)-at(g, "first").(float64) != 1000 ||
			at(g, "text") != "antflow: failed after 2 attempts: 17 bytes are no page" {
			t.Errorf("%v", g)
		}
		sameKeys(t, "first", at(g, "tasks", 0), "id key attempt priority time ran text visits")
		sameKeys(t, "second", at(g, "tasks", 1), "id key attempt priority time ran text")
		if values(at(g, "tasks", 0), "id key attempt") != "0 key a 2" || values(at(g, "tasks", 1), "id key") != "1 key b" {
			t.Errorf("%v", g)
		}
		if values(at(g, "tasks", 0, "visits", 0), "stage attempts queued worked") != "fetch 1 0 1000" {
			t.Errorf("%v", at(g, "tasks", 0, "visits"))
		}
		if g := at(list, "groups", 1); at(g, "kind") != "panic: boom" ||
			!strings.Contains(at(g, "stack").(string), "failures_test.go") {
			t.Errorf("%v", g)
		}
		list = getJSON(t, format, "/failures.json")
		if in := at(list, "groups", 0, "tasks", 0, "input").(string); !strings.HasPrefix(in, "input a...") ||
			len(in) != 1024 {
			t.Errorf("the input is %.20q and so on, %d bytes", in, len(in))
		}
		if in := at(list, "groups", 1, "tasks", 0, "input"); in != "(the formatter panicked)" {
			t.Errorf("the input is %q", in)
		}
		// The stream has the groups, without what is only seen on demand.
		time.Sleep(second)
		var last any
		for _, msg := range of(page.read(t), "detail") {
			last = msg.data
		}
		sameKeys(t, "detail", last, "s stages")
		sameKeys(t, "group in the stream", at(last, "stages", "groups", 0), "key name kind failed retried first last text")
		e.Close()
	})
}

func TestSnapshot(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := antflow.New(4, antflow.ExecutorName("crawl"))
		m := new(pipeline.Monitor)
		h := dashboard.Handler(dashboard.Executor(e), dashboard.Pipeline("etl", m), dashboard.Title("snap"))
		submit(t, e, 3, nap(second), antflow.TaskName("nap"))
		antflow.Submit(context.Background(), e, nap(second), antflow.TaskName("nap"))
		stage := pipeline.Stage("parse", func(_ context.Context, x int) (int, error) {
			time.Sleep(second)
			return x,
				nil
		}, pipeline.Workers(2))
		run := stage.Start(context.Background(), antflow.New(9), pipeline.WithMonitor(m))
		for i := range 5 {
			run.Feed(context.Background(), i)
		}
		time.Sleep(second / 2)
		s := getJSON(t, h, "/snapshot.json")
		sameKeys(t, "snapshot", s, "title now boot sources")
		if s["title"] != "snap" || s["now"] != float64(time.Now().UnixMicro())/1e3 {
			t.Errorf("%v", s)
		}
		x := at(s, "sources", 0)
		sameKeys(t, "executor", x,
			"kind name max workers running blocked queued waiting submitted succeeded failed canceled retries rejected limit lost q r names tasks failures")
		if values(x, "kind name max running submitted succeeded") != "executor crawl 4 1 4 3" ||
			at(x, "tasks", "rows", 0, "name") != "nap" || len(at(x, "q").([]any)) != 3 {
			t.Errorf("%v", x)
		}
		x = at(s, "sources", 1)
		sameKeys(t, "pipeline", x,
			"kind name elapsed over inputs results items held batched bottleneck rate stages failures")
		if values(x, "kind name elapsed over inputs results items bottleneck") != "pipeline etl 500 false 5 0 5 parse" {
			t.Errorf("%v", x)
		}
		sameKeys(t, "stage", at(x, "stages", 0),
			"name workers incoming waiting running delayed blocked entered done failed skipped canceled retried queued worked rate")
		if values(at(x, "stages", 0), "name workers running waiting entered done") != "parse 2 2 3 5 0" {
			t.Errorf("%v", at(x, "stages", 0))
		}
		// The same figures are in the stream, with the rate of the quarter.
		page := watch(t, h)
		if got := at(page.hello(t), "ticks", 0, "s", 1, "stages", 0, "running"); got != 2.0 {
			t.Errorf("%v run", got)
		}
		time.Sleep(second)
		results := 0.0
		for _, m := range of(page.read(t), "tick") {
			results += at(m.data, "s", 1, "rate").(float64) / 4
		}
		if results != 2 {
			t.Errorf("%v results by their rates", results)
		}
		run.Close()
		settle(e)
	})
}
