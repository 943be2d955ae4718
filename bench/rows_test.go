package bench_test

import (
	"testing"

	"github.com/antflow/antflow/bench"
)

// Every contender computes the right result, whether n fills its batches or
// not.
func TestResults(t *testing.T) {
	for _, row := range bench.Rows() {
		for _, c := range row.Cases {
			if c.Open == nil {
				continue
			}
			t.Run(row.Name+"/"+c.Contender, func(t *testing.T) {
				for _, n := range []int{1, 7, min(1003, row.ShortOps)} {
					if err := bench.Verify(row, c, n); err != nil {
						t.Errorf("n = %d: %v", n, err)
					}
				}
			})
		}
	}
}

// A contender that leaves tasks out, or returns something else, is found out.
func TestCheatsAreFound(t *testing.T) {
	row := bench.Row{Name: "r", Counts: true}
	lazy := bench.Case{Contender: "lazy", Open: func(task func()) bench.Runner {
		return bench.Runner{Run: func(int) error { task(); return nil }, Close: nothing}
	}}
	if err := bench.Verify(row, lazy, 2); err == nil {
		t.Error("one task instead of two was accepted")
	}
	if err := bench.Verify(row, lazy, 1); err != nil {
		t.Error(err)
	}
}

// The table is complete: each row has a name of its own, a base and sizes.
func TestRows(t *testing.T) {
	names := make(map[string]bool)
	for _, row := range bench.Rows() {
		if names[row.Name] {
			t.Errorf("two rows are named %q", row.Name)
		}
		names[row.Name] = true
		if row.Title == "" || row.Ops < row.ShortOps || row.ShortOps < 1 || len(row.Cases) == 0 {
			t.Errorf("%s: incomplete: %+v", row.Name, row)
		}
		contenders := make(map[string]bool)
		for _, c := range row.Cases {
			if contenders[c.Contender] {
				t.Errorf("%s: two contenders are named %q", row.Name, c.Contender)
			}
			contenders[c.Contender] = true
			if (c.Open == nil) == (c.Probe == nil) || (c.Probe == nil) != (row.Cases[0].Probe == nil) {
				t.Errorf("%s, %s: either each case is timed or each one probes", row.Name, c.Contender)
			}
		}
	}
}
