package pipeline

// A queue is a list of items by priority, and among equals in the order in
// which they came.
type queue struct {
	levels []level // higher priorities first; none is empty but a single one
	n      int
}

type level struct {
	prio int
	list
}

func (q *queue) push(it *item) {
	it.q = q
	q.level(it.prio).append(it)
	q.n++
}

// pushFront puts an item before all others of its priority.
func (q *queue) pushFront(it *item) {
	it.q = q
	q.level(it.prio).prepend(it)
	q.n++
}

// level returns the level of prio, which it makes if there is none.
func (q *queue) level(prio int) *level {
	if len(q.levels) == 1 && q.levels[0].prio == prio {
		return &q.levels[0]
	}
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
	l.remove(it)
	it.q = nil
	q.n--
	if l.head == nil && len(q.levels) > 1 {
		q.levels = append(q.levels[:i], q.levels[i+1:]...)
	}
}

// A list is a queue without priorities.
type list struct {
	head, tail *item
	n          int
}

func (l *list) append(it *item) {
	it.qprev, it.qnext = l.tail, nil
	if l.tail == nil {
		l.head = it
	} else {
		l.tail.qnext = it
	}
	l.tail = it
	l.n++
}

func (l *list) prepend(it *item) {
	it.qprev, it.qnext = nil, l.head
	if l.head == nil {
		l.tail = it
	} else {
		l.head.qprev = it
	}
	l.head = it
	l.n++
}

func (l *list) remove(it *item) {
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
	it.qprev, it.qnext = nil, nil
	l.n--
}
