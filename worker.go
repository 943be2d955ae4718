package antflow

import (
	"runtime"
	"sync/atomic"
)

// A worker is a goroutine that has a slot and a task for it. It is started
// for a task, takes the next one when it gives the slot up, and ends when there
// is none: nothing waits for work to come, but for the few yields of search.
//
// It steps through states rather than calls, because user code may end its
// goroutine with runtime.Goexit in any of the steps; another goroutine then
// goes on from the same state.
type worker struct {
	t          atomic.Pointer[task]   // nil while it runs a light one
	strand     atomic.Pointer[strand] // that its light tasks have their contexts of
	prev, next *worker
	hand       atomic.Uint32 // from one goroutine to another

	// The rest is the worker's own.
	job     job
	step    step
	exited  bool     // the user code of this step ended the goroutine
	settled *task    // that it has settled, until the tracers know
	told    bool     // it is retired until those who wait for its task are told
	slot    bool     // and its slot is kept for them
	open    *segment // that it takes plain tasks from without the lock
	took    int      // from that, and not told
	owed    int      // light tasks of job's batch before it that have succeeded, and not told
	chunk   *chunk   // that it goes through; written under e.mu
	again   *attempt // the one to run, if it is not the first of its task
	rec     *record  // of the task, which a wait that ends may give an extra meanwhile
	end     ending
}

type step uint8

const (
	stepSearch      step = iota // look for a task
	stepLinger                  // the same, after having looked
	stepPlain                   // run plain tasks, one after the other
	stepFinishPlain             // give the slot of a plain task up
	stepAcquire                 // try for the permit
	stepRun                     // call the task's function
	stepDecide                  // ask RetryIf and Backoff
	stepRelease                 // give the permit back
	stepDescribe                // for those who observe
	stepTrace                   // tell the tracers that the task has settled
	stepFinish                  // give the slot up, then settle or wait for the retry
	stepRetire                  // nothing
)

// hireLocked puts w, whose job is its first task, into the crew.
func (e *Executor) hireLocked(w *worker) {
	w.takenLocked(e)
	w.next = e.crew
	if w.next != nil {
		w.next.prev = w
	}
	e.crew = w
	e.workers++
}

// takenLocked has w go on with its job, which was picked.
func (w *worker) takenLocked(e *Executor) {
	w.began()
	w.again, w.rec = nil, nil
	w.chunk = w.chunkLocked()
	switch t := w.job.t; {
	case t == nil || t.phase == phaseQueued:
		w.step = stepPlain
		w.open = e.queue.open
	case t.phase == phaseTrying:
		w.step = stepAcquire
	default:
		w.step = stepRun
		if t.x != nil {
			w.again, w.rec = t.x.cur, t.record()
		}
	}
	e.tieLocked()
	e.dispatchLocked()
}

// tookLocked tells of the entries that w took without the lock.
func (w *worker) tookLocked(e *Executor) {
	if w.took > 0 {
		e.queue.emptiedLocked(w.open, w.took)
	}
	w.open, w.took = nil, 0
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
	w.tookLocked(e)
	if e.pickLocked(&w.job) {
		w.takenLocked(e)
		return
	}
	e.leaveCrewLocked(w)
	if !e.lingerLocked(w) {
		e.active.Add(1)
	}
}

// lingerLocked has w, which is out of the crew, search for some time. It
// reports false, and w is to end, if another worker does.
func (e *Executor) lingerLocked(w *worker) bool {
	e.tieLocked()
	if e.searching {
		return false
	}
	e.searching = true
	w.step = stepLinger
	return true
}

// leaveCrewLocked takes w out of the crew.
func (e *Executor) leaveCrewLocked(w *worker) {
	w.job = job{}
	w.began()
	w.strand.Store(nil)
	w.chunk, w.again, w.rec = nil, nil, nil
	w.tookLocked(e)
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
func (e *Executor) search(w *worker, round int) bool {
	for ; ; round++ {
		if round > 0 && round < patience && !e.news.Load() && !e.closed.Load() {
			runtime.Gosched()
			continue
		}
		e.mu.Lock()
		e.news.Store(false)
		e.searching = false
		if e.pickLocked(&w.job) {
			e.hireLocked(w)
			e.unlock()
			return true
		}
		e.tieLocked()
		if round >= patience || e.closed.Load() {
			if e.crew == nil {
				e.restScopeLocked()
				e.queue.spare = nil
				e.recentTerms.Store(nil)
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
	if e.pickLocked(&w.job) {
		e.active.Add(-1)
		e.hireLocked(w)
	} else if e.lingerLocked(w) {
		e.active.Add(-1)
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
			if !e.search(w, 0) {
				w = nil
				return
			}
		case stepLinger:
			if !e.search(w, 1) {
				w = nil
				return
			}
		case stepPlain:
			callbacks = e.runPlain(w)
		case stepFinishPlain:
			settled = e.finishPlain(w)
		case stepAcquire:
			settled = e.tryPermit(w)
		case stepRun:
			w.run()
		case stepDecide:
			w.decide()
		case stepRelease:
			w.release()
		case stepDescribe:
			w.describe()
		case stepFinish:
			settled = e.finish(w)
		case stepTrace:
			settled = w.trace()
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
		mine := w
		w = nil
		if mine.step == stepRetire {
			e.tell(callbacks)
			return
		}
		// Callbacks may take their time or end the goroutine. The next task has
		// its slot already and must not wait for them, so w is there for another
		// goroutine to go on with; unless this one is back first, whose stack has
		// grown. One that was started before and has not run yet will do.
		e.enter() // while w is still in the crew, or searches
		if mine.hand.Or(handOffered|handCalled)&handCalled == 0 {
			e.enter()
			go e.resume(mine)
		}
		e.tell(callbacks)
		if mine.hand.And(^handOffered)&handOffered == 0 {
			return
		}
		w = mine
	}
}

// What a worker's hand tells.
const (
	handOffered uint32 = 1 << iota // whoever takes this goes on with the worker
	handCalled                     // a goroutine is going to look
)

// resume is a goroutine that goes on with w, if that is still to be done.
func (e *Executor) resume(w *worker) {
	offered := w.hand.Swap(0)&handOffered != 0
	e.leave()
	if offered {
		e.work(w)
	}
}

// tell runs the callbacks, and leaves.
func (e *Executor) tell(callbacks []func()) {
	defer e.leave()
	e.call(callbacks)
}
