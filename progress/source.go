package progress

import (
	"sync/atomic"

	"github.com/antflow/antflow"
)

// A source is what a display shows. It is asked by one goroutine at a time.
type source interface {
	// look returns the figures of this instant, and above Compact the tables.
	look(Level) (figures, []table)
	close()
}

// An opener makes a source for a display of that level. It is called when the
// display begins.
type opener func(Level) source

// figures are what the first line of a display is made of.
type figures struct {
	done  uint64
	total uint64 // so far; 0: unknown
	final bool   // the total does not grow any more

	failed, canceled, retries uint64
	running, waiting          int
	note                      string
}

// A sequence is a range over a sequence.
type sequence struct{ done, failed atomic.Uint64 }

func (s *sequence) look(Level) (figures, []table) {
	failed := s.failed.Load() // first, so that it is at most what is done
	return figures{done: s.done.Load(), failed: failed}, nil
}

func (s *sequence) close() {}

// An executorSource shows an executor, as from the moment when it was opened.
type executorSource struct {
	e       *antflow.Executor
	closing <-chan struct{}
	unwatch func()

	// What had been there before.
	stats    antflow.Stats
	names    map[string]antflow.NameStats
	failures map[failureKey]antflow.FailureGroup
}

type failureKey struct{ name, kind string }

func openExecutor(e *antflow.Executor) opener {
	return func(level Level) source {
		s := &executorSource{e: e, closing: e.Closing(), unwatch: func() {}}
		if level == Compact {
			s.stats = e.Stats() // which costs the executor nothing, and its tasks neither
			return s
		}
		s.unwatch = e.Measure()
		before := e.Snapshot()
		s.stats = before.Stats
		s.names = make(map[string]antflow.NameStats, len(before.Names))
		for _, n := range before.Names {
			s.names[n.Name] = n
		}
		s.failures = make(map[failureKey]antflow.FailureGroup, len(before.Failures))
		for _, g := range before.Failures {
			s.failures[failureKey{g.Name, g.Kind}] = g
		}
		return s
	}
}

func (s *executorSource) close() { s.unwatch() }

func (s *executorSource) look(level Level) (figures, []table) {
	if level == Compact {
		return s.figures(s.e.Stats()), nil
	}
	now := s.e.Snapshot()
	tables := []table{s.nameTable(now.Names)}
	if level >= Full {
		tables = append(tables, taskTable(now), s.failureTable(now.Failures))
	}
	return s.figures(now.Stats), tables
}

// figures are those since the display began: of the tasks that had not settled
// by then, and those that came later.
func (s *executorSource) figures(now antflow.Stats) figures {
	settled := func(st antflow.Stats) uint64 { return st.Succeeded + st.Failed + st.Canceled }
	f := figures{
		done:     settled(now) - settled(s.stats),
		total:    now.Submitted - settled(s.stats),
		failed:   now.Failed - s.stats.Failed,
		canceled: now.Canceled - s.stats.Canceled,
		retries:  now.Retries - s.stats.Retries,
		running:  now.Running + now.Blocked,
		waiting:  now.Queued + now.Waiting,
	}
	select {
	case <-s.closing:
		f.final = true
	default:
	}
	return f
}

func (s *executorSource) nameTable(names []antflow.NameStats) table {
	t := table{columns: []column{
		{head: "task", name: true, rank: 9},
		{head: "done", right: true, rank: 8},
		{head: "failed", right: true, rank: 7, style: red},
		{head: "running", right: true, rank: 6},
		{head: "retries", right: true, rank: 2},
		{head: "p50", right: true, rank: 5},
		{head: "p95", right: true, rank: 4},
	}}
	for _, n := range names {
		was := s.names[n.Name]
		ran := n.RunTime.Since(was.RunTime)
		failed := n.Failed - was.Failed
		done := n.Succeeded - was.Succeeded + failed + n.Canceled - was.Canceled
		if done == 0 && n.Running == 0 && n.Submitted == was.Submitted {
			continue // it is of former times
		}
		t.add(clean(n.Name), count(done), count(failed), count(n.Running), count(n.Retries-was.Retries),
			quantile(ran, 0.5), quantile(ran, 0.95))
	}
	return t
}

func quantile(l antflow.Latency, q float64) string {
	if l.Count() == 0 {
		return ""
	}
	return took(l.Quantile(q))
}

func taskTable(now antflow.Snapshot) table {
	t := table{passing: true, columns: []column{
		{head: "worker", right: true, rank: 5},
		{head: "task", name: true, rank: 9},
		{head: "attempt", right: true, rank: 1},
		{head: "for", right: true, rank: 8},
		{head: "status", text: true, rank: 7},
	}}
	for _, task := range now.Tasks {
		if t.full() {
			break
		}
		status := clean(task.Status)
		switch {
		case !task.Blocked:
		case status == "":
			status = "(blocked)"
		default:
			status = "(blocked) " + status
		}
		t.add(count(task.Worker), clean(task.Task.Name), count(task.Task.Attempt), took(now.Time.Sub(task.Since)), status)
	}
	t.more += len(now.Tasks) - len(t.rows)
	return t
}

func failureTable() table {
	return table{columns: []column{
		{head: "failed", right: true, rank: 9, style: red},
		{head: "at", name: true, rank: 8},
		{head: "error", text: true, rank: 7},
	}}
}

func (s *executorSource) failureTable(groups []antflow.FailureGroup) table {
	t := failureTable()
	for i, g := range groups {
		if t.full() {
			t.more = len(groups) - i
			break
		}
		n := g.Failed - s.failures[failureKey{g.Name, g.Kind}].Failed
		if n == 0 || len(g.Tasks) == 0 {
			continue
		}
		t.add(count(n), clean(g.Name), clean(g.Tasks[len(g.Tasks)-1].Text))
	}
	return t
}
