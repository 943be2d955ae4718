package pipeline_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/testkit"
	"github.com/antflow/antflow/pipeline"
)

// Each way to end a call ends it for its item alone.
func TestLoadsAndFailures(t *testing.T) {
	errSeven := errors.New("seven")
	fails := func(_ context.Context, x int) (int, error) {
		switch {
		case x%7 == 6:
			return 0, errSeven
		case x%11 == 10:
			panic(x)
		case x%13 == 12:
			runtime.Goexit()
		case x%17 == 16:
			return 0, pipeline.ErrSkipped
		}
		return x, nil
	}
	for _, ordered := range []bool{true, false} {
		testkit.Bubble(t, func(t *testing.T) {
			e := antflow.New(8)
			defer e.Close()
			var m pipeline.Monitor
			var g sluice
			gathers := func(_ context.Context, x int) (int, error) {
				g.pass(x, 20, 28)
				return x, nil
			}
			p := pipeline.Then(pipeline.Then(pipeline.Stage("a", gathers, pipeline.Workers(8), pipeline.Buffer(200)), pipeline.Stage("b", fails, pipeline.Workers(2))), pipeline.Stage("c", inc0))
			run := p.RunUnordered
			if ordered {
				run = p.Run
			}
			var values []int
			var panics, exits, sevens int
			for v, err := range run(t.Context(), e, g.inputs(1000, 80), pipeline.Loads(1), pipeline.WithMonitor(&m)) {
				var crash *antflow.PanicError
				switch {
				case err == nil:
					values = append(values, v)
				case errors.Is(err, errSeven):
					sevens++
				case errors.Is(err, antflow.ErrGoexit):
					exits++
				case errors.As(err, &crash):
					panics++
				default:
					t.Error(err)
				}
				if err := m.CheckInvariants(); err != nil {
					t.Fatal(err)
				}
			}
			var want []int
			var counts [4]int
			for x := range 1000 {
				switch {
				case x%7 == 6:
					counts[0]++
				case x%11 == 10:
					counts[1]++
				case x%13 == 12:
					counts[2]++
				case x%17 == 16:
					counts[3]++
				default:
					want = append(want, x)
				}
			}
			if !ordered {
				slices.Sort(values)
			}
			if !slices.Equal(values, want) {
				t.Errorf("%d values, want %d", len(values), len(want))
			}
			b := m.Snapshot().Stages[1]
			if got := [4]int{sevens, panics, exits, int(b.Skipped)}; got != counts || int(b.Failed) != counts[0]+counts[1]+counts[2] {
				t.Errorf("got %v, want %v: %+v", got, counts, b)
			}
		})
	}
}

// A retry begins with the item that failed, and the others go on meanwhile, also
// where a stage is at several places.
func TestLoadsAndRetries(t *testing.T) {
	for _, places := range []int{1, 2} {
		testkit.Bubble(t, func(t *testing.T) {
			e := antflow.New(3)
			defer e.Close()
			var m pipeline.Monitor
			tries := make([]int, 300)
			var g sluice
			p := pipeline.Stage("s", func(ctx context.Context, x int) (int, error) {
				tries[x]++
				g.pass(x, 20, 21)
				if c, _ := pipeline.CallFrom(ctx); c.Attempt != tries[x] || c.Item.ID != uint64(x) {
					t.Errorf("try %d of %d: %+v", tries[x], x, c)
				}
				if x%10 == 9 && tries[x] < 3 {
					return 0, errors.New("flaky")
				}
				return x, nil
			}, pipeline.Workers(1), pipeline.Buffer(200), antflow.Retries(2), antflow.RetryDelay(time.Second))
			if places == 2 {
				p = pipeline.Route(pipeline.When(func(x int) bool { return x%10 == 9 }, p), pipeline.Otherwise(p))
			}
			p = pipeline.Then(p, pipeline.Stage("t", inc0))
			n := 0
			for v, err := range p.Run(t.Context(), e, g.inputs(len(tries), 60), pipeline.Loads(1), pipeline.WithMonitor(&m)) {
				if v != n || err != nil {
					t.Fatal(n, v, err)
				}
				n++
			}
			if s := m.Snapshot().Stages[0]; s.Retried != 60 || s.Done != 300 {
				t.Errorf("%+v", s)
			}
		})
	}
}
