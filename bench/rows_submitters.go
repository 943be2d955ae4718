package bench

import (
	"context"
	"sync"

	"github.com/alitto/pond/v2"
	"github.com/antflow/antflow"
	"golang.org/x/sync/errgroup"
)

// submitterCount is the number of goroutines that submit at once.
const submitterCount = 8

func submitters() Row {
	return Row{
		Name:  "submitters",
		Title: "8 goroutines start n empty tasks between them, on one pool. An operation is one task.",
		Floor: "The floor is a buffered channel, as in group-empty. The submitters share the executor's lock, which one start " +
			"order for all needs.",
		Ops:      200_000,
		ShortOps: 2_000,
		Counts:   true,
		Cases: []Case{
			{Contender: "antflow Group each", Open: openGroups},
			{Contender: "antflow Executor.Go", Goal: Note("reported"), Open: openExecutors},
			{Contender: "pond.Go", Goal: Slower(3), Open: openSharedPond},
			{Contender: "errgroup+SetLimit", Goal: Slower(8), Open: openSharedErrgroup},
			{Contender: "ants", Goal: Slower(8), Open: openSharedAnts},
			{Contender: "buffered channel", Goal: Note("the floor"), Open: openSharedChannel},
		},
	}
}

// fromSubmitters has each submitter do its share of n operations, and returns
// one of their errors.
func fromSubmitters(n int, submit func(share int) error) error {
	var wg sync.WaitGroup
	errs := make([]error, submitterCount)
	for s := range submitterCount {
		share := n / submitterCount
		if s < n%submitterCount {
			share++
		}
		wg.Go(func() { errs[s] = submit(share) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func openGroups(task func()) Runner {
	e := antflow.New(Workers)
	fn := erring(task)
	return Runner{
		Run: func(n int) error {
			return fromSubmitters(n, func(share int) error {
				g := antflow.NewGroup(context.Background(), e)
				for range share {
					g.Go(fn)
				}
				return g.Wait()
			})
		},
		Close: func() { e.Close() },
	}
}

// openExecutors waits as openPond does: by closing.
func openExecutors(task func()) Runner {
	fn := erring(task)
	return Runner{
		Run: func(n int) error {
			e := antflow.New(Workers)
			fromSubmitters(n, func(share int) error {
				for range share {
					e.Go(context.Background(), fn)
				}
				return nil
			})
			return e.Close()
		},
		Close: nothing,
	}
}

func openSharedPond(task func()) Runner {
	return Runner{
		Run: func(n int) error {
			p := pond.NewPool(Workers)
			err := fromSubmitters(n, func(share int) error {
				for range share {
					if err := p.Go(task); err != nil {
						return err
					}
				}
				return nil
			})
			p.StopAndWait()
			return err
		},
		Close: nothing,
	}
}

func openSharedErrgroup(task func()) Runner {
	fn := func() error {
		task()
		return nil
	}
	return Runner{
		Run: func(n int) error {
			var g errgroup.Group
			g.SetLimit(Workers)
			fromSubmitters(n, func(share int) error {
				for range share {
					g.Go(fn)
				}
				return nil
			})
			return g.Wait()
		},
		Close: nothing,
	}
}

func openSharedChannel(task func()) Runner {
	return Runner{
		Run: func(n int) error {
			return throughChannel(func(tasks chan<- func()) {
				fromSubmitters(n, func(share int) error {
					for range share {
						tasks <- task
					}
					return nil
				})
			})
		},
		Close: nothing,
	}
}

func openSharedAnts(task func()) Runner {
	p := newAnts(Workers)
	return Runner{
		Run: func(n int) error {
			var wg sync.WaitGroup
			wg.Add(n)
			fn := func() {
				task()
				wg.Done()
			}
			err := fromSubmitters(n, func(share int) error {
				for range share {
					if err := p.Submit(fn); err != nil {
						return err
					}
				}
				return nil
			})
			if err == nil {
				wg.Wait()
			}
			return err
		},
		Close: p.Release,
	}
}
