package dashboard_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/dashboard"
	"github.com/antflow/antflow/pipeline"
)

const taskKeys = "id name state attempt priority worker submitted started ended queued ran"

// ids are those of a page of tasks.
func ids(t *testing.T, h http.Handler, target string) string {
	t.Helper()
	page := getJSON(t, h, target)
	sameKeys(t, "page", page, "now watched kept total tasks")
	var found []string
	for _, task := range page["tasks"].([]any) {
		found = append(found, fmt.Sprint(at(task, "id")))
	}
	return strings.Join(found, " ")
}

// Tasks are found by name, text, state and ID, the latest first.
func TestSearch(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := antflow.New(1)
		h := dashboard.Handler(dashboard.Executor(e))
		watch(t, h)
		time.Sleep(second / 8)
		ctx := context.Background()
		fail := func(text string) func(context.Context) (int, error) {
			return func(context.Context) (int, error) { return 0, errors.New(text) }
		}
		antflow.Submit(ctx, e, nap(second), antflow.TaskName("fetch a"))                                                    // 0
		antflow.Submit(ctx, e, fail("no such HOST"), antflow.TaskName("fetch b"))                                           // 1
		antflow.Submit(ctx, e, fail("timeout"), antflow.TaskName("save"), antflow.Retries(1), antflow.RetryDelay(2*second)) // 2
		antflow.Submit(ctx, e, nap(second), antflow.TaskName("fetch a")).Cancel()                                           // 3
		antflow.Submit(ctx, e, func(ctx context.Context) (int, error) {                                                     // 4
			antflow.SetStatus(ctx, "page 3 of 9")
			return nap(time.Minute)(ctx)
		}, antflow.TaskName("long"))
		antflow.Submit(ctx, e, nap(second), antflow.TaskName("last"), antflow.Priority(-3)) // 5
		time.Sleep(second + second/8)
		for query, want := range map[string]string{
			"":                          "4 2 1 0 5 3",
			"source=0":                  "4 2 1 0 5 3",
			"limit=2":                   "4 2",
			"name=fetch+a":              "0 3",
			"name=fetch":                "",
			"q=FETCH":                   "1 0 3",
			"q=such+host":               "1",
			"q=+timeout+":               "2",
			"q=page+3":                  "4",
			"q=3":                       "4 3", // the status of the one
			"state=queued":              "5",
			"state=running":             "4",
			"state=failed,canceled":     "1 3",
			"state=retrying":            "2",
			"state=succeeded&q=fetch":   "0",
			"state=succeeded&q=nothing": "",
		} {
			if got := ids(t, h, "/tasks.json?"+query); got != want {
				t.Errorf("%s finds %q, not %q", query, got, want)
			}
		}
		page := getJSON(t, h, "/tasks.json?q=fetch&limit=1")
		if values(page, "watched kept total") != "true 6 3" || len(page["tasks"].([]any)) != 1 {
			t.Errorf("%v", page)
		}
		tasks := getJSON(t, h, "/tasks.json")["tasks"]
		sameKeys(t, "running", at(tasks, 0), taskKeys+" status")
		sameKeys(t, "retrying", at(tasks, 1), taskKeys+" error")
		sameKeys(t, "succeeded", at(tasks, 3), taskKeys)
		if got := values(at(tasks, 3), "name state attempt worker queued ran"); got != "fetch a succeeded 1 0 0 1000" {
			t.Errorf("%s", got)
		}
		if got := values(at(tasks, 4),
			"name state attempt priority worker started ended queued ran"); got != "last queued 0 -3 -1 <nil> <nil> <nil> <nil>" {
			t.Errorf("%s", got)
		}
		settle(e)
	})
}

// A task that was rejected has no ID, and hides no other one.
func TestRejected(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := antflow.New(1, antflow.QueueLimit(1))
		h := dashboard.Handler(dashboard.Executor(e))
		watch(t, h)
		time.Sleep(second / 8)
		for i := range 5 {
			antflow.Submit(context.Background(), e, nap(second), antflow.TaskName(fmt.Sprint("task ", i)),
				antflow.NonBlocking())
		}
		time.Sleep(second / 8)
		page := getJSON(t, h, "/tasks.json?state=rejected")
		if values(page, "kept total") != "5 3" ||
			values(at(page, "tasks", 0), "name error") != "task 4 antflow: the queue is full" {
			t.Errorf("%v", page)
		}
		if task := getJSON(t, h, "/task.json?id=0"); values(task, "name state") != "task 0 running" {
			t.Errorf("%v", task)
		}
		settle(e)
	})
}

// A task is there with each of its attempts.
func TestTaskDetail(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := antflow.New(1)
		h := dashboard.Handler(dashboard.Executor(e))
		watch(t, h)
		time.Sleep(second / 8)
		begin := time.Now()
		n := 0
		antflow.Submit(context.Background(), e, func(ctx context.Context) (int, error) {
			time.Sleep(second)
			if n++; n < 3 {
				return 0, fmt.Errorf("failure %d", n)
			}
			antflow.SetStatus(ctx, "nearly there")
			time.Sleep(second)
			return 0, nil
		}, antflow.TaskName("try"), antflow.Retries(5), antflow.RetryDelay(second))
		time.Sleep(6*second + second/2) // 1 s, 1 s delay, 1 s, 2 s delay, 1 s
		task := getJSON(t, h, "/task.json?id=0")
		sameKeys(t, "task", task, taskKeys+" status attempts")
		ms := float64(begin.UnixMilli())
		if values(task, "name state attempt worker status") != "try running 3 0 nearly there" ||
			task["started"] != ms+5000 || task["submitted"] != ms {
			t.Errorf("%v", task)
		}
		var got []string
		for i, a := range task["attempts"].([]any) {
			if i < 2 {
				sameKeys(t, "attempt", a, "n worker queued permit rate start end ran delay outcome error")
				got = append(got, fmt.Sprint(at(a, "start").(float64)-ms, at(a, "end").(float64)-ms, " ")+values(a,
					"n worker queued ran delay outcome error"))
			} else {
				sameKeys(t, "attempt", a, "n worker queued permit rate start end ran delay outcome")
				got = append(got, fmt.Sprint(at(a, "start").(float64)-ms, " ")+values(a,
					"n worker queued end ran delay outcome"))
			}
		}
		want := []string{
			"0 1000 1 0 0 1000 1000 retrying failure 1",
			"2000 3000 2 0 0 1000 2000 retrying failure 2",
			"5000 3 0 0 <nil> <nil> 0 running",
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("the attempts are\n%s", strings.Join(got, "\n"))
		}
		settle(e)
		task = getJSON(t, h, "/task.json?id=0")
		if values(task, "state ran") != "succeeded 2000" || task["ended"] != ms+7000 ||
			at(task, "attempts", 2, "outcome") != "succeeded" {
			t.Errorf("%v", task)
		}
		if w := get(h, "/task.json?id=77"); w.Code != http.StatusNotFound ||
			w.Body.String() != "antflow: nothing is known of task 77 any more, or yet\n" {
			t.Errorf("%d %q", w.Code, w.Body)
		}
	})
}

// Of a task with many attempts the latest are kept.
func TestManyAttempts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := antflow.New(1)
		h := dashboard.Handler(dashboard.Executor(e))
		watch(t, h)
		time.Sleep(second / 8)
		submit(t, e, 1, func(context.Context) (int, error) { return 0, errors.New(strings.Repeat("no", 1000)) },
			antflow.Retries(99), antflow.RetryDelay(0))
		task := getJSON(t, h, "/task.json?id=0")
		attempts := task["attempts"].([]any)
		if len(attempts) != 16 || task["forgotten"] != 84.0 || at(attempts, 0, "n") != 85.0 ||
			at(attempts, 15, "n") != 100.0 {
			t.Errorf("%d attempts, %v forgotten", len(attempts), task["forgotten"])
		}
		if len(at(attempts, 3, "error").(string)) != 256 || len(task["error"].(string)) != 1024 {
			t.Errorf("texts of %d and %d bytes", len(at(attempts, 3, "error").(string)), len(task["error"].(string)))
		}
	})
}

// Where nobody looks, or has not for long, there is what the executor itself
// knows.
func TestTasksNobodyWatches(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := antflow.New(2)
		h := dashboard.Handler(dashboard.Executor(e))
		submit(t, e, 3, nap(second), antflow.TaskName("done"))
		submit(t, e, 1, func(context.Context) (int, error) { return 0, errors.New("no") }, antflow.TaskName("failed"))
		antflow.Submit(context.Background(), e, func(ctx context.Context) (int, error) {
			antflow.SetStatus(ctx, "busy")
			return nap(time.Minute)(ctx)
		}, antflow.TaskName("long"))
		time.Sleep(second)
		page := getJSON(t, h, "/tasks.json")
		if values(page, "watched kept total") != "false 2 2" ||
			values(at(page, "tasks", 0), "id name state status") != "4 long running busy" ||
			values(at(page, "tasks", 1), "id name state error") != "3 failed failed no" {
			t.Errorf("%v", page)
		}
		if task := getJSON(t, h, "/task.json?id=4"); values(task, "name state worker status") != "long running 0 busy" {
			t.Errorf("%v", task)
		}
		// Once somebody looks, those are there still, each once.
		watch(t, h)
		time.Sleep(second)
		page = getJSON(t, h, "/tasks.json")
		if values(page, "watched kept total") != "true 2 2" {
			t.Errorf("%v", page)
		}
		settle(e)
		task := getJSON(t, h, "/task.json?id=4")
		if values(task, "state ran") != "succeeded 60000" || len(task["attempts"].([]any)) != 1 {
			t.Errorf("%v", task)
		}
	})
}

// Items of a pipeline are found as tasks are, under the names of their stages.
func TestItems(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := antflow.New(4)
		m := new(pipeline.Monitor)
		h := dashboard.Handler(dashboard.Pipeline("etl", m))
		if page := getJSON(t, h, "/tasks.json"); page["total"] != 0.0 {
			t.Errorf("%v", page)
		}
		work := func(d time.Duration) func(context.Context, string) (string, error) {
			return func(ctx context.Context, x string) (string, error) {
				antflow.SetStatus(ctx, "busy with "+x)
				time.Sleep(d)
				return x, nil
			}
		}
		p := pipeline.Then(pipeline.Stage("fetch", work(second)), pipeline.Stage("parse", work(time.Minute)))
		run := p.Start(context.Background(), e, pipeline.WithMonitor(m), pipeline.History(10))
		for _, key := range []string{"a", "b", "c"} {
			run.Feed(context.Background(), "input "+key, pipeline.WithKey(key))
		}
		time.Sleep(second + second/2)
		if got := ids(t, h, "/tasks.json?q=parse&state=running"); got != "0" {
			t.Errorf("in parse: %q", got)
		}
		page := getJSON(t, h, "/tasks.json?state=running")
		sameKeys(t, "item", at(page, "tasks", 0), taskKeys+" key status")
		if values(at(page, "tasks", 1), "id key name state ran status") != "1 b fetch running 500 busy with input b" {
			t.Errorf("%v", page)
		}
		time.Sleep(time.Minute)
		if task := getJSON(t, h, "/task.json?id=0"); values(task, "key state") != "a done" ||
			fmt.Sprint(task["visits"]) != "[map[attempts:1 queued:0 stage:fetch worked:1000] map[attempts:1 queued:0 stage:parse worked:60000]]" {
			t.Errorf("%v", task)
		}
		if w := get(h, "/task.json?id=9"); w.Code != http.StatusNotFound {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		run.Close()
		e.Close()
	})
}

func TestBadQueries(t *testing.T) {
	h := newHandler()
	for target, want := range map[string]string{
		"/tasks.json?source=1":               `source="1" is no number from 0 to 0`,
		"/tasks.json?source=-1":              `source="-1" is no number from 0 to 0`,
		"/task.json?source=x&id=1":           `source="x" is no number from 0 to 0`,
		"/failures.json?source=99":           `source="99" is no number from 0 to 0`,
		"/tasks.json?limit=0":                `limit="0" is no number from 1 to 1000`,
		"/tasks.json?limit=1001":             `limit="1001" is no number from 1 to 1000`,
		"/tasks.json?limit=many":             `limit="many" is no number from 1 to 1000`,
		"/task.json":                         `id="" is no task's ID`,
		"/task.json?id=-1":                   `id="-1" is no task's ID`,
		"/task.json?id=%3Cscript%3E":         `id="<script>" is no task's ID`,
		"/task.json?id=99999999999999999999": `id="99999999999999999999" is no task's ID`,
	} {
		w := get(h, target)
		if w.Code != http.StatusBadRequest || w.Body.String() != "antflow: "+want+"\n" ||
			w.Header().Get("Content-Type") != "text/plain; charset=utf-8" {
			t.Errorf("%s: %d %q", target, w.Code, w.Body)
		}
	}
	if w := get(h, "/task.json?id="+strings.Repeat("x", 1<<20)); w.Body.Len() > 300 {
		t.Errorf("an answer of %d bytes", w.Body.Len())
	}
}
