package dashboard

import (
	"time"

	"github.com/antflow/antflow/internal/errtext"
	"github.com/antflow/antflow/pipeline"
)

// visitView is an item's stay at a stage.
type visitView struct {
	Stage    string  `json:"stage"`
	Attempts int     `json:"attempts"`
	Queued   float64 `json:"queued"`
	Worked   float64 `json:"worked"`
}

func visitsOf(visits []pipeline.Visit) []visitView {
	views := make([]visitView, len(visits))
	for i, v := range visits {
		views[i] = visitView{errtext.Clip(v.Stage, mostName), v.Attempts, millis(v.Queued), millis(v.Worked)}
	}
	return views
}

func itemView(s *pipeline.ItemStatus) *taskView {
	t := &taskView{
		ID: s.Item.ID, Key: errtext.Clip(s.Item.Key, mostName), Name: errtext.Clip(s.Stage, mostName), State: s.State.String(),
		Priority: s.Priority, Worker: -1, Status: errtext.Clip(s.Status, mostText),
	}
	if s.For > 0 {
		t.Ran = new(millis(s.For))
	}
	return t
}

// tasks searches the items that are in the run, and those that left last as far
// as pipeline.History keeps them.
func (x *pipelineSource) tasks(q query, p probe) taskPage {
	page := taskPage{Now: unix(time.Now()), Watched: p != nil, Tasks: []*taskView{}}
	for _, items := range [...][]pipeline.ItemStatus{x.m.Items(), x.m.Recent()} {
		page.Kept += len(items)
		for i := range items {
			t := itemView(&items[i])
			if !q.matches(t) {
				continue
			}
			if page.Total++; len(page.Tasks) < q.limit {
				page.Tasks = append(page.Tasks, t)
			}
		}
	}
	return page
}

// task returns what is known of the item of an input, of its first part where
// there are several, or nil.
func (x *pipelineSource) task(id uint64, _ probe) *taskView {
	found := x.m.Find(id)
	if len(found) == 0 {
		for _, s := range x.m.Recent() {
			if s.Item.ID == id {
				found = append(found, s)
			}
		}
	}
	if len(found) == 0 {
		return nil
	}
	t := itemView(&found[0])
	t.Visits = visitsOf(found[0].Visits)
	return t
}
