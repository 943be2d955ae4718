package progress

import (
	"bytes"
	"io"
	"slices"
	"sync"
)

// Log returns a writer to w that keeps apart what is written and what displays
// show on the same terminal or file: whole lines go above them. Without a
// display there it writes at once, and so it does to any other w. It is made
// for [log.SetOutput], for the handlers of log/slog, and for results:
//
//	log.SetOutput(progress.Log(os.Stderr))
//	results := progress.Log(os.Stdout)
//
// While a display is shown the part after the last line break is kept back, until
// the rest of that line comes or the last display ends; 64 KiB are a line in any
// case. w gets nothing but what was written; it has to be the terminal's file
// itself, so a buffer belongs before Log and not behind it. Write blocks as long
// as w does, and returns the errors of w. The writer is safe for concurrent use.
// A nil w panics.
func Log(w io.Writer) io.Writer {
	must(w != nil, "Log(nil): the writer must not be nil")
	return &logWriter{out: outputOf(w)}
}

type logWriter struct {
	out output

	mu   sync.Mutex // taken before that of a board
	part []byte     // of a line, kept back
}

const mostPart = 64 << 10

// Write implements [io.Writer].
func (l *logWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.writeLocked(p)
}

// flush writes the part of a line, since the last display is over; if another
// one has come it stays.
func (l *logWriter) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.part) > 0 {
		// The error comes again with the next Write, or nobody wants to know.
		_, _ = l.writeLocked(nil)
	}
}

func (l *logWriter) writeLocked(p []byte) (int, error) {
	if b := boardOf(l.out); b != nil {
		if n, ok, err := b.above(l, p); ok {
			return n, err
		}
	}
	if len(l.part) == 0 {
		return l.out.w.Write(p)
	}
	whole := append(l.part, p...)
	kept := len(l.part)
	l.part = nil
	return written(l.out.w, whole, kept)
}

// written writes data, of which the first bytes were kept back before. It counts
// the others.
func written(w io.Writer, data []byte, kept int) (int, error) {
	n, err := w.Write(data)
	return max(n-kept, 0), err
}

// above writes p above the displays, as far as it is whole lines; false if there
// are none any more.
func (b *board) above(l *logWriter, p []byte) (n int, ok bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over {
		return 0, false, nil
	}
	kept := len(l.part)
	data := append(l.part, p...)
	end := bytes.LastIndexByte(data, '\n') + 1
	if len(data)-end > mostPart {
		data = append(data, '\n')
		end = len(data)
	}
	l.part = bytes.Clone(data[end:])
	if len(l.part) > 0 && !slices.Contains(b.partial, l) {
		b.partial = append(b.partial, l)
	}
	if end == 0 {
		return len(p), true, nil
	}
	if b.animated {
		width, _ := b.size()
		b.writeLocked(b.screen.clear(width))
		defer b.showLocked()
	}
	n, err = written(l.out.w, data[:end], kept)
	if err == nil {
		n = len(p)
	}
	return n, true, err
}
