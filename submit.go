package antflow

import (
	"context"
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
	e.submit(ctx, &s.task, s, nil, e.specOf(opts))
	return &s.Future
}

// Go is [Submit] of a function without a result.
func (e *Executor) Go(ctx context.Context, fn func(context.Context) error, opts ...TaskOption) *Future[struct{}] {
	must(e != nil, "Executor.Go: the executor is nil")
	must(ctx != nil, "Executor.Go: the context must not be nil")
	must(fn != nil, "Executor.Go: the function must not be nil")
	s := &started{fn: fn}
	e.submit(ctx, &s.task, s, nil, e.specOf(opts))
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
func (s *submitted[T]) drop()    { s.fn = nil }
func (s *submitted[T]) settled() {}

// started is a task of Executor.Go.
type started struct {
	Future[struct{}]
	fn func(context.Context) error
}

func (s *started) invoke(ctx context.Context) error { return s.fn(ctx) }
func (s *started) drop()                            { s.fn = nil }
func (s *started) settled()                         {}

// submit is the way of every task into the executor. When it returns, t is
// accepted or settled.
func (e *Executor) submit(ctx context.Context, t *task, r runner, b *batch, sp *spec) {
	t.e, t.runner, t.ctx, t.batch, t.spec = e, r, ctx, b, sp
	ended := ctx.Err() != nil
	var own *attempt
	looked := false // for own, which is only asked for where it matters
	e.mu.Lock()
	t.id = e.nextID
	e.nextID++
	for {
		full := e.limit > 0 && e.backlog >= e.limit // and so while other Submits block
		switch {
		case ended:
			e.totals.rejected++
			e.settleUnlock(t, StateCanceled, nil)
			return
		case (e.closed.Load() || full) && !looked:
			looked = true
			e.unlock()
			own = e.ownAttempt(ctx)
			e.mu.Lock()
			continue
		case e.closed.Load() && (!own.lasts() || e.canceling):
			e.totals.rejected++
			e.settleUnlock(t, StateFailed, ErrShutdown)
			return
		case full && !own.lasts() && sp.nonBlocking:
			e.totals.rejected++
			e.settleUnlock(t, StateFailed, ErrQueueFull)
			return
		case !t.bound && (full || !e.freeLocked() || sp.waits() || b != nil):
			// It is going to wait somewhere. Asking a context for its Done
			// channel is foreign code.
			t.bound = true
			e.unlock()
			t.done = ctx.Done()
			e.mu.Lock()
			continue
		case full && !own.lasts():
			e.blockUnlock(t)
			return
		}
		e.acceptLocked(t)
		e.dispatchLocked()
		e.unlock()
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
	t.rejected = true
	if err == nil {
		err = canceledBy(t.ctx)
	}
	e.call(t.settle(s, err))
}

// acceptLocked counts t in and queues it.
func (e *Executor) acceptLocked(t *task) {
	e.totals.submitted++
	e.backlog++
	if t.spec.queueTimeout > 0 && (t.x == nil || t.x.timer == 0) {
		e.scheduleLocked(t, time.Now().Add(t.spec.queueTimeout))
	}
	if !t.bound {
		// A slot is free and nothing is in its way: it starts now.
		e.startLocked(t)
		e.spawnLocked(t)
		return
	}
	e.enqueueLocked(t, false)
}

// waits reports whether a task may wait for more than a slot.
func (s *spec) waits() bool {
	return s.sem != nil || s.limiter != nil || s.queueTimeout > 0
}

// blockUnlock makes t the last of the blocked Submits, and blocks until it is
// accepted or settled. A task of another executor that calls it lends its
// slot.
func (e *Executor) blockUnlock(t *task) {
	admit := make(chan struct{})
	t.extra().admit = admit
	t.phase = phaseAdmission
	e.admission.pushBack(t)
	if t.spec.queueTimeout > 0 {
		e.scheduleLocked(t, time.Now().Add(t.spec.queueTimeout))
	}
	e.unlock()
	if t.batch == nil || !t.batch.fed {
		l := attemptOf(t.ctx).newLease(nil)
		l.begin()
		defer l.end()
	}
	select {
	case <-admit:
	case <-t.ctx.Done():
		e.mu.Lock()
		if t.phase == phaseAdmission {
			e.rejectLocked(t, nil)
		}
		e.unlock()
		<-admit // now, or at the same time by somebody else
	}
	// The refusal is ours to settle: nobody else has the future yet.
	if x := t.x; x.refused {
		state := StateFailed
		if x.refusal == nil {
			state = StateCanceled
		}
		e.refuse(t, state, x.refusal)
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
		e.acceptLocked(t)
		e.wakeLocked(t.x.admit)
	}
}

// rejectLocked takes a blocked Submit out and has it refused with err, or as
// canceled by its context when that is nil.
func (e *Executor) rejectLocked(t *task, err error) {
	e.leaveLocked(t)
	e.totals.rejected++
	t.x.refused, t.x.refusal = true, err
	e.active.Add(1)
	e.wakeLocked(t.x.admit)
}
