package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/testkit"
	"github.com/antflow/antflow/pipeline"
)

// failing is a function that fails the first n calls for each item, each of
// which takes a second.
func failing(r *record, n int) func(context.Context, int) (int, error) {
	return func(_ context.Context, x int) (int, error) {
		k := r.begin(x)
		defer r.end()
		time.Sleep(time.Second)
		if k <= n {
			return 0, errFlaky
		}
		return x, nil
	}
}

// Chain makes one function of two; the second is not called for what failed.
func TestChain(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, e *antflow.Executor) {
		a, b := newRecord(), newRecord()
		chain := pipeline.Chain(pipeline.Chain(failing(a, 1), failing(b, 1)), func(_ context.Context, x int) (string, error) { return fmt.Sprint("=", x), nil })
		p := pipeline.Stage("work", chain, antflow.Retries(2), antflow.RetryDelay(0))
		values, errs := results(p.Run(t.Context(), e, upTo(1)))
		expect(t, "results", values, "[=0]")
		expect(t, "errors", errs, []error(nil))
		expect(t, "calls of the first", a, "[0:[0s 1s 3s]]")
		expect(t, "calls of the second", b, "[0:[2s 4s]]")
	})
}

// A step has retries of its own; those of the stage begin with the first
// function again. On one worker, too.
func TestStepsAreRetriedAlone(t *testing.T) {
	for _, workers := range []int{1, 5} {
		inBubble(t, workers, func(t *testing.T, e *antflow.Executor) {
			a, b := newRecord(), newRecord()
			retry := antflow.JoinOptions(antflow.Retries(2), antflow.RetryDelay(seconds(10)))
			chain := pipeline.Chain(pipeline.Step("a", failing(a, 1), retry), pipeline.Step("b", failing(b, 2), retry))
			values, errs := results(pipeline.Stage("work", chain).Run(t.Context(), e, upTo(1)))
			expect(t, "results", values, "[0]")
			expect(t, "errors", errs, []error(nil))
			expect(t, "calls of a", a, "[0:[0s 11s]]")
			expect(t, "calls of b", b, "[0:[12s 23s 44s]]")
		})
		inBubble(t, workers, func(t *testing.T, e *antflow.Executor) {
			a, b := newRecord(), newRecord()
			chain := pipeline.Chain(pipeline.Step("a", failing(a, 0)), pipeline.Step("b", failing(b, 3), antflow.Retries(1), antflow.RetryDelay(0)))
			p := pipeline.Stage("work", chain, antflow.Retries(1), antflow.RetryDelay(seconds(10)))
			values, _ := results(p.Run(t.Context(), e, upTo(1)))
			expect(t, "results", values, "[0]")
			expect(t, "calls of a", a, "[0:[0s 13s]]")
			expect(t, "calls of b", b, "[0:[1s 2s 14s 15s]]")
		})
	}
}

// A step's error names it, and has the retries inside.
func TestStepErrors(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, e *antflow.Executor) {
		step := pipeline.Step("upload", func(_ context.Context, x int) (int, error) {
			switch x {
			case 1:
				panic("boom")
			case 2:
				runtime.Goexit()
			}
			return 0, errFlaky
		}, antflow.Retries(1))
		_, errs := results(pipeline.Stage("work", step).Run(t.Context(), e, upTo(3)))
		if len(errs) != 3 {
			t.Fatal(errs)
		}
		for _, err := range errs {
			var item *pipeline.ItemError
			var s *pipeline.StepError
			if !errors.As(err, &item) || item.Stage != "work" || item.Attempts != 1 || !errors.As(item.Err, &s) || s.Step != "upload" {
				t.Errorf("%#v", err)
			}
		}
		var retry *antflow.RetryError
		var p *antflow.PanicError
		if !errors.Is(errs[0], errFlaky) || !errors.As(errs[0], &retry) || retry.Attempts != 2 {
			t.Error(errs[0])
		}
		if !errors.As(errs[1], &p) || p.Value != "boom" || !errors.Is(errs[2], antflow.ErrGoexit) {
			t.Error(errs[1], errs[2])
		}
	})
}

// A step's semaphore limits its calls within the stage's workers, and its
// timeout those alone.
func TestAStepHasALimitOfItsOwn(t *testing.T) {
	inBubble(t, 20, func(t *testing.T, e *antflow.Executor) {
		a, b := newRecord(), newRecord()
		chain := pipeline.Chain(pipeline.Step("a", failing(a, 0)), pipeline.Step("b", failing(b, 0), antflow.WithSemaphore(antflow.NewSemaphore(2))))
		values, _ := results(pipeline.Stage("work", chain, pipeline.Workers(6)).Run(t.Context(), e, upTo(12)))
		expect(t, "results", len(values), 12)
		expect(t, "calls of b at a time", b.most, 2)
		expect(t, "calls of a at a time", a.most, 6)
		expect(t, "time", time.Since(a.start), seconds(7))
	})
	inBubble(t, 2, func(t *testing.T, e *antflow.Executor) {
		hang := func(ctx context.Context, x int) (int, error) { return x, testkit.Sleep(ctx, time.Hour) }
		chain := pipeline.Chain(pipeline.Step("a", failing(newRecord(), 0)), pipeline.Step("b", hang, antflow.Timeout(seconds(5))))
		start := time.Now()
		_, errs := results(pipeline.Stage("work", chain).Run(t.Context(), e, upTo(1)))
		expect(t, "time", time.Since(start), seconds(6))
		if len(errs) != 1 || !errors.Is(errs[0], context.DeadlineExceeded) {
			t.Error(errs)
		}
	})
}

// In a step the item is there, and the marks of Permanent and RetryAfter are
// for the step's retries and the stage's.
func TestMarksInAStep(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, e *antflow.Executor) {
		r := newRecord()
		step := pipeline.Step("a", func(ctx context.Context, x int) (int, error) {
			r.begin(x)
			if item, ok := pipeline.ItemFrom(ctx); !ok || item.ID != uint64(x) {
				t.Error("the item in a step:", item, ok)
			}
			return 0, antflow.Permanent(errFlaky)
		}, antflow.Retries(3))
		results(pipeline.Stage("work", step).Run(t.Context(), e, upTo(2)))
		expect(t, "calls", r, "[0:[0s] 1:[0s]]")
	})
}

// A step that skips takes the item out; its Retries don't apply.
func TestAStepSkips(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, e *antflow.Executor) {
		step := pipeline.Step("a", func(_ context.Context, x int) (int, error) {
			if x == 1 {
				return 0, pipeline.ErrSkipped
			}
			return x, nil
		})
		values, errs := results(pipeline.Stage("work", step, antflow.Retries(2)).Run(t.Context(), e, upTo(3)))
		expect(t, "results", values, "[0 2]")
		expect(t, "errors", errs, []error(nil))
	})
}

// Steps work in the stages of any kind, with a bounded queue and a default
// semaphore of the executor.
func TestStepsInFilters(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, e *antflow.Executor) {
		step := pipeline.Step("even", func(_ context.Context, x int) (bool, error) { return even(x), nil })
		p := pipeline.Filter("filter", step, pipeline.Workers(3))
		values, errs := results(p.Run(t.Context(), e, upTo(6)))
		expect(t, "results", values, "[0 2 4]")
		expect(t, "errors", errs, []error(nil))
	}, antflow.QueueLimit(1))
}

// Elsewhere a step panics.
func TestAStepOutsideOfAStagePanics(t *testing.T) {
	step := pipeline.Step("even", same)
	msg := panicOf(func() { step(t.Context(), 1) })
	checkMessage(t, msg, "even")
}
