package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/cluster"
)

func TestContractPriority(t *testing.T) {
	r := newRig(t)
	var mu sync.Mutex
	var order []string
	task := antflow.NewTask("task", func(ctx context.Context, s string) (int, error) {
		info, _ := antflow.TaskFrom(ctx)
		mu.Lock()
		defer mu.Unlock()
		order = append(order, s)
		return info.Priority, nil
	})
	c := r.connect()
	var fs []*antflow.Future[int]
	for i := range 3 {
		for name, priority := range map[string]int{"low": -5, "usual": 0, "high": 7} {
			fs = append(fs, task.Submit(r.ctx, c, fmt.Sprint(name, i), antflow.Priority(priority)))
		}
	}
	r.flush(c)
	r.serve(handlers(task), cluster.Concurrency(1))
	sum := 0
	for _, f := range fs {
		sum += get(r, f)
	}
	if sum != 3*(7-5) {
		t.Errorf("the priorities that the function saw are %d together", sum)
	}
	mu.Lock()
	defer mu.Unlock()
	want := []string{"high0", "high1", "high2", "usual0", "usual1", "usual2", "low0", "low1", "low2"}
	if !slices.Equal(order, want) {
		t.Errorf("the order is %v", order)
	}
}

// whoami tells where it runs.
var whoami = antflow.NewTask("whoami", func(ctx context.Context, _ int) (cluster.Info, error) {
	info, ok := cluster.InfoFrom(ctx)
	if !ok {
		return info, errors.New("InfoFrom says that there is none")
	}
	return info, nil
})

func TestContractInfo(t *testing.T) {
	r := newRig(t)
	r.serve(handlers(whoami), cluster.WorkerName("the worker"))
	c := r.connect(cluster.Session("the-session"))
	first, second := get(r, whoami.Submit(r.ctx, c, 1)), get(r, whoami.Submit(r.ctx, c, 2))
	id := first.ID
	first.ID = ""
	if want := (cluster.Info{Attempt: 1, Session: "the-session", Queue: "default", Worker: "the worker"}); first != want {
		t.Errorf("%+v", first)
	}
	if id == "" || id == second.ID || c.Session() != "the-session" {
		t.Errorf("IDs %q and %q of session %q", id, second.ID, c.Session())
	}
	if info, ok := cluster.InfoFrom(r.ctx); ok {
		t.Errorf("InfoFrom of a stranger's context: %+v", info)
	}
	if a, b := r.connect().Session(), r.connect().Session(); a == b || a == "" {
		t.Errorf("two clients have the sessions %q and %q", a, b)
	}
}

func TestContractTaskFrom(t *testing.T) {
	r := newRig(t)
	task := antflow.NewTask("task", func(ctx context.Context, _ int) (antflow.TaskInfo, error) {
		info, _ := antflow.TaskFrom(ctx)
		return info, nil
	})
	r.serve(handlers(task))
	c := r.connect()
	if info := get(r, task.Submit(r.ctx, c, 1)); info.Name != "task" || info.Attempt != 1 || info.Priority != 0 {
		t.Errorf("%+v", info)
	}
	info := get(r, task.Submit(r.ctx, c, 1, antflow.TaskName("label"), antflow.Priority(3)))
	if info.Name != "label" || info.Priority != 3 {
		t.Errorf("%+v", info)
	}
}

func TestContractQueues(t *testing.T) {
	r := newRig(t)
	c := r.connect(cluster.DefaultQueue("one"))
	r.serve(handlers(whoami), cluster.WorkerName("A"), cluster.Queues("one"))
	r.serve(handlers(whoami), cluster.WorkerName("B"), cluster.Queues("two", "three"))
	for _, want := range []cluster.Info{{Queue: "one", Worker: "A"}, {Queue: "two", Worker: "B"}, {Queue: "three", Worker: "B"}} {
		for range 5 {
			opts := []antflow.TaskOption{antflow.Queue(want.Queue)}
			if want.Queue == "one" {
				opts = nil
			}
			info := get(r, whoami.Submit(r.ctx, c, 0, opts...))
			if info.Queue != want.Queue || info.Worker != want.Worker {
				t.Errorf("a task of %s ran as of %s on %s", want.Queue, info.Queue, info.Worker)
			}
		}
	}
	nobody := whoami.Submit(r.ctx, c, 0, antflow.Queue("four"))
	r.flush(c)
	r.until("the queue in the status", func() bool { return r.status(c).Backlog == 1 })
	nobody.Cancel()
	fail(r, nobody, antflow.ErrCanceled)
	bad := "two words"
	says(t, fail(r, whoami.Submit(r.ctx, c, 0, antflow.Queue(bad))), fmt.Sprintf("%q", bad))
}

func TestContractQueuesTakeTurns(t *testing.T) {
	r := newRig(t)
	c := r.connect()
	var mu sync.Mutex
	var order []string
	task := antflow.NewTask("task", func(ctx context.Context, _ int) (int, error) {
		info, _ := cluster.InfoFrom(ctx)
		mu.Lock()
		defer mu.Unlock()
		order = append(order, info.Queue)
		// By the real clock: tasks that take longer than to ask for one are not read
		// ahead, so one queue can't have all the turns before the other is there.
		time.Sleep(2 * time.Millisecond)
		return 0, nil
	})
	var fs []*antflow.Future[int]
	const n = 100
	for i := range 2 * n {
		fs = append(fs, task.Submit(r.ctx, c, 0, antflow.Queue([]string{"a", "b"}[i/n])))
	}
	r.flush(c)
	r.serve(handlers(task), cluster.Concurrency(1), cluster.Queues("a", "b"))
	for _, f := range fs {
		get(r, f)
	}
	mu.Lock()
	defer mu.Unlock()
	of := func(q string) (first int) { return slices.Index(order, q) }
	if a, b := of("a"), of("b"); max(a, b) > n-10 {
		t.Errorf("the first of a was number %d, that of b number %d of %d", a, b, 2*n)
	}
}

func TestContractBacklog(t *testing.T) {
	r := newRig(t)
	g := newGate("gate")
	c := r.connect(cluster.Backlog(2))
	fs := []*antflow.Future[int]{g.Submit(r.ctx, c, 0), g.Submit(r.ctx, c, 1)}
	r.flush(c)
	says(t, fail(r, g.Submit(r.ctx, c, 2, antflow.NonBlocking()), antflow.ErrQueueFull))
	if s := r.status(c); s.Backlog != 2 || s.Limit != 2 {
		t.Errorf("%+v", s)
	}
	short, cancel := context.WithTimeout(r.ctx, 50*time.Millisecond)
	defer cancel()
	fail(r, g.Submit(short, c, 3), antflow.ErrCanceled, context.DeadlineExceeded) // blocked until then
	if short.Err() == nil {
		t.Error("Submit did not block while the backlog was full")
	}
	submitted := make(chan struct{})
	var blocked *antflow.Future[int]
	go func() {
		defer close(submitted)
		blocked = g.Submit(r.ctx, c, 4)
	}()
	g.let()
	r.serve(handlers(g), cluster.Backlog(2))
	r.await("the end of a blocked Submit", submitted)
	for _, f := range append(fs, blocked) {
		get(r, f)
	}
}

// What a client submits beyond the backlog waits, and nothing is lost.
func TestContractBacklogThroughput(t *testing.T) {
	r := newRig(t)
	c := r.connect(cluster.Backlog(5))
	other := r.connect(cluster.Backlog(5))
	r.serve(handlers(echo[int]("echo")), cluster.Backlog(5), cluster.Concurrency(4))
	var wg sync.WaitGroup
	for _, c := range []*cluster.Client{c, other} {
		wg.Go(func() {
			i := 0
			for v, err := range echo[int]("echo").Map(r.ctx, c, func(yield func(int) bool) {
				for i := 0; i < 25 && yield(i); i++ {
				}
			}) {
				if err != nil || v != i {
					t.Errorf("%d: %v, %v", i, v, err)
				}
				i++
			}
			if i != 25 {
				t.Errorf("%d results of 25", i)
			}
		})
	}
	wg.Wait()
}

func TestContractMostPending(t *testing.T) {
	r := newRig(t)
	g := newGate("gate")
	r.serve(handlers(g))
	c, free := r.connect(cluster.MostPending(2)), r.connect()
	fs := []*antflow.Future[int]{g.Submit(r.ctx, c, 0), g.Submit(r.ctx, c, 1)}
	fail(r, g.Submit(r.ctx, c, 2, antflow.NonBlocking()), antflow.ErrQueueFull)
	other := g.Submit(r.ctx, free, 3, antflow.NonBlocking())
	short, cancel := context.WithTimeout(r.ctx, 50*time.Millisecond)
	defer cancel()
	fail(r, g.Submit(short, c, 4), antflow.ErrCanceled, context.DeadlineExceeded)
	if short.Err() == nil {
		t.Error("Submit did not block")
	}
	submitted := make(chan struct{})
	var blocked *antflow.Future[int]
	go func() {
		defer close(submitted)
		blocked = g.Submit(r.ctx, c, 5)
	}()
	g.let()
	r.await("the end of a blocked Submit", submitted)
	for _, f := range append(fs, blocked, other) {
		get(r, f)
	}
}

func TestContractSemaphore(t *testing.T) {
	r := newRig(t)
	var now, most, free atomic.Int32
	task := antflow.NewTask("task", func(_ context.Context, n int) (int, error) {
		if k := now.Add(1); k > most.Load() {
			most.Store(k)
		}
		defer now.Add(-1)
		// By the real clock: the broker is a server, and no bubble holds it.
		time.Sleep(time.Millisecond)
		return n, nil
	}, antflow.WithSemaphore(antflow.NewSemaphore(2)))
	gated := newGate("gated", antflow.WithSemaphore(antflow.NewSemaphore(1)))
	other := antflow.NewTask("other", func(_ context.Context, n int) (int, error) {
		free.Add(1)
		return n, nil
	})
	r.serve(handlers(task, gated, other), cluster.Concurrency(4))
	c := r.connect()
	var fs []*antflow.Future[int]
	for i := range 40 {
		fs = append(fs, task.Submit(r.ctx, c, i))
	}
	for _, f := range fs {
		get(r, f)
	}
	if m := most.Load(); m < 1 || m > 2 {
		t.Errorf("%d ran at the same time, with 2 permits", m)
	}
	held := []*antflow.Future[int]{gated.Submit(r.ctx, c, 0), gated.Submit(r.ctx, c, 1), gated.Submit(r.ctx, c, 2)}
	gated.next(r)
	for i := range 10 { // a task that waits for a permit has no slot
		get(r, other.Submit(r.ctx, c, i))
	}
	if len(gated.began) > 0 {
		t.Error("a second task began without a permit")
	}
	gated.let()
	for _, f := range held {
		get(r, f)
	}
}

func TestContractRateLimit(t *testing.T) {
	r := newRig(t)
	var l limiter
	var calls atomic.Int32
	task := antflow.NewTask("task", func(_ context.Context, n int) (int, error) {
		if calls.Add(1) > l.n.Load() {
			return 0, antflow.Permanent(errors.New("called without an event"))
		}
		if n == 0 {
			return 0, errors.New("again")
		}
		return n, nil
	}, antflow.WithRateLimit(&l), antflow.Retries(2), antflow.RetryDelay(time.Millisecond))
	r.serve(handlers(task), cluster.Concurrency(4))
	c := r.connect()
	for i := range 5 {
		get(r, task.Submit(r.ctx, c, i+1))
	}
	fail(r, task.Submit(r.ctx, c, 0))
	if n := l.n.Load(); n != 8 {
		t.Errorf("%d events for 8 attempts", n)
	}
}
