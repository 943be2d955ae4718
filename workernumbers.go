package antflow

import "math/bits"

// workerNumbers gives each started task that is observed the lowest number that
// no other one has.
type workerNumbers struct {
	tasks  []*task  // by number
	vacant []uint64 // a bit for each number that was given back
	taken  int
}

func (n *workerNumbers) take(t *task) int32 {
	n.taken++
	for i, word := range n.vacant {
		if word != 0 {
			bit := bits.TrailingZeros64(word)
			n.vacant[i] = word &^ (1 << bit)
			n.tasks[64*i+bit] = t
			return int32(64*i + bit)
		}
	}
	n.tasks = append(n.tasks, t)
	return int32(len(n.tasks) - 1)
}

func (n *workerNumbers) free(number int) {
	n.tasks[number] = nil
	if n.taken--; n.taken == 0 {
		n.tasks, n.vacant = n.tasks[:0], n.vacant[:0] // the next take begins with 0
		if cap(n.tasks) > 1024 {
			n.tasks, n.vacant = nil, nil // a burst's memory is not kept
		}
		return
	}
	for len(n.vacant) <= number/64 {
		n.vacant = append(n.vacant, 0)
	}
	n.vacant[number/64] |= 1 << (number % 64)
}
