package antflow

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// DefaultMaxWorkers is a number of workers for those who have no better one.
const DefaultMaxWorkers = 5

// An Executor runs tasks on at most a given number of workers. It is
// concurrent.futures' Executor. Make one with [New]; all methods are safe for
// concurrent use.
type Executor struct {
	// Set by New.
	name     string
	limit    int // of backlog; 0: none
	defaults spec
	specs    atomic.Pointer[specTable] // the specs that tasks share, made with the first

	// closed is set by the first Shutdown, under mu. active counts the
	// goroutines that run code of the executor or of its tasks and are no
	// workers: pumps, sweeps, timers, those that settle and call back. Who
	// adds to it is counted already, or holds mu.
	closed atomic.Bool
	active atomic.Int64
	epoch  time.Time   // of the timers; set with the first
	news   atomic.Bool // there may be something for the worker that searches
	halted atomic.Bool // CancelRunning was asked for; set under mu

	watched atomic.Bool // somebody observes; set under mu
	tracers []*tracing  // set by New

	recentTerms atomic.Pointer[terms] // of the task accepted last; set under mu

	// Workers read what is above for each task, and should not have to wait for
	// the cache line of mu.
	_ [64]byte

	// mu guards everything below, the last block of task, and all of line,
	// scope, boost, worker and batch but what they say otherwise.
	//
	// Under it nothing is called that isn't ours, no channel is sent on or
	// closed, and no other mutex is taken: what has to happen is noted in
	// later and done by unlock. It is always released by unlock.
	mu      sync.Mutex
	max     int // slots
	busy    int // slots in use: running and trying tasks
	telling int // free slots that only what resumes may have; see tellLocked
	workers int
	crew    *worker // all workers
	nextID  uint64
	backlog int // accepted tasks whose first attempt has not started
	counts  [classes]int
	totals  totals

	// Plain tasks are counted as they are taken, and not when they end: each
	// worker that runs some has one of them, and all others that were taken
	// have succeeded. Those that end in another way are adopted before, and
	// then counted by their phases.
	claims uint64 // plain tasks taken so far, but for the adopted
	plain  int    // workers that run one

	searching bool  // a worker is on its way to look for a task
	loose     place // of a plain task that is queued and in no scope, since one is

	queue   queue
	resumed taskList // tasks and lenders that start before the queue
	boosts  indexed[*boost]
	waits   uint64 // numbers the boosts
	lines   map[lineKey]*line
	scopes  map[<-chan struct{}]*scope
	recent  *scope // the one used last
	later   later
	journal *journal // made when somebody observes for the first time

	admission taskList // blocked Submits, first come, first served
	remotes   taskList // tasks that run elsewhere
	timers    indexed[*task]
	timer     *time.Timer   // exists while timers has members
	timerAt   time.Duration // since epoch
	timerRun  uint64        // tells a timer from the ones before it

	canceling bool          // CancelQueued was asked for
	halt      chan struct{} // closed by the next Shutdown that asks for more
	closing   chan struct{} // closed by the first Shutdown
	drained   chan struct{} // closed when a shutdown is complete
}

// totals are the counters of Stats.
type totals struct {
	submitted, succeeded, failed, canceled, retries, rejected uint64
}

// later is what has to be done once mu is released.
type later struct {
	any      bool
	releases []Semaphore
	cancels  []context.CancelFunc
	stops    []*scope
	starts   []*scope
	wakes    []chan struct{}
	tellers  []*observer
	yield    bool // to those
}

// New returns an executor that runs at most maxWorkers tasks at any instant.
// It starts nothing: workers come with the tasks and go when there are none,
// so an idle executor costs no goroutine and no timer, and one that is dropped
// is collected, closed or not. A maxWorkers below 1 and a nil option panic.
func New(maxWorkers int, opts ...Option) *Executor {
	must(maxWorkers >= 1, "New(%d): the number of workers must be at least 1", maxWorkers)
	e := &Executor{
		max:    maxWorkers,
		lines:  make(map[lineKey]*line),
		scopes: make(map[<-chan struct{}]*scope),
		boosts: indexed[*boost]{
			before: func(a, b *boost) bool { return a.order > b.order },
			pos:    func(b *boost) *int32 { return &b.pos },
		},
		timers: indexed[*task]{
			before: dueBefore,
			pos:    func(t *task) *int32 { return &t.extra().timer },
		},
	}
	e.defaults.e = e
	e.defaults.retryDelay = defaultRetryDelay
	for i, o := range opts {
		must(o != nil, "New: nil Option at index %d", i)
		o.applyExecutor(e)
	}
	e.defaults.own = false
	return e
}

// unlock releases mu and then does what was noted under it.
func (e *Executor) unlock() {
	if e.drained != nil && e.idleLocked() {
		e.wakeLocked(e.drained)
		e.drained = nil
	}
	if e.journal != nil {
		e.journal.stamp = 0
	}
	if !e.later.any {
		e.mu.Unlock()
		return
	}
	l := e.later
	e.later = later{}
	e.mu.Unlock()
	for _, s := range l.releases {
		releaseSpare(s)
	}
	for _, cancel := range l.cancels {
		cancel()
	}
	for _, sc := range l.stops {
		if sc.stop() {
			e.leave()
		}
	}
	for _, sc := range l.starts {
		sc.start()
	}
	for _, c := range l.wakes {
		close(c)
	}
	for _, o := range l.tellers {
		go o.tell()
	}
	if l.yield {
		runtime.Gosched()
	}
}

func (e *Executor) wakeLocked(c chan struct{}) {
	e.later.wakes = append(e.later.wakes, c)
	e.later.any = true
}

// enter counts this goroutine, or one that it is about to start, among those
// that a shutdown waits for. A nil executor is a promise's.
func (e *Executor) enter() {
	if e != nil {
		e.active.Add(1)
	}
}

// leave ends what enter began. The last one out of a closed executor looks
// whether the shutdown is complete: it stores the count and then reads closed,
// while Shutdown stores closed and then reads the count.
func (e *Executor) leave() {
	if e != nil && e.active.Add(-1) == 0 && e.closed.Load() {
		e.mu.Lock()
		e.unlock()
	}
}

// idleLocked reports whether nothing is left to do and nobody to do it.
func (e *Executor) idleLocked() bool {
	e.syncLocked()
	for _, n := range e.counts[classNone+1:] {
		if n != 0 {
			return false
		}
	}
	return e.workers == 0 && !e.searching && e.active.Load() == 0
}

// Close is [Executor.Shutdown] with a background context: it stops admission,
// waits for every accepted task and returns nil. It may be called again, and
// is made for defer.
func (e *Executor) Close() error {
	must(e != nil, "Executor.Close: the executor is nil")
	return e.Shutdown(context.Background())
}

// Shutdown stops admission at once, then waits for every accepted task and
// returns nil; no goroutine runs the executor's or a task's code by then. When
// ctx ends first it returns a [*WaitError], and what runs goes on. It may be
// called again, from anywhere and with stronger options; all callers wait for
// the same end.
//
// Until [CancelQueued], a Submit through the context of a running task still
// counts as accepted work. Called with the context of one of the executor's
// own tasks, Shutdown can't wait for its end: it applies the options and
// returns at once a [*WaitError] that Is [ErrShutdown]. With the context of
// another executor's task it lends that task's slot while it blocks. Do not
// call it from a callback of [Future.OnDone] without [NoWait]: it would wait
// for the callback. Those who observe are told of everything before it returns,
// as far as they take less than a second; see [Executor.Observe]. A nil ctx and
// a nil option panic.
func (e *Executor) Shutdown(ctx context.Context, opts ...ShutdownOption) error {
	must(e != nil, "Executor.Shutdown: the executor is nil")
	must(ctx != nil, "Executor.Shutdown(nil): the context must not be nil")
	var mode shutdownMode
	for i, o := range opts {
		must(o != nil, "Executor.Shutdown: nil ShutdownOption at index %d", i)
		o.applyShutdown(&mode)
	}
	own := e.ownAttempt(ctx) != nil
	e.stopAdmission(mode)
	if mode.noWait {
		return nil
	}
	if own {
		return &WaitError{Err: ErrShutdown}
	}
	if err := e.awaitIdle(ctx); err != nil {
		return err
	}
	e.flushObservers(ctx.Done())
	return nil
}

// awaitIdle blocks until the shutdown is complete or ctx ends.
func (e *Executor) awaitIdle(ctx context.Context) error {
	e.mu.Lock()
	if e.idleLocked() {
		e.unlock()
		return nil
	}
	if e.drained == nil {
		e.drained = make(chan struct{})
	}
	drained := e.drained
	e.unlock()
	if ctx.Err() == nil {
		l := attemptOf(ctx).newLease(nil)
		l.begin()
		defer l.end()
		select {
		case <-drained:
			return nil
		case <-ctx.Done():
		}
	}
	select {
	case <-drained:
		return nil
	default:
		return waitErr(ctx, e.unfinished())
	}
}

// stopAdmission does what a Shutdown asks for, short of waiting.
func (e *Executor) stopAdmission(mode shutdownMode) {
	var out []*task
	var attempts []*attempt
	var asks []func()
	e.mu.Lock()
	e.assignLocked()
	if !e.closed.Swap(true) && e.closing != nil {
		e.wakeLocked(e.closing)
	}
	if mode.cancelQueued {
		e.canceling = true
	}
	if e.halt != nil {
		e.wakeLocked(e.halt)
		e.halt = nil
	}
	for t := e.admission.front; t != nil; t = e.admission.front {
		e.rejectLocked(t, ErrShutdown)
	}
	if mode.cancelQueued {
		out, attempts = e.cancelAllLocked(mode.cancelRunning)
		asks = e.askRemotesLocked(askedByShutdown, func(t *task) bool { return mode.cancelRunning || !t.has(hasStarted) })
	}
	e.active.Add(1)
	e.unlock()
	defer e.leave()
	for _, a := range attempts {
		a.stop(stoppedByShutdown)
	}
	for _, ask := range asks {
		ask()
	}
	e.cancelAll(out, askedByShutdown)
}

// cancelAllLocked takes the tasks out that a shutdown cancels, in the order of
// submission, and returns with them the attempts to be told.
func (e *Executor) cancelAllLocked(running bool) ([]*task, []*attempt) {
	waiting := e.waitingLocked(func(t *task) bool { return running || !t.has(hasStarted) })
	for _, t := range waiting {
		e.leaveLocked(t)
		e.countLocked(t, StateCanceled, failure{})
	}
	var attempts []*attempt
	if running {
		// A worker that takes a plain task after this finds it halted.
		e.halted.Store(true)
	}
	for w := e.crew; running && w != nil; w = w.next {
		t := w.t.Load()
		if t == nil {
			if t = e.weighRunningLocked(w); t == nil {
				continue
			}
		}
		if t.phase == phaseQueued && !e.adoptRunningLocked(t) {
			continue
		}
		if t.phase == phaseTrying || t.phase == phaseSettled {
			continue
		}
		if a := t.askableLocked(); a.asked == nil {
			a.asked = askedByShutdown
			attempts = append(attempts, a)
		}
	}
	e.dispatchLocked()
	return waiting, attempts
}

// unfinished describes what a timed-out Shutdown left.
func (e *Executor) unfinished() string {
	s := e.Stats()
	return plural(s.Running+s.Blocked+s.Queued+s.Waiting, "task") + " unfinished"
}

// Resize changes the number of workers. More start at once; fewer take effect
// as tasks finish, nothing is interrupted. It does not block. A maxWorkers
// below 1 panics.
func (e *Executor) Resize(maxWorkers int) {
	must(e != nil, "Executor.Resize: the executor is nil")
	must(maxWorkers >= 1, "Executor.Resize(%d): the number of workers must be at least 1", maxWorkers)
	e.mu.Lock()
	e.assignLocked()
	e.recallLocked()
	e.max = maxWorkers
	e.dispatchLocked()
	e.unlock()
}

// MaxWorkers returns the limit of [New] or the last [Executor.Resize].
func (e *Executor) MaxWorkers() int {
	e.mu.Lock()
	defer e.unlock()
	return e.max
}
