package pipeline

import (
	"context"

	"github.com/antflow/antflow"
)

// A fan is a place where items are made into parts, in one run: a FlatMap at one
// site, a Tee, or an Unbatch. There are at most as many parts of it as the
// window has room for; who may not make one more is stalled.
//
// Who is stalled and whom that keeps from going on is looked at in one place, by
// stirLocked whenever the lock is released, and not where it changes: rooms,
// turns and the first item change in many.
type fan struct {
	e       *engine
	site    int
	front   int   // the point where the first that may come here is seen, or -1
	pool    *pool // of a FlatMap
	stalled queue
}

// firstLocked is the first item that is here or may still come, in an ordered
// run. Where that is not seen it is the first of all.
func (f *fan) firstLocked() *item {
	switch e := f.e; {
	case !e.ordered:
		return nil
	case f.front >= 0:
		return e.cursors[f.front]
	default:
		return e.head
	}
}

// roomLocked is up to how many parts there may be for an item to make one more.
// In order half of the window is for the first one: the parts of others leave
// after its own, and if they took all room, it would make one at a time.
func (f *fan) roomLocked(it *item) int {
	if w := f.e.conf.window; !f.e.ordered || f.firstLocked() == it {
		return w
	} else {
		return max(w/2, 1)
	}
}

// mayEmitLocked reports whether an item may be made into one more part. The
// first of all always may, since what takes the room may wait for it.
func (f *fan) mayEmitLocked(it *item) bool {
	return f.e.ordered && f.e.head == it || f.e.made[f.site] < f.roomLocked(it)
}

// mayYieldLocked reports the same for a call, whose parts come one by one. While
// others are stalled only the first may go on as long as it likes; the rest get
// in line after their turn, or else who always finds room for one more would
// keep those waiting for ever.
func (f *fan) mayYieldLocked(it *item) bool {
	return f.mayEmitLocked(it) && (f.stalled.n == 0 || it.x != nil && it.x.turn > 0 || f.firstLocked() == it)
}

// mayResumeLocked reports the same of a stalled one. It goes on when a quarter of
// its room is free, and not for each single place; what the others have is less
// than the rest of the window, so that the first does not wait for them. When the
// run is to end, it does to be told so.
func (f *fan) mayResumeLocked(it *item) bool {
	room := f.roomLocked(it)
	return f.e.ordered && f.e.head == it || f.e.made[f.site] <= room-quarter(room) || f.e.failure != nil
}

func quarter(room int) int { return max(room/4, 1) }

// nextLocked returns a stalled item that may go on, or nil.
func (f *fan) nextLocked() *item {
	if it := f.firstLocked(); it != nil && it.q == &f.stalled && f.mayResumeLocked(it) {
		return it
	}
	if it := f.stalled.first(); it != nil && f.mayResumeLocked(it) {
		return it
	}
	return nil
}

func (f *fan) stallLocked(it *item) {
	f.stalled.push(it)
	f.e.stalls++
	if f.pool != nil {
		f.pool.stalls++
	}
}

// resumeLocked lets a stalled item go on, with a place for a part if it may make
// one: so no more calls are woken than there is room for.
func (f *fan) resumeLocked(it *item, placed bool) {
	e, p := f.e, f.pool
	f.stalled.remove(it)
	e.stalls--
	if p == nil {
		e.emitLocked(it)
		return
	}
	if placed {
		it.x.placed, it.x.turn = true, quarter(f.roomLocked(it))
		e.made[f.site]++
	}
	if p.stalls--; p.lent <= p.stalls {
		e.signalLocked(it.x.wake)
		return
	}
	p.lent-- // the worker that it would have is somebody else's
	p.regains = append(p.regains, it.x.wake)
	p.serveLocked()
}

// stirLocked lets those go on that are stalled and may, and those that need what
// the calls among them have.
func (e *engine) stirLocked() {
	for again := true; again && e.stalls > 0; {
		again = false
		for _, f := range e.fans {
			for it := f.nextLocked(); it != nil; it = f.nextLocked() {
				f.resumeLocked(it, true)
				again = true
			}
			if p := f.pool; p != nil && f.stalled.n > 0 && p.serveLocked() {
				again = true
			}
		}
	}
}

// floodedLocked reports whether the pool takes in what comes, however much waits
// there: calls are stalled that may wait for an item behind those which would
// have to stay outside. The window is their bound.
func (p *pool) floodedLocked() bool { return p.stalls > 0 && p.e.ordered }

// firstLocked returns an item that wants a worker of the pool, and that stalled
// calls, which have the workers, may wait for.
func (p *pool) firstLocked() *item {
	if p.floodedLocked() {
		for _, f := range p.fans {
			it := f.firstLocked()
			if it != nil && int(it.site) == f.site && (it.phase == phaseWaiting || it.phase == phaseDelayed && p.tasks) {
				return it
			}
		}
	}
	return nil
}

// takeWorkerLocked takes an idle worker, or, if need be, that of a stalled call.
func (p *pool) takeWorkerLocked(need bool) bool {
	switch {
	case p.idle() > 0:
		p.running++
	case need && p.lent < p.stalls:
		p.lent++
	default:
		return false
	}
	return true
}

// stall lets a call wait until it may make one more part, and reports whether
// there is a place for that. It is called with the lock, and returns with it;
// when a method of the user's semaphore panics, without.
//
// The call keeps its worker, lest there be as many calls as the window has room
// for instead of as many as the stage has workers. Only who can go on while it
// can't may have that: the first item, or another call that is resumed.
func (f *fan) stall(ctx context.Context, it *item) (placed bool, err error) {
	e, x := f.e, it.more()
	e.unlock()
	returned := false
	defer func() {
		e.mu.Lock()
		if placed = x.placed; placed {
			x.placed = false
			e.made[f.site]-- // the caller counts the part before anybody sees that
		}
		if !returned {
			e.unlock()
		}
	}()
	err = f.pool.away(ctx, func() {
		wake := make(chan struct{}, 1)
		e.mu.Lock()
		x.wake = wake
		f.stallLocked(it) // unlock resumes it if there is room meanwhile
		e.unlock()
		select {
		case <-wake:
			return
		case <-ctx.Done():
		}
		e.mu.Lock()
		if it.q == &f.stalled {
			f.resumeLocked(it, false)
		}
		e.unlock()
		<-wake // it has a worker then
	})
	returned = true
	return placed, err
}

// away lets a call of a FlatMap wait, without the executor's slot and without
// the permit of the stage's semaphore: others, here or at another stage, may
// need it for what the call waits for.
func (p *pool) away(ctx context.Context, wait func()) error {
	var sem antflow.Semaphore
	if p.tasks {
		sem = p.settings.Semaphore
	}
	if sem == nil {
		return antflow.Blocking(ctx, func() error { wait(); return nil })
	}
	sem.Release(1)
	return antflow.Blocking(ctx, func() error {
		wait()
		has := false
		defer func() {
			if !has {
				p.unpermitted.Add(1)
			}
		}()
		// Also when ctx has ended: the call goes on for as long as it likes.
		err := sem.Acquire(context.WithoutCancel(ctx), 1)
		has = err == nil
		return err
	})
}

// lacksPermit reports whether a call that ends does not have the permit of the
// semaphore any more. Which call it is doesn't matter, permits are all alike.
func (p *pool) lacksPermit() bool {
	for {
		n := p.unpermitted.Load()
		if n == 0 {
			return false
		}
		if p.unpermitted.CompareAndSwap(n, n-1) {
			return true
		}
	}
}
