package pipeline

import "time"

// A gather is the items that a batch or a reduction has taken in one run, and
// that have not gone on yet.
type gather struct {
	e     *engine
	site  int
	order int // its point
	def   *batchDef

	fold fold // of a reduction; only its one worker and a flush touch it
	done bool // its result has gone on

	batch   batch
	count   int
	members []member
	x       *extra // of whom the members' origins are, in a reduction
	prio    int
	timer   *time.Timer
	run     uint64 // counts the batches
	full    *item  // the last batch, as long as there is no room for it
	blocked queue  // items that wait for that
}

// open reports whether another item may come in.
func (g *gather) open() bool { return g.full == nil && g.e.made[g.site] < g.e.conf.window }

// arriveLocked takes an item into a batch.
func (g *gather) arriveLocked(it *item) arrival {
	if !g.open() {
		it.phase = phaseBlocked
		g.blocked.push(it)
		return arrivedNot
	}
	e := g.e
	g.batch.add(it.cell(g.site))
	e.clearLocked(it)
	if g.count == 0 || it.prio > g.prio {
		g.prio = it.prio
	}
	g.count++
	g.members = append(g.members, member{it.id, it.x})
	switch {
	case g.count == g.def.size:
		g.emitLocked()
	case g.count == 1 && g.def.every > 0:
		run := g.run // tells this batch from later ones
		g.timer = time.AfterFunc(g.def.every, func() {
			e.mu.Lock()
			if g.run == run {
				g.emitLocked()
			}
			e.unlock()
		})
	}
	e.removeLocked(it) // this may bring others in, so it comes last
	return arrivedIn
}

// emitLocked makes an item of what was gathered.
func (g *gather) emitLocked() {
	e := g.e
	g.run++
	if t := g.timer; t != nil {
		g.timer = nil
		e.later.timers = append(e.later.timers, t)
		e.later.any = true
	}
	s := &e.plan.sites[g.site]
	it := e.makeItem(e.plan.sites[s.next].depth)
	it.made, it.prio = int32(g.site), g.prio
	it.cells = e.bundleLocked()
	if g.fold != nil {
		g.fold.take(it.cell(s.next))
		it.x, g.x = g.x, nil
	} else {
		g.batch.take(it.cell(s.next))
		first := g.members[0]
		it.id = first.id
		it.x = &extra{members: g.members, oneForOne: true}
		if first.x != nil {
			it.x.key, it.x.values = first.x.key, first.x.values
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
		g.arriveLocked(it)
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
	g.run++
	if g.timer != nil {
		g.e.later.timers = append(g.e.later.timers, g.timer)
		g.e.later.any = true
		g.timer = nil
	}
	for _, m := range g.members {
		g.e.cancelOriginsLocked(m.x, c)
	}
	g.e.cancelOriginsLocked(g.x, c)
	g.count, g.members, g.x, g.done = 0, nil, nil, true
	if g.def != nil {
		g.batch = g.def.make()
	}
}
