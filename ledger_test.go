package antflow_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/antflow/antflow"
)

// A ledger replays the events of an executor that it has observed from the
// beginning, and knows each order that can't be.
type ledger struct {
	t       testing.TB
	e       *antflow.Executor
	most    int        // tasks that run at a time; 0: not known
	mu      sync.Mutex // guards the rest
	last    time.Time
	tasks   map[uint64]*ledgerTask
	workers map[int]uint64
	running int
	blocked int
	kinds   [antflow.EventRejected + 1]uint64
	starts  uint64 // first ones
	err     error
}

type ledgerTask struct {
	kind    antflow.EventKind // of the last event
	attempt int
	since   time.Time // when it could have started
	began   time.Time
	worker  int
}

func newLedger(t testing.TB, e *antflow.Executor, most int) *ledger {
	l := &ledger{t: t, e: e, most: most, tasks: make(map[uint64]*ledgerTask), workers: make(map[int]uint64)}
	e.Observe(l.observe)
	return l
}

func (l *ledger) check(ok bool, ev antflow.Event, format string, args ...any) {
	if !ok && l.err == nil {
		l.err = fmt.Errorf("%s: task %d %v: %+v", fmt.Sprintf(format, args...), ev.Task.ID, ev.Kind, ev)
	}
}

// follows says which kinds may come before each kind.
var follows = map[antflow.EventKind][]antflow.EventKind{
	antflow.EventWaiting:   {antflow.EventSubmitted, antflow.EventWaiting, antflow.EventRetrying},
	antflow.EventStarted:   {antflow.EventSubmitted, antflow.EventWaiting, antflow.EventRetrying},
	antflow.EventBlocked:   {antflow.EventStarted, antflow.EventResumed},
	antflow.EventResumed:   {antflow.EventBlocked},
	antflow.EventRetrying:  {antflow.EventStarted, antflow.EventResumed, antflow.EventBlocked},
	antflow.EventSucceeded: {antflow.EventStarted, antflow.EventResumed, antflow.EventBlocked},
	antflow.EventFailed:    {antflow.EventStarted, antflow.EventResumed, antflow.EventBlocked, antflow.EventSubmitted, antflow.EventWaiting, antflow.EventRetrying},
	antflow.EventCanceled:  {antflow.EventStarted, antflow.EventResumed, antflow.EventBlocked, antflow.EventSubmitted, antflow.EventWaiting, antflow.EventRetrying},
}

func (l *ledger) observe(ev antflow.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.check(ev.Lost == 0, ev, "lost events")
	l.check(!ev.Time.Before(l.last), ev, "back in time, after %v", l.last)
	l.last = ev.Time
	l.kinds[ev.Kind]++
	x := l.tasks[ev.Task.ID]
	switch ev.Kind {
	case antflow.EventRejected:
		l.check(x == nil && ev.Err != nil && ev.Worker == -1 && ev.Task.Attempt == 0, ev, "rejected")
		return
	case antflow.EventSubmitted:
		l.check(x == nil && ev.Err == nil, ev, "submitted twice")
		l.tasks[ev.Task.ID] = &ledgerTask{since: ev.Time, worker: -1}
		l.check(ev.Worker == -1 && ev.Task.Attempt == 0, ev, "submitted")
		return
	}
	if x == nil {
		l.check(false, ev, "a task that was not submitted, or has ended")
		return
	}
	before := false
	for _, k := range follows[ev.Kind] {
		before = before || k == x.kind
	}
	l.check(before, ev, "after %v", x.kind)
	if ev.Kind == antflow.EventStarted {
		l.started(x, ev)
	}
	l.check(ev.Worker == x.worker && ev.Task.Attempt == x.attempt, ev, "worker %d, attempt %d", x.worker, x.attempt)
	ran := time.Duration(0)
	if x.worker >= 0 && ev.Kind >= antflow.EventRetrying {
		ran = ev.Time.Sub(x.began)
		l.ended(x)
	}
	l.check(ev.Ran == ran, ev, "it ran %v", ran)
	l.check((ev.Err != nil) == (ev.Kind >= antflow.EventRetrying && ev.Kind != antflow.EventSucceeded), ev, "error")
	switch ev.Kind {
	case antflow.EventBlocked:
		l.running, l.blocked = l.running-1, l.blocked+1
	case antflow.EventResumed:
		l.running, l.blocked = l.running+1, l.blocked-1
	case antflow.EventRetrying:
		x.since = ev.Time.Add(ev.Delay)
	case antflow.EventSucceeded, antflow.EventFailed, antflow.EventCanceled:
		delete(l.tasks, ev.Task.ID)
	}
	l.check(l.most == 0 || l.running <= l.most, ev, "%d run", l.running)
	x.kind = ev.Kind
}

func (l *ledger) started(x *ledgerTask, ev antflow.Event) {
	if x.attempt == 0 {
		l.starts++
	}
	x.attempt++
	x.began = ev.Time
	x.worker = ev.Worker
	other, taken := l.workers[ev.Worker]
	l.check(!taken, ev, "the worker has task %d", other)
	for i := range ev.Worker {
		_, taken := l.workers[i]
		l.check(taken, ev, "number %d is free", i)
	}
	l.workers[ev.Worker] = ev.Task.ID
	l.running++
	l.check(ev.Queued == ev.Time.Sub(x.since) && ev.Queued >= 0, ev, "it could start at %v", x.since)
	l.check(ev.PermitWait >= 0 && ev.RateWait >= 0 && ev.PermitWait+ev.RateWait <= ev.Queued, ev, "waits")
}

func (l *ledger) ended(x *ledgerTask) {
	if x.kind == antflow.EventBlocked {
		l.blocked--
	} else {
		l.running--
	}
	delete(l.workers, x.worker)
	x.worker = -1
}

// compare holds the events against the figures. Everything has been told.
func (l *ledger) compare() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return l.err
	}
	s := l.e.Snapshot()
	want := s.Stats
	got := want
	got.Running, got.Blocked = l.running, l.blocked
	got.Submitted, got.Rejected = l.kinds[antflow.EventSubmitted], l.kinds[antflow.EventRejected]
	got.Succeeded, got.Failed = l.kinds[antflow.EventSucceeded], l.kinds[antflow.EventFailed]
	got.Canceled, got.Retries = l.kinds[antflow.EventCanceled], l.kinds[antflow.EventRetrying]
	if got != want {
		return fmt.Errorf("events\n %+v, figures\n %+v", got, want)
	}
	if len(s.Tasks) != l.running+l.blocked {
		return fmt.Errorf("%d tasks are started, the snapshot has %d", l.running+l.blocked, len(s.Tasks))
	}
	for _, x := range s.Tasks {
		if id, ok := l.workers[x.Worker]; !ok || id != x.Task.ID || x.Blocked != (l.tasks[id].kind == antflow.EventBlocked) {
			return fmt.Errorf("worker %d has task %d: %+v", x.Worker, id, x)
		}
	}
	var sum antflow.NameStats
	var queued, ran, failed, retried uint64
	for _, n := range s.Names {
		sum.Submitted += n.Submitted
		sum.Succeeded += n.Succeeded
		sum.Failed += n.Failed
		sum.Canceled += n.Canceled
		sum.Retries += n.Retries
		sum.Running += n.Running
		queued += n.QueueTime.Count()
		ran += n.RunTime.Count()
	}
	for _, g := range s.Failures {
		failed += g.Failed
		retried += g.Retried
	}
	byName := antflow.NameStats{Submitted: got.Submitted, Succeeded: got.Succeeded, Failed: got.Failed, Canceled: got.Canceled, Retries: got.Retries, Running: l.running + l.blocked}
	if sum != byName || failed != got.Failed || retried != got.Retries {
		return fmt.Errorf("by name\n %+v, in all\n %+v, %d and %d in groups", sum, byName, failed, retried)
	}
	attempts := l.starts + got.Retries // each retry began or is yet to
	if queued != l.starts || s.QueueTime.Count() != l.starts || ran != s.RunTime.Count() || ran > attempts {
		return fmt.Errorf("%d started, %d and %d were measured; of %d attempts %d and %d", l.starts, queued, s.QueueTime.Count(), attempts, ran, s.RunTime.Count())
	}
	return nil
}
