package antflow

import (
	"sync"
	"sync/atomic"
)

// closedChan is what Done returns of a future that nobody waited for.
var closedChan = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// waiters are those who asked a future to tell them. The first one installs
// them; the last collector to go takes them away again.
//
// Settling and registering meet as in Dekker's algorithm: the settler stores
// the final state and then loads the pointer to the waiters; a reader installs
// the waiters and then loads the state. One of the two sees the other. A
// reader that installs them with itself inside need not look at the state: the
// settler cannot have been there, since it leaves nobody behind for good, so
// it is still to come, and will find the reader.
//
// A collector brings the waiters along in its node, and takes them with it
// when it leaves, or else the future would keep all of its nodes. They are
// retired then, under their lock, and before that is released the future has
// what comes after them: nothing, or new ones with all who are left. So
// whoever finds them retired starts over and does not find them again. They
// keep their lent, and hand it on, so a worker that got hold of them just
// before sees what it would see in the new ones.
type waiters struct {
	lent     atomic.Bool // a task that lends its slot is or was among them
	notified bool        // the settler took the lists
	retired  bool        // others have taken their place
	mu       sync.Mutex  // a leaf: nothing is locked, sent or called under it
	nodes    *node
	more     *listeners // nil until there is one
}

// listeners are those waiters of a future that are not collectors.
type listeners struct {
	done      chan struct{} // nil until somebody asked for it
	callbacks []func()
}

// nobody takes the place of the waiters of a future once all have been told.
var nobody = waiters{notified: true}

// A node is one place of a collector in the waiters of one future. It has the
// size of a cache line, since there are as many as futures.
type node struct {
	c          *collector
	index      int     // of the future, in the collector's list; -1 once it is yielded
	prev, next *node   // guarded by waiters.mu
	own        waiters // for a future that has none
}

// unlink makes n forget its neighbors, which may be another collector's. Mostly
// there are none, and then it doesn't write.
func (n *node) unlink() {
	if n.prev != nil {
		n.prev = nil
	}
	if n.next != nil {
		n.next = nil
	}
}

// newWaiters returns waiters for listeners, in one allocation.
func newWaiters() *waiters {
	w := new(struct {
		waiters
		room listeners
	})
	w.more = &w.room
	return &w.waiters
}

// lockWaiters returns the waiters of t, locked, or nil when all of them have
// been told. If there are none it installs spare, or new ones if that is nil.
func (t *task) lockWaiters(spare *waiters) *waiters {
	for {
		w := t.w.Load()
		if w == nil {
			if spare == nil {
				spare = newWaiters()
			}
			if !t.w.CompareAndSwap(nil, spare) {
				continue
			}
			w = spare
		}
		if w == &nobody {
			return nil
		}
		w.mu.Lock()
		if !w.retired {
			return w
		}
		w.mu.Unlock()
	}
}

// listenersLocked returns the listeners, to add to them.
func (w *waiters) listenersLocked() *listeners {
	if w.more == nil {
		w.more = new(listeners)
	}
	return w.more
}

// notify tells of a published result whoever waits for it, and returns the
// callbacks, which the caller has to run with [Executor.call].
func (t *task) notify() (callbacks []func()) {
	t.runner.settled()
	w := t.lockWaiters(&nobody)
	if w == nil {
		return nil
	}
	w.notified = true
	n, more := w.nodes, w.more // which nobody looks at any more
	var done chan struct{}
	if more != nil {
		done, callbacks = more.done, more.callbacks
		more.callbacks = nil
	}
	w.mu.Unlock()
	s := t.State()
	for n != nil {
		next := n.next
		n.unlink()
		n.c.complete(n, s)
		n = next
	}
	if done != nil {
		close(done)
	}
	t.w.Store(&nobody) // not before Done is closed: see addCallback
	return callbacks
}

// waitedByTasks reports, of a published task, whether a task may have lent its
// slot to wait for it.
func (t *task) waitedByTasks() bool {
	w := t.w.Load()
	return w != nil && w.lent.Load()
}

// register puts a node into the waiters; false when the future is done. A task
// that is about to lend its slot always looks at the state after it has said
// so: either its wait is over before it began, or the settler knows of it
// before it gives its own slot to others.
func (t *task) register(n *node) bool {
	lends := n.c.lends
	if !lends {
		n.own.nodes = n
		if t.w.CompareAndSwap(nil, &n.own) {
			return true
		}
		n.own.nodes = nil
	}
	w := t.lockWaiters(&n.own)
	if w == nil {
		return false
	}
	defer w.mu.Unlock()
	if lends {
		w.lent.Store(true)
	}
	if w.notified || t.settledState() {
		return false
	}
	n.next = w.nodes
	if n.next != nil {
		n.next.prev = n
	}
	w.nodes = n
	return true
}

// unregister takes a registered node out again, and with it the waiters that
// are its own or that are empty. A node that the settler took is the
// collector's to ignore.
func (t *task) unregister(n *node) {
	w := t.lockWaiters(nil) // there are some, or were: n
	if w == nil {
		return
	}
	defer w.mu.Unlock()
	if w.notified {
		return
	}
	if n.prev != nil {
		n.prev.next = n.next
	} else {
		w.nodes = n.next
	}
	if n.next != nil {
		n.next.prev = n.prev
	}
	n.unlink()
	empty := w.nodes == nil && w.more == nil
	if !empty && w != &n.own {
		return
	}
	var heir *waiters
	if !empty {
		heir = &waiters{nodes: w.nodes, more: w.more}
		heir.lent.Store(w.lent.Load())
		w.nodes, w.more = nil, nil
	}
	w.retired = true
	t.w.Store(heir) // nobody else does: it is not nil, and the settler needs the lock first
}

// Done returns a channel that is closed when the future is done. The executor
// knows nothing of a wait for it: a task that receives from it keeps its slot,
// unlike one in [Future.Result] or [Blocking].
func (t *task) Done() <-chan struct{} {
	if t.settledState() {
		return closedChan
	}
	w := t.lockWaiters(nil)
	if w == nil {
		return closedChan
	}
	defer w.mu.Unlock()
	if w.more == nil || w.more.done == nil {
		if w.notified || t.settledState() {
			return closedChan
		}
		w.listenersLocked().done = make(chan struct{})
	}
	return w.more.done
}

// addCallback has fn called by the settler, unless that has taken the callbacks
// already: until then Done may be open, whatever the state says.
func (t *task) addCallback(fn func()) bool {
	w := t.lockWaiters(nil)
	if w == nil {
		return false
	}
	more := w.listenersLocked()
	if !w.notified {
		more.callbacks = append(more.callbacks, fn)
		w.mu.Unlock()
		return true
	}
	done := more.done
	w.mu.Unlock()
	if done != nil {
		<-done // the settler is about to close it
	}
	return false
}
