package bench

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/antflow/antflow"
)

func waiting() Row {
	return Row{
		Name: "waiting",
		Title: "Wait for all of n futures, or range over them as they complete. They are done before, or another goroutine " +
			"settles them when all are being waited for, and its time counts. Each future is to cost the same " +
			"however many there are, but for the caches: a loop that asks each future once shows how those grow, " +
			"and a wait may grow 1.5x as much.",
		Ops:       1_000_000,
		ShortOps:  1_000,
		MaxRounds: 5,
		Apart:     true,
		Cases: []Case{
			{Contender: "AsCompleted, done", Probe: probeWaiting(timeAsCompleted, false)},
			{Contender: "AsCompleted, finishing", Probe: probeWaiting(timeAsCompleted, true)},
			{Contender: "Wait, done", Probe: probeWaiting(timeWait, false)},
			{Contender: "Wait, finishing", Probe: probeWaiting(timeWait, true)},
			{Contender: "plain loop, done", Probe: func(n int) ([]Value, error) {
				values, _, err := measureWaiting(timeLoop, false, Goal{}, n)
				return values, err
			}},
		},
	}
}

// A waitTimer returns how long it takes to wait for promises that are settled
// before, or by settle once they are being waited for.
type waitTimer func(promises []*antflow.Promise[int], futures []*antflow.Future[int], finishing bool) (time.Duration, error)

// probeWaiting measures a wait, and beside it the plain loop.
func probeWaiting(timer waitTimer, finishing bool) func(n int) ([]Value, error) {
	return func(n int) ([]Value, error) {
		values, growth, err := measureWaiting(timer, finishing, AtMost(150), n)
		if err != nil {
			return nil, err
		}
		_, caches, err := measureWaiting(timeLoop, false, Goal{}, n)
		return append(values, Value{Name: "beside the plain loop's", Unit: "x", X: growth / caches, Goal: AtMost(1.5)}), err
	}
}

// measureWaiting measures a hundredth of n futures, a tenth, and all.
func measureWaiting(timer waitTimer, finishing bool, goal Goal, n int) (values []Value, growth float64, err error) {
	for _, times := range []int{100, 10, 1} {
		size := max(n/times, 1)
		each, err := waitEach(timer, size, min(times, 20), finishing)
		if err != nil {
			return nil, 0, err
		}
		values = append(values, Value{Name: fmt.Sprintf("each of %d", size), Unit: "ns", X: each, Goal: goal})
	}
	growth = values[2].X / values[0].X
	return append(values, Value{Name: "growth", Unit: "x", X: growth}), growth, nil
}

// waitEach returns the ns for each future, over several waits.
func waitEach(timer waitTimer, size, times int, finishing bool) (float64, error) {
	var total time.Duration
	for range times {
		promises := make([]*antflow.Promise[int], size)
		futures := make([]*antflow.Future[int], size)
		for i := range promises {
			promises[i] = antflow.NewPromise[int]()
			futures[i] = promises[i].Future()
		}
		if !finishing {
			settle(promises, 0)
		}
		elapsed, err := timer(promises, futures, finishing)
		if err != nil {
			return 0, err
		}
		total += elapsed
	}
	return float64(total) / float64(size*times), nil
}

// settle settles the promises from the given index on, each with its index.
func settle(promises []*antflow.Promise[int], from int) {
	for i := from; i < len(promises); i++ {
		promises[i].SetResult(i)
	}
}

// timeAsCompleted knows that all futures are being waited for when it gets the
// first one, which it settles before.
func timeAsCompleted(promises []*antflow.Promise[int], futures []*antflow.Future[int], finishing bool) (time.Duration, error) {
	promises[0].SetResult(0)
	var sum int64
	var wg sync.WaitGroup
	defer wg.Wait()
	start := time.Now()
	for f, err := range antflow.AsCompleted(context.Background(), futures) {
		if err != nil {
			return 0, err
		}
		if finishing {
			finishing = false
			wg.Go(func() { settle(promises, 1) })
		}
		v, _ := f.Result(context.Background())
		sum += int64(v)
	}
	elapsed := time.Since(start)
	return elapsed, check(sum, sumBelow(len(futures)))
}

func timeWait(promises []*antflow.Promise[int], futures []*antflow.Future[int], finishing bool) (time.Duration, error) {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx := context.Background()
	if finishing {
		ctx = &asked{Context: ctx, hook: sync.OnceFunc(func() {
			wg.Go(func() { settle(promises, 0) })
		})}
	}
	start := time.Now()
	done, pending, err := antflow.Wait(ctx, futures, antflow.AllCompleted)
	elapsed := time.Since(start)
	if err == nil {
		err = check(int64(len(done)-len(pending)), int64(len(futures)))
	}
	return elapsed, err
}

// timeLoop asks each future for what a range over AsCompleted would.
func timeLoop(_ []*antflow.Promise[int], futures []*antflow.Future[int], _ bool) (time.Duration, error) {
	var sum int64
	start := time.Now()
	for _, f := range futures {
		if f.IsDone() {
			v, _ := f.Result(context.Background())
			sum += int64(v)
		}
	}
	elapsed := time.Since(start)
	return elapsed, check(sum, sumBelow(len(futures)))
}

// An asked context calls its hook when somebody is about to wait for its end,
// which a wait does once it has told the futures.
type asked struct {
	context.Context
	hook func()
}

func (a *asked) Done() <-chan struct{} {
	a.hook()
	return a.Context.Done()
}
