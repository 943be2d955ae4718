package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/testkit"
	"github.com/antflow/antflow/pipeline"
)

// A runService tells how long a call that begins at an instant takes, and what
// comes of it.
type runService func(at time.Duration, call int) (time.Duration, error)

var errBusy = errors.New("busy")

// A runLaw is the law of Adaptive as its documentation says, for a stage that
// always has something to do.
type runLaw struct {
	min, max, workers int
	base              time.Duration // B
	fewer             int           // how often they became fewer
	calls, succeeded  int
	sum               time.Duration
}

func (l *runLaw) set(n int) {
	if n = min(max(n, l.min), l.max); n < l.workers {
		l.fewer++
	}
	l.workers = n
	l.calls, l.succeeded, l.sum = 0, 0, 0
}

// ended tells the law of a call, and how often the workers had become fewer
// when it began.
func (l *runLaw) ended(d time.Duration, err error, overload bool, fewer int) {
	if fewer != l.fewer {
		return
	}
	if overload {
		l.set(l.workers * 7 / 10)
		return
	}
	if l.calls++; err == nil {
		l.succeeded++
		l.sum += d
	}
	if l.calls < max(8, l.workers) {
		return
	}
	n := l.workers
	if l.succeeded > 0 {
		mean := l.sum / time.Duration(l.succeeded)
		if l.base += l.base / 50; l.base == 0 || mean < l.base {
			l.base = mean
		}
		switch {
		case mean > 2*l.base:
			n = n * 9 / 10
		case 2*mean <= 3*l.base && l.fewer == 0:
			n = 2 * n
		case 2*mean <= 3*l.base:
			n++
		}
	}
	l.set(n)
}

// trace is how many workers there are in the middle of each second.
func (l *runLaw) trace(s runService, overload func(error) bool, length int) (trace []int) {
	type call struct {
		began, ends time.Duration
		err         error
		fewer       int
	}
	var running []call
	n, now := 0, time.Duration(0)
	for {
		for len(running) < l.workers {
			d, err := s(now, n)
			running = append(running, call{now, now + d, err, l.fewer})
			n++
		}
		next := slices.MinFunc(running, func(a, b call) int { return int(a.ends - b.ends) }).ends
		for ; len(trace) < length && time.Duration(2*len(trace)+1)*time.Second/2 < next; trace = append(trace, l.workers) {
		}
		if len(trace) == length {
			return trace
		}
		now = next
		for i := 0; i < len(running); i++ {
			if c := running[i]; c.ends == now {
				running = slices.Delete(running, i, i+1)
				i--
				l.ended(c.ends-c.began, c.err, c.err != nil && overload(c.err), c.fewer)
			}
		}
	}
}

func runOverload(err error) bool {
	_, marked := antflow.RetryAfterOf(err)
	return marked || errors.Is(err, context.DeadlineExceeded)
}

// runAdapted is the trace of a stage, fed as fast as it takes.
func runAdapted(t *testing.T, e *antflow.Executor, s runService, length int, opts ...pipeline.StageOption) (trace []int) {
	start := time.Now()
	calls := make(chan int, 1)
	calls <- 0
	p := pipeline.Stage("a", func(ctx context.Context, x int) (int, error) {
		n := <-calls
		calls <- n + 1
		d, err := s(time.Since(start), n)
		if perr := testkit.Sleep(ctx, d); perr != nil {
			return 0, perr
		}
		return x, err
	}, opts...)
	run := p.Start(t.Context(), e, pipeline.Window(1000))
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for ctx.Err() == nil {
			run.Feed(ctx, 1)
		}
	}()
	for i := range length {
		runUntil(start, time.Duration(2*i+1)*time.Second/2)
		trace = append(trace, run.Snapshot().Stages[0].Workers)
	}
	cancel()
	run.Stop()
	return trace
}

// at gives a service that takes a second, but between two instants d, with err.
func runBetween(from, to int, d time.Duration, err error) runService {
	return func(at time.Duration, _ int) (time.Duration, error) {
		if at >= seconds(from) && at < seconds(to) {
			return d, err
		}
		return time.Second, nil
	}
}

const forGood = 1 << 20

func TestTheLawOfAdaptive(t *testing.T) {
	half := 500 * time.Millisecond
	for name, c := range map[string]struct {
		min, max int
		service  runService
		length   int
		opts     []pipeline.StageOption
		overload func(error) bool
		at       map[int]int // some of the values, from the text of the law
	}{
		"opens up": {min: 1, max: 50, service: runBetween(0, 0, 0, nil), length: 25,
			at: map[int]int{0: 1, 7: 1, 8: 2, 11: 2, 12: 4, 13: 4, 14: 8, 15: 16, 16: 32, 17: 50, 24: 50}},
		"begins with min":          {min: 10, max: 100, service: runBetween(0, 0, 0, nil), length: 10, at: map[int]int{0: 10, 1: 20, 2: 40, 3: 80, 4: 100}},
		"is fixed":                 {min: 7, max: 7, service: runBetween(5, 9, half, antflow.RetryAfter(errBusy, 0)), length: 20, at: map[int]int{0: 7, 6: 7, 19: 7}},
		"latency trebles":          {min: 10, max: 100, service: runBetween(10, 11, 3*time.Second, nil), length: 30, at: map[int]int{12: 100, 13: 90, 14: 91, 15: 92, 23: 100}},
		"less than double":         {min: 10, max: 200, service: runBetween(2, forGood, 1900*time.Millisecond, nil), length: 40, at: map[int]int{2: 40, 4: 40, 20: 40}},
		"latency doubles exactly":  {min: 10, max: 200, service: runBetween(2, forGood, 2*time.Second, nil), length: 12, at: map[int]int{5: 40, 11: 40}},
		"slower for good":          {min: 10, max: 100, service: runBetween(8, forGood, 3*time.Second, nil), length: 200, at: map[int]int{8: 100, 11: 90, 14: 81}},
		"not below min":            {min: 85, max: 100, service: runBetween(8, forGood, 9*time.Second, nil), length: 80, at: map[int]int{17: 90, 26: 85, 35: 85}},
		"overload by a mark":       {min: 10, max: 100, service: runBetween(8, 9, time.Second, antflow.RetryAfter(errBusy, 0)), length: 30, at: map[int]int{8: 100, 9: 70, 10: 71, 11: 72}},
		"overload that is wrapped": {min: 10, max: 100, service: runBetween(8, 9, time.Second, fmt.Errorf("call: %w", antflow.RetryAfter(errBusy, 0))), length: 30, at: map[int]int{9: 70}},
		"overload that lasts":      {min: 10, max: 100, service: runBetween(8, 13, time.Second, antflow.RetryAfter(errBusy, 0)), length: 30, at: map[int]int{9: 70, 10: 49, 11: 34, 12: 23, 13: 16, 14: 17}},
		"overload by a timeout":    {min: 10, max: 100, service: runBetween(8, 9, time.Second, context.DeadlineExceeded), length: 30, at: map[int]int{9: 70, 10: 71}},
		"overload that is retried": {min: 10, max: 100, service: runBetween(8, 9, time.Second, antflow.RetryAfter(errBusy, 0)), length: 30,
			opts: options(antflow.Retries(3)), at: map[int]int{9: 70, 10: 71}},
		"other failures": {min: 10, max: 100, service: runBetween(1, forGood, half, errFlaky), length: 12, at: map[int]int{1: 20, 11: 20}},
		"failures among successes": {min: 8, max: 100, service: func(at time.Duration, n int) (time.Duration, error) {
			if n%2 == 1 {
				return time.Second, errFlaky
			}
			return time.Second, nil
		}, length: 12, at: map[int]int{0: 8, 1: 16, 2: 32, 3: 64, 4: 100}},
		"OverloadIf": {min: 10, max: 100, service: runBetween(8, 9, time.Second, errBusy), length: 30,
			opts: options(pipeline.OverloadIf(func(err error) bool { return errors.Is(err, errBusy) })), overload: func(err error) bool { return err == errBusy }, at: map[int]int{9: 70, 10: 71}},
		"OverloadIf replaces": {min: 10, max: 100, service: runBetween(8, 9, time.Second, antflow.RetryAfter(errBusy, 0)), length: 30,
			opts: options(pipeline.OverloadIf(func(err error) bool { return false })), overload: func(error) bool { return false }, at: map[int]int{9: 100}},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 256, func(t *testing.T, e *antflow.Executor) {
				if c.overload == nil {
					c.overload = runOverload
				}
				law := runLaw{min: c.min, max: c.max, workers: c.min}
				want := law.trace(c.service, c.overload, c.length)
				got := runAdapted(t, e, c.service, c.length, append(c.opts, pipeline.Adaptive(c.min, c.max))...)
				if !slices.Equal(got, want) {
					t.Errorf("workers\n%v, want\n%v", got, want)
				}
				for i, n := range c.at {
					if got[i] != n {
						t.Errorf("%d workers in second %d, want %d: %v", got[i], i, n, got)
					}
				}
				if slices.Min(got) < c.min || slices.Max(got) > c.max {
					t.Errorf("workers out of bounds: %v", got)
				}
			})
		})
	}
}

// A timeout of the stage's own option is one of the service.
func TestAdaptiveSeesTheStagesTimeout(t *testing.T) {
	inBubble(t, 256, func(t *testing.T, e *antflow.Executor) {
		got := runAdapted(t, e, runBetween(8, 9, time.Hour, nil), 14, pipeline.Adaptive(10, 100), antflow.Timeout(2*time.Second))
		expect(t, "workers", got[8:], "[100 100 70 71 72 73]")
	})
}

// Calls that began before the workers became fewer are of the old times: ten
// that fail, one in each second, make them fewer once.
func TestAdaptiveHearsOldCallsOnce(t *testing.T) {
	inBubble(t, 64, func(t *testing.T, e *antflow.Executor) {
		got := runAdapted(t, e, func(_ time.Duration, n int) (time.Duration, error) {
			switch {
			case n < 24: // they become 2, 4, 8, 10
				return time.Second, nil
			case n < 34:
				return seconds(1 + n - 24), antflow.RetryAfter(errBusy, 0)
			}
			return seconds(100), antflow.RetryAfter(errBusy, 0)
		}, 116, pipeline.Workers(3), pipeline.Adaptive(2, 10))
		want := append(slices.Repeat([]int{7}, 111-8), 4, 4, 4, 4, 4)
		expect(t, "the first", got[:8], "[2 2 2 2 4 4 8 10]")
		expect(t, "since the first failure", got[8:], want)
	})
}

// With idle workers there is no reason for more of them.
func TestAdaptiveStaysWhileNotAllAreInUse(t *testing.T) {
	inBubble(t, 64, func(t *testing.T, e *antflow.Executor) {
		p := runTaking("a", 500*time.Millisecond, pipeline.Adaptive(2, 64))
		expect(t, "Pipeline.Workers", p.Workers(), 64)
		run := p.Start(t.Context(), e)
		for range 100 {
			run.Feed(t.Context(), 1)
			time.Sleep(time.Second)
		}
		expect(t, "workers with one in use", run.Snapshot().Stages[0].Workers, 2)
		for range 100 {
			run.Feed(t.Context(), 1)
			time.Sleep(250 * time.Millisecond)
		}
		synctest.Wait()
		if n := run.Snapshot().Stages[0].Workers; n > 4 {
			t.Errorf("%d workers with two in use", n)
		}
		run.Close()
	})
}

func TestAResizedStageIsNoLongerAdapted(t *testing.T) {
	inBubble(t, 64, func(t *testing.T, e *antflow.Executor) {
		run := runTaking("a", time.Second, pipeline.Adaptive(2, 64)).Start(t.Context(), e, pipeline.Window(2000))
		for range 1000 {
			run.Feed(t.Context(), 1)
		}
		run.Resize("a", 3)
		time.Sleep(time.Minute)
		expect(t, "workers", run.Snapshot().Stages[0].Workers, 3)
		run.Resize("a", 65) // beyond the bounds of Adaptive, too
		expect(t, "workers", run.Snapshot().Stages[0].Workers, 65)
		run.Close()
	})
}

// When there are more workers, those who wait have them at once, also where the
// calls are tasks.
func TestMoreWorkersAreUsedAtOnce(t *testing.T) {
	for name, opt := range map[string]pipeline.StageOption{"carried": antflow.Retries(0), "tasks": antflow.QueueTimeout(time.Hour)} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 8, func(t *testing.T, e *antflow.Executor) {
				var m pipeline.Monitor
				p := pipeline.Stage("work", newRecord().taking(time.Second), pipeline.Adaptive(1, 8), pipeline.Buffer(3), opt)
				look := func(pipeline.Event) {
					if err := m.CheckInvariants(); err != nil {
						t.Errorf("%v\n%s", err, m.Dump())
					}
				}
				values, errs := results(p.Run(t.Context(), e, upTo(100), pipeline.WithMonitor(&m), pipeline.OnEvent(look)))
				expectUpTo(t, values, errs, 100)
			})
		})
	}
}
