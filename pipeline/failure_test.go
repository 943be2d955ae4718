package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/testkit"
	"github.com/antflow/antflow/pipeline"
)

// hanging sleeps for an hour unless its context ends, and counts that.
type hanging struct {
	mu                     sync.Mutex
	began, ended, canceled int
}

func (h *hanging) call(ctx context.Context, x int) (int, error) {
	h.mu.Lock()
	h.began++
	h.mu.Unlock()
	err := testkit.Sleep(ctx, time.Hour)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended++
	if err != nil {
		h.canceled++
	}
	return x, err
}

// counts are the calls that began, ended, and were canceled.
func (h *hanging) counts() [3]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return [3]int{h.began, h.ended, h.canceled}
}

// Without FailFast a failure stops nothing, wherever it happens.
func TestFailuresStopNothing(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, e *antflow.Executor) {
		fail := func(name string, n int) pipeline.Pipeline[int, int] {
			return pipeline.Stage(name, func(_ context.Context, x int) (int, error) {
				if x%n == 0 {
					return x, errFlaky
				}
				return x, nil
			})
		}
		p := join3(fail("a", 2), fail("b", 3), fail("c", 5))
		at := make(map[string]int)
		good := 0
		for x, err := range p.Run(t.Context(), e, upTo(300)) {
			var item *pipeline.ItemError
			switch {
			case err == nil:
				good++
			case x != 0:
				t.Error("a value beside an error:", x)
			case !errors.As(err, &item):
				t.Error(err)
			default:
				at[item.Stage]++
			}
		}
		expect(t, "failures", at, "map[a:150 b:50 c:20]")
		expect(t, "results", good, 80)
	})
}

// Under FailFast the run ends with the first failure in time, whatever is
// behind a slow item; what runs is canceled.
func TestFailFast(t *testing.T) {
	for _, ordered := range []bool{true, false} {
		inBubble(t, 10, func(t *testing.T, e *antflow.Executor) {
			var h hanging
			p := pipeline.Stage("work", func(ctx context.Context, x int) (int, error) {
				switch {
				case x == 2:
					return h.call(ctx, x)
				case x == 5:
					time.Sleep(time.Second)
					return 0, errFlaky
				}
				time.Sleep(time.Second)
				return x, nil
			}, pipeline.Workers(2))
			run, want := p.RunUnordered, "[0 1 3 4]"
			if ordered {
				run, want = p.Run, "[0 1]"
			}
			var src source
			start := time.Now()
			values, errs := results(run(t.Context(), e, src.first(endless), pipeline.FailFast(), pipeline.Window(20)))
			slices.Sort(values) // 0 and 1 are ready at the same time
			expect(t, "results", values, want)
			expect(t, "time", time.Since(start), seconds(4))
			var item *pipeline.ItemError
			if len(errs) != 1 || !errors.As(errs[0], &item) || item.Item.ID != 5 || !errors.Is(errs[0], errFlaky) {
				t.Error(errs)
			}
			e.Close()
			expect(t, "calls that hang", h.counts(), "[1 1 1]")
			expect(t, "time until all had returned", time.Since(start), seconds(4))
		})
	}
}

// Of a retry the last failure counts, and what is skipped doesn't.
func TestFailFastComesAfterTheRetries(t *testing.T) {
	inBubble(t, 10, func(t *testing.T, e *antflow.Executor) {
		p := pipeline.Stage("work", func(ctx context.Context, x int) (int, error) {
			switch x {
			case 0:
				return 0, errFlaky
			case 1:
				return 0, pipeline.ErrSkipped
			}
			return x, testkit.Sleep(ctx, time.Hour)
		}, antflow.Retries(2), antflow.RetryDelay(time.Second), pipeline.Workers(4))
		start := time.Now()
		values, errs := results(p.Run(t.Context(), e, upTo(5), pipeline.FailFast()))
		expect(t, "results", values, []int(nil))
		expect(t, "time", time.Since(start), seconds(3))
		var retry *antflow.RetryError
		if len(errs) != 1 || !errors.As(errs[0], &retry) || retry.Attempts != 3 {
			t.Error(errs)
		}
	})
}

// A failure between the stages ends the run, too, and a source that blocks
// doesn't hold up the end.
func TestFailFastDoesNotWaitForTheSource(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, e *antflow.Executor) {
		p := pipeline.Route(pipeline.When(even, pipeline.Pass[int]()))
		start := time.Now()
		inputs := func(yield func(int) bool) {
			yield(0)
			time.Sleep(time.Second)
			yield(1)
			time.Sleep(time.Hour)
		}
		values, errs := results(p.Run(t.Context(), e, inputs, pipeline.FailFast()))
		expect(t, "results", values, "[0]")
		expect(t, "time", time.Since(start), time.Second)
		if len(errs) != 1 || !errors.Is(errs[0], pipeline.ErrNoRoute) {
			t.Error(errs)
		}
		time.Sleep(time.Hour)
	})
}

// In order the failure is in its place: what was ready before it is not lost.
func TestFailFastLosesNoResultBeforeTheFailure(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, e *antflow.Executor) {
		p := pipeline.Stage("a", func(_ context.Context, x int) (int, error) {
			if x == 20 {
				return 0, errFlaky
			}
			return x, nil
		})
		values, errs := results(p.Run(t.Context(), e, upTo(100), pipeline.FailFast()))
		expect(t, "results", len(values), 20)
		expect(t, "errors", len(errs), 1)
	})
}

// Under FailFast a batch and a reduction of what has come don't go on.
func TestFailFastEndsReductions(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, e *antflow.Executor) {
		a := pipeline.Stage("a", func(_ context.Context, x int) (int, error) {
			if x == 3 {
				return 0, errFlaky
			}
			return x, nil
		})
		values, errs := results(pipeline.Then(a, pipeline.Reduce("all", empty, concat)).Run(t.Context(), e, upTo(5), pipeline.FailFast()))
		if values != nil || len(errs) != 1 {
			t.Error(values, errs)
		}
		batches, errs := results(pipeline.Then(a, pipeline.Batch[int](100, 0)).Run(t.Context(), e, upTo(5), pipeline.FailFast()))
		if batches != nil || len(errs) != 1 {
			t.Error(batches, errs)
		}
	})
}

// Each error names stage and item, begins with the prefix, and says it once
// however many are inside one another.
func TestErrorTexts(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, e *antflow.Executor) {
		first := func(p pipeline.Pipeline[int, int], opts ...pipeline.RunOption) error {
			_, errs := results(p.Run(t.Context(), e, upTo(1), opts...))
			if len(errs) != 1 {
				t.Fatal(errs)
			}
			return errs[0]
		}
		fails := func(err error) func(context.Context, int) (int, error) {
			return func(context.Context, int) (int, error) { return 0, err }
		}
		stage := func(fn func(context.Context, int) (int, error), opts ...pipeline.StageOption) pipeline.Pipeline[int, int] {
			return pipeline.Stage("fetch", fn, opts...)
		}
		inner := pipeline.Stage("inner", fails(errFlaky), antflow.Retries(1))
		for _, c := range map[string]struct {
			err   error
			words []string
		}{
			"plain":  {first(stage(fails(errFlaky))), []string{"fetch", "item 0", "flaky"}},
			"keyed":  {first(stage(fails(errFlaky)), pipeline.Key(func(int) string { return "page.html" })), []string{"fetch", "page.html", "flaky"}},
			"retry":  {first(stage(fails(errFlaky), antflow.Retries(2))), []string{"fetch", "item 0", "3 attempts", "flaky"}},
			"panic":  {first(stage(func(context.Context, int) (int, error) { panic("boom") })), []string{"fetch", "item 0", "boom"}},
			"goexit": {first(stage(func(context.Context, int) (int, error) { runtime.Goexit(); return 0, nil })), []string{"fetch", "item 0", "Goexit"}},
			"timeout": {first(stage(func(ctx context.Context, x int) (int, error) { return x, testkit.Sleep(ctx, time.Hour) }, antflow.Timeout(1))),
				[]string{"fetch", "item 0", "deadline exceeded"}},
			"no route": {first(pipeline.Route(pipeline.When(func(int) bool { return false }, stage(same)))), []string{"item 0", "no case"}},
			"step": {first(stage(pipeline.Step("put", fails(errFlaky), antflow.Retries(1)), antflow.Retries(1))),
				[]string{"fetch", "put", "item 0", "2 attempts", "flaky"}},
			"chained steps": {first(stage(pipeline.Chain(pipeline.Step("get", same), pipeline.Step("put", fails(errFlaky))))), []string{"fetch", "put", "flaky"}},
			"pipeline inside": {first(stage(func(ctx context.Context, x int) (int, error) {
				_, errs := results(inner.Run(ctx, e, upTo(1)))
				return 0, errs[0]
			})), []string{"fetch", "inner", "item 0", "flaky"}},
			"map inside": {first(stage(func(ctx context.Context, x int) (int, error) {
				_, errs := results(antflow.Map(ctx, e, upTo(1), fails(errFlaky)))
				return 0, errs[0]
			})), []string{"fetch", "item 0", "flaky"}},
			"filter": {first(pipeline.Filter("keep", func(context.Context, int) (bool, error) { return false, errFlaky })), []string{"keep", "item 0"}},
			"joined": {first(stage(fails(errors.Join(errFlaky, errors.New("other"))))), []string{"fetch", "flaky", "other"}},
		} {
			checkMessage(t, c.err.Error(), c.words...)
		}
	})
	for _, err := range []error{pipeline.ErrSkipped, pipeline.ErrNoRoute, pipeline.ErrClosed, pipeline.ErrStopped} {
		checkMessage(t, err.Error())
		checkMessage(t, (&pipeline.ItemError{Stage: "s", Err: err}).Error(), "s", "item 0")
		checkMessage(t, (&pipeline.StepError{Step: "p", Err: err}).Error(), "p")
		checkMessage(t, (&pipeline.ItemError{Err: &pipeline.ItemError{Stage: "s", Err: &pipeline.StepError{Step: "p", Err: err}}}).Error(), "s", "p")
	}
}

// A user's error is passed on as it is.
func TestErrorsArePassedOn(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, e *antflow.Executor) {
		mine := fmt.Errorf("mine: %w", context.Canceled)
		p := pipeline.Stage("a", func(context.Context, int) (int, error) { return 0, mine })
		for _, err := range p.Run(t.Context(), e, upTo(2)) {
			var item *pipeline.ItemError
			if !errors.As(err, &item) || item.Err != mine || errors.Unwrap(err) != mine {
				t.Errorf("%#v", err)
			}
		}
	})
}

// The history of a failure is kept where somebody wants it.
func TestVisitsOfAFailure(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, e *antflow.Executor) {
		r := newRecord()
		p := join3(
			pipeline.Stage("a", r.taking(seconds(2))),
			pipeline.Stage("b", failing(newRecord(), 9), antflow.Retries(1), antflow.RetryDelay(seconds(5))),
			pipeline.Stage("c", same))
		for _, opts := range [][]pipeline.RunOption{nil, {pipeline.OnEvent(func(pipeline.Event) {})}} {
			_, errs := results(p.Run(t.Context(), e, upTo(1), opts...))
			var item *pipeline.ItemError
			if len(errs) != 1 || !errors.As(errs[0], &item) || item.Attempts != 2 {
				t.Fatal(errs)
			}
			want := []pipeline.Visit(nil)
			if opts != nil {
				want = []pipeline.Visit{{Stage: "a", Attempts: 1, Worked: seconds(2)}, {Stage: "b", Attempts: 2, Worked: seconds(2)}}
			}
			expect(t, "visits", item.Visits, want)
		}
	})
}
