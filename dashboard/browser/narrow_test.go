package browser_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/dashboard"
)

// No view is wider than its window, down to 360 px, whatever is in it: names
// without an end, texts without a space or a letter, and of either direction.
func TestFitsNarrowWindows(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("NameWithoutAnEnd", 1<<16) // 1 MiB
	s := newScene(t)
	tb := open(t, newSite(t, dashboard.Handler(dashboard.Executor(s.e), dashboard.Pipeline("thumbnails", &s.run.Monitor), dashboard.Title(long),
		dashboard.Executor(newExecutor(t, 1, antflow.ExecutorName(long))), dashboard.AllowActions(everybody))), "#/tasks")
	for _, text := range []string{long, "مرحبا بالعالم " + strings.Repeat("ش", 300), strings.Repeat("🐜", 200), strings.Repeat("a b ", 300), ""} {
		s.e.Go(context.Background(), func(ctx context.Context) error { return errors.New(text) }, antflow.TaskName(text), antflow.Priority(5))
	}
	hold := make(gate)
	f := s.e.Go(context.Background(), func(ctx context.Context) error {
		antflow.SetStatus(ctx, long)
		return hold.pass(ctx)
	}, antflow.TaskName(long), antflow.Priority(4), antflow.Retries(2))
	s.pages <- struct{}{} // makes room for them
	tb.until(`look.rows("#tasks").some((row) => row.includes("NameWithoutAnEnd") && row.includes("Running"))`)
	failure := get[string](tb, `fetch("failures.json").then((r) => r.json()).then((f) => f.groups.find((g) => g.name.startsWith("NameWith")).key)`)

	places := append(append([]string{"#/overview?source=2", "#/failures?key=" + failure, fmt.Sprintf("#/tasks?task=%d", f.ID()), "#/tasks?source=1&task=1"}, executorViews...), pipelineViews...)
	for _, width := range []int64{360, 390, 700, 900, 1100, 1280} {
		tb.resize(size{width, 740})
		for _, place := range places {
			tb.visit(place)
			if strings.Contains(place, "task=") {
				tb.until(`document.querySelector("#task .facts")?.textContent`)
			}
			if wide := get[[]string](tb, `look.wide()`); len(wide) > 0 {
				t.Errorf("%s at %d px: %.600s", place, width, strings.Join(wide, "\n\t"))
			}
		}
	}
	// Nothing that is to be clicked is off the screen, or below something else.
	tb.resize(narrow)
	tb.visit("#/workers")
	for _, selector := range []string{"#pause", "#theme", "#source", "#drain", "#worker-actions .resize", ".tabs [data-view=failures]"} {
		js := fmt.Sprintf(`(() => {
			const el = document.querySelector(%q);
			el.scrollIntoView({ block: "center", inline: "center" });
			const box = el.getBoundingClientRect();
			const at = document.elementFromPoint((box.left + box.right) / 2, (box.top + box.bottom) / 2);
			return el === at || el.contains(at) || Boolean(at?.contains(el)) && at.matches("label");
		})()`, selector)
		if !get[bool](tb, js) {
			t.Errorf("%s can't be clicked", selector)
		}
	}
}
