package cluster_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/cluster"
)

// Errors are the user's, and may be anything.

type panicky struct{ text bool }

func (p panicky) Error() string {
	if p.text {
		panic("no text")
	}
	return "fine"
}

func (p panicky) Unwrap() error { panic(io.EOF) }

type nilReceiver struct{ text string }

func (n *nilReceiver) Error() string { return n.text }

type endless struct{ n int }

func (e endless) Error() string { return "endless" }
func (e endless) Unwrap() error { return endless{e.n + 1} }

type tree struct{ width int }

func (x tree) Error() string { return "tree" }
func (x tree) Unwrap() []error {
	all := make([]error, x.width)
	for i := range all {
		all[i] = x
	}
	return all
}

type holed struct{}

func (holed) Error() string   { return "holed" }
func (holed) Unwrap() []error { return []error{nil, io.EOF, nil} }

type nothing struct{}

func (nothing) Error() string { return "nothing" }
func (nothing) Unwrap() error { return nil }

type badJSON struct{}

func (badJSON) Error() string                { return "bad" }
func (badJSON) MarshalJSON() ([]byte, error) { panic("no JSON") }
func (*badJSON) UnmarshalJSON([]byte) error  { panic("no JSON") }

type badDecode struct{ N int }

func (badDecode) Error() string               { return "bad" }
func (*badDecode) UnmarshalJSON([]byte) error { panic("no JSON") }

// within fails the test if fn takes too long.
func within(t *testing.T, d time.Duration, fn func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); fn() }()
	select {
	case <-done:
	case <-time.After(d):
		t.Fatalf("it took longer than %v", d)
	}
}

func TestBadErrors(t *testing.T) {
	for name, test := range map[string]struct {
		err  error
		says string
	}{
		"panicking text":        {panicky{text: true}, "no text"},
		"panicking Unwrap":      {panicky{}, "EOF"},
		"among others":          {fmt.Errorf("%w and %w", io.EOF, errors.Join(panicky{})), "EOF and fine"},
		"nil pointer":           {(*nilReceiver)(nil), "nil pointer"},
		"nil inside":            {&antflow.RetryError{Attempts: 1}, "nil pointer"},
		"nil PanicError":        {(*antflow.PanicError)(nil), "nil pointer"},
		"nils among the inner":  {holed{}, "holed"},
		"wraps nil":             {nothing{}, "nothing"},
		"endless chain":         {endless{}, "endless"},
		"endless tree":          {tree{3}, "tree"},
		"empty tree":            {tree{0}, "tree"},
		"panicking MarshalJSON": {badJSON{}, "no JSON"},
		"panicking decoding":    {badDecode{7}, "bad"},
	} {
		t.Run(name, func(t *testing.T) {
			within(t, 20*time.Second, func() {
				opts := []cluster.Option{cluster.ErrorType[badJSON]("bad"), cluster.ErrorType[badDecode]("decode")}
				out := cross(t, test.err, opts...)
				if !strings.Contains(out.Error(), test.says) {
					t.Errorf("the error is %q", out)
				}
				if e, ok := out.(*cluster.RemoteError); !ok || e.Type == "" {
					t.Errorf("a %T, %+v", out, out)
				}
			})
		})
	}
}

// However many errors there are, so many are sent, and the text of the
// outermost one says the rest.
func TestManyErrors(t *testing.T) {
	err := error(io.EOF)
	for i := range 1000 {
		err = fmt.Errorf("%d: %w", i, err)
	}
	out := cross(t, err)
	if out.Error() != err.Error() {
		t.Errorf("a chain says %.80q", out)
	}
	depth := 0
	for e := out; e != nil; depth++ {
		remote, ok := e.(*cluster.RemoteError)
		if e = nil; ok && len(remote.Unwrap()) > 0 {
			e = remote.Unwrap()[0]
		}
	}
	if depth < cluster.MostErrorDepth || depth > cluster.MostErrors {
		t.Errorf("the chain has %d errors", depth)
	}
	var w cluster.WireError
	if failed := json.Unmarshal(cluster.EncodeError(tree{1000}), &w); failed != nil {
		t.Fatal(failed)
	}
	if n := size(&w); n != cluster.MostErrors {
		t.Errorf("the tree has %d errors", n)
	}
}

func size(w *cluster.WireError) int {
	n := 1
	for _, x := range w.Inner {
		n += size(x)
	}
	return n
}

func TestHugeTexts(t *testing.T) {
	long := strings.Repeat("ä", cluster.MostErrorText)
	for _, err := range []error{errors.New(long), &antflow.PanicError{Value: long, Stack: []byte(long)}} {
		out := cross(t, err)
		text := out.Error()
		if len(text) > cluster.MostErrorText+100 || len(text) < cluster.MostErrorText-100 || !strings.HasSuffix(text, "ä…") {
			t.Errorf("%d bytes: %.20s", len(text), text)
		}
	}
}

// FuzzErrorWire has any bytes come as an error. It decodes or doesn't; what
// decodes is an error like others, and crosses once more as what it is.
func FuzzErrorWire(f *testing.F) {
	opts := []cluster.Option{
		cluster.ErrorType[*quotaError]("quota"), cluster.ErrorType[codeError]("code"), cluster.ErrorType[badDecode]("decode"),
		cluster.ErrorType[*nilReceiver]("nil"), cluster.ErrorValue("ours", errOurs),
	}
	for _, err := range []error{
		io.EOF, errOurs, errors.New("boom"), &quotaError{"a", 1}, codeError(3), badDecode{7},
		&antflow.PanicError{Value: io.EOF, Stack: []byte("s")}, &antflow.PanicError{Value: 1},
		&antflow.RetryError{Attempts: 2, Err: &antflow.ItemError{Index: 3, Err: &antflow.WaitError{Err: io.EOF}}},
		antflow.Permanent(io.EOF), antflow.RetryAfter(errors.New("x"), time.Second),
		errors.Join(io.EOF, fmt.Errorf("%w %w", io.EOF, errOurs)), errors.New("antflow: x"),
	} {
		f.Add(cluster.EncodeError(err, opts...))
	}
	f.Add([]byte(`{"kind":"join"}`))
	f.Add([]byte(`{"kind":"join","inner":[null,{"kind":"canceled"}]}`))
	f.Add([]byte(`{"kind":"retry","n":-1,"inner":[{"kind":"after","n":-9223372036854775808}]}`))
	f.Add([]byte(`{"kind":"type","type":"code","data":"x","text":"t"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		once, failed := cluster.DecodeError(data, opts...)
		if failed != nil {
			return
		}
		if once == nil {
			t.Fatal("no error")
		}
		if !describable(once) {
			return // a registered type may have any value
		}
		_ = once.Error()
		errors.Is(once, io.EOF)
		errors.As(once, new(*quotaError))
		// An error without a text gets one on its way, so the first crossing may
		// still change it.
		err := cross(t, once, opts...)
		second := cluster.EncodeError(err, opts...)
		third := cluster.EncodeError(cross(t, err, opts...), opts...)
		if string(third) != string(second) && !clipped(second) {
			t.Errorf("%s\nbecame\n%s", second, third)
		}
	})
}

// describable reports whether the text of err is to be had.
func describable(err error) (ok bool) {
	defer func() { ok = recover() == nil }()
	_ = err.Error()
	return true
}

// clipped reports whether something was left out of an encoded error.
func clipped(data []byte) bool {
	var w cluster.WireError
	return json.Unmarshal(data, &w) != nil || size(&w) >= cluster.MostErrors/2 || len(data) > cluster.MostErrorText
}
