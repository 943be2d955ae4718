package antflow

import (
	"sync/atomic"
	"time"
)

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
	untold     int    // items before that, until somebody has told of them
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

// seize shuts the chunk for somebody who wants the task of the item that was at
// the cursor of word, and takes what is ahead; false when that has ended.
func (ch *chunk) seize(word uint64) (stretch, bool) {
	for {
		v := ch.word.Load()
		if v&chunkShut != 0 || cursorOf(v) != cursorOf(word) {
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

// chunkLocked makes what was taken of a span the chunk of w.
func (w *worker) chunkLocked() *chunk {
	j := &w.job
	if j.sp == nil {
		return nil
	}
	ch := w.chunk
	if ch == nil || ch.sp != j.sp {
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
// at the cursor; false when it is not to be called any more.
func (w *worker) itemContext(ch *chunk, index int) (*lightContext, bool) {
	sp := ch.sp
	if sp.ctx.Err() != nil || sp.spec.e.halted.Load() {
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
	if ch.sp.offset > 0 { // the items of the first span are taken one by one
		ch.sp.items.pace().adapt(n, time.Since(ch.since))
	}
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
	for ch.t == nil {
		word := ch.word.Load()
		if word&chunkShut != 0 {
			return nil
		}
		e.weighItemLocked(ch, word)
	}
	return ch.t
}

// weighItemLocked does the same for the item at the cursor of word, which the
// chunk had; nil when that has ended, or is a task already.
func (e *Executor) weighItemLocked(ch *chunk, word uint64) *task {
	rest, ok := ch.seize(word)
	if !ok {
		return nil
	}
	ch.sp.give(rest)
	e.bookChunkLocked(ch)
	ch.sp.unlink(ch)
	ch.untold = ch.ended()
	ch.t = ch.sp.weigh(cursorOf(ch.word.Load()))
	e.liftLocked(ch.w, ch.t)
	return ch.t
}

// tell tells of n items that have succeeded before the one that was weighed. Of
// a nil chunk there are none.
func (ch *chunk) tell(n int) {
	if n > 0 {
		ch.sp.items.itemsSucceeded(n)
	}
}

// untoldLocked is how many those are, for whoever tells of them.
func (ch *chunk) untoldLocked() int {
	if ch == nil {
		return 0
	}
	n := ch.untold
	ch.untold = 0
	return n
}

// weigh makes a task of an item.
func (sp *span) weigh(i uint32) *task {
	t, r := sp.items.heavyItem(sp.offset + int(i))
	t.runner, t.terms, t.id = r, sp.terms, sp.id+uint64(i)
	return t
}
