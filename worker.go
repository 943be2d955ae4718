package antflow

import (
	"runtime/debug"
	"time"
)

// A worker is a goroutine that has a slot and a task for it. It is started
// with its first task, takes the next one when it gives the slot up, and ends
// when there is none: nothing waits for work to come.
//
// It steps through states rather than calls, because user code may end its
// goroutine with runtime.Goexit in any of the steps; another goroutine then
// goes on from the same state.
type worker struct {
	t          *task // written under e.mu, by the worker itself
	prev, next *worker

	// The rest is the worker's own.
	step   step
	exited bool // the user code of this step ended the goroutine
	told   bool // it is retired until those who wait for its task are told
	slot   bool // and its slot is kept for them
	end    ending
}

type step uint8

const (
	stepAcquire step = iota // try for the permit
	stepRun                 // call the task's function
	stepDecide              // ask RetryIf and Backoff
	stepFinish              // give the slot up, then settle or wait for the retry
)

// An ending is how an attempt went.
type ending struct {
	err     error
	crashed bool // it panicked or exited: no cancellation explains that
	never   bool // it was canceled before the function was called
	ended   bool // the task's context had ended when the function returned
	retry   bool
	delay   time.Duration
}

// spawnLocked starts a worker for t, which has a slot.
func (e *Executor) spawnLocked(t *task) {
	w := new(worker)
	e.hireLocked(w, t)
	go e.work(w)
}

// hireLocked puts w into the crew, with its first task.
func (e *Executor) hireLocked(w *worker, t *task) {
	w.takeLocked(t)
	w.next = e.crew
	if w.next != nil {
		w.next.prev = w
	}
	e.crew = w
	e.workers++
}

// takeLocked gives w its next task.
func (w *worker) takeLocked(t *task) {
	w.t = t
	w.step = stepRun
	if t.phase == phaseTrying {
		w.step = stepAcquire
	}
}

// nextLocked gives w, whose slot is free again, the task to go on with; or
// retires it when there is none.
func (e *Executor) nextLocked(w *worker) {
	if t := e.pickLocked(); t != nil {
		w.takeLocked(t)
		e.dispatchLocked()
		return
	}
	e.retireLocked(w)
}

// retireLocked takes w out of the crew, counted among the active instead.
func (e *Executor) retireLocked(w *worker) {
	w.t = nil
	e.workers--
	if w.prev != nil {
		w.prev.next = w.next
	} else {
		e.crew = w.next
	}
	if w.next != nil {
		w.next.prev = w.prev
	}
	w.prev, w.next = nil, nil
	e.active.Add(1)
}

// tellLocked retires w until it has told those who wait for its task. Its slot,
// if it had one, is kept for them: were it free, another worker could take a
// task of the queue into it before their waits are known to be over.
func (e *Executor) tellLocked(w *worker, slot bool) {
	e.retireLocked(w)
	w.told, w.slot = true, slot
	if slot {
		e.telling++
	}
}

// rehire is for a worker that has told everyone: the slot is free for any task,
// and w takes one if there is one.
func (e *Executor) rehire(w *worker) {
	e.mu.Lock()
	if w.slot {
		e.telling--
	}
	w.told, w.slot = false, false
	if t := e.pickLocked(); t != nil {
		e.active.Add(-1)
		e.hireLocked(w, t)
		e.dispatchLocked()
	}
	e.unlock()
}

// work is a worker's goroutine.
func (e *Executor) work(w *worker) {
	defer func() {
		if w != nil { // user code ended this goroutine
			w.exited = true
			go e.work(w)
		}
	}()
	for {
		var settled *task
		switch w.step {
		case stepAcquire:
			settled = e.tryPermit(w)
		case stepRun:
			w.run()
			continue
		case stepDecide:
			w.decide()
			continue
		case stepFinish:
			settled = e.finish(w)
		}
		var callbacks []func()
		if settled != nil {
			callbacks = settled.notify()
			if w.told {
				e.rehire(w)
			}
		}
		if len(callbacks) == 0 && w.t != nil {
			continue
		}
		if w.t != nil {
			// Callbacks may take their time or end the goroutine. The next
			// task has its slot already and must not wait for them.
			e.enter()
			go e.work(w)
		}
		w = nil
		defer e.leave()
		e.call(callbacks)
		return
	}
}

// run makes one attempt, unless its cancellation came first.
func (w *worker) run() {
	t, a := w.t, w.t.cur
	if w.exited {
		w.exited = false
		w.end.err = ErrGoexit
	} else {
		w.end = ending{}
		// Whoever stopped it without leaving word did so because ctx had
		// ended, so that is asked last.
		stopped := a.stopped.Load() != nil
		if w.end.ended = t.ctx.Err() != nil; w.end.ended || stopped {
			w.end.never = true
			w.end.err = t.err
		} else {
			a.number = int(t.attempts.Add(1))
			if d := t.spec.timeout; d > 0 {
				a.limit(d)
			}
			w.end.crashed = true // unless the call returns
			w.end.err = guard(func() error {
				err := t.runner.invoke(a)
				w.end.crashed = false
				return err
			})
		}
	}
	a.stop(attemptOver) // from here on no Cancel is in time; see above
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
	t, end := w.t, &w.end
	switch {
	case w.exited:
		w.exited = false
		end.err, end.crashed, end.retry = ErrGoexit, true, false
	case end.err == nil || end.never:
	case end.ended || t.cur.canceled(): // and a canceled task is never retried
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
	w.step = stepFinish
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
	t, end := w.t, &w.end
	w.release()
	var due time.Time
	if end.retry {
		if end.delay > 0 {
			due = time.Now().Add(end.delay)
		}
		if !t.bound {
			t.bound, t.done = true, t.ctx.Done()
		}
	}
	var byCtx *cancelError
	if end.ended {
		byCtx = canceledBy(t.ctx)
	}
	e.mu.Lock()
	defer e.unlock()
	t.permit = false
	slot := e.freeSlotLocked(t)
	asked := byCtx
	if t.asked != nil {
		asked = t.asked
	}
	switch {
	case asked != nil && (end.never || end.err != nil && !end.crashed):
		e.moveLocked(t, phaseSettled)
		e.totals.canceled++
		t.publish(StateCanceled, asked.with(end.err))
	case end.err == nil:
		e.moveLocked(t, phaseSettled)
		e.totals.succeeded++
		t.publish(StateSucceeded, nil)
	case end.retry && t.asked == nil:
		e.retryLocked(t, end.err, due)
	default:
		e.moveLocked(t, phaseSettled)
		e.totals.failed++
		t.publish(StateFailed, t.failure(end.err))
	}
	if t.place {
		e.unplaceLocked(t)
	}
	end.err = nil
	if t.phase != phaseSettled {
		e.nextLocked(w)
		return nil
	}
	if t.waitedByTasks() || t.batch != nil && t.batch.nested {
		e.tellLocked(w, slot)
	} else {
		e.nextLocked(w)
	}
	return t
}

// release gives the permit back. What a semaphore does instead of returning
// fails the task.
func (w *worker) release() {
	t, end := w.t, &w.end
	var err error
	if w.exited {
		w.exited = false
		err = ErrGoexit
	} else if t.permit {
		err = guard(func() error { t.spec.sem.Release(1); return nil })
	}
	if err != nil {
		end.err, end.crashed, end.retry = err, true, false
	}
}

// freeSlotLocked takes the slot from a task whose attempt is over and reports
// whether it had one: a function may return while a wait of its own goroutines
// goes on. Such waits end without a slot.
func (e *Executor) freeSlotLocked(t *task) bool {
	a := t.cur
	a.over.Store(true)
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
func (e *Executor) retryLocked(t *task, err error, due time.Time) {
	e.totals.retries++
	t.err = err
	t.state.Store(uint32(StatePending))
	if due.IsZero() {
		e.resumeLocked(t)
		return
	}
	e.moveLocked(t, phaseDelay)
	e.scheduleLocked(t, due)
	e.scopeLocked(t)
}
