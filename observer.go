package antflow

import (
	"log"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"
)

// An observer is a function that is told of events. What it was not told yet is
// in events; one goroutine tells it, from the first event until there is none.
// All of it is guarded by e.mu, but for what is the teller's.
type observer struct {
	e    *Executor
	fn   func(Event)
	mask uint16

	events  []Event
	lost    uint64 // since the last event that was noted
	telling bool
	waiting []chan struct{} // closed when it has been told of everything

	batch    []Event // the teller's, as are the next two
	at       int     // of batch, that is told next
	panicked bool

	told    atomic.Uint64 // calls that have ended
	dropped atomic.Bool   // it is told of nothing more
}

const (
	mostEvents  = 1 << 15 // that an observer may be behind
	yieldEvents = 1 << 10 // after so many the teller gets the processor

	mostCall  = 100 * time.Millisecond // that a shutdown waits for one call
	mostFlush = time.Second            // and for all of them
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
		if o != nil {
			j.observers = slices.DeleteFunc(j.observers, func(x *observer) bool { return x == o })
		}
		e.detachLocked()
		e.unlock()
		if o != nil && !o.flush(nil) {
			o.dropped.Store(true)
		}
	}
}

// noteLocked has the observer told of an event.
func (o *observer) noteLocked(ev Event) {
	n := len(o.events)
	if n >= mostEvents {
		o.lost++
		o.e.journal.lost++
		return
	}
	ev.Lost, o.lost = o.lost, 0
	o.events = append(o.events, ev)
	if !o.telling {
		o.telling = true
		o.e.later.tellers = append(o.e.later.tellers, o)
		o.e.later.any = true
	}
	if n%yieldEvents == yieldEvents-1 {
		o.e.later.yield = true
		o.e.later.any = true
	}
}

// tell is the goroutine that tells the observer.
func (o *observer) tell() {
	more := true
	defer func() {
		if more { // fn ended the goroutine
			o.told.Add(1)
			go o.tell()
		}
	}()
	for more {
		o.tellBatch()
		more = o.nextBatch()
	}
}

// nextBatch takes what was noted meanwhile. It reports false, and the teller is
// to end, when that is nothing.
func (o *observer) nextBatch() bool {
	o.e.mu.Lock()
	defer o.e.unlock()
	o.events, o.batch, o.at = o.batch[:0], o.events, 0 // the room of the one before is used again
	if len(o.batch) > 0 {
		return true
	}
	o.telling = false
	o.events, o.batch = nil, nil
	for _, c := range o.waiting {
		o.e.wakeLocked(c)
	}
	o.waiting = nil
	return false
}

// tellBatch goes on behind a call that panics.
func (o *observer) tellBatch() {
	for o.at < len(o.batch) && !o.dropped.Load() {
		o.tellSome()
	}
	clear(o.batch)
}

func (o *observer) tellSome() {
	defer func() {
		if v := recover(); v != nil {
			o.told.Add(1)
			if !o.panicked {
				o.panicked = true
				logPanic("an observer", v)
			}
		}
	}()
	for o.at < len(o.batch) && !o.dropped.Load() {
		o.at++
		o.fn(o.batch[o.at-1])
		o.told.Add(1)
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
	for waited := time.Duration(0); waited < mostFlush; waited += mostCall {
		told := o.told.Load()
		timer := time.NewTimer(mostCall)
		select {
		case <-idle:
			timer.Stop()
			return true
		case <-ended:
			timer.Stop()
			return false
		case <-timer.C:
		}
		if o.told.Load() == told {
			return false
		}
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
