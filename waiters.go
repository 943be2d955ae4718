package antflow

import (
	"sync"
	"sync/atomic"
)

// closedChan is what Done returns of a future that nobody waited for.
var closedChan = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// A seat is what a future knows of who waits for it. Mostly that is one
// collector, and then all there is to it are a pointer to a seat and one
// compare-and-swap to take it. Everybody else makes it waiters first, which the
// one collector is then among.
//
// Settling and registering meet as in Dekker's algorithm: the settler stores
// the final state and then loads the pointer to the seat; a reader installs
// the seat and then loads the state. One of the two sees the other. A
// collector that takes the empty seat need not look at the state: the settler
// cannot have been there, since it leaves nobody behind for good, so it is
// still to come, and will find the collector.
//
// A bare seat is never written once it is shared, and gets into a future once
// at most. So whoever swaps it out, be it the settler, those who make waiters
// of it or its own collector, has it as it was; and the future keeps nothing of
// a collector that has left or was told.
type seat struct {
	c     *collector // who has the seat, or had it before there were waiters; nil if nobody
	index int        // of the future, for c
	all   *waiters   // nil: a bare seat
}

// nobody has the seat of a future once all have been told.
var nobody seat

// waiters are several, or others than a collector, who asked a future to tell
// them. Once made they stay until the future has settled.
type waiters struct {
	seat      seat        // of these waiters; its collector is guarded by mu
	lent      atomic.Bool // a task that lends its slot is or was among them
	notified  bool        // the settler took them
	mu        sync.Mutex  // a leaf: nothing is locked, sent or called under it
	nodes     *node
	done      chan struct{}
	callbacks []func()
}

// A node is a collector in the waiters of a future whose seat was taken.
type node struct {
	c          *collector
	index      int
	prev, next *node // guarded by waiters.mu
}

// lends reports whether a task that lends its slot may have the seat.
func (s *seat) lends() bool {
	if s.all != nil {
		return s.all.lent.Load()
	}
	return s.c != nil && s.c.lends
}

// waitedByTasks reports, of a published task, whether a task may have lent its
// slot to wait for it.
func (t *task) waitedByTasks() bool {
	s := t.w.Load()
	return s != nil && s.lends()
}

// lockWaiters returns the waiters of t, locked, and makes them if need be; nil
// when all have been told.
func (t *task) lockWaiters() *waiters {
	for {
		s := t.w.Load()
		if s == &nobody {
			return nil
		}
		if s == nil || s.all == nil {
			w := new(waiters)
			w.seat.all = w
			if s != nil {
				w.seat.c, w.seat.index = s.c, s.index
				w.lent.Store(s.c.lends)
			}
			if !t.w.CompareAndSwap(s, &w.seat) {
				continue
			}
			s = &w.seat
		}
		s.all.mu.Lock()
		return s.all
	}
}

// notify tells of a published result whoever waits for it, and returns the
// callbacks, which the caller has to run with [Executor.call].
func (t *task) notify() []func() {
	t.runner.settled()
	s := t.w.Load()
	for s == nil || s.all == nil {
		if t.w.CompareAndSwap(s, &nobody) {
			if s != nil {
				s.c.complete(s.index, t.State())
			}
			return nil
		}
		s = t.w.Load()
	}
	w := s.all
	w.mu.Lock()
	w.notified = true
	c, n := w.seat.c, w.nodes
	w.seat.c, w.nodes = nil, nil
	done, callbacks := w.done, w.callbacks
	w.callbacks = nil
	w.mu.Unlock()
	state := t.State()
	if c != nil {
		c.complete(w.seat.index, state)
	}
	for n != nil {
		next := n.next
		n.prev, n.next = nil, nil // another collector's
		n.c.complete(n.index, state)
		n = next
	}
	if done != nil {
		close(done)
	}
	t.w.Store(&nobody) // not before Done is closed: see addCallback
	return callbacks
}

// register has the collector of s told of t; false when t is done. It takes
// the seat, or if that is not free returns a node, which it put into the
// waiters.
//
// A task that lends its slot looks at the state after it has said so. If it is
// final by then, the settler may have overlooked that a task waits, and have
// given its own slot to others; but then the wait is over before it begins.
func (t *task) register(s *seat, index int) (n *node, ok bool) {
	lends := s.c.lends
	if t.w.CompareAndSwap(nil, s) {
		return nil, !lends || !t.settledState() || !t.unregister(s, nil)
	}
	w := t.lockWaiters()
	if w == nil {
		return nil, false
	}
	defer w.mu.Unlock()
	if lends {
		w.lent.Store(true)
	}
	if w.notified || t.settledState() {
		return nil, false
	}
	n = &node{c: s.c, index: index, next: w.nodes}
	if n.next != nil {
		n.next.prev = n
	}
	w.nodes = n
	return n, true
}

// unregister undoes a register with s that returned n; false when the settler
// was there before, and the collector is told or about to be.
func (t *task) unregister(s *seat, n *node) bool {
	if n == nil && t.w.CompareAndSwap(s, nil) {
		return true
	}
	w := t.lockWaiters()
	if w == nil {
		return false
	}
	defer w.mu.Unlock()
	switch {
	case w.notified:
		return false
	case n == nil:
		w.seat.c = nil
	default:
		if n.prev != nil {
			n.prev.next = n.next
		} else {
			w.nodes = n.next
		}
		if n.next != nil {
			n.next.prev = n.prev
		}
		n.prev, n.next = nil, nil
	}
	return true
}

// Done returns a channel that is closed when the future is done. The executor
// knows nothing of a wait for it: a task that receives from it keeps its slot,
// unlike one in [Future.Result] or [Blocking].
func (t *task) Done() <-chan struct{} {
	if t.settledState() {
		return closedChan
	}
	w := t.lockWaiters()
	if w == nil {
		return closedChan
	}
	defer w.mu.Unlock()
	if w.done == nil {
		if w.notified || t.settledState() {
			return closedChan
		}
		w.done = make(chan struct{})
	}
	return w.done
}

// addCallback has fn called by the settler, unless that has taken the callbacks
// already: until then Done may be open, whatever the state says.
func (t *task) addCallback(fn func()) bool {
	w := t.lockWaiters()
	if w == nil {
		return false
	}
	if !w.notified {
		w.callbacks = append(w.callbacks, fn)
		w.mu.Unlock()
		return true
	}
	done := w.done
	w.mu.Unlock()
	if done != nil {
		<-done // the settler is about to close it
	}
	return false
}
