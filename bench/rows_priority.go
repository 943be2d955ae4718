package bench

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/antflow/antflow"
)

func priorities() Row {
	return Row{
		Name:  "priorities",
		Title: "Queue n tasks while all workers are busy, let them go and read the results. An operation is one task.",
		Floor: "With so many priorities the next task is hardly ever near the last one in memory, nor is what orders them; first " +
			"in, first out finds all of it in the caches.",
		Ops:      100_000,
		ShortOps: 2_000,
		Cases: []Case{
			{Contender: "first in, first out", Open: openPriorities(0)},
			{Contender: "Priority(0)", Goal: Note("reported"), Open: openPriorities(1)},
			{Contender: "8 priorities", Goal: Within(2), Open: openPriorities(8)},
			{Contender: "10,000 priorities", Goal: Within(2), Open: openPriorities(10_000)},
		},
	}
}

func priorityGrowth() Row {
	return Row{
		Name: "priorities-growth",
		Title: "The same for few and for many tasks in the queue. A task's time that grows with the logarithm of n " +
			"grows to 1.5x from 10,000 to 1,000,000, and up to 3x is allowed for caches.",
		Ops:       1_000_000,
		ShortOps:  2_000,
		MaxRounds: 3,
		Cases: []Case{
			{Contender: "first in, first out", Probe: probeGrowth(0, Goal{})},
			{Contender: "10,000 priorities", Probe: probeGrowth(10_000, AtMost(3))},
		},
	}
}

// occupy has all workers of the executor blocked when it returns, until the
// returned function is called.
func occupy(e *antflow.Executor) (release func()) {
	gate := make(chan struct{})
	var started sync.WaitGroup
	for range e.MaxWorkers() {
		started.Add(1)
		e.Go(context.Background(), func(context.Context) error {
			started.Done()
			<-gate
			return nil
		})
	}
	started.Wait()
	return func() { close(gate) }
}

// openPriorities submits with as many priorities, in no order; 0 is without
// the option.
func openPriorities(levels int) func(func()) Runner {
	return func(func()) Runner {
		e := antflow.New(Workers)
		return Runner{
			Run:   func(n int) error { return drain(e, n, levels) },
			Close: func() { e.Close() },
		}
	}
}

func drain(e *antflow.Executor, n, levels int) error {
	ctx := context.Background()
	futures := make([]*antflow.Future[int], n)
	release := occupy(e)
	for i := range n {
		fn := func(context.Context) (int, error) { return i, nil }
		if levels == 0 {
			futures[i] = antflow.Submit(ctx, e, fn)
		} else {
			futures[i] = antflow.Submit(ctx, e, fn, antflow.Priority(i*7919%levels))
		}
	}
	release()
	return sumResults(ctx, futures)
}

// sumResults waits for tasks that return 0, 1, and so on.
func sumResults(ctx context.Context, futures []*antflow.Future[int]) error {
	var sum int64
	for _, f := range futures {
		v, err := f.Result(ctx)
		if err != nil {
			return err
		}
		sum += int64(v)
	}
	return check(sum, sumBelow(len(futures)))
}

// probeGrowth compares n tasks with a hundredth of them.
func probeGrowth(levels int, goal Goal) func(n int) ([]Value, error) {
	return func(n int) ([]Value, error) {
		e := antflow.New(Workers)
		defer e.Close()
		few := max(n/100, 1)
		timeEach := func(n, times int) (float64, error) {
			start := time.Now()
			for range times {
				if err := drain(e, n, levels); err != nil {
					return 0, err
				}
			}
			return float64(time.Since(start)) / float64(n*times), nil
		}
		small, err := timeEach(few, 20)
		if err != nil {
			return nil, err
		}
		large, err := timeEach(n, 1)
		return []Value{
			{Name: fmt.Sprintf("each of %d", few), Unit: "ns", X: small},
			{Name: fmt.Sprintf("each of %d", n), Unit: "ns", X: large},
			{Name: "growth", Unit: "x", X: large / small, Goal: goal},
		}, err
	}
}
