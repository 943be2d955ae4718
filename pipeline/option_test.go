package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/testkit"
	"github.com/antflow/antflow/pipeline"
)

var errFlaky = errors.New("flaky")

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }

func options(opts ...pipeline.StageOption) []pipeline.StageOption { return opts }

// The options of the root package hold for a stage's calls as for the attempts
// of a task: one item, whose calls take a second and fail.
func TestTaskOptionsOnAStage(t *testing.T) {
	inner := fmt.Errorf("inner: %w", errFlaky)
	for name, c := range map[string]struct {
		opts     []pipeline.StageOption
		err      func(attempt int) error
		starts   string
		attempts int    // of the ItemError; 0: it succeeds
		retried  bool   // a RetryError is inside
		last     error  // what the ItemError or RetryError has; nil: errFlaky
		text     string // of the whole
	}{
		"no retry": {starts: "[0s]", attempts: 1, text: `flaky`},
		"doubling": {opts: options(antflow.Retries(4), antflow.RetryDelay(seconds(1))),
			starts: "[0s 2s 5s 10s 19s]", attempts: 5, retried: true},
		"the default delay": {opts: options(antflow.Retries(1)), starts: "[0s 1.1s]", attempts: 2, retried: true},
		"no delay":          {opts: options(antflow.Retries(2), antflow.RetryDelay(0)), starts: "[0s 1s 2s]", attempts: 3, retried: true},
		"constant": {opts: options(antflow.Retries(2), antflow.RetryBackoff(antflow.ConstantBackoff(seconds(5)))),
			starts: "[0s 6s 12s]", attempts: 3, retried: true},
		"exponential": {opts: options(antflow.Retries(3), antflow.RetryBackoff(antflow.ExponentialBackoff(seconds(2), seconds(3)))),
			starts: "[0s 3s 7s 11s]", attempts: 4, retried: true},
		"own": {opts: options(antflow.Retries(2), antflow.RetryBackoff(func(n int, err error) time.Duration {
			if err != errFlaky {
				return time.Hour
			}
			return seconds(10 * n)
		})), starts: "[0s 11s 32s]", attempts: 3, retried: true},
		"later options win": {opts: options(antflow.Retries(5), antflow.RetryDelay(seconds(1)), antflow.Retries(1)),
			starts: "[0s 2s]", attempts: 2, retried: true},
		"joined": {opts: options(antflow.JoinOptions(antflow.Retries(1), antflow.RetryDelay(seconds(3))), pipeline.Workers(2)),
			starts: "[0s 4s]", attempts: 2, retried: true},
		"succeeds": {opts: options(antflow.Retries(5), antflow.RetryDelay(seconds(1))),
			err: func(n int) error {
				if n == 3 {
					return nil
				}
				return errFlaky
			}, starts: "[0s 2s 5s]"},
		"RetryIf": {opts: options(antflow.Retries(5), antflow.RetryDelay(0), antflow.RetryIf(func(err error) bool { return err == errFlaky })),
			err: func(n int) error {
				if n == 2 {
					return inner
				}
				return errFlaky
			}, starts: "[0s 1s]", attempts: 2, retried: true, last: inner},
		"Permanent at once": {opts: options(antflow.Retries(5)), err: func(int) error { return antflow.Permanent(inner) },
			starts: "[0s]", attempts: 1, last: inner},
		"Permanent later": {opts: options(antflow.Retries(5), antflow.RetryDelay(0)),
			err: func(n int) error {
				if n == 2 {
					return antflow.Permanent(inner)
				}
				return errFlaky
			}, starts: "[0s 1s]", attempts: 2, retried: true, last: inner},
		"RetryAfter": {opts: options(antflow.Retries(2)), err: func(n int) error { return antflow.RetryAfter(errFlaky, seconds(7*n)) },
			starts: "[0s 8s 23s]", attempts: 3, retried: true},
		"RetryAfter without Retries": {err: func(n int) error { return antflow.RetryAfter(errFlaky, seconds(7)) },
			starts: "[0s]", attempts: 1},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 4, func(t *testing.T, e *antflow.Executor) {
				r := newRecord()
				fn := func(_ context.Context, x int) (int, error) {
					n := r.begin(x)
					time.Sleep(time.Second)
					if c.err == nil {
						return 99, errFlaky
					}
					return x, c.err(n)
				}
				values, errs := results(pipeline.Stage("work", fn, c.opts...).Run(t.Context(), e, upTo(1)))
				expect(t, "calls", r, "[0:"+c.starts+"]")
				if c.attempts == 0 {
					expect(t, "results", values, "[0]")
					return
				}
				var item *pipeline.ItemError
				if len(errs) != 1 || !errors.As(errs[0], &item) {
					t.Fatal(errs)
				}
				expect(t, "attempts", item.Attempts, c.attempts)
				got := item.Err
				var retry *antflow.RetryError
				if errors.As(got, &retry) != c.retried {
					t.Errorf("%#v", got)
				}
				if c.retried {
					expect(t, "attempts of the RetryError", retry.Attempts, c.attempts)
					got = retry.Err
				}
				if c.last == nil {
					c.last = errFlaky
				}
				if got != c.last {
					t.Errorf("the error is %#v", got)
				}
			})
		})
	}
}

// A call is told who it is as an attempt of a task is.
func TestTaskInfoOfACall(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, e *antflow.Executor) {
		n := 0
		p := pipeline.Stage("work", func(ctx context.Context, x int) (int, error) {
			n++
			if info, ok := antflow.TaskFrom(ctx); !ok || info.Attempt != n || info.Name != "mine" || info.Executor != "exec" {
				t.Errorf("attempt %d: %+v, %v", n, info, ok)
			}
			return 0, errFlaky
		}, antflow.TaskName("mine"), antflow.Retries(2))
		results(p.Run(t.Context(), e, upTo(1)))
	}, antflow.ExecutorName("exec"))
}

// An item in its delay has no worker: the next one runs meanwhile, and when
// both could run the one that came first does.
func TestDelayedItemsHoldNoWorker(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, e *antflow.Executor) {
		r := newRecord()
		p := pipeline.Stage("work", func(_ context.Context, x int) (int, error) {
			n := r.begin(x)
			defer r.end()
			time.Sleep(time.Second)
			if x == 0 && n < 3 {
				return 0, errFlaky
			}
			return x, nil
		}, antflow.Retries(2), antflow.RetryBackoff(antflow.ConstantBackoff(1500*time.Millisecond)))
		values, errs := results(p.Run(t.Context(), e, upTo(6)))
		expect(t, "results", values, "[0 1 2 3 4 5]")
		expect(t, "errors", errs, []error(nil))
		expect(t, "calls at a time", r.most, 1)
		expect(t, "calls", r, "[0:[0s 3s 6s] 1:[1s] 2:[2s] 3:[4s] 4:[5s] 5:[7s]]")
	})
}

// The deadline is d after each attempt's start and fails it like any other.
func TestTimeoutIsOfEachAttempt(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, e *antflow.Executor) {
		r := newRecord()
		p := pipeline.Stage("work", func(ctx context.Context, x int) (int, error) {
			n := r.begin(x)
			if d, ok := ctx.Deadline(); !ok || time.Until(d) != seconds(2) {
				t.Errorf("deadline %v, %v", time.Until(d), ok)
			}
			if x == 0 || n == 1 {
				return 0, testkit.Sleep(ctx, time.Hour)
			}
			return x, nil
		}, antflow.Retries(2), antflow.RetryDelay(seconds(1)), antflow.Timeout(seconds(2)), pipeline.Workers(2))
		values, errs := results(p.Run(t.Context(), e, upTo(2)))
		expect(t, "results", values, "[1]")
		expect(t, "calls", r, "[0:[0s 3s 7s] 1:[0s 3s]]")
		if len(errs) != 1 || !errors.Is(errs[0], context.DeadlineExceeded) || errors.Is(errs[0], antflow.ErrCanceled) {
			t.Error(errs)
		}
		expect(t, "time", time.Since(r.start), seconds(9))
	})
}

// A queue timeout fails an item that no worker of the executor takes in time.
func TestQueueTimeout(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, e *antflow.Executor) {
		e.Go(t.Context(), func(context.Context) error { time.Sleep(seconds(5)); return nil })
		r := newRecord()
		p := pipeline.Stage("work", r.taking(0), antflow.QueueTimeout(seconds(2)))
		values, errs := results(p.Run(t.Context(), e, upTo(1)))
		var item *pipeline.ItemError
		if values != nil || len(errs) != 1 || !errors.Is(errs[0], antflow.ErrQueueTimeout) || !errors.As(errs[0], &item) || item.Attempts != 0 || item.Stage != "work" {
			t.Error(values, errs)
		}
		expect(t, "calls", r, "[]")
		expect(t, "time", time.Since(r.start), seconds(2))
	})
}

// It counts from the item's coming to the stage, so the wait for one of the
// stage's workers is in it.
func TestQueueTimeoutCountsTheWaitForTheStage(t *testing.T) {
	inBubble(t, 8, func(t *testing.T, e *antflow.Executor) {
		r := newRecord()
		p := pipeline.Stage("work", r.taking(seconds(3)), antflow.QueueTimeout(seconds(4)), pipeline.Buffer(10))
		values, errs := results(p.Run(t.Context(), e, upTo(4)))
		expect(t, "results", values, "[0 1]")
		expect(t, "failures", len(errs), 2)
		for _, err := range errs {
			if !errors.Is(err, antflow.ErrQueueTimeout) {
				t.Error(err)
			}
		}
		expect(t, "calls", r, "[0:[0s] 1:[3s]]")
		expect(t, "time", time.Since(r.start), seconds(6))
	})
}

// A semaphore holds for whatever shares it, two stages and a task here. Who
// waits for a permit has no worker of the executor.
func TestSemaphoreOfStagesAndTasks(t *testing.T) {
	inBubble(t, 10, func(t *testing.T, e *antflow.Executor) {
		sem := antflow.WithSemaphore(antflow.NewSemaphore(2))
		r := newRecord()
		for range 3 {
			antflow.Submit(t.Context(), e, func(ctx context.Context) (int, error) { return r.taking(time.Second)(ctx, -1) }, sem)
		}
		fn := r.taking(time.Second)
		p := pipeline.Then(pipeline.Stage("a", fn, pipeline.Workers(5), sem), pipeline.Stage("b", fn, pipeline.Workers(5), sem))
		values, _ := results(p.Run(t.Context(), e, upTo(8)))
		expect(t, "results", values, "[0 1 2 3 4 5 6 7]")
		expect(t, "calls at a time", r.most, 2)
		// 19 calls of a second, two at a time.
		expect(t, "time", time.Since(r.start), seconds(10))
	})
}

func TestWaitingForAPermitHoldsNoWorker(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, e *antflow.Executor) {
		s := antflow.NewSemaphore(1)
		s.Acquire(t.Context(), 1)
		time.AfterFunc(seconds(10), func() { s.Release(1) })
		a, b := newRecord(), newRecord()
		p := pipeline.Tee(
			pipeline.Stage("a", a.taking(time.Second), pipeline.Workers(4), antflow.WithSemaphore(s)),
			pipeline.Stage("b", b.taking(time.Second), pipeline.Workers(4)))
		results(p.Run(t.Context(), e, upTo(4)))
		expect(t, "calls of b", b, "[0:[0s] 1:[1s] 2:[2s] 3:[3s]]")
		expect(t, "calls of a", a, "[0:[10s] 1:[11s] 2:[12s] 3:[13s]]")
	})
}

// A permit is given back when an attempt ends, not held through the delay.
func TestADelayedItemHoldsNoPermit(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, e *antflow.Executor) {
		r := newRecord()
		p := pipeline.Stage("work", func(_ context.Context, x int) (int, error) {
			n := r.begin(x)
			defer r.end()
			time.Sleep(time.Second)
			if n == 1 {
				return 0, errFlaky
			}
			return x, nil
		}, pipeline.Workers(4), antflow.Retries(1), antflow.RetryDelay(seconds(10)), antflow.WithSemaphore(antflow.NewSemaphore(1)))
		results(p.Run(t.Context(), e, upTo(3)))
		expect(t, "calls at a time", r.most, 1)
		expect(t, "calls", r, "[0:[0s 11s] 1:[1s 12s] 2:[2s 13s]]")
	})
}

// A ticker lets an event pass every second, the first at once.
type ticker struct {
	mu   sync.Mutex
	next time.Time
}

func (l *ticker) Wait(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if d := time.Until(l.next); d > 0 {
		if err := testkit.Sleep(ctx, d); err != nil {
			return err
		}
	}
	l.next = time.Now().Add(time.Second)
	return nil
}

type brokenLimit struct{}

func (brokenLimit) Wait(context.Context) error { return errFlaky }

// Each attempt waits for an event; who does has no worker of the executor.
func TestRateLimit(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, e *antflow.Executor) {
		r := newRecord()
		p := pipeline.Stage("work", func(_ context.Context, x int) (int, error) {
			if n := r.begin(x); x == 1 && n == 1 {
				return 0, errFlaky
			}
			time.Sleep(seconds(3) / 2)
			return x, nil
		}, pipeline.Workers(4), antflow.WithRateLimit(&ticker{}), antflow.Retries(1), antflow.RetryDelay(seconds(10)))
		results(p.Run(t.Context(), e, upTo(4)))
		expect(t, "calls", r, "[0:[0s] 1:[1s 11s] 2:[2s] 3:[3s]]")
	})
	inBubble(t, 2, func(t *testing.T, e *antflow.Executor) {
		p := pipeline.Stage("work", same, antflow.WithRateLimit(brokenLimit{}), antflow.Retries(5))
		_, errs := results(p.Run(t.Context(), e, upTo(2)))
		if len(errs) != 2 || !errors.Is(errs[0], errFlaky) {
			t.Error(errs)
		}
	})
}

// A stage's priority is that of its calls among the tasks of the executor.
func TestPriorityOfAStage(t *testing.T) {
	for priority, want := range map[int]string{0: "[task work0 work1]", 9: "[work0 work1 task]"} {
		inBubble(t, 1, func(t *testing.T, e *antflow.Executor) {
			var order []string
			e.Go(t.Context(), func(context.Context) error { time.Sleep(time.Second); return nil })
			e.Go(t.Context(), func(context.Context) error { order = append(order, "task"); time.Sleep(time.Second); return nil }, antflow.Priority(5))
			p := pipeline.Stage("work", func(_ context.Context, x int) (int, error) {
				order = append(order, fmt.Sprint("work", x))
				time.Sleep(time.Second)
				return x, nil
			}, antflow.Priority(priority), pipeline.Workers(4))
			results(p.Run(t.Context(), e, upTo(2)))
			e.Close()
			expect(t, fmt.Sprint("order at ", priority), order, want)
		})
	}
}

// The executor's defaults apply to the calls; a stage's options win, and
// WithoutDefaults turns them off.
func TestDefaultsOfTheExecutor(t *testing.T) {
	defaults := antflow.WithTaskOptions(antflow.Retries(2), antflow.RetryDelay(seconds(1)), antflow.Timeout(seconds(5)),
		antflow.WithSemaphore(antflow.NewSemaphore(1)))
	for name, c := range map[string]struct {
		opts  []pipeline.StageOption
		calls string
		took  int
	}{
		"defaults": {nil, "[0:[0s 6s 13s] 1:[5s 18s 25s]]", 30},
		"own":      {options(antflow.Retries(0), antflow.Timeout(seconds(1))), "[0:[0s] 1:[1s]]", 2},
		"none":     {options(antflow.WithoutDefaults()), "[0:[0s] 1:[0s]]", 60},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 4, func(t *testing.T, e *antflow.Executor) {
				r := newRecord()
				p := pipeline.Stage("work", func(ctx context.Context, x int) (int, error) {
					r.begin(x)
					return x, testkit.Sleep(ctx, time.Minute)
				}, append(c.opts, pipeline.Workers(2))...)
				results(p.Run(t.Context(), e, upTo(2)))
				if name == "defaults" {
					// Two items, three attempts of 5 seconds each, one at a time; the
					// order of the retries is free.
					expect(t, "calls", strings.Count(r.String(), "s"), 6)
				} else {
					expect(t, "calls", r, c.calls)
				}
				expect(t, "time", time.Since(r.start), seconds(c.took))
			}, defaults)
		})
	}
}

// An executor with a bounded queue runs any pipeline, also beside others.
func TestQueueLimitDoesNotDeadlock(t *testing.T) {
	for _, workers := range []int{1, 3} {
		for _, limit := range []int{1, 2} {
			inBubble(t, workers, func(t *testing.T, e *antflow.Executor) {
				stage := func(name string) pipeline.Pipeline[int, int] {
					return pipeline.Stage(name, func(ctx context.Context, x int) (int, error) {
						time.Sleep(time.Duration(x%3) * time.Second)
						return antflow.Submit(ctx, e, func(context.Context) (int, error) { return x, nil }).Result(ctx)
					}, pipeline.Workers(4), antflow.Retries(1))
				}
				p := join3(stage("a"), stage("b"), stage("c"))
				run := antflow.Submit(t.Context(), e, func(ctx context.Context) (int, error) {
					values, _ := results(p.Run(ctx, e, upTo(30)))
					return len(values), nil
				})
				values, errs := results(p.Run(t.Context(), e, upTo(30)))
				if n, err := run.Result(t.Context()); len(values) != 30 || errs != nil || n != 30 || err != nil {
					t.Error(len(values), errs, n, err)
				}
			}, antflow.QueueLimit(limit))
		}
	}
}
