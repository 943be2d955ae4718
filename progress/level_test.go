package progress_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/pipeline"
	"github.com/antflow/antflow/progress"
)

// Nothing in these tests ends at the time of a frame, which are at each 200
// milliseconds: who comes first then is not said.

// crawl shows an executor in a bubble: when some is done, one has failed, three
// tasks run, of which one is blocked, and five wait; and when all is over.
func crawl(t *testing.T, width int, level progress.Level, running, end string) {
	t.Helper()
	x := newTerminal(t, width, 24)
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		e := antflow.New(2, antflow.ExecutorName("crawler"))
		stop := progress.Show(e, level, progress.Total(13), x.here())
		quick := func(ctx context.Context) error { time.Sleep(90 * time.Millisecond); return nil }
		for n := range 5 {
			e.Go(ctx, func(ctx context.Context) error {
				quick(ctx)
				if n == 3 {
					return errors.New("connection refused")
				}
				return nil
			}, antflow.TaskName("fetch")).Result(ctx)
		}
		synctest.Wait() // until the worker is free
		e.Go(ctx, func(ctx context.Context) error {
			antflow.SetStatus(ctx, "page 1 of 3")
			time.Sleep(9 * time.Second)
			return nil
		}, antflow.TaskName("fetch"))
		time.Sleep(90 * time.Millisecond)
		e.Go(ctx, func(ctx context.Context) error {
			_, err := antflow.Submit(ctx, e, func(ctx context.Context) (int, error) {
				antflow.SetStatus(ctx, "to \x1b[1mdisk\x1b[m")
				time.Sleep(9 * time.Second)
				return 0, nil
			}, antflow.TaskName("save")).Result(ctx)
			return err
		}, antflow.TaskName("parse 世界"))
		synctest.Wait()
		for range 5 {
			e.Go(ctx, quick, antflow.TaskName("report"))
		}
		time.Sleep(2500 * time.Millisecond)
		x.seen(running)
		e.Close()
		stop()
		x.seen(end)
	})
}

func TestCompact(t *testing.T) {
	crawl(t, 80, progress.Compact, `
crawler  ████░░░░░░░░  5/13  38%  1.5/s  ETA 5s  1 failed  3 running  5 waiting
`, `
crawler: 13 of 13 done, took 9.7s, 1.3/s, 1 failed
`)
	crawl(t, 40, progress.Compact, `
crawler  5/13  38%  ETA 5s  1 failed
`, `
crawler: 13 of 13 done, 1.3/s, 1 failed
`)
}

func TestDetailed(t *testing.T) {
	crawl(t, 80, progress.Detailed, `
crawler  ████░░░░░░░░  5/13  38%  1.5/s  ETA 5s  1 failed  3 running  5 waiting
task        done  failed  running  retries   p50   p95
fetch          5       1        1        0  87ms  90ms
parse 世界     0       0        1        0
save           0       0        1        0
report         0       0        0        0
`, `
crawler: 13 of 13 done, took 9.7s, 1.3/s, 1 failed
task        done  failed  running  retries   p50   p95
fetch          6       1        0        0  94ms  8.9s
parse 世界     1       0        0        0  8.8s  9.0s
save           1       0        0        0  8.8s  9.0s
report         5       0        0        0  87ms  90ms
`)
	crawl(t, 40, progress.Detailed, `
crawler  5/13  38%  ETA 5s  1 failed
task        done  failed  running   p50
fetch          5       1        1  87ms
parse 世界     0       0        1
save           0       0        1
report         0       0        0
`, `
crawler: 13 of 13 done, 1.3/s, 1 failed
task        done  failed  running   p50
fetch          6       1        0  94ms
parse 世界     1       0        0  8.8s
save           1       0        0  8.8s
report         5       0        0  87ms
`)
}

func TestFull(t *testing.T) {
	crawl(t, 80, progress.Full, `
crawler  ████░░░░░░░░  5/13  38%  1.5/s  ETA 5s  1 failed  3 running  5 waiting
task        done  failed  running  retries   p50   p95
fetch          5       1        1        0  87ms  90ms
parse 世界     0       0        1        0
save           0       0        1        0
report         0       0        0        0
worker  task        attempt   for  status
     0  fetch             1  2.5s  page 1 of 3
     1  parse 世界        1  2.5s  (blocked)
     2  save              1  2.5s  to �[1mdisk�[m
failed  at     error
     1  fetch  connection refused
`, `
crawler: 13 of 13 done, took 9.7s, 1.3/s, 1 failed
task        done  failed  running  retries   p50   p95
fetch          6       1        0        0  94ms  8.9s
parse 世界     1       0        0        0  8.8s  9.0s
save           1       0        0        0  8.8s  9.0s
report         5       0        0        0  87ms  90ms
failed  at     error
     1  fetch  connection refused
`)
	crawl(t, 40, progress.Full, `
crawler  5/13  38%  ETA 5s  1 failed
task        done  failed  running   p50
fetch          5       1        1  87ms
parse 世界     0       0        1
save           0       0        1
report         0       0        0
worker  task        for  status
     0  fetch      2.5s  page 1 of 3
     1  parse 世…  2.5s  (blocked)
     2  save       2.5s  to �[1mdisk�[m
failed  at     error
     1  fetch  connection refused
`, `
crawler: 13 of 13 done, 1.3/s, 1 failed
task        done  failed  running   p50
fetch          6       1        0  94ms
parse 世界     1       0        0  8.8s
save           1       0        0  8.8s
report         5       0        0  87ms
failed  at     error
     1  fetch  connection refused
`)
}

// flow shows a pipeline in a bubble: 60 inputs, of which one stage refuses some,
// and another one is slower.
func flow(t *testing.T, width int, level progress.Level, running, end string) {
	t.Helper()
	x := newTerminal(t, width, 24)
	synctest.Test(t, func(t *testing.T) {
		e := antflow.New(4)
		fetch := pipeline.Stage("fetch", func(_ context.Context, n int) (int, error) {
			time.Sleep(33 * time.Millisecond)
			if n%10 == 3 {
				return 0, fmt.Errorf("page %d refused", n)
			}
			return n, nil
		}, pipeline.Workers(1))
		save := pipeline.Stage("save", func(ctx context.Context, n int) (int, error) {
			antflow.SetStatus(ctx, "a long way to the disk")
			time.Sleep(101 * time.Millisecond)
			return n, nil
		}, pipeline.Workers(1))
		inputs := make([]int, 60)
		for i := range inputs {
			inputs[i] = i
		}
		var m pipeline.Monitor
		stop := progress.ShowPipeline(&m, level, x.here(), progress.Total(60), progress.Title("pages"))
		go func() {
			time.Sleep(2*time.Second + 50*time.Millisecond)
			x.seen(running)
		}()
		for range pipeline.Then(fetch, save).Run(context.Background(), e, slices.Values(inputs), pipeline.WithMonitor(&m)) {
		}
		stop()
		x.seen(end)
		e.Close()
	})
}

func TestPipelineCompact(t *testing.T) {
	flow(t, 80, progress.Compact, `
pages  ██████░░░░░░░░░░░░░  21/60  35%  11/s  ETA 4s  6 failed  bottleneck save
`, `
pages: 60 of 60 done, took 5.5s, 11/s, 6 failed
`)
	flow(t, 40, progress.Compact, `
pages  21/60  35%  ETA 4s  6 failed
`, `
pages: 60 of 60 done, 11/s, 6 failed
`)
}

func TestPipelineDetailed(t *testing.T) {
	flow(t, 80, progress.Detailed, `
pages  ██████░░░░░░░░░░░░░  21/60  35%  11/s  ETA 4s  6 failed  bottleneck save
stage  workers  waiting  done  failed  retries   rate   each
fetch      0/1        0    54       6        0   30/s   33ms
save       1/1       34    19       0        0  9.5/s  101ms  bottleneck
`, `
pages: 60 of 60 done, took 5.5s, 11/s, 6 failed
stage  workers  waiting  done  failed  retries   rate   each
fetch      0/1        0    54       6        0   11/s   33ms
save       0/1        0    54       0        0  9.8/s  101ms
`)
	flow(t, 40, progress.Detailed, `
pages  21/60  35%  ETA 4s  6 failed
stage  workers  waiting  done  failed
fetch      0/1        0    54       6
save       1/1       34    19       0
`, `
pages: 60 of 60 done, 11/s, 6 failed
stage  workers  waiting  done  failed
fetch      0/1        0    54       6
save       0/1        0    54       0
`)
}

func TestPipelineFull(t *testing.T) {
	flow(t, 80, progress.Full, `
pages  ██████░░░░░░░░░░░░░  21/60  35%  11/s  ETA 4s  6 failed  bottleneck save
stage  workers  waiting  done  failed  retries   rate   each
fetch      0/1        0    54       6        0   30/s   33ms
save       1/1       34    19       0        0  9.5/s  101ms  bottleneck
running  stage   for  status
item 21  save   48ms  a long way to the disk
failed  at     error
     6  fetch  page 3 refused
`, `
pages: 60 of 60 done, took 5.5s, 11/s, 6 failed
stage  workers  waiting  done  failed  retries   rate   each
fetch      0/1        0    54       6        0   11/s   33ms
save       0/1        0    54       0        0  9.8/s  101ms
failed  at     error
     6  fetch  page 3 refused
`)
	flow(t, 40, progress.Full, `
pages  21/60  35%  ETA 4s  6 failed
stage  workers  waiting  done  failed
fetch      0/1        0    54       6
save       1/1       34    19       0
running  stage   for  status
item 21  save   48ms  a long way to th…
failed  at     error
     6  fetch  page 3 refused
`, `
pages: 60 of 60 done, 11/s, 6 failed
stage  workers  waiting  done  failed
fetch      0/1        0    54       6
save       0/1        0    54       0
failed  at     error
     6  fetch  page 3 refused
`)
}

var colors = regexp.MustCompile("\x1b\\[[0-9;]*m")

func TestNoColor(t *testing.T) {
	for value, colored := range map[string]bool{"": true, "1": false, "false": false} {
		x := newTerminal(t, 80, 24)
		t.Setenv("NO_COLOR", value)
		synctest.Test(t, func(t *testing.T) {
			results := func(yield func(int, error) bool) { yield(1, errors.New("no")) }
			for range progress.Results(results, progress.Total(2), x.here()) {
				time.Sleep(900 * time.Millisecond)
				x.seen("███████████████░░░░░░░░░░░░░░░  1/2  50%  1.2/s  ETA 1s  1 failed")
			}
		})
		if got := colors.MatchString(x.raw.String()); got != colored {
			t.Errorf("NO_COLOR=%q: colored %v", value, got)
		}
		if strings.Contains(x.raw.String(), "\x1b[31m1 failed\x1b[m") != colored {
			t.Errorf("NO_COLOR=%q: a failure is not red: %q", value, x.raw.String())
		}
	}
}
