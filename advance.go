package antflow

// The conditions of a task, and what it holds. Everything here is guarded by
// Executor.mu.

// advanceLocked takes t, which is in no list, through its conditions: a place
// under MaxConcurrency, the permit, the event. True: it has a slot now and
// needs a worker. False: it is where it has to wait.
func (e *Executor) advanceLocked(t *task) bool {
	if b := t.batch(); b != nil && b.limit > 0 && !t.has(hasPlace) {
		if b.used == b.limit {
			e.moveLocked(t, phaseGated)
			b.gated.push(t)
			e.scopeLocked(t)
			return false
		}
		b.used++
		t.flags |= hasPlace
	}
	if t.spec.sem != nil && !t.has(hasPermit) {
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
	if t.spec.limiter != nil && !t.has(hasEvent) {
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
	if e.watched.Load() && t.record() == nil {
		e.journal.foundLocked(t)
	}
	e.moveLocked(t, phaseRunning)
	if t.has(hasStarted) {
		t.x.cur = &attempt{t: t}
	} else {
		t.flags |= hasStarted
		e.backlog--
	}
	t.setState(StateRunning)
	t.flags &^= hasEvent
	if t.spec.sem != nil {
		e.startedLocked(t, t.spec.semKey())
	}
	if t.spec.limiter != nil {
		e.startedLocked(t, t.spec.limiterKey())
	}
	e.admitLocked()
}

// leaveLocked takes t out of wherever it waits, gives back what it holds and
// leaves it to the caller to settle. It must not have a slot.
func (e *Executor) leaveLocked(t *task) {
	switch t.phase {
	case phaseQueued:
		e.dequeueLocked(t)
		e.inviteLocked(t.batch()) // it may have been the one called back to a free place
	case phaseGated:
		t.x.batch.gated.remove(t)
	case phaseResumed:
		e.resumed.remove(t)
		e.inviteLocked(t.batch())
	case phaseLine:
		e.leaveLineLocked(t)
	case phaseAdmission:
		e.admission.remove(t)
	case phaseRemote, phaseRemoteRunning, phaseRemoteDelay:
		e.remotes.remove(t)
	}
	e.unscopeLocked(t)
	e.unscheduleLocked(t)
	e.yieldLocked(t)
	accepted := t.phase != phaseAdmission
	e.moveLocked(t, phaseSettled)
	if accepted && !t.has(hasStarted) {
		e.backlog--
		e.admitLocked()
	}
}

// yieldLocked gives back the place, the permit and the event that t holds
// without running.
func (e *Executor) yieldLocked(t *task) {
	if t.has(hasPlace) {
		e.unplaceLocked(t)
	}
	if t.has(hasPermit) {
		t.flags &^= hasPermit
		e.spareLocked(t.spec.semKey())
	}
	if t.has(hasEvent) {
		t.flags &^= hasEvent
		e.spareLocked(t.spec.limiterKey())
	}
}

// unplaceLocked frees the place of t under its MaxConcurrency.
func (e *Executor) unplaceLocked(t *task) {
	t.flags &^= hasPlace
	t.x.batch.used--
	e.inviteLocked(t.x.batch)
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
	if t.has(hasStarted) {
		e.resumeLocked(t)
	} else {
		e.requeueLocked(t)
	}
}
