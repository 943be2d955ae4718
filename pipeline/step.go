package pipeline

import (
	"context"
	"errors"

	"github.com/antflow/antflow"
)

// Step makes a function for a [Stage] that has options of its own, for stages
// of several functions. It runs fn as a task of the run's executor, with the
// options: its own retries, a semaphore that limits how many of its calls run
// at a time, a timeout. The call waits for that with the executor's worker lent
// to others. Its errors are [*StepError]s, which name it; the stage's options
// apply to the whole: with [antflow.Retries] there the stage begins again with
// its first function.
//
// The function it returns works in a stage only; elsewhere it panics. An empty
// name, a nil fn and a nil option panic.
func Step[A, B any](name string, fn func(context.Context, A) (B, error), opts ...antflow.TaskOption) func(context.Context, A) (B, error) {
	must(name != "", "Step: the step must have a name")
	must(fn != nil, "Step(%q): the function must not be nil", name)
	for i, o := range opts {
		must(o != nil, "Step(%q): nil TaskOption at index %d", name, i)
	}
	task := antflow.JoinOptions(append([]antflow.TaskOption{antflow.TaskName(name)}, opts...)...)
	return func(ctx context.Context, x A) (B, error) {
		c, ok := ctx.Value(itemKey{}).(*callContext)
		must(ok, "Step(%q): it is called outside of a stage", name)
		var v B
		var err error
		if len(opts) == 0 {
			v, err = fn(ctx, x)
		} else {
			f := antflow.Submit(ctx, c.e.ex, func(ctx context.Context) (B, error) { return fn(stepContext{ctx, c}, x) }, task)
			v, err = f.Result(ctx)
		}
		if err != nil && !errors.Is(err, ErrSkipped) {
			err = &StepError{name, err}
		}
		return v, err
	}
}

// Chain is first and then second in one function, for a [Stage] of several
// functions.
func Chain[A, B, C any](first func(context.Context, A) (B, error), second func(context.Context, B) (C, error)) func(context.Context, A) (C, error) {
	must(first != nil, "Chain: the first function must not be nil")
	must(second != nil, "Chain: the second function must not be nil")
	return func(ctx context.Context, x A) (C, error) {
		v, err := first(ctx, x)
		if err != nil {
			var none C
			return none, err
		}
		return second(ctx, v)
	}
}

// Known is p for the items whose result isn't known yet. lookup is called for
// each item, by whoever brings it, and should be quick: what it returns with
// true is the item's result, and the stages of p don't see the item. So a job
// that was interrupted is resumed. A panic of lookup fails the item. A nil
// lookup panics.
func Known[A, B any](lookup func(A) (B, bool), p Pipeline[A, B]) Pipeline[A, B] {
	must(lookup != nil, "Known: the function must not be nil")
	inner := p.part("Known")
	known := func(cell, out any) bool {
		v, ok := lookup(*cell.(*A))
		if ok {
			*out.(*B) = v
		}
		return ok
	}
	return compose[A, B](nodeFunc(func(b *builder, next int) int {
		entry := inner.lay(b, next)
		return b.add(site{kind: siteRoute, cells: cellsOf[A](), known: known, branches: []int{entry}, next: next})
	}))
}

// A Result is a value with the history of its item.
type Result[T any] struct {
	Value  T
	Item   Item
	Visits []Visit // the stages that it went through, in order
}

// Results is p whose results come with the identity of their item, and with how
// often and how long each stage worked on it. Of a batch that is what happened
// since it was made.
func Results[A, B any](p Pipeline[A, B]) Pipeline[A, Result[B]] {
	inner := p.part("Results")
	wrap := func(it *item, in, out any) {
		*out.(*Result[B]) = Result[B]{Value: *in.(*B), Item: it.identity(), Visits: it.history()}
	}
	return compose[A, Result[B]](nodeFunc(func(b *builder, next int) int {
		return inner.lay(b, b.add(site{kind: siteWrap, cells: cellsOf[B](), wrap: wrap, next: next}))
	}))
}
