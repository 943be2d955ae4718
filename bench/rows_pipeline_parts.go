package bench

import (
	"context"
	"iter"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/pipeline"
)

// partCount is how many numbers an input becomes.
const partCount = 10

func pipelineParts() Row {
	return Row{
		Name: "pipeline-parts",
		Title: "A stage makes 10 numbers of each input, and another one adds 1 to each. 8 workers in each stage, and in all. An " +
			"operation is one number.",
		Ops:      200_000,
		ShortOps: 2_000,
		Cases: []Case{
			{Contender: "antflow Run", Open: openChecked(partsPipeline(true), 1, true)},
			{Contender: "antflow RunUnordered", Goal: Note("reported"), Open: openChecked(partsPipeline(false), 1, false)},
			{Contender: "channels, in order", Goal: Note("reported"), Open: openChecked(partsChannels(joint{true, Workers}), 1, true)},
			{Contender: "the same without buffers, as rill", Goal: Note("reported"), Open: openChecked(partsChannels(joint{true, 0}), 1, true)},
			{Contender: "channels, unordered", Goal: Note("reported"), Open: openChecked(partsChannels(joint{false, Workers}), 1, false)},
		},
	}
}

// A span is the numbers from one to another one, which is not among them.
type span struct{ from, to int }

// numbers are those of the span.
func (s span) numbers() iter.Seq[int] {
	return func(yield func(int) bool) {
		for x := s.from; x < s.to; x++ {
			if !yield(x) {
				return
			}
		}
	}
}

// spans are 0, 1, … by partCount.
func spans(inputs iter.Seq[int]) iter.Seq[span] {
	return func(yield func(span) bool) {
		var s span
		for x := range inputs {
			if s.to = x + 1; s.to-s.from == partCount {
				if !yield(s) {
					return
				}
				s.from = s.to
			}
		}
		if s.to > s.from {
			yield(s)
		}
	}
}

func partsPipeline(ordered bool) func() (passage, func()) {
	parts := pipeline.FlatMap("parts", func(_ context.Context, s span) iter.Seq2[int, error] {
		return func(yield func(int, error) bool) {
			for x := range s.numbers() {
				if !yield(x, nil) {
					return
				}
			}
		}
	}, pipeline.Workers(Workers))
	each := pipeline.Stage("each", func(_ context.Context, x int) (int, error) { return increment(x) }, pipeline.Workers(Workers))
	p := pipeline.Then(parts, each)
	run := p.RunUnordered
	if ordered {
		run = p.Run
	}
	return func() (passage, func()) {
		return through(Workers, func(ex *antflow.Executor, inputs iter.Seq[int]) iter.Seq2[int, error] {
			return run(context.Background(), ex, spans(inputs))
		})
	}
}

func partsChannels(j joint) func() (passage, func()) {
	return func() (passage, func()) {
		return func(inputs iter.Seq[int], yield func(int)) error {
			parts := expanded(sent(spans(inputs), j), Workers, span.numbers, j)
			return received(mapped(parts, Workers, increment, j), yield)
		}, nothing
	}
}
