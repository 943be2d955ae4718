package browser_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/dashboard"
	"github.com/antflow/antflow/pipeline"
)

// markup is what would run a script if it were markup, in several ways, with a
// word that tells where it comes from.
func markup(where string) string {
	return where + `<script>window.pwned = true</script><img src="x" onerror="window.pwned = true"><svg onload="window.pwned = true">"'&lt;` + "`${window.pwned = true}"
}

// visible is what can be read, without the views that are hidden.
const visible = `(document.body.innerText + document.querySelector("#source").textContent)`

// Whatever users call things stays text: it is shown as it is, and is neither
// markup nor script.
func TestMarkupStaysText(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	e := newExecutor(t, 2, antflow.ExecutorName(markup("executor")))
	hold := make(gate)
	stage := pipeline.Stage(markup("stage"), func(ctx context.Context, n int) (int, error) {
		if n == 0 {
			return 0, errors.New(markup("item error"))
		}
		antflow.SetStatus(ctx, markup("item status"))
		return n, hold.pass(ctx)
	})
	run := stage.Start(ctx, newExecutor(t, 2), pipeline.Window(8))
	t.Cleanup(func() { run.Stop() })
	tb := open(t, newSite(t, dashboard.Handler(
		dashboard.Executor(e), dashboard.Pipeline(markup("pipeline"), &run.Monitor), dashboard.Title(markup("title")),
		dashboard.FormatInput(func(any) string { return markup("input") }),
	)), "")
	settled(e.Go(ctx, func(context.Context) error { return errors.New(markup("error")) }, antflow.TaskName(markup("failed"))))
	settled(e.Go(ctx, func(context.Context) error { panic(markup("panic")) }, antflow.TaskName("panicking")))
	running := e.Go(ctx, func(ctx context.Context) error {
		antflow.SetStatus(ctx, markup("status"))
		return hold.pass(ctx)
	}, antflow.TaskName(markup("running")))
	for n := range 4 {
		run.Feed(ctx, n, pipeline.WithKey(markup(fmt.Sprintf("key %d", n))))
	}

	failure := func(source, nth int) string {
		return get[string](tb, fmt.Sprintf(`fetch("failures.json?source=%d").then((r) => r.json()).then((f) => f.groups[%d].key)`, source, nth))
	}
	for _, c := range []struct {
		hash  string
		words []string
	}{
		{"#/overview", []string{"failed", "error", "running", "panic"}},
		{"#/tasks", []string{"failed", "error", "running", "status"}},
		{"#/workers", []string{"running", "status"}},
		{fmt.Sprintf("#/workers?task=%d", running.ID()), []string{"running", "status"}},
		{"#/failures?key=" + failure(0, 0), []string{"failed", "error", "panic"}},
		{"#/failures?key=" + failure(0, 1), []string{"failed", "error", "panic"}},
		{"#/overview?source=1", []string{"stage", "item error"}},
		{"#/stages?source=1", []string{"stage"}},
		{"#/tasks?source=1", []string{"stage", "key 1", "item status"}},
		{"#/tasks?source=1&task=2", []string{"stage", "key 1", "item status"}},
		{"#/failures?source=1&key=" + failure(1, 0), []string{"stage", "item error", "input", "key 0"}},
	} {
		t.Run(c.hash, func(t *testing.T) {
			tb.visit(c.hash)
			for _, word := range append(c.words, "executor", "pipeline", "title") {
				// A long text may be cut, but not before its script.
				js := fmt.Sprintf(`%s.includes(%q)`, visible, word+`<script>window.pwned = true</script><img src="x" on`)
				tb.untilElse(js, visible)
			}
			if n := get[int](tb, `document.querySelectorAll("script:not(head script), main img, #task img, dialog img, [onerror], [onload], iframe, style").length`); n > 0 {
				t.Errorf("%d elements are made of markup", n)
			}
			if get[bool](tb, `"pwned" in window`) {
				t.Fatal("a script was run")
			}
		})
	}
	// The canvas has names, too; its tip and its words are made of elements.
	tb.visit("#/tasks")
	tb.do(hover("#stream-canvas", -8, 4+11))
	tb.drawn()
	tb.click("#stream-toggle")
	tb.drawn()
	if !strings.Contains(tb.text("#stream-twin"), "running<script>") {
		t.Error("the table of the stream has no such name")
	}
	if get[bool](tb, `"pwned" in window`) {
		t.Error("a script was run")
	}
	close(hold)
}
