package antflow

import "time"

// A record is what a journal knows of a task that has not settled. It is made
// before the task is shared, or when it starts. One that is simple, as most are,
// has it from when it leaves the queue, where its segment knows when it was
// accepted: so they are few, and used again at once.
type record struct {
	*named
	since   time.Duration // when it could have started
	began   time.Duration // the start of the attempt that runs
	worker  int32         // -1: none
	attempt int32         // the number of the attempt that runs, or ran last
	x       *recordExtra  // what few tasks need, made on demand
}

type recordExtra struct {
	waits  time.Duration // the start of its wait in a line
	permit time.Duration // how long it waited there before this attempt
	rate   time.Duration
	status string

	// What tracers made of it. It belongs to the worker of the task, without
	// one to whoever settles it; so where there are tracers the extra is there
	// from the beginning.
	trace trace
}

func (r *record) extra() *recordExtra {
	if r.x == nil {
		r.x = new(recordExtra)
	}
	return r.x
}

// A watchedExtra is the extra of a task that is observed, in one allocation.
// What most tasks need of it lies together.
type watchedExtra struct {
	next *watchedExtra // of the vacant
	rec  record
	extra
}

const (
	noWorker   = -1
	mostVacant = 1 << 10 // blank ones that are kept
)

// record returns what the journal knows of t, or nil.
func (t *task) record() *record {
	if t.x == nil || t.x.watched == nil {
		return nil
	}
	return &t.x.watched.rec
}

// observe gives t, which had none, the record x. Nobody else has t, or the lock
// guards it.
func (t *task) observe(x *watchedExtra, since time.Duration) {
	if t.spec.e.tracers != nil {
		x.rec.x = new(recordExtra)
	}
	if t.x != nil {
		x.extra = *t.x
	}
	x.watched = x
	x.rec.since = since
	t.x = &x.extra
}

// enteredLocked gives a record to an accepted task that has none.
func (j *journal) enteredLocked(t *task, since time.Duration) {
	t.observe(j.vacantLocked(), since)
	r := t.record()
	r.named, r.worker = j.nameOf(t), noWorker
}

// vacantLocked returns a blank one.
func (j *journal) vacantLocked() *watchedExtra {
	x := j.vacant
	if x == nil {
		return new(watchedExtra)
	}
	j.vacant, x.next = x.next, nil
	j.vacants--
	return x
}

// vacateLocked takes the record from a settled task, for others, if there is
// nothing but a record that it had an extra for.
func (j *journal) vacateLocked(t *task) {
	x := t.x.watched
	if j.vacants >= mostVacant || x.rec.x != nil || !t.simple() || x.span != nil || x.cur != nil || x.admit != nil {
		return
	}
	t.x = nil
	x.watched, x.rec = nil, record{}
	x.next, j.vacant = j.vacant, x
	j.vacants++
}
