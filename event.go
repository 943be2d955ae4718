package antflow

import (
	"fmt"
	"time"
)

// An EventKind tells what has happened to a task.
type EventKind uint8

// The kinds of events, in the order of a task's life. The last four are final:
// nothing follows, and each task has one of them.
const (
	EventSubmitted EventKind = iota // it was accepted
	EventWaiting                    // it begins to wait for a permit or a rate limit
	EventStarted                    // an attempt begins: a worker has it, and calls the function unless it is canceled by then
	EventBlocked                    // it lends its slot while it waits for others
	EventResumed                    // it has a slot again
	EventRetrying                   // the attempt failed, and another one follows
	EventSucceeded
	EventFailed
	EventCanceled
	EventRejected // it was never accepted
	eventKinds
)

var eventNames = [eventKinds]string{
	"submitted", "waiting", "started", "blocked", "resumed", "retrying",
	"succeeded", "failed", "canceled", "rejected",
}

// String returns the kind's name in lower case.
func (k EventKind) String() string {
	if k < eventKinds {
		return eventNames[k]
	}
	return fmt.Sprintf("EventKind(%d)", uint8(k))
}

// An Event is a step of a task's life; see [Executor.Observe].
type Event struct {
	Kind EventKind
	Time time.Time

	// Task says whose it is. The Attempt is 0 before the first one. The Name is
	// that of [TaskName] or else the function's, such as "main.fetch", cut after
	// 128 bytes.
	Task TaskInfo

	// Worker is the number of the worker that runs the attempt, from 0, or -1
	// where none does. A started task keeps its number while it is blocked, and
	// one that runs elsewhere has a number, too, so there may be more of them than
	// slots.
	Worker int

	Queued     time.Duration // started: since it was submitted, or since its retry was due
	PermitWait time.Duration // started: of Queued, for the permit of its semaphore
	RateWait   time.Duration // started: of Queued, for the rate limit
	Ran        time.Duration // retrying and final: the attempt's time; 0 when none ran
	Delay      time.Duration // retrying: until the next attempt is due

	Err error // retrying, and final unless succeeded; the task's own, see [Future.Err]

	// Lost is how many events before this one the observer was not told of,
	// since it was too far behind.
	Lost uint64
}

// Observe has fn called for each step of each task from now on: of all kinds,
// or of those that are named. The calls are made one at a time, in the order in
// which the steps were made, on a goroutine that is there while there is
// something to tell. So fn holds up no worker and is called under no lock, and
// it may use the executor; but it hears of a step a moment later.
//
// An fn that falls behind by more than 32,768 events misses some of them, and
// the next [Event] tells how many. The figures of [Executor.Snapshot], which
// are kept as long as somebody observes, miss nothing. When fn panics, the first
// panic is written to the standard logger of package log, and the calls go on,
// until a hundred of them have panicked one after the other: then so is the last,
// and fn is told of nothing more.
//
// Tasks that were accepted before are told of from their next start on. The
// errors of failed attempts are asked for their texts, on the worker: their Error
// and Unwrap methods should be quick.
//
// The returned function ends the observation. It waits until fn was told of
// what has happened until then, as [Executor.Shutdown] does before it returns,
// but no longer than a second: what fn was not told of by then it never is, and
// that counts as lost. A call that doesn't return may still go on. fn itself must
// not call either of the two. Observe doesn't block. A nil fn and an unknown kind
// panic.
func (e *Executor) Observe(fn func(Event), kinds ...EventKind) (stop func()) {
	must(e != nil, "Executor.Observe: the executor is nil")
	must(fn != nil, "Executor.Observe(nil): the function must not be nil")
	mask := uint16(0)
	for _, k := range kinds {
		must(k < eventKinds, "Executor.Observe: %v is no kind of event", k)
		mask |= 1 << k
	}
	if len(kinds) == 0 {
		mask = 1<<eventKinds - 1
	}
	return e.observe(&observer{e: e, fn: fn, mask: mask})
}

// Measure has the executor keep the figures of [Executor.Snapshot] that go
// beyond [Stats], as [Executor.Observe] does, until the returned function is
// called. Neither blocks.
func (e *Executor) Measure() (stop func()) {
	must(e != nil, "Executor.Measure: the executor is nil")
	return e.observe(nil)
}
