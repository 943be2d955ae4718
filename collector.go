package antflow

import (
	"context"
	"sync"
	"sync/atomic"
)

// A collector is told of each future that it has a node at. It either counts
// towards a goal, for Wait, or keeps the indexes of the nodes in the order of
// completion, for AsCompleted.
type collector struct {
	wake  chan struct{} // of capacity 1: there is news
	lends bool          // it is a task that waits
	queue bool          // it keeps what is done

	// Of one that counts.
	goal    goal
	done    atomic.Int64 // futures, with those that were done at the start
	reached atomic.Bool

	lease *lease // of the wait in progress, which news ends; guarded by mu, or fixed

	// Of one that keeps what is done.
	mu      sync.Mutex // a leaf
	waiting bool       // for the next
	ready   []int
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

// complete notes that the future of n is done, in state s. It is called once
// at most for each node, also after the collector lost interest.
func (c *collector) complete(n *node, s State) {
	if c.queue {
		c.push(n.index)
		return
	}
	if c.done.Add(1) < int64(c.goal.done) && !(c.goal.failed && s == StateFailed) && !(c.goal.success && s == StateSucceeded) {
		return
	}
	if c.reached.CompareAndSwap(false, true) {
		c.lease.resume()
		signal(c.wake)
	}
}

// push queues an index for AsCompleted.
func (c *collector) push(index int) {
	c.mu.Lock()
	c.ready = append(c.ready, index)
	var l *lease
	news := c.waiting
	if news {
		l, c.lease, c.waiting = c.lease, nil, false
	}
	c.mu.Unlock()
	if news {
		l.resume()
		signal(c.wake)
	}
}

// take takes all indexes there are, in the order of completion, and leaves the
// room of used for the next ones. While there is none, the next to come wakes
// the collector and resumes l.
func (c *collector) take(used []int, l *lease) []int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = len(c.ready) == 0
	if c.waiting {
		c.lease = l
		return used[:0]
	}
	c.lease = nil
	ready := c.ready
	c.ready = used[:0]
	return ready
}

// signal leaves a message in a channel of capacity 1, if there is none.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// tasked is a future, or a task itself.
type tasked interface{ asTask() *task }

func (t *task) asTask() *task { return t }

// watch registers the futures, all nodes in one allocation, and notes those
// that are done by now.
func watch[F tasked](c *collector, futures []F) []node {
	nodes := make([]node, len(futures))
	for i, f := range futures {
		t, n := f.asTask(), &nodes[i]
		n.c, n.index = c, i
		if !t.register(n) {
			c.complete(n, t.State())
		}
	}
	return nodes
}

// unwatch leaves nothing of the collector on the futures.
func unwatch[F tasked](nodes []node, futures []F) {
	for i := range nodes {
		n := &nodes[i]
		if n.index < 0 {
			continue
		}
		if t := futures[i].asTask(); !t.settledState() {
			t.unregister(n)
		}
	}
}

// boostOf makes the boost for a wait of a on the futures that have not
// been yielded.
func boostOf[F tasked](a *attempt, nodes []node, futures []F) *boost {
	if a == nil {
		return nil
	}
	var tasks []*task
	for i := range nodes {
		if nodes[i].index >= 0 {
			tasks = append(tasks, futures[i].asTask())
		}
	}
	return a.boostFor(tasks)
}

// awaitGoal blocks until the goal is reached or ctx ends; done futures count
// towards it already. It leaves it to the caller to end the lease.
func awaitGoal[F tasked](ctx context.Context, futures []F, done int, g goal) *lease {
	a := attemptOf(ctx)
	c := &collector{wake: make(chan struct{}, 1), lends: a != nil, goal: g}
	if a != nil {
		tasks := make([]*task, len(futures))
		for i, f := range futures {
			tasks[i] = f.asTask()
		}
		c.lease = a.newLease(a.boostFor(tasks))
	}
	c.done.Store(int64(done))
	nodes := watch(c, futures)
	defer func() {
		if c.done.Load() < int64(done+len(nodes)) {
			unwatch(nodes, futures)
		}
	}()
	c.lease.begin()
	select {
	case <-c.wake:
	case <-ctx.Done():
	}
	return c.lease
}
