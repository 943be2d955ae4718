// Package testkit holds what the tests of every package here need: bubbles of
// fake time, a look whether something is still blocked, and exact leak checks.
package testkit

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

// Bubble runs test in a bubble of fake time. The bubble is its leak check:
// it fails if a goroutine that test started is left blocked at the end.
func Bubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, test)
}

// Blocked reports whether done is still open once every other goroutine of
// the bubble waits. It must be called in a bubble.
func Blocked(done <-chan struct{}) bool {
	synctest.Wait()
	select {
	case <-done:
		return false
	default:
		return true
	}
}

// Sleep blocks for d, unless ctx ends before; then it returns ctx's error.
//
// It makes no timer for a time that is over at once, and in a bubble nobody
// should: such a timer fires on the goroutine that made it, and under the race
// detector all timers of a bubble have one context of that detector, which two
// goroutines at a time corrupt (Go 1.26: the test crashes).
func Sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		runtime.Gosched()
		return ctx.Err()
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// Started runs fn on a goroutine and returns a channel that is closed when it
// has returned.
func Started(fn func()) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		fn()
	}()
	return done
}

// NoLeak checks at the end of the test, by exact count, that no more
// goroutines run than at the call. It is for tests that can't be in a bubble;
// they must not be parallel.
func NoLeak(t testing.TB) {
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
