package pipeline

import (
	"slices"
	"sync/atomic"
	"time"
)

// A load is the items that a carrier has in hand: of one site of a stage whose
// calls take next to no time, so that to take them one by one would be most of
// the work. It has one of the stage's workers. The carrier claims one item after
// the other without the lock, and whoever has the lock may cut it. So nobody can
// tell that there are loads: who wants to know about the run, or to change it,
// recalls them first, and a call that takes long after all has the rest of its
// load taken away by the watch.
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

// recallLocked takes back what a carrier has not begun, and moves on what it is
// done with; the call that runs goes on by itself. Before the run ends all loads
// are recalled, so nothing of this is canceled.
func (e *engine) recallLocked(c *carrier, now int64) {
	l := c.load
	p, q := l.p, l.next
	begun, n := l.cut()
	if n == begun && l.moved == begun-1 {
		return // it was recalled before
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

// mostNeeded is how many calls in a row must have been quick, at most, until a
// stage's items are taken as loads once more. It begins with quickCalls, and
// doubles with each load that didn't go on.
const mostNeeded = 1024

// watchLocked sets the timer, if it isn't.
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

// watch is called by the timer. It gives the items of loads that have not gone on
// to others.
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
