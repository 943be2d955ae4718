package embedded_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/cluster"
)

// counted counts its calls and returns the number of them.
func counted(name string, calls *atomic.Int32) *antflow.Task[int, int] {
	return antflow.NewTask(name, func(context.Context, int) (int, error) { return int(calls.Add(1)), nil })
}

func TestContractKeyOneClient(t *testing.T) {
	r := newRig(t)
	var calls atomic.Int32
	task := counted("task", &calls)
	c := r.connect()
	before := []*antflow.Future[int]{
		task.Submit(r.ctx, c, 1, antflow.Key("k")), task.Submit(r.ctx, c, 1, antflow.Key("k")),
	}
	r.serve(handlers(task, counted("other", new(atomic.Int32))), cluster.Concurrency(4))
	for _, f := range before {
		if v := get(r, f); v != 1 {
			t.Errorf("%v has %d", f, v)
		}
	}
	if v := get(r, task.Submit(r.ctx, c, 1, antflow.Key("k"))); v != 1 { // the result is there
		t.Errorf("a later call has %d", v)
	}
	if v := get(r, task.Submit(r.ctx, c, 1, antflow.Key("any bytes: ä.*> \x00\xff\n"))); v != 2 {
		t.Errorf("another key has %d", v)
	}
	if v := get(r, counted("other", nil).Submit(r.ctx, c, 1, antflow.Key("k"))); v != 1 {
		t.Errorf("the key with another task has %d", v)
	}
	if v := get(r, task.Submit(r.ctx, c, 1, antflow.Key(""))); v != 3 {
		t.Errorf("an empty key, which is none, has %d", v)
	}
	if n := calls.Load(); n != 3 {
		t.Errorf("%d calls", n)
	}
}

func TestContractKeyTwoClients(t *testing.T) {
	r := newRig(t)
	g := newGate("gate")
	r.serve(handlers(g), cluster.Concurrency(4))
	a, b := r.connect(cluster.Session("s")), r.connect(cluster.Session("s"))
	fs := []*antflow.Future[int]{g.Submit(r.ctx, a, 1, antflow.Key("k")), g.Submit(r.ctx, b, 1, antflow.Key("k"))}
	r.flush(a)
	r.flush(b)
	g.next(r)
	fs = append(fs, g.Submit(r.ctx, b, 1, antflow.Key("k")))
	g.let()
	for _, f := range fs {
		get(r, f)
	}
	get(r, g.Submit(r.ctx, r.connect(cluster.Session("s")), 1, antflow.Key("k")))
	if len(g.began) > 0 {
		t.Error("the task ran twice")
	}
}

func TestContractKeyAfterDetach(t *testing.T) {
	r := newRig(t)
	g := newGate("gate")
	r.serve(handlers(g), cluster.Concurrency(4))
	opts := []cluster.ClientOption{cluster.Session("s")}
	first := r.connect(opts...)
	f := g.Submit(r.ctx, first, 5, antflow.Key("k"))
	g.next(r)
	r.flush(first)
	first.Detach()
	says(t, fail(r, f, cluster.ErrDetached))
	second := r.connect(opts...)
	again := g.Submit(r.ctx, second, 5, antflow.Key("k"))
	r.flush(second)
	g.let()
	if v := get(r, again); v != 5 || len(g.began) > 0 {
		t.Errorf("%d, with %d further calls", v, len(g.began))
	}
	second.Detach()
	third := r.connect(opts...)
	if v := get(r, g.Submit(r.ctx, third, 5, antflow.Key("k"))); v != 5 || len(g.began) > 0 {
		t.Errorf("%d, with %d further calls", v, len(g.began))
	}
}

// A failure and a cancellation are results as well.
func TestContractKeyOfFailure(t *testing.T) {
	r := newRig(t)
	var calls atomic.Int32
	task := failing("task", &calls, func(int) error { return antflow.Permanent(errors.New("no")) })
	g := newGate("gate")
	a, b := r.connect(cluster.Session("s")), r.connect(cluster.Session("s"))
	f := g.Submit(r.ctx, a, 1, antflow.Key("k"))
	r.flush(a)
	f.Cancel()
	fail(r, f, antflow.ErrCanceled)
	fail(r, g.Submit(r.ctx, b, 1, antflow.Key("k")), antflow.ErrCanceled)
	r.serve(handlers(task, g))
	for _, c := range []*cluster.Client{a, b} {
		if err := fail(r, task.Submit(r.ctx, c, 1, antflow.Key("k"))); err.Error() != "no" {
			t.Error(err)
		}
	}
	if calls.Load() != 1 || len(g.began) > 0 {
		t.Errorf("%d calls and %d", calls.Load(), len(g.began))
	}
}

func TestContractMapWithKey(t *testing.T) {
	r := newRig(t)
	var calls atomic.Int32
	task := antflow.NewTask("task", func(_ context.Context, n int) (int, error) {
		calls.Add(1)
		return n * n, nil
	})
	r.serve(handlers(task), cluster.Concurrency(4))
	inputs := slices.Values([]int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9})
	for range 2 {
		c := r.connect(cluster.Session("s"))
		i := 0
		for v, err := range task.Map(r.ctx, c, inputs, antflow.Key("squares")) {
			if v != i*i || err != nil {
				t.Errorf("%d: %v, %v", i, v, err)
			}
			i++
		}
		if v := get(r, task.Submit(r.ctx, c, 7, antflow.Key("squares/7"))); v != 49 || i != 10 {
			t.Errorf("%d of %d", v, i)
		}
		c.Detach()
	}
	if n := calls.Load(); n != 10 {
		t.Errorf("%d calls for 10 keys", n)
	}
}

func TestContractSessionsAndNamespaces(t *testing.T) {
	r := newRig(t)
	var calls [3]atomic.Int32
	r.serve(handlers(counted("task", &calls[0])))
	r.serve(handlers(counted("task", &calls[1])), cluster.Namespace("other"))
	for i, opts := range [][]cluster.ClientOption{
		{cluster.Session("a")}, {cluster.Session("b")}, {}, {},
		{cluster.Session("a"), cluster.Namespace("other")}, {cluster.Session("a"), cluster.Namespace("other")},
	} {
		v := get(r, counted("task", nil).Submit(r.ctx, r.connect(opts...), 0, antflow.Key("k")))
		if want := []int{1, 2, 3, 4, 1, 1}[i]; v != want {
			t.Errorf("client %d has %d, not %d", i, v, want)
		}
	}
	if a, b := calls[0].Load(), calls[1].Load(); a != 4 || b != 1 {
		t.Errorf("%d and %d calls", a, b)
	}
	// The third has no worker.
	third := r.connect(cluster.Namespace("third"))
	f := counted("task", nil).Submit(r.ctx, third, 0)
	r.flush(third)
	if s := r.status(third); s.Backlog != 1 || len(s.Workers) != 0 {
		t.Errorf("%+v", s)
	}
	f.Cancel()
	fail(r, f, antflow.ErrCanceled)
}
