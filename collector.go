package antflow

import (
	"context"
	"sync"
	"sync/atomic"
)

// A collector is told of each future that it has a seat or a node at. It either
// counts towards a goal, for Wait, or keeps the indexes of those that are done
// in the order of completion, for AsCompleted; or else it waits for one future
// and nothing besides, for Result.
type collector struct {
	wake  chan struct{} // of capacity 1: there is news
	lends bool          // it is a task that waits
	lease *lease        // of the wait in progress, which news ends; guarded by mu if queue, else fixed
	queue bool          // it keeps what is done

	// Of one that counts.
	goal    goal
	done    atomic.Int64 // futures, with those that were done at the start
	reached atomic.Bool

	// Of one that keeps what is done.
	mu      sync.Mutex // a leaf
	waiting bool       // for the next
	ready   []int

	// Of one that waits for a single future; see park.
	parks  bool
	parked sync.Cond // of mu
	told   bool      // guarded by mu

	// The waiting goroutine's own.
	shared  seat    // at all futures, where they are only counted
	seats   []seat  // one for each future, where they are kept
	nodes   []*node // for futures whose seats were taken; nil if there is none
	yielded []bool  // by AsCompleted, which has dropped those futures
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

// complete notes that the future at index is done, in state s. It is called
// once at most for each, also after the collector lost interest.
func (c *collector) complete(index int, s State) {
	switch {
	case c.parks:
		c.mu.Lock()
		c.told = true
		c.parked.Signal() // under mu, or it might come late and wake the next who parks
		c.mu.Unlock()
		return
	case c.queue:
		c.push(index)
		return
	}
	reached := c.done.Add(1) >= int64(c.goal.done) ||
		c.goal.failed && s == StateFailed || c.goal.success && s == StateSucceeded
	if reached && c.reached.CompareAndSwap(false, true) {
		c.lease.resume()
		signal(c.wake)
	}
}

// parking are collectors that wait for a single future, and are used again: each
// is told exactly once of a future that it registered with, and its seat never
// changes. It waits by a condition and not by a channel, which would belong to
// the bubble of testing/synctest that it was made in.
var parking = sync.Pool{New: func() any {
	c := &collector{parks: true}
	c.parked.L = &c.mu
	c.shared.c = c
	return c
}}

// park blocks until t is done, whatever else happens.
func (t *task) park() {
	c := parking.Get().(*collector)
	if _, ok := t.register(&c.shared, 0); ok {
		c.mu.Lock()
		for !c.told {
			c.parked.Wait()
		}
		c.told = false
		c.mu.Unlock()
	}
	parking.Put(c)
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

// watch registers with the futures and notes those that are done by now.
func watch[F tasked](c *collector, futures []F) {
	if c.queue {
		c.seats = make([]seat, len(futures))
		c.yielded = make([]bool, len(futures))
	} else {
		c.shared.c = c
	}
	for i, f := range futures {
		s := c.seat(i)
		if c.queue {
			s.c, s.index = c, i
		}
		t := f.asTask()
		n, ok := t.register(s, i)
		if !ok {
			c.complete(i, t.State())
		}
		if n != nil {
			if c.nodes == nil {
				c.nodes = make([]*node, len(futures))
			}
			c.nodes[i] = n
		}
	}
}

func (c *collector) seat(i int) *seat {
	if c.queue {
		return &c.seats[i]
	}
	return &c.shared
}

// unwatch leaves nothing of the collector on the futures.
func unwatch[F tasked](c *collector, futures []F) {
	for i, f := range futures {
		if c.queue && c.yielded[i] {
			continue
		}
		if t := f.asTask(); !t.settledState() {
			var n *node
			if c.nodes != nil {
				n = c.nodes[i]
			}
			t.unregister(c.seat(i), n)
		}
	}
}

// boostOf makes the boost for a wait of a on the futures that have not been
// yielded.
func boostOf[F tasked](a *attempt, c *collector, futures []F) *boost {
	tasks := make([]*task, 0, len(futures))
	for i, f := range futures {
		if !c.queue || !c.yielded[i] {
			tasks = append(tasks, f.asTask())
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
		c.lease = a.newLease(boostOf(a, c, futures))
	}
	c.done.Store(int64(done))
	watch(c, futures)
	defer func() {
		if c.done.Load() < int64(done+len(futures)) {
			unwatch(c, futures)
		}
	}()
	c.lease.begin()
	select {
	case <-c.wake:
	case <-ctx.Done():
	}
	return c.lease
}
