package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// fakeOpen replaces open for one test and counts its calls.
func fakeOpen(t *testing.T, fake func(name string) (io.ReadCloser, error)) *atomic.Int64 {
	real, calls := open, new(atomic.Int64)
	t.Cleanup(func() { open = real })
	open = func(name string) (io.ReadCloser, error) {
		calls.Add(1)
		return fake(name)
	}
	return calls
}

// reads is a file of which each Read is a call.
type reads func(p []byte) (int, error)

func (r reads) Read(p []byte) (int, error) { return r(p) }
func (r reads) Close() error               { return nil }

func TestTimeoutStopsReading(t *testing.T) {
	root := tree(t, "a", "endless", "z")
	synctest.Test(t, func(t *testing.T) {
		var steps atomic.Int64
		fakeOpen(t, func(name string) (io.ReadCloser, error) {
			if filepath.Base(name) != "endless" {
				return os.Open(name)
			}
			return reads(func(p []byte) (int, error) {
				steps.Add(1)
				time.Sleep(time.Second)
				return len(p), nil
			}), nil
		})
		start := time.Now()
		status, stdout, stderr := runCommand(t.Context(), "-timeout", "3500ms", "-retries", "1", root)
		// Each attempt ends with its fourth read; 100 ms lie between the two.
		if took := time.Since(start); took != 8100*time.Millisecond || steps.Load() != 8 {
			t.Errorf("ended after %v and %d reads", took, steps.Load())
		}
		want(t, status, 1, stderr, root+"/endless: context deadline exceeded (2 attempts)\n", "2 files, ", ", 1 failed\n")
		if stdout != lines(root, "a", "z") {
			t.Errorf("got:\n%s", stdout)
		}
		time.Sleep(time.Hour)
		if steps.Load() != 8 {
			t.Errorf("the reading went on")
		}
	})
}

func TestRetries(t *testing.T) {
	root := tree(t, "flaky")
	for _, test := range []struct {
		retries string
		status  int
		says    string
	}{
		{"0", 1, root + "/flaky: stale handle\n"},
		{"1", 1, root + "/flaky: stale handle (2 attempts)\n"},
		{"2", 0, "1 files, 5 bytes, "},
	} {
		synctest.Test(t, func(t *testing.T) {
			var calls *atomic.Int64
			calls = fakeOpen(t, func(name string) (io.ReadCloser, error) {
				if calls.Load() <= 2 {
					return reads(func([]byte) (int, error) { return 0, errors.New("stale handle") }), nil
				}
				return os.Open(name)
			})
			status, _, stderr := runCommand(t.Context(), "-retries", test.retries, root)
			want(t, status, test.status, stderr, test.says)
		})
	}
}

func TestInterrupt(t *testing.T) {
	root := tree(t, "a", "b", "c", "d")
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var steps atomic.Int64
		fakeOpen(t, func(name string) (io.ReadCloser, error) {
			if filepath.Base(name) != "c" {
				return os.Open(name)
			}
			return reads(func(p []byte) (int, error) {
				time.Sleep(time.Second) // in the bubble: until a and b are out
				if steps.Add(1) == 5 {
					cancel()
				}
				return len(p), nil
			}), nil
		})
		status, stdout, stderr := runCommand(ctx, "-workers", "1", root)
		want(t, status, 130, stderr, "2 files, 2 bytes, 5.00 s, 0.0 MB/s, interrupted\n")
		if strings.Contains(stderr, "failed") || strings.Contains(stderr, root) {
			t.Errorf("an interrupted file counts as failed:\n%s", stderr)
		}
		if stdout != lines(root, "a", "b") {
			t.Errorf("got:\n%s", stdout)
		}
		if steps.Load() != 5 {
			t.Errorf("%d reads, want 5: the last one canceled", steps.Load())
		}
	})
}

func TestInterruptedBeforeTheStart(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	status, stdout, stderr := runCommand(ctx, tree(t, "a"))
	want(t, status, 130, stderr, "0 files, ", "interrupted")
	if stdout != "" {
		t.Errorf("got %q", stdout)
	}
}

func TestWorkersBoundTheReading(t *testing.T) {
	root := tree(t, "0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
	for workers := 1; workers <= 5; workers += 2 {
		synctest.Test(t, func(t *testing.T) {
			var now, most atomic.Int64
			fakeOpen(t, func(string) (io.ReadCloser, error) {
				return reads(func([]byte) (int, error) {
					n := now.Add(1)
					for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
					}
					time.Sleep(time.Second)
					now.Add(-1)
					return 0, io.EOF
				}), nil
			})
			start := time.Now()
			status, _, stderr := runCommand(t.Context(), "-workers", fmt.Sprint(workers), root)
			want(t, status, 0, stderr, "10 files, ")
			rounds := (10 + workers - 1) / workers
			if took := time.Since(start); took != time.Duration(rounds)*time.Second || most.Load() != int64(workers) {
				t.Errorf("%d workers: %v, %d files at a time", workers, took, most.Load())
			}
		})
	}
}

// syncBuffer is a bytes.Buffer that may be read while it is written to.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func TestALargeFileDoesNotHoldBackLines(t *testing.T) {
	root := tree(t, "a", "b", "large")
	synctest.Test(t, func(t *testing.T) {
		fakeOpen(t, func(name string) (io.ReadCloser, error) {
			if filepath.Base(name) == "large" {
				time.Sleep(time.Hour)
			}
			return os.Open(name)
		})
		var stdout, stderr syncBuffer
		status := make(chan int, 1)
		go func() { status <- run(t.Context(), []string{"-workers", "2", root}, &stdout, &stderr) }()
		time.Sleep(flushAfter + time.Nanosecond)
		if got := stdout.String(); got != lines(root, "a", "b") {
			t.Errorf("after %v:\n%s", flushAfter, got)
		}
		want(t, <-status, 0, stderr.String(), "3 files, ")
		if got := stdout.String(); got != lines(root, "a", "b", "large") {
			t.Errorf("in the end:\n%s", got)
		}
	})
}

// closedPipe takes some bytes, in whole lines as it turns out, and no more.
type closedPipe struct{ room int }

func (c *closedPipe) Write(p []byte) (int, error) {
	if len(p) > c.room {
		return 0, errors.New("broken pipe")
	}
	c.room -= len(p)
	return len(p), nil
}

func TestClosedOutputStopsTheHashing(t *testing.T) {
	var names []string
	for i := range 1000 {
		names = append(names, fmt.Sprintf("%04d", i))
	}
	root := tree(t, names...)
	synctest.Test(t, func(t *testing.T) {
		opened := fakeOpen(t, func(name string) (io.ReadCloser, error) {
			time.Sleep(flushAfter) // as slow as the flushes: the buffer isn't filled
			return os.Open(name)
		})
		var stderr bytes.Buffer
		status := run(t.Context(), []string{"-workers", "4", root}, &closedPipe{room: 1000}, &stderr)
		want(t, status, 1, stderr.String(), "checksum: output: broken pipe\n", " files, ")
		if n := opened.Load(); n > 100 {
			t.Errorf("%d files read for nobody", n)
		}
	})
}

func TestClosedOutputIsFoundInTheEnd(t *testing.T) {
	var stderr bytes.Buffer
	status := run(t.Context(), []string{tree(t, "a")}, &closedPipe{}, &stderr)
	want(t, status, 1, stderr.String(), "checksum: output: broken pipe\n", "1 files, 1 bytes, ")
}

func TestLinesAreWrittenWhole(t *testing.T) {
	var sizes []int
	w := newLineWriter(writes(func(p []byte) (int, error) {
		if p[len(p)-1] != '\n' {
			t.Error("a write ends within a line")
		}
		sizes = append(sizes, len(p))
		return len(p), nil
	}))
	for i := range 100 {
		if err := w.WriteLine(strings.Repeat("x", i*100) + "\n"); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if len(sizes) < 8 || len(sizes) > 12 {
		t.Errorf("writes of %v bytes: not as large as the buffer allows", sizes)
	}
}

type writes func(p []byte) (int, error)

func (w writes) Write(p []byte) (int, error) { return w(p) }
