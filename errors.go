package antflow

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/antflow/antflow/internal/errtext"
)

// The sentinel errors of this package. Match them with [errors.Is].
var (
	// ErrShutdown settles a task that the executor no longer accepted, or that
	// a shutdown canceled; it also ends the iterators of a shut-down executor.
	ErrShutdown error = sentinel("the executor is shut down")

	// ErrQueueFull settles a [NonBlocking] task that met a full queue.
	ErrQueueFull error = sentinel("the queue is full")

	// ErrQueueTimeout settles a task whose [QueueTimeout] passed before its
	// first attempt started.
	ErrQueueTimeout error = sentinel("the queue timeout passed before the task started")

	// ErrGoexit settles a task whose function called [runtime.Goexit], as
	// [testing.T.FailNow] does.
	ErrGoexit error = sentinel("the task called runtime.Goexit")

	// ErrCanceled is matched by every cancellation of a task: by
	// [Future.Cancel], by the end of its context and by a shutdown.
	ErrCanceled error = sentinel("canceled")
)

// prefix starts the message of each error of this package.
const prefix = errtext.Prefix

// sentinel is the type of the package's sentinel errors.
type sentinel string

func (s sentinel) Error() string { return prefix + string(s) }
func (s sentinel) bare() string  { return string(s) }

// bareError is an error of this package: its text without the prefix, for the
// message of an error that wraps it and has the prefix already.
type bareError interface {
	error
	bare() string
}

// bareText is the text of err inside a message that has the prefix. Only the
// module's own errors lose theirs; a user's text stays as it is.
func bareText(err error) string {
	if b, ok := err.(bareError); ok {
		return b.bare()
	}
	return errtext.Bare(err)
}

// plainError is an error of this package that nobody needs to match.
type plainError string

func (p plainError) Error() string { return prefix + string(p) }
func (p plainError) bare() string  { return string(p) }

// A PanicError is the error of a task whose function panicked, or whose
// RetryIf or Backoff did. Format it with %+v to have the stack as well.
type PanicError struct {
	Value any    // what was passed to panic
	Stack []byte // of the panicking goroutine, as by [runtime/debug.Stack]
}

// Error names the panic's value in one line, without the stack.
func (p *PanicError) Error() string { return prefix + p.bare() }
func (p *PanicError) bare() string {
	if err, ok := p.Value.(error); ok {
		return "panic: " + bareText(err)
	}
	return fmt.Sprintf("panic: %v", p.Value)
}

// Unwrap returns the panic's value when that is an error, else nil.
func (p *PanicError) Unwrap() error {
	err, _ := p.Value.(error)
	return err
}

// Format writes the message; with %+v the stack follows.
func (p *PanicError) Format(s fmt.State, verb rune) {
	switch verb {
	case 'q':
		io.WriteString(s, strconv.Quote(p.Error()))
	case 'v', 's':
		io.WriteString(s, p.Error())
		if verb == 'v' && s.Flag('+') {
			io.WriteString(s, "\n\n")
			s.Write(p.Stack)
		}
	default:
		fmt.Fprintf(s, "%%!%c(*antflow.PanicError=%s)", verb, p.Error())
	}
}

// A RetryError is the error of a task that failed after at least one retry.
type RetryError struct {
	Attempts int   // how often the task ran
	Err      error // the error of the last attempt
}

// Error tells the number of attempts and the last error.
func (r *RetryError) Error() string { return prefix + r.bare() }
func (r *RetryError) bare() string {
	return fmt.Sprintf("failed after %d attempts: %s", r.Attempts, bareText(r.Err))
}

// Unwrap returns the error of the last attempt.
func (r *RetryError) Unwrap() error { return r.Err }

// An ItemError is the failure of one input of [Map], [Map2], [MapUnordered],
// [MapSlice] or [ForEach].
type ItemError struct {
	Index int   // the input's place, from 0
	Err   error // the error of its task
}

// Error names the item's index and its error.
func (i *ItemError) Error() string { return prefix + i.bare() }
func (i *ItemError) bare() string  { return fmt.Sprintf("item %d: %s", i.Index, bareText(i.Err)) }

// Unwrap returns the error of the item's task.
func (i *ItemError) Unwrap() error { return i.Err }

// ItemErrors returns every [*ItemError] in the tree of err, in the order of
// their indexes; nil when there is none. An ItemError inside another one's Err
// belongs to a nested call and is not listed.
func ItemErrors(err error) []*ItemError {
	var found []*ItemError
	collectItems(err, &found)
	slices.SortStableFunc(found, func(a, b *ItemError) int { return cmp.Compare(a.Index, b.Index) })
	return found
}

func collectItems(err error, found *[]*ItemError) {
	switch e := err.(type) {
	case nil:
	case *ItemError:
		*found = append(*found, e)
	case interface{ Unwrap() error }:
		collectItems(e.Unwrap(), found)
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			collectItems(inner, found)
		}
	}
}

// A WaitError says that a wait ended before what it waited for: its context
// ended, or the next result took longer than [ResultTimeout]. The tasks
// waited for go on. It matches both the Err and the Cause of the context, and
// never comes from a task's own deadline.
type WaitError struct {
	Err error // what ended the wait
}

// Error tells what ended the wait.
func (w *WaitError) Error() string { return prefix + w.bare() }
func (w *WaitError) bare() string  { return "wait ended: " + bareText(w.Err) }

// Unwrap returns what ended the wait.
func (w *WaitError) Unwrap() error { return w.Err }

// waitErr is the WaitError of the ended ctx; detail, when not empty, says
// what was left.
func waitErr(ctx context.Context, detail string) *WaitError {
	return &WaitError{Err: endOf(ctx, detail)}
}

// endOf is the error of the ended ctx: its Err, with its Cause where the two
// differ, and a detail in front.
func endOf(ctx context.Context, detail string) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if detail == "" && (cause == nil || cause == err) {
		return err
	}
	return &endError{detail: detail, err: err, cause: cause}
}

// endError carries the error and the cause of an ended context.
type endError struct {
	detail     string
	err, cause error
}

func (e *endError) Error() string { return prefix + e.bare() }
func (e *endError) bare() string {
	text := bareText(e.err)
	if e.cause != nil && e.cause != e.err {
		text += ": " + bareText(e.cause)
	}
	if e.detail != "" {
		text = e.detail + ": " + text
	}
	return text
}
func (e *endError) Unwrap() []error { return nonNil(e.err, e.cause) }

// cancelError is the cancellation of a task. It Is ErrCanceled, the error and
// the cause of the context that ended, and what the function returned.
type cancelError struct {
	err   error // context.Canceled or the ended context's Err
	cause error // the context's cause, ErrShutdown, or nil
	fnErr error // what the last attempt returned, or nil
}

func (c *cancelError) Error() string { return prefix + c.bare() }
func (c *cancelError) bare() string {
	text := bareText(ErrCanceled)
	switch {
	case c.cause != nil && c.cause != c.err:
		text += ": " + bareText(c.cause)
	case c.err != context.Canceled:
		text += ": " + bareText(c.err)
	}
	if c.fnErr != nil && !errors.Is(c.err, c.fnErr) && !errors.Is(c.cause, c.fnErr) {
		text += ": the task returned: " + bareText(c.fnErr)
	}
	return text
}
func (c *cancelError) Is(target error) bool { return target == ErrCanceled }
func (c *cancelError) Unwrap() []error      { return nonNil(c.err, c.cause, c.fnErr) }

// with is c with what the function returned.
func (c *cancelError) with(fnErr error) *cancelError {
	if fnErr == nil {
		return c
	}
	return &cancelError{err: c.err, cause: c.cause, fnErr: fnErr}
}

// The cancellations that need nothing from the run.
var (
	askedByCancel   = &cancelError{err: context.Canceled}
	askedByShutdown = &cancelError{err: context.Canceled, cause: ErrShutdown}
)

// canceledBy is the cancellation by the ended ctx.
func canceledBy(ctx context.Context) *cancelError {
	c := &cancelError{err: ctx.Err()}
	if cause := context.Cause(ctx); cause != c.err {
		c.cause = cause
	}
	return c
}

func nonNil(errs ...error) []error {
	kept := errs[:0]
	for _, err := range errs {
		if err != nil {
			kept = append(kept, err)
		}
	}
	return kept
}

// Permanent marks err, returned by a task, as one that must not be retried,
// whatever RetryIf says. It is found anywhere in the chain of the returned
// error, and taken off again where it is outermost, so that the future fails
// with err itself. Permanent(nil) is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

type permanentError struct{ err error }

func (p *permanentError) Error() string { return p.err.Error() }
func (p *permanentError) bare() string  { return bareText(p.err) }
func (p *permanentError) Unwrap() error { return p.err }

// RetryAfter marks err, returned by a task, as one to retry after exactly d
// instead of the task's own schedule, for example the Retry-After of an HTTP
// answer; with d ≤ 0 at once. It grants no further attempts, and a RetryIf
// that says no wins. It is found anywhere in the chain of the returned error,
// and taken off again where it is outermost. RetryAfter(nil, d) is nil.
func RetryAfter(err error, d time.Duration) error {
	if err == nil {
		return nil
	}
	return &retryAfterError{err, d}
}

type retryAfterError struct {
	err error
	d   time.Duration
}

func (r *retryAfterError) Error() string { return r.err.Error() }
func (r *retryAfterError) bare() string  { return bareText(r.err) }
func (r *retryAfterError) Unwrap() error { return r.err }

// stripMarks takes Permanent and RetryAfter off where they are outermost.
func stripMarks(err error) error {
	for {
		switch m := err.(type) {
		case *permanentError:
			err = m.err
		case *retryAfterError:
			err = m.err
		default:
			return err
		}
	}
}
