package pipeline

import "context"

// stopLocked ends the run before its time, for the cause, and the contexts of
// the calls with it.
func (e *engine) stopLocked(cause error, ctxErr error) {
	if e.haltLocked(cause, ctxErr) {
		e.later.cause, e.later.any = cause, true
	}
}

// haltLocked ends the run before its time but for the calls.
func (e *engine) haltLocked(cause error, ctxErr error) bool {
	if e.failure != nil || e.over {
		return false
	}
	e.recallAllLocked()
	e.failure = cause
	e.closeLocked()
	c := &cancelError{err: ctxErr, cause: cause}
	items := make([]*item, 0, e.live)
	for it := e.head; it != nil; it = it.next {
		// A loop that ends with a failure gets what was ready before it.
		if e.last == nil || it != e.last && it.phase != phaseOut {
			items = append(items, it)
		}
	}
	if it := e.last; it != nil && it.phase == phaseHeld {
		it.held = -1
		e.outLocked(it)
	}
	e.cancelAllLocked(items, c)
	for _, g := range e.gathers {
		g.dropLocked(c)
	}
	e.tellLocked()
	return true
}

// cancelAllLocked cancels items. With one of them others may leave, even such that
// are still to be canceled; until then no new item is made of what they were.
func (e *engine) cancelAllLocked(items []*item, c *cancelError) {
	e.frozen = true
	for _, it := range items {
		if it.phase != phaseGone {
			e.cancelLocked(it, c)
		}
	}
	e.frozen = false
}

// cancelLocked asks for the cancellation of an item. One that is not being
// worked on leaves at once, or when its task has been canceled; the function
// of another one is told by its context.
func (e *engine) cancelLocked(it *item, c *cancelError) {
	s := &e.plan.sites[it.site]
	switch it.phase {
	case phaseNew: // it belongs to who makes it; see enterLocked
		it.more().canceled = c
	case phaseWaiting:
		p := e.pools[s.pool]
		switch {
		case it.q != nil:
			it.q.remove(it)
		case it.x.task != nil:
			e.cancelTaskLocked(it, c)
			return
		default:
			p.pending--
			p.sentLocked()
		}
		p.figures.canceled++
		e.eventLocked(it, EventCanceled, c)
		e.canceledLocked(it, c)
		p.serveLocked()
	case phaseReady:
		p := e.pools[s.pool]
		p.ready.remove(it)
		e.ready--
		p.running--
		p.figures.canceled++
		e.eventLocked(it, EventCanceled, c)
		e.canceledLocked(it, c)
		p.serveLocked()
	case phaseRunning, phaseDelayed:
		p := e.pools[s.pool]
		switch {
		case it.phase == phaseDelayed && !p.tasks:
			e.later.timers = append(e.later.timers, it.x.timer)
			e.later.any = true
			it.x.timer = nil
			p.delayed--
			if p.serial {
				p.running--
			}
			p.figures.canceled++
			e.eventLocked(it, EventCanceled, c)
			e.canceledLocked(it, c)
			p.serveLocked()
		case it.x != nil && it.x.task != nil:
			e.cancelTaskLocked(it, c)
		case e.failure != nil: // the context of the carriers ends with the run's
		case it.more().canceled == nil:
			it.x.canceled = c
			if !p.tasks { // else submitTask is about to see it
				e.later.ends = append(e.later.ends, callEnd{it.call, c.reason()})
				e.later.any = true
			}
		}
	case phaseOut:
		e.out.remove(it)
		e.canceledLocked(it, c)
	case phaseBlocked:
		it.q.remove(it)
		e.canceledLocked(it, c)
		e.admittedLocked(it)
	case phaseHeld:
		it.held = -1
		e.canceledLocked(it, c)
	case phaseEmitting: // its parts are canceled by themselves
		it.x.canceled = c
		if it.q != nil {
			e.fans[s.fan].resumeLocked(it, false)
		}
	}
}

// cancelTaskLocked cancels the task that an item waits for, which settles it.
func (e *engine) cancelTaskLocked(it *item, c *cancelError) {
	if it.x.canceled == nil {
		it.x.canceled = c
	}
	e.later.cancels = append(e.later.cancels, it.x.task)
	e.later.any = true
}

// canceledLocked takes an item out that was canceled.
func (e *engine) canceledLocked(it *item, c *cancelError) arrival {
	e.recordLocked(it, ItemCanceled)
	it.each(func(o *origin) {
		if o.canceled == nil && !o.settled {
			o.canceled = c
		}
	})
	e.clearLocked(it)
	e.partLocked(it)
	e.removeLocked(it)
	return arrivedIn
}

// cancelOrigin cancels what is left of an input.
func (e *engine) cancelOrigin(o *origin, c *cancelError) {
	e.mu.Lock()
	if o.canceled == nil && !o.settled {
		o.canceled = c
		var items []*item
		for it := e.head; it != nil; it = it.next {
			if it.isOf(o) {
				items = append(items, it)
			}
		}
		e.cancelAllLocked(items, c)
		for _, g := range e.gathers {
			g.withdrawLocked(o)
		}
		// What is left of it is part of a batch that others are in, too. The
		// batch is canceled with the last of them.
		shared := false
		items = items[:0]
		for it := e.head; it != nil; it = it.next {
			if it.isOf(o) {
				continue
			}
			in, all := false, true
			it.each(func(other *origin) {
				in = in || other == o
				all = all && other.canceled != nil
			})
			if in && all {
				items = append(items, it)
			}
			shared = shared || in
		}
		if shared {
			e.settleLocked(o)
		}
		e.cancelAllLocked(items, c)
	}
	e.unlock()
}

// withdrawLocked takes the members out of a batch that come of an origin alone.
// A reduction can't give back what it has taken; the origin just doesn't wait
// for its result.
func (g *gather) withdrawLocked(o *origin) {
	gone := false
	for i := len(g.members) - 1; i >= 0; i-- {
		if g.members[i].isOf(o) {
			g.batch.remove(i)
			g.members = append(g.members[:i], g.members[i+1:]...)
			g.count--
			gone = true
			g.e.lessLocked(o)
		}
	}
	if gone {
		g.timeLocked()
	}
	folded := false
	g.folded.each(func(other *origin) { folded = folded || other == o })
	if folded {
		g.e.settleLocked(o)
	}
}

var errCanceled = &cancelError{err: context.Canceled}
