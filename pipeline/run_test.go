package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/testkit"
	"github.com/antflow/antflow/pipeline"
)

// runCanceled checks that a future is settled as canceled, with an error that
// Is all of those.
func runCanceled(t *testing.T, f antflow.Waitable, is ...error) {
	t.Helper()
	if !f.IsDone() || f.State() != antflow.StateCanceled {
		t.Errorf("the future is not canceled: %v, %v", f.State(), f.Err())
		return
	}
	for _, want := range append(is, antflow.ErrCanceled) {
		if !errors.Is(f.Err(), want) {
			t.Errorf("%v is not %v", f.Err(), want)
		}
	}
}

// runSum checks what is promised of the figures at any instant.
func runSum(t *testing.T, s pipeline.Snapshot) {
	t.Helper()
	for _, st := range s.Stages {
		if sum := uint64(st.Waiting+st.Running+st.Delayed) + st.Done + st.Failed + st.Skipped + st.Canceled; sum != st.Entered {
			t.Errorf("%d entered, and the sum is %d: %+v", st.Entered, sum, st)
		}
		if st.Incoming < 0 || st.Waiting < 0 || st.Running < 0 || st.Delayed < 0 || st.Blocked < 0 || s.Held < 0 || s.Batched < 0 || s.Items < 0 {
			t.Errorf("negative: %+v", s)
		}
	}
}

func runBatches(d time.Duration) pipeline.Pipeline[int, int] {
	return pipeline.Then(pipeline.Batch[int](4, d), pipeline.Stage("sum", func(_ context.Context, xs []int) (n int, err error) {
		time.Sleep(time.Second)
		for _, x := range xs {
			n += x
		}
		return n, nil
	}))
}

func TestCloseDrains(t *testing.T) {
	sum := pipeline.Reduce("all", func() int { return 0 }, func(_ context.Context, acc, x int) (int, error) { return acc + x, nil })
	for _, c := range []struct {
		p    pipeline.Pipeline[int, int]
		at   string
		want string
	}{
		{runSleep("a", pipeline.Workers(8)), "9s", "[10 20 30 failed 50]"},
		{pipeline.Then(runSleep("a"), sum), "20s", "[110 110 110 failed 110]"},
		{runBatches(0), "2s", "[15 15 15 15 5]"},
		{runBatches(time.Hour), "2s", "[15 15 15 15 5]"},
		{runBatches(time.Millisecond), "2s", "[15 15 15 15 5]"},
		{pipeline.Then(runBatches(0), sum), "2s", "[20 20 20 20 20]"},
		{pipeline.Then(sum, runBatches(time.Hour)), "1s", "[20 20 20 20 20]"},
		{pipeline.Then(runSleep("a", pipeline.Workers(5), antflow.Retries(1), antflow.RetryDelay(time.Second)), runBatches(0)), "19s", "[110 110 110 failed 110]"},
	} {
		inBubble(t, 8, func(t *testing.T, e *antflow.Executor) {
			run := c.p.Start(t.Context(), e)
			futures := runFeed(t, run, 1, 2, 3, 9, 5)
			synctest.Wait()
			start := time.Now()
			var closes [3]<-chan struct{}
			for i := range closes {
				closes[i] = testkit.Started(func() {
					err := run.Close()
					expect(t, "Close", []any{err, time.Since(start)}, "[<nil> "+c.at+"]")
				})
			}
			for _, closed := range closes {
				<-closed
			}
			expect(t, "results", runOutcomes(t, futures), c.want)
			expect(t, "Close again", run.Close(), nil)
			expect(t, "Stop", run.Stop(), nil) // there is nothing to stop
			s := run.Snapshot()
			expect(t, "over, items, batched", []any{s.Over, s.Items, s.Batched}, "[true 0 0]")
			runSum(t, s)
		})
	}
}

func TestShutdownOfARunStopsWaiting(t *testing.T) {
	inBubble(t, 8, func(t *testing.T, e *antflow.Executor) {
		start := time.Now()
		run := runSleep("a", pipeline.Workers(4)).Start(t.Context(), e)
		futures := runFeed(t, run, 3, 5)
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errFlaky)
		defer cancel()
		for range 2 { // the second polls
			err := run.Shutdown(ctx)
			expect(t, "it took", time.Since(start), "1s")
			if _, ok := errors.AsType[*antflow.WaitError](err); !ok || !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, errFlaky) {
				t.Errorf("Shutdown: %v", err)
			}
		}
		expect(t, "fed since", run.Feed(t.Context(), 1).Err(), pipeline.ErrClosed)
		expect(t, "what runs goes on", fmt.Sprint(futures[0].Result(t.Context())), "30 <nil>")
		expect(t, "again", []any{run.Shutdown(t.Context()), time.Since(start)}, "[<nil> 5s]")
		expect(t, "with an ended context", run.Shutdown(ctx), nil)
	})
}

// A call that waits for its end is told why it came, and awaited.
func TestStopWaitsForTheCalls(t *testing.T) {
	for _, closing := range []bool{false, true} {
		inBubble(t, 8, func(t *testing.T, e *antflow.Executor) {
			start := time.Now()
			var causes []error
			run := pipeline.Stage("a", func(ctx context.Context, x int) (int, error) {
				<-ctx.Done()
				causes = append(causes, context.Cause(ctx))
				time.Sleep(time.Second)
				return 0, ctx.Err()
			}).Start(t.Context(), e, pipeline.Window(2))
			futures := runFeed(t, run, 1, 2)
			fed := testkit.Started(func() { futures = append(futures, run.Feed(t.Context(), 3)) })
			closed := fed
			if closing {
				closed = testkit.Started(func() { expect(t, "Close", run.Close(), pipeline.ErrStopped) })
			}
			time.Sleep(time.Second)
			expect(t, "Stop", run.Stop(), pipeline.ErrStopped)
			expect(t, "it came back after", time.Since(start), "2s")
			<-closed
			<-fed
			expect(t, "causes", causes, []error{pipeline.ErrStopped})
			for _, f := range futures[:2] {
				runCanceled(t, f, pipeline.ErrStopped)
			}
			for _, f := range append(futures[2:], run.Feed(t.Context(), 4)) {
				if f.Err() == nil {
					t.Errorf("a blocked Feed, or one after Stop, gave %v", f)
				}
			}
			for _, end := range []func() error{run.Close, run.Stop, func() error { return run.Shutdown(t.Context()) }} {
				expect(t, "again", end(), pipeline.ErrStopped)
			}
			expect(t, "Over", run.Snapshot().Over, true)
		})
	}
}

func TestTheContextOfStartEnds(t *testing.T) {
	inBubble(t, 8, func(t *testing.T, e *antflow.Executor) {
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errFlaky)
		defer cancel()
		var h hanging
		run := pipeline.Then(pipeline.Stage("a", h.call, pipeline.Workers(2)), runBatches(0)).Start(ctx, e, pipeline.Window(3))
		futures := runFeed(t, run, 1, 2)
		futures = append(futures, pipeline.FeedAt(t.Context(), run, "a", 3))
		blocked := run.Feed(t.Context(), 4)
		time.Sleep(time.Millisecond)
		for _, f := range futures {
			runCanceled(t, f, context.DeadlineExceeded, errFlaky)
		}
		if !blocked.IsDone() || blocked.Err() == nil {
			t.Errorf("the blocked Feed gave %v", blocked)
		}
		expect(t, "calls", h.counts(), "[2 2 2]")
		for range 2 {
			err := run.Close()
			if _, ok := errors.AsType[*antflow.WaitError](err); !ok || !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, errFlaky) {
				t.Errorf("Close: %v", err)
			}
		}
		if f := run.Feed(t.Context(), 5); !f.IsDone() || f.Err() == nil {
			t.Errorf("fed after the end: %v", f)
		}
		late := pipeline.Stage("a", h.call).Start(ctx, e)
		f := late.Feed(t.Context(), 5)
		if _, ok := errors.AsType[*antflow.WaitError](late.Close()); !ok {
			t.Errorf("Close: %v", late.Close())
		}
		if !f.IsDone() || f.Err() == nil {
			t.Errorf("fed to a run that never was: %v", f)
		}
		expect(t, "calls", h.counts(), "[2 2 2]")
	})
}

// What waits in a batch is in the run as well: a shutdown that cancels nothing
// doesn't cancel it.
func TestAShutdownOfTheExecutorEndsRuns(t *testing.T) {
	for name, c := range map[string]struct {
		opts []antflow.ShutdownOption
		at   string
		want string
	}{
		"plain":         {nil, "5s", "[10 30 20 20 30]"},
		"NoWait":        {[]antflow.ShutdownOption{antflow.NoWait()}, "0s", "[10 30 20 20 30]"},
		"CancelQueued":  {[]antflow.ShutdownOption{antflow.CancelQueued()}, "3s", "[10 30 canceled canceled canceled]"},
		"CancelRunning": {[]antflow.ShutdownOption{antflow.CancelRunning()}, "0s", "[canceled canceled canceled canceled canceled]"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 2, func(t *testing.T, e *antflow.Executor) {
				p := pipeline.Route(
					pipeline.When(even, pipeline.Then(pipeline.Batch[int](4, 0), pipeline.Stage("sum", func(_ context.Context, xs []int) (int, error) {
						time.Sleep(time.Second)
						return 5 * len(xs) * xs[0], nil
					}))),
					pipeline.Otherwise(pipeline.Stage("b", func(ctx context.Context, x int) (int, error) { return 10 * x, testkit.Sleep(ctx, seconds(x)) }, pipeline.Workers(2))))
				run := p.Start(t.Context(), e)
				futures := runFeed(t, run, 1, 3, 2, 2, 3)
				synctest.Wait()
				start := time.Now()
				expect(t, "Shutdown", e.Shutdown(t.Context(), c.opts...), nil)
				expect(t, "it took", time.Since(start), c.at)
				if f := run.Feed(t.Context(), 1); !errors.Is(f.Err(), antflow.ErrShutdown) && !errors.Is(f.Err(), pipeline.ErrClosed) {
					t.Errorf("fed after the shutdown: %v, %v", f, f.Err())
				}
				err := run.Close()
				if strings.Contains(c.want, "canceled") && err == nil || err != nil && !errors.Is(err, antflow.ErrShutdown) {
					t.Errorf("Close: %v", err)
				}
				expect(t, "results", runOutcomes(t, futures), c.want)
				for _, f := range futures {
					if f.State() == antflow.StateCanceled && !errors.Is(f.Err(), antflow.ErrShutdown) {
						t.Error(f.Err())
					}
				}
			})
		})
	}
	inBubble(t, 2, func(t *testing.T, e *antflow.Executor) {
		run := runBatches(0).Start(t.Context(), e)
		futures := runFeed(t, run, 1, 2)
		e.Close()
		synctest.Wait()
		if s := runOutcomes(t, futures); s[0] == "-" {
			t.Error("an executor that is closed leaves futures")
		}
		run.Close()
		run = runSleep("a").Start(t.Context(), e)
		if f := run.Feed(t.Context(), 1); !f.IsDone() || !errors.Is(f.Err(), antflow.ErrShutdown) {
			t.Errorf("fed to a shut-down executor: %v, %v", f, f.Err())
		}
		if err := run.Close(); err != nil && !errors.Is(err, antflow.ErrShutdown) {
			t.Error(err)
		}
	})
}

// A bubble doesn't end while a goroutine is left, so this is the test: neither
// the run nor the executor is closed, and the run has been at work.
func TestARunAtRestHasNoGoroutine(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(4)
		ctx := context.Background()
		p := join3(runSleep("a", pipeline.Workers(2), antflow.Retries(1), antflow.Timeout(time.Hour)), runBatches(0), pipeline.Pass[int]())
		run := p.Start(ctx, e, pipeline.OnEvent(func(pipeline.Event) {}), pipeline.History(3))
		ended, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		for range run.DeadLetters(ended) {
		}
		batched := run.Feed(ctx, 1)
		canceled := run.Feed(ctx, 2)
		failed := run.Feed(ctx, 9)
		canceled.Cancel()
		failed.Result(ctx)
		s := run.Snapshot()
		expect(t, "items, batched", []any{s.Items, s.Batched}, "[0 1]")
		batched.Cancel()
		pipeline.Stage("b", same).Start(ctx, e)
	})
}

func TestFailFastEndsARunThatIsFed(t *testing.T) {
	inBubble(t, 8, func(t *testing.T, e *antflow.Executor) {
		start := time.Now()
		p := pipeline.Then(runSleep("a", pipeline.Workers(3)), runBatches(0))
		run := p.Start(t.Context(), e, pipeline.FailFast(), pipeline.Window(4))
		futures := runFeed(t, run, 2, 9, 12, 11, 3)
		expect(t, "the last was fed at", time.Since(start), "2s")
		blocked := testkit.Started(func() {
			if f := run.Feed(t.Context(), 13); f.Err() == nil {
				t.Errorf("the blocked Feed gave %v", f)
			}
		})
		time.Sleep(seconds(7) + time.Millisecond)
		expect(t, "results", runOutcomes(t, futures), "[canceled failed canceled canceled canceled]")
		<-blocked
		item, ok := errors.AsType[*pipeline.ItemError](run.Close())
		if !ok || item.Stage != "a" || item.Item.ID != 1 || item.Err != errFlaky || item.Input != 9 || item.Attempts != 1 {
			t.Errorf("Close: %+v", item)
		}
		expect(t, "visits", item.Visits, "[{a 1 0s 9s}]")
		expect(t, "Stop", run.Stop(), item)
		if f := run.Feed(t.Context(), 1); !f.IsDone() || f.Err() == nil {
			t.Errorf("fed after the failure: %v", f)
		}
	})
}

// Whenever and however a run ends, each future settles, and nothing is left.
func TestRunsEndAtAnyTime(t *testing.T) {
	for seed := range uint64(60) {
		t.Run("", func(t *testing.T) { runEnding(t, seed) })
	}
}

func runEnding(t *testing.T, seed uint64) {
	inBubble(t, 1+int(seed%4), func(t *testing.T, e *antflow.Executor) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		var run *pipeline.Run[int, int]
		var calls, bad atomic.Int64
		work := func(ctx context.Context, x int) (int, error) {
			calls.Add(1)
			defer calls.Add(-1)
			if run.Snapshot().Over {
				bad.Add(1)
			}
			if x%13 == 0 {
				run.Feed(context.WithoutCancel(ctx), x+1)
			}
			if c, _ := pipeline.CallFrom(ctx); (x+c.Attempt)%5 == 0 {
				return 0, errFlaky
			}
			return x, testkit.Sleep(ctx, time.Duration(x%7)*time.Millisecond)
		}
		stage := func(name string) pipeline.Pipeline[int, int] {
			return pipeline.Stage(name, work, pipeline.Workers(1+rnd.IntN(3)), pipeline.Buffer(rnd.IntN(3)),
				antflow.Retries(rnd.IntN(3)), antflow.RetryDelay(time.Millisecond))
		}
		p := pipeline.Then(stage("a"), pipeline.Route(pipeline.When(even, join3(pipeline.Batch[int](3, time.Duration(rnd.IntN(2))*time.Second),
			pipeline.Stage("b", func(_ context.Context, xs []int) ([]int, error) { return slices.Clone(xs), nil }), pipeline.Unbatch[int]())),
			pipeline.Otherwise(pipeline.Then(pipeline.FlatMap("f", func(ctx context.Context, x int) iter.Seq2[int, error] { return repeat(ctx, x%4) }), stage("c")))))
		ctx, cancel := context.WithCancel(t.Context())
		run = p.Start(ctx, e, pipeline.Window(1+rnd.IntN(8)))
		var mu sync.Mutex
		var futures []*antflow.Future[int]
		var feeders []<-chan struct{}
		for i := range 3 {
			feeders = append(feeders, testkit.Started(func() {
				for j := range 40 {
					f := run.Feed(t.Context(), 40*i+j)
					mu.Lock()
					futures = append(futures, f)
					mu.Unlock()
				}
			}))
		}
		for range rnd.IntN(60) {
			time.Sleep(time.Millisecond)
			runSum(t, run.Snapshot())
			if rnd.IntN(10) == 0 {
				mu.Lock()
				futures[rnd.IntN(len(futures))].Cancel()
				mu.Unlock()
			}
		}
		switch rnd.IntN(6) {
		case 0:
			run.Stop()
		case 1:
			cancel()
		case 2:
			e.Shutdown(t.Context(), antflow.CancelRunning())
		case 3:
			e.Shutdown(t.Context(), antflow.CancelQueued())
		case 4:
			e.Close()
		}
		run.Close()
		expect(t, "calls after the end", []int64{calls.Load(), bad.Load()}, "[0 0]")
		for _, fed := range feeders {
			<-fed
		}
		for _, f := range futures {
			if !f.IsDone() {
				t.Errorf("%v is not settled", f)
			}
		}
		s := run.Snapshot()
		runSum(t, s)
		expect(t, "over, items, batched", []any{s.Over, s.Items, s.Batched}, "[true 0 0]")
		cancel()
	})
}
