package antflow

import (
	"sync/atomic"
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

// A chunk is a stretch of a span that one worker goes through:
//
//	word = limit<<32 | cursor
//
// The item at the cursor is the one that runs. Only the worker moves the
// cursor, by a compare-and-swap that at once ends this item, closes its context,
// and takes the next. Others may lower the limit, down to behind the cursor,
// and with it take what the worker has not begun. Whoever sets chunkShut has the
// item at the cursor: the worker, when it was the last one, or somebody who
// wants the task, as in strand. A chunk that was shut by another one is
// dead; its worker starts a new one.
type chunk struct {
	word atomic.Uint64
	sp   *span
	w    *worker
	from uint32 // the first item; the worker's own

	// Guarded by e.mu.
	booked     uint32 // the cursor that the books know of
	t          *task  // the item at the cursor, made a task of its own
	since      time.Time
	prev, next *chunk
}

const chunkShut = 1 << 31

func cursorOf(word uint64) uint32 { return uint32(word) &^ chunkShut }
func limitOf(word uint64) uint32  { return uint32(word >> 32) }

// advance ends the item at the cursor, which has succeeded, and takes the next
// one. False: there is none, or somebody wants the task.
func (ch *chunk) advance() bool {
	for {
		v := ch.word.Load()
		if v&chunkShut != 0 || cursorOf(v)+1 >= limitOf(v) {
			return false
		}
		if ch.word.CompareAndSwap(v, v+1) {
			return true
		}
	}
}

// seize shuts the chunk for somebody who wants the task of the item at the
// cursor, and takes what is ahead; false when the worker has shut it.
func (ch *chunk) seize() (stretch, bool) {
	for {
		v := ch.word.Load()
		if v&chunkShut != 0 {
			return stretch{}, false
		}
		next := cursorOf(v) + 1
		if ch.word.CompareAndSwap(v, uint64(next)<<32|uint64(cursorOf(v))|chunkShut) {
			return stretch{next, limitOf(v)}, true
		}
	}
}

// shut ends the last item; false when somebody wants the task.
func (ch *chunk) shut() bool {
	for {
		v := ch.word.Load()
		if v&chunkShut != 0 {
			return false
		}
		if ch.word.CompareAndSwap(v, v|chunkShut) {
			return true
		}
	}
}

// runs reports whether the item with that ID runs, and is light.
func (ch *chunk) runs(id uint64) bool {
	v := ch.word.Load()
	return v&chunkShut == 0 && ch.idAt(v) == id
}

func (ch *chunk) idAt(word uint64) uint64 { return ch.sp.id + uint64(cursorOf(word)) }

// index is the place of the running item in the slice. It is for the worker.
func (ch *chunk) index() int { return ch.sp.offset + int(cursorOf(ch.word.Load())) }

// ended is how many items before the one at the cursor have succeeded. It is
// for the worker.
func (ch *chunk) ended() int { return int(cursorOf(ch.word.Load()) - ch.from) }

// cut takes what ch has ahead but for the first n.
func (ch *chunk) cut(n uint32) stretch {
	for {
		v := ch.word.Load()
		lo, hi := cursorOf(v)+1+n, limitOf(v)
		if v&chunkShut != 0 || lo >= hi {
			return stretch{}
		}
		if ch.word.CompareAndSwap(v, uint64(lo)<<32|uint64(uint32(v))) {
			return stretch{lo, hi}
		}
	}
}

// ahead is how many items ch has that have not begun. A chunk that is shut has
// none.
func (ch *chunk) ahead() uint32 {
	v := ch.word.Load()
	if v&chunkShut != 0 {
		return 0
	}
	return limitOf(v) - cursorOf(v) - 1
}

// yieldOverdue has what the worker has ahead start in its turn when that takes
// longer than thought. The worker asks now and then.
func (ch *chunk) yieldOverdue() {
	if time.Since(ch.since) <= overdue {
		return
	}
	e := ch.sp.spec.e
	e.mu.Lock()
	ch.sp.give(ch.cut(0))
	e.unlock()
}

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
	ch.prev = sp.newest
	if ch.prev != nil {
		ch.prev.next = ch
	} else {
		sp.oldest = ch
	}
	sp.newest = ch
}

func (sp *span) unlink(ch *chunk) {
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
	if sp.oldest == nil && !sp.queued {
		sp.spec.e.queue.forget(sp)
	}
}

// take takes the items that start next, at most n: what a slow worker has
// ahead, then the first free ones, then half of what somebody has ahead.
func (sp *span) take(n uint32) (stretch, bool) {
	if ch := sp.oldest; ch != nil && sp.now.Sub(ch.since) > overdue {
		sp.give(ch.cut(0))
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
// one and doubles while chunks are short, so long items are taken one by one.
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
	sp.spec, sp.ctx = b.spec, b.ctx
	sp.x = &extra{batch: b, span: sp}
	e.mu.Lock()
	if e.closed.Load() || e.limit > 0 {
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
	e.queue.spans = append(e.queue.spans, sp)
	e.tieLocked()
	e.scopeOfLocked(b.ctx, b.done).enroll(s, at)
	e.dispatchLocked()
	e.unlock()
	return true
}

// takeSpanLocked takes the next items of a span. It gives a slot to the first.
func (e *Executor) takeSpanLocked(sp *span) (job, bool) {
	p := sp.items.pace()
	// Who has finished items is told of them at the end of a chunk. So that
	// the caller hears of most in time, all chunks together are half of the span
	// at most.
	most := sp.size / (2 * e.max)
	sp.now = time.Now()
	s, ok := sp.take(max(min(p.n, uint32(most)), 1))
	if !ok {
		return job{}, false
	}
	e.startedPlainLocked(nil)
	return job{b: sp.x.batch, sp: sp, s: s}, true
}

// chunkLocked makes what was taken of a span the chunk of w.
func (w *worker) chunkLocked(j job) *chunk {
	if j.sp == nil {
		return nil
	}
	ch := w.chunk
	if ch == nil || ch.sp != j.sp || ch.t != nil {
		ch = &chunk{sp: j.sp, w: w}
	}
	ch.from, ch.booked, ch.since = j.s.lo, j.s.lo, j.sp.now
	ch.word.Store(uint64(j.s.hi)<<32 | uint64(j.s.lo))
	j.sp.link(ch)
	return ch
}

// runChunk runs the items of w's chunk. It returns when the last one has ended.
func (e *Executor) runChunk(w *worker) {
	ch := w.chunk
	called, err := ch.sp.items.run(w, ch)
	switch {
	case !called:
		w.weigh(e)
		w.adopt(e)
	case err != nil || !ch.shut():
		w.weigh(e)
		w.end = ending{err: err}
		w.over()
	default:
		w.step = stepFinishPlain
	}
}

// itemContext is the context of the item at that index of the slice, which is
// at the cursor; false when it is not to be called any more, since ctx ended. (A
// shutdown that cancels what runs finds each chunk, and all that it has ahead.)
func (w *worker) itemContext(ch *chunk, index int) (*lightContext, bool) {
	sp := ch.sp
	if sp.ctx.Err() != nil {
		return nil, false
	}
	return w.nextContext(ch, sp.id+uint64(index-sp.offset)), true
}

// bookChunkLocked brings the books up to date with what the worker of ch took.
// As in a segment, each taking is also the end of the item before.
func (e *Executor) bookChunkLocked(ch *chunk) {
	cursor := cursorOf(ch.word.Load())
	taken := int(cursor - ch.booked)
	ch.booked = cursor
	e.counts[classQueued] -= taken
	e.backlog -= taken
	e.claims += uint64(taken)
}

// endChunkLocked ends the chunk of w, whose last item was shut. It returns how
// many items have succeeded.
func (e *Executor) endChunkLocked(w *worker) int {
	ch := w.chunk
	e.bookChunkLocked(ch)
	ch.sp.unlink(ch)
	n := ch.ended() + 1
	ch.sp.items.pace().adapt(n, time.Since(ch.since))
	return n
}

// recallChunksLocked has all workers come to the lock after the item that they
// run: what comes first is decided again.
func (e *Executor) recallChunksLocked() {
	for _, sp := range e.queue.spans {
		for ch := sp.oldest; ch != nil; ch = ch.next {
			sp.give(ch.cut(0))
			e.bookChunkLocked(ch)
		}
	}
}

// weighChunkLocked makes the item that runs a task of its own, and returns it;
// nil when the worker has shut the chunk: then the item has succeeded.
func (e *Executor) weighChunkLocked(ch *chunk) *task {
	if ch.t != nil {
		return ch.t
	}
	rest, ok := ch.seize()
	if !ok {
		return nil
	}
	ch.sp.give(rest)
	e.bookChunkLocked(ch)
	ch.sp.unlink(ch)
	ch.t = ch.sp.weigh(cursorOf(ch.word.Load()))
	e.liftLocked(ch.w, ch.t)
	return ch.t
}

// weigh makes a task of an item.
func (sp *span) weigh(i uint32) *task {
	t, r := sp.items.heavyItem(sp.offset + int(i))
	t.runner, t.ctx, t.spec, t.id = r, sp.ctx, sp.spec, sp.id+uint64(i)
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
