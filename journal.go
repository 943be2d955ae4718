package antflow

import (
	"reflect"
	"runtime"
	"strings"
	"time"

	"github.com/antflow/antflow/internal/errtext"
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
	last      time.Duration // the latest of them

	wanted  uint16        // the kinds that one of the observers is told of, as bits
	vacant  *watchedExtra // blank ones, to be used again
	vacants int

	workers   workerNumbers
	names     map[string]*nameFigures
	order     []*nameFigures
	functions map[uintptr]*named
	lastSpec  *spec // the last one that had a name
	lastNamed *named
	lastPC    uintptr // of the last function that was its task's name
	lastFn    *named
	failures  failureGroups
	lost      uint64
}

// A named is a name that tasks are observed under, and where they count.
type named struct {
	name    string
	figures *nameFigures
}

// nameFigures are the figures of the tasks of one name.
type nameFigures struct {
	named
	submitted, succeeded, failed, canceled, retries uint64
	running                                         int
	queueTime, runTime                              histogram
}

const (
	mostNames  = 256
	mostName   = 128 // bytes
	mostStatus = 256
	otherNames = "(other)"
)

// attachLocked begins to observe, for one more. What workers could take without
// the lock they come to the lock for from now on.
func (e *Executor) attachLocked() *journal {
	j := e.journal
	if j == nil {
		j = &journal{e: e, epoch: time.Now().Add(-1), names: make(map[string]*nameFigures), functions: make(map[uintptr]*named)}
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
		j.vacant, j.vacants = nil, 0
		e.publishLocked()
	}
}

// now is the time of this section of the lock.
func (j *journal) now() time.Duration {
	if j.stamp == 0 {
		j.nowIs(j.clock())
	}
	return j.stamp
}

// clock needs no lock. To look at it before the lock is taken keeps that short.
func (j *journal) clock() time.Duration { return time.Since(j.epoch) }

// nowIs makes a time the one of this section, unless it has one; but time never
// goes back from section to section.
func (j *journal) nowIs(d time.Duration) {
	if j.stamp == 0 {
		j.stamp = max(d, j.last)
		j.last = j.stamp
	}
}

// acceptedLocked is told of an accepted task, and returns the time of that.
func (j *journal) acceptedLocked(t *task, since time.Duration) time.Duration {
	j.nowIs(since)
	r := t.record()
	if r == nil {
		r = new(record)
	}
	r.named, r.worker, r.since = j.nameOf(t), noWorker, j.now()
	r.figures.submitted++
	j.noteLocked(t, r, &note{kind: EventSubmitted})
	return r.since
}

// foundLocked is told of a task that starts, and was accepted before anybody
// observed.
func (j *journal) foundLocked(t *task) {
	j.enteredLocked(t, j.now())
	t.record().figures.submitted++
}

// movedLocked is told of each step between two phases.
func (j *journal) movedLocked(t *task, r *record, from, to phase) {
	switch {
	case to == phaseLine:
		r.extra().waits = j.now()
		j.noteLocked(t, r, &note{kind: EventWaiting})
	case to == phaseBlocked && from == phaseRunning:
		j.noteLocked(t, r, &note{kind: EventBlocked})
	case to == phaseRemoteRunning:
		j.startedLocked(t, r)
	case to != phaseRunning:
	case from == phaseBlocked || from == phaseReturning:
		j.noteLocked(t, r, &note{kind: EventResumed})
	default:
		j.startedLocked(t, r)
	}
}

// startedLocked is told of the start of an attempt.
func (j *journal) startedLocked(t *task, r *record) {
	r.began = j.now()
	r.worker = j.workers.take(t)
	r.attempt = int32(t.Attempts() + 1) // which its worker is about to count
	r.figures.running++
	queued := max(r.began-r.since, 0) // a timer may be a bit early for another clock
	if !t.has(hasStarted) {
		r.figures.queueTime.add(queued)
	}
	if !j.wants(EventStarted) {
		return
	}
	n := note{kind: EventStarted, took: queued}
	if r.x != nil && (r.x.permit != 0 || r.x.rate != 0) {
		n.rare = &rareNote{permit: r.x.permit, rate: r.x.rate}
	}
	j.noteLocked(t, r, &n)
}

// grantedLocked is told that t has got what its line waits for.
func (j *journal) grantedLocked(r *record, ln *line) {
	waited := j.now() - r.x.waits
	if ln.sem != nil {
		r.x.permit += waited
	} else {
		r.x.rate += waited
	}
}

// endLocked is told that the attempt of t is over, and returns how long it ran.
func (j *journal) endLocked(r *record) time.Duration {
	if r.worker < 0 {
		return 0
	}
	ran := j.now() - r.began
	r.figures.runTime.add(ran)
	r.figures.running--
	j.workers.free(int(r.worker))
	return ran
}

// retryingLocked is told that another attempt is to follow.
func (j *journal) retryingLocked(t *task, r *record, end *ending) {
	ran := j.endLocked(r)
	r.figures.retries++
	j.failures.retried(r, end.failure, j.now())
	if j.wants(EventRetrying) {
		j.noteLocked(t, r, &note{kind: EventRetrying, took: ran, rare: &rareNote{delay: end.delay}, err: end.err})
	}
	r.worker = noWorker
	r.since = j.now() + end.delay
	if r.x != nil {
		r.x.permit, r.x.rate, r.x.status = 0, 0, ""
	}
}

// settledLocked counts a task that is taken out of the books with that state; f
// is what is kept of its error, if it failed. It returns how long its attempt ran.
// The event comes with settledEventLocked, once the task is published.
func (j *journal) settledLocked(t *task, r *record, s State, f failure) time.Duration {
	ran := j.endLocked(r)
	switch s {
	case StateSucceeded:
		r.figures.succeeded++
	case StateFailed:
		r.figures.failed++
		j.failures.failed(t, r, f, j.now(), ran)
	default:
		r.figures.canceled++
	}
	return ran
}

var settledEvents = [...]EventKind{
	StateSucceeded: EventSucceeded,
	StateFailed:    EventFailed,
	StateCanceled:  EventCanceled,
}

func (j *journal) settledEventLocked(t *task, r *record, ran time.Duration) {
	if kind := settledEvents[t.State()]; j.wants(kind) {
		j.noteLocked(t, r, &note{kind: kind, took: ran, err: t.error()})
	}
	r.worker = noWorker
}

// countLocked counts a task that is taken out of the books with that state.
func (e *Executor) countLocked(t *task, s State, f failure) (ran time.Duration) {
	switch s {
	case StateSucceeded:
		e.totals.succeeded++
	case StateFailed:
		e.totals.failed++
	default:
		e.totals.canceled++
	}
	if r := t.record(); r != nil {
		return e.journal.settledLocked(t, r, s, f)
	}
	return 0
}

// settledApart tells of a task that was counted and then published without a
// slot.
func (e *Executor) settledApart(t *task) {
	r := t.record()
	if r == nil {
		return
	}
	e.mu.Lock()
	e.journal.settledEventLocked(t, r, 0)
	e.unlock()
	if e.tracers != nil {
		traced := make(chan struct{})
		go func() { // which a tracer may end, but not the caller
			defer close(traced)
			t.traceSettled()
		}()
		<-traced
	}
}

// refuseObserved publishes a task that was never accepted.
func (e *Executor) refuseObserved(t *task, r *record, s State, err error) {
	e.mu.Lock()
	r.named = e.journal.nameOf(t) // which needs the function
	e.unlock()
	r.worker = noWorker
	t.publish(s, err)
	e.mu.Lock()
	e.journal.noteLocked(t, r, &note{kind: EventRejected, err: err})
	e.unlock()
}

// noteLocked has the observers told of a step.
func (j *journal) noteLocked(t *task, r *record, n *note) {
	if !j.wants(n.kind) {
		return
	}
	if n.at == 0 {
		n.at = j.now()
	}
	n.id, n.priority = t.id, t.priority()
	n.named, n.attempt, n.worker = r.named, r.attempt, r.worker
	for _, o := range j.observers {
		if o.mask>>n.kind&1 != 0 {
			o.noteLocked(n)
		}
	}
}

// wants reports whether an observer is told of such steps.
func (j *journal) wants(kind EventKind) bool { return j.wanted>>kind&1 != 0 }

// wantedLocked finds out what the observers are told of.
func (j *journal) wantedLocked() {
	j.wanted = 0
	for _, o := range j.observers {
		j.wanted |= o.mask
	}
}

// observedInfo is what observers are told of t.
func (t *task) observedInfo(r *record) TaskInfo {
	return TaskInfo{ID: t.id, Name: r.name, Executor: t.spec.e.name, Attempt: int(r.attempt), Priority: t.priority()}
}

// nameOf is the name that t is observed under.
func (j *journal) nameOf(t *task) *named {
	if t.spec.name != "" {
		if t.spec != j.lastSpec {
			j.lastSpec, j.lastNamed = t.spec, j.namedLocked(errtext.Clip(t.spec.name, mostName))
		}
		return j.lastNamed
	}
	fn, _ := t.runner.function()
	pc := reflect.ValueOf(fn).Pointer()
	if pc == j.lastPC {
		return j.lastFn
	}
	n := j.functions[pc]
	if n == nil {
		n = j.namedLocked(functionName(pc))
		j.functions[pc] = n
	}
	j.lastPC, j.lastFn = pc, n
	return n
}

// namedLocked finds the figures of a name. A name that there is no room for has
// those of all such, and is nobody's own.
func (j *journal) namedLocked(name string) *named {
	f := j.names[name]
	if f == nil && len(j.order) < mostNames {
		return &j.newFigures(strings.Clone(name)).named
	}
	if f == nil {
		f = j.names[otherNames]
		if f == nil {
			f = j.newFigures(otherNames)
		}
		return &named{name, f}
	}
	return &f.named
}

func (j *journal) newFigures(name string) *nameFigures {
	f := new(nameFigures)
	f.named = named{name, f}
	j.names[name] = f
	j.order = append(j.order, f)
	return f
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
	return errtext.Clip(name[strings.LastIndexByte(name[:params], '/')+1:], mostName)
}
