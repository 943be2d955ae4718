package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/testkit"
	"github.com/antflow/antflow/pipeline"
)

// The futures of what random pipelines are fed tell what the model says of
// their inputs, whoever feeds, from wherever, and whatever is canceled.
func TestRandomGraphsAreFed(t *testing.T) {
	for seed := range uint64(150) {
		if *oneSeed != 0 {
			seed = *oneSeed
		}
		if !t.Run(fmt.Sprint(seed), func(t *testing.T) { runFedGraph(t, seed) }) || *oneSeed != 0 {
			return
		}
	}
}

func runFedGraph(t *testing.T, seed uint64) {
	testkit.Bubble(t, func(t *testing.T) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		b := newBuilder(t, rnd, false)
		g := b.graph(1 + rnd.IntN(4))
		p := g.p
		gathers := rnd.IntN(2) == 0
		if gathers {
			p = pipeline.Then(join3(pipeline.Batch[value](1+rnd.IntN(4), time.Duration(rnd.IntN(2))*time.Millisecond),
				pipeline.Stage("batches", func(_ context.Context, vs []value) ([]value, error) { return vs, nil }, pipeline.Workers(2)),
				pipeline.Unbatch[value]()), p)
		}
		text := fmt.Sprintf("gathers %v: %s", gathers, g.text)
		e := antflow.New(1 + rnd.IntN(6))
		defer e.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		events := 0
		run := p.Start(ctx, e, pipeline.Window(1+rnd.IntN(20)), pipeline.History(rnd.IntN(9)), pipeline.OnEvent(func(pipeline.Event) { events++ }))
		feeders, each := 1+rnd.IntN(3), 1+rnd.IntN(30)
		futures := make([]*antflow.Future[value], feeders*each)
		canceled := make([]bool, len(futures))
		for i := range canceled {
			canceled[i] = rnd.IntN(8) == 0
		}
		input := func(i int) value { return value{fmt.Sprintf("%02d", i)} }
		var fed []<-chan struct{}
		for i := range feeders {
			fed = append(fed, testkit.Started(func() {
				for j := range each {
					n := i*each + j
					ctx, cancel := context.WithCancel(ctx)
					futures[n] = run.Feed(ctx, input(n), pipeline.WithPriority(n%3))
					switch {
					case canceled[n] && n%2 == 0:
						time.AfterFunc(time.Duration(1+n%5)*time.Millisecond, cancel)
					case canceled[n]:
						time.AfterFunc(time.Duration(1+n%5)*time.Millisecond, func() { futures[n].Cancel() })
					}
					context.AfterFunc(t.Context(), cancel)
				}
			}))
		}
		for range 20 {
			time.Sleep(time.Millisecond)
			synctest.Wait()
			if err := run.CheckInvariants(); err != nil {
				t.Fatalf("%v\n%s\n%s", err, text, run.Dump())
			}
			runSum(t, run.Snapshot())
		}
		for _, done := range fed {
			<-done
		}
		if err := run.Shutdown(ctx); err != nil {
			t.Errorf("%v\n%s\n%s", err, text, run.Dump())
			run.Stop()
		}
		for i, f := range futures {
			want := render(g.model([]value{input(i)}))
			v, err := f.Result(ctx)
			switch {
			case canceled[i] && errors.Is(err, antflow.ErrCanceled):
			case len(want) == 0 && errors.Is(err, pipeline.ErrSkipped):
			case err != nil || !slices.Contains(want, fmt.Sprint([]string(v))):
				t.Errorf("%s\ninput %d: %v, %v, want one of %v", text, i, v, err, want)
			}
		}
		s := run.Snapshot()
		runSum(t, s)
		steps := uint64(0)
		for _, st := range s.Stages {
			steps += st.Entered + st.Done + st.Failed + st.Skipped + st.Canceled
			if st.Waiting+st.Running+st.Delayed+st.Incoming+st.Blocked != 0 {
				t.Errorf("%s\n%+v", text, st)
			}
		}
		if s.Items != 0 || s.Batched != 0 || s.Inputs != uint64(len(futures)) || uint64(events) < steps {
			t.Errorf("%s\n%d events of %d steps: %+v", text, events, steps, s)
		}
	})
}

// The members of a batch are inputs, also where batches are gathered again.
func TestMembersOfBatchesOfBatches(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, e *antflow.Executor) {
		p := join3(pipeline.Batch[int](2, 0), pipeline.Batch[[]int](2, 0), pipeline.Stage("s", func(ctx context.Context, x [][]int) (string, error) {
			it, _ := pipeline.ItemFrom(ctx)
			return fmt.Sprint(x, it.Members), nil
		}))
		run := p.Start(t.Context(), e)
		futures := runFeed(t, run, 1, 2, 3, 4)
		run.Close()
		want := "[[1 2] [3 4]] [0 1 2 3]"
		expect(t, "results", runOutcomes(t, futures), []string{want, want, want, want})
	})
}
