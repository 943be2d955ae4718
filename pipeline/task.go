package pipeline

import (
	"context"
	"slices"

	"github.com/antflow/antflow"
)

// settings are what the options of a stage and of the executor say together.
func (d *stageDef) settings(ex *antflow.Executor) antflow.TaskSettings {
	return antflow.SettingsOf(append([]antflow.TaskOption{ex.TaskOptions()}, d.opts...)...)
}

// needsTasks reports whether the calls of a stage need more of the executor than
// its workers.
func needsTasks(s *antflow.TaskSettings) bool {
	return s.QueueTimeout > 0 || s.Priority != 0 || s.Semaphore != nil || s.RateLimit != nil
}

// taskOptions are those of a stage's tasks but for the priority of the item.
func (p *pool) taskOptions() antflow.TaskOption {
	opts := append([]antflow.TaskOption{antflow.TaskName(p.def.name)}, p.def.opts...)
	return antflow.JoinOptions(append(opts, antflow.WithSemaphore(&places{p, p.settings.Semaphore}))...)
}

// submitTask submits the task that calls the function of an item's stage. As
// long as there is no keeper that is done from outside, so that the task's place
// in the executor's queue and its timeout count from now. If it is refused, it
// waits for the keeper.
func (e *engine) submitTask(it *item) {
	e.mu.Lock()
	if it.phase != phaseWaiting { // it was canceled
		e.unlock()
		return
	}
	s := &e.plan.sites[it.site]
	p := e.pools[s.pool]
	t := &stageTask{e: e, it: it, s: s, p: p}
	opts := []antflow.TaskOption{p.opts, antflow.Priority(p.settings.Priority + it.prio)}
	ctx := e.crew.ctx
	outside := ctx == nil
	if outside {
		ctx = e.ctx
		opts = append(opts, antflow.NonBlocking())
	}
	e.unlock()

	f := e.ex.Go(ctx, t.run, opts...)
	e.mu.Lock()
	if err := f.Err(); outside && (err == antflow.ErrQueueFull || err == antflow.ErrShutdown) && it.phase == phaseWaiting {
		if e.crew.ctx == nil {
			e.unsent = append(e.unsent, it)
		} else { // it has come meanwhile
			e.later.tasks = append(e.later.tasks, it)
			e.later.any = true
		}
		e.unlock()
		return
	}
	cancel := it.phase == phaseGone
	if !cancel && !t.left {
		it.x.task = f
		cancel = it.x.canceled != nil
	}
	e.unlock()
	if cancel {
		f.Cancel()
	}
	f.OnDone(t.settled)
}

// A stageTask is the task of one item's visit to a stage.
type stageTask struct {
	e    *engine
	it   *item
	s    *site
	p    *pool
	out  any  // the cell for what the stage gives
	left bool // the item has gone on; guarded by e.mu
}

// run is one attempt.
func (t *stageTask) run(ctx context.Context) error {
	e, it, p := t.e, t.it, t.p
	e.mu.Lock()
	if it.phase == phaseGone {
		e.unlock()
		return nil
	}
	now := e.now()
	attempt := it.visit.attempts + 1
	call := new(callContext)
	call.init(callsFor(e, ctx, it), 0, it, p.index, attempt)
	if attempt == 1 {
		p.pending--
		it.visit.queued, it.visit.worked = now-it.since, 0
		t.out = e.outCellLocked(t.s)
		p.serveLocked()
	} else {
		p.delayed--
		p.figures.retried++
	}
	e.beginLocked(it, call, attempt)
	it.since = now
	e.unlock()
	if err := call.fedErr(); err != nil {
		cause := context.Cause(it.origin.ctx)
		t.attempted(&outcome{err: err})
		it.lateLocked(err, cause)
		p.delayed--
		t.left = true
		it.x.task = nil
		t.leaveLocked(&outcome{err: err})
		e.unlock()
		return nil
	}

	returned := false
	defer func() {
		if !returned { // a panic or a Goexit, which is the executor's to handle
			t.attempted(&outcome{err: errPanicked})
			e.unlock()
		}
	}()
	err := e.invoke(it, t.s, t.out, call)
	var o outcome
	if t.s.def.judge(err, &o); err == nil {
		e.follow(t.s, t.out, &o)
	}
	returned = true

	t.attempted(&o)
	if err == nil || o.skip && it.canceledBy() == nil {
		err = nil // it is no failure, or one of a route, which is not retried
		p.delayed--
		t.left = true
		it.x.task = nil
		t.leaveLocked(&o)
	}
	e.unlock()
	return err
}

// attempted notes that an attempt is over, and leaves e locked. Until it is
// clear what comes next, the item is between two attempts.
func (t *stageTask) attempted(o *outcome) {
	e, it := t.e, t.it
	it.call.end()
	e.mu.Lock()
	now := e.now()
	t.p.adapt.calledLocked(t.p, now, now-it.since, o)
	it.visit.worked += now - it.since
	it.since = now
	if o.err != nil && !o.skip && int(it.visit.attempts) <= t.p.settings.Retries && it.canceledBy() == nil {
		e.eventLocked(it, EventAttemptFailed, o.err)
	}
	it.phase = phaseDelayed
	t.p.delayed++
	if t.p.adapt != nil { // there may be more workers now
		t.p.serveLocked()
	}
}

// leaveLocked moves the item on. Its worker is given back with the permit.
func (t *stageTask) leaveLocked(o *outcome) {
	e := t.e
	if t.out != nil && o.val == nil {
		e.spareLocked(t.s.next, t.out)
	}
	t.p.sentLocked()
	e.carryLocked(t.it, e.leaveLocked(t.it, t.p, o, e.now()))
}

// settled is called when the task's future is done.
func (t *stageTask) settled(f *antflow.Future[struct{}]) {
	e, it, p := t.e, t.it, t.p
	err := f.Err()
	var o outcome
	p.def.judge(err, &o)
	e.mu.Lock()
	defer e.unlock()
	if t.left || it.phase == phaseGone {
		return
	}
	t.left = true
	it.x.task = nil
	if it.visit.attempts == 0 { // it has not begun
		p.pending--
	} else {
		p.delayed--
	}
	if f.State() == antflow.StateCanceled {
		c := it.canceledBy()
		if c == nil { // by a shutdown, or the end of the run
			c = &cancelError{err: context.Canceled, cause: err}
			defer e.refusedLocked(err)
		}
		p.figures.canceled++
		p.sentLocked()
		e.eventLocked(it, EventCanceled, c)
		e.canceledLocked(it, c)
	} else {
		t.leaveLocked(&o)
	}
	p.serveLocked()
}

var errPanicked error = sentinel("the call of the stage's function did not return")

// places are the workers of a pool as a semaphore, with the one of the stage's
// options behind it. So the executor's tasks take a worker like a permit: with
// none they wait without a slot, and between attempts they have none. A method of the
// semaphore behind it that panics or ends the goroutine takes no worker with it.
type places struct {
	p    *pool
	more antflow.Semaphore // or nil
}

// TryAcquire implements [antflow.Semaphore].
func (s *places) TryAcquire(int64) (got bool) {
	p := s.p
	p.e.mu.Lock()
	free := p.unclaimedLocked()
	if free {
		p.running++
	}
	p.e.unlock()
	if !free || s.more == nil {
		return free
	}
	defer func() {
		if !got {
			p.release()
		}
	}()
	return s.more.TryAcquire(1)
}

// Acquire implements [antflow.Semaphore].
func (s *places) Acquire(ctx context.Context, _ int64) error {
	p := s.p
	p.e.mu.Lock()
	if p.unclaimedLocked() {
		p.running++
		p.e.unlock()
	} else {
		c := &claim{granted: make(chan struct{}, 1)}
		p.claims = append(p.claims, c)
		p.e.unlock()
		select {
		case <-c.granted:
		case <-ctx.Done():
			p.withdraw(c)
			return ctx.Err()
		}
	}
	if s.more == nil {
		return nil
	}
	got := false
	defer func() {
		if !got {
			p.release()
		}
	}()
	err := s.more.Acquire(ctx, 1)
	got = err == nil
	return err
}

// Release implements [antflow.Semaphore].
func (s *places) Release(int64) {
	defer s.p.release()
	if s.more != nil && !s.p.lacksPermit() {
		s.more.Release(1)
	}
}

func (p *pool) release() {
	p.e.mu.Lock()
	p.running--
	p.serveLocked()
	p.e.unlock()
}

// withdraw ends a claim, and gives back what it got meanwhile.
func (p *pool) withdraw(c *claim) {
	p.e.mu.Lock()
	if i := slices.Index(p.claims, c); i >= 0 {
		p.claims = slices.Delete(p.claims, i, i+1)
	} else {
		p.running--
		p.serveLocked()
	}
	p.e.unlock()
}
