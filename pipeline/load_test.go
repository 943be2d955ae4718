package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"runtime"
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

// A retry begins with the item that failed, and the others go on meanwhile.
func TestLoadsAndRetries(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(3)
		defer e.Close()
		var m pipeline.Monitor
		tries := make([]int, 300)
		var g sluice
		p := pipeline.Then(pipeline.Stage("s", func(ctx context.Context, x int) (int, error) {
			tries[x]++
			g.pass(x, 20, 21)
			if c, _ := pipeline.CallFrom(ctx); c.Attempt != tries[x] || c.Item.ID != uint64(x) {
				t.Errorf("try %d of %d: %+v", tries[x], x, c)
			}
			if x%10 == 9 && tries[x] < 3 {
				return 0, errors.New("flaky")
			}
			return x, nil
		}, pipeline.Workers(1), pipeline.Buffer(200), antflow.Retries(2), antflow.RetryDelay(time.Second)), pipeline.Stage("t", inc0))
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

// Whatever happens to the loop over a run, it ends, and the figures add up at
// any instant.
func TestLoopStorm(t *testing.T) {
	seeds := 60
	if testing.Short() {
		seeds = 15
	}
	base := uint64(time.Now().UnixNano())
	if *oneSeed != 0 {
		base, seeds = *oneSeed, 1
	}
	for i := range uint64(seeds) {
		if !t.Run("", func(t *testing.T) { testkit.Bubble(t, func(t *testing.T) { loopStorm(t, base+i) }) }) {
			t.Fatalf("seed %d", base+i)
		}
	}
}

// calm is a stage's function that does all that one can do, but mostly nothing.
func calm(seed uint64) func(context.Context, int) (int, error) {
	rough := unruly(seed)
	return func(ctx context.Context, x int) (int, error) {
		if rand.IntN(20) > 0 {
			return x, nil
		}
		return rough(ctx, x)
	}
}

func loopStorm(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 4))
	e := antflow.New(1 + rnd.IntN(6))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := 0
	buffers := make(map[string]int)
	stage := func() pipeline.Pipeline[int, int] {
		n++
		opts := []pipeline.StageOption{pipeline.Workers(1 + rnd.IntN(5))}
		buffer := rnd.IntN(20)
		if rnd.IntN(2) == 0 {
			opts = append(opts, pipeline.Buffer(buffer))
		} else {
			buffer = 64
		}
		if rnd.IntN(3) > 0 { // what waits for a retry has no bound
			buffers[fmt.Sprintf("q%d", n)] = buffer
		} else {
			opts = append(opts, antflow.Retries(2), antflow.RetryDelay(time.Millisecond))
		}
		return pipeline.Stage(fmt.Sprintf("q%d", n), calm(rnd.Uint64()), opts...)
	}
	p := stage()
	for range rnd.IntN(4) {
		p = pipeline.Then(p, stage())
	}
	if rnd.IntN(3) == 0 {
		p = pipeline.Then(p, stormy(rnd))
	}
	var m pipeline.Monitor
	inputs, how, resizes := 1000, rnd.IntN(6), rnd.IntN(2) == 0
	if resizes {
		delete(buffers, p.Stages()[0])
	}
	run := p.RunUnordered
	if rnd.IntN(2) == 0 {
		run = p.Run
	}
	opts := []pipeline.RunOption{pipeline.Loads(1 + rnd.IntN(4)), pipeline.Window(1 + rnd.IntN(200)), pipeline.WithMonitor(&m)}
	over := make(chan struct{})
	watched := testkit.Started(func() { // rnd is its own from here on
		for {
			select {
			case <-over:
				return
			case <-time.After(time.Duration(rnd.IntN(3000)) * time.Microsecond):
			}
			if m.Snapshot().Stages == nil {
				continue // it has not begun
			}
			for _, st := range m.Snapshot().Stages {
				sum := uint64(st.Waiting+st.Running+st.Delayed) + st.Done + st.Failed + st.Skipped + st.Canceled
				if sum != st.Entered || st.Running < 0 {
					t.Errorf("stage %+v: the sum is %d", st, sum)
				}
				if buffer, ok := buffers[st.Name]; ok && st.Waiting > buffer {
					t.Errorf("stage %+v: more than %d wait", st, buffer)
				}
			}
			if err := m.CheckInvariants(); err != nil {
				t.Error(err)
			}
			if resizes && rnd.IntN(4) == 0 {
				m.Resize(p.Stages()[0], 1+rnd.IntN(5))
			}
		}
	})
	results := 0
	for range run(ctx, e, upTo(inputs), opts...) {
		results++
		if results == 500 {
			switch how {
			case 0:
				cancel()
			case 1:
				go e.Shutdown(context.Background(), antflow.CancelRunning())
			case 2:
				go e.Shutdown(context.Background(), antflow.CancelQueued())
			case 3:
				go e.Close()
			}
			if how == 4 {
				break
			}
		}
	}
	close(over)
	<-watched
	s := m.Snapshot()
	first := s.Stages[0]
	if how == 5 && (first.Entered != uint64(inputs) || s.Items != 0 || !s.Over) {
		t.Errorf("seed %d: %+v", seed, s)
	}
	e.Close()
	for _, st := range m.Snapshot().Stages {
		if st.Waiting+st.Running+st.Delayed+st.Blocked+st.Incoming != 0 {
			t.Errorf("seed %d: %+v", seed, st)
		}
	}
}
