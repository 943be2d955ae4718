package antflow

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/antflow/antflow/internal/option"
)

// An attempt is one run of a task, and the context that the function gets. A
// real, cancelable context is only made when somebody asks for its Done
// channel; until then the attempt answers for itself out of the task's
// context.
//
// The first attempt of a task is the task itself, as a [firstContext], until
// somebody wants more of it than its values: then task.first gets an attempt,
// or, when the attempt is over, closedAttempt, if nobody has. That is one
// compare-and-swap on both sides, so a worker that has closed an attempt knows
// that nobody lends, cancels or listens to it, and nobody will.
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

	// Guarded by e.mu; for waits and park see lend.go.
	asked *cancelError  // the cancellation that was asked for while it runs
	waits int           // waits in progress that the slot is lent for
	park  chan struct{} // of the one wait that waits for a slot again
}

// closedAttempt stands for all first attempts that ended as nothing but tasks,
// and with them a plain task that succeeded. overAttempt stands for those that
// ended before anybody wanted more of them, with the task yet to be settled or
// retried.
var (
	closedAttempt = new(attempt)
	overAttempt   = new(attempt)
)

// attempt returns the first attempt of t as more than the task.
func (t *task) attempt() *attempt {
	for {
		old := t.first.Load()
		if old.real() {
			return old
		}
		a := &attempt{t: t, number: 1}
		if old != nil {
			a.over.Store(true)
			a.stopped.Store(attemptOver)
		}
		if t.first.CompareAndSwap(old, a) {
			return a
		}
	}
}

// firstAttempt returns what attempt made, or nil.
func (t *task) firstAttempt() *attempt {
	if a := t.first.Load(); a.real() {
		return a
	}
	return nil
}

// real reports whether a is an attempt, and doesn't stand for others.
func (a *attempt) real() bool { return a != nil && a != closedAttempt && a != overAttempt }

// firstContext is a task as the context of its first attempt.
type firstContext task

// Deadline implements [context.Context].
func (c *firstContext) Deadline() (time.Time, bool) {
	if c.first.Load() == nil {
		return c.ctx.Deadline()
	}
	return (*task)(c).attempt().Deadline()
}

// Done implements [context.Context].
func (c *firstContext) Done() <-chan struct{} { return (*task)(c).attempt().Done() }

// Err implements [context.Context].
func (c *firstContext) Err() error {
	if c.first.Load() == nil && c.ctx.Err() == nil {
		return nil
	}
	return (*task)(c).attempt().Err()
}

// Value implements [context.Context].
func (c *firstContext) Value(key any) any {
	switch key.(type) {
	case attemptKey, ownKey:
		return (*task)(c).attempt().Value(key)
	case infoKey:
		return (*task)(c).info(1)
	case statusKey:
		if !c.spec.e.watched.Load() {
			return noStatus{}
		}
		return (*statusOf)((*task)(c).attempt())
	}
	if c.first.Load() == nil && c.ctx.Err() == nil {
		return c.ctx.Value(key)
	}
	return (*task)(c).attempt().Value(key)
}

// String describes the context for humans.
func (c *firstContext) String() string { return contextString(c.ctx, c.id) }

type realContext struct {
	context.Context
	cancel context.CancelCauseFunc
}

type (
	attemptKey struct{}              // its value: the innermost attempt
	infoKey    = option.TaskInfo     // its value: what TaskFrom tells
	statusKey  = option.Status       // its value: what SetStatus sets the status of
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

// context returns the cancelable context, which it makes the first time.
func (a *attempt) context() *realContext {
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
	if a == nil {
		return false
	}
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
func (a *attempt) Done() <-chan struct{} { return a.context().Done() }

// Err implements [context.Context].
func (a *attempt) Err() error {
	if r := a.made.Load(); r != nil {
		return r.Err()
	}
	if a.hasEnded() {
		return a.context().Err() // which keeps the answer the same from now on
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
	case infoKey:
		return a.t.info(a.number)
	case statusKey:
		return (*statusOf)(a)
	case ownKey:
		if k.e == a.t.spec.e && !a.over.Load() {
			return a
		}
		return a.t.ctx.Value(key)
	}
	if r := a.made.Load(); r != nil {
		return r.Value(key)
	}
	if a.hasEnded() {
		return a.context().Value(key)
	}
	return a.t.ctx.Value(key)
}

// String describes the context for humans.
func (a *attempt) String() string { return contextString(a.t.ctx, a.t.id) }

func contextString(ctx context.Context, id uint64) string {
	// Printing any other context would read what its methods guard.
	parent := fmt.Sprintf("%T", ctx)
	if s, ok := ctx.(fmt.Stringer); ok {
		parent = s.String()
	}
	return fmt.Sprintf("%s.WithTask(%d)", parent, id)
}
