//go:build !windows

package progress

// understand is for consoles that have to be told to act on sequences.
func understand(output) (restore func(), ok bool) { return func() {}, true }
