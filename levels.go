package antflow

// A queue orders levels by priority.
type queue struct {
	levels     levelHeap
	byPriority map[int]*level // those of the heap, and recent
	near       []*level       // some of byPriority, by the last bits of their priorities
	recent     *level         // the one used last, which is kept though it may be empty
	open       *segment       // that workers take from without the lock, or nil
	openLevel  *level         // its level
	spare      *spare         // what is used up, for the next; none at rest
	start      uint64         // a place that no level has reached
	spans      []*span        // those that workers have chunks of
}

// spare is what was used up while there was more work.
type spare struct {
	segments []*segment // of the greatest size
	levels   []*level
}

const (
	mostSpare  = 256
	manyLevels = 64 // a power of two; for more there is memory that is not kept at rest
)

// level returns the level of a priority, to which a task is about to be added.
func (q *queue) level(priority int) *level {
	l := q.recent
	if l == nil || l.priority != priority {
		if l != nil && l.pos == 0 {
			q.retire(l)
		}
		if l = q.find(priority); l == nil {
			l = q.newLevel(priority)
		}
		q.recent = l
	}
	if l.pos == 0 {
		q.levels.push(l)
	}
	return l
}

// find returns the level of a priority, or nil. With many levels, whose
// priorities mostly lie near to one another, near has what the map would take
// several looks into memory for.
func (q *queue) find(priority int) *level {
	if len(q.near) == 0 {
		return q.byPriority[priority]
	}
	p := q.nearLocation(priority)
	if *p == nil || (*p).priority != priority {
		l := q.byPriority[priority]
		if l == nil {
			return nil
		}
		*p = l
	}
	return *p
}

func (q *queue) nearLocation(priority int) **level { return &q.near[priority&(len(q.near)-1)] }

func (q *queue) newLevel(priority int) *level {
	var l *level
	if q.spare != nil && len(q.spare.levels) > 0 {
		l = pop(&q.spare.levels)
	} else {
		l = new(level)
	}
	l.q, l.priority, l.tail = q, priority, q.start
	if q.byPriority == nil {
		q.byPriority = make(map[int]*level)
	}
	q.byPriority[priority] = l
	if n := q.levels.len(); n > manyLevels && n >= len(q.near) {
		q.near = make([]*level, max(4*manyLevels, 4*len(q.near)))
	}
	return l
}

// dropEmpty lets go of a level without tasks.
func (q *queue) dropEmpty(l *level) {
	if !l.empty() {
		return
	}
	l.front() // which ends the scopes' interest
	q.levels.remove(l)
	if l != q.recent {
		q.retire(l)
	}
	if q.levels.len() == 0 && cap(q.levels.items) > manyLevels {
		// A burst's memory is not kept at rest.
		if q.recent != nil {
			q.start = max(q.start, q.recent.tail)
		}
		q.levels.items, q.byPriority, q.near, q.recent = nil, nil, nil, nil
	}
}

// retire has a level that is empty used again, once the workers that took tasks
// of its first segment have told that these are empty.
func (q *queue) retire(l *level) {
	q.start = max(q.start, l.tail)
	delete(q.byPriority, l.priority)
	if len(q.near) > 0 {
		if p := q.nearLocation(l.priority); *p == l {
			*p = nil
		}
	}
	if l.first.gone = !l.first.used(); l.first.gone {
		return
	}
	q.reuse(l)
}

func (q *queue) reuse(l *level) {
	l.first.gone = false
	if s := q.spares(); len(s.levels) < mostSpare {
		l.segments, l.only[0] = nil, nil
		s.levels = append(s.levels, l)
	}
}

// keep has a full and large segment used again, likewise.
func (q *queue) keep(s *segment) {
	if s.n != mostSegment {
		return
	}
	if s.gone = !s.used(); s.gone {
		return
	}
	if sp := q.spares(); len(sp.segments) < mostSpare {
		sp.segments = append(sp.segments, s)
	}
}

// emptiedLocked is told of n more entries that were emptied.
func (q *queue) emptiedLocked(s *segment, n int) {
	s.emptied += n
	switch {
	case !s.gone || !s.used():
	case s == &s.l.first:
		q.reuse(s.l)
	default:
		q.keep(s)
	}
}

func (q *queue) spares() *spare {
	if q.spare == nil {
		q.spare = new(spare)
	}
	return q.spare
}

// spareSegment returns a segment of that size to be used again, or nil.
func (q *queue) spareSegment(size int) *segment {
	if q.spare == nil || size != mostSegment || len(q.spare.segments) == 0 {
		return nil
	}
	return pop(&q.spare.segments)
}

func pop[T any](s *[]*T) *T {
	last := len(*s) - 1
	x := (*s)[last]
	(*s)[last] = nil
	*s = (*s)[:last]
	return x
}

// A levelHeap has the levels with tasks, the highest priority on top. It is like
// indexed, but there may be as many levels as tasks, and they are apart in
// memory: so the priorities lie in the heap, and it is half as deep.
type levelHeap struct {
	items []levelItem
}

type levelItem struct {
	priority int
	l        *level
}

const levelChildren = 4

func (h *levelHeap) len() int { return len(h.items) }

// top returns the level of the highest priority, or nil.
func (h *levelHeap) top() *level {
	if len(h.items) == 0 {
		return nil
	}
	return h.items[0].l
}

func (h *levelHeap) push(l *level) {
	h.items = append(h.items, levelItem{l.priority, l})
	h.up(len(h.items) - 1)
}

func (h *levelHeap) remove(l *level) {
	i, last := int(l.pos)-1, len(h.items)-1
	l.pos = 0
	moved := h.items[last]
	h.items[last] = levelItem{}
	h.items = h.items[:last]
	if i < last {
		h.items[i] = moved
		h.up(i)
		h.down(int(moved.l.pos) - 1)
	}
}

func (h *levelHeap) up(i int) {
	x := h.items[i]
	for i > 0 {
		parent := (i - 1) / levelChildren
		if x.priority <= h.items[parent].priority {
			break
		}
		h.set(i, h.items[parent])
		i = parent
	}
	h.set(i, x)
}

func (h *levelHeap) down(i int) {
	x := h.items[i]
	for {
		child := levelChildren*i + 1
		if child >= len(h.items) {
			break
		}
		for c := child + 1; c < min(levelChildren*(i+1)+1, len(h.items)); c++ {
			if h.items[c].priority > h.items[child].priority {
				child = c
			}
		}
		if h.items[child].priority <= x.priority {
			break
		}
		h.set(i, h.items[child])
		i = child
	}
	h.set(i, x)
}

func (h *levelHeap) set(i int, x levelItem) {
	h.items[i] = x
	x.l.pos = int32(i) + 1
}
