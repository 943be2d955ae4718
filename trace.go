package antflow

import (
	"context"
	"slices"
	"sync/atomic"
	"time"
)

// A Tracer is called before and after each attempt of each task, on the worker,
// which waits for it: it is part of the attempt, and may change the context
// that the function gets. It is for spans and for whatever else has to be in
// that context; who only wants to know observes, see [Executor.Observe]. Its
// methods must be safe for concurrent use. When one panics, the first panic is
// written to the standard logger of package log, and the task goes on. A
// [runtime.Goexit] in AttemptStart is like one in the function.
//
// For a task whose function is called, AttemptStart and AttemptEnd are called in
// turn, and in the end TaskEnd. AttemptEnd comes before the result can
// be read, TaskEnd before callbacks are called and before a shutdown returns.
type Tracer interface {
	// AttemptStart is called before the function. It returns the context for
	// it: ctx, which is the attempt's, or one derived from it.
	AttemptStart(ctx context.Context, a AttemptStart) context.Context

	// AttemptEnd is called when the function has ended, with the context that
	// it got, which has ended too.
	AttemptEnd(ctx context.Context, a AttemptEnd)

	// TaskEnd is called when the task has settled, with the context that the
	// function got for the first attempt.
	TaskEnd(ctx context.Context, t TaskEnd)
}

// AttemptStart is what a [Tracer] is told of an attempt that begins.
type AttemptStart struct {
	Task       TaskInfo      // as in [Event]
	Queued     time.Duration // as in [Event]
	PermitWait time.Duration
	RateWait   time.Duration

	// First is the context that the function got for the first attempt of this
	// task, which has ended; nil for the first.
	First context.Context

	// Joined tells that the task is of a map, a ForEach or a group, whose
	// caller waits for it.
	Joined bool
}

// AttemptEnd is what a [Tracer] is told of an attempt that is over.
type AttemptEnd struct {
	Task  TaskInfo
	Ran   time.Duration
	Err   error         // of the attempt, nil when it succeeded
	Retry bool          // another attempt is to follow
	Delay time.Duration // until that is due

	// Canceled tells that the attempt failed and that the task's cancellation
	// had been asked for, by whatever way. So the task is going to be canceled,
	// unless it panicked.
	Canceled bool
}

// TaskEnd is what a [Tracer] is told of a task that has settled.
type TaskEnd struct {
	Task  TaskInfo
	State State // StateSucceeded, StateFailed or StateCanceled
	Err   error // as [Future.Err]
}

// WithTracer has every attempt of the executor's tasks traced by t. Given more
// than once, the tracers are nested: the context that one returns is what the
// next one gets, and the ends are told in the reverse order, with the context of
// the last. An executor with a tracer is always observed, see
// [Executor.Observe]. A nil t panics.
func WithTracer(t Tracer) Option {
	must(t != nil, "WithTracer(nil): the tracer must not be nil")
	return executorOption(func(e *Executor) {
		if e.tracers == nil {
			e.Measure() // for good
		}
		e.tracers = append(e.tracers, &tracing{Tracer: t})
	})
}

// tracing is a tracer of an executor.
type tracing struct {
	Tracer
	panicked atomic.Bool
}

// call calls a method of the tracer, and survives its panic.
func (tr *tracing) call(fn func(Tracer)) {
	defer func() {
		if v := recover(); v != nil && !tr.panicked.Swap(true) {
			logPanic("a tracer", v)
		}
	}()
	fn(tr.Tracer)
}

// A trace is the contexts that tracers made for a task.
type trace struct {
	first   context.Context // of the first attempt
	current context.Context // of the latest
}

// traceStart tells the tracers of an attempt that begins, and returns the
// context for the function.
func (t *task) traceStart(ctx context.Context) context.Context {
	r := t.record()
	_, joined := t.runner.function()
	a := AttemptStart{
		Task:       t.observedInfo(r),
		Queued:     max(r.began-r.since, 0),
		PermitWait: r.x.permit,
		RateWait:   r.x.rate,
		Joined:     joined,
	}
	a.First = r.x.trace.first
	for _, tr := range t.spec.e.tracers {
		tr.call(func(tracer Tracer) {
			if derived := tracer.AttemptStart(ctx, a); derived != nil {
				ctx = derived
			}
		})
	}
	if r.x.trace.first == nil {
		r.x.trace.first = ctx
	}
	r.x.trace.current = ctx
	return ctx
}

// traceEnd tells them that it is over.
func (t *task) traceEnd(end *ending, canceled bool) {
	r := t.record()
	if r.x.trace.current == nil {
		return
	}
	ctx := r.x.trace.current
	r.x.trace.current = nil
	e := t.spec.e
	a := AttemptEnd{
		Task:  t.observedInfo(r),
		Ran:   time.Since(e.journal.epoch) - r.began,
		Err:   end.err,
		Retry: end.retry,
		Delay: end.delay,

		Canceled: end.err != nil && (end.ended || canceled),
	}
	for _, tr := range slices.Backward(e.tracers) {
		tr.call(func(tracer Tracer) { tracer.AttemptEnd(ctx, a) })
	}
}

// traceSettled tells the tracers, if they know of t, that it was published.
func (t *task) traceSettled() {
	r := t.record()
	if r == nil || t.spec.e.tracers == nil || r.x.trace.first == nil {
		return
	}
	ctx := r.x.trace.first
	r.x.trace = trace{}
	end := TaskEnd{Task: t.observedInfo(r), State: t.State(), Err: t.error()}
	for _, tr := range slices.Backward(t.spec.e.tracers) {
		tr.call(func(tracer Tracer) { tracer.TaskEnd(ctx, end) })
	}
}
