package embedded_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/cluster"
	"github.com/antflow/antflow/cluster/embedded/internal/proxy"
)

// These tests have clients whose broker is away.

// cutOff is a client that knows that it is cut off.
func (r *rig) cutOff(opts ...cluster.ClientOption) (*cluster.Client, *proxy.Proxy) {
	r.t.Helper()
	far, line := r.behind()
	var log journal
	c := far.connect(append(opts, cluster.Logger(log.logger()))...)
	line.Cut(true)
	r.until("the loss of the connection", func() bool { return strings.Contains(log.String(), "disconnected") })
	return c, line
}

// What the broker never had is given up by its client alone, and doesn't run.
func TestContractGivenUpWhileAway(t *testing.T) {
	r := newRig(t)
	c, line := r.cutOff()
	ran := make(chan string, 10)
	task := keep("task", ran)
	ctx, cancel := context.WithCancel(r.ctx)
	abandoned := task.Submit(ctx, c, "abandoned")
	late := task.Submit(r.ctx, c, "late", antflow.QueueTimeout(50*time.Millisecond))
	canceled := task.Submit(r.ctx, c, "canceled")
	plain := task.Submit(r.ctx, c, "plain")
	cancel()
	canceled.Cancel()
	fail(r, abandoned, antflow.ErrCanceled, context.Canceled)
	fail(r, canceled, antflow.ErrCanceled)
	fail(r, late, antflow.ErrQueueTimeout)
	line.Cut(false)
	r.serve(handlers(task))
	get(r, plain)
	get(r, task.Submit(r.ctx, c, "last"))
	if a, b := receive(r, ran), receive(r, ran); a != "plain" || b != "last" || len(ran) > 0 {
		t.Errorf("%s and %s ran, and %d more", a, b, len(ran))
	}
}

// What may have reached it is given up when it is back, before a worker gets it.
func TestContractGivenUpOnTheWay(t *testing.T) {
	r := newRig(t)
	far, line := r.behind()
	c := far.connect()
	ran := make(chan string, 10)
	task := keep("task", ran)
	sent, seen := first(func(f *proxy.Frame) bool { return strings.HasPrefix(f.Subject, "antflow.default.task.") })
	line.Drop(proxy.ToServer, sent)
	canceled := task.Submit(r.ctx, c, "canceled")
	r.await("the task on its way", seen)
	canceled.Cancel()
	r.serve(handlers(task)) // which would be quick
	line.Cut(true)
	line.Cut(false)
	fail(r, canceled, antflow.ErrCanceled)
	get(r, task.Submit(r.ctx, c, "last"))
	if a := receive(r, ran); a != "last" || len(ran) > 0 {
		t.Errorf("%s ran, and %d more", a, len(ran))
	}
}

// When as many tasks wait for the broker as may, no Submit waits for longer than
// it may.
func TestContractManyWhileAway(t *testing.T) {
	r := newRig(t)
	c, line := r.cutOff()
	task := echo[int]("echo")
	fs := make([]*antflow.Future[int], 4096)
	for i := range fs {
		fs[i] = task.Submit(r.ctx, c, i, antflow.NonBlocking())
	}
	says(t, fail(r, task.Submit(r.ctx, c, 1, antflow.NonBlocking()), antflow.ErrQueueFull))
	says(t, fail(r, task.Submit(r.ctx, c, 1, antflow.QueueTimeout(50*time.Millisecond)), antflow.ErrQueueTimeout))
	ctx, cancel := context.WithTimeout(r.ctx, 50*time.Millisecond)
	defer cancel()
	fail(r, task.Submit(ctx, c, 1), antflow.ErrCanceled, context.DeadlineExceeded)
	line.Cut(false)
	r.serve(handlers(task))
	for i, f := range fs {
		if v := get(r, f); v != i {
			t.Fatalf("%d: %d", i, v)
		}
	}
}

// A client that is cut off can cancel what it has not sent, whatever Submit waits
// for.
func TestContractCancelWhileAway(t *testing.T) {
	r := newRig(t)
	c, _ := r.cutOff()
	task := echo[string]("echo")
	var fs [2]*antflow.Future[string]
	var wg sync.WaitGroup
	wg.Go(func() { fs[0] = task.Submit(r.ctx, c, large("x")) })
	r.until("a Submit", func() bool { return c.Executor().Stats().Submitted == 1 })
	for range 4096 {
		task.Submit(r.ctx, c, "x")
	}
	wg.Go(func() { fs[1] = task.Submit(r.ctx, c, "y") })
	r.until("the last Submit", func() bool { return c.Executor().Stats().Submitted == 4098 })
	if err := c.Shutdown(r.ctx, antflow.CancelRunning()); err != nil {
		t.Error(err)
	}
	wg.Wait()
	for _, f := range fs {
		fail(r, f, antflow.ErrCanceled)
	}
}

func TestContractMostPendingAndQueueTimeout(t *testing.T) {
	r := newRig(t)
	c := r.connect(cluster.MostPending(1))
	task := echo[int]("echo")
	task.Submit(r.ctx, c, 1)
	says(t, fail(r, task.Submit(r.ctx, c, 2, antflow.QueueTimeout(50*time.Millisecond)), antflow.ErrQueueTimeout))
}

// A client that goes right after a cancellation has told the worker of it.
func TestContractCancelAndDetach(t *testing.T) {
	r := newRig(t)
	began, ended := make(chan bool, 1), make(chan bool, 1)
	task := antflow.NewTask("task", func(ctx context.Context, _ int) (int, error) {
		began <- true
		<-ctx.Done()
		ended <- true
		return 0, ctx.Err()
	})
	r.serve(handlers(task), cluster.Lease(time.Hour))
	for range 10 {
		c := r.connect()
		f := task.Submit(r.ctx, c, 1)
		receive(r, began)
		f.Cancel()
		fail(r, f, antflow.ErrCanceled)
		c.Detach()
		receive(r, ended)
	}
}
