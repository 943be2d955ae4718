package antflow

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
)

// A batch is what the tasks of one group or map have in common. The second
// block is guarded by e.mu.
type batch struct {
	*terms
	e      *Executor
	owner  *attempt // of the task that it was made in, whose slot its waits lend
	nested bool     // that is a task of e
	typed  typed    // makes its tasks
	lights bool     // they may be light
	counts bool     // those that succeed are only counted
	fn     any      // the user's function, where it is one for all tasks
	fed    bool     // its Submits come from a goroutine of its own, not the owner's

	limit   int // MaxConcurrency, or 0
	used    int // places that are taken
	gated   indexed[*task]
	queued  indexed[*task] // the queued ones once more, if nested
	waiting []*boost       // of the waits for it
}

// setContext gives b the context of its tasks and what makes them.
func (b *batch) setContext(ctx context.Context, s typed) {
	b.ctx, b.done, b.typed = ctx, ctx.Done(), s // the terms are not shared yet
	b.lights = !b.nested && b.limit == 0 && !b.spec.waits() && b.spec.timeout == 0
}

func (b *batch) init(ctx context.Context, e *Executor, bs *batchSpec) {
	b.e = e
	b.terms = &terms{spec: &bs.task}
	b.owner = attemptOf(ctx)
	b.nested = b.owner != nil && b.owner.t.spec.e == e
	b.limit = bs.concurrency
	if b.limit > 0 {
		b.gated = taskHeap()
	}
	if b.nested {
		b.queued = indexed[*task]{before: startsBefore, pos: func(t *task) *int32 { return &t.extra().overlay }}
	}
}

// newLease prepares a wait for the batch by the task that it was made in.
func (b *batch) newLease() *lease {
	if b.nested {
		return b.owner.newLease(&boost{batch: b})
	}
	return b.owner.newLease(nil)
}

// groupSpec applies the options of a group to the executor's defaults.
func (e *Executor) groupSpec(name string, opts []GroupOption) *batchSpec {
	bs := &batchSpec{task: e.defaults}
	for i, o := range opts {
		must(o != nil, "%s: nil GroupOption at index %d", name, i)
		o.applyGroup(bs)
	}
	return bs
}

// A Group is a set of tasks that succeed or fail together: the first failure
// cancels the others. Make one with [NewGroup]. Its methods are safe for
// concurrent use, by its own tasks as well.
type Group struct {
	batch
	cancel  context.CancelCauseFunc
	collect bool

	// Who adds and who settles write to different places, and settling reads
	// nothing that adding writes, unless somebody waits. A Wait says so and
	// then looks at the counts; the last to settle does it the other way
	// round.
	added   atomic.Int64
	_       [64]byte
	ended   atomic.Int64
	_       [64]byte
	waiting atomic.Bool

	mu     sync.Mutex // a leaf
	first  error
	errs   []groupError  // all of them, under CollectErrors
	idle   chan struct{} // made by a Wait, closed when pending gets 0
	leases []*lease      // of the Waits, which that ends
}

type groupError struct {
	id  uint64
	err error
}

var groupSpent = plainError("the group was waited for")

// NewGroup returns an empty group on e. Its tasks get a context derived from
// ctx, which ends with the first failure, its cause being that, and when Wait
// returns. Options for tasks apply to each one. A nil ctx, e or option
// panics.
func NewGroup(ctx context.Context, e *Executor, opts ...GroupOption) *Group {
	must(ctx != nil, "NewGroup: the context must not be nil")
	must(e != nil, "NewGroup: the executor must not be nil")
	bs := e.groupSpec("NewGroup", opts)
	g := &Group{collect: bs.collect}
	g.batch.init(ctx, e, bs)
	ctx, cancel := context.WithCancelCause(ctx)
	g.cancel = cancel
	g.setContext(ctx, g)
	g.counts = true
	return g
}

type groupTask struct {
	task
	g  *Group
	fn func(context.Context) error
}

func (t *groupTask) invoke(ctx context.Context) error { return t.fn(ctx) }
func (t *groupTask) drop()                            { t.fn = nil }
func (t *groupTask) settled()                         { t.g.settled(&t.task) }
func (t *groupTask) function() (any, bool)            { return t.fn, true }

// Go adds a task to the group. It blocks only while a [QueueLimit] is reached,
// never for [MaxConcurrency]; see [NonBlocking]. A task that can't run, since
// the group has failed, was waited for, or the executor is shut down, is a
// failure that [Group.Wait] returns.
//
// The group's own tasks may call Go. It submits with the group's context and
// not with theirs, though: it is refused once the executor is shut down, and
// at a QueueLimit it blocks them, slot and all. Work that a task adds to a
// bounded executor belongs into a group made with the task's own context.
//
// The options win over the group's. A nil fn or option panics.
func (g *Group) Go(fn func(context.Context) error, opts ...TaskOption) {
	must(fn != nil, "Group.Go(nil): the function must not be nil")
	if len(opts) == 0 {
		g.added.Add(1)
		g.submit(groupFn(fn))
		return
	}
	sp, above := g.e.specOf(g.spec, opts)
	g.added.Add(1)
	t, r := g.heavy(groupFn(fn))
	t.above = above
	g.e.submit(g.e.termsOf(g.ctx, sp), t, r, &g.batch)
}

// A function for [Group.Go], as the reference of a light task.
type groupFn func(context.Context) error

func (g *Group) call(ctx context.Context, ref any) error { return ref.(groupFn)(ctx) }
func (g *Group) succeeded(_ any, n int)                  { g.less(n) }
func (g *Group) heavy(ref any) (*task, runner) {
	t := &groupTask{g: g, fn: ref.(groupFn)}
	return &t.task, t
}

func (g *Group) settled(t *task) {
	if t.error() != nil {
		g.failed(t)
	}
	g.less(1)
}

// less counts n settled tasks.
func (g *Group) less(n int) {
	// What is added after ended was counted can only make it wait longer.
	if ended := g.ended.Add(int64(n)); !g.waiting.Load() || ended < g.added.Load() {
		return
	}
	g.mu.Lock()
	idle, leases := g.idle, g.leases
	g.idle, g.leases = nil, nil
	g.mu.Unlock()
	for _, l := range leases {
		l.resume()
	}
	if idle != nil {
		close(idle)
	}
}

// failed notes the error of a task. The first one cancels the others, unless
// all are collected.
func (g *Group) failed(t *task) {
	g.mu.Lock()
	first := g.first == nil && !g.collect
	if first {
		g.first = t.error()
	}
	if g.collect {
		g.errs = append(g.errs, groupError{t.id, t.error()})
	}
	g.mu.Unlock()
	if first {
		g.cancel(t.error())
	}
}

// Wait blocks until every task of the group has settled and returns the first
// error in time, which has canceled the others; under [CollectErrors] all of
// them joined, in the order of submission. The group is spent then: its
// context has ended. In the task that made the group with its context, Wait
// lends the slot while it blocks. It may be called more than once, but not by
// the group's own tasks, which it would wait for.
func (g *Group) Wait() error {
	g.mu.Lock()
	var idle chan struct{}
	l := g.newLease()
	g.waiting.Store(true)
	if g.ended.Load() < g.added.Load() {
		if l != nil {
			g.leases = append(g.leases, l)
		}
		if g.idle == nil {
			g.idle = make(chan struct{})
		}
		idle = g.idle
	}
	g.mu.Unlock()
	if idle != nil {
		l.begin()
		<-idle
		l.end()
	}
	g.cancel(groupSpent)
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.collect {
		return g.first
	}
	slices.SortFunc(g.errs, func(a, b groupError) int { return cmp.Compare(a.id, b.id) })
	errs := make([]error, len(g.errs))
	for i, x := range g.errs {
		errs[i] = x.err
	}
	return errors.Join(errs...)
}
