package antflow_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/testkit"
)

type taskOptions = []antflow.TaskOption

// held returns an executor whose one worker is taken until free is called.
func held(opts ...antflow.Option) (e *antflow.Executor, free func()) {
	e = antflow.New(1, opts...)
	block := make(chan struct{})
	e.Go(context.Background(), func(context.Context) error { <-block; return nil })
	return e, func() { close(block) }
}

func succeed(context.Context) (int, error) { return 0, nil }

func TestEqualOptionsShareOneSpec(t *testing.T) {
	testkit.NoLeak(t)
	schedule := antflow.ConstantBackoff(time.Second)
	sem := antflow.NewSemaphore(1)
	always := func(error) bool { return true }
	long := string(make([]byte, 1000))
	for _, c := range []struct {
		a, b taskOptions
		want bool
	}{
		{nil, taskOptions{antflow.Retries(0), antflow.RetryDelay(100 * time.Millisecond), antflow.TaskName("")}, true},
		{nil, taskOptions{antflow.Priority(1)}, true},
		{nil, taskOptions{antflow.Priority(math.MinInt16)}, true},
		{taskOptions{antflow.Priority(1)}, taskOptions{antflow.Retries(0), antflow.Priority(2)}, true},
		{taskOptions{antflow.Priority(1 << 20)}, taskOptions{antflow.Priority(1<<20 + 1)}, true},
		{taskOptions{antflow.Retries(1), antflow.Priority(1)}, taskOptions{antflow.Priority(2), antflow.Retries(1)}, true},
		{taskOptions{antflow.TaskName("x")}, taskOptions{antflow.TaskName("x")}, true},
		{taskOptions{antflow.Retries(math.MaxInt), antflow.RetryDelay(time.Hour)}, taskOptions{antflow.RetryDelay(time.Hour), antflow.Retries(math.MaxInt)}, true},
		{taskOptions{antflow.Timeout(1), antflow.QueueTimeout(time.Hour), antflow.NonBlocking()}, taskOptions{antflow.Timeout(1), antflow.QueueTimeout(time.Hour), antflow.NonBlocking()}, true},

		{nil, taskOptions{antflow.Priority(math.MaxInt)}, false},
		{nil, taskOptions{antflow.Retries(1)}, false},
		{nil, taskOptions{antflow.RetryDelay(0)}, false},
		{nil, taskOptions{antflow.NonBlocking()}, false},
		{taskOptions{antflow.Timeout(1)}, taskOptions{antflow.QueueTimeout(1)}, false},
		{taskOptions{antflow.TaskName("x")}, taskOptions{antflow.TaskName("y")}, false},
		{taskOptions{antflow.TaskName(long)}, taskOptions{antflow.TaskName(long)}, false},
		{taskOptions{antflow.RetryBackoff(schedule)}, taskOptions{antflow.RetryBackoff(schedule)}, false},
		{taskOptions{antflow.RetryIf(always)}, taskOptions{antflow.RetryIf(always)}, false},
		{taskOptions{antflow.WithSemaphore(sem)}, taskOptions{antflow.WithSemaphore(sem)}, false},
		{taskOptions{antflow.WithRateLimit(freely{})}, taskOptions{antflow.WithRateLimit(freely{})}, false},
	} {
		for name, defaults := range map[string][]antflow.Option{
			"plain": nil,
			"own":   {antflow.WithTaskOptions(antflow.WithSemaphore(antflow.NewSemaphore(8)), antflow.RetryIf(always))},
		} {
			e, free := held(defaults...)
			a := antflow.Submit(t.Context(), e, succeed, c.a...)
			b := antflow.Submit(t.Context(), e, succeed, c.b...)
			if got := antflow.ShareSpec(a, b); got != c.want {
				t.Errorf("%s executor, %v and %v: shared: %v", name, c.a, c.b, got)
			}
			a.Cancel()
			b.Cancel()
			free()
			e.Close()
		}
	}

	// The default schedule is not a delay of a task, and the other way round.
	e, free := held(antflow.WithTaskOptions(antflow.RetryDelay(time.Second), antflow.RetryBackoff(schedule)))
	a, b := antflow.Submit(t.Context(), e, succeed), antflow.Submit(t.Context(), e, succeed, antflow.RetryDelay(time.Second))
	c := antflow.Submit(t.Context(), e, succeed, antflow.RetryDelay(time.Second))
	if antflow.ShareSpec(a, b) || !antflow.ShareSpec(b, c) {
		t.Error("a schedule and a delay are taken for one another")
	}
	free()
	e.Close()
}

// freely is a limiter that lets everything pass.
type freely struct{}

func (freely) Wait(context.Context) error { return nil }

// Options of one executor's tasks, from several goroutines, the same ones now
// and then: each task has its own and no others.
func TestOptionsAreNotConfused(t *testing.T) {
	testkit.NoLeak(t)
	for name, defaults := range map[string][]antflow.TaskOption{
		"plain":    {antflow.RetryDelay(0)},
		"schedule": {antflow.RetryBackoff(func(int, error) time.Duration { return 0 }), antflow.Priority(-7)},
	} {
		t.Run(name, func(t *testing.T) {
			e := antflow.New(4, antflow.WithTaskOptions(defaults...))
			defer e.Close()
			g := antflow.NewGroup(t.Context(), e, antflow.Timeout(5*time.Hour), antflow.CollectErrors())
			var submitters sync.WaitGroup
			for i := range 4 {
				submitters.Go(func() {
					r := rand.New(rand.NewPCG(uint64(i), 1))
					for range 1000 {
						submitRandom(t, e, g, r)
					}
				})
			}
			submitters.Wait()
			g.Wait()
		})
	}
}

var errAgain = errors.New("again")

// submitRandom submits a task that checks what it can see of its options.
func submitRandom(t *testing.T, e *antflow.Executor, g *antflow.Group, r *rand.Rand) {
	var opts taskOptions
	has := func() bool { return r.IntN(3) == 0 }
	priority, label, timeout := 0, "", time.Duration(0)
	inGroup := has()
	if inGroup {
		timeout = 5 * time.Hour
	}
	priorities := []int{0, 1, -1, 7, 1 << 15, -1<<15 - 1, 1 << 30, math.MinInt, math.MaxInt}
	priority = priorities[r.IntN(len(priorities))]
	opts = append(opts, antflow.Priority(priority))
	if has() {
		label = fmt.Sprint("name ", r.IntN(40))
		opts = append(opts, antflow.TaskName(label))
	}
	if has() {
		timeout = time.Duration(1+r.IntN(5)) * time.Hour
		opts = append(opts, antflow.Timeout(timeout))
	}
	var asked, scheduled, held atomic.Int32
	retries, own, semaphore := r.IntN(3), has(), has()
	opts = append(opts, antflow.Retries(retries))
	if own {
		opts = append(opts,
			antflow.RetryIf(func(error) bool { asked.Add(1); return true }),
			antflow.RetryBackoff(func(int, error) time.Duration { scheduled.Add(1); return 0 }))
	} else if has() {
		opts = append(opts, antflow.RetryDelay(0))
	}
	if semaphore {
		opts = append(opts, antflow.WithSemaphore(&counting{held: &held}))
	}
	r.Shuffle(len(opts), func(i, j int) { opts[i], opts[j] = opts[j], opts[i] })
	calls := 0
	fn := func(ctx context.Context) (int, error) {
		calls++
		info, _ := antflow.TaskFrom(ctx)
		if info.Priority != priority || info.Name != label || info.Attempt != calls {
			t.Errorf("attempt %d, priority %d, name %q: %+v", calls, priority, label, info)
		}
		deadline, limited := ctx.Deadline()
		if left := time.Until(deadline); limited != (timeout > 0) || limited && (left > timeout || left < timeout-time.Hour) {
			t.Errorf("timeout %v: %v left", timeout, left)
		}
		if held.Load() == 0 == semaphore {
			t.Errorf("semaphore %v: %d permits", semaphore, held.Load())
		}
		if calls <= retries {
			return 0, errAgain
		}
		if n := int32(retries); own && (asked.Load() != n || scheduled.Load() != n) || !own && asked.Load()+scheduled.Load() > 0 {
			t.Errorf("%d retries: asked %d times, scheduled %d times", retries, asked.Load(), scheduled.Load())
		}
		return 0, nil
	}
	if inGroup {
		g.Go(func(ctx context.Context) error { _, err := fn(ctx); return err }, opts...)
	} else {
		antflow.Submit(t.Context(), e, fn, opts...)
	}
}

// counting is a semaphore without a limit.
type counting struct{ held *atomic.Int32 }

func (c *counting) Acquire(_ context.Context, n int64) error { c.held.Add(int32(n)); return nil }
func (c *counting) TryAcquire(n int64) bool                  { c.held.Add(int32(n)); return true }
func (c *counting) Release(n int64)                          { c.held.Add(-int32(n)) }

// Priorities far apart, whose differences overflow, in start order.
func TestAnyPriorityIsInOrder(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e, free := held(antflow.WithTaskOptions(antflow.Priority(1000)))
		var want, got []int
		for _, p := range []int{0, 1, -1, 1 << 15, 1<<15 - 1, -1 << 15, -1<<15 - 1, math.MaxInt, math.MinInt, math.MaxInt - 1, 1 << 30, 33767, 33768, -31768, -31769} {
			want = append(want, p)
			e.Go(t.Context(), func(context.Context) error { got = append(got, p); return nil }, antflow.Priority(p))
		}
		synctest.Wait()
		free()
		e.Close()
		slices.Sort(want)
		slices.Reverse(want)
		if !slices.Equal(got, want) {
			t.Errorf("%v", got)
		}
	})
}

// An executor keeps nothing of the user's that a call's options brought.
func TestOptionsAreNotRetained(t *testing.T) {
	testkit.NoLeak(t)
	e := antflow.New(1)
	defer e.Close()
	type big = [1 << 16]byte
	var refs []weak.Pointer[big]
	object := func() *big {
		o := new(big)
		refs = append(refs, weak.Make(o))
		return o
	}
	before := heap()
	func() {
		conditions, schedule, semaphore := object(), object(), object()
		for _, opts := range []taskOptions{
			{antflow.TaskName(strings.Repeat("x", 1<<25)[:3]), antflow.Retries(1)},
			{antflow.RetryIf(func(error) bool { return conditions[0] == 0 })},
			{antflow.RetryBackoff(func(int, error) time.Duration { return time.Duration(schedule[0]) })},
			{antflow.WithSemaphore(&bigSemaphore{Semaphore: antflow.NewSemaphore(1), big: semaphore})},
		} {
			if _, err := antflow.Submit(t.Context(), e, succeed, opts...).Result(t.Context()); err != nil {
				t.Error(err)
			}
			antflow.Submit(t.Context(), e, succeed, opts...).Cancel()
		}
	}()
	kept := func() (n int) {
		for _, r := range refs {
			if r.Value() != nil {
				n++
			}
		}
		return n
	}
	// The last worker may still be on its way out.
	for range 100 {
		if heap() < before+1<<24 && kept() == 0 {
			return
		}
	}
	t.Errorf("%d bytes and %d of %d objects are kept", heap()-before, kept(), len(refs))
}

type bigSemaphore struct {
	antflow.Semaphore
	big *[1 << 16]byte
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
