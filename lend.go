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

// A lease is one wait of one attempt; the zero value is a wait that lends
// nothing.
type lease struct {
	a *attempt
	b *boost
}

// A boost makes queued tasks that a blocked task waits for start before
// others. It names either tasks, in start order, or everything queued of a
// batch. It is in e.boosts while it may have a queued task.
type boost struct {
	order uint64
	pos   int
	one   *task
	tasks []*task // those before the first queued one are cut off
	batch *batch
}

// first returns the queued task to start next, or nil.
func (b *boost) first() *task {
	if b.batch != nil {
		return b.batch.queued.top()
	}
	if b.one != nil {
		if b.one.phase == phaseQueued {
			return b.one
		}
		b.one = nil
	}
	// None of these tasks gets queued a second time, so none is passed over.
	for len(b.tasks) > 0 {
		if t := b.tasks[0]; t.phase == phaseQueued {
			return t
		}
		b.tasks[0] = nil
		b.tasks = b.tasks[1:]
	}
	return nil
}

// lendFor begins a wait through ctx for the task t, or for something else when
// that is nil.
func lendFor(ctx context.Context, t *task) lease {
	a := attemptOf(ctx)
	if a == nil {
		return lease{}
	}
	if t == nil || t.e != a.t.e {
		return a.lend(nil)
	}
	return a.lend(&boost{one: t})
}

// boostFor makes the boost for a wait of a on several tasks.
func (a *attempt) boostFor(tasks []*task) *boost {
	var own []*task
	for _, t := range tasks {
		if t.e == a.t.e && !t.settledState() {
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

// lend begins a wait: the slot goes to whatever starts next, and that is one
// of the tasks of b, if one is queued. Called on nil it lends nothing.
func (a *attempt) lend(b *boost) lease {
	if a == nil {
		return lease{}
	}
	t := a.t
	e := t.e
	e.mu.Lock()
	if a.over.Load() {
		e.unlock()
		return lease{}
	}
	a.waits++
	switch t.phase {
	case phaseRunning:
		e.busy--
		e.moveLocked(t, phaseBlocked)
	case phaseReturning:
		e.resumed.remove(t)
		e.moveLocked(t, phaseBlocked)
		e.wakeParkedLocked(a)
	}
	if b != nil {
		e.waits++
		b.order = e.waits
		if b.batch != nil {
			b.batch.waiting = append(b.batch.waiting, b)
		}
		if b.first() != nil {
			e.boosts.push(b)
		}
	}
	e.dispatchLocked()
	e.unlock()
	return lease{a, b}
}

// end ends the wait. It blocks until the task has a slot again, if it is the
// task's last wait. Whoever reports a result of the wait has decided on it
// before.
func (l lease) end() {
	a := l.a
	if a == nil {
		return
	}
	t := a.t
	e := t.e
	e.mu.Lock()
	if b := l.b; b != nil {
		if b.pos != 0 {
			e.boosts.remove(b)
		}
		if b.batch != nil {
			i := slices.Index(b.batch.waiting, b)
			b.batch.waiting = slices.Delete(b.batch.waiting, i, i+1)
		}
	}
	a.waits--
	if a.over.Load() || a.waits > 0 {
		e.unlock()
		return
	}
	if e.busy < e.max {
		// Nothing waits for a slot, or it would have this one.
		e.busy++
		e.moveLocked(t, phaseRunning)
		e.unlock()
		return
	}
	park := make(chan struct{})
	a.park = park
	e.moveLocked(t, phaseReturning)
	e.resumed.pushBack(t)
	e.unlock()
	<-park
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
	l := lendFor(ctx, nil)
	defer l.end()
	return fn()
}
