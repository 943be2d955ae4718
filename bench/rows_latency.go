package bench

import (
	"context"
	"fmt"
	"os"
	"runtime/pprof"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/alitto/pond/v2"
	"github.com/antflow/antflow"
)

// A starter makes a pool of as many workers and returns how to submit to it
// without an answer, and how to close it.
type starter func(workers int) (submit func(func()), close func())

func startAntflow(workers int) (submit func(func()), stop func()) {
	e := antflow.New(workers)
	submit = func(task func()) { e.Go(context.Background(), erring(task)) }
	return submit, func() { e.Close() }
}

func startPond(workers int) (submit func(func()), stop func()) {
	p := pond.NewPool(workers)
	return func(task func()) { p.Go(task) }, p.StopAndWait
}

func startGoroutines(int) (submit func(func()), stop func()) {
	return func(task func()) { go task() }, nothing
}

// serviceTime is how long the tasks of the row latency sleep.
const serviceTime = time.Millisecond

func latency() Row {
	return Row{
		Name: "latency",
		Title: "From Submit to the start of a task while half of the workers are busy: tasks sleep 1 ms, so load doesn't depend on " +
			"the cores, and come evenly, one in 2 ms for each worker. The size is the milliseconds for which they come; a pacer " +
			"that woke up late submits at once what is due.",
		Ops:       1_000,
		ShortOps:  20,
		MaxRounds: 3,
		Cases: []Case{
			{Contender: "antflow Executor.Go", Probe: probeLatency(startAntflow)},
			{Contender: "pond.Go", Probe: probeLatency(startPond)},
			{Contender: "a goroutine each", Probe: probeLatency(startGoroutines)},
		},
	}
}

func probeLatency(start starter) func(n int) ([]Value, error) {
	return func(n int) ([]Value, error) {
		var values []Value
		for _, workers := range []int{1, 2, 4, 8, 16, 32, 64} {
			delays := halfLoad(start, workers, time.Duration(n)*time.Millisecond)
			values = append(values, percentiles(count(workers, "worker"), delays)...)
		}
		return values, nil
	}
}

// percentiles sorts the delays, which are in µs.
func percentiles(name string, delays []float64) []Value {
	slices.Sort(delays)
	value := func(percentile string, p float64) Value {
		return Value{Name: name + ", " + percentile, Unit: "µs", X: Percentile(delays, p)}
	}
	return []Value{value("p50", 0.5), value("p99", 0.99), value("p99.9", 0.999)}
}

// stallAfter is how much longer than planned a run may take before it shows on
// standard error what its goroutines do.
const stallAfter = 5 * time.Second

// halfLoad returns the delays of all tasks.
func halfLoad(start starter, workers int, duration time.Duration) []float64 {
	submit, stop := start(workers)
	defer stop()
	stalled := time.AfterFunc(duration+stallAfter, func() {
		fmt.Fprintf(os.Stderr, "latency: %s, %v over time\n", count(workers, "worker"), stallAfter)
		pprof.Lookup("goroutine").WriteTo(os.Stderr, 1)
	})
	defer stalled.Stop()
	interval := 2 * serviceTime / time.Duration(workers)
	delays := make([]float64, max(int(duration/interval), 1))
	var wg sync.WaitGroup
	begin := time.Now()
	for i := range delays {
		time.Sleep(time.Until(begin.Add(time.Duration(i) * interval)))
		wg.Add(1)
		submitted := time.Now()
		submit(func() {
			delays[i] = microseconds(time.Since(submitted))
			time.Sleep(serviceTime)
			wg.Done()
		})
	}
	wg.Wait()
	return delays
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

func fairness() Row {
	return Row{
		Name: "fairness",
		Title: "8 goroutines submit tasks of 1 µs as fast as a queue of 64 lets them, until n have been submitted: " +
			"the least share of one of them, relative to the greatest.",
		Ops:      200_000,
		ShortOps: 2_000,
		Cases: []Case{
			{Contender: "antflow QueueLimit", Probe: probeFairness(func() (func(func()), func()) {
				e := antflow.New(Workers, antflow.QueueLimit(64))
				return func(task func()) { e.Go(context.Background(), erring(task)) }, func() { e.Close() }
			})},
			{Contender: "pond WithQueueSize", Probe: probeFairness(func() (func(func()), func()) {
				p := pond.NewPool(Workers, pond.WithQueueSize(64))
				return func(task func()) { p.Go(task) }, p.StopAndWait
			})},
			{Contender: "buffered channel", Probe: probeFairness(startChannel)},
		},
	}
}

func startChannel() (submit func(func()), stop func()) {
	tasks := make(chan func(), 64)
	var wg sync.WaitGroup
	for range Workers {
		wg.Go(func() {
			for task := range tasks {
				task()
			}
		})
	}
	return func(task func()) { tasks <- task }, func() { close(tasks); wg.Wait() }
}

func probeFairness(start func() (submit func(func()), stop func())) func(n int) ([]Value, error) {
	return func(n int) ([]Value, error) {
		submit, stop := start()
		turns := spinFor(time.Microsecond)
		var next, ran atomic.Int64
		var shares [submitterCount]int
		var wg sync.WaitGroup
		gate := make(chan struct{})
		for s := range shares {
			wg.Go(func() {
				<-gate
				for next.Add(1) <= int64(n) {
					submit(func() {
						spin(turns)
						ran.Add(1)
					})
					shares[s]++
				}
			})
		}
		close(gate)
		wg.Wait()
		stop()
		least, greatest := slices.Min(shares[:]), slices.Max(shares[:])
		return []Value{{Name: "least / greatest", X: float64(least) / float64(greatest)}}, check(ran.Load(), int64(n))
	}
}

const (
	longTime  = 100 * time.Millisecond
	burstSize = 16                   // short tasks that are submitted at once
	burstGap  = 2 * time.Millisecond // from one burst to the next
)

func longAndShort() Row {
	return Row{
		Name: "long-and-short",
		Title: "From Submit to the start of a task of 1 µs, 16 of which come every 2 ms, with one that sleeps 100 ms among them as long " +
			"as 7 of these don't run: one of the 8 workers is always free for the short ones. The size is the number of bursts.",
		Ops:       500,
		ShortOps:  10,
		MaxRounds: 3,
		Cases: []Case{
			{Contender: "antflow Executor.Go", Probe: probeLongAndShort(startAntflow)},
			{Contender: "pond.Go", Probe: probeLongAndShort(startPond)},
			{Contender: "a goroutine each", Probe: probeLongAndShort(startGoroutines)},
		},
	}
}

func probeLongAndShort(start starter) func(n int) ([]Value, error) {
	return func(n int) ([]Value, error) {
		submit, stop := start(Workers)
		defer stop()
		turns := spinFor(time.Microsecond)
		delays := make([]float64, n*burstSize)
		var long atomic.Int64
		var wg sync.WaitGroup
		for i := range delays {
			switch i % burstSize {
			case 0:
				time.Sleep(burstGap)
			case burstSize / 4:
				if long.Load() < Workers-1 {
					long.Add(1)
					wg.Add(1)
					submit(func() {
						time.Sleep(longTime)
						long.Add(-1)
						wg.Done()
					})
				}
			}
			wg.Add(1)
			submitted := time.Now()
			submit(func() {
				delays[i] = microseconds(time.Since(submitted))
				spin(turns)
				wg.Done()
			})
		}
		wg.Wait()
		values := percentiles("short task", delays)[:2]
		return append(values, Value{Name: "short task, worst", Unit: "µs", X: Percentile(delays, 1)}), nil
	}
}
