package progress

import (
	"iter"
	"slices"

	"github.com/antflow/antflow"
)

// Inputs returns seq, and shows how many of its values were worked on: those
// that the loop's body is done with, or whoever else takes them. It is for a
// plain loop, or for the inputs of a map or a pipeline; these are taken ahead,
// by no more than the window. For what a map has finished see [Results].
//
// Nothing happens until the iterator is ranged over. Then a display begins, and
// ends with the loop, however that ends. Each range is a run and a display of its
// own, and may be on any goroutine. The values are counted without a lock. A nil
// seq and a nil option panic.
func Inputs[T any](seq iter.Seq[T], opts ...Option) iter.Seq[T] {
	must(seq != nil, "Inputs: the sequence must not be nil")
	return inputs(seq, configOf("Inputs", opts))
}

// Slice is [Inputs] over a slice, which has a total.
func Slice[S ~[]T, T any](s S, opts ...Option) iter.Seq[T] {
	c := configOf("Slice", opts)
	if !c.totalSet {
		c.total, c.totalSet = uint64(len(s)), true
	}
	return inputs(slices.Values(s), c)
}

func inputs[T any](seq iter.Seq[T], c *config) iter.Seq[T] {
	return func(yield func(T) bool) {
		s, stop := c.sequence()
		defer stop()
		for v := range seq {
			if !yield(v) {
				return
			}
			s.done.Add(1)
		}
	}
}

// Results returns seq, such as [antflow.Map] and pipelines make, and shows how
// many results have come and how many of them are errors. The one error that ends
// a map early, a [*antflow.WaitError] or [antflow.ErrShutdown], is no result. See
// [Inputs] for everything else. A nil seq and a nil option panic.
func Results[T any](seq iter.Seq2[T, error], opts ...Option) iter.Seq2[T, error] {
	must(seq != nil, "Results: the sequence must not be nil")
	c := configOf("Results", opts)
	return func(yield func(T, error) bool) {
		s, stop := c.sequence()
		defer stop()
		for v, err := range seq {
			if !ends(err) {
				s.done.Add(1)
				if err != nil {
					s.failed.Add(1)
				}
			}
			if !yield(v, err) {
				return
			}
		}
	}
}

// ends reports whether err ends a sequence. The same errors of a task are inside
// of another one, which names the item.
func ends(err error) bool {
	_, ended := err.(*antflow.WaitError)
	return ended || err == antflow.ErrShutdown
}

func (c *config) sequence() (*sequence, func()) {
	s := new(sequence)
	return s, open(c, func(Level) source { return s })
}
