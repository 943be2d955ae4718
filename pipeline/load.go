package pipeline

import (
	"slices"
	"sync/atomic"
	"time"
)

// A load is the items that a carrier has in hand: of one site of a stage whose
// calls take next to no time, so that to take them one by one would be most of
// the work. It has one of the stage's workers. The carrier claims one item
// after the other without the lock; whoever has the lock can end the load by
// that nothing is left to be claimed. So nobody can tell that there are loads:
// who wants to know about the run, or to change it, recalls them first, and a
// call that takes long after all has its load taken away by the watch.
type load struct {
	s     *site
	p     *pool
	next  *pool         // where room is kept for them, or nil
	word  atomic.Uint64 // how many of the items were begun, and above that how many there are
	moved int           // so many have gone on; guarded by e.mu, as is all but word
	seen  uint64        // the word when the watch looked; 0: it has not
	items [mostLoad]*item
	cells [mostLoad]any // blank ones: for what the stage gives, or, once an item is done, what its value was in
	same  bool          // these are of one type, so the one of an item does for the next one, too
}

const mostLoad = 32

func (l *load) begun() (begun, n int) {
	w := l.word.Load()
	return int(w & (1<<32 - 1)), int(w >> 32)
}

func (l *load) set(begun, n int) { l.word.Store(uint64(begun) | uint64(n)<<32) }

// claim takes the next item, by the carrier: its call of the one before has given
// a result in out. It returns nil and out when there is none.
func (l *load) claim(done *item, out any) (next *item, blank any) {
	w := l.word.Load()
	begun := w & (1<<32 - 1)
	if begun == w>>32 {
		return nil, out
	}
	// With the next one claimed, this one belongs to who has the lock.
	in := done.val
	l.s.cells.clear(in)
	if !l.same {
		l.cells[begun-1] = in
	}
	done.val = out
	if !l.word.CompareAndSwap(w, w+1) { // it was cut
		done.val = in
		return nil, out
	}
	if l.same {
		return l.items[begun], in
	}
	return l.items[begun], l.cells[begun]
}

// cut lets nothing more be claimed. It returns how many were, and how many there
// were to be: those from the one to the other belong to the caller, as do all
// but the last of those before.
func (l *load) cut() (begun, n int) {
	for {
		w := l.word.Load()
		begun = int(w & (1<<32 - 1))
		if l.word.CompareAndSwap(w, uint64(begun)|uint64(begun)<<32) {
			return begun, int(w >> 32)
		}
	}
}

// quickLocked reports whether the pool's items may be taken as loads: what goes
// on in its calls can't be told from a call of each item by itself.
func (p *pool) quickLocked() bool {
	e := p.e
	return p.figures.trust >= p.figures.needed && p.plain && p.adapt == nil &&
		e.loop && !e.exact && !e.prios && e.failure == nil
}

// handsLocked is how many carriers with loads there should be where there are
// items for a quick pool: as many calls can go on that wait for nothing. When
// they take next to no time, carriers would only get in each other's way.
func (p *pool) handsLocked() int {
	if p.figures.recent < tinyCall {
		return 1
	}
	return p.e.procs
}

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

// behindLocked returns how many items a load may have at a site, and the pool
// where room is to be kept for all but one of them, if that is needed: the load
// has one worker, which can hold only one while it is blocked.
func (e *engine) behindLocked(s *site) (q *pool, most int) {
	next := &e.plan.sites[s.next]
	if next.kind == siteEnd || e.ordered && next.point >= 0 {
		return nil, mostLoad // there is always room
	}
	if !next.simple {
		return nil, 1
	}
	if q = e.pools[next.pool]; q.tasks || q.adapt != nil {
		return nil, 1
	}
	return q, min(1+q.room()-q.queued(), mostLoad)
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
	last.val, l.cells[n-1] = out, in
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
	if l.same {
		e.keepLocked(l.s.class, in)
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
// cell for its result. began and now are the times
// around the call that was timed, if one was.
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
		e.dropHandLocked(c)
	}
	begun, _ := l.begun()
	c.it = l.items[begun-1]
	l.items[begun-1], l.cells[begun-1] = nil, nil
}

func (e *engine) dropHandLocked(c *carrier) {
	i := slices.Index(e.crew.hands, c)
	e.crew.hands = slices.Delete(e.crew.hands, i, i+1)
}

// recallLocked takes back what a carrier has not begun, and moves on what it is
// done with; the call that runs goes on by itself.
func (e *engine) recallLocked(c *carrier, now int64) {
	l := c.load
	p, q := l.p, l.next
	begun, n := l.cut()
	if n == 1 || n == begun && l.moved == begun-1 {
		return
	}
	for i := n - 1; i >= begun; i-- {
		it := l.items[i]
		it.phase = phaseWaiting
		p.waiting.pushFront(it)
		if !l.same {
			e.keepLocked(l.s.outClass, l.cells[i])
		}
		l.items[i], l.cells[i] = nil, nil
	}
	p.laden -= n - begun
	if q != nil {
		q.coming -= n - begun
	}
	for ; l.moved < begun-1; l.moved++ {
		it := l.items[l.moved]
		if !l.same {
			e.keepLocked(l.s.class, l.cells[l.moved])
		}
		l.items[l.moved], l.cells[l.moved] = nil, nil
		p.laden--
		it.visit.attempts = 1
		p.figures.left(&it.visit, now)
		p.figures.done++
		if q != nil {
			q.coming--
		}
		if c := it.canceledBy(); c != nil && l.s.next != 0 {
			it.site = int32(l.s.next) // as its value is
			e.canceledLocked(it, c)
			continue
		}
		if q == nil {
			e.carryLocked(it, e.arriveLocked(it, l.s.next, now))
			continue
		}
		// It has its room already, and doesn't get behind those that wait
		// for some.
		it.site = int32(l.s.next)
		if e.ordered {
			e.narrowLocked(it, e.plan.sites[it.site].reach)
		}
		e.carryLocked(it, q.takeInLocked(it, now))
	}
	it := l.items[begun-1]
	it.phase = phaseRunning
	it.visit.attempts = 1
	p.serveLocked()
	if q != nil {
		q.serveLocked()
	}
}

// recallAllLocked makes the state of the run what it would be without loads.
func (e *engine) recallAllLocked() {
	hands := e.crew.hands
	if len(hands) == 0 {
		return
	}
	e.crew.hands = hands[:0]
	now := e.now()
	for i, c := range hands {
		hands[i] = nil
		c.loaded = false
		e.recallLocked(c, now)
	}
}

// The watch looks every watchTime for a load that has not gone on meanwhile. So
// long the items of a load may wait behind a call that takes long.
const watchTime = time.Millisecond

// mostNeeded is for how many calls in a row a stage must have been quick, at
// most, until its items are taken as loads once more. It begins with quickCalls, and doubles
// with each load that didn't go on.
const mostNeeded = 1024

func (e *engine) watchLocked() {
	c := &e.crew
	if c.watched {
		return
	}
	c.watched = true
	if c.watch == nil {
		c.watch = time.AfterFunc(watchTime, e.watch)
	} else {
		c.watch.Reset(watchTime)
	}
}

func (e *engine) watch() {
	e.mu.Lock()
	e.crew.watched = false
	hands := e.crew.hands
	for i := 0; i < len(hands); i++ {
		c := hands[i]
		l := c.load
		if w := l.word.Load(); l.seen != w {
			l.seen = w
			continue
		}
		f := &l.p.figures
		f.trust, f.needed = 0, min(2*f.needed, mostNeeded)
		e.recallLocked(c, e.now())
		c.loaded = false
		hands = slices.Delete(hands, i, i+1)
		i--
	}
	e.crew.hands = hands
	if len(hands) > 0 {
		e.watchLocked()
	}
	e.unlock()
}
