package main

import (
	"bufio"
	"io"
	"sync"
	"time"
)

// flushAfter is how long a line may wait for company in the buffer.
const flushAfter = 200 * time.Millisecond

// lineWriter buffers lines, but never for long: a large file must not hold
// back the lines before it, and flushing each would cost a write per file.
// It writes whole lines only, so that a kill leaves no torn one behind.
type lineWriter struct {
	mu    sync.Mutex // guards the fields below; held while writing
	w     *bufio.Writer
	timer *time.Timer
	armed bool // a flush is due: timer runs
}

func newLineWriter(w io.Writer) *lineWriter {
	return &lineWriter{w: bufio.NewWriterSize(w, 64<<10)}
}

// WriteLine returns the first error of any write so far: bufio keeps it, the
// timer's too.
func (l *lineWriter) WriteLine(line string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(line) > l.w.Available() {
		l.w.Flush()
	}
	_, err := l.w.WriteString(line)
	if !l.armed {
		l.armed = true
		if l.timer == nil {
			l.timer = time.AfterFunc(flushAfter, l.flush)
		} else {
			l.timer.Reset(flushAfter)
		}
	}
	return err
}

func (l *lineWriter) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.armed = false
	l.w.Flush()
}

// Close flushes what is left. A timer that fired just now finds nothing more
// to write, so the underlying writer is the caller's again.
func (l *lineWriter) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.timer != nil {
		l.timer.Stop()
	}
	return l.w.Flush()
}
