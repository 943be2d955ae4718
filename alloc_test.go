package antflow_test

import (
	"context"
	"testing"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/testkit"
)

// Allocations in the long run: for each task of a group or a map far less than
// one, since its context shares an allocation with others and all else is used
// again.
func TestLightTasksAllocateLittle(t *testing.T) {
	testkit.NoLeak(t)
	e := antflow.New(1)
	defer e.Close()
	const n = 10_000
	ctx := context.Background()
	inputs := func(yield func(int) bool) {
		for i := range n {
			if !yield(i) {
				return
			}
		}
	}
	double := func(_ context.Context, x int) (int, error) { return 2 * x, nil }
	for name, run := range map[string]func(){
		"Group": func() {
			g := antflow.NewGroup(ctx, e)
			fn := func(context.Context) error { return nil }
			for range n {
				g.Go(fn)
			}
			g.Wait()
		},
		"Map": func() {
			for range antflow.Map(ctx, e, inputs, double) {
			}
		},
		"MapSlice": func() { antflow.MapSlice(ctx, e, make([]int, n), double) },
		"ForEach":  func() { antflow.ForEach(ctx, e, inputs, func(context.Context, int) error { return nil }) },
	} {
		if each := testing.AllocsPerRun(5, run) / n; each > 0.2 {
			t.Errorf("%s: %.2f allocations for each task", name, each)
		}
	}
}
