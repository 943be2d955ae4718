package pipeline

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/antflow/antflow"
)

// An engine is one run of a plan, without its types.
//
// mu guards all of it but what is said otherwise, and all of item, pool and
// gather. Under it nothing of the user's is called and no other lock is taken:
// what has to happen is noted in later, and unlock does it. It is always
// released by unlock.
type engine struct {
	plan    *plan
	ex      *antflow.Executor
	ctx     context.Context // of the run; carriers and tasks are under it
	cancel  context.CancelCauseFunc
	epoch   time.Time
	ordered bool
	loop    bool // a consumer takes the results; else they settle futures
	exact   bool // every visit is timed
	procs   int  // as many calls can go on that wait for nothing
	conf    settings
	settle  func(o *origin) // settles the future of an origin, outside mu

	yielded atomic.Int64 // results that the consumer is done with, to be counted
	hungry  atomic.Bool  // somebody waits for that

	mu       sync.Mutex
	pools    []*pool   // upstream first
	gathers  []*gather // likewise
	cursors  []*item   // for each point of order the first item that may come to it
	head     *item     // all items, in order
	tail     *item
	nextID   uint64
	live     int   // items
	roots    int   // of them, inputs
	made     []int // of them, those that a site made of others
	ready    int   // items in phaseReady that wait for a carrier
	crew     crew
	feeders  []*feeder // wait for room in the window, first come, first served
	fans     []*fan    // the end first
	stalls   int       // items that are stalled there
	unsent   []*item   // to be submitted as tasks, once there is a keeper
	prios    bool      // not all items are of priority 0
	spare    [][]any   // cells to be used again, by the type of their value
	blank    *item     // likewise items, linked by next
	frozen   bool      // no item becomes blank: the items are being gone through
	out      list      // results for the consumer
	taken    []*item   // those of them that the consumer has, in its order
	news     chan struct{}
	waits    bool    // the consumer waits for news
	starved  *feeder // the source waits for room
	inlet    *pool   // where its last input went
	fault    *fault  // how it ended, if it did not return
	left     bool    // the consumer has gone
	closed   bool    // no input comes any more
	failure  error   // why the run stopped before its end
	last     *item   // the failure that a loop ends with
	refused  bool    // the executor was shut down, so no input comes any more
	over     bool
	done     chan struct{} // closed when it is over
	yields   uint64
	failures failures
	texts    statusTexts
	recent   []ItemStatus // a ring of the items that left last
	recents  int          // how many have been put there
	settling int          // futures that are being told of their end
	observer observer
	later    later
}

// later is what has to be done once mu is released.
type later struct {
	any     bool
	carry   int    // carriers to submit
	run     uint64 // for that keeper
	keep    bool
	tasks   []*item
	routes  []*item
	ends    []callEnd
	cancels []antflow.Waitable
	settles []*origin
	signals []chan struct{}
	closes  []chan struct{}
	timers  []*time.Timer
	cause   error // of the end of the whole run
	over    bool
	events  bool
}

// A callEnd is the end of a call's context before the call is over.
type callEnd struct {
	call  *callContext
	cause error
}

// A pool is the workers of one stage in one run.
type pool struct {
	e        *engine
	def      *stageDef
	index    int
	adapt    *adapting
	tasks    bool // each call is a task of the executor
	serial   bool // its items are called in order, one after the other, retries included
	plain    bool // a call of it is no more than its function, and gives one result
	sole     bool // a task of a serial one is under way
	opts     antflow.TaskOption
	settings antflow.TaskSettings
	limit    int
	buffer   int // -1: the default

	resumed queue // for a worker, after a retry's delay; among equals they come first
	waiting queue // for a worker
	ready   queue // have one, wait for a carrier
	blocked queue // wait for room here
	pending int   // wait for a worker as tasks of the executor
	running int   // workers in use: by calls, and by items that are ready
	held    int   // workers in use by items that have no room downstream
	delayed int   // items between two attempts
	laden   int   // items in carriers' loads beyond the one that has a worker
	coming  int   // of loads upstream, those that room is kept for
	claims  []*claim
	fans    []*fan          // its sites, of a FlatMap
	stalls  int             // calls that are stalled there, and have their workers
	lent    int             // but for so many
	regains []chan struct{} // calls that are no more, and wait for a worker

	unpermitted atomic.Int64 // calls that could not get the permit of the semaphore again

	figures figures
}

// A claim is the executor's wait for a worker for the next of a pool's tasks.
type claim struct{ granted chan struct{} }

func (p *pool) idle() int { return max(p.limit-p.running-p.held, 0) }

func (p *pool) room() int {
	if p.buffer >= 0 {
		return p.buffer
	}
	return max(defaultBuffer, p.limit)
}

// queued is how many items take room here, or will.
func (p *pool) queued() int { return p.waiting.n + p.pending + p.laden + p.coming }

func (p *pool) hasRoom() bool { return p.queued() < p.room()+p.idle() }

// isLow reports whether the source should bring more for the pool. That it
// should not be woken for each single item is why this is not hasRoom.
func (p *pool) isLow() bool { return p.queued() <= p.room()/2 }

// A feeder waits until its input may come, or has got in.
type feeder struct{ wake chan struct{} }

// wantsLocked reports whether the source may, and should, go on.
func (e *engine) wantsLocked() bool {
	return e.roots < e.conf.window && (e.inlet == nil || e.inlet.isLow())
}

// feedLocked wakes the source, if it sleeps and should go on.
func (e *engine) feedLocked() {
	if f := e.starved; f != nil && e.wantsLocked() {
		e.starved = nil
		e.signalLocked(f.wake)
	}
}

func (e *engine) now() int64 { return int64(time.Since(e.epoch)) }

func (e *engine) signalLocked(c chan struct{}) {
	e.later.signals = append(e.later.signals, c)
	e.later.any = true
}

// unlock releases mu and then does what was noted under it.
func (e *engine) unlock() {
	for {
		if e.stalls > 0 {
			e.stirLocked()
		}
		for e.live == 0 && !e.over && e.restLocked() {
		}
		if c := &e.crew; e.ready > c.pending+c.looking || c.state != keeperThere || e.live == e.out.n {
			e.staffLocked()
		}
		if !e.later.any {
			e.mu.Unlock()
			return
		}
		l := e.later
		e.later = later{}
		e.mu.Unlock()
		if l.events {
			e.observe()
		}
		for _, t := range l.timers {
			t.Stop()
		}
		for _, c := range l.signals {
			select {
			case c <- struct{}{}: // a capacity of 1, and one signal is enough
			default:
			}
		}
		for _, c := range l.closes {
			close(c)
		}
		if l.cause != nil {
			e.cancel(l.cause)
		}
		for _, c := range l.ends {
			c.call.cancel(c.cause)
		}
		for _, f := range l.cancels {
			f.Cancel()
		}
		if l.over {
			close(e.done)
		}
		if l.keep {
			e.keep()
		}
		for range l.carry {
			e.submitCarrier(l.run)
		}
		for _, it := range l.tasks {
			e.submitTask(it)
		}
		if len(l.routes) == 0 && len(l.settles) == 0 {
			return
		}
		for _, it := range l.routes {
			e.resolve(int(it.site), it.val, &it.x.routed)
		}
		e.settleAll(l.settles)
		e.mu.Lock()
		e.settling -= len(l.settles)
		for _, it := range l.routes {
			o := it.x.routed
			it.x.routed = outcome{}
			e.routedLocked(it, &o)
		}
	}
}

// settleAll settles the futures of origins. Where a callback panics or calls
// Goexit, that takes its course on this goroutine, and the rest is done on
// another one.
func (e *engine) settleAll(origins []*origin) {
	i := 0
	defer func() {
		if i == len(origins) {
			return
		}
		go func() {
			e.settleAll(origins[i+1:])
			e.mu.Lock()
			e.settling -= len(origins)
			e.unlock()
		}()
	}()
	for ; i < len(origins); i++ {
		e.settle(origins[i])
	}
}

// routedLocked lets an item arrive, that until now was being routed or made,
// and tells who waits for that.
func (e *engine) routedLocked(it *item, o *outcome) {
	if a := e.enterLocked(it, o); a != arrivedNot {
		e.carryLocked(it, a)
		e.admittedLocked(it)
	}
}

// enterLocked lets an item arrive that was routed or made outside of the lock.
func (e *engine) enterLocked(it *item, o *outcome) arrival {
	if c := it.canceledBy(); c != nil {
		return e.canceledLocked(it, c)
	}
	if o.err != nil {
		return e.failedLocked(it, &ItemError{Err: o.err}, o.kind)
	}
	it.val = o.val
	return e.arriveLocked(it, o.to, 0)
}

// restLocked is called when there is no item. What was gathered goes on once no
// more can come, and it reports whether something did; when nothing is left
// either, the run is over.
func (e *engine) restLocked() bool {
	if !e.closed || e.settling > 0 || e.observer.busy() {
		return false
	}
	for _, g := range e.gathers {
		if e.failure == nil && g.dueLocked() {
			g.flushLocked()
			return true
		}
	}
	e.over = true
	e.later.over, e.later.any = true, true
	e.tellLocked()
	return false
}

// tellLocked tells the consumer that there is news.
func (e *engine) tellLocked() {
	if e.waits {
		e.waits = false
		e.signalLocked(e.news)
	}
}

// countLocked takes the items out whose results the consumer is done with: the
// first ones of those that it took.
func (e *engine) countLocked() {
	n := e.yielded.Swap(0)
	for _, it := range e.taken[:n] {
		if it.phase != phaseOut {
			continue // it was canceled
		}
		e.out.remove(it)
		e.yields++
		e.recordLocked(it, it.outcome())
		made := it.made
		e.unlinkLocked(it)
		e.reuseLocked(it)
		e.wentAsLocked(made)
	}
	clear(e.taken[:n])
	e.taken = e.taken[n:]
}
