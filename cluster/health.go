package cluster

import (
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/antflow/antflow"
)

// Health tells how a worker is; give it to [Serve] with [ReportTo]. It is an
// [http.Handler] for the probes of an orchestrator: the answer is 200 while the
// worker takes tasks and 503 when it does not, or not of all its queues, with an
// [antflow.WorkerStatus] as JSON. The zero value is ready, and safe for concurrent use.
type Health struct {
	mu sync.Mutex
	w  *worker
}

// Status returns how the worker is at this moment. It does not block.
func (h *Health) Status() antflow.WorkerStatus {
	h.mu.Lock()
	w := h.w
	h.mu.Unlock()
	if w == nil {
		return antflow.WorkerStatus{State: "stopped"}
	}
	return w.status()
}

// ServeHTTP implements [http.Handler].
func (h *Health) ServeHTTP(rw http.ResponseWriter, _ *http.Request) {
	r := h.Status()
	rw.Header().Set("Content-Type", "application/json")
	rw.Header().Set("Cache-Control", "no-store")
	if r.State != "serving" {
		rw.WriteHeader(http.StatusServiceUnavailable)
	}
	rw.Write(encode(r))
}

func (h *Health) attach(w *worker) {
	if h != nil {
		h.mu.Lock()
		h.w = w
		h.mu.Unlock()
	}
}

func (h *Health) detach(w *worker) {
	if h != nil {
		h.mu.Lock()
		if h.w == w {
			h.w = nil
		}
		h.mu.Unlock()
	}
}

// status is what the worker says of itself.
func (w *worker) status() antflow.WorkerStatus {
	r := antflow.WorkerStatus{
		Name:       w.set.name,
		State:      "serving",
		Queues:     w.set.queues,
		MaxWorkers: w.e.MaxWorkers(),
		Running:    w.e.Stats().Running,
		Finished:   w.finished.Load(),
		Up:         time.Since(w.began),
	}
	for name := range w.handlers {
		r.Tasks = append(r.Tasks, name)
	}
	slices.Sort(r.Tasks)
	w.mu.Lock()
	r.Held = len(w.held)
	draining := w.draining
	w.mu.Unlock()
	switch {
	case draining:
		r.State = "draining"
	case w.nc.Status() != nats.CONNECTED:
		r.State = "disconnected"
	case w.feed.broken():
		r.State = "broken"
	}
	return r
}
