package bench

import (
	"fmt"
	"html"
	"io"
	"math"
	"strings"
)

// Measures of the chart, in pixels.
const (
	chartWidth = 860
	labelWidth = 230 // left of the bars
	valueWidth = 150 // right of them
	lineHeight = 22
	headHeight = 34 // of a row's title
	chartTop   = 76
)

// A chart is drawn from top to bottom. Its scale is logarithmic.
type chart struct {
	b         strings.Builder
	low, high float64 // of the scale
	y         int
}

// WriteChart draws the ratios of the timed rows as an SVG: a bar for each
// contender from 1x, the base, to its median, with a thin line from the least
// to the greatest ratio and a mark at the goal. It returns the first error of
// w.
func WriteChart(w io.Writer, results []*Result) error {
	c := &chart{low: 0.1, high: 10, y: chartTop}
	for _, r := range results {
		for _, l := range charted(r) {
			c.high = max(c.high, Median(l.Ratios), l.Goal.ratio())
			if m := Median(l.Ratios); m >= 1.0/200 { // others are cut off
				c.low = min(c.low, m)
			}
		}
	}
	c.low = math.Pow(10, math.Floor(math.Log10(c.low)))
	c.high *= 1.3
	for _, r := range results {
		c.row(r)
	}
	height := c.y + 24
	_, err := fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" font-family="system-ui, sans-serif" font-size="13" role="img">
<title>Time of peers relative to antflow</title>
<rect width="%d" height="%d" rx="8" fill="#fbfbfa" stroke="#d9d9d6"/>
<text x="20" y="30" font-size="17" font-weight="600" fill="#1f2328">Time relative to antflow, longer is slower</text>
<text x="20" y="50" fill="#59636e">median of each row's rounds, thin line from least to greatest; the red mark is the goal; logarithmic scale</text>
%s%s</svg>
`, chartWidth, height, chartWidth, height, chartWidth, height, c.grid(), c.b.String())
	return err
}

// charted returns the lines of the row that have a bar.
func charted(r *Result) []*Line {
	if r.Probed() {
		return nil
	}
	var lines []*Line
	for _, l := range r.Lines {
		if len(l.Ratios) > 0 {
			lines = append(lines, l)
		}
	}
	return lines
}

// x returns the place of a ratio, at the border if it is beyond.
func (c *chart) x(ratio float64) float64 {
	ratio = min(max(ratio, c.low), c.high)
	share := math.Log(ratio/c.low) / math.Log(c.high/c.low)
	return labelWidth + share*(chartWidth-labelWidth-valueWidth)
}

// grid draws the scale: a line for each power of ten.
func (c *chart) grid() string {
	var b strings.Builder
	for ratio := c.low; ratio <= c.high; ratio *= 10 {
		color := "#e6e6e3"
		if math.Abs(ratio-1) < 0.01 {
			color = "#8c959f"
		}
		fmt.Fprintf(&b, `<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="%s"/>`+"\n", c.x(ratio), c.x(ratio), chartTop, c.y+4, color)
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle" font-size="11" fill="#59636e">%gx</text>`+"\n", c.x(ratio), chartTop-6, ratio)
	}
	return b.String()
}

func (c *chart) row(r *Result) {
	lines := charted(r)
	if len(lines) == 0 {
		return
	}
	c.y += headHeight
	fmt.Fprintf(&c.b, `<text x="20" y="%d" font-weight="600" fill="#1f2328">%s</text>`+"\n", c.y-8, html.EscapeString(r.Row.Name))
	fmt.Fprintf(&c.b, `<text x="%d" y="%d" text-anchor="end" fill="#59636e">1x is %s: %s ns</text>`+"\n", chartWidth-20, c.y-8,
		html.EscapeString(r.Lines[0].Contender), formatValue(Median(r.Lines[0].Values)))
	for _, l := range lines {
		c.bar(l)
		c.y += lineHeight
	}
}

func (c *chart) bar(l *Line) {
	median := Median(l.Ratios)
	low, high := Spread(l.Ratios)
	middle := float64(c.y) + lineHeight/2
	color := "#8c959f"
	switch met, judged := l.Met(); {
	case judged && met:
		color = "#2da44e"
	case judged:
		color = "#bf8700"
	}
	from, to := c.x(min(1, median)), c.x(max(1, median))
	fmt.Fprintf(&c.b, `<text x="%d" y="%.1f" text-anchor="end" fill="#1f2328">%s</text>`+"\n", labelWidth-10, middle+4, html.EscapeString(l.Contender))
	fmt.Fprintf(&c.b, `<rect x="%.1f" y="%.1f" width="%.1f" height="12" fill="%s"/>`+"\n", from, middle-6, max(to-from, 1), color)
	fmt.Fprintf(&c.b, `<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" stroke="#1f2328"/>`+"\n", c.x(low), c.x(high), middle, middle)
	if goal := l.Goal.ratio(); goal > 0 {
		fmt.Fprintf(&c.b, `<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" stroke="#cf222e" stroke-width="2"/>`+"\n", c.x(goal), c.x(goal), middle-9, middle+9)
	}
	text := formatRatio(median)
	if l.Goal.ratio() > 0 {
		text += ", goal " + l.Goal.String()
	}
	fmt.Fprintf(&c.b, `<text x="%d" y="%.1f" fill="#1f2328">%s</text>`+"\n", chartWidth-valueWidth+12, middle+4, html.EscapeString(text))
}
