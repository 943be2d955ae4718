package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/antflow/antflow"
)

// A wireError is an error on its way to another process: a tree of what wraps
// what, where the kinds say how to build each node again.
type wireError struct {
	Kind  errorKind       `json:"kind"`
	Type  string          `json:"type,omitempty"`  // the registered name, or the Go type
	Text  string          `json:"text,omitempty"`  // what its Error method said
	N     int64           `json:"n,omitempty"`     // attempts, index, or nanoseconds
	Stack string          `json:"stack,omitempty"` // of a panic
	Data  json.RawMessage `json:"data,omitempty"`  // of a registered type
	Inner []*wireError    `json:"inner,omitempty"`
}

type errorKind string

const (
	kindOther    errorKind = ""         // a RemoteError
	kindValue    errorKind = "value"    // one of the known values
	kindType     errorKind = "type"     // of a registered type
	kindPanic    errorKind = "panic"    // *antflow.PanicError
	kindRetry    errorKind = "retry"    // *antflow.RetryError
	kindItem     errorKind = "item"     // *antflow.ItemError
	kindWait     errorKind = "wait"     // *antflow.WaitError
	kindFinal    errorKind = "final"    // antflow.Permanent
	kindAfter    errorKind = "after"    // antflow.RetryAfter
	kindJoin     errorKind = "join"     // errors.Join
	kindCanceled errorKind = "canceled" // Is ErrCanceled, of this package's root
)

const (
	mostErrors     = 64       // nodes of a tree that are sent
	mostErrorText  = 64 << 10 // bytes of each text, and of a stack
	mostErrorDepth = 32
)

// A registry knows errors by name: single values, and types.
type registry struct {
	values map[string]error
	types  map[string]reflect.Type
}

// known are the values that every process has.
var known = map[string]error{
	"antflow.ErrShutdown":      antflow.ErrShutdown,
	"antflow.ErrQueueFull":     antflow.ErrQueueFull,
	"antflow.ErrQueueTimeout":  antflow.ErrQueueTimeout,
	"antflow.ErrGoexit":        antflow.ErrGoexit,
	"antflow.ErrCanceled":      antflow.ErrCanceled,
	"cluster.ErrNoHandler":     ErrNoHandler,
	"cluster.ErrDecode":        ErrDecode,
	"cluster.ErrSchema":        ErrSchema,
	"cluster.ErrCrashed":       ErrCrashed,
	"cluster.ErrLost":          ErrLost,
	"cluster.ErrDetached":      ErrDetached,
	"context.Canceled":         context.Canceled,
	"context.DeadlineExceeded": context.DeadlineExceeded,
	"io.EOF":                   io.EOF,
	"io.ErrUnexpectedEOF":      io.ErrUnexpectedEOF,
	"fs.ErrExist":              fs.ErrExist,
	"fs.ErrNotExist":           fs.ErrNotExist,
	"fs.ErrPermission":         fs.ErrPermission,
	"os.ErrDeadlineExceeded":   os.ErrDeadlineExceeded,
}

func (r *registry) value(name string) error {
	if err := r.values[name]; err != nil {
		return err
	}
	return known[name]
}

// nameOf returns the name of a known value.
func (r *registry) nameOf(err error) (string, bool) {
	if !reflect.TypeOf(err).Comparable() {
		return "", false
	}
	for _, values := range [...]map[string]error{r.values, known} {
		for name, v := range values {
			if v == err {
				return name, true
			}
		}
	}
	return "", false
}

// An errorEncoder makes the tree of an error. The errors are the user's: their
// methods may panic, their trees may be endless.
type errorEncoder struct {
	r    *registry
	left int
}

func (r *registry) encode(err error) *wireError {
	enc := errorEncoder{r, mostErrors}
	return enc.encode(err, 0)
}

func (c *errorEncoder) encode(err error, depth int) *wireError {
	w := new(wireError)
	c.left--
	if p := guard(func() { c.fill(w, err, depth) }); p != nil {
		*w = wireError{Type: fmt.Sprintf("%T", err), Text: fmt.Sprintf("(its methods panicked: %v)", p)}
	}
	return w
}

func (c *errorEncoder) fill(w *wireError, err error, depth int) {
	w.Type = fmt.Sprintf("%T", err)
	if name, ok := c.r.nameOf(err); ok {
		w.Kind, w.Type = kindValue, name
		return
	}
	w.Text = clip(err.Error())
	inner := func(errs ...error) {
		for _, e := range errs {
			if e != nil && c.left > 0 && depth < mostErrorDepth {
				w.Inner = append(w.Inner, c.encode(e, depth+1))
			}
		}
	}
	switch e := err.(type) {
	case *antflow.PanicError:
		w.Kind, w.Stack = kindPanic, clip(string(e.Stack))
		if v, ok := e.Value.(error); ok {
			inner(v)
		} else {
			w.Text = clip(fmt.Sprint(e.Value))
		}
		return
	case *antflow.RetryError:
		w.Kind, w.N = kindRetry, int64(e.Attempts)
		inner(e.Err)
		return
	case *antflow.ItemError:
		w.Kind, w.N = kindItem, int64(e.Index)
		inner(e.Err)
		return
	case *antflow.WaitError:
		w.Kind = kindWait
		inner(e.Err)
		return
	}
	for name, t := range c.r.types {
		if t != reflect.TypeOf(err) {
			continue
		}
		if data, failed := json.Marshal(err); failed == nil {
			w.Kind, w.Type, w.Data = kindType, name, data
		}
		break
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		next := e.Unwrap()
		if antflow.Unmarked(err) != err { // one of the two marks
			w.Kind = kindFinal
			if d, ok := antflow.RetryAfterOf(err); ok {
				if further, again := antflow.RetryAfterOf(next); !again || further != d {
					w.Kind, w.N = kindAfter, int64(d)
				}
			}
		}
		inner(next)
	case interface{ Unwrap() []error }:
		if w.Kind == kindOther && w.Type == "*errors.joinError" {
			w.Kind = kindJoin
		}
		if w.Kind == kindOther && w.Type == "*antflow.cancelError" {
			w.Kind = kindCanceled
		}
		inner(e.Unwrap()...)
	}
}

// decode builds the error again. What this process doesn't know is a
// RemoteError.
func (r *registry) decode(w *wireError) error {
	if w == nil {
		return &RemoteError{Type: "error", Text: "(unknown)"}
	}
	var inner []error
	for _, x := range w.Inner {
		inner = append(inner, r.decode(x))
	}
	first := func() error {
		if len(inner) == 0 {
			return &RemoteError{Type: "error", Text: "(unknown)"}
		}
		return inner[0]
	}
	switch w.Kind {
	case kindValue:
		if v := r.value(w.Type); v != nil {
			return v
		}
	case kindType:
		if v := r.ofType(w); v != nil {
			return v
		}
	case kindPanic:
		p := &antflow.PanicError{Value: w.Text, Stack: []byte(w.Stack)}
		if len(inner) > 0 {
			p.Value = inner[0]
		}
		return p
	case kindRetry:
		return &antflow.RetryError{Attempts: int(w.N), Err: first()}
	case kindItem:
		return &antflow.ItemError{Index: int(w.N), Err: first()}
	case kindWait:
		return &antflow.WaitError{Err: first()}
	case kindFinal:
		return antflow.Permanent(first())
	case kindAfter:
		return antflow.RetryAfter(first(), time.Duration(w.N))
	case kindJoin:
		if len(inner) > 0 {
			return errors.Join(inner...)
		}
	case kindCanceled:
		inner = append(slices.Clip(inner), antflow.ErrCanceled)
	}
	text := w.Text
	if text == "" {
		text = w.Type
	}
	return &RemoteError{Type: w.Type, Text: text, inner: inner}
}

// ofType decodes an error of a registered type; nil where that fails.
func (r *registry) ofType(w *wireError) (err error) {
	t := r.types[w.Type]
	if t == nil {
		return nil
	}
	v := reflect.New(t)
	if guard(func() {
		if json.Unmarshal(w.Data, v.Interface()) == nil {
			err, _ = v.Elem().Interface().(error)
		}
	}) != nil {
		return nil
	}
	return err
}

func clip(s string) string {
	if len(s) > mostErrorText {
		return strings.ToValidUTF8(s[:mostErrorText], "") + "…"
	}
	return s
}

// guard returns what fn panicked with, or nil.
func guard(fn func()) (panicked any) {
	returned := false
	defer func() {
		if !returned {
			if panicked = recover(); panicked == nil {
				panicked = "runtime.Goexit"
			}
		}
	}()
	fn()
	returned = true
	return nil
}
