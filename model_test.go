package antflow_test

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/antflow/antflow"
)

// The model is the contract once more, as a simulation without goroutines,
// locks or channels: a list of tasks that is searched from end to end for
// whatever happens next. It knows start order, priorities, retries, delays,
// queue timeouts, bounded admission, lending, cancellation and shutdown.

// A plan is what a task does, in both worlds.
type plan struct {
	priority     int
	scope        int // index of the context that it is submitted with; 0 never ends
	lasts        time.Duration
	failures     int // how many attempts fail before one succeeds
	retries      int
	delay        time.Duration
	queueTimeout time.Duration
	blocking     bool // whether a full queue blocks the Submit
	children     []plan
}

// nth makes of one duration another one for each attempt. Were they the same,
// different orders of the same attempts could end at the same instant.
func nth(d time.Duration, attempt int) time.Duration {
	return d + time.Duration(attempt)*(d%999_983)
}

type modelPhase int

const (
	modelBlockedSubmit modelPhase = iota
	modelQueued
	modelDelayed
	modelRunning
	modelLending
	modelReturning
	modelSettled
)

type modelTask struct {
	plan
	id        int
	phase     modelPhase
	state     antflow.State
	err       error
	attempts  int
	parent    *modelTask
	waits     int           // of a lender: children that have not settled
	lentAt    int           // number of the wait
	resumed   int           // place among those that resume; 0: none
	at        time.Duration // end of the attempt, or of the delay
	expiresAt time.Duration // QueueTimeout, of a task that has not started
}

type model struct {
	now       time.Duration
	max       int
	limit     int
	tasks     []*modelTask
	resumes   int
	waits     int
	closed    bool
	canceling bool
	ended     map[int]bool // scopes that have ended
	stats     antflow.Stats
}

var errModel = errors.New("planned failure")

func (m *model) count(p modelPhase) (n int) {
	for _, t := range m.tasks {
		if t.phase == p {
			n++
		}
	}
	return n
}

// backlog is what QueueLimit counts.
func (m *model) backlog() (n int) {
	for _, t := range m.tasks {
		if t.phase == modelQueued && t.attempts == 0 {
			n++
		}
	}
	return n
}

// submit is Submit; parent is the task that calls it, or nil.
func (m *model) submit(p plan, parent *modelTask) *modelTask {
	t := &modelTask{plan: p, id: len(m.tasks), parent: parent}
	m.tasks = append(m.tasks, t)
	full := m.limit > 0 && parent == nil && (m.backlog() >= m.limit || m.count(modelBlockedSubmit) > 1)
	t.phase = modelSettled // until accepted
	switch {
	case m.ended[p.scope]:
		m.reject(t, antflow.StateCanceled, antflow.ErrCanceled)
	case m.closed && (parent == nil || m.canceling):
		m.reject(t, antflow.StateFailed, antflow.ErrShutdown)
	case full && !p.blocking:
		m.reject(t, antflow.StateFailed, antflow.ErrQueueFull)
	default:
		if p.queueTimeout > 0 {
			t.expiresAt = m.now + p.queueTimeout
		}
		if full {
			t.phase = modelBlockedSubmit
		} else {
			m.accept(t)
		}
	}
	m.run()
	return t
}

func (m *model) accept(t *modelTask) {
	t.phase = modelQueued
	m.stats.Submitted++
}

func (m *model) reject(t *modelTask, s antflow.State, err error) {
	m.stats.Rejected++
	t.phase, t.state, t.err = modelSettled, s, err
}

func (m *model) settle(t *modelTask, s antflow.State, err error) {
	t.phase, t.state, t.err, t.resumed = modelSettled, s, err, 0
	switch s {
	case antflow.StateSucceeded:
		m.stats.Succeeded++
	case antflow.StateFailed:
		m.stats.Failed++
	case antflow.StateCanceled:
		m.stats.Canceled++
	}
	if p := t.parent; p != nil && p.phase == modelLending {
		if p.waits--; p.waits == 0 {
			p.phase = modelReturning
			m.resume(p)
		}
	}
}

func (m *model) resume(t *modelTask) {
	m.resumes++
	t.resumed = m.resumes
}

// run starts whatever can start now.
func (m *model) run() {
	for {
		if m.limit > 0 {
			for _, t := range m.tasks {
				if t.phase == modelBlockedSubmit && m.backlog() < m.limit {
					m.accept(t)
				}
			}
		}
		if m.count(modelRunning) >= m.max {
			return
		}
		t := m.next()
		if t == nil {
			return
		}
		t.resumed = 0
		if t.phase == modelReturning {
			t.phase = modelRunning
			t.at = m.now + nth(t.lasts, t.attempts)
			continue
		}
		t.phase, t.state, t.expiresAt = modelRunning, antflow.StateRunning, 0
		t.attempts++
		t.at = m.now + nth(t.lasts, t.attempts)
		if len(t.children) > 0 {
			for _, p := range t.children {
				m.submit(p, t)
			}
			t.waits = 0
			for _, c := range m.tasks {
				if c.parent == t && c.phase != modelSettled {
					t.waits++
				}
			}
			if t.waits > 0 {
				m.waits++
				t.phase, t.lentAt = modelLending, m.waits
			}
		}
	}
}

// next is the start order.
func (m *model) next() *modelTask {
	ready := slices.Clone(m.tasks)
	ready = slices.DeleteFunc(ready, func(t *modelTask) bool {
		return t.resumed == 0 && t.phase != modelQueued
	})
	if len(ready) == 0 {
		return nil
	}
	wanted := func(t *modelTask) int {
		if t.parent != nil && t.parent.phase == modelLending {
			return t.parent.lentAt
		}
		return 0
	}
	return slices.MinFunc(ready, func(a, b *modelTask) int {
		if a.resumed != 0 || b.resumed != 0 {
			switch {
			case a.resumed == 0:
				return 1
			case b.resumed == 0:
				return -1
			}
			return cmp.Compare(a.resumed, b.resumed)
		}
		return cmp.Or(
			-cmp.Compare(wanted(a), wanted(b)),
			-cmp.Compare(a.priority, b.priority),
			cmp.Compare(a.id, b.id),
		)
	})
}

// advance lets d pass, event by event.
func (m *model) advance(d time.Duration) {
	end := m.now + d
	for {
		var first *modelTask
		var at time.Duration
		for _, t := range m.tasks {
			var due time.Duration
			switch {
			case t.phase == modelRunning, t.phase == modelDelayed:
				due = t.at
			case t.expiresAt > 0 && (t.phase == modelQueued || t.phase == modelBlockedSubmit):
				due = t.expiresAt
			default:
				continue
			}
			if due <= end && (first == nil || due < at) {
				first, at = t, due
			}
		}
		if first == nil {
			m.now = end
			return
		}
		m.now = at
		m.happen(first)
		m.run()
	}
}

// happen is what t's time has come for.
func (m *model) happen(t *modelTask) {
	switch t.phase {
	case modelBlockedSubmit:
		m.reject(t, antflow.StateFailed, antflow.ErrQueueTimeout)
	case modelQueued:
		m.settle(t, antflow.StateFailed, antflow.ErrQueueTimeout)
	case modelDelayed:
		t.phase = modelQueued
		m.resume(t)
	case modelRunning:
		switch {
		case t.attempts > t.failures:
			m.settle(t, antflow.StateSucceeded, nil)
		case t.attempts <= t.retries:
			m.stats.Retries++
			t.state = antflow.StatePending
			if t.delay == 0 {
				t.phase = modelQueued
				m.resume(t)
			} else {
				t.phase, t.at = modelDelayed, m.now+nth(t.delay, t.attempts)
			}
		default:
			m.settle(t, antflow.StateFailed, errModel)
		}
	}
}

func (m *model) cancelTask(t *modelTask) bool {
	if t.phase == modelSettled {
		return false
	}
	m.settle(t, antflow.StateCanceled, antflow.ErrCanceled)
	m.run()
	return true
}

func (m *model) cancelScope(k int) {
	m.ended[k] = true
	for _, t := range m.tasks {
		if t.scope != k {
			continue
		}
		switch t.phase {
		case modelBlockedSubmit:
			m.reject(t, antflow.StateCanceled, antflow.ErrCanceled)
		case modelQueued, modelDelayed, modelRunning:
			m.settle(t, antflow.StateCanceled, antflow.ErrCanceled)
		}
	}
	m.run()
}

func (m *model) shutdown(queued, running bool) {
	m.closed = true
	m.canceling = m.canceling || queued
	for _, t := range m.tasks {
		switch {
		case t.phase == modelBlockedSubmit:
			m.reject(t, antflow.StateFailed, antflow.ErrShutdown)
		case t.phase == modelSettled:
		case running, queued && t.phase == modelQueued && t.attempts == 0:
			m.settle(t, antflow.StateCanceled, antflow.ErrShutdown)
		}
	}
	m.run()
}

// snapshot is what Stats has to say, but for the number of goroutines.
func (m *model) snapshot() antflow.Stats {
	s := m.stats
	s.MaxWorkers = m.max
	s.Running = m.count(modelRunning)
	s.Blocked = m.count(modelLending) + m.count(modelReturning)
	s.Queued = m.count(modelQueued)
	s.Waiting = m.count(modelDelayed)
	return s
}

// fn is the plan as a function for the executor. A parent submits its
// children, waits for them and then does its own work.
func (p plan) fn(e *antflow.Executor, submitted func([]*antflow.Future[int])) func(context.Context) (int, error) {
	return func(ctx context.Context) (int, error) {
		if len(p.children) > 0 {
			var fs []*antflow.Future[int]
			for _, c := range p.children {
				fs = append(fs, antflow.Submit(ctx, e, c.fn(e, nil), c.options()...))
			}
			submitted(fs)
			if _, _, err := antflow.Wait(ctx, fs, antflow.AllCompleted); err != nil {
				return 0, err
			}
		}
		info, _ := antflow.TaskFrom(ctx)
		select {
		case <-time.After(nth(p.lasts, info.Attempt)):
		case <-ctx.Done():
			return 0, ctx.Err()
		}
		if info.Attempt <= p.failures {
			return 0, errModel
		}
		return 1, nil
	}
}

func (p plan) options() []antflow.TaskOption {
	opts := []antflow.TaskOption{
		antflow.Priority(p.priority),
		antflow.Retries(p.retries),
		antflow.RetryBackoff(func(attempt int, _ error) time.Duration { return nth(p.delay, attempt) }),
		antflow.QueueTimeout(p.queueTimeout),
	}
	if !p.blocking {
		opts = append(opts, antflow.NonBlocking())
	}
	return opts
}
