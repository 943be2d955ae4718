package pipeline_test

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
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

// Where items are made into many parts, the workers of the next stage have
// enough of those that come first, though later items could fill all room with
// theirs.
func TestPartsKeepTheNextStageBusy(t *testing.T) {
	const workers, parts, window = 8, 4000, 64
	ones := func(fan int) iter.Seq2[int, error] {
		return func(yield func(int, error) bool) {
			for range fan {
				if !yield(1, nil) {
					return
				}
			}
		}
	}
	flatMap := func(name string, fan int) pipeline.Pipeline[int, int] {
		return pipeline.FlatMap(name, func(context.Context, int) iter.Seq2[int, error] { return ones(fan) }, pipeline.Workers(workers))
	}
	pass := pipeline.Stage("pass", func(_ context.Context, x int) (int, error) { return x, nil }, pipeline.Workers(4))
	expands := []struct {
		name string
		fans []int
		by   func(fan int) pipeline.Pipeline[int, int]
	}{
		{"FlatMap", []int{1, 10, 1000}, func(fan int) pipeline.Pipeline[int, int] { return flatMap("parts", fan) }},
		{"FlatMap of FlatMap", []int{10, 1000}, func(fan int) pipeline.Pipeline[int, int] {
			return pipeline.Then(flatMap("parts", fan/2), flatMap("twice", 2))
		}},
		{"Unbatch", []int{1, 10, 1000}, func(fan int) pipeline.Pipeline[int, int] {
			return pipeline.Then(pipeline.Stage("slice", func(context.Context, int) ([]int, error) {
				return slices.Repeat([]int{1}, fan), nil
			}, pipeline.Workers(workers)), pipeline.Unbatch[int]())
		}},
		{"Tee", []int{2, 50}, func(fan int) pipeline.Pipeline[int, int] {
			return pipeline.Tee(slices.Repeat([]pipeline.Pipeline[int, int]{pass}, fan)...)
		}},
	}
	for _, ordered := range []bool{true, false} {
		for _, c := range expands {
			for _, fan := range c.fans {
				t.Run(fmt.Sprint(c.name, fan, ordered), func(t *testing.T) {
					inBubble(t, 2*workers, func(t *testing.T, e *antflow.Executor) {
						p := pipeline.Then(c.by(fan), pipeline.Stage("work", func(_ context.Context, x int) (int, error) {
							time.Sleep(10 * time.Millisecond)
							return x, nil
						}, pipeline.Workers(workers)))
						run := p.RunUnordered
						if ordered {
							run = p.Run
						}
						start := time.Now()
						values, errs := results(run(t.Context(), e, upTo(parts/fan), pipeline.Window(window)))
						expect(t, "results", len(values), parts)
						expect(t, "errors", errs, []error(nil))
						ideal := parts / workers * 10 * time.Millisecond
						// A part that comes last of those that come at once makes the
						// window wait for it: a round of work more, now and then.
						if took := time.Since(start); took < ideal || took > ideal*11/10 {
							t.Errorf("it took %v, and would have taken %v at best", took, ideal)
						}
					})
				})
			}
		}
	}
}
