package antflow

// cancel asks for the cancellation of t; see [Future.Cancel].
func (e *Executor) cancel(t *task) bool {
	ended := t.ctx.Err() != nil // then that is the reason, whoever asks after it
	e.mu.Lock()
	e.assignLocked()
	if t.phase == phaseSettled || t.phase == phaseQueued && !e.queuedLocked(t) && !e.adoptRunningLocked(t) {
		e.unlock()
		return !t.settledState() // or else its owner is about to settle it
	}
	switch t.phase {
	case phaseRunning, phaseBlocked, phaseReturning:
		a := t.askableLocked()
		if a.asked == nil && !ended {
			a.asked = askedByCancel
		}
		e.unlock()
		a.stop(stoppedByCancel)
		return true
	case phaseRemote, phaseRemoteRunning, phaseRemoteDelay:
		asked := askedByCancel
		if ended {
			asked = nil
		}
		ask := t.x.remote.askLocked(asked)
		e.unlock()
		ask()
		return true
	}
	e.leaveLocked(t)
	e.countLocked(t, StateCanceled, failure{})
	e.dispatchLocked()
	e.active.Add(1)
	e.unlock()
	defer e.leave()
	asked := askedByCancel
	if ended {
		asked = nil
	}
	e.cancelAll([]*task{t}, asked)
	return true
}

// askableLocked returns the attempt of a running task, to be asked to stop.
func (t *task) askableLocked() *attempt {
	if a := t.currentLocked(); a != nil {
		return a
	}
	return t.attempt()
}

// adoptRunningLocked adopts a plain task that was taken, unless its attempt is
// closed: then it has succeeded.
func (e *Executor) adoptRunningLocked(t *task) bool {
	if a := t.first.Load(); a == nil {
		t.first.CompareAndSwap(nil, &attempt{t: t, number: 1})
	}
	if t.first.Load() == closedAttempt {
		return false
	}
	e.adoptLocked(t)
	return true
}

// cancelAll settles tasks that never got a slot, or not another one, as
// canceled: by whoever asked, or by their contexts when that is nil.
func (e *Executor) cancelAll(tasks []*task, asked *cancelError) {
	e.settleAll(tasks, func(t *task) {
		by := asked
		if by == nil {
			by = canceledBy(t.ctx)
		}
		t.publish(StateCanceled, by.with(t.error()))
	})
}

// failAll settles such tasks as failed with err.
func (e *Executor) failAll(tasks []*task, err error) {
	e.settleAll(tasks, func(t *task) { t.publish(StateFailed, err) })
}

// settleAll settles tasks without a slot: all of them first, and then it runs
// their callbacks, any of which may end the goroutine. The caller has taken
// the tasks out of the books and is counted among the active. It holds no
// lock: the cause of a context is foreign code.
func (e *Executor) settleAll(tasks []*task, publish func(*task)) {
	var callbacks []func()
	for _, t := range tasks {
		publish(t)
		e.settledApart(t)
		callbacks = append(callbacks, t.notify()...)
	}
	e.call(callbacks)
}
