package antflow

import (
	"context"
	"time"
)

// MapSlice calls fn for each input, concurrently, waits for all, and returns
// a slice as long as the input with each result at its input's index, the
// zero value where there is none. Errors are those of [ForEach]; the results
// so far come with them. It reads inputs until it returns. A nil context,
// executor, function or option panics.
//
// The inputs start in their order. But where hundreds take a few microseconds
// each or less, a worker takes several at a time, and for a moment one that is
// behind these may start before them.
func MapSlice[T, R any](ctx context.Context, e *Executor, inputs []T, fn func(context.Context, T) (R, error), opts ...GroupOption) ([]R, error) {
	must(ctx != nil, "MapSlice: the context must not be nil")
	must(e != nil, "MapSlice: the executor must not be nil")
	must(fn != nil, "MapSlice: the function must not be nil")
	results := make([]R, len(inputs))
	r := &sliceRun[T, R]{inputs: inputs, results: results, mapFn: fn}
	r.init(ctx, e, "MapSlice", r.at, opts)
	r.batch.fn = fn
	err := r.feedSpans()
	r.inputs, r.results, r.mapFn, r.batch.fn = nil, nil, nil, nil // whoever keeps a context keeps r
	return results, err
}

// A sliceRun is one call of MapSlice. A slice blocks nobody, so the caller is
// the feeder, and waits for room.
type sliceRun[T, R any] struct {
	eachSource[int]
	inputs  []T
	results []R
	mapFn   func(context.Context, T) (R, error)
	chunks  pace
}

// at maps the input at that index.
func (r *sliceRun[T, R]) at(ctx context.Context, i int) error {
	v, err := r.mapFn(ctx, r.inputs[i])
	if err == nil {
		r.results[i] = v
	}
	return err
}

func (r *sliceRun[T, R]) run(w *worker, ch *chunk) (called bool, err error) {
	for i := ch.index(); ; i++ {
		ctx, ok := w.itemContext(ch, i)
		if !ok {
			return false, nil
		}
		v, err := r.mapFn(ctx, r.inputs[i])
		if err != nil {
			return true, err
		}
		r.results[i] = v
		if !ch.advance() {
			return true, nil
		}
	}
}

func (r *sliceRun[T, R]) pace() *pace { return &r.chunks }

func (r *sliceRun[T, R]) heavyItem(index int) (*task, runner) {
	return r.heavy(&eachItem[int]{index: index, input: index})
}

func (r *sliceRun[T, R]) itemsSucceeded(n int) {
	r.mu.Lock()
	r.unsettled -= n
	r.open -= n
	r.closedUnlock(false, nil)
}

const (
	firstSpan = 128              // items of the first span, or more for many workers
	spanTime  = time.Millisecond // that a span should take, or longer
)

// feedSpans submits the items in spans and waits for them. The caller goes on
// when no more than the last span is open, so that the workers have one ahead,
// and what others submit meanwhile has no more than two before it.
func (r *sliceRun[T, R]) feedSpans() error {
	defer r.leave(flowSettled)
	if ok, err := r.begin(); !ok {
		return err
	}
	r.fed = false
	least := r.window
	for i, size := 0, min(max(firstSpan, least), mostItems); i < len(r.inputs); {
		n := min(size, len(r.inputs)-i)
		if !r.openSpan(n, n+1) {
			break
		}
		start := time.Now()
		if !r.e.submitSpan(&r.batch, r, i, n) {
			if r.lights { // an executor that is observed: as many are open as there would be in spans
				least = max(least, mostItems)
			}
			r.openSpan(-n, least)
			r.feedItems(i, least)
			break
		}
		if i += n; i < len(r.inputs) {
			r.wait()
		}
		if time.Since(start) < spanTime {
			size = min(4*size, mostItems)
		}
	}
	r.mu.Lock()
	if !r.complete {
		r.complete, r.exhausted = true, true
	}
	r.mu.Unlock()
	r.wait()
	return r.outcome()
}

// openSpan counts n inputs, or reports false when none is wanted any more. There
// is room for more while fewer than the window are open.
func (r *sliceRun[T, R]) openSpan(n, window int) bool {
	ended := r.ctx.Err() != nil
	r.mu.Lock()
	defer r.mu.Unlock()
	if n > 0 && (ended || r.complete) {
		r.complete = true
		return false
	}
	r.window = window
	r.open += n
	r.unsettled += n
	return true
}

// feedItems submits a task for each item from the given one on, where a task
// may take more than being called.
func (r *sliceRun[T, R]) feedItems(from, window int) {
	for i := from; i < len(r.inputs) && r.openSpan(1, window); i++ {
		r.mu.Lock()
		it := r.itemLocked(i, i)
		full := r.open >= r.window
		r.mu.Unlock()
		if r.submit(it); full && i+1 < len(r.inputs) { // after the last one a shutdown refuses nothing
			r.wait()
		}
	}
}
