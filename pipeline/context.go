package pipeline

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/option"
)

// A callContext is the context of one call of a stage's function. What it says is
// what the context of the executor's task says, under it, and on top of that it
// has the item's identity and an end of its own: many items may be carried by one
// task. It doesn't know the item itself, which is used again for others while
// the function may keep the context.
//
// As with an attempt of the root package, a real context is only made when
// somebody asks for Done. Making it and ending the call meet as in Dekker's
// algorithm: real makes it visible and then looks at ended; end does it the
// other way round.
type callContext struct {
	*callTask
	def *stageDef
	id  uint64
	*lineage
	made    atomic.Pointer[realContext]
	ended   atomic.Bool
	attempt int32
}

// A callTask is what the calls of one task of the executor have in common.
type callTask struct {
	e    *engine
	task context.Context
}

type realContext struct {
	context.Context
	cancel context.CancelCauseFunc
}

type (
	itemKey    struct{}            // its value: the innermost *callContext
	ownItemKey struct{ e *engine } // the same of that run
)

var callOver error = sentinel("the call of the stage's function is over")

// end ends the context since the call is over.
func (c *callContext) end() {
	c.ended.Store(true)
	if r := c.made.Load(); r != nil {
		r.cancel(callOver)
	}
}

// limit gives the context a deadline. It is called before the function is.
func (c *callContext) limit(d time.Duration) {
	parent, cancel := context.WithCancelCause(c.task)
	ctx, release := context.WithTimeout(parent, d)
	c.made.Store(&realContext{ctx, func(cause error) {
		cancel(cause)
		release()
	}})
}

// cancel ends the context with a cause.
func (c *callContext) cancel(cause error) { c.real().cancel(cause) }

// real returns the cancelable context, which it makes the first time.
func (c *callContext) real() *realContext {
	if r := c.made.Load(); r != nil {
		return r
	}
	ctx, cancel := context.WithCancelCause(c.task)
	r := &realContext{ctx, cancel}
	if !c.made.CompareAndSwap(nil, r) {
		cancel(nil)
		return c.made.Load()
	}
	if c.ended.Load() {
		cancel(callOver)
	}
	return r
}

// Deadline implements [context.Context].
func (c *callContext) Deadline() (time.Time, bool) {
	if r := c.made.Load(); r != nil {
		return r.Deadline()
	}
	return c.task.Deadline()
}

// Done implements [context.Context].
func (c *callContext) Done() <-chan struct{} { return c.real().Done() }

// Err implements [context.Context].
func (c *callContext) Err() error {
	if r := c.made.Load(); r != nil {
		return r.Err()
	}
	if c.hasEnded() {
		return c.real().Err() // which keeps the answer the same from now on
	}
	return nil
}

// fedErr is the error of the context that the item was fed with.
func (c *callContext) fedErr() error {
	if l := c.lineage; l != nil && l.origin != nil && l.origin.ctx != nil {
		return l.origin.ctx.Err()
	}
	return nil
}

// hasEnded reports whether the real context, made now, would be canceled.
func (c *callContext) hasEnded() bool { return c.ended.Load() || c.task.Err() != nil }

// Value implements [context.Context]. The item's own values come first. Keys
// of package context go to the real context once there is one, so that what is
// derived from this one registers there.
func (c *callContext) Value(key any) any {
	switch k := key.(type) {
	case itemKey:
		return c
	case ownItemKey:
		if k.e == c.e {
			return c
		}
	case option.TaskInfo:
		info, ok := c.task.Value(key).(*antflow.TaskInfo)
		if !ok {
			return nil
		}
		own := *info
		own.Name, own.Attempt = c.def.taskName, int(c.attempt)
		return &own
	}
	if l := c.lineage; l != nil && l.values != nil {
		if v := l.values.Value(key); v != nil {
			return v
		}
	}
	if c.made.Load() != nil || c.hasEnded() {
		return c.real().Value(key)
	}
	return c.task.Value(key)
}

// String describes the context for humans.
func (c *callContext) String() string {
	parent := fmt.Sprintf("%T", c.task)
	if s, ok := c.task.(fmt.Stringer); ok {
		parent = s.String()
	}
	return fmt.Sprintf("%s.WithItem(%d)", parent, c.id)
}

// ItemFrom returns the item that a stage's function was called for with ctx, or
// one that ctx is derived from; false when there is none. It does not block.
func ItemFrom(ctx context.Context) (Item, bool) {
	must(ctx != nil, "ItemFrom(nil): the context must not be nil")
	c, ok := ctx.Value(itemKey{}).(*callContext)
	if !ok {
		return Item{}, false
	}
	return c.identity(c.id), true
}

// A Call tells a stage's function what it was called for.
type Call struct {
	Item    Item
	Stage   string
	Attempt int // 1 for the first
}

// CallFrom is [ItemFrom] with the stage, and with which attempt it is. What
// [antflow.TaskFrom] tells is the same but for the ID: the task may be one that
// does the calls of many items.
func CallFrom(ctx context.Context) (Call, bool) {
	must(ctx != nil, "CallFrom(nil): the context must not be nil")
	c, ok := ctx.Value(itemKey{}).(*callContext)
	if !ok {
		return Call{}, false
	}
	return Call{Item: c.identity(c.id), Stage: c.def.name, Attempt: int(c.attempt)}, true
}
