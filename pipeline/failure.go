package pipeline

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/errtext"
)

// A FailureGroup is the failures of one kind at one stage.
type FailureGroup struct {
	Stage string
	Kind  string // as [antflow.ErrorKind]
	Count uint64
	First *ItemError // the first of them, in time
	Since time.Time  // its time
	Last  time.Time  // the time of the latest
	Items []Item     // the first 10, in time
}

const (
	mostGroups   = 256 // the rest is in one group
	mostItems    = 10  // in a group
	mostFailures = 1024
)

// failures are the failed items of a run, in a bounded form.
type failures struct {
	groups  map[groupKey]*FailureGroup
	order   []*FailureGroup
	keep    int
	letters []*ItemError // those that nobody has taken yet, the oldest first
	dropped uint64
	wake    chan struct{} // closed with the next one, or at the end
}

type groupKey struct{ stage, kind string }

// add notes a failure.
func (f *failures) add(err *ItemError, kind string, now time.Time) {
	k := groupKey{err.Stage, kind}
	g := f.groups[k]
	if g == nil && len(f.order) >= mostGroups {
		k = groupKey{kind: "other"}
		g = f.groups[k]
	}
	if g == nil {
		g = &FailureGroup{Stage: k.stage, Kind: k.kind, First: err, Since: now}
		if f.groups == nil {
			f.groups = make(map[groupKey]*FailureGroup)
		}
		f.groups[k] = g
		f.order = append(f.order, g)
	}
	g.Count++
	g.Last = now
	if len(g.Items) < mostItems {
		g.Items = append(g.Items, err.Item)
	}
}

// letterLocked keeps the failure of an input that was fed.
func (e *engine) letterLocked(o *origin) {
	f := &e.failures
	err, ok := o.errs[0].(*ItemError)
	if !ok {
		return
	}
	if len(f.letters) >= f.keep {
		f.dropped++
		if f.keep == 0 {
			return
		}
		f.letters[0] = nil
		f.letters = f.letters[1:]
	}
	letter := *err
	letter.Input = o.input
	f.letters = append(f.letters, &letter)
	if f.wake != nil {
		e.later.closes, e.later.any = append(e.later.closes, f.wake), true
		f.wake = nil
	}
}

// Failures returns the failures so far by stage and kind, the most frequent
// first. There are 256 groups at most; what exceeds that is in one of its own.
func (m *Monitor) Failures() []FailureGroup {
	e := m.e.Load()
	if e == nil {
		return nil
	}
	e.mu.Lock()
	defer e.unlock()
	groups := make([]FailureGroup, len(e.failures.order))
	for i, g := range e.failures.order {
		groups[i] = *g
		groups[i].Items = slices.Clone(g.Items)
	}
	slices.SortStableFunc(groups, func(a, b FailureGroup) int {
		switch {
		case a.Count > b.Count:
			return -1
		case a.Count < b.Count:
			return 1
		}
		return 0
	})
	return groups
}

// DeadLetterLimit is how many failed inputs a run keeps for
// [Run.DeadLetters] until they are taken; the default is 1024. Beyond that the
// oldest are dropped. 0 keeps none. A negative n panics.
func DeadLetterLimit(n int) RunOption {
	must(n >= 0, "DeadLetterLimit(%d): the number of items must not be negative", n)
	return runOption(func(s *settings) { s.letters = n })
}

// DeadLetters returns an iterator over the failed inputs, the oldest first; one
// of which several parts failed is there once, with the first failure, and the
// members of a batch that failed are there one by one. It
// takes them: each is yielded once, by whichever loop comes first. It blocks
// for the next one until the run is over or ctx ends, and then returns; so it is
// for a goroutine of its own, or for the time after [Run.Close], and to feed them
// once more takes another run then. At most
// [DeadLetterLimit] are kept for it; [Run.Dropped] tells whether more were
// there. Called with a task's context it lends the task's slot while it blocks.
//
// The input is the one that was given to [Run.Feed], the zero value for one that
// came by [FeedAt]; [ItemError.Input] has that. A nil ctx panics.
func (r *Run[In, Out]) DeadLetters(ctx context.Context) iter.Seq2[In, *ItemError] {
	must(r != nil, "DeadLetters: the run is nil")
	must(ctx != nil, "DeadLetters(nil): the context must not be nil")
	return func(yield func(In, *ItemError) bool) {
		for {
			err := r.e.nextLetter(ctx)
			if err == nil {
				return
			}
			in, _ := err.Input.(In)
			if !yield(in, err) {
				return
			}
		}
	}
}

// Dropped is how many failed inputs were dropped because nobody took them; see
// [DeadLetterLimit].
func (r *Run[In, Out]) Dropped() uint64 {
	must(r != nil, "Dropped: the run is nil")
	r.e.mu.Lock()
	defer r.e.unlock()
	return r.e.failures.dropped
}

// nextLetter takes the oldest failed item, or waits for one; nil at the end.
func (e *engine) nextLetter(ctx context.Context) *ItemError {
	f := &e.failures
	for {
		e.mu.Lock()
		if len(f.letters) > 0 {
			err := f.letters[0]
			f.letters[0] = nil
			f.letters = f.letters[1:]
			e.unlock()
			return err
		}
		over := e.over
		if f.wake == nil {
			f.wake = make(chan struct{})
		}
		wake := f.wake
		e.unlock()
		if over || ctx.Err() != nil {
			return nil
		}
		antflow.Blocking(ctx, func() error {
			select {
			case <-wake:
			case <-e.done:
			case <-ctx.Done():
			}
			return nil
		})
	}
}

// A StepError is the error of a function made by [Step], and names it.
type StepError struct {
	Step string
	Err  error
}

// Error names the step and the error.
func (s *StepError) Error() string {
	return fmt.Sprintf("%sstep %q: %s", errtext.Prefix, s.Step, errtext.Bare(s.Err))
}

// Unwrap returns the error of the step's function.
func (s *StepError) Unwrap() error { return s.Err }
