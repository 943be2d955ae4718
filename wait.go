package antflow

import (
	"context"
	"fmt"
	"iter"
	"slices"
)

// ReturnWhen says when [Wait] returns.
type ReturnWhen int

const (
	AllCompleted   ReturnWhen = iota // every future is done
	FirstCompleted                   // at least one is
	FirstError                       // one has failed, which a cancellation is not; or all are done
	FirstSuccess                     // one has succeeded; or all are done
)

// String returns the constant's name.
func (r ReturnWhen) String() string {
	switch r {
	case AllCompleted:
		return "AllCompleted"
	case FirstCompleted:
		return "FirstCompleted"
	case FirstError:
		return "FirstError"
	case FirstSuccess:
		return "FirstSuccess"
	}
	return fmt.Sprintf("ReturnWhen(%d)", int(r))
}

// Waitable is a *[Future] of any type, for lists of several types. No other
// type implements it.
type Waitable interface {
	Done() <-chan struct{}
	IsDone() bool
	Err() error
	State() State
	Cancel() bool
	ID() uint64
	asTask() *task
}

// distinct returns the futures without duplicates. Where the numbers only go
// up, there are none: tasks of an executor in the order of submission, promises
// in the order in which they were made. That is the common case, and needs no
// set.
func distinct[F Waitable](name string, futures []F) []F {
	sorted := true
	var last uint64
	for i, f := range futures {
		var t *task
		if any(f) != nil {
			t = f.asTask()
		}
		if t == nil {
			must(false, "%s: the future at index %d is nil", name, i)
		}
		sorted = sorted && (i == 0 || t.id > last)
		last = t.id
	}
	if sorted {
		return futures
	}
	seen := make(map[*task]struct{}, len(futures))
	kept := make([]F, 0, len(futures))
	for _, f := range futures {
		t := f.asTask()
		if _, twice := seen[t]; !twice {
			seen[t] = struct{}{}
			kept = append(kept, f)
		}
	}
	return kept
}

// partition looks at each future once. It returns a list with those that are
// done first in their order, and after them the others, the last one first.
func partition[F Waitable](futures []F) ([]F, tally) {
	list := make([]F, len(futures))
	var t tally
	end := len(list)
	for _, f := range futures {
		if s := f.asTask().State(); s.final() {
			list[t.done] = f
			t.add(s)
		} else {
			end--
			list[end] = f
		}
	}
	return list, t
}

// Wait blocks until the condition of when holds for the futures, or ctx ends,
// and returns which are done and which are not, both in the order of the
// input; duplicates count once. When ctx ends before the condition holds, err
// is a [*WaitError] and the lists are the true split all the same, so an ended
// ctx polls. Nothing is canceled. An empty list returns at once. Called with a
// task's context it lends the task's slot while it blocks.
//
// It costs O(n), starts no goroutine, and leaves nothing on the futures. A nil
// ctx or future and an unknown when panic. It is concurrent.futures' wait.
func Wait[F Waitable](ctx context.Context, futures []F, when ReturnWhen) (done, pending []F, err error) {
	must(ctx != nil, "Wait: the context must not be nil")
	must(when >= AllCompleted && when <= FirstSuccess, "Wait: unknown %v", when)
	fs := distinct("Wait", futures)
	g := goal{done: len(fs), failed: when == FirstError, success: when == FirstSuccess}
	if when == FirstCompleted {
		g.done = min(1, len(fs))
	}
	return waitFor(ctx, fs, g)
}

// WaitN is [Wait] until n futures are done. n ≤ 0 returns at once, and an n
// larger than the list means all.
func WaitN[F Waitable](ctx context.Context, futures []F, n int) (done, pending []F, err error) {
	must(ctx != nil, "WaitN: the context must not be nil")
	fs := distinct("WaitN", futures)
	return waitFor(ctx, fs, goal{done: max(0, min(n, len(fs)))})
}

func waitFor[F Waitable](ctx context.Context, fs []F, g goal) (done, pending []F, err error) {
	list, t := partition(fs)
	if !g.reached(t) && ctx.Err() == nil {
		l := awaitGoal(ctx, list[t.done:], t.done, g)
		list, t = partition(fs) // decided before the slot is taken back
		l.end()
	}
	slices.Reverse(list[t.done:])
	done, pending = split(list, t.done)
	if !g.reached(t) {
		err = waitErr(ctx, fmt.Sprintf("%d of %s unfinished", len(pending), plural(len(fs), "future")))
	}
	return done, pending, err
}

// split cuts a list into two that don't keep each other's futures.
func split[F any](list []F, at int) (head, tail []F) {
	switch {
	case len(list) == 0:
		return nil, nil
	case at == len(list):
		return list, nil
	case at == 0:
		return nil, list
	}
	return slices.Clone(list[:at]), slices.Clone(list[at:])
}

// AsCompleted returns an iterator over the futures in the order in which they
// finish, those already done first, each once. It blocks for the next one.
// When ctx ends first it yields what is done by then and at last a nil future
// with a [*WaitError] that tells how many were left. Nothing is canceled, and
// leaving the loop early leaves nothing behind. Called with a task's context
// it lends the task's slot while it blocks, and has one again in the loop's
// body.
//
// It costs O(n) in all and starts no goroutine. The iterator may be ranged
// over again. A nil ctx or future panics. It is concurrent.futures'
// as_completed, with one deadline for the whole.
func AsCompleted[F Waitable](ctx context.Context, futures []F) iter.Seq2[F, error] {
	must(ctx != nil, "AsCompleted: the context must not be nil")
	fs := distinct("AsCompleted", futures)
	if len(fs) > 0 && &fs[0] == &futures[0] {
		fs = slices.Clone(fs) // the caller may change its list in the loop
	}
	return func(yield func(F, error) bool) {
		// What has been yielded is dropped from the list of this range.
		ctx, yield := ctx, yield
		list, t := partition(fs)
		pending := list[t.done:]
		left := len(list)
		c := &collector{wake: make(chan struct{}, 1), lends: attemptOf(ctx) != nil, queue: true}
		watch(c, pending)
		defer func() {
			if left > 0 {
				unwatch(c, pending)
			}
		}()
		var none F
		for i, f := range list[:t.done] {
			list[i] = none
			left--
			if !yield(f, nil) {
				return
			}
		}
		var b *boost
		boost := func(a *attempt) *boost {
			if b == nil {
				b = boostOf(a, c, pending)
			}
			return b
		}
		var ready []int
		for next := 0; left > 0; next++ {
			if next == len(ready) {
				ready, next = c.wait(ctx, ready, boost), 0
			}
			if len(ready) == 0 {
				detail := fmt.Sprintf("%d of %s unfinished", left, plural(len(list), "future"))
				yield(none, waitErr(ctx, detail))
				return
			}
			i := ready[next]
			f := pending[i]
			pending[i] = none
			c.yielded[i] = true
			left--
			if !yield(f, nil) {
				return
			}
		}
	}
}

// wait blocks until a future is done, or ctx ends, and returns the indexes of
// those that are, in the room of used. The boost is made for the first wait
// that lends and used again in the ones that follow, which would otherwise
// cost O(n) each.
func (c *collector) wait(ctx context.Context, used []int, boost func(*attempt) *boost) []int {
	ready := c.take(used, nil)
	if len(ready) > 0 || ctx.Err() != nil {
		return ready
	}
	var l *lease
	if a := attemptOf(ctx); a != nil {
		l = a.newLease(boost(a))
		defer l.end()
	}
	if ready = c.take(ready, l); len(ready) > 0 {
		return ready
	}
	l.begin()
	for {
		select {
		case <-c.wake: // perhaps left over from an earlier wait
		case <-ctx.Done():
			return c.take(ready, nil)
		}
		if ready = c.take(ready, l); len(ready) > 0 {
			return ready
		}
	}
}
