package browser_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/antflow/antflow/dashboard"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// describe is the element with the focus: a name for it, whether the focus is
// seen, and whether the element itself is.
const describe = `(() => {
  const el = document.activeElement;
  const style = getComputedStyle(el.matches("input[type=radio]") ? el.nextElementSibling : el);
  const box = el.getBoundingClientRect();
  return {
    name: el === document.body ? "" : [el.tagName.toLowerCase(), el.id, el.getAttribute("href"), el.getAttribute("aria-label"), el.value, el.textContent.trim().slice(0, 30)].join(" "),
    ring: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
    visible: el.checkVisibility({ visibilityProperty: true }) && box.bottom > 0 && box.right > 0 && box.top < innerHeight && box.left < innerWidth,
  };
})()`

// focusable are the controls that can be seen; of a group of radio buttons the
// keyboard stops at one.
const focusable = `[...document.querySelectorAll("a[href], button, input, select, [tabindex='0']")]
  .filter((el) => el.checkVisibility({ visibilityProperty: true }) && !(el.matches("input[type=radio]") && !el.checked))
  .map((el) => [el.tagName.toLowerCase(), el.id, el.getAttribute("href"), el.getAttribute("aria-label"), el.value, el.textContent.trim().slice(0, 30)].join(" "))`

type focus struct {
	Name          string
	Ring, Visible bool
}

// The Tab key comes to all that can be clicked, on each view, and it is seen
// where it is.
func TestTabReachesEverything(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	tb := open(t, s.serve(t, dashboard.AllowActions(everybody)), "")
	for _, view := range append(slices.Clone(executorViews), "#/stages?source=1", fmt.Sprintf("#/workers?task=%d", idOf(t, s.e, "upload"))) {
		t.Run(view, func(t *testing.T) {
			tb.visit(view)
			if strings.HasPrefix(view, "#/tasks") {
				tb.until(`look.rows("#tasks").length > 0`)
			}
			tabThrough(t, tb)
		})
	}
}

// tabThrough goes through what the tab shows.
func tabThrough(t *testing.T, tb *tab) {
	t.Helper()
	tb.click("#pause") // the rows are to stay what they are
	defer tb.click("#pause")
	tb.eval(`document.activeElement.blur(); document.body.tabIndex = -1; document.body.focus(); document.body.removeAttribute("tabindex")`)
	want := get[[]string](tb, focusable)
	var got []string
	for range len(want) + 20 {
		tb.do(chromedp.KeyEvent(kb.Tab))
		f := get[focus](tb, describe)
		if f.Name == "" || len(got) > 0 && f.Name == got[0] {
			break
		}
		if !f.Ring || !f.Visible {
			t.Errorf("the focus on %q: has a ring %t, is on the screen %t", f.Name, f.Ring, f.Visible)
		}
		got = append(got, f.Name)
	}
	for _, name := range want {
		if !slices.Contains(got, name) {
			t.Errorf("the keyboard never comes to %q", name)
		}
	}
	if got[0] != want[0] || !strings.Contains(got[0], "skip") {
		t.Errorf("it begins with %q", got[0])
	}
}

// focus puts the focus on an element, as the Tab key does.
func (tb *tab) focus(selector string) {
	tb.t.Helper()
	tb.eval(fmt.Sprintf(`document.querySelector(%q).focus()`, selector))
}

// focused is the ID of the element with the focus.
func (tb *tab) focused() string {
	tb.t.Helper()
	return get[string](tb, `document.activeElement.id`)
}

// Tables are sorted by keys, and say by what they are.
func TestSortByKeys(t *testing.T) {
	t.Parallel()
	tb := open(t, newScene(t).serve(t), "")
	header := `[data-table=names] th[data-col=submitted]`
	column := `[...document.querySelectorAll("[data-table=names] thead th")].findIndex((th) => th.dataset.col === "submitted")`
	numbers := `[...document.querySelectorAll("[data-table=names] tbody tr")].map((tr) => Number(tr.cells[` + column + `].textContent))`
	for _, c := range []struct {
		key, sort string
		in        []int
	}{{kb.Enter, "descending", []int{42, 10, 3, 1}}, {" ", "ascending", []int{1, 3, 10, 42}}, {kb.Enter, "descending", []int{42, 10, 3, 1}}} {
		tb.focus(header + " button")
		tb.press(c.key)
		if sort := get[string](tb, fmt.Sprintf(`document.querySelector(%q).ariaSort`, header)); sort != c.sort {
			t.Errorf("aria-sort is %q, not %q", sort, c.sort)
		}
		if n := get[int](tb, `document.querySelectorAll("[data-table=names] th[aria-sort$=scending]").length`); n != 1 {
			t.Errorf("it is sorted by %d columns", n)
		}
		if in := get[[]int](tb, numbers); !slices.Equal(in, c.in) {
			t.Errorf("%s: %d, not %d", c.sort, in, c.in)
		}
	}
}

// All else that a mouse can do on the page is done by keys, too.
func TestKeyboardOnly(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	tb := open(t, s.serve(t), "")
	tb.press(kb.Tab + kb.Enter)
	if at := tb.focused(); at != "main" {
		t.Errorf("the link to the content leads to %q", at)
	}
	tb.focus(`[data-chart=depth] .twin-toggle`)
	tb.press(kb.Enter)
	if !tb.shows(`[data-chart=depth] .twin`) || !tb.shows(`[data-chart=depth] [aria-pressed=true]`) {
		t.Error("the chart's table does not come")
	}
	tb.focus("#pause")
	tb.press(" ")
	tb.until(`document.querySelector("#connection").dataset.state === "paused"`)
	tb.press(" ")
	tb.live()
	tb.focus("#theme")
	for _, want := range []string{"light", "dark", "null"} {
		tb.press(kb.Enter)
		if theme := get[string](tb, `String(document.documentElement.getAttribute("data-theme"))`); theme != want {
			t.Errorf("the theme is %s, not %s", theme, want)
		}
	}
	tb.focus(`.tabs [data-view=workers]`)
	tb.press(kb.Enter)
	if at := tb.focused(); at != "h-workers" {
		t.Errorf("the focus is on %q, not on the heading of the view", at)
	}
	link := fmt.Sprintf(`[data-table=workers] a[href$="task=%d"]`, idOf(t, s.e, "upload"))
	tb.focus(link)
	tb.press(kb.Enter)
	tb.untilText("#h-task", "upload")
	if at := tb.focused(); at != "h-task" {
		t.Errorf("the focus is on %q, not on the task", at)
	}
	tb.press(kb.Escape)
	if tb.shows("#task") || !get[bool](tb, fmt.Sprintf(`document.activeElement === document.querySelector('%s')`, link)) {
		t.Error("Escape does not lead back to the link")
	}
	tb.focus("#source")
	tb.press("t") // as in a list of the system
	tb.until(`location.hash === "#/overview?source=1"`)
}

// The arrow keys go through the task stream, which is a canvas, and are told
// what is there.
func TestStreamByKeys(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	tb := open(t, s.serve(t), "#/tasks")
	tb.until(`look.inked("#stream-canvas") > 0`)
	tb.focus("#stream")
	told := func(what string) {
		t.Helper()
		tb.untilElse(fmt.Sprintf(`document.querySelector("#stream-info").textContent.includes(%q)`, what), `document.querySelector("#stream-info").textContent`)
	}
	tasks := s.e.Snapshot().Tasks
	tb.press(kb.ArrowLeft)
	told(fmt.Sprintf("%s, task %d, attempt 1, ", tasks[0].Task.Name, tasks[0].Task.ID))
	tb.press(kb.ArrowDown)
	told(fmt.Sprintf("%s, task %d, attempt 1, ", tasks[1].Task.Name, tasks[1].Task.ID))
	tb.press(kb.Enter)
	tb.untilText("#task .number", fmt.Sprintf("Task %d", tasks[1].Task.ID))
}

// Those who listen to the page hear what happens, and not too much of it.
func TestAnnouncements(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	tb := open(t, s.serve(t), "")
	if live := get[string](tb, `document.querySelector("#say").getAttribute("aria-live")`); live != "polite" {
		t.Errorf("the live region is %s", live)
	}
	tb.eval(`window.said = []; void new MutationObserver(() => said.push(document.querySelector("#say").textContent)).observe(document.querySelector("#say"), { childList: true, characterData: true, subtree: true })`)
	tb.click("#pause")
	tb.until(`said.at(-1) === "Paused"`)
	tb.click("#pause")
	tb.until(`said.at(-1) === "Live again"`)
	if n := get[int](tb, `said.length`); n > 3 {
		t.Errorf("it said %d things: %s", n, get[string](tb, `said.join()`))
	}
}

// Where less motion is preferred there is none.
func TestReducedMotion(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	site := s.serve(t)
	tb := open(t, site, "")
	tb.problems.allow("ERR_")
	site.stop()
	moving := `document.getAnimations().filter((a) => a.playState === "running").length`
	tb.until(`document.querySelector("#connection").dataset.state === "reconnecting"`)
	tb.prefer("prefers-reduced-motion", "no-preference")
	if get[int](tb, moving) == 0 {
		t.Error("nothing turns while it reconnects: there is nothing to test here")
	}
	tb.prefer("prefers-reduced-motion", "reduce")
	if n := get[int](tb, moving); n > 0 {
		t.Errorf("%d things move", n)
	}
	for _, view := range append(slices.Clone(executorViews), pipelineViews...) {
		tb.visit(view)
		if n := get[int](tb, moving); n > 0 {
			t.Errorf("%s: %d things move", view, n)
		}
		if smooth := get[string](tb, `getComputedStyle(document.documentElement).scrollBehavior`); smooth != "auto" {
			t.Errorf("%s scrolls %s", view, smooth)
		}
		js := `[...document.querySelectorAll("*")].filter((el) => getComputedStyle(el).transitionDuration.split(",").some((d) => parseFloat(d) > 0)).map((el) => el.tagName + "#" + el.id + "." + el.className)`
		if els := get[[]string](tb, js); len(els) > 0 {
			t.Errorf("%s: these change slowly: %.300q", view, els)
		}
	}
}
