package pipeline

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/antflow/antflow"
)

// newEngine prepares a run.
func newEngine(ctx context.Context, ex *antflow.Executor, p *plan, conf settings, ordered bool) *engine {
	e := &engine{ordered: ordered, plan: p, ex: ex, conf: conf, epoch: time.Now(), procs: runtime.GOMAXPROCS(0)}
	e.ctx, e.cancel = context.WithCancelCause(ctx)
	e.exact = p.wraps || conf.onEvent != nil || conf.history > 0
	e.news = make(chan struct{}, 1)
	e.done = make(chan struct{})
	e.made = make([]int, len(p.sites))
	e.spare = make([][]any, p.classes)
	e.cursors = make([]*item, len(p.points))
	e.pools = make([]*pool, len(p.pools))
	for i, d := range p.pools {
		q := &pool{e: e, def: d, index: i, limit: d.workers, buffer: d.buffer}
		q.settings = d.settings(ex)
		if q.tasks = needsTasks(&q.settings); q.tasks {
			q.opts = q.taskOptions()
		}
		q.plain = d.kind == stageMap && !q.tasks && q.settings.Timeout == 0 && !(ordered && d.inOrder)
		q.figures.needed, q.figures.still = quickCalls, conf.still > 0
		if q.figures.still {
			q.figures.needed = conf.still
		}
		q.serial = e.ordered && (d.kind == stageFold || d.inOrder && d.workers == 1 && d.adapt == nil)
		if d.adapt != nil {
			q.adapt = &adapting{adaptive: d.adapt}
		}
		e.pools[i] = q
	}
	e.gathers = make([]*gather, len(p.gathers))
	for _, site := range p.fans {
		s := &p.sites[site]
		f := &fan{e: e, site: site, front: s.front}
		if s.kind == siteStage {
			f.pool = e.pools[s.pool]
			f.pool.fans = append(f.pool.fans, f)
		}
		e.fans = append(e.fans, f)
	}
	for i, site := range p.gathers {
		s := &p.sites[site]
		g := &gather{e: e, site: site, order: s.point, def: s.batch}
		if s.kind == siteBatch {
			g.batch = s.batch.make()
		} else {
			g.fold = s.def.fold()
		}
		e.gathers[i] = g
	}
	return e
}

// show lets the monitor see the run, of which all is there by now.
func (e *engine) show() {
	if m := e.conf.monitor; m != nil {
		m.e.Store(e)
	}
}

// inputLocked returns an item for an input, which is in the run by this. Its
// value is to be put into its cell, and then it is to arrive at the site.
func (e *engine) inputLocked(at, prio int, l *lineage) *item {
	it := e.itemLocked()
	it.id, it.prio, it.lineage, it.made = e.nextID, prio, l, -1
	if prio != 0 && !e.prios {
		e.recallAllLocked()
		e.prios = true
	}
	e.nextID++
	it.val = e.cellLocked(at)
	it.site = int32(at)
	e.addLocked(it, nil, at)
	return it
}

// A Run is one run of a pipeline that inputs are fed to one by one. Make it
// with [Pipeline.Start]; all methods are safe for concurrent use.
type Run[In, Out any] struct {
	Monitor
	e      *engine
	parent context.Context
	labels labels[In]
	watch  func() bool
}

// Start begins a run that is fed by [Run.Feed], and has to be ended by
// [Run.Close] or [Run.Stop]. It does not block, and starts nothing: without
// items a run has no goroutine. The run ends before its time when ctx does, or
// when the executor is shut down with a cancellation; then what is left of it
// is canceled. The stages' functions get contexts with ctx's values. A nil ctx,
// ex or option panics.
func (p Pipeline[In, Out]) Start(ctx context.Context, ex *antflow.Executor, opts ...RunOption) *Run[In, Out] {
	p.part("Start")
	must(ctx != nil, "Start: the context must not be nil")
	conf := p.plan.settingsOf("Start", ex, opts)
	r := &Run[In, Out]{parent: ctx, labels: labelsOf[In]("Start", &conf)}
	e := newEngine(ctx, ex, p.plan, conf, false)
	e.exact = true
	e.failures.keep = conf.letters
	e.settle = settleWith[Out]
	r.e = e
	r.Monitor.e.Store(e)
	e.show()
	r.watch = context.AfterFunc(ctx, func() { e.stop(ctx) })
	return r
}

// settleWith settles the future of an origin.
func settleWith[Out any](o *origin) {
	if o.release != nil {
		o.release()
	}
	p := o.promise.(*antflow.Promise[Out])
	switch {
	case len(o.errs) == 1:
		p.SetError(o.errs[0])
	case len(o.errs) > 1:
		p.SetError(errors.Join(o.errs...))
	case o.out != nil:
		p.SetResult(*o.out.(*Out))
	case o.canceled != nil:
		p.SetError(o.canceled)
	default:
		p.SetError(ErrSkipped)
	}
}

// Feed gives an input to the run and returns the future of its result. It
// blocks while the run has no room for it: while [Window] inputs are in it, or
// the first stage's [Buffer] is full; so whoever feeds all before reading the
// first result has to have room for all.
//
// ctx governs the item: when it ends, the item is canceled wherever it is, and
// the stages' functions get ctx's values. But a stage's function may feed the
// run that it works for with its own context: then Feed doesn't block, since the
// function's item could be what it waits for, it is taken after [Run.Close],
// too, and the end of the call doesn't cancel it. The future settles when the item has
// left the pipeline: with its result, with an [*ItemError] that names the stage
// where it failed, with an error that Is [antflow.ErrCanceled], with
// [ErrSkipped] when nothing came of it, or with [ErrClosed] or
// [antflow.ErrShutdown]. The members of a
// batch share the result; when an item has become several ones, the result is
// that of the first to finish, and an error has the errors of all. Its Cancel
// cancels the item. The future is that of a promise: it is pending until the
// item has left, without an ID and attempts; see [Monitor.FindFuture] and
// [ItemError]. A nil ctx and a nil option panic.
func (r *Run[In, Out]) Feed(ctx context.Context, x In, opts ...FeedOption) *antflow.Future[Out] {
	must(r != nil, "Feed: the run is nil")
	must(ctx != nil, "Feed: the context must not be nil")
	return feed("Feed", ctx, r, r.labels.label(x), r.e.plan.entry, x, opts)
}

// FeedAt is [Run.Feed] of an input that enters at a stage, as if the ones before
// it had given x for it. A name that no stage has, one of a stage that occurs at
// several places of the pipeline, and an x that isn't of the stage's type of
// items panic.
func FeedAt[A, In, Out any](ctx context.Context, r *Run[In, Out], stage string, x A, opts ...FeedOption) *antflow.Future[Out] {
	must(r != nil, "FeedAt: the run is nil")
	at := -1
	for i := range r.e.plan.sites {
		if s := &r.e.plan.sites[i]; s.kind == siteStage && s.def.name == stage {
			must(at < 0, "FeedAt(%q): the stage occurs at several places of the pipeline", stage)
			at = i
		}
	}
	must(at >= 0, "FeedAt(%q): there is no stage of that name", stage)
	cell := r.e.plan.sites[at].cells.make()
	_, ok := cell.(*A)
	must(ok, "FeedAt(%q): the input is of type %s, but the stage takes %s", stage, typeIn(new(A)), typeIn(cell))
	return feed("FeedAt", ctx, r, fed{}, at, x, opts)
}

// typeIn is the name of the type that a cell is for.
func typeIn(cell any) string { return strings.TrimPrefix(fmt.Sprintf("%T", cell), "*") }

// feed gives an input to the run that enters at a site.
func feed[A, In, Out any](where string, ctx context.Context, r *Run[In, Out], given fed, at int, x A, opts []FeedOption) *antflow.Future[Out] {
	must(ctx != nil, "%s: the context must not be nil", where)
	p := antflow.NewPromise[Out]()
	f := p.Future()
	o := &origin{refs: 1, promise: p, future: f}
	if r.e.failures.keep > 0 {
		o.input = x
	}
	for i, opt := range opts {
		must(opt != nil, "%s: nil FeedOption at index %d", where, i)
		opt(&given)
	}
	l := &lineage{origin: o, key: given.key}
	if ctx != r.parent {
		l.values = context.WithoutCancel(antflow.WithoutTask(ctx))
	}
	p.OnCancel(func() { r.e.cancelOrigin(o, errCanceled) })
	r.e.enter(ctx, l, given.prio, at, r.parent, func(cell any) { *cell.(*A) = x })
	return f
}

// enter lets an input into the run, when there is room.
func (e *engine) enter(ctx context.Context, l *lineage, prio, at int, parent context.Context, fill func(cell any)) {
	o := l.origin
	var own bool
	if c, ok := ctx.Value(ownItemKey{e}).(*callContext); ok {
		own = !c.ended()
	}
	if done := ctx.Done(); done != nil && done != parent.Done() && !own {
		o.ctx = ctx
	}
	var f *feeder
	granted := false
	refused := !own && !e.ex.Accepts(e.ctx)
	ended := endedBy(ctx)
	e.mu.Lock()
	if !own && !e.closed && (len(e.feeders) > 0 || e.roots >= e.conf.window) {
		f = &feeder{wake: make(chan struct{}, 1)}
		e.feeders = append(e.feeders, f)
		e.unlock()
		f.wait(ctx)
		ended = endedBy(ctx)
		e.mu.Lock()
		if i := slices.Index(e.feeders, f); i >= 0 {
			e.feeders = slices.Delete(e.feeders, i, i+1)
		} else {
			granted = true
		}
	}
	switch {
	case e.failure != nil:
		o.canceled = &cancelError{err: context.Canceled, cause: e.failure}
	case e.refused && !own:
		o.errs = append(o.errs, antflow.ErrShutdown)
	case e.closed && !own, e.over:
		o.errs = append(o.errs, ErrClosed)
	case ended != nil:
		o.canceled = ended
	case refused:
		o.errs = append(o.errs, antflow.ErrShutdown)
	}
	if o.canceled != nil || o.errs != nil {
		e.settleLocked(o)
		if granted {
			e.wentLocked(1)
		}
		e.unlock()
		return
	}
	if granted {
		e.roots-- // the room that was kept for it
	}
	it := e.inputLocked(at, prio, l)
	fill(it.val)
	a := e.arriveLocked(it, at, 0)
	if a != arrivedNot {
		e.carryLocked(it, a)
	} else if !own {
		if f == nil {
			f = &feeder{wake: make(chan struct{}, 1)}
		}
		it.more().feeder = f
	}
	e.unlock()
	if o.ctx != nil {
		stop := context.AfterFunc(ctx, func() { e.cancelOrigin(o, canceledBy(ctx)) })
		e.mu.Lock()
		settled := o.settled
		if !settled {
			o.release = stop
		}
		e.unlock()
		if settled {
			stop()
		}
	}
	if a == arrivedNot && !own {
		f.wait(ctx)
	}
}

// endedBy is the cancellation by a context that has ended, or nil. It calls the
// context's methods, so it is called without the lock.
func endedBy(ctx context.Context) *cancelError {
	if ctx.Err() == nil {
		return nil
	}
	return canceledBy(ctx)
}

// wait blocks until the feeder is told, or ctx ends.
func (f *feeder) wait(ctx context.Context) {
	antflow.Blocking(ctx, func() error {
		select {
		case <-f.wake:
		case <-ctx.Done():
		}
		return nil
	})
}

// Close ends the feeding and waits until everything that was fed has left the
// pipeline, batches that are not full and reductions included. It returns nil
// then, also if items failed: that is what their futures tell. If the run ended
// before its time it returns why: a [*antflow.WaitError] when the context of
// [Pipeline.Start] ended, the [*ItemError] under [FailFast], [ErrStopped], or
// an error that Is [antflow.ErrShutdown]. It may be called more than once. The
// run's own items must not call it, since it waits for them.
func (r *Run[In, Out]) Close() error { return r.Shutdown(context.Background()) }

// Shutdown is [Run.Close] that stops waiting when ctx ends, with a
// [*antflow.WaitError]; what runs goes on. It may be called again. Called with
// a task's context it lends the task's slot while it blocks. A nil ctx panics.
func (r *Run[In, Out]) Shutdown(ctx context.Context) error {
	must(r != nil, "Shutdown: the run is nil")
	must(ctx != nil, "Shutdown(nil): the context must not be nil")
	e := r.e
	e.mu.Lock()
	e.closeLocked()
	e.unlock()
	antflow.Blocking(ctx, func() error {
		select {
		case <-e.done:
		case <-ctx.Done():
		}
		return nil
	})
	select {
	case <-e.done:
	default:
		return waitErr(ctx)
	}
	r.watch()
	e.cancel(ErrClosed)
	return e.endError(r.parent)
}

// Stop cancels everything in the run and waits until the functions that are
// being called have returned. The cause that their contexts have is
// [ErrStopped]. It may be called at any time, also while a [Run.Close] waits.
// It returns what [Run.Close] does. The run's own items must not call it.
func (r *Run[In, Out]) Stop() error {
	must(r != nil, "Stop: the run is nil")
	r.e.mu.Lock()
	r.e.stopLocked(ErrStopped, context.Canceled)
	r.e.unlock()
	return r.Close()
}

// closeLocked ends the feeding.
func (e *engine) closeLocked() {
	if e.closed {
		return
	}
	e.closed = true
	for _, f := range e.feeders {
		e.signalLocked(f.wake)
	}
	if f := e.starved; f != nil {
		e.starved = nil
		e.signalLocked(f.wake)
	}
}

// endError is why the run ended before its time, or nil.
func (e *engine) endError(parent context.Context) error {
	e.mu.Lock()
	failure := e.failure
	e.unlock()
	var item *ItemError
	switch {
	case failure == nil:
		return nil
	case errors.As(failure, &item), failure == ErrStopped:
		return failure
	case parent.Err() != nil:
		return waitErr(parent)
	}
	return failure
}
