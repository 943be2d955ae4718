// Package antflow runs tasks on a bounded pool of workers and hands out their
// results as typed futures: concurrent.futures for Go.
//
//	e := antflow.New(8)
//	defer e.Close()
//
//	f := antflow.Submit(ctx, e, func(ctx context.Context) (int, error) {
//		return fetch(ctx, url)
//	}, antflow.Retries(3), antflow.Timeout(10*time.Second))
//
//	n, err := f.Result(ctx)
//
// [Submit] gives a [Future] of one task. [Map], [Map2] and [MapUnordered] run
// a function over a sequence and yield the results, [MapSlice] and [ForEach]
// do so for a whole input, and a [Group] is tasks that succeed or fail
// together. [Wait], [WaitN] and [AsCompleted] combine futures. Options give a
// task retries, a timeout, a priority, a semaphore or a rate limit.
//
// # Tasks and runners
//
// A [Task] is a function with a name and default options, made once by
// [NewTask]. [Task.Submit], [Task.Map] and [Task.MapUnordered] call it, with an
// input, on any [Runner]. An executor is one, and runs it as it does a closure.
// Others send the call to another process, or choose between runners; the
// futures are the same. A [Call] is what they get, and [Remote] how they have an
// executor keep the books of what runs elsewhere.
//
// # Life of a task
//
// Submit makes one value that is task and future in one. The [Executor] admits
// it: at once, unless a [QueueLimit] is reached, in which case the Submit
// blocks. It is queued; with a free worker there it starts at the same moment.
// A worker takes it from the queue, through its conditions in this order: a
// place under [MaxConcurrency], a permit of its semaphore, an event of its rate
// limit. For none of these does a worker wait: the task leaves its slot to
// another one and comes back ahead of the queue. Then its function is called,
// with a context of its own. When that returns the attempt is over, and all
// that it held is given back. If it is to be retried the task waits for its
// delay, again without a worker, and keeps its place in the order. Else its
// future settles, once and for all: its result is there to read, waits and
// iterators go on, Done is closed, and then its callbacks run.
//
// # Slots
//
// At any instant at most [Executor.MaxWorkers] tasks run, and no task that
// could run waits while fewer do. A task that blocks in this package through
// the context it was given lends its slot while it does and gets one back,
// ahead of the queue, before the wait returns. So tasks may submit tasks and
// wait for them, to any depth and with one worker. [Blocking] does the same
// for any other wait, such as a channel. A wait through another context, or on
// the channel of [Future.Done], keeps the slot.
//
// # Order
//
// What starts next is first what resumes after a wait, in the order in which
// the waits ended; then queued tasks that a blocked task of the executor waits
// for, those of the latest wait first; then by [Priority], and among equals by
// submission.
//
// # Cancellation
//
// The context given to Submit governs the task for good: when it ends, a task
// that has not started never will, and a running one has its own context
// canceled. [Future.Cancel] does the same to one task, [CancelQueued] and
// [CancelRunning] to all. A running task is never abandoned: its future settles
// when its function returns, as canceled if that returned an error. All
// cancellations match [ErrCanceled], the context's Err and its Cause. The end
// of a context given to a wait, as [Future.Result], ends only the wait, with a
// [*WaitError].
//
// # Panics
//
// A panic in a task settles its future with a [*PanicError] that has the value
// and the stack, and [runtime.Goexit] settles it with [ErrGoexit]; the worker
// goes on. Panics of callbacks are not recovered.
//
// # Shutdown
//
// [Executor.Close] stops admission and waits for every accepted task.
// [Executor.Shutdown] does so under a context, and can cancel. An executor at
// rest has no goroutine and no timer; one that is dropped is collected.
//
// # Memory model
//
// What happened before Submit is visible to the task, what one attempt did to
// the next, and what the task did to whoever sees its future done, by any of
// its methods.
//
// # Errors
//
// Programmer errors, such as a negative number or a nil function, panic in the
// caller. Everything that depends on the run settles a future or ends an
// iteration with an error. The messages of this package's errors start with
// "antflow: "; a user's error is passed on untouched.
//
// # Observation
//
// [Executor.Observe] has a function told of each step of each task, in their
// order, on a goroutine of its own: it can neither hold up a worker nor change a
// result. While somebody observes, [Executor.Snapshot] has latencies, figures by
// task name, what each worker does, and the failures in groups; [SetStatus] lets
// a task say more. A [Tracer] is called around each attempt, and may change the
// function's context. What nobody observes costs nothing.
//
// # Tests
//
// All waiting is done with package time and channels, so code that uses the
// package can be tested with fake time in a bubble of [testing/synctest].
package antflow
