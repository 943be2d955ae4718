package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/testkit"
	"github.com/antflow/antflow/pipeline"
)

func TestFeedBlocksAtTheWindow(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, e *antflow.Executor) {
		start := time.Now()
		run := pipeline.Stage("a", newRecord().taking(time.Second), pipeline.Workers(4)).Start(t.Context(), e, pipeline.Window(2))
		for i := range 7 {
			run.Feed(t.Context(), i)
			expect(t, fmt.Sprint(i, " was fed at"), time.Since(start), seconds(i/2))
		}
		run.Close()
	})
}

// The window is of inputs: what waits in a batch is not in it, and one that
// was settled early is out of it.
func TestTheWindowOfAFedRun(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, e *antflow.Executor) {
		start := time.Now()
		batch := pipeline.Then(pipeline.Batch[int](3, 0), pipeline.Stage("sum", func(_ context.Context, xs []int) (int, error) {
			time.Sleep(time.Second)
			return len(xs), nil
		}))
		run := batch.Start(t.Context(), e, pipeline.Window(1))
		futures := make([]*antflow.Future[int], 3)
		for i := range futures {
			futures[i] = run.Feed(t.Context(), i)
		}
		expect(t, "a batch larger than the window was fed at", time.Since(start), "0s")
		for _, f := range futures {
			expect(t, "result", fmt.Sprint(f.Result(t.Context())), "3 <nil>")
		}
		run.Close()

		start = time.Now()
		hang := pipeline.Stage("a", new(hanging).call, pipeline.Workers(4)).Start(t.Context(), e, pipeline.Window(1))
		f := hang.Feed(t.Context(), 1)
		time.AfterFunc(time.Second, func() { f.Cancel() })
		hang.Feed(t.Context(), 2)
		expect(t, "the next was fed at", time.Since(start), time.Second)
		hang.Stop()
	})
}

func TestFeedBlocksAtAFullFirstStage(t *testing.T) {
	for _, c := range []struct {
		buffer int
		want   string
	}{{0, "[0s 1s 2s 3s]"}, {1, "[0s 0s 1s 2s]"}, {2, "[0s 0s 0s 1s]"}} {
		inBubble(t, 4, func(t *testing.T, e *antflow.Executor) {
			start := time.Now()
			run := pipeline.Stage("a", newRecord().taking(time.Second), pipeline.Buffer(c.buffer)).Start(t.Context(), e)
			var at []time.Duration
			for i := range 4 {
				run.Feed(t.Context(), i)
				at = append(at, time.Since(start))
			}
			expect(t, fmt.Sprintf("Buffer(%d)", c.buffer), at, c.want)
			run.Close()
		})
	}
}

func TestBackpressureReachesFeed(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, e *antflow.Executor) {
		start := time.Now()
		p := pipeline.Then(pipeline.Stage("a", same, pipeline.Buffer(0)),
			pipeline.Stage("b", newRecord().taking(10*time.Second), pipeline.Buffer(0)))
		run := p.Start(t.Context(), e)
		var at []time.Duration
		for i := range 4 { // one at b, one blocked with a's worker
			run.Feed(t.Context(), i)
			at = append(at, time.Since(start))
		}
		expect(t, "fed at", at, "[0s 0s 10s 20s]")
		run.Close()
	})
}

func TestABlockedFeedEndsWithItsContext(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, e *antflow.Executor) {
		start, r := time.Now(), newRecord()
		run := pipeline.Stage("a", r.taking(time.Second)).Start(t.Context(), e, pipeline.Window(1))
		run.Feed(t.Context(), 0)
		cause := errors.New("enough")
		ctx, cancel := context.WithTimeoutCause(t.Context(), 300*time.Millisecond, cause)
		defer cancel()
		f := run.Feed(ctx, 1)
		expect(t, "Feed returned at", time.Since(start), "300ms")
		runCanceled(t, f, context.DeadlineExceeded, cause)
		g := run.Feed(ctx, 2) // it has ended already
		expect(t, "Feed returned at", time.Since(start), "300ms")
		runCanceled(t, g, context.DeadlineExceeded, cause)
		run.Feed(t.Context(), 3)
		expect(t, "the next was fed at", time.Since(start), "1s")
		expect(t, "Close", run.Close(), nil)
		expect(t, "calls", r, "[0:[0s] 3:[1s]]")
	})
}

func TestFeedIsFirstComeFirstServed(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, e *antflow.Executor) {
		r := newRecord()
		run := pipeline.Stage("a", r.taking(time.Second)).Start(t.Context(), e, pipeline.Window(1))
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		var fed []<-chan struct{}
		for i := range 6 {
			fed = append(fed, testkit.Started(func() {
				if i == 2 { // it gives up its place
					run.Feed(ctx, i)
				} else {
					run.Feed(t.Context(), i)
				}
			}))
			time.Sleep(time.Millisecond)
		}
		for _, done := range fed {
			<-done
		}
		run.Close()
		expect(t, "calls", r, "[0:[0s] 1:[1s] 3:[2s] 4:[3s] 5:[4s]]")
	})
}

// Feed and Shutdown lend the slot of the task that calls them.
func TestARunIsUsedByTheOneTask(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, e *antflow.Executor) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		run := pipeline.Stage("a", newRecord().taking(time.Second)).Start(t.Context(), e, pipeline.Window(1))
		_, err := e.Go(ctx, func(ctx context.Context) error {
			return errors.Join(run.Feed(ctx, 1).Err(), run.Feed(ctx, 2).Err(), run.Shutdown(ctx))
		}).Result(ctx)
		expect(t, "the task", err, nil)
		expect(t, "results", run.Snapshot().Results, 2)
		run.Stop()
	})
}

type runKey struct{}

// The functions see the values of what the item was fed with, wherever they
// are, behind a batch too.
func TestValuesOfAFeedsContext(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, e *antflow.Executor) {
		type seen []string
		see := func(name string) pipeline.Pipeline[seen, seen] {
			return pipeline.Stage(name, func(ctx context.Context, s seen) (seen, error) {
				return append(slices.Clone(s), fmt.Sprint(ctx.Value(runKey{}))), nil
			}, antflow.Retries(1))
		}
		parts := pipeline.FlatMap("parts", func(ctx context.Context, s seen) iter.Seq2[seen, error] {
			return func(yield func(seen, error) bool) {
				yield(append(slices.Clone(s), fmt.Sprint(ctx.Value(runKey{}))), nil)
			}
		})
		p := join3(see("a"), parts, pipeline.Then(pipeline.Tee(see("b")),
			join3(pipeline.Batch[seen](2, 0), pipeline.Unbatch[seen](), see("c"))))
		run := p.Start(context.WithValue(t.Context(), runKey{}, "run"), e)
		f := run.Feed(context.WithValue(t.Context(), runKey{}, "f"), nil)
		g := run.Feed(context.WithValue(t.Context(), runKey{}, "g"), nil)
		expect(t, "f", fmt.Sprint(f.Result(t.Context())), "[f f f f] <nil>")
		expect(t, "g", fmt.Sprint(g.Result(t.Context())), "[g g g g] <nil>")
		run.Close()
	})
}

// An item is canceled wherever it is, at once unless it is in a call, by its
// context as by its future, and no other one is.
func TestAnItemIsCanceledWhereverItIs(t *testing.T) {
	busy := func(x int) (int, error) { time.Sleep(time.Minute); return x, nil }
	victim := func(fn func(context.Context) error) func(context.Context, int) (int, error) {
		return func(ctx context.Context, x int) (int, error) {
			if x == 9 {
				return x, fn(ctx)
			}
			return busy(x)
		}
	}
	never := pipeline.Stage("never", func(ctx context.Context, x int) (int, error) {
		if x == 9 {
			panic("a canceled item is called for")
		}
		return x, nil
	})
	sum := func(_ context.Context, xs []int) (n int, err error) {
		for _, x := range xs {
			n += x
		}
		return n, nil
	}
	long := func(ctx context.Context) error { return testkit.Sleep(ctx, time.Hour) }
	for name, c := range map[string]struct {
		p    pipeline.Pipeline[int, int]
		at   string
		want string // the others' results
	}{
		"waiting": {pipeline.Stage("a", victim(nil)), "1s", "[1 2]"},
		"running": {pipeline.Then(pipeline.Stage("a", victim(long), pipeline.Workers(3)), never), "1s", "[1 2]"},
		"running on": {pipeline.Then(pipeline.Stage("a", victim(func(context.Context) error {
			time.Sleep(5 * time.Second)
			return nil
		}), pipeline.Workers(3)), never), "5s", "[1 2]"},
		"in a step": {pipeline.Then(pipeline.Stage("a", pipeline.Step("s", victim(long)), pipeline.Workers(3)), never), "1s", "[1 2]"},
		"delayed": {pipeline.Stage("a", victim(func(context.Context) error { return errFlaky }),
			pipeline.Workers(3), antflow.Retries(1), antflow.RetryDelay(time.Hour)), "1s", "[1 2]"},
		"for a permit":  {pipeline.Stage("a", victim(nil), pipeline.Workers(3), antflow.WithSemaphore(antflow.NewSemaphore(2))), "1s", "[1 2]"},
		"in a batch":    {pipeline.Then(pipeline.Batch[int](4, 0), pipeline.Stage("a", sum)), "1s", "[3 3]"},
		"in a timed":    {pipeline.Then(pipeline.Batch[int](4, time.Minute), pipeline.Stage("a", sum)), "1s", "[3 3]"},
		"before a full": {pipeline.Then(pipeline.Stage("a", same), pipeline.Stage("b", victim(nil), pipeline.Buffer(1))), "1s", "[1 2]"},
		"before a pass": {join3(pipeline.Stage("a", same), pipeline.Pass[int](), pipeline.Stage("b", victim(nil), pipeline.Buffer(1))), "1s", "[1 2]"},
	} {
		for _, how := range []string{"context", "future"} {
			t.Run(name+" by "+how, func(t *testing.T) {
				inBubble(t, 4, func(t *testing.T, e *antflow.Executor) {
					start := time.Now()
					run := c.p.Start(t.Context(), e)
					ctx, cancel := context.WithCancelCause(t.Context())
					others := []*antflow.Future[int]{run.Feed(t.Context(), 1), run.Feed(t.Context(), 2)}
					f := run.Feed(ctx, 9)
					settled := make(chan time.Duration, 1)
					f.OnDone(func(*antflow.Future[int]) { settled <- time.Since(start) })
					time.Sleep(time.Second)
					synctest.Wait()
					if how == "future" {
						expect(t, "Cancel", f.Cancel(), true)
						cancel(nil)
					} else {
						cancel(errFlaky)
					}
					expect(t, "settled at", <-settled, c.at)
					runCanceled(t, f, context.Canceled)
					if how == "context" && !errors.Is(f.Err(), errFlaky) {
						t.Errorf("%v is not the context's cause", f.Err())
					}
					expect(t, "Cancel of a settled future", f.Cancel(), false)
					expect(t, "Close", run.Close(), nil)
					var got []int
					for _, o := range others {
						v, err := o.Result(t.Context())
						if err != nil {
							t.Error(err)
						}
						got = append(got, v)
					}
					expect(t, "the others", got, c.want)
					s := run.Snapshot()
					expect(t, "left, failures", []any{s.Items, s.Batched, run.Failures()}, "[0 0 []]")
				})
			})
		}
	}
}

// What comes to feed its own run never waits for room, so one worker and the
// smallest window are enough, also when Close waits already.
func TestItemsFeedTheirOwnRun(t *testing.T) {
	const n = 100
	var run *pipeline.Run[int, int]
	var e *antflow.Executor
	children := func(ctx context.Context, x int) {
		for c := 2 * x; c < min(2*x+2, n); c++ {
			run.Feed(ctx, c)
		}
	}
	feed := func(ctx context.Context, x int) (int, error) {
		time.Sleep(time.Millisecond)
		children(ctx, x)
		return x, nil
	}
	for name, p := range map[string]pipeline.Pipeline[int, int]{
		"stage":   pipeline.Stage("a", feed, pipeline.Buffer(0)),
		"retries": pipeline.Stage("a", feed, pipeline.Buffer(0), antflow.Retries(2), antflow.Timeout(time.Second)),
		"step":    pipeline.Stage("a", pipeline.Step("s", feed), pipeline.Buffer(0)),
		"task": pipeline.Stage("a", func(ctx context.Context, x int) (int, error) {
			return antflow.Submit(ctx, e, func(ctx context.Context) (int, error) { return feed(ctx, x) }).Result(ctx)
		}, pipeline.Buffer(0)),
		"last":   pipeline.Then(pipeline.Stage("a", same, pipeline.Buffer(0)), pipeline.Stage("b", feed, pipeline.Buffer(0))),
		"filter": pipeline.Filter("a", func(ctx context.Context, x int) (bool, error) { children(ctx, x); return true, nil }, pipeline.Buffer(0)),
		"flatmap": pipeline.FlatMap("a", func(ctx context.Context, x int) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) { children(ctx, x); yield(x, nil) }
		}, pipeline.Buffer(0)),
		"behind a batch": join3(pipeline.Batch[int](3, time.Millisecond), pipeline.Unbatch[int](), pipeline.Stage("a", feed, pipeline.Buffer(0))),
		"in a stage of batches": join3(pipeline.Batch[int](3, time.Millisecond),
			pipeline.Stage("a", func(ctx context.Context, xs []int) ([]int, error) {
				for _, x := range xs {
					children(ctx, x)
				}
				return xs, nil
			}), pipeline.Unbatch[int]()),
	} {
		for _, early := range []bool{false, true} {
			t.Run(fmt.Sprint(name, early), func(t *testing.T) {
				inBubble(t, 1, func(t *testing.T, ex *antflow.Executor) {
					e = ex
					run = p.Start(t.Context(), e, pipeline.Window(1))
					f := run.Feed(t.Context(), 1)
					if !early {
						if _, err := f.Result(t.Context()); err != nil {
							t.Error(err)
						}
					}
					ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
					defer cancel()
					expect(t, "Shutdown", run.Shutdown(ctx), nil)
					s := run.Snapshot()
					expect(t, "inputs, results", []any{s.Inputs, s.Results, len(run.Failures())}, []any{n - 1, n - 1, 0})
					run.Stop()
				})
			})
		}
	}
}

// The context of a call ends with it. It doesn't take along what the function
// fed to its own run, but what it fed to another one.
func TestWhatACallFedOutlivesIt(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, e *antflow.Executor) {
		var h hanging
		other := pipeline.Stage("a", h.call).Start(t.Context(), e)
		var run *pipeline.Run[int, int]
		var child, foreign *antflow.Future[int]
		run = pipeline.Stage("a", func(ctx context.Context, x int) (int, error) {
			if x == 0 {
				child, foreign = run.Feed(ctx, 1), other.Feed(ctx, 1)
			}
			return x, testkit.Sleep(ctx, time.Second)
		}).Start(t.Context(), e)
		expect(t, "parent", fmt.Sprint(run.Feed(t.Context(), 0).Result(t.Context())), "0 <nil>")
		expect(t, "Close", run.Close(), nil)
		expect(t, "child", fmt.Sprint(child.Result(t.Context())), "1 <nil>")
		runCanceled(t, foreign, context.Canceled)
		other.Close()
		expect(t, "the other run's calls", h.counts(), "[1 1 1]")
	})
}

func TestErrClosed(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, e *antflow.Executor) {
		r := newRecord()
		run := pipeline.Stage("a", r.taking(time.Second)).Start(t.Context(), e, pipeline.Window(1))
		run.Feed(t.Context(), 0)
		var blocked *antflow.Future[int]
		fed := testkit.Started(func() { blocked = run.Feed(t.Context(), 1) })
		synctest.Wait()
		closed := testkit.Started(func() { run.Close() })
		synctest.Wait()
		for _, f := range []*antflow.Future[int]{run.Feed(t.Context(), 2), pipeline.FeedAt(t.Context(), run, "a", 2)} {
			if !f.IsDone() || !errors.Is(f.Err(), pipeline.ErrClosed) || f.State() != antflow.StateFailed {
				t.Errorf("%v: %v", f, f.Err())
			}
		}
		<-fed
		<-closed
		if _, err := blocked.Result(t.Context()); err != nil && !errors.Is(err, pipeline.ErrClosed) {
			t.Error(err)
		}
		expect(t, "Close again", run.Close(), nil)
		if f := run.Feed(t.Context(), 3); !errors.Is(f.Err(), pipeline.ErrClosed) {
			t.Error(f.Err())
		}
	})
}

// Its context has ended before it could start: it never does.
func TestAnItemWhoseContextHasEndedIsNotCalled(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, e *antflow.Executor) {
		for range 20 {
			ctx, cancel := context.WithCancel(t.Context())
			run := pipeline.Stage("a", func(_ context.Context, x int) (int, error) {
				if x == 1 {
					t.Error("it was called")
				}
				time.Sleep(time.Second)
				cancel()
				return x, nil
			}).Start(t.Context(), e)
			run.Feed(t.Context(), 0)
			f := run.Feed(ctx, 1)
			run.Close()
			runCanceled(t, f, context.Canceled)
		}
	})
}
