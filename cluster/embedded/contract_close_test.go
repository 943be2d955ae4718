package embedded_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/cluster"
)

func TestContractCloseWaits(t *testing.T) {
	r := newRig(t)
	g := newGate("gate")
	r.serve(handlers(g), cluster.Concurrency(1))
	c := r.connect()
	fs := []*antflow.Future[int]{g.Submit(r.ctx, c, 0), g.Submit(r.ctx, c, 1), g.Submit(r.ctx, c, 2)}
	g.next(r)
	closed := make(chan error, 1)
	go func() { closed <- c.Close() }()
	r.until("the end of admission", func() bool { return !c.Executor().Accepts(r.ctx) })
	says(t, fail(r, g.Submit(r.ctx, c, 3), antflow.ErrShutdown))
	select {
	case err := <-closed:
		t.Error("Close returned before the results: ", err)
	default:
	}
	g.let()
	if err := receive(r, closed); err != nil {
		t.Error(err)
	}
	for i, f := range fs {
		if !f.IsDone() {
			t.Errorf("%v after Close", f)
		} else if v := get(r, f); v != i {
			t.Errorf("%d: %d", i, v)
		}
	}
	if err := c.Close(); err != nil {
		t.Error("the second Close: ", err)
	}
	fail(r, g.Submit(r.ctx, c, 4), antflow.ErrShutdown)
	c.Detach() // changes nothing
}

func TestContractMapOverClosedClient(t *testing.T) {
	r := newRig(t)
	c := r.connect()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	inputs := slices.Values([]int{1, 2, 3})
	n := 0
	for _, err := range echo[int]("echo").Map(r.ctx, c, inputs) {
		var item *antflow.ItemError
		if n++; !errors.Is(err, antflow.ErrShutdown) || errors.As(err, &item) {
			t.Errorf("%d: %v", n, err)
		}
	}
	for _, err := range echo[int]("echo").MapUnordered(r.ctx, c, inputs) {
		if n++; !errors.Is(err, antflow.ErrShutdown) {
			t.Errorf("%d: %v", n, err)
		}
	}
	if n != 2 {
		t.Errorf("%d errors of two maps over a closed client", n)
	}
}

// A map that is under way yields what was accepted, and then ErrShutdown.
func TestContractMapWhileClosing(t *testing.T) {
	r := newRig(t)
	g := newGate("gate")
	r.serve(handlers(g), cluster.Concurrency(2))
	c := r.connect()
	go func() {
		g.next(r)
		g.next(r)
		_ = c.Shutdown(context.Background(), antflow.NoWait())
		g.let()
	}()
	var last error
	n := 0
	for _, err := range g.Map(r.ctx, c, func(yield func(int) bool) {
		for i := 0; i < 2 && yield(i); i++ {
		}
		<-c.Executor().Closing()
		yield(2)
	}) {
		if last = err; err == nil {
			n++
		}
	}
	if n != 2 || !errors.Is(last, antflow.ErrShutdown) {
		t.Errorf("%d results, then %v", n, last)
	}
}

func TestContractShutdown(t *testing.T) {
	r := newRig(t)
	g := newGate("gate")
	r.serve(handlers(g), cluster.Concurrency(1))
	c := r.connect()
	f := g.Submit(r.ctx, c, 1)
	g.next(r)
	err := c.Shutdown(ended())
	var waited *antflow.WaitError
	if !errors.As(err, &waited) || !errors.Is(err, context.Canceled) {
		t.Errorf("with an ended context: %v", err)
	}
	says(t, err)
	fail(r, g.Submit(r.ctx, c, 2), antflow.ErrShutdown)
	if err := c.Shutdown(r.ctx, antflow.NoWait()); err != nil {
		t.Errorf("NoWait: %v", err)
	}
	if f.IsDone() {
		t.Errorf("%v", f)
	}
	g.let()
	get(r, f)
	if err := c.Shutdown(r.ctx); err != nil {
		t.Error(err)
	}
}

func TestContractCancelQueuedAtShutdown(t *testing.T) {
	r := newRig(t)
	g := newGate("gate")
	r.serve(handlers(g), cluster.Concurrency(1))
	c := r.connect()
	running := g.Submit(r.ctx, c, 0)
	g.next(r)
	r.until("the news of the start", func() bool { return running.State() == antflow.StateRunning })
	queued := []*antflow.Future[int]{g.Submit(r.ctx, c, 1), g.Submit(r.ctx, c, 2)}
	r.flush(c)
	done := make(chan error, 1)
	go func() { done <- c.Shutdown(r.ctx, antflow.CancelQueued()) }()
	for _, f := range queued {
		fail(r, f, antflow.ErrCanceled, antflow.ErrShutdown, context.Canceled)
	}
	if running.IsDone() {
		t.Errorf("%v: %v", running, running.Err())
	}
	g.let()
	get(r, running)
	if err := receive(r, done); err != nil {
		t.Error(err)
	}
	if len(g.began) > 0 {
		t.Logf("the task %d began, its worker was not told in time", <-g.began)
	}
}

func TestContractCancelRunningAtShutdown(t *testing.T) {
	r := newRig(t)
	g := newGate("gate")
	w := r.serve(handlers(g), cluster.Concurrency(1))
	c := r.connect()
	fs := []*antflow.Future[int]{g.Submit(r.ctx, c, 0), g.Submit(r.ctx, c, 1)}
	g.next(r)
	if err := c.Shutdown(r.ctx, antflow.CancelRunning()); err != nil {
		t.Error(err)
	}
	for _, f := range fs {
		if !f.IsDone() {
			t.Errorf("%v after Shutdown", f)
		}
		fail(r, f, antflow.ErrCanceled, antflow.ErrShutdown, context.Canceled)
	}
	// By the real clock: the worker is told over a connection.
	for start := time.Now(); w.health.Status().Running > 0; time.Sleep(2 * time.Millisecond) {
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("the function goes on %v after the end of Shutdown", d)
			g.let()
			break
		}
	}
}

func TestContractFlush(t *testing.T) {
	r := newRig(t)
	c, other := r.connect(), r.connect()
	task := echo[int]("echo")
	const n = 500
	for i := range n {
		task.Submit(r.ctx, c, i)
	}
	r.flush(c)
	if s := r.status(other); s.Backlog != n {
		t.Errorf("the broker has %d tasks of %d after Flush", s.Backlog, n)
	}
	if err := r.broker.Close(); err != nil {
		t.Fatal(err)
	}
	task.Submit(r.ctx, c, n)
	short, cancel := context.WithTimeout(r.ctx, 20*time.Millisecond)
	defer cancel()
	err := c.Flush(short)
	var waited *antflow.WaitError
	if !errors.As(err, &waited) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("without a broker: %v", err)
	}
	says(t, err)
	short, cancel = context.WithTimeout(r.ctx, 20*time.Millisecond)
	defer cancel()
	_, err = c.Status(short)
	says(t, err)
}

func TestContractDetach(t *testing.T) {
	r := newRig(t)
	g := newGate("gate")
	c := r.connect()
	f := g.Submit(r.ctx, c, 8)
	waiting := make(chan error, 1)
	go func() {
		_, err := f.Result(r.ctx)
		waiting <- err
	}()
	r.flush(c)
	c.Detach()
	fail(r, f, cluster.ErrDetached)
	if err := receive(r, waiting); !errors.Is(err, cluster.ErrDetached) {
		t.Error(err)
	}
	c.Detach()
	says(t, fail(r, g.Submit(r.ctx, c, 9), antflow.ErrShutdown))
	if err := c.Close(); err != nil {
		t.Error("Close after Detach: ", err)
	}
	r.serve(handlers(g))
	if n := g.next(r); n != 8 { // the task goes on
		t.Errorf("%d began", n)
	}
	g.let()
}

// A callback may end the client.
func TestContractDetachInACallback(t *testing.T) {
	r := newRig(t)
	for _, serves := range []bool{false, true} {
		c := r.connect()
		if serves {
			r.serve(handlers(echo[int]("echo")))
		}
		f := echo[int]("echo").Submit(r.ctx, c, 1)
		detached := make(chan struct{})
		f.OnDone(func(*antflow.Future[int]) { c.Detach(); close(detached) })
		if !serves {
			f.Cancel()
		}
		r.await("Detach", detached)
	}
}

// So it may where the result was there before, and is looked for.
func TestContractDetachInACallbackOfAKey(t *testing.T) {
	r := newRig(t)
	task := echo[int]("echo", antflow.Key("k"))
	r.serve(handlers(task))
	get(r, task.Submit(r.ctx, r.connect(cluster.Session("s")), 1))
	c := r.connect(cluster.Session("s"))
	f := task.Submit(r.ctx, c, 1)
	detached := make(chan struct{})
	f.OnDone(func(*antflow.Future[int]) { c.Detach(); close(detached) })
	r.await("Detach", detached)
	get(r, f)
}

// Nothing is kept of tasks that a client has left, whatever their queue timeouts.
func TestContractDetachLeavesNothing(t *testing.T) {
	r := newRig(t)
	c := r.connect()
	freed := make(chan struct{})
	f := echo[int]("echo").Submit(r.ctx, c, 1, antflow.QueueTimeout(time.Hour))
	runtime.AddCleanup(f, func(freed chan struct{}) { close(freed) }, freed)
	r.flush(c)
	c.Detach()
	fail(r, f, cluster.ErrDetached)
	r.until("an end of what was kept", func() bool {
		runtime.GC()
		select {
		case <-freed:
			return true
		default:
			return false
		}
	})
}

// A task whose queue is gone can be canceled.
func TestContractCancelWithoutStream(t *testing.T) {
	r := newRig(t)
	_, js := r.raw()
	c := r.connect()
	f := echo[int]("echo").Submit(r.ctx, c, 1)
	r.flush(c)
	if err := js.DeleteStream(r.ctx, "ANTFLOW_default_TASKS"); err != nil {
		t.Fatal(err)
	}
	f.Cancel()
	fail(r, f, antflow.ErrCanceled)
}

func TestContractFuturesAfterClose(t *testing.T) {
	r := newRig(t)
	task := echo[int]("echo")
	r.serve(handlers(task), cluster.Concurrency(4))
	c, err := cluster.Connect(r.ctx, r.url)
	if err != nil {
		t.Fatal(err)
	}
	var fs []*antflow.Future[int]
	for i := range 200 {
		fs = append(fs, task.Submit(r.ctx, c, i))
	}
	if err := c.Close(); err != nil { // as by defer, before anybody has waited
		t.Fatal(err)
	}
	for i, f := range fs {
		if v, err := f.Result(ended()); v != i || err != nil {
			t.Errorf("%d: %v, %v", i, v, err)
		}
	}
}
