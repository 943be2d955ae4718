package dashboard

import (
	"bytes"
	"encoding/json"
	"slices"
	"time"
)

const (
	mostTicks     = 1200    // five minutes
	mostTickBytes = 2 << 20 // of them, with many sources
	detailEvery   = 2       // ticks
)

// A source is something that is shown.
type source interface {
	about() label
	rename(string)
	begin(*settings)             // called once
	probe() probe                // begins to look closely
	state(report) any            // for snapshot.json; what a cluster says of itself
	failures() failureList       // with all there is of each group
	metrics(*exposition, report) // adds its figures
	tasks(query, probe) taskPage // probe is nil while nobody looks
	task(id uint64, p probe) *taskView
	act(action) error
}

// label is what a source is called.
type label struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
}

// A probe looks at a source for a sampling, on its goroutine.
type probe interface {
	tick(now time.Time) any // the figures since the last one
	detail() *detail        // all of it, as it is now
	stop()
}

// A detail is what is shown of a source beyond its figures. What is nil has not
// changed, or isn't there.
type detail struct {
	Source   int             `json:"s"`
	Names    json.RawMessage `json:"names,omitempty"`
	Workers  json.RawMessage `json:"workers,omitempty"`
	Failures json.RawMessage `json:"failures,omitempty"`
	Stages   json.RawMessage `json:"stages,omitempty"`
	Queues   json.RawMessage `json:"queues,omitempty"`
	Stream   json.RawMessage `json:"stream,omitempty"`

	spans []span // of Stream; in the latest detail those of the ones before, too
}

// A sampling is the time in which somebody looks. It owns what is only there
// for that: the observation of the executors, their recent tasks, and the
// history of the figures.
type sampling struct {
	hub    *hub
	probes []probe       // made by its goroutine; others may have them once first is closed
	first  chan struct{} // closed once there is something to show
	idle   time.Time     // since when there are no viewers; zero: there are some; its goroutine's own

	// Guarded by hub.mu.
	ticks   ring
	details []detail      // the latest of each source, complete
	hello   []byte        // for the next viewers, until there is news
	greeted int           // viewers that got it since the last tick
	turn    chan struct{} // closed with the next tick
}

func newSampling(h *hub) *sampling {
	return &sampling{hub: h, first: make(chan struct{}), turn: make(chan struct{}), details: make([]detail, len(h.sources))}
}

// run samples until nobody looks any more.
func (s *sampling) run() {
	for _, src := range s.hub.sources {
		s.probes = append(s.probes, src.probe())
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	now := time.Now()
	s.look(now, true)
	close(s.first)
	last, n := now, 0
	for !s.over(now) {
		<-ticker.C
		now = time.Now()
		if now.Sub(last) >= interval/2 { // not at once after one that was late
			last = now
			n++
			s.look(now, n%detailEvery == 0)
		}
	}
	for _, p := range s.probes {
		p.stop()
	}
}

// over ends the sampling when there were no viewers for a while.
func (s *sampling) over(now time.Time) bool {
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case len(h.viewers) > 0:
		s.idle = time.Time{}
	case s.idle.IsZero():
		s.idle = now
	case now.Sub(s.idle) >= grace:
		h.sampling = nil
		return true
	}
	return false
}

// look has all viewers told of what is new.
func (s *sampling) look(now time.Time, closely bool) {
	s.tick(now)
	if closely {
		s.detail()
	}
}

func (s *sampling) tick(now time.Time) {
	t := struct {
		T float64 `json:"t"`
		S []any   `json:"s"`
	}{T: unix(now)}
	for _, p := range s.probes {
		t.S = append(t.S, p.tick(now))
	}
	data := encode(t)
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	s.ticks.push(data)
	s.hello = nil
	s.greeted = 0
	close(s.turn)
	s.turn = make(chan struct{})
	s.hub.sendLocked(event("tick", data))
}

// detail tells of what has changed.
func (s *sampling) detail() {
	for i, p := range s.probes {
		d := p.detail()
		d.Source = i
		s.hub.mu.Lock()
		if news := s.details[i].update(d); news {
			s.hello = nil
			s.hub.sendLocked(event("detail", encode(d)))
		}
		s.hub.mu.Unlock()
	}
}

// update takes over what is new in d, and takes out of d what isn't.
func (last *detail) update(d *detail) (news bool) {
	last.Source, news = d.Source, d.Stream != nil
	if last.spans = append(last.spans, d.spans...); len(last.spans) > keptSpans {
		last.spans = slices.Delete(last.spans, 0, len(last.spans)-keptSpans)
	}
	for _, x := range [...]struct{ was, is *json.RawMessage }{
		{&last.Names, &d.Names},
		{&last.Workers, &d.Workers},
		{&last.Failures, &d.Failures},
		{&last.Stages, &d.Stages},
		{&last.Queues, &d.Queues},
	} {
		if bytes.Equal(*x.was, *x.is) {
			*x.is = nil
		} else if *x.is != nil {
			*x.was, news = *x.is, true
		}
	}
	return news
}

// helloLocked is the first message for a viewer: all there is, after what is
// always the same.
func (s *sampling) helloLocked() []byte {
	if s.hello != nil {
		return s.hello
	}
	details := slices.Clone(s.details)
	for i := range details {
		if details[i].spans != nil {
			details[i].Stream = encode(streamView{Spans: details[i].spans})
		}
	}
	data := append(s.hub.greeting(), `,"ticks":[`...)
	data = append(data, bytes.Join(s.ticks.ticks, []byte(","))...)
	data = append(data, `],"detail":`...)
	data = append(append(data, encode(details)...), '}')
	s.hello = event("hello", data)
	return s.hello
}

// encode is the JSON of what is always fit for it.
func encode(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic("antflow: dashboard: " + err.Error())
	}
	return data
}

// A ring has the latest ticks.
type ring struct {
	ticks [][]byte // oldest first
	bytes int
}

func (r *ring) push(tick []byte) {
	r.ticks = append(r.ticks, tick)
	r.bytes += len(tick)
	n := 0
	for ; len(r.ticks)-n > mostTicks || r.bytes > mostTickBytes && len(r.ticks)-n > 1; n++ {
		r.bytes -= len(r.ticks[n])
		r.ticks[n] = nil
	}
	r.ticks = r.ticks[n:]
}
