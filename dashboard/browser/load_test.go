package browser_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/dashboard"
)

// slow skips what takes seconds where those are spared.
func slow(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("not with -short: it takes seconds")
	}
}

// flood submits tasks at a rate until ctx ends: of some names, some of which
// fail or are retried, with texts that are all different.
func flood(ctx context.Context, e *antflow.Executor, perSecond int) (submitted *atomic.Int64, done <-chan struct{}) {
	submitted = new(atomic.Int64)
	ended := make(chan struct{})
	opts := make([]antflow.TaskOption, 12)
	for i := range opts {
		opts[i] = antflow.JoinOptions(antflow.TaskName(fmt.Sprintf("name %d", i)), antflow.Retries(1))
	}
	go func() {
		defer close(ended)
		begun := time.Now()
		for n := 0; ctx.Err() == nil; {
			for due := int(time.Since(begun).Seconds() * float64(perSecond)); n < due; n++ {
				e.Go(ctx, numberedTask(n), opts[n%len(opts)])
				submitted.Add(1)
			}
			time.Sleep(2 * time.Millisecond) // the load is by the real clock, as the browser is
		}
	}()
	return submitted, ended
}

// numberedTask is the n-th task of a flood.
func numberedTask(n int) func(context.Context) error {
	return func(ctx context.Context) error {
		antflow.SetStatus(ctx, fmt.Sprintf("part %d", n))
		if n%50 == 0 {
			return fmt.Errorf("%c%d: %w", 'a'+rune(n%500/50), n, errReset)
		}
		return nil
	}
}

// frames are what look.frames has noted, in milliseconds.
type frames struct {
	Frames, Gap, Long, Stood float64
}

// watch notes the frames of a while, and for how long a figure stood still.
func (tb *tab) watch(selector string) frames {
	tb.t.Helper()
	tb.eval(fmt.Sprintf(`look.frames(%q)`, selector))
	tb.await(`new Promise((done) => setTimeout(done, 1600))`)
	return get[frames](tb, `look.measured()`)
}

// complaint is what a user would say.
func (f frames) complaint() string {
	switch {
	case f.Gap > 1000 || f.Frames < 5:
		return fmt.Sprintf("there were only %.0f frames, or one was late by %.0f ms", f.Frames, f.Gap)
	case f.Stood > 1000:
		return fmt.Sprintf("the figures stood still for %.0f ms", f.Stood)
	}
	return ""
}

// At 10,000 tasks a second the page goes on to answer: no frame is late by a
// second, and the figures change at least once a second. That is judged by the
// real clock, since it is about time that a browser takes; a page that does its
// work for each task, and not for each message, is far beyond these bounds.
func TestTenThousandTasksASecond(t *testing.T) {
	slow(t)
	e := newExecutor(t, 8)
	tb := open(t, newSite(t, dashboard.Handler(dashboard.Executor(e))), "")
	tb.unheard()
	ctx, cancel := context.WithCancel(context.Background())
	submitted, ended := flood(ctx, e, 10_000)
	defer func() { cancel(); <-ended }()
	for _, view := range executorViews {
		tb.visit(view)
		var complaint string
		for try := range 3 { // another program may have had the processor, but not each time
			before, begun := submitted.Load(), time.Now()
			f := tb.watch(map[bool]string{true: counter("done"), false: "#failed-badge"}[view == "#/overview"])
			rate := float64(submitted.Load()-before) / time.Since(begun).Seconds()
			t.Logf("%s at %.0f tasks/s: %+v", view, rate, f)
			complaint = f.complaint()
			if rate < 5000 {
				complaint = fmt.Sprintf("only %.0f tasks a second were submitted", rate)
			}
			if complaint == "" || try == 2 {
				break
			}
		}
		if complaint != "" {
			t.Errorf("%s: %s", view, complaint)
		}
	}
	tb.visit("#/tasks")
	tb.until(`document.querySelector("#stream-note").textContent.includes("a sample of 1 in")`)
	tb.until(`look.inked("#stream-canvas", "--m-failed") > 0`) // what is less than a pixel has no colour to look for
}

// A thousand workers are shown in bands, since lanes would be hairs, and the
// list of them is bounded.
func TestThousandWorkers(t *testing.T) {
	t.Parallel()
	e := newExecutor(t, 1000)
	site := newSite(t, dashboard.Handler(dashboard.Executor(e)))
	hold := make(gate)
	for n := range 1000 {
		e.Go(context.Background(), hold.pass, antflow.TaskName([]string{"odd", "even"}[n%2]))
	}
	for n := range 100 { // their times are spread
		e.Go(context.Background(), func(ctx context.Context) error {
			time.Sleep(time.Duration(n) * 5 * time.Millisecond) // by the real clock, which the browser shows
			return hold.pass(ctx)
		}, antflow.TaskName("late"))
	}
	tb := open(t, site, "#/tasks")
	tb.untilText("#stream-note", "1,000 workers, in bands")
	for range 200 { // the last 100 follow
		hold <- struct{}{}
	}
	for n := range 2 { // both names are there
		tb.until(fmt.Sprintf(`look.inked("#stream-canvas", "--n%d") > 20`, n))
	}
	tb.until(`look.inked("#stream-canvas", "--band-1") + look.inked("#stream-canvas", "--band-2") > 20`)
	tb.click("#stream-toggle")
	// Time, busy workers, failed, and the spread of the times.
	tb.untilElse(`look.rows("#stream-twin").some((row) => /^[\d:]+ \| 1,000 \| 0 \| [\d.]+ \S+ \| /.test(row))`, `look.rows("#stream-twin").join("\n")`)
	tb.visit("#/workers")
	// On a slow machine some of them may have come to look stuck.
	tb.until(`/^900 of 1,000 workers busy · (.* · )?the 200 that run the longest are shown$/.test(document.querySelector("#workers-note").textContent.trim())`)
	if n := get[int](tb, `look.rows("#workers").length`); n != 200 {
		t.Errorf("%d workers are shown", n)
	}
	if wide := get[[]string](tb, `look.wide()`); len(wide) > 0 {
		t.Errorf("the page is too wide: %q", wide)
	}
}

// A million failures, with a million texts, are a page like any other.
func TestMillionFailures(t *testing.T) {
	slow(t)
	t.Parallel()
	const failures = 1_000_000
	e := newExecutor(t, 4)
	h := dashboard.Handler(dashboard.Executor(e))
	names := make([]antflow.TaskOption, 300)
	for i := range names {
		names[i] = antflow.TaskName(fmt.Sprintf("job %d", i))
	}
	window := make(chan struct{}, 10_000)
	for n := range failures {
		window <- struct{}{}
		e.Go(context.Background(), func(context.Context) error {
			<-window
			return numbered(n)
		}, names[n%len(names)])
	}
	for e.Stats().Failed < failures {
		time.Sleep(time.Millisecond) // between two looks: no bubble has a browser
	}
	begun := time.Now()
	site := newSite(t, h)
	tb := open(t, site, "#/failures")
	tb.until(`look.rows("#failures").length > 0`)
	if d := time.Since(begun); d > patience/2 {
		t.Errorf("it took %v to open", d)
	}
	if got := tb.text("#failures-note"); !strings.HasPrefix(got, "1,000,000 tasks failed, for ") {
		t.Errorf("it says %q", got)
	}
	if n := get[int](tb, `look.rows("#failures").length`); n > 100 {
		t.Errorf("there are %d rows", n)
	}
	_, all := ask(t, "GET", site.url(mount+"failures.json"), "")
	if n := len(all); n > 4<<20 {
		t.Errorf("all that is known of them are %d bytes", n)
	}
	if n := get[int](tb, `document.querySelectorAll("*").length`); n > 5000 {
		t.Errorf("the page has %d elements", n)
	}
	tb.click(`#failures a`)
	tb.until(`look.rows("#group").length > 0`)
	if n := get[int](tb, `look.rows("#group").length`); n > 10 {
		t.Errorf("%d tasks of a kind are shown", n)
	}
}

// numbered is an error with a number in it.
type numbered int

func (n numbered) Error() string { return fmt.Sprintf("request %d: status %d", n, 400+n%100) }
