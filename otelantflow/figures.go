package otelantflow

import (
	"context"
	"slices"
	"sync/atomic"
	"weak"

	"github.com/antflow/antflow"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// A member is an executor that a [Telemetry] has made.
//
// An executor that is dropped is collected, and the Telemetry doesn't change
// that: it holds one only from the start of an attempt to the first snapshot
// that finds nothing unfinished, which has then counted all of it. So nothing
// that was started is lost. What is submitted later, never starts and is over
// before the next snapshot is lost if the executor is dropped by then.
type member struct {
	name    string // of the executor, as metrics have it
	weak    weak.Pointer[antflow.Executor]
	held    atomic.Pointer[antflow.Executor]
	counted tally // by the last snapshot; guarded by Telemetry.mu
}

// join is called before the executor is used.
func (m *member) join(e *antflow.Executor, name string) {
	m.name = name
	m.weak = weak.Make(e)
	m.held.Store(e)
}

// started is called at the start of each attempt.
//
// It may meet a snapshot. If it finds the executor held, then the snapshot has
// not let go of it yet and will see this attempt, unfinished or counted.
func (m *member) started() {
	if m.held.Load() == nil {
		m.held.Store(m.weak.Value())
	}
}

// snapshot returns the executor's figures, and whether it is shut down; false
// when it is gone.
func (m *member) snapshot() (s antflow.Snapshot, closed, ok bool) {
	e := m.held.Swap(nil)
	if e == nil {
		e = m.weak.Value()
	}
	if e == nil {
		return s, false, false
	}
	closed = !e.Accepts(context.Background()) // asked first: then nothing unfinished means the end
	s = e.Snapshot()
	if unfinished(s) {
		m.held.Store(e)
	}
	return s, closed, true
}

func unfinished(s antflow.Snapshot) bool { return s.Running+s.Blocked+s.Queued+s.Waiting > 0 }

// A load is what executors of one name have to do now.
type load struct{ queued, capacity, busy, idle int64 }

func (l load) plus(s antflow.Snapshot) load {
	l.queued += int64(s.Queued + s.Waiting)
	l.capacity += int64(s.QueueLimit)
	l.busy += int64(s.Running)
	l.idle += int64(max(s.MaxWorkers-s.Running, 0)) // after a Resize more may run
	return l
}

// A tally is counts of tasks, by what metrics tell apart.
type tally map[series]uint64

// A series is a counter and its attributes; those that are empty are left out.
type series struct {
	of                                 counter
	executor, task, outcome, errorType string
}

// A counter is an instrument that counts.
type counter uint8

const (
	completed counter = iota
	retries
	rejected
)

func (c counter) instrument(in *instruments) metric.Int64Observable {
	return [...]metric.Int64Observable{completed: in.completed, retries: in.retries, rejected: in.rejected}[c]
}

func (s series) attributes() []attribute.KeyValue {
	return slices.Concat(named(keyExecutor, s.executor), named(keyTask, s.task),
		named(keyOutcome, s.outcome), named(keyError, s.errorType))
}

func (t tally) add(other tally) {
	for s, n := range other {
		t[s] += n
	}
}

// count sums a snapshot up.
func (t *Telemetry) count(executor string, s antflow.Snapshot) tally {
	sums := tally{{of: rejected, executor: executor}: s.Rejected}
	add := func(c counter, task, outcome, errorType string, n uint64) {
		if n > 0 {
			sums[series{c, executor, task, outcome, errorType}] += n
		}
	}
	for _, n := range s.Names {
		task := t.taskNames.word(n.Name)
		add(completed, task, succeeded, "", n.Succeeded)
		add(completed, task, canceled, "", n.Canceled)
	}
	for _, f := range s.Failures {
		task, kind := t.taskNames.word(f.Name), t.errorTypes.word(f.Kind)
		add(completed, task, failed, kind, f.Failed)
		add(retries, task, "", kind, f.Retried)
	}
	return sums
}
