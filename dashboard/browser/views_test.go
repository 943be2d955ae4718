package browser_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/dashboard"
	"github.com/chromedp/chromedp"
)

// The stages say what waits, runs, is done and has failed, and which one of them
// holds up the others.
func TestStagesAndBottleneck(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	tb := open(t, s.serve(t), "#/stages?source=1")
	tb.untilText("#stages-note", "3 stages · “decode” holds up the others")
	columns := []string{"stage", "workers", "running", "waiting", "blocked", "done", "ended"}
	cell := func(column string) string {
		return fmt.Sprintf(`tr.cells[[...document.querySelectorAll("#stages th[data-col]")].findIndex((th) => th.dataset.col === %q)].innerText.replace(/\s+/g, " ").trim()`, column)
	}
	cells := make([]string, len(columns))
	for i, c := range columns {
		cells[i] = cell(c)
	}
	rows := `[...document.querySelectorAll("#stages tbody tr")].map((tr) => [` + strings.Join(cells, ",") + `].join(" "))`
	// The pipeline comes to rest a moment after its start.
	tb.untilElse(fmt.Sprintf(`JSON.stringify(%s) === %q`, rows, jsonOf([]string{"load 2 0 4 2 7 1", "decode bottleneck 2 2 3 0 0 0", "store 2 0 0 0 0 0"})), rows)
	for _, flow := range []string{"#flow", "#overview-flow"} {
		if flow == "#overview-flow" {
			tb.visit("#/overview?source=1")
		}
		marked := get[[]string](tb, fmt.Sprintf(`[...document.querySelectorAll("%s > li")].filter((li) => li.hasAttribute("data-bottleneck") && li.querySelector(".flag").checkVisibility()).map((li) => li.dataset.stage)`, flow))
		if !slices.Equal(marked, []string{"decode"}) {
			t.Errorf("%s marks %q", flow, marked)
		}
	}
	close(s.image)
	tb.untilText(counter("done"), "12")
	tb.until(`![...document.querySelectorAll("#overview-flow .flag")].some((el) => el.checkVisibility())`)
	tb.visit("#/stages?source=1")
	tb.untilText("#stages-note", "3 stages · no stage holds up the others")
}

// A task is shown with its attempts: how each ended, how long it waited and ran,
// and its part of the time line.
func TestTaskDetail(t *testing.T) {
	t.Parallel()
	e := newExecutor(t, 1)
	tb := open(t, newSite(t, dashboard.Handler(dashboard.Executor(e))), "")
	hold := make(gate)
	tries := 0
	f := e.Go(context.Background(), func(ctx context.Context) error {
		if tries++; tries < 3 {
			return fmt.Errorf("try %d: %w", tries, errReset)
		}
		antflow.SetStatus(ctx, "third time lucky")
		return hold.pass(ctx)
	}, antflow.TaskName("fetch"), antflow.Retries(3), antflow.RetryDelay(30*time.Millisecond), antflow.Priority(4))
	tb.visit(fmt.Sprintf("#/overview?task=%d", f.ID()))
	tb.untilText("#h-task", "fetch")
	tb.untilText("#task .state-line", "Running")
	tb.untilText(`#task [aria-label=Status]`, "third time lucky")
	attempts := `[...document.querySelectorAll("[data-attempt]")].map((tr) => tr.cells[0].innerText + " " + tr.querySelector(".state").innerText.trim())`
	tb.untilElse(attempts+`.join() === "1 Retrying,2 Retrying,3 Running"`, attempts)
	if why := strings.Join(tb.texts("#attempts .more"), "\n"); !strings.Contains(why, "try 1: connection reset by peer · next one after") {
		t.Errorf("of the first attempts it says %q", why)
	}
	facts := tb.text("#task .facts")
	for _, want := range []string{"Attempts3", "Priority4", "Worker0"} {
		if !strings.Contains(facts, want) {
			t.Errorf("no %s in %s", want, facts)
		}
	}
	// On the time line one follows the other, and all of it is taken.
	bars := get[[][]float64](tb, `[...document.querySelectorAll("[data-attempt]")].map((tr) => {
		const box = tr.querySelector(".track .run").getBoundingClientRect(), track = tr.querySelector(".track").getBoundingClientRect();
		return [(box.left - track.left) / track.width, (box.right - track.left) / track.width];
	})`)
	for i := 1; i < len(bars); i++ {
		if bars[i][0] < bars[i-1][0] || bars[i][1] > 1.01 {
			t.Errorf("attempt %d takes %.3f of the time line, after %.3f", i+1, bars[i], bars[i-1])
		}
	}
	if end := bars[2][1]; end < 0.98 {
		t.Errorf("the attempt that runs ends at %.3f of the time line", end)
	}
	close(hold)
	tb.untilText("#task .state-line", "Done")
	tb.untilElse(attempts+`.join() === "1 Retrying,2 Retrying,3 Done"`, attempts)
	tb.click("#task-close")
	if tb.shows("#task") || get[string](tb, `location.hash`) != "#/overview" {
		t.Error("it can't be closed")
	}
	tb.problems.allow("404 (Not Found)")
	tb.visit("#/overview?task=999999")
	tb.untilText("#h-task", "Not here")
}

// Tasks are found by name, by state, by ID and by what they say.
func TestSearch(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	tb := open(t, s.serve(t), "#/tasks")
	s.pages <- struct{}{} // one that is done while somebody looks
	search := func(text, state, name string) {
		t.Helper()
		tb.eval(fmt.Sprintf(`(() => {
			const q = document.querySelector("#task-q"), state = document.querySelector("#task-state"), name = document.querySelector("#task-name");
			[q.value, state.value, name.value] = [%q, %q, %q];
			for (const el of [state, name]) el.dispatchEvent(new Event("change"));
			q.dispatchEvent(new Event("input"));
		})()`, text, state, name))
	}
	found := `[...document.querySelectorAll("#tasks tbody tr")].map((tr) => tr.cells[0].innerText + " " + tr.querySelector(".name").innerText + " " + tr.querySelector(".state").innerText.trim()).sort().join("\n")`
	id := idOf(t, s.e, "upload")
	broken := fmt.Sprintf("%d parse page Failed", s.e.Snapshot().Failures[1].Tasks[0].Task.ID)
	for _, c := range []struct{ text, state, name, want string }{
		{fmt.Sprint(id), "", "", fmt.Sprintf("%d upload Running", id)},
		{"UPLOAD", "running", "", fmt.Sprintf("%d upload Running", id)},
		{"", "blocked", "", fmt.Sprintf("%d report Blocked", idOf(t, s.e, "report"))},
		{"day 3", "", "", fmt.Sprintf("%d report Blocked", idOf(t, s.e, "report"))},
		{"", "failed", "parse page", broken},
		{"out of range", "", "", broken},
		{"no such thing", "", "", ""},
	} {
		search(c.text, c.state, c.name)
		tb.untilElse(found+` === `+fmt.Sprintf("%q", c.want), found)
	}
	// What is searched for is a part of the address.
	search("reset", "failed", "fetch page")
	tb.until(`location.hash === "#/tasks?q=reset&state=failed&name=fetch+page"`)
	other := open(t, s.serve(t), "#/tasks?q=reset&state=failed&name=fetch+page")
	other.untilElse(`document.querySelectorAll("#tasks tbody tr").length === 3`, found)
	if got := get[string](other, `["q", "state", "name"].map((id) => document.querySelector("#task-" + id).value).join()`); got != "reset,failed,fetch page" {
		t.Errorf("the form says %q", got)
	}
	// Typed by hand, as people do.
	other.visit("#/tasks")
	other.do(chromedp.SendKeys(chromedp.CSS("#task-q"), "day 3"))
	other.untilElse(found+`.endsWith("report Blocked") && document.querySelectorAll("#tasks tbody tr").length === 1`, found)
}

// Each view has an address, which shows it at once in a new tab.
func TestLinks(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	site := s.serve(t)
	tb := newTab(t)
	shows := func(hash, selector string) {
		t.Helper()
		tb.until(fmt.Sprintf(`document.querySelector(%q).checkVisibility()`, selector))
		if n := get[int](tb, `[...document.querySelectorAll(".view")].filter((el) => el.checkVisibility()).length`); n != 1 {
			t.Errorf("%s shows %d views", hash, n)
		}
	}
	for hash, selector := range map[string]string{
		"#/tasks": "#view-tasks", "#/stages?source=1": "#view-stages", fmt.Sprintf("#/workers?task=%d", idOf(t, s.e, "report")): "#task .facts",
		"#/workers?source=1": "#view-overview", // pipelines have none
		"#/nonsense":         "#view-overview",
	} {
		tb.do(chromedp.Navigate("about:blank")) // or only the hash would change
		tb.load(site, hash)
		shows(hash, selector)
	}
	for hash, selector := range map[string]string{
		"": "#view-overview", "#/workers": "#view-workers", "#/failures": "#view-failures", "#/overview?source=1": "#flow-cell",
		"#/tasks?source=1": "#view-tasks", "#/failures?source=1": "#view-failures", "#/overview?source=99": "#names-cell",
	} {
		tb.visit(hash)
		shows(hash, selector)
	}
}

// The browser's history goes from one place to the other.
func TestHistory(t *testing.T) {
	t.Parallel()
	tb := open(t, newScene(t).serve(t), "")
	at := func(hash, tab string) {
		t.Helper()
		tb.untilElse(fmt.Sprintf(`location.hash === %q`, hash), `location.hash`)
		tb.drawn()
		if current := tb.texts(`.tabs [aria-current="page"]`); len(current) != 1 || !strings.HasPrefix(current[0], tab) {
			t.Errorf("at %s the tab %q is current", hash, current)
		}
	}
	tb.click(`.tabs [data-view=failures]`)
	at("#/failures", "Failures")
	tb.click(`#failures a[href*=key]`)
	tb.until(`location.hash.startsWith("#/failures?key=") && document.querySelector("#group").checkVisibility()`)
	tb.click(`#group [data-table=failed-tasks] a`)
	tb.until(`document.querySelector("#task").checkVisibility()`)
	tb.do(chromedp.NavigateBack())
	tb.until(`!document.querySelector("#task").checkVisibility() && location.hash.startsWith("#/failures?key=")`)
	tb.do(chromedp.NavigateBack())
	at("#/failures", "Failures")
	tb.eval(`(() => { const el = document.querySelector("#source"); el.value = "1"; el.dispatchEvent(new Event("change")); })()`)
	at("#/failures?source=1", "Failures")
	tb.click(`.tabs [data-view=stages]`)
	at("#/stages?source=1", "Stages")
	tb.do(chromedp.NavigateBack(), chromedp.NavigateBack())
	at("#/failures", "Failures")
	tb.do(chromedp.NavigateForward())
	at("#/failures?source=1", "Failures")
}

// An error is grouped with others of its kind, whatever numbers are in it, and a
// panic has its stack.
func TestFailures(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	tb := open(t, s.serve(t), "#/failures")
	tb.untilText("#failures-note", "4 tasks failed, for 2 reasons")
	rows := get[[]string](tb, `look.rows("#failures")`)
	if len(rows) != 3 || !strings.HasPrefix(rows[0], "3 | fetch page | ") || !strings.Contains(rows[0], "connection reset by peer") || !strings.HasPrefix(rows[2], "0 | parse page | ") {
		t.Errorf("the kinds are\n%s", strings.Join(rows, "\n"))
	}
	tb.click(`#failures tr:nth-child(2) a`)
	tb.until(`document.querySelector("#group .stack").checkVisibility()`)
	if stack := tb.text("#group .stack"); !strings.Contains(stack, "scene_test.go") {
		t.Errorf("the stack is\n%s", stack)
	}
	tb.click(`#failures tr:nth-child(1) a`)
	tb.until(`look.rows("#group").length === 3 && !document.querySelector("#group .stack").checkVisibility()`)
	if text := tb.text("#group .words"); text != "page 2: connection reset by peer" {
		t.Errorf("the latest error is %q", text)
	}
	f := s.e.Go(context.Background(), func(context.Context) error { return errors.New("unheard of") }, antflow.TaskName("fetch page"), antflow.Priority(9))
	s.pages <- struct{}{} // makes room for it
	settled(f)
	tb.untilElse(`look.rows("#failures").some((row) => row.startsWith("1 | fetch page | unheard of"))`, `look.rows("#failures").join("\n")`)
	tb.untilText("#failures-note", "5 tasks failed, for 3 reasons")
}
