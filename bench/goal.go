package bench

import "fmt"

type goalKind int

const (
	reported goalKind = iota
	slower
	within
	atMost
)

// A Goal is what a contender's figures are judged by. The zero Goal judges
// nothing.
type Goal struct {
	kind   goalKind
	x      float64
	allocs float64 // unless 0, how many allocations an operation may have
	note   string
}

// Slower is met by a contender that takes at least ratio times what the base
// takes: the goal of a peer beside antflow.
func Slower(ratio float64) Goal { return Goal{kind: slower, x: ratio} }

// Within is met by a contender that takes at most ratio times what the base
// takes.
func Within(ratio float64) Goal { return Goal{kind: within, x: ratio} }

// AtMost is met by a value up to x, in its own unit.
func AtMost(x float64) Goal { return Goal{kind: atMost, x: x} }

// WithAllocs is g for a timed contender that also has at most n allocations for
// each operation.
func (g Goal) WithAllocs(n float64) Goal {
	g.allocs = n
	return g
}

// Note is no goal but a remark that is printed in its place.
func Note(remark string) Goal { return Goal{note: remark} }

// Met reports whether the goal is met, and whether there is one at all.
func (g Goal) Met(value, ratio float64) (met, judged bool) {
	switch g.kind {
	case slower:
		return ratio >= g.x, true
	case within:
		return ratio <= g.x, true
	case atMost:
		return value <= g.x, true
	}
	return false, false
}

// met reports whether what was measured of a contender meets all of the goal.
func (g Goal) met(value, ratio, allocs float64) (met, judged bool) {
	met, judged = g.Met(value, ratio)
	return met && (g.allocs == 0 || allocs <= g.allocs), judged
}

// ratio is the mark for the goal on a scale of ratios; 0 if it has none.
func (g Goal) ratio() float64 {
	if g.kind == slower || g.kind == within {
		return g.x
	}
	return 0
}

// in returns the goal as it is printed beside values of the unit.
func (g Goal) in(unit string) string {
	text := g.String()
	if g.kind == atMost {
		text = withUnit(text, unit)
	}
	if g.allocs > 0 {
		text += fmt.Sprintf(", ≤ %g allocs", g.allocs)
	}
	return text
}

// String returns the goal without units.
func (g Goal) String() string {
	switch g.kind {
	case slower:
		return fmt.Sprintf("≥ %gx", g.x)
	case within:
		return fmt.Sprintf("≤ %gx", g.x)
	case atMost:
		return fmt.Sprintf("≤ %g", g.x)
	}
	return g.note
}
