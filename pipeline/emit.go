package pipeline

import (
	"context"
	"slices"
)

// An emitFunc makes a part, and waits until it has got in. There may be one also
// where there is an error: because the time of the call is over meanwhile.
type emitFunc func() (made bool, err error)

// emit is the emitFunc of a call.
func (e *engine) emit(ctx context.Context, it *item, s *site, val any) (made bool, err error) {
	f := e.fans[s.fan]
	e.mu.Lock()
	for placed := false; ; {
		if c := it.canceledBy(); c != nil {
			err = c
		} else {
			err = ctx.Err()
		}
		if err == nil {
			if placed || f.mayYieldLocked(it) {
				break
			}
			placed, err = f.stall(ctx, it)
		}
		if err != nil {
			e.unlock()
			return false, err
		}
	}
	if x := it.x; x != nil && x.turn > 0 {
		x.turn--
	}
	part := e.partOfLocked(it, nil, s.next)
	e.addLocked(part, it, s.next)
	e.plan.sites[s.next].cells.copy(part.val, val)
	o := outcome{to: s.next, val: part.val}
	if e.plan.sites[s.next].kind == siteRoute {
		e.unlock()
		e.resolve(s.next, part.val, &o)
		e.mu.Lock()
	}
	a := e.enterLocked(part, &o)
	if a != arrivedNot {
		e.carryLocked(part, a)
		e.unlock()
		return true, nil
	}
	in := &feeder{wake: make(chan struct{}, 1)}
	part.more().feeder = in
	e.unlock()
	err = f.pool.away(ctx, func() {
		select {
		case <-in.wake:
		case <-ctx.Done():
		}
	})
	if err == nil {
		err = ctx.Err()
	}
	return true, err
}

// emitLocked makes parts of an item for as long as there is room for them, and
// reports whether that was all of it. If not it is called again.
func (e *engine) emitLocked(it *item) bool {
	x := it.x
	s := &e.plan.sites[it.site]
	f := e.fans[s.fan]
	for ; x.emitted < x.parts && x.canceled == nil && e.failure == nil; x.emitted++ {
		if !f.mayEmitLocked(it) {
			f.stallLocked(it)
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
