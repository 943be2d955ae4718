package dashboard

import (
	"slices"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/errtext"
)

const (
	mostQueues   = 100  // shown, at all their levels
	mostTallied  = 4096 // workers whose tasks are counted on from one answer to the next
	mostTroubles = 5    // of each kind that are named
)

// clusterFacts are what is kept of an answer, which may be of any size.
type clusterFacts struct {
	figures clusterFigures
	queues  []queueRow // of the queues where the most tasks wait
	workers []processRow

	// For metrics the first ones, which are the same each time.
	firstQueues  []queueRow
	firstWorkers []processRow

	finished map[string]uint64 // by workers; of mostTallied at most
}

// clusterFigures are of the whole cluster, whatever is shown of it.
type clusterFigures struct {
	Backlog      uint64   `json:"backlog"`
	Limit        int64    `json:"limit"` // 0: none
	Results      uint64   `json:"results"`
	Waiting      uint64   `json:"waiting"`
	Taken        int      `json:"taken"`
	Redelivered  int      `json:"redelivered"`
	Queues       int      `json:"queues"`
	Workers      int      `json:"workers"` // by their states in what follows
	Serving      int      `json:"serving"`
	Draining     int      `json:"draining"`
	Disconnected int      `json:"disconnected"`
	Stopped      int      `json:"stopped"`
	Broken       int      `json:"broken"` // they serve, but for a queue
	Max          int      `json:"max"`    // slots of all workers
	Running      int      `json:"running"`
	Held         int      `json:"held"`
	Finished     uint64   `json:"finished"` // by the workers that are there
	Unserved     int      `json:"unserved"` // queues in which tasks wait for nobody
	Neglected    []depth  `json:"neglected"`
	Away         []string `json:"away"` // workers without a connection
}

// depth is how many tasks wait in a queue.
type depth struct {
	Queue   string `json:"queue"`
	Waiting uint64 `json:"waiting"`
}

// queueRow is a queue at a level of priority.
type queueRow struct {
	Queue       string `json:"queue"`
	Priority    int    `json:"priority"` // 1, 0 or -1
	Waiting     uint64 `json:"waiting"`
	Taken       int    `json:"taken"`
	Redelivered int    `json:"redelivered"`
	Requests    int    `json:"requests"`
	Workers     int    `json:"workers"` // that serve it
	Unserved    bool   `json:"unserved"`
}

// processRow is a worker of a cluster.
type processRow struct {
	Name     string   `json:"name"`
	State    string   `json:"state"`
	Queues   []string `json:"queues"`
	Tasks    []string `json:"tasks"`
	Max      int      `json:"max"`
	Running  int      `json:"running"`
	Held     int      `json:"held"`
	Finished uint64   `json:"finished"`
	Rate     *float64 `json:"rate"`  // tasks a second; null: not known yet, or not watched
	Since    *float64 `json:"since"` // when it began
	up       float64  // milliseconds
}

// queueFacts are those of a queue, at all levels.
type queueFacts struct {
	name     string
	levels   [3]*queueRow // from high to low; nil: it has none
	waiting  uint64
	requests int
	workers  int
}

// unserved reports whether tasks wait that no worker will take. A worker that
// had no time to answer still has its requests at the broker.
func (q *queueFacts) unserved() bool { return q.waiting > 0 && q.workers == 0 && q.requests == 0 }

func factsOf(s *antflow.ClusterStatus) *clusterFacts {
	f := &clusterFacts{finished: make(map[string]uint64)}
	f.figures = clusterFigures{
		Backlog: s.Backlog, Limit: max(s.Limit, 0), Results: s.Results, Workers: len(s.Workers),
		Neglected: []depth{}, Away: []string{},
	}
	serve := f.tally(s.Workers)
	queues := gather(s.Queues, serve)
	f.tallyQueues(queues)
	f.firstQueues = queueRows(queues[:min(len(queues), mostQueues)])
	f.queues = f.firstQueues
	if len(queues) > mostQueues {
		slices.SortStableFunc(queues, func(a, b *queueFacts) int { return descending(a.waiting, b.waiting) })
		f.queues = queueRows(queues[:mostQueues])
	}
	f.firstWorkers = processRows(s.Workers[:min(len(s.Workers), mostWorkers)])
	f.workers = f.firstWorkers
	if len(s.Workers) > mostWorkers {
		f.workers = processRows(conspicuous(s.Workers, mostWorkers))
	}
	return f
}

// tally counts the workers, and those of each queue that take tasks.
func (f *clusterFacts) tally(workers []antflow.WorkerStatus) (serve map[string]int) {
	serve = make(map[string]int)
	x := &f.figures
	for i := range workers {
		w := &workers[i]
		x.Max += w.MaxWorkers
		x.Running += w.Running
		x.Held += w.Held
		x.Finished += w.Finished
		if name := errtext.Clip(w.Name, mostName); len(f.finished) < mostTallied {
			f.finished[name] += w.Finished
		}
		switch w.State {
		case "serving", "broken":
			if w.State == "broken" {
				x.Broken++
			} else {
				x.Serving++
			}
			for _, queue := range w.Queues {
				serve[queue]++
			}
		case "draining":
			x.Draining++
		case "disconnected":
			if x.Disconnected++; x.Disconnected <= mostTroubles {
				x.Away = append(x.Away, errtext.Clip(w.Name, mostName))
			}
		case "stopped":
			x.Stopped++
		}
	}
	return serve
}

// gather puts the levels of each queue together, in the order of the answer.
func gather(all []antflow.QueueStatus, serve map[string]int) []*queueFacts {
	byName := make(map[string]*queueFacts)
	var queues []*queueFacts
	for i := range all {
		s := &all[i]
		q := byName[s.Queue]
		if q == nil {
			q = &queueFacts{name: s.Queue, workers: serve[s.Queue]}
			byName[s.Queue] = q
			queues = append(queues, q)
		}
		priority := min(max(s.Priority, -1), 1)
		r := q.levels[1-priority]
		if r == nil {
			r = &queueRow{Priority: priority, Workers: q.workers}
			q.levels[1-priority] = r
		}
		r.Waiting += s.Waiting
		r.Taken += s.Taken
		r.Redelivered += s.Redelivered
		r.Requests += s.Requests
		q.waiting += s.Waiting
		q.requests += s.Requests
	}
	return queues
}

func (f *clusterFacts) tallyQueues(queues []*queueFacts) {
	x := &f.figures
	x.Queues = len(queues)
	var neglected []*queueFacts
	for _, q := range queues {
		for _, r := range q.levels {
			if r != nil {
				x.Waiting += r.Waiting
				x.Taken += r.Taken
				x.Redelivered += r.Redelivered
			}
		}
		if q.unserved() {
			x.Unserved++
			neglected = append(neglected, q)
		}
	}
	slices.SortStableFunc(neglected, func(a, b *queueFacts) int { return descending(a.waiting, b.waiting) })
	for _, q := range neglected[:min(len(neglected), mostTroubles)] {
		x.Neglected = append(x.Neglected, depth{errtext.Clip(q.name, mostName), q.waiting})
	}
}

func queueRows(queues []*queueFacts) []queueRow {
	rows := []queueRow{}
	names := make(distinct)
	for _, q := range queues {
		name, unserved := names.name(errtext.Clip(q.name, mostText)), q.unserved()
		for _, r := range q.levels {
			if r != nil {
				row := *r
				row.Queue, row.Unserved = name, unserved
				rows = append(rows, row)
			}
		}
	}
	return rows
}

// conspicuous are the workers that are not as they should be, before the others.
func conspicuous(workers []antflow.WorkerStatus, most int) []antflow.WorkerStatus {
	var found []antflow.WorkerStatus
	for _, serving := range [...]bool{false, true} {
		for i := range workers {
			if len(found) < most && (workers[i].State == "serving") == serving {
				found = append(found, workers[i])
			}
		}
	}
	return found
}

func processRows(workers []antflow.WorkerStatus) []processRow {
	rows := make([]processRow, len(workers))
	names := make(distinct)
	for i := range workers {
		w := &workers[i]
		rows[i] = processRow{
			Name: names.name(errtext.Clip(w.Name, mostText)), State: errtext.Clip(w.State, mostName), Queues: few(w.Queues), Tasks: few(w.Tasks),
			Max: w.MaxWorkers, Running: w.Running, Held: w.Held, Finished: w.Finished, up: millis(w.Up),
		}
	}
	return rows
}

// few are the first texts of a list, up to mostText bytes in all, and a mark if
// there are more.
func few(list []string) []string {
	texts := []string{}
	n := 0
	for _, text := range list {
		text = errtext.Clip(text, mostName)
		if n += len(text) + 2; n > mostText {
			return append(texts, "…")
		}
		texts = append(texts, text)
	}
	return texts
}

// depths are how many tasks wait in each queue that is shown.
func (f *clusterFacts) depths() []depth {
	list := []depth{}
	for i := range f.queues {
		r := &f.queues[i]
		if n := len(list); n > 0 && list[n-1].Queue == r.Queue {
			list[n-1].Waiting += r.Waiting
		} else {
			list = append(list, depth{r.Queue, r.Waiting})
		}
	}
	return list
}
