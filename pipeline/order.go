package pipeline

// holdLocked lets an item wait for its turn at a point of order, if that isn't
// now. It keeps no worker meanwhile: those before it may need one.
func (e *engine) holdLocked(it *item, point int) {
	it.phase, it.held = phaseHeld, int8(point)
	if e.cursors[point] == it {
		e.advanceLocked(point)
	}
}

// addLocked lets a new item of a site come in before another one, or last.
func (e *engine) addLocked(it *item, before *item, site int) {
	e.live++
	it.next = before
	if before == nil {
		it.prev, e.tail = e.tail, it
	} else {
		it.prev, before.prev = before.prev, it
	}
	if it.prev == nil {
		e.head = it
	} else {
		it.prev.next = it
	}
	if it.made < 0 {
		e.roots++
	} else {
		e.made[it.made]++
	}
	if !e.ordered {
		return
	}
	it.reach = e.plan.sites[site].reach
	for p := range e.cursors {
		// The first that may come there stays the first, if it is before
		// the new one; if it isn't, it is the one behind.
		if it.reach&(1<<p) != 0 && e.cursors[p] == before {
			e.cursors[p] = it
		}
	}
}

// removeLocked takes an item out of the run. Its origin has been told.
func (e *engine) removeLocked(it *item) {
	e.unlinkLocked(it)
	e.wentAsLocked(it.made)
}

// unlinkLocked takes an item out without making room for another one.
func (e *engine) unlinkLocked(it *item) {
	if e.ordered {
		e.narrowLocked(it, 0)
	}
	it.phase = phaseGone
	e.live--
	if it.prev == nil {
		e.head = it.next
	} else {
		it.prev.next = it.next
	}
	if it.next == nil {
		e.tail = it.prev
	} else {
		it.next.prev = it.prev
	}
	it.prev, it.next = nil, nil
	e.clearLocked(it)
}

// wentAsLocked makes room for another item that comes from where one that has
// left came from.
func (e *engine) wentAsLocked(made int32) {
	if made < 0 {
		e.wentLocked(1)
		return
	}
	e.made[made]--
	if g := e.plan.sites[made].gather; g >= 0 {
		e.gathers[g].clearedLocked()
	}
}

// wentLocked makes room for n inputs.
func (e *engine) wentLocked(n int) {
	e.roots -= n
	e.feedLocked()
	for len(e.feeders) > 0 && e.roots < e.conf.window {
		f := e.feeders[0]
		e.feeders[0] = nil
		e.feeders = e.feeders[1:]
		e.roots++ // kept for it
		e.signalLocked(f.wake)
	}
}

// narrowLocked notes that an item can't come to some of the points of order any
// more.
func (e *engine) narrowLocked(it *item, reach uint64) {
	lost := it.reach &^ reach
	it.reach &= reach
	if lost == 0 {
		return
	}
	for p := range e.cursors {
		if lost&(1<<p) != 0 && e.cursors[p] == it {
			e.advanceLocked(p)
		}
	}
}

// advanceLocked moves the cursor of a point to the first item that may come to
// it, and lets pass those that wait there for their turn.
func (e *engine) advanceLocked(p int) {
	s := &e.plan.sites[e.plan.points[p]]
	for {
		it := e.cursors[p]
		if it == nil {
			return
		}
		if it.reach&(1<<p) != 0 {
			if it.held != int8(p) || !e.mayPassLocked(s) {
				return
			}
			it.held = -1
			it.reach &^= 1 << p
			e.cursors[p] = it.next
			switch {
			case p == 0:
				e.outLocked(it)
			case s.kind == siteBatch:
				e.carryLocked(it, e.gathers[s.gather].arriveLocked(it))
			default:
				e.carryLocked(it, e.pools[s.pool].arriveLocked(it, 0))
			}
			continue
		}
		e.cursors[p] = it.next
	}
}

// mayPassLocked reports whether a site takes an item whose turn it is.
func (e *engine) mayPassLocked(s *site) bool {
	return s.kind != siteBatch || e.gathers[s.gather].open()
}
