package antflow

import (
	"context"
	"slices"
	"sync"
)

// A Semaphore bounds how many attempts run at a time, in one executor or
// several, as [WithSemaphore] says. [golang.org/x/sync/semaphore.Weighted]
// fits, as does [NewSemaphore]. Its methods are called with n = 1, from several
// goroutines and outside locks.
type Semaphore interface {
	Acquire(ctx context.Context, n int64) error
	TryAcquire(n int64) bool
	Release(n int64)
}

// A RateLimiter spaces out the starts of attempts, as [WithRateLimit] says.
// [golang.org/x/time/rate.Limiter] fits. Wait is called by one goroutine at a
// time for each executor, outside locks.
type RateLimiter interface {
	Wait(ctx context.Context) error
}

// A line is the tasks of an executor that wait for one semaphore or limiter,
// in start order. One goroutine at most waits on their behalf, while there are
// waiters and none of the line's tasks holds something without having
// started. A line is in e.lines while anything goes on in it.
type line struct {
	lineKey
	waiters indexed[*task]
	trying  *task // its worker tries for a permit
	pending *task // has a permit or an event and has not started
	spare   bool  // a permit or an event was got that nobody has
	pumping bool
	head    *task              // whose context the pump waits with
	cancel  context.CancelFunc // ends the pump's wait
}

func (e *Executor) newLineLocked(key lineKey, trying *task) *line {
	ln := &line{lineKey: key, trying: trying, waiters: taskHeap()}
	e.lines[key] = ln
	return ln
}

// A lineKey tells lines apart: it has one of the two, since one value may be
// both a semaphore and a limiter.
type lineKey struct {
	sem     Semaphore
	limiter RateLimiter
}

// joinLocked makes t wait in line.
func (e *Executor) joinLocked(ln *line, t *task) {
	e.moveLocked(t, phaseLine)
	t.extra().line = ln
	ln.waiters.push(t)
	e.scopeLocked(t)
	e.serveLocked(ln)
}

// leaveLineLocked takes a waiting t out of its line.
func (e *Executor) leaveLineLocked(t *task) {
	ln := t.x.line
	t.x.line = nil
	ln.waiters.remove(t)
	if ln.head == t {
		ln.head = nil
		if ln.cancel != nil {
			e.later.cancels = append(e.later.cancels, ln.cancel)
			e.later.any = true
		}
	}
	e.serveLocked(ln)
}

// serveLocked does the next thing for a line: hands on what is spare, has a
// pump wait for more, or ends the line.
func (e *Executor) serveLocked(ln *line) {
	if ln.trying != nil || ln.pending != nil || ln.pumping {
		return
	}
	t := ln.waiters.top()
	switch {
	case t != nil && ln.spare:
		ln.spare = false
		e.grantLocked(ln, t)
	case t != nil:
		ln.pumping = true
		e.active.Add(1)
		go e.pump(ln)
	default:
		if ln.spare && ln.sem != nil {
			e.later.releases = append(e.later.releases, ln.sem)
			e.later.any = true
		}
		ln.spare = false
		delete(e.lines, ln.lineKey)
	}
}

// grantLocked gives t what the line has got. It starts as soon as there is a
// slot, or goes on to its next condition.
func (e *Executor) grantLocked(ln *line, t *task) {
	ln.waiters.remove(t)
	t.x.line = nil
	if r := t.record(); r != nil {
		e.journal.grantedLocked(r, ln)
	}
	ln.pending = t
	if ln.sem != nil {
		t.flags |= hasPermit
	} else {
		t.flags |= hasEvent
	}
	e.resumeLocked(t)
}

func (s *spec) semKey() lineKey     { return lineKey{sem: s.sem} }
func (s *spec) limiterKey() lineKey { return lineKey{limiter: s.limiter} }

// startedLocked tells the line of key that t has started.
func (e *Executor) startedLocked(t *task, key lineKey) {
	if ln := e.lines[key]; ln != nil && ln.pending == t {
		ln.pending = nil
		e.serveLocked(ln)
	}
}

// spareLocked hands on what t got from the line of key and did not use.
func (e *Executor) spareLocked(key lineKey) {
	ln := e.lines[key]
	ln.pending = nil
	ln.spare = true
	e.serveLocked(ln)
}

// releaseSpare gives back a permit that no task has, on a goroutine of its own:
// a Goexit in Release must not end this one in the middle of what it does, and
// a panic has no task to fail.
func releaseSpare(s Semaphore) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Release(1)
	}()
	<-done
}

// tryPermit is the first step of a task that met no line at its semaphore. The
// task may be settled meanwhile like any that has not started; only the slot is
// the worker's.
func (e *Executor) tryPermit(w *worker) *task {
	t := w.t.Load()
	got, err := false, error(nil)
	if w.exited {
		w.exited = false
		err = ErrGoexit
	} else {
		err = guard(func() error { got = t.spec.sem.TryAcquire(1); return nil })
	}
	var failed failure
	if err != nil && t.record() != nil {
		failed = describe(err)
	}
	e.mu.Lock()
	defer e.unlock()
	e.assignLocked()
	ln := e.lines[t.spec.semKey()]
	ln.trying = nil
	e.busy--
	switch {
	case t.phase == phaseSettled:
		ln.spare = got
		e.serveLocked(ln)
	case err != nil:
		e.leaveLocked(t)
		e.serveLocked(ln)
		e.countLocked(t, StateFailed, failed)
		t.publish(StateFailed, t.failure(err))
		if r := t.record(); r != nil {
			e.journal.settledEventLocked(t, r, 0)
		}
		e.tellLocked(w, true)
		return w.toldAfterTracers(t)
	case !got:
		e.joinLocked(ln, t)
	default:
		t.flags |= hasPermit
		ln.pending = t
		if e.advanceLocked(t) {
			w.job = job{t: t}
			w.takenLocked(e)
			return nil
		}
	}
	e.nextLocked(w)
	return nil
}

// pump waits for permits or events on behalf of a line, until it has got one
// or nobody waits any more.
func (e *Executor) pump(ln *line) {
	more := true
	defer func() {
		if more { // the foreign code ended this goroutine
			go e.pump(ln)
			return
		}
		e.leave()
	}()
	for more {
		e.pumpOnce(ln, &more)
	}
}

// pumpOnce waits once, with the context of the first in line. Whoever is the
// first when something comes gets it.
func (e *Executor) pumpOnce(ln *line, more *bool) {
	e.mu.Lock()
	t := ln.waiters.top()
	if t == nil {
		ln.pumping = false
		e.serveLocked(ln)
		*more = false
		e.unlock()
		return
	}
	ln.head = t
	e.unlock()
	ctx, cancel := context.WithCancel(t.ctx)
	defer cancel()
	e.mu.Lock()
	if ln.head != t {
		e.unlock()
		return
	}
	ln.cancel = cancel
	e.unlock()

	err := error(ErrGoexit)
	defer func() { *more = e.pumped(ln, t, err) }()
	err = guard(func() error {
		if ln.sem != nil {
			return ln.sem.Acquire(ctx, 1)
		}
		return ln.limiter.Wait(ctx)
	})
}

// pumped takes the outcome of a wait with t's context to the line, and reports
// whether the pump is to go on.
func (e *Executor) pumped(ln *line, t *task, err error) bool {
	ended := t.ctx.Err() != nil
	var failed failure
	if err != nil && !ended && t.record() != nil {
		failed = describe(err)
	}
	e.mu.Lock()
	e.assignLocked()
	waits := ln.head == t
	ln.head, ln.cancel = nil, nil
	if err == nil {
		ln.pumping = false
		ln.spare = true
		e.serveLocked(ln)
		e.dispatchLocked()
		e.unlock()
		return false
	}
	if !waits { // it was the end of t's waiting that ended the wait
		e.unlock()
		return true
	}
	e.leaveLocked(t)
	if ended {
		e.countLocked(t, StateCanceled, failure{})
	} else {
		e.countLocked(t, StateFailed, failed)
	}
	e.dispatchLocked()
	e.unlock()
	if ended {
		e.cancelAll([]*task{t}, nil)
	} else {
		e.failAll([]*task{t}, t.failure(err))
	}
	return true
}

// NewSemaphore returns a semaphore of n permits, for those who want no
// dependency. Waiters are served first in, first out, whatever they ask for.
// Acquire returns the context's error when ctx ends first, and then holds
// nothing; asking for more than n permits waits for that. Releasing more than
// is held panics. It is safe for concurrent use. n below 1 panics.
func NewSemaphore(n int64) Semaphore {
	must(n >= 1, "NewSemaphore(%d): the number of permits must be at least 1", n)
	return &semaphore{size: n, free: n}
}

type semaphore struct {
	size    int64
	mu      sync.Mutex // guards the rest
	free    int64
	waiters []*permitWaiter // not all of them could go on
}

type permitWaiter struct {
	n   int64
	got chan struct{} // closed by who took the permits for it
}

func (s *semaphore) TryAcquire(n int64) bool {
	must(n >= 0, "Semaphore.TryAcquire(%d): the number must not be negative", n)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.waiters) > 0 || n > s.free {
		return false
	}
	s.free -= n
	return true
}

func (s *semaphore) Acquire(ctx context.Context, n int64) error {
	must(n >= 0, "Semaphore.Acquire(%d): the number must not be negative", n)
	if err := ctx.Err(); err != nil {
		return err
	}
	if n > s.size {
		<-ctx.Done()
		return ctx.Err()
	}
	if s.TryAcquire(n) {
		return nil
	}
	w := &permitWaiter{n: n, got: make(chan struct{})}
	s.mu.Lock()
	s.waiters = append(s.waiters, w)
	ready := s.grantLocked()
	s.mu.Unlock()
	wakePermits(ready)
	select {
	case <-w.got:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	i := slices.Index(s.waiters, w)
	if i < 0 {
		// It was granted at the same time: what it has got goes back.
		s.mu.Unlock()
		s.Release(n)
		return ctx.Err()
	}
	s.waiters = slices.Delete(s.waiters, i, i+1)
	ready = s.grantLocked() // w may have held up smaller ones
	s.mu.Unlock()
	wakePermits(ready)
	return ctx.Err()
}

func (s *semaphore) Release(n int64) {
	must(n >= 0, "Semaphore.Release(%d): the number must not be negative", n)
	s.mu.Lock()
	held := s.size - s.free
	if n > held {
		s.mu.Unlock()
		must(false, "Semaphore.Release(%d): only %d are held", n, held)
	}
	s.free += n
	ready := s.grantLocked()
	s.mu.Unlock()
	wakePermits(ready)
}

// grantLocked serves waiters from the front, and never one before another.
func (s *semaphore) grantLocked() (ready []*permitWaiter) {
	n := 0
	for n < len(s.waiters) && s.waiters[n].n <= s.free {
		s.free -= s.waiters[n].n
		n++
	}
	ready = append(ready, s.waiters[:n]...)
	clear(s.waiters[:n])
	s.waiters = s.waiters[n:]
	return ready
}

func wakePermits(ready []*permitWaiter) {
	for _, w := range ready {
		close(w.got)
	}
}
