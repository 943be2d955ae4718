package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/pipeline"
)

// A runOrder notes the calls of stages in their order.
type runOrder struct {
	mu    sync.Mutex
	calls map[string][]string
}

func (o *runOrder) note(stage string, x any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.calls == nil {
		o.calls = make(map[string][]string)
	}
	o.calls[stage] = append(o.calls[stage], fmt.Sprint(x))
}

func (o *runOrder) of(stage string) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Join(o.calls[stage], " ")
}

func runNoted[T any](o *runOrder, name string, d time.Duration, opts ...pipeline.StageOption) pipeline.Pipeline[T, T] {
	return pipeline.Stage(name, func(_ context.Context, x T) (T, error) {
		o.note(name, x)
		time.Sleep(d)
		return x, nil
	}, opts...)
}

// Inputs "<priority><name>": a, the first, is called at once.
var runRanked = []string{"0a", "0b", "2c", "-1d", "1e", "2f", "0g", "-1h"}

const runByRank = "0a 2c 2f 1e 0b 0g -1d -1h"

func runRank(s string) (n int) {
	fmt.Sscanf(s, "%d", &n)
	return n
}

// In each stage, whatever its options, the higher ones come first, and those
// of one priority as they came.
func TestPrioritiesInAStage(t *testing.T) {
	for name, opts := range map[string][]pipeline.StageOption{
		"plain":     nil,
		"retries":   options(antflow.Retries(2)),
		"timeout":   options(antflow.Timeout(time.Hour)),
		"semaphore": options(antflow.WithSemaphore(antflow.NewSemaphore(1))),
		"rate":      options(antflow.WithRateLimit(runLimit{})),
		"adaptive":  options(pipeline.Adaptive(1, 1)),
		"queue":     options(antflow.QueueTimeout(time.Hour)),
		"priority":  options(antflow.Priority(3)),
		"named":     options(antflow.TaskName("x"), antflow.Retries(1), antflow.RetryDelay(0)),
	} {
		for _, option := range []bool{false, true} {
			inBubble(t, 2, func(t *testing.T, e *antflow.Executor) {
				var o runOrder
				p := runNoted[string](&o, "a", time.Second, opts...)
				var run *pipeline.Run[string, string]
				if option {
					run = p.Start(t.Context(), e, pipeline.PriorityBy(runRank))
				} else {
					run = p.Start(t.Context(), e)
				}
				for _, x := range runRanked {
					if option {
						run.Feed(t.Context(), x)
					} else {
						run.Feed(t.Context(), x, pipeline.WithPriority(runRank(x)))
					}
					synctest.Wait()
				}
				run.Close()
				expect(t, name, o.of("a"), runByRank)
			})
		}
	}
}

type runLimit struct{}

func (runLimit) Wait(context.Context) error { return nil }

// The semaphore lets one work at a time: whoever waits for its permit has a
// place among the others by its priority.
func TestPrioritiesBeforeAPermit(t *testing.T) {
	inBubble(t, 16, func(t *testing.T, e *antflow.Executor) {
		var o runOrder
		run := runNoted[string](&o, "a", time.Second, pipeline.Workers(16), antflow.WithSemaphore(antflow.NewSemaphore(1))).
			Start(t.Context(), e, pipeline.PriorityBy(runRank))
		for _, x := range runRanked {
			run.Feed(t.Context(), x)
			synctest.Wait()
		}
		run.Close()
		expect(t, "order", o.of("a"), runByRank)
	})
}

// A retry comes back to its place: behind those of higher priority.
func TestPrioritiesOfRetries(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, e *antflow.Executor) {
		var o runOrder
		run := pipeline.Stage("a", func(ctx context.Context, x string) (string, error) {
			c, _ := pipeline.CallFrom(ctx)
			o.note("a", fmt.Sprint(x, c.Attempt))
			time.Sleep(time.Second)
			if c.Attempt == 1 && (x == "0a" || x == "2c") {
				return "", errFlaky
			}
			return x, nil
		}, antflow.Retries(1), antflow.RetryDelay(1500*time.Millisecond)).Start(t.Context(), e, pipeline.PriorityBy(runRank))
		for _, x := range runRanked {
			run.Feed(t.Context(), x)
			synctest.Wait()
		}
		run.Close()
		// 0a is back at 2.5s, before 0b and 0g, which came later; 2c at 3.5s.
		expect(t, "order", o.of("a"), "0a1 2c1 2f1 1e1 2c2 0a2 0b1 0g1 -1d1 -1h1")
	})
}

// The priority goes with an item through stages, and with what is made of it.
func TestPrioritiesGoThrough(t *testing.T) {
	var o runOrder
	first := func() pipeline.Pipeline[string, string] {
		return runNoted[string](&o, "first", 0, pipeline.Workers(8))
	}
	parts := pipeline.FlatMap("parts", func(_ context.Context, x string) iter.Seq2[string, error] {
		return func(yield func(string, error) bool) {
			if yield(x, nil) {
				yield(x, nil)
			}
		}
	}, pipeline.Workers(8))
	last := func() pipeline.Pipeline[string, string] { return runNoted[string](&o, "last", time.Second) }
	const twice = "0a 2c 2c 2f 2f 1e 1e 0a 0b 0b 0g 0g -1d -1d -1h -1h"
	for name, c := range map[string]struct {
		p    pipeline.Pipeline[string, string]
		want string
	}{
		"stages":  {join3(first(), pipeline.Pass[string](), last()), runByRank},
		"retries": {join3(runNoted[string](&o, "first", 0, pipeline.Workers(8), antflow.Retries(3)), pipeline.Pass[string](), last()), runByRank},
		"filter":  {pipeline.Then(pipeline.Filter("first", func(context.Context, string) (bool, error) { return true, nil }, pipeline.Workers(8)), last()), runByRank},
		"route":   {pipeline.Then(pipeline.Route(pipeline.Otherwise(first())), last()), runByRank},
		"parts":   {pipeline.Then(parts, last()), twice},
		"tee":     {pipeline.Then(pipeline.Tee(first(), pipeline.Pass[string]()), last()), twice},
		"unbatch": {join3(pipeline.Batch[string](1, 0), pipeline.Unbatch[string](), last()), runByRank},
		"behind a stage of batches": {join3(pipeline.Batch[string](1, 0),
			pipeline.Stage("batches", func(_ context.Context, xs []string) ([]string, error) { return xs, nil }, pipeline.Workers(8)),
			pipeline.Then(pipeline.Unbatch[string](), last())), runByRank},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 16, func(t *testing.T, e *antflow.Executor) {
				o = runOrder{}
				run := c.p.Start(t.Context(), e, pipeline.PriorityBy(runRank))
				run.Feed(t.Context(), runRanked[0])
				synctest.Wait()
				for _, x := range runRanked[1:] {
					run.Feed(t.Context(), x)
					synctest.Wait()
				}
				run.Close()
				expect(t, "order", o.of("last"), c.want)
			})
		})
	}
}

// A batch has the priority of the highest in it, or else it would hold that up;
// what is taken out of it has its own again.
func TestPrioritiesOfBatches(t *testing.T) {
	inBubble(t, 16, func(t *testing.T, e *antflow.Executor) {
		var o runOrder
		p := join3(pipeline.Batch[string](2, 0), runNoted[[]string](&o, "batch", time.Second),
			pipeline.Then(pipeline.Unbatch[string](), runNoted[string](&o, "last", 10*time.Second)))
		run := p.Start(t.Context(), e, pipeline.PriorityBy(runRank))
		for _, x := range []string{"0a", "0b", "0c", "0d", "1e", "1f", "1g", "1h"} {
			run.Feed(t.Context(), x)
			synctest.Wait()
		}
		run.Close()
		expect(t, "batches", o.of("batch"), "[0a 0b] [1e 1f] [1g 1h] [0c 0d]")
		expect(t, "last", o.of("last"), "0a 1e 1f 1g 1h 0b 0c 0d")
	})
}

func TestFeedAtAStage(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, e *antflow.Executor) {
		p := join3(
			pipeline.Stage("parse", func(_ context.Context, s string) (n int, err error) { _, err = fmt.Sscan(s, &n); return }),
			pipeline.Route(pipeline.When(even, pipeline.Pass[int]()), pipeline.Otherwise(pipeline.Stage("odd", func(_ context.Context, x int) (int, error) { return 1000 + x, nil }))),
			pipeline.Then(pipeline.Batch[int](2, 0), pipeline.Stage("sum", func(ctx context.Context, xs []int) (string, error) {
				it, _ := pipeline.ItemFrom(ctx)
				return fmt.Sprint(xs, it.Key, ctx.Value(runKey{})), nil
			})))
		run := pipeline.Results(p).Start(t.Context(), e)
		ctx := context.WithValue(t.Context(), runKey{}, "mine")
		var ends []*antflow.Future[pipeline.Result[string]]
		for _, feed := range []func() *antflow.Future[pipeline.Result[string]]{
			func() *antflow.Future[pipeline.Result[string]] { return run.Feed(ctx, "4") },
			func() *antflow.Future[pipeline.Result[string]] { return pipeline.FeedAt(ctx, run, "odd", 8) }, // past the predicate
			func() *antflow.Future[pipeline.Result[string]] { return pipeline.FeedAt(ctx, run, "parse", "9") },
			func() *antflow.Future[pipeline.Result[string]] { return run.Feed(ctx, "5") },
			func() *antflow.Future[pipeline.Result[string]] {
				return pipeline.FeedAt(ctx, run, "sum", []int{1, 2, 3}, pipeline.WithKey("three"), pipeline.WithPriority(1))
			},
		} {
			ends = append(ends, feed())
			synctest.Wait()
		}
		expect(t, "Close", run.Close(), nil)
		var got []string
		for _, f := range ends {
			r, err := f.Result(t.Context())
			if err != nil {
				t.Error(err)
			}
			got = append(got, strings.Split(r.Value, "]")[0], fmt.Sprint(r.Item.ID))
		}
		expect(t, "results", got, "[[4 1008 0 [4 1008 0 [1009 1005 2 [1009 1005 2 [1 2 3 4]")
		r, _ := ends[4].Result(t.Context())
		expect(t, "the one at the end", []any{r.Value, r.Item, r.Item.Members, len(r.Visits), r.Visits[0].Stage}, `[[1 2 3]threemine item "three" [] 1 sum]`)
	})
}

func TestFeedAtChecksItsArguments(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, e *antflow.Executor) {
		a := pipeline.Stage("a", func(_ context.Context, x any) (error, error) { err, _ := x.(error); return err, nil })
		b := pipeline.Stage("b", func(_ context.Context, err error) (error, error) { return err, nil })
		run := pipeline.Then(a, b).Start(t.Context(), e)
		// The type of a stage's items may be an interface, and x what has it.
		f := pipeline.FeedAt[error](t.Context(), run, "b", errFlaky)
		g := pipeline.FeedAt[any](t.Context(), run, "a", errFlaky)
		h := pipeline.FeedAt[error](t.Context(), run, "b", nil)
		run.Close()
		for i, f := range []*antflow.Future[error]{f, g, h} {
			got, err := f.Result(t.Context())
			expect(t, fmt.Sprint("result ", i), []any{got, err}, []any{[]error{errFlaky, errFlaky, nil}[i], nil})
		}
		for text, fn := range map[string]func(){
			"int": func() { pipeline.FeedAt(t.Context(), run, "b", 7) },
			`"B"`: func() { pipeline.FeedAt(t.Context(), run, "B", errFlaky) },
			`""`:  func() { pipeline.FeedAt(t.Context(), run, "", errFlaky) },
		} {
			checkMessage(t, panicOf(fn), "FeedAt", text)
		}
		checkMessage(t, panicOf(func() { run.DeadLetters(nilContext) }), "DeadLetters", "nil", "context")
	})
}

func TestKeysGoWithTheItems(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, e *antflow.Executor) {
		calls := 0
		key := pipeline.Key(func(s string) string { calls++; return "key of " + s })
		var o runOrder
		a := pipeline.Stage("a", func(ctx context.Context, x string) (string, error) {
			it, ok := pipeline.ItemFrom(ctx)
			o.note("a", fmt.Sprint(it.Key, ok))
			if x == "bad" {
				return "", errFlaky
			}
			return x, nil
		}, antflow.Retries(1), antflow.RetryDelay(0))
		run := a.Start(t.Context(), e, key)
		run.Feed(t.Context(), "x")
		run.Feed(t.Context(), "y", pipeline.WithKey("mine"))
		bad := run.Feed(t.Context(), "bad")
		run.Close()
		expect(t, "keys", o.of("a"), "key of xtrue minetrue key of badtrue key of badtrue")
		if calls > 3 {
			t.Errorf("Key was called %d times for 3 inputs", calls)
		}
		item, _ := errors.AsType[*pipeline.ItemError](bad.Err())
		expect(t, "the failure", []any{item.Item.Key, item.Attempts}, "[key of bad 2]")
		checkMessage(t, item.Error(), `"a"`, `item "key of bad"`)
	})
}
