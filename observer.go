package antflow

import (
	"log"
	"runtime"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"
)

// A note is an [Event] as it is written down under the lock.
type note struct {
	*named
	at       time.Duration // since the journal's epoch
	id       uint64
	priority int
	err      error
	queued   time.Duration
	permit   time.Duration
	rate     time.Duration
	ran      time.Duration
	delay    time.Duration
	lost     uint64
	attempt  int32
	worker   int32
	kind     EventKind
}

// A noteChunk is some notes in order.
type noteChunk struct {
	n     int
	next  *noteChunk
	notes [128]note
}

// An observer is a function that is told of events. What it was not told yet is
// in chunks; one goroutine tells it, from the first event until there is none.
// All of it is guarded by e.mu, but for what is the teller's.
type observer struct {
	e    *Executor
	fn   func(Event)
	mask uint16

	first, last *noteChunk
	spare       *noteChunk // that were told, to be used again
	behind      int        // notes in the chunks
	lost        uint64     // since the last one that was noted
	telling     bool
	waiting     []chan struct{} // closed when it has been told of everything

	chunk    *noteChunk // the teller's, as are the next three
	at       int        // of chunk, that is told next
	panics   int        // one call after the other
	panicked bool

	news    atomic.Bool // there may be more
	dropped atomic.Bool // it is told of nothing more

	detached bool // it is none of the journal's any more; guarded by e.mu
}

const (
	mostEvents  = 1 << 15 // that an observer may be behind
	yieldEvents = 1 << 10 // after so many the teller gets the processor

	mostPanics = 100 // after so many in a row an observer is given up

	mostFlush = time.Second // that a shutdown waits for an observer
)

// observe attaches an observer, or one who only measures if that is nil.
func (e *Executor) observe(o *observer) (stop func()) {
	e.mu.Lock()
	j := e.attachLocked()
	if o != nil {
		j.observers = append(j.observers, o)
	}
	e.unlock()
	var stopped atomic.Bool
	return func() {
		if stopped.Swap(true) {
			return
		}
		e.mu.Lock()
		if o == nil {
			e.detachLocked()
		} else {
			o.detachLocked()
		}
		e.unlock()
		if o != nil && !o.flush(nil) {
			o.drop()
		}
	}
}

// detachLocked ends the observation.
func (o *observer) detachLocked() {
	if o.detached {
		return
	}
	o.detached = true
	j := o.e.journal
	j.observers = slices.DeleteFunc(j.observers, func(x *observer) bool { return x == o })
	o.e.detachLocked()
}

// drop has the observer told of nothing more.
func (o *observer) drop() {
	o.dropped.Store(true)
	o.e.mu.Lock()
	o.e.journal.lost += uint64(o.behind)
	o.detachLocked()
	o.e.unlock()
}

// noteLocked has the observer told of it.
func (o *observer) noteLocked(st *note) {
	if o.behind >= mostEvents {
		o.lost++
		o.e.journal.lost++
		return
	}
	c := o.last
	if c == nil || c.n == len(c.notes) {
		c = o.growLocked()
	}
	p := &c.notes[c.n]
	*p = *st
	p.lost, o.lost = o.lost, 0
	c.n++
	if o.behind++; o.behind%yieldEvents == 0 {
		o.e.later.yield, o.e.later.any = true, true
	}
	switch {
	case !o.telling:
		o.telling = true
		o.e.later.tellers, o.e.later.any = append(o.e.later.tellers, o), true
	case !o.news.Load():
		o.news.Store(true)
	}
}

// growLocked adds a chunk.
func (o *observer) growLocked() *noteChunk {
	c := o.spare
	if c == nil {
		c = new(noteChunk)
	} else {
		o.spare, c.next = c.next, nil
	}
	if o.last != nil {
		o.last.next = c
	} else {
		o.first = c
	}
	o.last = c
	return c
}

// tell is the goroutine that tells the observer. When there is nothing more it
// yields some times before it ends, as a worker does: to start another one
// costs more than an event.
func (o *observer) tell() {
	more := true
	defer func() {
		if more { // fn ended the goroutine
			go o.tell()
		}
	}()
	for round := 0; more; {
		o.tellChunk()
		if round > 0 && round < patience && !o.news.Load() {
			runtime.Gosched()
			round++
			continue
		}
		var any bool
		if any, more = o.nextChunk(round >= patience); any {
			round = 0
		} else {
			round++
		}
	}
}

// nextChunk gives the teller what was noted first. When there is nothing the
// teller is to end, if it has been patient; more is false then.
func (o *observer) nextChunk(patient bool) (any, more bool) {
	o.e.mu.Lock()
	defer o.e.unlock()
	o.news.Store(false)
	if c := o.chunk; c != nil {
		o.chunk, o.at = nil, 0
		if o.spare == nil || o.first != nil {
			c.n, c.next = 0, o.spare
			o.spare = c
		}
	}
	if o.first != nil {
		o.chunk, o.first = o.first, o.first.next
		o.chunk.next = nil
		o.behind -= o.chunk.n
		if o.first == nil {
			o.last = nil
		}
		return true, true
	}
	for _, c := range o.waiting {
		o.e.wakeLocked(c)
	}
	o.waiting = nil
	if patient = patient || o.e.closed.Load(); patient {
		o.telling = false
		if o.spare != nil {
			o.spare.next = nil // a burst's memory is not kept
		}
	}
	return false, !patient
}

// tellChunk goes on behind a call that panics.
func (o *observer) tellChunk() {
	if o.chunk == nil {
		return
	}
	for o.at < o.chunk.n && !o.dropped.Load() {
		o.tellSome()
	}
	clear(o.chunk.notes[:o.chunk.n])
	o.at = o.chunk.n
}

func (o *observer) tellSome() {
	defer func() {
		if v := recover(); v != nil {
			o.panics++
			switch {
			case !o.panicked:
				o.panicked = true
				logPanic("an observer", v)
			case o.panics == mostPanics:
				logPanic("an observer is given up, since it", v)
				o.drop()
			}
		}
	}()
	for o.at < o.chunk.n && !o.dropped.Load() {
		o.at++
		o.fn(o.e.eventOf(&o.chunk.notes[o.at-1]))
		o.panics = 0
	}
}

// eventOf is the event that a step is told as.
func (e *Executor) eventOf(st *note) Event {
	return Event{
		Kind:       st.kind,
		Time:       e.journal.epoch.Add(st.at),
		Task:       TaskInfo{ID: st.id, Name: st.name, Executor: e.name, Attempt: int(st.attempt), Priority: st.priority},
		Worker:     int(st.worker),
		Queued:     st.queued,
		PermitWait: st.permit,
		RateWait:   st.rate,
		Ran:        st.ran,
		Delay:      st.delay,
		Err:        st.err,
		Lost:       st.lost,
	}
}

// logPanic is for code that is called for information only: what it does must
// not change a result, but a bug should not stay hidden.
func logPanic(who string, v any) {
	log.Printf("%s%s panicked: %v\n%s", prefix, who, v, debug.Stack())
}

// flush blocks until the observer has been told of everything that there is
// now, or ended is closed. It reports false when that takes too long.
func (o *observer) flush(ended <-chan struct{}) bool {
	e := o.e
	e.mu.Lock()
	if !o.telling {
		e.unlock()
		return true
	}
	idle := make(chan struct{})
	o.waiting = append(o.waiting, idle)
	e.unlock()
	timer := time.NewTimer(mostFlush)
	defer timer.Stop()
	select {
	case <-idle:
		return true
	case <-ended:
	case <-timer.C:
	}
	return false
}

// flushObservers waits for the observers, for a while.
func (e *Executor) flushObservers(ended <-chan struct{}) {
	e.mu.Lock()
	var observers []*observer
	if e.journal != nil {
		observers = slices.Clone(e.journal.observers)
	}
	e.unlock()
	for _, o := range observers {
		o.flush(ended)
	}
}
