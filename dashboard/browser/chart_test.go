package browser_test

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/antflow/antflow"
)

// What the stack of a chart shows at its right edge is in proportion to the
// figures of its legend, and of its table.
func TestStackShowsFigures(t *testing.T) {
	t.Parallel()
	tb := open(t, newScene(t).serve(t), "")
	// The first points are no area yet.
	tb.until(`look.stack("depth").every((part) => part > 0)`)
	if got, want := get[string](tb, `look.legend("depth")`), "3 | 1 | 2 | 5"; got != want {
		t.Fatalf("the legend says %s, not %s", got, want)
	}
	for i, part := range get[[]float64](tb, `look.stack("depth")`) {
		if want := []float64{3, 1, 2, 5}[i] / 12; math.Abs(part-want) > 0.025 {
			t.Errorf("series %d takes %.3f of the height, not %.3f", i, part, want)
		}
	}
	tb.click(`[data-chart="depth"] .twin-toggle`)
	rows := get[[]string](tb, `look.rows('[data-chart="depth"] .twin')`)
	if len(rows) == 0 {
		t.Fatal("the table is empty")
	}
	for _, row := range rows {
		if !strings.HasSuffix(row, " | 3 | 1 | 2 | 5") {
			t.Errorf("the table says %s", row)
		}
	}
	if heads := strings.Join(tb.texts(`[data-chart="depth"] .twin thead th`), " "); heads != "Time running blocked waiting queued" {
		t.Errorf("the columns are %s", heads)
	}
	tb.click(`[data-chart="depth"] .twin-toggle`)
	if tb.shows(`[data-chart="depth"] .twin`) || !tb.shows(`[data-chart="depth"] canvas`) {
		t.Error("the chart is not back")
	}
}

// Each chart is drawn, in the colours of its legend, and its table has what the
// legend says when the pointer is there.
func TestChartsHaveTwins(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	close(s.pages) // makes room
	go func() {    // all figures are to move
		for n := 0; ctx.Err() == nil; n++ {
			f := s.e.Go(ctx, func(ctx context.Context) error {
				time.Sleep(time.Duration(n%7) * time.Millisecond) // the work, which the browser sees by its clock
				if n%3 == 0 {
					return errReset
				}
				return nil
			}, antflow.TaskName("parse page"))
			select {
			case s.image <- struct{}{}:
				s.run.Feed(ctx, 0)
			default:
			}
			settled(f)
		}
	}()
	tb := open(t, s.serve(t), "")
	for source, ids := range [][]string{{"throughput", "depth", "queueing", "running"}, {"throughput", "inside", "waiting", "stages"}} {
		tb.visit(fmt.Sprintf("#/overview?source=%d", source))
		tb.until(`document.querySelectorAll("#view-overview canvas").length === 4`)
		for _, id := range ids {
			figure := fmt.Sprintf(`[data-chart=%s]`, id)
			tb.until(fmt.Sprintf(`look.hover(%q).length > 5`, id))
			if n := get[int](tb, fmt.Sprintf(`look.inked('%s canvas')`, figure)); n < 200 {
				t.Errorf("%s: only %d pixels are drawn", id, n)
			}
		}
		tb.click("#pause") // or the charts go on while they are compared
		for _, id := range ids {
			t.Run(fmt.Sprintf("%d %s", source, id), func(t *testing.T) { compareTwin(t, tb, id) })
		}
		tb.click("#pause")
		tb.live()
	}
}

func compareTwin(t *testing.T, tb *tab, id string) {
	figure := fmt.Sprintf(`[data-chart=%s]`, id)
	values := tb.texts(figure + " .legend b")
	for i, value := range slices.Backward(values) {
		if strings.Trim(value, "0–/s") == "" {
			continue
		}
		js := fmt.Sprintf(`look.inked('%s canvas', getComputedStyle(document.querySelectorAll('%s .swatch')[%d]).color)`, figure, figure, i)
		if get[int](tb, js) == 0 {
			t.Errorf("series %d is %s, but has no pixel", i, value)
		}
		break // the others may be below this one
	}
	told := get[[]string](tb, fmt.Sprintf(`look.hover(%q)`, id))
	tb.click(figure + " .twin-toggle")
	rows := get[[]string](tb, fmt.Sprintf(`look.rows('%s .twin')`, figure))
	tb.click(figure + " .twin-toggle")
	if len(rows) < 2 {
		t.Fatalf("the table has %d rows", len(rows))
	}
	for _, row := range rows {
		if !slices.Contains(told, row) {
			t.Errorf("the table says %s, the chart none of that, but\n%s", row, strings.Join(told, "\n"))
		}
	}
	if first := strings.SplitN(rows[0], " | ", 2)[1]; !strings.ContainsAny(first, "123456789") {
		t.Errorf("there are no figures: %s", rows[0])
	}
}

// laneColors is what the eye sees at the right edge of each lane, where what
// runs is: a name of the legend.
const laneColors = `(() => {
  const canvas = document.querySelector("#stream-canvas");
  const { data, width } = look.pixels(canvas);
  const ratio = canvas.width / canvas.getBoundingClientRect().width;
  const names = [...document.querySelectorAll("#stream-legend li")].filter((li) => li.querySelector("i.mark"))
    .map((li) => [li.textContent, look.rgb(getComputedStyle(li.querySelector("i.mark")).backgroundColor)]);
  const x = Math.round(width - (6 + 5) * ratio);
  return Array.from({ length: LANES }, (_, w) => {
    for (let y = 0; y < 18; y++) {
      const i = 4 * (Math.round((4 + 22 * w + y) * ratio) * width + x);
      const found = names.find(([, rgb]) => look.near(data, i, rgb));
      if (found) return found[0];
    }
    return "";
  });
})()`

// The lanes of the task stream show what runs, in the colours of the legend, and
// their table has the same; so has what the pointer is on.
func TestStreamHasTwin(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	tb := open(t, s.serve(t), "#/tasks")
	for range 3 { // some that end while somebody looks
		s.pages <- struct{}{}
	}
	var want []string
	lanes := 0
	for _, task := range s.e.Snapshot().Tasks {
		lanes = max(lanes, task.Worker+1)
	}
	want = make([]string, lanes)
	for _, task := range s.e.Snapshot().Tasks {
		want[task.Worker] = task.Task.Name
	}
	js := strings.Replace(laneColors, "LANES", fmt.Sprint(lanes), 1)
	tb.untilElse(fmt.Sprintf(`JSON.stringify(%s) === %q`, js, jsonOf(want)), js)

	tb.do(hover("#stream-canvas", -8, 4+11)) // worker 0, now
	tb.until(`!document.querySelector("#stream-tip").hidden`)
	tip := tb.text("#stream-tip")
	if !strings.HasPrefix(tip, want[0]) || !strings.Contains(tip, "worker 0") {
		t.Errorf("the pointer on worker 0 is told of %q", tip)
	}
	tb.click("#stream-toggle")
	table := `look.rows("#stream-twin")`
	for _, task := range s.e.Snapshot().Tasks {
		state := map[bool]string{false: "Running", true: "Blocked"}[task.Blocked]
		row := fmt.Sprintf("%d | %s | %d | %d | %s | ", task.Worker, task.Task.Name, task.Task.ID, task.Task.Attempt, state)
		tb.untilElse(fmt.Sprintf(`%s.some((row) => row.startsWith(%q))`, table, row), table+`.join("\n")`)
	}
	done := table + `.filter((row) => row.includes("| Done |")).length`
	tb.untilElse(done+` === 3`, table+`.join("\n")`)
	s.pages <- struct{}{}
	tb.untilElse(done+` === 4`, table+`.join("\n")`)
}

// A table that is shown in place of a chart goes on as that would.
func TestTwinsMove(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	tb := open(t, s.serve(t), "")
	tb.click(`[data-chart=depth] .twin-toggle`)
	for n := range 3 {
		s.pages <- struct{}{}
		tb.untilElse(fmt.Sprintf(`look.rows("[data-chart=depth] .twin")[0].endsWith(" | 3 | 1 | 2 | %d")`, 4-n), `look.rows("[data-chart=depth] .twin").join("\n")`)
	}
}
