package cluster

import "context"

// Info is what a task of a cluster can know of itself, beyond what
// [antflow.TaskFrom] tells, which has the attempt.
type Info struct {
	// ID names the task in its namespace: the session and the ID in it.
	ID string

	// Attempt is 1 for the first, and at least 2 if the function may have run
	// before, here or elsewhere. Together with ID it is different for each
	// attempt, as far as the broker can see to it, so it can be the key of what
	// must happen once.
	Attempt int

	Session string
	Queue   string
	Worker  string // as [WorkerName]
}

type infoKey struct{}

// InfoFrom returns what the context that a handler was given, or one derived
// from it, tells of the task; false when it is of none. It does not block. A nil
// ctx panics.
func InfoFrom(ctx context.Context) (Info, bool) {
	must(ctx != nil, "InfoFrom(nil): the context must not be nil")
	d, ok := ctx.Value(infoKey{}).(*delivery)
	if !ok {
		return Info{}, false
	}
	return Info{
		ID:      d.task.key,
		Attempt: d.attempts,
		Session: d.task.session(),
		Queue:   d.task.queue,
		Worker:  d.w.set.name,
	}, true
}
