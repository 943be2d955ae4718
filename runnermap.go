package antflow

import (
	"context"
	"iter"
	"slices"
	"strconv"
	"sync/atomic"
)

// A runnerMap is one range over a map whose calls go to a runner that is no
// executor. The inputs are submitted as they are pulled. What orders the
// results, keeps to the window and takes the time is the map over their futures
// on an executor of its own, whose workers do nothing but wait.
type runnerMap[In, Out any] struct {
	ctx    context.Context // of the calls; ends when the loop is left
	cancel context.CancelCauseFunc
	r      Runner
	t      *Task[In, Out]
	opts   []TaskOption // of each call
	key    string
	local  *Executor
	limit  Semaphore // of the calls that are under way; nil: none

	mapOpts []MapOption
	refused atomic.Bool // the runner is shut down
}

// A called input is one that was handed to the runner.
type called[In, Out any] struct {
	in In
	f  *Future[Out]
}

func newRunnerMap[In, Out any](ctx context.Context, r Runner, t *Task[In, Out], opts []MapOption) *runnerMap[In, Out] {
	m := &runnerMap[In, Out]{r: r, t: t}
	bs := batchSpec{task: spec{told: new(told)}}
	for _, o := range opts {
		o.applyMap(&bs)
		if task, ok := o.(TaskOption); ok {
			m.opts = append(m.opts, task)
		}
	}
	m.opts = append(m.opts, taskOption(func(s *spec) { s.nonBlocking = false })) // a map waits for room
	m.opts = slices.Clip(m.opts)
	m.key = bs.task.told.key
	if bs.window == 0 {
		bs.window = 64
		if w, ok := r.(interface{ MaxWorkers() int }); ok {
			bs.window = max(bs.window, 4*w.MaxWorkers())
		}
	}
	if bs.concurrency > 0 {
		m.limit = NewSemaphore(int64(bs.concurrency))
	}
	m.mapOpts = []MapOption{Window(bs.window), ResultTimeout(bs.resultTimeout)}
	m.local = New(bs.window)
	own, cancel := context.WithCancelCause(ctx)
	m.ctx, m.cancel = &feedContext{own}, cancel
	return m
}

// feedContext is the context that inputs are submitted with. Where that blocks
// it must not lend the slot of the caller's task: the caller may compute
// meanwhile, and lends itself while it waits.
type feedContext struct{ context.Context }

// Value implements [context.Context].
func (c *feedContext) Value(key any) any {
	if _, ok := key.(attemptKey); ok {
		return nil
	}
	return c.Context.Value(key)
}

func (m *runnerMap[In, Out]) leave() { m.cancel(loopLeft) }

// source hands the inputs to the runner, on the goroutine that pulls them.
func (m *runnerMap[In, Out]) source(inputs iter.Seq[In]) iter.Seq[called[In, Out]] {
	return func(yield func(called[In, Out]) bool) {
		index := 0
		for in := range inputs {
			if m.limit != nil && m.limit.Acquire(m.ctx, 1) != nil {
				return
			}
			f := m.submit(in, index)
			if m.limit != nil {
				f.OnDone(func(*Future[Out]) { m.limit.Release(1) })
			}
			if f.IsDone() && f.has(isRefused) && f.error() == ErrShutdown {
				m.refused.Store(true)
				return
			}
			if !yield(called[In, Out]{in, f}) {
				return
			}
			index++
		}
	}
}

func (m *runnerMap[In, Out]) submit(in In, index int) *Future[Out] {
	opts := m.opts
	if m.key != "" {
		opts = append(opts, Key(m.key+"/"+strconv.Itoa(index)))
	}
	c := &call[In, Out]{of: m.t, in: in}
	return c.handTo(m.ctx, m.r, len(m.t.opts), opts)
}

// await is what the map over the futures does.
func (m *runnerMap[In, Out]) await(ctx context.Context, c called[In, Out]) (Out, error) {
	return c.f.Result(ctx)
}

// results yields what results does, and in the end that the runner is shut
// down, if so.
func (m *runnerMap[In, Out]) results(results iter.Seq2[Out, error], yield func(Out, error) bool) {
	for v, err := range results {
		if !yield(v, err) {
			return
		}
		if _, ok := err.(*WaitError); ok {
			return
		}
	}
	if m.refused.Load() {
		var none Out
		yield(none, ErrShutdown)
	}
}

// items is results with the inputs.
func (m *runnerMap[In, Out]) items(items iter.Seq2[Item[called[In, Out], Out], error], yield func(Item[In, Out], error) bool) {
	for it, err := range items {
		if !yield(Item[In, Out]{Index: it.Index, Input: it.Input.in, Value: it.Value}, err) {
			return
		}
		if _, ok := err.(*WaitError); ok {
			return
		}
	}
	if m.refused.Load() {
		var none Item[In, Out]
		yield(none, ErrShutdown)
	}
}
