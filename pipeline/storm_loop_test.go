package pipeline_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/testkit"
	"github.com/antflow/antflow/pipeline"
)

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

// calm is a stage's function that does all that one can do, but mostly nothing,
// and often looks around.
func calm(seed uint64, look func()) func(context.Context, int) (int, error) {
	rough := unruly(seed)
	return func(ctx context.Context, x int) (int, error) {
		switch rand.IntN(20) {
		case 0:
			return rough(ctx, x)
		case 1, 2, 3:
			look()
		}
		return x, nil
	}
}

func loopStorm(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 4))
	e := antflow.New(1 + rnd.IntN(6))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := 0
	var m pipeline.Monitor
	buffers := make(map[string]int)
	look := func() { // as the loads are: it recalls none
		for name := range buffers {
			if err := m.CheckRoom(name); err != nil {
				t.Error(err)
			}
		}
	}
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
		return pipeline.Stage(fmt.Sprintf("q%d", n), calm(rnd.Uint64(), look), opts...)
	}
	p := stage()
	for range rnd.IntN(4) {
		p = pipeline.Then(p, stage())
	}
	if rnd.IntN(3) == 0 {
		p = pipeline.Then(p, stormy(rnd))
	}
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
			case <-time.After(time.Duration(1+rnd.IntN(3000)) * time.Microsecond):
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
	s := m.Snapshot()
	first := s.Stages[0]
	if how == 5 && (first.Entered != uint64(inputs) || s.Items != 0 || !s.Over) {
		t.Errorf("seed %d: %+v", seed, s)
	}
	e.Close()
	close(over)
	<-watched
	for _, st := range m.Snapshot().Stages {
		if st.Waiting+st.Running+st.Delayed+st.Blocked+st.Incoming != 0 {
			t.Errorf("seed %d: %+v", seed, st)
		}
	}
}
