package bench

import (
	"context"
	"sync"
	"time"

	"github.com/antflow/antflow"
)

const (
	sleepers  = 1000 // asleep at once
	sleepTime = time.Millisecond
)

func sleeps() Row {
	sleeping := func(open func(workers int) func(func()) Runner) func(func()) Runner {
		return func(task func()) Runner {
			return open(sleepers)(func() {
				time.Sleep(sleepTime)
				task()
			})
		}
	}
	ideal := float64(sleepTime.Nanoseconds()) / sleepers
	return Row{
		Name:  "sleeps",
		Title: "20,000 tasks that sleep 1 ms, 1,000 at once, which takes 20 ms if nothing else does. An operation is one sleep.",
		Floor: "The floor is goroutines that do nothing but sleep, one after the other: timers and the scheduler alone take more " +
			"than the ideal and the goal.",
		Ops:      20_000,
		ShortOps: 1_000,
		Ideal:    ideal,
		Counts:   true,
		Cases: []Case{
			{Contender: "antflow Group", Goal: AtMost(1.3 * ideal), Open: sleeping(openGroup)},
			{Contender: "antflow.ForEach", Goal: AtMost(1.3 * ideal), Open: sleeping(openForEach)},
			{Contender: "ants", Goal: Slower(1), Open: sleeping(openAnts)},
			{Contender: "pond.Go", Goal: Slower(1), Open: sleeping(openPond)},
			{Contender: "errgroup+SetLimit", Goal: Slower(1), Open: sleeping(openErrgroup)},
			{Contender: "conc pool", Goal: Slower(1), Open: sleeping(openConc)},
			{Contender: "workerpool", Goal: Slower(1), Open: sleeping(openWorkerpool)},
			{Contender: "1,000 goroutines that only sleep", Goal: Note("the floor"), Open: sleeping(openSleepers)},
		},
	}
}

// openSleepers has as many goroutines do their share each, with nothing to
// coordinate.
func openSleepers(workers int) func(func()) Runner {
	return func(task func()) Runner {
		return Runner{
			Run: func(n int) error {
				var wg sync.WaitGroup
				for i := range workers {
					wg.Go(func() {
						for range (n + i) / workers {
							task()
						}
					})
				}
				wg.Wait()
				return nil
			},
			Close: nothing,
		}
	}
}

func openForEach(workers int) func(func()) Runner {
	return func(task func()) Runner {
		e := antflow.New(workers)
		fn := func(context.Context, int) error {
			task()
			return nil
		}
		return Runner{
			Run:   func(n int) error { return antflow.ForEach(context.Background(), e, numbers(n), fn) },
			Close: func() { e.Close() },
		}
	}
}
