package antflow_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/testkit"
)

// nap sleeps as many seconds as its input says, and fails for a negative one.
var nap = antflow.NewTask("nap", func(ctx context.Context, n int) (string, error) {
	if n < 0 {
		return "x", errTest
	}
	err := testkit.Sleep(ctx, time.Duration(n)*time.Second)
	return "slept " + strconv.Itoa(n), err
})

// onRunners runs a test for each kind of runner: an executor, one behind another
// runner, and one whose calls run elsewhere.
func onRunners(t *testing.T, test func(t *testing.T, name string, r antflow.Runner, e *antflow.Executor)) {
	t.Helper()
	for _, name := range []string{"executor", "forwarded", "elsewhere"} {
		testkit.Bubble(t, func(t *testing.T) {
			e := antflow.New(100)
			defer e.Close()
			defer rest(t, e)
			r := map[string]antflow.Runner{"executor": e, "forwarded": &forward{to: e}, "elsewhere": newFarm(e, nap, doubling)}[name]
			test(t, name, r, e)
		})
	}
}

// pairs is what an iteration yields, as text.
func pairs[K, V any](seq iter.Seq2[K, V]) []string {
	var list []string
	for k, v := range seq {
		list = append(list, fmt.Sprint(k, ", ", v))
	}
	return list
}

func TestTaskMap(t *testing.T) {
	onRunners(t, func(t *testing.T, name string, r antflow.Runner, e *antflow.Executor) {
		inputs := slices.Values([]int{3, -1, 1, 2})
		m := nap.Map(t.Context(), r, inputs)
		if n := e.Stats().Submitted; n != 0 {
			t.Errorf("%s: %d submitted before anybody ranges", name, n)
		}
		want := []string{"slept 3, <nil>", ", antflow: item 1: test failure", "slept 1, <nil>", "slept 2, <nil>"}
		for range 2 { // each range is a fresh run
			start := time.Now()
			if got := pairs(m); !slices.Equal(got, want) {
				t.Errorf("%s: %q", name, got)
			}
			if d := time.Since(start); d != 3*time.Second {
				t.Errorf("%s: %v", name, d)
			}
		}
		u := nap.MapUnordered(t.Context(), r, inputs)
		want = []string{"{1 -1 }, antflow: item 1: test failure", "{2 1 slept 1}, <nil>", "{3 2 slept 2}, <nil>", "{0 3 slept 3}, <nil>"}
		for range 2 {
			if got := pairs(u); !slices.Equal(got, want) {
				t.Errorf("%s: %q", name, got)
			}
		}
		for _, err := range nap.Map(t.Context(), r, slices.Values([]int{-1})) {
			if item := (*antflow.ItemError)(nil); !errors.As(err, &item) || item.Err != errTest {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// A result is yielded as soon as it and all before it are there, also while the
// source blocks.
func TestTaskMapYieldsAtOnce(t *testing.T) {
	onRunners(t, func(t *testing.T, name string, r antflow.Runner, e *antflow.Executor) {
		source := func(yield func(int) bool) {
			for i := range 3 {
				if !yield(0) || i == 1 && testkit.Sleep(t.Context(), time.Hour) != nil {
					return
				}
			}
		}
		start := time.Now()
		var at []time.Duration
		for range nap.Map(t.Context(), r, source) {
			at = append(at, time.Since(start))
		}
		if fmt.Sprint(at) != "[0s 0s 1h0m0s]" {
			t.Errorf("%s: %v", name, at)
		}
	})
}

// Never are more than Window inputs pulled and not yet yielded, nor more than
// MaxConcurrency calls handed to the runner.
func TestTaskMapIsBounded(t *testing.T) {
	onRunners(t, func(t *testing.T, name string, r antflow.Runner, e *antflow.Executor) {
		for window := 1; window <= 5; window++ {
			for _, most := range []int{1, 3, 9} {
				var pulled atomic.Int64
				source := func(yield func(int) bool) {
					for pulled.Add(1); yield(0); pulled.Add(1) {
					}
				}
				before := e.Stats().Submitted
				yielded := 0
				for range nap.Map(t.Context(), r, source, antflow.Window(window), antflow.MaxConcurrency(most)) {
					synctest.Wait()
					if n := int(pulled.Load()) - yielded; n != window {
						t.Fatalf("%s, window %d: %d inputs pulled and not yet yielded", name, window, n)
					}
					if yielded++; yielded == 20 {
						break
					}
				}
				if n := e.Stats().Submitted - before; n > uint64(20+window) {
					t.Errorf("%s, window %d: %d submitted", name, window, n)
				}
				synctest.Wait()
			}
		}
		for _, most := range []int{1, 3, 9} {
			start := time.Now()
			n := 0
			for range nap.MapUnordered(t.Context(), r, slices.Values(make10(2)), antflow.MaxConcurrency(most)) {
				synctest.Wait()
				if s := e.Stats(); s.Running > most {
					t.Errorf("%s: %d of %d run", name, s.Running, most)
				}
				n++
			}
			if d, want := time.Since(start), time.Duration((10+most-1)/most)*2*time.Second; n != 10 || d != want {
				t.Errorf("%s, MaxConcurrency %d: %d in %v, want %v", name, most, n, d, want)
			}
		}
	})
}

func make10(n int) []int { return slices.Repeat([]int{n}, 10) }

// The default window follows the workers, where the runner tells of some.
func TestTaskMapWindow(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(30)
		for r, want := range map[antflow.Runner]int{e: 120, &forward{to: e}: 64, &manyWorkers{forward{to: e}}: 400} {
			pulled := 0
			for range doubling.Map(t.Context(), r, func(yield func(int) bool) {
				for yield(1) {
					pulled++
				}
			}) {
				synctest.Wait()
				break
			}
			synctest.Wait()
			if pulled+1 != want && pulled != want {
				t.Errorf("%T: %d inputs pulled, want %d", r, pulled, want)
			}
		}
		e.Close()
	})
}

type manyWorkers struct{ forward }

func (*manyWorkers) MaxWorkers() int { return 100 }

func TestTaskMapEndsEarly(t *testing.T) {
	onRunners(t, func(t *testing.T, name string, r antflow.Runner, e *antflow.Executor) {
		// The loop is left: what is outstanding is canceled, nothing stays.
		for range nap.Map(t.Context(), r, slices.Values([]int{1, 50, 50, 50})) {
			break
		}
		rest(t, e)
		if s := e.Stats(); s.Canceled != 3 || s.Running+s.Queued != 0 {
			t.Errorf("%s: %+v", name, s)
		}

		// A result takes too long: one error, the last one.
		start := time.Now()
		got := pairs(nap.Map(t.Context(), r, slices.Values([]int{2, 3, 9, 1}), antflow.ResultTimeout(4*time.Second)))
		if len(got) != 3 || !strings.Contains(got[2], "antflow: wait ended: no further result after 2 within 4s") || time.Since(start) != 7*time.Second {
			t.Errorf("%s: %q after %v", name, got, time.Since(start))
		}
		rest(t, e)

		// The context ends: one error, and all that is outstanding is canceled.
		cause := errors.New("cause")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(1500*time.Millisecond, func() { cancel(cause) })
		n := 0
		for v, err := range nap.MapUnordered(ctx, r, slices.Values([]int{5, 1, 5, 5})) {
			n++
			wait := (*antflow.WaitError)(nil)
			if n == 1 && (err != nil || v.Index != 1) || n == 2 && (!errors.As(err, &wait) || !errors.Is(err, cause) || v != antflow.Item[int, string]{}) {
				t.Errorf("%s: %+v, %v", name, v, err)
			}
		}
		if n != 2 {
			t.Errorf("%s: %d yielded", name, n)
		}
		if got := pairs(nap.Map(ctx, r, slices.Values([]int{1}))); len(got) != 1 || !strings.Contains(got[0], "antflow: wait ended: context canceled: cause") {
			t.Errorf("%s: %q", name, got)
		}
		rest(t, e)
		if s := e.Stats(); s.Running+s.Queued != 0 {
			t.Errorf("%s: %+v", name, s)
		}
	})
}

// A runner that is shut down yields what it has accepted, and then one error.
func TestTaskMapOfShutDownRunner(t *testing.T) {
	onRunners(t, func(t *testing.T, name string, r antflow.Runner, e *antflow.Executor) {
		source := func(yield func(int) bool) {
			for i := 1; yield(i); i++ {
				if i == 3 {
					e.Shutdown(t.Context(), antflow.NoWait())
				}
			}
		}
		want := []string{"slept 1, <nil>", "slept 2, <nil>", "slept 3, <nil>", ", antflow: the executor is shut down"}
		if got := pairs(nap.Map(t.Context(), r, source)); !slices.Equal(got, want) {
			t.Errorf("%s: %q", name, got)
		}
		got := pairs(nap.MapUnordered(t.Context(), r, slices.Values([]int{1, 2})))
		if len(got) != 1 || got[0] != "{0 0 }, antflow: the executor is shut down" {
			t.Errorf("%s: %q", name, got)
		}
		if s := e.Stats(); s.Rejected > 3 {
			t.Errorf("%s: %+v", name, s)
		}
	})
}

// A call that fails with ErrShutdown was one, and the map goes on.
func TestTaskMapOfShutDownElsewhere(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(1)
		r := runnerFunc(func(ctx context.Context, c antflow.Call) antflow.Waitable {
			remote := c.Remote(ctx, e, func() {})
			if c.Input() == 1 {
				remote.Settle(antflow.RemoteEnd{Err: antflow.ErrShutdown})
			}
			remote.Settle(value(8))
			return remote.Future()
		})
		want := []string{"8, <nil>", "0, antflow: item 1: the executor is shut down", "8, <nil>"}
		if got := pairs(doubling.Map(t.Context(), r, slices.Values([]int{0, 1, 2}))); !slices.Equal(got, want) {
			t.Errorf("%q", got)
		}
		e.Close()
	})
}

// What the source does instead of returning happens in the loop, and so does
// what a runner does.
func TestTaskMapPanics(t *testing.T) {
	onRunners(t, func(t *testing.T, name string, r antflow.Runner, e *antflow.Executor) {
		n := 0
		loop := func(r antflow.Runner, fault func()) (v any) {
			defer func() { v = recover() }()
			for range nap.Map(t.Context(), r, func(yield func(int) bool) { yield(1); yield(2); fault() }) {
				n++
			}
			return nil
		}
		if v := loop(r, func() { panic("mine") }); v != "mine" || n != 2 {
			t.Errorf("%s: %v after %d", name, v, n)
		}
		left := testkit.Started(func() { loop(r, runtime.Goexit); n = -100 })
		if <-left; n != 4 {
			t.Errorf("%s: %d", name, n)
		}
		if v := loop(runnerFunc(func(context.Context, antflow.Call) antflow.Waitable { return nil }), func() {}); !strings.Contains(fmt.Sprint(v), "not the future of the call") {
			t.Errorf("%s: %v", name, v)
		}
	})
}

// The calls of a map have keys of their own, and the options of the task and of
// the map; but none of them gives up at a full queue.
func TestTaskMapOptions(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(1, antflow.QueueLimit(2))
		defer e.Close()
		task := antflow.NewTask("t", func(_ context.Context, n int) (int, error) { return n, nil }, antflow.Retries(2), antflow.Key("own"), antflow.NonBlocking(), antflow.RetryIf(func(error) bool { return true }))
		var mu sync.Mutex
		var seen []string
		r := &forward{to: newFarm(e, task), seen: func(c antflow.Call) {
			s := c.Settings()
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, fmt.Sprintln(c.Input(), s.Key, s.Retries, s.Timeout, s.NonBlocking, s.Local))
		}}
		for _, c := range []struct {
			opts []antflow.MapOption
			key  string
			rest string
		}{
			{nil, "own/", "2 0s false []"},
			{[]antflow.MapOption{antflow.Key("k"), antflow.Timeout(time.Second), antflow.NonBlocking(), antflow.Window(100)}, "k/", "2 1s false []"},
			{[]antflow.MapOption{antflow.Key(""), antflow.Retries(1), antflow.WithSemaphore(antflow.NewSemaphore(1)), antflow.MaxConcurrency(5)}, "", "1 0s false [WithSemaphore]"},
		} {
			seen = nil
			for _, err := range task.Map(t.Context(), r, func(yield func(int) bool) {
				for i := 10; i < 30 && yield(i); i++ {
				}
			}, c.opts...) {
				if err != nil {
					t.Error(err)
				}
			}
			for i, got := range seen {
				key := ""
				if c.key != "" {
					key = c.key + strconv.Itoa(i)
				}
				if want := fmt.Sprintln(i+10, key, c.rest); got != want {
					t.Errorf("%q, want %q", got, want)
				}
			}
			if len(seen) != 20 {
				t.Errorf("%d calls", len(seen))
			}
		}
	})
}
