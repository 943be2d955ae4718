package pipeline

import "slices"

// arrival is what becomes of an item that comes to a site.
type arrival uint8

const (
	arrivedIn    arrival = iota // it waits there, or has left for good
	arrivedReady                // it has a worker; the caller has it carried on
	arrivedNot                  // it is blocked; admittedLocked will be called
)

// arriveLocked brings an item to a site.
func (e *engine) arriveLocked(it *item, to int, now int64) arrival {
	s := &e.plan.sites[to]
	it.site = int32(to)
	if e.ordered {
		e.narrowLocked(it, s.reach)
	}
	switch s.kind {
	case siteEnd:
		e.endLocked(it)
		return arrivedIn
	case siteRoute:
		it.phase = phaseNew
		e.later.routes = append(e.later.routes, it)
		e.later.any = true
		it.more()
		return arrivedNot
	case siteTee, siteUnbatch:
		x := it.more()
		x.emitted, x.parts = 0, len(s.branches)
		if s.kind == siteUnbatch {
			x.parts = s.unbatch.count(it.val)
		}
		it.phase = phaseEmitting
		if e.emitLocked(it) || x.stalled {
			return arrivedIn
		}
		return arrivedNot
	}
	if e.ordered && s.point >= 0 {
		e.holdLocked(it, s.point)
		return arrivedIn
	}
	switch s.kind {
	case siteBatch:
		return e.gathers[s.gather].arriveLocked(it)
	case siteWrap:
		out := e.cellLocked(s.next)
		s.wrap(it, it.val, out)
		e.clearLocked(it)
		it.val = out
		return e.arriveLocked(it, s.next, now)
	}
	return e.pools[s.pool].arriveLocked(it, now)
}

// arriveLocked lets an item wait for a worker of the pool, or for room to do
// so.
func (p *pool) arriveLocked(it *item, now int64) arrival {
	// Where others are blocked though there is room, they are about to be let
	// in; what comes meanwhile must not overtake them.
	if first := p.blocked.first(); p.hasRoom() && (first == nil || first.prio < it.prio) {
		return p.takeInLocked(it, now)
	}
	it.phase = phaseBlocked
	p.blocked.push(it)
	return arrivedNot
}

// takeInLocked counts an item in and gives it a worker, or lets it wait for
// one.
func (p *pool) takeInLocked(it *item, now int64) arrival {
	e := p.e
	if it.timed = e.exact || p.adapt != nil || p.figures.samples(); it.timed {
		if now == 0 {
			now = e.now()
		}
		it.since = now
	}
	p.figures.entered++
	it.visit = visit{pool: int32(p.index), queued: -1, worked: -1}
	e.eventLocked(it, EventEntered, nil)
	if p.tasks {
		it.phase = phaseWaiting
		it.more()
		if p.serial && p.sole {
			p.waiting.push(it)
		} else {
			p.sendLocked(it)
		}
		return arrivedIn
	}
	if p.waiting.n == 0 && p.resumed.n == 0 && len(p.claims) == 0 && p.idle() > 0 {
		p.running++
		it.phase = phaseReady
		return arrivedReady
	}
	it.phase = phaseWaiting
	p.waiting.push(it)
	return arrivedIn
}

// sendLocked has an item's task submitted.
func (p *pool) sendLocked(it *item) {
	p.pending++
	p.sole = true
	p.e.later.tasks = append(p.e.later.tasks, it)
	p.e.later.any = true
}

// sentLocked is called when an item's task is over. In order the next one is
// not submitted before.
func (p *pool) sentLocked() {
	p.sole = false
	if it := p.waiting.pop(); it != nil {
		p.sendLocked(it)
	}
}

// carryLocked has an item carried that has just arrived, if it is ready.
func (e *engine) carryLocked(it *item, a arrival) {
	if a == arrivedReady {
		e.pools[e.plan.sites[it.site].pool].ready.push(it)
		e.ready++
	}
}

// servedLocked gives what is free of the pool to those who wait: workers to
// claims first, which are of items that had one before, and room to those who
// are blocked.
func (p *pool) serveLocked() {
	e := p.e
	for p.idle() > 0 {
		if len(p.claims) > 0 {
			c := p.claims[0]
			p.claims[0] = nil
			p.claims = p.claims[1:]
			p.running++
			e.signalLocked(c.granted)
			continue
		}
		it, next := p.resumed.first(), p.waiting.first()
		if it == nil || next != nil && next.prio > it.prio {
			it = next
		}
		if it == nil || p.tasks {
			break
		}
		it.q.remove(it)
		p.running++
		it.phase = phaseReady
		e.carryLocked(it, arrivedReady)
	}
	for p.blocked.n > 0 && p.hasRoom() {
		it := p.blocked.pop()
		e.carryLocked(it, p.takeInLocked(it, 0))
		e.admittedLocked(it)
	}
	if p == e.inlet {
		e.feedLocked()
	}
}

// admittedLocked is called when an item has got in where arriveLocked said that
// it had not, or when it has left instead.
func (e *engine) admittedLocked(it *item) {
	if p := it.holder; p != nil {
		it.holder = nil
		p.held--
		p.serveLocked()
	}
	x := it.x
	if x == nil {
		return
	}
	if f := x.feeder; f != nil {
		x.feeder = nil
		e.signalLocked(f.wake)
	}
	if parent := x.emitter; parent != nil {
		x.emitter = nil
		if parent.phase == phaseEmitting && e.emitLocked(parent) {
			e.admittedLocked(parent)
		}
	}
	if g := x.batch; g != nil {
		x.batch = nil
		g.clearedLocked()
	}
}

// failLocked sends an item to the end with an error, wherever it was.
func (e *engine) failLocked(it *item, err error) arrival {
	it.more().err = err
	e.clearLocked(it)
	return e.arriveLocked(it, 0, 0)
}

// endLocked takes an item that has come to the end, with its result or with
// its error.
func (e *engine) endLocked(it *item) {
	if !e.loop {
		state := ItemDone
		if it.failure() != nil {
			state = ItemFailed
		}
		e.recordLocked(it, state)
		e.yields++
		e.partLocked(it)
		e.removeLocked(it)
		return
	}
	if e.failure != nil {
		e.removeLocked(it)
		return
	}
	if e.ordered {
		e.holdLocked(it, 0)
		return
	}
	e.outLocked(it)
}

// holdLocked lets an item wait for its turn at a point of order, if that isn't
// now. It keeps no worker meanwhile: those before it may need one.
func (e *engine) holdLocked(it *item, point int) {
	it.phase, it.held = phaseHeld, int8(point)
	if e.cursors[point] == it {
		e.advanceLocked(point)
	}
}

// outLocked hands an item to the consumer.
func (e *engine) outLocked(it *item) {
	it.phase = phaseOut
	e.out.append(it)
	e.tellLocked()
}

// addLocked lets a new item of a site come in before another one, or last.
func (e *engine) addLocked(it *item, before *item, site int) {
	e.live++
	it.next = before
	if before == nil {
		it.prev, e.tail = e.tail, it
	} else {
		it.prev, before.prev = before.prev, it
	}
	if it.prev == nil {
		e.head = it
	} else {
		it.prev.next = it
	}
	if it.made < 0 {
		e.roots++
	} else {
		e.made[it.made]++
	}
	if !e.ordered {
		return
	}
	it.reach = e.plan.sites[site].reach
	for p := range e.cursors {
		// The first that may come there stays the first, if it is before
		// the new one; if it isn't, it is the one behind.
		if it.reach&(1<<p) != 0 && e.cursors[p] == before {
			e.cursors[p] = it
		}
	}
}

// removeLocked takes an item out of the run. Its origin has been told.
func (e *engine) removeLocked(it *item) {
	e.unlinkLocked(it)
	e.wentAsLocked(it.made)
}

// unlinkLocked takes an item out without making room for another one.
func (e *engine) unlinkLocked(it *item) {
	if e.ordered {
		e.narrowLocked(it, 0)
	}
	it.phase = phaseGone
	e.live--
	if it.prev == nil {
		e.head = it.next
	} else {
		it.prev.next = it.next
	}
	if it.next == nil {
		e.tail = it.prev
	} else {
		it.next.prev = it.prev
	}
	it.prev, it.next = nil, nil
	e.clearLocked(it)
}

// wentAsLocked makes room for another item that comes from where one that has
// left came from.
func (e *engine) wentAsLocked(made int32) {
	if made < 0 {
		e.wentLocked(1)
		return
	}
	e.made[made]--
	if g := e.plan.sites[made].gather; g >= 0 {
		e.gathers[g].clearedLocked()
	}
	e.wakeStalledLocked()
}

// wentLocked makes room for n inputs.
func (e *engine) wentLocked(n int) {
	e.roots -= n
	e.feedLocked()
	for len(e.feeders) > 0 && e.roots < e.conf.window {
		f := e.feeders[0]
		e.feeders[0] = nil
		e.feeders = e.feeders[1:]
		e.roots++ // kept for it
		e.signalLocked(f.wake)
	}
	e.wakeStalledLocked()
}

// cellLocked returns a blank cell for a value on its way to a site.
func (e *engine) cellLocked(site int) any {
	s := &e.plan.sites[site]
	if spare := e.spare[s.class]; len(spare) > 0 {
		c := spare[len(spare)-1]
		e.spare[s.class] = spare[:len(spare)-1]
		return c
	}
	return s.cells.make()
}

// mostSpare is how many cells of one type are kept.
const mostSpare = 256

// clearLocked clears the value of an item, if it has one, and keeps its cell
// for others.
func (e *engine) clearLocked(it *item) {
	if it.val != nil {
		e.spareLocked(int(it.site), it.val)
		it.val = nil
	}
}

// spareLocked clears a cell and keeps it.
func (e *engine) spareLocked(site int, cell any) {
	s := &e.plan.sites[site]
	s.cells.clear(cell)
	e.keepLocked(s.class, cell)
}

// keepLocked keeps a blank cell.
func (e *engine) keepLocked(class int, cell any) {
	if spare := e.spare[class]; len(spare) < mostSpare {
		e.spare[class] = append(spare, cell)
	}
}

// narrowLocked notes that an item can't come to some of the points of order any
// more.
func (e *engine) narrowLocked(it *item, reach uint64) {
	lost := it.reach &^ reach
	it.reach &= reach
	if lost == 0 {
		return
	}
	for p := range e.cursors {
		if lost&(1<<p) != 0 && e.cursors[p] == it {
			e.advanceLocked(p)
		}
	}
}

// advanceLocked moves the cursor of a point to the first item that may come to
// it, and lets pass those that wait there for their turn.
func (e *engine) advanceLocked(p int) {
	s := &e.plan.sites[e.plan.points[p]]
	for {
		it := e.cursors[p]
		if it == nil {
			return
		}
		if it.reach&(1<<p) != 0 {
			if it.held != int8(p) || !e.mayPassLocked(s) {
				return
			}
			it.held = -1
			it.reach &^= 1 << p
			e.cursors[p] = it.next
			switch {
			case p == 0:
				e.outLocked(it)
			case s.kind == siteBatch:
				e.carryLocked(it, e.gathers[s.gather].arriveLocked(it))
			default:
				e.carryLocked(it, e.pools[s.pool].arriveLocked(it, 0))
			}
			continue
		}
		e.cursors[p] = it.next
	}
}

// mayPassLocked reports whether a site takes an item whose turn it is.
func (e *engine) mayPassLocked(s *site) bool {
	return s.kind != siteBatch || e.gathers[s.gather].open()
}

// resolve follows the routes from a site on for the value in a cell, and notes
// where it goes. It calls the user's predicates, so it is called without the
// lock, by who the value belongs to.
func (e *engine) resolve(to int, cell any, o *outcome) {
	defer func() {
		if v := recover(); v != nil {
			o.fail(panicError(v))
		}
	}()
	for e.plan.sites[to].kind == siteRoute {
		s := &e.plan.sites[to]
		if s.known != nil {
			out := e.plan.sites[s.next].cells.make()
			if s.known(cell, out) {
				to, cell = s.next, out
			} else {
				to = s.branches[0]
			}
			continue
		}
		i := s.pick(cell)
		if i < 0 {
			o.fail(ErrNoRoute)
			return
		}
		to = s.branches[i]
	}
	o.to, o.val = to, cell
}

// mayEmitLocked reports whether an item may be made into one more part. There
// are at most as many parts of one site as the window has room for; but the
// first of all items may always have one, since the others may wait for it.
func (e *engine) mayEmitLocked(it *item) bool {
	return e.made[it.site] < e.conf.window || e.ordered && e.head == it
}

// wakeStalledLocked lets those go on that may emit now.
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

// goneLocked takes an item out that came to nothing, or whose parts go on.
func (e *engine) goneLocked(it *item) {
	e.recordLocked(it, ItemGone)
	e.partLocked(it)
	e.removeLocked(it)
}

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
	for _, it := range items {
		e.cancelLocked(it, c)
	}
	for _, g := range e.gathers {
		g.dropLocked(c)
	}
	e.wakeStalledLocked()
	e.tellLocked()
	return true
}
