package embedded_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/cluster"
	"github.com/antflow/antflow/cluster/embedded"
	"github.com/antflow/antflow/cluster/embedded/internal/proxy"
)

// These tests are about payloads that are too large for messages.

// large is a text that doesn't fit into a message.
func large(s string) string { return strings.Repeat(s, 600<<10/len(s)) }

const (
	inputs = "ANTFLOW_default_INPUTS"
	values = "ANTFLOW_default_VALUES"
)

// objects are how many objects there are in a stream.
func (r *rig) objects(js jetstream.JetStream, name string) int {
	r.t.Helper()
	s, err := js.Stream(r.ctx, name)
	if err != nil {
		r.t.Fatal(name, ": ", err)
	}
	info, err := s.Info(r.ctx, jetstream.WithSubjectFilter(">"))
	if err != nil {
		r.t.Fatal(name, ": ", err)
	}
	names := make(map[string]bool)
	for subject := range info.State.Subjects {
		names[subject[:strings.LastIndexByte(subject, '.')]] = true
	}
	return len(names)
}

// forgetful makes the stream of results with a retention that no option allows.
func (r *rig) forgetful(retention time.Duration) jetstream.JetStream {
	r.t.Helper()
	_, js := r.raw()
	_, err := js.CreateStream(r.ctx, jetstream.StreamConfig{
		Name:                 "ANTFLOW_default_RESULTS",
		Subjects:             []string{"antflow.default.result.>", "antflow.default.attempt.>"},
		MaxAge:               retention,
		Discard:              jetstream.DiscardNew,
		DiscardNewPerSubject: true,
		MaxMsgsPerSubject:    1,
		MaxMsgs:              -1,
		MaxBytes:             -1,
		Duplicates:           100 * time.Millisecond,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return js
}

// A worker that was cut off for longer than its lease has a result of its own,
// when there is one already: that does not change.
func TestContractLargeResultStays(t *testing.T) {
	r := newRig(t)
	_, js := r.raw()
	far, line := r.behind()
	began, open := make(chan string, 10), make(chan struct{})
	task := antflow.NewTask("task", func(ctx context.Context, _ int) (string, error) {
		info, _ := cluster.InfoFrom(ctx)
		began <- info.Worker
		if info.Worker == "A" {
			<-open
		}
		return large(info.Worker), nil
	})
	w := far.serve(handlers(task), cluster.WorkerName("A"), cluster.Lease(time.Second))
	c := r.connect(cluster.Session("s"))
	f := task.Submit(r.ctx, c, 1, antflow.Key("k"))
	if name := receive(r, began); name != "A" {
		t.Fatal(name)
	}
	line.Stall(proxy.ToServer, true)
	line.Stall(proxy.ToClient, true)
	r.serve(handlers(task), cluster.WorkerName("B"), cluster.Lease(time.Second))
	v := get(r, f)
	close(open)
	r.until("the end of the first attempt", func() bool { return w.health.Status().Running == 0 })
	line.Stall(proxy.ToServer, false)
	line.Stall(proxy.ToClient, false)
	r.until("what becomes of it", func() bool { return w.health.Status().Held == 0 })
	r.until("one object", func() bool { return r.objects(js, values) == 1 })
	again, err := task.Submit(r.ctx, r.connect(cluster.Session("s")), 1, antflow.Key("k")).Result(r.ctx)
	if v != large("B") || again != v {
		t.Errorf("the result was that of %.1s, and is that of %.1s; %v", v, again, err)
	}
}

// Of inputs that no task will need none is left, and of others each.
func TestContractLargeInputsGo(t *testing.T) {
	r := newRig(t)
	_, js := r.raw()
	task := echo[string]("task")
	first := r.connect(cluster.Session("s"), cluster.Backlog(2))
	f := task.Submit(r.ctx, first, large("a"), antflow.Key("k"))
	r.flush(first)
	second := r.connect(cluster.Session("s"))
	for range 2 { // it is there, and another one has submitted it
		g := task.Submit(r.ctx, second, large("b"), antflow.Key("k"))
		defer func() {
			if v := get(r, g); v != large("a") {
				t.Errorf("the second submission got %.1s", v)
			}
		}()
	}
	r.flush(second)
	r.until("one object", func() bool { return r.objects(js, inputs) == 1 })
	other := task.Submit(r.ctx, first, large("c"))
	r.flush(first)
	if n := r.objects(js, inputs); n != 2 {
		t.Errorf("%d inputs of two tasks", n)
	}
	fail(r, task.Submit(r.ctx, first, large("d"), antflow.NonBlocking()), antflow.ErrQueueFull)
	r.until("two objects", func() bool { return r.objects(js, inputs) == 2 })
	other.Cancel()
	fail(r, other, antflow.ErrCanceled)
	r.until("one object again", func() bool { return r.objects(js, inputs) == 1 })
	r.serve(handlers(task))
	if v := get(r, f); v != large("a") {
		t.Errorf("the first submission got %.1s", v)
	}
	r.until("none", func() bool { return r.objects(js, inputs) == 0 })
}

// A task waits for longer than results are kept, and its input is there still.
// Inputs of tasks that nobody has accepted are not.
func TestContractLargeInputWaits(t *testing.T) {
	r := newRig(t)
	const retention = time.Second
	js := r.forgetful(retention)
	task := echo[string]("task")
	c := r.connect()
	f := task.Submit(r.ctx, c, large("a"), antflow.Queue("later"))
	r.flush(c)
	for _, part := range []string{"0", "1", "2"} { // of a client that died before it published the task
		if _, err := js.Publish(r.ctx, "antflow.default.input.gone.x-1.UNIQUE.2."+part, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if n := r.objects(js, inputs); n != 2 {
		t.Fatalf("%d inputs", n)
	}
	time.Sleep(2 * retention) // By the real clock: the broker deletes by its own.
	r.serve(handlers(task))
	get(r, task.Submit(r.ctx, c, "small"))
	r.until("one input", func() bool { return r.objects(js, inputs) == 1 })
	r.serve(handlers(task), cluster.Queues("later"))
	if v := get(r, f); v != large("a") {
		t.Errorf("%d bytes", len(v))
	}
}

// A task that the client keeps for longer than results are kept, since there is
// no room for it, has its input when there is.
func TestContractLargeInputHeld(t *testing.T) {
	r := newRig(t)
	const retention = time.Second
	js := r.forgetful(retention)
	task := echo[string]("task")
	c := r.connect(cluster.Backlog(1))
	r.serve(handlers(task)) // and a janitor looks twice in the retention
	blocks := task.Submit(r.ctx, c, "", antflow.Queue("later"))
	r.flush(c)
	f := task.Submit(r.ctx, c, large("a"))
	time.Sleep(3 * retention) // By the real clock: the ages are those of the broker.
	if n := r.objects(js, inputs); n != 1 {
		t.Errorf("%d inputs", n)
	}
	blocks.Cancel()
	if v := get(r, f); v != large("a") {
		t.Errorf("%d bytes", len(v))
	}
}

// A server that takes less than an object's usual part, or than a usual message.
func TestContractSmallServer(t *testing.T) {
	r := newRig(t, embedded.Configure(func(o *server.Options) { o.MaxPayload = 64 << 10 }))
	task := echo[string]("task")
	r.serve(handlers(task))
	c := r.connect()
	for _, n := range []int{0, 10, 40_000, 70_000, 700_000} {
		if v := get(r, task.Submit(r.ctx, c, strings.Repeat("x", n))); len(v) != n {
			t.Errorf("%d bytes came back of %d", len(v), n)
		}
	}
}

// limit limits the account to so many streams.
func (r *rig) limit(streams int) {
	r.t.Helper()
	limits := map[string]server.JetStreamAccountLimits{"": {MaxMemory: -1, MaxStore: -1, MaxStreams: streams, MaxConsumers: -1}}
	if err := r.broker.Servers()[0].GlobalAccount().UpdateJetStreamLimits(limits); err != nil {
		r.t.Fatal(err)
	}
}

// What the broker will never take ends its task, in words.
func TestContractPayloadsThatAreRefused(t *testing.T) {
	r := newRig(t)
	_, js := r.raw()
	grow := antflow.NewTask("grow", func(_ context.Context, s string) (string, error) { return large(s), nil }, antflow.Retries(3))
	r.serve(handlers(grow))
	c := r.connect()
	r.limit(2)
	says(t, fail(r, grow.Submit(r.ctx, c, "x")), "could not be stored", "maximum number of streams")
	says(t, fail(r, grow.Submit(r.ctx, c, large("x"))), "payload", "maximum number of streams")
	r.until("an empty backlog", func() bool { return r.status(c).Backlog == 0 })
	r.limit(-1)
	get(r, grow.Submit(r.ctx, c, "x"))
	if n := r.objects(js, values); n != 1 {
		t.Errorf("%d objects", n)
	}
}

// users has the server know users, with a permission to publish for each.
func users(allow, deny map[string][]string) embedded.Option {
	return embedded.Configure(func(o *server.Options) {
		for name, subjects := range allow {
			o.Users = append(o.Users, &server.User{Username: name, Password: name, Permissions: &server.Permissions{
				Publish: &server.SubjectPermission{Allow: subjects, Deny: deny[name]},
			}})
		}
	})
}

func as(r *rig, user string) *rig {
	other := *r
	other.url = strings.Replace(r.url, "nats://", "nats://"+user+":"+user+"@", 1)
	return &other
}

// What may pass is tried again, and the operator is told; who submits goes by the
// context.
func TestContractPayloadsThatAreNotPermitted(t *testing.T) {
	r := newRig(t, users(
		map[string][]string{"client": {">"}, "worker": {">"}},
		map[string][]string{"client": {"antflow.default.input.>"}, "worker": {"antflow.default.value.>"}},
	))
	var log, submits journal
	grow := antflow.NewTask("grow", func(_ context.Context, s string) (string, error) { return large(s), nil })
	as(r, "worker").serve(handlers(grow), cluster.Logger(log.logger()), cluster.DrainTimeout(0))
	c := as(r, "client").connect(cluster.Logger(submits.logger()))
	f := grow.Submit(r.ctx, c, "x")
	ctx, cancel := context.WithTimeout(r.ctx, 3*time.Second)
	defer cancel()
	fail(r, grow.Submit(ctx, c, large("x")), context.DeadlineExceeded)
	fail(r, grow.Submit(r.ctx, c, large("x"), antflow.NonBlocking()))
	for _, j := range []*journal{&log, &submits} {
		r.until("a warning", func() bool {
			return strings.Contains(j.String(), "level=WARN") && strings.Contains(j.String(), "antflow: ")
		})
	}
	if f.IsDone() {
		t.Errorf("the task ended: %v", f.Err())
	}
}

// A submission that gets no answer holds up no other one.
func TestContractLargeInputsBesideOneAnother(t *testing.T) {
	r := newRig(t)
	far, line := r.behind()
	c := far.connect()
	task := echo[string]("task")
	line.Stall(proxy.ToServer, true)
	line.Stall(proxy.ToClient, true)
	long, cancel := context.WithCancel(r.ctx)
	var wg sync.WaitGroup
	wg.Go(func() { task.Submit(long, c, large("x")) })
	defer wg.Wait()
	defer cancel()
	for range 10 {
		ctx, cancel := context.WithTimeout(r.ctx, 50*time.Millisecond)
		begun := time.Now()
		fail(r, task.Submit(ctx, c, large("x")), context.DeadlineExceeded)
		if d := time.Since(begun); d > time.Second {
			t.Errorf("a submission with a context of 50ms took %v", d)
		}
		cancel()
	}
}
