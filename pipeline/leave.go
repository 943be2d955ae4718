package pipeline

import (
	"context"
	"time"

	"github.com/antflow/antflow"
)

// calledLocked moves an item on whose call by a carrier is over.
func (e *engine) calledLocked(it *item, o *outcome, now int64) arrival {
	p := e.pools[e.plan.sites[it.site].pool]
	if o.ended && e.failure == nil {
		// The call has seen the end before the keeper has.
		e.endedLocked(it.call.calls.task)
	}
	if o.refused {
		e.refusedLocked(antflow.ErrShutdown)
	}
	if o.late != nil {
		it.lateLocked(o.err, o.late)
	}
	if it.timed && now != 0 {
		it.visit.worked = max(it.visit.worked, 0) + now - it.since
		p.adapt.calledLocked(p, now, now-it.since, o)
	}
	again := o.again && it.canceledBy() == nil
	if !again || !p.serial { // else no other one may come before its next attempt
		p.running--
	}
	if again {
		e.eventLocked(it, EventAttemptFailed, o.err)
		e.delayLocked(it, p, o.delay)
		p.serveLocked()
		return arrivedIn
	}
	a := e.leaveLocked(it, p, o, now)
	p.serveLocked()
	return a
}

// lateLocked notes that the context that an item was fed with had ended before
// the call, though whoever watches it has not said so yet.
func (it *item) lateLocked(err, cause error) {
	it.visit.attempts--
	if x := it.more(); x.canceled == nil {
		x.canceled = &cancelError{err: err, cause: cause}
	}
}

// delayLocked lets an item wait for its next attempt, without a worker.
func (e *engine) delayLocked(it *item, p *pool, d time.Duration) {
	it.phase = phaseDelayed
	p.delayed++
	if it.timed {
		it.since = e.now()
	}
	if d <= 0 {
		e.resumeLocked(it)
		return
	}
	x := it.more()
	x.timer = time.AfterFunc(d, func() {
		e.mu.Lock()
		if it.phase == phaseDelayed && it.x.timer != nil { // else it was canceled
			it.x.timer = nil
			e.resumeLocked(it)
			e.pools[e.plan.sites[it.site].pool].serveLocked()
		}
		e.unlock()
	})
}

// resumeLocked lets an item wait for a worker again. It comes before those that
// had none yet.
func (e *engine) resumeLocked(it *item) {
	p := e.pools[e.plan.sites[it.site].pool]
	p.delayed--
	p.figures.retried++
	if p.serial { // it has its worker still
		it.phase = phaseReady
		e.carryLocked(it, arrivedReady)
		return
	}
	it.phase = phaseWaiting
	p.resumed.push(it)
}

// leaveLocked moves an item on that a stage is done with. It has a worker of
// the stage no more, unless the next one has no room.
func (e *engine) leaveLocked(it *item, p *pool, o *outcome, now int64) arrival {
	p.figures.left(&it.visit, now)
	it.leftLocked()
	e.clearLocked(it)
	if o.err != nil && !o.route {
		return e.lostLocked(it, p, o)
	}
	p.figures.done++
	e.eventLocked(it, EventDone, nil)
	switch p.def.kind {
	case stageExpand:
		e.goneLocked(it)
		e.reuseLocked(it)
		return arrivedIn
	case stageFold:
		e.foldedLocked(it)
		return arrivedIn
	}
	if c := it.canceledBy(); c != nil && (o.to != 0 || o.route) {
		return e.canceledLocked(it, c)
	}
	if o.route {
		return e.failedLocked(it, &ItemError{Err: o.err}, o.kind)
	}
	it.val = o.val
	a := e.arriveLocked(it, o.to, now)
	if a == arrivedNot {
		it.holder = p
		p.held++
	}
	return a
}

// foldedLocked takes an item out that is part of a reduction now.
func (e *engine) foldedLocked(it *item) {
	if c := it.canceledBy(); c != nil {
		e.canceledLocked(it, c)
		return
	}
	if it.hasOrigin() {
		g := e.gathers[e.plan.sites[it.site].gather]
		if g.folded == nil {
			g.folded = new(lineage)
		}
		g.folded.members = append(g.folded.members, it.asMember())
	}
	e.gathers[e.plan.sites[it.site].gather].count++
	e.removeLocked(it)
	e.reuseLocked(it)
}

// lostLocked moves an item on whose stage failed, was canceled, or skipped it.
func (e *engine) lostLocked(it *item, p *pool, o *outcome) arrival {
	c := it.canceledBy()
	switch {
	case c != nil && !o.panicked:
		p.figures.canceled++
		e.eventLocked(it, EventCanceled, c)
		return e.canceledLocked(it, c.with(o.err))
	case o.skip:
		p.figures.skipped++
		e.eventLocked(it, EventSkipped, nil)
		e.goneLocked(it)
		e.reuseLocked(it)
		return arrivedIn
	}
	p.figures.failed++
	failure := &ItemError{Stage: p.def.name, Attempts: int(it.visit.attempts), Err: o.err}
	return e.failedLocked(it, failure, o.kind)
}

// failedLocked sends an item to the end that has failed.
func (e *engine) failedLocked(it *item, failure *ItemError, kind string) arrival {
	failure.Item, failure.Visits = it.identity(), it.history()
	if it.lineage != nil && it.origin != nil {
		failure.Input = it.origin.input
	}
	e.eventLocked(it, EventFailed, failure)
	e.failures.add(failure, kind, e.epoch.Add(time.Duration(e.now())))
	a := e.failLocked(it, failure)
	if e.conf.failFast && e.failure == nil {
		if e.loop {
			e.last = it
		}
		e.stopLocked(failure, context.Canceled)
	}
	return a
}

// canceledBy returns the cancellation that was asked for, of the item or of the
// run.
func (it *item) canceledBy() *cancelError {
	if it.x != nil && it.x.canceled != nil {
		return it.x.canceled
	}
	if f := it.e.failure; f != nil {
		return &cancelError{err: context.Canceled, cause: f}
	}
	return nil
}

// goneLocked takes an item out that came to nothing, or whose parts go on.
func (e *engine) goneLocked(it *item) {
	e.recordLocked(it, ItemGone)
	e.partLocked(it)
	e.removeLocked(it)
}
