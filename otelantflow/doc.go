// Package otelantflow reports what the executors of package antflow do to
// OpenTelemetry: as metrics, and as spans that join the traces of the programs
// around them. It needs the API of OpenTelemetry alone; which SDK and exporters
// there are is up to the program.
//
//	tel, err := otelantflow.New() // with the global providers of package otel
//	if err != nil {
//		return err
//	}
//	e := tel.NewExecutor(8, antflow.ExecutorName("mail")) // instead of antflow.New
//	defer e.Close()
//
// That is all: nothing is registered for an executor and nothing has to be
// undone. One [Telemetry] serves any number of executors; those of one name are
// counted together. Without an SDK it does nothing, at a small price.
//
// The program examples/otel of this repository has both printed.
//
// # Metrics
//
//	antflow.task.duration           histogram, s                 how long an attempt ran
//	antflow.task.queue.duration     histogram, s                 how long a task waited for its first start
//	antflow.ratelimit.wait.duration histogram, s                 how long an attempt waited for its rate limit
//	antflow.task.completed          counter, {task}              tasks that settled, by antflow.outcome
//	antflow.task.retries            counter, {retry}             attempts that failed and are followed by another
//	antflow.task.rejected           counter, {task}              tasks that were never accepted
//	antflow.queue.size              up-down counter, {task}      tasks that wait
//	antflow.queue.capacity          up-down counter, {task}      as antflow.QueueLimit, where there is one
//	antflow.worker.count            up-down counter, {worker}    by antflow.worker.state: busy or idle
//
// They have these attributes:
//
//	antflow.executor.name  as antflow.ExecutorName; none where there is no name
//	antflow.task.name      as antflow.TaskName, or the function's; of what is said of tasks
//	antflow.outcome        succeeded, failed or canceled; of antflow.task.completed
//	error.type             as antflow.ErrorKind; of attempts, retries and tasks that failed
//
// The histograms are recorded in the context of the span that they belong to,
// while it is open, so they have exemplars. Their buckets end at 5, 10, 25, 50,
// 75, 100, 250, 500 and 750 milliseconds, at 1, 2.5, 5, 7.5, 10, 60 and 300
// seconds; a view of the SDK sets others.
//
//   - antflow.task.duration is one of each attempt; error.type says that it
//     failed, also by its own cancellation. Waits that lend the worker are part of it.
//   - antflow.task.queue.duration includes the wait for a permit and for the rate
//     limit. A task that never starts has none, and a retry neither.
//   - antflow.ratelimit.wait.duration is of attempts that have a rate limit, unless it took no
//     time at all.
//   - The counters count each task exactly, with or without a start, sampled or
//     not: they are read from the executor at each collection. A task that is
//     canceled in the queue is completed with the outcome canceled, and one whose
//     antflow.QueueTimeout passes has failed. antflow.task.rejected has no task name.
//   - antflow.queue.size counts what is accepted and doesn't run: what waits for a
//     worker, a permit, a rate limit, or the delay of a retry. Retries and tasks of
//     tasks are not limited, so it may exceed antflow.queue.capacity.
//   - A worker is busy while its task runs; one that is lent is not. Busy and idle
//     ones together are as many as antflow.New or Resize said. An executor that is
//     shut down and has finished has none; what it has counted stays.
//
// The number of series is bounded: metrics have no ID and no number of an attempt,
// and no more than 100 names of executors, names of tasks and types of errors
// each. What comes later is "_OTHER" in their place. [WithAttributeLimit]
// changes that. To have no task names at all, filter the attribute with a view.
//
// # Spans
//
// Each task that starts has one span, of kind internal, with the name of the
// task. It begins with the first attempt and ends when the task has settled.
//
//   - Where the submitter waits for all of its tasks, in a map, a ForEach or a
//     group, the span is a child of the submitter's: the one in the context of the
//     call, also from another process.
//   - A task of Submit or Go may outlive its submitter. Its span is the root of a
//     new trace with a link to the submitter's, so a sampler decides on it anew.
//   - The function's context has the span, and the baggage of the submitter. Tasks
//     that it submits are related to its own in the same two ways.
//   - Each attempt after the first one has a child span of its own, called
//     "<name> retry". Its context is what the function gets then. The
//     delays between them are inside the task's span, each begun by an event
//     antflow.retry with antflow.retry.delay in seconds, the error.type and the
//     number of the attempt that failed.
//   - A task that fails has the status error, error.type, and the error as an
//     event exception, which for a panic includes its stack; so has the span of
//     each attempt that failed after the first one. An error of the first attempt
//     that is followed by another one is an event only: a task that succeeds in
//     the end has no error status. A retry that is canceled has the error that the
//     function returned.
//   - A canceled task is no error. Its outcome tells; and if it is canceled between
//     two attempts, its span ends then.
//
// Spans have antflow.executor.name, antflow.task.name and antflow.task.id; a task's
// also have antflow.task.priority, antflow.task.queue.duration in seconds,
// antflow.task.attempts and antflow.outcome, and a retry's antflow.task.attempt. The
// names are known when the span starts, for samplers; the others are only set if
// the span is recorded. Texts that are not UTF-8 are made so.
//
// A task that never starts has no span. The items of a pipeline are no tasks: they
// go through tasks of the executor that are called "pipeline".
//
// # Cost
//
// The executor waits for the SDK at the start and at the end of each attempt,
// and is observed, so that its tasks take the way through its lock; see
// [antflow.WithTracer]. Where that is a microsecond too much for each of many tasks, make
// the tasks larger.
package otelantflow
