package pipeline

import (
	"fmt"
	"time"
)

// An EventKind tells what has happened to an item.
type EventKind uint8

// The kinds of events.
const (
	EventEntered       EventKind = iota // it has come to a stage
	EventStarted                        // a call of the stage's function begins
	EventAttemptFailed                  // the call failed, and may be retried; only where it may
	EventDone                           // the stage is done with it
	EventSkipped                        // the stage has taken it out
	EventFailed                         // it has failed for good, at the stage or between stages
	EventCanceled                       // it was canceled at the stage
)

var eventKinds = [...]string{"entered", "started", "attempt failed", "done", "skipped", "failed", "canceled"}

// String returns the kind's name in lower case.
func (k EventKind) String() string {
	if int(k) < len(eventKinds) {
		return eventKinds[k]
	}
	return fmt.Sprintf("EventKind(%d)", uint8(k))
}

// An Event is a step of an item.
type Event struct {
	Kind    EventKind
	Time    time.Time
	Item    Item
	Stage   string // empty: between stages
	Attempt int    // 1 for the first; 0: before it
	Err     error
	Queued  time.Duration // from its coming to the stage to the first call
	Worked  time.Duration // in calls, all attempts together
}

// OnEvent has fn called for each step of each item: one call at a time, those
// of one item in order, on a goroutine of the run or of who feeds it. It must
// not wait for the run; while it is behind by thousands of events the run's
// workers wait for it. Its panic is not recovered. A nil fn panics.
func OnEvent(fn func(Event)) RunOption {
	must(fn != nil, "OnEvent(nil): the function must not be nil")
	return runOption(func(s *settings) { s.onEvent = fn })
}

// An observer is the events that are to be told of. One goroutine at a time
// tells.
type observer struct {
	events  []Event
	telling bool
	waiting []chan struct{} // of those that wait for it to catch up
}

func (o *observer) busy() bool { return o.telling || len(o.events) > 0 }

const mostEvents = 4096

// eventLocked notes an event, if somebody wants to know of it.
func (e *engine) eventLocked(it *item, kind EventKind, err error) {
	if e.conf.onEvent != nil {
		e.noteLocked(it, kind, err)
	}
}

func (e *engine) noteLocked(it *item, kind EventKind, err error) {
	ev := Event{Kind: kind, Time: e.epoch.Add(time.Duration(e.now())), Item: it.identity(), Err: err}
	between := false
	if f, ok := err.(*ItemError); ok && kind == EventFailed {
		between = f.Stage == ""
	}
	if s := &e.plan.sites[it.site]; s.kind == siteStage && !between {
		ev.Stage = s.def.name
		v := &it.visit
		ev.Attempt = int(v.attempts)
		ev.Queued, ev.Worked = time.Duration(max(v.queued, 0)), time.Duration(max(v.worked, 0))
	}
	e.observer.events = append(e.observer.events, ev)
	e.later.events, e.later.any = true, true
}

// observe tells of the events that there are, unless somebody does already.
func (e *engine) observe() {
	o := &e.observer
	e.mu.Lock()
	if o.telling {
		e.mu.Unlock()
		return
	}
	o.telling = true
	for len(o.events) > 0 {
		events := o.events
		o.events = nil
		e.mu.Unlock()
		for i := range events {
			e.conf.onEvent(events[i])
		}
		e.mu.Lock()
	}
	o.telling = false
	waiting := o.waiting
	o.waiting = nil
	e.unlock() // the run may be over with that
	for _, c := range waiting {
		close(c)
	}
}

// awaitObserver lets a worker wait while the observer is behind.
func (e *engine) awaitObserver() {
	if e.conf.onEvent == nil {
		return
	}
	o := &e.observer
	e.mu.Lock()
	if len(o.events) < mostEvents || !o.telling {
		e.mu.Unlock()
		return
	}
	c := make(chan struct{})
	o.waiting = append(o.waiting, c)
	e.mu.Unlock()
	<-c
}
