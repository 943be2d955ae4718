package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/cluster"
)

func TestContractSubmit(t *testing.T) {
	r := newRig(t)
	double := antflow.NewTask("double", func(_ context.Context, n int) (int, error) { return 2 * n, nil })
	c := r.connect()
	before := double.Submit(r.ctx, c, 20) // when there is no worker yet
	r.serve(handlers(double))
	if v := get(r, before); v != 40 {
		t.Error(v)
	}
	after := double.Submit(r.ctx, c, 21)
	if v := get(r, after); v != 42 {
		t.Error(v)
	}
	if before.ID() != 0 || after.ID() != 1 {
		t.Errorf("the IDs are %d and %d, not 0 and 1", before.ID(), after.ID())
	}
	if n := after.Attempts(); n != 1 {
		t.Errorf("%d attempts", n)
	}
	if after.Err() != nil || !after.IsDone() || after.Cancel() {
		t.Errorf("%v is not like a future that succeeded", after)
	}
	if _, err := after.Result(ended()); err != nil {
		t.Errorf("a settled future asks for the context: %v", err)
	}
}

func TestContractMap(t *testing.T) {
	r := newRig(t)
	odd := errors.New("odd")
	half := antflow.NewTask("half", func(_ context.Context, n int) (int, error) {
		if n%2 == 1 {
			return 0, odd
		}
		return n / 2, nil
	})
	both := cluster.ErrorValue("odd", odd)
	r.serve(handlers(half), both, cluster.Concurrency(4))
	c := r.connect(both)
	inputs := slices.Values([]int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9})
	i := 0
	for v, err := range half.Map(r.ctx, c, inputs) {
		var item *antflow.ItemError
		switch {
		case i%2 == 0 && (err != nil || v != i/2):
			t.Errorf("%d: %v, %v", i, v, err)
		case i%2 == 1 && (!errors.As(err, &item) || item.Index != i || !errors.Is(err, odd)):
			t.Errorf("%d: %v, %v", i, v, err)
		}
		i++
	}
	if i != 10 {
		t.Errorf("%d results of 10", i)
	}
	seen := make(map[int]bool)
	for item, err := range half.MapUnordered(r.ctx, c, inputs) {
		if item.Index != item.Input || seen[item.Index] {
			t.Errorf("%+v, again: %v", item, seen[item.Index])
		}
		seen[item.Index] = true
		if failed := item.Index%2 == 1; failed != errors.Is(err, odd) || !failed && item.Value != item.Input/2 {
			t.Errorf("%+v, %v", item, err)
		}
	}
	if len(seen) != 10 {
		t.Errorf("%d results of 10", len(seen))
	}
}

func TestContractMapLeft(t *testing.T) {
	r := newRig(t)
	g := newGate("gate")
	r.serve(handlers(g, echo[int]("echo")), cluster.Concurrency(2))
	c := r.connect()
	for v, err := range echo[int]("echo").Map(r.ctx, c, func(yield func(int) bool) {
		for i := 0; yield(i); i++ { // without end
		}
	}) {
		if err != nil {
			t.Fatal(err)
		}
		if v == 30 {
			break
		}
	}
	ctx, cancel := context.WithCancel(r.ctx)
	go func() {
		g.next(r)
		cancel()
	}()
	var last error
	for _, err := range g.Map(ctx, c, slices.Values([]int{1, 2, 3})) {
		last = err
	}
	var waited *antflow.WaitError
	if !errors.As(last, &waited) || !errors.Is(last, context.Canceled) {
		t.Errorf("a map whose context ended ended with %v", last)
	}
	r.until("the end of what the maps left", func() bool {
		s := c.Executor().Stats()
		return s.Running+s.Queued+s.Waiting == 0
	})
}

func TestContractWait(t *testing.T) {
	r := newRig(t)
	bad := antflow.NewTask("bad", func(context.Context, int) (int, error) { return 0, errors.New("bad") })
	g := newGate("gate")
	r.serve(handlers(bad, g, echo[int]("echo")), cluster.Concurrency(4))
	c := r.connect()
	slow := g.Submit(r.ctx, c, 1)
	good := echo[int]("echo").Submit(r.ctx, c, 2)
	fs := []*antflow.Future[int]{slow, good}
	done, pending, err := antflow.Wait(r.ctx, fs, antflow.FirstCompleted)
	if err != nil || !slices.Equal(done, fs[1:]) || !slices.Equal(pending, fs[:1]) {
		t.Errorf("FirstCompleted: %v, %v, %v", done, pending, err)
	}
	if _, _, err = antflow.Wait(r.ctx, fs, antflow.FirstSuccess); err != nil {
		t.Error(err)
	}
	fs = append(fs, bad.Submit(r.ctx, c, 3))
	done, _, err = antflow.Wait(r.ctx, fs, antflow.FirstError)
	if err != nil || !slices.Contains(done, fs[2]) {
		t.Errorf("FirstError: %v, %v", done, err)
	}
	done, pending, err = antflow.Wait(ended(), fs, antflow.AllCompleted)
	var waited *antflow.WaitError
	if !errors.As(err, &waited) || len(done) != 2 || len(pending) != 1 {
		t.Errorf("with an ended context: %v, %v, %v", done, pending, err)
	}
	g.let()
	done, pending, err = antflow.Wait(r.ctx, fs, antflow.AllCompleted)
	if err != nil || !slices.Equal(done, fs) || len(pending) > 0 {
		t.Errorf("AllCompleted: %v, %v, %v", done, pending, err)
	}
}

func TestContractAsCompleted(t *testing.T) {
	r := newRig(t)
	first, second := newGate("first"), newGate("second")
	r.serve(handlers(first, second), cluster.Concurrency(2))
	c := r.connect()
	local, err := antflow.New(1), error(nil)
	defer func() { _ = local.Close() }()
	fs := []antflow.Waitable{
		second.Submit(r.ctx, c, 1),
		first.Submit(r.ctx, c, 2),
		first.Submit(r.ctx, local, 3), // one of this process among them
	}
	first.let()
	var got []antflow.Waitable
	for f, e := range antflow.AsCompleted(r.ctx, fs) {
		if err = e; err != nil {
			t.Fatal(err)
		}
		if got = append(got, f); len(got) == 2 {
			second.let()
		}
	}
	if len(got) != 3 || got[2] != fs[0] {
		t.Errorf("completed as %v", got)
	}
}

func TestContractOnDone(t *testing.T) {
	r := newRig(t)
	g := newGate("gate")
	r.serve(handlers(g))
	c := r.connect()
	f := g.Submit(r.ctx, c, 1)
	calls := make(chan int, 10)
	for i := range 3 {
		f.OnDone(func(f *antflow.Future[int]) {
			if v, err := f.Result(ended()); v != 1 || err != nil {
				t.Errorf("in a callback: %v, %v", v, err)
			}
			calls <- i
		})
	}
	g.let()
	for i := range 3 {
		if n := receive(r, calls); n != i {
			t.Errorf("callback %d came as number %d", n, i)
		}
	}
	f.OnDone(func(*antflow.Future[int]) { calls <- 3 })
	select {
	case <-calls:
	default:
		t.Error("a callback of a settled future is not called at once")
	}
}

func TestContractCancelQueued(t *testing.T) {
	r := newRig(t)
	g := newGate("gate")
	c := r.connect()
	f := g.Submit(r.ctx, c, 1)
	r.flush(c)
	if !f.Cancel() {
		t.Error("Cancel said false")
	}
	fail(r, f, antflow.ErrCanceled, context.Canceled)
	if f.Cancel() {
		t.Error("Cancel said true of a settled future")
	}
	unsent := g.Submit(r.ctx, c, 2)
	unsent.Cancel() // likely before the broker has it
	fail(r, unsent, antflow.ErrCanceled)
	r.serve(handlers(g, echo[int]("echo")), cluster.Concurrency(1))
	get(r, echo[int]("echo").Submit(r.ctx, c, 3))
	if len(g.began) > 0 {
		t.Errorf("the canceled task %d ran", <-g.began)
	}
	r.until("an empty backlog", func() bool { return r.status(c).Backlog == 0 })
}

func TestContractCancelRunning(t *testing.T) {
	r := newRig(t)
	over := make(chan error, 1)
	began := make(chan struct{}, 1)
	task := antflow.NewTask("task", func(ctx context.Context, _ int) (int, error) {
		began <- struct{}{}
		<-ctx.Done()
		over <- ctx.Err()
		return 0, ctx.Err()
	}, antflow.Retries(5), antflow.RetryDelay(time.Millisecond))
	r.serve(handlers(task), cluster.Concurrency(1))
	c := r.connect()
	f := task.Submit(r.ctx, c, 1)
	r.await("the start", began)
	if !f.Cancel() {
		t.Error("Cancel said false")
	}
	fail(r, f, antflow.ErrCanceled, context.Canceled)
	if err := receive(r, over); err != context.Canceled {
		t.Errorf("the context of the function ended with %v", err)
	}
	r.until("an empty backlog", func() bool { return r.status(c).Backlog == 0 })
	if len(began) > 0 {
		t.Error("a canceled task was repeated")
	}
}

func TestContractContextEnds(t *testing.T) {
	r := newRig(t)
	g := newGate("gate")
	r.serve(handlers(g), cluster.Concurrency(1))
	c := r.connect()
	cause := errors.New("enough of it")
	ctx, cancel := context.WithCancelCause(r.ctx)
	running := g.Submit(ctx, c, 1)
	g.next(r)
	queued := g.Submit(ctx, c, 2)
	r.flush(c)
	cancel(cause)
	for _, f := range []*antflow.Future[int]{running, queued} {
		fail(r, f, antflow.ErrCanceled, context.Canceled, cause)
	}
	fail(r, g.Submit(ctx, c, 3), antflow.ErrCanceled, context.Canceled, cause) // which had ended before
	short, cancelShort := context.WithTimeout(r.ctx, 20*time.Millisecond)
	defer cancelShort()
	err := fail(r, g.Submit(short, c, 4), antflow.ErrCanceled, context.DeadlineExceeded)
	if errors.Is(err, context.Canceled) {
		t.Errorf("a deadline that passed is context.Canceled: %v", err)
	}
	g.let()
	get(r, g.Submit(r.ctx, c, 5)) // the slot is free again
}

// A context may end at any moment of a submission, of a small input and of one
// that is an object.
func TestContractContextEndsMeanwhile(t *testing.T) {
	r := newRig(t)
	task := echo[string]("task")
	c := r.connect()
	_, js := r.raw()
	stored := task.Submit(r.ctx, c, large("x")) // there is a stream of inputs from here on
	stored.Cancel()
	futures := []*antflow.Future[string]{stored}
	for i := range 200 {
		ctx, cancel := context.WithTimeout(r.ctx, time.Duration(i%50)*100*time.Microsecond)
		defer cancel()
		var opts []antflow.TaskOption
		in := "small"
		switch i % 4 {
		case 1:
			opts = append(opts, antflow.Key(fmt.Sprint(i)))
		case 3:
			in = large("x")
		}
		futures = append(futures, task.Submit(ctx, c, in, opts...))
	}
	for _, f := range futures {
		fail(r, f, antflow.ErrCanceled)
	}
	r.until("an empty backlog", func() bool { return r.status(c).Backlog == 0 })
	r.until("inputs that are gone", func() bool { return r.objects(js, inputs) == 0 })
}

func TestContractResultOnlyWaits(t *testing.T) {
	r := newRig(t)
	g := newGate("gate")
	r.serve(handlers(g))
	c := r.connect()
	f := g.Submit(r.ctx, c, 7)
	g.next(r)
	cause := errors.New("no more patience")
	ctx, cancel := context.WithCancelCause(r.ctx)
	cancel(cause)
	_, err := f.Result(ctx)
	var waited *antflow.WaitError
	if !errors.As(err, &waited) || !errors.Is(err, cause) || !errors.Is(err, context.Canceled) {
		t.Errorf("the wait ended with %v", err)
	}
	says(t, err)
	if f.IsDone() || f.Err() != nil {
		t.Errorf("a wait that ended changed %v", f)
	}
	g.let()
	if v := get(r, f); v != 7 {
		t.Error(v)
	}
}

// The state of a future is that of its task: pending until a worker has it.
func TestContractState(t *testing.T) {
	r := newRig(t)
	g := newGate("gate")
	c := r.connect()
	f := g.Submit(r.ctx, c, 1)
	r.flush(c)
	if s := f.State(); s != antflow.StatePending {
		t.Errorf("a task that no worker has is %v", s)
	}
	r.serve(handlers(g), cluster.Concurrency(1))
	g.next(r)
	r.until("the news of the start", func() bool { return f.State() == antflow.StateRunning && f.Attempts() == 1 })
	g.let()
	get(r, f)
}
