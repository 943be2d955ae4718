package antflow_test

import (
	"context"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/testkit"
)

// A map that a task ranges over lends its slot while it waits, and at no other
// time: not while it has a result to work on and its feeder blocks.
func TestTaskMapLends(t *testing.T) {
	for _, nested := range []bool{false, true} {
		testkit.Bubble(t, func(t *testing.T) {
			e := antflow.New(1)
			books := e
			if !nested {
				books = antflow.New(100, antflow.QueueLimit(1))
			}
			for name, r := range map[string]antflow.Runner{"forwarded": &forward{to: books}, "elsewhere": newFarm(books, nap)} {
				parent := antflow.Submit(t.Context(), e, func(ctx context.Context) (n int, err error) {
					for _, err := range nap.Map(ctx, r, slices.Values([]int{1, 1, 1}), antflow.Window(3)) {
						n++
						synctest.Wait()
						if s := e.Stats(); err != nil || s.Running < 1 || s.Blocked != 0 {
							t.Errorf("%s: %v, in the loop: %+v", name, err, s)
						}
					}
					return n, nil
				})
				if _, err := e.Go(t.Context(), sleep(time.Millisecond)).Result(t.Context()); err != nil || parent.IsDone() {
					t.Errorf("%s: the map kept the slot: %v", name, err)
				}
				if n, err := parent.Result(t.Context()); n != 3 || err != nil {
					t.Errorf("%s: %d, %v", name, n, err)
				}
				rest(t, e)
			}
			// Its feeder is held up while the loop works: that lends nothing.
			if !nested {
				h := newByHand(books)
				f := e.Go(t.Context(), func(ctx context.Context) error {
					for range doubling.Map(ctx, h, slices.Values([]int{1, 2, 3, 4})) {
						synctest.Wait()
						if s := e.Stats(); s.Running != 1 || s.Blocked != 0 {
							t.Errorf("in the loop: %+v", s)
						}
						break
					}
					return nil
				})
				call := <-h.calls
				call.Started(1)
				second := <-h.calls // with which the queue is full
				synctest.Wait()
				call.Settle(value(2))
				f.Result(t.Context())
				synctest.Wait() // for the third, whose Submit blocks, to give up
				second.Settle(antflow.RemoteEnd{Canceled: true})
				rest(t, e)
			}
			books.Close()
			e.Close()
		})
	}
}

// Inputs and results go as they are yielded, and nothing is left of a map whose
// loop was left.
func TestTaskMapLeavesNothing(t *testing.T) {
	testkit.NoLeak(t)
	type big [1 << 16]byte
	e := antflow.New(2)
	var inputs, results [3]weak.Pointer[big]
	task := antflow.NewTask("t", func(ctx context.Context, in *big) (*big, error) {
		if in == nil {
			return nil, testkit.Sleep(ctx, time.Hour)
		}
		return new(big), nil
	})
	source := func(yield func(*big) bool) {
		for i := 0; ; i++ {
			var in *big
			if i < len(inputs) {
				in = new(big)
				inputs[i] = weak.Make(in)
			}
			if !yield(in) {
				return
			}
		}
	}
	n := 0
	for v := range task.Map(t.Context(), &forward{to: e}, source, antflow.Window(4)) {
		results[n] = weak.Make(v)
		if n++; n == len(results) {
			break
		}
	}
	for i := 0; i < 1000 && slices.ContainsFunc(slices.Concat(inputs[:], results[:]), func(p weak.Pointer[big]) bool { return p.Value() != nil }); i++ {
		runtime.GC()
		runtime.Gosched()
	}
	for i := range 3 {
		if inputs[i].Value() != nil || results[i].Value() != nil {
			t.Errorf("of item %d is kept: the input: %v, the result: %v", i, inputs[i].Value() != nil, results[i].Value() != nil)
		}
	}
	e.Close()
}
