package dashboard

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/errtext"
)

// A query is what tasks are searched by.
type query struct {
	text   string   // in lower case: part of a name, a key or an error, or an ID
	name   string   // all of it
	states []string // one of them; empty: all
	limit  int
}

func (q *query) matches(t *taskView) bool {
	if q.name != "" && t.Name != q.name || len(q.states) > 0 && !slices.Contains(q.states, t.State) {
		return false
	}
	if q.text == "" || strconv.FormatUint(t.ID, 10) == q.text {
		return true
	}
	for _, text := range [...]string{t.Name, t.Key, t.Error, t.Status} {
		if strings.Contains(strings.ToLower(text), q.text) {
			return true
		}
	}
	return false
}

// taskPage is the tasks that a query finds, the latest first.
type taskPage struct {
	Now     float64     `json:"now"`
	Watched bool        `json:"watched"` // somebody looks, so that tasks are collected
	Kept    int         `json:"kept"`    // tasks that were looked at
	Total   int         `json:"total"`   // of them, those that match
	Tasks   []*taskView `json:"tasks"`   // of these, up to the limit
}

// taskView is a task of an executor, or an item of a pipeline.
type taskView struct {
	ID        uint64        `json:"id"`
	Key       string        `json:"key,omitempty"`
	Name      string        `json:"name"`
	State     string        `json:"state"`
	Attempt   int           `json:"attempt"`
	Priority  int           `json:"priority"`
	Worker    int           `json:"worker"` // -1: none
	Submitted *float64      `json:"submitted"`
	Started   *float64      `json:"started"` // the latest attempt
	Ended     *float64      `json:"ended"`
	Queued    *float64      `json:"queued"` // before the latest attempt
	Ran       *float64      `json:"ran"`    // the latest attempt
	Status    string        `json:"status,omitempty"`
	Error     string        `json:"error,omitempty"`
	Stuck     bool          `json:"stuck,omitempty"`
	Forgotten int           `json:"forgotten,omitempty"` // attempts before those
	Attempts  []attemptView `json:"attempts,omitempty"`
	Visits    []visitView   `json:"visits,omitempty"`

	seq uint64
}

// attemptView is an attempt of a task.
type attemptView struct {
	Number  int      `json:"n"`
	Worker  int      `json:"worker"`
	Queued  float64  `json:"queued"`
	Permit  float64  `json:"permit"`
	Rate    float64  `json:"rate"`
	Start   float64  `json:"start"`
	End     *float64 `json:"end"`
	Ran     *float64 `json:"ran"`
	Delay   float64  `json:"delay"` // until the next one
	Outcome string   `json:"outcome"`
	Error   string   `json:"error,omitempty"`
}

// taskViewOf is what the task itself tells.
func taskViewOf(i antflow.TaskInfo, state string) *taskView {
	return &taskView{
		ID: i.ID, Name: errtext.Clip(i.Name, mostName), State: state, Attempt: i.Attempt, Priority: i.Priority, Worker: -1,
	}
}

// view is the task without its attempts.
func (r *record) view() *taskView {
	t := taskViewOf(r.info, r.state)
	t.Submitted, t.Ended, t.Error, t.seq = unixOrNil(r.submitted), unixOrNil(r.ended), r.text, r.seq
	if n := len(r.attempts); n > 0 {
		a := &r.attempts[n-1]
		t.Started, t.Queued = unixOrNil(a.start), new(millis(a.queued))
		t.Worker = a.worker
		if !a.end.IsZero() {
			t.Ran = new(millis(a.end.Sub(a.start)))
		}
		if t.Error == "" {
			t.Error = a.text
		}
	}
	return t
}

func (r *record) attemptViews() []attemptView {
	views := make([]attemptView, len(r.attempts))
	for i := range r.attempts {
		a := &r.attempts[i]
		views[i] = attemptView{
			Number: a.number, Worker: a.worker, Queued: millis(a.queued), Permit: millis(a.permit), Rate: millis(a.rate),
			Start: unix(a.start), End: unixOrNil(a.end), Delay: millis(a.delay), Outcome: a.outcome, Error: a.text,
		}
		if !a.end.IsZero() {
			views[i].Ran = new(millis(a.end.Sub(a.start)))
		}
	}
	return views
}

// tasks searches what the store has, and what the executor itself knows: the
// tasks that are started, and the last ones that failed.
func (x *executorSource) tasks(q query, p probe) taskPage {
	s := x.e.Snapshot()
	var all []*taskView
	known := make(map[uint64]bool)
	if p != nil {
		st := &p.(*executorProbe).store
		st.mu.Lock()
		for i := range st.lists {
			for r := range st.lists[i].all() {
				known[r.info.ID] = known[r.info.ID] || r.state != "rejected"
				all = append(all, r.view())
			}
		}
		st.mu.Unlock()
	}
	for _, t := range snapshotTasks(&s) {
		if !known[t.ID] {
			known[t.ID] = true
			all = append(all, t)
		}
	}
	status := statusesOf(&s)
	found := []*taskView{}
	for _, t := range all {
		if q.matches(status.complete(t)) {
			found = append(found, t)
		}
	}
	slices.SortStableFunc(found, func(a, b *taskView) int { return cmp.Compare(b.seq, a.seq) })
	return taskPage{unix(s.Time), p != nil, len(all), len(found), found[:min(len(found), q.limit)]}
}

// task returns what is known of one task, or nil.
func (x *executorSource) task(id uint64, p probe) *taskView {
	s := x.e.Snapshot()
	status := statusesOf(&s)
	if p != nil {
		st := &p.(*executorProbe).store
		st.mu.Lock()
		defer st.mu.Unlock()
		if r := st.byID[id]; r != nil {
			t := status.complete(r.view())
			t.Attempts, t.Forgotten = r.attemptViews(), r.forgotten
			return t
		}
	}
	for _, t := range snapshotTasks(&s) {
		if t.ID == id {
			return status.complete(t)
		}
	}
	return nil
}

// snapshotTasks are the tasks that a snapshot knows.
func snapshotTasks(s *antflow.Snapshot) []*taskView {
	var views []*taskView
	for i := range s.Tasks {
		t := &s.Tasks[i]
		v := taskViewOf(t.Task, "running")
		if t.Blocked {
			v.State = "blocked"
		}
		v.Worker, v.Started = t.Worker, unixOrNil(t.Since)
		views = append(views, v)
	}
	for i := range s.Failures {
		for _, f := range slices.Backward(s.Failures[i].Tasks) {
			v := taskViewOf(f.Task, "failed")
			v.Ended, v.Ran, v.Error = unixOrNil(f.Time), new(millis(f.Ran)), errtext.Clip(f.Text, mostText)
			views = append(views, v)
		}
	}
	return views
}

// statuses are what the tasks of a snapshot say that they do.
type statuses map[uint64]workerRow

func statusesOf(s *antflow.Snapshot) statuses {
	rows := workersOf(s, len(s.Tasks)).Rows
	all := make(statuses, len(rows))
	for _, row := range rows {
		all[row.ID] = row
	}
	return all
}

// complete adds what a running task says.
func (all statuses) complete(t *taskView) *taskView {
	if t.State == "running" || t.State == "blocked" {
		t.Status, t.Stuck = all[t.ID].Status, all[t.ID].Stuck
	}
	return t
}
