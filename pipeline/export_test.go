package pipeline

import (
	"fmt"
	"strings"
)

// Loads lets stages count as quick after n calls, although the clock of a bubble
// stands still while they last.
func Loads(n int) RunOption { return runOption(func(s *settings) { s.still = n }) }

// Dump describes the state of a run, for a test that failed.
func (m *Monitor) Dump() string {
	e := m.e.Load()
	e.mu.Lock()
	defer e.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "live %d roots %d made %v ready %d crew %+v closed %v failure %v over %v yielded %d starved %v stalled %d out %d waits %v unsent %d\n",
		e.live, e.roots, e.made, e.ready, e.crew, e.closed, e.failure, e.over, e.yielded.Load(), e.starved != nil, e.stalls, e.out.n, e.waits, len(e.unsent))
	for _, p := range e.pools {
		fmt.Fprintf(&b, "pool %s tasks %v limit %d waiting %d ready %d blocked %d pending %d running %d held %d delayed %d laden %d coming %d claims %d stalls %d lent %d regains %d room %v\n",
			p.def.name, p.tasks, p.limit, p.waiting.n, p.ready.n, p.blocked.n, p.pending, p.running, p.held, p.delayed, p.laden, p.coming, len(p.claims), p.stalls, p.lent, len(p.regains), p.hasRoom())
	}
	for i, c := range e.cursors {
		fmt.Fprintf(&b, "cursor %d: %p\n", i, c)
	}
	for it := e.head; it != nil; it = it.next {
		fmt.Fprintf(&b, "item %p id %d site %d phase %d held %d reach %b made %d holder %v x %+v\n", it, it.id, it.site, it.phase, it.held, it.reach, it.made, it.holder != nil, it.x)
	}
	for i, s := range e.plan.sites {
		fmt.Fprintf(&b, "site %d kind %d next %d branches %v pool %d\n", i, s.kind, s.next, s.branches, s.pool)
	}
	return b.String()
}

// CheckRoom looks whether a stage's items, those in loads with them, have all the
// room that they take. A stage that was resized may lack some for a while.
func (m *Monitor) CheckRoom(stage string) error {
	e := m.e.Load()
	if e == nil {
		return nil // the run has not begun
	}
	e.mu.Lock()
	defer e.unlock()
	for _, p := range e.pools {
		if p.def.name == stage && p.queued() > p.room()+p.idle() {
			return fmt.Errorf("stage %q has room for %d, and %d workers are idle: %d wait, %d are in loads, %d are coming",
				stage, p.room(), p.idle(), p.waiting.n+p.pending, p.laden, p.coming)
		}
	}
	return nil
}

// CheckInvariants looks whether the state of the run is consistent.
func (m *Monitor) CheckInvariants() (err error) {
	e := m.e.Load()
	e.mu.Lock()
	defer e.unlock()
	e.recallAllLocked()
	e.countLocked()
	e.stirLocked() // as unlock would
	bad := func(format string, args ...any) {
		if err == nil {
			err = fmt.Errorf(format, args...)
		}
	}
	live, roots, made := 0, 0, make([]int, len(e.made))
	waiting, ready, blocked := make([]int, len(e.pools)), make([]int, len(e.pools)), 0
	delayed, out := make([]int, len(e.pools)), 0
	first := make([]*item, len(e.cursors))
	var prev *item
	for it := e.head; it != nil; prev, it = it, it.next {
		live++
		if it.prev != prev {
			bad("the list of items is broken at %d", it.id)
		}
		if it.made < 0 {
			roots++
		} else {
			made[it.made]++
		}
		for p := range first {
			if first[p] == nil && it.reach&(1<<p) != 0 {
				first[p] = it
			}
		}
		pool := e.plan.sites[it.site].pool
		switch it.phase {
		case phaseWaiting:
			waiting[pool]++
		case phaseReady:
			ready[pool]++
		case phaseBlocked:
			blocked++
		case phaseDelayed:
			delayed[pool]++
		case phaseOut:
			out++
		case phaseHeld:
			if !e.ordered || e.cursors[it.held] == it && e.mayPassLocked(&e.plan.sites[e.plan.points[it.held]]) {
				bad("item %d is held though it is its turn", it.id)
			}
		case phaseInHand:
			bad("item %d is in hand", it.id)
		case phaseGone:
			bad("item %d is gone and in the run", it.id)
		}
	}
	if prev != e.tail || live != e.live || out != e.out.n {
		bad("%d items, %d of them out: the run has %d and %d", live, out, e.live, e.out.n)
	}
	if roots > e.roots {
		bad("%d inputs, the run has %d", roots, e.roots)
	}
	for site, n := range made {
		if n > e.made[site] {
			bad("%d items made at %d, the run has %d", n, site, e.made[site])
		}
	}
	for p, it := range first {
		if e.ordered && e.failure == nil && e.cursors[p] != it {
			bad("the cursor of %d is not at the first item", p)
		}
	}
	sum, stuck := 0, 0
	for i, p := range e.pools {
		sum += p.ready.n
		stuck += p.blocked.n
		if waiting[i] != p.waiting.n+p.resumed.n+p.pending || ready[i] != p.ready.n || delayed[i] != p.delayed {
			bad("stage %q: %d waiting, %d ready, %d delayed: %+v", p.def.name, waiting[i], ready[i], delayed[i], p)
		}
		if p.laden != 0 || p.coming != 0 {
			bad("stage %q: %d in hand, %d coming", p.def.name, p.laden, p.coming)
		}
		if p.running < p.ready.n || p.held < 0 || p.pending < 0 {
			bad("stage %q: %d running, %d held, %d pending", p.def.name, p.running, p.held, p.pending)
		}
		lacks := p.lent
		if p.tasks && p.firstLocked() != nil { // its claim may be on the way
			lacks = 0
		}
		if p.idle() > 0 && (p.resumed.n > 0 || !p.tasks && p.waiting.n > 0 || len(p.claims)+len(p.regains)+lacks > 0) {
			bad("stage %q has %d idle workers, and %d items, %d tasks and %d calls wait", p.def.name, p.idle(), p.waiting.n, len(p.claims), len(p.regains)+lacks)
		}
		stalls := 0
		for _, f := range p.fans {
			stalls += f.stalled.n
		}
		if stalls != p.stalls || p.lent < 0 || p.lent > p.stalls || len(p.regains) > 0 && p.lent < p.stalls {
			bad("stage %q: %d calls are stalled: it has %d, %d without their workers, and %d calls wait for theirs",
				p.def.name, stalls, p.stalls, p.lent, len(p.regains))
		}
		if it := p.firstLocked(); it != nil && !p.tasks && p.lent < p.stalls {
			bad("stage %q: the item %d waits for a worker that a stalled call has", p.def.name, it.id)
		}
		if (p.hasRoom() || p.floodedLocked()) && p.blocked.n > 0 {
			bad("stage %q has room, and %d items are blocked", p.def.name, p.blocked.n)
		}
	}
	stalls := 0
	for _, f := range e.fans {
		stalls += f.stalled.n
		if it := f.nextLocked(); it != nil {
			bad("item %d at %d may be made into parts, and waits for that", it.id, it.site)
		}
	}
	if stalls != e.stalls {
		bad("%d items are stalled: the run has %d", stalls, e.stalls)
	}
	for _, g := range e.gathers {
		stuck += g.blocked.n
		if g.blocked.n > 0 && g.open() {
			bad("a batch is open, and %d items are blocked", g.blocked.n)
		}
	}
	if e.failure != nil && e.ready > 0 {
		bad("%d items are ready though the run is to end", e.ready)
	}
	if sum != e.ready || stuck != blocked {
		bad("%d ready and %d blocked: the run has %d and %d", sum, stuck, e.ready, blocked)
	}
	return err
}

// StatusTexts is how many texts of calls are kept.
func (m *Monitor) StatusTexts() int {
	e := m.e.Load()
	e.mu.Lock()
	defer e.unlock()
	return len(e.texts.of)
}
