package bench

import (
	"context"
	"fmt"
	"iter"

	"github.com/alitto/pond/v2"
	"github.com/antflow/antflow"
	conciter "github.com/sourcegraph/conc/iter"
	"github.com/sourcegraph/conc/stream"
	"golang.org/x/sync/errgroup"
)

func mapOrdered() Row {
	return Row{
		Name:  "map-ordered",
		Title: "Double each number of a sequence, concurrently and in order. An operation is one number.",
		Floor: "Three parties take turns, source, workers and consumer, and none may be more than the window ahead. The floor is " +
			"the same with a goroutine between two channels as long as the window. For numbers as cheap as these the parties " +
			"wait for one another more than they work: that is why so little of the cores is in use.",
		Ops:      200_000,
		ShortOps: 2_000,
		Cases: []Case{
			{Contender: "antflow.Map", Goal: AtMost(100), Open: openMap},
			{Contender: "conc stream", Goal: Slower(8), Open: openConcStream},
			{Contender: "pond result group", Goal: Slower(8), Open: openPondResultGroup},
			{Contender: "two channels of 64, one goroutine", Goal: Note("the floor"), Open: openChannels},
		},
	}
}

func mapSlice() Row {
	return Row{
		Name:  "map-slice",
		Title: "Double each number of a slice of 10,000; over and over. An operation is one number.",
		Floor: "conc has one shared counter and neither contexts nor errors; a third of its time is less than the plain loop " +
			"takes, which is the floor. An item of antflow is a task: it has a context that ends with it, an ID, and can be " +
			"canceled alone. The contexts, and the collection of them, are most of the time.",
		Ops:      1_000_000,
		ShortOps: 2_000,
		Cases: []Case{
			{Contender: "antflow.MapSlice", Open: openMapSlice(double)},
			{Contender: "conc iter.Map", Goal: Slower(3), Open: openConcIter(double)},
			{Contender: "errgroup, one g.Go an item", Goal: Slower(30), Open: openErrgroupSlice(double)},
			{Contender: "plain loop", Goal: Note("the floor"), Open: openLoop(double)},
		},
	}
}

// double is the work of the maps.
func double(x int) int { return 2 * x }

// numbers returns 0, 1, …, n-1.
func numbers(n int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := range n {
			if !yield(i) {
				return
			}
		}
	}
}

// inOrder checks that doubled numbers come in the order of the numbers.
type inOrder struct {
	seen int
	err  error
}

func (o *inOrder) add(v int) {
	if v != 2*o.seen && o.err == nil {
		o.err = fmt.Errorf("wrong result: got %d in the place of %d", v, 2*o.seen)
	}
	o.seen++
}

// end returns the first deviation among n numbers.
func (o *inOrder) end(n int) error {
	if o.err != nil {
		return o.err
	}
	return check(int64(o.seen), int64(n))
}

func openMap(func()) Runner {
	e := antflow.New(Workers)
	fn := func(_ context.Context, x int) (int, error) { return double(x), nil }
	return Runner{
		Run: func(n int) error {
			var order inOrder
			for v, err := range antflow.Map(context.Background(), e, numbers(n), fn) {
				if err != nil {
					return err
				}
				order.add(v)
			}
			return order.end(n)
		},
		Close: func() { e.Close() },
	}
}

// openChannels has one goroutine do the work, so it comes in order.
func openChannels(func()) Runner {
	return Runner{
		Run: func(n int) error {
			inputs, results := make(chan int, 64), make(chan int, 64)
			go func() {
				for x := range inputs {
					results <- double(x)
				}
				close(results)
			}()
			go func() {
				for x := range n {
					inputs <- x
				}
				close(inputs)
			}()
			var order inOrder
			for v := range results {
				order.add(v)
			}
			return order.end(n)
		},
		Close: nothing,
	}
}

func openConcStream(func()) Runner {
	return Runner{
		Run: func(n int) error {
			var order inOrder
			s := stream.New().WithMaxGoroutines(Workers)
			for x := range numbers(n) {
				s.Go(func() stream.Callback {
					v := double(x)
					return func() { order.add(v) }
				})
			}
			s.Wait()
			return order.end(n)
		},
		Close: nothing,
	}
}

// openPondResultGroup takes the sequence in batches, since a group of pond
// returns its results all at once.
func openPondResultGroup(func()) Runner {
	p := pond.NewResultPool[int](Workers)
	return Runner{
		Run: func(n int) error {
			var order inOrder
			g, size := p.NewGroup(), 0
			flush := func() error {
				results, err := g.Wait()
				for _, v := range results {
					order.add(v)
				}
				g, size = p.NewGroup(), 0
				return err
			}
			for x := range numbers(n) {
				g.Submit(func() int { return double(x) })
				if size++; size == batchSize {
					if err := flush(); err != nil {
						return err
					}
				}
			}
			if err := flush(); err != nil {
				return err
			}
			return order.end(n)
		},
		Close: p.StopAndWait,
	}
}

// sliceSize is the length of the slices that are mapped.
const sliceSize = 10_000

// openSlice doubles slices of up to sliceSize numbers and checks the sum of each
// result.
func openSlice(apply func([]int) ([]int, error), done func()) Runner {
	inputs := make([]int, sliceSize)
	for i := range inputs {
		inputs[i] = i
	}
	return Runner{
		Run: func(n int) error {
			for n > 0 {
				k := min(n, sliceSize)
				results, err := apply(inputs[:k])
				if err != nil {
					return err
				}
				var sum int64
				for _, v := range results {
					sum += int64(v)
				}
				if err := check(sum, 2*sumBelow(k)); err != nil {
					return err
				}
				n -= k
			}
			return nil
		},
		Close: done,
	}
}

func openMapSlice(fn func(int) int) func(func()) Runner {
	return func(func()) Runner {
		e := antflow.New(Workers)
		mapper := func(_ context.Context, x int) (int, error) { return fn(x), nil }
		apply := func(inputs []int) ([]int, error) {
			return antflow.MapSlice(context.Background(), e, inputs, mapper)
		}
		return openSlice(apply, func() { e.Close() })
	}
}

func openConcIter(fn func(int) int) func(func()) Runner {
	return func(func()) Runner {
		mapper := conciter.Mapper[int, int]{MaxGoroutines: Workers}
		apply := func(inputs []int) ([]int, error) {
			return mapper.Map(inputs, func(x *int) int { return fn(*x) }), nil
		}
		return openSlice(apply, nothing)
	}
}

func openErrgroupSlice(fn func(int) int) func(func()) Runner {
	return func(func()) Runner {
		apply := func(inputs []int) ([]int, error) {
			var g errgroup.Group
			g.SetLimit(Workers)
			results := make([]int, len(inputs))
			for i, x := range inputs {
				g.Go(func() error {
					results[i] = fn(x)
					return nil
				})
			}
			return results, g.Wait()
		}
		return openSlice(apply, nothing)
	}
}

func openLoop(fn func(int) int) func(func()) Runner {
	return func(func()) Runner {
		apply := func(inputs []int) ([]int, error) {
			results := make([]int, len(inputs))
			for i, x := range inputs {
				results[i] = fn(x)
			}
			return results, nil
		}
		return openSlice(apply, nothing)
	}
}
