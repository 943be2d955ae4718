package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/pipeline"
)

// one runs a stage over a single item and returns how it failed.
func one(t *testing.T, e *antflow.Executor, fn func(context.Context, int) (int, error), opts ...pipeline.StageOption) *pipeline.ItemError {
	t.Helper()
	var item *pipeline.ItemError
	_, errs := results(pipeline.Stage("work", fn, opts...).Run(t.Context(), e, upTo(1)))
	if len(errs) != 1 || !errors.As(errs[0], &item) {
		t.Fatalf("the errors are %v", errs)
	}
	return item
}

// A panic of RetryIf, a Backoff, or a semaphore's failure fails the item.
func TestFailuresOfOptions(t *testing.T) {
	fails := func(context.Context, int) (int, error) { return 0, errFlaky }
	for name, opt := range map[string]antflow.TaskOption{
		"RetryIf": antflow.RetryIf(func(error) bool { panic("boom") }),
		"Backoff": antflow.RetryBackoff(func(int, error) time.Duration { panic("boom") }),
	} {
		inBubble(t, 2, func(t *testing.T, e *antflow.Executor) {
			item := one(t, e, fails, antflow.Retries(3), opt)
			var p *antflow.PanicError
			if !errors.As(item, &p) || p.Value != "boom" || item.Attempts != 1 {
				t.Errorf("%s: %#v", name, item)
			}
			checkMessage(t, item.Error(), "work", "boom")
		})
	}
	inBubble(t, 2, func(t *testing.T, e *antflow.Executor) {
		item := one(t, e, fails, antflow.WithSemaphore(brokenSemaphore{}), antflow.Retries(3))
		if !errors.Is(item, errFlaky) || item.Attempts != 0 {
			t.Errorf("%#v", item)
		}
	})
}

type brokenSemaphore struct{}

func (brokenSemaphore) Acquire(context.Context, int64) error { return errFlaky }
func (brokenSemaphore) TryAcquire(int64) bool                { return false }
func (brokenSemaphore) Release(int64)                        {}

// A crankySemaphore always has a permit, but each of its methods once ends
// otherwise than it should.
type crankySemaphore struct {
	end   func()
	trial bool // TryAcquire ends so, else Acquire
	calls [2]int
}

func (s *crankySemaphore) once(method int) {
	if s.calls[method]++; s.calls[method] == 2 {
		s.end()
	}
}

func (s *crankySemaphore) TryAcquire(int64) bool {
	if s.trial {
		s.once(0)
	}
	return s.trial
}

func (s *crankySemaphore) Acquire(context.Context, int64) error { s.once(0); return nil }
func (s *crankySemaphore) Release(int64)                        { s.once(1) }

// A semaphore that panics takes no worker with it.
func TestNoWorkerIsLostWithAPermit(t *testing.T) {
	for name, end := range map[string]func(){"panic": func() { panic("cranky") }, "goexit": runtime.Goexit} {
		for _, trial := range []bool{true, false} {
			t.Run(fmt.Sprint(name, trial), func(t *testing.T) {
				inBubble(t, 2, func(t *testing.T, e *antflow.Executor) {
					sem := &crankySemaphore{end: end, trial: trial}
					p := pipeline.Stage("work", newRecord().taking(time.Second), antflow.WithSemaphore(sem))
					values, errs := results(p.Run(t.Context(), e, upTo(9)))
					if len(values)+len(errs) != 9 || len(errs) == 0 || len(errs) > 2 {
						t.Errorf("%v, %v", values, errs)
					}
				})
			})
		}
	}
}

// RetryIf and the Backoff see the error without its marks.
func TestMarksAreTakenOff(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, e *antflow.Executor) {
		var seen []error
		item := one(t, e, func(context.Context, int) (int, error) { return 0, antflow.RetryAfter(errFlaky, time.Second) },
			antflow.Retries(2), antflow.RetryIf(func(err error) bool { seen = append(seen, err); return true }))
		expect(t, "errors", seen, []error{errFlaky, errFlaky})
		var retry *antflow.RetryError
		if !errors.As(item, &retry) || retry.Err != errFlaky {
			t.Errorf("%#v", item)
		}
	})
}

// A call that succeeds after its deadline has succeeded.
func TestSuccessAfterTheDeadline(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, e *antflow.Executor) {
		p := pipeline.Stage("work", newRecord().taking(seconds(5)), antflow.Timeout(time.Second), antflow.Retries(3))
		values, errs := results(p.Run(t.Context(), e, upTo(2)))
		expect(t, "results", values, "[0 1]")
		expect(t, "errors", errs, []error(nil))
	})
}

// The end of the run's context reaches items wherever they are, in a delay, in
// the wait for a permit or an event, or for a worker.
func TestTheEndReachesWaitingItems(t *testing.T) {
	for name, opt := range map[string]antflow.TaskOption{
		"delay":     antflow.JoinOptions(antflow.Retries(3), antflow.RetryDelay(time.Hour)),
		"semaphore": antflow.WithSemaphore(taken(t)),
		"rate":      antflow.WithRateLimit(&ticker{next: time.Now().Add(100 * 365 * 24 * time.Hour)}),
	} {
		inBubble(t, 2, func(t *testing.T, e *antflow.Executor) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			start := time.Now()
			p := pipeline.Stage("work", func(context.Context, int) (int, error) { return 0, errFlaky }, opt, pipeline.Workers(2))
			_, errs := results(p.Run(ctx, e, upTo(4)))
			if len(errs) != 1 {
				t.Fatal(name, errs)
			}
			checkWaitError(t, errs[0], context.DeadlineExceeded)
			e.Close()
			expect(t, name, time.Since(start), time.Minute)
		})
	}
}

// taken is a semaphore without a free permit.
func taken(t *testing.T) antflow.Semaphore {
	s := antflow.NewSemaphore(1)
	s.Acquire(t.Context(), 1)
	return s
}

// An executor's default rate limit and priority apply to a stage's calls.
func TestDefaultRateLimit(t *testing.T) {
	inBubble(t, 8, func(t *testing.T, e *antflow.Executor) {
		r := newRecord()
		p := pipeline.Stage("work", r.taking(seconds(3)), pipeline.Workers(8))
		results(p.Run(t.Context(), e, upTo(4)))
		expect(t, "calls", r, "[0:[0s] 1:[1s] 2:[2s] 3:[3s]]")
	}, antflow.WithTaskOptions(antflow.WithRateLimit(&ticker{})))
}

// The executor's default timeout is for calls, not for the run.
func TestDefaultTimeoutIsOfTheCalls(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, e *antflow.Executor) {
		p := join3(plus("a", 0, time.Second), pipeline.Batch[int](1000, 0), pipeline.Unbatch[int]())
		values, errs := results(p.Run(t.Context(), e, upTo(100)))
		expect(t, "results", len(values), 100)
		expect(t, "errors", errs, []error(nil))
	}, antflow.WithTaskOptions(antflow.Timeout(seconds(2))))
}

// A call may shut its own executor down: it is told that it can't wait for
// itself, and what is in the run comes out.
func TestShutdownByACall(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, e *antflow.Executor) {
		p := pipeline.Stage("work", func(ctx context.Context, x int) (int, error) {
			if x == 3 {
				if err := e.Shutdown(ctx); !errors.Is(err, antflow.ErrShutdown) {
					t.Error(err)
				}
			}
			time.Sleep(time.Second)
			return x, nil
		})
		values, errs := results(p.Run(t.Context(), e, upTo(endless), pipeline.Window(10)))
		if len(values) < 4 || len(values) > 14 {
			t.Error(values)
		}
		checkShutdown(t, errs)
	})
}

// More workers of the executor than before are used at once.
func TestTheExecutorIsResized(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, e *antflow.Executor) {
		r := newRecord()
		time.AfterFunc(seconds(5)/2, func() { e.Resize(4) })
		p := pipeline.Stage("work", r.taking(time.Second), pipeline.Workers(4))
		results(p.Run(t.Context(), e, upTo(12)))
		expect(t, "calls at a time", r.most, 4)
		// Two alone, the third half done; three more at 2.5s, and so on.
		expect(t, "time", time.Since(r.start) <= seconds(6), true)
	})
}

// A stage's option that makes a task fail where it would block has no meaning:
// the run waits for room in the executor's queue.
func TestNonBlockingStages(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, e *antflow.Executor) {
		for range 2 {
			e.Go(t.Context(), func(context.Context) error { time.Sleep(time.Second); return nil })
		}
		for _, opts := range [][]pipeline.StageOption{options(antflow.NonBlocking()), options(antflow.NonBlocking(), antflow.Retries(1))} {
			p := pipeline.Stage("work", same, append(opts, pipeline.Workers(3))...)
			values, errs := results(p.Run(t.Context(), e, upTo(20)))
			expect(t, "results", len(values), 20)
			expect(t, "errors", errs, []error(nil))
		}
	}, antflow.QueueLimit(1))
}

// Long pipelines and deep ones work as short ones do.
func TestManyStages(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, e *antflow.Executor) {
		p := pipeline.Pass[int]()
		for i := range 300 {
			p = pipeline.Then(p, plus(fmt.Sprint("s", i), 1, 0))
		}
		expect(t, "stages", len(p.Stages()), 300)
		values, _ := results(p.Run(t.Context(), e, upTo(5)))
		expect(t, "results", values, "[300 301 302 303 304]")
		q := pipeline.Pass[int]()
		for range 8 {
			q = pipeline.Tee(q, q)
		}
		values, _ = results(q.Run(t.Context(), e, upTo(2), pipeline.Window(1)))
		expect(t, "results", len(values), 512)
	})
}
