package antflow

import (
	"context"
	"reflect"
	"time"
)

// Submit queues fn and returns its future. fn runs once a worker is free, with
// a context that carries ctx's values and ends when ctx ends, when the future
// is canceled, when a shutdown cancels it, or when the attempt is over.
//
// Submit blocks only while a [QueueLimit] is reached; see there and
// [NonBlocking]. It never fails: what keeps the task from running settles the
// future, with [ErrShutdown], [ErrQueueFull], [ErrQueueTimeout] or a
// cancellation that Is [ErrCanceled].
//
// ctx governs the task: when it ends before the task has started, the task
// never will and the future settles promptly. So a task submitted with its
// parent's context is canceled when the parent's attempt ends; to outlive it,
// pass [context.WithoutCancel] of it. A nil ctx, e, fn or option panics. It
// is safe for concurrent use, and concurrent.futures' submit.
func Submit[T any](ctx context.Context, e *Executor, fn func(context.Context) (T, error), opts ...TaskOption) *Future[T] {
	must(ctx != nil, "Submit: the context must not be nil")
	must(e != nil, "Submit: the executor must not be nil")
	must(fn != nil, "Submit: the function must not be nil")
	s := &submitted[T]{fn: fn}
	sp, above := e.specOf(&e.defaults, opts)
	s.above = above
	e.submit(e.termsOf(ctx, sp), &s.task, s, nil)
	return &s.Future
}

// Go is [Submit] of a function without a result.
func (e *Executor) Go(ctx context.Context, fn func(context.Context) error, opts ...TaskOption) *Future[struct{}] {
	must(e != nil, "Executor.Go: the executor is nil")
	must(ctx != nil, "Executor.Go: the context must not be nil")
	must(fn != nil, "Executor.Go: the function must not be nil")
	s := &started{fn: fn}
	sp, above := e.specOf(&e.defaults, opts)
	s.above = above
	e.submit(e.termsOf(ctx, sp), &s.task, s, nil)
	return &s.Future
}

// submitted is a task of Submit: the future and the function in one.
type submitted[T any] struct {
	Future[T]
	fn func(context.Context) (T, error)
}

func (s *submitted[T]) invoke(ctx context.Context) error {
	v, err := s.fn(ctx)
	if err == nil {
		s.value = v
	}
	return err
}
func (s *submitted[T]) drop()                 { s.fn = nil }
func (s *submitted[T]) settled()              {}
func (s *submitted[T]) function() (any, bool) { return s.fn, false }

// started is a task of Executor.Go.
type started struct {
	Future[struct{}]
	fn func(context.Context) error
}

func (s *started) invoke(ctx context.Context) error { return s.fn(ctx) }
func (s *started) drop()                            { s.fn = nil }
func (s *started) settled()                         {}
func (s *started) function() (any, bool)            { return s.fn, false }

// termsOf returns the terms of a task with that context and those options, the
// last ones if they are the same.
func (e *Executor) termsOf(ctx context.Context, sp *spec) *terms {
	if tm := e.recentTerms.Load(); tm != nil && tm.spec == sp && tm.ctx == ctx {
		return tm
	}
	return &terms{sp, ctx, ctx.Done()}
}

// keepTermsLocked keeps the terms of an accepted task for the next Submit; they
// go with the last worker, which is still to come. Only contexts that are
// pointers, and the background, are kept: to compare them can't panic, and is
// quick.
func (e *Executor) keepTermsLocked(tm *terms) {
	if tm == e.recentTerms.Load() {
		return
	}
	if tm.ctx == context.Background() || reflect.TypeOf(tm.ctx).Kind() == reflect.Pointer {
		e.recentTerms.Store(tm)
	}
}

// submit is the way of every task into the executor. When it returns, t is
// accepted or settled.
func (e *Executor) submit(tm *terms, t *task, r runner, b *batch) {
	t.runner, t.terms = r, tm
	if b != nil && (b.limit > 0 || b.nested) {
		t.extra().batch = b
	}
	var since time.Duration // 0: nobody observes
	if e.watched.Load() {
		since = e.journal.clock()
		if !t.simple() || e.tracers != nil || t.isRemote() {
			t.observe(new(watchedExtra), since)
		}
	}
	ended := tm.ctx.Err() != nil
	e.mu.Lock()
	if ended || e.closed.Load() || e.limit > 0 {
		if since > 0 && t.record() == nil {
			t.observe(e.journal.vacantLocked(), since)
		}
		e.submitUnlock(t, b, ended)
		return
	}
	t.id = e.nextID
	e.nextID++
	e.acceptUnlock(t, b, since)
}

// submitUnlock submits a task that may be refused, or blocked.
func (e *Executor) submitUnlock(t *task, b *batch, ended bool) {
	var own *attempt
	looked := false // for own, which is foreign code and only asked for where it matters
	for {
		if e.syncLocked(); e.limit > 0 && e.backlog >= e.limit {
			e.assignLocked()
		}
		full := e.limit > 0 && e.backlog >= e.limit // and so while other Submits block
		if (e.closed.Load() || full) && !ended && !looked {
			looked = true
			e.unlock()
			own = e.ownAttempt(t.ctx)
			e.mu.Lock()
			continue
		}
		t.id = e.nextID
		e.nextID++
		switch {
		case ended:
			e.totals.rejected++
			e.settleUnlock(t, StateCanceled, nil)
		case e.closed.Load() && (!own.lasts() || e.canceling):
			e.totals.rejected++
			e.settleUnlock(t, StateFailed, ErrShutdown)
		case full && !own.lasts() && t.spec.nonBlocking:
			e.totals.rejected++
			e.settleUnlock(t, StateFailed, ErrQueueFull)
		case full && !own.lasts():
			e.blockUnlock(t, b)
		default:
			e.acceptUnlock(t, b, 0)
		}
		return
	}
}

// settleUnlock settles a task that was never admitted, with the cancellation
// of its context when err is nil.
func (e *Executor) settleUnlock(t *task, s State, err error) {
	t.phase = phaseSettled
	e.active.Add(1)
	e.unlock()
	e.refuse(t, s, err)
}

// refuse settles a task that was never admitted, counted among the active.
func (e *Executor) refuse(t *task, s State, err error) {
	defer e.leave()
	t.flags |= isRefused
	if err == nil {
		err = canceledBy(t.ctx)
	}
	if r := t.record(); r != nil {
		e.refuseObserved(t, r, s, err)
	} else {
		t.publish(s, err)
	}
	e.call(t.notify())
}

// acceptUnlock accepts a task that was neither refused nor blocked.
func (e *Executor) acceptUnlock(t *task, b *batch, since time.Duration) {
	e.acceptLocked(t, since)
	if b == nil && !t.isRemote() { // a batch keeps its own, and here no worker comes
		e.keepTermsLocked(t.terms)
	}
	e.unlock()
}

// acceptLocked counts t in and queues it. If it is observed but has no record
// yet, it was submitted at since.
func (e *Executor) acceptLocked(t *task, since time.Duration) {
	e.totals.submitted++
	e.backlog++
	if r := t.record(); r != nil {
		e.journal.acceptedLocked(t, r.since)
		since = 0
	} else if since > 0 {
		since = e.journal.acceptedLocked(t, since)
	}
	if t.isRemote() {
		e.unscheduleLocked(t)
		e.remoteLocked(t)
		return
	}
	if t.spec.queueTimeout > 0 && (t.x == nil || t.x.timer == 0) {
		e.scheduleLocked(t, time.Now().Add(t.spec.queueTimeout))
	}
	e.enqueueLocked(t, since)
	e.dispatchLocked()
}

// waits reports whether a task may wait for more than a slot.
func (s *spec) waits() bool {
	return s.sem != nil || s.limiter != nil || s.queueTimeout > 0
}

// blockUnlock makes t the last of the blocked Submits, and blocks until it is
// accepted or settled. A task of another executor that calls it lends its
// slot.
func (e *Executor) blockUnlock(t *task, b *batch) {
	e.recallLocked() // the next start has to look at who is blocked
	admit := &admission{open: make(chan struct{})}
	t.extra().admit = admit
	t.phase = phaseAdmission
	e.admission.pushBack(t)
	if t.spec.queueTimeout > 0 {
		e.scheduleLocked(t, time.Now().Add(t.spec.queueTimeout))
	}
	e.admitLocked() // what was taken until the segment was closed made room
	e.unlock()
	if b == nil || !b.fed {
		l := attemptOf(t.ctx).newLease(nil)
		l.begin()
		defer l.end()
	}
	select {
	case <-admit.open:
	case <-t.done:
		e.mu.Lock()
		if t.phase == phaseAdmission {
			e.rejectLocked(t, nil)
		}
		e.unlock()
		<-admit.open // now, or at the same time by somebody else
	}
	// The refusal is ours to settle: nobody else has the future yet.
	if admit.refused {
		state := StateFailed
		if admit.refusal == nil {
			state = StateCanceled
		}
		e.refuse(t, state, admit.refusal)
	}
}

// admitLocked accepts blocked Submits while there is room.
func (e *Executor) admitLocked() {
	for e.backlog < e.limit {
		t := e.admission.front
		if t == nil {
			return
		}
		e.admission.remove(t)
		e.acceptLocked(t, 0)
		e.wakeLocked(t.x.admit.open)
	}
}

// rejectLocked takes a blocked Submit out and has it refused with err, or as
// canceled by its context when that is nil.
func (e *Executor) rejectLocked(t *task, err error) {
	e.leaveLocked(t)
	e.totals.rejected++
	t.x.admit.refused, t.x.admit.refusal = true, err
	e.active.Add(1)
	e.wakeLocked(t.x.admit.open)
}
