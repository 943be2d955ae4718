package antflow

import (
	"context"
	"fmt"
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

// settle is publish and notify in one.
func (t *task) settle(s State, err error) []func() {
	t.publish(s, err)
	return t.notify()
}

// publish makes the result final. The caller is the one owner of the task: it
// took the task out of the executor's books, or claimed the promise.
func (t *task) publish(s State, err error) {
	t.runner.drop()
	t.setError(err)
	t.setState(s)
}

// call runs the callbacks in order on this goroutine. A panic or a Goexit of
// one takes its course, and the ones after it run on another goroutine.
func (e *Executor) call(callbacks []func()) {
	if len(callbacks) == 0 {
		return
	}
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
	return f.value, f.error()
}

// await blocks until the task is settled or ctx ends.
func (t *task) await(ctx context.Context) error {
	if ctx.Err() == nil {
		if attemptOf(ctx) != nil {
			return t.awaitLending(ctx)
		}
		if done := ctx.Done(); done == nil {
			t.park() // nothing else can end the wait
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
	l := awaitGoal(ctx, []*task{t}, 0, goal{done: 1})
	defer l.end()
	if t.settledState() { // decided before the slot is taken back
		return nil
	}
	return waitErr(ctx, "")
}

// IsDone reports whether the future has settled. It does not block.
func (t *task) IsDone() bool { return t.settledState() }

// Err returns nil until the future is done, and when it succeeded; else its
// error. It does not block.
func (t *task) Err() error {
	if !t.settledState() {
		return nil
	}
	return t.error()
}

// Cancel asks for the task's cancellation and reports whether the future was
// not done, and so the request was made. A queued or waiting task is settled
// as canceled before Cancel returns, and its callbacks run. A running one has
// its context canceled, and the future settles when its function returns:
// canceled if that returns an error, succeeded if not. It does not wait for
// the function. One that runs elsewhere settles when its [Runner] says so. The
// error Is [ErrCanceled] and [context.Canceled].
func (t *task) Cancel() bool {
	if t.settledState() {
		return false
	}
	if t.terms != nil {
		return t.spec.e.cancel(t)
	}
	return t.runner.(canceler).cancelTask()
}

// State returns the state at this moment. It does not block.
func (t *task) State() State { return State(t.word.Load() & (1<<attemptBits - 1)) }

// ID is the sequence number within the executor, from 0 in the order of
// submission. A promise's is 0.
func (t *task) ID() uint64 {
	if t.terms == nil {
		return 0
	}
	return t.id
}

// Attempts is how often the task's function was called so far.
func (t *task) Attempts() int { return int(t.word.Load() >> attemptBits) }

// String describes the future for humans: its name, ID and state. The form
// may change.
func (t *task) String() string {
	if t.terms == nil {
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

// asTask seals Waitable.
func (f *Future[T]) asTask() *task {
	if f == nil {
		return nil
	}
	return &f.task
}
