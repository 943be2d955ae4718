// Package pipeline lets items flow through several stages, each with workers
// and retries of its own, so that a slow item holds up no other one and no stage
// waits for a whole batch.
//
//	fetch := pipeline.Stage("fetch", fetchPage, pipeline.Workers(10), antflow.Retries(3))
//	parse := pipeline.Stage("parse", parsePage, pipeline.Workers(4))
//	save := pipeline.Stage("save", savePage, pipeline.Workers(2))
//	p := pipeline.Then(pipeline.Then(fetch, parse), save)
//
//	e := antflow.New(p.Workers())
//	defer e.Close()
//	for id, err := range p.Run(ctx, e, urls) {
//		...
//	}
//
// A [Pipeline] is a typed value that never changes: the description of what
// happens to an item. It is run as often as one likes, also at the same time,
// on any executor: over a sequence with [Pipeline.Run], which yields the results
// lazily, or open-ended with [Pipeline.Start], where each item is fed by
// [Run.Feed] and has a future.
//
// # Stages
//
// [Stage] calls a function for each item, [Filter] drops some, [FlatMap] makes
// many of one, [Batch] gathers them and [Unbatch] takes them apart again,
// [Reduce] makes one of all. [Then] puts pipelines one behind the other, [Route]
// beside each other, with each item in one of them, and [Tee] with each item in
// all of them. A stage that occurs at several places is one stage, so that every
// graph without a cycle can be built; a cycle panics. Of four stages and more it
// is best to name the halves. [Merge] makes one source of several, [Known] spares
// items what was done before, [Step] and [Chain] put several functions into one
// stage, and [Results] gives each result the history of its item.
//
// A stage has [Workers], which is how many items it works on at a time. They
// are no goroutines: the work is done by tasks of the executor, which runs no
// more of them at a time than it has workers itself. A stage takes the task
// options of package antflow for its calls. An item that waits, for a retry, for
// a permit, or for the executor, holds no worker. One that is done at a stage
// and has no room in the next one, see [Buffer], keeps its worker until it has;
// so a stage that can't keep up slows down those before it, and in the end the
// source. How many items are in the run is bounded by [Window], and with it the
// memory, however many there are.
//
// # Order
//
// [Pipeline.Run] keeps the order of the inputs wherever it can be seen: in its
// results, in batches, in reductions, and in stages that are [InOrder]. An item
// that has to wait for its turn holds no worker. [Pipeline.RunUnordered] and the runs of [Pipeline.Start] take
// everything as it comes. Where stages compete for the executor, those
// downstream come first, and items of a higher priority before these.
//
// # Failures
//
// An item's failure doesn't stop the others, unless [FailFast] says so. It is an
// [*ItemError], which names the stage and the item: in the loop over the results
// in the item's place, or as the error of its future. [Run.DeadLetters] has the
// failed inputs to try them again, [Monitor.Failures] a summary. A stage's
// function takes an item out without a failure by returning [ErrSkipped].
//
// # Looking in
//
// A [Monitor] tells where each item is, what each stage does, and which one holds
// up the others; [OnEvent] tells of every step. [Monitor.Resize] changes the
// workers of a stage while it runs; [Adaptive] ones change by themselves.
//
// # The end
//
// Every item that was taken in leaves: with a result, an error, or a
// cancellation that Is [antflow.ErrCanceled]. A drain is the end of the source,
// or [Run.Close]. The loop that is left, the end of the context, [Run.Stop] and
// a shutdown of the executor with [antflow.CancelRunning] end a run at once, and
// functions that are being called are told by their context; with
// [antflow.CancelQueued] these come to their end, and all else is canceled. A
// plain shutdown of the executor waits for what is in the run, lets go on what was
// gathered, and ends the pulling and the feeding.
//
// All waiting is done with package time and channels, so pipelines can be tested
// with fake time in a bubble of testing/synctest.
package pipeline
