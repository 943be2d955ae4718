package progress

import (
	"fmt"

	"github.com/antflow/antflow/pipeline"
)

// A monitorSource shows the run that a monitor looks into.
type monitorSource struct {
	m    *pipeline.Monitor
	done uint64                         // inputs
	says map[*pipeline.ItemError]string // what the first failures of the groups say
}

func openMonitor(m *pipeline.Monitor) opener {
	return func(Level) source {
		return &monitorSource{m: m, says: make(map[*pipeline.ItemError]string)}
	}
}

func (s *monitorSource) close() {}

func (s *monitorSource) look(level Level) (figures, []table) {
	now := s.m.Snapshot()
	f := s.figures(now)
	if level == Compact {
		return f, nil
	}
	tables := []table{stageTable(now)}
	if level >= Full {
		tables = append(tables, s.itemTable(now), s.failureTable())
	}
	return f, tables
}

// figures count inputs. Those done are the ones that are no longer in the run,
// or in a batch; the parts of an input count each, so they are a lower bound.
func (s *monitorSource) figures(now pipeline.Snapshot) figures {
	f := figures{total: now.Inputs, final: now.Over}
	if in := uint64(now.Items + now.Batched); in < now.Inputs {
		f.done = now.Inputs - in
	}
	if now.Inputs >= s.done { // the same run
		f.done = max(f.done, s.done)
	}
	s.done = f.done
	for _, st := range now.Stages {
		f.failed += st.Failed
		f.canceled += st.Canceled
		f.retries += st.Retried
		f.running += st.Running
		f.waiting += st.Incoming + st.Waiting + st.Delayed
	}
	if b := now.Bottleneck(); b != "" {
		f.note = "bottleneck " + clean(b)
	}
	return f
}

func stageTable(now pipeline.Snapshot) table {
	t := table{columns: []column{
		{head: "stage", name: true, rank: 9},
		{head: "workers", right: true, rank: 5},
		{head: "waiting", right: true, rank: 6},
		{head: "done", right: true, rank: 8},
		{head: "failed", right: true, rank: 7, style: red},
		{head: "retries", right: true, rank: 1},
		{head: "rate", right: true, rank: 4},
		{head: "each", right: true, rank: 3},
		{head: "", rank: 2, style: yellow},
	}}
	slow := now.Bottleneck()
	for _, st := range now.Stages {
		rate, each, mark := "", "", ""
		if st.Throughput > 0 {
			rate = speed(st.Throughput)
		}
		if st.Worked > 0 {
			each = took(st.Worked)
		}
		if st.Name == slow {
			mark = "bottleneck"
		}
		t.add(clean(st.Name), fmt.Sprintf("%d/%d", st.Running, st.Workers), count(st.Incoming+st.Waiting+st.Delayed),
			count(st.Done+st.Skipped), count(st.Failed), count(st.Retried), rate, each, mark)
	}
	return t
}

// mostListed is how many items may be in the run for each of them to be looked
// at, which keeps the run's lock for a while.
const mostListed = 4096

func (s *monitorSource) itemTable(now pipeline.Snapshot) table {
	t := table{passing: true, columns: []column{
		{head: "running", name: true, rank: 9},
		{head: "stage", name: true, rank: 7},
		{head: "for", right: true, rank: 8},
		{head: "status", text: true, rank: 6},
	}}
	if now.Items > mostListed {
		t.add("(too many to list)", "", "", "")
		return t
	}
	for _, it := range s.m.Items() {
		switch {
		case it.State != pipeline.ItemRunning:
		case t.full():
			t.more++
		default:
			age := ""
			if it.For > 0 { // it is measured
				age = took(it.For)
			}
			t.add(clean(it.Item.String()), clean(it.Stage), age, clean(it.Status))
		}
	}
	return t
}

func (s *monitorSource) failureTable() table {
	t := failureTable()
	groups := s.m.Failures()
	for i, g := range groups {
		if t.full() {
			t.more = len(groups) - i
			break
		}
		t.add(count(g.Count), clean(g.Stage), s.text(g.First))
	}
	return t
}

// text is what an error says. That is foreign code, so it is asked once.
func (s *monitorSource) text(err *pipeline.ItemError) string {
	text, ok := s.says[err]
	if !ok {
		text = clean(errorText(err.Err))
		s.says[err] = text
	}
	return text
}

func errorText(err error) (text string) {
	defer func() {
		if recover() != nil {
			text = "(its text is not to be had: the Error method panicked)"
		}
	}()
	return err.Error()
}
