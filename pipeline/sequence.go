package pipeline

import (
	"context"
	"iter"
	"runtime"

	"github.com/antflow/antflow"
)

// Run runs the pipeline over inputs and yields the results in the order of
// the inputs, each as soon as it and all before it are ready. It is lazy:
// nothing happens until the iterator is ranged over, and at most [Window]
// inputs are pulled and neither yielded nor in a batch, so the inputs may be
// endless. They are pulled on a goroutine of their own. Each range over the
// iterator is a run of its own. Order is kept wherever it can be seen: batches
// are of consecutive items, reductions take them in turn.
//
// An item that fails yields an [*ItemError] beside the zero value, in its
// place, and the iteration goes on; under [FailFast] it ends with it. Else it
// ends early with one last error that is no *ItemError: a [*antflow.WaitError]
// when ctx ends, or, after the results of the inputs that have been pulled, an
// error that Is [antflow.ErrShutdown] when the executor is shut down. A panic
// of inputs is raised in the loop after the results of the inputs before it;
// when the loop has been left by then, it is not recovered.
//
// Leaving the loop stops the pulling and cancels what has not finished, without
// waiting for it. The iterator blocks for each result; called with a task's
// context it lends the task's slot meanwhile, and has one again in the loop's
// body. A nil argument or option panics.
func (p Pipeline[In, Out]) Run(ctx context.Context, ex *antflow.Executor, inputs iter.Seq[In], opts ...RunOption) iter.Seq2[Out, error] {
	return p.sequence("Run", true, ctx, ex, inputs, opts)
}

// RunUnordered is [Pipeline.Run] in the order of completion. Batches are of
// the items that come next, and reductions take them as they come.
func (p Pipeline[In, Out]) RunUnordered(ctx context.Context, ex *antflow.Executor, inputs iter.Seq[In], opts ...RunOption) iter.Seq2[Out, error] {
	return p.sequence("RunUnordered", false, ctx, ex, inputs, opts)
}

func (p Pipeline[In, Out]) sequence(where string, ordered bool, ctx context.Context, ex *antflow.Executor, inputs iter.Seq[In], opts []RunOption) iter.Seq2[Out, error] {
	p.part(where)
	must(ctx != nil, "%s: the context must not be nil", where)
	must(inputs != nil, "%s: the inputs must not be nil", where)
	conf := p.plan.settingsOf(where, ex, opts)
	labels := labelsOf[In](where, &conf)
	return func(yield func(Out, error) bool) {
		e := newEngine(ctx, ex, p.plan, conf, ordered)
		e.loop = true
		e.show()
		c := &consumer[Out]{e: e, ctx: ctx}
		defer c.leave()
		src := &source[In]{e: e, labels: labels, feeder: feeder{make(chan struct{}, 1)}}
		go src.run(inputs)
		for {
			results := c.take()
			for i := range results {
				r := &results[i]
				if !yield(r.value, r.err) {
					return
				}
				*r = result[Out]{}
				e.yieldedOne()
			}
			if results == nil {
				break
			}
		}
		if err := c.end(); err != nil {
			var none Out
			yield(none, err)
		}
	}
}

// A fault is how a source ended that did not return.
type fault struct {
	value any
	exit  bool
}

// raise ends the consumer as the source ended its goroutine.
func (ft *fault) raise() {
	if ft == nil {
		return
	}
	if ft.exit {
		runtime.Goexit()
	}
	panic(ft.value)
}

// A source brings the inputs of a sequence into a run, on a goroutine of its
// own.
type source[In any] struct {
	e      *engine
	labels labels[In]
	feeder feeder
}

func (s *source[In]) run(inputs iter.Seq[In]) {
	returned := false
	defer func() {
		var ft *fault
		if !returned {
			v := recover()
			ft = &fault{value: v, exit: v == nil}
		}
		if !s.e.sourceEnded(ft) {
			// Nobody is there to be told, and a bug of the source is not
			// for us to hide.
			panic(ft.value)
		}
	}()
	if s.e.awaitRoom(&s.feeder, nil) {
		inputs(s.feed)
	}
	returned = true
}

// feed brings one input in, and returns when there is room for the next one;
// false when none is wanted any more.
func (s *source[In]) feed(x In) bool {
	e := s.e
	var l *lineage
	if e.refuse() {
		return false
	}
	given := s.labels.label(x)
	if given.key != "" {
		l = &lineage{key: given.key}
	}
	e.mu.Lock()
	if e.closed {
		e.unlock()
		return false
	}
	it := e.inputLocked(e.plan.entry, given.prio, l)
	*it.val.(*In) = x
	a := e.arriveLocked(it, e.plan.entry, 0)
	if a == arrivedNot {
		it.more().feeder = &s.feeder
		e.unlock()
		return e.awaitRoom(&s.feeder, it)
	}
	e.carryLocked(it, a)
	e.inlet = nil
	if at := &e.plan.sites[it.site]; at.kind == siteStage {
		e.inlet = e.pools[at.pool]
	}
	if e.roots < e.conf.window && (e.inlet == nil || e.inlet.hasRoom()) {
		e.unlock()
		return true
	}
	e.unlock()
	return e.awaitRoom(&s.feeder, nil)
}

// awaitRoom returns when an item has got in, if there is one, and there is room
// for another one; false when none is wanted any more.
func (e *engine) awaitRoom(f *feeder, blocked *item) bool {
	e.mu.Lock()
	for {
		switch {
		case e.closed:
			e.unlock()
			return false
		case blocked != nil && blocked.x.feeder != nil:
		case e.hasRoomLocked():
			e.unlock()
			return true
		default:
			e.starved = f
		}
		e.unlock()
		<-f.wake
		e.mu.Lock()
	}
}

// hasRoomLocked reports whether another input may come. If not, somebody who
// counts a result as yielded will find that the run is hungry; see yieldedOne.
func (e *engine) hasRoomLocked() bool {
	if e.roots >= e.conf.window {
		e.hungry.Store(true)
		e.countLocked()
	}
	return e.wantsLocked()
}

// yieldedOne counts a result as yielded. It counts first and then looks whether
// somebody waits for that, who does it the other way round.
func (e *engine) yieldedOne() {
	e.yielded.Add(1)
	if e.hungry.Load() && e.hungry.Swap(false) {
		e.mu.Lock()
		e.countLocked()
		e.unlock()
	}
}

// sourceEnded notes how the source ended. It reports false for a panic that no
// consumer will see.
func (e *engine) sourceEnded(ft *fault) bool {
	e.mu.Lock()
	defer e.unlock()
	e.closeLocked()
	e.fault = ft
	e.tellLocked()
	return !e.left || ft == nil || ft.exit
}

// A result is what the consumer gets of an item.
type result[Out any] struct {
	value Out
	err   error
}

// A consumer is the loop over the results of a run.
type consumer[Out any] struct {
	e       *engine
	ctx     context.Context
	buffer  [32]result[Out]
	items   [32]*item // whose results these are
	taken   int
	ended   bool // with the failure of FailFast
	asked   bool
	closing <-chan struct{}
}

// take blocks for results and returns those that there are; nil when none will
// come any more.
func (c *consumer[Out]) take() []result[Out] {
	e := c.e
	ended := c.ctx.Err() != nil
	e.mu.Lock()
	e.countLocked()
	e.taken, c.taken = c.items[:0], 0
	for {
		if ended || e.failure != nil && e.last == nil || c.ended {
			e.unlock()
			return nil
		}
		for it := e.out.head; it != nil && c.taken < len(c.buffer) && !c.ended; it = it.qnext {
			r := &c.buffer[c.taken]
			c.items[c.taken] = it
			c.taken++
			r.err = it.failure()
			c.ended = it == e.last
			if r.err == nil {
				r.value = *it.val.(*Out)
			}
		}
		if c.taken > 0 {
			e.taken = c.items[:c.taken]
			e.unlock()
			return c.buffer[:c.taken]
		}
		if e.over {
			e.unlock()
			return nil
		}
		e.waits = true
		e.unlock()
		c.wait()
		ended = c.ctx.Err() != nil
		e.mu.Lock()
		e.waits = false
	}
}

// wait blocks until there is news, ctx ends, or the executor takes no more.
func (c *consumer[Out]) wait() {
	e := c.e
	if !c.asked {
		c.asked, c.closing = true, e.ex.Closing()
	}
	antflow.Blocking(c.ctx, func() error {
		select {
		case <-e.news:
		case <-c.ctx.Done():
		case <-c.closing:
			c.closing = nil
			e.refuse()
		}
		return nil
	})
}

// refuse ends the pulling if the executor has been shut down, unless the run is
// part of a task of its own. It reports whether that is so.
func (e *engine) refuse() bool {
	if e.ex.Accepts(e.ctx) {
		return false
	}
	e.mu.Lock()
	if !e.closed {
		e.refused = true
	}
	e.closeLocked()
	e.tellLocked()
	e.unlock()
	return true
}

var errLoopLeft error = sentinel("the loop over the results was left")

// leave ends the run if it isn't over. A panic of the source that nobody has
// seen is raised.
func (c *consumer[Out]) leave() {
	e := c.e
	cause, err := errLoopLeft, context.Canceled
	if c.ctx.Err() != nil {
		cause, err = context.Cause(c.ctx), c.ctx.Err()
	}
	e.mu.Lock()
	e.left = true
	ft := e.fault
	e.fault = nil
	e.stopLocked(cause, err)
	e.unlock()
	e.cancel(errLoopLeft)
	ft.raise()
}

// end is the last error of the loop, or nil.
func (c *consumer[Out]) end() error {
	e := c.e
	e.mu.Lock()
	failure, refused := e.failure, e.refused
	e.unlock()
	switch {
	case c.ended:
		return nil
	case c.ctx.Err() != nil:
		return waitErr(c.ctx)
	case failure != nil:
		return failure
	case refused:
		return antflow.ErrShutdown
	}
	return nil
}
