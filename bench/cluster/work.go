package clusterbench

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/bench"
)

// handlers is how many handlers run at a time.
const handlers = 8

// double is what all contenders do.
var double = antflow.NewTask("double", func(_ context.Context, n int) (int, error) { return 2 * n, nil })

// A contender is an opened one. Its batch submits the tasks from first on, n of
// them, and returns when all results are here and were right. No task is
// submitted twice.
type contender struct {
	batch func(ctx context.Context, first, n int) error
	close func()
}

type opening func(ctx context.Context) (*contender, error)

// stuckAfter is how long a batch may take.
const stuckAfter = 5 * time.Minute

// probe has fn time a contender that was opened for it.
func probe(open opening, fn func(ctx context.Context, c *contender, n int) ([]bench.Value, error)) func(n int) ([]bench.Value, error) {
	return func(n int) ([]bench.Value, error) {
		ctx, cancel := context.WithTimeout(context.Background(), stuckAfter)
		defer cancel()
		c, err := open(ctx)
		if err != nil {
			return nil, err
		}
		defer c.close()
		return fn(ctx, c, n)
	}
}

// probeBatch times a batch, after one to warm up.
func probeBatch(open opening, goal bench.Goal) func(n int) ([]bench.Value, error) {
	return probe(open, func(ctx context.Context, c *contender, n int) ([]bench.Value, error) {
		warm := min(2000, n)
		if err := c.batch(ctx, 0, warm); err != nil {
			return nil, err
		}
		runtime.GC()
		start := time.Now()
		if err := c.batch(ctx, warm, n); err != nil {
			return nil, err
		}
		took := time.Since(start)
		return []bench.Value{
			{Name: "time for each task", Unit: "µs", X: took.Seconds() * 1e6 / float64(n), Goal: goal},
			{Name: "tasks in a second", X: float64(n) / took.Seconds()},
		}, nil
	})
}

// tripsFor is how long tasks are timed one at a time, for who takes so long that
// there is no point in all of them.
const tripsFor = 5 * time.Second

// probeRoundTrip times n tasks, one at a time, after some to warm up.
func probeRoundTrip(open opening, goal bench.Goal) func(n int) ([]bench.Value, error) {
	return probe(open, func(ctx context.Context, c *contender, n int) ([]bench.Value, error) {
		var trips []float64
		begin := time.Now()
		warm := n / 10
		for i := range warm + n {
			if i == warm {
				runtime.GC()
				begin, trips = time.Now(), nil
			}
			start := time.Now()
			if err := c.batch(ctx, i, 1); err != nil {
				return nil, err
			}
			if trips = append(trips, time.Since(start).Seconds()*1e6); time.Since(begin) > tripsFor {
				break
			}
		}
		slices.Sort(trips)
		return []bench.Value{
			{Name: "median", Unit: "µs", X: bench.Median(trips), Goal: goal},
			{Name: "99 of 100 are within", Unit: "µs", X: bench.Percentile(trips, 0.99)},
		}, nil
	})
}

// A tally counts the results of a batch. A task may have two where it may run
// twice; the first one counts.
type tally struct {
	first int
	seen  []bool
	left  int
}

func newTally(first, n int) *tally { return &tally{first: first, seen: make([]bool, n), left: n} }

// add takes the result of a task.
func (t *tally) add(in, out int) error {
	i := in - t.first
	if i < 0 || i >= len(t.seen) {
		return nil // of a batch before
	}
	if out != 2*in {
		return fmt.Errorf("wrong result: got %d of task %d", out, in)
	}
	if !t.seen[i] {
		t.seen[i] = true
		t.left--
	}
	return nil
}

// An outcome is a task with its result, for contenders that have no other way to
// tell which one it is of.
type outcome struct{ In, Out int }

// collect counts the outcomes that come, until there is one of each task.
func (t *tally) collect(ctx context.Context, outcomes <-chan outcome) error {
	for t.left > 0 {
		select {
		case o := <-outcomes:
			if err := t.add(o.In, o.Out); err != nil {
				return err
			}
		case <-ctx.Done():
			return fmt.Errorf("%d of %d results are missing: %w", t.left, len(t.seen), ctx.Err())
		}
	}
	return nil
}

// alive is how many bytes of the heap are, after a collection.
func alive() uint64 {
	runtime.GC()
	runtime.GC() // what finalizers and pools held until the first
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
