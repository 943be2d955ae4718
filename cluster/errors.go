package cluster

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/antflow/antflow"
)

// The errors of this package that can be matched with [errors.Is]. They are
// results of tasks, like any other error, unless they say otherwise.
var (
	// ErrNoHandler fails a task whose worker has no handler of that name.
	ErrNoHandler error = sentinel("the worker has no handler for the task")

	// ErrDecode fails a task whose input, or result, doesn't decode.
	ErrDecode error = sentinel("the payload does not decode")

	// ErrSchema fails a task whose message is of a version that the worker, or
	// the client, doesn't know.
	ErrSchema error = sentinel("the message is of another version")

	// ErrCrashed fails a task that took its workers down with it too often; see
	// [MostCrashes].
	ErrCrashed error = sentinel("the workers died with the task")

	// ErrLost fails a future whose task is on the broker no more, and has no
	// result there: somebody purged the stream, or the result was older than
	// [Retention] when it was asked for.
	ErrLost error = sentinel("the broker has neither the task nor its result")

	// ErrDetached fails the futures of a client that was detached; see
	// [Client.Detach]. Their tasks go on.
	ErrDetached error = sentinel("the client was detached before the result came")
)

const prefix = "antflow: cluster: "

type sentinel string

func (s sentinel) Error() string { return prefix + string(s) }

// An opError is an error of this package, with what it Is.
type opError struct {
	text string
	errs []error
}

func (e *opError) Error() string   { return prefix + e.text }
func (e *opError) Unwrap() []error { return e.errs }

// failure is an error of this package with that text; the errors among the
// arguments are what it Is, and are put in without the prefix.
func failure(format string, args ...any) error {
	e := new(opError)
	for i, a := range args {
		if err, ok := a.(error); ok {
			e.errs = append(e.errs, err)
			args[i] = bare(err)
		}
	}
	e.text = fmt.Sprintf(format, args...)
	return e
}

// bare is the text of err without the prefix, if it is an error of this module.
func bare(err error) string {
	text := err.Error()
	t := reflect.TypeOf(err)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if path := t.PkgPath(); path != module && !strings.HasPrefix(path, module+"/") {
		return text
	}
	return strings.TrimPrefix(strings.TrimPrefix(text, prefix), "antflow: ")
}

const module = "github.com/antflow/antflow"

// A RemoteError is an error of a task that was returned in another process, and
// is of a type that this one doesn't know. What it wrapped is found in it by
// [errors.Is] and [errors.As], as far as that is known. See [ErrorType] and
// [ErrorValue] for having the errors themselves.
type RemoteError struct {
	Type string // the Go type over there, such as "*fs.PathError"
	Text string // what its Error method said

	inner []error
	is    []error // what its method Is accepts over there
}

// Error is the text of the error over there.
func (e *RemoteError) Error() string { return e.Text }

// Is reports whether the error over there said that it is target, as far as that
// is one of the known values.
func (e *RemoteError) Is(target error) bool {
	for _, v := range e.is {
		if v == target {
			return true
		}
	}
	return false
}

// Unwrap returns what it wrapped.
func (e *RemoteError) Unwrap() []error { return e.inner }

// must panics with the package's prefix when the caller broke a rule of the
// API; the message names the value.
func must(ok bool, format string, args ...any) {
	if !ok {
		panic(prefix + fmt.Sprintf(format, args...))
	}
}

var _ antflow.Runner = (*Client)(nil)
