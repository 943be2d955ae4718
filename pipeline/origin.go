package pipeline

import "github.com/antflow/antflow"

// An origin is an input that was fed, and has a future. It settles when nothing
// is left of the input: no item, and no place in a batch.
type origin struct {
	promise  any // *antflow.Promise[Out]
	future   antflow.Waitable
	input    any
	refs     int
	out      any // the cell of the first result
	errs     []error
	canceled *cancelError
	settled  bool
	release  func() bool // ends the watch over the context that it was fed with
}

// each calls fn for every origin that x has.
func (x *extra) each(fn func(o *origin)) {
	if x == nil {
		return
	}
	if x.origin != nil {
		fn(x.origin)
	}
	for _, m := range x.members {
		m.x.each(fn)
	}
}

// refLocked notes one more item that comes of the origins of x.
func (e *engine) refLocked(x *extra) {
	x.each(func(o *origin) { o.refs++ })
}

// partLocked tells the origins of an item that it has ended: at the end of the
// pipeline, with its result or its error, or elsewhere with nothing.
func (e *engine) partLocked(it *item) {
	if it.x == nil || it.x.origin == nil && it.x.members == nil {
		return
	}
	var cell any
	if it.site == 0 && it.err == nil && it.cells != nil {
		cell = it.cell(0)
		it.cells.cells[0] = nil
	}
	it.x.each(func(o *origin) {
		if it.err != nil {
			o.errs = append(o.errs, it.err)
		} else if o.out == nil {
			o.out = cell
		}
		e.lessLocked(o)
	})
}

// lessLocked notes that one of the places where an origin goes on has gone.
func (e *engine) lessLocked(o *origin) {
	if o.refs--; o.refs == 0 {
		e.settleLocked(o)
	}
}

// settleLocked has the future of an origin settled, once.
func (e *engine) settleLocked(o *origin) {
	if o.settled {
		return
	}
	o.settled = true
	e.later.settles = append(e.later.settles, o)
	e.later.any = true
}

// cancelOriginsLocked settles the futures of the origins that x has.
func (e *engine) cancelOriginsLocked(x *extra, c *cancelError) {
	x.each(func(o *origin) {
		if !o.settled {
			o.canceled = c
			e.settleLocked(o)
		}
	})
}
