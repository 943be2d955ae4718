package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"

	"github.com/antflow/antflow"
)

// open is os.Open but in tests, which need files that fail, hang or never end.
var open = func(name string) (io.ReadCloser, error) { return os.Open(name) }

// sum is one line of output to be.
type sum struct {
	name   string
	size   int64
	digest [sha256.Size]byte
}

// buffers are shared by all workers: larger than io.Copy's own, which a tree
// of small files would allocate once for each of them.
var buffers = sync.Pool{New: func() any { return new([128 << 10]byte) }}

// hash is the task: it reads one file to its end, or to the end of ctx.
func hash(ctx context.Context, f file) (sum, error) {
	if f.err != nil {
		return sum{}, antflow.Permanent(&fileError{f.name, f.err})
	}
	r, err := open(f.name)
	if err != nil {
		return sum{}, &fileError{f.name, err}
	}
	defer r.Close()

	buf := buffers.Get().(*[128 << 10]byte)
	defer buffers.Put(buf)
	h := sha256.New()
	n, err := io.CopyBuffer(h, &ctxReader{ctx, r}, buf[:])
	if err != nil {
		return sum{}, &fileError{f.name, err}
	}
	s := sum{name: f.name, size: n}
	h.Sum(s.digest[:0])
	return s, nil
}

// ctxReader fails once ctx has ended. A context can't stop a read under way,
// so between two of them is where the timeout and Ctrl-C take hold.
type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *ctxReader) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.r.Read(p)
}

// transient reports whether another attempt may fare better.
func transient(err error) bool {
	return !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission)
}

// escaper writes a name as sha256sum does, so that one file stays one line.
var escaper = strings.NewReplacer("\\", `\\`, "\n", `\n`, "\r", `\r`)

func (s sum) line() string {
	name, mark := escaper.Replace(s.name), ""
	if name != s.name {
		mark = `\` // tells sha256sum -c that the name is escaped
	}
	return fmt.Sprintf("%s%x  %s\n", mark, s.digest, name)
}

// fileError names the file as its line would have, where the error that it
// holds has the name unescaped (fs.PathError) or not at all.
type fileError struct {
	name string
	err  error
}

func (e *fileError) Unwrap() error { return e.err }

func (e *fileError) Error() string {
	err := e.err
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		err = path.Err
	}
	return escaper.Replace(e.name) + ": " + err.Error()
}

// describe is an item's error in this program's own words.
func describe(err error) string {
	if retried, ok := errors.AsType[*antflow.RetryError](err); ok {
		return fmt.Sprintf("%v (%d attempts)", retried.Err, retried.Attempts)
	}
	return err.Error()
}
