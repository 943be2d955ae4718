package browser_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/dashboard"
)

// counter is the selector of a big figure.
func counter(id string) string { return fmt.Sprintf(`[data-counter=%s] .n`, id) }

// The figures are those of the executor, and follow it.
func TestCountersMove(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	tb := open(t, s.serve(t), "")
	for id, want := range map[string]string{"queued": "5", "waiting": "2", "running": "3", "blocked": "1", "done": "40", "failed": "4"} {
		if got := tb.text(counter(id)); got != want {
			t.Errorf("%s: %s, not %s", id, got, want)
		}
	}
	if got := tb.text("#failed-badge"); got != "4" {
		t.Errorf("the tab of failures says %s", got)
	}
	for n := range 3 { // one by one, each is seen
		s.pages <- struct{}{}
		tb.untilText(counter("done"), fmt.Sprint(41+n))
		tb.untilText(counter("queued"), fmt.Sprint(4-n))
	}
	tb.until(`document.title.includes("4 failed") && document.title.endsWith("Scene")`)
	if got := tb.text("#verdict-word"); got != "Moving" {
		t.Errorf("the verdict is %q", got)
	}
	close(s.pages)
	close(s.lock)
	close(s.day)
	tb.untilText(counter("waiting"), "0")
	tb.untilText(counter("done"), "51")
	tb.untilText("#progress-text", "All 56 finished")
	tb.untilText("#verdict-word", "Idle")
}

// A page that is paused stands still while another one goes on, and then shows
// what it has missed.
func TestPause(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	site := s.serve(t)
	paused, other := open(t, site, ""), open(t, site, "")
	paused.click("#pause")
	if state, pressed := paused.text("#connection-text"), paused.shows(`#pause[aria-pressed="true"]`); state != "Paused" || !pressed {
		t.Errorf("it says %q, and the button is pressed: %t", state, pressed)
	}
	before := paused.text("#view-overview")
	s.pages <- struct{}{}
	other.untilText(counter("done"), "41")
	s.pages <- struct{}{}
	other.untilText(counter("done"), "42")
	paused.drawn()
	if after := paused.text("#view-overview"); after != before {
		t.Errorf("it went on, from\n%s\nto\n%s", before, after)
	}
	// The age of the data is not hidden.
	paused.until(`/^Paused · data .* old$/.test(document.querySelector("#connection-text").textContent)`)
	paused.click("#pause")
	paused.untilText(counter("done"), "42")
	paused.untilText("#connection-text", "Live")
	// What was missed is in the charts.
	paused.click(`[data-chart="depth"] .twin-toggle`)
	var last time.Time
	for _, text := range paused.texts(`[data-chart="depth"] tbody th`) {
		at, err := time.Parse(time.TimeOnly, text)
		if err != nil {
			t.Fatal(err)
		}
		if gap := last.Sub(at); gap > 2*time.Second && gap < 12*time.Hour { // not at midnight
			t.Errorf("nothing is known between %s and %s", text, last.Format(time.TimeOnly))
		}
		last = at
	}
	if last.IsZero() {
		t.Error("the chart has no figures")
	}
	s.pages <- struct{}{}
	paused.untilText(counter("done"), "43")
}

// A page outlives its server, and shows the next one at that place.
func TestReconnect(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	site := s.serve(t)
	tb := open(t, site, "#/workers")
	tb.problems.allow("ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_CONNECTION_RESET", "ERR_EMPTY_RESPONSE")
	tb.untilText("#workers-note", "3 of 3 workers busy · 1 blocked")
	site.stop()
	tb.until(`document.querySelector("#connection").dataset.state === "reconnecting"`)
	tb.until(`document.querySelector("#connection-text").textContent.startsWith("Reconnecting")`)
	if got := tb.text("#workers-note"); got != "3 of 3 workers busy · 1 blocked" {
		t.Errorf("what was known is gone: %q", got)
	}
	tb.visit("#/overview")
	tb.until(`document.querySelector("#verdict-note").textContent.includes("the connection is lost")`)

	// Another process, of which all is different.
	e := newExecutor(t, 2, antflow.ExecutorName("next"))
	hold := make(gate)
	site.start(dashboard.Handler(dashboard.Executor(e), dashboard.Title("Next")))
	e.Go(context.Background(), hold.pass, antflow.TaskName("other work"))
	tb.live()
	tb.untilText("#title", "Next")
	tb.untilText(counter("running"), "1")
	tb.untilText(counter("done"), "0")
	if tb.shows("#picker") {
		t.Error("there still is a choice of sources")
	}
	close(hold)
	tb.untilText(counter("done"), "1")
	if names := tb.texts(`[data-table="names"] tbody th`); len(names) != 1 || names[0] != "other work" {
		t.Errorf("the names are %q", names)
	}
	tb.visit("#/failures")
	if !tb.shows("#no-failures") {
		t.Error("the failures of the former one are still there")
	}
}
