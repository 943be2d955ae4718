package bench_test

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/antflow/antflow/bench"
)

// measured makes up results for all rows: in each round the contender at
// index i takes i+1 times what the base takes.
func measured() []*bench.Result {
	var results []*bench.Result
	for _, row := range bench.Rows() {
		r := &bench.Result{Row: row, Ops: row.ShortOps, Rounds: 3, Cores: []float64{2, 2, 2}}
		for i, c := range row.Cases {
			l := &bench.Line{Contender: c.Contender, Unit: "ns", Goal: c.Goal, Bytes: []float64{8}, Allocs: []float64{1}}
			for round := range 3 {
				base := float64(100 * (round + 1))
				l.Values = append(l.Values, base*float64(i+1))
				if i > 0 {
					l.Ratios = append(l.Ratios, float64(i+1))
				}
			}
			r.Lines = append(r.Lines, l)
		}
		results = append(results, r)
	}
	return results
}

func TestTableHasEveryRow(t *testing.T) {
	var b strings.Builder
	if err := bench.WriteTable(&b, measured()); err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(b.String(), "### ")
	sections := make(map[string]string)
	for section := range strings.SplitSeq(rest, "\n### ") {
		name, body, _ := strings.Cut(section, "\n")
		sections[name] = body
	}
	for _, row := range bench.Rows() {
		section, ok := sections[row.Name]
		if !ok || !strings.Contains(section, row.Title) {
			t.Errorf("no section for %s", row.Name)
		}
		for _, c := range row.Cases {
			if !strings.Contains(section, c.Contender) {
				t.Errorf("%s: nothing of %s", row.Name, c.Contender)
			}
		}
		checkTable(t, row.Name, section)
	}
	met, judged := bench.Tally(measured())
	if met == 0 || met >= judged || !strings.Contains(b.String(), "✓") || !strings.Contains(b.String(), "✗") {
		t.Errorf("%d of %d made-up goals are met", met, judged)
	}
}

// checkTable checks that each line of the table has as many cells as the
// first one.
func checkTable(t *testing.T, name, section string) {
	t.Helper()
	cells := 0
	for line := range strings.SplitSeq(section, "\n") {
		if !strings.HasPrefix(line, "|") {
			continue
		}
		n := strings.Count(line, "|")
		if cells == 0 {
			cells = n
		}
		if n != cells {
			t.Errorf("%s: %d cells instead of %d: %s", name, n-1, cells-1, line)
		}
	}
	if cells == 0 {
		t.Errorf("%s: no table", name)
	}
}

func TestTableLine(t *testing.T) {
	r := &bench.Result{
		Row: bench.Row{Name: "r", Title: "Work.", Ideal: 160, Cases: []bench.Case{{Contender: "ours"}, {Contender: "theirs"}}},
		Ops: 10, Rounds: 3, Cores: []float64{2, 1.5, 1.98},
		Lines: []*bench.Line{
			{Contender: "ours", Unit: "ns", Values: []float64{100, 300, 200}, Bytes: []float64{16}, Allocs: []float64{1},
				Goal: bench.AtMost(200).WithAllocs(2)},
			{Contender: "theirs", Unit: "ns", Values: []float64{400, 600, 1000}, Ratios: []float64{4, 2, 5},
				Bytes: []float64{0}, Allocs: []float64{0.5}, Goal: bench.Slower(4)},
		},
	}
	var b strings.Builder
	if err := bench.WriteTable(&b, []*bench.Result{r}); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"| **ours** | 200 (1.25x ideal, 80% as fast) | 100–300 |  |  | 16 | 1 | ≤ 200 ns, ≤ 2 allocs | ✓ |",
		"| theirs | 600 (3.75x ideal, 26.7% as fast) | 400–1000 | 4x | 2x–5x | 0 | 0.50 | ≥ 4x | ✓ |",
		"3 rounds of 10 operations; 1.98 (1.50–2) cores were free.",
		"**2 of 2 goals met.**",
	} {
		if !strings.Contains(b.String(), line+"\n") {
			t.Errorf("no line %q in\n%s", line, &b)
		}
	}
}

// What is measured gets into the table, of a timed row and of a probed one.
func TestMeasure(t *testing.T) {
	for _, name := range []string{"map-slice", "retry-delays", "fairness"} {
		rows := bench.Select(bench.Rows(), regexp.MustCompile("^"+name+"$"), false)
		if len(rows) != 1 {
			t.Fatalf("%d rows are named %s", len(rows), name)
		}
		r, err := bench.Measure(rows[0], bench.Settings{Rounds: 3, Short: true})
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		if err := bench.WriteTable(&b, []*bench.Result{r}); err != nil {
			t.Fatal(err)
		}
		checkTable(t, name, b.String())
		for _, l := range r.Lines {
			if len(l.Values) != 1 {
				t.Errorf("%s, %s %s: %v in one round", name, l.Contender, l.Metric, l.Values)
			}
		}
	}
}

// A contender that can't be measured is in the table all the same.
func TestAbsent(t *testing.T) {
	probe := func(int) ([]bench.Value, error) { return []bench.Value{{Name: "x", X: 1}}, nil }
	row := bench.Row{Name: "r", Ops: 1, Cases: []bench.Case{
		{Contender: "here", Probe: probe},
		{Contender: "away", Probe: func(int) ([]bench.Value, error) { return nil, errors.New("measured") }, Absent: "it is away"},
		{Contender: "here too", Probe: probe},
	}}
	r, err := bench.Measure(row, bench.Settings{Rounds: 2})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := bench.WriteTable(&b, []*bench.Result{r}); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"| x | 1 (1–1) | not measured | 1 (1–1), 1x |  |", "Not measured: away, since it is away."} {
		if !strings.Contains(b.String(), line+"\n") {
			t.Errorf("no line %q in\n%s", line, &b)
		}
	}
}

func TestChartIsWellFormed(t *testing.T) {
	results := measured()
	results[0].Lines[1].Contender = `<&">`
	var b strings.Builder
	if err := bench.WriteChart(&b, results); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	elements := 0
	for d := xml.NewDecoder(strings.NewReader(b.String())); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			elements++
		case xml.CharData:
			text.Write(token)
		}
	}
	if elements < 100 || strings.Contains(b.String(), "NaN") {
		t.Errorf("%d elements in\n%s", elements, &b)
	}
	for _, want := range []string{`<&">`, "errgroup+SetLimit", "goal ≥ 8x"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in the chart", want)
		}
	}
}

func TestUpdatePage(t *testing.T) {
	name := filepath.Join(t.TempDir(), "page.md")
	write := func(page string) {
		if err := os.WriteFile(name, []byte(page), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("before\n<!-- compare: begin -->\nold\n<!-- compare: end -->\nafter\n")
	for range 2 {
		if err := bench.UpdatePage(name, []byte("new\n")); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(name)
	if want := "before\n<!-- compare: begin -->\n\nnew\n\n<!-- compare: end -->\nafter\n"; err != nil || string(got) != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	write("no marks\n")
	if err := bench.UpdatePage(name, []byte("new\n")); err == nil {
		t.Error("a page without marks was updated")
	}
}
