package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/cluster"
)

// cross sends an error to another process that has the same options.
func cross(t testing.TB, err error, opts ...cluster.Option) error {
	t.Helper()
	got, failed := cluster.DecodeError(cluster.EncodeError(err, opts...), opts...)
	if failed != nil {
		t.Fatalf("%v does not decode: %v", err, failed)
	}
	return got
}

// said checks that an error says what it should, also as the last error of a
// task that was retried, where the prefix is said once.
func said(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || err.Error() != want {
		t.Errorf("the error is %q, want %q", err, want)
		return
	}
	bare := strings.TrimPrefix(want, "antflow: ")
	if text := (&antflow.RetryError{Attempts: 3, Err: err}).Error(); text != "antflow: failed after 3 attempts: "+bare {
		t.Errorf("after retries it is %q", text)
	}
}

// as returns the E in err.
func as[E error](t *testing.T, err error) E {
	t.Helper()
	e, ok := errors.AsType[E](err)
	if !ok {
		t.Fatalf("there is no %T in %v (%T)", e, err, err)
	}
	return e
}

func TestErrorOfAnUnknownType(t *testing.T) {
	for _, text := range []string{
		"boom", "ä\n\t\x00\"<&>\u2028", strings.Repeat("x", cluster.MostErrorText), " ", "100%d %w",
	} {
		err := cross(t, errors.New(text))
		said(t, err, text)
		if e := as[*cluster.RemoteError](t, err); e.Type != "*errors.errorString" || e.Text != text || len(e.Unwrap()) > 0 {
			t.Errorf("%+v", e)
		}
	}
	said(t, cross(t, &fs.PathError{Op: "open", Path: "/x", Err: io.EOF}), "open /x: EOF")
}

// The text of what is wrapped says all of it, and each wrapped error is found.
func TestWrappedErrors(t *testing.T) {
	two := fmt.Errorf("%w, and then %w", fs.ErrExist, io.ErrUnexpectedEOF)
	err := cross(t, fmt.Errorf("outer: %w", two))
	said(t, err, "outer: file already exists, and then unexpected EOF")
	if !errors.Is(err, fs.ErrExist) || !errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		t.Errorf("it is not what it was: %#v", err)
	}
	if e := as[*cluster.RemoteError](t, err); e.Type != "*fmt.wrapError" || len(e.Unwrap()) != 1 {
		t.Errorf("%+v", e)
	}
}

func TestJoinedErrors(t *testing.T) {
	err := cross(t, errors.Join(io.EOF, nil, errors.New("a\nb"), errors.Join(fs.ErrExist, context.Canceled)))
	said(t, err, "EOF\na\nb\nfile already exists\ncontext canceled")
	for _, is := range []error{io.EOF, fs.ErrExist, context.Canceled} {
		if !errors.Is(err, is) {
			t.Errorf("it is no %v", is)
		}
	}
	if _, ok := err.(interface{ Unwrap() []error }); !ok {
		t.Errorf("a %T", err)
	}
}

// A known value is that value.
func TestKnownErrors(t *testing.T) {
	for _, known := range []error{
		antflow.ErrShutdown, antflow.ErrQueueFull, antflow.ErrQueueTimeout, antflow.ErrGoexit, antflow.ErrCanceled,
		cluster.ErrNoHandler, cluster.ErrDecode, cluster.ErrSchema, cluster.ErrCrashed, cluster.ErrLost, cluster.ErrDetached,
		context.Canceled, context.DeadlineExceeded, io.EOF, io.ErrUnexpectedEOF,
		fs.ErrExist, fs.ErrNotExist, fs.ErrPermission, os.ErrDeadlineExceeded,
	} {
		if got := cross(t, known); got != known {
			t.Errorf("%v became %v (%T)", known, got, got)
		}
		if got := cross(t, fmt.Errorf("x: %w", known)); !errors.Is(got, known) || got.Error() != "x: "+known.Error() {
			t.Errorf("%v wrapped became %v", known, got)
		}
		said(t, cross(t, known), known.Error())
	}
}

func TestPanicErrorCrosses(t *testing.T) {
	stack := []byte("goroutine 7 [running]:\nmain.main()")
	for _, value := range []any{"boom", "", 42, nil, []string{"a", "b"}, struct{ A, B int }{1, 2}} {
		in := &antflow.PanicError{Value: value, Stack: stack}
		out := as[*antflow.PanicError](t, cross(t, in))
		said(t, out, in.Error())
		if out.Value != fmt.Sprint(value) || string(out.Stack) != string(stack) || out.Unwrap() != nil {
			t.Errorf("%+v became %+v", in, out)
		}
	}
	in := &antflow.PanicError{Value: fmt.Errorf("reading: %w", io.EOF)}
	out := as[*antflow.PanicError](t, cross(t, in))
	said(t, out, "antflow: panic: reading: EOF")
	if !errors.Is(out, io.EOF) || len(out.Stack) > 0 {
		t.Errorf("%+v", out)
	}
	said(t, cross(t, &antflow.PanicError{Value: antflow.ErrShutdown}), "antflow: panic: the executor is shut down")
	said(t, cross(t, &antflow.PanicError{Value: new(runtime.PanicNilError)}), new(antflow.PanicError{Value: new(runtime.PanicNilError)}).Error())
	if text := fmt.Sprintf("%+v", cross(t, in)); !strings.HasPrefix(text, "antflow: panic: reading: EOF\n\n") {
		t.Errorf("with its stack: %q", text)
	}
}

func TestErrorsOfTheRootCross(t *testing.T) {
	boom := fmt.Errorf("boom: %w", io.EOF)
	in := &antflow.ItemError{Index: 7, Err: &antflow.RetryError{Attempts: 3, Err: &antflow.WaitError{Err: boom}}}
	out := cross(t, in)
	said(t, out, "antflow: item 7: failed after 3 attempts: wait ended: boom: EOF")
	if as[*antflow.ItemError](t, out).Index != 7 || as[*antflow.RetryError](t, out).Attempts != 3 ||
		as[*antflow.WaitError](t, out).Err.Error() != "boom: EOF" || !errors.Is(out, io.EOF) {
		t.Errorf("%#v", out)
	}
	items := antflow.ItemErrors(cross(t, errors.Join(in, &antflow.ItemError{Index: 1, Err: io.EOF})))
	if len(items) != 2 || items[0].Index != 1 || items[1].Index != 7 {
		t.Errorf("%v", items)
	}
	// A wait that a context ended has an error of its own inside.
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(fs.ErrPermission)
	block := make(chan struct{})
	defer close(block)
	e := antflow.New(1)
	_, wait := e.Go(t.Context(), func(context.Context) error { <-block; return nil }).Result(ctx)
	got := cross(t, wait)
	said(t, got, wait.Error())
	if as[*antflow.WaitError](t, got); !errors.Is(got, context.Canceled) || !errors.Is(got, fs.ErrPermission) {
		t.Errorf("%v became %v", wait, got)
	}
}

// A cancellation of another process is one here.
func TestCancellationCrosses(t *testing.T) {
	e := antflow.New(1)
	defer e.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	f := e.Go(ctx, func(ctx context.Context) error { <-ctx.Done(); return fs.ErrExist })
	for f.State() != antflow.StateRunning {
		runtime.Gosched()
	}
	cancel(io.ErrUnexpectedEOF)
	in := f.Err()
	if in == nil {
		_, in = f.Result(t.Context())
	}
	out := cross(t, fmt.Errorf("the child: %w", in))
	said(t, out, "the child: "+in.Error())
	for _, is := range []error{antflow.ErrCanceled, context.Canceled, io.ErrUnexpectedEOF, fs.ErrExist} {
		if !errors.Is(in, is) || !errors.Is(out, is) {
			t.Errorf("it is no %v: %v", is, out)
		}
	}
	said(t, cross(t, in), in.Error())
}

// The marks work on the other side, wherever they are.
func TestMarksCross(t *testing.T) {
	const d = 5 * time.Second
	for name, test := range map[string]struct {
		err   error
		final bool
		after time.Duration // 0: not marked
	}{
		"neither":                 {io.EOF, false, 0},
		"permanent":               {antflow.Permanent(io.EOF), true, 0},
		"permanent inside":        {fmt.Errorf("x: %w", antflow.Permanent(io.EOF)), true, 0},
		"later":                   {antflow.RetryAfter(io.EOF, d), false, d},
		"later inside":            {fmt.Errorf("x: %w", antflow.RetryAfter(io.EOF, d)), false, d},
		"joined":                  {errors.Join(io.EOF, antflow.RetryAfter(io.EOF, d)), false, d},
		"permanent later":         {antflow.Permanent(antflow.RetryAfter(io.EOF, d)), true, d},
		"later permanent":         {antflow.RetryAfter(antflow.Permanent(io.EOF), d), true, d},
		"twice":                   {antflow.RetryAfter(antflow.RetryAfter(io.EOF, 2*d), d), false, d},
		"permanent twice":         {antflow.Permanent(antflow.Permanent(io.EOF)), true, 0},
		"in an error of the root": {&antflow.RetryError{Attempts: 2, Err: antflow.Permanent(io.EOF)}, true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			out := cross(t, test.err)
			said(t, out, test.err.Error())
			s := antflow.SettingsOf(antflow.Retries(1), antflow.RetryDelay(d/5))
			if delay, again := s.Again(1, out, false); again == test.final || again && delay != max(test.after, d/5) {
				t.Errorf("again: %v, after %v", again, delay)
			}
			if after, ok := antflow.RetryAfterOf(out); ok != (test.after != 0) || after != test.after {
				t.Errorf("after %v, %v", after, ok)
			}
			if !errors.Is(out, io.EOF) || !errors.Is(antflow.Unmarked(out), io.EOF) {
				t.Errorf("%v", out)
			}
		})
	}
}

type quotaError struct {
	Account string
	Left    int
}

func (e *quotaError) Error() string { return fmt.Sprintf("%s has %d left", e.Account, e.Left) }

type codeError int

func (c codeError) Error() string { return fmt.Sprintf("code %d", int(c)) }

type wrapping struct{ Inner string }

func (w wrapping) Error() string { return "wrapping " + w.Inner }
func (w wrapping) Unwrap() error { return io.EOF }

type noJSON struct{ C chan int }

func (noJSON) Error() string { return "no JSON" }
func (noJSON) Unwrap() error { return io.EOF }

var errOurs = errors.New("ours")

func TestErrorType(t *testing.T) {
	opts := []cluster.Option{
		cluster.ErrorType[*quotaError]("quota"), cluster.ErrorType[codeError]("code"),
		cluster.ErrorType[wrapping]("wrapping"), cluster.ErrorType[noJSON]("none"),
	}
	out := cross(t, fmt.Errorf("x: %w", &quotaError{"ä", 3}), opts...)
	said(t, out, "x: ä has 3 left")
	if e := as[*quotaError](t, out); *e != (quotaError{"ä", 3}) {
		t.Errorf("%+v", e)
	}
	if out := cross(t, codeError(7), opts...); out != codeError(7) {
		t.Errorf("%#v", out)
	}
	if out := cross(t, wrapping{"x"}, opts...); out != (wrapping{"x"}) {
		t.Errorf("%#v", out)
	}
	// The types are what was registered: neither a pointer to it, nor its pointee.
	code := codeError(7)
	for _, err := range []error{&wrapping{"x"}, error(&code)} {
		if out := cross(t, err, opts...); as[*cluster.RemoteError](t, out).Type != fmt.Sprintf("%T", err) || out.Error() != err.Error() {
			t.Errorf("%#v", out)
		}
	}
	// What doesn't encode is as if it weren't registered.
	none := cross(t, noJSON{make(chan int)}, opts...)
	said(t, none, "no JSON")
	if e := as[*cluster.RemoteError](t, none); e.Type != "cluster_test.noJSON" || !errors.Is(e, io.EOF) {
		t.Errorf("%+v", e)
	}
}

type secretive struct {
	Public int
	code   int
}

func (s secretive) Error() string { return fmt.Sprint("code ", s.code) }

type fragile struct{ err error }

func (f *fragile) Error() string { return "fragile " + f.err.Error() } // not without

// An error that JSON makes another one of crosses as what it said.
func TestErrorTypeThatChanges(t *testing.T) {
	opts := []cluster.Option{cluster.ErrorType[secretive]("secretive"), cluster.ErrorType[*fragile]("fragile")}
	for _, err := range []error{secretive{1, 7}, &fragile{io.EOF}} {
		out := cross(t, err, opts...)
		said(t, out, err.Error())
		if e := as[*cluster.RemoteError](t, out); e.Type != fmt.Sprintf("%T", err) {
			t.Errorf("%+v", e)
		}
	}
	if out := cross(t, secretive{1, 0}, opts...); out != (secretive{1, 0}) {
		t.Errorf("%#v", out)
	}
}

// A client that doesn't know a type has its text, and what it wraps.
func TestErrorTypeOfTheWorkerAlone(t *testing.T) {
	data := cluster.EncodeError(fmt.Errorf("x: %w", wrapping{"y"}), cluster.ErrorType[wrapping]("wrapping"))
	out, err := cluster.DecodeError(data)
	if err != nil {
		t.Fatal(err)
	}
	said(t, out, "x: wrapping y")
	if !errors.Is(out, io.EOF) {
		t.Error("what it wraps is lost")
	}
	// One whose type has changed decodes as it can, or is as unknown.
	data = cluster.EncodeError(&quotaError{"a", 3}, cluster.ErrorType[*quotaError]("quota"))
	out, err = cluster.DecodeError(data, cluster.ErrorType[codeError]("quota"))
	if err != nil {
		t.Fatal(err)
	}
	said(t, out, "a has 3 left")
}

func TestErrorValue(t *testing.T) {
	opt := cluster.ErrorValue("ours", errOurs)
	if out := cross(t, errOurs, opt); out != errOurs {
		t.Errorf("%#v", out)
	}
	out := cross(t, fmt.Errorf("%w and %w", errOurs, io.EOF), opt)
	said(t, out, "ours and EOF")
	if !errors.Is(out, errOurs) || !errors.Is(out, io.EOF) {
		t.Errorf("%#v", out)
	}
	if out := cross(t, errors.New("ours"), opt); errors.Is(out, errOurs) {
		t.Error("another error with that text is taken for it")
	}
	if out := cross(t, errOurs); errors.Is(out, errOurs) || out.Error() != "ours" {
		t.Errorf("without the option it is %v", out)
	}
}

// A second process on the way changes nothing of what is known.
func TestErrorsCrossTwice(t *testing.T) {
	for _, err := range []error{
		errors.New("boom"), io.EOF, fmt.Errorf("x: %w", io.EOF), errors.Join(io.EOF, errors.New("a")),
		&antflow.RetryError{Attempts: 2, Err: &antflow.PanicError{Value: "v", Stack: []byte("s")}},
		antflow.Permanent(fmt.Errorf("x: %w", antflow.RetryAfter(io.EOF, time.Second))),
	} {
		once := cross(t, err)
		twice := cross(t, once)
		said(t, twice, err.Error())
		if errors.Is(err, io.EOF) != errors.Is(twice, io.EOF) || fmt.Sprintf("%T", once) != fmt.Sprintf("%T", twice) {
			t.Errorf("%#v became %#v", once, twice)
		}
	}
}
