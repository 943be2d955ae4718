package pipeline

import (
	"context"
	"fmt"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/errtext"
)

// The sentinel errors of this package. Match them with [errors.Is].
var (
	// ErrSkipped is returned by a stage's function to take the item out of the
	// pipeline without a failure; [Filter] does. It settles the future of a
	// fed item of which nothing came out.
	ErrSkipped error = sentinel("the item was skipped")

	// ErrNoRoute fails an item that no case of a [Route] takes.
	ErrNoRoute error = sentinel("no case of the route takes the item")

	// ErrClosed settles what is fed after [Run.Close].
	ErrClosed error = sentinel("the run is closed")

	// ErrStopped is the cause of the cancellation by [Run.Stop].
	ErrStopped error = sentinel("the run was stopped")
)

// sentinel is the type of the package's sentinel errors.
type sentinel string

func (s sentinel) Error() string { return errtext.Prefix + string(s) }

// An Item tells an item's identity. The parts that [FlatMap], [Tee] and
// [Unbatch] make of an item have the identity of that.
type Item struct {
	// ID is the number of the input, from 0 in the order in which the inputs
	// were pulled or fed. A batch has that of the first item in it.
	ID uint64

	// Key is what [Key] makes of the input, or what it was fed with by
	// [WithKey]; empty without these. A batch has that of the first item.
	Key string

	// Members are the IDs of the inputs in a batch; nil for other items.
	Members []uint64
}

// String names the item by its key, or by its number where it has none: item
// "key", or item 7.
func (i Item) String() string {
	text := fmt.Sprintf("item %d", i.ID)
	if i.Key != "" {
		text = fmt.Sprintf("item %q", i.Key)
	}
	if n := len(i.Members); n > 1 {
		text += fmt.Sprintf(" and %d more", n-1)
	}
	return text
}

// An ItemError is the failure of an item in a stage. Unwrap gives the error of
// the stage's function; after retries that is inside of an
// [*antflow.RetryError].
type ItemError struct {
	Stage    string // where it failed; empty: between stages
	Item     Item
	Attempts int // how often the stage's function was called
	Err      error

	// Input is what was fed, in a run of [Pipeline.Start]; nil in others.
	Input any

	// Visits is the item's history, the failed visit last, where it is kept:
	// in runs of [Pipeline.Start], of [Results], and with [OnEvent].
	Visits []Visit
}

// Error names the stage, the item and the error.
func (e *ItemError) Error() string {
	where := ""
	if e.Stage != "" {
		where = fmt.Sprintf("stage %q: ", e.Stage)
	}
	return errtext.Prefix + where + e.Item.String() + ": " + errtext.Bare(e.Err)
}

// Unwrap returns the error of the stage's function.
func (e *ItemError) Unwrap() error { return e.Err }

// endError carries the error and the cause of an ended context.
type endError struct{ err, cause error }

func (e *endError) Error() string {
	return errtext.Prefix + errtext.Bare(e.err) + ": " + errtext.Bare(e.cause)
}
func (e *endError) Unwrap() []error { return []error{e.err, e.cause} }

// endOf is the error of the ended ctx, with its cause where the two differ.
func endOf(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if cause == nil || cause == err {
		return err
	}
	return &endError{err, cause}
}

// waitErr is what ends a wait whose context has ended.
func waitErr(ctx context.Context) error { return &antflow.WaitError{Err: endOf(ctx)} }

// cancelError is the cancellation of an item. It Is [antflow.ErrCanceled],
// [context.Canceled] or the ended context's error, and the cause.
type cancelError struct {
	err, cause error
	fnErr      error // what the stage's function returned, or nil
}

func (c *cancelError) Error() string {
	text := errtext.Prefix + errtext.Bare(antflow.ErrCanceled)
	switch {
	case c.cause != nil && c.cause != c.err:
		text += ": " + errtext.Bare(c.cause)
	case c.err != context.Canceled:
		text += ": " + errtext.Bare(c.err)
	}
	return text
}

func (c *cancelError) Is(target error) bool { return target == antflow.ErrCanceled }

func (c *cancelError) Unwrap() []error {
	errs := []error{c.err}
	for _, err := range [...]error{c.cause, c.fnErr} {
		if err != nil && err != c.err {
			errs = append(errs, err)
		}
	}
	return errs
}

// with is c with what the stage's function returned.
func (c *cancelError) with(fnErr error) *cancelError {
	return &cancelError{err: c.err, cause: c.cause, fnErr: fnErr}
}

// reason is the cause for a context that ends with the item.
func (c *cancelError) reason() error {
	if c.cause != nil {
		return c.cause
	}
	return c.err
}

// canceledBy is the cancellation by the ended ctx.
func canceledBy(ctx context.Context) *cancelError {
	return &cancelError{err: ctx.Err(), cause: context.Cause(ctx)}
}
