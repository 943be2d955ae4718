package pipeline

import (
	"context"

	"github.com/antflow/antflow"
)

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
	ctx      context.Context // that it was fed with and that can end it, or nil
	release  func() bool     // ends the watch over the context that it was fed with
}

// each calls fn for every origin that l has.
func (l *lineage) each(fn func(o *origin)) {
	if l == nil {
		return
	}
	if l.origin != nil {
		fn(l.origin)
	}
	for _, m := range l.members {
		m.each(fn)
	}
}

// isOf reports whether l is of the origin alone.
func (l *lineage) isOf(o *origin) bool { return l != nil && l.origin == o }

// hasOrigin reports whether somebody may hold a future of l.
func (l *lineage) hasOrigin() bool { return l != nil && (l.origin != nil || l.members != nil) }

// partLocked tells the origins of an item that it has ended: at the end of the
// pipeline, with its result or its error, or elsewhere with nothing.
func (e *engine) partLocked(it *item) {
	if !it.hasOrigin() {
		return
	}
	var cell any
	err := it.failure()
	if it.site == 0 && err == nil {
		cell, it.val = it.val, nil // it is shared from now on
	}
	it.each(func(o *origin) {
		switch {
		case o.settled: // it is read without the lock
		case err != nil:
			o.errs = append(o.errs, err)
		case o.out == nil:
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
	if len(o.errs) > 0 {
		e.letterLocked(o)
	}
	e.settling++
	e.later.settles = append(e.later.settles, o)
	e.later.any = true
}

// cancelOriginsLocked settles the futures of the origins that l has.
func (e *engine) cancelOriginsLocked(l *lineage, c *cancelError) {
	l.each(func(o *origin) {
		if !o.settled {
			o.canceled = c
			e.settleLocked(o)
		}
	})
}
