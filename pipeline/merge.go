package pipeline

import (
	"iter"
	"sync"
)

// Merge returns a sequence of the values of all sequences, as they come: each
// is pulled on a goroutine of its own, and none waits for another one. It blocks
// for the next value. Leaving the loop ends the pulling, each at its next step.
// A panic of a sequence is raised in the loop. It is a source for
// [Pipeline.Run]. A nil sequence panics.
func Merge[T any](seqs ...iter.Seq[T]) iter.Seq[T] {
	for i, s := range seqs {
		must(s != nil, "Merge: the sequence at index %d is nil", i)
	}
	return func(yield func(T) bool) {
		values := make(chan T)
		left := make(chan struct{})
		faults := make(chan *fault, len(seqs))
		var pulling sync.WaitGroup
		for _, s := range seqs {
			pulling.Add(1)
			go func() {
				defer pulling.Done()
				returned := false
				defer func() {
					if !returned {
						v := recover()
						faults <- &fault{value: v, exit: v == nil}
					}
				}()
				s(func(v T) bool {
					select {
					case values <- v:
						return true
					case <-left:
						return false
					}
				})
				returned = true
			}()
		}
		ended := make(chan struct{})
		go func() {
			pulling.Wait()
			close(ended)
		}()
		defer close(left)
		for {
			select {
			case v := <-values:
				if !yield(v) {
					return
				}
			case ft := <-faults:
				ft.raise()
			case <-ended:
				select {
				case ft := <-faults:
					ft.raise()
				default:
				}
				return
			}
		}
	}
}
