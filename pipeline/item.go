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
	phaseInHand                // it is in a carrier's load: nothing that anyone sees
	phaseDelayed               // a task of the executor between two attempts
	phaseBlocked               // it waits for room at its site: in pool.blocked or gather.blocked
	phaseHeld                  // it waits at its site for those before it
	phaseEmitting              // it is made into parts
	phaseOut                   // its result waits for the consumer: in engine.out
	phaseGone                  // it has left
)

// An item is one value on its way through a run. Its fields belong to the
// engine and are guarded by its lock, but for the value of a running item: that
// belongs to whoever runs it.
type item struct {
	e          *engine
	prev, next *item // among all items of the run, in order
	q          *queue
	qprev      *item
	qnext      *item

	id     uint64
	prio   int
	val    any // the cell of its value, of the type that its site takes; nil: none
	site   int32
	made   int32 // the site that made it of others, or -1
	held   int8  // the point of order that it waits at, or -1
	phase  phase
	timed  bool         // the visit to this stage is timed
	reach  uint64       // the points of order that it may still come to
	since  int64        // when it came to its stage, or began the call
	visit  visit        // to this stage
	call   *callContext // of the call
	holder *pool        // whose worker it keeps while it is blocked
	*lineage
	x *extra
}

// A visit is what an item's history has of one stage.
type visit struct {
	pool     int32
	attempts int32
	queued   int64 // ns, as is worked; -1: not measured
	worked   int64
}

// A lineage is what an item has of the inputs that it comes of. It never changes,
// so it may be read without the lock. nil is that of an input that is only a
// number.
type lineage struct {
	key     string
	values  context.Context // of what it was fed with; nil: the run's
	origin  *origin
	members []member // of a batch or a reduction

	oneForOne bool // the elements of its value are the members, if there are as many
}

// A member is an item that became part of a batch.
type member struct {
	id   uint64
	past []visit // its history, where that is kept
	at   int64   // when it came, where the batch goes by time
	*lineage
}

// extra is what few items have.
type extra struct {
	past []visit // to the stages before; kept where histories are
	err  error   // of an item on its way to the end

	task     *antflow.Future[struct{}] // that calls the stage's function
	canceled *cancelError              // asked for
	timer    *time.Timer               // of a retry's delay
	routed   outcome                   // where it goes once it is routed

	// Who is told when the item has got in where it was blocked.
	emitter *item
	feeder  *feeder
	batch   *gather

	emitted, parts int           // of an emitting item
	wake           chan struct{} // of a stalled call
	placed         bool          // it goes on, and there is a place for a part, which counts among those made
	turn           int           // so many parts it may make before others that are stalled go on
}

// asMember is what is kept of an item that becomes part of a batch.
func (it *item) asMember() member {
	m := member{id: it.id, lineage: it.lineage}
	if it.x != nil {
		m.past = it.x.past
	}
	return m
}

// more returns the item's extra, which it makes the first time.
func (it *item) more() *extra {
	if it.x == nil {
		it.x = new(extra)
	}
	return it.x
}

// itemLocked returns a blank item that is not in the run yet.
func (e *engine) itemLocked() *item {
	it := e.blank
	if it == nil {
		return &item{e: e, held: -1}
	}
	e.blank, it.next = it.next, nil
	it.phase = phaseNew
	return it
}

// reuseLocked keeps an item that has left for another one, unless somebody may
// have it still: a task of the executor, or who waits for it. The caller is done
// with it.
func (e *engine) reuseLocked(it *item) {
	if it.x == nil && !e.frozen {
		*it = item{e: e, held: -1, phase: phaseGone, next: e.blank}
		e.blank = it
	}
}

// identity is what the item is called.
func (it *item) identity() Item { return it.lineage.identity(it.id) }

func (l *lineage) identity(id uint64) Item {
	i := Item{ID: id}
	if l != nil {
		i.Key = l.key
		i.Members = l.appendIDs(nil)
	}
	return i
}

// appendIDs adds the inputs that are in a batch, or in the batches in it.
func (l *lineage) appendIDs(ids []uint64) []uint64 {
	for _, m := range l.members {
		if m.lineage != nil && m.members != nil {
			ids = m.appendIDs(ids)
		} else {
			ids = append(ids, m.id)
		}
	}
	return ids
}

// failure is the error of an item on its way to the end, or nil.
func (it *item) failure() error {
	if it.x == nil {
		return nil
	}
	return it.x.err
}

// leftLocked moves the visit to a stage that is over to the item's history.
func (it *item) leftLocked() {
	if it.e.exact {
		x := it.more()
		if x.past == nil {
			x.past = make([]visit, 0, len(it.e.pools))
		}
		x.past = append(x.past, it.visit)
	}
}

// history is the item's visits for others.
func (it *item) history() []Visit {
	if it.x == nil || len(it.x.past) == 0 {
		return nil
	}
	visits := make([]Visit, len(it.x.past))
	for i, v := range it.x.past {
		visits[i] = Visit{
			Stage:    it.e.pools[v.pool].def.name,
			Attempts: int(v.attempts),
			Queued:   time.Duration(max(v.queued, 0)),
			Worked:   time.Duration(max(v.worked, 0)),
		}
	}
	return visits
}

// cellLocked returns a blank cell for a value on its way to a site.
func (e *engine) cellLocked(site int) any {
	s := &e.plan.sites[site]
	if spare := e.spare[s.class]; len(spare) > 0 {
		c := spare[len(spare)-1]
		e.spare[s.class] = spare[:len(spare)-1]
		return c
	}
	return s.cells.make()
}

// mostSpare is how many cells of one type are kept.
const mostSpare = 256

// clearLocked clears the value of an item, if it has one, and keeps its cell
// for others.
func (e *engine) clearLocked(it *item) {
	if it.val != nil {
		e.spareLocked(int(it.site), it.val)
		it.val = nil
	}
}

// spareLocked clears a cell and keeps it.
func (e *engine) spareLocked(site int, cell any) {
	s := &e.plan.sites[site]
	s.cells.clear(cell)
	e.keepLocked(s.class, cell)
}

// keepLocked keeps a blank cell.
func (e *engine) keepLocked(class int, cell any) {
	if spare := e.spare[class]; len(spare) < mostSpare {
		e.spare[class] = append(spare, cell)
	}
}
