package bench

import (
	"iter"
	"sync"

	"github.com/sourcegraph/conc/stream"
)

// The peers of pipelines are stages that are joined by channels, in the way of
// destel/rill, whose Map and OrderedMap pass on values or errors: a number of
// goroutines read from one channel and write to the next one.

// A joint says how stages are joined.
type joint struct {
	ordered bool
	buffer  int // of each channel; rill has none if not asked for
}

// A try is a value or an error.
type try[T any] struct {
	value T
	err   error
}

// sent returns a channel of the inputs.
func sent[T any](inputs iter.Seq[T], j joint) <-chan try[T] {
	out := make(chan try[T], j.buffer)
	go func() {
		defer close(out)
		for x := range inputs {
			out <- try[T]{value: x}
		}
	}()
	return out
}

// received hands what comes to yield, to the end, and returns the first error.
func received[T any](in <-chan try[T], yield func(T)) (err error) {
	for t := range in {
		switch {
		case t.err == nil:
			yield(t.value)
		case err == nil:
			err = t.err
		}
	}
	return err
}

// applied is what fn makes of a value, or the error that was there already.
func applied[A, B any](t try[A], fn func(A) (B, error)) (u try[B]) {
	if t.err != nil {
		u.err = t.err
		return u
	}
	u.value, u.err = fn(t.value)
	return u
}

// mapped has n goroutines call fn for what comes.
func mapped[A, B any](in <-chan try[A], n int, fn func(A) (B, error), j joint) <-chan try[B] {
	out := make(chan try[B], j.buffer)
	work := func() {
		for t := range in {
			out <- applied(t, fn)
		}
	}
	if j.ordered {
		turns := inTurns(in, n, j)
		work = func() {
			for t := range turns {
				u := applied(t.item, fn)
				<-t.own
				out <- u
				t.pass()
			}
		}
	}
	joined(n, work, out)
	return out
}

// joined has n goroutines work, and then closes what they send to.
func joined[T any](n int, work func(), out chan<- T) {
	var wg sync.WaitGroup
	for range n {
		wg.Go(work)
	}
	go func() {
		wg.Wait()
		close(out)
	}()
}

// expanded has n goroutines send all that fn makes of what comes.
func expanded[A, B any](in <-chan try[A], n int, fn func(A) iter.Seq[B], j joint) <-chan try[B] {
	out := make(chan try[B], j.buffer)
	expand := func(t try[A]) {
		if t.err != nil {
			out <- try[B]{err: t.err}
			return
		}
		for v := range fn(t.value) {
			out <- try[B]{value: v}
		}
	}
	work := func() {
		for t := range in {
			expand(t)
		}
	}
	if j.ordered {
		turns := inTurns(in, n, j)
		work = func() {
			for t := range turns {
				<-t.own
				expand(t.item)
				t.pass()
			}
		}
	}
	joined(n, work, out)
	return out
}

// A turn is an item that goes on when there is something in its own channel,
// and then puts something into that of the next item.
type turn[T any] struct {
	item      T
	own, next chan struct{}
	spare     chan<- chan struct{}
}

// pass lets the next item go on.
func (t *turn[T]) pass() {
	t.spare <- t.own
	t.next <- struct{}{}
}

// inTurns chains up items that n goroutines work on. The channels of those that
// went on are used again, so no item allocates one.
func inTurns[T any](in <-chan T, n int, j joint) <-chan turn[T] {
	spare := make(chan chan struct{}, j.buffer+n+1)
	for range cap(spare) {
		spare <- make(chan struct{}, 1)
	}
	turns := make(chan turn[T], j.buffer)
	go func() {
		defer close(turns)
		next := <-spare
		next <- struct{}{} // the first one waits for nobody
		for item := range in {
			own := next
			next = <-spare
			turns <- turn[T]{item, own, next, spare}
		}
	}()
	return turns
}

// gathered makes batches of values. An error goes on alone.
func gathered[T any](in <-chan try[T], size int, j joint) <-chan try[[]T] {
	out := make(chan try[[]T], j.buffer)
	go func() {
		defer close(out)
		var batch []T
		for t := range in {
			if t.err != nil {
				out <- try[[]T]{err: t.err}
				continue
			}
			if batch == nil {
				batch = make([]T, 0, size)
			}
			if batch = append(batch, t.value); len(batch) == size {
				out <- try[[]T]{value: batch}
				batch = nil
			}
		}
		if batch != nil {
			out <- try[[]T]{value: batch}
		}
	}()
	return out
}

// scattered takes batches apart.
func scattered[T any](in <-chan try[[]T], j joint) <-chan try[T] {
	out := make(chan try[T], j.buffer)
	go func() {
		defer close(out)
		for t := range in {
			if t.err != nil {
				out <- try[T]{err: t.err}
				continue
			}
			for _, x := range t.value {
				out <- try[T]{value: x}
			}
		}
	}()
	return out
}

func passChannels(j joint) opening {
	return func(s stages) (passage, func()) {
		return func(inputs iter.Seq[int], yield func(int)) error {
			c := sent(inputs, j)
			for _, workers := range s.workers {
				c = mapped(c, workers, s.fn, j)
			}
			return received(c, yield)
		}, nothing
	}
}

// passStreams has a stream for each stage, which sends its results to the next
// one in order.
func passStreams(s stages) (passage, func()) {
	return func(inputs iter.Seq[int], yield func(int)) error {
		c := sent(inputs, joint{buffer: s.workers[0]})
		for _, workers := range s.workers {
			in, out := c, make(chan try[int], workers)
			go func() {
				defer close(out)
				st := stream.New().WithMaxGoroutines(workers)
				for t := range in {
					st.Go(func() stream.Callback {
						u := applied(t, s.fn)
						return func() { out <- u }
					})
				}
				st.Wait()
			}()
			c = out
		}
		return received(c, yield)
	}, nothing
}

// passPlain is the least that can be done with goroutines and channels: there
// are no errors and is no order, unless a stage has a single worker.
func passPlain(s stages) (passage, func()) {
	return func(inputs iter.Seq[int], yield func(int)) error {
		const buffer = 64
		entry := make(chan int, buffer)
		go func() {
			defer close(entry)
			for x := range inputs {
				entry <- x
			}
		}()
		in := entry
		for _, workers := range s.workers {
			from, to := in, make(chan int, max(buffer, workers))
			joined(workers, func() {
				for x := range from {
					v, _ := s.fn(x)
					to <- v
				}
			}, to)
			in = to
		}
		for v := range in {
			yield(v)
		}
		return nil
	}, nothing
}
