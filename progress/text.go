package progress

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/clipperhouse/displaywidth"
)

// cells measures text in cells of the screen. Our own colors take none; what
// comes from outside has no control sequences left.
var cells = displaywidth.Options{ControlSequences: true}

// cut is s, or as much of it as fits into width cells.
func cut(s string, width int) string {
	if width <= 0 {
		return ""
	}
	return cells.TruncateString(s, width, "…")
}

const mostText = 512 // bytes of one text; nothing longer fits into a line

// clean makes a text of unknown origin fit to be shown: one line, without
// anything that a terminal acts on. Sequences are not parsed, so that nothing
// depends on how: without the control characters they are plain text.
func clean(s string) string {
	if len(s) > mostText {
		end := mostText
		for end > mostText-utf8.UTFMax && !utf8.RuneStart(s[end]) {
			end--
		}
		s = s[:end] + "…"
	}
	return strings.TrimSpace(strings.Map(func(c rune) rune {
		switch {
		case unicode.IsSpace(c): // line breaks, tabs, no-break spaces
			return ' '
		case unicode.IsControl(c): // with those from 0x80 on
			return utf8.RuneError
		case c == '\u200c' || c == '\u200d': // joiners, as in emoji
			return c
		case unicode.Is(unicode.Cf, c): // such as those that turn the direction
			return -1
		}
		return c // the error rune for each byte that is no UTF-8
	}, s))
}

// count is n with commas.
func count[N int | uint64](n N) string {
	s := strconv.FormatUint(uint64(n), 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// plural is "1 task" or "2 tasks".
func plural(n uint64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return count(n) + " " + many
}

// speed is a number in a second, or in the least unit that makes it one at least.
func speed(perSecond float64) string {
	unit := "s"
	switch {
	case perSecond >= 0.995:
	case perSecond*60 >= 0.995:
		perSecond, unit = perSecond*60, "min"
	default:
		perSecond, unit = perSecond*3600, "h"
	}
	if perSecond < 9.95 {
		return fmt.Sprintf("%.1f/%s", perSecond, unit)
	}
	return count(uint64(math.Round(min(perSecond, 1e15)))) + "/" + unit
}

// span is a time in seconds, minutes, hours or days.
func span(d time.Duration) string {
	s := int64(max(d, 0).Round(time.Second) / time.Second)
	switch {
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 60*60:
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	case s < 24*60*60:
		return fmt.Sprintf("%dh%02dm", s/3600, s/60%60)
	case s < 100*24*60*60:
		return fmt.Sprintf("%dd%02dh", s/86400, s/3600%24)
	}
	return "over 100 days"
}

// took is a short time in two digits or three, or a long one as span.
func took(d time.Duration) string {
	for _, unit := range []struct {
		size time.Duration
		name string
		most float64
	}{{time.Microsecond, "µs", 999.5}, {time.Millisecond, "ms", 999.5}, {time.Second, "s", 59.5}} {
		switch v := float64(d) / float64(unit.size); {
		case d <= 0:
			return "0s"
		case v < 9.95:
			return fmt.Sprintf("%.1f%s", v, unit.name)
		case v < unit.most:
			return fmt.Sprintf("%.0f%s", v, unit.name)
		}
	}
	return span(d)
}
