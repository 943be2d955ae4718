package antflow

import (
	"iter"
	"math"
	"math/bits"
	"time"
)

// Latency is a distribution of durations, as of a [Snapshot]. It knows each of
// them to within a quarter, above 128 nanoseconds and up to five hours, in little
// memory. The zero value is an empty one. A Latency doesn't change; its methods
// don't block and are safe for concurrent use.
type Latency struct{ h *histogram }

// Count is how many durations there are.
func (l Latency) Count() uint64 {
	if l.h == nil {
		return 0
	}
	return l.h.count
}

// Total is the sum of the durations.
func (l Latency) Total() time.Duration {
	if l.h == nil {
		return 0
	}
	return l.h.total
}

// Mean is the mean of the durations; 0 when there is none.
func (l Latency) Mean() time.Duration {
	if l.Count() == 0 {
		return 0
	}
	return l.h.total / time.Duration(l.h.count)
}

// Max is the longest duration; 0 when there is none. After [Latency.Since] it
// is known to within a quarter, too.
func (l Latency) Max() time.Duration {
	if l.h == nil {
		return 0
	}
	return l.h.longest
}

// Quantile is the duration that a fraction q of all are at most as long as: the
// median for 0.5, p99 for 0.99. It is exact to within a quarter; 0 when there is
// no duration. A q outside of 0 to 1 panics.
func (l Latency) Quantile(q float64) time.Duration {
	must(q >= 0 && q <= 1, "Latency.Quantile(%v): the fraction must be between 0 and 1", q)
	if l.Count() == 0 {
		return 0
	}
	rank := q * float64(l.h.count)
	below := 0.0
	for i, n := range l.h.counts {
		if n == 0 || below+float64(n) < rank {
			below += float64(n)
			continue
		}
		lo, hi := bucketBound(i-1), min(bucketBound(i), l.h.longest)
		if i == buckets-1 {
			hi = l.h.longest
		}
		return lo + time.Duration((rank-below)/float64(n)*float64(max(hi-lo, 0)))
	}
	return l.h.longest
}

// Since is what has been added to l since it was the earlier one: the
// distribution of an interval, of two snapshots of one executor. It is empty where
// the earlier one has more.
func (l Latency) Since(earlier Latency) Latency {
	if l.h == nil || earlier.h == nil {
		return l
	}
	if l.h.count < earlier.h.count { // they are the wrong way round, or of two executors
		return Latency{}
	}
	d := &histogram{count: l.h.count - earlier.h.count, total: l.h.total - earlier.h.total}
	for i, n := range l.h.counts {
		if d.counts[i] = n - earlier.h.counts[i]; d.counts[i] > 0 {
			d.longest = min(bucketBound(i), l.h.longest)
		}
	}
	if d.counts[buckets-1] > 0 {
		d.longest = l.h.longest
	}
	return Latency{d}
}

// AtMost is how many of the durations are known to be no longer than d, which
// may be a few less than there are. It never gets less as durations are added, so
// it is what a histogram with other bounds is made of. Those of more than five
// hours are known to be no longer than [math.MaxInt64].
func (l Latency) AtMost(d time.Duration) uint64 {
	if l.h == nil || d < 0 {
		return 0
	}
	if d == math.MaxInt64 {
		return l.h.count
	}
	var n uint64
	for i := 0; i < buckets-1 && bucketBound(i) <= d; i++ {
		n += l.h.counts[i]
	}
	return n
}

// All yields the bounds and counts of the distribution, of what is not empty:
// so many are at most as long as the bound, and longer than the one before.
func (l Latency) All() iter.Seq2[time.Duration, uint64] {
	return func(yield func(time.Duration, uint64) bool) {
		if l.h == nil {
			return
		}
		for i, n := range l.h.counts {
			bound := bucketBound(i)
			if i == buckets-1 {
				bound = l.h.longest
			}
			if n > 0 && !yield(bound, n) {
				return
			}
		}
	}
}

// A histogram counts durations in four buckets for each power of two: the first
// has all up to 2^7 nanoseconds, the last all above 2^44.
type histogram struct {
	count   uint64
	total   time.Duration
	longest time.Duration
	counts  [buckets]uint64
}

const (
	leastBits = 7
	mostBits  = 44
	buckets   = 4*(mostBits-leastBits) + 2
)

// bucketOf is the index of the bucket that has d.
func bucketOf(d time.Duration) int {
	if d <= 1<<leastBits {
		return 0
	}
	v := uint64(d) - 1
	n := bits.Len64(v) // 2^(n-1) <= v < 2^n
	if n > mostBits {
		return buckets - 1
	}
	return 4*(n-1-leastBits) + int(v>>(n-3)&3) + 1
}

// bucketBound is the longest duration of a bucket but the last, 0 before the
// first.
func bucketBound(i int) time.Duration {
	if i < 0 {
		return 0
	}
	octave, quarter := i/4, i%4
	return time.Duration(4+quarter) << (octave + leastBits - 2)
}

func (h *histogram) add(d time.Duration) {
	d = max(d, 0)
	h.count++
	h.total += d
	h.longest = max(h.longest, d)
	h.counts[bucketOf(d)]++
}

// merge adds what o has.
func (h *histogram) merge(o *histogram) {
	h.count += o.count
	h.total += o.total
	h.longest = max(h.longest, o.longest)
	for i, n := range o.counts {
		h.counts[i] += n
	}
}

// latency is a copy of h.
func (h *histogram) latency() Latency {
	c := *h
	return Latency{&c}
}
