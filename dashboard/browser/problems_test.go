package browser_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// problems are what goes wrong in a tab, as far as the browser notices.
type problems struct {
	tab    *tab
	origin string // where requests may go

	mu     sync.Mutex
	texts  []string
	expect []string
}

// allow says that problems with such a text are part of the test.
func (p *problems) allow(texts ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expect = append(p.expect, texts...)
}

// take returns the problems, and forgets them.
func (p *problems) take() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	texts := p.texts
	p.texts = nil
	return texts
}

func (p *problems) add(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	text := fmt.Sprintf(format, args...)
	if !slices.ContainsFunc(p.expect, func(known string) bool { return strings.Contains(text, known) }) {
		p.texts = append(p.texts, text)
	}
}

// hear is told of the events of the tab, in their order.
func (p *problems) hear(ev any) {
	switch ev := ev.(type) {
	case *runtime.EventExceptionThrown:
		text := ev.ExceptionDetails.Text
		if ev.ExceptionDetails.Exception != nil {
			text += " " + ev.ExceptionDetails.Exception.Description
		}
		p.add("exception: %s", text)
	case *runtime.EventConsoleAPICalled:
		args, _ := json.Marshal(ev.Args)
		p.add("console.%s: %s", ev.Type, args)
	case *log.EventEntryAdded:
		p.add("%s of %s: %s %s", ev.Entry.Level, ev.Entry.Source, ev.Entry.Text, ev.Entry.URL)
	case *audits.EventIssueAdded:
		details, _ := json.Marshal(ev.Issue.Details)
		if strings.Contains(string(details), "NavigationEntryMarkedSkippable") {
			return // a place that a test went to, not a user
		}
		p.add("issue %s: %s", ev.Issue.Code, details)
	case *network.EventRequestWillBeSent:
		url := ev.Request.URL
		if p.origin != "" && !strings.HasPrefix(url, p.origin) && !strings.HasPrefix(url, "data:") {
			p.add("request to another place: %s", url)
		}
	case *page.EventJavascriptDialogOpening:
		p.add("dialog %s: %s", ev.Type, ev.Message)
		go p.dismiss() // the page stands still until then, and events come first
	}
}

func (p *problems) dismiss() {
	chromedp.Do(p.tab.ctx, command(page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{}))
}

// TestProblemsAreSeen makes each kind of problem: what all other tests rely on.
func TestProblemsAreSeen(t *testing.T) {
	t.Parallel()
	tb := open(t, newSite(t, newScene(t).handler()), "")
	for _, c := range []struct{ name, js, want string }{
		{"console", `console.error("one")`, `console.error: [{"type":"string","value":"one"}]`},
		{"exception", `setTimeout(() => { throw new Error("two") })`, "exception: Uncaught Error: two"},
		{"rejection", `Promise.reject(new Error("three"))`, "exception: Uncaught (in promise) Error: three"},
		{"inline script", `document.body.append(Object.assign(document.createElement("script"), { textContent: "window.pwned = true" }))`, `"script-src-elem"`},
		{"inline handler", `document.body.setAttribute("onclick", "window.pwned = true")`, `"script-src-attr"`},
		{"inline style", `document.body.setAttribute("style", "color: red")`, `"style-src-attr"`},
		{"foreign image", `document.body.append(Object.assign(new Image(), { src: "http://` + elsewhere + `/x.png" }))`, `"img-src"`},
		{"foreign request", `fetch("http://` + elsewhere + `/").catch(() => {})`, `"connect-src"`},
		{"missing file", `fetch("no-such-file.json")`, "error of network: Failed to load resource: the server responded with a status of 404"},
		{"dialog", `setTimeout(() => alert("four"))`, "dialog alert: four"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tb.eval(`void (` + c.js + `)`)
			var all []string
			for deadline := time.Now().Add(patience); ; tb.drawn() {
				all = append(all, tb.problems.take()...)
				if slices.ContainsFunc(all, func(text string) bool { return strings.Contains(text, c.want) }) {
					return
				}
				if time.Now().After(deadline) {
					t.Fatalf("not noticed; only %q", all)
				}
			}
		})
	}
	if get[bool](tb, `"pwned" in window`) {
		t.Error("an inline script was run")
	}
	tb.drawn()
	tb.problems.take() // what came in twice
}

// TestViewsHaveNoProblems goes everywhere while everything moves, and uses every
// control: whatever is a problem then fails the test.
func TestViewsHaveNoProblems(t *testing.T) {
	t.Parallel()
	l, s := newLively(t)
	tb := open(t, s, "")
	wait(t, func() string { return fmt.Sprint(l.e.Stats()) }, func() bool { return l.e.Stats().Failed > 0 })
	tb.problems.allow("task.json") // an item may have left before it is asked for
	used := 0
	for _, view := range append(slices.Clone(executorViews), pipelineViews...) {
		tb.visit(view)
		tb.until(`document.querySelector("#connection").dataset.state === "live"`)
		// Twice, for what is switched on is to be switched off again.
		used += get[int](tb, `(() => {
			const els = [...document.querySelectorAll("main button, main input[type=radio], #theme, #pause")]
				.filter((el) => el.checkVisibility() && !el.matches("#drain, .resize"));
			for (const el of [...els, ...els]) el.click();
			return els.length;
		})()`)
		tb.drawn()
		for _, link := range []string{"main tbody a[href]", "main ol a[href]"} {
			if tb.shows(link) {
				tb.eval(fmt.Sprintf(`[...document.querySelectorAll(%q)].find((el) => el.checkVisibility()).click()`, link))
				tb.drawn()
			}
		}
		tb.live()
	}
	if used < 60 {
		t.Errorf("only %d controls were there", used)
	}
	if text := strings.ReplaceAll(s.refusals(), "GET "+mount+"task.json Not Found", ""); strings.TrimSpace(text) != "" {
		t.Errorf("the server refused\n%s", text)
	}
}
