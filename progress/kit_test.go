package progress_test

import (
	"bytes"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/antflow/antflow/progress"
	uv "github.com/charmbracelet/ultraviolet"
	"github.com/charmbracelet/x/vt"
)

// A terminal is one that is emulated. Each Write has to leave it in order.
type terminal struct {
	t *testing.T

	mu     sync.Mutex
	vt     *vt.Emulator
	w, h   int
	raw    bytes.Buffer
	frames int            // writes that were frames
	after  func([]string) // is called with all lines after each of these
}

// newTerminal makes one, and has the environment of a user in front of it.
func newTerminal(t *testing.T, w, h int) *terminal {
	t.Helper()
	atTerminal(t)
	return &terminal{t: t, vt: vt.NewEmulator(w, h), w: w, h: h}
}

func atTerminal(t *testing.T) {
	t.Helper()
	for name, value := range map[string]string{
		"TERM": "xterm-256color", "CI": "", "NO_COLOR": "1", "TMUX": "", "XTERM_VERSION": "",
	} {
		t.Setenv(name, value)
	}
}

// Write is what a display or a log writes. Lines are not clipped here, so that
// one that is too long wraps, and is seen.
func (x *terminal) Write(p []byte) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.raw.Write(p)
	if _, err := x.vt.Write(bytes.ReplaceAll(p, []byte("\x1b[?7l"), nil)); err != nil {
		x.t.Error(err)
	}
	if bytes.HasSuffix(p, []byte("\x1b[?7h")) {
		x.frames++
		if x.after != nil {
			x.after(x.allLocked())
		}
	}
	return len(p), nil
}

func (x *terminal) size() (w, h int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.w, x.h
}

// here is the option that has a display there.
func (x *terminal) here() progress.Option { return progress.Terminal(x, x.size) }

// screen is what is seen, without blank lines at the end.
func (x *terminal) screen() []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.screenLocked()
}

func (x *terminal) screenLocked() []string {
	var lines []string
	for y := range x.vt.Height() {
		lines = append(lines, row(y, x.vt.CellAt))
	}
	for len(lines) > 0 && lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}

// all is what was ever to be seen: what has scrolled away, and the screen.
func (x *terminal) all() []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.allLocked()
}

func (x *terminal) allLocked() []string {
	var lines []string
	for y := range x.vt.ScrollbackLen() {
		lines = append(lines, row(y, x.vt.ScrollbackCellAt))
	}
	return append(lines, x.screenLocked()...)
}

// resize changes the size, as terminals do that cut lines.
func (x *terminal) resize(w, h int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.w, x.h = w, h
	x.vt.Resize(w, h)
}

// reflow changes the width, as terminals do that break lines anew. The cursor
// has to be at the end of the last line.
func (x *terminal) reflow(w int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	lines := x.screenLocked()
	x.w, x.vt = w, vt.NewEmulator(w, x.h)
	x.vt.WriteString(strings.Join(lines, "\r\n"))
}

func row(y int, cellAt func(x, y int) *uv.Cell) string {
	var b strings.Builder
	for x := 0; ; x++ {
		c := cellAt(x, y)
		if c == nil {
			return strings.TrimRight(b.String(), " ")
		}
		if c.Width > 0 {
			b.WriteString(c.Content)
		}
	}
}

// seen fails the test if the screen is not what is wanted, line by line.
func (x *terminal) seen(want string) {
	x.t.Helper()
	equal(x.t, x.screen(), want)
}

func equal(t *testing.T, got []string, want string) {
	t.Helper()
	if lines := strings.Split(strings.Trim(want, "\n"), "\n"); !slices.Equal(got, lines) {
		t.Errorf("the screen is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(lines, "\n"))
	}
}

// noLeak checks at the end of the test, by exact count, that no more goroutines
// run than at the call. The test must not be parallel.
func noLeak(t *testing.T) {
	t.Helper()
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		// A goroutine that has done its last step still has to exit.
		for end := time.Now().Add(10 * time.Second); time.Now().Before(end); runtime.Gosched() {
			if runtime.NumGoroutine() <= before {
				return
			}
		}
		buf := make([]byte, 1<<20)
		t.Errorf("%d goroutines, %d before the test\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
	})
}
