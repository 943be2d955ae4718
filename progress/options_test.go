package progress_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/pipeline"
	"github.com/antflow/antflow/progress"
)

func TestMisuse(t *testing.T) {
	noLeak(t)
	e := antflow.New(1)
	var none progress.Option
	for want, misuse := range map[string]func(){
		"Show: the executor must not be nil":                                func() { progress.Show(nil) },
		"Show: nil Option at index 1":                                       func() { progress.Show(e, progress.Full, none) },
		"ShowPipeline: the monitor must not be nil":                         func() { progress.ShowPipeline(nil) },
		"ShowPipeline: nil Option at index 0":                               func() { progress.ShowPipeline(new(pipeline.Monitor), none) },
		"Inputs: the sequence must not be nil":                              func() { progress.Inputs[int](nil) },
		"Inputs: nil Option at index 0":                                     func() { progress.Inputs(count(1), none) },
		"Results: the sequence must not be nil":                             func() { progress.Results[int](nil) },
		"Results: nil Option at index 0":                                    func() { progress.Results(func(func(int, error) bool) {}, none) },
		"Slice: nil Option at index 0":                                      func() { progress.Slice([]int{1}, none) },
		"Log(nil): the writer must not be nil":                              func() { progress.Log(nil) },
		"Output(nil): the writer must not be nil":                           func() { progress.Output(nil) },
		"Output: a writer of Log writes above displays, and can't have one": func() { progress.Output(progress.Log(io.Discard)) },
		"Total(-1): the total must not be negative":                         func() { progress.Total(-1) },
		"Interval(99ms): the interval must be at least 100ms":               func() { progress.Interval(99 * time.Millisecond) },
		"WithExecutor(nil): the executor must not be nil":                   func() { progress.WithExecutor(nil) },
		"WithMonitor(nil): the monitor must not be nil":                     func() { progress.WithMonitor(nil) },
		"Level(3) is no level":                                              func() { progress.Show(e, progress.Level(3)) },
	} {
		func() {
			defer func() {
				if got := fmt.Sprint(recover()); got != "antflow: "+want {
					t.Errorf("panic %q, want %q", got, want)
				}
			}()
			misuse()
		}()
	}
}

func TestLevels(t *testing.T) {
	for level, name := range []string{"compact", "detailed", "full", "Level(3)"} {
		if got := progress.Level(level).String(); got != name {
			t.Errorf("level %d is %q", level, got)
		}
	}
	flags := flag.NewFlagSet("", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	var level progress.Level
	flags.TextVar(&level, "level", progress.Detailed, "")
	if level != progress.Detailed {
		t.Errorf("the default is %v", level)
	}
	if err := flags.Parse([]string{"-level", "full"}); err != nil || level != progress.Full {
		t.Errorf("%v, %v", level, err)
	}
	err := flags.Parse([]string{"-level", "fu"})
	if want := `antflow: "fu" is no level; there are compact, detailed and full`; err == nil || !strings.Contains(err.Error(), want) {
		t.Error(err)
	}
}

// A writer that can't be compared has displays of its own.
type incomparable struct {
	io.Writer
	_ []int
}

// Of several options the later ones win, and a title of the user's own over the
// executor's name.
func TestLastOptionWins(t *testing.T) {
	atTerminal(t)
	synctest.Test(t, func(t *testing.T) {
		var file bytes.Buffer
		e := antflow.New(1, antflow.ExecutorName("name"))
		here := progress.Output(incomparable{Writer: &file})
		stop := progress.Show(e, progress.Output(io.Discard), progress.Title("1"), here, progress.Title("2\n3"), progress.Total(9))
		for range progress.Slice([]int{1}, here, progress.Total(5)) {
		}
		stop()
		if want := "1 of 5 done, took 0s\n2 3: 0 of 9 done, took 0s\n"; file.String() != want {
			t.Errorf("%q, want %q", file.String(), want)
		}
	})
}

// The rows of executors and monitors can be with any display.
func TestRowsOfOthers(t *testing.T) {
	x := newTerminal(t, 80, 24)
	synctest.Test(t, func(t *testing.T) {
		e := antflow.New(2)
		defer e.Close()
		nap := func(_ context.Context, n int) (int, error) { time.Sleep(90 * time.Millisecond); return n, nil }
		results := antflow.Map(context.Background(), e, slices.Values(make([]int, 10)), nap, antflow.TaskName("nap"))
		for range progress.Results(results, x.here(), progress.WithExecutor(e), progress.Detailed, progress.Total(10), progress.Title("map")) {
		}
	})
	x.seen(`
map: 10 of 10 done, took 450ms, 22/s
task  done  failed  running  retries   p50   p95
nap     10       0        0        0  87ms  90ms
`)
}
