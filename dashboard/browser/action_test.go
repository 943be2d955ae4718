package browser_test

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/dashboard"
	"github.com/chromedp/chromedp/kb"
)

// controls are what changes something.
const controls = "#drain, .resize, #cancel"

// idOf is a running task of a name.
func idOf(t *testing.T, e *antflow.Executor, name string) uint64 {
	t.Helper()
	for _, task := range e.Snapshot().Tasks {
		if task.Task.Name == name {
			return task.Task.ID
		}
	}
	t.Fatalf("no %q is running", name)
	return 0
}

// Nothing can be changed unless that is allowed: there is no button for it, and
// no request does it.
func TestActionsAreOff(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	site := s.serve(t)
	tb := open(t, site, "")
	tb.problems.allow("403 (Forbidden)")
	for _, view := range executorViews {
		tb.visit(fmt.Sprintf("%s?task=%d", view, idOf(t, s.e, "upload")))
		tb.untilText("#h-task", "upload")
		if tb.shows(controls) {
			t.Errorf("%s has a button that changes something", view)
		}
	}
	for _, view := range pipelineViews {
		tb.visit(view)
		if tb.shows(controls) {
			t.Errorf("%s has a button that changes something", view)
		}
	}
	js := fmt.Sprintf(`fetch("action", { method: "POST", headers: { "Content-Type": "application/json" }, body: %q }).then((r) => r.status)`, resizeTo7)
	if code := get[int](tb, js); code != http.StatusForbidden || s.e.MaxWorkers() != 3 {
		t.Errorf("an action is answered by %d, and there are %d workers", code, s.e.MaxWorkers())
	}
}

// Each action is asked about first, and only a yes does it.
func TestActions(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	var refuse atomic.Bool
	tb := open(t, s.serve(t, dashboard.AllowActions(func(*http.Request) bool { return !refuse.Load() })), "#/workers")
	tb.problems.allow("403 (Forbidden)")

	t.Run("cancel", func(t *testing.T) {
		id := idOf(t, s.e, "upload")
		tb.click(fmt.Sprintf(`[data-table=workers] a[href="#/workers?task=%d"]`, id))
		tb.untilText("#task .number", fmt.Sprintf("Task %d", id))
		for _, no := range []func(){func() { tb.click("#confirm-no") }, func() { tb.press(kb.Escape) }} {
			tb.click("#cancel")
			tb.untilText("#h-confirm", fmt.Sprintf("Cancel task %d?", id))
			no()
			if tb.shows("#confirm") || !tb.shows("#task") {
				t.Error("the question is still there, or the task isn't")
			}
		}
		if n := s.e.Stats().Canceled; n != 1 {
			t.Fatalf("a no has canceled: %d", n)
		}
		tb.click("#cancel")
		tb.click("#confirm-yes")
		tb.untilText("#notice", fmt.Sprintf("Task %d was asked to end.", id))
		tb.untilText("#task .state-line", "Canceled")
		if n := s.e.Stats().Canceled; n != 2 {
			t.Errorf("%d tasks are canceled", n)
		}
		tb.until(`!document.querySelector("#cancel").checkVisibility()`)
		tb.press(kb.Escape)
		if tb.shows("#task") {
			t.Error("Escape does not close the task")
		}
	})

	t.Run("refused", func(t *testing.T) {
		refuse.Store(true)
		tb.click("#worker-actions .resize")
		tb.click("#confirm-yes")
		tb.untilText("#notice", "Refused: actions are not allowed; see dashboard.AllowActions")
		refuse.Store(false)
	})

	t.Run("resize", func(t *testing.T) {
		tb.click("#worker-actions .resize")
		if n := get[string](tb, `document.querySelector("#confirm-number").value`); n != "3" {
			t.Errorf("it offers %s workers", n)
		}
		tb.eval(`document.querySelector("#confirm-number").select()`)
		tb.press("0" + kb.Enter) // which is no number of workers
		if !tb.shows("#confirm") || s.e.MaxWorkers() != 3 {
			t.Errorf("0 is taken: %d workers", s.e.MaxWorkers())
		}
		tb.eval(`document.querySelector("#confirm-number").select()`)
		tb.press("5" + kb.Enter)
		tb.untilText("#notice", "5 workers for the executor.")
		if n := s.e.MaxWorkers(); n != 5 {
			t.Errorf("there are %d", n)
		}
		tb.until(`document.querySelector("#workers-note").textContent.startsWith("5 of 5 workers busy")`)
	})

	t.Run("stage", func(t *testing.T) {
		tb.visit("#/stages?source=1")
		tb.click(`#stages tr[data-key=decode] .resize`)
		tb.untilText("#h-confirm", "How many workers for “decode”?")
		tb.eval(`document.querySelector("#confirm-number").select()`)
		tb.press("6" + kb.Enter)
		tb.untilText(`#stages tr[data-key=decode] td`, "6")
		tb.visit("#/workers")
	})

	t.Run("drain", func(t *testing.T) {
		tb.click("#drain")
		tb.click("#confirm-no")
		if !accepts(s.e) {
			t.Fatal("a no has drained it")
		}
		tb.click("#drain")
		tb.click("#confirm-yes")
		tb.untilText("#notice", "The executor drains.")
		if accepts(s.e) {
			t.Error("it takes tasks")
		}
		close(s.pages) // what it had is done
		close(s.lock)
		close(s.day)
		tb.visit("#/overview")
		tb.untilText(counter("running"), "0")
		tb.untilText(counter("done"), "50")
	})
}

func accepts(e *antflow.Executor) bool {
	select {
	case <-e.Closing():
		return false
	default:
		return true
	}
}
