package bench

import (
	"context"
	"fmt"
	"iter"
	"runtime"
	"time"

	"github.com/antflow/antflow"
)

func mapSliceCPU() Row {
	return Row{
		Name:     "map-slice-20us",
		Title:    "20 µs of computing for each number of a slice. An operation is one number; the plain loop's ratio is the speed-up.",
		Ops:      5_000,
		ShortOps: 50,
		Cases:    speedUp(func() func(int) int { return computing(spinFor(20*time.Microsecond), 0) }),
	}
}

func mapSliceMixed() Row {
	return Row{
		Name:     "map-slice-mixed",
		Title:    "The same when one in a hundred takes 2 ms.",
		Ops:      5_000,
		ShortOps: 100,
		Cases: speedUp(func() func(int) int {
			return computing(spinFor(20*time.Microsecond), spinFor(2*time.Millisecond))
		}),
	}
}

// computing returns a function that doubles after as many turns, or long ones
// at each hundredth number unless that is 0.
func computing(turns, long int) func(int) int {
	return func(x int) int {
		n := turns
		if long > 0 && x%100 == 50 {
			n = long
		}
		spin(n)
		return double(x)
	}
}

// speedUp compares ways to map a slice with the plain loop. Work is made when
// it is needed, since that takes time.
func speedUp(work func() func(int) int) []Case {
	lazily := func(open func(func(int) int) func(func()) Runner) func(func()) Runner {
		return func(task func()) Runner { return open(work())(task) }
	}
	ideal := Note(fmt.Sprintf("ideal %dx", runtime.GOMAXPROCS(0)))
	return []Case{
		{Contender: "antflow.MapSlice", Open: lazily(openMapSlice)},
		{Contender: "plain loop", Goal: ideal, Open: lazily(openLoop)},
		{Contender: "conc iter.Map", Goal: Note("reported"), Open: lazily(openConcIter)},
		{Contender: "errgroup, one g.Go an item", Goal: Note("reported"), Open: lazily(openErrgroupSlice)},
	}
}

func mapVariants() Row {
	return Row{
		Name:     "map-variants",
		Title:    "Double each number of a sequence as in map-ordered, by Map's sisters. An operation is one number.",
		Ops:      200_000,
		ShortOps: 2_000,
		Cases: []Case{
			{Contender: "antflow.Map", Open: openMap},
			{Contender: "antflow.MapUnordered", Goal: Within(1.3), Open: openMapUnordered},
			{Contender: "antflow.Map2", Goal: Within(1.3), Open: openMap2},
		},
	}
}

func openMapUnordered(func()) Runner {
	e := antflow.New(Workers)
	fn := func(_ context.Context, x int) (int, error) { return double(x), nil }
	return Runner{
		Run: func(n int) error {
			var sum int64
			for item, err := range antflow.MapUnordered(context.Background(), e, numbers(n), fn) {
				if err != nil {
					return err
				}
				sum += int64(item.Value)
			}
			return check(sum, 2*sumBelow(n))
		},
		Close: func() { e.Close() },
	}
}

// pairs returns (0, 0), (1, 1), …, (n-1, n-1).
func pairs(n int) iter.Seq2[int, int] {
	return func(yield func(int, int) bool) {
		for i := range n {
			if !yield(i, i) {
				return
			}
		}
	}
}

func openMap2(func()) Runner {
	e := antflow.New(Workers)
	fn := func(_ context.Context, a, b int) (int, error) { return a + b, nil }
	return Runner{
		Run: func(n int) error {
			var order inOrder
			for v, err := range antflow.Map2(context.Background(), e, pairs(n), fn) {
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
