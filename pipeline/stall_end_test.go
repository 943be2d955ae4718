package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/pipeline"
)

// A call whose time is over while its first part waits to get in has made that
// part, so it is not retried.
func TestACallThatWaitsWithAPartIsNotRetried(t *testing.T) {
	inBubble(t, 8, func(t *testing.T, e *antflow.Executor) {
		r := newRecord()
		p := pipeline.Then(pipeline.FlatMap("parts", manyParts(r, new(crowd), 2), pipeline.Workers(2), antflow.Timeout(seconds(1)), antflow.Retries(3), antflow.RetryIf(func(error) bool { return true })),
			pipeline.Stage("work", newRecord().taking(seconds(10)), pipeline.Buffer(0)))
		values, errs := results(p.RunUnordered(t.Context(), e, upTo(2)))
		expect(t, "results", len(values), 3) // 2 of one that got in, 1 of the other
		if len(errs) != 2 {
			t.Error(values, errs)
		}
		expect(t, "calls", r, "[0:[0s] 1:[0s]]")
	})
}

// An item that is canceled while it waits to be made into parts leaves at once.
func TestAStalledItemIsCanceled(t *testing.T) {
	slice := pipeline.Stage("slice", func(_ context.Context, x int) ([]int, error) { return []int{x, x}, nil })
	for name, way := range map[string]pipeline.Pipeline[int, int]{
		"Tee":     pipeline.Tee(pipeline.Stage("a", same), pipeline.Stage("b", same)),
		"Unbatch": pipeline.Then(slice, pipeline.Unbatch[int]()),
		"FlatMap": pipeline.FlatMap("parts", manyParts(newRecord(), new(crowd), 2), pipeline.Workers(3)),
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 8, func(t *testing.T, e *antflow.Executor) {
				g := make(gate)
				r := pipeline.Then(way, pipeline.Stage("gate", g.pass)).Start(t.Context(), e, pipeline.Window(3))
				a, b := r.Feed(t.Context(), 0), r.Feed(t.Context(), 1)
				time.Sleep(time.Second) // there are 3 of their 4 parts
				c := r.Feed(t.Context(), 2)
				time.Sleep(time.Second)
				c.Cancel()
				synctest.Wait()
				if err := r.CheckInvariants(); err != nil {
					t.Fatalf("%v\n%s", err, r.Dump())
				}
				if there := r.FindFuture(c); len(there) > 0 || !errors.Is(c.Err(), antflow.ErrCanceled) {
					t.Errorf("%v, and the item is there: %v", c.Err(), there)
				}
				close(g)
				expect(t, "others", fmt.Sprint(a.Err(), b.Err(), r.Close()), "<nil> <nil> <nil>")
			})
		})
	}
}

// A call whose time is over while it waits for room ends then.
func TestTheTimeOfAStalledCallIsOver(t *testing.T) {
	for _, ordered := range []bool{true, false} {
		inBubble(t, 8, func(t *testing.T, e *antflow.Executor) {
			start := time.Now()
			ended := make(map[int]time.Duration)
			parts := func(_ context.Context, x int) iter.Seq2[int, error] {
				return func(yield func(int, error) bool) {
					for yield(x, nil) {
					}
					ended[x] = time.Since(start)
				}
			}
			g := make(gate)
			p := pipeline.Then(pipeline.FlatMap("parts", parts, antflow.Timeout(seconds(5))), pipeline.Stage("gate", g.pass))
			run := p.RunUnordered
			if ordered {
				run = p.Run
			}
			time.AfterFunc(seconds(60), func() { close(g) })
			values, errs := results(run(t.Context(), e, upTo(1), pipeline.Window(4)))
			expect(t, "results", len(values), 4)
			if len(errs) != 1 || !errors.Is(errs[0], context.DeadlineExceeded) {
				t.Error(errs)
			}
			expect(t, "ends", ended, "map[0:5s]")
		})
	}
}

// When the executor cancels what is queued, a call that waits for room is told,
// though others go on.
func TestAStalledCallIsToldOfTheEnd(t *testing.T) {
	inBubble(t, 16, func(t *testing.T, e *antflow.Executor) {
		start := time.Now()
		var ended time.Duration
		parts := func(context.Context, int) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) {
				for i := 0; yield(i, nil); i++ {
				}
				ended = time.Since(start)
			}
		}
		r := pipeline.Then(pipeline.FlatMap("parts", parts), pipeline.Stage("work", func(_ context.Context, x int) (int, error) {
			time.Sleep(seconds(10 + 100*x))
			return x, nil
		}, pipeline.Workers(8))).Start(t.Context(), e, pipeline.Window(8))
		f := r.Feed(t.Context(), 0)
		time.Sleep(seconds(5))
		if err := e.Shutdown(context.Background(), antflow.CancelQueued()); err != nil {
			t.Error(err)
		}
		expect(t, "end of the call", ended, "10s")
		expect(t, "end of the run", time.Since(start), "11m50s") // of the last part
		if err := r.Close(); !errors.Is(err, antflow.ErrShutdown) {
			t.Error(err)
		}
		expect(t, "result", fmt.Sprint(f.Result(t.Context())), "0 <nil>")
	})
}
