package antflow

import (
	"fmt"
	"weak"
)

// CheckInvariants walks everything that mu guards and reports the first of the
// invariants of docs/design.md that does not hold. The executor must be at
// rest: every goroutine of it waits for something outside of it.
func (e *Executor) CheckInvariants() error {
	e.mu.Lock()
	e.recallLocked() // nothing at rest depends on an open segment
	e.unlock()
	e.mu.Lock()
	defer e.unlock()
	c := &checker{e: e, seen: make(map[*task]string)}
	c.workers()
	c.queues()
	c.lines()
	c.remotes()
	c.scopes()
	c.timers()
	c.books()
	c.journal()
	return c.err
}

// ShareSpec reports whether two tasks have the same options, in one place.
func ShareSpec[A, B any](a *Future[A], b *Future[B]) bool { return a.spec == b.spec }

// A checker keeps the first violation, with the number of its invariant.
type checker struct {
	e                   *Executor
	seen                map[*task]string // where each task was found
	counts              [classes]int
	active              int64
	light, lightBacklog int
	err                 error
}

func (c *checker) check(ok bool, invariant int, format string, args ...any) {
	if !ok && c.err == nil {
		c.err = fmt.Errorf("invariant %d: %s", invariant, fmt.Sprintf(format, args...))
	}
}

func (c *checker) find(t *task, place string, phases ...phase) {
	c.check(c.seen[t] == "", 1, "task %d is in %s and in %s", t.id, c.seen[t], place)
	c.seen[t] = place
	right := false
	for _, p := range phases {
		right = right || t.phase == p
	}
	c.check(right, 1, "task %d in phase %d is in %s", t.id, t.phase, place)
	c.counts[classOf[t.phase]]++
}

func (c *checker) workers() {
	n, busy := 0, 0
	plain := 0
	for w := c.e.crew; w != nil; w = w.next {
		n++
		t := w.t.Load()
		if t == nil { // a light one
			plain++
			busy++
			c.light++
			c.counts[classRunning]++
			continue
		}
		if t.phase == phaseQueued {
			plain++
			busy++
			c.check(c.seen[t] == "", 1, "task %d has two workers", t.id)
			c.seen[t] = "a worker, plain"
			c.counts[classRunning]++
			continue
		}
		c.find(t, "a worker", phaseRunning, phaseTrying, phaseBlocked, phaseReturning)
		if t.phase == phaseRunning || t.phase == phaseTrying {
			busy++
		}
		if a := t.currentLocked(); t.phase != phaseTrying && a != nil {
			c.check((a.waits > 0) == (t.phase == phaseBlocked), 8, "task %d in phase %d with %d waits", t.id, t.phase, a.waits)
			c.check((a.park != nil) == (t.phase == phaseReturning), 8, "task %d in phase %d, parked: %v", t.id, t.phase, a.park != nil)
		}
	}
	c.check(plain == c.e.plain, 2, "%d workers with plain tasks, %d counted", plain, c.e.plain)
	c.check(!c.e.searching && c.e.loose.s == nil, 3, "a worker that searches, or a loose task")
	c.check(n == c.e.workers, 2, "%d workers, %d counted", n, c.e.workers)
	c.check(c.e.telling == 0, 3, "%d slots are kept for those who wait", c.e.telling)
	c.check(busy == c.e.busy, 2, "%d slots in use, %d counted", busy, c.e.busy)
}

func (c *checker) queues() {
	e := c.e
	startable := 0
	for t := e.resumed.front; t != nil; t = t.x.next {
		startable++
		if t.phase != phaseReturning {
			c.find(t, "the resumed", phaseResumed)
		}
	}
	for i, x := range e.queue.levels.items {
		l := x.l
		c.check(int(l.pos) == i+1 && e.queue.byPriority[x.priority] == l, 4, "a level of priority %d at a wrong place", x.priority)
		c.check(!l.empty(), 15, "an empty level of priority %d", l.priority)
		last := (*task)(nil)
		live := 0
		for _, s := range l.segments {
			for i := s.head; i < s.n; i++ {
				t := s.entries[i]
				if s.empty(i) {
					continue // which its worker may be about to empty
				}
				live++
				if t == nil {
					startable++
					c.light++
					c.lightBacklog++
					c.counts[classQueued]++
					continue
				}
				if sp := t.span(); sp != nil {
					n := sp.left()
					c.check(n > 0, 15, "a span without an item")
					startable += n
					c.light += n
					c.lightBacklog += n
					c.counts[classQueued] += n
					c.check(sp.queued, 1, "a span that is not known to be queued")
					continue
				}
				startable++
				c.find(t, "the queue", phaseQueued)
				c.check(t.place == s.base+uint64(i), 1, "task %d is at %d, not at %d", t.id, s.base+uint64(i), t.place)
				c.check(last == nil || last.id < t.id, 4, "task %d is behind a later one in the queue", t.id)
				last = t
			}
		}
		c.check(live == int(l.live), 1, "%d tasks in a level, %d counted", live, l.live)
		for i, t := range l.returned() {
			startable++
			c.find(t, "the queue", phaseQueued)
			c.check(t.x.pos == int32(i)+1, 1, "task %d is at %d of a heap, not at %d", t.id, i, t.x.pos-1)
		}
	}
	for _, sp := range e.queue.spans {
		for ch := sp.oldest; ch != nil; ch = ch.next {
			c.check(ch.sp == sp && ch.w.chunk == ch && ch.t == nil, 1, "a chunk that no worker goes through")
		}
		c.check(sp.oldest != nil, 15, "a span that no worker has a chunk of")
		c.check(sp.queued || sp.left() == 0, 1, "a span that is not queued with %d items", sp.left())
	}
	idle := 0
	if r := e.queue.recent; r != nil && r.pos == 0 {
		idle = 1
		c.check(r.empty(), 3, "the level of priority %d has tasks and is not found", r.priority)
	}
	c.check(len(e.queue.byPriority) == e.queue.levels.len()+idle, 15, "%d levels, %d have tasks", len(e.queue.byPriority), e.queue.levels.len())
	for _, l := range e.queue.near {
		c.check(l == nil || e.queue.byPriority[l.priority] == l, 4, "a level that is gone is near")
	}
	c.check(e.crew != nil || e.queue.spare == nil, 15, "what was used up is kept")
	c.check(startable == 0 || e.busy >= e.max, 3, "%d tasks could start in %d of %d slots", startable, e.busy, e.max)
	for t := e.admission.front; t != nil; t = t.x.next {
		c.check(t.phase == phaseAdmission, 16, "task %d in phase %d blocks a Submit", t.id, t.phase)
	}
	c.check(e.admission.front == nil || e.backlog >= e.limit, 16, "a Submit blocks at %d of %d", e.backlog, e.limit)
}

func (l *level) returned() []*task {
	if l.back == nil {
		return nil
	}
	return l.back.items
}

func (c *checker) lines() {
	for key, ln := range c.e.lines {
		c.check(key == ln.lineKey, 7, "a line at the wrong key")
		c.check(ln.waiters.len() > 0 || ln.trying != nil || ln.pending != nil || ln.pumping, 15, "a line at rest")
		c.check(!ln.spare, 6, "a permit or an event that nobody has")
		c.check(ln.waiters.len() == 0 || ln.pumping || ln.pending != nil || ln.trying != nil, 3, "waiters that nobody serves")
		for _, t := range ln.waiters.items {
			c.find(t, "a line", phaseLine)
			c.check(t.x.line == ln, 7, "task %d is in another line", t.id)
		}
		if ln.pumping {
			c.active++
		}
	}
}

// remotes checks the tasks that run elsewhere. While the end of its context has
// not come, what waits for it counts among the active.
func (c *checker) remotes() {
	for t := c.e.remotes.front; t != nil; t = t.x.next {
		c.find(t, "the remotes", phaseRemote, phaseRemoteRunning, phaseRemoteDelay)
		c.check(t.isRemote() && t.x.scope == nil && t.x.timer == 0, 22, "task %d runs elsewhere and waits here", t.id)
		if !t.isRemote() {
			continue
		}
		r := t.x.remote
		c.check((r.stop != nil) == (t.done != nil), 22, "task %d hears of the end of its context: %v", t.id, r.stop != nil)
		c.check(r.t == t && r.cancel != nil, 22, "task %d can't be canceled", t.id)
		c.check((t.phase == phaseRemote) == !t.has(hasStarted), 22, "task %d in phase %d has started: %v", t.id, t.phase, t.has(hasStarted))
		c.check((t.phase == phaseRemoteRunning) == (t.State() == StateRunning), 22, "task %d in phase %d is %v", t.id, t.phase, t.State())
		select {
		case <-t.done:
			c.check(r.told, 22, "the context of task %d has ended, and nobody was asked to cancel it", t.id)
		default:
			if r.stop != nil {
				c.active++
			}
		}
		if c.e.canceling {
			c.check(r.told || t.has(hasStarted) && !c.e.halted.Load(), 22, "task %d outlives a shutdown, and nobody was asked to cancel it", t.id)
		}
	}
}

func (c *checker) scopes() {
	members := 0
	for key, sc := range c.e.scopes {
		c.check((sc.members != nil || len(sc.runs) > 0 || sc == c.e.recent && c.e.crew != nil) && !sc.dead, 15, "an empty scope")
		if key != nil {
			c.active++
		}
		for t := sc.members; t != nil; t = t.x.scopeNext {
			members++
			c.check(t.x.scope == sc, 13, "task %d is in another scope", t.id)
			switch t.phase {
			case phaseGated:
				c.find(t, "a gate", phaseGated)
			case phaseDelay:
				c.find(t, "a delay", phaseDelay)
			}
			c.check(c.seen[t] != "", 13, "task %d in phase %d is only in its scope", t.id, t.phase)
		}
		for _, r := range sc.runs {
			for i := max(r.lo, r.s.head); i < r.hi; i++ {
				if r.s.batch(i) != nil {
					members++
				} else if t := r.s.entries[i]; t != nil && t.span() != nil {
					members += t.span().left()
					c.check(t.ctx.Done() == key, 13, "span %d is in the run of another scope", t.id)
				} else if t != nil && t.simple() {
					members++
					c.check(t.ctx.Done() == key, 13, "task %d is in the run of another scope", t.id)
				}
			}
		}
	}
	for _, x := range c.e.queue.levels.items {
		for _, s := range x.l.segments {
			for _, t := range s.entries[s.head:s.n] {
				if t != nil && t.simple() && t.ctx.Done() == nil {
					members++ // it needs no scope
				}
			}
		}
	}
	waiting := c.e.counts[classQueued] + c.e.counts[classWaiting]
	for t := range c.seen { // but for those that wait elsewhere
		if t.phase == phaseRemote || t.phase == phaseRemoteDelay {
			waiting--
		}
	}
	c.check(members == waiting, 13, "%d tasks in scopes, %d wait", members, waiting)
}

func (c *checker) timers() {
	e := c.e
	for i, t := range e.timers.items {
		c.check(t.x.timer == int32(i)+1, 1, "task %d is at %d of the timers, not at %d", t.id, i, t.x.timer-1)
		c.check(c.seen[t] != "" || t.phase == phaseAdmission, 1, "a timer for task %d in phase %d", t.id, t.phase)
	}
	c.check((e.timer != nil) == (e.timers.len() > 0), 15, "a timer: %v, for %d tasks", e.timer != nil, e.timers.len())
	if e.timer != nil {
		c.active++
	}
}

func (c *checker) books() {
	e := c.e
	backlog := c.lightBacklog
	places := make(map[*batch]int)
	for t := range c.seen {
		plain := c.seen[t] == "a worker, plain"
		holds := plain || t.phase == phaseRunning || t.phase == phaseBlocked || t.phase == phaseReturning
		if !t.has(hasStarted) && !holds {
			backlog++
		}
		if t.has(hasPlace) {
			places[t.batch()]++
		}
		c.check(t.phase != phaseDelay || !t.has(hasPlace|hasPermit|hasEvent), 6, "task %d holds something in its delay", t.id)
		c.check(!holds || t.spec.sem == nil || t.has(hasPermit), 6, "task %d runs without a permit", t.id)
		if b := t.batch(); b != nil && b.limit > 0 {
			c.check(b.used <= b.limit, 6, "%d of %d places", b.used, b.limit)
			c.check(!holds || t.has(hasPlace), 6, "task %d runs without a place", t.id)
		}
	}
	for b, n := range places {
		c.check(n == b.used, 6, "%d places are held, %d counted", n, b.used)
	}
	c.check(backlog == e.backlog, 16, "%d tasks have not started, %d counted", backlog, e.backlog)
	for cl := classQueued; cl < classes; cl++ {
		n := e.counts[cl]
		if cl == classRunning {
			n += e.plain
		}
		c.check(c.counts[cl] == n, 1, "figure %d: %d found, %d counted", cl, c.counts[cl], n)
	}
	settled := e.totals.succeeded + e.claims - uint64(e.plain) + e.totals.failed + e.totals.canceled
	c.check(e.totals.submitted == settled+uint64(len(c.seen)+c.light), 1, "%d submitted, %d settled, %d found", e.totals.submitted, settled, len(c.seen))
	c.check(c.active == e.active.Load(), 14, "%d active, %d accounted for", e.active.Load(), c.active)
	c.check(e.later.any == false, 11, "something is left to be done later")
}

// WaitsAt returns whoever collects news of f, the first one of several, as a
// pointer that keeps nothing.
func WaitsAt(f Waitable) weak.Pointer[collector] {
	s := f.asTask().w.Load()
	if s == nil || s == &nobody {
		return weak.Pointer[collector]{}
	}
	if s.all == nil {
		return weak.Make(s.c)
	}
	s.all.mu.Lock()
	defer s.all.mu.Unlock()
	if s.c == nil && s.all.nodes != nil {
		return weak.Make(s.all.nodes.c)
	}
	return weak.Make(s.c)
}

// Unseated reports whether f has no word of anybody who waits or waited.
func Unseated(f Waitable) bool {
	s := f.asTask().w.Load()
	return s == nil || s == &nobody
}

// numbered reports whether an observed task in that phase has a worker's number.
func (p phase) numbered() bool {
	return p == phaseRunning || p == phaseBlocked || p == phaseReturning || p == phaseRemoteRunning
}

// journal checks that those who observe know each task that is started, and
// have been told of everything.
func (c *checker) journal() {
	j := c.e.journal
	if j == nil {
		return
	}
	taken := 0
	for i, t := range j.workers.tasks {
		if t == nil {
			continue
		}
		taken++
		c.check(t.phase.numbered() && int(t.record().worker) == i, 20, "task %d in phase %d has the worker %d as number %d", t.id, t.phase, i, t.record().worker)
	}
	running, open := 0, uint64(0)
	for _, f := range j.order {
		running += f.running
		open += f.submitted - f.succeeded - f.failed - f.canceled
	}
	c.check(taken == j.workers.taken && taken == running, 20, "%d tasks have workers, %d are counted and %d by name", taken, j.workers.taken, running)
	known := uint64(0)
	for t := range c.seen {
		if r := t.record(); r != nil && t.phase != phaseAdmission {
			known++
			c.check((r.worker >= 0) == t.phase.numbered(), 20, "task %d in phase %d has the worker %d", t.id, t.phase, r.worker)
		}
	}
	for _, x := range c.e.queue.levels.items {
		for _, s := range x.l.segments {
			for at := range s.since {
				if s.since[at] > 0 {
					known++
					t := s.entries[at]
					c.check(at >= s.head && at < s.n && t != nil && t.record() == nil, 20, "an observed task has left entry %d of its segment", at)
				}
			}
		}
	}
	c.check(known == open, 20, "%d tasks are known, %d by name", known, open)
	vacants := 0
	for x := j.vacant; x != nil; x = x.next {
		vacants++
		c.check(*x == watchedExtra{next: x.next}, 20, "a vacant record is not blank: %+v", *x)
	}
	c.check(vacants == j.vacants && vacants <= mostVacant, 20, "%d records are vacant, %d counted", vacants, j.vacants)
	for _, o := range j.observers {
		c.check(o.telling || o.behind == 0 && o.first == nil && len(o.waiting) == 0, 21, "an observer was not told of %d events", o.behind)
	}
}
