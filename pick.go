package antflow

import "time"

// What starts next, and the books of what has started. Everything here is
// guarded by Executor.mu.

// enqueueLocked makes a new t a queued task. If it is observed but has no
// record yet, it was accepted at since.
func (e *Executor) enqueueLocked(t *task, since time.Duration) {
	l := e.levelLocked(t.priority())
	e.moveLocked(t, phaseQueued)
	s, at := l.push(t)
	if since > 0 {
		s.observe(at, since)
	}
	if t.simple() {
		e.enrollLocked(l, s, at, t.terms)
		return
	}
	if b := t.batch(); b != nil && b.nested {
		e.overlayLocked(b, t)
	}
	e.scopeLocked(t)
}

// enqueueLightLocked queues a light task.
func (e *Executor) enqueueLightLocked(b *batch, x light) {
	l := e.levelLocked(b.spec.priority)
	e.counts[classQueued]++
	s, at := l.pushLight(b, x)
	e.enrollLocked(l, s, at, b.terms)
}

// levelLocked returns the level for a task that is to be queued.
func (e *Executor) levelLocked(priority int) *level {
	q := &e.queue
	if l := q.recent; l != nil && l.priority == priority && l.pos != 0 && q.levels.len() == 1 {
		return l // there is nothing to overtake
	}
	if top := q.levels.top(); top != nil && (priority > top.priority || q.levels.len() > 1) {
		e.assignLocked() // it may overtake one of those
		if o := q.openLevel; o != nil && priority > o.priority || len(q.spans) > 0 {
			e.recallLocked()
		}
	}
	return q.level(priority)
}

// requeueLocked makes t, back from its gate, a queued task at its old place in
// start order.
func (e *Executor) requeueLocked(t *task) {
	e.recallLocked()
	e.moveLocked(t, phaseQueued)
	e.queue.level(t.priority()).putBack(t)
	if b := t.batch(); b.nested {
		e.overlayLocked(b, t)
	}
	e.scopeLocked(t)
}

// dequeueLocked takes a queued task out; the caller moves it on.
func (e *Executor) dequeueLocked(t *task) {
	e.closeLocked()
	e.queue.remove(t)
	if p := e.loose; p.s != nil && p.s.empty(p.at) {
		e.loose = place{}
	}
	if b := t.batch(); b != nil && b.nested {
		b.queued.remove(t)
	}
}

// queuedLocked reports whether t is queued. The phase alone does not tell: a
// plain task is taken without the lock.
func (e *Executor) queuedLocked(t *task) bool {
	if t.phase != phaseQueued {
		return false
	}
	e.closeLocked()
	return e.queue.holds(t)
}

// plain reports whether nothing but a slot keeps t from starting, and nothing
// needs to be done under the lock when it does. Of a task in a segment only that
// can tell; see [segment.plain].
func (t *task) plain() bool {
	return t.simple() && t.record() == nil
}

// simple reports whether nothing but a slot keeps t from starting.
func (t *task) simple() bool { return t.batch() == nil && !t.spec.waits() }

// publishLocked opens the segment that plain tasks are at the head of, unless
// something else has to be looked at before each start.
func (e *Executor) publishLocked() {
	l := e.queue.levels.top()
	if l == nil || e.watched.Load() || e.queue.open != nil || l.firstBack() != nil || e.resumed.front != nil || e.boosts.len() > 0 || e.admission.front != nil || e.busy > e.max {
		return
	}
	s := l.front()
	if s == nil {
		e.queue.dropEmpty(l)
		return
	}
	limit := s.n
	if s.mixed {
		for limit = s.head; limit < s.n; limit++ {
			if !s.plain(limit) {
				break
			}
		}
	}
	if limit == s.head {
		return
	}
	e.queue.open, e.queue.openLevel = s, l
	s.word.Store(uint64(limit)<<32 | uint64(s.head))
}

// syncLocked brings the books up to date with what was taken from the open
// segment. Each taking of a plain task is also the end of the one before it of
// the same worker; see claims.
func (e *Executor) syncLocked() {
	if s := e.queue.open; s != nil {
		e.bookLocked(s, s.word.Load())
	}
	for _, sp := range e.queue.spans {
		for ch := sp.oldest; ch != nil; ch = ch.next {
			e.bookChunkLocked(ch)
		}
	}
}

func (e *Executor) bookLocked(s *segment, word uint64) {
	taken := int(min(uint32(word), uint32(word>>32))) - s.head
	s.head += taken
	e.queue.openLevel.live -= int32(taken)
	e.counts[classQueued] -= taken
	e.backlog -= taken
	e.claims += uint64(taken)
}

// recallLocked takes back what workers could take without the lock: what comes
// first is decided under it again.
func (e *Executor) recallLocked() {
	e.recallChunksLocked()
	e.closeLocked()
}

// closeLocked closes the open segment, if there is one.
func (e *Executor) closeLocked() {
	s := e.queue.open
	if s == nil {
		return
	}
	e.bookLocked(s, s.word.Swap(0))
	l := e.queue.openLevel
	e.queue.open, e.queue.openLevel = nil, nil
	e.queue.dropEmpty(l)
}

// resumeLocked makes t, whose wait has ended, one of the tasks that start
// before all queued ones, in the order in which their waits ended.
func (e *Executor) resumeLocked(t *task) {
	e.recallLocked()
	e.moveLocked(t, phaseResumed)
	e.resumed.pushBack(t)
	e.scopeLocked(t)
}

// returnLocked gives slots to the tasks that are next and have a goroutine
// already: those whose wait is over.
func (e *Executor) returnLocked() {
	for e.busy < e.max {
		t := e.resumed.front
		if t == nil || t.phase != phaseReturning {
			return
		}
		e.resumed.remove(t)
		e.busy++
		e.moveLocked(t, phaseRunning)
		e.wakeParkedLocked(t.currentLocked())
	}
}

// pickLocked gives slots to the tasks next in order until one needs a worker,
// and stores that one; false when no slot is free or nothing could start.
//
// It is what makes the executor work-conserving: every section that frees a
// slot or makes a task startable ends with it or with dispatchLocked.
func (e *Executor) pickLocked(j *job) bool {
	for {
		e.returnLocked()
		if e.busy >= e.max {
			return false
		}
		t := e.resumed.front
		if t != nil {
			e.resumed.remove(t)
		} else {
			if !e.freeLocked() {
				return false
			}
			plain, ok := e.takeLocked(j)
			if !ok || plain {
				return ok
			}
			t = j.t
		}
		if e.advanceLocked(t) {
			*j = job{t: t}
			return true
		}
	}
}

// assignLocked gives the tasks that could start their slots and workers. A task
// that meets a free slot has it from then on, though the worker that was called
// for it may still be on its way. A section of the lock that could tell the
// difference, or make something that comes before it, begins with this.
func (e *Executor) assignLocked() {
	if e.busy >= e.max || e.queue.levels.len() == 0 && e.resumed.front == nil {
		return
	}
	for {
		w := new(worker)
		if !e.pickLocked(&w.job) {
			return
		}
		e.hireLocked(w)
		go e.work(w)
	}
}

// takeLocked takes the queued task to start next out of the queue and stores
// it. A plain one has its slot then.
func (e *Executor) takeLocked(j *job) (plain, ok bool) {
	*j = job{}
	if s := e.queue.open; s != nil {
		if at := s.claim(); at >= 0 {
			s.takeLocked(at, j)
			e.claimedLocked(s)
			return true, true
		}
		e.closeLocked()
	}
	t := e.boostedLocked()
	for t == nil {
		l := e.queue.levels.top()
		if l == nil {
			return false, false
		}
		s, b := l.front(), l.firstBack()
		switch {
		case s == nil && b == nil: // what it had were spent spans
			e.queue.dropEmpty(l)
		case s == nil || b != nil && b.id < s.headID():
			t = b
		case s.plain(s.head) && !e.watched.Load():
			s.takeLocked(s.head, j)
			s.head++
			l.live--
			e.startedPlainLocked(s)
			e.queue.dropEmpty(l)
			e.admitLocked()
			e.publishLocked()
			return true, true
		case s.simple(s.head) && s.entries[s.head] != nil: // it is observed
			s.takeLocked(s.head, j)
			s.head++
			l.live--
			e.notLooseLocked(s)
			e.queue.dropEmpty(l)
			return false, true
		default:
			t = s.weigh(s.head)
			if sp := t.span(); sp != nil {
				if e.watched.Load() {
					j.t = e.drawOneLocked(sp)
					if j.t != nil {
						return false, true
					}
				} else if e.takeSpanLocked(sp, j) {
					return true, true
				}
				t = nil
			}
		}
	}
	j.t = t
	e.dequeueLocked(t)
	if !t.plain() || e.watched.Load() {
		return false, true
	}
	e.startedPlainLocked(nil)
	e.admitLocked()
	return true, true
}

// headID is the ID of the first task.
func (s *segment) headID() uint64 {
	if t := s.entries[s.head]; t != nil {
		return t.id
	}
	return s.lights[s.head].id
}

// startedPlainLocked books a plain task that was taken under the lock.
func (e *Executor) startedPlainLocked(s *segment) {
	e.counts[classQueued]--
	e.backlog--
	e.claims++
	e.claimedLocked(s)
}

// claimedLocked gives a slot to a plain task that was taken out of the queue,
// from that segment. If that has a loose one it was the first there.
func (e *Executor) claimedLocked(s *segment) {
	e.busy++
	e.plain++
	e.notLooseLocked(s)
}

// notLooseLocked is told that the first task of s was taken.
func (e *Executor) notLooseLocked(s *segment) {
	if s != nil && e.loose.s == s {
		e.loose = place{}
	}
}

// adoptLocked makes a plain task that runs one that the books know by name.
func (e *Executor) adoptLocked(t *task) {
	if t.phase != phaseQueued {
		return
	}
	e.plain--
	e.claims--
	t.phase = phaseRunning
	e.counts[classRunning]++
}

// freeLocked reports whether a slot is free for a queued task.
func (e *Executor) freeLocked() bool { return e.busy+e.telling < e.max }

// boostedLocked is the queued task to start before all others, since a blocked
// task waits for it, those of the latest wait first; or nil.
func (e *Executor) boostedLocked() *task {
	for e.boosts.len() > 0 {
		b := e.boosts.top()
		if t := b.first(e); t != nil {
			return t
		}
		e.boosts.remove(b)
	}
	return nil
}

// dispatchLocked gives slots to those that return, and has a worker come for
// what else could start. If one is on its way it will look once it is there,
// and call another one if there is more.
func (e *Executor) dispatchLocked() {
	if e.busy >= e.max {
		return
	}
	e.returnLocked()
	if e.busy >= e.max || e.resumed.front == nil && (!e.freeLocked() || e.queue.levels.len() == 0) {
		return
	}
	if !e.searching {
		e.searching = true
		go e.work(&worker{step: stepSearch})
	} else if !e.news.Load() {
		e.news.Store(true)
	}
}
