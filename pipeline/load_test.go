package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/testkit"
	"github.com/antflow/antflow/pipeline"
)

// Carriers take the items of quick stages several at a time. Nobody is to see
// that: these tests say what is to be seen.

// A sluice lets what comes in gather before a stage, so that there is something to
// be taken at a time.
type sluice struct{ open chan struct{} }

// inputs are n numbers. The sluice opens when the first until are there.
func (g *sluice) inputs(n, until int) iter.Seq[int] {
	g.open = make(chan struct{})
	return func(yield func(int) bool) {
		time.Sleep(time.Second) // at the start of its clock a run knows no times
		for i := range n {
			if i == until {
				close(g.open)
			}
			if !yield(i) {
				return
			}
		}
	}
}

// pass waits for the sluice in the calls for some of the numbers.
func (g *sluice) pass(x, from, to int) {
	if x >= from && x < to {
		<-g.open
	}
}

// A call of a stage that was quick waits for a later item's call: others take
// the items that its carrier had in hand.
func TestLoadOfACallThatBlocksIsTaken(t *testing.T) {
	for _, stages := range []int{1, 2, 3} {
		testkit.Bubble(t, func(t *testing.T) {
			e := antflow.New(4)
			defer e.Close()
			later := make(chan struct{})
			var g sluice
			gathers := func(_ context.Context, x int) (int, error) {
				g.pass(x, 20, 24)
				return x, nil
			}
			blocks := func(_ context.Context, x int) (int, error) {
				switch x {
				case 40:
					<-later
				case 45:
					close(later)
				}
				return x, nil
			}
			p := pipeline.Stage("gathers", gathers, pipeline.Workers(4), pipeline.Buffer(200))
			for i := range stages - 1 {
				p = pipeline.Then(p, pipeline.Stage(fmt.Sprint(i), inc0, pipeline.Workers(4)))
			}
			p = pipeline.Then(p, pipeline.Stage("blocks", blocks, pipeline.Workers(4)))
			n := 0
			for v, err := range p.Run(t.Context(), e, g.inputs(100, 70), pipeline.Loads(1)) {
				if v != n || err != nil {
					t.Fatal(n, v, err)
				}
				n++
			}
			if n != 100 {
				t.Error(n)
			}
		})
	}
}

func inc0(_ context.Context, x int) (int, error) { return x, nil }

// Calls that all block have all of the stage's workers, as ever.
func TestLoadsDoNotTakeWorkersAway(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(8)
		defer e.Close()
		var now, most atomic.Int64
		start := time.Now()
		var g sluice
		p := pipeline.Stage("s", func(_ context.Context, x int) (int, error) {
			g.pass(x, 42, 50)
			if x >= 50 {
				most.Store(max(most.Load(), now.Add(1)))
				time.Sleep(time.Second)
				now.Add(-1)
			}
			return x, nil
		}, pipeline.Workers(8), pipeline.Buffer(200))
		for _, err := range p.Run(t.Context(), e, g.inputs(50+80, 100), pipeline.Loads(1)) {
			if err != nil {
				t.Fatal(err)
			}
		}
		// A second for each eight, and the two looks of the watch before.
		if took := time.Since(start) - time.Second; most.Load() != 8 || took > 10*time.Second+10*time.Millisecond {
			t.Error(most.Load(), took)
		}
	})
}

// From within a call the run looks as if there were a call for each item.
func TestLoadsAreNotInASnapshot(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(4)
		defer e.Close()
		var m pipeline.Monitor
		called := 0
		var g sluice
		p := pipeline.Then(pipeline.Stage("s", func(_ context.Context, x int) (int, error) {
			g.pass(x, 20, 21)
			switch {
			case x > 20 && x%4 == 0:
				s := m.Snapshot().Stages[0]
				if s.Done != uint64(called) || s.Running != 1 || s.Entered != s.Done+1+uint64(s.Waiting) {
					t.Errorf("in call %d: %+v", called, s)
				}
			case x > 20 && x%4 == 2:
				for _, it := range m.ItemsIn("s") {
					want := pipeline.ItemWaiting
					if it.Item.ID == uint64(x) {
						want = pipeline.ItemRunning
					}
					if it.State != want || it.Item.ID < uint64(x) {
						t.Errorf("in call %d: %+v", called, it)
					}
				}
			}
			called++
			return x, nil
		}, pipeline.Workers(1), pipeline.Buffer(200)), pipeline.Stage("t", inc0, pipeline.Workers(2)))
		n := 0
		for v, err := range p.Run(t.Context(), e, g.inputs(200, 60), pipeline.Loads(1), pipeline.WithMonitor(&m)) {
			if v != n || err != nil {
				t.Fatal(n, v, err)
			}
			if err := m.CheckInvariants(); err != nil {
				t.Fatal(err)
			}
			n++
		}
	})
}

// Where the run ends, no call begins any more.
func TestLoadsEndWithTheRun(t *testing.T) {
	ends := map[string]func(*testing.T, *antflow.Executor, context.CancelFunc) error{
		"fail fast": func(*testing.T, *antflow.Executor, context.CancelFunc) error { return errors.New("fails") },
		"canceled": func(_ *testing.T, _ *antflow.Executor, cancel context.CancelFunc) error {
			cancel()
			time.Sleep(time.Microsecond)
			return nil
		},
		"shut down": func(_ *testing.T, e *antflow.Executor, _ context.CancelFunc) error {
			go e.Shutdown(context.Background(), antflow.CancelRunning())
			time.Sleep(time.Microsecond)
			return nil
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				e := antflow.New(2)
				defer e.Close()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				calls := 0
				var g sluice
				p := pipeline.Stage("s", func(_ context.Context, x int) (int, error) {
					calls++
					g.pass(x, 90, 91)
					if x == 100 {
						return 0, end(t, e, cancel)
					}
					return x, nil
				}, pipeline.Workers(1), pipeline.Buffer(200))
				var last error
				for _, err := range p.Run(ctx, e, g.inputs(1000, 130), pipeline.Loads(1), pipeline.FailFast()) {
					last = err
				}
				e.Close()
				if calls != 101 || last == nil {
					t.Error(calls, last)
				}
			})
		})
	}
}

// More workers come into effect at once, also for what a carrier has in hand.
func TestLoadsAndResize(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(4)
		defer e.Close()
		var m pipeline.Monitor
		start := time.Now()
		others := make(chan struct{}, 2)
		var g sluice
		p := pipeline.Stage("s", func(_ context.Context, x int) (int, error) {
			g.pass(x, 90, 91)
			switch x {
			case 100:
				m.Resize("s", 3)
				<-others
				<-others
			case 101, 102:
				others <- struct{}{}
			}
			return x, nil
		}, pipeline.Workers(1), pipeline.Buffer(200))
		for _, err := range p.Run(t.Context(), e, g.inputs(200, 130), pipeline.Loads(1), pipeline.WithMonitor(&m)) {
			if err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took != time.Second {
			t.Error(took)
		}
	})
}

// An item of a higher priority comes before those that a carrier has in hand.
func TestLoadsAndPriorities(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(2)
		defer e.Close()
		there, comes := make(chan struct{}), make(chan struct{})
		var order []int
		p := pipeline.Stage("s", func(_ context.Context, x int) (int, error) {
			order = append(order, x)
			if x == 30 {
				<-there
			}
			if x == 40 {
				close(comes)
				time.Sleep(time.Microsecond) // until it is there
			}
			return x, nil
		}, pipeline.Workers(1), pipeline.Buffer(200))
		inputs := func(yield func(int) bool) {
			time.Sleep(time.Second)
			for i := range 60 {
				if i == 50 {
					close(there)
					<-comes
				}
				if i == 50 && !yield(1000) || !yield(i) {
					return
				}
			}
		}
		prio := pipeline.PriorityBy(func(x int) int { return x / 1000 })
		for _, err := range p.Run(t.Context(), e, inputs, pipeline.Loads(1), prio) {
			if err != nil {
				t.Fatal(err)
			}
		}
		if i := slices.Index(order, 1000); order[i-1] != 40 || order[i+1] != 41 {
			t.Error(order)
		}
	})
}

// However many a carrier has in hand, there is no more between two stages than
// the buffer and the workers take.
func TestLoadsAndBuffers(t *testing.T) {
	for buffer := range 5 {
		testkit.Bubble(t, func(t *testing.T) {
			e := antflow.New(8)
			defer e.Close()
			var done, begun atomic.Int64
			var g sluice
			p := pipeline.Then(
				pipeline.Stage("quick", func(_ context.Context, x int) (int, error) {
					g.pass(x, 80, 82)
					done.Add(1)
					return x, nil
				}, pipeline.Workers(2), pipeline.Buffer(200)),
				pipeline.Stage("slow", func(_ context.Context, x int) (int, error) {
					begun.Add(1)
					if x >= 100 {
						time.Sleep(time.Second)
					}
					return x, nil
				}, pipeline.Workers(1), pipeline.Buffer(buffer)))
			n := 0
			for v, err := range p.Run(t.Context(), e, g.inputs(130, 125), pipeline.Loads(1)) {
				if v != n || err != nil {
					t.Fatal(v, err)
				}
				n++
				if n == 101 {
					// All that can go on has done so, and taken no time but that of
					// the watch.
					time.Sleep(time.Second / 2)
					if want := begun.Load() + int64(buffer) + 2; done.Load() != want {
						t.Fatalf("buffer %d: %d done, %d of them called for, want %d", buffer, done.Load(), begun.Load(), want)
					}
				}
			}
		})
	}
}
