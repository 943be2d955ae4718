package bench

import (
	"context"

	"github.com/alitto/pond/v2"
	"github.com/antflow/antflow"
)

// batchSize is the number of futures that are outstanding at once.
const batchSize = 1000

func futuresBatch() Row {
	return Row{
		Name:  "futures-batch",
		Title: "Submit 1,000 tasks that return an int, then read the 1,000 results; over and over. An operation is one task.",
		Floor: "The floor is one goroutine that allocates a closure and a future of the same sizes and calls the one to settle the " +
			"other: nothing is queued and nothing waits. The goals lie near twice the floor or below that. The submitter is slower than " +
			"the workers, since it allocates; so the queue is mostly empty, and workers come to the lock for what there is.",
		Ops:      100_000,
		ShortOps: 2_000,
		Cases: []Case{
			{Contender: "antflow.Submit", Open: openFutures(batchSize, false)},
			{Contender: "pond ResultPool", Goal: Slower(5), Open: openPondFutures(batchSize, false)},
			{Contender: "ants+chan", Goal: Slower(4), Open: openAntsChan(batchSize)},
			{Contender: "goroutine+chan", Goal: Slower(3.5), Open: openGoroutineChan(batchSize)},
			{Contender: "allocate and call", Goal: Note("the floor"), Open: openAllocate},
		},
	}
}

func futuresCancelable() Row {
	return Row{
		Name:     "futures-cancelable",
		Title:    "The same under a context that can be canceled.",
		Floor:    "As for futures-batch: a context that can be canceled costs antflow little beyond that.",
		Ops:      100_000,
		ShortOps: 2_000,
		Cases: []Case{
			{Contender: "antflow.Submit", Open: openFutures(batchSize, true)},
			{Contender: "pond WithContext", Goal: Slower(4), Open: openPondFutures(batchSize, true)},
		},
	}
}

func roundTrip() Row {
	return Row{
		Name:  "round-trip",
		Title: "Submit one task and read its result before the next. An operation is one round trip.",
		Floor: "The floor is to hand a closure to a goroutine that waits for it, and the result back: two switches of goroutines. " +
			"A sixth of pond's time is below that. A goroutine for each task does no more than these either, while a " +
			"task of antflow enters a queue, takes and leaves a slot under the lock, and has a future that others may wait for, " +
			"too. To run the task on the goroutine that reads the result would avoid the switches; but the task might end that " +
			"goroutine with runtime.Goexit, and the reader could not leave when its context ends.",
		Ops:      50_000,
		ShortOps: 500,
		Cases: []Case{
			{Contender: "antflow.Submit", Open: openFutures(1, false)},
			{Contender: "pond ResultPool", Goal: Slower(6), Open: openPondFutures(1, false)},
			{Contender: "ants+chan", Goal: Note("reported"), Open: openAntsChan(1)},
			{Contender: "goroutine+chan", Goal: Slower(1), Open: openGoroutineChan(1)},
			{Contender: "a waiting goroutine and two channels", Goal: Note("the floor"), Open: openPingPong},
		},
	}
}

// inBatches calls batch until it has handled n operations, with up to size of
// them each time. The tasks of a batch return 0, 1, and so on; batch returns
// the sum.
func inBatches(n, size int, batch func(n int) (int64, error)) error {
	for n > 0 {
		k := min(n, size)
		sum, err := batch(k)
		if err == nil {
			err = check(sum, sumBelow(k))
		}
		if err != nil {
			return err
		}
		n -= k
	}
	return nil
}

// maybeCancelable returns the background context, or one below it that can be
// canceled.
func maybeCancelable(cancelable bool) (context.Context, context.CancelFunc) {
	if cancelable {
		return context.WithCancel(context.Background())
	}
	return context.Background(), nothing
}

func openFutures(size int, cancelable bool) func(func()) Runner {
	return func(func()) Runner {
		ctx, cancel := maybeCancelable(cancelable)
		e := antflow.New(Workers)
		futures := make([]*antflow.Future[int], size)
		batch := func(n int) (sum int64, err error) {
			for i := range n {
				futures[i] = antflow.Submit(ctx, e, func(context.Context) (int, error) { return i, nil })
			}
			for _, f := range futures[:n] {
				v, err := f.Result(ctx)
				if err != nil {
					return 0, err
				}
				sum += int64(v)
			}
			return sum, nil
		}
		return Runner{
			Run:   func(n int) error { return inBatches(n, size, batch) },
			Close: func() { e.Close(); cancel() },
		}
	}
}

func openPondFutures(size int, cancelable bool) func(func()) Runner {
	return func(func()) Runner {
		ctx, cancel := maybeCancelable(cancelable)
		var p pond.ResultPool[int]
		if cancelable {
			p = pond.NewResultPool[int](Workers, pond.WithContext(ctx))
		} else {
			p = pond.NewResultPool[int](Workers)
		}
		futures := make([]pond.ResultTask[int], size)
		batch := func(n int) (sum int64, err error) {
			for i := range n {
				futures[i] = p.Submit(func() int { return i })
			}
			for _, f := range futures[:n] {
				v, err := f.Wait()
				if err != nil {
					return 0, err
				}
				sum += int64(v)
			}
			return sum, nil
		}
		return Runner{
			Run:   func(n int) error { return inBatches(n, size, batch) },
			Close: func() { p.StopAndWait(); cancel() },
		}
	}
}

// openChan is a future made by hand: a channel for each result.
func openChan(size int, submit func(func()) error, done func()) Runner {
	results := make([]chan int, size)
	batch := func(n int) (sum int64, err error) {
		for i := range n {
			result := make(chan int, 1)
			results[i] = result
			if err := submit(func() { result <- i }); err != nil {
				return 0, err
			}
		}
		for _, result := range results[:n] {
			sum += int64(<-result)
		}
		return sum, nil
	}
	return Runner{
		Run:   func(n int) error { return inBatches(n, size, batch) },
		Close: done,
	}
}

// allocated is as large as a future of an int with its task, and as its
// collector sees it.
type allocated struct {
	_     [9]*int
	value int
	fn    func() int
	done  bool
}

func openAllocate(func()) Runner {
	futures := make([]*allocated, batchSize)
	batch := func(n int) (sum int64, err error) {
		for i := range n {
			f := &allocated{fn: func() int { return i }}
			f.value, f.fn, f.done = f.fn(), nil, true
			futures[i] = f
		}
		for _, f := range futures[:n] {
			if f.done {
				sum += int64(f.value)
			}
		}
		return sum, nil
	}
	return Runner{
		Run:   func(n int) error { return inBatches(n, batchSize, batch) },
		Close: nothing,
	}
}

// openPingPong hands each task to one goroutine and its result back: nothing is
// allocated but the closure, and both sides block.
func openPingPong(func()) Runner {
	tasks, results := make(chan func() int), make(chan int)
	go func() {
		for fn := range tasks {
			results <- fn()
		}
	}()
	return Runner{
		Run: func(n int) error {
			for i := range n {
				tasks <- func() int { return i }
				if got := <-results; got != i {
					return check(int64(got), int64(i))
				}
			}
			return nil
		},
		Close: func() { close(tasks) },
	}
}

func openAntsChan(size int) func(func()) Runner {
	return func(func()) Runner {
		p := newAnts(Workers)
		return openChan(size, p.Submit, p.Release)
	}
}

func openGoroutineChan(size int) func(func()) Runner {
	return func(func()) Runner {
		submit := func(fn func()) error {
			go fn()
			return nil
		}
		return openChan(size, submit, nothing)
	}
}
