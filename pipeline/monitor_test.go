package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/testkit"
	"github.com/antflow/antflow/pipeline"
)

// runFigures are the figures of a stage that are not zero.
func runFigures(s pipeline.StageStats) string {
	text := s.Name
	for _, f := range []struct {
		name string
		n    int
	}{{"incoming", s.Incoming}, {"waiting", s.Waiting}, {"running", s.Running}, {"delayed", s.Delayed}, {"blocked", s.Blocked}, {"entered", int(s.Entered)},
		{"done", int(s.Done)}, {"failed", int(s.Failed)}, {"skipped", int(s.Skipped)}, {"canceled", int(s.Canceled)}, {"retried", int(s.Retried)}} {
		if f.n != 0 {
			text += fmt.Sprintf(" %s %d", f.name, f.n)
		}
	}
	return text
}

func runStatus(all []pipeline.ItemStatus) (texts []string) {
	for _, s := range all {
		at := s.Stage
		if at == "" {
			at = "nowhere"
		}
		texts = append(texts, fmt.Sprint(s.Item.ID, s.Item.Key, " ", s.State, " ", at))
	}
	return texts
}

// until sleeps to an instant after start, and lets everything due then happen.
func runUntil(start time.Time, d time.Duration) {
	time.Sleep(d - time.Since(start))
	synctest.Wait()
}

func runTaking(name string, d time.Duration, opts ...pipeline.StageOption) pipeline.Pipeline[int, int] {
	return pipeline.Stage(name, func(ctx context.Context, x int) (int, error) { return x, testkit.Sleep(ctx, d) }, opts...)
}

func TestSnapshotsAreExact(t *testing.T) {
	inBubble(t, 8, func(t *testing.T, e *antflow.Executor) {
		start := time.Now()
		// b can't keep up: behind it, the workers of a fill with what is done.
		p := pipeline.Then(runTaking("a", seconds(1), pipeline.Workers(2)), runTaking("b", seconds(3), pipeline.Buffer(1)))
		run := p.Start(t.Context(), e, pipeline.Key(func(x int) string { return string(rune('A' + x)) }))
		futures := runFeed(t, run, 0, 1, 2, 3, 4, 5)
		for _, c := range []struct {
			at         time.Duration
			a, b       string
			items      int
			results    int
			bottleneck string
		}{
			{500 * time.Millisecond, "a waiting 4 running 2 entered 6", "b", 6, 0, "a"},
			{1500 * time.Millisecond, "a waiting 2 running 2 entered 6 done 2", "b waiting 1 running 1 entered 2", 6, 0, "b"},
			{2500 * time.Millisecond, "a waiting 2 blocked 2 entered 6 done 4", "b incoming 2 waiting 1 running 1 entered 2", 6, 0, "b"},
			{4500 * time.Millisecond, "a waiting 1 running 1 blocked 1 entered 6 done 4", "b incoming 1 waiting 1 running 1 entered 3 done 1", 5, 1, "b"},
			{6500 * time.Millisecond, "a waiting 1 blocked 2 entered 6 done 5", "b incoming 2 waiting 1 running 1 entered 3 done 1", 5, 1, "b"},
			{15 * time.Second, "a entered 6 done 6", "b waiting 1 running 1 entered 6 done 4", 2, 4, "b"},
			{17 * time.Second, "a entered 6 done 6", "b running 1 entered 6 done 5", 1, 5, ""},
			{20 * time.Second, "a entered 6 done 6", "b entered 6 done 6", 0, 6, ""},
		} {
			runUntil(start, c.at)
			s := run.Snapshot()
			runSum(t, s)
			expect(t, fmt.Sprint("after ", c.at), []any{runFigures(s.Stages[0]), runFigures(s.Stages[1])}, []any{c.a, c.b})
			expect(t, fmt.Sprint("after ", c.at), []any{s.Elapsed, s.Over, s.Inputs, s.Results, s.Items, s.Held, s.Batched, s.Bottleneck()},
				[]any{c.at, false, 6, c.results, c.items, 0, 0, c.bottleneck})
			if c.at != 2500*time.Millisecond {
				continue
			}
			expect(t, "Items", runStatus(run.Items())[2:], "[2C blocked b 3D blocked b 4E waiting a 5F waiting a]")
			expect(t, "ItemsIn a", runStatus(run.ItemsIn("a")), "[4E waiting a 5F waiting a]")
			expect(t, "ItemsIn b", runStatus(run.ItemsIn("b"))[2:], "[2C blocked b 3D blocked b]")
			expect(t, "ItemsIn c", runStatus(run.ItemsIn("c")), "[]")
			expect(t, "Find", runStatus(run.Find(4)), "[4E waiting a]")
			two := runStatus(slices.Concat(run.Find(0), run.FindKey("B"))) // they came to b at the same instant
			if one := two[0]; one == "0A running b" {
				expect(t, "Find, FindKey", two, "[0A running b 1B waiting b]")
			} else {
				expect(t, "Find, FindKey", two, "[0A waiting b 1B running b]")
			}
			expect(t, "FindFuture", runStatus(run.FindFuture(futures[2])), "[2C blocked b]")
			expect(t, "no such", len(run.Find(6))+len(run.FindKey("G"))+len(run.FindFuture(antflow.NewPromise[int]().Future())), 0)
			expect(t, "For", []any{run.Find(0)[0].For, run.Find(1)[0].For, run.Find(4)[0].For}, "[1.5s 1.5s 2.5s]")
			expect(t, "Visits", run.Find(0)[0].Visits[:1], "[{a 1 0s 1s}]")
		}
		run.Close()
		s := run.Snapshot()
		expect(t, "times at a", []any{s.Stages[0].Queued, s.Stages[0].Worked}, []any{seconds(13) / 6, seconds(1)})
		expect(t, "times at b", []any{s.Stages[1].Queued, s.Stages[1].Worked}, []any{seconds(15) / 6, seconds(3)})
		expect(t, "left", []any{s.Over, len(run.Items()), len(run.Find(0)), len(run.FindKey("A")), len(run.FindFuture(futures[0]))}, "[true 0 0 0 0]")
	})
}

// An unbuffered stage is a bottleneck too: what waits for it waits to come.
func TestTheBottleneckHasNoBuffer(t *testing.T) {
	inBubble(t, 8, func(t *testing.T, e *antflow.Executor) {
		p := join3(runTaking("a", seconds(1), pipeline.Workers(2)), runTaking("b", seconds(9), pipeline.Buffer(0)), runTaking("c", seconds(1)))
		run := p.Start(t.Context(), e)
		runFeed(t, run, 1, 2, 3)
		time.Sleep(seconds(2) + 1)
		expect(t, "b", runFigures(run.Snapshot().Stages[1]), "b incoming 2 running 1 entered 1")
		expect(t, "Bottleneck", run.Snapshot().Bottleneck(), "b")
		run.Stop()
	})
}

func TestFiguresOfFailuresAndDelays(t *testing.T) {
	inBubble(t, 8, func(t *testing.T, e *antflow.Executor) {
		start := time.Now()
		run := pipeline.Stage("a", func(ctx context.Context, x int) (int, error) {
			c, _ := pipeline.CallFrom(ctx)
			time.Sleep(time.Second)
			switch {
			case x == 1 && c.Attempt < 3, x == 2:
				return 0, errFlaky
			case x == 3:
				return 0, pipeline.ErrSkipped
			}
			return x, ctx.Err()
		}, pipeline.Workers(8), antflow.Retries(2), antflow.RetryBackoff(antflow.ConstantBackoff(seconds(2)))).
			Start(t.Context(), e, pipeline.History(10))
		futures := runFeed(t, run, 0, 1, 2, 3, 4)
		time.AfterFunc(500*time.Millisecond, func() { futures[4].Cancel() })
		for _, c := range []struct {
			at            time.Duration
			figures, item string
		}{
			{600 * time.Millisecond, "a running 5 entered 5", "[1 running a]"},
			{1500 * time.Millisecond, "a delayed 2 entered 5 done 1 skipped 1 canceled 1 retried 2", "[1 delayed a]"},
			{3500 * time.Millisecond, "a running 2 entered 5 done 1 skipped 1 canceled 1 retried 2", "[1 running a]"},
			{4500 * time.Millisecond, "a delayed 2 entered 5 done 1 skipped 1 canceled 1 retried 4", "[1 delayed a]"},
			{7500 * time.Millisecond, "a entered 5 done 2 failed 1 skipped 1 canceled 1 retried 4", "[]"},
		} {
			runUntil(start, c.at)
			st := run.Snapshot().Stages[0]
			if c.at == 1500*time.Millisecond {
				st.Retried = 2 // whether a delayed attempt is a further one yet is not said
			}
			if c.at == 4500*time.Millisecond {
				st.Retried = 4
			}
			expect(t, fmt.Sprint("after ", c.at), runFigures(st), c.figures)
			expect(t, fmt.Sprint("item 1 after ", c.at), runStatus(run.Find(1)), c.item)
		}
		var recent []string
		for _, it := range run.Recent() {
			recent = append(recent, fmt.Sprint(it.Item.ID, it.State))
		}
		slices.Sort(recent)
		expect(t, "Recent", recent, "[0 done 1 done 2 failed 3 gone 4 canceled]")
		run.Close()
		expect(t, "kept after the end", len(run.Recent()), 5)
	})
}

func TestRecentKeepsTheLast(t *testing.T) {
	inBubble(t, 8, func(t *testing.T, e *antflow.Executor) {
		p := pipeline.Then(runSleep("a", pipeline.Workers(9)), pipeline.Pass[int]())
		run := p.Start(t.Context(), e, pipeline.History(3))
		expect(t, "Recent", run.Recent(), "[]")
		runFeed(t, run, 5, 1, 3, 2, 4)
		run.Close()
		var got []string
		for _, s := range run.Recent() {
			got = append(got, fmt.Sprint(s.Item.ID, s.State, s.Visits))
		}
		expect(t, "Recent", got, "[2 done [{a 1 0s 3s}] 4 done [{a 1 0s 4s}] 0 done [{a 1 0s 5s}]]")

		none := p.Start(t.Context(), e)
		runFeed(t, none, 1)
		none.Close()
		expect(t, "Recent without History", none.Recent(), "[]")
	})
}

func TestFiguresOfBatchesAndParts(t *testing.T) {
	inBubble(t, 8, func(t *testing.T, e *antflow.Executor) {
		parts := pipeline.FlatMap("parts", func(_ context.Context, x int) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) { _ = yield(10*x, nil) && yield(10*x+1, nil) }
		})
		p := join3(parts, runTaking("a", seconds(1)), pipeline.Then(pipeline.Batch[int](3, 0),
			pipeline.Stage("b", func(ctx context.Context, xs []int) (int, error) { return len(xs), testkit.Sleep(ctx, seconds(5)) })))
		run := p.Start(t.Context(), e, pipeline.Key(func(x int) string { return fmt.Sprint("/", x) }))
		futures := runFeed(t, run, 1, 2)
		time.Sleep(1500 * time.Millisecond)
		synctest.Wait()
		s := run.Snapshot()
		expect(t, "items, batched, inputs, results", []any{s.Items, s.Batched, s.Inputs, s.Results}, "[3 1 2 0]")
		expect(t, "Items", runStatus(run.Items()), "[0/1 running a 1/2 waiting a 1/2 waiting a 0/1 batched nowhere]")
		expect(t, "FindKey", runStatus(run.FindKey("/1")), "[0/1 running a 0/1 batched nowhere]")
		expect(t, "FindFuture", runStatus(run.FindFuture(futures[0])), "[0/1 running a 0/1 batched nowhere]")
		time.Sleep(2 * time.Second)
		synctest.Wait()
		s = run.Snapshot()
		expect(t, "items, batched", []any{s.Items, s.Batched}, "[2 0]")
		for _, it := range run.ItemsIn("b") {
			expect(t, "the batch", []any{it.Item.ID, it.Item.Members, it.State}, "[0 [0 0 1] running]")
		}
		expect(t, "in the batch", []any{len(run.Find(0)), len(run.FindFuture(futures[0])), len(run.FindFuture(futures[1]))}, "[1 1 2]")
		run.Close()
		s = run.Snapshot()
		expect(t, "inputs, results", []any{s.Inputs, s.Results}, "[2 2]") // two batches
		runSum(t, s)
	})
}

func TestThroughputIsOfTheLastSeconds(t *testing.T) {
	inBubble(t, 8, func(t *testing.T, e *antflow.Executor) {
		start := time.Now()
		run := runTaking("a", 250*time.Millisecond).Start(t.Context(), e)
		for range 100 {
			run.Feed(t.Context(), 1)
		}
		for _, c := range []struct {
			at, want time.Duration
			about    float64
		}{{20 * time.Second, 0, 4}, {29 * time.Second, 0, 2}, {40 * time.Second, 0, 0}} {
			runUntil(start, c.at+time.Millisecond)
			if got := run.Snapshot().Stages[0].Throughput; got < c.about-0.5 || got > c.about+0.5 {
				t.Errorf("after %v: %v visits a second, want %v", c.at, got, c.about)
			}
		}
		run.Close()
	})
}

func TestResizeWhileRunning(t *testing.T) {
	for name, opts := range map[string][]pipeline.StageOption{"plain": nil, "tasks": options(antflow.WithSemaphore(antflow.NewSemaphore(99))), "retries": options(antflow.Retries(1))} {
		inBubble(t, 8, func(t *testing.T, e *antflow.Executor) {
			start, r := time.Now(), newRecord()
			run := pipeline.Stage("a", r.taking(seconds(2)), opts...).Start(t.Context(), e)
			runFeed(t, run, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)
			for _, c := range []struct {
				at time.Duration
				n  int
			}{{seconds(1), 3}, {3500 * time.Millisecond, 1}, {7500 * time.Millisecond, 2}} {
				runUntil(start, c.at)
				run.Resize("a", c.n)
				expect(t, "Workers", run.Snapshot().Stages[0].Workers, c.n)
			}
			run.Close()
			expect(t, name, r, "[0:[0s] 1:[1s] 2:[1s] 3:[2s] 4:[3s] 5:[3s] 6:[5s] 7:[7s] 8:[7.5s] 9:[9s] 10:[9.5s] 11:[11s]]")
		})
	}
}

// The figures of a loop, with what waits for its turn and for the loop.
func TestAMonitorOfALoop(t *testing.T) {
	inBubble(t, 8, func(t *testing.T, e *antflow.Executor) {
		var m pipeline.Monitor
		p := pipeline.Stage("a", func(ctx context.Context, x int) (int, error) { return x, testkit.Sleep(ctx, seconds(3*((x+1)%2))) }, pipeline.Workers(3))
		for range 2 { // of a second run, its own
			start := time.Now()
			seq := p.Run(t.Context(), e, slices.Values([]int{0, 1, 3}), pipeline.WithMonitor(&m), pipeline.History(1))
			looked := testkit.Started(func() {
				time.Sleep(seconds(1))
				synctest.Wait()
				s := m.Snapshot()
				expect(t, "elapsed, inputs, results, items, held", []any{s.Elapsed, s.Inputs, s.Results, s.Items, s.Held}, "[1s 3 0 3 2]")
				expect(t, "Items", runStatus(m.Items()), "[0 running a 1 held nowhere 2 held nowhere]")
				expect(t, "Recent", runStatus(m.Recent()), "[]") // none has left
				runUntil(start, seconds(4))
				expect(t, "in the body", runStatus(m.Find(2)), "[2 ready nowhere]")
			})
			for x, err := range seq {
				if err != nil {
					t.Error(err)
				}
				if x == 1 {
					time.Sleep(seconds(10))
				}
			}
			<-looked
			s := m.Snapshot()
			expect(t, "at the end", []any{s.Over, s.Results, s.Items, runStatus(m.Recent())}, "[true 3 0 [2 done nowhere]]")
		}
	})
}

type runError struct{ n int }

func (e *runError) Error() string { return fmt.Sprint("error of ", e.n) }

// A monitor has a run with all its stages, or none: also if it looks in the very
// instant in which the run begins. It takes the race detector, or luck, to see
// this fail.
func TestAMonitorSeesNoHalfRun(t *testing.T) {
	e := antflow.New(2)
	defer e.Close()
	p := pipeline.Then(runTaking("a", 0), runTaking("b", 0))
	for i := range 200 {
		var m pipeline.Monitor
		seen := testkit.Started(func() {
			stages := m.Snapshot().Stages
			for stages == nil {
				stages = m.Snapshot().Stages
				runtime.Gosched()
			}
			m.Resize("b", 2)
			if len(stages) != 2 || stages[1].Name != "b" {
				t.Errorf("the stages are %+v", stages)
			}
		})
		if i%2 == 0 {
			results(p.Run(t.Context(), e, upTo(3), pipeline.WithMonitor(&m)))
		} else {
			p.Start(t.Context(), e, pipeline.WithMonitor(&m)).Close()
		}
		<-seen
	}
}

func TestFailuresByStageAndKind(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, e *antflow.Executor) {
		fail := func(name string, from int) pipeline.Pipeline[int, int] {
			return pipeline.Stage(name, func(_ context.Context, x int) (int, error) {
				switch x - from {
				case 0:
					return 0, fmt.Errorf("wrapped %w", &runError{x})
				case 1, 2, 3:
					return 0, fmt.Errorf("status %d of \"page %d\"", x, x)
				case 4:
					return 0, pipeline.ErrSkipped
				}
				return x, nil
			}, antflow.Retries(1), antflow.RetryDelay(0))
		}
		run := pipeline.Then(fail("a", 10), fail("b", 20)).Start(t.Context(), e)
		for range 12 {
			runFeed(t, run, 10, 1)
		}
		runFeed(t, run, 11, 12, 13, 14, 20, 21, 22, 24)
		run.Close()
		groups := run.Failures()
		var got []string
		for _, g := range groups {
			got = append(got, fmt.Sprint(g.Count, " ", g.Stage, " ", len(g.Items), " ", g.First.Item.ID, " ", g.Items[0].ID))
		}
		expect(t, "groups", got, "[12 a 10 0 0 3 a 3 24 24 2 b 2 29 29 1 b 1 28 28]")
		expect(t, "kinds", []any{groups[0].Kind, groups[0].Kind == groups[3].Kind, groups[1].Kind == groups[2].Kind}, "[*pipeline_test.runError true true]")
		if _, ok := errors.AsType[*runError](groups[0].First); !ok {
			t.Errorf("the first is %v", groups[0].First)
		}

		many := pipeline.Stage("a", func(_ context.Context, x int) (int, error) {
			return 0, fmt.Errorf("kind %c%c", 'a'+x/26, 'a'+x%26)
		}).Start(t.Context(), e)
		for x := range 600 {
			many.Feed(t.Context(), x)
		}
		many.Close()
		groups, sum := many.Failures(), uint64(0)
		for _, g := range groups {
			sum += g.Count
		}
		if len(groups) > 257 || len(groups) < 256 || sum != 600 || groups[0].Count < 600-256 {
			t.Errorf("%d groups of %d failures, the greatest %+v", len(groups), sum, groups[0])
		}
	})
}
