package antflow

import (
	"cmp"
	"context"
	"slices"
)

// A scope is the tasks of an executor that wait under one context, or several
// that end together: those with one Done channel. All are told by a single
// function when it ends, and each leaves the list in constant time. The tasks
// under contexts that never end have a scope as well, so that all waiting
// tasks are found.
//
// A plain task that is queued is no member by itself, for it is taken without
// the lock: the scope knows in which runs of which segments its tasks are, and
// forgets a run when all of the segment is taken. Plain tasks under contexts
// that never end need none of this; the queue has them.
//
// From its making to the end of its function, or to its successful stop, a
// scope counts among the active.
type scope struct {
	e       *Executor
	key     <-chan struct{}
	ctx     context.Context
	members *task // through extra.scopeNext
	runs    []run
	woven   bool // the runs are of segments of several levels
	dead    bool // empty, and out of e.scopes
	stop    func() bool
}

// A run is entries of a segment that follow one another.
type run struct {
	s      *segment
	lo, hi int
}

// scopeOfLocked returns the scope of the tasks with the context of tm.
func (e *Executor) scopeOfLocked(tm *terms) *scope {
	done := tm.done
	sc := e.recent
	if sc != nil && !sc.dead && sc.key == done {
		return sc
	}
	e.restScopeLocked()
	sc = e.scopes[done]
	if sc == nil {
		sc = &scope{e: e, key: done}
		e.scopes[done] = sc
		if done != nil {
			sc.ctx = tm.ctx
			e.active.Add(1)
			e.later.starts = append(e.later.starts, sc)
			e.later.any = true
		}
	}
	e.recent = sc
	return sc
}

// restScopeLocked ends the scope that was used last, if it is empty. It is kept
// while there are workers, which often run empty and are given more.
func (e *Executor) restScopeLocked() {
	sc := e.recent
	e.recent = nil
	if sc != nil {
		e.endEmptyLocked(sc)
	}
}

// A place is an entry of a segment, and the terms of its task.
type place struct {
	s     *segment
	at    int
	terms *terms
}

// enrollLocked notes the place of a plain task that was queued. One that a
// worker is about to come for is loose, and may never need it.
func (e *Executor) enrollLocked(l *level, s *segment, at int, tm *terms) {
	if tm.done == nil {
		return
	}
	if sc := e.recent; sc != nil && sc.key == tm.done && sc.follow(s, at) {
		return
	}
	if e.loose.s == nil && l.live == 1 && e.freeLocked() && e.queue.open == nil && e.resumed.front == nil && e.queue.levels.len() == 1 {
		e.loose = place{s, at, tm}
		return
	}
	e.tieLocked()
	e.scopeOfLocked(tm).enroll(s, at)
}

// tieLocked enrolls the loose task, which is still queued.
func (e *Executor) tieLocked() {
	if p := e.loose; p.s != nil {
		e.loose = place{}
		e.scopeOfLocked(p.terms).enroll(p.s, p.at)
	}
}

// follow notes a place that extends the last run.
func (sc *scope) follow(s *segment, at int) bool {
	n := len(sc.runs)
	if n == 0 || sc.runs[n-1].s != s || sc.runs[n-1].hi != at {
		return false
	}
	sc.runs[n-1].hi++
	return true
}

func (sc *scope) enroll(s *segment, at int) {
	if sc.follow(s, at) {
		return
	}
	if n := len(sc.runs); n > 0 {
		if sc.runs[n-1].s == s {
			sc.runs = append(sc.runs, run{s, at, at + 1})
			return
		}
		sc.woven = sc.woven || sc.runs[n-1].s.l != s.l
	}
	sc.runs = append(sc.runs, run{s, at, at + 1})
	s.scopes = append(s.scopes, sc)
}

// forget drops the runs in s. Mostly these are the first ones: a level fills
// and empties its segments in order.
func (sc *scope) forget(s *segment) {
	if n := len(sc.runs); n > 0 && sc.runs[0].s == s && (n == 1 || sc.runs[1].s != s) {
		sc.runs[0] = run{}
		sc.runs = sc.runs[1:]
		if !sc.woven {
			return
		}
	}
	sc.forgetAll(s)
}

func (sc *scope) forgetAll(s *segment) {
	if sc.woven {
		sc.runs = slices.DeleteFunc(sc.runs, func(r run) bool { return r.s == s })
		return
	}
	first := slices.IndexFunc(sc.runs, func(r run) bool { return r.s == s })
	if first < 0 {
		return
	}
	last := first
	for last < len(sc.runs) && sc.runs[last].s == s {
		last++
	}
	if first == 0 {
		clear(sc.runs[:last])
		sc.runs = sc.runs[last:]
	} else {
		sc.runs = slices.Delete(sc.runs, first, last)
	}
}

// leaveScopes ends what scopes know of a segment that has no task any more.
func (s *segment) leaveScopes() {
	for _, sc := range s.scopes {
		sc.forget(s)
		sc.e.endEmptyLocked(sc)
	}
	s.scopes = nil
}

// scopeLocked makes a waiting task, which is not a plain one in the queue, a
// member of its scope, if it isn't yet.
func (e *Executor) scopeLocked(t *task) {
	x := t.extra()
	if x.scope != nil {
		return
	}
	sc := e.scopeOfLocked(t.terms)
	x.scope, x.scopeNext = sc, sc.members
	if sc.members != nil {
		sc.members.x.scopePrev = t
	}
	sc.members = t
}

// unscopeLocked takes t out of its scope, and ends an empty one.
func (e *Executor) unscopeLocked(t *task) {
	x := t.x
	if x == nil || x.scope == nil {
		return
	}
	sc := x.scope
	if x.scopePrev != nil {
		x.scopePrev.x.scopeNext = x.scopeNext
	} else {
		sc.members = x.scopeNext
	}
	if x.scopeNext != nil {
		x.scopeNext.x.scopePrev = x.scopePrev
	}
	x.scope, x.scopePrev, x.scopeNext = nil, nil, nil
	e.endEmptyLocked(sc)
}

// endEmptyLocked ends a scope in which no task waits, and which isn't kept.
func (e *Executor) endEmptyLocked(sc *scope) {
	if sc.members != nil || len(sc.runs) > 0 || sc.dead || sc == e.recent {
		return
	}
	e.endScopeLocked(sc)
	if sc.stop != nil {
		e.later.stops = append(e.later.stops, sc)
		e.later.any = true
	}
}

func (e *Executor) endScopeLocked(sc *scope) {
	sc.dead = true
	delete(e.scopes, sc.key) // no other has the key before this
	if e.recent == sc {
		e.recent = nil
	}
}

// start asks to be told of the context's end. The scope may have emptied
// before; then it is for start to stop it, since nobody else could.
func (sc *scope) start() {
	stop := context.AfterFunc(sc.ctx, sc.sweep)
	sc.e.mu.Lock()
	dead := sc.dead
	sc.stop = stop
	sc.e.unlock()
	if dead && stop() {
		sc.e.leave()
	}
}

// sweep cancels all tasks of a scope whose context has ended.
func (sc *scope) sweep() {
	e := sc.e
	defer e.leave()
	e.mu.Lock()
	e.assignLocked()
	e.recallLocked()
	if sc.dead {
		e.unlock()
		return
	}
	e.endScopeLocked(sc)
	out := e.tasksLocked(sc)
	slices.SortFunc(out, byID)
	for _, t := range out {
		e.leaveLocked(t)
		e.countLocked(t, StateCanceled, failure{})
	}
	e.dispatchLocked()
	e.unlock()
	e.cancelAll(out, nil)
}

// tasksLocked returns the tasks of the scope, for whoever is to settle them.
// Nothing is to be had without the lock.
func (e *Executor) tasksLocked(sc *scope) []*task {
	var out []*task
	var spans []*span
	for t := sc.members; t != nil; t = t.x.scopeNext {
		out = append(out, t)
	}
	for _, r := range sc.runs {
		for i := max(r.lo, r.s.head); i < r.hi; i++ {
			switch t := r.s.weigh(i); {
			case t == nil:
			case t.span() != nil:
				spans = append(spans, t.span())
			default:
				out = append(out, t)
			}
		}
	}
	for _, sp := range spans { // which changes the segments
		out = e.drawLocked(sp, out)
	}
	return out
}

// waitingLocked returns the waiting tasks that keep accepts, in the order of
// submission, for whoever is to settle them. It accepts all that have not
// started.
func (e *Executor) waitingLocked(keep func(*task) bool) []*task {
	e.recallLocked()
	var out []*task
	var spans []*span
	for _, sc := range e.scopes {
		for t := sc.members; t != nil; t = t.x.scopeNext {
			if keep(t) {
				out = append(out, t)
			}
		}
	}
	for _, x := range e.queue.levels.items {
		for _, s := range x.l.segments {
			for i := s.head; i < s.n; i++ {
				if t := s.entries[i]; t != nil && t.span() != nil {
					spans = append(spans, t.span())
				}
				if !s.simple(i) {
					continue
				}
				if t := s.weigh(i); keep(t) {
					out = append(out, t)
				}
			}
		}
	}
	for _, sp := range spans {
		out = e.drawLocked(sp, out)
	}
	slices.SortFunc(out, byID)
	return out
}

func byID(a, b *task) int { return cmp.Compare(a.id, b.id) }
