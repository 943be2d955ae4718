package bench_test

import (
	"math"
	"slices"
	"testing"

	"github.com/antflow/antflow/bench"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{
		{[]float64{7}, 7},
		{[]float64{9, 1}, 5},
		{[]float64{3, 1, 2}, 2},
		{[]float64{100, 1, 3, 2}, 2.5},
	} {
		before := slices.Clone(c.values)
		if got := bench.Median(c.values); got != c.want {
			t.Errorf("Median(%v) = %v, want %v", c.values, got, c.want)
		}
		if !slices.Equal(c.values, before) {
			t.Errorf("Median changed %v to %v", before, c.values)
		}
	}
	if got := bench.Median(nil); !math.IsNaN(got) {
		t.Errorf("Median(nil) = %v", got)
	}
}

func TestSpread(t *testing.T) {
	if low, high := bench.Spread([]float64{3, 1, 2}); low != 1 || high != 3 {
		t.Errorf("Spread = %v, %v", low, high)
	}
	if low, high := bench.Spread(nil); !math.IsNaN(low) || !math.IsNaN(high) {
		t.Errorf("Spread(nil) = %v, %v", low, high)
	}
}

// A ratio compares what was measured in the same round: the median of the
// ratios isn't the ratio of the medians.
func TestRatios(t *testing.T) {
	got := bench.Ratios([]float64{10, 40, 90}, []float64{10, 10, 100})
	if want := []float64{1, 4, 0.9}; !slices.Equal(got, want) {
		t.Errorf("Ratios = %v, want %v", got, want)
	}
	if m := bench.Median(got); m != 1 {
		t.Errorf("the median ratio is %v, want 1", m)
	}
	if got := bench.Ratios([]float64{1, 2}, []float64{1}); len(got) != 1 {
		t.Errorf("Ratios of lists of different lengths = %v", got)
	}
}

func TestPercentile(t *testing.T) {
	sorted := make([]float64, 1000)
	for i := range sorted {
		sorted[i] = float64(i + 1)
	}
	for p, want := range map[float64]float64{0: 1, 0.5: 500, 0.99: 990, 0.999: 999, 1: 1000} {
		if got := bench.Percentile(sorted, p); got != want {
			t.Errorf("Percentile(%v) = %v, want %v", p, got, want)
		}
	}
	if got := bench.Percentile(nil, 0.5); !math.IsNaN(got) {
		t.Errorf("Percentile of nothing = %v", got)
	}
}

func TestGoals(t *testing.T) {
	for _, c := range []struct {
		goal         bench.Goal
		value, ratio float64
		met, judged  bool
		text         string
	}{
		{bench.Slower(4), 0, 4, true, true, "≥ 4x"},
		{bench.Slower(3.5), 0, 3.4, false, true, "≥ 3.5x"},
		{bench.Slower(1), 0, math.NaN(), false, true, "≥ 1x"},
		{bench.Within(1.3), 0, 1.3, true, true, "≤ 1.3x"},
		{bench.Within(1.3), 0, 1.4, false, true, "≤ 1.3x"},
		{bench.AtMost(100), 100, 9, true, true, "≤ 100"},
		{bench.AtMost(100), 101, 0, false, true, "≤ 100"},
		{bench.Note("the floor"), 1, 1, false, false, "the floor"},
		{bench.Goal{}, 1, 1, false, false, ""},
	} {
		met, judged := c.goal.Met(c.value, c.ratio)
		if met != c.met || judged != c.judged || c.goal.String() != c.text {
			t.Errorf("%q at %v, %v: met %v, judged %v", c.goal, c.value, c.ratio, met, judged)
		}
	}
}

// A goal may limit allocations as well.
func TestGoalWithAllocs(t *testing.T) {
	goal := bench.AtMost(100).WithAllocs(2)
	for _, c := range []struct {
		value, allocs float64
		met           bool
	}{
		{100, 2, true},
		{101, 2, false},
		{100, 2.01, false},
	} {
		l := &bench.Line{Unit: "ns", Values: []float64{c.value}, Allocs: []float64{c.allocs}, Goal: goal}
		if met, judged := l.Met(); met != c.met || !judged {
			t.Errorf("%v ns and %v allocations: met %v, judged %v", c.value, c.allocs, met, judged)
		}
	}
}
