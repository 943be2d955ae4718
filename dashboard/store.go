package dashboard

import (
	"iter"
	"math/bits"
	"sync"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/errtext"
)

const (
	mostTasks    = 4096
	mostFailed   = mostTasks / 2 // of them, while there are others
	mostAttempts = 16            // of a task, the latest
	mostReason   = 256           // bytes, of the error of one
	allSteps     = 4096          // between two ticks; beyond that some tasks are left out
	allFailures  = 256           // of them, the same
)

// A store has the recent tasks of an executor, for one sampling. The executor
// tells it of each step, on a goroutine of its own, so what is done for one has
// to be little; and where there are more steps than anybody could look at, only
// those of some of the tasks are taken notice of.
//
// When it is full, those that have finished go first, the oldest first, and of
// these half may be failures before they are treated like the others; then
// those that have not begun, the youngest first, since it is the last to; then
// the one that began first.
type store struct {
	mu     sync.Mutex
	byID   map[uint64]*record
	lists  [groups]list
	seq    uint64 // numbers the steps
	sample sample
	load   load
}

// group is which of the lists a record is in.
type group uint8

const (
	groupWaiting group = iota // has not begun
	groupBegun
	groupSucceeded
	groupFailed // or was canceled or rejected
	groups
)

// A record is what is known of a task.
type record struct {
	prev, next *record // in the list of its group
	group      group

	info      antflow.TaskInfo // of the latest step
	state     string
	seq       uint64    // of the latest step
	submitted time.Time // zero: it was before the sampling, as for the others
	ended     time.Time
	attempts  []attempt // the latest, in order
	forgotten int       // the attempts before these
	text      string    // of the error that it ended with
}

// An attempt is one run of a task's function.
type attempt struct {
	number         int
	worker         int
	queued, permit time.Duration
	rate, delay    time.Duration
	start, end     time.Time
	outcome, text  string
}

func (s *store) init() { s.byID = make(map[uint64]*record) }

// states are what the states of a task are called, by the step that led there.
var states = [...]string{
	antflow.EventSubmitted: "queued",
	antflow.EventWaiting:   "waiting",
	antflow.EventStarted:   "running",
	antflow.EventBlocked:   "blocked",
	antflow.EventResumed:   "running",
	antflow.EventRetrying:  "retrying",
	antflow.EventSucceeded: "succeeded",
	antflow.EventFailed:    "failed",
	antflow.EventCanceled:  "canceled",
	antflow.EventRejected:  "rejected",
}

// note is told of a step.
func (s *store) note(ev antflow.Event) {
	text := ""
	s.mu.Lock()
	if ev.Err != nil && s.wantsLocked(ev) {
		s.mu.Unlock()
		text = textOf(ev.Err) // the user's code
		s.mu.Lock()
	}
	s.noteLocked(ev, text)
	s.mu.Unlock()
}

// wantsLocked reports whether the step is to be taken notice of.
func (s *store) wantsLocked(ev antflow.Event) bool {
	return s.load.wants(ev) || s.byID[ev.Task.ID] != nil
}

func (s *store) noteLocked(ev antflow.Event, text string) {
	ended := ev.Worker >= 0 && ev.Kind >= antflow.EventRetrying
	wanted := s.wantsLocked(ev)
	s.load.count(ev)
	if !wanted {
		if ended {
			s.sample.miss()
		}
		return
	}
	r := s.byID[ev.Task.ID]
	if r == nil || ev.Kind == antflow.EventRejected {
		r = s.admit(ev)
	}
	if r == nil {
		return
	}
	s.seq++
	r.info, r.state, r.seq = ev.Task, states[ev.Kind], s.seq
	switch ev.Kind {
	case antflow.EventSubmitted:
		r.submitted = ev.Time
	case antflow.EventStarted:
		r.begin(ev)
		s.move(r, groupBegun)
	case antflow.EventSucceeded:
		s.move(r, groupSucceeded)
	case antflow.EventFailed, antflow.EventCanceled, antflow.EventRejected:
		s.move(r, groupFailed)
	}
	if ended {
		s.sample.add(r.end(ev, text))
	}
	if ev.Kind > antflow.EventRetrying {
		r.ended, r.text = ev.Time, text
	}
}

// admit makes a record for a task that there is none of, if it is worth that of
// another one.
func (s *store) admit(ev antflow.Event) *record {
	n := 0
	for i := range s.lists {
		n += s.lists[i].n
	}
	if n >= mostTasks {
		out := s.lists[groupSucceeded].oldest()
		if f := &s.lists[groupFailed]; out == nil || f.n > mostFailed {
			out = f.oldest()
		}
		if out == nil {
			if ev.Kind <= antflow.EventWaiting {
				return nil // it is the youngest of those that have not begun
			}
			out = s.lists[groupWaiting].youngest()
		}
		if out == nil {
			out = s.lists[groupBegun].oldest()
		}
		s.remove(out)
	}
	r := &record{info: ev.Task}
	if ev.Kind >= antflow.EventStarted {
		r.group = groupBegun
	}
	s.lists[r.group].push(r)
	if ev.Kind != antflow.EventRejected { // such a task has no ID
		s.byID[ev.Task.ID] = r
	}
	return r
}

func (s *store) move(r *record, to group) {
	s.lists[r.group].remove(r)
	r.group = to
	s.lists[to].push(r)
}

func (s *store) remove(r *record) {
	s.lists[r.group].remove(r)
	if s.byID[r.info.ID] == r {
		delete(s.byID, r.info.ID)
	}
}

// begin notes the start of an attempt.
func (r *record) begin(ev antflow.Event) {
	if len(r.attempts) == mostAttempts {
		r.attempts = append(r.attempts[:0], r.attempts[1:]...)
		r.forgotten++
	}
	r.attempts = append(r.attempts, attempt{
		number: ev.Task.Attempt, worker: ev.Worker,
		queued: ev.Queued, permit: ev.PermitWait, rate: ev.RateWait,
		start: ev.Time, outcome: "running",
	})
}

// end notes the end of an attempt, and returns it as a span. Its start was not
// seen if it is that of a task that was running before.
func (r *record) end(ev antflow.Event, text string) span {
	n := len(r.attempts)
	if n == 0 || r.attempts[n-1].number != ev.Task.Attempt {
		start := ev
		start.Time = ev.Time.Add(-ev.Ran)
		r.begin(start)
		n = len(r.attempts)
	}
	a := &r.attempts[n-1]
	a.end, a.delay, a.outcome, a.text = ev.Time, ev.Delay, states[ev.Kind], errtext.Clip(text, mostReason)
	return span{
		worker: a.worker, attempt: a.number, id: ev.Task.ID, name: errtext.Clip(ev.Task.Name, mostName), outcome: a.outcome,
		start: unix(ev.Time.Add(-ev.Ran)), end: unix(ev.Time),
	}
}

// A load tells how many steps there are between two ticks, and which of them to
// leave out. A task is left out as a whole, but for failures, as long as they
// are few.
type load struct {
	steps, failures int
	mask            uint64 // tasks are looked at whose hash has none of these bits
}

// count counts a step.
func (l *load) count(ev antflow.Event) {
	l.steps++
	if ev.Kind == antflow.EventFailed {
		l.failures++
	}
}

// wants reports whether a step is to be taken notice of.
func (l *load) wants(ev antflow.Event) bool {
	return ev.Kind == antflow.EventFailed && l.failures < allFailures || ev.Task.ID*0x9e3779b97f4a7c15>>32&l.mask == 0
}

// turn begins another interval, which is thought to be like the last.
func (l *load) turn() {
	*l = load{mask: 1<<bits.Len(uint(l.steps/allSteps)) - 1}
}

// A list is records from the oldest to the youngest.
type list struct {
	root record // of a ring; made with the first push
	n    int
}

func (l *list) push(r *record) {
	if l.root.next == nil {
		l.root.prev, l.root.next = &l.root, &l.root
	}
	r.prev, r.next = l.root.prev, &l.root
	r.prev.next, r.next.prev = r, r
	l.n++
}

func (l *list) remove(r *record) {
	r.prev.next, r.next.prev = r.next, r.prev
	r.prev, r.next = nil, nil
	l.n--
}

func (l *list) oldest() *record {
	if l.n == 0 {
		return nil
	}
	return l.root.next
}

func (l *list) youngest() *record {
	if l.n == 0 {
		return nil
	}
	return l.root.prev
}

// all yields the records from the oldest on.
func (l *list) all() iter.Seq[*record] {
	return func(yield func(*record) bool) {
		for r, n := l.root.next, l.n; n > 0; r, n = r.next, n-1 {
			if !yield(r) {
				return
			}
		}
	}
}
