package dashboard

import (
	"net/http"
	"sync"
	"time"
)

const (
	interval      = 250 * time.Millisecond // of the sampler
	grace         = 10 * time.Second       // that it goes on after the last viewer
	mostViewers   = 1024
	mostGreetings = 16               // in an interval
	mostBehind    = 10 * time.Second // that a viewer may be, in messages
)

// A hub hands what the sampler finds to those who look. It has a sampling while
// there are viewers, and for a grace after the last one, so that a page that
// reconnects finds its history again. At rest it has no goroutine and no timer.
//
// A sampling is ended by its own goroutine alone, which decides so under mu
// while there are no viewers. Who joins does so under mu, too: it either is seen
// by the sampling that is there, or finds none and begins another one.
type hub struct {
	sources  []source
	greeting func() []byte // the beginning of the first message

	mu       sync.Mutex
	viewers  map[*viewer]struct{}
	sampling *sampling             // nil: nobody looks
	closing  map[*http.Server]bool // servers that have viewers, or had; true: it shuts down
}

// A viewer is one stream of events. Its goroutine takes the messages from the
// queue; who puts them there never waits.
type viewer struct {
	server *http.Server // nil: not known
	queue  chan []byte
	gone   chan struct{} // closed, with mu held, when the viewer is dropped
	ready  bool          // it is told of news from now on; guarded by hub.mu
}

func newHub(sources []source) *hub {
	return &hub{sources: sources, viewers: make(map[*viewer]struct{}), closing: make(map[*http.Server]bool)}
}

// join adds a viewer, and begins to sample if it is the first. It returns nil
// when there are too many, or the server shuts down.
func (h *hub) join(server *http.Server) (*viewer, *sampling) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.viewers) >= mostViewers || h.closing[server] {
		return nil, nil
	}
	if _, known := h.closing[server]; server != nil && !known {
		h.closing[server] = false
		server.RegisterOnShutdown(func() { h.shutDown(server) })
	}
	behind := int(mostBehind/interval) * (detailEvery + len(h.sources)) / detailEvery
	v := &viewer{server: server, queue: make(chan []byte, behind), gone: make(chan struct{})}
	h.viewers[v] = struct{}{}
	if h.sampling == nil {
		h.sampling = newSampling(h)
		go h.sampling.run()
	}
	return v, h.sampling
}

// greet returns the first message for v, once s has one; nil when left is closed
// before, or v is dropped. What is published later than that comes to its queue.
//
// That message is the largest. Between two ticks so many viewers get theirs and
// no more, so that those who do nothing but reconnect cost little.
func (h *hub) greet(v *viewer, s *sampling, left <-chan struct{}) []byte {
	for turn := (<-chan struct{})(s.first); ; {
		select {
		case <-turn:
		case <-v.gone:
			return nil
		case <-left:
			return nil
		}
		h.mu.Lock()
		if s.greeted < mostGreetings {
			s.greeted++
			v.ready = true
			hello := s.helloLocked()
			h.mu.Unlock()
			return hello
		}
		turn = s.turn
		h.mu.Unlock()
	}
}

func (h *hub) leave(v *viewer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.dropLocked(v)
}

func (h *hub) dropLocked(v *viewer) {
	if _, ok := h.viewers[v]; ok {
		delete(h.viewers, v)
		close(v.gone)
	}
}

// sendLocked gives a message to all viewers. One that is too far behind is
// dropped: its page connects again, and begins anew.
func (h *hub) sendLocked(message []byte) {
	for v := range h.viewers {
		if !v.ready {
			continue
		}
		select {
		case v.queue <- message:
		default:
			h.dropLocked(v)
		}
	}
}

// shutDown ends the streams of a server that shuts down, which would wait for
// them.
func (h *hub) shutDown(server *http.Server) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closing[server] = true
	for v := range h.viewers {
		if v.server == server {
			h.dropLocked(v)
		}
	}
}

// probe looks at a source for the sampling that there is, or is nil.
func (h *hub) probe(i int) probe {
	h.mu.Lock()
	s := h.sampling
	h.mu.Unlock()
	if s == nil {
		return nil
	}
	select {
	case <-s.first: // its probes are made, and don't change
		return s.probes[i]
	default:
		return nil
	}
}
