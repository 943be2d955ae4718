package antflow

// A taskList is a first-in first-out list through extra.next and extra.prev.
// Any member is removed in constant time, so a canceled task leaves nothing
// behind.
type taskList struct {
	front, back *task
}

func (l *taskList) pushBack(t *task) {
	x := t.extra()
	x.prev = l.back
	if l.back != nil {
		l.back.x.next = t
	} else {
		l.front = t
	}
	l.back = t
}

func (l *taskList) remove(t *task) {
	x := t.x
	if x.prev != nil {
		x.prev.x.next = x.next
	} else {
		l.front = x.next
	}
	if x.next != nil {
		x.next.x.prev = x.prev
	} else {
		l.back = x.prev
	}
	x.prev, x.next = nil, nil
}

// An indexed is a binary heap whose members know their place, for removal
// from anywhere. The place that pos points to is 0 outside of the heap.
type indexed[T any] struct {
	items  []T
	before func(a, b T) bool
	pos    func(T) *int32
}

func (h *indexed[T]) len() int { return len(h.items) }

// top returns the first member, or the zero value.
func (h *indexed[T]) top() (first T) {
	if len(h.items) > 0 {
		first = h.items[0]
	}
	return first
}

func (h *indexed[T]) push(x T) {
	h.items = append(h.items, x)
	h.up(len(h.items) - 1)
}

func (h *indexed[T]) remove(x T) {
	i, last := int(*h.pos(x))-1, len(h.items)-1
	*h.pos(x) = 0
	moved := h.items[last]
	var zero T
	h.items[last] = zero
	h.items = h.items[:last]
	if last == 0 && cap(h.items) > 64 {
		h.items = nil // a burst's memory is not kept at rest
	}
	if i == last {
		return
	}
	h.items[i] = moved
	h.up(i)
	h.down(int(*h.pos(moved)) - 1)
}

func (h *indexed[T]) up(i int) {
	x := h.items[i]
	for i > 0 {
		parent := (i - 1) / 2
		if !h.before(x, h.items[parent]) {
			break
		}
		h.set(i, h.items[parent])
		i = parent
	}
	h.set(i, x)
}

func (h *indexed[T]) down(i int) {
	x := h.items[i]
	for {
		child := 2*i + 1
		if child >= len(h.items) {
			break
		}
		if r := child + 1; r < len(h.items) && h.before(h.items[r], h.items[child]) {
			child = r
		}
		if !h.before(h.items[child], x) {
			break
		}
		h.set(i, h.items[child])
		i = child
	}
	h.set(i, x)
}

func (h *indexed[T]) set(i int, x T) {
	h.items[i] = x
	*h.pos(x) = int32(i) + 1
}

// taskHeap is a heap in start order, in the tasks' one position for it.
func taskHeap() indexed[*task] {
	return indexed[*task]{before: startsBefore, pos: func(t *task) *int32 { return &t.extra().pos }}
}
