package bench

import (
	"math"
	"runtime"
	"sync"
	"time"
)

// spin computes for a number of turns. They are counted and not timed, so a
// goroutine that is interrupted has no less to do.
func spin(turns int) {
	x := uint32(2463534242)
	for range turns {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
	}
	if x == 0 { // never, but the compiler doesn't know
		panic("spin came to a standstill")
	}
}

// turnsPerMicrosecond is what one core does when it isn't disturbed: the best
// of several tries.
var turnsPerMicrosecond = sync.OnceValue(func() float64 {
	const turns = 200_000
	best := math.Inf(1)
	for range 50 {
		start := time.Now()
		spin(turns)
		best = min(best, time.Since(start).Seconds()*1e6)
	}
	return turns / best
})

// spinFor returns the number of turns that take as long.
func spinFor(d time.Duration) int {
	return int(turnsPerMicrosecond() * float64(d) / float64(time.Microsecond))
}

// freeCores returns how many cores goroutines that compute get just now. It is
// less than GOMAXPROCS when something else keeps the machine busy, and figures
// measured then don't count.
func freeCores() float64 {
	const each = 5 * time.Millisecond
	turns, cores := spinFor(each), runtime.GOMAXPROCS(0)
	var wg sync.WaitGroup
	start := time.Now()
	for range cores {
		wg.Go(func() { spin(turns) })
	}
	wg.Wait()
	return float64(cores) * float64(each) / float64(time.Since(start))
}
