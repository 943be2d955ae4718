package embedded_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/cluster"
)

func TestContractTimeout(t *testing.T) {
	r := newRig(t)
	var calls atomic.Int32
	hang := antflow.NewTask("hang", func(ctx context.Context, _ int) (int, error) {
		calls.Add(1)
		<-ctx.Done()
		return 0, ctx.Err()
	}, antflow.Timeout(30*time.Millisecond))
	r.serve(handlers(hang), cluster.Concurrency(2))
	c := r.connect()
	err := fail(r, hang.Submit(r.ctx, c, 1), context.DeadlineExceeded)
	if errors.Is(err, antflow.ErrCanceled) {
		t.Errorf("a timeout is a cancellation: %v", err)
	}
	start := time.Now()
	fail(r, hang.Submit(r.ctx, c, 2, antflow.Timeout(100*time.Millisecond)), context.DeadlineExceeded)
	if d := time.Since(start); d < 100*time.Millisecond {
		t.Errorf("the timeout of the call did not win: it took %v", d)
	}
	calls.Store(0)
	err = fail(r, hang.Submit(r.ctx, c, 3, antflow.Retries(2), antflow.RetryDelay(time.Millisecond)), context.DeadlineExceeded)
	var retried *antflow.RetryError
	if !errors.As(err, &retried) || retried.Attempts != 3 || calls.Load() != 3 {
		t.Errorf("%d calls: %v", calls.Load(), err)
	}
}

func TestContractQueueTimeoutNoWorker(t *testing.T) {
	r := newRig(t)
	g := newGate("gate")
	c := r.connect()
	f := g.Submit(r.ctx, c, 1, antflow.QueueTimeout(50*time.Millisecond))
	says(t, fail(r, f, antflow.ErrQueueTimeout))
	if n := f.Attempts(); n != 0 {
		t.Errorf("it has %d attempts", n)
	}
	other := echo[int]("echo")
	r.serve(handlers(g, other), cluster.Concurrency(1))
	get(r, other.Submit(r.ctx, c, 2))
	r.until("an empty backlog", func() bool { return r.status(c).Backlog == 0 })
	if len(g.began) > 0 {
		t.Error("a task ran whose queue timeout had passed")
	}
}

func TestContractQueueTimeoutBusyWorker(t *testing.T) {
	r := newRig(t)
	g := newGate("gate")
	r.serve(handlers(g), cluster.Concurrency(1))
	c := r.connect()
	const limit = 300 * time.Millisecond
	begun := time.Now()
	busy := g.Submit(r.ctx, c, 1, antflow.QueueTimeout(5*time.Second)) // starts in time, and runs for longer than the other's limit
	g.next(r)
	late := g.Submit(r.ctx, c, 2, antflow.QueueTimeout(limit))
	fail(r, late, antflow.ErrQueueTimeout)
	if d := time.Since(begun); d < limit {
		t.Errorf("a queue timeout of %v passed in %v", limit, d)
	}
	g.let()
	get(r, busy)
	get(r, g.Submit(r.ctx, c, 3, antflow.QueueTimeout(time.Minute)))
	close(g.began)
	for n := range g.began {
		if n == 2 {
			t.Error("the task ran whose queue timeout had passed")
		}
	}
}

// A queue timeout counts until the first start, so a retry may take longer.
func TestContractQueueTimeoutAndRetry(t *testing.T) {
	r := newRig(t)
	var calls atomic.Int32
	task := antflow.NewTask("task", func(context.Context, int) (int, error) {
		if calls.Add(1) == 1 {
			return 0, antflow.RetryAfter(io.EOF, 400*time.Millisecond)
		}
		return 5, nil
	}, antflow.Retries(1), antflow.QueueTimeout(300*time.Millisecond))
	r.serve(handlers(task), cluster.Concurrency(1))
	get(r, task.Submit(r.ctx, r.connect(), 0))
}

// A failing task fails in one of several ways, and counts its calls.
func failing(name string, calls *atomic.Int32, failure func(n int) error, opts ...antflow.TaskOption) *antflow.Task[int, int] {
	return antflow.NewTask(name, func(_ context.Context, n int) (int, error) {
		if calls != nil {
			calls.Add(1)
		}
		return n, failure(n)
	}, opts...)
}

func TestContractRetries(t *testing.T) {
	r := newRig(t)
	var calls atomic.Int32
	task := failing("task", &calls, func(int) error { return io.ErrUnexpectedEOF }, antflow.Retries(2), antflow.RetryDelay(5*time.Millisecond))
	once := failing("once", nil, func(int) error { return io.ErrUnexpectedEOF })
	r.serve(handlers(task, once))
	c := r.connect()
	for _, want := range []int{3, 5, 1} {
		calls.Store(0)
		var opts []antflow.TaskOption
		if want != 3 {
			opts = append(opts, antflow.Retries(want-1))
		}
		f := task.Submit(r.ctx, c, 1, opts...)
		err := fail(r, f, io.ErrUnexpectedEOF)
		var retried *antflow.RetryError
		if got := errors.As(err, &retried); got != (want > 1) || got && retried.Attempts != want {
			t.Errorf("of %d attempts the error is %v", want, err)
		}
		if int(calls.Load()) != want || f.Attempts() != want {
			t.Errorf("%d calls and %d attempts, not %d", calls.Load(), f.Attempts(), want)
		}
		if want == 1 && err != io.ErrUnexpectedEOF {
			t.Errorf("without a retry the error is not the function's own: %v", err)
		}
	}
	var retried *antflow.RetryError
	if err := fail(r, once.Submit(r.ctx, c, 1), io.ErrUnexpectedEOF); errors.As(err, &retried) {
		t.Errorf("there was no retry: %v", err)
	}
}

func TestContractRetrySucceeds(t *testing.T) {
	r := newRig(t)
	var seen []int
	var ids []string
	var mu sync.Mutex
	task := antflow.NewTask("task", func(ctx context.Context, _ int) (int, error) {
		own, ok := antflow.TaskFrom(ctx)
		info, ok2 := cluster.InfoFrom(ctx)
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, own.Attempt, info.Attempt)
		ids = append(ids, info.ID)
		if !ok || !ok2 || own.Attempt < 3 {
			return 0, io.EOF
		}
		return own.Attempt, nil
	}, antflow.Retries(4), antflow.RetryDelay(5*time.Millisecond))
	r.serve(handlers(task))
	f := task.Submit(r.ctx, r.connect(), 0)
	if v := get(r, f); v != 3 || f.Attempts() != 3 {
		t.Errorf("%d, %d attempts", v, f.Attempts())
	}
	mu.Lock()
	defer mu.Unlock()
	if !slices.Equal(seen, []int{1, 1, 2, 2, 3, 3}) {
		t.Errorf("the function saw the attempts %v, of TaskFrom and InfoFrom", seen)
	}
	if len(slices.Compact(ids)) != 1 || ids[0] == "" {
		t.Errorf("the IDs of the attempts are %q", ids)
	}
}

func TestContractRetryDelayDoubles(t *testing.T) {
	r := newRig(t)
	at := make(chan time.Time, 10)
	task := failing("task", nil, func(int) error { at <- time.Now(); return io.EOF }, antflow.Retries(3), antflow.RetryDelay(40*time.Millisecond))
	r.serve(handlers(task))
	fail(r, task.Submit(r.ctx, r.connect(), 1), io.EOF)
	last := receive(r, at)
	for i := range 3 {
		next, want := receive(r, at), 40*time.Millisecond<<i
		if d := next.Sub(last); d < want-time.Millisecond {
			t.Errorf("delay %d is %v, not %v", i+1, d, want)
		}
		last = next
	}
}

func TestContractRetryAfter(t *testing.T) {
	r := newRig(t)
	at := make(chan time.Time, 10)
	task := failing("task", nil, func(n int) error {
		at <- time.Now()
		return antflow.RetryAfter(io.EOF, time.Duration(n))
	}, antflow.Retries(1), antflow.RetryDelay(time.Hour))
	r.serve(handlers(task))
	c := r.connect()
	for _, d := range []time.Duration{0, 150 * time.Millisecond} {
		err := fail(r, task.Submit(r.ctx, c, int(d)), io.EOF)
		var retried *antflow.RetryError
		if !errors.As(err, &retried) || retried.Attempts != 2 || retried.Err != io.EOF {
			t.Errorf("RetryAfter is not stripped: %#v", err)
		}
		if first, second := receive(r, at), receive(r, at); second.Sub(first) < d-time.Millisecond {
			t.Errorf("a delay of %v, not %v", second.Sub(first), d)
		}
	}
}

func TestContractPermanent(t *testing.T) {
	r := newRig(t)
	var calls atomic.Int32
	task := failing("task", &calls, func(int) error { return antflow.Permanent(io.EOF) }, antflow.Retries(5))
	r.serve(handlers(task))
	f := task.Submit(r.ctx, r.connect(), 1)
	if err := fail(r, f, io.EOF); err != io.EOF || calls.Load() != 1 {
		t.Errorf("%d calls, %#v", calls.Load(), err)
	}
}

func TestContractFunctionsOfTheTask(t *testing.T) {
	r := newRig(t)
	var calls, asked atomic.Int32
	task := failing("task", &calls, func(n int) error {
		if n == 1 {
			return io.EOF
		}
		return io.ErrUnexpectedEOF
	}, antflow.Retries(2),
		antflow.RetryIf(func(err error) bool { return !errors.Is(err, io.EOF) }),
		antflow.RetryBackoff(func(attempt int, err error) time.Duration {
			if !errors.Is(err, io.ErrUnexpectedEOF) || attempt != int(asked.Add(1)) {
				t.Errorf("the backoff was asked for attempt %d, %v", attempt, err)
			}
			return time.Millisecond
		}))
	bad := failing("bad", nil, func(int) error { return io.EOF }, antflow.Retries(2), antflow.RetryIf(func(error) bool { panic("no idea") }))
	r.serve(handlers(task, bad))
	c := r.connect()
	if err := fail(r, task.Submit(r.ctx, c, 1)); err != io.EOF || calls.Load() != 1 {
		t.Errorf("RetryIf was not asked: %d calls, %v", calls.Load(), err)
	}
	calls.Store(0)
	fail(r, task.Submit(r.ctx, c, 2), io.ErrUnexpectedEOF)
	if calls.Load() != 3 || asked.Load() != 2 {
		t.Errorf("%d calls, and the backoff was asked %d times", calls.Load(), asked.Load())
	}
	calls.Store(0)
	asked.Store(0)
	fail(r, task.Submit(r.ctx, c, 2, antflow.Retries(4)), io.ErrUnexpectedEOF)
	if calls.Load() != 5 || asked.Load() != 4 {
		t.Errorf("with the call's number: %d calls, and the backoff was asked %d times", calls.Load(), asked.Load())
	}
	var panicked *antflow.PanicError
	if err := fail(r, bad.Submit(r.ctx, c, 1)); !errors.As(err, &panicked) {
		t.Errorf("RetryIf panicked, and the error is %v", err)
	}
}

func TestContractOptionsThatCannotCross(t *testing.T) {
	r := newRig(t)
	task := echo[int]("echo")
	r.serve(handlers(task))
	c := r.connect()
	for name, opt := range map[string]antflow.TaskOption{
		"RetryIf":       antflow.RetryIf(func(error) bool { return true }),
		"RetryBackoff":  antflow.RetryBackoff(antflow.ConstantBackoff(time.Second)),
		"WithSemaphore": antflow.WithSemaphore(antflow.NewSemaphore(1)),
		"WithRateLimit": antflow.WithRateLimit(&limiter{}),
	} {
		says(t, fail(r, task.Submit(r.ctx, c, 1, antflow.Retries(1), opt)), name)
	}
	get(r, task.Submit(r.ctx, c, 1, antflow.Retries(1), antflow.RetryDelay(time.Second), antflow.TaskName("label"),
		antflow.JoinOptions(antflow.Priority(1), antflow.Timeout(time.Minute), antflow.QueueTimeout(time.Minute))))
}

// A task that waits for its next attempt has no slot.
func TestContractRetryDelayFreesSlot(t *testing.T) {
	r := newRig(t)
	began := make(chan struct{}, 1)
	later := failing("later", nil, func(int) error { began <- struct{}{}; return io.EOF }, antflow.Retries(1), antflow.RetryDelay(time.Hour))
	other := echo[int]("other")
	r.serve(handlers(later, other), cluster.Concurrency(1))
	c := r.connect()
	f := later.Submit(r.ctx, c, 1)
	r.await("the first attempt", began)
	for n := range 20 {
		get(r, other.Submit(r.ctx, c, n))
	}
	r.until("the news of the attempt", func() bool { return f.Attempts() == 1 && f.State() == antflow.StatePending })
	if !f.Cancel() {
		t.Error("Cancel said false")
	}
	err := fail(r, f, antflow.ErrCanceled)
	var retried *antflow.RetryError
	if errors.As(err, &retried) {
		t.Errorf("a cancellation is a RetryError: %v", err)
	}
	r.until("an empty backlog", func() bool { return r.status(c).Backlog == 0 })
}

// limiter counts its events.
type limiter struct{ n atomic.Int32 }

func (l *limiter) Wait(context.Context) error {
	l.n.Add(1)
	return nil
}
