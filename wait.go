package antflow

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"
)

// ReturnWhen says when [Wait] returns.
type ReturnWhen int

const (
	AllCompleted   ReturnWhen = iota // every future is done
	FirstCompleted                   // at least one is
	FirstError                       // one has failed, which a cancellation is not; or all are done
	FirstSuccess                     // one has succeeded; or all are done
)

// String returns the constant's name.
func (r ReturnWhen) String() string {
	switch r {
	case AllCompleted:
		return "AllCompleted"
	case FirstCompleted:
		return "FirstCompleted"
	case FirstError:
		return "FirstError"
	case FirstSuccess:
		return "FirstSuccess"
	}
	return fmt.Sprintf("ReturnWhen(%d)", int(r))
}

// Waitable is a *[Future] of any type, for lists of several types. No other
// type implements it.
type Waitable interface {
	Done() <-chan struct{}
	IsDone() bool
	Err() error
	State() State
	Cancel() bool
	ID() uint64
	asTask() *task
}

// A collector is told of each future that it has a node at.
type collector struct {
	wake  chan struct{} // of capacity 1: there is news
	lends bool          // it is a task that waits

	mu    sync.Mutex // a leaf
	goal  goal
	tally tally
	queue bool // keep the completed nodes: AsCompleted
	front *node
	back  *node
	lease *lease // of the wait in progress, which news ends
}

// A tally counts finished futures.
type tally struct{ done, failed, succeeded int }

func (t *tally) add(s State) {
	t.done++
	switch s {
	case StateFailed:
		t.failed++
	case StateSucceeded:
		t.succeeded++
	}
}

// A goal is what a wait waits for.
type goal struct {
	done            int // as many are done
	failed, success bool
}

func (g goal) reached(t tally) bool {
	return t.done >= g.done || g.failed && t.failed > 0 || g.success && t.succeeded > 0
}

// complete notes that the future of n is done. It is called once at most for
// each node, also after the collector lost interest.
func (c *collector) complete(n *node) {
	c.mu.Lock()
	c.tally.add(n.t.State())
	if c.queue {
		n.next = nil
		if c.back != nil {
			c.back.next = n
		} else {
			c.front = n
		}
		c.back = n
	}
	news := c.queue || c.goal.reached(c.tally)
	var l *lease
	if news {
		l, c.lease = c.lease, nil
	}
	c.mu.Unlock()
	if news {
		l.resume()
		signal(c.wake)
	}
}

// popOr takes the next completed node of AsCompleted. While there is none, the
// next to come resumes l.
func (c *collector) popOr(l *lease) *node {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lease = nil
	n := c.front
	if n == nil {
		c.lease = l
	} else {
		c.front = n.next
		if c.front == nil {
			c.back = nil
		}
		n.next = nil
	}
	return n
}

// signal leaves a message in a channel of capacity 1, if there is none.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// watch registers the tasks that aren't done, all nodes in one allocation,
// and notes those that are.
func (c *collector) watch(tasks []*task) []node {
	nodes := make([]node, len(tasks))
	for i, t := range tasks {
		n := &nodes[i]
		n.c, n.t, n.index = c, t, i
		if !t.register(n) {
			c.complete(n)
		}
	}
	return nodes
}

// unwatch leaves nothing of the collector on the futures.
func unwatch(nodes []node) {
	for i := range nodes {
		if n := &nodes[i]; n.t != nil && !n.t.settledState() {
			n.t.unregister(n)
		}
	}
}

// distinct returns the futures without duplicates, and their tasks. Futures
// of one executor in the order of submission, the common case, need no set.
func distinct[F Waitable](name string, futures []F) ([]F, []*task) {
	tasks := make([]*task, len(futures))
	sorted := true
	for i, f := range futures {
		if any(f) != nil {
			tasks[i] = f.asTask()
		}
		t := tasks[i]
		must(t != nil, "%s: the future at index %d is nil", name, i)
		if i > 0 && !t.follows(tasks[i-1]) {
			sorted = false
		}
	}
	if sorted {
		return futures, tasks
	}
	seen := make(map[*task]struct{}, len(tasks))
	kept, keptTasks := make([]F, 0, len(futures)), tasks[:0]
	for i, t := range tasks {
		if _, twice := seen[t]; !twice {
			seen[t] = struct{}{}
			kept, keptTasks = append(kept, futures[i]), append(keptTasks, t)
		}
	}
	return kept, keptTasks
}

// follows reports whether t is of the same executor as u and was submitted
// later.
func (t *task) follows(u *task) bool {
	return t.spec != nil && u.spec != nil && t.spec.e == u.spec.e && t.id > u.id
}

// Wait blocks until the condition of when holds for the futures, or ctx ends,
// and returns which are done and which are not, both in the order of the
// input; duplicates count once. When ctx ends before the condition holds, err
// is a [*WaitError] and the lists are the true split all the same, so an ended
// ctx polls. Nothing is canceled. An empty list returns at once. Called with a
// task's context it lends the task's slot while it blocks.
//
// It costs O(n), starts no goroutine, and leaves nothing on the futures. A nil
// ctx or future and an unknown when panic. It is concurrent.futures' wait.
func Wait[F Waitable](ctx context.Context, futures []F, when ReturnWhen) (done, pending []F, err error) {
	must(ctx != nil, "Wait: the context must not be nil")
	must(when >= AllCompleted && when <= FirstSuccess, "Wait: unknown %v", when)
	fs, tasks := distinct("Wait", futures)
	g := goal{done: len(fs), failed: when == FirstError, success: when == FirstSuccess}
	if when == FirstCompleted {
		g.done = min(1, len(fs))
	}
	return waitFor(ctx, fs, tasks, g)
}

// WaitN is [Wait] until n futures are done. n ≤ 0 returns at once, and an n
// larger than the list means all.
func WaitN[F Waitable](ctx context.Context, futures []F, n int) (done, pending []F, err error) {
	must(ctx != nil, "WaitN: the context must not be nil")
	fs, tasks := distinct("WaitN", futures)
	return waitFor(ctx, fs, tasks, goal{done: max(0, min(n, len(fs)))})
}

func waitFor[F Waitable](ctx context.Context, fs []F, tasks []*task, g goal) (done, pending []F, err error) {
	done, pending, tally := split(fs)
	if g.reached(tally) {
		return done, pending, nil
	}
	if ctx.Err() == nil {
		l := awaitGoal(ctx, tasks, g)
		done, pending, tally = split(fs) // decided before the slot is taken back
		l.end()
	}
	if !g.reached(tally) {
		err = waitErr(ctx, fmt.Sprintf("%d of %s unfinished", len(pending), plural(len(fs), "future")))
	}
	return done, pending, err
}

// split looks at each future once.
func split[F Waitable](fs []F) (done, pending []F, t tally) {
	for _, f := range fs {
		if s := f.State(); s.final() {
			t.add(s)
			done = append(done, f)
		} else {
			pending = append(pending, f)
		}
	}
	return done, pending, t
}

// awaitGoal blocks until the tasks reach the goal or ctx ends. It leaves it to
// the caller to end the lease.
func awaitGoal(ctx context.Context, tasks []*task, g goal) *lease {
	a := attemptOf(ctx)
	l := a.newLease(a.boostFor(tasks))
	c := &collector{wake: make(chan struct{}, 1), lends: a != nil, goal: g, lease: l}
	nodes := c.watch(tasks)
	defer unwatch(nodes)
	l.begin()
	select {
	case <-c.wake:
	case <-ctx.Done():
	}
	return l
}

// AsCompleted returns an iterator over the futures in the order in which they
// finish, those already done first, each once. It blocks for the next one.
// When ctx ends first it yields what is done by then and at last a nil future
// with a [*WaitError] that tells how many were left. Nothing is canceled, and
// leaving the loop early leaves nothing behind. Called with a task's context
// it lends the task's slot while it blocks, and has one again in the loop's
// body.
//
// It costs O(n) in all and starts no goroutine. The iterator may be ranged
// over again. A nil ctx or future panics. It is concurrent.futures'
// as_completed, with one deadline for the whole.
func AsCompleted[F Waitable](ctx context.Context, futures []F) iter.Seq2[F, error] {
	must(ctx != nil, "AsCompleted: the context must not be nil")
	fs, tasks := distinct("AsCompleted", futures)
	if len(fs) > 0 && &fs[0] == &futures[0] {
		fs = slices.Clone(fs) // the caller may change its list in the loop
	}
	return func(yield func(F, error) bool) {
		// What has been yielded is dropped from the copies of this range.
		ctx, fs, tasks, yield := ctx, slices.Clone(fs), slices.Clone(tasks), yield
		c := &collector{wake: make(chan struct{}, 1), lends: attemptOf(ctx) != nil, queue: true}
		nodes := c.watch(tasks)
		defer unwatch(nodes)
		var b *boost
		for left := len(fs); left > 0; left-- {
			n := c.popOr(nil)
			if n == nil {
				n = c.wait(ctx, tasks, &b)
			}
			if n == nil {
				var none F
				detail := fmt.Sprintf("%d of %s unfinished", left, plural(len(fs), "future"))
				yield(none, waitErr(ctx, detail))
				return
			}
			f := fs[n.index]
			var none F
			n.t, tasks[n.index], fs[n.index] = nil, nil, none
			if !yield(f, nil) {
				return
			}
		}
	}
}

// wait blocks until there is a completed node, or ctx ends. The boost is made
// for the first wait and used again in the ones that follow, which would
// otherwise cost O(n) each.
func (c *collector) wait(ctx context.Context, tasks []*task, b **boost) *node {
	if ctx.Err() != nil {
		return nil
	}
	a := attemptOf(ctx)
	if *b == nil {
		*b = a.boostFor(tasks)
	}
	l := a.newLease(*b)
	defer l.end()
	if n := c.popOr(l); n != nil {
		return n
	}
	l.begin()
	for {
		select {
		case <-c.wake: // perhaps left over from a node that was popped without a wait
		case <-ctx.Done():
			return c.popOr(nil)
		}
		if n := c.popOr(l); n != nil {
			return n
		}
	}
}
