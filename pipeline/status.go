package pipeline

import (
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/antflow/antflow"
)

// A Visit is an item's stay at a stage.
type Visit struct {
	Stage    string
	Attempts int           // how often the stage's function was called
	Queued   time.Duration // from its coming to the first call
	Worked   time.Duration // in calls, all attempts together, without the delays
}

// A Monitor looks into a run, and changes the workers of its stages. A [Run]
// has one; give the loop of [Pipeline.Run] one by [WithMonitor]. While it has no
// run it finds nothing. Its methods don't block, and are safe for concurrent
// use.
type Monitor struct{ e atomic.Pointer[engine] }

// WithMonitor lets m look into the run; with a sequence that is ranged over more
// than once, into the latest. A nil m panics.
func WithMonitor(m *Monitor) RunOption {
	must(m != nil, "WithMonitor(nil): the monitor must not be nil")
	return runOption(func(s *settings) { s.monitor = m })
}

// A Snapshot is the state of a run; all figures are of the same instant.
type Snapshot struct {
	Elapsed time.Duration // since the start
	Over    bool          // everything has left the stages, and nothing more comes
	Inputs  uint64        // pulled or fed so far
	Results uint64        // that came out so far, failures among them
	Items   int           // in the run now, the parts of one counted each
	Held    int           // of them, those that wait for their turn, in an ordered run
	Batched int           // in batches that are not full, and not in Items
	Stages  []StageStats  // those upstream first
}

// StageStats are the figures of one stage. Entered is the sum of Waiting,
// Running, Delayed, Done, Failed, Skipped and Canceled.
type StageStats struct {
	Name    string
	Workers int // limit

	Incoming int // items that wait for room to come here, with the workers that had them
	Waiting  int // for a worker, or a permit or the like
	Running  int // in calls of the stage's function, or about to be
	Delayed  int // between two attempts
	Blocked  int // workers in use by items that are done and have no room downstream

	Entered, Done, Failed, Skipped, Canceled uint64
	Retried                                  uint64 // further attempts

	// Means over the visits so far. A stage whose calls take less than 2
	// microseconds is timed in samples.
	Queued, Worked time.Duration

	Throughput float64 // visits that ended in a second, over the last 8 seconds
}

// Bottleneck returns the name of the stage that holds up the others: the one
// farthest downstream whose workers are all at work at this instant while items
// wait for them. It is empty when there is none.
func (s Snapshot) Bottleneck() string {
	for _, st := range slices.Backward(s.Stages) {
		if st.Running >= st.Workers && st.Waiting+st.Incoming > 0 {
			return st.Name
		}
	}
	return ""
}

// Snapshot returns the state of the run at this instant.
func (m *Monitor) Snapshot() Snapshot {
	e := m.e.Load()
	if e == nil {
		return Snapshot{}
	}
	e.mu.Lock()
	defer e.unlock()
	e.recallAllLocked()
	e.countLocked()
	now := e.now()
	s := Snapshot{
		Elapsed: time.Duration(now),
		Over:    e.over,
		Inputs:  e.nextID,
		Results: e.yields,
		Items:   e.live,
		Stages:  make([]StageStats, len(e.pools)),
	}
	for it := e.head; it != nil; it = it.next {
		if it.phase == phaseHeld {
			s.Held++
		}
	}
	for _, g := range e.gathers {
		if g.batch != nil {
			s.Batched += g.count
		}
	}
	for i, p := range e.pools {
		f := &p.figures
		s.Stages[i] = StageStats{
			Name:       p.def.name,
			Workers:    p.limit,
			Incoming:   p.blocked.n,
			Waiting:    p.waiting.n + p.resumed.n + p.pending,
			Delayed:    p.delayed,
			Blocked:    p.held,
			Entered:    f.entered,
			Done:       f.done,
			Failed:     f.failed,
			Skipped:    f.skipped,
			Canceled:   f.canceled,
			Retried:    f.retried,
			Queued:     f.mean(f.queued),
			Worked:     f.mean(f.worked),
			Throughput: f.rate.perSecond(now),
		}
		st := &s.Stages[i]
		st.Running = int(f.entered-f.done-f.failed-f.skipped-f.canceled) - st.Waiting - st.Delayed
	}
	return s
}

// Resize changes the number of a stage's workers. More start at once; fewer take
// effect as calls finish. A stage with [Adaptive] workers is no longer adapted.
// An n below 1, a name that no stage has, and a [Reduce] stage panic.
func (m *Monitor) Resize(stage string, n int) {
	must(n >= 1, "Resize(%q, %d): the number of workers must be at least 1", stage, n)
	e := m.e.Load()
	must(e != nil, "Resize(%q, %d): the monitor has no run", stage, n)
	i := slices.IndexFunc(e.pools, func(p *pool) bool { return p.def.name == stage })
	must(i >= 0, "Resize(%q, %d): there is no stage of that name", stage, n)
	p := e.pools[i]
	must(p.def.kind != stageFold, "Resize(%q, %d): a reduction has one worker", stage, n)
	e.mu.Lock()
	e.recallAllLocked()
	p.adapt = nil
	p.limit = n
	p.serveLocked()
	e.unlock()
}

// An ItemState tells what an item is doing.
type ItemState uint8

// The states of an item. The last four are final.
const (
	ItemMoving   ItemState = iota // it is between stages
	ItemWaiting                   // for a worker, or a permit or the like
	ItemRunning                   // in a call of the stage's function, or about to be
	ItemDelayed                   // between two attempts
	ItemBlocked                   // done at a stage, without room in the next one, which Stage names
	ItemHeld                      // waits for those before it
	ItemBatched                   // in a batch that is not full, or in a reduction
	ItemReady                     // its result waits for the loop
	ItemDone                      // it has left with a result
	ItemFailed                    // it has left with an error
	ItemCanceled                  // it was canceled
	ItemGone                      // it was skipped, or others were made of it
)

var itemStates = [...]string{"moving", "waiting", "running", "delayed", "blocked", "held", "batched", "ready", "done", "failed", "canceled", "gone"}

// String returns the state's name in lower case.
func (s ItemState) String() string {
	if int(s) < len(itemStates) {
		return itemStates[s]
	}
	return fmt.Sprintf("ItemState(%d)", uint8(s))
}

// ItemStatus tells where an item is.
type ItemStatus struct {
	Item     Item
	State    ItemState
	Stage    string        // where it is, or where it left or failed; empty: at none
	For      time.Duration // since it came to the stage, or the call began; 0: not measured
	Priority int
	Status   string  // what [antflow.SetStatus] said in the call that runs
	Visits   []Visit // what it has been through, as far as that is kept; see [ItemError]
}

var statesOfPhases = [...]ItemState{
	phaseNew: ItemMoving, phaseWaiting: ItemWaiting, phaseReady: ItemRunning, phaseRunning: ItemRunning,
	phaseInHand: ItemWaiting, phaseDelayed: ItemDelayed, phaseBlocked: ItemBlocked, phaseHeld: ItemHeld, phaseEmitting: ItemMoving,
	phaseOut: ItemReady, phaseGone: ItemGone,
}

// statusLocked is the status of an item that is in the run.
func (e *engine) statusLocked(it *item, now int64) ItemStatus {
	s := ItemStatus{
		Item:     it.identity(),
		State:    statesOfPhases[it.phase],
		Priority: it.prio,
		Visits:   it.history(),
	}
	if site := &e.plan.sites[it.site]; site.kind == siteStage {
		s.Stage = e.pools[site.pool].def.name
	}
	if it.phase == phaseRunning {
		s.Status = e.statusTextLocked(it)
	}
	switch it.phase {
	case phaseWaiting, phaseRunning, phaseDelayed:
		if it.timed || it.x != nil && it.x.task != nil {
			s.For = time.Duration(now - it.since)
		}
	}
	return s
}

// Items returns the items that are in the run now, in the order of their
// inputs, and then those in batches, and of what was fed those in reductions. An input that was made into parts is there
// with each of them.
func (m *Monitor) Items() []ItemStatus {
	return m.items(func(ItemStatus, *lineage) bool { return true })
}

// ItemsIn returns the items that are at a stage now, or wait to come there.
func (m *Monitor) ItemsIn(stage string) []ItemStatus {
	return m.items(func(s ItemStatus, _ *lineage) bool { return s.Stage == stage })
}

// Find returns what is in the run now of the input with an ID; nothing when it
// has left.
func (m *Monitor) Find(id uint64) []ItemStatus {
	return m.items(func(s ItemStatus, _ *lineage) bool {
		return s.Item.ID == id || slices.Contains(s.Item.Members, id)
	})
}

// FindKey returns what is in the run now of the inputs with a key; see [Key].
func (m *Monitor) FindKey(key string) []ItemStatus {
	return m.items(func(s ItemStatus, l *lineage) bool {
		return s.Item.Key == key || l != nil && slices.ContainsFunc(l.members, func(m member) bool { return m.lineage != nil && m.key == key })
	})
}

// FindFuture returns what is in the run now of the input that [Run.Feed] gave
// the future of.
func (m *Monitor) FindFuture(f antflow.Waitable) []ItemStatus {
	return m.items(func(_ ItemStatus, l *lineage) bool {
		found := false
		l.each(func(o *origin) { found = found || o.future == f })
		return found
	})
}

func (m *Monitor) items(want func(ItemStatus, *lineage) bool) []ItemStatus {
	e := m.e.Load()
	if e == nil {
		return nil
	}
	var found []ItemStatus
	e.mu.Lock()
	defer e.unlock()
	e.recallAllLocked()
	e.countLocked()
	now := e.now()
	for it := e.head; it != nil; it = it.next {
		if s := e.statusLocked(it, now); want(s, it.lineage) {
			found = append(found, s)
		}
	}
	for _, g := range e.gathers {
		members := g.members
		if g.folded != nil {
			members = g.folded.members
		}
		for _, mb := range members {
			s := ItemStatus{Item: mb.identity(mb.id), State: ItemBatched}
			if g.fold != nil {
				s.Stage = e.plan.sites[g.site].def.name
			}
			if want(s, mb.lineage) {
				found = append(found, s)
			}
		}
	}
	return found
}

// History keeps the status of the n items that left the run last; see
// [Monitor.Recent]. The default is 0. A negative n panics.
func History(n int) RunOption {
	must(n >= 0, "History(%d): the number of items must not be negative", n)
	return runOption(func(s *settings) { s.history = n })
}

// Recent returns the items that left last, as many as [History] says, the
// latest last. Their State is one of the final ones.
func (m *Monitor) Recent() []ItemStatus {
	e := m.e.Load()
	if e == nil {
		return nil
	}
	e.mu.Lock()
	defer e.unlock()
	e.countLocked()
	n := len(e.recent)
	if e.recents <= n {
		return slices.Clone(e.recent[:e.recents])
	}
	at := e.recents % n
	return slices.Concat(e.recent[at:], e.recent[:at])
}

// outcome is the final state of an item that has come to the end.
func (it *item) outcome() ItemState {
	if it.failure() != nil {
		return ItemFailed
	}
	return ItemDone
}

// recordLocked keeps the status of an item that leaves.
func (e *engine) recordLocked(it *item, state ItemState) {
	n := e.conf.history
	if n == 0 {
		return
	}
	if e.recent == nil {
		e.recent = make([]ItemStatus, n)
	}
	s := e.statusLocked(it, 0)
	s.State, s.For = state, 0
	if f, ok := it.failure().(*ItemError); ok {
		s.Stage = f.Stage
	}
	e.recent[e.recents%n] = s
	e.recents++
}
