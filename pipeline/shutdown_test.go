package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/testkit"
	"github.com/antflow/antflow/pipeline"
)

// checkShutdown checks the last error of a run whose executor was shut down.
func checkShutdown(t *testing.T, errs []error) {
	t.Helper()
	var item *pipeline.ItemError
	var wait *antflow.WaitError
	if len(errs) != 1 {
		t.Fatalf("%d errors, not one: %v", len(errs), errs[:min(3, len(errs))])
	}
	if !errors.Is(errs[0], antflow.ErrShutdown) || errors.As(errs[0], &item) || errors.As(errs[0], &wait) {
		t.Fatalf("the errors are %v", errs)
	}
	checkMessage(t, errs[0].Error(), "shut down")
}

// A plain shutdown ends the pulling: what has been pulled still comes out of
// all stages, and then the error.
func TestShutdownLetsThePulledOnesOut(t *testing.T) {
	for _, ordered := range []bool{true, false} {
		for _, opts := range [][]pipeline.StageOption{nil, options(antflow.Retries(1), antflow.RetryDelay(time.Second))} {
			inBubble(t, 3, func(t *testing.T, e *antflow.Executor) {
				var src source
				r := newRecord()
				fn := failing(r, len(opts)/2) // with retries each call fails once
				p := pipeline.Then(pipeline.Stage("a", fn, append(opts, pipeline.Workers(2))...), pipeline.Stage("b", same))
				run := p.RunUnordered
				if ordered {
					run = p.Run
				}
				closed := testkit.Started(func() {
					time.Sleep(seconds(11) / 2)
					e.Close()
				})
				values, errs := results(run(t.Context(), e, src.first(endless), pipeline.Window(6)))
				checkShutdown(t, errs)
				// The one that the source waits with when it ends is not taken.
				if n := int(src.asked.Load()); len(values) < 6 || n != len(values) && n != len(values)+1 {
					t.Errorf("%d results of %d inputs", len(values), n)
				}
				<-closed
			})
		}
	}
}

// The pulling ends though there is always a result for the loop at hand.
func TestShutdownEndsARunWithASlowLoop(t *testing.T) {
	for name, p := range map[string]pipeline.Pipeline[int, int]{
		"stage": pipeline.Stage("a", same), "retrying": pipeline.Stage("a", same, antflow.Retries(1)), "pass": pipeline.Pass[int](),
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 3, func(t *testing.T, e *antflow.Executor) {
				closed := testkit.Started(func() {
					time.Sleep(seconds(11) / 2)
					e.Close()
				})
				n, last := 0, error(nil)
				for _, err := range p.Run(t.Context(), e, upTo(endless), pipeline.Window(10)) {
					time.Sleep(time.Second)
					if last = err; err != nil {
						continue
					}
					if n++; n == 100 {
						break
					}
				}
				// Six at the shutdown, and what is in the window then.
				if n > 16 {
					t.Errorf("%d results", n)
				} else {
					checkShutdown(t, []error{last})
				}
				<-closed
			})
		})
	}
}

// A source that blocks does not hold up the end.
func TestShutdownDoesNotWaitForTheSource(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, e *antflow.Executor) {
		inputs := func(yield func(int) bool) {
			_ = yield(0) && yield(1)
			time.Sleep(time.Hour)
			if yield(2) {
				t.Error("the source is asked for more")
			}
		}
		time.AfterFunc(seconds(5), func() { e.Close() })
		start := time.Now()
		values, errs := results(plus("a", 0, time.Second).Run(t.Context(), e, inputs))
		expect(t, "results", values, "[0 1]")
		checkShutdown(t, errs)
		expect(t, "time", time.Since(start), seconds(5))
		time.Sleep(time.Hour)
	})
}

// The executor may be closed in the loop's body: what is in the run finishes
// without the loop.
func TestCloseInTheBody(t *testing.T) {
	for _, window := range []int{1, 3, 1000} {
		for _, ordered := range []bool{true, false} {
			closeInTheBody(t, window, ordered)
		}
	}
}

func closeInTheBody(t *testing.T, window int, ordered bool) {
	t.Run(fmt.Sprint(window, ordered), func(t *testing.T) {
		inBubble(t, 2, func(t *testing.T, e *antflow.Executor) {
			var src source
			p := pipeline.Then(plus("a", 0, time.Second), plus("b", 0, time.Second))
			run := p.RunUnordered
			if ordered {
				run = p.Run
			}
			n, last := 0, error(nil)
			for x, err := range run(t.Context(), e, src.first(endless), pipeline.Window(window)) {
				if last = err; err != nil {
					continue
				}
				if x != n {
					t.Error(x, n)
				}
				if n++; n == 3 {
					closed := testkit.Started(func() { e.Close() })
					time.Sleep(time.Hour)
					if testkit.Blocked(closed) {
						t.Error("Close waits for the loop")
					}
				}
			}
			checkShutdown(t, []error{last})
			if asked := int(src.asked.Load()); n < 3 || asked != n && asked != n+1 {
				t.Errorf("%d results of %d inputs", n, asked)
			}
		})
	})
}

// An executor that was shut down before runs nothing.
func TestRunOnAClosedExecutor(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, e *antflow.Executor) {
		e.Close()
		for _, p := range []pipeline.Pipeline[int, int]{pipeline.Stage("a", same), pipeline.Pass[int](), pipeline.Stage("b", same, antflow.Retries(1))} {
			values, errs := results(p.Run(t.Context(), e, upTo(endless)))
			expect(t, "results", values, []int(nil))
			checkShutdown(t, errs)
		}
	})
}

// A shutdown that cancels ends the run at once; CancelRunning tells the
// functions, CancelQueued lets those that are being called finish.
func TestShutdownThatCancels(t *testing.T) {
	for name, c := range map[string]struct {
		opt  antflow.ShutdownOption
		took time.Duration // until the shutdown is over
		want string        // calls that began, ended, and were canceled
	}{
		"CancelRunning": {antflow.CancelRunning(), seconds(5), "[2 2 2]"},
		"CancelQueued":  {antflow.CancelQueued(), time.Hour, "[2 2 0]"},
	} {
		for _, opts := range [][]pipeline.StageOption{nil, options(antflow.Retries(5))} {
			t.Run(name, func(t *testing.T) {
				inBubble(t, 3, func(t *testing.T, e *antflow.Executor) {
					var h hanging
					p := pipeline.Then(plus("before", 0, 0), pipeline.Stage("a", func(ctx context.Context, x int) (int, error) {
						if x < 3 {
							return x, nil
						}
						return h.call(ctx, x)
					}, append(opts, pipeline.Workers(2))...))
					start := time.Now()
					over := testkit.Started(func() {
						time.Sleep(seconds(5))
						e.Shutdown(context.Background(), c.opt)
					})
					values, errs := results(p.Run(t.Context(), e, upTo(endless)))
					if len(values) < 3 {
						t.Error(values)
					}
					checkShutdown(t, errs)
					<-over
					expect(t, "time of the shutdown", time.Since(start), c.took)
					expect(t, "calls", h.counts(), c.want)
				})
			})
		}
	}
}

// An item in its retry delay doesn't hold up a cancellation, nor the loop.
func TestShutdownDuringADelay(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, e *antflow.Executor) {
		r := newRecord()
		p := pipeline.Stage("a", failing(r, 9), antflow.Retries(9), antflow.RetryDelay(time.Hour))
		start := time.Now()
		over := testkit.Started(func() {
			time.Sleep(seconds(5))
			e.Shutdown(context.Background(), antflow.CancelRunning())
		})
		_, errs := results(p.Run(t.Context(), e, upTo(2)))
		checkShutdown(t, errs)
		<-over
		expect(t, "time", time.Since(start), seconds(5))
		expect(t, "calls", r, "[0:[0s] 1:[1s]]")
	})
}

// Within a task of the executor a run counts as accepted work: a plain shutdown
// doesn't end it.
func TestRunWithinATaskOutlivesAShutdown(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, e *antflow.Executor) {
		f := antflow.Submit(t.Context(), e, func(ctx context.Context) (int, error) {
			values, errs := results(plus("a", 0, time.Second).Run(ctx, e, upTo(10)))
			return len(values), errors.Join(errs...)
		})
		time.Sleep(seconds(3))
		e.Close()
		if n, err := f.Result(t.Context()); n != 10 || err != nil {
			t.Error(n, err)
		}
	})
}

// What waits to get into a batch makes no new one when the run ends: nothing of it
// is worked on, and there is nobody left to do so.
func TestNoBatchIsMadeAtTheEnd(t *testing.T) {
	for name, opt := range map[string]antflow.ShutdownOption{
		"CancelRunning": antflow.CancelRunning(),
		"CancelQueued":  antflow.CancelQueued(),
	} {
		for _, run := range []pipeline.RunOption{pipeline.Window(256), pipeline.History(1)} {
			t.Run(name, func(t *testing.T) {
				inBubble(t, 8, func(t *testing.T, e *antflow.Executor) {
					calls := 0
					slow := pipeline.Stage("slow", func(_ context.Context, xs []int) (int, error) {
						calls++
						time.Sleep(time.Hour)
						return len(xs), nil
					}, pipeline.Workers(1), pipeline.Buffer(0))
					p := join3(pipeline.Stage("quick", same, pipeline.Workers(5)), pipeline.Batch[int](2, 0), slow)
					over := testkit.Started(func() {
						time.Sleep(seconds(5))
						e.Shutdown(context.Background(), opt)
					})
					var m pipeline.Monitor
					values, errs := results(p.Run(t.Context(), e, upTo(endless), run, pipeline.WithMonitor(&m)))
					if err := m.CheckInvariants(); err != nil {
						t.Error(err)
					}
					checkShutdown(t, errs)
					<-over
					expect(t, "calls and values", fmt.Sprint(calls, values), "1 []")
				})
			})
		}
	}
}

// A batch that is not full and a reduction come out at a plain shutdown.
func TestShutdownCompletesBatches(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, e *antflow.Executor) {
		time.AfterFunc(seconds(9)/2, func() { e.Close() })
		batches, errs := results(pipeline.Batch[int](3, 0).Run(t.Context(), e, every(time.Second, endless)))
		expect(t, "batches", batches, "[[0 1 2] [3 4]]")
		checkShutdown(t, errs)
		time.Sleep(time.Second) // until the source has seen it
	})
	inBubble(t, 2, func(t *testing.T, e *antflow.Executor) {
		time.AfterFunc(seconds(9)/2, func() { e.Close() })
		texts, errs := results(pipeline.Reduce("all", empty, concat).Run(t.Context(), e, every(time.Second, endless)))
		expect(t, "results", texts, "[<01234]")
		checkShutdown(t, errs)
		time.Sleep(time.Second)
	})
}

// What a canceled call returns is the cancellation's and no failure of its
// item, whoever learns of the shutdown first.
func TestCanceledCallsAreNoFailures(t *testing.T) {
	for _, opts := range [][]pipeline.StageOption{nil, options(antflow.Retries(5), antflow.RetryDelay(0))} {
		inBubble(t, 200, func(t *testing.T, e *antflow.Executor) {
			p := pipeline.Stage("a", new(hanging).call, append(opts, pipeline.Workers(100))...)
			time.AfterFunc(time.Second, func() { e.Shutdown(context.Background(), antflow.CancelRunning()) })
			values, errs := results(p.RunUnordered(t.Context(), e, upTo(100)))
			expect(t, "results", values, []int(nil))
			checkShutdown(t, errs)
		})
	}
}

// The same holds for the items that were fed.
func TestCanceledCallsOfFedItems(t *testing.T) {
	type ends struct{ start, feed context.CancelFunc }
	for name, end := range map[string]func(e *antflow.Executor, fs []*antflow.Future[int], c ends){
		"shutdown": func(e *antflow.Executor, _ []*antflow.Future[int], _ ends) {
			e.Shutdown(context.Background(), antflow.CancelRunning())
		},
		"run's ctx":  func(_ *antflow.Executor, _ []*antflow.Future[int], c ends) { c.start() },
		"item's ctx": func(_ *antflow.Executor, _ []*antflow.Future[int], c ends) { c.feed() },
		"Cancel": func(_ *antflow.Executor, fs []*antflow.Future[int], _ ends) {
			for _, f := range fs {
				f.Cancel()
			}
		},
	} {
		for _, retries := range []int{0, 5} {
			t.Run(fmt.Sprint(name, retries), func(t *testing.T) {
				inBubble(t, 200, func(t *testing.T, e *antflow.Executor) {
					var h hanging
					var c ends
					var start, feed context.Context
					start, c.start = context.WithCancel(t.Context())
					feed, c.feed = context.WithCancel(t.Context())
					p := pipeline.Stage("a", h.call, antflow.Retries(retries), antflow.RetryDelay(0), pipeline.Workers(100))
					run := p.Start(start, e)
					var futures []*antflow.Future[int]
					for x := range 100 {
						futures = append(futures, run.Feed(feed, x))
					}
					time.Sleep(time.Second)
					end(e, futures, c)
					bad := 0
					for _, f := range futures {
						if _, err := f.Result(t.Context()); !errors.Is(err, antflow.ErrCanceled) || f.State() != antflow.StateCanceled {
							if bad++; bad == 1 {
								t.Errorf("a future is %v and has %v", f, err)
							}
						}
					}
					expect(t, "futures that are not canceled", bad, 0)
					run.Close()
					expect(t, "calls", h.counts(), "[100 100 100]")
					c.start()
					c.feed()
				})
			})
		}
	}
}
