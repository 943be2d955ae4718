package pipeline

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"time"

	"github.com/antflow/antflow"
)

// A crew is the executor's tasks that work for a run. A carrier takes an item
// that is ready, calls the functions of one stage after the other for as long
// as each has a worker to spare, and takes the next one; it ends when none is
// ready, or after its turn. A stage whose calls need more of the executor than
// its workers, such as the permit of a semaphore, has a task for each of them.
//
// The keeper is a task that only waits, with its slot lent, while there are
// items. The others are submitted under it: so a shutdown of the executor
// waits for all that has been fed, and their admission never blocks.
type crew struct {
	state   keeperState
	run     uint64          // counts the keepers
	ctx     context.Context // of the keeper's task, while there is one
	quit    chan struct{}   // of capacity 1: tells it that there is nothing to do
	told    bool            // it has been
	pending int             // carriers that have not begun
	looking int             // carriers that will find what is ready
	spare   []*carrier      // without a task, to be used again

	hands   []*carrier  // those with a load
	watch   *time.Timer // over them
	watched bool        // it is set
}

type keeperState uint8

const (
	keeperNone keeperState = iota
	keeperComes
	keeperThere
)

// demandLocked is how many carriers the items that are ready need: one each; but
// loads need no more than there are hands for them.
func (e *engine) demandLocked() int {
	n, quick, most := e.ready, 0, 0
	for _, p := range e.pools {
		if p.ready.n > 0 && p.quickLocked() {
			quick += p.ready.n
			most = max(most, p.handsLocked())
		}
	}
	return n - quick + min(quick, max(most-len(e.crew.hands), 0))
}

// staffLocked sees to it that there is a carrier for each item that is ready,
// and a keeper while there are items.
func (e *engine) staffLocked() {
	c := &e.crew
	switch c.state {
	case keeperNone:
		if e.live > e.out.n && (e.ready > 0 || len(e.later.tasks) > 0) || e.gatheredLocked() {
			c.state = keeperComes
			e.later.keep, e.later.any = true, true
		}
	case keeperThere:
		if e.idleLocked() && !c.told {
			c.told = true
			e.signalLocked(c.quit)
		}
		if n := e.demandLocked() - c.pending - c.looking; n > 0 {
			c.pending += n
			e.later.carry += n
			e.later.run = c.run
			e.later.any = true
		}
	}
}

var forTheRun = antflow.JoinOptions(antflow.WithoutDefaults(), antflow.TaskName("pipeline"))

// keep submits the keeper. Whoever fed the first item has it accepted by that,
// unless the executor's queue is full: then a goroutine waits for room in it,
// since who feeds must not.
func (e *engine) keep() {
	k := &keeper{e: e}
	f := e.ex.Go(e.ctx, k.run, forTheRun, first, antflow.NonBlocking())
	if errors.Is(f.Err(), antflow.ErrQueueFull) {
		go func() { e.ex.Go(e.ctx, k.run, forTheRun, first).OnDone(k.settled) }()
		return
	}
	f.OnDone(k.settled)
}

// first has the keeper start before other tasks: it only begins to wait.
var first = antflow.Priority(math.MaxInt)

// A keeper is the task that waits.
type keeper struct {
	e     *engine
	began bool
}

func (k *keeper) run(ctx context.Context) error {
	e := k.e
	k.began = true
	e.mu.Lock()
	c := &e.crew
	c.state, c.ctx, c.quit = keeperThere, ctx, make(chan struct{}, 1)
	quit := c.quit
	c.told = false
	e.later.tasks = append(e.later.tasks, e.unsent...)
	e.later.any = true
	e.unsent = nil
	e.unlock()
	antflow.Blocking(ctx, func() error {
		e.tend(ctx, quit)
		return nil
	})
	return nil
}

func (k *keeper) settled(f *antflow.Future[struct{}]) {
	if !k.began {
		k.e.mu.Lock()
		k.e.crew.state = keeperNone
		k.e.refusedLocked(f.Err())
		k.e.unlock()
	}
}

// idleLocked reports whether the run needs no keeper: there is nothing to do, and
// nothing was gathered that will go on when the executor is shut down. In a loop
// the next item is taken to be on its way.
func (e *engine) idleLocked() bool {
	if e.live != e.out.n || e.loop && !e.closed {
		return false
	}
	return !e.gatheredLocked()
}

// gatheredLocked reports whether there are items in batches and reductions.
func (e *engine) gatheredLocked() bool {
	for _, g := range e.gathers {
		if g.count > 0 {
			return true
		}
	}
	return false
}

// tend is what the keeper does: it waits until there are no items, and then, like
// the last carrier, yields a few times in case the next one comes at once. When
// the executor is shut down, it sees to it that no input comes any more.
func (e *engine) tend(ctx context.Context, quit chan struct{}) {
	done, closing := ctx.Done(), e.ex.Closing()
	for {
		select {
		case <-quit:
		case <-closing:
			e.refuse()
			closing = nil
			continue
		case <-done:
			e.stop(ctx)
			done = nil
			continue
		}
		e.mu.Lock()
		for round := 0; round < patience && e.idleLocked() && !e.over && e.failure == nil; round++ {
			e.unlock()
			runtime.Gosched()
			e.mu.Lock()
		}
		c := &e.crew
		if e.idleLocked() {
			c.state, c.ctx, c.pending = keeperNone, nil, 0
			c.run++
			e.unlock()
			return
		}
		c.told = false
		e.unlock()
	}
}

// stop ends the run because ctx has ended, the run's own or one under it.
func (e *engine) stop(ctx context.Context) {
	e.mu.Lock()
	e.endedLocked(ctx)
	e.unlock()
}

func (e *engine) endedLocked(ctx context.Context) {
	if e.ctx.Err() != nil {
		ctx = e.ctx
	}
	e.stopLocked(context.Cause(ctx), ctx.Err())
}

// refusedLocked ends the run because the executor does not do its work, or no
// more of it. What it has begun comes to an end.
func (e *engine) refusedLocked(err error) {
	if ctxErr := e.ctx.Err(); ctxErr != nil {
		e.stopLocked(context.Cause(e.ctx), ctxErr)
		return
	}
	e.haltLocked(err, context.Canceled)
}

// submitCarrier submits one of the carriers that staffLocked asked for.
func (e *engine) submitCarrier(run uint64) {
	e.mu.Lock()
	ctx := e.crew.ctx
	prio := 0
	for _, p := range e.pools {
		if it := p.ready.first(); it != nil {
			prio = max(prio, it.prio)
		}
	}
	if e.crew.run != run {
		e.unlock()
		return // nothing was left to carry
	}
	c := e.carrierLocked()
	c.run = run
	e.unlock()
	if prio > 0 {
		e.ex.Go(ctx, c.fn, forTheRun, antflow.Priority(prio)).OnDone(c.done)
	} else {
		e.ex.Go(ctx, c.fn, forTheRun).OnDone(c.done)
	}
}

// carrierLocked returns a carrier that has no task.
func (e *engine) carrierLocked() *carrier {
	n := len(e.crew.spare)
	if n == 0 {
		c := &carrier{e: e}
		c.fn, c.done = c.carry, c.settled
		return c
	}
	c := e.crew.spare[n-1]
	e.crew.spare = e.crew.spare[:n-1]
	return c
}

// settled is called when the carrier's task is.
func (c *carrier) settled(f *antflow.Future[struct{}]) {
	if p, ok := f.Err().(*antflow.PanicError); ok && c.began {
		// The stages' panics are the items'. Any other is a bug of this
		// package, and the lock may be held.
		panic(fmt.Sprintf("%+v", p))
	}
	e := c.e
	e.mu.Lock()
	if !c.began && e.crew.run == c.run {
		e.crew.pending--
		e.refusedLocked(f.Err())
	}
	c.reset()
	if len(e.crew.spare) < mostSpare {
		e.crew.spare = append(e.crew.spare, c)
	}
	e.unlock()
}
