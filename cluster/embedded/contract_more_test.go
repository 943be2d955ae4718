package embedded_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/cluster"
)

// A lease is not how long a task may run, or wait in its worker.
func TestContractLongerThanLease(t *testing.T) {
	r := newRig(t)
	const long = 2500 * time.Millisecond
	var calls atomic.Int32
	slow := antflow.NewTask("slow", func(_ context.Context, n int) (int, error) {
		calls.Add(1)
		// By the real clock: a task that is longer than a lease of the broker.
		time.Sleep(long)
		return n, nil
	})
	one := antflow.NewSemaphore(1)
	permit := antflow.NewTask("permit", func(context.Context, int) (int, error) { calls.Add(1); return 0, nil }, antflow.WithSemaphore(one))
	again := failing("again", &calls, func(n int) error {
		if calls.Load() < 4 {
			return errors.New("again")
		}
		return nil
	}, antflow.Retries(1), antflow.RetryDelay(long))
	if err := one.Acquire(r.ctx, 1); err != nil {
		t.Fatal(err)
	}
	c := r.connect()
	r.serve(handlers(slow, permit, again), cluster.Concurrency(2), cluster.Lease(time.Second), cluster.MostCrashes(0))
	retried := again.Submit(r.ctx, c, 0)
	fs := []*antflow.Future[int]{slow.Submit(r.ctx, c, 0), permit.Submit(r.ctx, c, 0), slow.Submit(r.ctx, c, 1), permit.Submit(r.ctx, c, 0)}
	get(r, fs[0])
	one.Release(1)
	for _, f := range fs {
		if get(r, f); f.Attempts() != 1 {
			t.Errorf("%v has %d attempts", f, f.Attempts())
		}
	}
	if get(r, retried); retried.Attempts() != 2 || calls.Load() != 6 {
		t.Errorf("%d attempts, %d calls of 6", retried.Attempts(), calls.Load())
	}
}

func TestContractMapOptions(t *testing.T) {
	r := newRig(t)
	var now, most atomic.Int32
	busy := antflow.NewTask("busy", func(_ context.Context, n int) (int, error) {
		if k := now.Add(1); k > most.Load() {
			most.Store(k)
		}
		defer now.Add(-1)
		// By the real clock: the broker is a server, and no bubble holds it.
		time.Sleep(time.Millisecond)
		return n, nil
	})
	g := newGate("gate")
	r.serve(handlers(busy, g), cluster.Concurrency(4))
	c := r.connect()
	n := 0
	for v, err := range busy.Map(r.ctx, c, slices.Values(make([]int, 20)), antflow.MaxConcurrency(1)) {
		if n++; v != 0 || err != nil {
			t.Error(v, err)
		}
	}
	if n != 20 || most.Load() != 1 {
		t.Errorf("%d results, %d at the same time", n, most.Load())
	}
	var pulled atomic.Int32
	var last error
	for _, err := range g.Map(r.ctx, c, func(yield func(int) bool) {
		for i := 0; yield(i); i++ {
			pulled.Add(1)
		}
	}, antflow.Window(3), antflow.ResultTimeout(100*time.Millisecond)) {
		last = err
	}
	var waited *antflow.WaitError
	if !errors.As(last, &waited) || !errors.Is(last, context.DeadlineExceeded) || pulled.Load() > 3 {
		t.Errorf("after %d inputs: %v", pulled.Load(), last)
	}
	r.until("the end of what the map left", func() bool { s := c.Executor().Stats(); return s.Running+s.Queued+s.Waiting == 0 })
}

func TestContractTwoWorkers(t *testing.T) {
	r := newRig(t)
	g := newGate("gate")
	r.serve(handlers(g), cluster.Concurrency(1))
	c := r.connect()
	fs := []*antflow.Future[int]{g.Submit(r.ctx, c, 0)}
	g.next(r)
	// What a busy worker has ahead of time must not keep an idle one waiting.
	fs = append(fs, g.Submit(r.ctx, c, 1), g.Submit(r.ctx, c, 2))
	r.flush(c)
	r.serve(handlers(g), cluster.Concurrency(2))
	start := time.Now()
	g.next(r)
	g.next(r)
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("two tasks waited for %v while there were free slots", d)
	}
	g.let()
	for _, f := range fs {
		get(r, f)
	}
}

// A worker that was asked for a task while its slot was free, and has given that
// to a task of another kind by then, lets somebody else have it.
func TestContractSlotTakenByOthers(t *testing.T) {
	r := newRig(t)
	e := antflow.New(1)
	c := r.connect()
	a := r.serve(handlers(whoami), cluster.On(e), cluster.WorkerName("A"))
	taken := func() bool { return a.health.Status().Held == 1 }
	var f *antflow.Future[cluster.Info]
	for try := 0; ; try++ {
		r.until("requests that wait for a task", func() bool {
			for _, q := range r.status(c).Queues {
				if q.Requests != 1 {
					return false
				}
			}
			return true
		})
		began, open := make(chan struct{}), make(chan struct{})
		local := e.Go(r.ctx, func(context.Context) error { close(began); <-open; return nil })
		r.await("the start of the other task", began)
		f = whoami.Submit(r.ctx, c, 0)
		r.flush(c)
		held := false
		for end := time.Now().Add(100 * time.Millisecond); !held && time.Now().Before(end); {
			held = taken()
		}
		if held {
			defer func() {
				close(open)
				get(r, local)
				_ = e.Close()
			}()
			break
		}
		close(open) // the request had just run out
		get(r, local)
		get(r, f)
		if try == 20 {
			t.Fatal("a free worker's requests bring no task")
		}
	}
	r.serve(handlers(whoami), cluster.WorkerName("B"))
	if info := get(r, f); info.Worker != "B" {
		t.Errorf("it ran on %q, which has no slot", info.Worker)
	}
	if s := e.Stats(); s.Running != 1 {
		t.Errorf("%+v", s)
	}
}

func TestContractContextOfConnect(t *testing.T) {
	r := newRig(t)
	ctx, cancel := context.WithCancel(r.ctx)
	c, err := cluster.Connect(ctx, r.url)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	f := echo[int]("echo").Submit(r.ctx, c, 1)
	r.serve(handlers(echo[int]("echo")))
	get(r, f)
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func TestContractServeEnded(t *testing.T) {
	r := newRig(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := cluster.Serve(ended(), r.url, handlers(echo[int]("echo"))); err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}()
	r.await("the end of Serve", done)
}

// A worker that is stopped while it begins ends as any other, and has nothing
// with it.
func TestContractServeEndsWhileItBegins(t *testing.T) {
	r := newRig(t)
	task := echo[int]("echo")
	c := r.connect()
	var fs []*antflow.Future[int]
	for i := range 100 {
		fs = append(fs, task.Submit(r.ctx, c, i, antflow.Priority(i%3-1)))
	}
	r.flush(c)
	for i := range 12 {
		ctx, cancel := context.WithCancel(r.ctx)
		served := make(chan error, 1)
		go func() { served <- cluster.Serve(ctx, r.url, handlers(task), cluster.Concurrency(1)) }()
		// By the real clock: to end in the middle of what it does with the broker.
		time.Sleep(time.Duration(i) * time.Millisecond)
		cancel()
		if err := receive(r, served); err != nil {
			t.Errorf("after %d ms: %v", i, err)
		}
	}
	start := time.Now()
	r.serve(handlers(task))
	for _, f := range fs {
		get(r, f)
	}
	if d := time.Since(start); d > 15*time.Second {
		t.Errorf("the last task came after %v: somebody kept it until the end of its lease", d)
	}
}

// Blocking lends the slot of a worker as it does that of an executor.
func TestContractBlocking(t *testing.T) {
	r := newRig(t)
	second := make(chan struct{})
	waits := antflow.NewTask("waits", func(ctx context.Context, n int) (int, error) {
		return n, antflow.Blocking(ctx, func() error { <-second; return nil })
	})
	opens := antflow.NewTask("opens", func(_ context.Context, n int) (int, error) { close(second); return n, nil })
	r.serve(handlers(waits, opens), cluster.Concurrency(1))
	c := r.connect()
	f := waits.Submit(r.ctx, c, 1)
	g := opens.Submit(r.ctx, c, 2)
	get(r, g)
	get(r, f)
}

// A retry is for any worker: the first one may be gone by then.
func TestContractRetryElsewhere(t *testing.T) {
	r := newRig(t)
	failed := make(chan struct{}, 1)
	task := antflow.NewTask("task", func(ctx context.Context, _ int) (string, error) {
		info, _ := cluster.InfoFrom(ctx)
		if info.Attempt == 1 {
			failed <- struct{}{}
			return "", errors.New("not here")
		}
		return info.Worker, nil
	}, antflow.Retries(1), antflow.RetryDelay(300*time.Millisecond))
	c := r.connect()
	w := r.serve(handlers(task), cluster.WorkerName("A"))
	f := task.Submit(r.ctx, c, 0)
	r.await("the failure", failed)
	if err := w.stop(); err != nil {
		t.Error(err)
	}
	r.serve(handlers(task), cluster.WorkerName("B"))
	if v := get(r, f); v != "B" || f.Attempts() != 2 {
		t.Errorf("on %q, after %d attempts", v, f.Attempts())
	}
}

// Many clients, workers and tasks at once, with workers that come and go.
func TestContractManyOfAll(t *testing.T) {
	r := newRig(t)
	task := antflow.NewTask("task", func(_ context.Context, n int) (int, error) {
		if n%7 == 0 {
			return 0, errors.New("seven")
		}
		return -n, nil
	}, antflow.Retries(1), antflow.RetryDelay(time.Millisecond))
	var fs []*antflow.Future[int]
	for k := range 3 {
		c := r.connect()
		for i := range 200 {
			fs = append(fs, task.Submit(r.ctx, c, 1000*k+i, antflow.Priority(i%3-1)))
		}
	}
	for range 4 {
		done, _, _ := antflow.WaitN(ended(), fs, len(fs))
		w := r.serve(handlers(task), cluster.Concurrency(3))
		if _, _, err := antflow.WaitN(r.ctx, fs, len(done)+20); err != nil {
			t.Fatal(err)
		}
		if err := w.stop(); err != nil {
			t.Error(err)
		}
	}
	r.serve(handlers(task), cluster.Concurrency(3))
	for i, f := range fs {
		n := i/200*1000 + i%200
		if n%7 == 0 {
			var retried *antflow.RetryError
			if err := fail(r, f); !errors.As(err, &retried) || retried.Attempts != 2 {
				t.Errorf("%d: %v", n, err)
			}
		} else if v := get(r, f); v != -n || f.Attempts() != 1 {
			t.Errorf("%d: %d, %d attempts", n, v, f.Attempts())
		}
	}
}
