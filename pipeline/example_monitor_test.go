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

func ExampleMonitor() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()

	// A server would show it on a page; here it is asked at the end.
	var m pipeline.Monitor
	square := pipeline.Stage("square", func(_ context.Context, n int) (int, error) { return n * n, nil })
	for range square.Run(ctx, e, slices.Values([]int{1, 2, 3}), pipeline.WithMonitor(&m)) {
	}
	s := m.Snapshot()
	fmt.Println(s.Over, s.Inputs, s.Results, len(m.Items()))
	// Output: true 3 3 0
}

func ExampleWithMonitor() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()

	even := pipeline.Filter("even", func(_ context.Context, n int) (bool, error) { return n%2 == 0, nil })
	var m pipeline.Monitor
	fmt.Println(m.Snapshot().Inputs, "inputs before the run")
	for range even.Run(ctx, e, slices.Values([]int{1, 2, 3, 4, 5}), pipeline.WithMonitor(&m)) {
	}
	s := m.Snapshot()
	fmt.Println(s.Inputs, "inputs,", s.Results, "results,", s.Stages[0].Skipped, "skipped")
	// Output:
	// 0 inputs before the run
	// 5 inputs, 2 results, 3 skipped
}

func ExampleMonitor_Snapshot() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()

	finish := make(chan struct{})
	work := pipeline.Stage("work", func(_ context.Context, n int) (int, error) {
		<-finish
		return n, nil
	}, pipeline.Workers(2), pipeline.Buffer(5))
	run := work.Start(ctx, e)
	for n := range 6 {
		run.Feed(ctx, n)
	}
	show := func() {
		s := run.Snapshot()
		st := s.Stages[0]
		fmt.Printf("%d in the run; %s: %d running, %d waiting, %d done\n", s.Items, st.Name, st.Running, st.Waiting, st.Done)
	}
	show()
	close(finish)
	run.Close()
	show()
	// Output:
	// 6 in the run; work: 2 running, 4 waiting, 0 done
	// 0 in the run; work: 0 running, 0 waiting, 6 done
}

func ExampleSnapshot() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()

	run := pipeline.Batch[int](10, 0).Start(ctx, e)
	for n := range 23 {
		run.Feed(ctx, n)
	}
	s := run.Snapshot()
	fmt.Println(s.Inputs, "fed,", s.Batched, "in a batch that is not full,", s.Results, "results")
	run.Close()
	s = run.Snapshot()
	fmt.Println(s.Inputs, "fed,", s.Batched, "in a batch that is not full,", s.Results, "results")
	// Output:
	// 23 fed, 3 in a batch that is not full, 2 results
	// 23 fed, 0 in a batch that is not full, 3 results
}

func ExampleSnapshot_Bottleneck() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()

	finish := make(chan struct{})
	parse := pipeline.Stage("parse", func(_ context.Context, n int) (int, error) { return n, nil })
	save := pipeline.Stage("save", func(_ context.Context, n int) (int, error) {
		<-finish
		return n, nil
	}, pipeline.Workers(2), pipeline.Buffer(10))
	run := pipeline.Then(parse, save).Start(ctx, e)
	for n := range 5 {
		run.Feed(ctx, n)
	}
	for run.Snapshot().Bottleneck() != "save" {
		time.Sleep(time.Millisecond) // until the third item has come there
	}
	fmt.Println("more workers, please:", run.Snapshot().Bottleneck())
	close(finish)
	run.Close()
	// Output: more workers, please: save
}

func ExampleStageStats() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()

	calls := 0
	work := pipeline.Stage("work", func(_ context.Context, n int) (int, error) {
		switch calls++; {
		case n == 1:
			return 0, pipeline.ErrSkipped
		case n == 2:
			return 0, antflow.Permanent(errors.New("broken"))
		case calls == 1:
			return 0, errors.New("flaky")
		}
		return n, nil
	}, antflow.Retries(1), antflow.RetryDelay(0))
	var m pipeline.Monitor
	for range work.Run(ctx, e, slices.Values([]int{0, 1, 2, 3}), pipeline.WithMonitor(&m)) {
	}
	st := m.Snapshot().Stages[0]
	fmt.Println(st.Entered, "entered:", st.Done, "done,", st.Skipped, "skipped,", st.Failed, "failed,", st.Retried, "retried")
	// Output: 4 entered: 2 done, 1 skipped, 1 failed, 1 retried
}

func ExampleMonitor_Items() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()

	finish := make(chan struct{})
	work := pipeline.Stage("work", func(_ context.Context, n int) (int, error) {
		<-finish
		return n, nil
	}, pipeline.Buffer(5))
	run := work.Start(ctx, e)
	for n := range 3 {
		run.Feed(ctx, n)
	}
	for _, it := range run.Items() {
		fmt.Println(it.Item, "is", it.State, "at", it.Stage)
	}
	close(finish)
	run.Close()
	// Output:
	// item 0 is running at work
	// item 1 is waiting at work
	// item 2 is waiting at work
}

func ExampleMonitor_ItemsIn() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()

	begun, finish := make(chan struct{}), make(chan struct{})
	read := pipeline.Stage("read", func(_ context.Context, n int) (int, error) { return n, nil })
	write := pipeline.Stage("write", func(_ context.Context, n int) (int, error) {
		close(begun)
		<-finish
		return n, nil
	})
	run := pipeline.Then(read, write).Start(ctx, e)
	run.Feed(ctx, 1, pipeline.WithKey("a.txt"))
	<-begun
	fmt.Println("reading:", len(run.ItemsIn("read")))
	for _, it := range run.ItemsIn("write") {
		fmt.Println("writing:", it.Item.Key)
	}
	close(finish)
	run.Close()
	// Output:
	// reading: 0
	// writing: a.txt
}

func ExampleMonitor_Find() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()

	run := pipeline.Batch[string](3, 0).Start(ctx, e)
	run.Feed(ctx, "a")
	run.Feed(ctx, "b")
	for _, it := range run.Find(1) { // the second input
		fmt.Println(it.State)
	}
	run.Close()
	fmt.Println(len(run.Find(1)))
	// Output:
	// batched
	// 0
}

func ExampleMonitor_FindKey() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()

	finish := make(chan struct{})
	ship := pipeline.Stage("ship", func(_ context.Context, order int) (int, error) {
		<-finish
		return order, nil
	}, pipeline.Buffer(5))
	run := ship.Start(ctx, e, pipeline.Key(func(order int) string { return fmt.Sprint("order ", order) }))
	run.Feed(ctx, 2871)
	run.Feed(ctx, 2872)
	for _, it := range run.FindKey("order 2872") {
		fmt.Println(it.Item.ID, it.Stage, it.State)
	}
	close(finish)
	run.Close()
	// Output: 1 ship waiting
}

func ExampleMonitor_FindFuture() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()

	finish := make(chan struct{})
	work := pipeline.Stage("work", func(_ context.Context, n int) (int, error) {
		<-finish
		return n, nil
	})
	run := work.Start(ctx, e)
	f := run.Feed(ctx, 1)
	for _, it := range run.FindFuture(f) {
		fmt.Println(it.Item, it.State)
	}
	close(finish)
	run.Close()
	// Output: item 0 running
}

func ExampleItemStatus() {
	ctx := context.Background()
	e := antflow.New(1)
	defer e.Close()

	finish := make(chan struct{})
	work := pipeline.Stage("work", func(_ context.Context, n int) (int, error) {
		<-finish
		return n, nil
	})
	run := work.Start(ctx, e)
	run.Feed(ctx, 1, pipeline.WithPriority(7))
	for _, it := range run.Items() {
		fmt.Println(it.Item, it.State, it.Stage, it.Priority, it.For >= 0)
	}
	close(finish)
	run.Close()
	// Output: item 0 running work 7 true
}

func ExampleItemState() {
	ctx := context.Background()
	e := antflow.New(1)
	defer e.Close()

	finish := make(chan struct{})
	work := pipeline.Stage("work", func(_ context.Context, n int) (int, error) {
		<-finish
		return n, nil
	}, pipeline.Buffer(5))
	run := work.Start(ctx, e)
	for n := range 4 {
		run.Feed(ctx, n)
	}
	counts := make(map[pipeline.ItemState]int)
	for _, it := range run.Items() {
		counts[it.State]++
	}
	fmt.Println(counts)
	close(finish)
	run.Close()
	// Output: map[waiting:3 running:1]
}
