package dashboard

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/antflow/antflow/internal/errtext"
)

const (
	usualTasks = 100
	mostFound  = 1000
)

// answer sends JSON.
func answer(w http.ResponseWriter, v any) {
	data := encode(v)
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(data)))
	w.Write(data)
}

// greeting is the beginning of the first message of a stream, an object that is
// still open.
func (h *handler) greeting() []byte {
	labels := make([]label, len(h.sources))
	for i, src := range h.sources {
		labels[i] = src.about()
	}
	data := encode(struct {
		Title    string  `json:"title"`
		Actions  bool    `json:"actions"`
		Interval int64   `json:"interval"`
		Now      float64 `json:"now"`
		Boot     string  `json:"boot"`
		Sources  []label `json:"sources"`
	}{h.title, h.allow != nil, interval.Milliseconds(), unix(time.Now()), h.boot, labels})
	return data[:len(data)-1]
}

// reports has what the sources say that have to ask somebody: all of them at the
// same time, and no longer than until the request or their own time is over.
func (h *handler) reports(r *http.Request) []report {
	reports := make([]report, len(h.sources))
	calls := make(map[int]*inquiry)
	for i, src := range h.sources {
		if c, ok := src.(*clusterSource); ok {
			calls[i] = c.inquirer.join(true)
		}
	}
	for i, call := range calls {
		reports[i] = h.sources[i].(*clusterSource).inquirer.wait(r.Context(), call)
	}
	return reports
}

func (h *handler) serveSnapshot(w http.ResponseWriter, r *http.Request) {
	reports := h.reports(r)
	v := struct {
		Title   string  `json:"title"`
		Now     float64 `json:"now"`
		Boot    string  `json:"boot"`
		Sources []any   `json:"sources"`
	}{h.title, unix(time.Now()), h.boot, make([]any, len(h.sources))}
	for i, src := range h.sources {
		v.Sources[i] = src.state(reports[i])
	}
	answer(w, v)
}

// executorState is all that is known of an executor.
type executorState struct {
	label
	counts
	Q        quantiles   `json:"q"`
	R        quantiles   `json:"r"`
	Names    []nameView  `json:"names"`
	Tasks    workersView `json:"tasks"`
	Failures failureList `json:"failures"`
}

func (x *executorSource) state(report) any {
	s := x.e.Snapshot()
	return executorState{x.label, countsOf(&s), quantilesOf(s.QueueTime), quantilesOf(s.RunTime),
		namesOf(&s, len(s.Names)), workersOf(&s, mostFound), failuresOf(&s)}
}

// pipelineState is all that is known of a run.
type pipelineState struct {
	label
	pipelineTick
	Failures failureList `json:"failures"`
}

func (x *pipelineSource) state(report) any {
	s := x.m.Snapshot()
	return pipelineState{x.label, pipelineTickOf(&s), x.failures()}
}

func (h *handler) serveTasks(w http.ResponseWriter, r *http.Request) {
	values := r.URL.Query()
	i, ok := h.source(w, values)
	if !ok {
		return
	}
	q := query{text: strings.ToLower(strings.TrimSpace(values.Get("q"))), name: values.Get("name"), limit: usualTasks}
	if states := values.Get("state"); states != "" {
		q.states = strings.Split(states, ",")
	}
	if text := values.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > mostFound {
			fail(w, http.StatusBadRequest, "limit=%q is no number from 1 to %d", errtext.Clip(text, mostName), mostFound)
			return
		}
		q.limit = n
	}
	answer(w, h.sources[i].tasks(q, h.hub.probe(i)))
}

func (h *handler) serveTask(w http.ResponseWriter, r *http.Request) {
	values := r.URL.Query()
	i, ok := h.source(w, values)
	if !ok {
		return
	}
	id, err := strconv.ParseUint(values.Get("id"), 10, 64)
	if err != nil {
		fail(w, http.StatusBadRequest, "id=%q is no task's ID", errtext.Clip(values.Get("id"), mostName))
		return
	}
	t := h.sources[i].task(id, h.hub.probe(i))
	if t == nil {
		fail(w, http.StatusNotFound, "nothing is known of task %d any more, or yet", id)
		return
	}
	answer(w, t)
}

func (h *handler) serveFailures(w http.ResponseWriter, r *http.Request) {
	if i, ok := h.source(w, r.URL.Query()); ok {
		answer(w, h.sources[i].failures())
	}
}

// source is the number of the source that a request is about; the first, if it
// doesn't say.
func (h *handler) source(w http.ResponseWriter, values url.Values) (int, bool) {
	text := values.Get("source")
	if text == "" {
		return 0, true
	}
	i, err := strconv.Atoi(text)
	if err != nil || i < 0 || i >= len(h.sources) {
		fail(w, http.StatusBadRequest, "source=%q is no number from 0 to %d", errtext.Clip(text, mostName), len(h.sources)-1)
		return 0, false
	}
	return i, true
}
