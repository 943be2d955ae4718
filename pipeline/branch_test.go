package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/testkit"
	"github.com/antflow/antflow/pipeline"
)

// plus is a stage that adds n and takes d.
func plus(name string, n int, d time.Duration) pipeline.Pipeline[int, int] {
	return pipeline.Stage(name, func(_ context.Context, x int) (int, error) {
		time.Sleep(d)
		return x + n, nil
	})
}

func even(x int) bool { return x%2 == 0 }

// Filter drops without a failure, and fails with an error.
func TestFilter(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, e *antflow.Executor) {
		r := newRecord()
		p := pipeline.Filter("even", func(_ context.Context, x int) (bool, error) {
			if n := r.begin(x); x == 4 && n == 1 || x == 5 {
				return true, errFlaky
			}
			return even(x), nil
		}, antflow.Retries(1), pipeline.Workers(2))
		values, errs := results(pipeline.Then(p, plus("after", 100, 0)).Run(t.Context(), e, upTo(8)))
		expect(t, "results", values, "[100 102 104 106]")
		if len(errs) != 1 || !errors.Is(errs[0], errFlaky) {
			t.Error(errs)
		}
	})
}

// ErrSkipped takes an item out, as it is, wrapped, or marked, and is not
// retried.
func TestErrSkipped(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, e *antflow.Executor) {
		for _, retries := range []int{0, 3} {
			var calls atomic.Int64
			p := pipeline.Stage("work", func(_ context.Context, x int) (int, error) {
				calls.Add(1)
				switch x {
				case 1:
					return 9, pipeline.ErrSkipped
				case 2:
					return 9, fmt.Errorf("known: %w", pipeline.ErrSkipped)
				case 3:
					return 9, antflow.Permanent(pipeline.ErrSkipped)
				}
				return x, nil
			}, antflow.Retries(retries))
			var m pipeline.Monitor
			values, errs := results(p.Run(t.Context(), e, upTo(5), pipeline.WithMonitor(&m), pipeline.FailFast()))
			expect(t, "results", values, "[0 4]")
			expect(t, "errors", errs, []error(nil))
			expect(t, "calls", calls.Load(), 5)
			s := m.Snapshot().Stages[0]
			expect(t, "skipped", []uint64{s.Skipped, s.Failed, s.Done}, "[3 0 2]")
		}
	})
}

// A copy goes into every branch; in order the results of an item are those of
// the branches in turn, a failure being one of them.
func TestTee(t *testing.T) {
	inBubble(t, 10, func(t *testing.T, e *antflow.Executor) {
		failing := pipeline.Stage("failing", func(_ context.Context, x int) (int, error) {
			if x == 1 {
				return 0, errFlaky
			}
			return x + 200, nil
		})
		p := pipeline.Tee(plus("slow", 100, seconds(5)), failing, pipeline.Pass[int](), plus("fast", 300, time.Second))
		got := []string{}
		for x, err := range p.Run(t.Context(), e, upTo(3)) {
			if err != nil {
				var item *pipeline.ItemError
				if !errors.As(err, &item) || item.Stage != "failing" || item.Item.ID != 1 {
					t.Error(err)
				}
				got = append(got, "error")
				continue
			}
			got = append(got, fmt.Sprint(x))
		}
		expect(t, "results", got, "[100 200 0 300 101 error 1 301 102 202 2 302]")

		start := time.Now()
		ds := deliveries(t, pipeline.Tee(plus("slow", 100, seconds(5)), plus("fast", 300, time.Second)).RunUnordered(t.Context(), e, upTo(3)))
		expect(t, "results", ds, "[300@1s 301@2s 302@3s 100@5s 101@10s 102@15s]")
		expect(t, "time", time.Since(start), seconds(15))
	})
}

// A slow branch doesn't hold up another one but by the buffers.
func TestBranchesOfATeeAreIndependent(t *testing.T) {
	inBubble(t, 10, func(t *testing.T, e *antflow.Executor) {
		fast := newRecord()
		p := pipeline.Tee(
			pipeline.Stage("slow", newRecord().taking(time.Hour), pipeline.Buffer(10)),
			pipeline.Stage("fast", fast.taking(time.Second)))
		results(p.Run(t.Context(), e, upTo(6)))
		expect(t, "calls of fast", fast, "[0:[0s] 1:[1s] 2:[2s] 3:[3s] 4:[4s] 5:[5s]]")
	})
}

// An item goes into the branch of the first case that takes it, and the
// branches join again.
func TestRoute(t *testing.T) {
	inBubble(t, 10, func(t *testing.T, e *antflow.Executor) {
		var asked []string
		when := func(name string, fn func(int) bool) func(int) bool {
			return func(x int) bool { asked = append(asked, fmt.Sprint(name, x)); return fn(x) }
		}
		p := pipeline.Then(pipeline.Route(
			pipeline.When(when("even", even), plus("a", 100, seconds(5))),
			pipeline.When(when("three", func(x int) bool { return x%3 == 0 }), pipeline.Pass[int]()),
			pipeline.Otherwise(plus("b", 200, time.Second)),
		), plus("joined", 1000, 0))
		got := deliveries(t, p.Run(t.Context(), e, upTo(6)))
		expect(t, "results", got, "[1100@5s 1201@5s 1102@10s 1003@10s 1104@15s 1205@15s]")
		expect(t, "asked", asked, "[even0 even1 three1 even2 even3 three3 even4 even5 three5]")
		got = deliveries(t, p.RunUnordered(t.Context(), e, upTo(6)))
		expect(t, "results", got, "[1003@0s 1201@1s 1205@2s 1100@5s 1102@10s 1104@15s]")
	})
}

// What no case takes fails between the stages, as does one whose predicate
// panics; both in place.
func TestItemsWithoutARoute(t *testing.T) {
	inBubble(t, 10, func(t *testing.T, e *antflow.Executor) {
		route := pipeline.Route(pipeline.When(func(x int) bool {
			if x == 3 {
				panic("boom")
			}
			return even(x)
		}, pipeline.Pass[int]()))
		for name, p := range map[string]pipeline.Pipeline[int, int]{
			"first":               pipeline.Then(route, plus("a", 0, 0)),
			"behind":              join3(plus("a", 0, time.Second), route, plus("b", 0, time.Second)),
			"in a retrying stage": pipeline.Then(pipeline.Stage("a", same, antflow.Retries(3), pipeline.Workers(2)), route),
			"alone":               route,
			"inside":              pipeline.Route(pipeline.Otherwise(pipeline.Tee(route))),
		} {
			var got []string
			for x, err := range p.Run(t.Context(), e, upTo(5)) {
				var item *pipeline.ItemError
				if !errors.As(err, &item) {
					got = append(got, fmt.Sprint(x, err))
					continue
				}
				if item.Stage != "" || item.Attempts != 0 {
					t.Errorf("%s: %+v", name, item)
				}
				var p *antflow.PanicError
				switch {
				case item.Err == pipeline.ErrNoRoute:
					got = append(got, fmt.Sprint("no", item.Item.ID))
				case errors.As(err, &p) && p.Value == "boom":
					got = append(got, fmt.Sprint("panic", item.Item.ID))
				default:
					t.Error(err)
				}
			}
			expect(t, name, got, "[0 <nil> no1 2 <nil> panic3 4 <nil>]")
		}
	})
}

// A stage in several branches is one, with one set of workers.
func TestAStageInSeveralBranches(t *testing.T) {
	inBubble(t, 10, func(t *testing.T, e *antflow.Executor) {
		r := newRecord()
		shared := pipeline.Stage("shared", r.taking(time.Second), pipeline.Workers(2))
		p := pipeline.Route(
			pipeline.When(even, pipeline.Then(plus("a", 0, 0), shared)),
			pipeline.Otherwise(pipeline.Then(plus("b", 0, 0), shared)))
		values, _ := results(p.Run(t.Context(), e, upTo(10)))
		expect(t, "results", values, "[0 1 2 3 4 5 6 7 8 9]")
		expect(t, "calls at a time", r.most, 2)
		expect(t, "time", time.Since(r.start), seconds(5))
		stages := p.Stages()
		slices.Sort(stages[:2])
		expect(t, "stages", stages, "[a b shared]")
		expect(t, "workers", p.Workers(), 4)
	})
}

// What lookup knows is the result, without any stage; the rest goes through p.
func TestKnown(t *testing.T) {
	inBubble(t, 10, func(t *testing.T, e *antflow.Executor) {
		r := newRecord()
		work := pipeline.Stage("work", func(_ context.Context, x int) (string, error) {
			r.begin(x)
			time.Sleep(time.Second)
			return fmt.Sprint("new", x), nil
		})
		p := pipeline.Known(func(x int) (string, bool) {
			if x == 5 {
				panic("boom")
			}
			return fmt.Sprint("old", x), x%3 == 0
		}, work)
		start := time.Now()
		values, errs := results(p.Run(t.Context(), e, upTo(7)))
		expect(t, "results", values, "[old0 new1 new2 old3 new4 old6]")
		expect(t, "calls", r, "[1:[0s] 2:[1s] 4:[2s]]")
		expect(t, "time", time.Since(start), seconds(3))
		var pe *antflow.PanicError
		if len(errs) != 1 || !errors.As(errs[0], &pe) || pe.Value != "boom" {
			t.Error(errs)
		}
		all := pipeline.Known(func(x int) (string, bool) { return "old", true }, work)
		values, _ = results(all.Run(t.Context(), e, upTo(3)))
		expect(t, "results", values, "[old old old]")
	})
}

// Merge gives all values as they come, also as the source of a run.
func TestMerge(t *testing.T) {
	inBubble(t, 10, func(t *testing.T, e *antflow.Executor) {
		late := func(yield func(int) bool) { time.Sleep(seconds(3) / 2); yield(100) }
		seq := pipeline.Merge(every(time.Second, 3), late, upTo(0))
		for range 2 { // each range pulls anew
			start := time.Now()
			var got []delivery
			for x := range seq {
				got = append(got, delivery{x, time.Since(start)})
			}
			expect(t, "values", got, "[0@0s 1@1s 100@1.5s 2@2s]")
		}
		expect(t, "results", deliveries(t, plus("a", 0, 0).Run(t.Context(), e, seq)), "[0@0s 1@1s 100@1.5s 2@2s]")
		for range pipeline.Merge[int]() {
			t.Error("a value of nothing")
		}
		values, _ := results(plus("a", 0, 0).Run(t.Context(), e, pipeline.Merge(upTo(100), upTo(100))))
		slices.Sort(values)
		for i, x := range values {
			if x != i/2 {
				t.Fatal(values)
			}
		}
		expect(t, "results", len(values), 200)
	})
}

// Leaving the loop ends each sequence at its next step.
func TestLeavingAMerge(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		var ended atomic.Int64
		forever := func(yield func(int) bool) {
			defer ended.Add(1)
			for yield(1) {
				time.Sleep(time.Second)
			}
		}
		n := 0
		for range pipeline.Merge(forever, forever) {
			if n++; n == 5 {
				break
			}
		}
		time.Sleep(time.Second)
		synctest.Wait()
		expect(t, "ended", ended.Load(), 2)
	})
}

// A panic of a sequence is raised in the loop, and so in that of a run, behind
// the results of what came before.
func TestPanicOfAMergedSequence(t *testing.T) {
	bad := func(yield func(int) bool) { _ = yield(1) && yield(2); time.Sleep(time.Second); panic("boom") }
	loops := map[string]func(ctx context.Context, e *antflow.Executor, seq iter.Seq[int], body func(int)){
		"loop": func(_ context.Context, _ *antflow.Executor, seq iter.Seq[int], body func(int)) {
			for x := range seq {
				body(x)
			}
		},
		"run": func(ctx context.Context, e *antflow.Executor, seq iter.Seq[int], body func(int)) {
			for x, err := range plus("a", 0, 0).Run(ctx, e, seq) {
				if err != nil {
					panic(err)
				}
				body(x)
			}
		},
	}
	for name, loop := range loops {
		inBubble(t, 3, func(t *testing.T, e *antflow.Executor) {
			var got []int
			func() {
				defer func() {
					if p := fmt.Sprint(recover()); !strings.Contains(p, "boom") {
						t.Errorf("%s: the panic is %v", name, p)
					}
				}()
				loop(t.Context(), e, pipeline.Merge(bad, every(seconds(10), 5)), func(x int) { got = append(got, x) })
				t.Error("no panic")
			}()
			slices.Sort(got)
			expect(t, name, got, "[0 1 2]")
			time.Sleep(time.Minute) // the other one sees at its next step that it is over
		})
	}
}
