package antflow

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"
)

// An attempt is one run of a task, and the context that the function gets. A
// real, cancelable context is only made when somebody asks for its Done
// channel; until then the attempt answers for itself out of the task's
// context. It is the storage of nothing else, so the first attempt lies within
// the task, and one that does not look at its context pays nothing for it.
//
// Making the context and stopping the attempt meet as in Dekker's algorithm:
// real makes the context visible and then looks at stopped; stop does it the
// other way round. One of the two cancels it.
type attempt struct {
	t       *task
	number  int // written before the function is called
	made    atomic.Pointer[realContext]
	stopped atomic.Pointer[stopCause] // set once, by the first stop
	over    atomic.Bool               // its slot is given up; written under e.mu

	// Guarded by e.mu; see lend.go.
	waits int           // waits in progress that the slot is lent for
	park  chan struct{} // of the one wait that waits for a slot again
}

type realContext struct {
	context.Context
	cancel context.CancelCauseFunc
}

type (
	attemptKey struct{}              // its value: the innermost attempt
	ownKey     struct{ e *Executor } // the innermost attempt of e that is not over
)

// stopCause is why an attempt was stopped.
type stopCause struct{ err error }

var (
	attemptOver       = &stopCause{plainError("the attempt is over")}
	stoppedByCancel   = &stopCause{askedByCancel}
	stoppedByShutdown = &stopCause{askedByShutdown}
)

// attemptOf returns the innermost attempt that ctx belongs to, or nil.
func attemptOf(ctx context.Context) *attempt {
	a, _ := ctx.Value(attemptKey{}).(*attempt)
	return a
}

// ownAttempt returns the attempt of e that ctx belongs to, and that is not
// over; nil when there is none.
func (e *Executor) ownAttempt(ctx context.Context) *attempt {
	a, _ := ctx.Value(ownKey{e}).(*attempt)
	return a
}

// lasts reports whether the attempt is one, and not over.
func (a *attempt) lasts() bool { return a != nil && !a.over.Load() }

// real returns the cancelable context, which it makes the first time.
func (a *attempt) real() *realContext {
	if r := a.made.Load(); r != nil {
		return r
	}
	ctx, cancel := context.WithCancelCause(a.t.ctx)
	return a.install(&realContext{ctx, cancel})
}

func (a *attempt) install(r *realContext) *realContext {
	if !a.made.CompareAndSwap(nil, r) {
		r.cancel(nil)
		return a.made.Load()
	}
	if cause := a.stopped.Load(); cause != nil {
		r.cancel(cause.err)
	}
	return r
}

// limit gives the attempt a deadline. It is called before the function is.
func (a *attempt) limit(d time.Duration) {
	parent, cancel := context.WithCancelCause(a.t.ctx)
	ctx, release := context.WithTimeout(parent, d)
	a.install(&realContext{ctx, func(cause error) {
		cancel(cause)
		release()
	}})
}

// stop cancels the context with the cause, unless it was stopped before.
func (a *attempt) stop(cause *stopCause) {
	a.stopped.CompareAndSwap(nil, cause)
	if r := a.made.Load(); r != nil {
		r.cancel(a.stopped.Load().err)
	}
}

// canceled reports whether the task's own cancellation was asked for.
func (a *attempt) canceled() bool {
	cause := a.stopped.Load()
	return cause != nil && cause != attemptOver
}

// hasEnded reports whether the real context, made now, would be canceled.
func (a *attempt) hasEnded() bool {
	return a.stopped.Load() != nil || a.t.ctx.Err() != nil
}

// Deadline implements [context.Context].
func (a *attempt) Deadline() (time.Time, bool) {
	if r := a.made.Load(); r != nil {
		return r.Deadline()
	}
	return a.t.ctx.Deadline()
}

// Done implements [context.Context].
func (a *attempt) Done() <-chan struct{} { return a.real().Done() }

// Err implements [context.Context].
func (a *attempt) Err() error {
	if r := a.made.Load(); r != nil {
		return r.Err()
	}
	if a.hasEnded() {
		return a.real().Err() // which keeps the answer the same from now on
	}
	return nil
}

// Value implements [context.Context]. Keys that aren't ours go to the real
// context once there is one: package context finds its own type through such
// a key, and then derives from it without a goroutine and knows its cause.
func (a *attempt) Value(key any) any {
	switch k := key.(type) {
	case attemptKey:
		return a
	case ownKey:
		if k.e == a.t.e && !a.over.Load() {
			return a
		}
		return a.t.ctx.Value(key)
	}
	if r := a.made.Load(); r != nil {
		return r.Value(key)
	}
	if a.hasEnded() {
		return a.real().Value(key)
	}
	return a.t.ctx.Value(key)
}

// String describes the context for humans.
func (a *attempt) String() string {
	// Printing any other context would read what its methods guard.
	parent := fmt.Sprintf("%T", a.t.ctx)
	if s, ok := a.t.ctx.(fmt.Stringer); ok {
		parent = s.String()
	}
	return fmt.Sprintf("%s.WithTask(%d)", parent, a.t.id)
}

// A scope is the tasks of an executor that wait under one context, or several
// that end together: those with one Done channel. All are told by a single
// function when it ends, and each leaves the list in constant time. The tasks
// under contexts that never end have a scope as well, so that all waiting
// tasks are found.
//
// From its making to the end of its function, or to its successful stop, a
// scope counts among the active.
type scope struct {
	e       *Executor
	key     <-chan struct{}
	ctx     context.Context
	members *task // through scopeNext
	dead    bool  // empty, and out of e.scopes
	stop    func() bool
}

// scopeLocked puts a waiting task into its scope, if it isn't there.
func (e *Executor) scopeLocked(t *task) {
	if t.scope != nil {
		return
	}
	sc := e.recent
	if sc == nil || sc.dead || sc.key != t.done {
		sc = e.scopes[t.done]
	}
	if sc == nil {
		sc = &scope{e: e, key: t.done}
		e.scopes[t.done] = sc
		if t.done != nil {
			sc.ctx = t.ctx
			e.active.Add(1)
			e.later.starts = append(e.later.starts, sc)
			e.later.any = true
		}
	}
	e.recent = sc
	t.scope, t.scopeNext = sc, sc.members
	if sc.members != nil {
		sc.members.scopePrev = t
	}
	sc.members = t
}

// unscopeLocked takes t out of its scope, and ends an empty one.
func (e *Executor) unscopeLocked(t *task) {
	sc := t.scope
	if sc == nil {
		return
	}
	if t.scopePrev != nil {
		t.scopePrev.scopeNext = t.scopeNext
	} else {
		sc.members = t.scopeNext
	}
	if t.scopeNext != nil {
		t.scopeNext.scopePrev = t.scopePrev
	}
	t.scope, t.scopePrev, t.scopeNext = nil, nil, nil
	if sc.members != nil || sc.dead {
		return
	}
	e.endScopeLocked(sc)
	if sc.stop != nil {
		e.later.stops = append(e.later.stops, sc)
		e.later.any = true
	}
}

func (e *Executor) endScopeLocked(sc *scope) {
	sc.dead = true
	delete(e.scopes, sc.key)
	if e.recent == sc {
		e.recent = nil
	}
}

// start asks to be told of the context's end. The scope may have emptied
// before; then it is for start to stop it, since nobody else could.
func (sc *scope) start() {
	stop := context.AfterFunc(sc.ctx, sc.sweep)
	sc.e.mu.Lock()
	dead := sc.dead
	sc.stop = stop
	sc.e.unlock()
	if dead && stop() {
		sc.e.leave()
	}
}

// sweep cancels all tasks of a scope whose context has ended.
func (sc *scope) sweep() {
	e := sc.e
	defer e.leave()
	e.mu.Lock()
	if sc.dead {
		e.unlock()
		return
	}
	e.endScopeLocked(sc)
	out := sc.tasks(nil, func(*task) bool { return true })
	slices.Reverse(out)
	for _, t := range out {
		e.leaveLocked(t)
		e.totals.canceled++
	}
	e.dispatchLocked()
	e.unlock()
	e.cancelAll(out, nil)
}

// tasks appends the members that keep accepts, latest first.
func (sc *scope) tasks(out []*task, keep func(*task) bool) []*task {
	for t := sc.members; t != nil; t = t.scopeNext {
		if keep(t) {
			out = append(out, t)
		}
	}
	return out
}

// waitingLocked returns the waiting tasks that keep accepts, in the order of
// submission.
func (e *Executor) waitingLocked(keep func(*task) bool) []*task {
	var out []*task
	for _, sc := range e.scopes {
		out = sc.tasks(out, keep)
	}
	slices.SortFunc(out, func(a, b *task) int { return cmp.Compare(a.id, b.id) })
	return out
}
