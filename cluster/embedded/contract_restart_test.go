package embedded_test

import (
	"context"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/cluster"
	"github.com/antflow/antflow/cluster/embedded"
)

// restart closes the broker and starts one on the same directory and port.
func restart(t *testing.T, b *embedded.Broker, dir string, meanwhile func()) *embedded.Broker {
	t.Helper()
	u, err := url.Parse(b.URL())
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	if err = b.Close(); err != nil {
		t.Fatal(err)
	}
	meanwhile()
	again, err := embedded.Start(dir, embedded.Port(port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = again.Close() })
	return again
}

func newRigIn(t *testing.T, dir string) *rig {
	t.Helper()
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return rig{t: t, ctx: ctx}.start(dir)
}

func TestContractRestartQueued(t *testing.T) {
	dir := t.TempDir()
	r := newRigIn(t, dir)
	var log journal
	task := echo[int]("echo")
	c := r.connect(cluster.Logger(log.logger()))
	var fs []*antflow.Future[int]
	for i := range 20 {
		fs = append(fs, task.Submit(r.ctx, c, i))
	}
	r.flush(c)
	restart(t, r.broker, dir, func() {
		for i := range 20 { // and what is submitted while it is away
			fs = append(fs, task.Submit(r.ctx, c, 20+i))
		}
	})
	w := r.serve(handlers(task), cluster.Concurrency(4))
	for i, f := range fs {
		if v := get(r, f); v != i || f.Attempts() != 1 {
			t.Errorf("%d: %d, %d attempts", i, v, f.Attempts())
		}
	}
	if err := w.stop(); err != nil {
		t.Error(err)
	}
	if !strings.Contains(log.String(), "connect") {
		t.Errorf("the log does not tell of the connection: %q", log.String())
	}
}

func TestContractRestartRunning(t *testing.T) {
	dir := t.TempDir()
	r := newRigIn(t, dir)
	g := newGate("gate")
	w := r.serve(handlers(g), cluster.Concurrency(2))
	c := r.connect()
	var fs []*antflow.Future[int]
	for i := range 6 {
		fs = append(fs, g.Submit(r.ctx, c, i))
	}
	r.flush(c)
	g.next(r)
	g.next(r)
	restart(t, r.broker, dir, func() {
		r.until("disconnected", func() bool { return w.health.Status().State == "disconnected" })
		g.let() // the two that run finish while there is no broker
		r.until("their end", func() bool { return w.health.Status().Running == 0 })
	})
	r.until("a worker that is back", func() bool { return w.health.Status().State == "serving" })
	for i, f := range fs {
		if v := get(r, f); v != i {
			t.Errorf("%d: %d", i, v)
		}
	}
	r.until("an empty backlog", func() bool { return r.status(c).Backlog == 0 })
}

// What is canceled while the broker is away is canceled when it is back.
func TestContractCancelWithoutBroker(t *testing.T) {
	dir := t.TempDir()
	r := newRigIn(t, dir)
	g := newGate("gate")
	c := r.connect()
	f := g.Submit(r.ctx, c, 1)
	r.flush(c)
	var unsent *antflow.Future[int]
	restart(t, r.broker, dir, func() {
		if !f.Cancel() {
			t.Error("Cancel said false")
		}
		ctx, cancel := context.WithCancel(r.ctx)
		unsent = g.Submit(ctx, c, 2)
		cancel()
	})
	fail(r, f, antflow.ErrCanceled)
	fail(r, unsent, antflow.ErrCanceled)
	r.serve(handlers(g, echo[int]("echo")))
	get(r, echo[int]("echo").Submit(r.ctx, c, 3))
	if len(g.began) > 0 {
		t.Errorf("the canceled task %d ran", <-g.began)
	}
}

func TestContractNoGoroutineLeft(t *testing.T) { // not with others at the same time
	r := newSerialRig(t)
	until(t, "the end of other tests", func() bool { return len(stacks()) == 0 })
	task := echo[int]("echo")
	g := newGate("gate")
	w := r.serve(handlers(task, g), cluster.Concurrency(2))
	a, err := cluster.Connect(r.ctx, r.url)
	if err != nil {
		t.Fatal(err)
	}
	b, err := cluster.Connect(r.ctx, r.url)
	if err != nil {
		t.Fatal(err)
	}
	for range 50 {
		get(r, task.Submit(r.ctx, a, 1))
	}
	f := g.Submit(r.ctx, b, 1, antflow.Timeout(time.Hour), antflow.QueueTimeout(time.Hour))
	g.next(r)
	r.status(a)
	b.Detach()
	fail(r, f, cluster.ErrDetached)
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	g.let()
	if err := w.stop(); err != nil {
		t.Error(err)
	}
	if _, err := cluster.Connect(ended(), r.url); err == nil {
		t.Error("Connect with an ended context")
	}
	end := time.Now().Add(5 * time.Second)
	for {
		left := stacks()
		if len(left) == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%d goroutines are left:\n%s", len(left), strings.Join(left, "\n\n"))
		}
		// By the real clock: goroutines of a connection end when they do.
		time.Sleep(2 * time.Millisecond)
	}
}
