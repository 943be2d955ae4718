package dashboard

import (
	"slices"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/errtext"
)

const (
	mostRows    = 100 // names, and groups of failures
	mostWorkers = 200
	rateSpan    = 10 * time.Second // that the ETA is made of
	stuckFactor = 10               // times the p99 of its name
	stuckAfter  = 10 * time.Second
)

// An executorSource shows an executor.
type executorSource struct {
	label
	e *antflow.Executor
}

func (x *executorSource) about() label { return x.label }

// begin has the figures kept from now on, so that they are complete whenever
// somebody looks.
func (x *executorSource) begin(*settings) { x.e.Measure() }

func (x *executorSource) rename(name string) { x.Name = name }

// quantiles are the median, p95 and p99 in milliseconds; null for no duration.
type quantiles []float64

func quantilesOf(l antflow.Latency) quantiles {
	if l.Count() == 0 {
		return nil
	}
	return quantiles{millis(l.Quantile(0.5)), millis(l.Quantile(0.95)), millis(l.Quantile(0.99))}
}

// counts are the figures of an executor that are of one instant.
type counts struct {
	Max       int    `json:"max"`
	Workers   int    `json:"workers"`
	Running   int    `json:"running"`
	Blocked   int    `json:"blocked"`
	Queued    int    `json:"queued"`
	Waiting   int    `json:"waiting"`
	Submitted uint64 `json:"submitted"`
	Succeeded uint64 `json:"succeeded"`
	Failed    uint64 `json:"failed"`
	Canceled  uint64 `json:"canceled"`
	Retries   uint64 `json:"retries"`
	Rejected  uint64 `json:"rejected"`
	Limit     int    `json:"limit"` // of the queue; 0: none
	Lost      uint64 `json:"lost"`
}

func countsOf(s *antflow.Snapshot) counts {
	return counts{
		Max: s.MaxWorkers, Workers: s.Workers,
		Running: s.Running, Blocked: s.Blocked, Queued: s.Queued, Waiting: s.Waiting,
		Submitted: s.Submitted, Succeeded: s.Succeeded, Failed: s.Failed, Canceled: s.Canceled,
		Retries: s.Retries, Rejected: s.Rejected, Limit: s.QueueLimit, Lost: s.Lost,
	}
}

// executorTick is what a tick tells of an executor.
type executorTick struct {
	counts
	Rate *float64  `json:"rate"` // finished tasks a second; null in the first tick
	Q    quantiles `json:"q"`
	R    quantiles `json:"r"`
	ETA  *float64  `json:"eta"`
}

// An executorProbe looks at an executor for a sampling.
type executorProbe struct {
	x     *executorSource
	store store
	end   func()
	last  antflow.Snapshot
	rates rates
}

func (x *executorSource) probe() probe {
	p := &executorProbe{x: x}
	p.store.init()
	p.end = x.e.Observe(p.store.note)
	return p
}

func (p *executorProbe) stop() { p.end() }

func (p *executorProbe) tick(now time.Time) any {
	p.store.mu.Lock()
	p.store.load.turn()
	p.store.mu.Unlock()
	s := p.x.e.Snapshot()
	t := executorTick{counts: countsOf(&s)}
	finished := s.Succeeded + s.Failed + s.Canceled
	if rate, ok := p.rates.add(now, finished); ok {
		t.Rate = new(round(rate))
		t.Q = quantilesOf(s.QueueTime.Since(p.last.QueueTime))
		t.R = quantilesOf(s.RunTime.Since(p.last.RunTime))
	}
	if left := s.Queued + s.Waiting + s.Running + s.Blocked; left > 0 {
		if rate := p.rates.recent(); rate > 0 {
			t.ETA = new(round(float64(left) / rate * 1e3))
		}
	}
	p.last = s
	return t
}

// detail is of the same instant as the latest tick.
func (p *executorProbe) detail() *detail {
	s := &p.last
	d := &detail{
		Names:    encode(namesOf(s, mostRows)),
		Workers:  encode(workersOf(s, mostWorkers)),
		Failures: encode(failuresOf(s).brief(mostRows)),
	}
	p.store.mu.Lock()
	stream := p.store.sample.take()
	p.store.mu.Unlock()
	if d.spans = stream.Spans; stream.Skipped+len(stream.Spans) > 0 {
		d.Stream = encode(stream)
	}
	return d
}

// rates are counts of the last seconds.
type rates struct{ counts []rateCount }

type rateCount struct {
	at time.Time
	n  uint64
}

// add notes a count, and returns by how much a second it grew since the last.
func (r *rates) add(now time.Time, n uint64) (perSecond float64, ok bool) {
	c := rateCount{now, n}
	if len(r.counts) > 0 {
		perSecond, ok = r.counts[len(r.counts)-1].to(c)
	}
	r.counts = append(r.counts, c)
	for now.Sub(r.counts[0].at) > rateSpan {
		r.counts = r.counts[1:]
	}
	return perSecond, ok
}

// recent is the growth a second over the last seconds; 0 when that isn't known.
func (r *rates) recent() float64 {
	first, last := r.counts[0], r.counts[len(r.counts)-1]
	if last.at.Sub(first.at) < time.Second {
		return 0
	}
	rate, _ := first.to(last)
	return rate
}

func (c rateCount) to(later rateCount) (perSecond float64, ok bool) {
	d := later.at.Sub(c.at).Seconds()
	if d <= 0 || later.n < c.n {
		return 0, d > 0
	}
	return float64(later.n-c.n) / d, true
}

// nameView is the figures of the tasks of one name.
type nameView struct {
	Name      string    `json:"name"`
	Submitted uint64    `json:"submitted"`
	Succeeded uint64    `json:"succeeded"`
	Failed    uint64    `json:"failed"`
	Canceled  uint64    `json:"canceled"`
	Retries   uint64    `json:"retries"`
	Running   int       `json:"running"`
	Q         quantiles `json:"q"`
	R         quantiles `json:"r"`
}

// namesOf are the names with the most tasks.
func namesOf(s *antflow.Snapshot, most int) []nameView {
	names := slices.Clone(s.Names)
	slices.SortStableFunc(names, func(a, b antflow.NameStats) int { return descending(a.Submitted, b.Submitted) })
	views := make([]nameView, min(len(names), most))
	for i := range views {
		n := &names[i]
		views[i] = nameView{errtext.Clip(n.Name, mostName), n.Submitted, n.Succeeded, n.Failed, n.Canceled, n.Retries, n.Running,
			quantilesOf(n.QueueTime), quantilesOf(n.RunTime)}
	}
	return views
}

// workersView is what the workers do.
type workersView struct {
	Total int         `json:"total"`
	Rows  []workerRow `json:"rows"`
}

type workerRow struct {
	Worker  int     `json:"w"`
	ID      uint64  `json:"id"`
	Name    string  `json:"name"`
	Attempt int     `json:"attempt"`
	Blocked bool    `json:"blocked"`
	Since   float64 `json:"since"`
	Status  string  `json:"status"`
	Stuck   bool    `json:"stuck"`
}

// workersOf are the started tasks in the order of their workers; where there
// are more than most, those that have run the longest.
func workersOf(s *antflow.Snapshot, most int) workersView {
	tasks := oldest(s.Tasks, most)
	usual := make(map[string]antflow.Latency, len(s.Names))
	for i := range s.Names {
		usual[s.Names[i].Name] = s.Names[i].RunTime
	}
	v := workersView{Total: len(s.Tasks), Rows: make([]workerRow, len(tasks))}
	for i := range tasks {
		t := &tasks[i]
		v.Rows[i] = workerRow{t.Worker, t.Task.ID, errtext.Clip(t.Task.Name, mostName), t.Task.Attempt, t.Blocked, unix(t.Since),
			errtext.Clip(t.Status, mostText), stuck(s.Time.Sub(t.Since), usual[t.Task.Name])}
	}
	return v
}

// oldest are the tasks that began first, if there are more than most.
func oldest(tasks []antflow.TaskStatus, most int) []antflow.TaskStatus {
	if len(tasks) <= most {
		return tasks
	}
	var found []antflow.TaskStatus
	var limit time.Time // zero, or when the last of most began that were found before
	bySince := func(a, b antflow.TaskStatus) int { return a.Since.Compare(b.Since) }
	for _, t := range tasks {
		if !limit.IsZero() && !t.Since.Before(limit) {
			continue
		}
		if found = append(found, t); len(found) == 2*most {
			slices.SortStableFunc(found, bySince)
			found = found[:most]
			limit = found[most-1].Since
		}
	}
	slices.SortStableFunc(found, bySince)
	return found[:most]
}

// stuck reports whether an attempt that has run for so long is out of all
// proportion to those before it.
func stuck(d time.Duration, usual antflow.Latency) bool {
	return d > stuckAfter && usual.Count() > 0 && d > stuckFactor*usual.Quantile(0.99)
}

func descending(a, b uint64) int {
	switch {
	case a > b:
		return -1
	case a < b:
		return 1
	}
	return 0
}
