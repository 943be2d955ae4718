package antflow

import (
	"slices"
	"sync/atomic"
)

// The queue of tasks that could start but for a slot, in three tiers: what
// resumes, what a blocked task waits for, and the rest by priority and
// submission. All of it is guarded by Executor.mu, but for the open segment.

// An entry is a queued task's place; without one it is empty, since its task
// was canceled or taken. A light task lies in segment.lights.
type entry struct {
	t *task
	b *batch // of a light task
}

// plain reports whether nothing but a slot keeps the task from starting, and
// nothing needs to be done under the lock when it does.
func (x entry) plain() bool { return x.b != nil || x.t != nil && x.t.plain() }

// A segment is a stretch of a level's queue. One segment of an executor at a
// time is open, and workers then take its entries without the lock:
//
//	word = limit<<32 | cursor
//
// A worker adds one; if what was there is below the limit, the entry at that
// place is its own. To close a segment is to swap the word for 0, which has no
// limit to be below of, and everything from the cursor on is queued as before.
// So at any instant under the lock it is known what has been taken; nothing
// else about the tasks of an open segment is, until they come to the lock.
type segment struct {
	word    atomic.Uint64
	emptied atomic.Int32 // entries that were, at last by those who took them
	l       *level
	base    uint64   // the place of the first entry
	head    int      // the entries before it are taken or were empty
	n       int      // entries in use
	entries []entry  // never replaced, so that workers may read it
	lights  []light  // made with the first
	mixed   bool     // some are not plain, or empty
	scopes  []*scope // that have runs in it
}

// The first segment of a level is small: many a level has few tasks.
const (
	leastSegment = 8
	mostSegment  = 256
	mostSpare    = 256 // segments
)

// claim takes the next entry of an open segment, or returns -1. It needs no
// lock. The writes to the entry happened before the segment was opened.
func (s *segment) claim() int {
	if s == nil {
		return -1
	}
	v := s.word.Add(1)
	at := uint32(v) - 1
	if at >= uint32(v>>32) {
		return -1
	}
	return int(at)
}

// take moves an entry to j, and leaves it empty: nothing keeps what is done.
func (s *segment) take(at int, j *job) {
	x := &s.entries[at]
	j.t, j.b = x.t, x.b
	*x = entry{}
	if j.b != nil {
		j.l = s.lights[at]
		s.lights[at] = light{}
	}
	s.emptied.Add(1)
}

// weigh makes a light entry one of a task, and returns that. The segment is
// closed.
func (s *segment) weigh(at int) *task {
	if s.entries[at].b != nil {
		var j job
		s.take(at, &j)
		s.emptied.Add(-1)
		t := j.b.weigh(&j.l)
		t.phase, t.place = phaseQueued, s.base+uint64(at)
		s.entries[at].t = t
	}
	return s.entries[at].t
}

// A level holds the queued tasks of one priority. New tasks come in order and
// go to the segments; those that come back to their place go to the heap.
type level struct {
	q        *queue
	priority int
	pos      int32
	live     int        // queued tasks in the segments
	tail     uint64     // the place of the next one
	segments []*segment // those with a head to be taken, and the last one
	back     indexed[*task]
}

func (l *level) empty() bool { return l.live == 0 && l.back.len() == 0 }

// push queues t behind all others and returns where.
func (l *level) push(t *task) (*segment, int) {
	t.place = l.tail
	return l.pushEntry(entry{t: t})
}

func (l *level) pushEntry(x entry) (*segment, int) {
	var s *segment
	size := leastSegment
	if n := len(l.segments); n > 0 {
		s = l.segments[n-1]
		size = min(2*len(s.entries), mostSegment)
	}
	if s == nil || s.n == len(s.entries) {
		if n := len(l.q.spare); n > 0 && size == mostSegment {
			s, l.q.spare = l.q.spare[n-1], l.q.spare[:n-1]
			s.l, s.base = l, l.tail
		} else {
			s = &segment{l: l, base: l.tail, entries: make([]entry, size)}
		}
		l.segments = append(l.segments, s)
	}
	at := s.n
	s.n++
	s.entries[at] = x
	if !x.plain() {
		s.mixed = true
	}
	l.tail++
	l.live++
	return s, at
}

// find returns the segment and index of a place; nil when it is taken.
func (l *level) find(place uint64) (*segment, int) {
	i, found := slices.BinarySearchFunc(l.segments, place, func(s *segment, place uint64) int {
		switch {
		case place < s.base:
			return 1
		case place >= s.base+uint64(s.n):
			return -1
		}
		return 0
	})
	if !found {
		return nil, 0
	}
	s := l.segments[i]
	at := int(place - s.base)
	if at < s.head {
		return nil, 0
	}
	return s, at
}

// front returns the segment with the first queued task at its head, or nil.
// Used-up segments and empty entries before it are dropped.
func (l *level) front() *segment {
	for len(l.segments) > 0 {
		s := l.segments[0]
		for s.head < s.n && s.entries[s.head] == (entry{}) {
			s.head++
		}
		if s.head < s.n {
			return s
		}
		s.leaveScopes()
		if s.n < len(s.entries) {
			return nil // there is room for more
		}
		l.segments[0] = nil
		l.segments = l.segments[1:]
		l.q.keep(s)
	}
	return nil
}

// keep has a full segment used again. One that a worker took an entry from but
// has not emptied it yet is left alone.
func (q *queue) keep(s *segment) {
	if s.n == mostSegment && int(s.emptied.Load()) == s.n && len(q.spare) < mostSpare {
		s.head, s.n, s.mixed = 0, 0, false
		s.emptied.Store(0)
		q.spare = append(q.spare, s)
	}
}

// A queue orders levels by priority.
type queue struct {
	byPriority map[int]*level
	levels     indexed[*level]
	recent     *level     // the one used last
	open       *segment   // that workers take from without the lock, or nil
	openLevel  *level     // its level
	spare      []*segment // used-up ones, for the next; none at rest
	start      uint64     // a place that no level has reached
}

func newQueue() queue {
	return queue{
		byPriority: make(map[int]*level),
		levels: indexed[*level]{
			before: func(a, b *level) bool { return a.priority > b.priority },
			pos:    func(l *level) *int32 { return &l.pos },
		},
	}
}

func (q *queue) level(priority int) *level {
	l := q.recent
	if l == nil || l.priority != priority {
		l = q.byPriority[priority]
	}
	if l == nil {
		l = &level{q: q, priority: priority, tail: q.start, back: taskHeap()}
		q.byPriority[priority] = l
	}
	q.recent = l
	if l.pos == 0 {
		q.levels.push(l)
	}
	return l
}

// holds reports whether t, which was pushed, is still queued. No segment is
// open.
func (q *queue) holds(t *task) bool {
	if t.x != nil && t.x.pos != 0 {
		return true
	}
	l := q.byPriority[t.priority()]
	if l == nil {
		return false
	}
	s, at := l.find(t.place)
	return s != nil && s.entries[at].t == t
}

// remove takes a queued task out, from wherever it is. No segment is open.
func (q *queue) remove(t *task) {
	l := q.byPriority[t.priority()]
	if t.x != nil && t.x.pos != 0 {
		l.back.remove(t)
	} else {
		s, at := l.find(t.place)
		s.take(at, new(job))
		if at == s.head {
			s.head++
		} else {
			s.mixed = true
		}
		l.live--
		l.shrink(s)
	}
	q.dropEmpty(l)
}

// shrink lets go of a full segment without a task in it, so that canceled tasks
// cost no memory between others that stay.
func (l *level) shrink(s *segment) {
	if s.n < len(s.entries) {
		return
	}
	for _, x := range s.entries[s.head:] {
		if x != (entry{}) {
			return
		}
	}
	s.leaveScopes()
	i := slices.Index(l.segments, s)
	l.segments = slices.Delete(l.segments, i, i+1)
}

// dropEmpty forgets a level without tasks.
func (q *queue) dropEmpty(l *level) {
	if !l.empty() {
		return
	}
	l.front() // which ends the scopes' interest
	q.levels.remove(l)
	if l.priority != 0 {
		q.start = max(q.start, l.tail)
		delete(q.byPriority, l.priority)
		if q.recent == l {
			q.recent = nil
		}
	}
}
