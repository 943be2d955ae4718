package progress

import (
	"slices"
	"strings"
)

// A table is a part of a display: a line of heads, and rows.
type table struct {
	columns []column
	rows    [][]string // clean
	more    int        // rows that were left out
	passing bool       // of the moment: nothing to leave behind
}

// A column is shown as long as those of a higher rank leave room for it.
type column struct {
	head  string
	right bool // aligned
	name  bool // may be cut down to a part of the width
	text  bool // may be cut down to what is left
	rank  int
	style style // of what isn't empty or 0
}

const (
	mostRows  = 256
	leastName = 8
	leastText = 16
	gap       = "  "
)

func (t *table) add(row ...string) { t.rows = append(t.rows, row) }

// full reports whether no screen is going to have more rows.
func (t *table) full() bool { return len(t.rows) >= mostRows }

// height is how many lines the table has when there is room.
func (t *table) height() int {
	switch {
	case len(t.rows) == 0:
		return 0
	case t.more > 0:
		return len(t.rows) + 2
	}
	return len(t.rows) + 1
}

// lines are the table in at most height lines of at most width cells.
func (t *table) lines(width, height int, colors palette) []string {
	if height <= 0 || len(t.rows) == 0 {
		return nil
	}
	rows, more := t.rows, t.more
	if t.height() > height {
		rows = rows[:max(height-2, 0)]
		more = t.more + len(t.rows) - len(rows)
	}
	var lines []string
	if height > 1 {
		shown, widths := t.choose(rows, width)
		lines = append(lines, colors.text(dim, t.line(shown, widths, t.heads(), plain)))
		for _, row := range rows {
			lines = append(lines, t.line(shown, widths, row, colors))
		}
	}
	if more > 0 {
		lines = append(lines, colors.text(dim, cut("… "+count(more)+" more", width)))
	}
	return lines
}

func (t *table) heads() []string {
	heads := make([]string, len(t.columns))
	for i, c := range t.columns {
		heads[i] = c.head
	}
	return heads
}

// choose decides which columns are shown, and how wide they are.
func (t *table) choose(rows [][]string, width int) (shown, widths []int) {
	natural, least := make([]int, len(t.columns)), make([]int, len(t.columns))
	left := width + len(gap)
	for i, c := range t.columns {
		natural[i] = cells.String(c.head)
		for _, row := range rows {
			natural[i] = max(natural[i], cells.String(row[i]))
		}
		if natural[i] == 0 {
			continue
		}
		least[i] = natural[i]
		switch {
		case c.name:
			natural[i] = min(natural[i], max(width/3, leastName))
			least[i] = min(natural[i], leastName)
		case c.text:
			least[i] = min(natural[i], leastText)
		}
		shown = append(shown, i)
		left -= least[i] + len(gap)
	}
	for left < 0 && len(shown) > 1 {
		lowest := slices.MinFunc(shown, func(i, j int) int { return t.columns[i].rank - t.columns[j].rank })
		shown = slices.DeleteFunc(shown, func(i int) bool { return i == lowest })
		left += least[lowest] + len(gap)
	}
	for _, i := range shown {
		wider := max(min(natural[i]-least[i], left), 0)
		left -= wider
		widths = append(widths, min(least[i]+wider, width))
	}
	return shown, widths
}

// line is one row; what would only be blanks at its end is left out.
func (t *table) line(shown, widths []int, row []string, colors palette) string {
	var b strings.Builder
	blanks := 0
	for k, i := range shown {
		c := &t.columns[i]
		cell := cut(row[i], widths[k])
		pad := widths[k] - cells.String(cell)
		if c.right {
			blanks += pad
			pad = 0
		}
		if cell != "" {
			for ; blanks > 0; blanks-- {
				b.WriteByte(' ')
			}
			style := c.style
			if cell == "0" {
				style = normal
			}
			b.WriteString(colors.text(style, cell))
		}
		blanks += pad + len(gap)
	}
	return b.String()
}
