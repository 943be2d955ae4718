package antflow

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// A flow carries inputs from a source into tasks: the untyped half of maps and
// of ForEach. The source runs on a goroutine of its own, the feeder, which is
// the only one to submit. It lets the source go on only while fewer than
// window inputs are open.
//
// The consumer is the goroutine that called. It leaves when it has what it
// came for; the feeder ends when the source lets it.
type flow struct {
	batch
	parent context.Context // the caller's; the tasks' ends when the consumer leaves
	cancel context.CancelCauseFunc
	window int

	room chan struct{} // of capacity 1, to the feeder: an input was closed
	wake chan struct{} // of capacity 1, to the consumer: there is news

	// The consumer of a map closes inputs by counting them here, and then looks
	// whether the feeder is starved. The feeder does it the other way round, so
	// one of the two sees the other.
	yielded atomic.Int64 // closed inputs that open still counts
	starved atomic.Bool  // the feeder waits for room

	mu        sync.Mutex // a leaf
	open      int        // inputs pulled and not closed
	unsettled int        // of them, those whose task has not settled
	complete  bool       // no input comes any more
	exhausted bool       // since the source had no more
	refused   bool       // since the executor takes no more
	fault     *fault     // since the source did this
	left      bool       // the consumer is gone
	waits     bool       // the consumer waits for news
	lease     *lease     // and lends a slot meanwhile
}

// A fault is how a source ended that did not return.
type fault struct {
	value any
	exit  bool
}

var (
	loopLeft    = plainError("the loop over the results was left")
	flowSettled = plainError("the call has returned")
)

// init prepares a flow of the caller of ctx. Without options for it, the window
// lets each worker have a few inputs ahead.
func (f *flow) init(ctx context.Context, e *Executor, bs *batchSpec, s typed) {
	f.batch.init(ctx, e, bs)
	f.fed = true
	bs.task.nonBlocking = false
	f.parent = ctx
	own, cancel := context.WithCancelCause(ctx)
	f.cancel = cancel
	f.setContext(own, s)
	f.window = bs.window
	if f.window == 0 {
		f.window = max(64, 4*e.MaxWorkers())
	}
	f.room = make(chan struct{}, 1)
	f.wake = make(chan struct{}, 1)
}

// feed runs the source on the feeder, which submits each input and ends when
// awaitRoom says so.
func (f *flow) feed(source func()) {
	go func() {
		returned := false
		defer func() {
			var ft *fault
			if !returned {
				v := recover()
				ft = &fault{value: v, exit: v == nil}
			}
			if f.sourceEnded(ft) {
				return
			}
			// Nobody is there to be told, and a bug of the source is not
			// for us to hide.
			panic(ft.value)
		}()
		source()
		returned = true
	}()
}

// sourceEnded notes how the source ended. It reports false for a panic that
// no consumer will see.
func (f *flow) sourceEnded(ft *fault) bool {
	f.mu.Lock()
	if !f.complete {
		f.complete = true
		f.exhausted = ft == nil
	}
	f.fault = ft
	seen := !f.left || ft == nil || ft.exit
	f.mu.Unlock()
	signal(f.wake)
	return seen
}

// openLocked counts a pulled input, or reports false when none is wanted any
// more.
func (f *flow) openLocked() bool {
	if f.complete {
		return false
	}
	f.open++
	f.unsettled++
	return true
}

// closeLocked counts an input that was dealt with. True: the feeder waits for
// that, to be signalled once the lock is released.
func (f *flow) closeLocked() bool {
	f.open--
	return f.starved.Load() && f.starved.Swap(false)
}

// closeYielded closes an input without the lock.
func (f *flow) closeYielded() {
	f.yielded.Add(1)
	if f.starved.Load() && f.starved.Swap(false) {
		signal(f.room)
	}
}

// hasRoomLocked reports whether the source may go on.
func (f *flow) hasRoomLocked() bool {
	if f.open >= f.window {
		f.open -= int(f.yielded.Swap(0))
	}
	return f.open < f.window
}

// awaitRoom returns when the source may go on; false when it must not.
func (f *flow) awaitRoom() bool {
	for {
		f.mu.Lock()
		starved := !f.complete && !f.hasRoomLocked()
		f.starved.Store(starved)
		if starved && f.hasRoomLocked() {
			f.starved.Store(false)
			starved = false
		}
		complete := f.complete
		f.mu.Unlock()
		if !starved {
			return !complete
		}
		select {
		case <-f.room:
		case <-f.done:
			f.mu.Lock()
			f.complete = true // before the source ends, which is not all of it
			f.mu.Unlock()
			return false
		}
	}
}

// taskSettledLocked counts a settled task. A task that a shut-down executor
// did not accept is no item: it ends the flow.
func (f *flow) taskSettledLocked(t *task) (item bool) {
	f.unsettled--
	if t.has(isRefused) && t.error() == ErrShutdown {
		f.open-- // the feeder sees complete once its Submit returns
		f.complete, f.refused = true, true
		return false
	}
	return true
}

// leave ends the pulling without waiting for the source, and the tasks that
// have not finished. A panic of the source that nobody has seen is raised.
func (f *flow) leave(cause error) {
	f.mu.Lock()
	f.complete, f.left = true, true
	ft := f.fault
	f.mu.Unlock()
	f.cancel(cause)
	if ft != nil && !ft.exit {
		ft.raise()
	}
}

// takeFaultLocked returns how the source ended, for the one who is to raise it.
func (f *flow) takeFaultLocked() *fault {
	ft := f.fault
	f.fault = nil
	return ft
}

// raise ends the consumer as the source ended the feeder.
func (ft *fault) raise() {
	if ft == nil {
		return
	}
	if ft.exit {
		runtime.Goexit()
	}
	panic(ft.value)
}

// refusal ends the pulling if the executor takes no more of the flow's tasks.
// Else it returns the channel that a shutdown closes.
func (f *flow) refusal() <-chan struct{} {
	own := f.e.ownAttempt(f.parent)
	f.e.mu.Lock()
	var halt chan struct{}
	refuses := f.e.closed.Load() && (!own.lasts() || f.e.canceling)
	if !refuses {
		if f.e.halt == nil {
			f.e.halt = make(chan struct{})
		}
		halt = f.e.halt
	}
	f.e.unlock()
	if refuses {
		f.mu.Lock()
		if !f.complete {
			f.complete, f.refused = true, true
		}
		f.mu.Unlock()
	}
	return halt
}

// await blocks until readyLocked, called under mu, says so; ctx ends, or the
// time is over. Its report, whether readyLocked did, is decided before the slot
// of the caller's task is taken back.
func (f *flow) await(ctx context.Context, timeout time.Duration, readyLocked func() bool) bool {
	halt := f.refusal()
	f.letFeed()
	l := f.newLease()
	defer l.end()
	defer f.waited()
	if f.readyOr(l, readyLocked) {
		return true
	}
	var timer <-chan time.Time
	if timeout > 0 {
		t := time.NewTimer(timeout)
		defer t.Stop()
		timer = t.C
	}
	l.begin()
	for {
		select {
		case <-f.wake: // perhaps left over from news that were found without a wait
		case <-halt:
			halt = f.refusal()
		case <-timer:
			return f.readyOr(nil, readyLocked)
		case <-ctx.Done():
			return false
		}
		if f.readyOr(l, readyLocked) {
			return true
		}
	}
}

// letFeed lets the feeder run if it has the turn, before the slot of the
// caller's task is lent. A source that has the next input at hand gets it
// submitted then, so the slot goes to that and not to an unrelated task: work
// goes depth first. Nothing tells whether a source blocks, so patience is
// short.
func (f *flow) letFeed() {
	if !f.nested || !f.fed {
		return
	}
	for range 64 {
		f.mu.Lock()
		turn := f.unsettled == 0 && !f.complete
		f.mu.Unlock()
		if !turn {
			return
		}
		runtime.Gosched()
	}
}

// waited ends the consumer's interest in news.
func (f *flow) waited() {
	f.mu.Lock()
	f.lease, f.waits = nil, false
	f.mu.Unlock()
}

// readyOr reports what readyLocked says. While that is no, the next news
// resume l and wake the consumer.
func (f *flow) readyOr(l *lease, readyLocked func() bool) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lease, f.waits = nil, false
	if readyLocked() {
		return true
	}
	f.lease, f.waits = l, true
	return false
}
