package progress

import (
	"io"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/term"
)

// An output is what displays are written to.
type output struct {
	w    io.Writer
	file os.FileInfo        // nil: it is no file
	fd   func(func(fd int)) // calls a function with its descriptor; nil: it has none
	size func() (w, h int)  // of a terminal; nil: it is none
}

// outputOf finds out what w is. The descriptor is only borrowed: asking a file
// for it would change the file's mode.
func outputOf(w io.Writer) output {
	o := output{w: w}
	if f, ok := w.(interface{ Stat() (os.FileInfo, error) }); ok {
		if info, err := f.Stat(); err == nil {
			o.file = info
		}
	}
	c, ok := w.(syscall.Conn)
	if !ok {
		return o
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return o
	}
	o.fd = func(fn func(fd int)) {
		// The error is that the file is closed, and then nothing is called.
		_ = raw.Control(func(fd uintptr) { fn(int(fd)) })
	}
	terminal := false
	o.fd(func(fd int) { terminal = term.IsTerminal(fd) })
	if terminal {
		o.size = func() (w, h int) {
			o.fd(func(fd int) {
				if cols, rows, err := term.GetSize(fd); err == nil {
					w, h = cols, rows
				}
			})
			return w, h
		}
	}
	return o
}

// same reports whether both are one file or terminal, or one writer.
func (o output) same(p output) bool {
	if o.file != nil && p.file != nil {
		return os.SameFile(o.file, p.file)
	}
	a, b := reflect.ValueOf(o.w), reflect.ValueOf(p.w)
	return a.Comparable() && b.Comparable() && o.w == p.w
}

// animated reports whether a display may move here: it is a terminal that knows
// how to, and somebody looks at it.
func (o output) animated() bool {
	if o.size == nil {
		return false
	}
	switch os.Getenv("CI") {
	case "", "0", "false":
	default:
		return false
	}
	name := os.Getenv("TERM")
	return name != "dumb" && (name != "" || runtime.GOOS == "windows")
}

// colored reports whether color is welcome.
func colored() palette { return os.Getenv("NO_COLOR") == "" }

// reflows reports whether the terminal breaks lines anew when it becomes
// narrower. Most do; these are known not to.
func reflows() bool {
	if os.Getenv("TMUX") != "" {
		return true
	}
	if os.Getenv("XTERM_VERSION") != "" {
		return false
	}
	name := os.Getenv("TERM")
	return !slices.ContainsFunc([]string{"linux", "screen", "vt", "rxvt"}, func(rigid string) bool {
		return strings.HasPrefix(name, rigid)
	})
}
