package bench

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

// WriteTable writes a section of Markdown for each row: a line for each
// contender of a timed row, and for each finding of a probed one. It returns
// the first error of w.
func WriteTable(w io.Writer, results []*Result) error {
	var b strings.Builder
	for _, r := range results {
		fmt.Fprintf(&b, "### %s\n\n%s\n\n", r.Row.Name, r.Row.Title)
		if r.Probed() {
			probedTable(&b, r)
		} else {
			timedTable(&b, r)
		}
		fmt.Fprintf(&b, "\n%s of %s; %s (%s) cores were free.\n\n", count(r.Rounds, "round"), size(r),
			formatValue(Median(r.Cores)), spread(r.Cores, formatValue))
		for _, c := range r.Row.Cases {
			if c.Absent != "" {
				fmt.Fprintf(&b, "Not measured: %s, since %s.\n\n", c.Contender, c.Absent)
			}
		}
		if met, judged := Tally([]*Result{r}); met < judged && r.Row.Floor != "" {
			fmt.Fprintf(&b, "%s\n\n", r.Row.Floor)
		}
		if r.Profile != nil {
			fmt.Fprintf(&b, "%v\n\n", r.Profile)
		}
	}
	met, judged := Tally(results)
	fmt.Fprintf(&b, "**%d of %s met.**\n", met, count(judged, "goal"))
	_, err := io.WriteString(w, b.String())
	return err
}

// Tally counts the goals, and those that are met.
func Tally(results []*Result) (met, judged int) {
	for _, r := range results {
		for _, l := range r.Lines {
			ok, is := l.Met()
			if is {
				judged++
			}
			if ok {
				met++
			}
		}
	}
	return met, judged
}

func size(r *Result) string {
	if r.Probed() {
		return fmt.Sprintf("size %d", r.Ops)
	}
	return count(r.Ops, "operation")
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func timedTable(b *strings.Builder, r *Result) {
	fmt.Fprintf(b, "| contender | ns/op | min–max | × %s | min–max | B/op | allocs/op | goal | |\n", r.Row.Cases[0].Contender)
	b.WriteString("|---|--:|--:|--:|--:|--:|--:|--:|---|\n")
	for i, l := range r.Lines {
		name, ratio, ratios := l.Contender, "", ""
		if i == 0 {
			name = "**" + name + "**"
		} else {
			ratio, ratios = formatRatio(Median(l.Ratios)), spread(l.Ratios, formatRatio)
		}
		value := formatValue(Median(l.Values))
		if r.Row.Ideal > 0 {
			times := Median(l.Values) / r.Row.Ideal
			value += fmt.Sprintf(" (%s ideal, %s%% as fast)", formatRatio(times), formatValue(100/times))
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", name, value, spread(l.Values, formatValue),
			ratio, ratios, formatValue(Median(l.Bytes)), formatValue(Median(l.Allocs)), l.Goal.in(l.Unit), mark(l))
	}
}

// probedTable has a line for each metric and a column for each contender.
func probedTable(b *strings.Builder, r *Result) {
	b.WriteString("| |")
	for _, c := range r.Row.Cases {
		fmt.Fprintf(b, " %s |", c.Contender)
	}
	b.WriteString(" goal |\n|---|" + strings.Repeat("--:|", len(r.Row.Cases)) + "--:|\n")
	for rest := r.Lines; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].Metric == rest[0].Metric {
			n++
		}
		fmt.Fprintf(b, "| %s |", rest[0].Metric)
		probedLine(b, r.Row.Cases, rest[:n])
		fmt.Fprintf(b, " %s |\n", probedGoals(r.Row.Cases[0].Contender, rest[:n]))
		rest = rest[n:]
	}
}

// probedLine writes what the contenders have of one metric, each with its
// mark, and their goals.
func probedLine(b *strings.Builder, cases []Case, lines []*Line) {
	for _, c := range cases {
		if c.Absent != "" {
			b.WriteString(" not measured |")
			continue
		}
		if len(lines) == 0 || lines[0].Contender != c.Contender {
			b.WriteString(" |")
			continue
		}
		l := lines[0]
		lines = lines[1:]
		fmt.Fprintf(b, " %s", withUnit(fmt.Sprintf("%s (%s)", formatValue(Median(l.Values)), spread(l.Values, formatValue)), l.Unit))
		if ratio := Median(l.Ratios); ratio > 0 && !math.IsInf(ratio, 1) {
			fmt.Fprintf(b, ", %s", formatRatio(ratio))
		}
		if m := mark(l); m != "" {
			b.WriteString(" " + m)
		}
		b.WriteString(" |")
	}
}

// probedGoals lists the goals of a metric, and says whose they are where they
// aren't those of the base alone, or the same for all that have one.
func probedGoals(base string, lines []*Line) string {
	var goals []string
	for _, l := range lines {
		goals = append(goals, l.Goal.in(l.Unit))
	}
	if set := slices.DeleteFunc(slices.Clone(goals), func(g string) bool { return g == "" }); goals[0] != "" && len(slices.Compact(set)) == 1 {
		return goals[0]
	}
	var named []string
	for i, goal := range goals {
		if goal != "" && lines[i].Contender != base {
			goal = lines[i].Contender + " " + goal
		}
		if goal != "" {
			named = append(named, goal)
		}
	}
	return strings.Join(named, "; ")
}

// withUnit appends the unit, if there is one.
func withUnit(value, unit string) string {
	if unit == "" {
		return value
	}
	return value + " " + unit
}

func mark(l *Line) string {
	switch met, judged := l.Met(); {
	case !judged:
		return ""
	case met:
		return "✓"
	}
	return "✗"
}

func spread(values []float64, format func(float64) string) string {
	low, high := Spread(values)
	return format(low) + "–" + format(high)
}

// formatValue shows about three digits.
func formatValue(x float64) string {
	switch a := math.Abs(x); {
	case math.IsNaN(x):
		return "–"
	case a >= 99.95 || x == math.Trunc(x):
		return fmt.Sprintf("%.0f", x)
	case a >= 9.995:
		return fmt.Sprintf("%.1f", x)
	case a < 0.005:
		return "0"
	}
	return fmt.Sprintf("%.2f", x)
}

// formatRatio shows small ratios as a fraction.
func formatRatio(x float64) string {
	switch {
	case math.IsNaN(x):
		return "–"
	case x > 0 && x < 0.1:
		return fmt.Sprintf("1/%.0f", 1/x)
	}
	return formatValue(x) + "x"
}
