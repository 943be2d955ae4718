package embedded_test

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

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/cluster"
)

// errorsBy is a task that fails with the error of that name.
func errorsBy(errs map[string]func() error) *antflow.Task[string, int] {
	return antflow.NewTask("fail", func(_ context.Context, name string) (int, error) { return 0, errs[name]() })
}

func TestContractPanic(t *testing.T) {
	r := newRig(t)
	calls := make(chan int, 100)
	task := antflow.NewTask("task", func(_ context.Context, n int) (int, error) {
		calls <- n
		switch n {
		case 0:
			panic("boom")
		case 1:
			panic(fmt.Errorf("worse: %w", io.ErrUnexpectedEOF))
		case 2:
			panic(struct{ A, B int }{3, 4})
		}
		runtime.Goexit()
		return 0, nil
	}, antflow.Retries(3))
	r.serve(handlers(task, echo[int]("echo")), cluster.Concurrency(1))
	c := r.connect()
	for n, text := range []string{"boom", "worse: unexpected EOF", "3 4"} {
		err := fail(r, task.Submit(r.ctx, c, n))
		says(t, err, text)
		var panicked *antflow.PanicError
		if !errors.As(err, &panicked) {
			t.Errorf("%d: %#v is no PanicError", n, err)
			continue
		}
		if !strings.Contains(fmt.Sprint(panicked.Value), text) {
			t.Errorf("%d: the value is %v", n, panicked.Value)
		}
		if !strings.Contains(string(panicked.Stack), "TestContractPanic") || !strings.Contains(fmt.Sprintf("%+v", err), "TestContractPanic") {
			t.Errorf("%d: the stack does not show the function:\n%s", n, panicked.Stack)
		}
		if n == 1 && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("what the function panicked with is lost: %v", err)
		}
	}
	err := fail(r, task.Submit(r.ctx, c, 3), antflow.ErrGoexit)
	says(t, err)
	get(r, echo[int]("echo").Submit(r.ctx, c, 0)) // the slot survived
	if len(calls) != 4 {
		t.Errorf("%d calls of 4 tasks: a panic was retried", len(calls))
	}
}

type limitError struct {
	Limit int
	Host  string
}

func (e *limitError) Error() string { return fmt.Sprintf("limit %d of %s", e.Limit, e.Host) }

type codeError int

func (e codeError) Error() string { return fmt.Sprint("code ", int(e)) }

var errHouse = errors.New("the house is full")

func TestContractRegisteredErrors(t *testing.T) {
	r := newRig(t)
	task := errorsBy(map[string]func() error{
		"type":    func() error { return &limitError{Limit: 9, Host: "example"} },
		"value":   func() error { return errHouse },
		"plain":   func() error { return codeError(7) },
		"wrapped": func() error { return fmt.Errorf("outer: %w", &limitError{Limit: 8}) },
		"both":    func() error { return errors.Join(errHouse, &limitError{Limit: 7}, codeError(6)) },
	})
	known := []cluster.Option{
		cluster.ErrorType[*limitError]("limit"), cluster.ErrorType[codeError]("code"), cluster.ErrorValue("house", errHouse),
	}
	r.serve(handlers(task), known[0], known[1], known[2])
	c := r.connect(known[0], known[1], known[2])
	var limit *limitError
	var code codeError
	if err := fail(r, task.Submit(r.ctx, c, "type")); !errors.As(err, &limit) || *limit != (limitError{9, "example"}) {
		t.Errorf("%#v", err)
	}
	if err := fail(r, task.Submit(r.ctx, c, "value"), errHouse); err != errHouse {
		t.Errorf("%#v", err)
	}
	if err := fail(r, task.Submit(r.ctx, c, "plain")); !errors.As(err, &code) || code != 7 {
		t.Errorf("%#v", err)
	}
	err := fail(r, task.Submit(r.ctx, c, "wrapped"))
	if !errors.As(err, &limit) || limit.Limit != 8 || err.Error() != "outer: limit 8 of " {
		t.Errorf("%#v", err)
	}
	err = fail(r, task.Submit(r.ctx, c, "both"), errHouse)
	if !errors.As(err, &limit) || limit.Limit != 7 || !errors.As(err, &code) || code != 6 {
		t.Errorf("%#v", err)
	}

	stranger := r.connect() // which knows none of them
	err = fail(r, task.Submit(r.ctx, stranger, "type"))
	var remote *cluster.RemoteError
	if !errors.As(err, &remote) || remote.Text != "limit 9 of example" || err.Error() != remote.Text || !strings.Contains(remote.Type, "limitError") {
		t.Errorf("%#v", err)
	}
	if err = fail(r, task.Submit(r.ctx, stranger, "both")); !strings.Contains(err.Error(), "the house is full\nlimit 7 of \ncode 6") {
		t.Errorf("%v", err)
	}
}

func TestContractUnregisteredErrors(t *testing.T) {
	r := newRig(t)
	task := errorsBy(map[string]func() error{
		"EOF":      func() error { return io.EOF },
		"missing":  func() error { _, err := os.Open("/no/such/file"); return err },
		"deadline": func() error { return context.DeadlineExceeded },
		"canceled": func() error { return fmt.Errorf("a stranger's: %w", context.Canceled) },
		"joined":   func() error { return errors.Join(io.EOF, fmt.Errorf("and: %w", fs.ErrNotExist)) },
		"two":      func() error { return fmt.Errorf("%w and %w", io.ErrUnexpectedEOF, os.ErrPermission) },
		"new":      func() error { return errors.New("a new one") },
		"empty":    func() error { return errors.New("") },
		"umlauts":  func() error { return errors.New("zu groß \x00\xff\n") },
		"long":     func() error { return errors.New(strings.Repeat("x", 3<<20)) },
	})
	r.serve(handlers(task))
	c := r.connect()
	if err := fail(r, task.Submit(r.ctx, c, "EOF")); err != io.EOF {
		t.Errorf("%#v", err)
	}
	err := fail(r, task.Submit(r.ctx, c, "missing"), fs.ErrNotExist, os.ErrNotExist)
	var remote *cluster.RemoteError
	if !errors.As(err, &remote) || remote.Type != "*fs.PathError" || err.Error() != "open /no/such/file: no such file or directory" {
		t.Errorf("%#v", err)
	}
	fail(r, task.Submit(r.ctx, c, "deadline"), context.DeadlineExceeded)
	err = fail(r, task.Submit(r.ctx, c, "canceled"), context.Canceled)
	if errors.Is(err, antflow.ErrCanceled) || err.Error() != "a stranger's: context canceled" {
		t.Errorf("%#v", err)
	}
	err = fail(r, task.Submit(r.ctx, c, "joined"), io.EOF, fs.ErrNotExist)
	if err.Error() != "EOF\nand: file does not exist" {
		t.Errorf("%q", err)
	}
	fail(r, task.Submit(r.ctx, c, "two"), io.ErrUnexpectedEOF, fs.ErrPermission)
	if err = fail(r, task.Submit(r.ctx, c, "new")); err.Error() != "a new one" || !errors.As(err, &remote) {
		t.Errorf("%#v", err)
	}
	if err = fail(r, task.Submit(r.ctx, c, "empty")); err.Error() != "" {
		t.Errorf("%q", err)
	}
	if err = fail(r, task.Submit(r.ctx, c, "umlauts")); !strings.HasPrefix(err.Error(), "zu groß \x00") {
		t.Errorf("%q", err)
	}
	if err = fail(r, task.Submit(r.ctx, c, "long")); !strings.HasPrefix(err.Error(), "xxx") {
		t.Errorf("%.200q", err)
	}
}

// The errors of package antflow itself.
func TestContractOwnErrors(t *testing.T) {
	r := newRig(t)
	task := errorsBy(map[string]func() error{
		"item":    func() error { return &antflow.ItemError{Index: 4, Err: io.EOF} },
		"retry":   func() error { return &antflow.RetryError{Attempts: 5, Err: io.EOF} },
		"wait":    func() error { return &antflow.WaitError{Err: context.DeadlineExceeded} },
		"full":    func() error { return antflow.ErrQueueFull },
		"closed":  func() error { return antflow.ErrShutdown },
		"queue":   func() error { return fmt.Errorf("inner: %w", antflow.ErrQueueTimeout) },
		"cluster": func() error { return fmt.Errorf("inner: %w", cluster.ErrNoHandler) },
		"remote":  func() error { return &cluster.RemoteError{Type: "*a.B", Text: "c"} },
		"panic":   func() error { return &antflow.PanicError{Value: "x", Stack: []byte("y")} },
	})
	r.serve(handlers(task))
	c := r.connect()
	var item *antflow.ItemError
	if err := fail(r, task.Submit(r.ctx, c, "item"), io.EOF); !errors.As(err, &item) || item.Index != 4 {
		t.Errorf("%#v", err)
	}
	var retry *antflow.RetryError
	if err := fail(r, task.Submit(r.ctx, c, "retry"), io.EOF); !errors.As(err, &retry) || retry.Attempts != 5 {
		t.Errorf("%#v", err)
	}
	var wait *antflow.WaitError
	if err := fail(r, task.Submit(r.ctx, c, "wait"), context.DeadlineExceeded); !errors.As(err, &wait) {
		t.Errorf("%#v", err)
	}
	fail(r, task.Submit(r.ctx, c, "full"), antflow.ErrQueueFull)
	fail(r, task.Submit(r.ctx, c, "closed"), antflow.ErrShutdown)
	fail(r, task.Submit(r.ctx, c, "queue"), antflow.ErrQueueTimeout)
	fail(r, task.Submit(r.ctx, c, "cluster"), cluster.ErrNoHandler)
	var remote *cluster.RemoteError
	if err := fail(r, task.Submit(r.ctx, c, "remote")); !errors.As(err, &remote) || remote.Type != "*a.B" || remote.Text != "c" {
		t.Errorf("%#v", err)
	}
	var panicked *antflow.PanicError
	if err := fail(r, task.Submit(r.ctx, c, "panic")); !errors.As(err, &panicked) || fmt.Sprint(panicked.Value) != "x" || string(panicked.Stack) != "y" {
		t.Errorf("%#v", err)
	}
}

// A function that returns ErrCanceled of something else has failed.
func TestContractStrangersCancellation(t *testing.T) {
	r := newRig(t)
	task := errorsBy(map[string]func() error{
		"canceled": func() error { return fmt.Errorf("inner: %w", antflow.ErrCanceled) },
	})
	r.serve(handlers(task))
	f := task.Submit(r.ctx, r.connect(), "canceled")
	if _, err := f.Result(r.ctx); !errors.Is(err, antflow.ErrCanceled) || f.State() != antflow.StateFailed {
		t.Errorf("%v, %#v", f.State(), err)
	}
}
