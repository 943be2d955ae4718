package progress_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/pipeline"
	"github.com/antflow/antflow/progress"
)

// sleeper is a task.
func sleeper(d time.Duration) func(context.Context) error {
	return func(context.Context) error { time.Sleep(d); return nil }
}

// A display counts what had not ended when it began, and what came later; there
// are no names and failures of former times in it.
func TestCountsBeginWithTheDisplay(t *testing.T) {
	x := newTerminal(t, 80, 24)
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		e := antflow.New(1)
		defer e.Close()
		defer e.Measure()()
		fail := func(context.Context) error { return errors.New("no") }
		for i := range 6 {
			e.Go(ctx, func(ctx context.Context) error {
				time.Sleep(time.Minute)
				return fail(ctx)
			}, antflow.TaskName([]string{"old", "new"}[i%2]), antflow.Retries(1), antflow.RetryDelay(0))
		}
		time.Sleep(time.Hour)
		for range 3 { // of which one runs
			e.Go(ctx, sleeper(990*time.Millisecond), antflow.TaskName("waiting"))
		}
		stop := progress.Show(e, progress.Full, x.here(), progress.Total(5))
		e.Go(ctx, fail, antflow.TaskName("new"))
		e.Go(ctx, sleeper(990*time.Millisecond), antflow.TaskName("new"))
		time.Sleep(1300 * time.Millisecond)
		x.seen(`
██████░░░░░░░░░░░░░░░░░░░░░░░░  1/5  20%  51/min  ETA 5s  1 running  3 waiting
task     done  failed  running  retries    p50    p95
new         0       0        0        0
waiting     1       0        1        0  965ms  987ms
worker  task     attempt    for  status
     0  waiting        1  210ms
`)
		time.Sleep(3 * time.Second)
		stop()
		x.seen(`
5 of 5 done, took 4.3s, 1.2/s, 1 failed
task     done  failed  running  retries    p50    p95
new         2       1        0        0  0.1µs   1.1s
waiting     3       0        0        0  965ms  987ms
failed  at   error
     1  new  no
`)
	})
}

// bars reports whether there was a bar in any frame.
func bars(x *terminal) func() bool {
	some := false
	x.after = func(lines []string) {
		for _, line := range lines {
			some = some || strings.ContainsAny(line, "░█")
		}
	}
	return func() bool {
		x.mu.Lock()
		defer x.mu.Unlock()
		return some
	}
}

// What was submitted is no total as long as more comes: a map submits as its
// results are taken. It is one once no more has come for a while.
func TestTotalOfMap(t *testing.T) {
	x := newTerminal(t, 80, 24)
	synctest.Test(t, func(t *testing.T) {
		e := antflow.New(4)
		defer e.Close()
		endless := func(yield func(time.Duration) bool) {
			for n := 0; yield(time.Duration(1+n%5) * 3 * time.Second); n++ {
			}
		}
		bar := bars(x)
		defer progress.Show(e, x.here())()
		left := 100
		for range antflow.Map(context.Background(), e, endless, func(_ context.Context, d time.Duration) (int, error) {
			return 0, sleeper(d)(nil)
		}, antflow.Window(16)) {
			if left--; left == 0 {
				break
			}
		}
		if bar() {
			t.Error("there was a bar")
		}
	})
}

func TestTotalOfSubmitted(t *testing.T) {
	x := newTerminal(t, 80, 24)
	synctest.Test(t, func(t *testing.T) {
		e := antflow.New(1)
		bar := bars(x)
		stop := progress.Show(e, x.here())
		for range 10 {
			e.Go(context.Background(), sleeper(990*time.Millisecond))
		}
		time.Sleep(2900 * time.Millisecond) // the first one has ended after a second
		if bar() {
			t.Error("there is a bar while more may come")
		}
		time.Sleep(450 * time.Millisecond)
		x.seen("█████████░░░░░░░░░░░░░░░░░░░░░  3/10  30%  57/min  ETA 7s  1 running  6 waiting")
		e.Close()
		stop()
	})
}

func TestTotalOfClosing(t *testing.T) {
	x := newTerminal(t, 80, 24)
	synctest.Test(t, func(t *testing.T) {
		e := antflow.New(1)
		stop := progress.Show(e, x.here())
		for range 4 {
			e.Go(context.Background(), sleeper(time.Second))
		}
		go e.Close()
		time.Sleep(300 * time.Millisecond)
		x.seen("░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░  0/4  0%  elapsed 0s  1 running  3 waiting")
		time.Sleep(4 * time.Second)
		stop()
	})
}

var rates = regexp.MustCompile(`([0-9.,]+)/(s|min|h)\b`)

// rateOf is what a line says, in a second.
func rateOf(line string) float64 {
	m := rates.FindStringSubmatch(line)
	if m == nil {
		return 0
	}
	v, _ := strconv.ParseFloat(strings.ReplaceAll(m[1], ",", ""), 64)
	return v / map[string]float64{"s": 1, "min": 60, "h": 3600}[m[2]]
}

// The rate is that of the last ten seconds or so, and is right from the first
// frame on; that of slow tasks doesn't jump with each of them.
func TestRate(t *testing.T) {
	for _, test := range []struct {
		name      string
		every     func(n int) time.Duration
		n         int
		frames    time.Duration
		from      time.Duration // when the rate has to be right from
		low, high float64
	}{
		{"steady", func(int) time.Duration { return 10 * time.Millisecond }, 3000, 200 * time.Millisecond, 200 * time.Millisecond, 95, 105},
		{"slow", func(int) time.Duration { return 30 * time.Second }, 20, time.Second, 2 * time.Minute, 1. / 40, 1. / 24},
		{"faster", func(n int) time.Duration {
			if n < 60 {
				return time.Second
			}
			return 50 * time.Millisecond
		}, 1000, 500 * time.Millisecond, 60*time.Second + 30*time.Second, 18, 21},
		{"slower", func(n int) time.Duration {
			if n < 2000 {
				return 10 * time.Millisecond
			}
			return time.Second
		}, 2100, 500 * time.Millisecond, 20*time.Second + 70*time.Second, 0.8, 1.3},
	} {
		t.Run(test.name, func(t *testing.T) {
			x := newTerminal(t, 60, 2)
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				bad := 0
				x.after = func(lines []string) {
					at := time.Since(start)
					if got := rateOf(lines[0]); at >= test.from && (got < test.low || got > test.high) {
						if bad++; bad < 5 {
							t.Errorf("%v: %v, not %v to %v: %s", at, got, test.low, test.high, lines[0])
						}
					}
				}
				for n := range progress.Inputs(count(test.n), x.here(), progress.Interval(test.frames)) {
					time.Sleep(test.every(n))
				}
			})
		})
	}
}

func count(n int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := 0; i < n && yield(i); i++ {
		}
	}
}

// The ETA of a steady loop is right.
func TestETA(t *testing.T) {
	x := newTerminal(t, 80, 24)
	synctest.Test(t, func(t *testing.T) {
		for n := range progress.Inputs(count(1000), x.here(), progress.Total(1000)) {
			time.Sleep(99 * time.Millisecond)
			if want := map[int]string{40: "ETA 1m3[56]s", 400: "ETA (1m00s|59s)", 700: "ETA 30s", 995: "ETA 1s"}[n]; want != "" {
				if line := x.screen()[0]; !regexp.MustCompile(want).MatchString(line) {
					t.Errorf("%d: %s, want %s", n, line, want)
				}
			}
		}
	})
}

// More rows than there are lines are folded, each table to its share.
func TestFolding(t *testing.T) {
	x := newTerminal(t, 80, 24)
	synctest.Test(t, func(t *testing.T) {
		e := antflow.New(40)
		stop := progress.Show(e, progress.Full, x.here(), progress.Title("many"))
		for i := range 40 {
			e.Go(context.Background(), func(context.Context) error {
				time.Sleep(time.Duration(100+i) * time.Second)
				return fmt.Errorf("no: %c", 'a'+i)
			}, antflow.TaskName(fmt.Sprint("task ", i)))
		}
		time.Sleep(time.Second + time.Millisecond)
		lines := x.screen()
		if len(lines) != 23 || lines[0] != "many  0 done  elapsed 1s  40 running" || lines[11] != "… 31 more" || lines[22] != "… 31 more" ||
			!strings.HasPrefix(lines[2], "task 0 ") || !strings.Contains(lines[13], "task 0 ") {
			t.Errorf("the screen is\n%s", strings.Join(lines, "\n"))
		}
		time.Sleep(100*time.Second + 300*time.Millisecond) // two have failed
		lines = x.screen()
		if len(lines) != 23 || lines[10] != "… 32 more" || lines[19] != "… 31 more" || lines[22] != "     1  task 1  no: b" {
			t.Errorf("the screen is\n%s", strings.Join(lines, "\n"))
		}
		x.resize(80, 5)
		time.Sleep(200 * time.Millisecond)
		x.seen("many  2 done  1.2/min  elapsed 1m41s  2 failed  38 running\n… 40 more\n… 38 more\n… 2 more")
		x.resize(80, 24)
		e.Close()
		stop()
		lines = x.screen()
		if n := len(lines); n != 23 || !strings.HasPrefix(lines[0], "many: 40 of 40 done, took 2m19s") || lines[n-1] != "… 31 more" {
			t.Errorf("left:\n%s", strings.Join(lines, "\n"))
		}
	})
}

// Displays share the lines there are.
func TestManyDisplays(t *testing.T) {
	x := newTerminal(t, 40, 6)
	synctest.Test(t, func(t *testing.T) {
		var stops []func()
		for i := range 9 {
			e := antflow.New(1)
			defer e.Close()
			stops = append(stops, progress.Show(e, progress.Detailed, progress.Title(fmt.Sprint("no. ", i)), x.here()))
			e.Go(context.Background(), sleeper(time.Second), antflow.TaskName("nap"))
		}
		time.Sleep(250 * time.Millisecond)
		x.seen(`
no. 0  0 done  elapsed 0s  1 running
no. 1  0 done  elapsed 0s  1 running
no. 2  0 done  elapsed 0s  1 running
no. 3  0 done  elapsed 0s  1 running
… 5 more displays
`)
		for i := 8; i > 1; i-- {
			stops[i]()
		}
		x.seen(`
nap      0       0        1
no. 0  0 done  elapsed 0s  1 running
task  done  failed  running  p50  p95
nap      0       0        1
no. 1  0 done  elapsed 0s  1 running
… 1 more
`)
		stops[1]()
		stops[0]()
	})
}

// stop may be called again and from everywhere, and is over when the last line
// is written. There is a goroutine until then, and none after.
func TestStop(t *testing.T) {
	noLeak(t)
	atTerminal(t)
	synctest.Test(t, func(t *testing.T) {
		e := antflow.New(1)
		var file bytes.Buffer
		stop := progress.Show(e, progress.Output(&file))
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				stop()
				if file.String() != "0 of 0 done, took 0s\n" && file.String() != "0 done, took 0s\n" {
					t.Errorf("%q", file.String())
				}
			})
		}
		wg.Wait()
		stop()
		time.Sleep(time.Hour)
		if n := strings.Count(file.String(), "\n"); n != 1 {
			t.Errorf("%q", file.String())
		}
		e.Close()
	})
}

// What the workers are doing is over with the display, and so is the observation.
func TestStopWhileTasksRun(t *testing.T) {
	x := newTerminal(t, 80, 24)
	synctest.Test(t, func(t *testing.T) {
		e := antflow.New(2)
		stop := progress.Show(e, progress.Full, x.here())
		e.Go(context.Background(), sleeper(time.Hour), antflow.TaskName("nap"))
		time.Sleep(time.Second)
		if n := len(x.screen()); n != 5 || !e.Snapshot().Observed {
			t.Errorf("%d lines, observed %v", n, e.Snapshot().Observed)
		}
		stop()
		if e.Snapshot().Observed {
			t.Error("the executor is still observed")
		}
		x.seen(`
0 of 1 done, took 1.0s
task  done  failed  running  retries  p50  p95
nap      0       0        1        0
`)
		e.Close()
	})
}

// A monitor may get its run later, or another one, and the error of a failure may
// be as nasty as it likes.
func TestMonitorOfSeveralRuns(t *testing.T) {
	x := newTerminal(t, 80, 24)
	synctest.Test(t, func(t *testing.T) {
		e := antflow.New(2)
		defer e.Close()
		var m pipeline.Monitor
		stop := progress.ShowPipeline(&m, progress.Full, x.here())
		time.Sleep(250 * time.Millisecond)
		x.seen("0 done  elapsed 0s")
		fail := pipeline.Stage("fail", func(_ context.Context, n int) (int, error) {
			time.Sleep(time.Second)
			return 0, panicker{}
		}, pipeline.Workers(2))
		for n := 6; n >= 2; n -= 4 {
			time.Sleep(time.Second)
			for range fail.Run(context.Background(), e, slices.Values(make([]int, n)), pipeline.WithMonitor(&m)) {
			}
		}
		stop()
	})
	x.seen(`
2 of 2 done, took 6.2s, 19/min, 2 failed
stage  workers  waiting  done  failed  retries   rate  each
fail       0/2        0     0       2        0  2.0/s  1.0s
failed  at    error
     2  fail  (its text is not to be had: the Error method panicked)
`)
}

type panicker struct{}

func (panicker) Error() string { panic("no text") }

// The parts of an input count as items each, but what was done stays done.
func TestDoneNeverShrinks(t *testing.T) {
	x := newTerminal(t, 80, 24)
	synctest.Test(t, func(t *testing.T) {
		e := antflow.New(4)
		defer e.Close()
		most := 0
		x.after = func(lines []string) {
			m := regexp.MustCompile(`([0-9]+)(/20| done)`).FindStringSubmatch(lines[0])
			if m == nil {
				t.Errorf("no count: %q", lines[0])
				return
			}
			done, _ := strconv.Atoi(m[1])
			if done < most {
				t.Errorf("after %d done: %q", most, lines[0])
			}
			most = done
		}
		split := pipeline.FlatMap("split", func(_ context.Context, n int) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) {
				time.Sleep(250 * time.Millisecond)
				for i := range n / 10 * 30 {
					if !yield(i, nil) {
						return
					}
				}
			}
		}, pipeline.Workers(1))
		work := pipeline.Stage("work", func(_ context.Context, n int) (int, error) {
			time.Sleep(100 * time.Millisecond)
			return n, nil
		}, pipeline.Workers(2), pipeline.Buffer(100))
		var m pipeline.Monitor
		stop := progress.ShowPipeline(&m, x.here(), progress.Interval(100*time.Millisecond))
		for range pipeline.Then(split, work).Run(context.Background(), e, count(20), pipeline.WithMonitor(&m)) {
		}
		stop()
		if most < 10 || !strings.HasPrefix(x.screen()[0], "20 of 20 done, ") {
			t.Errorf("%d done, and at the end %s", most, x.screen()[0])
		}
	})
}

// A run with very many items isn't looked at item by item.
func TestManyItems(t *testing.T) {
	x := newTerminal(t, 80, 24)
	synctest.Test(t, func(t *testing.T) {
		e := antflow.New(1)
		var m pipeline.Monitor
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		slow := pipeline.Stage("slow", func(ctx context.Context, n int) (int, error) {
			<-ctx.Done()
			return 0, ctx.Err()
		}, pipeline.Workers(1), pipeline.Buffer(5000))
		go func() {
			for range slow.RunUnordered(ctx, e, count(5000), pipeline.WithMonitor(&m), pipeline.Window(5000)) {
			}
		}()
		stop := progress.ShowPipeline(&m, progress.Full, x.here())
		time.Sleep(time.Minute)
		if lines := x.screen(); len(lines) != 5 || lines[4] != "(too many to list)" {
			t.Errorf("the screen is\n%s", strings.Join(lines, "\n"))
		}
		cancel()
		e.Close()
		stop()
	})
}
