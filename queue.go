package antflow

// The queue of tasks that could start but for a slot, in three tiers: what
// resumes, what a blocked task waits for, and the rest by priority and
// submission. Everything here is guarded by Executor.mu.

// A level holds the queued tasks of one priority. New tasks come in order and
// go to the list; those that come back to their place go to the heap.
type level struct {
	priority int
	pos      int
	fifo     taskList
	back     indexed[*task]
}

func (l *level) empty() bool { return l.fifo.front == nil && l.back.len() == 0 }

func (l *level) first() *task {
	f, b := l.fifo.front, l.back.top()
	if f == nil || b != nil && startsBefore(b, f) {
		return b
	}
	return f
}

// A queue orders levels by priority.
type queue struct {
	byPriority map[int]*level
	levels     indexed[*level]
}

func newQueue() queue {
	return queue{
		byPriority: make(map[int]*level),
		levels: indexed[*level]{
			before: func(a, b *level) bool { return a.priority > b.priority },
			pos:    func(l *level) *int { return &l.pos },
		},
	}
}

func (q *queue) level(priority int) *level {
	l := q.byPriority[priority]
	if l == nil {
		l = &level{priority: priority, back: taskHeap()}
		q.byPriority[priority] = l
	}
	if l.pos == 0 {
		q.levels.push(l)
	}
	return l
}

// push queues t behind all of its priority; its ID must be the highest there.
func (q *queue) push(t *task) { q.level(t.spec.priority).fifo.pushBack(t) }

// pushBack queues t at its place in start order.
func (q *queue) pushBack(t *task) { q.level(t.spec.priority).back.push(t) }

func (q *queue) remove(t *task) {
	l := q.byPriority[t.spec.priority]
	if t.x != nil && t.x.pos != 0 {
		l.back.remove(t)
	} else {
		l.fifo.remove(t)
	}
	if l.empty() {
		q.levels.remove(l)
		if l.priority != 0 {
			delete(q.byPriority, l.priority)
		}
	}
}

// first returns the task to start next, or nil.
func (q *queue) first() *task {
	if l := q.levels.top(); l != nil {
		return l.first()
	}
	return nil
}

// enqueueLocked makes t, new or back from its gate, a queued task.
func (e *Executor) enqueueLocked(t *task, back bool) {
	e.moveLocked(t, phaseQueued)
	if back {
		e.queue.pushBack(t)
	} else {
		e.queue.push(t)
	}
	if b := t.batch; b != nil && b.nested {
		e.overlayLocked(b, t)
	}
	e.scopeLocked(t)
}

// dequeueLocked takes a queued task out; the caller moves it on.
func (e *Executor) dequeueLocked(t *task) {
	e.queue.remove(t)
	if b := t.batch; b != nil && b.nested {
		b.queued.remove(t)
	}
}

// resumeLocked makes t, whose wait has ended, one of the tasks that start
// before all queued ones, in the order in which their waits ended.
func (e *Executor) resumeLocked(t *task) {
	e.moveLocked(t, phaseResumed)
	e.resumed.pushBack(t)
	e.scopeLocked(t)
}

// pickLocked gives slots to the tasks next in order until one needs a worker,
// and returns that one; nil when no slot is free or nothing could start.
//
// It is what makes the executor work-conserving: every section that frees a
// slot or makes a task startable ends with it or with dispatchLocked.
func (e *Executor) pickLocked() *task {
	for e.busy < e.max {
		t := e.resumed.front
		switch {
		case t == nil:
			if !e.freeLocked() {
				return nil
			}
			if t = e.firstQueuedLocked(); t == nil {
				return nil
			}
			e.dequeueLocked(t)
		case t.phase == phaseReturning:
			e.resumed.remove(t)
			e.busy++
			e.moveLocked(t, phaseRunning)
			e.wakeParkedLocked(t.cur)
			continue
		default:
			e.resumed.remove(t)
		}
		if e.advanceLocked(t) {
			return t
		}
	}
	return nil
}

// freeLocked reports whether a slot is free for a queued task.
func (e *Executor) freeLocked() bool { return e.busy+e.telling < e.max }

// firstQueuedLocked is the queued task to start next: one that a blocked task
// waits for, those of the latest wait first; else the first of the queue.
func (e *Executor) firstQueuedLocked() *task {
	for e.boosts.len() > 0 {
		b := e.boosts.top()
		if t := b.first(); t != nil {
			return t
		}
		e.boosts.remove(b)
	}
	return e.queue.first()
}

// advanceLocked takes t, which is in no list, through its conditions: a place
// under MaxConcurrency, the permit, the event. True: it has a slot now and
// needs a worker. False: it is where it has to wait.
func (e *Executor) advanceLocked(t *task) bool {
	if b := t.batch; b != nil && b.limit > 0 && !t.place {
		if b.used == b.limit {
			e.moveLocked(t, phaseGated)
			b.gated.push(t)
			e.scopeLocked(t)
			return false
		}
		b.used++
		t.place = true
	}
	if t.spec.sem != nil && !t.permit {
		ln := e.lines[t.spec.semKey()]
		if ln == nil {
			// Nobody waits for it: the worker may try, which is foreign
			// code and so not for here. Tasks that come meanwhile stand
			// in line behind it.
			e.newLineLocked(t.spec.semKey(), t)
			e.busy++
			e.moveLocked(t, phaseTrying)
			e.scopeLocked(t)
			return true
		}
		e.joinLocked(ln, t)
		return false
	}
	if t.spec.limiter != nil && !t.event {
		ln := e.lines[t.spec.limiterKey()]
		if ln == nil {
			ln = e.newLineLocked(t.spec.limiterKey(), nil)
		}
		e.joinLocked(ln, t)
		return false
	}
	e.startLocked(t)
	return true
}

// startLocked gives t a slot and makes it running.
func (e *Executor) startLocked(t *task) {
	e.busy++
	e.unscopeLocked(t)
	e.unscheduleLocked(t)
	e.moveLocked(t, phaseRunning)
	if t.started {
		t.cur = new(attempt)
	} else {
		t.started = true
		e.backlog--
		t.cur = &t.first
	}
	t.cur.t = t
	t.state.Store(uint32(StateRunning))
	t.event = false
	if t.spec.sem != nil {
		e.startedLocked(t, t.spec.semKey())
	}
	if t.spec.limiter != nil {
		e.startedLocked(t, t.spec.limiterKey())
	}
	e.admitLocked()
}

// dispatchLocked starts a worker for each task that has a free slot to run in.
func (e *Executor) dispatchLocked() {
	for {
		t := e.pickLocked()
		if t == nil {
			return
		}
		e.spawnLocked(t)
	}
}

// leaveLocked takes t out of wherever it waits, gives back what it holds and
// leaves it to the caller to settle. It must not have a slot.
func (e *Executor) leaveLocked(t *task) {
	switch t.phase {
	case phaseQueued:
		e.dequeueLocked(t)
		e.inviteLocked(t.batch) // it may have been the one called back to a free place
	case phaseGated:
		t.batch.gated.remove(t)
	case phaseResumed:
		e.resumed.remove(t)
		e.inviteLocked(t.batch)
	case phaseLine:
		e.leaveLineLocked(t)
	case phaseAdmission:
		e.admission.remove(t)
	}
	e.unscopeLocked(t)
	e.unscheduleLocked(t)
	e.yieldLocked(t)
	accepted := t.phase != phaseAdmission
	e.moveLocked(t, phaseSettled)
	if accepted && !t.started {
		e.backlog--
		e.admitLocked()
	}
}

// yieldLocked gives back the place, the permit and the event that t holds
// without running.
func (e *Executor) yieldLocked(t *task) {
	if t.place {
		e.unplaceLocked(t)
	}
	if t.permit {
		t.permit = false
		e.spareLocked(t.spec.semKey())
	}
	if t.event {
		t.event = false
		e.spareLocked(t.spec.limiterKey())
	}
}

// unplaceLocked frees the place of t under its MaxConcurrency.
func (e *Executor) unplaceLocked(t *task) {
	t.place = false
	t.batch.used--
	e.inviteLocked(t.batch)
}

// inviteLocked sends the first of those who wait for a place back to the
// queue, when a place is free. It takes the place when its turn to start
// comes, so a free place never bypasses the start order. As many are called
// back as there are free places, at least: whoever frees one calls one, and
// one that leaves the queue unstarted calls another.
func (e *Executor) inviteLocked(b *batch) {
	if b == nil || b.limit == 0 || b.used >= b.limit {
		return
	}
	t := b.gated.top()
	if t == nil {
		return
	}
	b.gated.remove(t)
	if t.started {
		e.resumeLocked(t)
	} else {
		e.enqueueLocked(t, true)
	}
}
