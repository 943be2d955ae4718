package antflow

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"slices"
)

// ForEach calls fn for each input, concurrently, and waits for all. At most
// max(64, 4*[Executor.MaxWorkers]) inputs are pulled and not finished, on a
// goroutine of their own. At the first failure in time it stops, cancels the
// rest, waits until every task it started has settled, and returns that
// failure as an [*ItemError]; under [CollectErrors] it runs all and joins the
// errors in the order of the inputs. When ctx ends before all is done the
// error is a [*WaitError], and when the executor is shut down it is
// [ErrShutdown]; under CollectErrors these are joined last. A panic of inputs
// is raised in the caller, once the tasks have settled.
//
// It blocks until its tasks have settled, but not for a source that blocks:
// the source is told to end at its next step. Called with a task's context it
// lends the task's slot. A nil argument or option panics.
func ForEach[T any](ctx context.Context, e *Executor, inputs iter.Seq[T], fn func(context.Context, T) error, opts ...GroupOption) error {
	must(ctx != nil, "ForEach: the context must not be nil")
	must(e != nil, "ForEach: the executor must not be nil")
	must(inputs != nil, "ForEach: the inputs must not be nil")
	must(fn != nil, "ForEach: the function must not be nil")
	r := new(eachSource[T])
	r.init(ctx, e, "ForEach", fn, opts)
	return r.run(func() {
		index := 0
		for input := range inputs {
			r.mu.Lock()
			if !r.openLocked() {
				r.mu.Unlock()
				return
			}
			it := r.itemLocked(index, input)
			room := r.open < r.window
			r.mu.Unlock()
			// A task that isn't light may have been refused.
			if light := r.submit(it); (!room || !light) && !r.awaitRoom() {
				return
			}
			index++
		}
	})
}

// An eachRun is one call of ForEach or MapSlice. Its second block is guarded
// by flow.mu.
type eachRun struct {
	flow
	collect bool

	first  *ItemError   // the first failure in time
	errs   []*ItemError // all of them, under CollectErrors
	shut   bool         // a shutdown canceled a task
	failed bool         // some task did not succeed
}

// An eachSource is the typed side of an eachRun.
type eachSource[T any] struct {
	eachRun
	fn   func(context.Context, T) error
	free *eachItem[T] // guarded by flow.mu: settled, to be used again
}

type eachItem[T any] struct {
	index int
	input T
	later *eachItem[T] // in the free ones
}

// An eachTask is the task of an item that is not light.
type eachTask[T any] struct {
	task
	r  *eachSource[T]
	it *eachItem[T]
}

func (t *eachTask[T]) invoke(ctx context.Context) error { return t.r.call(ctx, t.it) }
func (t *eachTask[T]) settled()                         { t.r.taskSettled(&t.task, t.it.index) }
func (t *eachTask[T]) function() (any, bool)            { return t.r.batch.fn, true }
func (t *eachTask[T]) drop() {
	var none T
	t.it.input = none
}

func (r *eachSource[T]) init(ctx context.Context, e *Executor, name string, fn func(context.Context, T) error, opts []GroupOption) {
	bs := e.groupSpec(name, opts)
	r.fn, r.collect = fn, bs.collect
	r.batch.fn = fn
	r.flow.init(ctx, e, bs, r)
}

// itemLocked makes an item of a pulled input, which was opened.
func (r *eachSource[T]) itemLocked(index int, input T) *eachItem[T] {
	it := r.free
	if it == nil {
		it = new(eachItem[T])
	} else {
		r.free, it.later = it.later, nil
	}
	it.index, it.input = index, input
	return it
}

func (r *eachSource[T]) call(ctx context.Context, ref any) error {
	return r.fn(ctx, ref.(*eachItem[T]).input)
}

func (r *eachSource[T]) heavy(ref any) (*task, runner) {
	t := &eachTask[T]{r: r, it: ref.(*eachItem[T])}
	return &t.task, t
}

func (r *eachSource[T]) succeeded(ref any, _ int) {
	it := ref.(*eachItem[T])
	*it = eachItem[T]{}
	r.mu.Lock()
	r.unsettled--
	it.later, r.free = r.free, it
	r.closedUnlock(r.closeLocked(), nil)
}

// taskSettled closes the input. The first failure of a run that stops at it
// cancels the rest; what is canceled then, or by the caller's context, is no
// failure of its own.
func (r *eachRun) taskSettled(t *task, index int) {
	var failure *ItemError
	callerEnded := t.error() != nil && r.parent.Err() != nil
	canceled, _ := t.error().(*cancelError)
	r.mu.Lock()
	item := r.taskSettledLocked(t)
	starved := item && r.closeLocked()
	if t.error() != nil {
		r.failed = true
	}
	if item && t.error() != nil {
		itemErr := &ItemError{Index: index, Err: t.error()}
		switch {
		case canceled != nil && canceled.cause == ErrShutdown:
			r.shut = true
		case !callerEnded && r.first == nil:
			r.first = itemErr
			failure = itemErr
		}
		if r.collect {
			r.errs = append(r.errs, itemErr)
		}
	}
	if failure != nil && r.collect {
		failure = nil
	}
	if failure != nil {
		r.complete = true
	}
	r.closedUnlock(starved, failure)
}

// closedUnlock tells whoever waits for it that an input was closed, and cancels
// the rest if that is for a failure.
func (r *eachRun) closedUnlock(starved bool, failure *ItemError) {
	var l *lease
	news := r.newsLocked()
	wakes := news && r.waits
	if news {
		l, r.lease, r.waits = r.lease, nil, false
	}
	r.mu.Unlock()
	if starved {
		signal(r.room)
	}
	if failure != nil {
		r.cancel(failure)
	}
	l.resume()
	if wakes {
		signal(r.wake)
	}
}

// begin is the start of every run: false when it can't, with the error.
func (r *eachRun) begin() (bool, error) {
	if r.parent.Err() != nil {
		return false, waitErr(r.parent, "")
	}
	if r.refusal(); r.complete {
		return false, ErrShutdown
	}
	return true, nil
}

// run feeds the source and waits for its tasks.
func (r *eachRun) run(source func()) error {
	defer r.leave(flowSettled)
	if ok, err := r.begin(); !ok {
		return err
	}
	r.feed(source)
	r.wait()
	return r.outcome()
}

// wait blocks until there are news. When the caller's context ends, the source
// is to stop, the tasks are being canceled, and it waits for these.
func (r *eachRun) wait() {
	if r.await(r.parent, 0, r.newsLocked) {
		return
	}
	r.mu.Lock()
	r.complete = true
	r.mu.Unlock()
	r.await(context.WithoutCancel(r.parent), 0, r.newsLocked)
}

// newsLocked reports whether the caller has something to do: it is to end,
// since no task is left and none will come; or there is room for another one.
func (r *eachRun) newsLocked() bool {
	if r.complete {
		return r.unsettled == 0
	}
	return !r.fed && r.open < r.window
}

// outcome is the error of a run whose tasks have settled.
func (r *eachRun) outcome() error {
	var ended error
	if r.parent.Err() != nil {
		ended = waitErr(r.parent, "")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if ft := r.takeFaultLocked(); ft != nil {
		defer ft.raise()
	}
	if r.first != nil && !r.collect {
		return r.first
	}
	var end error
	if r.failed || !r.exhausted {
		switch {
		case ended != nil:
			end = ended
		case r.refused || r.shut:
			end = ErrShutdown
		}
	}
	if !r.collect {
		return end
	}
	slices.SortFunc(r.errs, func(a, b *ItemError) int { return cmp.Compare(a.Index, b.Index) })
	errs := make([]error, 0, len(r.errs)+1)
	for _, item := range r.errs {
		errs = append(errs, item)
	}
	return errors.Join(append(errs, end)...)
}
