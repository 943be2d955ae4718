package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/antflow/antflow"
)

func retryDelays() Row {
	r := retryRow()
	r.Name = "retry-delays"
	r.Ops = 200_000
	return r
}

func retryDelaysMillion() Row {
	r := retryRow()
	r.Name = "retry-delays-1M"
	r.Ops = 1_000_000
	r.MaxRounds = 1
	r.Heavy = true
	return r
}

func retryRow() Row {
	return Row{
		Title: "Tasks that failed once and wait an hour for their second attempt: what is alive for each, its future and " +
			"closure included, beside what the same task takes in the queue; goroutines in all; and the time from the " +
			"first Submit until all of them wait.",
		ShortOps:  1_000,
		MaxRounds: 3,
		Cases: []Case{
			{Contender: "options at the Submit", Probe: func(n int) ([]Value, error) {
				e := antflow.New(Workers)
				return probeRetries(e, n, antflow.Retries(1), antflow.RetryDelay(time.Hour))
			}},
			{Contender: "options at the executor", Probe: func(n int) ([]Value, error) {
				e := antflow.New(Workers, antflow.WithTaskOptions(antflow.Retries(1), antflow.RetryDelay(time.Hour)))
				return probeRetries(e, n)
			}},
			{Contender: "a goroutine each", Probe: probeSleepers},
		},
	}
}

var errAttempt = errors.New("the attempt failed")

// probeRetries closes the executor.
func probeRetries(e *antflow.Executor, n int, opts ...antflow.TaskOption) ([]Value, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer e.Close()
	defer cancel()
	before, queued := inUse(), 0.0
	if err := queueAntflow(n, func() { queued = inUse() - before }); err != nil {
		return nil, err
	}
	goroutines := runtime.NumGoroutine()
	before = inUse()
	futures := make([]*antflow.Future[int], n)
	start := time.Now()
	for i := range n {
		futures[i] = antflow.Submit(ctx, e, func(context.Context) (int, error) { return i, errAttempt }, opts...)
	}
	for e.Stats().Waiting < n {
		if time.Since(start) > time.Minute {
			return nil, fmt.Errorf("after a minute only %d of %d tasks wait", e.Stats().Waiting, n)
		}
		time.Sleep(100 * time.Microsecond)
	}
	elapsed := time.Since(start)
	waiting := inUse() - before
	goroutines = runtime.NumGoroutine() - goroutines
	cancel()
	for _, f := range futures {
		if _, err := f.Result(context.Background()); !errors.Is(err, antflow.ErrCanceled) {
			return nil, fmt.Errorf("a task that waited and was canceled ended with %v", err)
		}
	}
	each := 1 / float64(n)
	return []Value{
		{Name: "memory each", Unit: "B", X: waiting * each, Goal: AtMost(300)},
		{Name: "the task in the queue", Unit: "B", X: queued * each},
		{Name: "more than that", Unit: "B", X: (waiting - queued) * each},
		{Name: "goroutines", X: float64(goroutines), Goal: AtMost(Workers)},
		{Name: "to schedule each", Unit: "ns", X: float64(elapsed.Nanoseconds()) * each},
	}, nil
}

// probeSleepers is what a delay costs that keeps a goroutine.
func probeSleepers(n int) ([]Value, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	goroutines := runtime.NumGoroutine()
	before := inUse()
	results := make([]chan int, n)
	start := time.Now()
	for i := range n {
		result := make(chan int, 1)
		results[i] = result
		go func() {
			select {
			case <-time.After(time.Hour):
				result <- -1
			case <-ctx.Done():
				result <- i
			}
		}()
	}
	elapsed := time.Since(start)
	waiting := inUse() - before
	goroutines = runtime.NumGoroutine() - goroutines
	cancel()
	var sum int64
	for _, result := range results {
		sum += int64(<-result)
	}
	return []Value{
		{Name: "memory each", Unit: "B", X: waiting / float64(n)},
		{Name: "goroutines", X: float64(goroutines)},
		{Name: "to schedule each", Unit: "ns", X: float64(elapsed.Nanoseconds()) / float64(n)},
	}, check(sum, sumBelow(n))
}
