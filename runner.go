package antflow

import (
	"context"
	"iter"
	"slices"
)

// A Runner runs the calls of a [Task]: an [*Executor] does so in this process,
// the client of package cluster on other machines. So a program changes where
// its work is done by changing one value, and keeps futures, [Wait],
// [AsCompleted] and maps.
//
// Programs pass runners on and don't call RunCall. Whoever wants to choose
// between two, or to count, makes a Runner that hands the call to another one.
type Runner interface {
	// RunCall begins c, once, and returns its future, which is the one that a
	// method of c returned. It blocks and fails as [Submit] does: what keeps the
	// call from running is its future's error. ctx governs the call.
	RunCall(ctx context.Context, c Call) Waitable
}

// A Task is a function with a name and default options, which any [Runner] can
// run. The name is how other processes know it, so there it must be the same,
// and the input and the result must be such that they can be encoded; in this
// process nothing is encoded, and a call costs about what a closure does.
//
// Tasks are values to make once, mostly package variables. They are safe for
// concurrent use.
type Task[In, Out any] struct {
	name    string
	fn      func(context.Context, In) (Out, error)
	opts    []TaskOption
	mapOpts []MapOption

	settings TaskSettings // what opts say
}

// NewTask returns the task that calls fn. The options are defaults for each
// call: they win over those of the executor, and the call's own options win
// over them. Its name is the label of its calls, too, unless [TaskName] says
// otherwise. An empty name, a nil fn and a nil option panic.
func NewTask[In, Out any](name string, fn func(context.Context, In) (Out, error), opts ...TaskOption) *Task[In, Out] {
	must(name != "", "NewTask: the name must not be empty")
	must(fn != nil, "NewTask(%q): the function must not be nil", name)
	applyTaskOptions(new(spec), opts)
	t := &Task[In, Out]{name: name, fn: fn, opts: append([]TaskOption{TaskName(name)}, opts...)}
	t.opts = slices.Clip(t.opts)
	t.settings = settingsOf(len(t.opts), t.opts)
	for _, o := range t.opts {
		t.mapOpts = append(t.mapOpts, o)
	}
	t.mapOpts = slices.Clip(t.mapOpts)
	return t
}

// Name returns the name that the task was made with. It does not block.
func (t *Task[In, Out]) Name() string {
	must(t != nil, "Task.Name: the task is nil")
	return t.name
}

// Options returns the task's name and default options as one option. It does
// not block.
func (t *Task[In, Out]) Options() TaskOption {
	must(t != nil, "Task.Options: the task is nil")
	return JoinOptions(t.opts...)
}

// Submit has r call the task's function with in, and returns the future. On an
// [*Executor] it is [Submit]; what other runners do otherwise they say. It
// blocks only while the runner's queue is full, see [QueueLimit] and
// [NonBlocking]. ctx governs the call as that of Submit does. A nil ctx, r or
// option panics. It is safe for concurrent use.
func (t *Task[In, Out]) Submit(ctx context.Context, r Runner, in In, opts ...TaskOption) *Future[Out] {
	must(t != nil, "Task.Submit: the task is nil")
	must(ctx != nil, "Task.Submit: the context must not be nil") // the name in it would be an allocation
	must(r != nil, "Task.Submit: the runner must not be nil")
	if len(opts) > 0 {
		opts = slices.Concat(t.opts, opts)
	} else {
		opts = t.opts
	}
	c := &call[In, Out]{of: t, in: in}
	if e, ok := r.(*Executor); ok { // the same as handTo, but it needs to know less
		must(e != nil, "Task.Submit: the executor is nil")
		return c.submit(ctx, e, opts)
	}
	return c.handTo(ctx, r, len(t.opts), opts)
}

// Map calls the task's function for each input, as [Map] does: lazily, within a
// [Window], and yielding in the order of the inputs. [MaxConcurrency] limits the
// calls of this map that are handed to r at the same time. With a [Key] the
// call for the input at index 7 has the key "<key>/7".
func (t *Task[In, Out]) Map(ctx context.Context, r Runner, inputs iter.Seq[In], opts ...MapOption) iter.Seq2[Out, error] {
	e, opts := t.mapArguments("Map", ctx, r, inputs == nil, opts)
	if e != nil {
		return ordered(newMapper("Task.Map", ctx, e, inputs, t.fn, opts))
	}
	return func(yield func(Out, error) bool) {
		m := newRunnerMap(ctx, r, t, opts)
		defer m.leave()
		m.results(ordered(newMapper("Task.Map", ctx, m.local, m.source(inputs), m.await, m.mapOpts)), yield)
	}
}

// MapUnordered is [Task.Map] in the order of completion; each result comes with
// its input and the input's index.
func (t *Task[In, Out]) MapUnordered(ctx context.Context, r Runner, inputs iter.Seq[In], opts ...MapOption) iter.Seq2[Item[In, Out], error] {
	e, opts := t.mapArguments("MapUnordered", ctx, r, inputs == nil, opts)
	if e != nil {
		return unordered(newMapper("Task.MapUnordered", ctx, e, inputs, t.fn, opts))
	}
	return func(yield func(Item[In, Out], error) bool) {
		m := newRunnerMap(ctx, r, t, opts)
		defer m.leave()
		m.items(unordered(newMapper("Task.MapUnordered", ctx, m.local, m.source(inputs), m.await, m.mapOpts)), yield)
	}
}

// mapArguments checks the arguments of a map, and returns its options with
// those of the task before them, and the executor if r is one.
func (t *Task[In, Out]) mapArguments(name string, ctx context.Context, r Runner, none bool, opts []MapOption) (*Executor, []MapOption) {
	must(t != nil, "Task.%s: the task is nil", name)
	must(ctx != nil, "Task.%s(%q): the context must not be nil", name, t.name)
	must(r != nil, "Task.%s(%q): the runner must not be nil", name, t.name)
	must(!none, "Task.%s(%q): the inputs must not be nil", name, t.name)
	for i, o := range opts {
		must(o != nil, "Task.%s(%q): nil MapOption at index %d", name, t.name, i)
	}
	e, ok := r.(*Executor)
	must(!ok || e != nil, "Task.%s(%q): the executor is nil", name, t.name)
	return e, slices.Concat(t.mapOpts, opts)
}

// Invoke calls the task's function on this goroutine, for runners that got the
// call from another process: decode is called once, with a pointer to the
// input, and what it returns other than nil is returned. The result is the
// function's. It recovers nothing. A nil ctx or decode panics.
func (t *Task[In, Out]) Invoke(ctx context.Context, decode func(in any) error) (out any, err error) {
	must(t != nil, "Task.Invoke: the task is nil")
	must(ctx != nil, "Task.Invoke: the context must not be nil")
	must(decode != nil, "Task.Invoke: the decoder must not be nil")
	var in In
	if err := decode(&in); err != nil {
		return nil, err
	}
	return t.fn(ctx, in)
}

// Key gives a call a stable key. With a runner that outlives the program, a
// call of the same [Task] with the same key is the same one when it is submitted
// again: it is not run a second time, and its future gets the result that there
// is. An executor has no use for it. An empty key is none.
func Key(k string) TaskOption { return keyOption(k) }

// Queue names the queue of a [Runner] that has several, each served by machines
// of its own. An executor has one, and no use for it.
func Queue(name string) TaskOption { return queueOption(name) }

// RunCall implements [Runner].
func (e *Executor) RunCall(ctx context.Context, c Call) Waitable {
	must(e != nil, "Executor.RunCall: the executor is nil")
	must(ctx != nil, "Executor.RunCall: the context must not be nil")
	must(c != nil, "Executor.RunCall: the call must not be nil")
	return c.runOn(ctx, e)
}
