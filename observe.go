package antflow

import (
	"context"
	"fmt"
)

// Stats is a snapshot of an executor; all figures are of the same instant.
// Submitted is the sum of Running, Blocked, Queued, Waiting, Succeeded, Failed
// and Canceled.
type Stats struct {
	MaxWorkers int // limit
	Workers    int // goroutines that have a task now, up to MaxWorkers + Blocked

	Running int // tasks with a slot, and those that run elsewhere; see [Remote]
	Blocked int // started tasks whose slot is lent while they wait
	Queued  int // tasks that wait for a slot, or for a place under MaxConcurrency
	Waiting int // tasks that wait for a retry delay, a permit or a rate limit

	Submitted uint64 // tasks accepted so far
	Succeeded uint64
	Failed    uint64
	Canceled  uint64

	Retries  uint64 // further attempts decided on
	Rejected uint64 // tasks never accepted and not in Submitted: refused, or ctx ended before
}

// Stats returns the figures of this instant. It does not block.
func (e *Executor) Stats() Stats {
	must(e != nil, "Executor.Stats: the executor is nil")
	e.mu.Lock()
	defer e.unlock()
	return e.statsLocked()
}

func (e *Executor) statsLocked() Stats {
	e.assignLocked()
	e.syncLocked()
	return Stats{
		MaxWorkers: e.max,
		Workers:    e.workers,
		Running:    e.counts[classRunning] + e.plain,
		Blocked:    e.counts[classBlocked],
		Queued:     e.counts[classQueued],
		Waiting:    e.counts[classWaiting],
		Submitted:  e.totals.submitted,
		Succeeded:  e.totals.succeeded + e.claims - uint64(e.plain),
		Failed:     e.totals.failed,
		Canceled:   e.totals.canceled,
		Retries:    e.totals.retries,
		Rejected:   e.totals.rejected,
	}
}

// TaskInfo tells a task who it is.
type TaskInfo struct {
	ID       uint64 // as [Future.ID]
	Name     string // as [TaskName]
	Executor string // as [ExecutorName]
	Attempt  int    // 1 for the first
	Priority int    // as [Priority]
}

// TaskFrom returns what ctx, the context that a task was given or one derived
// from it, tells of that task, the innermost one where tasks are nested; false
// when there is none. It does not block.
func TaskFrom(ctx context.Context) (TaskInfo, bool) {
	must(ctx != nil, "TaskFrom(nil): the context must not be nil")
	info, ok := ctx.Value(infoKey{}).(*TaskInfo)
	if !ok {
		return TaskInfo{}, false
	}
	return *info, true
}

// info is what TaskFrom tells of an attempt of t.
func (t *task) info(attempt int) *TaskInfo {
	i := infoOf(t.spec, t.id, attempt)
	i.Priority = t.priority()
	return i
}

// infoOf is the same of a light task, which has the priority of its spec.
func infoOf(s *spec, id uint64, attempt int) *TaskInfo {
	return &TaskInfo{
		ID:       id,
		Name:     s.name,
		Executor: s.e.name,
		Attempt:  attempt,
		Priority: s.priority,
	}
}

// plural is "1 task" or "2 tasks".
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
