package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/testkit"
	"github.com/antflow/antflow/pipeline"
)

// A delivery is a result and when the loop had it.
type delivery struct {
	x  int
	at time.Duration
}

func (d delivery) String() string { return fmt.Sprintf("%d@%v", d.x, d.at) }

func deliveries(t *testing.T, seq iter.Seq2[int, error]) (ds []delivery) {
	t.Helper()
	start := time.Now()
	for x, err := range seq {
		if err != nil {
			t.Error(err)
		}
		ds = append(ds, delivery{x, time.Since(start)})
	}
	return ds
}

// slowFirst takes ten seconds for item 0, and one for any other.
func slowFirst(r *record) func(context.Context, int) (int, error) {
	return func(_ context.Context, x int) (int, error) {
		r.begin(x)
		defer r.end()
		if x == 0 {
			time.Sleep(9 * time.Second)
		}
		time.Sleep(time.Second)
		return x, nil
	}
}

// In order, the results behind a slow item come with it, having been worked on
// meanwhile: an item that waits for its turn holds no worker of any stage.
func TestASlowItemHoldsUpNoOther(t *testing.T) {
	inBubble(t, 10, func(t *testing.T, e *antflow.Executor) {
		a, b := newRecord(), newRecord()
		p := pipeline.Then(pipeline.Stage("a", slowFirst(a), pipeline.Workers(2)), pipeline.Stage("b", b.taking(time.Second), pipeline.Workers(1)))
		got := deliveries(t, p.Run(t.Context(), e, upTo(6)))
		expect(t, "results", got, "[0@11s 1@11s 2@11s 3@11s 4@11s 5@11s]")
		expect(t, "calls of a", a, "[0:[0s] 1:[0s] 2:[1s] 3:[2s] 4:[3s] 5:[4s]]")
		expect(t, "calls of b", b, "[0:[10s] 1:[1s] 2:[2s] 3:[3s] 4:[4s] 5:[5s]]")
	})
	inBubble(t, 10, func(t *testing.T, e *antflow.Executor) {
		r := newRecord()
		p := pipeline.Then(pipeline.Stage("a", slowFirst(r), pipeline.Workers(2)), pipeline.Stage("b", same))
		got := deliveries(t, p.RunUnordered(t.Context(), e, upTo(6)))
		expect(t, "results", got, "[1@1s 2@2s 3@3s 4@4s 5@5s 0@10s]")
	})
}

// Neither does one that waits for a retry, nor one that fails.
func TestAFailureComesInItsPlace(t *testing.T) {
	for _, ordered := range []bool{true, false} {
		inBubble(t, 10, func(t *testing.T, e *antflow.Executor) {
			p := pipeline.Stage("a", func(_ context.Context, x int) (int, error) {
				if x == 1 {
					return 7, errFlaky
				}
				time.Sleep(time.Second)
				return x, nil
			}, pipeline.Workers(2), antflow.Retries(1), antflow.RetryDelay(seconds(5)))
			run := p.RunUnordered
			want := "[0@1s 2@1s 3@2s 4@2s 5@3s 1@5s]"
			if ordered {
				run = p.Run
				want = "[0@1s 1@5s 2@5s 3@5s 4@5s 5@5s]"
			}
			start := time.Now()
			var got []delivery
			for x, err := range run(t.Context(), e, upTo(6)) {
				var item *pipeline.ItemError
				if errors.As(err, &item) {
					if x != 0 {
						t.Error("a value beside the error:", x)
					}
					x = int(item.Item.ID)
				}
				got = append(got, delivery{x, time.Since(start)})
			}
			slices.SortStableFunc(got, func(a, b delivery) int { return int(a.at - b.at) })
			if !ordered { // which of those of an instant comes first is free
				slices.SortFunc(got, func(a, b delivery) int {
					if a.at != b.at {
						return int(a.at - b.at)
					}
					return a.x - b.x
				})
			}
			expect(t, "results", got, want)
		})
	}
}

// Random times never change the order, whatever the stages between do.
func TestRunKeepsTheOrder(t *testing.T) {
	for seed := range uint64(20) {
		inBubble(t, 5, func(t *testing.T, e *antflow.Executor) {
			rnd := rand.New(rand.NewPCG(seed, 7))
			const n = 200
			stage := func(name string) pipeline.Pipeline[int, int] {
				var times [n]time.Duration
				for i := range times {
					times[i] = time.Duration(rnd.IntN(1000)) * time.Millisecond
				}
				return pipeline.Stage(name, func(_ context.Context, x int) (int, error) {
					time.Sleep(times[x])
					return x, nil
				}, pipeline.Workers(1+rnd.IntN(5)), pipeline.Buffer(rnd.IntN(5)))
			}
			got, errs := results(join3(stage("a"), stage("b"), stage("c")).Run(t.Context(), e, upTo(n), pipeline.Window(1+rnd.IntN(100))))
			if len(got) != n || !slices.IsSorted(got) || errs != nil {
				t.Error(seed, got, errs)
			}
		})
	}
}

// Nothing happens until the iterator is ranged over, and each range is a run of
// its own, with items counted from 0.
func TestEachRangeIsARun(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, e *antflow.Executor) {
		var src source
		ids := pipeline.Stage("a", func(ctx context.Context, x int) (uint64, error) {
			item, _ := pipeline.ItemFrom(ctx)
			return item.ID, nil
		}, pipeline.Workers(4))
		seq := ids.Run(t.Context(), e, src.first(5))
		expect(t, "inputs", src.asked.Load(), 0)
		expect(t, "tasks", e.Stats().Submitted, 0)
		for range 3 {
			values, errs := results(seq)
			expect(t, "results", values, "[0 1 2 3 4]")
			expect(t, "errors", errs, []error(nil))
		}
		expect(t, "inputs", src.asked.Load(), 15)
		for range seq {
			break
		}
		values, _ := results(seq)
		expect(t, "results after a loop that was left", values, "[0 1 2 3 4]")
		for x := range seq { // a range within a range
			inner, _ := results(seq)
			expect(t, fmt.Sprint("results within ", x), inner, "[0 1 2 3 4]")
		}
	})
}

func TestRunOfNothing(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, e *antflow.Executor) {
		for range pipeline.Stage("a", same).Run(t.Context(), e, upTo(0)) {
			t.Error("a result of nothing")
		}
		for range pipeline.Pass[int]().RunUnordered(t.Context(), e, upTo(0)) {
			t.Error("a result of nothing")
		}
		values, _ := results(pipeline.Pass[int]().Run(t.Context(), e, upTo(300)))
		expect(t, "results", len(values), 300)
		if !slices.IsSorted(values) {
			t.Error(values)
		}
	})
}

// One value is run many times at once, on executors of its own or a shared one:
// runs share neither workers nor items.
func TestManyRunsAtOnce(t *testing.T) {
	inBubble(t, 6, func(t *testing.T, shared *antflow.Executor) {
		var calls atomic.Int64
		stage := pipeline.Stage("a", func(_ context.Context, x int) (int, error) {
			calls.Add(1)
			time.Sleep(time.Second)
			return 2 * x, nil
		}, pipeline.Workers(2))
		p := join3(stage, pipeline.Batch[int](3, 0), pipeline.Reduce("sum", func() int { return 0 }, func(_ context.Context, sum int, xs []int) (int, error) {
			for _, x := range xs {
				sum += x
			}
			return sum, nil
		}))
		start := time.Now()
		var wg sync.WaitGroup
		for i := range 6 {
			wg.Go(func() {
				e := shared
				if i >= 3 {
					e = antflow.New(2)
					defer e.Close()
				}
				run := p.Run
				if i%2 == 0 {
					run = p.RunUnordered
				}
				values, errs := results(run(t.Context(), e, upTo(10*(i+1))))
				n := 10 * (i + 1)
				expect(t, fmt.Sprint("sum of ", n), values, []int{n * (n - 1)})
				expect(t, "errors", errs, []error(nil))
			})
		}
		wg.Wait()
		expect(t, "calls", calls.Load(), 10*(1+2+3+4+5+6))
		expect(t, "time", time.Since(start), seconds(30)) // of the longest: two at a time
	})
}

// Of an item of a higher priority each stage takes notice, and Priority goes
// with it.
func TestPriorityGoesWithTheItem(t *testing.T) {
	inBubble(t, 10, func(t *testing.T, e *antflow.Executor) {
		a, b := newRecord(), newRecord()
		p := pipeline.Then(
			pipeline.Stage("a", a.taking(time.Second), pipeline.Buffer(10)),
			pipeline.Stage("b", b.taking(seconds(3)), pipeline.Buffer(10)))
		by := pipeline.PriorityBy(func(x int) int { return x % 3 })
		got := deliveries(t, p.RunUnordered(t.Context(), e, upTo(6), by))
		expect(t, "calls of a", a, "[0:[0s] 1:[3s] 2:[1s] 3:[5s] 4:[4s] 5:[2s]]")
		expect(t, "results", got, "[0@4s 2@7s 5@10s 1@13s 4@16s 3@19s]")
	})
}

// A negative priority lets all others go first.
func TestNegativePriority(t *testing.T) {
	inBubble(t, 10, func(t *testing.T, e *antflow.Executor) {
		r := newRecord()
		p := pipeline.Stage("a", r.taking(time.Second), pipeline.Buffer(10))
		results(p.Run(t.Context(), e, upTo(5), pipeline.PriorityBy(func(x int) int { return -x % 3 })))
		expect(t, "calls", r, "[0:[0s] 1:[2s] 2:[4s] 3:[1s] 4:[3s]]")
	})
}

// Items of a higher priority come first where stages compete for the executor,
// however far upstream they are.
func TestPriorityComesBeforeDownstream(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, e *antflow.Executor) {
		var order []string
		stage := func(name string) pipeline.Pipeline[int, int] {
			return pipeline.Stage(name, func(_ context.Context, x int) (int, error) {
				order = append(order, fmt.Sprint(name, x))
				time.Sleep(time.Second)
				return x, nil
			}, pipeline.Workers(10), pipeline.Buffer(10))
		}
		inputs := func(yield func(int) bool) {
			_ = yield(0) && func() bool { time.Sleep(time.Second / 2); return yield(1) }() && yield(2)
		}
		results(pipeline.Then(stage("a"), stage("b")).Run(t.Context(), e, inputs, pipeline.PriorityBy(func(x int) int { return x })))
		expect(t, "order", order, "[a0 a2 b2 a1 b1 b0]")
	})
}

// In order a stage begins with the items as they came in, whatever was behind
// whom in the stage before; with one worker a retry holds up those behind it.
func TestStageInOrder(t *testing.T) {
	for _, workers := range []int{1, 3} {
		for _, opts := range [][]pipeline.StageOption{nil, options(antflow.WithSemaphore(antflow.NewSemaphore(10)))} {
			inBubble(t, 20, func(t *testing.T, e *antflow.Executor) {
				uneven := pipeline.Stage("uneven", func(ctx context.Context, x int) (int, error) {
					return x, testkit.Sleep(ctx, time.Duration(x*7%5)*time.Millisecond)
				}, pipeline.Workers(4))
				var mu sync.Mutex
				var begun []int
				fails := map[int]bool{3: true, 4: true}
				write := pipeline.Stage("write", func(ctx context.Context, x int) (int, error) {
					mu.Lock()
					defer mu.Unlock()
					if c, _ := pipeline.CallFrom(ctx); c.Attempt == 1 && workers == 1 {
						begun = append(begun, x)
					}
					if fails[x] {
						delete(fails, x)
						return 0, errFlaky
					}
					if workers == 1 {
						begun = append(begun, -x)
					}
					return x, nil
				}, append(opts, pipeline.InOrder(), pipeline.Workers(workers), antflow.Retries(1))...)
				events := pipeline.OnEvent(func(ev pipeline.Event) {
					if workers > 1 && ev.Stage == "write" && ev.Kind == pipeline.EventStarted && ev.Attempt == 1 {
						begun = append(begun, int(ev.Item.ID))
					}
				})
				values, _ := results(pipeline.Then(uneven, write).Run(t.Context(), e, upTo(10), events))
				expect(t, "results", values, "[0 1 2 3 4 5 6 7 8 9]")
				switch {
				case workers == 1:
					expect(t, "calls", begun, "[0 0 1 -1 2 -2 3 -3 4 -4 5 -5 6 -6 7 -7 8 -8 9 -9]")
				case opts == nil: // tasks that begin at the same time say so as they get to it
					expect(t, "begun", begun, "[0 1 2 3 4 5 6 7 8 9]")
				}
			})
		}
	}
}
