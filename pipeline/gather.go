package pipeline

import "time"

// A gather is the items that a batch or a reduction has taken in one run, and
// that have not gone on yet.
type gather struct {
	e     *engine
	site  int
	order int // its point
	def   *batchDef
	count int // items that were taken in, and have not gone on

	fold fold // of a reduction; only its one worker and a flush touch it
	done bool // its result has gone on

	batch   batch
	members []member
	folded  *lineage // of a reduction: who was fed of what it has taken
	prio    int
	timer   *time.Timer
	run     uint64 // counts the timers
	full    *item  // the last batch, as long as there is no room for it
	blocked queue  // items that wait for that
}

// open reports whether another item may come in. Once the run is to end nothing
// does: it would go on in a batch that nobody cancels any more.
func (g *gather) open() bool {
	return g.full == nil && g.e.made[g.site] < g.e.conf.window && g.e.failure == nil
}

// arriveLocked takes an item into a batch.
func (g *gather) arriveLocked(it *item) arrival {
	if !g.open() {
		it.phase = phaseBlocked
		g.blocked.push(it)
		return arrivedNot
	}
	g.takeLocked(it)
	g.e.reuseLocked(it)
	return arrivedIn
}

// takeLocked makes an item part of the batch, and takes it out of the run.
func (g *gather) takeLocked(it *item) {
	e := g.e
	g.batch.add(it.val)
	e.clearLocked(it)
	if g.count == 0 || it.prio > g.prio {
		g.prio = it.prio
	}
	g.count++
	m := it.asMember()
	if g.def.every > 0 {
		m.at = e.now()
	}
	g.members = append(g.members, m)
	switch {
	case g.count == g.def.size:
		g.emitLocked()
	case g.count == 1:
		g.timeLocked()
	}
	e.removeLocked(it) // this may bring others in, so it comes last
}

// timeLocked has the batch go on when the first item in it has waited for long
// enough, if that counts.
func (g *gather) timeLocked() {
	g.untimeLocked()
	if g.def.every == 0 || g.count == 0 {
		return
	}
	run := g.run // tells this timer from others
	left := g.def.every - time.Duration(g.e.now()-g.members[0].at)
	// Never 0: timers that are due at once crash the race detector in a bubble
	// of testing/synctest (Go 1.26).
	g.timer = time.AfterFunc(max(left, 1), func() {
		g.e.mu.Lock()
		if g.run == run {
			g.emitLocked()
		}
		g.e.unlock()
	})
}

// untimeLocked ends the timer, if there is one.
func (g *gather) untimeLocked() {
	g.run++
	if g.timer != nil {
		g.e.later.timers = append(g.e.later.timers, g.timer)
		g.e.later.any = true
		g.timer = nil
	}
}

// emitLocked makes an item of what was gathered.
func (g *gather) emitLocked() {
	e := g.e
	g.untimeLocked()
	s := &e.plan.sites[g.site]
	it := e.itemLocked()
	it.made, it.prio, it.site = int32(g.site), g.prio, int32(s.next)
	it.val = e.cellLocked(s.next)
	if g.fold != nil {
		g.fold.take(it.val)
		it.lineage, g.folded = g.folded, nil
	} else {
		g.batch.take(it.val)
		first := g.members[0]
		it.id = first.id
		it.lineage = &lineage{members: g.members, oneForOne: true}
		if first.lineage != nil {
			it.key, it.values = first.key, first.values
		}
	}
	g.count, g.members = 0, nil
	var before *item // all of those that may still come here come after it
	if e.ordered {
		before = e.cursors[g.order]
	}
	e.addLocked(it, before, s.next)
	a := e.arriveLocked(it, s.next, 0)
	e.carryLocked(it, a)
	if a == arrivedNot {
		g.full = it
		it.more().batch = g
	}
}

// clearedLocked lets items in that waited for room in the batch.
func (g *gather) clearedLocked() {
	if g.full != nil && g.full.x.batch == nil {
		g.full = nil
	}
	for g.blocked.n > 0 && g.open() {
		it := g.blocked.pop()
		g.takeLocked(it)
		g.e.admittedLocked(it)
	}
	if g.e.ordered && g.open() {
		g.e.advanceLocked(g.order)
	}
}

// dueLocked reports whether something is left to go on at the end.
func (g *gather) dueLocked() bool {
	if g.fold != nil {
		return !g.done
	}
	return g.count > 0
}

// flushLocked lets go on what there is.
func (g *gather) flushLocked() {
	g.done = true
	g.emitLocked()
}

// dropLocked cancels what was gathered.
func (g *gather) dropLocked(c *cancelError) {
	g.untimeLocked()
	for _, m := range g.members {
		g.e.cancelOriginsLocked(m.lineage, c)
	}
	g.e.cancelOriginsLocked(g.folded, c)
	g.count, g.members, g.folded, g.done = 0, nil, nil, true
	if g.def != nil {
		g.batch = g.def.make()
	}
}
