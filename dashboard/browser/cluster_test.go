package browser_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/dashboard"
	"github.com/chromedp/chromedp/kb"
)

// A cluster is one without a broker: it says what a test has it say.
type cluster struct {
	mu     sync.Mutex
	status antflow.ClusterStatus
	err    error
}

// newCluster is one in which all is well:
//
//	images  1,140 tasks wait at three levels, 4 are taken
//	mail    60 tasks wait at one of them, 2 are taken
//	a-1, a-2  serve both, 5 of 8 slots are busy
func newCluster() *cluster {
	queue := func(name string, priority int, waiting uint64, taken int) antflow.QueueStatus {
		return antflow.QueueStatus{Queue: name, Priority: priority, Waiting: waiting, Taken: taken, Requests: 1}
	}
	worker := func(name string, running int, finished uint64) antflow.WorkerStatus {
		return antflow.WorkerStatus{
			Name: name, State: "serving", Queues: []string{"images", "mail"}, Tasks: []string{"resize", "send"},
			MaxWorkers: 4, Running: running, Held: 3, Finished: finished, Up: 3 * time.Hour,
		}
	}
	return &cluster{status: antflow.ClusterStatus{
		Backlog: 1206, Limit: 10_000, Results: 345,
		Queues:  []antflow.QueueStatus{queue("images", 1, 40, 1), queue("images", 0, 1000, 3), queue("images", -1, 100, 0), queue("mail", 0, 60, 2), queue("mail", -1, 0, 0)},
		Workers: []antflow.WorkerStatus{worker("a-1", 3, 500), worker("a-2", 2, 700)},
	}}
}

// Status is given to the dashboard.
func (c *cluster) Status(context.Context) (antflow.ClusterStatus, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.status
	s.Queues, s.Workers = slices.Clone(s.Queues), slices.Clone(s.Workers)
	return s, c.err
}

// change has it say something else from now on.
func (c *cluster) change(fn func(*antflow.ClusterStatus)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fn(&c.status)
}

func (c *cluster) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = err
}

// serve shows the cluster beside its client's executor.
func (c *cluster) serve(t *testing.T) *site {
	t.Helper()
	e := newExecutor(t, 2, antflow.ExecutorName("client"))
	return newSite(t, dashboard.Handler(dashboard.Cluster("prod", c.Status), dashboard.Executor(e), dashboard.Title("Cluster"), dashboard.AllowActions(everybody)))
}

var clusterViews = []string{"#/overview", "#/workers"}

// answered waits until figures of the cluster are there.
func (tb *tab) answered() {
	tb.t.Helper()
	tb.until(`look.rows("#queues").length + look.rows("#processes").length > 0`)
}

// The figures of a cluster are there, and follow it; it has the views of its
// kind.
func TestClusterMoves(t *testing.T) {
	t.Parallel()
	c := newCluster()
	tb := open(t, c.serve(t), "")
	tb.answered()
	if tabs := get[[]string](tb, `[...document.querySelectorAll(".tabs a")].filter((a) => a.checkVisibility()).map((a) => a.textContent.trim())`); !slices.Equal(tabs, []string{"Overview", "Workers"}) {
		t.Errorf("its views are %q", tabs)
	}
	if names := tb.texts("#source option"); !slices.Equal(names, []string{"prod · cluster", "client"}) {
		t.Errorf("the sources are %q", names)
	}
	for id, want := range map[string]string{"waiting": "1,200", "taken": "6", "redelivered": "0", "backlog": "1,206", "results": "345", "workers": "2"} {
		if got := tb.text(counter(id)); got != want {
			t.Errorf("%s: %s, not %s", id, got, want)
		}
	}
	if got := tb.text("[data-counter=backlog] .note"); got != "of 10,000, 12%" {
		t.Errorf("of the backlog it says %q", got)
	}
	tb.untilText("#verdict-word", "Working")
	tb.untilText("#progress-text", "1,206 unfinished tasks · 12% of 10,000")
	tb.untilText("#why", "Nothing is wrong")
	want := []string{"images | normal | 1,000 | 3 | 0 | 1 | 2", "images | low | 100 | 0 | 0 | 1 | 2", "mail | normal | 60 | 2 | 0 | 1 | 2", "images | high | 40 | 1 | 0 | 1 | 2"}
	tb.untilElse(fmt.Sprintf(`JSON.stringify(look.rows("#queues").map((row) => row.replace("no worker", ""))) === %q`, jsonOf(want)), `look.rows("#queues").join("\n")`)
	if shares := tb.texts("#where li"); !slices.Equal(shares, []string{"imagesbottleneck1,140", "mailbottleneck60"}) {
		t.Errorf("tasks wait in %q", shares)
	}

	c.change(func(s *antflow.ClusterStatus) {
		s.Workers[1].Finished += 30
		s.Queues[3].Waiting, s.Backlog = 30, 1176
	})
	tb.untilText("#verdict-word", "Moving")
	tb.untilText("#verdict-note", "5 of 8 slots busy")
	tb.untilText(counter("backlog"), "1,176")
	tb.visit("#/workers")
	tb.untilElse(`look.rows("#processes").length === 2 && look.rows("#processes").every((row) => / \| [\d.<]+\/s \| 3 h 00 min \| images, mail \| resize, send$/.test(row))`, `look.rows("#processes").join("\n")`)
	rows := get[[]string](tb, `look.rows("#processes")`)
	if !strings.HasPrefix(rows[0], "a-1 images, mail | Serving | 3 of 4 | 3 | 500 | 0/s") && !strings.HasPrefix(rows[0], "a-1images, mail | Serving | 3 of 4 | 3 | 500 | 0/s") {
		t.Errorf("the first worker is %s", rows[0])
	}
	tb.untilText("#workers-note", "2 workers · 5 of 8 slots busy")
	if tb.shows(controls) {
		t.Error("there is a button that changes something")
	}
	// The other sources are what they were.
	tb.visit("#/workers?source=1")
	tb.untilText("#workers-note", "0 of 2 workers busy")
	if tb.shows("#processes") {
		t.Error("the workers of the cluster are still there")
	}
	for _, hash := range []string{"#/tasks", "#/failures?key=x", "#/stages", "#/overview?task=1"} {
		tb.visit(hash)
		if !tb.shows("#queues") || tb.shows("#task") {
			t.Errorf("%s is another view than the overview", hash)
		}
	}
}

// Problems come first: in the verdict, and all of them in a list.
func TestClusterProblems(t *testing.T) {
	t.Parallel()
	c := newCluster()
	tb := open(t, c.serve(t), "")
	tb.answered()
	says := func(word, note string) {
		t.Helper()
		tb.untilText("#verdict-word", word)
		tb.untilText("#verdict-note", note)
	}
	c.change(func(s *antflow.ClusterStatus) { s.Queues[3].Redelivered = 3 })
	says("Redelivered", "3 tasks were redelivered")
	working := c.status.Workers
	c.change(func(s *antflow.ClusterStatus) {
		s.Workers = append(slices.Clone(working), antflow.WorkerStatus{Name: "a-13", State: "broken", Queues: []string{"mail"}})
	})
	says("Broken queue", "1 worker can't take tasks from a queue · and 1 further problem")
	c.change(func(s *antflow.ClusterStatus) {
		s.Workers = append(slices.Clone(working), antflow.WorkerStatus{Name: "a-12", State: "disconnected", Queues: []string{"reports"}})
	})
	says("Cut off", "worker a-12 is disconnected · and 1 further problem")
	c.change(func(s *antflow.ClusterStatus) { s.Backlog = 9650 })
	says("Nearly full", "backlog 97% full · and 2 further problems")
	c.change(func(s *antflow.ClusterStatus) {
		s.Queues = append(s.Queues, antflow.QueueStatus{Queue: "reports", Waiting: 1200})
	})
	says("Not served", "no worker serves queue reports, 1,200 tasks wait · and 3 further problems")
	if all := tb.texts("#why li"); !slices.Equal(all, []string{"no worker serves queue reports, 1,200 tasks wait", "backlog 97% full", "worker a-12 is disconnected", "3 tasks were redelivered"}) {
		t.Errorf("the problems are %q", all)
	}
	flags := `[...document.querySelectorAll("#queues tbody tr")].filter((tr) => tr.querySelector(".flag").checkVisibility()).map((tr) => tr.querySelector(".name").textContent)`
	tb.untilElse(flags+`.join() === "reports"`, flags)
	tb.visit("#/workers")
	if row := get[string](tb, `document.querySelector("#processes tr[data-state=disconnected]").innerText`); !strings.HasPrefix(row, "a-12") || !strings.Contains(row, "Disconnected") {
		t.Errorf("the row of the worker is %q", row)
	}
	c.change(func(s *antflow.ClusterStatus) {
		s.Backlog, s.Queues, s.Workers = 200, nil, nil
	})
	tb.visit("#/overview")
	says("Not served", "no worker serves any queue, 200 tasks wait")
	c.change(func(s *antflow.ClusterStatus) { s.Backlog = 0 })
	says("Idle", "nothing is left to do")
}

// Where there is no answer the page says so, and why; what was known before is
// still there, but not as if it were of now.
func TestClusterWithoutAnswer(t *testing.T) {
	t.Parallel()
	c := newCluster()
	c.fail(errors.New("nats: no servers available for connection"))
	site := c.serve(t)
	tb := open(t, site, "")
	tb.untilText("#verdict-word", "No answer")
	tb.untilText("#verdict-note", "nats: no servers available for connection")
	if got := tb.text(counter("backlog")); got != "–" {
		t.Errorf("nothing is known, and the backlog is %q", got)
	}
	tb.untilText("#why", "nats: no servers available for connection")
	color := fmt.Sprintf(`getComputedStyle(document.querySelector(%q)).color`, counter("backlog"))
	c.fail(nil)
	tb.untilText(counter("backlog"), "1,206")
	tb.untilText("#verdict-word", "Working")
	fresh := get[string](tb, color)
	c.fail(errors.New("the broker is away"))
	tb.untilElse(`/^the broker is away · the figures are (a moment|\d+ s) old$/.test(document.querySelector("#verdict-note").textContent)`, `document.querySelector("#verdict-note").textContent`)
	tb.drawn()
	if got := tb.text(counter("backlog")); got != "1,206" || get[string](tb, color) == fresh {
		t.Errorf("the backlog is %s, in the colour of fresh figures: %s", got, fresh)
	}
	if rate := tb.text("#verdict-rate"); rate != "–" {
		t.Errorf("the rate is %s", rate)
	}
	tb.until(`/^as they were .* ago$/.test(document.querySelector("#queues-note").textContent)`)
	tb.visit("#/workers")
	tb.until(`/^2 workers · 5 of 8 slots busy · the broker is away · as they were .* ago$/.test(document.querySelector("#workers-note").textContent)`)
	// Who comes now is told the same.
	other := open(t, site, "#/workers")
	other.until(`look.rows("#processes").length === 2 && document.querySelector("#workers-note").textContent.includes("the broker is away")`)
	c.fail(nil)
	tb.untilText("#workers-note", "2 workers · 5 of 8 slots busy")
}

// What waits is drawn by queue, and the table of the chart has the same.
func TestClusterCharts(t *testing.T) {
	t.Parallel()
	c := newCluster()
	c.change(func(s *antflow.ClusterStatus) {
		for n := range 12 { // more than there are colours
			s.Queues = append(s.Queues, antflow.QueueStatus{Queue: fmt.Sprintf("rare-%02d", n), Waiting: 100, Requests: 1})
		}
	})
	tb := open(t, c.serve(t), "")
	tb.answered()
	tb.until(`look.stack("waiting").length === 9 && look.stack("waiting").every((part) => part > 0)`)
	if got, want := get[string](tb, `look.legend("waiting")`), "1,140 | 100 | 100 | 100 | 100 | 100 | 100 | 100 | 560"; got != want {
		t.Errorf("the legend says %s, not %s", got, want)
	}
	for _, id := range []string{"throughput", "taken", "backlog"} {
		figure := fmt.Sprintf(`[data-chart=%s]`, id)
		tb.until(fmt.Sprintf(`look.inked('%s canvas') > 100`, figure))
	}
	for id, want := range map[string]string{"waiting": "1,140 | 100 | 100", "taken": "6 | 5 | 0", "backlog": "1,206 | 10,000"} {
		tb.click(fmt.Sprintf(`[data-chart=%s] .twin-toggle`, id))
		tb.until(fmt.Sprintf(`look.rows('[data-chart=%s] .twin').length > 0`, id))
		row := get[string](tb, fmt.Sprintf(`look.rows('[data-chart=%s] .twin')[0]`, id))
		if _, values, _ := strings.Cut(row, " | "); !strings.HasPrefix(values, want) {
			t.Errorf("the table of %s says %s, not %s", id, row, want)
		}
	}
	c.change(func(s *antflow.ClusterStatus) { s.Limit = 1 << 20 }) // far away
	tb.untilElse(`look.legend("backlog") === "1,206"`, `look.legend("backlog")`)
	tb.untilText("[data-counter=backlog] .note", "of 1,048,576, <1%")
	if shares := tb.texts("#where li"); len(shares) != 6 || shares[5] != "other queuesbottleneck860" {
		t.Errorf("tasks wait in %q", shares)
	}
}

// Whatever a broker or a worker calls things stays text, and fits.
func TestClusterOfStrangeNames(t *testing.T) {
	t.Parallel()
	c := newCluster()
	c.change(func(s *antflow.ClusterStatus) {
		names := []string{markup("name"), strings.Repeat("NameWithoutAnEnd", 1<<12), "مرحبا " + strings.Repeat("ش", 100), strings.Repeat("🐜", 60), "", "__proto__", "constructor"}
		for i, name := range names {
			s.Queues = append(s.Queues, antflow.QueueStatus{Queue: name, Waiting: uint64(7000 + i), Redelivered: 1})
			s.Workers = append(s.Workers, antflow.WorkerStatus{Name: name, State: []string{"disconnected", name}[i%2], Queues: names[:i], Tasks: []string{name}, Finished: 1 << 60})
		}
		s.Workers = append(s.Workers, antflow.WorkerStatus{State: markup("state"), Queues: []string{"__proto__"}})
	})
	tb := open(t, c.serve(t), "")
	tb.answered()
	check := func() {
		t.Helper()
		for _, width := range []int64{360, 390, 700, 900, 1100, 1280} {
			tb.resize(size{width, 740})
			if wide := get[[]string](tb, `look.wide()`); len(wide) > 0 {
				t.Errorf("at %d px: %.600s", width, strings.Join(wide, "\n\t"))
			}
		}
		if n := get[int](tb, `document.querySelectorAll("script:not(head script), main img, [onerror], [onload], iframe, style").length`); n > 0 {
			t.Errorf("%d elements are made of markup", n)
		}
		if get[bool](tb, `"pwned" in window`) {
			t.Fatal("a script was run")
		}
	}
	shown := `document.querySelector("main").textContent`
	tb.until(shown + `.includes('name<script>window.pwned = true</script><img src="x" on')`)
	check()
	tb.visit("#/workers")
	tb.until(shown + `.includes('state<script>window.pwned = true</script><img src="x" on')`)
	if n := get[int](tb, `look.rows("#processes").length`); n != 10 {
		t.Errorf("%d workers are shown", n)
	}
	check()
	c.fail(errors.New(markup("error") + strings.Repeat("long", 1000)))
	for _, view := range clusterViews {
		tb.visit(view)
		tb.until(shown + `.includes('error<script>window.pwned = true</script><img src="x" on')`)
		check()
	}
}

// The keyboard comes to all of it, and axe finds nothing: while all is well, with
// problems, and without an answer.
func TestClusterIsAccessible(t *testing.T) {
	t.Parallel()
	c := newCluster()
	tb := open(t, c.serve(t), "")
	tb.eval(axe + "; void 0")
	tb.answered()
	for _, state := range []struct {
		name, word string
		do         func()
	}{
		{"well", "Working", func() {}},
		{"problems", "Not served", func() {
			c.change(func(s *antflow.ClusterStatus) {
				s.Backlog = 10_000
				s.Queues = append(s.Queues, antflow.QueueStatus{Queue: "reports", Waiting: 1200, Redelivered: 2})
				for _, state := range []string{"disconnected", "draining", "stopped", "in a state of its own"} {
					s.Workers = append(s.Workers, antflow.WorkerStatus{Name: state, State: state})
				}
			})
		}},
		{"no answer", "No answer", func() { c.fail(errors.New("the broker is away")) }},
	} {
		state.do()
		tb.visit("#/overview")
		tb.untilText("#verdict-word", state.word)
		for _, view := range clusterViews {
			t.Run(state.name+" "+view, func(t *testing.T) {
				tb.visit(view)
				accessible(t, tb)
				tb.resize(desktop)
				tabThrough(t, tb)
			})
		}
	}
	for _, step := range []struct{ view, table, column string }{{"#/overview", "queues", "taken"}, {"#/workers", "processes", "finished"}} {
		tb.visit(step.view)
		tb.focus(fmt.Sprintf(`[data-table=%s] th[data-col=%s] button`, step.table, step.column))
		tb.press(kb.Enter)
		if sort := get[string](tb, fmt.Sprintf(`document.querySelector("[data-table=%s] th[data-col=%s]").ariaSort`, step.table, step.column)); sort != "descending" {
			t.Errorf("%s are sorted %q", step.table, sort)
		}
	}
}
