package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/pipeline"
)

func ExampleMonitor_Recent() {
	ctx := context.Background()
	e := antflow.New(1)
	defer e.Close()

	work := pipeline.Stage("work", func(_ context.Context, n int) (int, error) {
		if n == 3 {
			return 0, errors.New("broken")
		}
		return n, nil
	})
	var m pipeline.Monitor
	inputs := slices.Values([]int{0, 1, 2, 3})
	for range work.Run(ctx, e, inputs, pipeline.WithMonitor(&m), pipeline.History(2)) {
	}
	for _, it := range m.Recent() {
		fmt.Println(it.Item, it.State)
	}
	// Output:
	// item 2 done
	// item 3 failed
}

func ExampleHistory() {
	ctx := context.Background()
	e := antflow.New(1)
	defer e.Close()

	read := pipeline.Stage("read", func(_ context.Context, n int) (int, error) { return n, nil })
	write := pipeline.Filter("write", func(_ context.Context, n int) (bool, error) { return n > 0, nil })
	run := pipeline.Then(read, write).Start(ctx, e, pipeline.History(100))
	run.Feed(ctx, 0)
	run.Close()
	for _, it := range run.Recent() {
		fmt.Println(it.Item, it.State)
		for _, v := range it.Visits {
			fmt.Println(v.Stage, v.Attempts)
		}
	}
	// Output:
	// item 0 gone
	// read 1
	// write 1
}

func ExampleOnEvent() {
	ctx := context.Background()
	e := antflow.New(1)
	defer e.Close()

	calls := 0
	save := pipeline.Stage("save", func(_ context.Context, n int) (int, error) {
		if calls++; calls == 1 {
			return 0, errors.New("conflict")
		}
		return n, nil
	}, antflow.Retries(1), antflow.RetryDelay(0))
	log := pipeline.OnEvent(func(ev pipeline.Event) {
		fmt.Println(ev.Item, ev.Stage, ev.Kind)
	})
	for range save.Run(ctx, e, slices.Values([]int{1}), log) {
	}
	// Output:
	// item 0 save entered
	// item 0 save started
	// item 0 save attempt failed
	// item 0 save started
	// item 0 save done
}

func ExampleEvent() {
	ctx := context.Background()
	e := antflow.New(1)
	defer e.Close()

	save := pipeline.Stage("save", func(_ context.Context, n int) (int, error) {
		return 0, errors.New("disk full")
	}, antflow.Retries(1), antflow.RetryDelay(0))
	alarm := pipeline.OnEvent(func(ev pipeline.Event) {
		if ev.Kind == pipeline.EventFailed {
			fmt.Println(ev.Stage, "gave up after", ev.Attempt, "attempts:", ev.Err)
		}
	})
	for range save.Run(ctx, e, slices.Values([]int{1}), alarm) {
	}
	// Output: save gave up after 2 attempts: antflow: stage "save": item 0: failed after 2 attempts: disk full
}

func ExampleEventKind() {
	ctx := context.Background()
	e := antflow.New(1)
	defer e.Close()

	even := pipeline.Filter("even", func(_ context.Context, n int) (bool, error) { return n%2 == 0, nil })
	counts := make(map[pipeline.EventKind]int) // OnEvent makes one call at a time
	count := pipeline.OnEvent(func(ev pipeline.Event) { counts[ev.Kind]++ })
	run := even.Start(ctx, e, count)
	for n := range 5 {
		run.Feed(ctx, n).Result(ctx)
	}
	run.Close() // all events have been told by now
	fmt.Println(counts)
	// Output: map[entered:5 started:5 done:3 skipped:2]
}

func ExampleResults() {
	ctx := context.Background()
	e := antflow.New(2)
	defer e.Close()

	calls := 0
	fetch := pipeline.Stage("fetch", func(_ context.Context, url string) (string, error) {
		if calls++; calls == 1 {
			return "", errors.New("connection refused")
		}
		return "page " + url, nil
	}, antflow.Retries(1), antflow.RetryDelay(0))
	size := pipeline.Stage("size", func(_ context.Context, page string) (int, error) { return len(page), nil })
	p := pipeline.Results(pipeline.Then(fetch, size))
	for r, err := range p.Run(ctx, e, slices.Values([]string{"/a", "/bc"})) {
		fmt.Println(r.Value, err, r.Item)
		for _, v := range r.Visits {
			fmt.Println(" ", v.Stage, v.Attempts)
		}
	}
	// Output:
	// 7 <nil> item 0
	//   fetch 2
	//   size 1
	// 8 <nil> item 1
	//   fetch 1
	//   size 1
}

func ExampleResult() {
	ctx := context.Background()
	e := antflow.New(2)
	defer e.Close()

	// Out of order, but each knows whose result it is.
	square := pipeline.Stage("square", func(_ context.Context, n int) (int, error) { return n * n, nil }, pipeline.Workers(2))
	squares := make([]int, 4)
	for r, err := range pipeline.Results(square).RunUnordered(ctx, e, slices.Values([]int{1, 2, 3, 4})) {
		if err == nil {
			squares[r.Item.ID] = r.Value
		}
	}
	fmt.Println(squares)
	// Output: [1 4 9 16]
}

func ExampleVisit() {
	ctx := context.Background()
	e := antflow.New(2)
	defer e.Close()

	work := pipeline.Stage("work", func(_ context.Context, n int) (int, error) {
		time.Sleep(time.Millisecond) // by the real clock, for Worked to be more than nothing
		return n, nil
	})
	for r := range pipeline.Results(work).Run(ctx, e, slices.Values([]int{1})) {
		for _, v := range r.Visits {
			fmt.Println(v.Stage, v.Attempts, v.Worked >= time.Millisecond, v.Queued < time.Hour)
		}
	}
	// Output: work 1 true true
}
