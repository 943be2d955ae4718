package bench

import (
	"math"
	"sync"
	"time"
)

// spin does the work of a number of turns. It is counted and not timed, so a
// goroutine that is interrupted has no less to do. The result is never 0.
func spin(turns int) (x uint32) {
	x = 2463534242
	for range turns {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
	}
	return x
}

// turnsPerMicrosecond is what one core does when it isn't disturbed: the best
// of several tries.
var turnsPerMicrosecond = sync.OnceValue(func() float64 {
	const turns = 200_000
	best := math.Inf(1)
	for range 50 {
		start := time.Now()
		spun = spin(turns)
		best = min(best, time.Since(start).Seconds()*1e6)
	}
	return turns / best
})

// spun keeps the calibration from being optimized away.
var spun uint32

// spinFor returns the number of turns that take as long.
func spinFor(d time.Duration) int {
	return int(turnsPerMicrosecond() * float64(d) / float64(time.Microsecond))
}
