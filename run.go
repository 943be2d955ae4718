package antflow

import (
	"context"
	"runtime/debug"
	"time"
)

// The steps of a worker: how a task is run, what its end is, and what follows.

// An ending is how an attempt went.
type ending struct {
	err     error
	crashed bool // it panicked or exited: no cancellation explains that
	never   bool // it was canceled before the function was called
	ended   bool // the task's context had ended when the function returned
	retry   bool
	delay   time.Duration
	failure failure // what is kept of err, of a task that is observed
}

// runPlain runs plain tasks until there is none that it could take without the
// lock, or until one of them is not plain any more: it failed, it has to be
// told to tasks that lent their slot, or somebody did something with its
// context. It returns early with the callbacks of a settled one.
func (e *Executor) runPlain(w *worker) (callbacks []func()) {
	if w.exited {
		w.exited = false
		w.weigh(e)
		w.end = ending{err: ErrGoexit, crashed: true}
		w.over()
		return nil
	}
	err := guard(func() error {
		callbacks = e.runEach(w)
		return nil
	})
	if err != nil {
		w.weigh(e)
		w.end = ending{err: err, crashed: true}
		w.over()
	}
	return callbacks
}

func (e *Executor) runEach(w *worker) []func() {
	for {
		t := w.job.t
		if t == nil {
			if w.chunk != nil {
				e.runChunk(w)
				return nil
			}
			if !e.runLight(w) {
				return nil
			}
			continue
		}
		// What CancelRunning misses, since w has taken its next task but not
		// said so, it finds here.
		if t.first.Load() != nil || t.spec.timeout > 0 || t.ctx.Err() != nil || e.halted.Load() {
			w.adopt(e)
			return nil
		}
		t.word.Store(wordOf(StateRunning, 1))
		w.end.err = t.runner.invoke((*firstContext)(t))
		if w.end.err != nil || t.waitedByTasks() || !t.first.CompareAndSwap(nil, closedAttempt) {
			w.end = ending{err: w.end.err}
			w.over()
			return nil
		}
		// Nobody can ask anything of the attempt any more. To take the next
		// task is to have finished this one, for the books; so it comes before
		// anybody is told.
		at := w.open.claim()
		if at < 0 {
			w.step = stepFinishPlain
			return nil
		}
		w.open.take(at, &w.job)
		w.took++
		w.began()
		t.publish(StateSucceeded, nil)
		if callbacks := t.notify(); len(callbacks) > 0 {
			return callbacks
		}
	}
}

// attempt returns the attempt that w runs or ran last, if it is more than the
// task.
func (w *worker) attempt(t *task) *attempt {
	if w.again != nil {
		return w.again
	}
	return t.firstAttempt()
}

// finishPlain gives up the slot of a plain task that has succeeded, where there
// was no next one to take. It returns the task, published, if it is not light.
func (e *Executor) finishPlain(w *worker) *task {
	t, b, ref, sp := w.job.t, w.job.b, w.job.l.ref, w.job.sp
	n := 1 + w.owed
	w.owed = 0
	e.mu.Lock()
	e.plain--
	e.busy--
	if sp != nil {
		n = e.endChunkLocked(w)
	}
	e.nextLocked(w)
	e.unlock()
	switch {
	case sp != nil:
		sp.items.itemsSucceeded(n)
		return nil
	case t == nil:
		b.typed.succeeded(ref, n)
		return nil
	}
	t.publish(StateSucceeded, nil)
	return t
}

// adopt takes a plain task that has not been called yet into the books.
func (w *worker) adopt(e *Executor) {
	t := w.t.Load()
	a := t.attempt()
	e.mu.Lock()
	e.adoptLocked(t)
	halted := e.halted.Load()
	if halted && a.asked == nil {
		a.asked = askedByShutdown
	}
	e.unlock()
	if halted {
		a.stop(stoppedByShutdown)
	}
	w.step = stepRun
}

// run makes one attempt, unless its cancellation came first.
func (w *worker) run() {
	t := w.t.Load()
	a := w.attempt(t)
	if w.exited {
		w.exited = false
		w.end.err = ErrGoexit
	} else {
		w.end = ending{}
		// Whoever stopped it without leaving word did so because ctx had
		// ended, so that is asked last.
		stopped := a != nil && a.stopped.Load() != nil
		if w.end.ended = t.ctx.Err() != nil; w.end.ended || stopped {
			w.end.never = true
			w.end.err = t.error()
		} else {
			w.end.crashed = true // unless the call returns
			w.end.err = guard(func() error {
				err := w.invoke(t)
				w.end.crashed = false
				return err
			})
		}
	}
	w.over()
}

// invoke calls the function of t, with the context of its next attempt.
func (w *worker) invoke(t *task) error {
	n := t.Attempts() + 1
	t.word.Store(wordOf(StateRunning, n))
	var ctx context.Context = (*firstContext)(t)
	a := w.again
	if a != nil {
		a.number = n
		ctx = a
	}
	if d := t.spec.timeout; d > 0 {
		if a == nil {
			a = t.attempt()
		}
		a.limit(d)
	}
	if t.spec.e.tracers != nil {
		ctx = t.traceStart(ctx)
	}
	return t.runner.invoke(ctx)
}

// over ends the attempt: from here on no Cancel is in time.
func (w *worker) over() {
	t := w.t.Load()
	if w.again != nil {
		w.again.stop(attemptOver)
	} else if !t.first.CompareAndSwap(nil, overAttempt) {
		t.first.Load().stop(attemptOver)
	}
	if w.end.err != nil && !w.end.never {
		w.end.ended = t.ctx.Err() != nil
	}
	w.step = stepDecide
}

// guard calls fn, which is foreign, and turns its panic into an error.
func guard(fn func() error) (err error) {
	returned := false
	defer func() {
		if !returned {
			err = &PanicError{Value: recover(), Stack: debug.Stack()}
		}
	}()
	err = fn()
	returned = true
	return err
}

// decide finds out whether the attempt is to be followed by another one.
// RetryIf, Backoff and the methods of the error are the user's code, and run
// while the task still has its slot.
func (w *worker) decide() {
	t, end := w.t.Load(), &w.end
	switch {
	case w.exited:
		w.exited = false
		end.err, end.crashed, end.retry = ErrGoexit, true, false
	case end.err == nil || end.never:
	case end.ended || w.attempt(t).canceled(): // and a canceled task is never retried
		end.err = stripMarks(end.err)
	default:
		err := guard(func() error {
			end.retry, end.delay = t.retries(end.err, end.crashed)
			return nil
		})
		end.err = stripMarks(end.err)
		if err != nil {
			end.err, end.crashed, end.retry = err, true, false
		}
	}
	w.step = stepRelease
}

// finish gives back what the attempt held and takes the task where it goes
// next. It returns the task if that is settled: published, with the books
// right, but with nobody told.
//
// A worker takes its next task in the same section of the lock, unless another
// task may be waiting for this one: it has to get a slot before any that could
// start. The state is final before the waiters are looked for, so none is
// overlooked; see waiters.
func (e *Executor) finish(w *worker) *task {
	t, end := w.t.Load(), &w.end
	if w.exited { // the cause of a context did that
		w.exited = false
		end.err, end.crashed, end.retry, end.ended = ErrGoexit, true, false, false
	}
	var due time.Time
	if end.retry {
		if end.delay > 0 {
			due = time.Now().Add(end.delay)
		}
	}
	var byCtx *cancelError
	if end.ended {
		byCtx = canceledBy(t.ctx)
	}
	var now time.Duration
	if w.rec != nil {
		now = e.journal.clock()
	}
	e.mu.Lock()
	defer e.unlock()
	if w.rec != nil {
		e.journal.nowIs(now)
	}
	if end.retry || t.has(hasPlace) {
		e.assignLocked()
	}
	e.adoptLocked(t)
	t.flags &^= hasPermit
	slot := e.freeSlotLocked(t)
	asked := byCtx
	a := w.attempt(t)
	if a != nil && a.asked != nil {
		asked = a.asked
	}
	switch {
	case asked != nil && (end.never || end.err != nil && !end.crashed):
		e.settleLocked(t, end, StateCanceled, asked.with(end.err))
	case end.err == nil:
		e.settleLocked(t, end, StateSucceeded, nil)
	case end.retry && (a == nil || a.asked == nil):
		e.retryLocked(t, end, due)
	default:
		e.settleLocked(t, end, StateFailed, t.failure(end.err))
	}
	if t.has(hasPlace) {
		e.unplaceLocked(t)
	}
	if end.err != nil {
		end.err, end.failure = nil, failure{}
	}
	if t.phase != phaseSettled {
		e.nextLocked(w)
		return nil
	}
	if e.tracers != nil || t.waitedByTasks() || t.batch() != nil && t.batch().nested {
		e.tellLocked(w, slot)
		return w.toldAfterTracers(t)
	}
	e.nextLocked(w)
	return t
}

// settleLocked takes t, whose attempt is over, out of the books and publishes
// it.
func (e *Executor) settleLocked(t *task, end *ending, s State, err error) {
	e.moveLocked(t, phaseSettled)
	ran := e.countLocked(t, s, end.failure)
	t.publish(s, err)
	if r := t.record(); r != nil {
		e.journal.settledEventLocked(t, r, ran)
		e.journal.vacateLocked(t)
	}
}

// release gives the permit back. What a semaphore does instead of returning
// fails the task.
func (w *worker) release() {
	t, end := w.t.Load(), &w.end
	var err error
	if w.exited {
		w.exited = false
		err = ErrGoexit
	} else if t.has(hasPermit) {
		err = guard(func() error { t.spec.sem.Release(1); return nil })
	}
	if err != nil {
		end.err, end.crashed, end.retry = err, true, false
	}
	w.step = stepFinish
	if w.rec != nil && (end.err != nil || t.spec.e.tracers != nil) {
		w.step = stepDescribe
	}
}

// describe finds out, of a task that is observed, what the error is, and tells
// the tracers that the attempt is over.
func (w *worker) describe() {
	t, end := w.t.Load(), &w.end
	if w.exited {
		w.exited = false
		w.step = stepFinish
		return
	}
	if end.err != nil {
		end.failure = describe(end.err)
	}
	if t.spec.e.tracers != nil {
		t.traceEnd(end, w.attempt(t).canceled())
	}
	w.step = stepFinish
}

// toldAfterTracers returns t, which is settled, if it may be told of now. A
// worker with tracers has been retired by tellLocked; it calls them first, and
// takes no other task meanwhile.
func (w *worker) toldAfterTracers(t *task) *task {
	if t.spec.e.tracers == nil {
		return t
	}
	w.settled = t
	w.step = stepTrace
	return nil
}

// trace tells the tracers of the settled task, and returns it.
func (w *worker) trace() *task {
	t := w.settled
	if !w.exited {
		t.traceSettled()
	}
	w.exited, w.settled = false, nil
	w.step = stepRetire
	return t
}

// freeSlotLocked takes the slot from a task whose attempt is over and reports
// whether it had one: a function may return while a wait of its own goroutines
// goes on. Such waits end without a slot.
func (e *Executor) freeSlotLocked(t *task) bool {
	a := t.currentLocked()
	if a != nil {
		a.over.Store(true)
	}
	switch t.phase {
	case phaseRunning:
		e.busy--
		return true
	case phaseReturning:
		e.resumed.remove(t)
		e.wakeParkedLocked(a)
	}
	return false
}

// retryLocked makes t wait for its next attempt, which starts at due, or as
// soon as there is a slot when that is zero.
func (e *Executor) retryLocked(t *task, end *ending, due time.Time) {
	e.totals.retries++
	if r := t.record(); r != nil {
		e.journal.retryingLocked(t, r, end)
	}
	t.flags |= hasStarted
	t.setError(end.err)
	t.setState(StatePending)
	if due.IsZero() {
		e.resumeLocked(t)
		return
	}
	e.moveLocked(t, phaseDelay)
	e.scheduleLocked(t, due)
	e.scopeLocked(t)
}
