package progress

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A field is a part of the first line. It is shown if those of a higher rank
// leave room for it.
type field struct {
	text  string
	rank  int
	style style
	bar   bool // no text, but what room there is
	final bool // it still matters when all is over
}

const (
	leastBar  = 10
	mostBar   = 30
	mostTitle = 60 // in a sentence
)

// fields are the parts of the first line but for the title; there are none for
// what is 0.
func (v *view) fields() []field {
	var fields []field
	add := func(show bool, f field) {
		if show {
			fields = append(fields, f)
		}
	}
	add(v.known, field{bar: true, rank: 6})
	add(v.known, field{text: count(v.done) + "/" + count(v.total), rank: 9})
	add(!v.known, field{text: count(v.done) + " done", rank: 9})
	add(v.known, field{text: fmt.Sprintf("%d%%", v.percent()), rank: 5})
	add(v.rate > 0, field{text: speed(v.rate), rank: 4})
	add(v.hasETA, field{text: "ETA " + span(max(v.eta, time.Second)), rank: 8})
	add(!v.hasETA, field{text: "elapsed " + span(v.elapsed), rank: 3})
	add(v.failed > 0, field{text: count(v.failed) + " failed", rank: 7, style: red, final: true})
	add(v.canceled > 0, field{text: count(v.canceled) + " canceled", rank: 3, final: true})
	add(v.running > 0, field{text: count(v.running) + " running", rank: 2})
	add(v.waiting > 0, field{text: count(v.waiting) + " waiting", rank: 1})
	add(v.retries > 0, field{text: plural(v.retries, "retry", "retries"), rank: 0, final: true})
	add(v.note != "", field{text: v.note, rank: 3, style: yellow})
	return fields
}

// percent is rounded down: 100 is all.
func (v *view) percent() int {
	if v.done >= v.total {
		return 100
	}
	return int(float64(v.done) / float64(v.total) * 100)
}

// fit is those of the fields that have room in width cells, with so many cells
// between them, and how many cells are left. The one of the highest rank always
// has.
func fit(fields []field, width, between int) (fitting []field, left int) {
	fits := make([]bool, len(fields))
	order := make([]int, len(fields))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(fields[j].rank, fields[i].rank) })
	left = width + between
	for k, i := range order {
		need := between + leastBar
		if !fields[i].bar {
			need = between + cells.String(fields[i].text)
		}
		if need <= left || k == 0 {
			fits[i] = true
			left -= need
		}
	}
	for i, f := range fields {
		if fits[i] {
			fitting = append(fitting, f)
		}
	}
	return fitting, max(left, 0)
}

// headline is the first line, in at most width cells.
func (v *view) headline(width int, colors palette) string {
	fields := v.fields()
	title := ""
	if v.title != "" {
		title = cut(v.title, max(width/4, leastName)) + gap
	}
	if cells.String(title) > width/2 {
		title = "" // a narrow terminal
	}
	fields, left := fit(fields, width-cells.String(title), len(gap))
	var parts []string
	for _, f := range fields {
		if f.bar {
			parts = append(parts, v.bar(min(leastBar+left, mostBar), colors))
			continue
		}
		parts = append(parts, colors.text(f.style, f.text))
	}
	return cut(title+strings.Join(parts, gap), width)
}

// bar is so many cells wide.
func (v *view) bar(width int, colors palette) string {
	full := width
	if v.done < v.total {
		full = int(float64(v.done) / float64(v.total) * float64(width))
	}
	return colors.text(green, strings.Repeat("█", full)) + colors.text(dim, strings.Repeat("░", width-full))
}

// line is the first line as plain text.
func (v *view) line() string { return v.sentence(v.fields(), 1<<10) }

// summary is what is left of a display that is over, in at most width cells if
// that is above 0.
func (v *view) summary(width int) string {
	if width <= 0 {
		width = 1 << 10
	}
	done := count(v.done)
	if v.total > 0 || v.known {
		done += " of " + count(v.total)
	}
	fields := []field{{text: done + " done", rank: 9}, {text: "took " + took(v.elapsed), rank: 6}}
	if s := v.elapsed.Seconds(); v.done > 0 && s > 0 {
		fields = append(fields, field{text: speed(float64(v.done) / s), rank: 2})
	}
	for _, f := range v.fields() {
		if f.final {
			fields = append(fields, f)
		}
	}
	return v.sentence(fields, width)
}

// sentence is the title and the fields as plain text, in at most width cells.
func (v *view) sentence(fields []field, width int) string {
	title := ""
	if v.title != "" {
		title = cut(v.title, min(mostTitle, width/2)) + ": "
	}
	fields = slices.DeleteFunc(fields, func(f field) bool { return f.bar })
	fields, _ = fit(fields, width-cells.String(title), len(", "))
	texts := make([]string, len(fields))
	for i, f := range fields {
		texts[i] = f.text
	}
	return cut(title+strings.Join(texts, ", "), width)
}
