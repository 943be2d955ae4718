package antflow_test

import (
	"context"
	"fmt"
	"time"

	"github.com/antflow/antflow"
)

// measured runs n tasks, and returns how long they took.
func measured(e *antflow.Executor, n int, d time.Duration) antflow.Latency {
	for range n {
		e.Go(context.Background(), func(context.Context) error { time.Sleep(d); return nil }).Result(context.Background())
	}
	return e.Snapshot().RunTime
}

func ExampleLatency_Quantile() {
	e := antflow.New(1)
	e.Measure()
	l := measured(e, 10, 2*time.Millisecond)
	fmt.Println(l.Quantile(0.5) >= time.Millisecond, l.Quantile(0.99) <= l.Max())
	// Output: true true
}

func ExampleLatency_Count() {
	e := antflow.New(1)
	e.Measure()
	fmt.Println(measured(e, 10, 0).Count())
	// Output: 10
}

func ExampleLatency_Mean() {
	e := antflow.New(1)
	e.Measure()
	l := measured(e, 3, time.Millisecond)
	fmt.Println(l.Mean() == l.Total()/3)
	// Output: true
}

func ExampleLatency_Total() {
	e := antflow.New(1)
	e.Measure()
	fmt.Println(measured(e, 3, time.Millisecond).Total() >= 3*time.Millisecond)
	// Output: true
}

func ExampleLatency_Max() {
	e := antflow.New(1)
	e.Measure()
	fmt.Println(measured(e, 1, time.Millisecond).Max() >= time.Millisecond)
	// Output: true
}

// What happened between two snapshots.
func ExampleLatency_Since() {
	e := antflow.New(1)
	e.Measure()
	before := measured(e, 5, 0)
	after := measured(e, 2, 0)
	fmt.Println(after.Since(before).Count())
	// Output: 2
}

func ExampleLatency_AtMost() {
	e := antflow.New(1)
	e.Measure()
	l := measured(e, 4, time.Millisecond)
	fmt.Println(l.AtMost(100*time.Microsecond), l.AtMost(time.Hour))
	// Output: 0 4
}

func ExampleLatency_All() {
	e := antflow.New(1)
	e.Measure()
	var n uint64
	for _, count := range measured(e, 4, 0).All() {
		n += count
	}
	fmt.Println(n)
	// Output: 4
}
