package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/testkit"
	"github.com/antflow/antflow/pipeline"
)

var errStorm = errors.New("storm")

// unruly is a stage's function that does all that a function can do.
func unruly(seed uint64) func(context.Context, int) (int, error) {
	return func(ctx context.Context, x int) (int, error) {
		r := rand.New(rand.NewPCG(seed, rand.Uint64()))
		if r.IntN(3) > 0 {
			if err := testkit.Sleep(ctx, time.Duration(r.IntN(5))*time.Millisecond); err != nil {
				return 0, err
			}
		}
		switch r.IntN(40) {
		case 0:
			panic("storm")
		case 1:
			runtime.Goexit()
		case 2:
			return 0, pipeline.ErrSkipped
		case 3:
			return 0, antflow.RetryAfter(errStorm, time.Millisecond)
		case 4:
			return 0, antflow.Permanent(errStorm)
		case 5, 6, 7:
			return 0, errStorm
		}
		return x, nil
	}
}

// stormy is a pipeline with one of everything.
func stormy(rnd *rand.Rand) pipeline.Pipeline[int, int] {
	n := 0
	options := func() []pipeline.StageOption {
		opts := []pipeline.StageOption{pipeline.Workers(1 + rnd.IntN(4))}
		if rnd.IntN(2) == 0 {
			opts = append(opts, pipeline.Buffer(rnd.IntN(3)))
		}
		switch rnd.IntN(4) {
		case 0:
			opts = append(opts, antflow.Retries(rnd.IntN(3)), antflow.RetryDelay(time.Duration(rnd.IntN(3))*time.Millisecond))
		case 1:
			opts = append(opts, antflow.WithSemaphore(antflow.NewSemaphore(1+rnd.Int64N(3))))
		case 2:
			opts = append(opts, antflow.Timeout(3*time.Millisecond))
		}
		return opts
	}
	stage := func() pipeline.Pipeline[int, int] {
		n++
		return pipeline.Stage(fmt.Sprintf("s%d", n), unruly(rnd.Uint64()), options()...)
	}
	few := 1 + rnd.IntN(5)
	many := pipeline.FlatMap("many", func(_ context.Context, x int) iter.Seq2[int, error] {
		return func(yield func(int, error) bool) {
			for i := range x % 4 * few {
				if i%3 == 2 {
					time.Sleep(time.Millisecond)
				}
				if !yield(x, nil) {
					return
				}
			}
			if x%7 == 0 {
				yield(0, errStorm)
			}
		}
	}, options()...)
	sum := pipeline.Stage("sum", func(_ context.Context, xs []int) ([]int, error) {
		if rand.IntN(10) == 0 {
			return nil, errStorm
		}
		return xs, nil
	}, pipeline.Workers(2))
	batches := pipeline.Then(pipeline.Then(pipeline.Batch[int](1+rnd.IntN(4), time.Duration(rnd.IntN(4))*time.Millisecond), sum), pipeline.Unbatch[int]())
	routed := pipeline.Route(
		pipeline.When(func(x int) bool { return x%3 == 0 }, pipeline.Then(stage(), batches)),
		pipeline.When(func(x int) bool { return x%3 == 1 }, many),
		pipeline.When(func(x int) bool {
			if x%29 == 0 {
				panic("route")
			}
			return x%31 != 0
		}, pipeline.Tee(stage(), pipeline.Pass[int]())),
	)
	return pipeline.Then(pipeline.Then(stage(), routed), stage())
}

// Whatever happens to a run, each future of it settles, nothing is left, and
// the figures add up at any instant.
func TestRunStorm(t *testing.T) {
	seeds := 60
	if testing.Short() {
		seeds = 15
	}
	base := uint64(time.Now().UnixNano())
	if *oneSeed != 0 {
		base, seeds = *oneSeed, 1
	}
	for i := range uint64(seeds) {
		if !t.Run("", func(t *testing.T) { testkit.Bubble(t, func(t *testing.T) { storm(t, base+i) }) }) {
			t.Fatalf("seed %d", base+i)
		}
	}
}

func storm(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 2))
	e := antflow.New(1 + rnd.IntN(6))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	p := stormy(rnd)
	run := p.Start(ctx, e, pipeline.Window(1+rnd.IntN(30)), pipeline.History(rnd.IntN(3)))
	var mu sync.Mutex
	var futures []*antflow.Future[int]
	var feeding sync.WaitGroup
	for range 1 + rnd.IntN(4) {
		seed := rnd.Uint64()
		feeding.Add(1)
		go func() {
			defer feeding.Done()
			r := rand.New(rand.NewPCG(seed, 3))
			for range 30 {
				feed := ctx
				if r.IntN(3) == 0 {
					own, stop := context.WithTimeout(ctx, time.Duration(r.IntN(20))*time.Millisecond)
					defer stop()
					feed = own
				}
				f := run.Feed(feed, r.IntN(100), pipeline.WithPriority(r.IntN(3)))
				if r.IntN(10) == 0 {
					f.Cancel()
				}
				mu.Lock()
				futures = append(futures, f)
				mu.Unlock()
			}
		}()
	}
	how, after := rnd.IntN(6), time.Duration(1+rnd.IntN(60))*time.Millisecond
	ended := testkit.Started(func() { // rnd is its own from here on
		for range 40 {
			time.Sleep(time.Duration(rnd.IntN(4)) * time.Millisecond)
			s := run.Snapshot()
			for _, st := range s.Stages {
				sum := uint64(st.Waiting+st.Running+st.Delayed) + st.Done + st.Failed + st.Skipped + st.Canceled
				if sum != st.Entered || st.Running < 0 {
					t.Errorf("stage %+v: the sum is %d", st, sum)
				}
			}
			run.Items()
			if err := run.CheckInvariants(); err != nil {
				t.Error(err)
			}
			if rnd.IntN(4) == 0 {
				run.Resize(p.Stages()[0], 1+rnd.IntN(5))
			}
		}
	})
	time.Sleep(after)
	switch how {
	case 0:
		run.Stop()
	case 1:
		cancel()
	case 2:
		e.Shutdown(context.Background(), antflow.CancelRunning())
	case 3:
		e.Shutdown(context.Background(), antflow.CancelQueued())
	case 4:
		e.Close()
	}
	feeding.Wait()
	run.Close()
	<-ended
	for i, f := range futures {
		if !f.IsDone() {
			t.Errorf("seed %d: the future of input %d has not settled", seed, i)
		}
	}
	s := run.Snapshot()
	if !s.Over || s.Items != 0 || s.Batched != 0 {
		t.Errorf("seed %d: %+v", seed, s)
	}
	for _, st := range s.Stages {
		if st.Waiting+st.Running+st.Delayed+st.Blocked+st.Incoming != 0 {
			t.Errorf("seed %d: %+v", seed, st)
		}
	}
	e.Close()
	if left := slices.IndexFunc(s.Stages, func(st pipeline.StageStats) bool { return st.Entered > 0 }); left < 0 && len(futures) == 0 {
		t.Errorf("seed %d: nothing was done", seed)
	}
}
