package antflow

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// Each duration is in the bucket whose bound is the first that it does not
// exceed, and the bounds are no farther apart than a quarter.
func TestLatencyBuckets(t *testing.T) {
	for i := range buckets - 1 {
		bound := bucketBound(i)
		if got := bucketOf(bound); got != i {
			t.Fatalf("bucketOf(%d) is %d and not %d", bound, got, i)
		}
		if got := bucketOf(bound + 1); got != i+1 {
			t.Fatalf("bucketOf(%d) is %d and not %d", bound+1, got, i+1)
		}
		if i > 0 && float64(bound) > 1.25*float64(bucketBound(i-1)) {
			t.Fatalf("bounds %d and %d are far apart", bucketBound(i-1), bound)
		}
	}
	for _, d := range []time.Duration{-1, 0, 1, 128} {
		if got := bucketOf(d); got != 0 {
			t.Errorf("bucketOf(%d) is %d", d, got)
		}
	}
	if got := bucketOf(math.MaxInt64); got != buckets-1 {
		t.Errorf("bucketOf(MaxInt64) is %d of %d", got, buckets)
	}
}

// Quantiles are those of a sorted slice, within the promised error.
func TestLatencyQuantiles(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		var h histogram
		var all []time.Duration
		for range 1 + rng.IntN(2000) {
			d := time.Duration(math.Exp(rng.Float64() * 27)) // up to 9 minutes
			h.add(d)
			all = append(all, d)
		}
		slices.Sort(all)
		l := h.latency()
		for _, q := range []float64{0, 0.01, 0.5, 0.95, 0.99, 1} {
			at := min(max(int(math.Ceil(q*float64(len(all))))-1, 0), len(all)-1)
			want, got := all[at], l.Quantile(q)
			if want <= 128 {
				continue // too short to tell
			}
			if e := math.Abs(float64(got-want)) / float64(want); e > 0.25 {
				t.Fatalf("quantile %v of %d: %v, want %v", q, len(all), got, want)
			}
		}
		if l.Max() != all[len(all)-1] || l.Count() != uint64(len(all)) {
			t.Fatalf("max %v, count %d", l.Max(), l.Count())
		}
	}
}

// The difference of two distributions is the one of what came between.
func TestLatencySince(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var h, between histogram
	for range 500 {
		h.add(time.Duration(rng.Int64N(int64(time.Second))))
	}
	earlier := h.latency()
	for range 300 {
		d := time.Duration(rng.Int64N(int64(time.Millisecond)))
		h.add(d)
		between.add(d)
	}
	got, want := h.latency().Since(earlier), between.latency()
	if got.Count() != want.Count() || got.Mean() != want.Mean() || got.h.counts != want.h.counts {
		t.Errorf("%+v\n%+v", got.h, want.h)
	}
	if got.Max() < want.Max() || float64(got.Max()) > 1.25*float64(want.Max()) {
		t.Errorf("the longest is %v of %v", got.Max(), want.Max())
	}
	if h.latency().Since(Latency{}).Count() != 800 || (Latency{}).Since(Latency{}).Count() != 0 {
		t.Error("a difference to nothing is not everything")
	}
	var n uint64
	last := time.Duration(-1)
	for bound, count := range got.All() {
		if n += count; bound <= last || got.AtMost(bound) != n || got.AtMost(bound-1) >= n {
			t.Fatalf("bound %v after %v, %d and %d", bound, last, n, got.AtMost(bound))
		}
		last = bound
	}
	if n != 300 {
		t.Errorf("All has %d of 300", n)
	}
}

// An empty distribution has no figure but 0.
func TestLatencyOfNothing(t *testing.T) {
	var l Latency
	if l.Count() != 0 || l.Mean() != 0 || l.Max() != 0 || l.Total() != 0 || l.Quantile(0.5) != 0 || l.AtMost(time.Hour) != 0 {
		t.Error("the zero Latency is not empty")
	}
	for range l.All() {
		t.Error("it has something")
	}
}

// Counts up to a bound never shrink, and those of a wrong interval are none.
func TestLatencyOnlyGrows(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	bounds := []time.Duration{0, 100, time.Microsecond, 5 * time.Millisecond, time.Hour, 6 * time.Hour, math.MaxInt64}
	var h histogram
	last := make([]uint64, len(bounds))
	for range 2000 {
		h.add(time.Duration(math.Exp(rng.Float64() * 32)))
		l := h.latency()
		for i, bound := range bounds {
			n := l.AtMost(bound)
			if n < last[i] {
				t.Fatalf("%d of at most %v after %d", n, bound, last[i])
			}
			last[i] = n
		}
	}
	if last[len(last)-1] != 2000 {
		t.Errorf("%v", last)
	}
	if l := (&histogram{}).latency().Since(h.latency()); l.Count() != 0 {
		t.Errorf("%d durations of a reversed interval", l.Count())
	}
}
