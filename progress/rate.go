package progress

import (
	"math"
	"time"
)

// A rate is how many are done in a second, smoothed: what was long ago counts
// less. Its window is wide enough for some of them, so that slow tasks don't
// make it jump.
type rate struct {
	start, last time.Time
	done        uint64
	sum, span   float64 // what was done in so many seconds, both decayed
}

const (
	rateWindow = 10.0 // seconds at least
	rateEvents = 20.0 // in the window, on average
)

// add takes note of how many are done in all.
func (r *rate) add(now time.Time, done uint64) {
	if r.start.IsZero() || done < r.done { // the first call, or of another run
		*r = rate{start: now, last: now, done: done}
		return
	}
	passed := now.Sub(r.last).Seconds()
	if passed <= 0 {
		return
	}
	window := max(rateWindow, rateEvents*now.Sub(r.start).Seconds()/float64(max(done, 1)))
	// As if they had been done evenly in the time that has passed. With both sums
	// decayed the same way the quotient is right from the first one on.
	decay := math.Exp(-passed / window)
	weight := window * (1 - decay)
	r.sum = r.sum*decay + float64(done-r.done)/passed*weight
	r.span = r.span*decay + weight
	r.last, r.done = now, done
}

// perSecond is 0 as long as nothing is known.
func (r *rate) perSecond() float64 {
	if r.span == 0 {
		return 0
	}
	return r.sum / r.span
}

// eta is how long n more will take; false where that can't be told.
func (r *rate) eta(n uint64) (time.Duration, bool) {
	per := r.perSecond()
	if n == 0 || per <= 0 {
		return 0, false
	}
	return time.Duration(min(float64(n)/per*float64(time.Second), math.MaxInt64/2)), true
}

// A growth tells whether a figure has stopped growing: some of it has ended, and
// it has not grown in the two seconds after that, nor for much longer than it ever
// paused before. So the submissions of a map, which come one by one as its results
// are taken, don't pass for all that there will be.
type growth struct {
	figure uint64
	last   time.Time     // when it grew
	pause  time.Duration // the longest
	done   uint64        // how many had ended then
	ended  time.Time     // when more had; zero: not yet
}

const (
	stillFor    = 2 * time.Second
	stillPauses = 4
)

// over takes note of the figure and of how many of them have ended, and reports
// whether there will be no more.
func (g *growth) over(now time.Time, figure, done uint64) bool {
	if figure != g.figure || g.last.IsZero() {
		if g.figure > 0 {
			g.pause = max(g.pause, now.Sub(g.last))
		}
		g.figure, g.last, g.done, g.ended = figure, now, done, time.Time{}
		return false
	}
	if g.ended.IsZero() && done > g.done {
		g.ended = now
	}
	return !g.ended.IsZero() && now.Sub(g.ended) >= stillFor && now.Sub(g.last) >= stillPauses*g.pause
}
