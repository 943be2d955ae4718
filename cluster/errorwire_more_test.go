package cluster_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/cluster"
)

// errors.Is goes by what an error wraps, and by its method Is: the error of os.Open
// wraps a syscall.Errno, whose Is is what knows of fs.ErrNotExist.
func TestMethodIs(t *testing.T) {
	_, missing := os.Open(filepath.Join(t.TempDir(), "missing"))
	server, client := net.Pipe()
	defer server.Close()
	client.SetReadDeadline(time.Now().Add(-1))
	_, late := client.Read(make([]byte, 1))
	for _, test := range []struct{ err, is error }{
		{missing, fs.ErrNotExist},
		{late, os.ErrDeadlineExceeded},
		{isEOF{}, io.EOF},
	} {
		if !errors.Is(test.err, test.is) {
			t.Fatalf("%v is no %v to begin with", test.err, test.is)
		}
		if out := cross(t, test.err); !errors.Is(out, test.is) {
			t.Errorf("%v (%T) is no %v on the other side", test.err, test.err, test.is)
		}
	}
}

type isEOF struct{}

func (isEOF) Error() string        { return "the end" }
func (isEOF) Is(target error) bool { return target == io.EOF }

// A client without the option, or an older one, has the text of an ErrorValue, and
// what it wraps.
func TestTextOfAValueThatTheClientDoesNotKnow(t *testing.T) {
	value := fmt.Errorf("the account is closed: %w", io.EOF)
	out, err := cluster.DecodeError(cluster.EncodeError(value, cluster.ErrorValue("closed", value)))
	if err != nil {
		t.Fatal(err)
	}
	said(t, out, "the account is closed: EOF")
	if !errors.Is(out, io.EOF) {
		t.Error("what it wraps is lost")
	}
}

// RemoteError.Type is the Go type, also of an ErrorType that the client doesn't
// know.
func TestTypeOfATypeThatTheClientDoesNotKnow(t *testing.T) {
	out, err := cluster.DecodeError(cluster.EncodeError(wrapping{"x"}, cluster.ErrorType[wrapping]("w")))
	if err != nil {
		t.Fatal(err)
	}
	if got := as[*cluster.RemoteError](t, out).Type; got != "cluster_test.wrapping" {
		t.Errorf("the type is %q", got)
	}
}

// The type stays what it was with each further process.
func TestTypeAfterTwoProcesses(t *testing.T) {
	out := cross(t, cross(t, &fs.PathError{Op: "open", Path: "x", Err: io.EOF}))
	if got := as[*cluster.RemoteError](t, out).Type; got != "*fs.PathError" {
		t.Errorf("the type is %q", got)
	}
}

// The text of a join has those, too, that were too many to be sent.
func TestJoinOfMany(t *testing.T) {
	var all []error
	for i := range 100 {
		all = append(all, fmt.Errorf("row %d", i))
	}
	in := errors.Join(all...)
	if out := cross(t, in); out.Error() != in.Error() {
		t.Errorf("%d of 100 lines are left, and nothing tells that there were more", len(strings.Split(out.Error(), "\n")))
	}
}

// What is in an error of the root is sent as a text where it is too deep for more.
func TestErrorsOfTheRootAtTheLimit(t *testing.T) {
	in := error(&antflow.RetryError{Attempts: 2, Err: errors.New("boom")})
	for range cluster.MostErrorDepth {
		in = &antflow.ItemError{Err: in}
	}
	if out := cross(t, in); out.Error() != in.Error() {
		t.Errorf("it says\n%v, want\n%v", out, in)
	}
}

// An error that can't be compared is like any other.
func TestIncomparableErrorThatWraps(t *testing.T) {
	in := fields{names: []string{"a", "b"}, err: io.EOF}
	out := cross(t, in)
	said(t, out, in.Error())
	if !errors.Is(out, io.EOF) {
		t.Error("what it wraps is lost")
	}
	// The same of a type that can be compared with a value that can't.
	opt := cluster.ErrorValue("box", box{1})
	said(t, cross(t, box{[]int{1}}, opt), "box")
}

type fields struct {
	names []string
	err   error
}

func (f fields) Error() string { return fmt.Sprint(f.names, ": ", f.err) }
func (f fields) Unwrap() error { return f.err }

type box struct{ v any }

func (box) Error() string { return "box" }

// Of two marks with the same delay, one in the other, each stays what it is.
func TestRetryAfterTwiceTheSame(t *testing.T) {
	in := antflow.RetryAfter(fmt.Errorf("x: %w", antflow.RetryAfter(io.EOF, time.Hour)), time.Hour)
	s := antflow.SettingsOf(antflow.Retries(1))
	if _, again := s.Again(1, cross(t, in), false); !again {
		t.Error("it is not retried any more")
	}
}

// JSON has no strings of invalid UTF-8, which the names of files may be.
func TestTextOfInvalidUTF8(t *testing.T) {
	said(t, cross(t, errors.New("open caf\xe9: no such file")), "open caf\xe9: no such file")
	said(t, cross(t, &antflow.PanicError{Value: "\xff"}), "antflow: panic: \xff")
}

// An empty text stays empty.
func TestEmptyText(t *testing.T) {
	said(t, cross(t, errors.New("")), "")
	in := fmt.Errorf("%w", errors.New(""))
	said(t, cross(t, in), "")
}

// Whatever an error is, what is sent of it fits into a message.
func TestSizeOfAnError(t *testing.T) {
	chain := errors.New(strings.Repeat("\x00", cluster.MostErrorText)) // each 6 bytes in JSON
	for range 3 {
		chain = fmt.Errorf("x: %w", chain)
	}
	var all []error
	for range 20 {
		all = append(all, errors.New(strings.Repeat("x", cluster.MostErrorText)))
	}
	large := &quotaError{Account: strings.Repeat("x", math.MaxUint16*20)}
	for name, err := range map[string]error{"chain": chain, "join": errors.Join(all...), "type": large} {
		if n := len(cluster.EncodeError(err, cluster.ErrorType[*quotaError]("quota"))); n > cluster.MostInline {
			t.Errorf("%s: %d bytes are not to be sent in a message", name, n)
		}
	}
}

// A chain below a mark is walked no further than one without.
func TestEndlessChainWithAMark(t *testing.T) {
	steps := 0
	cross(t, fmt.Errorf("x: %w", antflow.Permanent(long{&steps})))
	if steps > 100*cluster.MostErrorDepth {
		t.Errorf("Unwrap was called %d times", steps)
	}
}

type long struct{ steps *int }

func (long) Error() string { return "long" }

func (l long) Unwrap() error {
	if *l.steps++; *l.steps < 1_000_000 {
		return l
	}
	return nil
}

// An error of this package that is about one of the root says the prefix once.
func TestPrefixTwice(t *testing.T) {
	if text := cluster.Failure("%v", antflow.ErrShutdown).Error(); text != "antflow: cluster: the executor is shut down" {
		t.Errorf("it says %q", text)
	}
}

// The name is the last of what the header of a result has, and a header loses
// the blanks at its end.
func TestWorkerName(t *testing.T) {
	for _, name := range []string{"", " ", "a ", " a", "\n", "a\tb", "\x7f", strings.Repeat("x", 65)} {
		_, err := cluster.SaidToWorker(cluster.WorkerName(name))
		if err == nil || !strings.HasPrefix(err.Error(), "antflow: cluster: the name of the worker ") {
			t.Errorf("worker %q: %v", name, err)
		}
	}
	if _, err := cluster.SaidToWorker(cluster.WorkerName("wörker 1.example.com:7")); err != nil {
		t.Error(err)
	}
}
