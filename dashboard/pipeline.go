package dashboard

import (
	"time"

	"github.com/antflow/antflow/internal/errtext"
	"github.com/antflow/antflow/pipeline"
)

// A pipelineSource shows the run that a monitor looks into.
type pipelineSource struct {
	label
	m      *pipeline.Monitor
	format func(any) string // nil: inputs are not shown
}

func (x *pipelineSource) about() label { return x.label }

func (x *pipelineSource) rename(name string) { x.Name = name }

func (x *pipelineSource) begin(s *settings) { x.format = s.format }

// pipelineTick is what a tick tells of a run.
type pipelineTick struct {
	Elapsed    float64     `json:"elapsed"`
	Over       bool        `json:"over"`
	Inputs     uint64      `json:"inputs"`
	Results    uint64      `json:"results"`
	Items      int         `json:"items"`
	Held       int         `json:"held"`
	Batched    int         `json:"batched"`
	Bottleneck string      `json:"bottleneck"`
	Rate       *float64    `json:"rate"` // results a second; null in the first tick
	Stages     []stageView `json:"stages"`
}

type stageView struct {
	Name     string  `json:"name"`
	Workers  int     `json:"workers"`
	Incoming int     `json:"incoming"`
	Waiting  int     `json:"waiting"`
	Running  int     `json:"running"`
	Delayed  int     `json:"delayed"`
	Blocked  int     `json:"blocked"`
	Entered  uint64  `json:"entered"`
	Done     uint64  `json:"done"`
	Failed   uint64  `json:"failed"`
	Skipped  uint64  `json:"skipped"`
	Canceled uint64  `json:"canceled"`
	Retried  uint64  `json:"retried"`
	Queued   float64 `json:"queued"`
	Worked   float64 `json:"worked"`
	Rate     float64 `json:"rate"`
}

func pipelineTickOf(s *pipeline.Snapshot) pipelineTick {
	t := pipelineTick{
		Elapsed: millis(s.Elapsed), Over: s.Over, Inputs: s.Inputs, Results: s.Results,
		Items: s.Items, Held: s.Held, Batched: s.Batched, Bottleneck: errtext.Clip(s.Bottleneck(), mostName),
		Stages: make([]stageView, len(s.Stages)),
	}
	for i := range s.Stages {
		st := &s.Stages[i]
		t.Stages[i] = stageView{
			Name: errtext.Clip(st.Name, mostName), Workers: st.Workers, Incoming: st.Incoming, Waiting: st.Waiting, Running: st.Running,
			Delayed: st.Delayed, Blocked: st.Blocked, Entered: st.Entered, Done: st.Done, Failed: st.Failed, Skipped: st.Skipped,
			Canceled: st.Canceled, Retried: st.Retried, Queued: millis(st.Queued), Worked: millis(st.Worked), Rate: round(st.Throughput),
		}
	}
	return t
}

// A pipelineProbe looks at a run for a sampling.
type pipelineProbe struct {
	x     *pipelineSource
	last  pipeline.Snapshot
	rates rates
}

func (x *pipelineSource) probe() probe { return &pipelineProbe{x: x} }

func (p *pipelineProbe) stop() {}

func (p *pipelineProbe) tick(now time.Time) any {
	p.last = p.x.m.Snapshot()
	t := pipelineTickOf(&p.last)
	if rate, ok := p.rates.add(now, p.last.Results); ok {
		t.Rate = new(round(rate))
	}
	return t
}

func (p *pipelineProbe) detail() *detail {
	return &detail{Stages: encode(stageFailuresOf(p.x.m.Failures()).brief(mostRows))}
}
