package antflow

import (
	"context"
	"sync/atomic"
	"time"
)

// A task is the untyped core of a [Future]: one allocation holds the future,
// the function and what the executor has to know of a task that waits for
// nothing but a worker. Whatever more it needs is in extra, made on demand.
//
// The first block is written before the task is shared and only read then. The
// last block is guarded by e.mu, except that the worker that runs the task may
// read the flags freely: nobody else writes them while the task runs.
type task struct {
	*terms // nil: the future of a promise
	runner runner
	id     uint64 // the sequence number, within the executor or of all promises

	// err is written by the owner before state becomes final. Between two
	// attempts it holds the last attempt's error.
	err   *error
	w     atomic.Pointer[seat]
	first atomic.Pointer[attempt] // the first attempt, once it is more than the task itself; see context.go
	word  atomic.Uint32           // the state, and the number of attempts above it
	above int16                   // what is added to the priority of spec; of the first block

	flags flags
	phase phase
	x     *extra
	place uint64 // in the queue of its level
}

// terms are what tasks that are submitted one after the other mostly have in
// common: their options, and their context with its Done channel, which is the
// key of their scope.
type terms struct {
	spec *spec
	ctx  context.Context
	done <-chan struct{}
}

// flags are what a task has or went through.
type flags uint8

const (
	hasStarted flags = 1 << iota // its first attempt was given to a worker
	hasPlace                     // under its batch's MaxConcurrency
	hasPermit                    // of spec.sem
	hasEvent                     // of spec.limiter, not used yet
	isRefused                    // it was never accepted
)

func (t *task) has(f flags) bool { return t.flags&f != 0 }

// extra is what a task needs that waits for more than a worker, or again. The
// positions belong to the heaps of those names and are 0 outside. All of it is
// guarded by e.mu, as the last block of task.
type extra struct {
	watched    *watchedExtra // this, with what those who observe know, or nil; see record.go
	batch      *batch        // the group or map that it belongs to, or nil
	span       *span         // that it is the entry of, or nil
	cur        *attempt      // the running or last attempt but the first
	prev, next *task         // in the list that phase tells
	scope      *scope
	scopePrev  *task
	scopeNext  *task
	line       *line         // that it waits in
	when       time.Duration // that the timer is for, since the executor's epoch
	pos        int32         // in the one heap that phase tells
	timer      int32
	overlay    int32
	admit      *admission
	remote     *remote // that makes it a task which runs elsewhere, or nil
}

// An admission is a blocked Submit.
type admission struct {
	open    chan struct{} // closed when it may go on
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
	// function returns the user's function, for its name, and whether the task
	// is joined: of a group or map, whose caller waits for it. It is called
	// before drop.
	function() (fn any, joined bool)
}

// phase is where the executor keeps a task.
type phase uint8

const (
	phaseNew           phase = iota
	phaseAdmission           // in e.admission: its Submit is blocked, it isn't accepted
	phaseQueued              // in a level
	phaseDrawn               // taken out of a span, to be settled
	phaseGated               // in batch.gated: all places of its MaxConcurrency are taken
	phaseResumed             // in e.resumed: everything it waited for has come
	phaseTrying              // has a slot; its worker tries for the permit
	phaseLine                // in the line of its semaphore or limiter
	phaseDelay               // in e.timers: a retry's delay
	phaseRunning             // has a slot
	phaseBlocked             // started, its slot is lent
	phaseReturning           // in e.resumed: its wait is over, it needs a slot again
	phaseRemote              // in e.remotes: it runs elsewhere, and isn't known to have started
	phaseRemoteRunning       // there, too, and running, without a slot
	phaseRemoteDelay         // there, too, between two attempts
	phaseSettled             // in no book any more
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
	phaseDrawn:     classQueued,
	phaseGated:     classQueued,
	phaseResumed:   classQueued,
	phaseTrying:    classQueued,
	phaseLine:      classWaiting,
	phaseDelay:     classWaiting,
	phaseRunning:   classRunning,
	phaseBlocked:   classBlocked,
	phaseReturning: classBlocked,

	phaseRemote:        classQueued,
	phaseRemoteRunning: classRunning,
	phaseRemoteDelay:   classWaiting,
}

// moveLocked is the one place where a task changes its phase, so that the
// figures always add up. The caller takes care of the lists.
func (e *Executor) moveLocked(t *task, to phase) {
	from := t.phase
	e.counts[classOf[from]]--
	e.counts[classOf[to]]++
	t.phase = to
	if r := t.record(); r != nil {
		e.journal.movedLocked(t, r, from, to)
	}
}

// priority is what [Priority] says of t.
func (t *task) priority() int { return t.spec.priority + int(t.above) }

// error is what t failed with, or nil. Most tasks have none, so it is not in the
// task itself.
func (t *task) error() error {
	if t.err == nil {
		return nil
	}
	return *t.err
}

func (t *task) setError(err error) {
	t.err = nil
	if err != nil {
		kept := err // or each err would be allocated
		t.err = &kept
	}
}

func (t *task) extra() *extra {
	if t.x == nil {
		t.x = new(extra)
	}
	return t.x
}

// startsBefore is the start order among tasks that could start alike.
func startsBefore(a, b *task) bool {
	if p, q := a.priority(), b.priority(); p != q {
		return p > q
	}
	return a.id < b.id
}

// batch is the group or map that t belongs to, if the queue has to know it.
func (t *task) batch() *batch {
	if t.x == nil {
		return nil
	}
	return t.x.batch
}

// span is the span that t is the entry of, or nil.
func (t *task) span() *span {
	if t.x == nil {
		return nil
	}
	return t.x.span
}

// currentLocked is the attempt that runs or ran last, if it is more than the
// task.
func (t *task) currentLocked() *attempt {
	if t.x != nil && t.x.cur != nil {
		return t.x.cur
	}
	return t.firstAttempt()
}

// The word of a task is its state, and above it the number of attempts.
const attemptBits = 3

func wordOf(s State, attempts int) uint32 { return uint32(s) | uint32(attempts)<<attemptBits }

// setState changes the state only; the caller is the owner.
func (t *task) setState(s State) { t.word.Store(wordOf(s, t.Attempts())) }

// failure is the error that the future of t fails with for err.
func (t *task) failure(err error) error {
	if n := t.Attempts(); n > 1 {
		return &RetryError{Attempts: n, Err: err}
	}
	return err
}
