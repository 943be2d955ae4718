package pipeline

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
		f := e.fans[s.fan]
		if f.stalled.n > 0 && x.parts > 0 && f.firstLocked() != it { // not before those
			f.stallLocked(it)
			return arrivedIn
		}
		if e.emitLocked(it) || it.q != nil {
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
	if first := p.blocked.first(); (p.hasRoom() || p.floodedLocked()) && (first == nil || first.prio < it.prio) {
		return p.takeInLocked(it, now)
	}
	it.phase = phaseBlocked
	p.blocked.push(it)
	return arrivedNot
}

// takeInLocked counts an item in and gives it a worker, or lets it wait for
// one.
func (p *pool) takeInLocked(it *item, now int64) arrival {
	p.enteredLocked(it, now)
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
	if p.freeLocked() {
		p.running++
		it.phase = phaseReady
		return arrivedReady
	}
	it.phase = phaseWaiting
	p.waiting.push(it)
	return arrivedIn
}

// freeLocked reports whether an item that comes now gets a worker at once. That
// one is idle is not enough: loads and what is kept for them may need it.
func (p *pool) freeLocked() bool {
	return p.waiting.n == 0 && p.resumed.n == 0 && p.unclaimedLocked() && p.hasRoom()
}

// enteredLocked counts an item in.
func (p *pool) enteredLocked(it *item, now int64) {
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

// unclaimedLocked reports whether a worker is idle that no task of the executor
// waits for, and no call.
func (p *pool) unclaimedLocked() bool {
	return p.idle() > 0 && len(p.claims) == 0 && len(p.regains) == 0 && p.lent == 0
}

// serveLocked gives what is free of the pool to those who wait: workers, and
// room to those who are blocked. It reports whether somebody got any.
func (p *pool) serveLocked() (served bool) {
	e := p.e
	for {
		for p.giveLocked() {
			served = true
		}
		if p.blocked.n == 0 || !p.hasRoom() && !p.floodedLocked() {
			break
		}
		it := p.blocked.pop()
		e.carryLocked(it, p.takeInLocked(it, 0)) // it may be the one to have a worker now
		e.admittedLocked(it)
		served = true
	}
	if p == e.inlet {
		e.feedLocked()
	}
	return served
}

// giveLocked gives a worker to somebody who waits for one, if there is one. Calls
// that had one before come first, and those whose items the others may wait for.
func (p *pool) giveLocked() bool {
	e := p.e
	if p.idle() == 0 && p.stalls == 0 {
		return false
	}
	first := p.firstLocked()
	switch {
	case len(p.regains) > 0:
		if !p.takeWorkerLocked(true) {
			return false
		}
		e.signalLocked(p.regains[0])
		p.regains[0] = nil
		p.regains = p.regains[1:]
	case first == nil && p.lent > 0:
		if p.idle() == 0 {
			return false
		}
		p.lent--
		p.running++
	case first != nil && !p.tasks:
		if !p.takeWorkerLocked(true) {
			return false
		}
		p.readyLocked(first)
	case first != nil && first.q != nil: // not a task yet
		first.q.remove(first)
		p.sendLocked(first)
	case len(p.claims) > 0:
		if !p.takeWorkerLocked(first != nil) {
			return false
		}
		e.signalLocked(p.claims[0].granted)
		p.claims[0] = nil
		p.claims = p.claims[1:]
	default:
		it, next := p.resumed.first(), p.waiting.first()
		if it == nil || next != nil && next.prio > it.prio {
			it = next
		}
		if it == nil || p.tasks || !p.takeWorkerLocked(false) {
			return false
		}
		p.readyLocked(it)
	}
	return true
}

// readyLocked has an item carried that waited, and has a worker now.
func (p *pool) readyLocked(it *item) {
	it.q.remove(it)
	it.phase = phaseReady
	p.e.carryLocked(it, arrivedReady)
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
		e.recordLocked(it, it.outcome())
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

// outLocked hands an item to the consumer.
func (e *engine) outLocked(it *item) {
	it.phase = phaseOut
	e.out.append(it)
	e.tellLocked()
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
