package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
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

// Leaving the loop ends the pulling and cancels what has not finished, without
// waiting for it; nothing is left once the functions have returned.
func TestLeavingTheLoop(t *testing.T) {
	for _, ordered := range []bool{true, false} {
		inBubble(t, 10, func(t *testing.T, e *antflow.Executor) {
			var h hanging
			ended := false
			inputs := func(yield func(int) bool) {
				defer func() { ended = true }()
				for i := 0; yield(i); i++ {
				}
			}
			stubborn := newRecord()
			p := pipeline.Tee(
				pipeline.Stage("fast", same),
				pipeline.Stage("hangs", h.call, pipeline.Workers(3), pipeline.Buffer(100)),
				pipeline.Stage("stubborn", stubborn.taking(time.Minute), pipeline.Buffer(100)),
				pipeline.Stage("retries", failing(newRecord(), 100), antflow.Retries(100), antflow.RetryDelay(time.Second)))
			run := p.RunUnordered
			if ordered {
				run = p.Run
			}
			start := time.Now()
			for range run(t.Context(), e, inputs, pipeline.Window(50)) {
				synctest.Wait()
				break
			}
			expect(t, "time", time.Since(start), time.Duration(0))
			synctest.Wait()
			expect(t, "calls that hang", h.counts(), "[3 3 3]")
			if !ended {
				t.Error("the source has not ended")
			}
			e.Close()
			expect(t, "stubborn calls", stubborn, "[0:[0s]]")
			expect(t, "time", time.Since(start), time.Minute)
		})
	}
}

// The loop may be left at any of its items, by any of the ways.
func TestWaysToLeaveTheLoop(t *testing.T) {
	body := func(x, at int, how string) {
		if x != at {
			return
		}
		if how == "panic" {
			panic("body")
		}
		runtime.Goexit()
	}
	for _, how := range []string{"panic", "goexit"} {
		for at := range 5 {
			inBubble(t, 2, func(t *testing.T, e *antflow.Executor) {
				var h hanging
				p := pipeline.Stage("a", func(ctx context.Context, x int) (int, error) {
					if x > at {
						return h.call(ctx, x)
					}
					return x, nil
				}, pipeline.Workers(2))
				var got any
				<-testkit.Started(func() {
					defer func() { got = recover() }()
					for x := range p.Run(t.Context(), e, upTo(endless)) {
						synctest.Wait()
						body(x, at, how)
					}
					t.Error("the loop has ended")
				})
				if how == "panic" && got != "body" || how == "goexit" && got != nil {
					t.Errorf("%s: recovered %v", how, got)
				}
				e.Close()
				if n := h.counts(); n[0] == 0 || n[1] != n[0] || n[2] != n[0] {
					t.Errorf("%s: calls %v", how, n)
				}
			})
		}
	}
}

// When ctx ends the last error is a WaitError that matches the context's Err
// and Cause; the functions are told, and nothing waits for them.
func TestTheContextEnds(t *testing.T) {
	cause := errors.New("the cause")
	for _, ordered := range []bool{true, false} {
		inBubble(t, 3, func(t *testing.T, e *antflow.Executor) {
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(seconds(5), func() { cancel(cause) })
			var h hanging
			var causes atomic.Int64
			p := pipeline.Stage("a", func(ctx context.Context, x int) (int, error) {
				if x < 2 {
					return x, nil
				}
				_, err := h.call(ctx, x)
				if errors.Is(context.Cause(ctx), cause) {
					causes.Add(1)
				}
				return x, err
			}, pipeline.Workers(3))
			run := p.RunUnordered
			if ordered {
				run = p.Run
			}
			start := time.Now()
			var values []int
			var last error
			for x, err := range run(ctx, e, upTo(endless)) {
				if last != nil {
					t.Error("after the last error:", x, err)
				}
				if last = err; err == nil {
					values = append(values, x)
				}
			}
			slices.Sort(values)
			expect(t, "results", values, "[0 1]")
			expect(t, "time", time.Since(start), seconds(5))
			checkWaitError(t, last, context.Canceled, cause)
			checkMessage(t, last.Error(), "the cause")
			e.Close()
			expect(t, "calls", h.counts(), "[3 3 3]")
			expect(t, "causes", causes.Load(), 3)
		})
	}
}

func checkWaitError(t *testing.T, err error, is ...error) {
	t.Helper()
	var wait *antflow.WaitError
	var item *pipeline.ItemError
	if !errors.As(err, &wait) || errors.As(err, &item) {
		t.Fatalf("the last error is %#v", err)
	}
	for _, target := range is {
		if !errors.Is(err, target) {
			t.Errorf("%v is not %v", err, target)
		}
	}
}

// So it does by its deadline, while the source blocks, and when it had ended
// before.
func TestTheContextEndsAtAnyTime(t *testing.T) {
	blocking := func(yield func(int) bool) { _ = yield(0); time.Sleep(time.Hour); yield(1) }
	stages := map[string]pipeline.Pipeline[int, int]{
		"stage": pipeline.Stage("a", same), "pass": pipeline.Pass[int](),
		"retrying": pipeline.Stage("a", same, antflow.Retries(2)),
	}
	for name, p := range stages {
		inBubble(t, 3, func(t *testing.T, e *antflow.Executor) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			start := time.Now()
			values, errs := results(p.Run(ctx, e, blocking))
			expect(t, name, values, "[0]")
			expect(t, "time", time.Since(start), time.Minute)
			if len(errs) != 1 {
				t.Fatal(errs)
			}
			checkWaitError(t, errs[0], context.DeadlineExceeded)
			time.Sleep(time.Hour)

			values, errs = results(p.Run(ctx, e, upTo(10)))
			expect(t, name, values, []int(nil))
			if len(errs) != 1 {
				t.Fatal(errs)
			}
			checkWaitError(t, errs[0], context.DeadlineExceeded)
		})
	}
}

// The end of ctx in the loop's body is the end of the run at once, even with
// results at hand, and the functions' good results don't hide it.
func TestTheContextEndsInTheBody(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, e *antflow.Executor) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		n := 0
		var last error
		for _, err := range pipeline.Stage("a", same).Run(ctx, e, upTo(endless)) {
			n++
			last = err
			if n == 10 {
				cancel()
			}
			if n > 500 {
				t.Fatal("the run goes on")
			}
		}
		checkWaitError(t, last, context.Canceled)
	})
}

// A panic of the source is raised in the loop, after the results of the inputs
// before it.
func TestPanicOfTheSource(t *testing.T) {
	for _, ordered := range []bool{true, false} {
		inBubble(t, 3, func(t *testing.T, e *antflow.Executor) {
			inputs := func(yield func(int) bool) { _ = yield(0) && yield(1); panic("source") }
			var got []string
			p := pipeline.Stage("a", func(_ context.Context, x int) (int, error) {
				time.Sleep(time.Second)
				if x == 1 {
					return 0, errFlaky
				}
				return x, nil
			})
			run := p.RunUnordered
			if ordered {
				run = p.Run
			}
			text := panicOf(func() {
				for x, err := range run(t.Context(), e, inputs) {
					got = append(got, fmt.Sprint(x, err != nil))
				}
			})
			expect(t, "results", got, "[0 false 0 true]")
			if !strings.Contains(text, "source") {
				t.Errorf("the panic is %q", text)
			}
		})
	}
}

// runtime.Goexit in the source is the loop's, as if it had pulled the input
// itself, and leaves nothing.
func TestGoexitOfTheSource(t *testing.T) {
	for name, seq := range map[string]func(iter.Seq[int]) iter.Seq[int]{
		"alone":  func(s iter.Seq[int]) iter.Seq[int] { return s },
		"merged": func(s iter.Seq[int]) iter.Seq[int] { return pipeline.Merge(s, upTo(0)) },
	} {
		inBubble(t, 3, func(t *testing.T, e *antflow.Executor) {
			inputs := func(yield func(int) bool) { _ = yield(0) && yield(1); runtime.Goexit() }
			var values []int
			done := testkit.Started(func() {
				for x, err := range pipeline.Stage("a", same).Run(t.Context(), e, seq(inputs)) {
					if err == nil {
						values = append(values, x)
					}
				}
			})
			if testkit.Blocked(done) {
				t.Fatalf("%s: the loop hangs", name)
			}
			expect(t, name, values, "[0 1]")
		})
	}
}

// A run within a task lends its slot: one worker is enough, also for a run
// within a stage of another one.
func TestRunWithinATask(t *testing.T) {
	for _, workers := range []int{1, 2} {
		inBubble(t, workers, func(t *testing.T, e *antflow.Executor) {
			r := newRecord()
			inner := pipeline.Then(pipeline.Stage("a", r.taking(time.Second), pipeline.Workers(3)), pipeline.Stage("b", r.taking(time.Second)))
			outer := pipeline.Stage("outer", func(ctx context.Context, x int) (int, error) {
				values, errs := results(inner.Run(ctx, e, upTo(x)))
				return len(values), errors.Join(errs...)
			}, pipeline.Workers(2))
			f := antflow.Submit(t.Context(), e, func(ctx context.Context) (n int, err error) {
				for x, err := range outer.Run(ctx, e, upTo(5)) {
					if err != nil {
						return 0, err
					}
					n += x
					// The body has the slot again: no call runs beside it on one worker.
					if s := e.Stats(); s.Running > workers {
						t.Errorf("%+v", s)
					}
				}
				return n, nil
			})
			n, err := f.Result(t.Context())
			if n != 10 || err != nil {
				t.Error(n, err)
			}
			if r.most > workers {
				t.Errorf("%d calls at a time", r.most)
			}
		})
	}
}

// Items of the inner run are told apart from those of the outer one.
func TestItemFromIsTheInnermost(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, e *antflow.Executor) {
		inner := pipeline.Stage("inner", func(ctx context.Context, x int) (string, error) {
			item, _ := pipeline.ItemFrom(ctx)
			return item.Key, nil
		})
		outer := pipeline.Stage("outer", func(ctx context.Context, x int) ([]string, error) {
			values, _ := results(inner.Run(ctx, e, upTo(2), pipeline.Key(func(i int) string { return fmt.Sprint("in", i) })))
			item, _ := pipeline.ItemFrom(ctx)
			return append(values, item.Key), nil
		})
		values, _ := results(outer.Run(t.Context(), e, upTo(2), pipeline.Key(func(i int) string { return fmt.Sprint("out", i) })))
		expect(t, "keys", values, "[[in0 in1 out0] [in0 in1 out1]]")
	})
}
