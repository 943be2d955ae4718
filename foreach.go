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
	r := newEachRun(ctx, e, "ForEach", opts)
	return r.run(func() {
		index := 0
		for input := range inputs {
			t := &eachTask[T]{r: r, index: index, input: input, fn: fn}
			if !r.offer(&t.task, t, nil) {
				return
			}
			index++
		}
	})
}

// MapSlice calls fn for each input, concurrently, waits for all, and returns
// a slice as long as the input with each result at its input's index, the
// zero value where there is none. Errors are those of [ForEach]; the results
// so far come with them. It reads inputs until it returns. A nil context,
// executor, function or option panics.
func MapSlice[T, R any](ctx context.Context, e *Executor, inputs []T, fn func(context.Context, T) (R, error), opts ...GroupOption) ([]R, error) {
	must(ctx != nil, "MapSlice: the context must not be nil")
	must(e != nil, "MapSlice: the executor must not be nil")
	must(fn != nil, "MapSlice: the function must not be nil")
	results := make([]R, len(inputs))
	at := func(ctx context.Context, i int) error {
		v, err := fn(ctx, inputs[i])
		if err == nil {
			results[i] = v
		}
		return err
	}
	r := newEachRun(ctx, e, "MapSlice", opts)
	err := r.run(func() {
		for i := range inputs {
			t := &eachTask[int]{r: r, index: i, input: i, fn: at}
			if !r.offer(&t.task, t, nil) {
				return
			}
		}
	})
	return results, err
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

type eachTask[T any] struct {
	task
	r     *eachRun
	index int
	input T
	fn    func(context.Context, T) error
}

func (t *eachTask[T]) invoke(ctx context.Context) error { return t.fn(ctx, t.input) }
func (t *eachTask[T]) settled()                         { t.r.taskSettled(&t.task, t.index) }
func (t *eachTask[T]) drop() {
	var none T
	t.input, t.fn = none, nil
}

func newEachRun(ctx context.Context, e *Executor, name string, opts []GroupOption) *eachRun {
	bs := e.groupSpec(name, opts)
	r := &eachRun{collect: bs.collect}
	r.flow.init(ctx, e, bs)
	return r
}

// taskSettled closes the input. The first failure of a run that stops at it
// cancels the rest; what is canceled then, or by the caller's context, is no
// failure of its own.
func (r *eachRun) taskSettled(t *task, index int) {
	var failure *ItemError
	callerEnded := t.err != nil && r.parent.Err() != nil
	r.mu.Lock()
	if item := r.taskSettledLocked(t); item {
		r.open--
	}
	if t.err != nil {
		r.failed = true
		item := &ItemError{Index: index, Err: t.err}
		switch canceled := t.State() == StateCanceled; {
		case t.rejected && t.err == ErrShutdown:
		case canceled && errors.Is(t.err, ErrShutdown):
			r.shut = true
		case !canceled && !callerEnded && r.first == nil:
			r.first = item
			failure = item
		}
		if r.collect && !(t.rejected && t.err == ErrShutdown) {
			r.errs = append(r.errs, item)
		}
	}
	stop := failure != nil && !r.collect
	if stop {
		r.complete = true
	}
	var l *lease
	end := r.endedLocked()
	if end {
		l, r.lease = r.lease, nil
	}
	r.mu.Unlock()
	signal(r.room)
	if stop {
		r.cancel(failure)
	}
	if end {
		l.resume()
		signal(r.wake)
	}
}

// run feeds the source and waits for its tasks.
func (r *eachRun) run(source func()) error {
	defer r.leave(flowSettled)
	if r.parent.Err() != nil {
		return waitErr(r.parent, "")
	}
	if r.refusal(); r.complete {
		return ErrShutdown
	}
	r.feed(source)
	if !r.await(r.parent, 0, r.endedLocked) {
		// The caller's context ended: the source is to stop, and the tasks
		// are being canceled.
		r.mu.Lock()
		r.complete = true
		r.mu.Unlock()
		r.await(context.WithoutCancel(r.parent), 0, r.endedLocked)
	}
	return r.outcome()
}

// endedLocked reports whether no task is left and none will come.
func (r *eachRun) endedLocked() bool { return r.complete && r.unsettled == 0 }

// outcome is the error of a run whose tasks have settled.
func (r *eachRun) outcome() error {
	ended := r.parent.Err() != nil
	r.mu.Lock()
	defer r.mu.Unlock()
	if ft := r.fault; ft != nil {
		defer ft.raise()
	}
	if r.first != nil && !r.collect {
		return r.first
	}
	var end error
	if r.failed || !r.exhausted {
		switch {
		case ended:
			end = waitErr(r.parent, "")
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
