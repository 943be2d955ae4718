package pipeline

import "slices"

// loadLocked makes a load of what a carrier is about to take, if there is more of
// its kind.
func (c *carrier) loadLocked(first *item) {
	e := c.e
	s := &e.plan.sites[first.site]
	p := e.pools[s.pool]
	if p.ready.n+p.waiting.n == 0 || p.resumed.n > 0 || len(p.claims) > 0 || first.visit.attempts > 0 || !p.quickLocked() {
		return
	}
	q, most := e.behindLocked(s)
	n := min(p.ready.n+p.waiting.n+1, most)
	if n < 2 {
		return
	}
	l := c.load
	if l == nil {
		l = new(load)
		c.load = l
	}
	l.s, l.p, l.next, l.moved = s, p, q, 0
	l.items[0], l.cells[0] = first, e.outCellLocked(s)
	l.same = s.class == s.outClass
	size := 1
	for ; size < n; size++ {
		it := p.ready.first()
		ready := it != nil
		if !ready {
			it = p.waiting.first()
		}
		if it == nil || it.site != first.site || it.visit.attempts > 0 {
			break
		}
		it.q.remove(it)
		if ready {
			e.ready--
			p.running--
		}
		it.phase = phaseInHand
		l.items[size] = it
		if !l.same {
			l.cells[size] = e.outCellLocked(s)
		}
	}
	if size == 1 {
		e.keepLocked(s.outClass, l.cells[0])
		l.items[0], l.cells[0] = nil, nil
		return
	}
	l.set(1, size)
	p.laden += size - 1
	if q != nil {
		q.coming += size - 1
	}
	l.seen = 0
	e.crew.hands = append(e.crew.hands, c)
	c.loaded = true
	e.watchLocked()
	p.serveLocked() // the workers that were given back
}

// passOnLocked moves a carrier's load on to the next stage as a whole, if
// nothing speaks against it: all are done, and the next stage would give a worker
// to the first of them now.
func (c *carrier) passOnLocked(o *outcome, out any, now int64) bool {
	e, l := c.e, c.load
	begun, n := l.begun()
	q := l.next
	if begun < n || l.moved > 0 || o.val == nil || o.refused || q == nil || !c.loaded || c.tired ||
		!q.quickLocked() || !q.freeLocked() || q.blocked.n > 0 || q.ready.n > 0 {
		return false
	}
	s := &e.plan.sites[l.s.next]
	r, most := e.behindLocked(s)
	if n > most {
		return false
	}
	p, last := l.p, l.items[n-1]
	in := last.val
	l.s.cells.clear(in)
	last.val = out
	if l.same {
		e.keepLocked(l.s.class, in)
	} else {
		l.cells[n-1] = in
	}
	for i, it := range l.items[:n] {
		it.visit.attempts = 1
		p.figures.left(&it.visit, now)
		it.site = int32(l.s.next)
		if e.ordered {
			e.narrowLocked(it, s.reach)
		}
		q.enteredLocked(it, now)
		it.phase = phaseInHand
		if !l.same {
			e.keepLocked(l.s.class, l.cells[i])
		}
	}
	p.figures.done += uint64(n)
	p.running--
	p.laden -= n - 1
	q.running++
	q.laden += n - 1
	q.coming -= n - 1
	if r != nil {
		r.coming += n - 1
	}
	l.s, l.p, l.next, l.same = s, q, r, s.class == s.outClass
	l.cells[0] = e.outCellLocked(s)
	for i := 1; i < n && !l.same; i++ {
		l.cells[i] = e.outCellLocked(s)
	}
	l.set(1, n)
	l.seen = 0
	p.serveLocked()
	return true
}

// pass calls the stage's function for the items of the carrier's load, and moves
// them on. It is called with the lock and returns with it.
func (c *carrier) pass() {
	e, l := c.e, c.load
	l.items[0].phase = phaseRunning
	_, n := l.begun()
	if c.since == 0 {
		c.since = e.now()
	}
	e.unlock()

	out, began, now := c.work(l)
	it, o := c.it, &c.o
	o.ended = o.err != nil && c.task.Err() != nil
	o.refused = !e.ex.Accepts(c.task)
	if now == 0 && n >= mostLoad/4 {
		now = e.now()
	}
	queued := 0
	if now-c.since > int64(turn) {
		queued = e.ex.Stats().Queued
	}

	e.mu.Lock()
	c.turnLocked(now, queued)
	if c.passOnLocked(o, out, now) {
		return
	}
	c.unloadLocked(now)
	if o.val == nil {
		e.spareLocked(l.s.next, out)
	}
	at := int64(0)
	if it.visit.worked >= 0 { // as calledLocked would have it
		at = began + it.visit.worked
		it.since, it.visit.worked = began, -1
	}
	e.carryLocked(it, e.calledLocked(it, o, at))
}

// work calls the function for one item after the other, until there are no more
// or one has no result. That one is the carrier's then, with the outcome and the
// cell for its result. began and now are the times around the call that was
// timed, if one was.
func (c *carrier) work(l *load) (out any, began, now int64) {
	e, s, o := c.e, l.s, &c.o
	*o = outcome{to: s.next}
	it := l.items[0]
	out = l.cells[0]
	var call *callContext
	defer func() {
		// As in engine.call; a Goexit passes through to carrier.end.
		if v := recover(); v != nil {
			c.calling = false
			e.pools[s.pool].failed(panicError(v), true, 1, o)
			call.end()
		}
	}()
	for {
		c.it = it
		call = c.newCall(it, s, 1)
		it.call = call
		timed := it.timed && began == 0 // one of a load is enough
		if timed {
			began = e.now()
			it.visit.queued = began - it.since
		}
		c.calling = true
		err := s.def.call(call, it.val, out)
		c.calling = false
		if err != nil {
			e.pools[s.pool].failed(err, false, 1, o)
		}
		if timed {
			now = e.now()
			it.visit.worked = now - began
		}
		call.end()
		if err != nil {
			return
		}
		next, cell := l.claim(it, out)
		if next == nil {
			o.val = out
			return
		}
		it, out = next, cell
	}
}

// unloadLocked ends a carrier's load but for the item that it claimed last,
// which is then like any other one that is being called.
func (c *carrier) unloadLocked(now int64) {
	e, l := c.e, c.load
	e.recallLocked(c, now)
	if c.loaded {
		c.loaded = false
		i := slices.Index(e.crew.hands, c)
		e.crew.hands = slices.Delete(e.crew.hands, i, i+1)
	}
	begun, _ := l.begun()
	c.it = l.items[begun-1]
	l.items[begun-1], l.cells[begun-1] = nil, nil
}
