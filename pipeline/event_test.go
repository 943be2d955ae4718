package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/testkit"
	"github.com/antflow/antflow/pipeline"
)

// runEvents writes down events, by item.
type runEvents struct {
	start time.Time
	busy  atomic.Bool
	mu    sync.Mutex
	of    map[uint64][]string
	last  map[uint64]time.Time
	t     *testing.T
}

func (r *runEvents) option(t *testing.T) pipeline.RunOption {
	r.start, r.of, r.last, r.t = time.Now(), make(map[uint64][]string), make(map[uint64]time.Time), t
	return pipeline.OnEvent(r.note)
}

func (r *runEvents) note(ev pipeline.Event) {
	if !r.busy.CompareAndSwap(false, true) {
		r.t.Error("two calls at a time")
	}
	defer r.busy.Store(false)
	if ev.Time.Before(r.last[ev.Item.ID]) {
		r.t.Errorf("%v is earlier than the event before it", ev)
	}
	r.last[ev.Item.ID] = ev.Time
	text := fmt.Sprint(ev.Time.Sub(r.start), " ", ev.Kind, " ", ev.Stage, " ", ev.Attempt)
	if ev.Err != nil {
		text += " error"
	}
	if ev.Queued+ev.Worked != 0 {
		text += fmt.Sprint(" ", ev.Queued, "+", ev.Worked)
	}
	r.mu.Lock()
	r.of[ev.Item.ID] = append(r.of[ev.Item.ID], text)
	r.mu.Unlock()
}

func (r *runEvents) check(t *testing.T, id uint64, want ...string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Equal(r.of[id], want) {
		t.Errorf("events of item %d:\n%q, want\n%q", id, r.of[id], want)
	}
}

func TestEventsOfItems(t *testing.T) {
	inBubble(t, 8, func(t *testing.T, e *antflow.Executor) {
		var r runEvents
		a := pipeline.Stage("a", func(ctx context.Context, x int) (int, error) {
			c, _ := pipeline.CallFrom(ctx)
			time.Sleep(time.Second)
			switch {
			case x == 1 && c.Attempt == 1, x == 2:
				return 0, errFlaky
			case x == 3:
				return 0, pipeline.ErrSkipped
			case x == 4:
				return 0, ctx.Err()
			case x == 5:
				return 0, antflow.Permanent(errFlaky)
			}
			return x, nil
		}, antflow.Retries(1), antflow.RetryDelay(seconds(10)))
		plain := pipeline.Stage("b", func(_ context.Context, x int) (int, error) {
			time.Sleep(time.Second)
			if x == 7 {
				return 0, errFlaky
			}
			return x, nil
		})
		run := pipeline.Then(a, pipeline.Route(pipeline.When(func(x int) bool { return x != 6 }, plain))).Start(t.Context(), e, r.option(t))
		futures := runFeed(t, run, 0, 1, 2, 3, 4, 5, 6, 7, 8)
		futures[8].Cancel()
		runUntil(r.start, 4500*time.Millisecond)
		futures[4].Cancel()
		run.Close()
		r.check(t, 0, "0s entered a 0", "0s started a 1", "1s done a 1 0s+1s", "1s entered b 0", "1s started b 1", "2s done b 1 0s+1s")
		r.check(t, 1, "0s entered a 0", "1s started a 1 1s+0s", "2s attempt failed a 1 error 1s+1s", "12s started a 2 1s+1s", "13s done a 2 1s+2s",
			"13s entered b 0", "13s started b 1", "14s done b 1 0s+1s")
		r.check(t, 2, "0s entered a 0", "2s started a 1 2s+0s", "3s attempt failed a 1 error 2s+1s", "13s started a 2 2s+1s", "14s failed a 2 error 2s+2s")
		r.check(t, 3, "0s entered a 0", "3s started a 1 3s+0s", "4s skipped a 1 3s+1s")
		r.check(t, 4, "0s entered a 0", "4s started a 1 4s+0s", "5s canceled a 1 error 4s+1s")
		r.check(t, 5, "0s entered a 0", "5s started a 1 5s+0s", "6s failed a 1 error 5s+1s")
		r.check(t, 6, "0s entered a 0", "6s started a 1 6s+0s", "7s done a 1 6s+1s", "7s failed  0 error")
		r.check(t, 7, "0s entered a 0", "7s started a 1 7s+0s", "8s done a 1 7s+1s", "8s entered b 0", "8s started b 1", "9s failed b 1 error 0s+1s")
		r.check(t, 8, "0s entered a 0", "0s canceled a 0 error")
	})
}

// What a call that is part of a batch or of a reduction tells.
func TestEventsOfBatchesAndReductions(t *testing.T) {
	inBubble(t, 8, func(t *testing.T, e *antflow.Executor) {
		var mu sync.Mutex
		var got []string
		p := join3(pipeline.Batch[int](2, 0), pipeline.Stage("sum", func(_ context.Context, xs []int) (int, error) { return xs[0], nil }),
			pipeline.Reduce("all", func() int { return 0 }, func(_ context.Context, acc, x int) (int, error) { return acc + x, nil }))
		run := p.Start(t.Context(), e, pipeline.OnEvent(func(ev pipeline.Event) {
			mu.Lock()
			got = append(got, fmt.Sprint(ev.Kind, " ", ev.Stage, " ", ev.Item.ID, ev.Item.Members))
			mu.Unlock()
		}))
		runFeed(t, run, 1, 2)
		run.Close()
		expect(t, "events", got, "[entered sum 0 [0 1] started sum 0 [0 1] done sum 0 [0 1] entered all 0 [0 1] started all 0 [0 1] done all 0 [0 1]]")
	})
}

// However the items run, and whatever becomes of them, each one's events are
// the steps of one path, and all of them are told before Close returns.
func TestEventsAreInOrder(t *testing.T) {
	inBubble(t, 8, func(t *testing.T, e *antflow.Executor) {
		var r runEvents
		work := func(ctx context.Context, x int) (int, error) {
			c, _ := pipeline.CallFrom(ctx)
			if x%3 == 0 {
				time.Sleep(time.Duration(x) * time.Microsecond)
			}
			switch {
			case (x+c.Attempt)%4 == 0:
				return 0, errFlaky
			case x%17 == 0:
				return 0, pipeline.ErrSkipped
			}
			return x, nil
		}
		p := join3(pipeline.Stage("a", work, pipeline.Workers(8), antflow.Retries(1), antflow.RetryDelay(time.Millisecond)),
			pipeline.Stage("b", work, pipeline.Workers(3), pipeline.Buffer(0)),
			pipeline.Stage("c", work, pipeline.Workers(8), antflow.Retries(2), antflow.RetryDelay(0)))
		run := p.Start(t.Context(), e, r.option(t), pipeline.Window(50))
		futures := make([]*antflow.Future[int], 500)
		for x := range futures {
			futures[x] = run.Feed(t.Context(), x)
			if x%29 == 0 {
				futures[x].Cancel()
			}
		}
		run.Close()
		next := map[string]string{"": "entered", "entered": "started canceled", "started": "attempt done failed skipped canceled",
			"attempt": "started canceled failed skipped", "done": "entered end canceled", "failed": "end", "skipped": "end", "canceled": "end"}
		for id, events := range r.of {
			state, stage := "", ""
			for _, text := range append(events, "0s end  0") {
				var at, kind, rest, name string
				fmt.Sscan(text, &at, &kind, &name, &rest)
				if name == "failed" {
					name = rest
				}
				if !slices.Contains(strings.Fields(next[state]), kind) || kind != "entered" && kind != "end" && name != stage && name != "0" {
					t.Fatalf("item %d: %q", id, events)
				}
				if state = kind; kind == "entered" {
					stage = name
				}
			}
		}
		expect(t, "items told of", len(r.of), 500)
	})
}

// One that is slow, that looks into the run and that changes it, changes
// no result, and misses nothing.
func TestObserversThatTakeTheirTime(t *testing.T) {
	const n = 3000 // more events than the run keeps for it
	for name, observe := range map[string]func(*pipeline.Monitor, pipeline.Event){
		"slow": func(*pipeline.Monitor, pipeline.Event) { time.Sleep(time.Millisecond) },
		"curious": func(m *pipeline.Monitor, ev pipeline.Event) {
			if m.Snapshot().Stages[0].Entered == 0 {
				panic("an event of nothing")
			}
			m.Find(ev.Item.ID)
			m.Recent()
			m.Failures()
			m.Resize("a", 1+int(ev.Item.ID%4))
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 4, func(t *testing.T, e *antflow.Executor) {
				var run *pipeline.Run[int, int]
				var events int
				p := pipeline.Stage("a", func(_ context.Context, x int) (int, error) {
					if x%10 == 0 {
						return 0, errFlaky
					}
					return x + 1, nil
				}, pipeline.Workers(4))
				run = p.Start(t.Context(), e, pipeline.OnEvent(func(ev pipeline.Event) {
					events++
					observe(&run.Monitor, ev)
				}))
				futures := make([]*antflow.Future[int], n)
				for x := range futures {
					futures[x] = run.Feed(t.Context(), x)
				}
				expect(t, "Close", run.Close(), nil)
				for x, f := range futures {
					if v, err := f.Result(t.Context()); x%10 != 0 && (v != x+1 || err != nil) || x%10 == 0 && !errors.Is(err, errFlaky) {
						t.Fatalf("%d: %v, %v", x, v, err)
					}
				}
				synctest.Wait()
				expect(t, "events", events, 3*n)
			})
		})
	}
}

// The history of a result is exact, and that of a failure has the visit where
// it failed at the end.
func TestResultsTellOfEachStage(t *testing.T) {
	inBubble(t, 8, func(t *testing.T, e *antflow.Executor) {
		try := func(name string, d time.Duration, fails int) pipeline.Pipeline[int, int] {
			return pipeline.Stage(name, func(ctx context.Context, x int) (int, error) {
				time.Sleep(d)
				if c, _ := pipeline.CallFrom(ctx); c.Attempt <= fails || x == 1 && name == "c" {
					return 0, errFlaky
				}
				return x, nil
			}, antflow.Retries(3), antflow.RetryBackoff(antflow.ConstantBackoff(seconds(100))))
		}
		p := pipeline.Results(join3(try("a", seconds(1), 0), try("b", seconds(2), 2), pipeline.Then(pipeline.Pass[int](), try("c", seconds(3), 0))))
		run := p.Start(t.Context(), e, pipeline.Key(func(x int) string { return fmt.Sprint("#", x) }))
		futures := runFeed(t, run, 0, 1)
		run.Close()
		r, err := futures[0].Result(t.Context())
		expect(t, "result", []any{r.Value, r.Item, r.Item.ID, r.Visits, err}, `[0 item "#0" 0 [{a 1 0s 1s} {b 3 0s 6s} {c 1 0s 3s}] <nil>]`)
		item, _ := errors.AsType[*pipeline.ItemError](futures[1].Err())
		expect(t, "failure", []any{item.Item, item.Stage, item.Attempts, item.Input, item.Visits}, `[item "#1" c 4 1 [{a 1 1s 1s} {b 3 1s 6s} {c 4 1s 12s}]]`)
		retries, ok := errors.AsType[*antflow.RetryError](futures[1].Err())
		if !ok || retries.Attempts != 4 || retries.Err != errFlaky {
			t.Errorf("the failure is %+v", item)
		}

		batch := pipeline.Results(join3(try("a", seconds(1), 0), pipeline.Batch[int](2, 0), pipeline.Stage("sum", func(_ context.Context, xs []int) (int, error) {
			time.Sleep(time.Second)
			return xs[0] + xs[1], nil
		})))
		run2 := batch.Start(t.Context(), e)
		f := runFeed(t, run2, 2, 3)
		run2.Close()
		r, _ = f[1].Result(t.Context())
		expect(t, "of a batch", []any{r.Value, r.Item.ID, r.Item.Members, r.Visits}, "[5 0 [0 1] [{sum 1 0s 1s}]]")

		for _, between := range []pipeline.Pipeline[[]int, []int]{pipeline.Pass[[]int](), runTakingBatches("b", seconds(2))} {
			again := pipeline.Results(join3(try("a", seconds(1), 0), pipeline.Then(pipeline.Batch[int](2, 0), between),
				pipeline.Then(pipeline.Unbatch[int](), try("c", seconds(3), 0))))
			run := again.Start(t.Context(), e)
			f := runFeed(t, run, 2, 3, 4, 1)
			run.Close()
			r, _ := f[2].Result(t.Context())
			expect(t, "of a member", []any{r.Value, r.Item.ID, r.Item.Members, r.Visits[0], r.Visits[len(r.Visits)-1].Stage}, "[4 2 [] {a 1 2s 1s} c]")
			item, _ := errors.AsType[*pipeline.ItemError](f[3].Err())
			expect(t, "failure of a member", []any{item.Item.ID, item.Stage, item.Attempts, item.Input, item.Visits[0]}, "[3 c 4 1 {a 1 3s 1s}]")
		}
	})
}

func runTakingBatches(name string, d time.Duration) pipeline.Pipeline[[]int, []int] {
	return pipeline.Stage(name, func(ctx context.Context, xs []int) ([]int, error) { return xs, testkit.Sleep(ctx, d) })
}

func TestTheNamesOfEventsAndStates(t *testing.T) {
	var got []string
	for k := range pipeline.EventCanceled + 1 {
		got = append(got, k.String())
	}
	for s := range pipeline.ItemGone + 1 {
		got = append(got, s.String())
	}
	expect(t, "names", got, "[entered started attempt failed done skipped failed canceled"+
		" moving waiting running delayed blocked held batched ready done failed canceled gone]")
}
