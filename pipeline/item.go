package pipeline

import (
	"context"
	"time"

	"github.com/antflow/antflow"
)

// A phase is where an item is. Only the engine changes it, under its lock.
type phase uint8

const (
	phaseNew      phase = iota // it is being made, or routed
	phaseWaiting               // for a worker of its stage: in pool.waiting, or a task of the executor
	phaseReady                 // it has a worker, and waits for a carrier: in pool.ready
	phaseRunning               // its stage's function is being called
	phaseDelayed               // a task of the executor between two attempts
	phaseBlocked               // it waits for room at its site: in pool.blocked or gather.blocked
	phaseHeld                  // it waits at its site for those before it
	phaseEmitting              // it is made into parts
	phaseOut                   // its result waits for the consumer: in engine.out
	phaseGone                  // it has left
)

// An item is one value on its way through a run. Its fields belong to the
// engine and are guarded by its lock, but for the cells and the call of a
// running item: these belong to whoever runs it.
type item struct {
	e          *engine
	prev, next *item // among all items of the run, in order
	q          *queue
	qprev      *item
	qnext      *item

	id     uint64
	prio   int
	site   int32
	held   int8 // the point of order that it waits at, or -1
	phase  phase
	timed  bool   // the visit to this stage is timed
	since  int64  // when it came to its stage, or began the call
	made   int32  // the site that made it of others, or -1
	reach  uint64 // the points of order that it may still come to
	holder *pool  // whose worker it keeps while it is blocked
	cells  *bundle
	visits []visit
	err    error // of an item on its way to the end
	x      *extra
}

// A visit is what an item's history has of one stage, and the context of a call
// that a carrier makes.
type visit struct {
	call     callContext
	pool     int32
	attempts int32
	queued   int64 // ns, as is worked; -1: not measured
	worked   int64
}

// extra is what few items have.
type extra struct {
	key     string
	values  context.Context // of what it was fed with; nil: the run's
	origin  *origin
	members []member // of a batch or a reduction

	oneForOne bool // the elements of its value are the members, if there are as many

	task     *antflow.Future[struct{}] // that calls the stage's function
	call     *callContext              // of that task's attempt
	canceled *cancelError              // asked for
	target   int                       // where it goes once it is routed
	kind     string                    // of the failure of that

	// Who is told when the item has got in where it was blocked.
	emitter *item
	feeder  *feeder
	batch   *gather

	emitted, parts int  // of an emitting item
	stalled        bool // which may not emit at the moment, and keeps no worker
}

// A bundle is the cells of an item, one for each site that it has come to.
// Bundles are used again.
type bundle struct {
	cells []any
	next  *bundle
}

// A member is an item that became part of a batch.
type member struct {
	id uint64
	x  *extra
}

// more returns the item's extra, which it makes the first time.
func (it *item) more() *extra {
	if it.x == nil {
		it.x = new(extra)
	}
	return it.x
}

// identity is what the item is called. Its id, key and members never change.
func (it *item) identity() Item {
	i := Item{ID: it.id}
	if it.x != nil {
		i.Key = it.x.key
		for _, m := range it.x.members {
			i.Members = append(i.Members, m.id)
		}
	}
	return i
}

// cell returns the cell for the item's value at a site, and makes it the first
// time.
func (it *item) cell(site int) any {
	c := &it.cells.cells[site]
	if *c == nil {
		*c = it.e.plan.sites[site].cells.make()
	}
	return *c
}

// move has what is the item's value at one site be its value at another one of
// the same type.
func (it *item) move(from, to int) {
	c := it.cells.cells
	c[from], c[to] = c[to], c[from]
}

// An item and room for a few visits are one allocation.
type (
	item1 struct {
		item
		v [1]visit
	}
	item2 struct {
		item
		v [2]visit
	}
	item3 struct {
		item
		v [3]visit
	}
	item4 struct {
		item
		v [4]visit
	}
)

// makeItem returns an item with room for n visits. It is not in the run yet.
func (e *engine) makeItem(n int) *item {
	it := blankItem(n)
	it.e, it.held = e, -1
	return it
}

func blankItem(n int) *item {
	switch n {
	case 0:
		return new(item)
	case 1:
		x := new(item1)
		x.visits = x.v[:0]
		return &x.item
	case 2:
		x := new(item2)
		x.visits = x.v[:0]
		return &x.item
	case 3:
		x := new(item3)
		x.visits = x.v[:0]
		return &x.item
	case 4:
		x := new(item4)
		x.visits = x.v[:0]
		return &x.item
	}
	return &item{visits: make([]visit, 0, n)}
}

// inherit gives a new part the history of the item that it is made of.
func (it *item) inherit(from *item) {
	for i := range from.visits {
		v := &from.visits[i]
		it.visits = append(it.visits, visit{pool: v.pool, attempts: v.attempts, queued: v.queued, worked: v.worked})
	}
}

// history is the item's visits for others.
func (it *item) history() []Visit {
	if !it.e.exact || len(it.visits) == 0 {
		return nil
	}
	visits := make([]Visit, len(it.visits))
	for i := range it.visits {
		v := &it.visits[i]
		visits[i] = Visit{
			Stage:    it.e.pools[v.pool].def.name,
			Attempts: int(v.attempts),
			Queued:   time.Duration(max(v.queued, 0)),
			Worked:   time.Duration(max(v.worked, 0)),
		}
	}
	return visits
}

// A queue is a list of items by priority, and among equals in the order in
// which they came.
type queue struct {
	levels []level // higher priorities first; none is empty but a single one
	n      int
}

type level struct {
	prio       int
	head, tail *item
}

func (q *queue) push(it *item) {
	l := q.level(it.prio)
	it.q, it.qprev, it.qnext = q, l.tail, nil
	if l.tail == nil {
		l.head = it
	} else {
		l.tail.qnext = it
	}
	l.tail = it
	q.n++
}

// level returns the level of prio, which it makes if there is none.
func (q *queue) level(prio int) *level {
	i := q.find(prio)
	if i < len(q.levels) && q.levels[i].prio == prio {
		return &q.levels[i]
	}
	if len(q.levels) == 1 && q.levels[0].head == nil {
		q.levels[0].prio = prio
		return &q.levels[0]
	}
	q.levels = append(q.levels, level{})
	copy(q.levels[i+1:], q.levels[i:])
	q.levels[i] = level{prio: prio}
	return &q.levels[i]
}

// find returns the index of the first level that is not above prio.
func (q *queue) find(prio int) int {
	lo, hi := 0, len(q.levels)
	for lo < hi {
		if mid := (lo + hi) / 2; q.levels[mid].prio > prio {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// first returns the item to be served next, or nil.
func (q *queue) first() *item {
	if q.n == 0 {
		return nil
	}
	return q.levels[0].head
}

// pop takes that item.
func (q *queue) pop() *item {
	it := q.first()
	if it != nil {
		q.remove(it)
	}
	return it
}

func (q *queue) remove(it *item) {
	i := 0
	if len(q.levels) > 1 {
		i = q.find(it.prio)
	}
	l := &q.levels[i]
	if it.qprev == nil {
		l.head = it.qnext
	} else {
		it.qprev.qnext = it.qnext
	}
	if it.qnext == nil {
		l.tail = it.qprev
	} else {
		it.qnext.qprev = it.qprev
	}
	it.q, it.qprev, it.qnext = nil, nil, nil
	q.n--
	if l.head == nil && len(q.levels) > 1 {
		q.levels = append(q.levels[:i], q.levels[i+1:]...)
	}
}
