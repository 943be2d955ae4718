package pipeline

import (
	"context"
	"runtime"
	"time"

	"github.com/antflow/antflow"
)

// A carrier takes items through their stages. It has one at a time.
type carrier struct {
	e      *engine
	fn     func(context.Context) error     // carry
	done   func(*antflow.Future[struct{}]) // settled
	task   context.Context
	run    uint64 // of the crew that it belongs to
	began  bool
	since  int64         // when its turn began; 0: the clock was not read
	it     *item         // that is being carried
	calls  *calls        // of the next ones
	blank  []callContext // for them
	more   int           // how many to make next
	out    any           // a blank cell for what the next stage gives, or nil
	class  int           // its type
	load   *load         // or nil
	loaded bool          // it is in the crew's hands

	o       outcome // of the last call
	calling bool    // the stage's function has not returned
	looking bool    // it counts as that in the crew
	tired   bool    // its turn is over
}

// reset makes the carrier one that has done nothing.
func (c *carrier) reset() {
	*c = carrier{e: c.e, fn: c.fn, done: c.done, load: c.load}
}

// A turn is how long a carrier goes on before it lets other tasks of the
// executor run, if there are any. Beside it the submission of the next carrier
// is cheap.
const turn = 100 * time.Microsecond

// carry is the function of a carrier's task.
func (c *carrier) carry(ctx context.Context) error {
	e := c.e
	c.began, c.task = true, ctx
	defer c.end()
	e.mu.Lock()
	if e.crew.run == c.run {
		e.crew.pending--
		for c.find() {
			if c.loaded {
				for c.loaded {
					c.pass()
				}
			} else {
				for c.step() {
				}
			}
			if c.tired {
				break
			}
		}
	}
	if c.out != nil {
		e.keepLocked(c.class, c.out)
		c.out = nil
	}
	e.unlock()
	return nil
}

// end is called when the task ends. If that is because the stage's function
// called Goexit, that is the item's failure; it may also be that a callback of a
// future did.
func (c *carrier) end() {
	if c.looking {
		c.e.mu.Lock()
		c.e.crew.looking--
		c.e.unlock()
	}
	if c.calling {
		c.it.call.end()
		var o outcome
		s := &c.e.plan.sites[c.it.site]
		c.e.pools[s.pool].failed(antflow.ErrGoexit, true, c.it.call.attempt(), &o)
		c.e.mu.Lock()
		if c.loaded {
			c.unloadLocked(0)
		}
		c.e.carryLocked(c.it, c.e.calledLocked(c.it, &o, c.e.now()))
		c.e.unlock()
	}
	c.e.awaitObserver()
}

// patience is how often the last carrier yields before it ends. While whoever
// brings the items is a bit slower than it is, that is cheaper than to submit
// another one for each.
const patience = 16

// find takes the next item for the carrier; false when there is none. It is
// called with the lock, as step is.
func (c *carrier) find() bool {
	e := c.e
	if e.crew.run != c.run {
		return false // its context has ended
	}
	if c.pickLocked() {
		return true
	}
	if e.crew.looking > 0 || e.over || e.failure != nil {
		return false
	}
	e.crew.looking++
	c.looking = true
	for range patience {
		e.unlock()
		runtime.Gosched()
		e.mu.Lock()
		if e.demandLocked() > 0 || e.crew.run != c.run {
			break
		}
	}
	e.crew.looking--
	c.looking = false
	return e.crew.run == c.run && c.pickLocked()
}

// pickLocked takes the item that is to be carried next, or a load: of the highest
// priority, and then of the stage farthest downstream, so that what has begun
// comes to an end first.
func (c *carrier) pickLocked() bool {
	e := c.e
	if e.ready == 0 {
		return false
	}
	var best *pool
	for i := len(e.pools) - 1; i >= 0; i-- {
		p := e.pools[i]
		if p.ready.n > 0 && (best == nil || p.ready.first().prio > best.ready.first().prio) && (!p.quickLocked() || len(e.crew.hands) < p.handsLocked()) {
			best = p
		}
	}
	if best == nil {
		return false // others have loads
	}
	e.ready--
	c.it = best.ready.pop()
	c.loadLocked(c.it)
	return true
}

// step calls the stage's function for the carrier's item, which is ready, and
// moves it on. It is called with the lock, and returns with it. True: the item
// is ready at the next stage.
func (c *carrier) step() bool {
	e, it := c.e, c.it
	s := &e.plan.sites[it.site]
	attempt := it.visit.attempts + 1
	call := c.newCall(it, s, attempt)
	if it.timed {
		now := e.now()
		if c.since == 0 {
			c.since = now
		}
		if attempt == 1 {
			it.visit.queued = now - it.since
		}
		it.since = now
	}
	e.beginLocked(it, call, attempt)
	out := c.out
	if out == nil || c.class != s.outClass {
		out = e.outCellLocked(s)
	}
	c.out = nil
	p := e.pools[s.pool]
	e.unlock()

	if d := p.settings.Timeout; d > 0 {
		call.limit(d)
	}
	o := &c.o
	c.attempt(it, s, out, call)
	o.refused = !e.ex.Accepts(c.task)
	now, queued := int64(0), 0
	if it.timed {
		now = e.now()
		if now-c.since > int64(turn) {
			queued = e.ex.Stats().Queued
		}
	}
	in := it.val
	if o.val != nil {
		s.cells.clear(in)
		it.val = nil
	}

	e.mu.Lock()
	var a arrival
	switch {
	case o.val == nil:
		if out != nil {
			e.spareLocked(s.next, out)
		}
		a = e.calledLocked(it, o, now)
	case !o.refused && e.hopLocked(it, s, o):
		c.out, c.class = in, s.class
		return true
	default:
		e.keepLocked(s.class, in)
		a = e.calledLocked(it, o, now)
	}
	c.turnLocked(now, queued)
	if a == arrivedReady && !c.tired && (!e.prios || e.ready == 0) {
		return true
	}
	e.carryLocked(it, a)
	return false
}

// newCall returns the context of the item's next call.
func (c *carrier) newCall(it *item, s *site, attempt int32) *callContext {
	if len(c.blank) == 0 || it.lineage != nil && c.calls.lines == nil {
		c.more = min(max(2*c.more, 1), mostCalls)
		c.blank = make([]callContext, c.more)
		c.calls = callsFor(c.e, c.task, it)
	}
	call := &c.blank[0]
	call.init(c.calls, c.more-len(c.blank), it, s.pool, attempt)
	c.blank = c.blank[1:]
	return call
}

// attempt calls the stage's function for an item, and finds out what came of it.
func (c *carrier) attempt(it *item, s *site, out any, call *callContext) {
	o := &c.o
	*o = outcome{}
	if err := call.fedErr(); err != nil {
		o.err, o.late = err, context.Cause(it.origin.ctx)
	} else {
		c.calling = true
		c.e.call(it, s, out, call, o)
		c.calling = false
	}
	o.ended = o.err != nil && c.task.Err() != nil
	call.end()
}

// turnLocked finds out whether the carrier's turn is over: it has lasted, and so
// many other tasks are queued. The carriers of this run that have not begun don't
// count.
func (c *carrier) turnLocked(now int64, queued int) {
	if now-c.since > int64(turn) {
		c.since, c.tired = now, queued > c.e.crew.pending
	}
}

// hopLocked moves an item on to the next stage, where that is as simple as it
// can be: the item is just a number with a value, and has a worker there at
// once. It does what calledLocked would do, and false leaves that to it.
func (e *engine) hopLocked(it *item, s *site, o *outcome) bool {
	next := &e.plan.sites[o.to]
	if !s.simple || !next.simple || e.prios || it.timed || it.x != nil || e.exact || e.failure != nil || s.reach != next.reach {
		return false
	}
	p, q := e.pools[s.pool], e.pools[next.pool]
	if q.adapt != nil || q.tasks || q.blocked.n > 0 || !q.freeLocked() || q.figures.samples() {
		return false
	}
	p.figures.done++
	p.figures.since++
	q.figures.entered++
	q.running++
	it.site, it.val, it.phase = int32(o.to), o.val, phaseReady
	p.running--
	if p.waiting.n > 0 || p.resumed.n > 0 || p.blocked.n > 0 || len(p.claims) > 0 {
		p.serveLocked()
	}
	return true
}

// beginLocked notes that a call begins.
func (e *engine) beginLocked(it *item, call *callContext, attempt int32) {
	it.phase = phaseRunning
	it.call = call
	it.visit.attempts = attempt
	e.eventLocked(it, EventStarted, nil)
}

// call calls the function of a stage, and finds out where the item goes then. A
// panic becomes an error; a Goexit passes through.
func (e *engine) call(it *item, s *site, out any, ctx *callContext, o *outcome) {
	returned := false
	defer func() {
		if !returned {
			if v := recover(); v != nil {
				*o = outcome{}
				e.pools[s.pool].failed(panicError(v), true, ctx.attempt(), o)
			}
		}
	}()
	if err := e.invoke(it, s, out, ctx); err != nil {
		e.pools[s.pool].failed(err, false, ctx.attempt(), o)
	} else {
		e.follow(s, out, o)
	}
	returned = true
}

// invoke calls the function of a stage.
func (e *engine) invoke(it *item, s *site, out any, ctx context.Context) error {
	switch s.def.kind {
	case stageExpand:
		return s.def.expand(ctx, it.val, out, func() (bool, error) { return e.emit(ctx, it, s, out) })
	case stageFold:
		return e.gathers[s.gather].fold.step(ctx, it.val)
	}
	return s.def.call(ctx, it.val, out)
}

// follow finds out where the result of a call goes.
func (e *engine) follow(s *site, out any, o *outcome) {
	if s.def.kind != stageMap {
		return
	}
	o.to, o.val = s.next, out
	if e.plan.sites[s.next].kind == siteRoute {
		e.resolve(s.next, out, o)
	}
}

// outCellLocked returns the cell for what a stage gives, if it gives something.
func (e *engine) outCellLocked(s *site) any {
	if s.def.kind == stageFold {
		return nil
	}
	return e.cellLocked(s.next)
}
