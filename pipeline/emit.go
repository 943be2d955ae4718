package pipeline

import (
	"context"
	"slices"

	"github.com/antflow/antflow"
)

// emit is called by the function of a FlatMap, with one more value.
func (e *engine) emit(ctx context.Context, it *item, s *site, val any) error {
	e.mu.Lock()
	p := e.pools[s.pool]
	for {
		var err error
		if c := it.canceledBy(); c != nil {
			err = c
		} else {
			err = ctx.Err()
		}
		if err != nil {
			e.wakeStalledLocked() // a place that it was given is free again
			e.unlock()
			return err
		}
		if e.mayEmitLocked(it) {
			break
		}
		// Without its worker: what may emit, because all wait for it, may
		// wait for that.
		st := &stall{it: it, wake: make(chan struct{}, 1)}
		e.stalled = append(e.stalled, st)
		p.running--
		p.serveLocked()
		e.unlock()
		antflow.Blocking(ctx, func() error {
			select {
			case <-st.wake:
			case <-ctx.Done():
			}
			return nil
		})
		p.claim(ctx)
		e.mu.Lock()
		if st.granted {
			e.made[it.site]-- // from here on it is as free as if it had just become so
		} else if i := slices.Index(e.stalled, st); i >= 0 {
			e.stalled = slices.Delete(e.stalled, i, i+1)
		}
	}
	part := e.partOfLocked(it, nil, s.next)
	e.addLocked(part, it, s.next)
	e.unlock()

	e.plan.sites[s.next].cells.copy(part.val, val)
	var o outcome
	e.resolve(s.next, part.val, &o)

	e.mu.Lock()
	a := e.enterLocked(part, &o)
	if a != arrivedNot {
		e.carryLocked(part, a)
		e.unlock()
		return nil
	}
	f := &feeder{wake: make(chan struct{}, 1)}
	part.more().feeder = f
	e.unlock()
	antflow.Blocking(ctx, func() error {
		select {
		case <-f.wake:
		case <-ctx.Done():
		}
		return nil
	})
	return ctx.Err()
}

// claim waits for a worker of the pool for a call that had lent it. It takes
// one in any case, also when ctx has ended: the call goes on.
func (p *pool) claim(ctx context.Context) {
	e := p.e
	e.mu.Lock()
	if p.idle() > 0 && len(p.claims) == 0 {
		p.running++
		e.unlock()
		return
	}
	c := &claim{granted: make(chan struct{}, 1)}
	p.claims = append(p.claims, c)
	e.unlock()
	antflow.Blocking(ctx, func() error { <-c.granted; return nil })
}

// mayEmitLocked reports whether an item may be made into one more part. There
// are at most as many parts of one site as the window has room for; but the
// first of all items may always have one, since the others may wait for it.
func (e *engine) mayEmitLocked(it *item) bool {
	return e.made[it.site] < e.conf.window || e.ordered && e.head == it
}

// wakeStalledLocked lets those go on that may emit now. A call gets its place by
// that, so that no more are woken than there is room for.
func (e *engine) wakeStalledLocked() {
	if len(e.stalled) == 0 {
		return
	}
	stalled := e.stalled
	e.stalled = nil
	for _, s := range stalled {
		switch {
		case s.it.phase == phaseGone:
		case e.failure == nil && s.it.canceledBy() == nil && !e.mayEmitLocked(s.it):
			e.stalled = append(e.stalled, s)
		case s.wake != nil:
			if e.failure == nil && s.it.canceledBy() == nil {
				s.granted = true
				e.made[s.it.site]++
			}
			e.signalLocked(s.wake)
		case e.emitLocked(s.it):
			e.admittedLocked(s.it)
		}
	}
}

// emitLocked makes parts of an item for as long as there is room for them, and
// reports whether that was all of it. If not it is called again.
func (e *engine) emitLocked(it *item) bool {
	x := it.x
	s := &e.plan.sites[it.site]
	for ; x.emitted < x.parts && x.canceled == nil && e.failure == nil; x.emitted++ {
		if x.stalled = !e.mayEmitLocked(it); x.stalled {
			e.stalled = append(e.stalled, &stall{it: it})
			// Whoever waits for it to get in goes on: what the window waits for
			// may need the same worker.
			e.admittedLocked(it)
			return false
		}
		var from *member
		if s.kind == siteUnbatch && it.lineage != nil && it.oneForOne && len(it.members) == x.parts {
			from = &it.members[x.emitted]
		}
		to := s.next
		if s.kind == siteTee {
			to = s.branches[x.emitted]
		}
		part := e.partOfLocked(it, from, to)
		if s.kind == siteTee {
			s.cells.copy(part.val, it.val)
		} else {
			s.unbatch.part(it.val, x.emitted, part.val)
		}
		e.addLocked(part, it, to)
		if part.lineage != nil && part.origin != nil && part.origin.canceled != nil {
			e.canceledLocked(part, part.origin.canceled)
			continue
		}
		if a := e.arriveLocked(part, to, 0); a != arrivedNot {
			e.carryLocked(part, a)
			continue
		}
		x.emitted++
		part.more().emitter = it
		return false
	}
	e.goneLocked(it)
	return true
}

// partOfLocked returns a new item that is made of another one, or that is a
// member of it again. It is not in the run yet.
func (e *engine) partOfLocked(it *item, from *member, to int) *item {
	part := e.itemLocked()
	var past []visit
	switch {
	case from != nil:
		past = from.past
	case it.x != nil:
		past = it.x.past
	}
	if len(past) > 0 {
		part.more().past = slices.Clone(past)
	}
	part.id, part.prio, part.made, part.site = it.id, it.prio, it.site, int32(to)
	part.val = e.cellLocked(to)
	switch l := it.lineage; {
	case from != nil:
		part.id, part.lineage = from.id, from.lineage
	case l != nil && l.oneForOne: // no longer
		part.lineage = &lineage{key: l.key, values: l.values, origin: l.origin, members: l.members}
	default:
		part.lineage = l
	}
	part.each(func(o *origin) { o.refs++ })
	return part
}
