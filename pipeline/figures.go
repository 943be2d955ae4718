package pipeline

import "time"

// figures count what happens in a pool. Each item that entered is in one of the
// other counts, or still there.
type figures struct {
	entered, done, failed, skipped, canceled, retried uint64

	quick  int    // timed visits in a row that took next to no time
	trust  int    // the same, of those that took some time
	needed int    // so much of that, for loads
	still  bool   // no time will do, too
	recent int64  // ns, the time of a call, smoothed
	since  uint64 // visits that have ended since the last timed one
	sample uint64
	timed  uint64
	queued int64 // ns, of the timed visits
	worked int64
	rate   rate
}

// A stage whose calls take less than quickCall is timed in samples: reading the
// clock would be most of its work.
const (
	quickCall  = 2000 // ns
	quickCalls = 16   // in a row, until that is believed
	sampleRate = 16   // one of so many
	tinyCall   = 250  // ns; to such a stage the run's own work adds more than that, under its lock
)

// samples reports whether the next visit is to be timed.
func (f *figures) samples() bool {
	if f.quick < quickCalls {
		return true
	}
	f.sample++
	return f.sample%sampleRate == 0
}

// left counts a visit that is over; now is 0 where the clock was not read.
func (f *figures) left(v *visit, now int64) {
	f.since++
	if v.worked >= 0 && now != 0 {
		f.time(v, now)
	}
}

func (f *figures) time(v *visit, now int64) {
	f.timed++
	f.queued += max(v.queued, 0)
	f.worked += v.worked
	f.rate.add(now, f.since)
	f.since = 0
	f.recent += (v.worked - f.recent) / 8
	if v.worked >= quickCall {
		f.quick, f.trust = 0, 0
		return
	}
	f.quick++
	if v.worked > 0 || f.still { // a clock that stands still says nothing
		f.trust++
	}
}

// mean is the mean of a sum over the timed visits.
func (f *figures) mean(sum int64) time.Duration {
	if f.timed == 0 {
		return 0
	}
	return time.Duration(sum / int64(f.timed))
}

// A rate counts by the second.
type rate struct {
	counts [rateSeconds]uint64
	last   int64 // the second that was counted last
}

const rateSeconds = 8

func (r *rate) add(now int64, n uint64) {
	r.turn(now)
	r.counts[r.last%rateSeconds] += n
}

// turn forgets what is too old.
func (r *rate) turn(now int64) {
	second := now / int64(time.Second)
	for ; r.last < second; r.last++ {
		if second-r.last > rateSeconds {
			r.last = second - rateSeconds
		}
		r.counts[(r.last+1)%rateSeconds] = 0
	}
}

// perSecond is the rate over the last seconds, the present one in part.
func (r *rate) perSecond(now int64) float64 {
	r.turn(now)
	sum := uint64(0)
	for _, n := range r.counts {
		sum += n
	}
	span := min(now, int64(rateSeconds-1)*int64(time.Second)+now%int64(time.Second))
	if span <= 0 {
		return 0
	}
	return float64(sum) / (float64(span) / float64(time.Second))
}
