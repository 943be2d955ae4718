package antflow

import (
	"log"
	"runtime"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"
)

// A note is an [Event] as it is written down under the lock. It is small, since
// mostly another core reads it.
type note struct {
	*named
	at       time.Duration // since the journal's epoch
	id       uint64
	priority int
	err      error
	took     time.Duration // of started, the time that it was queued, and else how long it ran
	rare     *rareNote     // nil: all of it is 0
	attempt  int32
	worker   int32
	kind     EventKind
}

// A rareNote is what few notes have.
type rareNote struct {
	permit, rate, delay time.Duration
	lost                uint64
}

// A noteChunk is some notes in order.
type noteChunk struct {
	n     int
	next  *noteChunk
	notes [128]note
}

// An observer is a function that is told of events. What it was not told yet is
// in chunks; one goroutine tells it, from the first event until there is none.
type observer struct {
	e    *Executor
	fn   func(Event)
	mask uint16

	dropped atomic.Bool // it is told of nothing more

	// The teller's own.
	chunk    *noteChunk
	at       int // of chunk, that is told next
	panics   int // one call after the other
	panicked bool

	// The teller reads and writes what is above for each event, as do those who
	// note them what is below: neither should wait for the other's cache line.
	_ [64]byte

	// Guarded by e.mu, but for news.
	first, last *noteChunk
	spare       *noteChunk // that were told, to be used again
	spares      int
	behind      int         // notes in the chunks
	lost        uint64      // since the last one that was noted
	news        atomic.Bool // there may be more
	telling     bool
	detached    bool            // it is none of the journal's any more
	waiting     []chan struct{} // closed when it has been told of everything
}

const (
	mostEvents      = 1 << 15 // that an observer may be behind
	yieldEvents     = 1 << 10 // after so many the teller gets the processor
	mostSpareChunks = 16

	mostPanics = 100 // after so many in a row an observer is given up

	mostFlush = time.Second // that a shutdown waits for an observer
)

// observe attaches an observer, or one who only measures if that is nil.
func (e *Executor) observe(o *observer) (stop func()) {
	e.mu.Lock()
	j := e.attachLocked()
	if o != nil {
		j.observers = append(j.observers, o)
		j.wantedLocked()
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
	j.wantedLocked()
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
	if o.lost > 0 {
		p.rare = new(rareNote)
		if st.rare != nil {
			*p.rare = *st.rare
		}
		p.rare.lost, o.lost = o.lost, 0
	}
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
		o.spares--
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
// costs more than an event. But where many came while it had yielded, all
// processors are busy and it was the last in line; then it ends. The next one is
// the first in line, where it is started, as soon as that goroutine yields.
func (o *observer) tell() {
	more := true
	told := 0 // since it yielded
	defer func() {
		if more { // fn ended the goroutine
			go o.tell()
		}
	}()
	for round := 0; more; {
		told += o.tellChunk()
		last := round >= patience || told >= yieldEvents
		if round > 0 && !last && !o.news.Load() {
			runtime.Gosched()
			told = 0
			round++
			continue
		}
		var any bool
		if any, more = o.nextChunk(last); any {
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
		if o.spares < mostSpareChunks { // a burst's memory is not kept
			c.n, c.next = 0, o.spare
			o.spare = c
			o.spares++
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
	}
	return false, !patient
}

// tellChunk tells what is in the chunk, behind calls that panic, too, and
// returns how much that was.
func (o *observer) tellChunk() int {
	if o.chunk == nil {
		return 0
	}
	for o.at < o.chunk.n && !o.dropped.Load() {
		o.tellSome()
	}
	for ; o.at < o.chunk.n; o.at++ {
		o.chunk.notes[o.at].forget()
	}
	return o.at
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
		n := &o.chunk.notes[o.at]
		o.at++
		ev := o.e.eventOf(n)
		n.forget()
		o.fn(ev)
		if o.panics > 0 {
			o.panics = 0
		}
	}
}

// forget lets go of what only this note has, as its chunk may stay.
func (n *note) forget() {
	if n.err != nil {
		n.err = nil
	}
	if n.rare != nil {
		n.rare = nil
	}
}

// eventOf is the event that a step is told as.
func (e *Executor) eventOf(st *note) Event {
	ev := Event{
		Kind:   st.kind,
		Time:   e.journal.epoch.Add(st.at),
		Task:   TaskInfo{ID: st.id, Name: st.name, Executor: e.name, Attempt: int(st.attempt), Priority: st.priority},
		Worker: int(st.worker),
		Err:    st.err,
	}
	if st.kind == EventStarted {
		ev.Queued = st.took
	} else {
		ev.Ran = st.took
	}
	if x := st.rare; x != nil {
		ev.PermitWait, ev.RateWait, ev.Delay, ev.Lost = x.permit, x.rate, x.delay, x.lost
	}
	return ev
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
