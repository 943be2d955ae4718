package clusterbench

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/antflow/antflow/bench"
	"github.com/antflow/antflow/cluster"
)

// A program's memory is what was alive in its heap, at each look.
type program struct {
	name string
	look func() (float64, error)
	seen []float64
}

// probeMemory looks a hundred times while n tasks go through.
func probeMemory(n int) ([]bench.Value, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*stuckAfter)
	defer cancel()
	p, err := openProcesses()
	if err != nil {
		return nil, err
	}
	defer p.close()
	client, err := cluster.Connect(ctx, p.url)
	if err != nil {
		return nil, err
	}
	defer client.Detach()
	programs := []*program{
		{name: "submitter", look: func() (float64, error) { return float64(alive()), nil }},
		{name: "worker", look: p.worker.alive},
		{name: "broker", look: p.broker.alive},
	}
	begin := time.Now()
	if err := mapAll(ctx, client, n, programs); err != nil {
		return nil, err
	}
	took := time.Since(begin)
	const mib = 1 << 20
	var values []bench.Value
	for _, p := range programs {
		tenth := (len(p.seen) + 9) / 10
		first, last := bench.Median(p.seen[:tenth]), bench.Median(p.seen[len(p.seen)-tenth:])
		goal := bench.AtMost(1)
		if p.name == "broker" {
			goal = bench.Goal{}
		}
		values = append(values,
			bench.Value{Name: p.name + ", first tenth", Unit: "MiB", X: first / mib},
			bench.Value{Name: p.name + ", last tenth", Unit: "MiB", X: last / mib},
			bench.Value{Name: p.name + ", growth", Unit: "MiB", X: (last - first) / mib, Goal: goal},
			bench.Value{Name: p.name + ", the most", Unit: "MiB", X: slices.Max(p.seen) / mib},
		)
	}
	return append(values, bench.Value{Name: "tasks in a second, looks included", X: float64(n) / took.Seconds()}), nil
}

// mapAll maps the first n numbers and looks at the programs meanwhile.
func mapAll(ctx context.Context, client *cluster.Client, n int, programs []*program) error {
	inputs := func(yield func(int) bool) {
		for i := 0; i < n && yield(i); i++ {
		}
	}
	const looks = 100
	done := 0
	for v, err := range double.Map(ctx, client, inputs) {
		if err != nil {
			return err
		}
		if v != 2*done {
			return fmt.Errorf("wrong result: got %d of task %d", v, done)
		}
		if done++; done%max(n/looks, 1) != 0 {
			continue
		}
		for _, p := range programs {
			bytes, err := p.look()
			if err != nil {
				return fmt.Errorf("the %s: %w", p.name, err)
			}
			p.seen = append(p.seen, bytes)
		}
	}
	if done != n {
		return fmt.Errorf("%d results of %d tasks", done, n)
	}
	return nil
}
