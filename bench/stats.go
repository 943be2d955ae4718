package bench

import (
	"math"
	"slices"
)

// Median returns the middle of the values, the mean of the middle two where
// there are two, and NaN of none.
func Median(values []float64) float64 {
	n := len(values)
	if n == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// Spread returns the least and the greatest of the values, NaN of none.
func Spread(values []float64) (low, high float64) {
	if len(values) == 0 {
		return math.NaN(), math.NaN()
	}
	return slices.Min(values), slices.Max(values)
}

// Ratios returns values[i] / base[i], which pairs what was measured in the
// same round. Rounds that only one of them has are left out.
func Ratios(values, base []float64) []float64 {
	n := min(len(values), len(base))
	ratios := make([]float64, n)
	for i := range ratios {
		ratios[i] = values[i] / base[i]
	}
	return ratios
}

// Percentile returns the least of the sorted values that at least the share p,
// from 0 to 1, of them doesn't exceed.
func Percentile(sorted []float64, p float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	i := int(math.Ceil(p*float64(len(sorted)))) - 1
	return sorted[min(max(i, 0), len(sorted)-1)]
}
