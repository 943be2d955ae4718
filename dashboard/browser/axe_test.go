package browser_test

import (
	_ "embed"
	"fmt"
	"strings"
	"testing"

	"github.com/antflow/antflow/dashboard"
)

// axe is axe-core, which looks for what keeps people from using a page.
//
//go:embed testdata/axe.min.js
var axe string

// A violation is what axe finds.
type violation struct {
	ID     string   `json:"id"`
	Impact string   `json:"impact"`
	Help   string   `json:"help"`
	Nodes  []string `json:"nodes"`
}

func (v violation) String() string {
	return fmt.Sprintf("%s %s: %s\n\t%s", v.Impact, v.ID, v.Help, strings.Join(v.Nodes, "\n\t"))
}

// violations runs some of axe's rules, or all.
func violations(tb *tab, rules ...string) []violation {
	tb.t.Helper()
	only := ""
	if len(rules) > 0 {
		only = fmt.Sprintf(`runOnly: %s,`, jsonOf(rules))
	}
	return get[[]violation](tb, fmt.Sprintf(`axe.run(document, { %s preload: false, iframes: false, resultTypes: ["violations"] }).then((result) => result.violations.map((v) => (
		{ id: v.id, impact: v.impact, help: v.help, nodes: v.nodes.slice(0, 5).map((n) => n.target.join(" ") + " " + n.html.slice(0, 160) + " " + (n.any[0]?.message ?? "")) })))`, only))
}

// Nothing serious keeps people from using the page: on any view, light or dark,
// on a phone or a desktop.
func TestAccessible(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	tb := open(t, s.serve(t, dashboard.AllowActions(everybody)), "")
	tb.eval(axe + "; void 0")
	failure := get[string](tb, `fetch("failures.json").then((r) => r.json()).then((f) => f.groups.find((g) => g.stack).key)`)
	steps := []struct {
		name string
		do   func()
	}{
		{"overview", func() { tb.visit("#/overview") }},
		{"overview as tables", func() { tb.eval(`document.querySelectorAll(".twin-toggle").forEach((b) => b.click())`) }},
		{"tasks", func() { tb.visit("#/tasks"); tb.until(`look.rows("#tasks").length > 0`) }},
		{"stream as a table", func() { tb.click("#stream-toggle") }},
		{"workers", func() { tb.visit("#/workers") }},
		{"task", func() {
			tb.visit(fmt.Sprintf("#/workers?task=%d", idOf(t, s.e, "upload")))
			tb.untilText("#h-task", "upload")
		}},
		{"question", func() { tb.click("#cancel") }},
		{"failures", func() { tb.click("#confirm-no"); tb.visit("#/failures") }},
		{"failure", func() {
			tb.visit("#/failures?key=" + failure)
			tb.until(`document.querySelector("#group .stack")?.checkVisibility()`)
		}},
		{"pipeline", func() { tb.visit("#/overview?source=1") }},
		{"stages", func() { tb.visit("#/stages?source=1") }},
		{"items", func() { tb.visit("#/tasks?source=1"); tb.until(`look.rows("#tasks").length > 0`) }},
		{"item", func() { tb.visit("#/tasks?source=1&task=1"); tb.untilText("#h-task", "decode") }},
		{"failed items", func() { tb.visit("#/failures?source=1") }},
	}
	for _, step := range steps {
		t.Run(strings.ReplaceAll(step.name, " ", "-"), func(t *testing.T) {
			tb.resize(desktop)
			step.do()
			accessible(t, tb)
		})
	}
}

// accessible checks what the tab shows, at both sizes and in both schemes.
func accessible(t *testing.T, tb *tab) {
	t.Helper()
	for _, at := range []size{desktop, phone} {
		tb.resize(at)
		for _, scheme := range []string{"light", "dark"} {
			tb.prefer("prefers-color-scheme", scheme)
			rules := []string{"color-contrast"} // the only one that knows colours
			if scheme == "light" {
				rules = nil
			}
			for _, v := range violations(tb, rules...) {
				t.Errorf("%s, %d px wide: %v", scheme, at.width, v)
			}
		}
	}
}
