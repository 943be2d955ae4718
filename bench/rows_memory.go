package bench

import (
	"context"
	"runtime"

	"github.com/alitto/pond/v2"
	"github.com/antflow/antflow"
)

func memoryQueued() Row {
	return Row{
		Name: "memory-queued",
		Title: "Memory of a task that returns an int and is queued behind a blocked worker, with its future and closure: " +
			"heap and stacks after a collection. (A goroutine takes less in later rounds: its descriptor is there already.)",
		Ops:       200_000,
		ShortOps:  1_000,
		MaxRounds: 3,
		Cases: []Case{
			{Contender: "antflow.Submit", Probe: probeQueued(queueAntflow, Goal{})},
			{Contender: "pond ResultPool", Probe: probeQueued(queuePond, Slower(2))},
			{Contender: "blocked goroutine+chan", Probe: probeQueued(queueGoroutines, Goal{})},
		},
	}
}

func memoryTenMillion() Row {
	return Row{
		Name: "memory-10M",
		Title: "Ten million queued at once, with the list of their futures. What is obtained from the system " +
			"includes the room that the collector leaves.",
		Ops:       10_000_000,
		ShortOps:  1_000,
		MaxRounds: 1,
		Heavy:     true,
		Cases: []Case{
			{Contender: "antflow.Submit", Probe: probeTotal(queueAntflow, AtMost(2))},
			{Contender: "pond ResultPool", Probe: probeTotal(queuePond, Goal{})},
		},
	}
}

// A queueing queues n tasks behind what is blocked. full is called when they
// are; then they go on and their results are checked.
type queueing func(n int, full func()) error

// inUse is the memory of live objects and of stacks.
func inUse() float64 {
	m := collected()
	return float64(m.HeapAlloc + m.StackInuse)
}

// collected is what there is after a collection.
func collected() (m runtime.MemStats) {
	runtime.GC()
	runtime.GC() // what finalizers and pools held until the first
	runtime.ReadMemStats(&m)
	return m
}

func probeQueued(queue queueing, goal Goal) func(n int) ([]Value, error) {
	return func(n int) ([]Value, error) {
		before, after := inUse(), 0.0
		err := queue(n, func() { after = inUse() })
		return []Value{{Name: "each", Unit: "B", X: (after - before) / float64(n), Goal: goal}}, err
	}
}

func probeTotal(queue queueing, goal Goal) func(n int) ([]Value, error) {
	const gib = 1 << 30
	return func(n int) ([]Value, error) {
		var m runtime.MemStats
		var sys, live float64
		before := inUse()
		err := queue(n, func() {
			runtime.ReadMemStats(&m)
			sys = float64(m.HeapSys + m.StackSys - m.HeapReleased)
			live = inUse() - before
		})
		return []Value{
			{Name: "live", Unit: "GiB", X: live / gib, Goal: goal},
			{Name: "from the system", Unit: "GiB", X: sys / gib},
		}, err
	}
}

func queueAntflow(n int, full func()) error {
	ctx := context.Background()
	e := antflow.New(1)
	defer e.Close()
	release := occupy(e)
	futures := make([]*antflow.Future[int], n)
	for i := range n {
		futures[i] = antflow.Submit(ctx, e, func(context.Context) (int, error) { return i, nil })
	}
	full()
	release()
	return sumResults(ctx, futures)
}

func queuePond(n int, full func()) error {
	p := pond.NewResultPool[int](1)
	defer p.StopAndWait()
	gate := make(chan struct{})
	p.Submit(func() int { <-gate; return 0 })
	futures := make([]pond.ResultTask[int], n)
	for i := range n {
		futures[i] = p.Submit(func() int { return i })
	}
	full()
	close(gate)
	var sum int64
	for _, f := range futures {
		v, err := f.Wait()
		if err != nil {
			return err
		}
		sum += int64(v)
	}
	return check(sum, sumBelow(n))
}

func queueGoroutines(n int, full func()) error {
	gate := make(chan struct{})
	results := make([]chan int, n)
	for i := range n {
		result := make(chan int, 1)
		results[i] = result
		go func() {
			<-gate
			result <- i
		}()
	}
	full()
	close(gate)
	var sum int64
	for _, result := range results {
		sum += int64(<-result)
	}
	return check(sum, sumBelow(n))
}
