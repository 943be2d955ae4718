package antflow

import (
	"context"
	"sync/atomic"
	"time"
)

// A task is the untyped core of a [Future]: one allocation holds the future,
// the function and everything the executor has to know of them.
//
// The first block is written before the task is shared and only read then. The
// last block is guarded by e.mu, except that the worker that runs the task may
// read it freely: nobody else writes those fields while the task runs.
type task struct {
	e      *Executor // nil: the future of a promise
	runner runner
	ctx    context.Context
	spec   *spec
	batch  *batch // the group or map that it belongs to, or nil
	id     uint64

	// err and rejected are written by the owner before state becomes final.
	// Between two attempts err holds the last attempt's error.
	err      error
	rejected bool // it was never accepted
	state    atomic.Uint32
	attempts atomic.Int32
	w        atomic.Pointer[waiters]

	phase      phase
	started    bool // its first attempt was given to a worker
	place      bool // holds a place under its batch's MaxConcurrency
	permit     bool // holds a permit of spec.sem
	event      bool // has an event of spec.limiter, not used yet
	bound      bool // done was asked of ctx
	asked      *cancelError
	prev, next *task           // in the list that phase tells
	done       <-chan struct{} // ctx.Done(), the key of its scope
	scope      *scope
	scopePrev  *task
	scopeNext  *task
	line       *line // that it waits in
	x          *extra
	cur        *attempt // the running or last attempt
	first      attempt  // the storage of the first one
}

// extra is what only a task needs that waits for more than a worker. The
// positions belong to the heaps of those names and are 0 outside.
type extra struct {
	pos     int // in the one heap that phase tells
	timer   int
	overlay int
	when    time.Time     // that the timer is for
	admit   chan struct{} // closed when a blocked Submit may go on
	refused bool          // it may not: the task was never accepted
	refusal error         // why; nil: its context ended
}

// runner is the typed side of a task: the seam between the executor, which
// knows no types, and what [Submit], groups and maps made.
type runner interface {
	// invoke calls the function once and keeps its value when it returns nil.
	invoke(ctx context.Context) error
	// drop forgets the function and its inputs. The task's owner calls it
	// once, before the task settles.
	drop()
	// settled is called after the final state is stored, outside locks, before
	// any waiter is told.
	settled()
}

// phase is where the executor keeps a task.
type phase uint8

const (
	phaseNew       phase = iota
	phaseAdmission       // in e.admission: its Submit is blocked, it isn't accepted
	phaseQueued          // in a level
	phaseGated           // in batch.gated: all places of its MaxConcurrency are taken
	phaseResumed         // in e.resumed: everything it waited for has come
	phaseTrying          // has a slot; its worker tries for the permit
	phaseLine            // in the line of its semaphore or limiter
	phaseDelay           // in e.timers: a retry's delay
	phaseRunning         // has a slot
	phaseBlocked         // started, its slot is lent
	phaseReturning       // in e.resumed: its wait is over, it needs a slot again
	phaseSettled         // in no book any more
	phases
)

// class is the figure of Stats that a phase counts in.
type class uint8

const (
	classNone class = iota
	classQueued
	classWaiting
	classRunning
	classBlocked
	classes
)

var classOf = [phases]class{
	phaseQueued:    classQueued,
	phaseGated:     classQueued,
	phaseResumed:   classQueued,
	phaseTrying:    classQueued,
	phaseLine:      classWaiting,
	phaseDelay:     classWaiting,
	phaseRunning:   classRunning,
	phaseBlocked:   classBlocked,
	phaseReturning: classBlocked,
}

// moveLocked is the one place where a task changes its phase, so that the
// figures always add up. The caller takes care of the lists.
func (e *Executor) moveLocked(t *task, to phase) {
	e.counts[classOf[t.phase]]--
	e.counts[classOf[to]]++
	t.phase = to
}

func (t *task) extra() *extra {
	if t.x == nil {
		t.x = new(extra)
	}
	return t.x
}

// startsBefore is the start order among tasks that could start alike.
func startsBefore(a, b *task) bool {
	if a.spec.priority != b.spec.priority {
		return a.spec.priority > b.spec.priority
	}
	return a.id < b.id
}

// failure is the error that the future of t fails with for err.
func (t *task) failure(err error) error {
	if n := t.Attempts(); n > 1 {
		return &RetryError{Attempts: n, Err: err}
	}
	return err
}
