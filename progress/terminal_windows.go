package progress

import "golang.org/x/sys/windows"

// understand has a console act on sequences, which it only does when asked to.
// It reports whether it does, and how to undo it.
func understand(out output) (restore func(), ok bool) {
	restore = func() {}
	out.fd(func(fd int) {
		console := windows.Handle(fd)
		var before uint32
		if windows.GetConsoleMode(console, &before) != nil {
			return
		}
		wanted := before | windows.ENABLE_PROCESSED_OUTPUT | windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING
		if windows.SetConsoleMode(console, wanted) != nil {
			return // an old one
		}
		ok = true
		restore = func() {
			out.fd(func(fd int) { _ = windows.SetConsoleMode(windows.Handle(fd), before) })
		}
	})
	return restore, ok
}
