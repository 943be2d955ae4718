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

// A tree of calls that wait for one another, in a worker with a single slot.
func TestContractNesting(t *testing.T) {
	r := newRig(t)
	c := r.connect()
	var fib *antflow.Task[int, int]
	var now, most atomic.Int32
	fib = antflow.NewTask("fib", func(ctx context.Context, n int) (int, error) {
		if k := now.Add(1); k > most.Load() {
			most.Store(k)
		}
		defer now.Add(-1)
		if n < 2 {
			return n, nil
		}
		a, b := fib.Submit(ctx, c, n-1), fib.Submit(ctx, c, n-2)
		now.Add(-1)
		_, _, err := antflow.Wait(ctx, []*antflow.Future[int]{a, b}, antflow.AllCompleted)
		now.Add(1)
		if err != nil {
			return 0, err
		}
		x, err := a.Result(ctx)
		y, err2 := b.Result(ctx)
		return x + y, errors.Join(err, err2)
	})
	tree := antflow.NewTask("tree", func(ctx context.Context, n int) (sum int, err error) {
		for v, err := range fib.Map(ctx, c, slices.Values([]int{n, n - 1, n - 2})) {
			if err != nil {
				return 0, err
			}
			sum += v
		}
		return sum, nil
	})
	r.serve(handlers(fib, tree), cluster.Concurrency(1))
	if v := get(r, fib.Submit(r.ctx, c, 6)); v != 8 {
		t.Errorf("the sixth is %d", v)
	}
	if m := most.Load(); m != 1 {
		t.Errorf("%d ran at the same time in one slot", m)
	}
	if v := get(r, tree.Submit(r.ctx, c, 5)); v != 5+3+2 {
		t.Errorf("%d", v)
	}
}

// A child that its parent waits for comes before what waits in the queue, or
// else all parents start before the first child.
func TestContractManyParents(t *testing.T) {
	r := newRig(t)
	c := r.connect()
	leaf := echo[int]("leaf")
	parent := antflow.NewTask("parent", func(ctx context.Context, n int) (int, error) {
		return leaf.Submit(ctx, c, n).Result(ctx)
	})
	var fs []*antflow.Future[int]
	for i := range 40 {
		fs = append(fs, parent.Submit(r.ctx, c, i))
	}
	r.flush(c)
	r.serve(handlers(leaf, parent), cluster.Concurrency(2))
	for i, f := range fs {
		if v := get(r, f); v != i {
			t.Errorf("%d: %d", i, v)
		}
	}
}

// The child of a task that ends is canceled with it.
func TestContractChildEndsWithParent(t *testing.T) {
	r := newRig(t)
	c := r.connect()
	g := newGate("gate")
	children := make(chan *antflow.Future[int], 1)
	parent := antflow.NewTask("parent", func(ctx context.Context, n int) (int, error) {
		children <- g.Submit(ctx, c, n)
		g.next(r)
		return n, nil
	})
	r.serve(handlers(parent, g), cluster.Concurrency(2))
	get(r, parent.Submit(r.ctx, c, 1))
	fail(r, receive(r, children), antflow.ErrCanceled)
}

func TestContractDrain(t *testing.T) {
	r := newRig(t)
	g := newGate("gate")
	c := r.connect()
	w := r.serve(handlers(g), cluster.Concurrency(2), cluster.WorkerName("A"))
	var fs []*antflow.Future[int]
	for i := range 12 {
		fs = append(fs, g.Submit(r.ctx, c, i))
	}
	running := []int{g.next(r), g.next(r)}
	w.cancel()
	r.until("draining", func() bool { return w.health.Status().State == "draining" })
	if status, _ := probe(w.health); status != 503 {
		t.Errorf("a worker that drains has status %d", status)
	}
	after := g.Submit(r.ctx, c, 12)
	fs = append(fs, after)
	second := r.serve(handlers(g), cluster.Concurrency(20), cluster.WorkerName("B"))
	for range 11 { // all but the two begin on the second, while the first waits
		if n := g.next(r); slices.Contains(running, n) {
			t.Errorf("%d began again", n)
		}
	}
	select {
	case <-w.done:
		t.Error("Serve returned before its tasks had finished: ", w.err)
	default:
	}
	g.let()
	for i, f := range fs {
		if v := get(r, f); v != i || f.Attempts() != 1 {
			t.Errorf("%d: %d, %d attempts", i, v, f.Attempts())
		}
	}
	if err := w.stop(); err != nil {
		t.Error(err)
	}
	if len(g.began) > 0 {
		t.Errorf("%d ran twice", <-g.began)
	}
	if err := second.stop(); err != nil {
		t.Error(err)
	}
	for _, w := range []*worker{w, second} {
		if status, _ := probe(w.health); status != 503 || w.health.Status().State != "stopped" {
			t.Errorf("a worker that has stopped has status %d: %+v", status, w.health.Status())
		}
	}
}

// An idle worker stops at once.
func TestContractDrainIdle(t *testing.T) {
	r := newRig(t)
	w := r.serve(handlers(echo[int]("echo")))
	c := r.connect()
	get(r, echo[int]("echo").Submit(r.ctx, c, 1))
	start := time.Now()
	if err := w.stop(); err != nil {
		t.Error(err)
	}
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("Serve took %v to end", d)
	}
}

func TestContractDrainTimeout(t *testing.T) {
	r := newRig(t)
	attempts := make(chan cluster.Info, 10)
	task := antflow.NewTask("task", func(ctx context.Context, n int) (int, error) {
		info, _ := cluster.InfoFrom(ctx)
		attempts <- info
		if info.Worker == "A" {
			<-ctx.Done()
			return 0, ctx.Err()
		}
		return n, nil
	})
	c := r.connect()
	w := r.serve(handlers(task), cluster.WorkerName("A"), cluster.DrainTimeout(50*time.Millisecond))
	f := task.Submit(r.ctx, c, 5)
	first := receive(r, attempts)
	start := time.Now()
	if err := w.stop(); err != nil {
		t.Error(err)
	}
	if d := time.Since(start); d < 50*time.Millisecond {
		t.Errorf("it drained for %v only", d)
	}
	if f.IsDone() {
		t.Errorf("%v: %v", f, f.Err())
	}
	r.serve(handlers(task), cluster.WorkerName("B"))
	if v := get(r, f); v != 5 {
		t.Error(v)
	}
	second := receive(r, attempts)
	if first.Attempt != 1 || second.Attempt < 2 || first.ID != second.ID || second.Worker != "B" {
		t.Errorf("%+v, then %+v", first, second)
	}
}

// The retries of a task don't count what its worker gave back.
func TestContractGivenBackIsNoFailure(t *testing.T) {
	r := newRig(t)
	began := make(chan string, 10)
	task := antflow.NewTask("task", func(ctx context.Context, n int) (int, error) {
		info, _ := cluster.InfoFrom(ctx)
		began <- info.Worker
		switch info.Worker {
		case "A", "B":
			<-ctx.Done()
			return 0, ctx.Err()
		}
		return 0, errors.New("a failure")
	}, antflow.Retries(1), antflow.RetryDelay(time.Millisecond))
	c := r.connect()
	f := task.Submit(r.ctx, c, 1)
	for _, name := range []string{"A", "B"} {
		w := r.serve(handlers(task), cluster.WorkerName(name), cluster.DrainTimeout(time.Millisecond))
		if got := receive(r, began); got != name {
			t.Fatalf("it ran on %s", got)
		}
		if err := w.stop(); err != nil {
			t.Error(err)
		}
	}
	r.serve(handlers(task), cluster.WorkerName("C"))
	err := fail(r, f)
	var retried *antflow.RetryError
	if !errors.As(err, &retried) || len(began) != 2 {
		t.Errorf("after %d calls on the last worker: %v", len(began), err)
	}
}

func TestContractStubbornHandler(t *testing.T) {
	r := newRig(t)
	stuck, release := make(chan struct{}, 1), make(chan struct{})
	task := antflow.NewTask("task", func(ctx context.Context, n int) (int, error) {
		if info, _ := cluster.InfoFrom(ctx); info.Worker == "A" {
			stuck <- struct{}{}
			<-release
			return -1, nil
		}
		return n, nil
	})
	defer close(release)
	c := r.connect()
	w := r.serve(handlers(task), cluster.WorkerName("A"), cluster.DrainTimeout(time.Millisecond), cluster.Lease(time.Second))
	f := task.Submit(r.ctx, c, 3)
	r.await("the start", stuck)
	err := w.stop()
	says(t, err, "1")
	r.serve(handlers(task), cluster.WorkerName("B"), cluster.Lease(time.Second))
	if v := get(r, f); v != 3 {
		t.Error(v)
	}
}

type contextKey struct{}

func TestContractValuesOfServe(t *testing.T) {
	r := newRig(t)
	task := antflow.NewTask("task", func(ctx context.Context, _ int) (string, error) {
		s, _ := ctx.Value(contextKey{}).(string)
		return s, ctx.Err()
	})
	ctx, cancel := context.WithCancel(context.WithValue(context.Background(), contextKey{}, "from Serve"))
	served := make(chan error, 1)
	go func() { served <- cluster.Serve(ctx, r.url, handlers(task)) }()
	if s := get(r, task.Submit(r.ctx, r.connect(), 1)); s != "from Serve" {
		t.Errorf("%q", s)
	}
	cancel()
	if err := receive(r, served); err != nil {
		t.Error(err)
	}
}
