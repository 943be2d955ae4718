package pipeline_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/testkit"
	"github.com/antflow/antflow/pipeline"
)

// A gate blocks the calls of a stage until it is open, whatever their contexts
// do.
type gate chan struct{}

func (g gate) pass(_ context.Context, x int) (int, error) {
	<-g
	return x, nil
}

// While a stage blocks, the source has been asked for what its workers have,
// what its buffer has, and the item that the source waits with.
func TestBufferBoundsWhatIsPulled(t *testing.T) {
	for _, c := range []struct {
		workers, buffer int // buffer -1: the default
		asked           int
	}{
		{1, 0, 1}, {1, 1, 2}, {1, -1, 65}, {1, 5, 6},
		{4, 0, 4}, {4, -1, 68}, {4, 3, 7}, {4, 100, 104},
	} {
		t.Run(fmt.Sprint(c.workers, " and ", c.buffer), func(t *testing.T) {
			inBubble(t, 8, func(t *testing.T, e *antflow.Executor) {
				g := make(gate)
				opts := options(pipeline.Workers(c.workers))
				if c.buffer >= 0 {
					opts = append(opts, pipeline.Buffer(c.buffer))
				}
				var src source
				p := pipeline.Stage("gate", g.pass, opts...)
				var values []int
				done := testkit.Started(func() { values, _ = results(p.Run(t.Context(), e, src.first(200), pipeline.Window(1000))) })
				synctest.Wait()
				// The source may wait with its next item or before it.
				if n := int(src.asked.Load()); n != c.asked && n != c.asked+1 {
					t.Errorf("the source was asked for %d inputs, not %d or one more", n, c.asked)
				}
				close(g)
				<-done
				expect(t, "results", len(values), 200)
			})
		})
	}
}

// Backpressure goes from stage to stage: each before the one that blocks has
// full hands and a full buffer.
func TestBackpressureReachesTheSource(t *testing.T) {
	inBubble(t, 100, func(t *testing.T, e *antflow.Executor) {
		g := make(gate)
		var src source
		var m pipeline.Monitor
		a, b := newRecord(), newRecord()
		p := join3(
			pipeline.Stage("a", a.taking(time.Second), pipeline.Workers(2), pipeline.Buffer(3)),
			pipeline.Stage("b", b.taking(time.Second), pipeline.Workers(3), pipeline.Buffer(1)),
			pipeline.Stage("gate", g.pass, pipeline.Workers(4), pipeline.Buffer(2)))
		var values []int
		done := testkit.Started(func() {
			values, _ = results(p.Run(t.Context(), e, src.first(100), pipeline.Window(1000), pipeline.WithMonitor(&m)))
		})
		time.Sleep(time.Hour)
		synctest.Wait()
		// gate: 4 and 2; b: 3 done and 1 waiting; a: 2 done and 3 waiting.
		if n := src.asked.Load(); n != 15 && n != 16 {
			t.Errorf("the source was asked for %d inputs", n)
		}
		expect(t, "calls of b", len(b.at), 9)
		expect(t, "calls of a", len(a.at), 12)
		s := m.Snapshot()
		for i, want := range []pipeline.StageStats{
			{Name: "a", Workers: 2, Waiting: 3, Blocked: 2},
			{Name: "b", Workers: 3, Waiting: 1, Blocked: 3},
			{Name: "gate", Workers: 4, Waiting: 2, Running: 4},
		} {
			got := s.Stages[i]
			if got.Name != want.Name || got.Workers != want.Workers || got.Waiting != want.Waiting || got.Blocked != want.Blocked || got.Running != want.Running {
				t.Errorf("%+v, want %+v", got, want)
			}
		}
		expect(t, "bottleneck", s.Bottleneck(), "gate")
		close(g)
		<-done
		expect(t, "results", len(values), 100)
	})
}

// A stage in the middle without a buffer hands over directly.
func TestUnbufferedStages(t *testing.T) {
	inBubble(t, 100, func(t *testing.T, e *antflow.Executor) {
		r := newRecord()
		none := pipeline.Buffer(0)
		p := join3(pipeline.Stage("a", same, none), pipeline.Stage("b", r.taking(time.Second), none), pipeline.Stage("c", r.taking(seconds(2)), none))
		start := time.Now()
		values, errs := results(p.Run(t.Context(), e, upTo(10)))
		expect(t, "results", values, "[0 1 2 3 4 5 6 7 8 9]")
		expect(t, "errors", errs, []error(nil))
		// The first is at c after a second, and c never idles from then on.
		expect(t, "time", time.Since(start), seconds(21))
	})
}

// Items in their retry delay are not in the buffer.
func TestDelayedItemsAreNotInTheBuffer(t *testing.T) {
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
		}, pipeline.Buffer(0), antflow.Retries(1), antflow.RetryDelay(seconds(100)))
		results(p.Run(t.Context(), e, upTo(5)))
		expect(t, "calls", r, "[0:[0s 1m41s] 1:[1s 1m42s] 2:[2s 1m43s] 3:[3s 1m44s] 4:[4s 1m45s]]")
	})
}

// No more than Window inputs are pulled and not yielded, which an item is after
// the loop's body; and so many are there whenever nothing else bounds them.
func TestWindowIsExact(t *testing.T) {
	for _, n := range []int{1, 2, 7, 64} {
		for _, ordered := range []bool{true, false} {
			t.Run(fmt.Sprint(n, ordered), func(t *testing.T) {
				inBubble(t, 200, func(t *testing.T, e *antflow.Executor) {
					var src source
					p := pipeline.Then(pipeline.Stage("a", same, pipeline.Workers(100)), pipeline.Stage("b", same, pipeline.Workers(100)))
					run := p.RunUnordered
					if ordered {
						run = p.Run
					}
					yielded := 0
					for _, err := range run(t.Context(), e, src.first(endless), pipeline.Window(n)) {
						if err != nil {
							t.Fatal(err)
						}
						if open := int(src.asked.Load()) - yielded; open > n {
							t.Fatalf("%d inputs are pulled and not yielded", open)
						}
						synctest.Wait()
						if open := int(src.asked.Load()) - yielded; open != n {
							t.Fatalf("%d inputs are pulled and not yielded once all have come to rest", open)
						}
						yielded++
						if yielded == 300 {
							break
						}
					}
				})
			})
		}
	}
}

// With the default window, too, an endless source is pulled no further than
// 256 inputs, or four times the workers.
func TestDefaultWindow(t *testing.T) {
	for workers, want := range map[int]int{64: 256, 65: 260, 100: 400} {
		inBubble(t, 200, func(t *testing.T, e *antflow.Executor) {
			var src source
			p := pipeline.Stage("a", same, pipeline.Workers(workers))
			for range p.Run(t.Context(), e, src.first(endless)) {
				synctest.Wait()
				break
			}
			if n := int(src.asked.Load()); n != want {
				t.Errorf("%d workers: asked for %d inputs, want %d", workers, n, want)
			}
		})
	}
}

// The first item being slow, an ordered run pulls a window of inputs and not
// one more, however fast the others are.
func TestASlowItemBoundsThePulling(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, e *antflow.Executor) {
		var src source
		p := pipeline.Stage("work", func(_ context.Context, x int) (int, error) {
			if x == 0 {
				time.Sleep(time.Hour)
			}
			return x, nil
		}, pipeline.Workers(2))
		for x := range p.Run(t.Context(), e, src.first(endless), pipeline.Window(20)) {
			if x == 0 {
				expect(t, "inputs", src.asked.Load(), 20)
			}
			if x == 100 {
				break
			}
		}
	})
}

// A pipeline over a long input holds a few items at a time.
func TestItemsInARunAreFew(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, e *antflow.Executor) {
		var m pipeline.Monitor
		p := join3(pipeline.Stage("a", same), pipeline.Stage("b", same, pipeline.Workers(3)), pipeline.Stage("c", same))
		n := 0
		for x, err := range p.Run(t.Context(), e, upTo(20000), pipeline.Window(10), pipeline.WithMonitor(&m)) {
			if x != n || err != nil {
				t.Fatal(x, n, err)
			}
			n++
			if s := m.Snapshot(); s.Items > 10 {
				t.Fatalf("%d items in the run", s.Items)
			}
		}
		expect(t, "results", n, 20000)
	})
}

// An item that is done and has no room in the next stage keeps its worker.
func TestABlockedStageKeepsItsWorkers(t *testing.T) {
	inBubble(t, 10, func(t *testing.T, e *antflow.Executor) {
		a, b := newRecord(), newRecord()
		p := pipeline.Then(
			pipeline.Stage("a", func(_ context.Context, x int) (int, error) {
				a.begin(x)
				time.Sleep(time.Second + time.Duration(x)*time.Millisecond)
				return x, nil
			}, pipeline.Workers(2)),
			pipeline.Stage("b", b.taking(seconds(10)), pipeline.Buffer(0)))
		results(p.Run(t.Context(), e, upTo(6)))
		expect(t, "calls of a", a, "[0:[0s] 1:[0s] 2:[1s] 3:[11s] 4:[21s] 5:[31s]]")
		expect(t, "calls of b", b, "[0:[1s] 1:[11s] 2:[21s] 3:[31s] 4:[41s] 5:[51s]]")
	})
}

// A blocked item gives the executor's worker back: with one worker in all, two
// stages still alternate.
func TestBlockedItemsHoldNoWorkerOfTheExecutor(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, e *antflow.Executor) {
		none := pipeline.Buffer(0)
		r := newRecord()
		fn := r.taking(time.Second)
		p := pipeline.Then(pipeline.Tee(pipeline.Stage("a", fn, pipeline.Workers(3), none), pipeline.Stage("b", fn, pipeline.Workers(3), none)),
			pipeline.Stage("c", fn, none))
		values, _ := results(p.Run(t.Context(), e, upTo(10)))
		expect(t, "results", values, "[0 0 1 1 2 2 3 3 4 4 5 5 6 6 7 7 8 8 9 9]")
		expect(t, "time", time.Since(r.start), seconds(40))
	})
}
