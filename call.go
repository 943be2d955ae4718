package antflow

import "context"

// A Call is one call of a [Task] on its way, for those who make a [Runner].
// They hand it to another runner, or have it run elsewhere by its method
// Remote: one of the two, once.
type Call interface {
	// Task is the name of the task.
	Task() string

	// Settings is what the options of the task and of the call say together.
	Settings() TaskSettings

	// Input is the input, to be encoded. It must not be changed. Once the call was
	// handed on, or is settled, there is none.
	Input() any

	// Remote makes the call a task of e whose function e never calls. Something
	// else does, and tells what becomes of it; see [Remote]. e accepts the task,
	// or refuses it, as it does any other, so when Remote returns, the task may
	// be settled already. Of the options only the name, the priority and
	// [NonBlocking] are e's business.
	//
	// cancel is called once, when the task's cancellation is first asked for:
	// by its future, the end of ctx, or a shutdown. It must not block, and may be
	// called before Remote returns. The task settles with [Remote.Settle] all
	// the same. A nil ctx, e or cancel panics, and so does a second use of the call.
	Remote(ctx context.Context, e *Executor, cancel func()) Remote

	runOn(ctx context.Context, e *Executor) Waitable
}

// A call is the task of a [Task.Submit], and its [Call]: the future, the
// function and the input in one.
type call[In, Out any] struct {
	Future[Out]
	of   *Task[In, Out]
	in   In
	more *callMore // nil if an executor runs it, which needs none of it
}

// callMore is what a runner may want to know that isn't an executor, and what
// it makes of the call.
type callMore struct {
	opts     []TaskOption
	settings TaskSettings
	remote   remote
}

func (c *call[In, Out]) invoke(ctx context.Context) error {
	v, err := c.of.fn(ctx, c.in)
	if err == nil {
		c.value = v
	}
	return err
}

func (c *call[In, Out]) drop() {
	var none In
	c.in = none
}

func (c *call[In, Out]) settled()              {}
func (c *call[In, Out]) function() (any, bool) { return c.of.fn, false }

// submit makes c a task of e that e runs.
func (c *call[In, Out]) submit(ctx context.Context, e *Executor, opts []TaskOption) *Future[Out] {
	sp, above := e.specOf(&e.defaults, opts)
	c.above = above
	e.submit(e.termsOf(ctx, sp), &c.task, c, nil)
	return &c.Future
}

// handTo has r run c.
func (c *call[In, Out]) handTo(ctx context.Context, r Runner, own int, opts []TaskOption) *Future[Out] {
	c.more = &callMore{opts: opts, settings: c.of.settings}
	if len(opts) > own {
		c.more.settings = settingsOf(own, opts)
	}
	w := r.RunCall(ctx, c)
	if w == nil || w.asTask() != &c.task {
		must(false, "Task.Submit(%q): the runner %T returned a %T, which is not the future of the call", c.of.name, r, w)
	}
	return &c.Future
}

// begin is called by what begins the call.
func (c *call[In, Out]) begin(name string) {
	if c.terms != nil {
		must(false, "%s: the call of %q was begun before", name, c.of.name)
	}
}

// Task implements [Call].
func (c *call[In, Out]) Task() string { return c.of.name }

// Settings implements [Call].
func (c *call[In, Out]) Settings() TaskSettings { return c.more.settings }

// Input implements [Call].
func (c *call[In, Out]) Input() any { return c.in }

func (c *call[In, Out]) runOn(ctx context.Context, e *Executor) Waitable {
	c.begin("Executor.RunCall")
	return c.submit(ctx, e, c.more.opts)
}

// Remote implements [Call].
func (c *call[In, Out]) Remote(ctx context.Context, e *Executor, cancel func()) Remote {
	must(ctx != nil, "Call.Remote: the context must not be nil")
	must(e != nil, "Call.Remote: the executor must not be nil")
	must(cancel != nil, "Call.Remote: the function must not be nil")
	c.begin("Call.Remote")
	s := &c.more.settings
	m := &c.more.remote
	m.t, m.cancel = &c.task, cancel
	c.task.extra().remote = m
	c.submit(ctx, e, []TaskOption{&remoteOptions{s.Name, s.Priority, s.QueueTimeout, s.NonBlocking}})
	m.watch()
	return remoteCall[In, Out]{c}
}

// remoteCall is a call as a [Remote].
type remoteCall[In, Out any] struct{ c *call[In, Out] }

// Future implements [Remote].
func (r remoteCall[In, Out]) Future() Waitable { return &r.c.Future }

// Started implements [Remote].
func (r remoteCall[In, Out]) Started(attempt int) { r.c.more.remote.started(attempt) }

// Retrying implements [Remote].
func (r remoteCall[In, Out]) Retrying(x RemoteRetry) { r.c.more.remote.retrying(x) }

// Settle implements [Remote].
func (r remoteCall[In, Out]) Settle(end RemoteEnd) bool { return r.c.more.remote.settle(end, r) }

// decode stores the result in the future, or nothing.
func (r remoteCall[In, Out]) decode(decode func(out any) error) error {
	var v Out
	err := guard(func() error { return decode(&v) })
	if err == nil {
		r.c.value = v
	}
	return err
}
