package bench_test

import (
	"strings"
	"testing"

	"github.com/antflow/antflow/bench"
)

func nothing() {}

// BenchmarkRows has a benchmark for each contender in each row, the heavy rows
// aside. What is timed runs b.N operations; a probe is done b.N times at its
// short size.
func BenchmarkRows(b *testing.B) {
	for _, row := range bench.Rows() {
		if row.Heavy {
			continue
		}
		b.Run(row.Name, func(b *testing.B) {
			for _, c := range row.Cases {
				b.Run(strings.ReplaceAll(c.Contender, " ", "_"), func(b *testing.B) {
					if c.Probe != nil {
						benchmarkProbe(b, c, row.ShortOps)
						return
					}
					benchmarkRun(b, c)
				})
			}
		})
	}
}

func benchmarkRun(b *testing.B, c bench.Case) {
	runner := c.Open(nothing)
	defer runner.Close()
	b.ReportAllocs()
	b.ResetTimer()
	if err := runner.Run(b.N); err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
}

// benchmarkProbe reports the findings of the last probe.
func benchmarkProbe(b *testing.B, c bench.Case, size int) {
	var values []bench.Value
	for range b.N {
		var err error
		if values, err = c.Probe(size); err != nil {
			b.Fatal(err)
		}
	}
	for _, v := range values {
		unit := strings.TrimSpace(v.Unit + " " + v.Name)
		b.ReportMetric(v.X, strings.ReplaceAll(unit, " ", "_"))
	}
}
