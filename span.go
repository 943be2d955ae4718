package antflow

import (
	"slices"
	"time"
)

// A span is a stretch of the items of a MapSlice that are queued as one. Each
// item is a light task with an ID of its own; what they have not is a place
// each. Workers take chunks of them, and only for the next chunk do they come
// to the lock.
//
// The items that may still start are those in free and those that chunks have
// ahead. A worker that finds none free takes half of what another one has
// ahead, and what a slow one has ahead is free again as soon as somebody looks:
// nothing waits behind a slow item while a slot is free.
//
// All of it is guarded by e.mu.
type span struct {
	task           // its entry in the queue, which never runs; the ID is that of its first item
	items          items
	offset         int       // of the first item in the slice
	size           int       // items in all
	queued         bool      // its entry is in the queue
	free           []stretch // in order
	oldest, newest *chunk    // those that workers have, by since
	due            *chunk    // the first of them that was not found overdue
	now            time.Time // of the last taking
}

// items is the typed side of a span.
type items interface {
	// run calls the function for the items of ch, from its cursor on, until
	// one fails or ch has no more; called is false when the last one was not
	// to be called.
	run(w *worker, ch *chunk) (called bool, err error)
	// itemsSucceeded is called when n items did, once the books have them.
	itemsSucceeded(n int)
	// heavyItem makes a task of the item at that index.
	heavyItem(index int) (*task, runner)
	// pace is how many items a chunk should have.
	pace() *pace
}

// A stretch is items of a span, from lo to below hi.
type stretch struct{ lo, hi uint32 }

// give makes items free again.
func (sp *span) give(s stretch) {
	if s.lo == s.hi {
		return
	}
	i := len(sp.free)
	sp.free = append(sp.free, s)
	for ; i > 0 && sp.free[i-1].lo > s.lo; i-- {
		sp.free[i] = sp.free[i-1]
	}
	sp.free[i] = s
}

// spent reports whether no item may still start.
func (sp *span) spent() bool {
	if len(sp.free) > 0 {
		return false
	}
	for ch := sp.oldest; ch != nil; ch = ch.next {
		if ch.ahead() > 0 {
			return false
		}
	}
	return true
}

// left is how many items may still start.
func (sp *span) left() int {
	var n uint32
	for _, s := range sp.free {
		n += s.hi - s.lo
	}
	for ch := sp.oldest; ch != nil; ch = ch.next {
		n += ch.ahead()
	}
	return int(n)
}

func (sp *span) link(ch *chunk) {
	if sp.oldest == nil {
		q := &sp.spec.e.queue
		q.spans = append(q.spans, sp)
	}
	ch.prev = sp.newest
	if ch.prev != nil {
		ch.prev.next = ch
	} else {
		sp.oldest = ch
	}
	sp.newest = ch
	if sp.due == nil {
		sp.due = ch
	}
}

func (sp *span) unlink(ch *chunk) {
	if sp.due == ch {
		sp.due = ch.next
	}
	if ch.prev != nil {
		ch.prev.next = ch.next
	} else {
		sp.oldest = ch.next
	}
	if ch.next != nil {
		ch.next.prev = ch.prev
	} else {
		sp.newest = ch.prev
	}
	ch.prev, ch.next = nil, nil
	if sp.oldest == nil {
		q := &sp.spec.e.queue
		q.spans = slices.DeleteFunc(q.spans, func(x *span) bool { return x == sp })
	}
}

// take takes the items that start next, at most n: what a slow worker has
// ahead, then the first free ones, then half of what somebody has ahead.
func (sp *span) take(n uint32) (stretch, bool) {
	for ; sp.due != nil && sp.now.Sub(sp.due.since) > overdue; sp.due = sp.due.next {
		sp.give(sp.due.cut(0))
	}
	if len(sp.free) > 0 {
		s := &sp.free[0]
		out := stretch{s.lo, min(s.lo+n, s.hi)}
		if s.lo = out.hi; s.lo == s.hi {
			sp.free = append(sp.free[:0], sp.free[1:]...)
		}
		return out, true
	}
	for {
		var most uint32
		var from *chunk
		for ch := sp.oldest; ch != nil; ch = ch.next {
			if a := ch.ahead(); a > most {
				most, from = a, ch
			}
		}
		if from == nil {
			return stretch{}, false
		}
		if out := from.cut(most / 2); out.lo < out.hi {
			return out, true
		}
	}
}

// A pace is how many items a chunk of one MapSlice should have. It starts with
// one and, after the first span, doubles while chunks are short. So long items
// are taken one by one, and start in order, and so are a few.
type pace struct{ n uint32 }

const (
	chunkTime = 10 * time.Microsecond // what a chunk should take
	overdue   = 20 * chunkTime        // when others take what it has ahead
	mostItems = 1 << 14               // of a span
)

// adapt learns from n items that took d.
func (p *pace) adapt(n int, d time.Duration) {
	next := 2 * p.n
	if each := d / time.Duration(n); each > 0 {
		next = min(next, uint32(min(chunkTime/each, mostItems)))
	}
	p.n = min(max(next, 1), mostItems)
}

// submitSpan queues n light tasks, for the items from offset on. It reports
// false, and has done nothing, where that may take more.
func (e *Executor) submitSpan(b *batch, it items, offset, n int) bool {
	if !b.lights || b.ctx.Err() != nil {
		return false
	}
	sp := &span{items: it, offset: offset, size: n, queued: true, free: []stretch{{0, uint32(n)}}}
	sp.terms = b.terms
	sp.x = &extra{batch: b, span: sp}
	e.mu.Lock()
	if e.closed.Load() || e.limit > 0 || e.watched.Load() {
		e.unlock()
		return false
	}
	sp.id = e.nextID
	e.nextID += uint64(n)
	e.totals.submitted += uint64(n)
	e.backlog += n
	l := e.levelLocked(b.spec.priority)
	e.counts[classQueued] += n
	s, at := l.push(&sp.task)
	e.tieLocked()
	e.scopeOfLocked(b.terms).enroll(s, at)
	e.dispatchLocked()
	e.unlock()
	return true
}

// takeSpanLocked takes the next items of a span. It gives a slot to the first.
func (e *Executor) takeSpanLocked(sp *span, j *job) bool {
	p := sp.items.pace()
	// Who has finished items is told of them at the end of a chunk. So that
	// the caller hears of most in time, all chunks together are half of the span
	// at most.
	most := sp.size / (2 * e.max)
	sp.now = time.Now()
	s, ok := sp.take(max(min(p.n, uint32(most)), 1))
	if !ok {
		return false
	}
	e.startedPlainLocked(nil)
	j.b, j.sp, j.s = sp.x.batch, sp, s
	return true
}

// drawOneLocked takes the item that starts next as a task of its own, or
// returns nil.
func (e *Executor) drawOneLocked(sp *span) *task {
	sp.now = time.Now()
	s, ok := sp.take(1)
	if !ok {
		return nil
	}
	t := sp.weigh(s.lo)
	t.phase = phaseDrawn
	return t
}

// drawLocked takes the items that have not begun out of the queue, as tasks of
// their own that are to be settled. It appends them to out. No chunk has any
// ahead.
func (e *Executor) drawLocked(sp *span, out []*task) []*task {
	for _, s := range sp.free {
		for i := s.lo; i < s.hi; i++ {
			t := sp.weigh(i)
			t.phase = phaseDrawn
			out = append(out, t)
		}
	}
	sp.free = nil
	if sp.queued {
		e.queue.remove(&sp.task)
	}
	return out
}
