package antflow

import (
	"reflect"
	"runtime"
	"strings"
	"time"
)

// A journal is what an executor keeps for those who observe it. It is made for
// the first of them and stays; while nobody observes, new tasks have no record
// and nothing of it is touched. All of it is guarded by e.mu: each step of a
// task is written down in the section of the lock that makes it, so the events
// are in the order of what happened, and agree with the books.
//
// A task that is observed is never plain or light, so none of its steps is made
// without the lock. That is the price of being observed.
type journal struct {
	e         *Executor
	users     int // observers and measurers
	observers []*observer
	epoch     time.Time
	stamp     time.Duration // the time of this section of the lock, once asked for

	workers   workerNumbers
	queueTime histogram
	runTime   histogram
	names     map[string]*nameFigures
	order     []*nameFigures
	functions map[uintptr]string
	failures  failureGroups
	lost      uint64
}

// nameFigures are the figures of the tasks of one name.
type nameFigures struct {
	name                                            string
	submitted, succeeded, failed, canceled, retries uint64
	running                                         int
	queueTime, runTime                              histogram
}

// A record is what a journal knows of a task that has not settled. It is made
// before the task is shared, or when it starts.
type record struct {
	name    string
	figures *nameFigures
	since   time.Duration // when it could have started
	began   time.Duration // the start of the attempt that runs
	waits   time.Duration // the start of its wait in a line
	permit  time.Duration // how long it waited there before this attempt
	rate    time.Duration
	worker  int32 // -1: none
	attempt int   // the number of the attempt that runs, or ran last
	status  string
	trace   *trace  // made with the first attempt, where there are tracers
	failure failure // of the last attempt, the worker's until it comes to the lock
}

// A watchedExtra is the extra of a task that is observed, in one allocation.
type watchedExtra struct {
	extra
	rec record
}

const (
	mostNames  = 256
	mostName   = 128 // bytes
	mostStatus = 256
	otherNames = "(other)"
	noWorker   = -1
)

// record returns what the journal knows of t, or nil.
func (t *task) record() *record {
	if t.x == nil {
		return nil
	}
	return t.x.rec
}

// observed gives t a record, for it to be filled once it is accepted. Nobody
// else has t.
func (t *task) observed() {
	x := new(watchedExtra)
	if t.x != nil {
		x.extra = *t.x
	}
	x.extra.rec = &x.rec
	t.x = &x.extra
}

// attachLocked begins to observe, for one more. What workers could take without
// the lock they come to the lock for from now on.
func (e *Executor) attachLocked() *journal {
	j := e.journal
	if j == nil {
		j = &journal{e: e, epoch: time.Now().Add(-1), names: make(map[string]*nameFigures), functions: make(map[uintptr]string)}
		e.journal = j
	}
	j.users++
	e.watched.Store(true)
	e.recallLocked()
	e.dispatchLocked()
	return j
}

// detachLocked ends it, for one of them.
func (e *Executor) detachLocked() {
	j := e.journal
	if j.users--; j.users == 0 {
		e.watched.Store(false)
		e.publishLocked()
	}
}

// now is the time of this section of the lock.
func (j *journal) now() time.Duration {
	if j.stamp == 0 {
		j.stamp = time.Since(j.epoch)
	}
	return j.stamp
}

// acceptedLocked is told of an accepted task.
func (j *journal) acceptedLocked(t *task, r *record) {
	j.enterLocked(t, r)
	r.figures.submitted++
	j.noteLocked(t, r, Event{Kind: EventSubmitted})
}

// enterLocked fills the record of a task that the journal learns of.
func (j *journal) enterLocked(t *task, r *record) {
	r.name = j.nameOf(t)
	r.figures = j.figuresOf(r.name)
	r.since = j.now()
	r.worker = noWorker
}

// movedLocked is told of each step between two phases.
func (j *journal) movedLocked(t *task, r *record, from, to phase) {
	switch {
	case to == phaseLine:
		r.waits = j.now()
		j.noteLocked(t, r, Event{Kind: EventWaiting})
	case to == phaseBlocked && from == phaseRunning:
		j.noteLocked(t, r, Event{Kind: EventBlocked})
	case to != phaseRunning:
	case from == phaseBlocked || from == phaseReturning:
		j.noteLocked(t, r, Event{Kind: EventResumed})
	default:
		j.startedLocked(t, r)
	}
}

// startedLocked is told of the start of an attempt.
func (j *journal) startedLocked(t *task, r *record) {
	r.began = j.now()
	r.worker = j.workers.take(t)
	r.attempt = t.Attempts() + 1 // which its worker is about to count
	r.figures.running++
	queued := r.began - r.since
	if !t.has(hasStarted) {
		j.queueTime.add(queued)
		r.figures.queueTime.add(queued)
	}
	j.noteLocked(t, r, Event{Kind: EventStarted, Queued: queued, PermitWait: r.permit, RateWait: r.rate})
}

// grantedLocked is told that t has got what its line waits for.
func (j *journal) grantedLocked(r *record, ln *line) {
	waited := j.now() - r.waits
	if ln.sem != nil {
		r.permit += waited
	} else {
		r.rate += waited
	}
}

// endLocked is told that the attempt of t is over, and returns how long it ran.
func (j *journal) endLocked(r *record) time.Duration {
	if r.worker < 0 {
		return 0
	}
	ran := j.now() - r.began
	j.runTime.add(ran)
	r.figures.runTime.add(ran)
	r.figures.running--
	j.workers.free(int(r.worker))
	return ran
}

// retryingLocked is told that another attempt is to follow.
func (j *journal) retryingLocked(t *task, r *record, err error, delay time.Duration) {
	ran := j.endLocked(r)
	r.figures.retries++
	j.failures.retried(r, j.now())
	j.noteLocked(t, r, Event{Kind: EventRetrying, Ran: ran, Delay: delay, Err: err})
	r.worker = noWorker
	r.since, r.permit, r.rate, r.status = j.now()+delay, 0, 0, ""
}

// settledLocked is told of a task that was published.
func (j *journal) settledLocked(t *task, r *record) {
	ran := j.endLocked(r)
	kind := EventSucceeded
	switch t.State() {
	case StateSucceeded:
		r.figures.succeeded++
	case StateFailed:
		kind = EventFailed
		r.figures.failed++
		j.failures.failed(t, r, j.now(), ran)
	default:
		kind = EventCanceled
		r.figures.canceled++
	}
	j.noteLocked(t, r, Event{Kind: kind, Ran: ran, Err: t.error()})
	r.worker = noWorker
}

// settledApart is settledLocked for a task that is published and settled
// without a slot, outside the lock.
func (e *Executor) settledApart(t *task) {
	r := t.record()
	if r == nil {
		return
	}
	if t.State() == StateFailed {
		r.failure = describe(t.error())
	}
	e.mu.Lock()
	e.journal.settledLocked(t, r)
	e.unlock()
	t.traceSettled()
}

// refuseObserved publishes a task that was never accepted.
func (e *Executor) refuseObserved(t *task, r *record, s State, err error) {
	e.mu.Lock()
	e.journal.enterLocked(t, r) // which needs the function
	e.unlock()
	t.publish(s, err)
	e.mu.Lock()
	e.journal.noteLocked(t, r, Event{Kind: EventRejected, Err: err})
	e.unlock()
}

// noteLocked has the observers told of an event.
func (j *journal) noteLocked(t *task, r *record, ev Event) {
	if len(j.observers) == 0 {
		return
	}
	ev.Time = j.epoch.Add(j.now())
	ev.Task = t.observedInfo(r)
	ev.Worker = int(r.worker)
	for _, o := range j.observers {
		if o.mask>>ev.Kind&1 != 0 {
			o.noteLocked(ev)
		}
	}
}

// observedInfo is what observers are told of t.
func (t *task) observedInfo(r *record) TaskInfo {
	return TaskInfo{ID: t.id, Name: r.name, Executor: t.spec.e.name, Attempt: r.attempt, Priority: t.priority()}
}

// nameOf is the name that t is observed under.
func (j *journal) nameOf(t *task) string {
	if name := t.spec.name; name != "" {
		return clip(name, mostName)
	}
	fn, _ := t.runner.function()
	pc := reflect.ValueOf(fn).Pointer()
	name, ok := j.functions[pc]
	if !ok {
		name = functionName(pc)
		j.functions[pc] = name
	}
	return name
}

// functionName is the name of a function without the path of its package.
func functionName(pc uintptr) string {
	f := runtime.FuncForPC(pc)
	if f == nil {
		return "(function)"
	}
	name := strings.TrimSuffix(f.Name(), "-fm")
	params := strings.IndexByte(name, '[') // which may have paths in them
	if params < 0 {
		params = len(name)
	}
	return clip(name[strings.LastIndexByte(name[:params], '/')+1:], mostName)
}

func (j *journal) figuresOf(name string) *nameFigures {
	f := j.names[name]
	if f != nil {
		return f
	}
	if len(j.order) >= mostNames {
		name = otherNames
		if f = j.names[name]; f != nil {
			return f
		}
	}
	f = &nameFigures{name: strings.Clone(name)}
	j.names[f.name] = f
	j.order = append(j.order, f)
	return f
}

// clip is s, or a copy of as much of it as fits into n bytes.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	const mark = "…"
	cut := n - len(mark)
	for cut > 0 && s[cut]&0xC0 == 0x80 { // amid a rune
		cut--
	}
	return s[:cut] + mark
}
