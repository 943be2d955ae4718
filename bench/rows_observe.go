package bench

import (
	"context"
	"fmt"
	"io"
	"log"
	"slices"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/dashboard"
)

// eventsOfTask is how many events an empty task has: submitted, started and
// succeeded.
const eventsOfTask = 3

func observedEvents() Row {
	return Row{
		Name: "observe-event",
		Title: "What being observed costs an empty task more, divided by its three events, in elapsed time: n of them are started and waited for, " +
			"observed and not, in turn. That has everything in it: an observed task takes the lock for each step, and " +
			"the observer is told on the same two cores that have no time to spare.",
		Floor: "A look at the clock takes 25 to 50 ns here, and two of the three events need one. The rest is the lock for each step, which what " +
			"is not observed doesn't take, and what the observer's goroutine does.",
		Ops:      200_000,
		ShortOps: 2_000,
		Apart:    true,
		Cases: []Case{
			{Contender: "Measure", Probe: probeEvents(func(e *antflow.Executor) { e.Measure() })},
			{Contender: "Observe", Probe: probeEvents(func(e *antflow.Executor) { e.Observe(func(antflow.Event) {}) })},
			{Contender: "Observe failures", Probe: probeEvents(func(e *antflow.Executor) { e.Observe(func(antflow.Event) {}, antflow.EventFailed) })},
			{Contender: "WithTracer", Probe: probeEvents(nil, antflow.WithTracer(idleTracer{}))},
		},
	}
}

// idleTracer does nothing.
type idleTracer struct{}

func (idleTracer) AttemptStart(ctx context.Context, _ antflow.AttemptStart) context.Context {
	return ctx
}
func (idleTracer) AttemptEnd(context.Context, antflow.AttemptEnd) {}
func (idleTracer) TaskEnd(context.Context, antflow.TaskEnd)       {}

// probeEvents compares an observed executor with one that isn't.
func probeEvents(observe func(*antflow.Executor), opts ...antflow.Option) func(n int) ([]Value, error) {
	return func(n int) ([]Value, error) {
		const turns = 5
		var without, with []float64
		for range turns {
			a, err := timeTasks(n, nil)
			if err != nil {
				return nil, err
			}
			b, err := timeTasks(n, observe, opts...)
			if err != nil {
				return nil, err
			}
			without, with = append(without, a), append(with, b)
		}
		each := Median(with) - Median(without)
		return []Value{
			{Name: "an event", Unit: "ns", X: each / eventsOfTask, Goal: AtMost(100)},
			{Name: "a task that is observed", Unit: "ns", X: Median(with)},
			{Name: "a task that is not", Unit: "ns", X: Median(without)},
		}, nil
	}
}

// timeTasks returns the time that each of n empty tasks takes, in ns.
func timeTasks(n int, observe func(*antflow.Executor), opts ...antflow.Option) (float64, error) {
	ctx := context.Background()
	e := antflow.New(Workers, opts...)
	if observe != nil {
		observe(e)
	}
	fn := func(context.Context) error { return nil }
	start := time.Now()
	for range n {
		e.Go(ctx, fn)
	}
	e.Close()
	elapsed := time.Since(start)
	return float64(elapsed) / float64(n), check(int64(e.Stats().Succeeded), int64(n))
}

// workTime is what a task of the rows below computes.
const workTime = 20 * time.Microsecond

func observedWork() Row {
	return Row{
		Name: "observe-work",
		Title: "Tasks that compute for 20 µs, in a group, under no observer, one that behaves, and some that don't. An operation is one task; " +
			"it runs on all cores, so what observing takes is missing elsewhere.",
		Ops:      100_000,
		ShortOps: 200,
		Counts:   true,
		Cases: []Case{
			{Contender: "not observed", Open: openObserved(nil)},
			{Contender: "Measure", Goal: Within(1.1), Open: openObserved(func(e *antflow.Executor) { e.Measure() })},
			{Contender: "an observer", Goal: Within(1.1), Open: openObserved(observedBy(func(antflow.Event) {}))},
			{Contender: "one that panics", Goal: Within(1.1), Open: openObserved(observedBy(func(antflow.Event) { panic("observer") }))},
			{Contender: "one that sleeps 1 ms", Goal: Within(1.1), Open: openHeldUp(func(end <-chan struct{}) {
				select {
				case <-end:
				default:
					time.Sleep(time.Millisecond)
				}
			})},
			{Contender: "one that blocks", Goal: Within(1.1), Open: openHeldUp(func(end <-chan struct{}) { <-end })},
		},
	}
}

func observedBy(fn func(antflow.Event)) func(*antflow.Executor) {
	return func(e *antflow.Executor) { e.Observe(fn) }
}

// openHeldUp is openObserved with an observer who is held up until the end, and
// leaves no event behind then.
func openHeldUp(hold func(end <-chan struct{})) func(func()) Runner {
	return func(task func()) Runner {
		end := make(chan struct{})
		r := openObserved(observedBy(func(antflow.Event) { hold(end) }))(task)
		release := r.Close
		r.Close = func() { close(end); release() }
		return r
	}
}

// openObserved runs tasks that compute on an executor that something is done
// with. It ends without waiting for observers.
func openObserved(observe func(*antflow.Executor)) func(func()) Runner {
	return func(task func()) Runner {
		before := log.Writer()
		log.SetOutput(io.Discard) // the observer's panic
		e := antflow.New(Workers)
		if observe != nil {
			observe(e)
		}
		turns := spinFor(workTime)
		fn := erring(func() { spin(turns); task() })
		return Runner{
			Run: func(n int) error {
				g := antflow.NewGroup(context.Background(), e)
				for range n {
					g.Go(fn)
				}
				return g.Wait()
			},
			Close: func() {
				log.SetOutput(before)
				e.Shutdown(context.Background(), antflow.NoWait())
			},
		}
	}
}

func observedMemory() Row {
	return Row{
		Name: "observe-memory",
		Title: "Ten million tasks of a thousand names, one in a thousand of which fails, under observers: what is alive in the heap, " +
			"by a look at each hundredth after a collection, beyond what was there before. A byte for each task would be 9 MiB. " +
			"The most on the way has in it the events that wait for an observer, up to 32,768, and ten seconds of messages for a " +
			"viewer that doesn't read them. The observer that blocks is told of nothing after the first 32,768.",
		Ops:       10_000_000,
		ShortOps:  1_000,
		MaxRounds: 1,
		Heavy:     true,
		Cases: []Case{
			{Contender: "an observer", Probe: probeObservedMemory(observedBy(func(antflow.Event) {}))},
			{Contender: "one that blocks", Probe: probeObservedMemory(observedBy(func(antflow.Event) { select {} }))},
			{Contender: "a dashboard and two viewers, one of whom stops reading", Probe: probeObservedMemory(func(e *antflow.Executor) {
				h := dashboard.Handler(dashboard.Executor(e))
				openViewers(h, 1, readOn)
				openViewers(h, 1, stopReading)
			})},
		},
	}
}

// probeObservedMemory looks at the memory in use a hundred times while n tasks
// go through.
func probeObservedMemory(observe func(*antflow.Executor)) func(n int) ([]Value, error) {
	const looks, kib = 100, 1 << 10
	return func(n int) ([]Value, error) {
		before := float64(collected().HeapAlloc)
		ctx := context.Background()
		e := antflow.New(Workers, antflow.QueueLimit(10_000))
		observe(e)
		names := observedNames()
		var heaps []float64
		for i := range n {
			if i%max(n/looks, 1) == 0 && i > 0 {
				heaps = append(heaps, float64(collected().HeapAlloc)-before)
			}
			e.Go(ctx, func(context.Context) error {
				if i%1000 == 0 {
					return fmt.Errorf("task %d failed", i)
				}
				return nil
			}, names[i%len(names)])
		}
		e.Shutdown(ctx)
		heaps = append(heaps, float64(collected().HeapAlloc)-before)
		s := e.Snapshot()
		tenth := (len(heaps) + 9) / 10
		first, last := Median(heaps[:tenth]), Median(heaps[len(heaps)-tenth:])
		return []Value{
			{Name: "heap in the first tenth", Unit: "KiB", X: first / kib},
			{Name: "heap in the last tenth", Unit: "KiB", X: last / kib},
			{Name: "growth", Unit: "KiB", X: (last - first) / kib, Goal: AtMost(1024)},
			{Name: "the most on the way", Unit: "KiB", X: slices.Max(heaps) / kib},
			{Name: "events lost", Unit: "", X: float64(s.Lost)},
		}, check(int64(s.Succeeded+s.Failed), int64(n))
	}
}

// observedNames are more names than an executor keeps figures of.
func observedNames() []antflow.TaskOption {
	names := make([]antflow.TaskOption, 1000)
	for i := range names {
		names[i] = antflow.TaskName(fmt.Sprint("name ", i))
	}
	return names
}
