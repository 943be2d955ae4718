package pipeline

import (
	"context"
	"fmt"
	"math"
	"sync"
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
// somebody asks for Done. Making it and ending the call meet in state: real
// makes it visible there and then looks whether the call has ended; end does it
// the other way round.
//
// There is one for each call, and whoever keeps it may do so for ever, so what
// calls of one task have in common, and what few have, is in calls.
type callContext struct {
	*calls
	id    uint64
	where uint32        // the index in calls, and above that the one of the stage
	state atomic.Uint32 // callEnded, callMade, and above that the attempt
}

const (
	callEnded = 1 << iota // the call is over
	callMade              // there is a real context
	callAttempt
)

// callsFor returns the calls of a task, with an item's among them.
func callsFor(e *engine, task context.Context, it *item) *calls {
	cs := &calls{e: e, task: task}
	if it.lineage != nil {
		cs.lines = new([mostCalls]*lineage)
	}
	return cs
}

// calls are up to mostCalls calls of one task of the executor.
type calls struct {
	e     *engine
	task  context.Context
	lines *[mostCalls]*lineage // nil: none of the items has one

	mu   sync.Mutex
	real *[mostCalls]*realContext // guarded by mu, but for those with callMade, which stay
}

const mostCalls = 16

type realContext struct {
	context.Context
	cancel context.CancelCauseFunc
}

type (
	itemKey    struct{}            // its value: the innermost *callContext
	ownItemKey struct{ e *engine } // the same of that run
)

var callOver error = sentinel("the call of the stage's function is over")

// init makes c, which is blank, the context of an attempt for an item at a
// stage.
func (c *callContext) init(cs *calls, index int, it *item, pool int, attempt int32) {
	c.calls, c.id = cs, it.id
	c.where = uint32(pool)*mostCalls + uint32(index)
	c.state.Store(uint32(min(attempt, math.MaxInt32/callAttempt)) * callAttempt)
	if it.lineage != nil {
		cs.lines[index] = it.lineage
	}
}

func (c *callContext) index() int { return int(c.where % mostCalls) }

func (c *callContext) def() *stageDef { return c.e.plan.pools[c.where/mostCalls] }

func (c *callContext) attempt() int { return int(c.state.Load() / callAttempt) }

func (c *callContext) lineage() *lineage {
	if c.lines == nil {
		return nil
	}
	return c.lines[c.index()]
}

// item is the identity of the item that the call is for.
func (c *callContext) item() Item { return c.lineage().identity(c.id) }

// end ends the context since the call is over.
func (c *callContext) end() {
	if c.state.Or(callEnded)&callMade != 0 {
		c.real[c.index()].cancel(callOver)
	}
}

// ended reports whether the call is over.
func (c *callContext) ended() bool { return c.state.Load()&callEnded != 0 }

// limit gives the context a deadline. It is called before the function is.
func (c *callContext) limit(d time.Duration) {
	parent, cancel := context.WithCancelCause(c.task)
	ctx, release := context.WithTimeout(parent, d)
	c.keep(&realContext{ctx, func(cause error) {
		cancel(cause)
		release()
	}})
}

// cancel ends the context with a cause.
func (c *callContext) cancel(cause error) { c.cancelable().cancel(cause) }

// made returns the real context, or nil if there is none.
func (c *callContext) made() *realContext {
	if c.state.Load()&callMade == 0 {
		return nil
	}
	return c.real[c.index()]
}

// cancelable returns the real context, which it makes the first time.
func (c *callContext) cancelable() *realContext {
	if r := c.made(); r != nil {
		return r
	}
	ctx, cancel := context.WithCancelCause(c.task)
	return c.keep(&realContext{ctx, cancel})
}

// keep makes r the real context, unless there is one, and returns that.
func (c *callContext) keep(r *realContext) *realContext {
	c.mu.Lock()
	if c.real == nil {
		c.real = new([mostCalls]*realContext)
	}
	at := &c.real[c.index()]
	if *at != nil {
		was := *at
		c.mu.Unlock()
		r.cancel(nil)
		return was
	}
	*at = r
	c.mu.Unlock()
	if c.state.Or(callMade)&callEnded != 0 {
		r.cancel(callOver)
	}
	return r
}

// Deadline implements [context.Context].
func (c *callContext) Deadline() (time.Time, bool) {
	if r := c.made(); r != nil {
		return r.Deadline()
	}
	return c.task.Deadline()
}

// Done implements [context.Context].
func (c *callContext) Done() <-chan struct{} { return c.cancelable().Done() }

// Err implements [context.Context].
func (c *callContext) Err() error {
	if r := c.made(); r != nil {
		return r.Err()
	}
	if c.hasEnded() {
		return c.cancelable().Err() // which keeps the answer the same from now on
	}
	return nil
}

// fedErr is the error of the context that the item was fed with.
func (c *callContext) fedErr() error {
	if l := c.lineage(); l != nil && l.origin != nil && l.origin.ctx != nil {
		return l.origin.ctx.Err()
	}
	return nil
}

// hasEnded reports whether the real context, made now, would be canceled.
func (c *callContext) hasEnded() bool { return c.ended() || c.task.Err() != nil }

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
	case option.Status:
		return (*statusOf)(c)
	case option.TaskInfo:
		info, ok := c.task.Value(key).(*antflow.TaskInfo)
		if !ok {
			return nil
		}
		own := *info
		own.Name, own.Attempt = c.def().taskName, c.attempt()
		return &own
	}
	if l := c.lineage(); l != nil && l.values != nil {
		if v := l.values.Value(key); v != nil {
			return v
		}
	}
	if c.made() != nil || c.hasEnded() {
		return c.cancelable().Value(key)
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
	return c.item(), true
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
	return Call{Item: c.item(), Stage: c.def().name, Attempt: c.attempt()}, true
}
