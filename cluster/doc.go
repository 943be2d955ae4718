// Package cluster runs the tasks of package antflow on many machines, by way of
// NATS JetStream. The futures are the same: Wait, AsCompleted and maps know no
// difference.
//
// A task is declared once, in a package that all programs share:
//
//	var Resize = antflow.NewTask("resize", resize, antflow.Retries(3), antflow.Timeout(time.Minute))
//
// A worker serves it:
//
//	err := cluster.Serve(ctx, "nats://broker:4222", []cluster.Handler{Resize}, cluster.Concurrency(8))
//
// And a submitter calls it, with a client where it had an executor:
//
//	client, err := cluster.Connect(ctx, "nats://broker:4222")
//	...
//	defer client.Close()
//	for thumb, err := range Resize.Map(ctx, client, images) {
//
// # What is guaranteed
//
// A task that the broker has acknowledged is executed at least once, whatever
// process dies, and has exactly one recorded result, which is kept for the time
// of [Retention]; every future of the task gets that one. [Client.Flush] waits
// until all is acknowledged.
//
// An attempt may be repeated: when its worker dies, is cut off, or stops for
// longer than the [Lease]. Then the function may run in two places at a time,
// and the first result that is recorded counts. So what a function does to the
// world has to bear repetition, or to be keyed by what [InfoFrom] tells.
//
// A broker acknowledges what it has written, but the operating system has it
// written to the disk later: within two minutes by default. What was acknowledged
// survives the death of the broker's process, and not the loss of its machine's
// power, unless it is set to sync_interval: always, or the streams have three
// [Replicas] on machines that don't fail together.
//
// # The life of a task
//
// The client publishes the task. Its subject, which the broker has at most one
// message of, is its identity: to publish it twice changes nothing. Free slots of
// workers ask the broker for tasks, those of higher [antflow.Priority] first, of
// which there are three levels: above 0, 0 and below. Within one of them, tasks
// start in the order of submission, but for retries and for what is given back.
//
// A worker runs the task on an executor. Then it publishes the result, whose
// subject can have one message as well, and acknowledges the task, which removes
// it; so at any instant, what was accepted has a task or a result. A failed
// attempt that is to be retried is noted and given back to the broker for the
// time of the delay, and any worker may have it next. While its function runs,
// the worker says so three times in a lease.
//
// To cancel a task is to record a result that says so, unless there is one: so
// the future and the record never differ. The worker that has the task is told,
// and cancels its context.
//
// A task that waits for other tasks of the cluster, with the context that it was
// given, lends its slot meanwhile, and the worker takes another task. So nesting
// doesn't deadlock with a single worker of a single slot either.
//
// # Errors
//
// The future's error is what it would be on an executor, as far as it can cross:
// [*antflow.RetryError], [*antflow.PanicError] with its stack, [antflow.ErrGoexit],
// [antflow.ErrQueueTimeout], joined and wrapped ones, and those known to both sides
// by [ErrorType] and [ErrorValue]. Any other error is a [*RemoteError] with the
// same text, which wraps what the other one wrapped.
//
// What concerns a task is its error, and not the worker's: that the worker has no
// handler for it ([ErrNoHandler]), that the input doesn't decode ([ErrDecode]), that
// it was sent by a newer version ([ErrSchema]), that it took down worker after worker
// ([ErrCrashed]).
//
// While the broker is away nothing fails: clients and workers connect again, and
// go on. What has to be given up meanwhile is for the caller's context to say; of
// what the broker has already, that is settled when it is back.
package cluster
