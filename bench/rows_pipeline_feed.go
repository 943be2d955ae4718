package bench

import (
	"context"
	"iter"
	"slices"
	"sync"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/pipeline"
)

func pipelineFeed() Row {
	return Row{
		Name: "pipeline-feed",
		Title: "Feed 1,000 numbers to the stages of pipeline-3, then read the 1,000 results, each from its future; over and over. " +
			"An operation is one number.",
		Ops:      100_000,
		ShortOps: 2_000,
		Cases: []Case{
			{Contender: "antflow Run.Feed", Open: openFeed(batchSize)},
			{Contender: "channels, one for each result", Goal: Note("reported"), Open: openRequests(batchSize)},
		},
	}
}

func pipelineRoundTrip() Row {
	return Row{
		Name:     "pipeline-round-trip",
		Title:    "Feed one number to the same stages and read its result before the next. An operation is one round trip.",
		Ops:      50_000,
		ShortOps: 500,
		Cases: []Case{
			{Contender: "antflow Run.Feed", Open: openFeed(1)},
			{Contender: "channels, one for each result", Goal: Note("reported"), Open: openRequests(1)},
		},
	}
}

// openFeed has the numbers become 0, 1, and so on.
func openFeed(size int) func(func()) Runner {
	return func(func()) Runner {
		ctx, s := context.Background(), short()
		e := antflow.New(s.pool)
		r := s.composed().Start(ctx, e)
		futures := make([]*antflow.Future[int], size)
		batch := func(n int) (sum int64, err error) {
			for i := range n {
				futures[i] = r.Feed(ctx, i-stageCount)
			}
			for _, f := range futures[:n] {
				v, err := f.Result(ctx)
				if err != nil {
					return 0, err
				}
				sum += int64(v)
			}
			return sum, nil
		}
		return Runner{
			Run:   func(n int) error { return inBatches(n, size, batch) },
			Close: func() { r.Close(); e.Close() },
		}
	}
}

// A request goes through the stages and has its result sent back.
type request struct {
	x      int
	result chan try[int]
}

// openRequests has a channel in front of each stage, where requests go on
// until one fails.
func openRequests(size int) func(func()) Runner {
	return func(func()) Runner {
		s := short()
		var entry chan request // of the stages so far, from the last to the first
		var serving sync.WaitGroup
		for _, workers := range slices.Backward(s.workers[:]) {
			in, out := make(chan request, workers), entry
			serving.Go(func() { serve(in, out, workers, s.fn) })
			entry = in
		}
		results := make([]chan try[int], size)
		batch := func(n int) (sum int64, err error) {
			for i := range n {
				results[i] = make(chan try[int], 1)
				entry <- request{i - stageCount, results[i]}
			}
			for _, result := range results[:n] {
				t := <-result
				if t.err != nil {
					return 0, t.err
				}
				sum += int64(t.value)
			}
			return sum, nil
		}
		return Runner{
			Run:   func(n int) error { return inBatches(n, size, batch) },
			Close: func() { close(entry); serving.Wait() },
		}
	}
}

// serve works on requests until there are no more. A nil out is the end of
// their way.
func serve(in <-chan request, out chan<- request, workers int, fn func(int) (int, error)) {
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for r := range in {
				v, err := fn(r.x)
				if err != nil || out == nil {
					r.result <- try[int]{v, err}
					continue
				}
				r.x = v
				out <- r
			}
		})
	}
	wg.Wait()
	if out != nil {
		close(out)
	}
}

// gatherSize is the number of items in a batch of a pipeline.
const gatherSize = 100

func pipelineBatch() Row {
	return Row{
		Name: "pipeline-batch",
		Title: "A stage adds 1 to each number of a sequence, batches of 100 are made, a second stage adds 1 to all of a batch, and " +
			"they are taken apart. 8 workers in each stage, and in all. An operation is one number.",
		Ops:      200_000,
		ShortOps: 2_000,
		Cases: []Case{
			{Contender: "antflow Run", Open: openChecked(batchPipeline(runInOrder), 2, true)},
			{Contender: "antflow RunUnordered", Goal: Note("reported"), Open: openChecked(batchPipeline(runUnordered), 2, false)},
			{Contender: "channels, in order", Goal: Note("reported"), Open: openChecked(batchChannels(joint{true, Workers}), 2, true)},
			{Contender: "channels, unordered", Goal: Note("reported"), Open: openChecked(batchChannels(joint{false, Workers}), 2, false)},
		},
	}
}

// incrementAll adds 1 to all numbers of a batch, in place.
func incrementAll(xs []int) ([]int, error) {
	for i := range xs {
		xs[i]++
	}
	return xs, nil
}

// composedBatches is the pipeline with batches in it.
func composedBatches() pipeline.Pipeline[int, int] {
	each := pipeline.Stage("each", func(_ context.Context, x int) (int, error) { return increment(x) }, pipeline.Workers(Workers))
	all := pipeline.Stage("all", func(_ context.Context, xs []int) ([]int, error) { return incrementAll(xs) }, pipeline.Workers(Workers))
	batches := pipeline.Then(each, pipeline.Batch[int](gatherSize, 0))
	return pipeline.Then(pipeline.Then(batches, all), pipeline.Unbatch[int]())
}

func batchPipeline(run running) func() (passage, func()) {
	return func() (passage, func()) { return through(Workers, run.of(composedBatches())) }
}

func batchChannels(j joint) func() (passage, func()) {
	return func() (passage, func()) {
		return func(inputs iter.Seq[int], yield func(int)) error {
			each := mapped(sent(inputs, j), Workers, increment, j)
			all := mapped(gathered(each, gatherSize, j), Workers, incrementAll, j)
			return received(scattered(all, j), yield)
		}, nothing
	}
}
