package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/pipeline"
)

func ExampleWorkers() {
	ctx := context.Background()
	e := antflow.New(8)
	defer e.Close()

	// The executor has eight workers, but the database takes three queries at
	// a time.
	var queries, excess atomic.Int64
	query := pipeline.Stage("query", func(ctx context.Context, id int) (int, error) {
		if queries.Add(1) > 3 {
			excess.Add(1)
		}
		queries.Add(-1)
		return id, nil
	}, pipeline.Workers(3))
	n := 0
	for range query.Run(ctx, e, slices.Values(make([]int, 50))) {
		n++
	}
	fmt.Println(n, "queries,", excess.Load(), "beyond the limit")
	// Output: 50 queries, 0 beyond the limit
}

func ExampleBuffer() {
	ctx := context.Background()
	e := antflow.New(1)
	defer e.Close()

	var pulled atomic.Int64
	numbers := func(yield func(int) bool) {
		for n := range 100 {
			pulled.Add(1)
			if !yield(n) {
				return
			}
		}
	}
	var m pipeline.Monitor
	slow := pipeline.Stage("slow", func(ctx context.Context, n int) (int, error) {
		if n == 0 {
			for m.Snapshot().Stages[0].Waiting < 2 {
				time.Sleep(time.Millisecond) // by the real clock: an example has no other
			}
			fmt.Println("one is worked on, two wait, and", pulled.Load(), "have been pulled")
		}
		return n, nil
	}, pipeline.Workers(1), pipeline.Buffer(2))
	for range slow.Run(ctx, e, numbers, pipeline.WithMonitor(&m)) {
	}
	fmt.Println(pulled.Load(), "in the end")
	// Output:
	// one is worked on, two wait, and 3 have been pulled
	// 100 in the end
}

func ExamplePipeline_Workers() {
	nop := func(_ context.Context, n int) (int, error) { return n, nil }
	p := pipeline.Then(
		pipeline.Stage("fetch", nop, pipeline.Workers(10)),
		pipeline.Stage("save", nop, pipeline.Workers(2)))

	e := antflow.New(p.Workers()) // so no stage has to wait for another one's worker
	defer e.Close()
	fmt.Println(e.MaxWorkers())
	// Output: 12
}

func ExampleWindow() {
	ctx := context.Background()
	e := antflow.New(8)
	defer e.Close()

	var pulled atomic.Int64
	numbers := func(yield func(int) bool) {
		for n := 0; n < 100 && yield(n); n++ {
			pulled.Add(1) // it is asked for another one
		}
	}
	work := pipeline.Stage("work", func(_ context.Context, n int) (int, error) { return n, nil }, pipeline.Workers(8))
	excess := false
	for n := range work.Run(ctx, e, numbers, pipeline.Window(3)) {
		// All before n have been yielded, so those from n on are in the run.
		excess = excess || pulled.Load()-int64(n) > 3
	}
	fmt.Println("more than three in the run:", excess)
	// Output: more than three in the run: false
}

func ExampleMonitor_Resize() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()

	// These two can only finish together, which takes two workers.
	baton := make(chan string)
	relay := pipeline.Stage("relay", func(_ context.Context, runner string) (string, error) {
		if runner == "first" {
			baton <- "baton"
			return "gave it", nil
		}
		return "took the " + <-baton, nil
	}, pipeline.Buffer(5))
	run := relay.Start(ctx, e)
	first, second := run.Feed(ctx, "first"), run.Feed(ctx, "second")
	run.Resize("relay", 2)
	fmt.Println(first.Result(ctx))
	fmt.Println(second.Result(ctx))
	run.Close()
	// Output:
	// gave it <nil>
	// took the baton <nil>
}

func ExampleAdaptive() {
	ctx := context.Background()
	e := antflow.New(16)
	defer e.Close()

	var overloaded atomic.Bool
	call := pipeline.Stage("call", func(_ context.Context, n int) (int, error) {
		if overloaded.Load() {
			return 0, antflow.RetryAfter(errors.New("429 Too Many Requests"), time.Millisecond)
		}
		return n, nil
	}, pipeline.Adaptive(1, 16))
	run := call.Start(ctx, e)
	defer run.Close()
	workers := func() int { return run.Snapshot().Stages[0].Workers }

	fmt.Println(workers(), "in the beginning")
	for n := range 8 {
		run.Feed(ctx, n).Result(ctx)
	}
	fmt.Println(workers(), "after a round of calls that held")
	overloaded.Store(true)
	run.Feed(ctx, 8).Result(ctx)
	fmt.Println(workers(), "after the service said that it is too much")
	// Output:
	// 1 in the beginning
	// 2 after a round of calls that held
	// 1 after the service said that it is too much
}

func ExampleOverloadIf() {
	ctx := context.Background()
	e := antflow.New(16)
	defer e.Close()

	errBusy := errors.New("SQLITE_BUSY")
	busy := func(err error) bool { return errors.Is(err, errBusy) }
	write := pipeline.Stage("write", func(_ context.Context, row int) (int, error) {
		if row == 8 {
			return 0, errBusy
		}
		return row, nil
	}, pipeline.Adaptive(1, 16), pipeline.OverloadIf(busy))
	run := write.Start(ctx, e)
	defer run.Close()
	for row := range 9 {
		run.Feed(ctx, row).Result(ctx)
		if row >= 7 {
			fmt.Println(run.Snapshot().Stages[0].Workers)
		}
	}
	// Output:
	// 2
	// 1
}
