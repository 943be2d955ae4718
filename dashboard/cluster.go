package dashboard

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/antflow/antflow/internal/errtext"
)

// statusEvery is how often a cluster is asked while somebody looks: each time its
// broker and all its workers have to answer.
const statusEvery = time.Second

// A clusterSource shows a cluster, as far as its status function tells.
type clusterSource struct {
	label
	inquirer inquirer
}

func (x *clusterSource) about() label { return x.label }

func (x *clusterSource) rename(name string) { x.Name = name }

func (x *clusterSource) begin(*settings) {}

// clusterTick is what a tick tells of a cluster. Without an answer so far there
// are no figures.
type clusterTick struct {
	At    *float64 `json:"at"`    // of the answer that the figures are of
	Error string   `json:"error"` // why there is no later one; empty: there is nothing wrong
	*clusterFigures
	Done   uint64  `json:"done"` // tasks that were finished while somebody looks
	Depths []depth `json:"depths"`
}

// A clusterProbe looks at a cluster for a sampling. It never waits for an answer,
// but begins a call at one tick and takes what came of it at a later one.
type clusterProbe struct {
	x        *clusterSource
	call     *inquiry // nil: none is under way
	begun    time.Time
	last     report // the latest one that has facts
	fault    string // of those since
	told     time.Time
	done     uint64
	finished map[string]uint64 // by workers, when they were heard of last
	workers  map[string]*workerPast
	rows     []processRow // of last, with what the past tells
	fresh    bool         // they have not been shown yet
}

// workerPast is what is known of a worker by its former answers.
type workerPast struct {
	rates rates
	since float64 // Unix milliseconds
}

func (x *clusterSource) probe() probe {
	return &clusterProbe{x: x, finished: make(map[string]uint64), workers: make(map[string]*workerPast)}
}

func (p *clusterProbe) stop() {
	if p.call != nil {
		p.x.inquirer.leave(p.call)
	}
}

// tick is nil where there is no news, but for once a second, so that who comes
// later finds figures in what is kept of the ticks.
func (p *clusterProbe) tick(now time.Time) any {
	news := p.hear(now)
	if p.call == nil && now.Sub(p.begun) >= statusEvery {
		p.call, p.begun = p.x.inquirer.join(false), now
	}
	if !news && now.Sub(p.told) < statusEvery {
		return nil
	}
	p.told = now
	t := clusterTick{Error: p.fault, Done: p.done, Depths: []depth{}}
	if f := p.last.facts; f != nil {
		t.At, t.clusterFigures, t.Depths = unixOrNil(p.last.at), &f.figures, f.depths()
	}
	return t
}

// hear takes the answer of the call, if there is one.
func (p *clusterProbe) hear(now time.Time) (news bool) {
	switch {
	case p.call == nil:
		return false
	case !p.call.over():
		if !p.call.hangs(now) || p.fault == noAnswer {
			return false
		}
		p.fault = noAnswer
		return true
	}
	if p.call.abandoned { // by a sampling that has ended
		p.call, p.begun = nil, time.Time{}
		return false
	}
	a := p.call.report
	p.call, p.fault = nil, a.fault
	if a.facts != nil {
		p.last = a
		p.countOn(a.facts)
		p.rows, p.fresh = slices.Clone(a.facts.workers), true // others may read those
		for i := range p.rows {
			p.remember(&p.rows[i])
		}
		p.forget()
	}
	return true
}

// countOn adds what was finished since the last answer. A worker that did not
// answer in time is compared with what it said before; the past of one that was
// not heard of yet is none of what somebody saw.
func (p *clusterProbe) countOn(f *clusterFacts) {
	for name, n := range f.finished {
		was, known := p.finished[name]
		switch {
		case known && n >= was:
			p.done += n - was
		case known: // it began anew
			p.done += n
		}
		p.finished[name] = n
	}
	if len(p.finished) > mostTallied {
		p.finished = maps.Clone(f.finished)
	}
}

// remember gives a row what follows from those before it.
func (p *clusterProbe) remember(w *processRow) {
	past := p.workers[w.Name]
	if past == nil {
		past = new(workerPast)
		p.workers[w.Name] = past
	}
	if n := len(past.rates.counts); n > 0 && past.rates.counts[n-1].n > w.Finished {
		*past = workerPast{} // it began anew
	}
	if _, ok := past.rates.add(p.last.at, w.Finished); ok {
		first, last := past.rates.counts[0], past.rates.counts[len(past.rates.counts)-1]
		rate, _ := first.to(last)
		w.Rate = new(round(rate))
	}
	// The time of an answer is not exact, and what has not changed is not news.
	if since := unix(p.last.at) - w.up; math.Abs(since-past.since) > 2000 {
		past.since = math.Round(since)
	}
	w.Since = new(past.since)
}

// forget drops those who have not been heard of for long.
func (p *clusterProbe) forget() {
	if len(p.workers) <= 2*mostWorkers {
		return
	}
	maps.DeleteFunc(p.workers, func(_ string, past *workerPast) bool {
		return past.rates.counts[len(past.rates.counts)-1].at.Before(p.last.at)
	})
}

// queuesView is the queues, at each of their levels.
type queuesView struct {
	Total int        `json:"total"` // queues
	Rows  []queueRow `json:"rows"`
}

// processesView is the workers of a cluster.
type processesView struct {
	Total int          `json:"total"`
	Rows  []processRow `json:"rows"`
}

func (p *clusterProbe) detail() *detail {
	f := p.last.facts
	if !p.fresh {
		return new(detail)
	}
	p.fresh = false
	return &detail{
		Queues:  encode(queuesView{f.figures.Queues, f.queues}),
		Workers: encode(processesView{f.figures.Workers, p.rows}),
	}
}

// clusterState is all that is known of a cluster; where there is an error,
// nothing is. Its queues and workers take the place of their numbers.
type clusterState struct {
	label
	Error string `json:"error"`
	*clusterFigures
	Queues  *queuesView    `json:"queues,omitempty"`
	Workers *processesView `json:"workers,omitempty"`
}

func (x *clusterSource) state(a report) any {
	s := clusterState{label: x.label, Error: a.fault}
	if f := a.facts; f != nil {
		rows := make([]processRow, len(f.workers))
		for i, w := range f.workers {
			w.Since = new(math.Round(unix(a.at) - w.up))
			rows[i] = w
		}
		s.clusterFigures = &f.figures
		s.Queues, s.Workers = &queuesView{f.figures.Queues, f.queues}, &processesView{f.figures.Workers, rows}
	}
	return s
}

// A cluster's tasks are told by the executors that have submitted them.

func (x *clusterSource) failures() failureList { return failureList{Groups: []failureView{}} }

func (x *clusterSource) tasks(_ query, p probe) taskPage {
	return taskPage{Now: unix(time.Now()), Watched: p != nil, Tasks: []*taskView{}}
}

func (x *clusterSource) task(uint64, probe) *taskView { return nil }

func (x *clusterSource) act(a action) error {
	return badAction(fmt.Sprintf("%q is nothing that a cluster can be asked for", errtext.Clip(a.Do, mostName)))
}
