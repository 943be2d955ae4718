package antflow

import (
	"context"
	"strings"
	"time"

	"github.com/antflow/antflow/internal/errtext"
	"github.com/antflow/antflow/internal/option"
)

// A Snapshot is the state of an executor; all figures are of the same instant.
// What goes beyond [Stats] is of tasks that were submitted or started while
// somebody observed: see [Executor.Observe] and [Executor.Measure].
type Snapshot struct {
	Stats
	Executor string    // as [ExecutorName]
	Time     time.Time // of the snapshot
	Observed bool      // somebody observes now

	QueueLimit int // as [QueueLimit]; 0: none

	Tasks     []TaskStatus   // those that are started, in the order of their workers
	QueueTime Latency        // from the submission to the first start
	RunTime   Latency        // of attempts
	Names     []NameStats    // by task name, in the order of their first task
	Failures  []FailureGroup // by name and kind, the most frequent first
	Lost      uint64         // events that observers missed, all together
}

// A TaskStatus is what a started task is doing.
type TaskStatus struct {
	Task    TaskInfo  // as in [Event]
	Worker  int       // as in [Event]
	Blocked bool      // it has lent its slot
	Since   time.Time // the attempt's start
	Status  string    // what [SetStatus] said
}

// NameStats are the figures of the tasks of one name. Beyond 256 names tasks are
// in one that is called "(other)", and a name is cut after 128 bytes. Submitted
// counts a task that was submitted before somebody observed from its start on.
type NameStats struct {
	Name string

	Submitted, Succeeded, Failed, Canceled uint64
	Retries                                uint64
	Running                                int // started and not finished, blocked ones among them

	QueueTime, RunTime Latency // as in [Snapshot]
}

// A FailureGroup is the failures of one kind of the tasks of one name. What
// exceeds 256 groups is in one of its own.
type FailureGroup struct {
	Name        string // as in [NameStats]
	Kind        string // see [ErrorKind]
	Failed      uint64 // tasks
	Retried     uint64 // attempts that another one followed
	First, Last time.Time
	Stack       string    // of the first one that was a panic, up to 8 KiB
	Tasks       []Failure // the last 10 that failed for good, the latest last
}

// A Failure is a task that failed.
type Failure struct {
	Task TaskInfo // its Name is cut as in [NameStats]
	Time time.Time
	Ran  time.Duration // its last attempt
	Text string        // the error's, up to 1 KiB
}

// Snapshot returns the state of this instant. It does not block.
func (e *Executor) Snapshot() Snapshot {
	must(e != nil, "Executor.Snapshot: the executor is nil")
	s := e.snapshot()
	s.QueueTime = latencyOf(s.Names, func(n *NameStats) Latency { return n.QueueTime })
	s.RunTime = latencyOf(s.Names, func(n *NameStats) Latency { return n.RunTime })
	return s
}

// snapshot is all of it but what the figures of the names make in all.
func (e *Executor) snapshot() Snapshot {
	e.mu.Lock()
	defer e.unlock()
	s := Snapshot{Stats: e.statsLocked(), Executor: e.name, QueueLimit: e.limit, Time: time.Now()}
	if j := e.journal; j != nil {
		s.Observed = j.users > 0
		s.Tasks = j.tasksLocked()
		s.Names = j.namesLocked()
		s.Failures = j.failures.list(j.epoch)
		s.Lost = j.lost
	}
	return s
}

// latencyOf is the latency of the tasks of all names.
func latencyOf(names []NameStats, of func(*NameStats) Latency) Latency {
	if len(names) == 0 {
		return Latency{}
	}
	h := new(histogram)
	for i := range names {
		h.merge(of(&names[i]).h)
	}
	return Latency{h}
}

func (j *journal) tasksLocked() []TaskStatus {
	if j.workers.taken == 0 {
		return nil
	}
	list := make([]TaskStatus, 0, j.workers.taken)
	for _, t := range j.workers.tasks {
		if t == nil {
			continue
		}
		r := t.record()
		s := TaskStatus{
			Task:    t.observedInfo(r),
			Worker:  int(r.worker),
			Blocked: t.phase == phaseBlocked || t.phase == phaseReturning,
			Since:   j.epoch.Add(r.began),
		}
		if r.x != nil {
			s.Status = r.x.status
		}
		list = append(list, s)
	}
	return list
}

func (j *journal) namesLocked() []NameStats {
	if len(j.order) == 0 {
		return nil
	}
	list := make([]NameStats, len(j.order))
	for i, f := range j.order {
		list[i] = NameStats{
			Name:      f.name,
			Submitted: f.submitted,
			Succeeded: f.succeeded,
			Failed:    f.failed,
			Canceled:  f.canceled,
			Retries:   f.retries,
			Running:   f.running,
			QueueTime: f.queueTime.latency(),
			RunTime:   f.runTime.latency(),
		}
	}
	return list
}

// SetStatus says, for humans, what the task that ctx was given to is doing:
// "page 7 of 12". It replaces what was said before, and is over with the
// attempt; [Snapshot] shows it, up to 256 bytes of it. In a stage of a pipeline
// it is the status of the item. Outside of tasks, and where nobody observes, it
// does nothing. It does not block, and is safe for concurrent use. A nil ctx
// panics.
func SetStatus(ctx context.Context, text string) {
	must(ctx != nil, "SetStatus(nil): the context must not be nil")
	if s, ok := ctx.Value(option.Status{}).(option.StatusSetter); ok {
		s.SetStatus(text)
	}
}

// Cancel asks for the cancellation of the task with that ID, as
// [Future.Cancel] does, and reports whether it was asked for. It finds the
// tasks that are observed; it is for tools, and looks at each of those that
// wait.
func (e *Executor) Cancel(id uint64) bool {
	must(e != nil, "Executor.Cancel: the executor is nil")
	e.mu.Lock()
	t := e.findLocked(id)
	e.unlock()
	return t != nil && t.Cancel()
}

// findLocked returns the observed task with that ID, or nil.
func (e *Executor) findLocked(id uint64) *task {
	if e.journal == nil {
		return nil
	}
	for _, t := range e.journal.workers.tasks {
		if t != nil && t.id == id {
			return t
		}
	}
	for _, sc := range e.scopes {
		for t := sc.members; t != nil; t = t.x.scopeNext {
			if t.id == id && t.record() != nil {
				return t
			}
		}
	}
	for t := e.remotes.front; t != nil; t = t.x.next {
		if t.id == id && t.record() != nil {
			return t
		}
	}
	e.closeLocked()
	for _, x := range e.queue.levels.items {
		for _, s := range x.l.segments {
			for at := s.head; at < s.n; at++ {
				if t := s.entries[at]; t != nil && t.id == id && (t.record() != nil || s.observed(at)) {
					return t
				}
			}
		}
	}
	return nil
}

// statusOf is an attempt as what has a status.
type statusOf attempt

// SetStatus implements [option.StatusSetter].
func (s *statusOf) SetStatus(text string) {
	a := (*attempt)(s)
	text = strings.Clone(errtext.Clip(text, mostStatus))
	e := a.t.spec.e
	e.mu.Lock()
	if r := a.t.record(); r != nil && r.worker >= 0 && !a.over.Load() {
		r.extra().status = text
	}
	e.unlock()
}

// noStatus is what has none.
type noStatus struct{}

// SetStatus implements [option.StatusSetter].
func (noStatus) SetStatus(string) {}
