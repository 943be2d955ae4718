package antflow

// The queue of tasks that could start but for a slot, in three tiers: what
// resumes, what a blocked task waits for, and the rest by priority and
// submission. Everything here is guarded by Executor.mu.

// A taskList is a first-in first-out list through task.next and task.prev.
// Any member is removed in constant time, so a canceled task leaves nothing
// behind.
type taskList struct {
	front, back *task
}

func (l *taskList) pushBack(t *task) {
	t.prev = l.back
	if l.back != nil {
		l.back.next = t
	} else {
		l.front = t
	}
	l.back = t
}

func (l *taskList) remove(t *task) {
	if t.prev != nil {
		t.prev.next = t.next
	} else {
		l.front = t.next
	}
	if t.next != nil {
		t.next.prev = t.prev
	} else {
		l.back = t.prev
	}
	t.prev, t.next = nil, nil
}

// An indexed is a binary heap whose members know their place, for removal
// from anywhere. The place that pos points to is 0 outside of the heap.
type indexed[T any] struct {
	items  []T
	before func(a, b T) bool
	pos    func(T) *int
}

func (h *indexed[T]) len() int { return len(h.items) }

// top returns the first member, or the zero value.
func (h *indexed[T]) top() (first T) {
	if len(h.items) > 0 {
		first = h.items[0]
	}
	return first
}

func (h *indexed[T]) push(x T) {
	h.items = append(h.items, x)
	h.up(len(h.items) - 1)
}

func (h *indexed[T]) remove(x T) {
	i, last := *h.pos(x)-1, len(h.items)-1
	*h.pos(x) = 0
	moved := h.items[last]
	var zero T
	h.items[last] = zero
	h.items = h.items[:last]
	if last == 0 && cap(h.items) > 64 {
		h.items = nil // a burst's memory is not kept at rest
	}
	if i == last {
		return
	}
	h.items[i] = moved
	h.up(i)
	h.down(*h.pos(moved) - 1)
}

func (h *indexed[T]) up(i int) {
	x := h.items[i]
	for i > 0 {
		parent := (i - 1) / 2
		if !h.before(x, h.items[parent]) {
			break
		}
		h.set(i, h.items[parent])
		i = parent
	}
	h.set(i, x)
}

func (h *indexed[T]) down(i int) {
	x := h.items[i]
	for {
		child := 2*i + 1
		if child >= len(h.items) {
			break
		}
		if r := child + 1; r < len(h.items) && h.before(h.items[r], h.items[child]) {
			child = r
		}
		if !h.before(h.items[child], x) {
			break
		}
		h.set(i, h.items[child])
		i = child
	}
	h.set(i, x)
}

func (h *indexed[T]) set(i int, x T) {
	h.items[i] = x
	*h.pos(x) = i + 1
}

// taskHeap is a heap in start order, in the tasks' one position for it.
func taskHeap() indexed[*task] {
	return indexed[*task]{before: startsBefore, pos: func(t *task) *int { return &t.extra().pos }}
}

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
	if s := t.spec.sem; s != nil && !t.permit {
		ln := e.lines[s]
		if ln == nil {
			// Nobody waits for it: the worker may try, which is foreign
			// code and so not for here. Tasks that come meanwhile stand
			// in line behind it.
			e.lines[s] = newLine(s, nil, t)
			e.busy++
			e.unscopeLocked(t)
			e.moveLocked(t, phaseTrying)
			return true
		}
		e.joinLocked(ln, t)
		return false
	}
	if l := t.spec.limiter; l != nil && !t.event {
		ln := e.lines[l]
		if ln == nil {
			ln = newLine(nil, l, nil)
			e.lines[l] = ln
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
		e.startedLocked(t, t.spec.sem)
	}
	if t.spec.limiter != nil {
		e.startedLocked(t, t.spec.limiter)
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
		e.spareLocked(t, t.spec.sem)
	}
	if t.event {
		t.event = false
		e.spareLocked(t, t.spec.limiter)
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
