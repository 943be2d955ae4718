package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/testkit"
	"github.com/antflow/antflow/pipeline"
)

// A crowd counts how many are at work at a time.
type crowd struct{ now, most atomic.Int64 }

func (c *crowd) enter() {
	n := c.now.Add(1)
	for most := c.most.Load(); n > most && !c.most.CompareAndSwap(most, n); most = c.most.Load() {
	}
}

func (c *crowd) leave() { c.now.Add(-1) }

// manyParts is the function of a FlatMap that makes n parts of each item, in
// the order of which they are numbered. Its calls are recorded, and at work while
// they don't yield.
func manyParts(calls *record, atWork *crowd, n int) func(context.Context, int) iter.Seq2[int, error] {
	return func(_ context.Context, x int) iter.Seq2[int, error] {
		return func(yield func(int, error) bool) {
			calls.begin(x)
			defer calls.end()
			atWork.enter()
			defer atWork.leave()
			for i := range n {
				time.Sleep(time.Millisecond)
				atWork.leave()
				more := yield(n*x+i, nil)
				atWork.enter()
				if !more {
					return
				}
			}
		}
	}
}

// late is a stage that takes its time for the first item, if d isn't 0.
func late(d time.Duration) pipeline.Pipeline[int, int] {
	if d == 0 {
		return pipeline.Stage("late", same)
	}
	return pipeline.Stage("late", func(ctx context.Context, x int) (int, error) {
		if x == 0 {
			return x, testkit.Sleep(ctx, d)
		}
		return x, nil
	}, pipeline.Workers(8))
}

// expectUpTo fails the test unless the results are 0, 1 and so on.
func expectUpTo(t *testing.T, values []int, errs []error, n int) {
	t.Helper()
	for i, x := range values {
		if x != i {
			t.Fatalf("result %d is %d", i, x)
		}
	}
	expect(t, "results", len(values), n)
	expect(t, "errors", errs, []error(nil))
}

// A call that waits for room keeps its worker: there are no more calls than
// workers. In order only the first item may have that of another one, and those
// that are before it in the executor's queue, if the calls are tasks.
func TestStalledCallsKeepTheirWorkers(t *testing.T) {
	const workers, window = 3, 8
	for _, c := range []struct {
		late    time.Duration
		ordered bool
		permits int64 // 0: no tasks
		calls   int
	}{
		{0, false, 0, workers},
		{0, false, 100, workers},
		{0, false, 1, workers},
		{time.Minute, false, 0, workers},
		{time.Minute, false, 100, workers},
		{0, true, 0, workers},
		{0, true, 100, workers},
		{time.Minute, true, 0, workers + 1},
		{time.Minute, true, 100, window},
		{time.Minute, true, 1, window},
	} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			inBubble(t, 8, func(t *testing.T, e *antflow.Executor) {
				opts := []pipeline.StageOption{pipeline.Workers(workers)}
				if c.permits > 0 {
					opts = append(opts, antflow.WithSemaphore(antflow.NewSemaphore(c.permits)))
				}
				r, atWork := newRecord(), new(crowd)
				p := join3(late(c.late), pipeline.FlatMap("parts", manyParts(r, atWork, 20), opts...),
					pipeline.Stage("work", newRecord().taking(time.Second), pipeline.Workers(2)))
				run := p.RunUnordered
				if c.ordered {
					run = p.Run
				}
				var m pipeline.Monitor
				var values []int
				for x, err := range run(t.Context(), e, upTo(50), pipeline.Window(window), pipeline.WithMonitor(&m)) {
					if err != nil {
						t.Fatal(err)
					}
					if err := m.CheckInvariants(); err != nil {
						t.Fatalf("%v\n%s", err, m.Dump())
					}
					values = append(values, x)
				}
				if !c.ordered {
					slices.Sort(values)
				}
				expectUpTo(t, values, nil, 1000)
				if r.most > c.calls || atWork.most.Load() > workers {
					t.Errorf("%d calls at a time, want at most %d; %d at work", r.most, c.calls, atWork.most.Load())
				}
			})
		})
	}
}

// A call that waits for room has no permit of the semaphore meanwhile: the item
// that it waits for may need that, at the same stage or behind it.
func TestAStalledCallHasNoPermit(t *testing.T) {
	for _, shared := range []bool{false, true} {
		for _, ordered := range []bool{false, true} {
			for _, buffer := range []int{0, 100} {
				inBubble(t, 4, func(t *testing.T, e *antflow.Executor) {
					sem := antflow.NewSemaphore(1)
					atWork := new(crowd)
					opts := []pipeline.StageOption{pipeline.Workers(2), pipeline.Buffer(buffer)}
					if shared {
						opts = append(opts, antflow.WithSemaphore(sem))
					}
					p := join3(late(time.Minute), pipeline.FlatMap("parts", manyParts(newRecord(), atWork, 20), pipeline.Workers(2), antflow.WithSemaphore(sem)),
						pipeline.Stage("work", func(_ context.Context, x int) (int, error) {
							if shared {
								atWork.enter()
								defer atWork.leave()
							}
							time.Sleep(time.Second)
							return x, nil
						}, opts...))
					run := p.RunUnordered
					if ordered {
						run = p.Run
					}
					values, errs := results(run(t.Context(), e, upTo(20), pipeline.Window(4)))
					if ordered {
						expectUpTo(t, values, errs, 400)
					}
					expect(t, "results", len(values), 400)
					expect(t, "errors", errs, []error(nil))
					expect(t, "at a time with the permit", atWork.most.Load(), 1)
					synctest.Wait() // for the end of the last tasks
					if !sem.TryAcquire(1) {
						t.Error("a permit is lost")
					}
				})
			}
		}
	}
}

// A fickle semaphore gives each call its permit once, and not again.
type fickle struct {
	antflow.Semaphore
	asked, out int
	refuse     func() error
	keep, kept bool // it refuses to take one back instead, once
}

var errFickle = errors.New("no permit any more")

func (s *fickle) TryAcquire(int64) bool { return false }

func (s *fickle) Acquire(context.Context, int64) error {
	if s.asked++; s.asked%2 == 0 && !s.keep {
		return s.refuse()
	}
	s.out++
	return nil
}

func (s *fickle) Release(int64) {
	if s.keep && !s.kept {
		s.kept = true
		s.refuse()
	}
	s.out--
}

// Where it doesn't get the permit again, the item fails, and nothing is given
// back that it doesn't have. The same holds where the semaphore panics.
func TestAPermitIsNotGotAgain(t *testing.T) {
	for name, refuse := range map[string]func() error{
		"error":  func() error { return errFickle },
		"panic":  func() error { panic(errFickle) },
		"goexit": func() error { runtime.Goexit(); return nil },
	} {
		for _, keep := range []bool{false, name != "error"} {
			t.Run(fmt.Sprint(name, keep), func(t *testing.T) {
				inBubble(t, 4, func(t *testing.T, e *antflow.Executor) {
					sem := &fickle{refuse: refuse, keep: keep}
					p := pipeline.Then(pipeline.FlatMap("parts", manyParts(newRecord(), new(crowd), 20), antflow.WithSemaphore(sem), antflow.Retries(3)),
						pipeline.Stage("work", newRecord().taking(time.Second)))
					want := 3 // all items fail, or the first one alone
					if keep {
						want = 1
					}
					var m pipeline.Monitor
					_, errs := results(p.Run(t.Context(), e, upTo(3), pipeline.Window(4), pipeline.WithMonitor(&m)))
					if len(errs) != want {
						t.Errorf("%d errors, want %d", len(errs), want)
					}
					for _, err := range errs {
						var item *pipeline.ItemError
						if is := errors.Is(err, errFickle) || errors.Is(err, antflow.ErrGoexit); !is || !errors.As(err, &item) || item.Attempts != 1 {
							t.Error(err)
						}
					}
					synctest.Wait()
					expect(t, "permits", sem.out, 0)
					if err := m.CheckInvariants(); err != nil {
						t.Errorf("%v\n%s", err, m.Dump())
					}
				})
			})
		}
	}
}

// With more places where items become several than points of order are seen, a
// run is as right.
func TestMoreFansThanPointsOfOrder(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, e *antflow.Executor) {
		r := newRecord()
		p := pipeline.Then(late(time.Minute), pipeline.FlatMap("first", manyParts(r, new(crowd), 10), pipeline.Workers(2)))
		for i := range 70 {
			p = pipeline.Then(p, pipeline.FlatMap(fmt.Sprint("one ", i), manyParts(r, new(crowd), 1), pipeline.Workers(1+i%3), pipeline.Buffer(i%2)))
		}
		p = pipeline.Then(p, pipeline.FlatMap("last", manyParts(r, new(crowd), 10), pipeline.Workers(2)))
		values, errs := results(pipeline.Then(p, pipeline.Tee(pipeline.Stage("end", same))).Run(t.Context(), e, upTo(10), pipeline.Window(4)))
		expectUpTo(t, values, errs, 1000)
	})
}

// Workers that come and go while calls are stalled change nothing else.
func TestResizeWhileCallsAreStalled(t *testing.T) {
	inBubble(t, 8, func(t *testing.T, e *antflow.Executor) {
		r := newRecord()
		p := join3(late(time.Minute), pipeline.FlatMap("parts", manyParts(r, new(crowd), 20), pipeline.Workers(3), pipeline.Buffer(0)), pipeline.Stage("work", newRecord().taking(time.Second), pipeline.Workers(2)))
		var m pipeline.Monitor
		var values []int
		var errs []error
		done := testkit.Started(func() {
			values, errs = results(p.Run(t.Context(), e, upTo(50), pipeline.Window(8), pipeline.WithMonitor(&m)))
		})
		check := func() {
			t.Helper()
			synctest.Wait()
			if err := m.CheckInvariants(); err != nil {
				t.Fatalf("%v\n%s", err, m.Dump())
			}
		}
		time.Sleep(30 * time.Second)
		check()
		expect(t, "calls", r.most, 3)
		m.Resize("parts", 1)
		check()
		m.Resize("parts", 5)
		check()
		expect(t, "calls", r.most, 5)
		m.Resize("parts", 1)
		time.Sleep(time.Minute)
		check()
		expect(t, "calls", r.most, 6) // the first with the worker of another
		r.most = 0
		for n := range 10 {
			m.Resize("parts", 1+n%4)
			time.Sleep(20 * time.Second)
			check()
		}
		<-done
		expectUpTo(t, values, errs, 1000)
		if r.most > 6 {
			t.Errorf("%d calls at a time", r.most)
		}
	})
}

// Who waits to be made into parts is not overtaken for ever by those that come
// as soon as there is room for one part.
func TestStalledItemsAreNotOvertaken(t *testing.T) {
	ways := map[string]pipeline.Pipeline[int, int]{
		"Tee": pipeline.Tee(pipeline.Stage("branch", same)),
		"Unbatch": pipeline.Then(pipeline.Stage("slice", func(_ context.Context, x int) ([]int, error) { return []int{x}, nil }),
			pipeline.Unbatch[int]()),
		"FlatMap": pipeline.FlatMap("parts", manyParts(newRecord(), new(crowd), 1), pipeline.Workers(20)),
	}
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 30, func(t *testing.T, e *antflow.Executor) {
				arrive := pipeline.Stage("arrive", func(_ context.Context, x int) (int, error) {
					if x > 12 {
						time.Sleep(time.Second)
					}
					return x, nil
				})
				p := join3(arrive, way, pipeline.Stage("work", newRecord().taking(time.Second)))
				values, errs := results(p.RunUnordered(t.Context(), e, upTo(100), pipeline.Window(8)))
				expect(t, "errors", errs, []error(nil))
				expect(t, "results", len(values), 100)
				for i, x := range values {
					if x < 13 && i > 20 {
						t.Errorf("item %d is result %d", x, i)
					}
				}
			})
		})
	}
}

// Nor by a call that goes on, and always finds room for the one part that it
// has.
func TestAStalledCallIsNotOvertakenByOne(t *testing.T) {
	inBubble(t, 8, func(t *testing.T, e *antflow.Executor) {
		parts := func(_ context.Context, x int) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) {
				if x == 1 { // when the other has taken all room
					time.Sleep(100 * time.Millisecond)
					yield(1, nil)
					return
				}
				for i := range 100 {
					switch { // room for 10 by 2s; then there is some for one at each half of a second
					case i == 10:
						time.Sleep(1500 * time.Millisecond)
					case i > 10:
						time.Sleep(time.Second)
					}
					if !yield(0, nil) {
						return
					}
				}
			}
		}
		p := pipeline.Then(pipeline.FlatMap("parts", parts, pipeline.Workers(2)), pipeline.Stage("work", newRecord().taking(time.Second)))
		values, errs := results(p.RunUnordered(t.Context(), e, upTo(2), pipeline.Window(8)))
		expect(t, "results", len(values), 101)
		expect(t, "errors", errs, []error(nil))
		if i := slices.Index(values, 1); i > 20 {
			t.Errorf("the other one's part is result %d", i)
		}
	})
}
