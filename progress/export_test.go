package progress

import "io"

// Terminal is [Output] for a terminal that is made up.
func Terminal(w io.Writer, size func() (w, h int)) Option {
	return option(func(c *config) { c.out = output{w: w, size: size} })
}

// What the tests look at.
var (
	Clean = clean
	Cut   = cut
	Speed = speed
	Span  = span
	Took  = took
	Count = count[uint64]
	Share = share
	Cells = cells.String
)
