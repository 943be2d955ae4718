package progress

import "time"

// A style is how a text looks: the parameter of the sequence that selects it.
type style string

const (
	normal style = ""
	dim    style = "2"
	red    style = "31"
	green  style = "32"
	yellow style = "33"
)

// A palette colors texts, or leaves them as they are.
type palette bool

const plain palette = false

func (p palette) text(s style, text string) string {
	if !bool(p) || s == normal || text == "" {
		return text
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[m"
}

// A view is what a display shows at an instant.
type view struct {
	figures
	title   string
	known   bool    // the total is
	rate    float64 // done in a second, smoothed
	eta     time.Duration
	hasETA  bool
	elapsed time.Duration
	tables  []table
}

// height is how many lines the view has when there is room.
func (v *view) height() int {
	n := 1
	for i := range v.tables {
		n += v.tables[i].height()
	}
	return n
}

// lines are the view in at most height lines of at most width cells.
func (v *view) lines(width, height int, colors palette) []string {
	lines := []string{v.headline(width, colors)}
	return append(lines, v.rows(width, height-1, colors)...)
}

// rows are its tables.
func (v *view) rows(width, height int, colors palette) (lines []string) {
	needs := make([]int, len(v.tables))
	for i := range v.tables {
		needs[i] = v.tables[i].height()
	}
	for i, n := range share(height, needs) {
		lines = append(lines, v.tables[i].lines(width, n, colors)...)
	}
	return lines
}

// share divides n lines among parts that need some: all get the same, but none
// more than it needs.
func share(n int, needs []int) []int {
	shares := make([]int, len(needs))
	for n > 0 {
		hungry := 0
		for i, need := range needs {
			if shares[i] < need {
				hungry++
			}
		}
		if hungry == 0 {
			break
		}
		each := max(n/hungry, 1)
		for i, need := range needs {
			more := min(each, need-shares[i], n)
			shares[i] += more
			n -= more
		}
	}
	return shares
}
