package antflow

import (
	"slices"
	"sync/atomic"
	"time"
)

// The queue of tasks that could start but for a slot, in three tiers: what
// resumes, what a blocked task waits for, and the rest by priority and
// submission. All of it is guarded by Executor.mu, but for the open segment.

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
	emptied int  // entries that were, as far as those who took them have told
	gone    bool // it was dropped before all were
	mixed   bool // some are not plain, or empty
	l       *level
	base    uint64          // the place of the first entry
	head    int             // the entries before it are taken or were empty
	n       int             // entries in use
	entries []*task         // never replaced, so that workers may read it
	lights  []lightEntry    // made with the first
	since   []time.Duration // when a task was accepted that is observed but has no record yet, or 0; made with the first
	scopes  []*scope        // that have runs in it
}

// A lightEntry is the place of a light task, whose entry has no other. An entry
// without either is empty: its task was canceled or taken.
type lightEntry struct {
	light
	b *batch
}

// The first segment of a level is small, and part of it: many a level has few
// tasks.
const (
	leastSegment = 12
	mostSegment  = 256
)

// batch is that of a light entry, or nil.
func (s *segment) batch(at int) *batch {
	if s.lights == nil {
		return nil
	}
	return s.lights[at].b
}

func (s *segment) empty(at int) bool { return s.entries[at] == nil && s.batch(at) == nil }

// plain reports whether nothing but a slot keeps the entry's task from
// starting, and nothing needs to be done under the lock when it does.
func (s *segment) plain(at int) bool {
	t := s.entries[at]
	return t != nil && t.plain() && !s.observed(at) || t == nil && s.batch(at) != nil
}

// observed reports whether the entry is of a task that is observed but has no
// record yet.
func (s *segment) observed(at int) bool { return s.since != nil && s.since[at] > 0 }

// observe makes it one.
func (s *segment) observe(at int, since time.Duration) {
	if s.since == nil {
		s.since = make([]time.Duration, len(s.entries))
	}
	s.since[at] = since
	s.mixed = true
}

// simple reports whether nothing but a slot keeps it from starting.
func (s *segment) simple(at int) bool {
	t := s.entries[at]
	return t != nil && t.simple() || t == nil && s.batch(at) != nil
}

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

// take moves an entry to j, and leaves it empty: nothing keeps what is done. A
// worker without the lock tells of it later.
func (s *segment) take(at int, j *job) {
	if t := s.entries[at]; t != nil {
		j.t, j.b = t, nil
		if j.l.ref != nil {
			j.l = light{}
		}
		s.entries[at] = nil
	} else {
		x := &s.lights[at]
		j.t, j.b, j.l = nil, x.b, x.light
		*x = lightEntry{}
	}
}

// takeLocked is take for whoever has the lock.
func (s *segment) takeLocked(at int, j *job) {
	s.take(at, j)
	s.leftLocked(at, j.t)
}

// leftLocked is told that t, or a light task, has left the entry.
func (s *segment) leftLocked(at int, t *task) {
	s.emptied++
	if s.observed(at) {
		t.spec.e.journal.enteredLocked(t, s.since[at])
		s.since[at] = 0
	}
}

// dropLocked empties the entry of a task.
func (s *segment) dropLocked(at int) {
	t := s.entries[at]
	s.entries[at] = nil
	s.leftLocked(at, t)
}

// weigh makes a light entry one of a task, and returns that. The segment is
// closed.
func (s *segment) weigh(at int) *task {
	if b := s.batch(at); b != nil {
		t := b.weigh(&s.lights[at].light)
		s.lights[at] = lightEntry{}
		t.phase, t.place = phaseQueued, s.base+uint64(at)
		s.entries[at] = t
	}
	return s.entries[at]
}

// used reports whether all entries that were in use have been left by those
// who took them, so that the segment may be used again.
func (s *segment) used() bool { return s.emptied == s.n }

// renew makes a used-up segment an empty one of l. Somebody who had it open may
// still come to claim; so the word stays as it is, which is closed.
func (s *segment) renew(l *level) {
	s.l, s.base = l, l.tail
	s.head, s.n, s.mixed, s.emptied, s.gone = 0, 0, false, 0, false
}

// A level holds the queued tasks of one priority. New tasks come in order and
// go to the segments; those that come back to their place go to the heap.
//
// There may be as many levels as tasks, so a level with few is one allocation.
type level struct {
	q        *queue
	priority int
	live     int32           // queued tasks in the segments
	pos      int32           // in q.levels
	tail     uint64          // the place of the next one
	segments []*segment      // those with a head to be taken, and the last one
	back     *indexed[*task] // made with the first
	only     [1]*segment     // segments, as long as there is one
	first    segment
	room     [leastSegment]*task // of the first
}

func (l *level) empty() bool { return l.live == 0 && l.firstBack() == nil }

// firstBack is the first of the tasks that came back, or nil.
func (l *level) firstBack() *task {
	if l.back == nil {
		return nil
	}
	return l.back.top()
}

// putBack queues t at its place in start order.
func (l *level) putBack(t *task) {
	if l.back == nil {
		l.back = new(indexed[*task])
		*l.back = taskHeap()
	}
	l.back.push(t)
}

// push queues t behind all others and returns where.
func (l *level) push(t *task) (*segment, int) {
	s, at := l.next()
	t.place = s.base + uint64(at)
	s.entries[at] = t
	if !t.plain() {
		s.mixed = true
	}
	return s, at
}

// pushLight does the same with a light task.
func (l *level) pushLight(b *batch, x light) (*segment, int) {
	s, at := l.next()
	if s.lights == nil {
		s.lights = make([]lightEntry, len(s.entries))
	}
	s.lights[at] = lightEntry{light: x, b: b}
	return s, at
}

// next returns the entry behind all others.
func (l *level) next() (*segment, int) {
	var s *segment
	if n := len(l.segments); n > 0 {
		s = l.segments[n-1]
	}
	if s == nil || s.n == len(s.entries) {
		s = l.grow(s)
	}
	at := s.n
	s.n++
	l.tail++
	l.live++
	return s, at
}

// grow adds a segment behind last, which is nil if there is none.
func (l *level) grow(last *segment) *segment {
	var s *segment
	if last == nil && l.first.used() {
		s = &l.first
		if s.entries == nil {
			s.entries = l.room[:]
		}
	} else {
		size := leastSegment
		if last != nil {
			size = min(2*len(last.entries), mostSegment)
		}
		if s = l.q.spareSegment(size); s == nil {
			s = &segment{entries: make([]*task, size)}
		}
	}
	s.renew(l)
	if last == nil {
		l.only[0] = s
		l.segments = l.only[:]
	} else {
		l.segments = append(l.segments, s)
	}
	return s
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
		for s.head < s.n && (s.empty(s.head) || l.dropSpent(s)) {
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

// dropSpent empties the entry at the head of s if it is a span with no item
// left to start. It reports whether it did.
func (l *level) dropSpent(s *segment) bool {
	t := s.entries[s.head]
	if t == nil || t.span() == nil || !t.span().spent() {
		return false
	}
	t.span().queued = false
	s.dropLocked(s.head)
	l.live--
	return true
}

// holds reports whether t, which was pushed, is still queued. No segment is
// open.
func (q *queue) holds(t *task) bool {
	if t.x != nil && t.x.pos != 0 {
		return true
	}
	l := q.find(t.priority())
	if l == nil {
		return false
	}
	s, at := l.find(t.place)
	return s != nil && s.entries[at] == t
}

// remove takes a queued task out, from wherever it is. No segment is open.
func (q *queue) remove(t *task) {
	l := q.find(t.priority())
	if t.x != nil && t.x.pos != 0 {
		l.back.remove(t)
	} else {
		s, at := l.find(t.place)
		s.dropLocked(at)
		if sp := t.span(); sp != nil {
			sp.queued = false
		}
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
	for at := s.head; at < s.n; at++ {
		if !s.empty(at) {
			return
		}
	}
	s.leaveScopes()
	i := slices.Index(l.segments, s)
	l.segments = slices.Delete(l.segments, i, i+1)
}
