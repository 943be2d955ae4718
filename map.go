package antflow

import (
	"context"
	"fmt"
	"iter"
)

// An Item is one input of [MapUnordered], its place and its result.
type Item[T, R any] struct {
	Index int // the input's place, from 0
	Input T
	Value R // the zero value when it failed
}

// Map calls fn for each input, concurrently, and yields the results in the
// order of the inputs, each as soon as it and all before it are ready. It is
// lazy: nothing happens until the iterator is ranged over, and at most
// [Window] inputs are pulled and not yet yielded, so the inputs may be
// endless. They are pulled on a goroutine of their own. Each range over the
// iterator is a run of its own.
//
// An input whose task fails yields an [*ItemError] beside the zero value, and
// the iteration goes on. It ends early with one last error that is no
// *ItemError: a [*WaitError] when ctx ends or a [ResultTimeout] passes, or
// [ErrShutdown], after the results of the accepted inputs, when the executor
// is shut down. A panic of inputs is raised in the loop after the results of
// the inputs before it; when the loop has been left by then, it is not
// recovered.
//
// Leaving the loop stops the pulling and cancels the tasks that have not
// finished, without waiting for them. The iterator blocks for each result;
// called with a task's context it lends the task's slot meanwhile, and has one
// again in the loop's body. A nil argument or option panics. Map is
// concurrent.futures' map with its buffersize.
func Map[T, R any](ctx context.Context, e *Executor, inputs iter.Seq[T], fn func(context.Context, T) (R, error), opts ...MapOption) iter.Seq2[R, error] {
	must(inputs != nil, "Map: the inputs must not be nil")
	must(fn != nil, "Map: the function must not be nil")
	return ordered(newMapper("Map", ctx, e, inputs, fn, opts))
}

// Map2 is [Map] for pairs of inputs, such as [Zip] makes of two sequences.
func Map2[A, B, R any](ctx context.Context, e *Executor, inputs iter.Seq2[A, B], fn func(context.Context, A, B) (R, error), opts ...MapOption) iter.Seq2[R, error] {
	must(inputs != nil, "Map2: the inputs must not be nil")
	must(fn != nil, "Map2: the function must not be nil")
	type pair struct {
		a A
		b B
	}
	pairs := func(yield func(pair) bool) {
		inputs(func(a A, b B) bool { return yield(pair{a, b}) })
	}
	m := newMapper("Map2", ctx, e, pairs, func(ctx context.Context, p pair) (R, error) {
		return fn(ctx, p.a, p.b)
	}, opts)
	m.named = fn
	return ordered(m)
}

// MapUnordered is [Map] in the order of completion; each result comes with
// its input and the input's index.
func MapUnordered[T, R any](ctx context.Context, e *Executor, inputs iter.Seq[T], fn func(context.Context, T) (R, error), opts ...MapOption) iter.Seq2[Item[T, R], error] {
	must(inputs != nil, "MapUnordered: the inputs must not be nil")
	must(fn != nil, "MapUnordered: the function must not be nil")
	return unordered(newMapper("MapUnordered", ctx, e, inputs, fn, opts))
}

// Zip pairs the values of two sequences and stops with the shorter one. The
// second is pulled from with [iter.Pull]. A nil sequence panics.
func Zip[A, B any](as iter.Seq[A], bs iter.Seq[B]) iter.Seq2[A, B] {
	must(as != nil, "Zip: the first sequence must not be nil")
	must(bs != nil, "Zip: the second sequence must not be nil")
	return func(yield func(A, B) bool) {
		next, stop := iter.Pull(bs)
		defer stop()
		for a := range as {
			b, ok := next()
			if !ok || !yield(a, b) {
				return
			}
		}
	}
}

// ordered yields the results of a mapper that keeps the order.
func ordered[T, R any](m *mapper[T, R]) iter.Seq2[R, error] {
	return func(yield func(R, error) bool) {
		err := m.run(func(t *mapItem[T, R]) bool { return yield(t.value, t.itemError()) })
		if err != nil {
			var none R
			yield(none, err)
		}
	}
}

// unordered yields the items of a mapper as they come.
func unordered[T, R any](m *mapper[T, R]) iter.Seq2[Item[T, R], error] {
	m.keep = true
	return func(yield func(Item[T, R], error) bool) {
		err := m.run(func(t *mapItem[T, R]) bool {
			item := Item[T, R]{Index: t.index, Input: t.input, Value: t.value}
			return yield(item, t.itemError())
		})
		if err != nil {
			var none Item[T, R]
			yield(none, err)
		}
	}
}

// A mapper is what the runs of one iterator have in common.
type mapper[T, R any] struct {
	ctx    context.Context
	e      *Executor
	inputs iter.Seq[T]
	fn     func(context.Context, T) (R, error)
	named  any // the user's function
	spec   batchSpec
	keep   bool // in the order of completion, with the inputs kept for the items
}

func newMapper[T, R any](name string, ctx context.Context, e *Executor, inputs iter.Seq[T], fn func(context.Context, T) (R, error), opts []MapOption) *mapper[T, R] {
	must(ctx != nil, "%s: the context must not be nil", name)
	must(e != nil, "%s: the executor must not be nil", name)
	m := &mapper[T, R]{ctx: ctx, e: e, inputs: inputs, fn: fn, named: fn, spec: batchSpec{task: e.defaults}}
	for i, o := range opts {
		must(o != nil, "%s: nil MapOption at index %d", name, i)
		o.applyMap(&m.spec)
	}
	return m
}

// A mapRun is one range over a mapper's iterator. front and back, guarded by
// flow.mu, are the list of items not yet yielded: all of them in the order of
// their inputs, or those that have settled in the order in which they did. An
// item that wasn't accepted is the last of the list, and never ready.
type mapRun[T, R any] struct {
	flow
	m           *mapper[T, R]
	front, back *mapItem[T, R]
	free        *mapItem[T, R] // guarded by flow.mu: yielded, to be used again

	// The consumer's own: what it took of the list at once, and what it has
	// yielded of that.
	ready            *mapItem[T, R]
	spent, lastSpent *mapItem[T, R]
}

// A mapItem is an input on its way to a result. Its task, light or not, owns
// it until it has settled, then the consumer.
type mapItem[T, R any] struct {
	index int
	input T
	value R
	err   error
	later *mapItem[T, R] // the next one of the list
	state State          // guarded by flow.mu: pending, until it is ready to be yielded
}

func (it *mapItem[T, R]) itemError() error {
	if it.err == nil {
		return nil
	}
	return &ItemError{Index: it.index, Err: it.err}
}

// A mapTask is the task of an item that is not light.
type mapTask[T, R any] struct {
	task
	r  *mapRun[T, R]
	it *mapItem[T, R]
}

func (t *mapTask[T, R]) invoke(ctx context.Context) error { return t.r.invoke(ctx, t.it) }
func (t *mapTask[T, R]) settled()                         { t.r.taskSettled(t) }
func (t *mapTask[T, R]) drop()                            { t.r.drop(t.it) }
func (t *mapTask[T, R]) function() (any, bool)            { return t.r.m.named, true }

func (r *mapRun[T, R]) invoke(ctx context.Context, it *mapItem[T, R]) error {
	v, err := r.m.fn(ctx, it.input)
	if err == nil {
		it.value = v
	}
	return err
}

// drop forgets an input that is not to be yielded.
func (r *mapRun[T, R]) drop(it *mapItem[T, R]) {
	if !r.m.keep {
		var none T
		it.input = none
	}
}

func (r *mapRun[T, R]) call(ctx context.Context, ref any) error {
	return r.invoke(ctx, ref.(*mapItem[T, R]))
}

func (r *mapRun[T, R]) heavy(ref any) (*task, runner) {
	t := &mapTask[T, R]{r: r, it: ref.(*mapItem[T, R])}
	return &t.task, t
}

func (r *mapRun[T, R]) succeeded(ref any, _ int) {
	it := ref.(*mapItem[T, R])
	r.drop(it)
	r.mu.Lock()
	r.unsettled--
	r.settledUnlock(it, StateSucceeded)
}

func (r *mapRun[T, R]) taskSettled(t *mapTask[T, R]) {
	it := t.it
	t.it = nil // which is used again, while a context may keep the task
	it.err = t.error()
	r.mu.Lock()
	if r.taskSettledLocked(&t.task) {
		r.settledUnlock(it, t.State())
	} else {
		r.settledUnlock(it, StatePending)
	}
}

// settledUnlock makes an item ready, unless its state is pending: then it is
// none. The consumer is told if that is news.
func (r *mapRun[T, R]) settledUnlock(it *mapItem[T, R], s State) {
	it.state = s
	if s != StatePending && r.m.keep {
		r.pushLocked(it)
	}
	if !r.newsLocked() {
		r.mu.Unlock()
		return
	}
	l, waits := r.lease, r.waits
	r.lease, r.waits = nil, false
	r.mu.Unlock()
	l.resume()
	if waits {
		signal(r.wake)
	}
}

func (r *mapRun[T, R]) pushLocked(it *mapItem[T, R]) {
	if r.back != nil {
		r.back.later = it
	} else {
		r.front = it
	}
	r.back = it
}

// newsLocked reports whether the consumer has something to do: yield the first
// task of the list, or end.
func (r *mapRun[T, R]) newsLocked() bool {
	return r.front != nil && r.front.state != StatePending || r.complete && r.unsettled == 0
}

// run ranges once: it hands each item to yield until that returns false, and
// returns the error that ends the iteration early.
func (m *mapper[T, R]) run(yield func(*mapItem[T, R]) bool) error {
	if m.ctx.Err() != nil {
		return waitErr(m.ctx, "")
	}
	r := &mapRun[T, R]{m: m}
	spec := m.spec
	r.flow.init(m.ctx, m.e, &spec, r)
	defer r.leave(loopLeft)
	if r.refusal(); !r.complete {
		r.feed(r.pull)
	}
	for yielded := 0; ; yielded++ {
		it, err := r.next(yielded)
		if it == nil {
			return err
		}
		if !yield(it) {
			return nil
		}
		*it = mapItem[T, R]{later: r.spent} // nothing keeps what was yielded
		if r.spent == nil {
			r.lastSpent = it
		}
		r.spent = it
		r.closeYielded()
	}
}

// pull runs the source.
func (r *mapRun[T, R]) pull() {
	index := 0
	for input := range r.m.inputs {
		r.mu.Lock()
		if !r.openLocked() {
			r.mu.Unlock()
			return
		}
		it := r.free
		if it == nil {
			it = new(mapItem[T, R])
		} else {
			r.free, it.later = it.later, nil
		}
		it.index, it.input = index, input
		if !r.m.keep {
			r.pushLocked(it)
		}
		room := r.hasRoomLocked()
		r.mu.Unlock()
		// A task that isn't light may have been refused.
		if light := r.submit(it); (!room || !light) && !r.awaitRoom() {
			return
		}
		index++
	}
}

// next returns the next item to yield; nil at the end, and the error if that
// is an early one.
func (r *mapRun[T, R]) next(yielded int) (*mapItem[T, R], error) {
	ctx := r.m.ctx
	if ctx.Err() != nil {
		return nil, waitErr(ctx, "")
	}
	if r.ready == nil && !r.take() {
		timeout := r.m.spec.resultTimeout
		if !r.await(ctx, timeout, r.newsLocked) {
			if ctx.Err() != nil {
				return nil, waitErr(ctx, "")
			}
			detail := fmt.Sprintf("no further result after %d within %v", yielded, timeout)
			return nil, &WaitError{Err: &endError{detail: detail, err: context.DeadlineExceeded}}
		}
		if !r.take() {
			r.mu.Lock()
			ft, refused := r.takeFaultLocked(), r.refused
			r.mu.Unlock()
			ft.raise()
			if refused {
				return nil, ErrShutdown
			}
			return nil, nil
		}
	}
	it := r.ready
	if it.state == StateCanceled && ctx.Err() != nil {
		// The item is canceled because ctx ended, and that is told once.
		return nil, waitErr(ctx, "")
	}
	r.ready, it.later = it.later, nil
	return it, nil
}

// take takes all that can be yielded off the list, for the consumer, and gives
// back what it has yielded. It reports whether there is something.
func (r *mapRun[T, R]) take() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.spent != nil {
		r.lastSpent.later = r.free
		r.free, r.spent, r.lastSpent = r.spent, nil, nil
	}
	last := (*mapItem[T, R])(nil)
	for it := r.front; it != nil && it.state != StatePending; it = it.later {
		last = it
	}
	if last == nil {
		return false
	}
	r.ready, r.front = r.front, last.later
	last.later = nil
	if r.front == nil {
		r.back = nil
	}
	return true
}
