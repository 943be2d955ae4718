package dashboard

import (
	"errors"
	"hash/fnv"
	"strconv"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/errtext"
	"github.com/antflow/antflow/pipeline"
)

const mostStack = 8 << 10

// failureList is the failures of a source by their groups, the most frequent
// first.
type failureList struct {
	Failed uint64        `json:"failed"`
	Groups []failureView `json:"groups"`
}

// failureView is the failures of one kind of the tasks of a name, or at a
// stage.
type failureView struct {
	Key     string       `json:"key"` // the same as long as there is the group
	Name    string       `json:"name"`
	Kind    string       `json:"kind"`
	Failed  uint64       `json:"failed"`
	Retried uint64       `json:"retried"`
	First   *float64     `json:"first"` // null: not known
	Last    *float64     `json:"last"`
	Text    string       `json:"text"` // of the latest, or the only one that is known
	Stack   string       `json:"stack,omitempty"`
	Tasks   []failedView `json:"tasks,omitempty"` // the latest last
}

// failedView is a task that failed, or an item.
type failedView struct {
	ID       uint64      `json:"id"`
	Key      string      `json:"key,omitempty"`
	Attempt  int         `json:"attempt"`
	Priority int         `json:"priority"`
	Time     *float64    `json:"time"`
	Ran      *float64    `json:"ran"`
	Text     string      `json:"text"`
	Input    string      `json:"input,omitempty"`
	Visits   []visitView `json:"visits,omitempty"`
}

// brief is the first groups of the list without what is only seen on demand.
func (l failureList) brief(most int) failureList {
	l.Groups = append([]failureView{}, l.Groups[:min(len(l.Groups), most)]...)
	for i := range l.Groups {
		l.Groups[i].Stack, l.Groups[i].Tasks = "", nil
	}
	return l
}

func (x *executorSource) failures() failureList {
	s := x.e.Snapshot()
	return failuresOf(&s)
}

func failuresOf(s *antflow.Snapshot) failureList {
	l := failureList{Failed: s.Failed, Groups: make([]failureView, len(s.Failures))}
	for i := range s.Failures {
		g := &s.Failures[i]
		v := failureView{
			Key: keyOf(g.Name, g.Kind), Name: errtext.Clip(g.Name, mostName), Kind: errtext.Clip(g.Kind, mostText),
			Failed: g.Failed, Retried: g.Retried, First: unixOrNil(g.First), Last: unixOrNil(g.Last),
			Stack: errtext.Clip(g.Stack, mostStack), Tasks: make([]failedView, len(g.Tasks)),
		}
		for j := range g.Tasks {
			f := &g.Tasks[j]
			v.Text = errtext.Clip(f.Text, mostText)
			v.Tasks[j] = failedView{
				ID: f.Task.ID, Attempt: f.Task.Attempt, Priority: f.Task.Priority,
				Time: unixOrNil(f.Time), Ran: new(millis(f.Ran)), Text: v.Text,
			}
		}
		l.Groups[i] = v
	}
	return l
}

// failures shows the input of the first of each kind, where that is wanted.
func (x *pipelineSource) failures() failureList {
	groups := x.m.Failures()
	l := stageFailuresOf(groups)
	for i := range groups {
		first, v := groups[i].First, &l.Groups[i]
		if first == nil || len(v.Tasks) == 0 {
			continue
		}
		t := &v.Tasks[0]
		t.Attempt, t.Text, t.Visits = first.Attempts, v.Text, visitsOf(first.Visits)
		if x.format != nil && first.Input != nil {
			t.Input = called("the formatter", func() string { return x.format(first.Input) })
		}
	}
	return l
}

// stageFailuresOf are the failures of a pipeline, where the name is the stage's.
func stageFailuresOf(groups []pipeline.FailureGroup) failureList {
	l := failureList{Groups: make([]failureView, len(groups))}
	for i := range groups {
		g := &groups[i]
		l.Failed += g.Count
		v := failureView{
			Key: keyOf(g.Stage, g.Kind), Name: errtext.Clip(g.Stage, mostName), Kind: errtext.Clip(g.Kind, mostText),
			Failed: g.Count, First: unixOrNil(g.Since), Last: unixOrNil(g.Last),
		}
		if g.First != nil {
			v.Text = textOf(g.First.Err)
			if p, ok := errors.AsType[*antflow.PanicError](g.First.Err); ok {
				v.Stack = errtext.Clip(string(p.Stack[:min(len(p.Stack), mostStack)]), mostStack)
			}
		}
		for _, item := range g.Items {
			v.Tasks = append(v.Tasks, failedView{ID: item.ID, Key: errtext.Clip(item.Key, mostName)})
		}
		l.Groups[i] = v
	}
	return l
}

// keyOf names a group in links.
func keyOf(name, kind string) string {
	h := fnv.New64a()
	h.Write([]byte(name))
	h.Write([]byte{0})
	h.Write([]byte(kind))
	return strconv.FormatUint(h.Sum64(), 36)
}
