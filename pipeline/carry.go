package pipeline

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/antflow/antflow"
)

// A crew is the executor's tasks that work for a run. A carrier takes an item
// that is ready, calls the functions of one stage after the other for as long
// as each has a worker to spare, and takes the next one; it ends when none is
// ready, or after its turn. A stage whose calls need more of the executor than
// its worker, such as a retry or a semaphore, has a task for each of them.
//
// The keeper is a task that only waits, with its slot lent, while there are
// items. The others are submitted under it: so a shutdown of the executor
// waits for all that has been fed, and their admission never blocks.
type crew struct {
	state    keeperState
	run      uint64          // counts the keepers
	ctx      context.Context // of the keeper's task, while there is one
	quit     chan struct{}   // ends it
	pending  int             // carriers that have not begun
	carriers int             // that have
	looking  int             // of them, those that will find what is ready
}

type keeperState uint8

const (
	keeperNone keeperState = iota
	keeperComes
	keeperThere
)

// A turn is how long a carrier goes on before it lets other tasks of the
// executor run. It is the time that a few submissions take; see Carry.
const turn = 100 * time.Microsecond

// staffLocked sees to it that there is a carrier for each item that is ready,
// and a keeper while there are items.
func (e *engine) staffLocked() {
	c := &e.crew
	switch c.state {
	case keeperNone:
		if e.live > 0 && (e.ready > 0 || len(e.later.tasks) > 0) {
			c.state = keeperComes
			e.later.keep, e.later.any = true, true
		}
	case keeperThere:
		if e.live == 0 && (!e.loop || e.over || e.failure != nil) {
			c.state = keeperNone
			c.run++
			c.ctx = nil
			c.pending = 0
			e.later.signals = append(e.later.signals, c.quit)
			e.later.any = true
			return
		}
		if n := e.ready - c.pending - c.looking; n > 0 {
			c.pending += n
			e.later.carry += n
			e.later.any = true
		}
	}
}

var forTheRun = antflow.JoinOptions(antflow.WithoutDefaults(), antflow.TaskName("pipeline"))

// keep submits the keeper. That may block, while the executor's queue is full.
func (e *engine) keep() {
	began := false
	f := e.ex.Go(e.ctx, func(ctx context.Context) error {
		began = true
		e.mu.Lock()
		c := &e.crew
		c.state, c.ctx, c.quit = keeperThere, ctx, make(chan struct{}, 1)
		quit := c.quit
		e.later.tasks = append(e.later.tasks, e.unsent...)
		e.later.any = true
		e.unsent = nil
		e.unlock()
		antflow.Blocking(ctx, func() error {
			select {
			case <-quit:
			case <-ctx.Done():
				e.stop(ctx)
				<-quit
			}
			return nil
		})
		return nil
	}, forTheRun)
	f.OnDone(func(f *antflow.Future[struct{}]) {
		if !began {
			e.mu.Lock()
			e.crew.state = keeperNone
			e.refusedLocked(f.Err())
			e.unlock()
		}
	})
}

// stop ends the run because ctx has ended, the run's own or one under it.
func (e *engine) stop(ctx context.Context) {
	e.mu.Lock()
	if e.ctx.Err() != nil {
		ctx = e.ctx
	}
	e.stopLocked(context.Cause(ctx), ctx.Err())
	e.unlock()
}

// refusedLocked ends the run because the executor does not do its work.
func (e *engine) refusedLocked(err error) {
	if ctxErr := e.ctx.Err(); ctxErr != nil {
		e.stopLocked(context.Cause(e.ctx), ctxErr)
		return
	}
	e.stopLocked(err, context.Canceled)
}

// submitCarrier submits one of the carriers that staffLocked asked for.
func (e *engine) submitCarrier() {
	e.mu.Lock()
	ctx, run := e.crew.ctx, e.crew.run
	prio := 0
	for _, p := range e.pools {
		if it := p.ready.first(); it != nil {
			prio = max(prio, it.prio)
		}
	}
	e.unlock()
	if ctx == nil {
		return // nothing is left to carry
	}
	c := &carrier{e: e, run: run}
	opts := []antflow.TaskOption{forTheRun, antflow.Priority(prio)}
	f := e.ex.Go(ctx, c.carry, opts[:1+min(prio, 1)]...)
	f.OnDone(func(f *antflow.Future[struct{}]) {
		if c.began {
			// The stages' panics are the items'. Any other is a bug of this
			// package, and the lock may be held.
			if isPanic(f.Err()) {
				panic(fmt.Sprintf("%+v", f.Err()))
			}
			return
		}
		e.mu.Lock()
		if e.crew.run == run {
			e.crew.pending--
			e.refusedLocked(f.Err())
		}
		e.unlock()
	})
}

type carrier struct {
	e     *engine
	ctx   context.Context
	run   uint64
	began bool
	it    *item // that is being carried
	since int64 // when its turn began; 0: the clock was not read
}

// carry is the function of a carrier's task.
func (c *carrier) carry(ctx context.Context) error {
	e := c.e
	c.began, c.ctx = true, ctx
	defer e.awaitObserver()
	e.mu.Lock()
	if e.crew.run != c.run {
		e.unlock()
		return nil
	}
	e.crew.pending--
	e.crew.carriers++
	for {
		it := c.findLocked()
		if it == nil {
			break
		}
		e.ready--
		c.it = it
		for c.it != nil {
			if !c.step() {
				e.crew.carriers--
				e.unlock()
				return nil
			}
		}
	}
	e.crew.carriers--
	e.unlock()
	return nil
}

// patience is how often the last carrier yields before it ends. While whoever
// brings the items is a bit slower than it is, that is cheaper than to submit
// another one for each.
const patience = 16

// findLocked takes the next item for a carrier, or lets it end.
func (c *carrier) findLocked() *item {
	e := c.e
	if e.crew.run != c.run {
		return nil // its context has ended
	}
	if it := e.pickLocked(); it != nil {
		return it
	}
	if e.crew.looking > 0 || e.live == 0 {
		return nil
	}
	e.crew.looking++
	for range patience {
		e.unlock()
		runtime.Gosched()
		e.mu.Lock()
		if e.ready > 0 || e.crew.run != c.run {
			break
		}
	}
	e.crew.looking--
	if e.crew.run != c.run {
		return nil
	}
	return e.pickLocked()
}

// pickLocked takes the item that is to be carried next: of the highest
// priority, and then of the stage farthest downstream, so that what has begun
// comes to an end first.
func (e *engine) pickLocked() *item {
	if e.ready == 0 {
		return nil
	}
	var best *pool
	for i := len(e.pools) - 1; i >= 0; i-- {
		p := e.pools[i]
		if p.ready.n > 0 && (best == nil || p.ready.first().prio > best.ready.first().prio) {
			best = p
		}
	}
	return best.ready.pop()
}

// step calls the stage's function for the carrier's item, which is ready, and
// moves it on. It is called with the lock, and returns with it. False: the
// carrier's turn is over.
func (c *carrier) step() (more bool) {
	e, it := c.e, c.it
	s := &e.plan.sites[it.site]
	p := e.pools[s.pool]
	v := p.beginLocked(it)
	v.call.task = c.ctx
	v.call.attempt = 1
	v.call.it = it
	if it.timed {
		now := e.now()
		if c.since == 0 {
			c.since = now
		}
		v.queued = now - it.since
		it.since = now
	}
	e.unlock()

	returned := false
	defer func() {
		if !returned { // by Goexit; this goroutine ends, and the task with it
			v.call.end(&callOver)
			e.mu.Lock()
			e.calledLocked(it, p, v, &outcome{err: antflow.ErrGoexit, kind: kindOf(antflow.ErrGoexit)}, e.now())
			e.crew.carriers--
			e.unlock()
		}
	}()
	o := e.call(it, s, &v.call)
	returned = true
	v.call.end(&callOver)
	var now int64
	if it.timed {
		now = e.now()
	}

	e.mu.Lock()
	a := e.calledLocked(it, p, v, &o, now)
	if a == arrivedReady {
		if now != 0 && now-c.since > int64(turn) {
			e.carryLocked(it, a)
			return false
		}
		return true
	}
	c.it = nil
	return now == 0 || now-c.since <= int64(turn)
}

// beginLocked notes that the first call of an item's visit begins.
func (p *pool) beginLocked(it *item) *visit {
	it.phase = phaseRunning
	it.visits = append(it.visits, visit{pool: int32(p.index), queued: -1, worked: -1})
	v := &it.visits[len(it.visits)-1]
	v.attempts = 1
	p.e.eventLocked(it, EventStarted, v, nil)
	return v
}

// An outcome is what a call came to. To find it out may call methods of the
// user's errors, so it is made without the lock.
type outcome struct {
	err      error
	to       int    // the site where the item goes
	skip     bool   // err is ErrSkipped
	panicked bool   // it is a panic
	overload bool   // it says so, for a stage with adaptive workers
	kind     string // of err
}

// judge makes the outcome of a call that returned err.
func (d *stageDef) judge(err error, o *outcome) {
	if err == nil {
		return
	}
	o.err = err
	o.skip = errors.Is(err, ErrSkipped)
	_, o.panicked = err.(*antflow.PanicError)
	o.overload = d.adapt != nil && d.adapt.overloaded(err)
	o.kind = kindOf(err)
}

// call calls the function of a stage, and finds out where the item goes then. A
// panic becomes an error; a Goexit passes through.
func (e *engine) call(it *item, s *site, ctx context.Context) (o outcome) {
	returned := false
	defer func() {
		if !returned {
			if v := recover(); v != nil {
				o = outcome{}
				s.def.judge(panicError(v), &o)
			}
		}
	}()
	if err := e.invoke(it, s, ctx); err != nil {
		s.def.judge(err, &o)
		o.err = antflow.Unmarked(err)
	} else {
		o.to = e.follow(it, s.next, &o)
	}
	returned = true
	return o
}

// follow is resolve with its failure in the outcome.
func (e *engine) follow(it *item, to int, o *outcome) int {
	if e.plan.sites[to].kind != siteRoute {
		return to
	}
	to = e.resolve(it, to)
	if it.err != nil {
		o.err, o.kind = it.err, kindOf(it.err)
		it.err = nil
	}
	return to
}

// invoke calls the function of a stage.
func (e *engine) invoke(it *item, s *site, ctx context.Context) error {
	in := it.cell(int(it.site))
	switch s.def.kind {
	case stageExpand:
		return s.def.expand(ctx, in, it.cell(s.next), func() error { return e.emit(ctx, it, s) })
	case stageFold:
		return e.gathers[s.gather].fold.step(ctx, in)
	}
	return s.def.call(ctx, in, it.cell(s.next))
}

// calledLocked moves an item on whose call by a carrier is over.
func (e *engine) calledLocked(it *item, p *pool, v *visit, o *outcome, now int64) arrival {
	if it.timed && now != 0 {
		v.worked = now - it.since
		p.adapt.calledLocked(p, now, v.worked, o)
	}
	p.running--
	a := e.leaveLocked(it, p, v, o, now)
	p.serveLocked()
	return a
}

// leaveLocked moves an item on that a stage is done with. It has a worker of
// the stage no more, unless the next one has no room.
func (e *engine) leaveLocked(it *item, p *pool, v *visit, o *outcome, now int64) arrival {
	p.figures.left(v, now)
	s := &e.plan.sites[it.site]
	e.clearLocked(it)
	if o.err != nil {
		return e.lostLocked(it, p, v, o)
	}
	p.figures.done++
	e.eventLocked(it, EventDone, v, nil)
	switch {
	case s.def.kind == stageExpand:
		e.plan.sites[s.next].cells.clear(it.cell(s.next))
		e.partLocked(it)
		e.removeLocked(it)
		return arrivedIn
	case s.def.kind == stageFold:
		g := e.gathers[s.gather]
		if it.x != nil && (it.x.origin != nil || it.x.members != nil) {
			if g.x == nil {
				g.x = new(extra)
			}
			g.x.members = append(g.x.members, member{it.id, it.x})
		}
		e.removeLocked(it)
		return arrivedIn
	case it.x != nil && it.x.canceled != nil && o.to != 0:
		return e.canceledLocked(it, it.x.canceled)
	case e.failure != nil && o.to != 0:
		return e.canceledLocked(it, &cancelError{err: context.Canceled, cause: e.failure})
	}
	a := e.arriveLocked(it, o.to, now)
	if a == arrivedNot {
		it.holder = p
		p.held++
	}
	return a
}

// lostLocked moves an item on whose stage failed, was canceled, or skipped it.
func (e *engine) lostLocked(it *item, p *pool, v *visit, o *outcome) arrival {
	s := &e.plan.sites[it.site]
	if s.def.kind != stageFold {
		e.plan.sites[s.next].cells.clear(it.cell(s.next))
	}
	c := it.canceledBy()
	switch {
	case c != nil && !o.panicked:
		p.figures.canceled++
		e.eventLocked(it, EventCanceled, v, c)
		return e.canceledLocked(it, c.with(o.err))
	case o.skip:
		p.figures.skipped++
		e.eventLocked(it, EventSkipped, v, nil)
		e.goneLocked(it)
		return arrivedIn
	}
	p.figures.failed++
	failure, ok := o.err.(*ItemError) // of a route
	if !ok {
		failure = &ItemError{Err: o.err}
	}
	failure.Stage, failure.Attempts = p.def.name, int(v.attempts)
	return e.failedLocked(it, failure, o.kind, v)
}

// failedLocked sends an item to the end that has failed.
func (e *engine) failedLocked(it *item, failure *ItemError, kind string, v *visit) arrival {
	failure.Item, failure.Visits = it.identity(), it.history()
	if it.x != nil && it.x.origin != nil {
		failure.Input = it.x.origin.input
	}
	e.eventLocked(it, EventFailed, v, failure)
	e.failures.add(failure, kind)
	if w := e.failures.wake; w != nil {
		e.failures.wake = nil
		e.later.closes, e.later.any = append(e.later.closes, w), true
	}
	a := e.failLocked(it, failure)
	if e.conf.failFast {
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

// emit is called by the function of a FlatMap, with one more value.
func (e *engine) emit(ctx context.Context, it *item, s *site) error {
	e.mu.Lock()
	p := e.pools[s.pool]
	for !e.mayEmitLocked(it) {
		if c := it.canceledBy(); c != nil {
			e.unlock()
			return c
		}
		// Without its worker: what may emit, because all wait for it, may
		// wait for that.
		st := &stall{it: it, wake: make(chan struct{}, 1)}
		e.stalled = append(e.stalled, st)
		e.hungry.Store(true)
		e.countLocked()
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
	}
	part := e.partOfLocked(it, nil)
	e.addLocked(part, it, s.next)
	part.site = int32(s.next)
	e.unlock()

	e.plan.sites[s.next].cells.copy(part.cell(s.next), it.cell(s.next))
	to := e.resolve(part, s.next)
	if part.err != nil {
		part.more().kind = kindOf(part.err)
	}

	e.mu.Lock()
	a := e.enterLocked(part, to, 0)
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

func panicError(v any) error {
	return &antflow.PanicError{Value: v, Stack: debug.Stack()}
}

func isPanic(err error) bool {
	_, ok := err.(*antflow.PanicError)
	return ok
}
