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
	"time"
	"unicode/utf8"

	"github.com/antflow/antflow"
)

// A wireError is an error on its way to another process: a tree of what wraps
// what, where the kinds say how to build each node again.
type wireError struct {
	Kind  errorKind       `json:"kind,omitempty"`
	Name  string          `json:"name,omitempty"`  // of a known value, or a registered type
	Type  string          `json:"type,omitempty"`  // the Go type
	Text  string          `json:"text,omitempty"`  // what its Error method said
	Bytes []byte          `json:"bytes,omitempty"` // the same, where that is no UTF-8
	N     int64           `json:"n,omitempty"`     // attempts, index, or nanoseconds
	Stack string          `json:"stack,omitempty"` // of a panic
	Data  json.RawMessage `json:"data,omitempty"`  // of a registered type
	Is    []string        `json:"is,omitempty"`    // known values that its method Is accepts
	Inner []*wireError    `json:"inner,omitempty"`
}

type errorKind string

const (
	kindOther errorKind = ""      // a RemoteError
	kindValue errorKind = "value" // one of the known values
	kindType  errorKind = "type"  // of a registered type
	kindPanic errorKind = "panic" // *antflow.PanicError
	kindRetry errorKind = "retry" // *antflow.RetryError
	kindItem  errorKind = "item"  // *antflow.ItemError
	kindWait  errorKind = "wait"  // *antflow.WaitError
	kindFinal errorKind = "final" // antflow.Permanent
	kindAfter errorKind = "after" // antflow.RetryAfter
	kindJoin  errorKind = "join"  // errors.Join
)

const (
	mostErrors     = 64        // nodes of a tree that are sent
	mostErrorDepth = 32        // of them, one in the other
	mostErrorText  = 64 << 10  // bytes of each text, and of a stack
	mostErrorBytes = 256 << 10 // of all of it, as JSON
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
	if !reflect.ValueOf(err).Comparable() {
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

// accepted are the names of the known values that the method Is of err accepts.
func (r *registry) accepted(err error) (names []string) {
	x, ok := err.(interface{ Is(error) bool })
	if !ok {
		return nil
	}
	for _, values := range [...]map[string]error{r.values, known} {
		for name, v := range values {
			if x.Is(v) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// encode makes the tree of an error. If it is too large for a message, its texts
// are cut shorter.
func (r *registry) encode(err error) *wireError {
	for text := mostErrorText; ; text /= 8 {
		c := errorEncoder{r: r, left: mostErrors, text: text}
		w := c.encode(err, 0)
		if text < 128 || len(encode(w)) <= mostErrorBytes {
			return w
		}
	}
}

// An errorEncoder makes the tree of an error. The errors are the user's: their
// methods may panic, their trees may be endless.
type errorEncoder struct {
	r    *registry
	left int // nodes
	text int // bytes that a text may have
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
	w.say(err.Error(), c.text)
	if name, ok := c.r.nameOf(err); ok {
		w.Kind, w.Name = kindValue, name
	} else if c.fillOwn(w, err, depth) {
		return
	} else if c.fillType(w, err); w.Kind == kindOther {
		w.Is = c.r.accepted(err)
	}
	switch e := err.(type) {
	case *RemoteError: // which has been on its way before
		w.Type = e.Type
		c.inner(w, depth, e.inner...)
	case interface{ Unwrap() error }:
		c.inner(w, depth, e.Unwrap())
	case interface{ Unwrap() []error }:
		if w.Type == "*errors.joinError" {
			w.Kind = kindJoin
		}
		c.inner(w, depth, e.Unwrap()...)
	}
}

// fillOwn encodes an error of the root package. What is in one is always sent, if
// only as a text.
func (c *errorEncoder) fillOwn(w *wireError, err error, depth int) bool {
	var inner error
	switch e := err.(type) {
	case *antflow.PanicError:
		w.Kind, w.Stack = kindPanic, clipTo(string(e.Stack), c.text)
		if v, ok := e.Value.(error); ok {
			inner = v
		} else {
			w.say(fmt.Sprint(e.Value), c.text)
		}
	case *antflow.RetryError:
		w.Kind, w.N, inner = kindRetry, int64(e.Attempts), e.Err
	case *antflow.ItemError:
		w.Kind, w.N, inner = kindItem, int64(e.Index), e.Err
	case *antflow.WaitError:
		w.Kind, inner = kindWait, e.Err
	default:
		switch w.Type { // the marks, whose types have no names elsewhere
		case "*antflow.permanentError":
			w.Kind = kindFinal
		case "*antflow.retryAfterError":
			d, _ := antflow.RetryAfterOf(err)
			w.Kind, w.N = kindAfter, int64(d)
		default:
			return false
		}
		inner = errors.Unwrap(err)
	}
	if inner == nil {
		return true
	}
	if c.inner(w, depth, inner); len(w.Inner) == 0 {
		leaf := &wireError{Type: fmt.Sprintf("%T", inner)}
		leaf.say(inner.Error(), c.text)
		w.Inner = []*wireError{leaf}
	}
	return true
}

// fillType encodes an error of a registered type, if that can be done.
func (c *errorEncoder) fillType(w *wireError, err error) {
	for name, t := range c.r.types {
		if t != reflect.TypeOf(err) {
			continue
		}
		data, failed := json.Marshal(err)
		if failed != nil || len(data) > c.text {
			return
		}
		// What JSON leaves out must not make another error of it.
		guard(func() {
			if crossed := c.r.ofType(&wireError{Name: name, Data: data}); crossed != nil && crossed.Error() == err.Error() {
				w.Kind, w.Name, w.Data = kindType, name, data
			}
		})
		return
	}
}

// inner encodes what an error wraps, as far as there is room.
func (c *errorEncoder) inner(w *wireError, depth int, errs ...error) {
	for _, e := range errs {
		if e != nil && c.left > 0 && depth < mostErrorDepth {
			w.Inner = append(w.Inner, c.encode(e, depth+1))
		}
	}
}

// say sets the text, up to n bytes of it.
func (w *wireError) say(text string, n int) {
	text = clipTo(text, n)
	w.Text, w.Bytes = text, nil
	if !utf8.ValidString(text) {
		w.Text, w.Bytes = "", []byte(text)
	}
}

func (w *wireError) said() string {
	if w.Bytes != nil {
		return string(w.Bytes)
	}
	return w.Text
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
	first := error(&RemoteError{Type: "error", Text: "(unknown)"})
	if len(inner) > 0 {
		first = inner[0]
	}
	switch w.Kind {
	case kindValue:
		if v := r.value(w.Name); v != nil {
			return v
		}
	case kindType:
		if v := r.ofType(w); v != nil {
			return v
		}
	case kindPanic:
		p := &antflow.PanicError{Value: w.said(), Stack: []byte(w.Stack)}
		if len(inner) > 0 {
			p.Value = first
		}
		return p
	case kindRetry:
		return &antflow.RetryError{Attempts: int(w.N), Err: first}
	case kindItem:
		return &antflow.ItemError{Index: int(w.N), Err: first}
	case kindWait:
		return &antflow.WaitError{Err: first}
	case kindFinal:
		return antflow.Permanent(first)
	case kindAfter:
		return antflow.RetryAfter(first, time.Duration(w.N))
	case kindJoin:
		// Not if some were too many to be sent: its text has all.
		if joined := errors.Join(inner...); joined != nil && joined.Error() == w.said() {
			return joined
		}
	}
	e := &RemoteError{Type: w.Type, Text: w.said(), inner: inner}
	for _, name := range w.Is {
		if v := r.value(name); v != nil {
			e.is = append(e.is, v)
		}
	}
	return e
}

// ofType decodes an error of a registered type; nil where that fails.
func (r *registry) ofType(w *wireError) (err error) {
	t := r.types[w.Name]
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

// clip is for what a message of this package quotes.
func clip(s string) string { return clipTo(s, 256) }

func clipTo(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
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
