package progress

import (
	"fmt"
	"strings"
)

// A screen is what there is of displays on a terminal: lines, of which the last
// one has the cursor at its end. So what somebody else prints there follows the
// last line, and isn't overwritten where that is the only one; and an end of the
// program without a stop leaves nothing behind but these lines.
//
// Two other ways keep what others print apart from the displays. A scroll region
// above them has to be taken back in the end, and a program that is killed can't.
// The cursor above them leaves the shell's prompt amid the lines.
type screen struct {
	rigid  bool  // lines stay as they are when the terminal becomes narrower
	width  int   // of the terminal, when they were written
	widths []int // of the lines
	used   bool  // a line was written
}

// The sequences that are used; any terminal of the last decades knows them.
const (
	toStart    = "\r"
	up         = "\x1b[%dA"
	eraseLine  = "\x1b[K" // from the cursor on
	eraseBelow = "\x1b[J"
	wrapOff    = "\x1b[?7l"
	wrapOn     = "\x1b[?7h"
	nextLine   = "\r\n"
)

// back moves to the start of the lines.
func (s *screen) back(b *strings.Builder, width int) {
	b.WriteString(toStart)
	height := len(s.widths)
	if width < s.width && !s.rigid {
		height = 0
		for _, w := range s.widths {
			height += max((w+width-1)/width, 1)
		}
	}
	if height > 1 {
		fmt.Fprintf(b, up, height-1)
	}
}

// show replaces the lines. All are shorter than width, so that the cursor is
// never beyond the last column, where terminals differ; and should one of them
// take more cells than we think, it is clipped and doesn't wrap.
func (s *screen) show(lines []string, width int) string {
	var b strings.Builder
	if !s.used {
		// Nobody knows where the cursor is. So many blanks get it to the next
		// line unless it is at the start of one.
		b.WriteString(strings.Repeat(" ", width-1))
		s.used = true
	}
	s.back(&b, width)
	b.WriteString(wrapOff)
	s.widths, s.width = s.widths[:0], width
	for i, line := range lines {
		if i > 0 {
			b.WriteString(nextLine)
		}
		b.WriteString(line)
		b.WriteString(eraseLine)
		s.widths = append(s.widths, cells.String(line))
	}
	b.WriteString(eraseBelow)
	b.WriteString(wrapOn)
	return b.String()
}

// clear takes the lines away, and leaves the cursor where they began.
func (s *screen) clear(width int) string {
	if len(s.widths) == 0 {
		return ""
	}
	var b strings.Builder
	s.back(&b, width)
	b.WriteString(eraseBelow)
	s.widths = s.widths[:0]
	return b.String()
}
