package antflow

import (
	"context"
	"runtime"
	"runtime/debug"
	"sync/atomic"
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
	t          atomic.Pointer[task]   // nil while it runs a light one
	strand     atomic.Pointer[strand] // that its light tasks have their contexts of
	prev, next *worker

	// The rest is the worker's own.
	job    job
	step   step
	exited bool     // the user code of this step ended the goroutine
	told   bool     // it is retired until those who wait for its task are told
	slot   bool     // and its slot is kept for them
	open   *segment // that it takes plain tasks from without the lock
	again  *attempt // the one to run, if it is not the first of its task
	end    ending
}

type step uint8

const (
	stepSearch      step = iota // look for a task
	stepPlain                   // run plain tasks, one after the other
	stepFinishLight             // give the slot of a light task up
	stepAcquire                 // try for the permit
	stepRun                     // call the task's function
	stepDecide                  // ask RetryIf and Backoff
	stepFinish                  // give the slot up, then settle or wait for the retry
	stepRetire                  // nothing
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

// hireLocked puts w into the crew, with its first task.
func (e *Executor) hireLocked(w *worker, j job) {
	w.takeLocked(e, j)
	w.next = e.crew
	if w.next != nil {
		w.next.prev = w
	}
	e.crew = w
	e.workers++
}

// takeLocked gives w its next task.
func (w *worker) takeLocked(e *Executor, j job) {
	w.begin(j)
	w.again = nil
	switch t := j.t; {
	case t == nil || t.phase == phaseQueued:
		w.step = stepPlain
		w.open = e.queue.open
	case t.phase == phaseTrying:
		w.step = stepAcquire
	default:
		w.step = stepRun
		if t.x != nil {
			w.again = t.x.cur
		}
	}
	e.tieLocked()
	e.dispatchLocked()
}

// begin makes j the job of w.
func (w *worker) begin(j job) {
	w.job = j
	w.began()
}

// began tells the others of w's job.
func (w *worker) began() {
	if t := w.job.t; t != w.t.Load() {
		w.t.Store(t)
	}
	if w.job.t != nil && w.strand.Load() != nil {
		w.strand.Store(nil)
	}
}

// nextLocked gives w, whose slot is free again, the task to go on with. When
// there is none it leaves the crew, to search for some time if nobody does.
func (e *Executor) nextLocked(w *worker) {
	if j, ok := e.pickLocked(); ok {
		w.takeLocked(e, j)
		return
	}
	e.tieLocked()
	e.leaveCrewLocked(w)
	if e.searching {
		e.active.Add(1)
		return
	}
	e.searching = true
	w.step = stepSearch
}

// leaveCrewLocked takes w out of the crew.
func (e *Executor) leaveCrewLocked(w *worker) {
	w.begin(job{})
	w.strand.Store(nil)
	w.step = stepRetire
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
}

// search finds w a task; false when there is none. An executor that runs out
// of work for a moment keeps its last worker for that long: to start another
// one costs more than a task. It yields the processor while it waits, a bounded
// number of times, so an idle machine is idle.
func (e *Executor) search(w *worker) bool {
	for round := 0; ; round++ {
		if round > 0 && round < patience && !e.news.Load() && !e.closed.Load() {
			runtime.Gosched()
			continue
		}
		e.mu.Lock()
		e.news.Store(false)
		e.searching = false
		if j, ok := e.pickLocked(); ok {
			e.hireLocked(w, j)
			e.unlock()
			return true
		}
		e.tieLocked()
		if round >= patience || e.closed.Load() {
			if e.crew == nil {
				e.restScopeLocked()
			}
			e.unlock()
			return false
		}
		e.searching = true
		e.unlock()
	}
}

// patience is how often a worker without work yields before it ends.
const patience = 16

// tellLocked retires w until it has told those who wait for its task. Its slot,
// if it had one, is kept for them: were it free, another worker could take a
// task of the queue into it before their waits are known to be over.
func (e *Executor) tellLocked(w *worker, slot bool) {
	e.leaveCrewLocked(w)
	e.active.Add(1)
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
	if j, ok := e.pickLocked(); ok {
		e.active.Add(-1)
		e.hireLocked(w, j)
	} else if e.tieLocked(); !e.searching {
		e.active.Add(-1)
		e.searching = true
		w.step = stepSearch
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
		var callbacks []func()
		switch w.step {
		case stepSearch:
			if !e.search(w) {
				w = nil
				return
			}
		case stepPlain:
			callbacks = e.runPlain(w)
		case stepFinishLight:
			e.finishLight(w)
		case stepAcquire:
			settled = e.tryPermit(w)
		case stepRun:
			w.run()
		case stepDecide:
			w.decide()
		case stepFinish:
			settled = e.finish(w)
		}
		if settled != nil {
			callbacks = settled.notify()
			if w.told {
				e.rehire(w)
			}
		}
		if len(callbacks) == 0 && w.step != stepRetire {
			continue
		}
		if w.step != stepRetire {
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
		if wt := t.w.Load(); w.end.err != nil || wt != nil && wt.lent.Load() || !t.first.CompareAndSwap(nil, closedAttempt) {
			w.end = ending{err: w.end.err}
			w.over()
			return nil
		}
		// Nobody can ask anything of the attempt any more. To take the next
		// task is to have finished this one, for the books; so it comes before
		// anybody is told.
		at := w.open.claim()
		if at < 0 {
			w.end = ending{}
			w.step = stepFinish
			return nil
		}
		w.open.take(at, &w.job)
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
			w.end.err = t.err
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
	t, end := w.t.Load(), &w.end
	w.release()
	var due time.Time
	var done <-chan struct{}
	if end.retry {
		if end.delay > 0 {
			due = time.Now().Add(end.delay)
		}
		done = t.ctx.Done()
	}
	var byCtx *cancelError
	if end.ended {
		byCtx = canceledBy(t.ctx)
	}
	e.mu.Lock()
	defer e.unlock()
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
		e.moveLocked(t, phaseSettled)
		e.totals.canceled++
		t.publish(StateCanceled, asked.with(end.err))
	case end.err == nil:
		e.moveLocked(t, phaseSettled)
		e.totals.succeeded++
		t.publish(StateSucceeded, nil)
	case end.retry && (a == nil || a.asked == nil):
		t.extra().done = done
		e.retryLocked(t, end.err, due)
	default:
		e.moveLocked(t, phaseSettled)
		e.totals.failed++
		t.publish(StateFailed, t.failure(end.err))
	}
	if t.has(hasPlace) {
		e.unplaceLocked(t)
	}
	end.err = nil
	if t.phase != phaseSettled {
		e.nextLocked(w)
		return nil
	}
	if t.waitedByTasks() || t.batch() != nil && t.batch().nested {
		e.tellLocked(w, slot)
	} else {
		e.nextLocked(w)
	}
	return t
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
func (e *Executor) retryLocked(t *task, err error, due time.Time) {
	e.totals.retries++
	t.flags |= hasStarted
	t.err = err
	t.setState(StatePending)
	if due.IsZero() {
		e.resumeLocked(t)
		return
	}
	e.moveLocked(t, phaseDelay)
	e.scheduleLocked(t, due)
	e.scopeLocked(t)
}
