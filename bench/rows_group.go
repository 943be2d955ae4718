package bench

import (
	"context"
	"sync"

	"github.com/alitto/pond/v2"
	"github.com/antflow/antflow"
	"github.com/gammazero/workerpool"
	"github.com/panjf2000/ants/v2"
	"github.com/sourcegraph/conc/pool"
	"golang.org/x/sync/errgroup"
)

func groupEmpty() Row {
	return Row{
		Name:  "group-empty",
		Title: "Start n empty tasks and wait for all of them. An operation is one task.",
		Floor: "The floor is what goroutines and a channel take that know nothing of contexts, cancellation, counters and IDs: " +
			"most of the goals are at it or below it. Beyond it antflow takes the lock at each submission, a word that all workers " +
			"add to, and for each task a context of its own that ends with it, whoever keeps it; and the collector takes " +
			"back those contexts and the queue.",
		Ops:      200_000,
		ShortOps: 2_000,
		Counts:   true,
		Cases: []Case{
			{Contender: "antflow Group", Open: openGroup(Workers)},
			{Contender: "pond.Go", Goal: Slower(4), Open: openPond(Workers)},
			{Contender: "pond group", Goal: Note("reported"), Open: openPondGroup},
			{Contender: "conc pool", Goal: Slower(8), Open: openConc(Workers)},
			{Contender: "errgroup+SetLimit", Goal: Slower(12), Open: openErrgroup(Workers)},
			{Contender: "ants", Goal: Slower(12), Open: openAnts(Workers)},
			{Contender: "go+WaitGroup", Goal: Slower(12), Open: openGoroutines},
			{Contender: "workerpool", Goal: Note("reported"), Open: openWorkerpool(Workers)},
			{Contender: "buffered channel", Goal: Note("the floor"), Open: openChannel},
		},
	}
}

// erring makes a task of antflow's form.
func erring(task func()) func(context.Context) error {
	return func(context.Context) error {
		task()
		return nil
	}
}

func openGroup(workers int) func(func()) Runner {
	return func(task func()) Runner {
		e := antflow.New(workers)
		fn := erring(task)
		return Runner{
			Run: func(n int) error {
				g := antflow.NewGroup(context.Background(), e)
				for range n {
					g.Go(fn)
				}
				return g.Wait()
			},
			Close: func() { e.Close() },
		}
	}
}

// openPond waits the way that costs pond least: Go returns nothing to wait for,
// but stopping the pool does wait.
func openPond(workers int) func(func()) Runner {
	return func(task func()) Runner {
		return Runner{
			Run: func(n int) error {
				p := pond.NewPool(workers)
				for range n {
					if err := p.Go(task); err != nil {
						return err
					}
				}
				p.StopAndWait()
				return nil
			},
			Close: nothing,
		}
	}
}

func openPondGroup(task func()) Runner {
	p := pond.NewPool(Workers)
	return Runner{
		Run: func(n int) error {
			g := p.NewGroup()
			for range n {
				g.Submit(task)
			}
			return g.Wait()
		},
		Close: p.StopAndWait,
	}
}

func openConc(workers int) func(func()) Runner {
	return func(task func()) Runner {
		return Runner{
			Run: func(n int) error {
				p := pool.New().WithMaxGoroutines(workers)
				for range n {
					p.Go(task)
				}
				p.Wait()
				return nil
			},
			Close: nothing,
		}
	}
}

func openErrgroup(workers int) func(func()) Runner {
	return func(task func()) Runner {
		fn := func() error {
			task()
			return nil
		}
		return Runner{
			Run: func(n int) error {
				var g errgroup.Group
				g.SetLimit(workers)
				for range n {
					g.Go(fn)
				}
				return g.Wait()
			},
			Close: nothing,
		}
	}
}

// newAnts returns a pool of ants, which fails for a bad option only.
func newAnts(workers int) *ants.Pool {
	p, err := ants.NewPool(workers, ants.WithPreAlloc(true))
	if err != nil {
		panic(err)
	}
	return p
}

func openAnts(workers int) func(func()) Runner {
	return func(task func()) Runner {
		p := newAnts(workers)
		return Runner{
			Run: func(n int) error {
				var wg sync.WaitGroup
				wg.Add(n)
				fn := func() {
					task()
					wg.Done()
				}
				for range n {
					if err := p.Submit(fn); err != nil {
						return err
					}
				}
				wg.Wait()
				return nil
			},
			Close: p.Release,
		}
	}
}

func openGoroutines(task func()) Runner {
	return Runner{
		Run: func(n int) error {
			var wg sync.WaitGroup
			for range n {
				wg.Go(task)
			}
			wg.Wait()
			return nil
		},
		Close: nothing,
	}
}

func openWorkerpool(workers int) func(func()) Runner {
	return func(task func()) Runner {
		return Runner{
			Run: func(n int) error {
				p := workerpool.New(workers)
				for range n {
					p.Submit(task)
				}
				p.StopWait()
				return nil
			},
			Close: nothing,
		}
	}
}

func openChannel(task func()) Runner {
	return Runner{
		Run: func(n int) error {
			return throughChannel(func(tasks chan<- func()) {
				for range n {
					tasks <- task
				}
			})
		},
		Close: nothing,
	}
}

// throughChannel has goroutines call what submit sends.
func throughChannel(submit func(tasks chan<- func())) error {
	tasks := make(chan func(), 1024)
	var wg sync.WaitGroup
	for range Workers {
		wg.Go(func() {
			for fn := range tasks {
				fn()
			}
		})
	}
	submit(tasks)
	close(tasks)
	wg.Wait()
	return nil
}
