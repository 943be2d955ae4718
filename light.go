package antflow

import (
	"context"
	"sync/atomic"
	"time"
)

// A light task is one of a group or a map that needs nothing yet but to be
// called: nobody has a future of it, and its function may never look at its
// context. It is a place in the queue and no more. It becomes a task of its own
// as soon as somebody wants anything of it: when it fails, when it waits, when
// it is canceled, when a context is derived from its own.
type light struct {
	ref any // the batch's: a pointer or a function, which need no allocation
	id  uint64
}

// typed is the typed side of a batch: a group, or the run of a map.
type typed interface {
	// call calls the function of a light task.
	call(ctx context.Context, ref any) error
	// succeeded is called once the books have it that it did, outside locks;
	// of a batch that only counts with the number of all that did since.
	succeeded(ref any, n int)
	// heavy makes a task that is not light.
	heavy(ref any) (*task, runner)
}

// A job is what a worker takes out of the queue: a task, or a light one, or
// several of a span.
type job struct {
	t  *task
	b  *batch // of the light ones
	l  light
	sp *span
	s  stretch
}

// A strand is the contexts of light tasks of one batch that a worker runs one
// after the other, so that they need few allocations. The word tells the task
// that runs, by its ID, and that it is light; the worker takes that away when
// it is done with the task, or somebody does who wants the task to be one of
// its own. So, as for closedAttempt, a worker that took it away knows that
// nobody wants anything. For the items of a chunk its word tells instead.
type strand struct {
	b        *batch
	w        *worker
	ch       *chunk
	word     atomic.Uint64
	weighed  atomic.Pointer[[]*task] // tasks that were made of them; never changed, but replaced under e.mu
	used     int
	contexts [32]lightContext
}

// A lightContext is the context of a light task's attempt.
type lightContext struct {
	s  *strand
	id uint64
}

// runningWord is the word of a strand while the light task with that ID runs.
func runningWord(id uint64) uint64 { return id<<1 | 1 }

// runs reports whether the task with that ID runs, and is light.
func (s *strand) runs(id uint64) bool {
	if s.ch != nil {
		return s.ch.runs(id)
	}
	return s.word.Load() == runningWord(id)
}

// context begins the attempt of w's light task.
func (w *worker) context() *lightContext {
	c := w.nextContext(nil, w.job.l.id)
	c.s.word.Store(runningWord(c.id))
	return c
}

func (w *worker) nextContext(ch *chunk, id uint64) *lightContext {
	s := w.strand.Load()
	if s == nil || s.b != w.job.b || s.ch != ch || s.used == len(s.contexts) {
		if ch != nil {
			ch.yieldOverdue()
		}
		s = &strand{b: w.job.b, w: w, ch: ch}
		w.strand.Store(s)
	}
	c := &s.contexts[s.used]
	s.used++
	c.s, c.id = s, id
	return c
}

// weighedTask is the task that was made of the light one, or nil.
func (c *lightContext) weighedTask() *task {
	if all := c.s.weighed.Load(); all != nil {
		for _, t := range *all {
			if t.id == c.id {
				return t
			}
		}
	}
	return nil
}

// task is the light task as a task of its own: the one that runs, or else what
// is left of one that has succeeded.
func (c *lightContext) task() *task {
	if t := c.weighedTask(); t != nil {
		return t
	}
	e := c.s.b.e
	e.mu.Lock()
	t := c.taskLocked(e)
	n := c.s.ch.untoldLocked()
	e.unlock()
	c.s.ch.tell(n)
	return t
}

func (c *lightContext) taskLocked(e *Executor) *task {
	if t := c.weighedTask(); t != nil {
		return t
	}
	return e.weighLocked(c.s, c.id)
}

// weighLocked makes the light task with that ID one of its own.
func (e *Executor) weighLocked(s *strand, id uint64) (t *task) {
	switch {
	case s.ch != nil && s.ch.t != nil && s.ch.t.id == id:
		t = s.ch.t
	case s.ch != nil:
		if word := s.ch.word.Load(); s.ch.idAt(word) == id {
			t = e.weighItemLocked(s.ch, word)
		}
	case s.word.CompareAndSwap(runningWord(id), 0):
		t = s.b.weigh(&s.w.job.l)
		e.liftLocked(s.w, t)
	}
	if t == nil {
		t = &task{terms: s.b.terms, id: id, phase: phaseSettled}
		t.word.Store(wordOf(StateSucceeded, 1))
		t.first.Store(closedAttempt)
	}
	var all []*task
	if old := s.weighed.Load(); old != nil {
		all = *old
	}
	all = append(all[:len(all):len(all)], t)
	s.weighed.Store(&all)
	return t
}

// liftLocked makes t, which was light and runs, one that the books know.
func (e *Executor) liftLocked(w *worker, t *task) {
	t.word.Store(wordOf(StateRunning, 1))
	t.first.Store(&attempt{t: t, number: 1})
	e.plain--
	e.claims--
	e.counts[classRunning]++
	t.phase = phaseRunning
	w.t.Store(t)
}

// weighRunningLocked makes a task of the light one that w runs, if it does.
func (e *Executor) weighRunningLocked(w *worker) *task {
	if w.chunk != nil {
		return e.weighChunkLocked(w.chunk)
	}
	s := w.strand.Load()
	if s == nil {
		return nil
	}
	word := s.word.Load()
	if word == 0 {
		return nil
	}
	if t := e.weighLocked(s, word>>1); t.phase == phaseRunning {
		return t
	}
	return nil
}

// weigh makes a task of a light one.
func (b *batch) weigh(l *light) *task {
	t, r := b.typed.heavy(l.ref)
	t.runner, t.terms, t.id = r, b.terms, l.id
	return t
}

// idle reports whether nobody ever asked for more than the values of the
// context, which has not ended.
func (c *lightContext) idle() bool {
	return c.s.runs(c.id) && c.s.b.ctx.Err() == nil
}

func (c *lightContext) first() *firstContext { return (*firstContext)(c.task()) }

// Deadline implements [context.Context].
func (c *lightContext) Deadline() (time.Time, bool) {
	if c.idle() {
		return c.s.b.ctx.Deadline()
	}
	return c.first().Deadline()
}

// Done implements [context.Context].
func (c *lightContext) Done() <-chan struct{} { return c.first().Done() }

// Err implements [context.Context].
func (c *lightContext) Err() error {
	if c.idle() {
		return nil
	}
	return c.first().Err()
}

// Value implements [context.Context].
func (c *lightContext) Value(key any) any {
	switch key.(type) {
	case attemptKey, ownKey:
	case infoKey:
		return infoOf(c.s.b.spec, c.id, 1)
	case statusKey:
		return noStatus{} // it would be heavy, were it observed
	default:
		if c.idle() {
			return c.s.b.ctx.Value(key)
		}
	}
	return c.first().Value(key)
}

// String describes the context for humans.
func (c *lightContext) String() string { return contextString(c.s.b.ctx, c.id) }

// submit submits a task with the options of the batch, and reports whether it
// is a light one.
func (b *batch) submit(ref any) bool {
	if b.lights && b.e.submitLight(b, light{ref: ref}) {
		return true
	}
	t, r := b.typed.heavy(ref)
	b.e.submit(b.terms, t, r, b)
	return false
}

// submitLight queues a light task of b. It reports false, and has done
// nothing, where that may take more: then it has to be a task of its own.
func (e *Executor) submitLight(b *batch, l light) bool {
	if b.ctx.Err() != nil {
		return false
	}
	e.mu.Lock()
	if e.closed.Load() || e.limit > 0 || e.watched.Load() {
		e.unlock()
		return false
	}
	l.id = e.nextID
	e.nextID++
	e.totals.submitted++
	e.backlog++
	e.enqueueLightLocked(b, l)
	e.dispatchLocked()
	e.unlock()
	return true
}

// runLight runs w's light task. True: it has succeeded, and w has the next
// task.
func (e *Executor) runLight(w *worker) bool {
	b := w.job.b
	c := w.context()
	if b.ctx.Err() != nil || e.halted.Load() {
		w.weigh(e)
		w.adopt(e)
		return false
	}
	err := b.typed.call(c, w.job.l.ref)
	if err != nil || !c.s.word.CompareAndSwap(runningWord(c.id), 0) {
		w.weigh(e)
		w.end = ending{err: err}
		w.over()
		return false
	}
	// As for any plain task: to take the next one is to have finished this.
	at := w.open.claim()
	if at < 0 {
		w.step = stepFinishPlain
		return false
	}
	done, n := w.job.l.ref, 1+w.owed
	w.owed = 0
	w.open.take(at, &w.job)
	w.took++
	w.began()
	if b.counts && w.job.b == b {
		// What w runs next is of the batch too, so nobody who waits for
		// the batch waits any longer if he is told later.
		w.owed = n
		return true
	}
	b.typed.succeeded(done, n)
	return true
}

// weigh makes w's light task one of its own, if w has a light task.
func (w *worker) weigh(e *Executor) {
	if w.job.t != nil {
		return
	}
	if ch := w.chunk; ch != nil {
		e.mu.Lock()
		w.job = job{t: e.weighChunkLocked(ch)}
		w.chunk = nil
		n := ch.untoldLocked()
		e.unlock()
		ch.tell(n)
		return
	}
	s := w.strand.Load()
	e.mu.Lock()
	w.job = job{t: s.contexts[s.used-1].taskLocked(e)}
	e.unlock()
	if w.owed > 0 {
		s.b.typed.succeeded(nil, w.owed)
		w.owed = 0
	}
}
