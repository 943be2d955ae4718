package pipeline_test

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/testkit"
	"github.com/antflow/antflow/pipeline"
)

// A thousand workers that wait for input and output have next to nothing to
// wait for besides: the schedule lets as many items through as the narrowest
// stage can, in order and not, with even calls and, unordered, with uneven ones.
func TestThousandWorkersAreBusy(t *testing.T) {
	const workers, rounds = 333, 60
	for _, c := range []struct {
		name          string
		ordered, even bool
		opts          []pipeline.StageOption
	}{
		{"in order", true, true, nil},
		{"unordered", false, true, nil},
		{"uneven", false, false, nil},
		{"retrying", true, true, []pipeline.StageOption{antflow.Retries(2)}},
		{"tasks", true, true, []pipeline.StageOption{antflow.WithSemaphore(antflow.NewSemaphore(1 << 20))}},
	} {
		t.Run(c.name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				e := antflow.New(3 * workers)
				defer e.Close()
				sleep := func(_ context.Context, x int) (int, error) {
					d := time.Millisecond
					if !c.even {
						d = time.Duration(500+rand.IntN(1001)) * time.Microsecond
					}
					time.Sleep(d)
					return x, nil
				}
				stage := func(name string) pipeline.Pipeline[int, int] {
					return pipeline.Stage(name, sleep, append(c.opts, pipeline.Workers(workers))...)
				}
				p := pipeline.Then(pipeline.Then(stage("a"), stage("b")), stage("c"))
				run := p.RunUnordered
				if c.ordered {
					run = p.Run
				}
				start, n := time.Now(), 0
				for _, err := range run(t.Context(), e, upTo(workers*rounds)) {
					if err != nil {
						t.Fatal(err)
					}
					n++
				}
				ideal := (rounds + 2) * time.Millisecond // the last one goes through three stages
				got := float64(ideal) / float64(time.Since(start))
				t.Logf("%d items at %.1f%% of the ideal throughput", n, 100*got)
				if n != workers*rounds || c.even && got < 0.97 || got < 0.9 {
					t.Errorf("%d items of %d, at %.1f%% of the ideal throughput", n, workers*rounds, 100*got)
				}
			})
		})
	}
}
