package browser_test

import (
	"context"
	_ "embed"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// look is what the tests look at pages with.
//
//go:embed testdata/look.js
var look string

// patience is for what happens within a second on a quiet machine.
const patience = 30 * time.Second

// A size is that of a window, in CSS pixels.
type size struct{ width, height int64 }

var (
	desktop = size{1280, 900}
	phone   = size{390, 844}
	narrow  = size{360, 740}
)

// A tab shows a page. Its cookies, storage and cache are its own.
type tab struct {
	t        *testing.T
	ctx      context.Context
	problems *problems
}

// newTab opens an empty tab, which is closed with the test. Problems of what is
// shown there fail the test.
func newTab(t *testing.T) *tab {
	t.Helper()
	parent := chrome.need(t)
	p := &problems{}
	ctx, cancel := chromedp.NewContext(parent, chromedp.WithNewBrowserContext(), chromedp.WithListener(p.hear))
	tb := &tab{t: t, ctx: ctx, problems: p}
	t.Cleanup(func() {
		for _, text := range p.take() {
			t.Errorf("on the page: %s", text)
		}
		cancel()
	})
	tb.do(chromedp.EmulateViewport(desktop.width, desktop.height), command(audits.Enable, cdp.Empty{}),
		command(emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true}), // as if there were no other tabs
		command(page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: look}))
	p.tab = tb
	return tb
}

// open shows the page of a site, and waits until it has data.
func open(t *testing.T, s *site, hash string) *tab {
	t.Helper()
	tb := newTab(t)
	tb.load(s, hash)
	return tb
}

func (tb *tab) load(s *site, hash string) {
	tb.t.Helper()
	tb.problems.origin = s.url("")
	tb.do(chromedp.Navigate(s.url(mount + hash)))
	tb.live()
}

// live waits until the page says so, and its view has been drawn.
func (tb *tab) live() {
	tb.t.Helper()
	tb.until(`document.querySelector("#connection").dataset.state === "live"`)
	tb.drawn()
}

// drawn waits for two frames: whatever the page knew has been drawn then.
func (tb *tab) drawn() {
	tb.t.Helper()
	tb.await(`new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))`)
}

// visit goes to a view by its hash, as a link does.
func (tb *tab) visit(hash string) {
	tb.t.Helper()
	tb.eval(fmt.Sprintf(`void (location.hash = %q)`, hash))
	tb.drawn()
}

// unheard has the browser tell nothing of the network, where each message would
// be told.
func (tb *tab) unheard() {
	tb.t.Helper()
	tb.do(command(network.Disable, cdp.Empty{}))
}

// command is an action of the debugging protocol.
func command[P, R any](c cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, c, params)
		return err
	})
}

func (tb *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	tb.t.Helper()
	if chromedp.FromContext(tb.ctx).Target == nil { // the first step makes it, and ends it with its context
		if err := chromedp.Do(tb.ctx); err != nil {
			tb.t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(tb.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		tb.t.Fatal(err)
	}
}

// get returns the value of a JavaScript expression.
func get[T any](tb *tab, js string) T {
	tb.t.Helper()
	ctx, cancel := context.WithTimeout(tb.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](js, chromedp.EvalAwaitPromise))
	if err != nil {
		tb.t.Fatalf("%v in %.300s", err, js)
	}
	return v
}

// eval runs JavaScript.
func (tb *tab) eval(js string) {
	tb.t.Helper()
	get[chromedp.Void](tb, js)
}

// await runs JavaScript up to the end of the promise that it returns.
func (tb *tab) await(js string) {
	tb.t.Helper()
	tb.eval(js + `.then(() => undefined)`)
}

// until waits until a condition holds.
func (tb *tab) until(js string) {
	tb.t.Helper()
	tb.untilElse(js, `document.body.innerText.slice(0, 1500)`)
}

// untilElse waits until a condition holds, or fails with the value of another
// expression.
func (tb *tab) untilElse(js, otherwise string) {
	tb.t.Helper()
	deadline := time.Now().Add(patience)
	for !get[bool](tb, `Boolean(`+js+`)`) {
		if time.Now().After(deadline) {
			tb.t.Fatalf("it never comes to %s, but to:\n%s", js, get[string](tb, `String(`+otherwise+`)`))
		}
		time.Sleep(20 * time.Millisecond) // between two looks: no bubble has a browser
	}
}

// untilText waits until an element has that text.
func (tb *tab) untilText(selector, want string) {
	tb.t.Helper()
	find := fmt.Sprintf(`document.querySelector(%q)`, selector)
	tb.untilElse(fmt.Sprintf(`%s?.textContent.trim() === %q`, find, want), find+`?.textContent`)
}

// text is that of the first element.
func (tb *tab) text(selector string) string {
	tb.t.Helper()
	return strings.TrimSpace(get[string](tb, fmt.Sprintf(`document.querySelector(%q)?.textContent ?? "(no %s)"`, selector, selector)))
}

// texts are those of all elements.
func (tb *tab) texts(selector string) []string {
	tb.t.Helper()
	return get[[]string](tb, fmt.Sprintf(`[...document.querySelectorAll(%q)].map((el) => el.textContent.trim())`, selector))
}

// shows reports whether there is such an element for the eye.
func (tb *tab) shows(selector string) bool {
	tb.t.Helper()
	return get[bool](tb, fmt.Sprintf(`[...document.querySelectorAll(%q)].some((el) => el.checkVisibility({ visibilityProperty: true }))`, selector))
}

// click hits the middle of an element with the mouse.
func (tb *tab) click(selector string) {
	tb.t.Helper()
	tb.do(chromedp.Click(chromedp.CSS(selector)))
	tb.drawn()
}

// press types keys, each of which is one of package kb or a letter.
func (tb *tab) press(keys string, opts ...chromedp.KeyOption) {
	tb.t.Helper()
	tb.do(chromedp.KeyEvent(keys, opts...))
	tb.drawn()
}

// resize changes the window.
func (tb *tab) resize(s size) {
	tb.t.Helper()
	tb.do(chromedp.EmulateViewport(s.width, s.height))
	tb.drawn()
}

// prefer sets features of media queries, such as "prefers-color-scheme".
func (tb *tab) prefer(pairs ...string) {
	tb.t.Helper()
	var p emulation.SetEmulatedMediaParams
	for i := 0; i < len(pairs); i += 2 {
		p.Features = append(p.Features, &emulation.MediaFeature{Name: pairs[i], Value: pairs[i+1]})
	}
	tb.do(command(emulation.SetEmulatedMedia, p))
	tb.drawn()
}
