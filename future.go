package antflow

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
)

// A State is what a [Future] tells of its task.
type State uint32

// The states of a task. Between two attempts it is pending again; the last
// three are final.
const (
	StatePending   State = iota // queued, or waiting for a delay, a permit or a rate limit
	StateRunning                // a worker has it
	StateSucceeded              // settled with a value
	StateFailed                 // settled with an error
	StateCanceled               // settled by a cancellation; the error Is ErrCanceled
)

// String returns the state's name in lower case.
func (s State) String() string {
	switch s {
	case StatePending:
		return "pending"
	case StateRunning:
		return "running"
	case StateSucceeded:
		return "succeeded"
	case StateFailed:
		return "failed"
	case StateCanceled:
		return "canceled"
	}
	return fmt.Sprintf("State(%d)", uint32(s))
}

func (s State) final() bool { return s >= StateSucceeded }

// A Future is the read side of a task's result, or of a [Promise]. It settles
// exactly once, when its task has finished or will never start. All methods
// are safe for concurrent use by any number of goroutines, and everything that
// happened before the task's function returned is visible to whoever saw the
// future done. It is concurrent.futures' Future, typed.
//
// Futures are made by [Submit], [Executor.Go] and [NewPromise]; a Future must
// not be copied.
type Future[T any] struct {
	task
	value T // written before the settling, only on success
}

// closedChan is what Done returns of a future that nobody waited for.
var closedChan = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// waiters are those who asked a future to tell them. They are made when the
// first one does.
//
// Settling and registering meet as in Dekker's algorithm: the settler stores
// the final state and then loads the pointer to the waiters; a reader installs
// the waiters and then loads the state. One of the two sees the other.
type waiters struct {
	lent      atomic.Bool // a task that lends its slot is or was among them
	mu        sync.Mutex  // a leaf: nothing is locked, sent or called under it
	notified  bool        // the settler took the lists; they stay empty
	done      chan struct{}
	nodes     *node
	callbacks []func()
}

// nobody takes the place of the waiters of a future that was settled before
// anyone waited for it.
var nobody = waiters{notified: true}

// A node is one place of a collector in the waiters of one future.
type node struct {
	c          *collector
	t          *task
	index      int
	prev, next *node
	linked     bool // guarded by waiters.mu
}

func (t *task) waiters() *waiters {
	if w := t.w.Load(); w != nil {
		return w
	}
	w := new(waiters)
	if t.w.CompareAndSwap(nil, w) {
		return w
	}
	return t.w.Load()
}

// settle is publish and notify in one.
func (t *task) settle(s State, err error) []func() {
	t.publish(s, err)
	return t.notify()
}

// publish makes the result final. The caller is the one owner of the task: it
// took the task out of the executor's books, or claimed the promise.
func (t *task) publish(s State, err error) {
	t.runner.drop()
	t.err = err
	t.setState(s)
}

// notify tells of a published result whoever waits for it, and returns the
// callbacks, which the caller has to run with [Executor.call].
func (t *task) notify() []func() {
	t.runner.settled()
	w := t.w.Load()
	if w == nil {
		if t.w.CompareAndSwap(nil, &nobody) {
			return nil
		}
		w = t.w.Load()
	}
	w.mu.Lock()
	w.notified = true
	done, n, callbacks := w.done, w.nodes, w.callbacks
	w.nodes, w.callbacks = nil, nil
	w.mu.Unlock()
	for n != nil {
		next := n.next // the collector may reuse the node once it is told
		n.c.complete(n)
		n = next
	}
	if done != nil {
		close(done)
	}
	return callbacks
}

// call runs the callbacks in order on this goroutine. A panic or a Goexit of
// one takes its course, and the ones after it run on another goroutine.
func (e *Executor) call(callbacks []func()) {
	i := 0
	defer func() {
		if i == len(callbacks) {
			return
		}
		rest := callbacks[i:]
		e.enter()
		go func() {
			defer e.leave()
			e.call(rest)
		}()
	}()
	for i < len(callbacks) {
		i++
		callbacks[i-1]()
	}
}

// waitedByTasks reports, of a published task, whether a task may have lent its
// slot to wait for it.
func (t *task) waitedByTasks() bool {
	w := t.w.Load()
	return w != nil && w.lent.Load()
}

// register puts a node into the waiters; false when the future is done.
func (t *task) register(n *node) bool {
	w := t.waiters()
	if w == &nobody {
		return false
	}
	if n.c.lends {
		w.lent.Store(true)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.notified || t.settledState() {
		return false
	}
	n.next = w.nodes
	if n.next != nil {
		n.next.prev = n
	}
	w.nodes = n
	n.linked = true
	return true
}

// unregister takes a node out again. A node that the settler took is the
// collector's to ignore.
func (t *task) unregister(n *node) {
	w := t.waiters()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.notified || !n.linked {
		return
	}
	n.linked = false
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

func (t *task) settledState() bool { return t.State().final() }

// Result waits until the future is done and returns the task's value and
// error. It returns at once when the future is done already, whatever ctx is.
// When ctx ends first it returns a [*WaitError] and changes nothing: the task
// goes on. The task's own errors come back as they are. Called with a task's
// context it lends the task's slot while it blocks. A nil ctx panics.
func (f *Future[T]) Result(ctx context.Context) (T, error) {
	must(ctx != nil, "Future.Result(nil): the context must not be nil")
	if !f.IsDone() {
		if err := f.await(ctx); err != nil {
			var none T
			return none, err
		}
	}
	return f.value, f.err
}

// await blocks until the task is settled or ctx ends.
func (t *task) await(ctx context.Context) error {
	if ctx.Err() == nil {
		if attemptOf(ctx) != nil {
			return t.awaitLending(ctx)
		}
		if done := ctx.Done(); done == nil {
			<-t.Done() // which is cheaper than a choice
		} else {
			select {
			case <-t.Done():
			case <-done:
			}
		}
	}
	if t.settledState() {
		return nil
	}
	return waitErr(ctx, "")
}

// awaitLending is await for a task's context, whose wait lends a slot.
func (t *task) awaitLending(ctx context.Context) error {
	l := awaitGoal(ctx, []*task{t}, goal{done: 1})
	defer l.end()
	if t.settledState() { // decided before the slot is taken back
		return nil
	}
	return waitErr(ctx, "")
}

// Done returns a channel that is closed when the future is done. The executor
// knows nothing of a wait for it: a task that receives from it keeps its slot,
// unlike one in [Future.Result] or [Blocking].
func (t *task) Done() <-chan struct{} {
	if t.settledState() {
		return closedChan
	}
	w := t.waiters()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.done == nil {
		if w.notified || t.settledState() {
			return closedChan
		}
		w.done = make(chan struct{})
	}
	return w.done
}

// IsDone reports whether the future has settled. It does not block.
func (t *task) IsDone() bool { return t.settledState() }

// Err returns nil until the future is done, and when it succeeded; else its
// error. It does not block.
func (t *task) Err() error {
	if !t.settledState() {
		return nil
	}
	return t.err
}

// Cancel asks for the task's cancellation and reports whether the future was
// not done, and so the request was made. A queued or waiting task is settled
// as canceled before Cancel returns, and its callbacks run. A running one has
// its context canceled, and the future settles when its function returns:
// canceled if that returns an error, succeeded if not. It does not wait for
// the function. The error Is [ErrCanceled] and [context.Canceled].
func (t *task) Cancel() bool {
	if t.settledState() {
		return false
	}
	if t.spec != nil {
		return t.spec.e.cancel(t)
	}
	return t.runner.(canceler).cancelTask()
}

// State returns the state at this moment. It does not block.
func (t *task) State() State { return State(t.word.Load() & (1<<attemptBits - 1)) }

// ID is the sequence number within the executor, from 0 in the order of
// submission. A promise's is 0.
func (t *task) ID() uint64 { return t.id }

// Attempts is how often the task's function was called so far.
func (t *task) Attempts() int { return int(t.word.Load() >> attemptBits) }

// String describes the future for humans: its name, ID and state. The form
// may change.
func (t *task) String() string {
	if t.spec == nil {
		return fmt.Sprintf("promise %s", t.State())
	}
	if t.spec.name == "" {
		return fmt.Sprintf("task %d %s", t.id, t.State())
	}
	return fmt.Sprintf("task %d %q %s", t.id, t.spec.name, t.State())
}

// OnDone has fn called with the future once it is done: on the goroutine that
// settles it, after Done is closed, outside all locks and in the order of
// registration; or at once, on the caller's goroutine, when it is done
// already. A worker has given up its slot by then, but fn must not block: a
// shutdown waits for it. Its panic is not recovered. A nil fn panics.
func (f *Future[T]) OnDone(fn func(*Future[T])) {
	must(fn != nil, "Future.OnDone(nil): the function must not be nil")
	if !f.addCallback(func() { fn(f) }) {
		fn(f)
	}
}

// addCallback has fn called by the settler, unless that has taken the callbacks
// already: until then Done may be open, whatever the state says.
func (t *task) addCallback(fn func()) bool {
	w := t.waiters()
	if w == &nobody { // which all settled futures share
		return false
	}
	w.mu.Lock()
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

// asTask seals Waitable.
func (f *Future[T]) asTask() *task {
	if f == nil {
		return nil
	}
	return &f.task
}
