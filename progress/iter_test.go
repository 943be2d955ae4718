package progress_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/pipeline"
	"github.com/antflow/antflow/progress"
)

// A display of n values ends with the loop, however that ends.
func TestLoops(t *testing.T) {
	noLeak(t)
	values := []string{"a", "b", "c"}
	loops := map[string]struct {
		loop func(iter.Seq[string]) []string
		want string
	}{
		"end": {func(s iter.Seq[string]) []string { return slices.Collect(s) }, "3 of 3"},
		"break": {func(s iter.Seq[string]) (got []string) {
			for v := range s {
				if got = append(got, v); v == "b" {
					break
				}
			}
			return got
		}, "1 of 3"},
		"return": {func(s iter.Seq[string]) []string {
			for v := range s {
				return []string{v}
			}
			return nil
		}, "0 of 3"},
		"panic": {func(s iter.Seq[string]) (got []string) {
			defer func() {
				if r := recover(); r != "b" {
					t.Errorf("recovered %v", r)
				}
			}()
			for v := range s {
				if got = append(got, v); v == "b" {
					panic(v)
				}
			}
			return got
		}, "1 of 3"},
		"pull": {func(s iter.Seq[string]) []string {
			next, stop := iter.Pull(s)
			defer stop()
			a, _ := next()
			b, _ := next()
			return []string{a, b}
		}, "1 of 3"},
	}
	for name, test := range loops {
		x := newTerminal(t, 80, 24)
		seq := progress.Slice(values, x.here(), progress.Title(name))
		if x.raw.Len() > 0 {
			t.Errorf("%s: something is shown before the loop", name)
		}
		for range 2 { // each range is a run of its own
			x.raw.Reset()
			got := test.loop(seq)
			if !slices.Equal(got, values[:len(got)]) || len(got) == 0 {
				t.Errorf("%s: %q", name, got)
			}
			lines := x.screen()
			if last := lines[len(lines)-1]; !strings.HasPrefix(last, name+": "+test.want+" done") {
				t.Errorf("%s: the summary is %q, want %s", name, last, test.want)
			}
			if !strings.HasSuffix(x.raw.String(), "\r\n") {
				t.Errorf("%s: the cursor is not at the start of a line: %q", name, x.raw.String())
			}
		}
		if n := len(x.screen()); n != 2 {
			t.Errorf("%s: %d lines are left", name, n)
		}
	}
}

// The display of a loop that is left by a panic of the sequence ends, too.
func TestSequencePanics(t *testing.T) {
	noLeak(t)
	x := newTerminal(t, 80, 24)
	func() {
		defer func() { recover() }()
		for range progress.Results(func(yield func(int, error) bool) { panic("no") }, x.here()) {
		}
	}()
	if lines := x.screen(); len(lines) != 1 || !strings.HasPrefix(lines[0], "0 done, took ") {
		t.Errorf("left: %q", lines)
	}
}

// Of a map's results the failures are counted; what ends the map is no result.
func TestResults(t *testing.T) {
	atTerminal(t)
	synctest.Test(t, func(t *testing.T) {
		var file bytes.Buffer
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		e := antflow.New(2)
		defer e.Close()
		odd := func(ctx context.Context, n int) (int, error) {
			if n%2 == 1 {
				return 0, errors.New("odd")
			}
			return n, nil
		}
		var got, failed, ends int
		for _, err := range progress.Results(antflow.Map(ctx, e, slices.Values([]int{0, 1, 2, 3, 4, 5, 6}), odd, antflow.Window(1)),
			progress.Output(&file), progress.Total(7)) {
			switch item := (*antflow.ItemError)(nil); {
			case errors.As(err, &item):
				failed++
			case err != nil:
				ends++
			}
			if got++; got == 5 {
				cancel()
			}
		}
		if got != 6 || failed != 2 || ends != 1 {
			t.Errorf("%d results, %d failed, %d are the end", got, failed, ends)
		}
		if file.String() != "5 of 7 done, took 0s, 2 failed\n" {
			t.Errorf("%q", file.String())
		}
	})
}

// The end of a map by a shutdown is no result either.
func TestResultsOfShutdown(t *testing.T) {
	atTerminal(t)
	synctest.Test(t, func(t *testing.T) {
		var file bytes.Buffer
		ctx := context.Background()
		e := antflow.New(1)
		one := func(context.Context, int) (int, error) { return 1, nil }
		var last error
		for _, err := range progress.Results(antflow.Map(ctx, e, count(100), one, antflow.Window(2)), progress.Output(&file)) {
			last = err
			e.Close()
		}
		if last != antflow.ErrShutdown || strings.Contains(file.String(), "failed") {
			t.Errorf("%v: %q", last, file.String())
		}
	})
}

// In a pipeline, too, and with the rows of who works on it.
func TestResultsWithRows(t *testing.T) {
	x := newTerminal(t, 80, 24)
	synctest.Test(t, func(t *testing.T) {
		e := antflow.New(2)
		defer e.Close()
		var m pipeline.Monitor
		half := pipeline.Stage("half", func(_ context.Context, n int) (int, error) {
			time.Sleep(time.Second)
			if n%2 == 1 {
				return 0, errors.New("odd")
			}
			return n / 2, nil
		}, pipeline.Workers(2))
		results := half.Run(context.Background(), e, slices.Values([]int{0, 1, 2, 3}), pipeline.WithMonitor(&m))
		for range progress.Results(results, x.here(), progress.Total(4), progress.WithMonitor(&m), progress.Detailed) {
		}
	})
	x.seen(`
4 of 4 done, took 2.0s, 2.0/s, 2 failed
stage  workers  waiting  done  failed  retries   rate  each
half       0/2        0     2       2        0  2.0/s  1.0s
`)
}

// The inputs of a map are counted as they are taken, on the map's goroutine.
func TestInputsOfMap(t *testing.T) {
	x := newTerminal(t, 80, 24)
	synctest.Test(t, func(t *testing.T) {
		e := antflow.New(1)
		inputs := progress.Slice(make([]int, 20), x.here(), progress.Title("inputs"))
		for range antflow.Map(context.Background(), e, inputs, func(context.Context, int) (int, error) {
			time.Sleep(time.Second)
			return 0, nil
		}, antflow.Window(4)) {
		}
		e.Close()
	})
	x.seen("inputs: 20 of 20 done, took 17s, 1.2/s")
}

// A sequence of unknown length has neither bar nor ETA, and may have more values
// than its total.
func TestTotals(t *testing.T) {
	x := newTerminal(t, 80, 24)
	synctest.Test(t, func(t *testing.T) {
		count := func(yield func(int) bool) {
			for n := 0; yield(n); n++ {
			}
		}
		for n := range progress.Inputs(count, x.here(), progress.Title("endless")) {
			time.Sleep(100 * time.Millisecond)
			if n == 50 {
				break
			}
		}
		for n := range progress.Inputs(count, x.here(), progress.Title("more"), progress.Total(50)) {
			time.Sleep(107 * time.Millisecond)
			if n == 60 {
				x.seen(fmt.Sprint("endless: 50 done, took 5.1s, 9.8/s\n", "more  "+strings.Repeat("█", 30)+"  59/50  100%  9.2/s  elapsed 6s"))
				break
			}
		}
	})
}

func TestNested(t *testing.T) {
	x := newTerminal(t, 60, 24)
	synctest.Test(t, func(t *testing.T) {
		for i := range progress.Slice([]int{0, 1, 2}, x.here(), progress.Title("outer")) {
			for j := range progress.Slice([]int{0, 1}, x.here(), progress.Title(fmt.Sprint("inner ", i))) {
				time.Sleep(490 * time.Millisecond)
				if i == 1 && j == 1 {
					x.seen(`
inner 0: 2 of 2 done, took 980ms, 2.0/s
outer  ████████░░░░░░░░░░░░░░░░░░  1/3  33%  34/min  ETA 4s
inner 1  ████████████░░░░░░░░░░░░░  1/2  50%  1.3/s  ETA 1s
`)
				}
			}
		}
	})
	x.seen(`
inner 0: 2 of 2 done, took 980ms, 2.0/s
inner 1: 2 of 2 done, took 980ms, 2.0/s
inner 2: 2 of 2 done, took 980ms, 2.0/s
outer: 3 of 3 done, took 2.9s, 1.0/s
`)
}
