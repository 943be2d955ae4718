package antflow

import (
	"context"
	"slices"
)

// Lending is what keeps nested work from deadlocking. A task that blocks in
// this package through its own context gives its slot away while it does, and
// takes one back before the wait returns.
//
// An attempt has a slot exactly while waits is 0 and park is nil. The first of
// several overlapping waits lends the slot, the last one to end takes one
// back; only that one may have to wait for it, parked among the tasks that
// resume. A wait that begins while another is parked sends that one on: the
// attempt keeps none, and the new wait will take it. When the attempt is over,
// nothing is taken any more.

// The slot is asked back at the moment when the condition of the wait holds, by
// whoever makes it hold: were it left to the waiting goroutine, once it is
// scheduled, the worker that fulfilled the condition would have taken another
// task by then.

// A lease is one wait of one attempt. Methods on nil do nothing: that is a
// wait outside of tasks.
type lease struct {
	a *attempt
	b *boost // may be nil

	// Guarded by e.mu.
	begun, over bool
	park        chan struct{} // closed when the task has a slot again, if it had to wait
}

// A boost makes queued tasks that a blocked task waits for start before
// others. It names either tasks, in start order, or everything queued of a
// batch. It is in e.boosts while it may have a queued task.
type boost struct {
	order uint64
	pos   int32
	tasks []*task // those before the first queued one are cut off
	batch *batch
}

// first returns the queued task to start next, or nil.
func (b *boost) first(e *Executor) *task {
	if b.batch != nil {
		return b.batch.queued.top()
	}
	// None of these tasks gets queued a second time, so none is passed over.
	for len(b.tasks) > 0 {
		if t := b.tasks[0]; e.queuedLocked(t) {
			return t
		}
		b.tasks[0] = nil
		b.tasks = b.tasks[1:]
	}
	return nil
}

// newLease prepares a wait of a, if that is an attempt, that puts the tasks of
// b first.
func (a *attempt) newLease(b *boost) *lease {
	if a == nil {
		return nil
	}
	return &lease{a: a, b: b}
}

// boostFor makes the boost for a wait of a on the tasks.
func (a *attempt) boostFor(tasks []*task) *boost {
	if a == nil {
		return nil
	}
	var own []*task
	for _, t := range tasks {
		if t != nil && t.terms != nil && t.spec.e == a.t.spec.e && !t.settledState() {
			own = append(own, t)
		}
	}
	byStart := func(x, y *task) int {
		switch {
		case startsBefore(x, y):
			return -1
		case x == y:
			return 0
		}
		return 1
	}
	if !slices.IsSortedFunc(own, byStart) {
		slices.SortFunc(own, byStart)
	}
	return &boost{tasks: own}
}

// begin gives the slot to whatever starts next, and that is one of the tasks of
// the boost if one is queued; unless the wait is over already.
func (l *lease) begin() {
	if l == nil {
		return
	}
	t := l.a.t
	e := t.spec.e
	e.mu.Lock()
	defer e.unlock()
	if l.over || l.a.over.Load() {
		l.over = true
		return
	}
	e.assignLocked()
	e.adoptLocked(t)
	l.begun = true
	l.a.waits++
	switch t.phase {
	case phaseRunning:
		e.busy--
		e.moveLocked(t, phaseBlocked)
	case phaseReturning:
		e.resumed.remove(t)
		e.moveLocked(t, phaseBlocked)
		e.wakeParkedLocked(l.a)
	}
	if b := l.b; b != nil {
		e.waits++
		b.order = e.waits
		if b.batch != nil {
			b.batch.waiting = append(b.batch.waiting, b)
		}
		if b.first(e) != nil {
			e.recallLocked()
			e.boosts.push(b)
		}
	}
	e.dispatchLocked()
}

// resume ends the wait, from any goroutine: from now on the task is among
// those that resume. It does not block.
func (l *lease) resume() {
	if l == nil {
		return
	}
	e := l.a.t.spec.e
	e.mu.Lock()
	e.assignLocked()
	l.endLocked(e)
	e.unlock()
}

// end ends the wait, if nobody has, and blocks until the task has a slot
// again. What the wait reports has been decided before.
func (l *lease) end() {
	if l == nil {
		return
	}
	e := l.a.t.spec.e
	e.mu.Lock()
	e.assignLocked()
	l.endLocked(e)
	park := l.park
	e.unlock()
	if park != nil {
		<-park
	}
}

func (l *lease) endLocked(e *Executor) {
	if l.over {
		return
	}
	l.over = true
	if !l.begun {
		return
	}
	if b := l.b; b != nil {
		if b.pos != 0 {
			e.boosts.remove(b)
		}
		if b.batch != nil {
			i := slices.Index(b.batch.waiting, b)
			b.batch.waiting = slices.Delete(b.batch.waiting, i, i+1)
		}
	}
	a := l.a
	a.waits--
	if a.over.Load() || a.waits > 0 {
		return
	}
	if e.busy < e.max && e.resumed.front == nil {
		e.busy++
		e.moveLocked(a.t, phaseRunning)
		return
	}
	l.park = make(chan struct{})
	a.park = l.park
	e.recallLocked()
	e.moveLocked(a.t, phaseReturning)
	e.resumed.pushBack(a.t)
	e.dispatchLocked()
}

func (e *Executor) wakeParkedLocked(a *attempt) {
	e.wakeLocked(a.park)
	a.park = nil
}

// overlayLocked enters a queued task of a nested batch among those that the
// waits for the batch put first.
func (e *Executor) overlayLocked(b *batch, t *task) {
	b.queued.push(t)
	if b.queued.len() == 1 {
		e.recallLocked()
		for _, w := range b.waiting {
			if w.pos == 0 {
				e.boosts.push(w)
			}
		}
	}
}

// Blocking calls fn and returns its error. Called with a task's context it
// lends the task's slot while fn runs, so fn may wait for a channel, a lock or
// a process without keeping others from work; it must not compute. It returns
// once the task has a slot again. ctx does not end fn. With any other context
// it just calls fn. A panic of fn passes through. A nil ctx or fn panics.
func Blocking(ctx context.Context, fn func() error) error {
	must(ctx != nil, "Blocking: the context must not be nil")
	must(fn != nil, "Blocking: the function must not be nil")
	l := attemptOf(ctx).newLease(nil)
	l.begin()
	defer l.end()
	return fn()
}
