package bench

import (
	"context"
	"fmt"
	"iter"
	"math"
	"slices"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/pipeline"
)

// stageCount is the number of stages, each of which adds 1 to a number.
const stageCount = 3

// stages are what numbers go through.
type stages struct {
	workers [stageCount]int // of each stage
	pool    int             // workers of an executor for all of them
	fn      func(int) (int, error)
}

// short are stages that have next to nothing to do.
func short() stages {
	return stages{workers: [stageCount]int{Workers, Workers, Workers}, pool: Workers, fn: increment}
}

// single are the short stages with a worker each.
func single() stages {
	s := short()
	s.workers = [stageCount]int{1, 1, 1}
	return s
}

// pipelineSleepers are as many workers in all as rows with sleeps have.
var pipelineSleepers = [stageCount]int{334, 333, 333}

// asleep are stages that sleep for a time.
func asleep(d time.Duration) stages {
	return stages{workers: pipelineSleepers, pool: sleepers, fn: func(x int) (int, error) {
		time.Sleep(d)
		return x + 1, nil
	}}
}

func increment(x int) (int, error) { return x + 1, nil }

// A passage takes all inputs through the stages, and hands each result to yield.
type passage func(inputs iter.Seq[int], yield func(int)) error

// An opening makes a passage ready, and returns what ends it.
type opening func(s stages) (pass passage, done func())

func pipelineThree() Row {
	return Row{
		Name:  "pipeline-3",
		Title: "Three stages of 8 workers each, on 8 workers in all, add 1 to each number of a sequence. An operation is one number.",
		Floor: "The floor is one goroutine for each stage, which keeps the order without any effort, with channels of 64 before, " +
			"between and behind them: a number goes from hand to hand four times. It has neither errors nor contexts.",
		Ops:      200_000,
		ShortOps: 2_000,
		Cases: []Case{
			{Contender: "antflow Run", Goal: AtMost(300).WithAllocs(2), Open: openPassage(passPipeline(runInOrder), short(), true)},
			{Contender: "antflow RunUnordered", Goal: Note("reported"), Open: openPassage(passPipeline(runUnordered), short(), false)},
			{Contender: "channels, in order", Goal: Note("reported"), Open: openPassage(passChannels(joint{true, Workers}), short(), true)},
			{Contender: "the same without buffers, as rill", Goal: Note("reported"), Open: openPassage(passChannels(joint{true, 0}), short(), true)},
			{Contender: "channels, unordered", Goal: Note("reported"), Open: openPassage(passChannels(joint{false, Workers}), short(), false)},
			{Contender: "conc stream each", Goal: Note("reported"), Open: openPassage(passStreams, short(), true)},
			{Contender: "a goroutine each", Goal: Note("the floor"), Open: openPassage(passPlain, single(), true)},
		},
	}
}

func pipelineIO() Row {
	r := ioRow(sleepTime, 100_000)
	r.Name = "pipeline-io"
	r.Title = "Three stages sleep 1 ms for each number, with 334, 333 and 333 workers: 1,000 in all. If nothing else took time, a stage " +
		"with 333 would let as many numbers through in each millisecond, and all would take 2 ms more than that. The goal is 97% " +
		"of that throughput. An operation is one number."
	r.Floor = "The floors are 1,000 goroutines that only sleep: in stages with channels between them, and with nothing between " +
		"them, as long as the ideal is. Timers and the scheduler alone take more than the ideal and the goal, as " +
		"in the row sleeps."
	r.ShortOps = 1_000
	return r
}

func pipelineLongIO() Row {
	r := ioRow(50*sleepTime, 6_660)
	r.Name = "pipeline-io-50ms"
	r.Title = "The same with sleeps of 50 ms: the goal leaves 1.5 ms for what 1,000 workers have to do when they wake up one after " +
		"the other. An operation is one number."
	r.Floor = "The floors are those of pipeline-io."
	r.ShortOps = 100
	r.MaxRounds = 5
	return r
}

// ioRow has n numbers go through stages that sleep.
func ioRow(d time.Duration, n int) Row {
	ideal := float64(idealTurns(n)) * float64(d) / float64(n)
	s := asleep(d)
	inOrder := joint{ordered: true, buffer: s.workers[0]}
	return Row{
		Ops:   n,
		Ideal: ideal,
		Cases: []Case{
			{Contender: "antflow Run", Goal: AtMost(math.Round(ideal / 0.97)), Open: openPassage(passPipeline(runInOrder), s, true)},
			{Contender: "antflow RunUnordered", Goal: Note("reported"), Open: openPassage(passPipeline(runUnordered), s, false)},
			{Contender: "channels, in order", Goal: Note("reported"), Open: openPassage(passChannels(inOrder), s, true)},
			{Contender: "conc stream each", Goal: Note("reported"), Open: openPassage(passStreams, s, true)},
			{Contender: "goroutines and channels", Goal: Note("the floor"), Open: openPassage(passPlain, s, false)},
			{Contender: "goroutines alone", Goal: Note("the floor"), Open: openOnlySleep(d)},
		},
	}
}

// idealTurns is how many sleeps n numbers take, one after the other, when
// nothing else takes time: the smallest stage works all the time, but for the
// first sleeps before it and the last ones behind it.
func idealTurns(n int) int {
	least := slices.Min(pipelineSleepers[:])
	return (n+least-1)/least + stageCount - 1
}

// openOnlySleep has as many goroutines sleep for as long as the ideal is.
func openOnlySleep(d time.Duration) func(func()) Runner {
	return func(func()) Runner {
		runner := openSleepers(sleepers)(func() { time.Sleep(d) })
		return Runner{
			Run:   func(n int) error { return runner.Run(sleepers * idealTurns(n)) },
			Close: runner.Close,
		}
	}
}

func pipelineMemory() Row {
	const small = 64 // KiB; a byte for each number would be 9 MiB
	return Row{
		Name: "pipeline-memory",
		Title: "Ten million numbers through the stages of pipeline-3: the most that is alive in the heap on the way, by a look at each " +
			"hundredth of the results after a collection, beyond what is left when all is over. Stacks are those of the process.",
		Ops:       10_000_000,
		ShortOps:  1_000,
		MaxRounds: 1,
		Heavy:     true,
		Cases: []Case{
			{Contender: "antflow Run", Probe: probePassage(passPipeline(runInOrder), AtMost(small))},
			{Contender: "antflow RunUnordered", Probe: probePassage(passPipeline(runUnordered), AtMost(small))},
			{Contender: "channels, in order", Probe: probePassage(passChannels(joint{true, Workers}), Goal{})},
			{Contender: "conc stream each", Probe: probePassage(passStreams, Goal{})},
		},
	}
}

// probePassage looks at the memory in use a hundred times on the way of n
// numbers, and then at what is left to compare with.
func probePassage(open opening, growth Goal) func(n int) ([]Value, error) {
	const looks, kib = 100, 1 << 10
	return func(n int) ([]Value, error) {
		var heaps []float64
		var stacks float64
		var sum int64
		seen, step := 0, max(n/looks, 1)
		pass, done := open(short())
		defer done()
		err := pass(numbers(n), func(v int) {
			sum += int64(v)
			if seen++; seen%step == 0 {
				m := collected()
				heaps, stacks = append(heaps, float64(m.HeapAlloc)), max(stacks, float64(m.StackInuse))
			}
		})
		if err == nil {
			err = check(sum, sumBelow(n)+stageCount*int64(n))
		}
		if err != nil {
			return nil, err
		}
		first, peak, after := slices.Max(heaps[:(len(heaps)+9)/10]), slices.Max(heaps), float64(collected().HeapAlloc)
		return []Value{
			{Name: "heap", Unit: "KiB", X: (peak - after) / kib},
			{Name: "heap for each number", Unit: "B", X: (peak - after) / float64(n)},
			{Name: "heap in the first tenth", Unit: "KiB", X: (first - after) / kib},
			{Name: "growth after that", Unit: "KiB", X: (peak - first) / kib, Goal: growth},
			{Name: "stacks, in all", Unit: "KiB", X: stacks / kib},
		}, nil
	}
}

// openPassage takes 0, 1, … through the stages and checks what they become.
func openPassage(open opening, s stages, ordered bool) func(func()) Runner {
	return openChecked(func() (passage, func()) { return open(s) }, stageCount, ordered)
}

// openChecked checks that as much is added to 0, 1, … on their way.
func openChecked(open func() (passage, func()), added int, ordered bool) func(func()) Runner {
	return func(func()) Runner {
		pass, done := open()
		return Runner{
			Run: func(n int) error {
				a := arrivals{ordered: ordered, added: added}
				if err := pass(numbers(n), a.add); err != nil {
					return err
				}
				return a.end(n)
			},
			Close: done,
		}
	}
}

// arrivals checks that the stages have added to all numbers from 0 to n-1, and
// that they come in order, if they should.
type arrivals struct {
	ordered bool
	added   int
	seen    int
	sum     int64
	err     error
}

func (a *arrivals) add(v int) {
	v -= a.added
	if a.ordered && v != a.seen && a.err == nil {
		a.err = fmt.Errorf("wrong result: got %d in the place of %d", v, a.seen)
	}
	a.seen++
	a.sum += int64(v)
}

// end returns the first deviation among n numbers.
func (a *arrivals) end(n int) error {
	if a.err != nil {
		return a.err
	}
	if err := check(int64(a.seen), int64(n)); err != nil {
		return err
	}
	return check(a.sum, sumBelow(n))
}

// composed is the pipeline of the stages.
func (s stages) composed() pipeline.Pipeline[int, int] {
	fn := func(_ context.Context, x int) (int, error) { return s.fn(x) }
	first := pipeline.Stage("first", fn, pipeline.Workers(s.workers[0]))
	second := pipeline.Stage("second", fn, pipeline.Workers(s.workers[1]))
	third := pipeline.Stage("third", fn, pipeline.Workers(s.workers[2]))
	return pipeline.Then(pipeline.Then(first, second), third)
}

// A running is a way to run a pipeline.
type running func(p pipeline.Pipeline[int, int], ctx context.Context, ex *antflow.Executor, inputs iter.Seq[int],
	opts ...pipeline.RunOption) iter.Seq2[int, error]

var (
	runInOrder   running = pipeline.Pipeline[int, int].Run
	runUnordered running = pipeline.Pipeline[int, int].RunUnordered
)

func passPipeline(run running) opening {
	return func(s stages) (passage, func()) { return through(s.pool, run.of(s.composed())) }
}

// A transit gives the results of inputs.
type transit func(ex *antflow.Executor, inputs iter.Seq[int]) iter.Seq2[int, error]

func (run running) of(p pipeline.Pipeline[int, int]) transit {
	return func(ex *antflow.Executor, inputs iter.Seq[int]) iter.Seq2[int, error] {
		return run(p, context.Background(), ex, inputs)
	}
}

// through takes inputs through a pipeline.
func through(workers int, results transit) (passage, func()) {
	e := antflow.New(workers)
	return func(inputs iter.Seq[int], yield func(int)) error {
		for v, err := range results(e, inputs) {
			if err != nil {
				return err
			}
			yield(v)
		}
		return nil
	}, func() { e.Close() }
}
