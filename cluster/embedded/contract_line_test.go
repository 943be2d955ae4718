package embedded_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/cluster"
	"github.com/antflow/antflow/cluster/embedded/internal/proxy"
)

// These tests have a bad network between a client or worker and the broker.

// behind returns a rig whose clients and workers have a proxy before the broker.
func (r *rig) behind() (*rig, *proxy.Proxy) {
	r.t.Helper()
	p, err := proxy.New(strings.TrimPrefix(r.url, "nats://"))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(p.Close)
	far := *r
	far.url = p.URL()
	return &far, p
}

// first accepts the first frame that matches, and tells of it.
func first(match func(*proxy.Frame) bool) (accept func(*proxy.Frame) bool, seen <-chan struct{}) {
	found := make(chan struct{})
	var once sync.Once
	return func(f *proxy.Frame) (yes bool) {
		if match(f) {
			once.Do(func() { yes = true; close(found) })
		}
		return yes
	}, found
}

// A question that is lost while a large input is stored is asked again, long before
// the context of Submit ends.
func TestContractLostQuestionForInputs(t *testing.T) {
	r := newRig(t)
	r.serve(handlers(echo[string]("echo")))
	far, line := r.behind()
	c := far.connect()
	lost, seen := first(func(f *proxy.Frame) bool { return f.Subject == "$JS.API.STREAM.INFO."+inputs })
	line.Drop(proxy.ToServer, lost)
	if in := large("x"); get(r, echo[string]("echo").Submit(r.ctx, c, in)) != in {
		t.Error("another result")
	}
	r.await("the loss", seen)
}

// So is one for the status.
func TestContractLostQuestionForStatus(t *testing.T) {
	r := newRig(t)
	far, line := r.behind()
	c := far.connect()
	for _, question := range []string{"$JS.API.STREAM.INFO.ANTFLOW_default_TASKS", "$JS.API.CONSUMER.LIST.ANTFLOW_default_TASKS"} {
		lost, seen := first(func(f *proxy.Frame) bool { return f.Subject == question })
		line.Drop(proxy.ToServer, lost)
		if _, err := c.Status(r.ctx); err != nil {
			t.Error(err)
		}
		r.await("the loss of "+question, seen)
	}
}

// A client that ends while it fetches a large result leaves no future behind.
func TestContractDetachWhileFetching(t *testing.T) {
	r := newRig(t)
	_, js := r.raw()
	far, line := r.behind()
	c := far.connect(cluster.Session("raw"))
	f := echo[string]("echo").Submit(r.ctx, c, "x", antflow.Key("k"))
	r.flush(c)
	fetching := make(chan struct{})
	var once sync.Once
	line.Drop(proxy.ToServer, func(f *proxy.Frame) bool {
		object := strings.Contains(f.Subject, "_VALUES")
		if object {
			once.Do(func() { close(fetching) })
		}
		return object
	})
	_, result, _ := subjects("echo", "k")
	publish(r, js, result, "1 ok 1 0 0 \"w\" {\"object\":\""+strings.TrimPrefix(result, "antflow.default.result.")+".x.1\"}\n")
	r.await("the fetch", fetching)
	if f.IsDone() {
		t.Fatal("it has a result already")
	}
	c.Detach()
	fail(r, f, cluster.ErrDetached)
	closed := make(chan struct{})
	go func() { defer close(closed); _ = c.Close() }()
	r.await("Close", closed)
}

// A note whose acknowledgement gets lost is no attempt that crashed.
func TestContractLostAcknowledgementOfANote(t *testing.T) {
	if testing.Short() {
		t.Skip("the client library waits for the acknowledgement for some seconds")
	}
	r := newRig(t)
	far, line := r.behind()
	drop, dropped := first(proxy.IsPubAck("ANTFLOW_default_RESULTS"))
	line.Drop(proxy.ToClient, drop)
	task := antflow.NewTask("task", func(ctx context.Context, _ int) (int, error) {
		info, _ := cluster.InfoFrom(ctx)
		return info.Attempt, nil
	})
	far.serve(handlers(task), cluster.MostCrashes(0))
	f := task.Submit(r.ctx, r.connect(), 1, antflow.QueueTimeout(time.Hour)) // which has the worker make a note
	r.await("the note", dropped)
	if n := get(r, f); n != 1 || f.Attempts() != 1 {
		t.Errorf("the first attempt is the %d., of %d", n, f.Attempts())
	}
}

// Of two workers of one name that have the same task one runs it.
func TestContractNamesakes(t *testing.T) {
	if testing.Short() {
		t.Skip("the client library waits for the acknowledgement for some seconds")
	}
	r := newRig(t)
	_, js := r.raw()
	far, line := r.behind()
	note, noted := first(func(f *proxy.Frame) bool { return strings.HasPrefix(f.Subject, "antflow.default.attempt.") })
	line.Drop(proxy.ToServer, func(f *proxy.Frame) bool {
		drop := note(f)
		if drop {
			line.Stall(proxy.ToServer, true) // nor does it give word of the task
		}
		return drop
	})
	g := newGate("gate")
	c := r.connect()
	f := g.Submit(r.ctx, c, 1)
	r.flush(c)
	// Somebody gets the task and dies, so both have to make the same note.
	consumer, err := js.CreateOrUpdateConsumer(r.ctx, "ANTFLOW_default_TASKS", jetstream.ConsumerConfig{
		Durable: "w_default_p1", FilterSubject: "antflow.default.task.default.p1.>", AckPolicy: jetstream.AckExplicitPolicy,
		AckWait: time.Second, MaxDeliver: -1, MaxAckPending: -1, MaxWaiting: 1 << 14, Description: "antflow: tasks of queue default",
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := consumer.Next(); err != nil {
		t.Fatal(err)
	}
	far.serve(handlers(g), cluster.WorkerName("resize"))
	r.await("the note of the first", noted)
	r.serve(handlers(g), cluster.WorkerName("resize"))
	g.next(r)
	line.Stall(proxy.ToServer, false)
	// By the real clock: the first one publishes its note again.
	time.Sleep(6 * time.Second)
	if len(g.began) > 0 {
		t.Error("both run it")
	}
	g.let()
	get(r, f)
}

// The context of Connect is for connecting, as it says.
func TestContractDeadlineOfConnect(t *testing.T) {
	r := newRig(t)
	far, line := r.behind()
	silent, accepted := silence(t)
	ctx, cancel := context.WithTimeout(r.ctx, time.Hour)
	defer cancel()
	c, err := cluster.Connect(ctx, far.url+","+silent, cluster.NATS(nats.DontRandomize()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Detach)
	cancel()
	r.serve(handlers(echo[int]("echo")))
	get(r, echo[int]("echo").Submit(r.ctx, c, 1))
	line.Cut(true)
	r.await("the try at another server", accepted)
	line.Cut(false)
	get(r, echo[int]("echo").Submit(r.ctx, c, 2)) // or it would wait for an hour
}

// silence is a server that accepts connections and says nothing.
func silence(t *testing.T) (url string, accepted <-chan struct{}) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	ch := make(chan struct{})
	go func() {
		var once sync.Once
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = conn.Close() })
			once.Do(func() { close(ch) })
		}
	}()
	return "nats://" + l.Addr().String(), ch
}

func TestContractConnectIsCanceled(t *testing.T) {
	url, accepted := silence(t)
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	cause := errors.New("enough")
	go func() { <-accepted; cancel(cause) }()
	// The first of the two hangs, for much longer than the test may take.
	c, err := cluster.Connect(ctx, url+","+url, cluster.NATS(nats.Timeout(time.Hour)))
	if c != nil || !errors.Is(err, cause) {
		t.Errorf("%v, %v", c, err)
	}
	says(t, err, url, "enough")
}

// Flush waits for what was submitted before, and not for what comes later.
func TestContractFlushAmongSubmissions(t *testing.T) {
	r := newRig(t)
	c := r.connect(cluster.Backlog(1))
	began, let := make(chan int, 10), make(chan struct{})
	task := antflow.NewTask("task", func(_ context.Context, n int) (int, error) {
		began <- n
		<-let
		return n, nil
	})
	first := task.Submit(r.ctx, c, 1)
	r.flush(c)
	second := task.Submit(r.ctx, c, 2) // there is no room
	waits := &watchedContext{Context: r.ctx, done: make(chan struct{})}
	flushed := make(chan struct{})
	go func() {
		defer close(flushed)
		if err := c.Flush(waits); err != nil {
			t.Error(err)
		}
	}()
	r.await("Flush", waits.done)
	third := task.Submit(r.ctx, c, 3)
	r.serve(handlers(task), cluster.Concurrency(1))
	for n := 1; n <= 2; n++ {
		if got := receive(r, began); got != n {
			t.Fatalf("%d runs, not %d", got, n)
		}
		if n == 1 {
			let <- struct{}{}
		}
	}
	r.await("the end of Flush", flushed)
	if third.IsDone() || second.IsDone() {
		t.Error("there was room for all")
	}
	close(let)
	for n, f := range []*antflow.Future[int]{first, second, third} {
		if v := get(r, f); v != n+1 {
			t.Errorf("%d: %d", n, v)
		}
	}
}

// A watchedContext tells when somebody waits for its end.
type watchedContext struct {
	context.Context
	once sync.Once
	done chan struct{}
}

func (c *watchedContext) Done() <-chan struct{} {
	c.once.Do(func() { close(c.done) })
	return c.Context.Done()
}

// A call that may wait for room isn't failed since an equal one may not.
func TestContractPatientAndImpatient(t *testing.T) {
	r := newRig(t)
	far, line := r.behind()
	task := echo[int]("echo")
	c := far.connect(cluster.Backlog(1))
	first := task.Submit(r.ctx, c, 1)
	r.flush(c)
	line.Stall(proxy.ToServer, true)
	impatient := task.Submit(r.ctx, c, 2, antflow.Key("k"), antflow.NonBlocking())
	patient := task.Submit(r.ctx, c, 2, antflow.Key("k"))
	line.Stall(proxy.ToServer, false)
	r.until("an answer", func() bool { return c.Executor().Stats().Queued+c.Executor().Stats().Waiting > 0 })
	r.serve(handlers(task))
	get(r, first)
	for _, f := range []*antflow.Future[int]{impatient, patient} {
		if v := get(r, f); v != 2 {
			t.Error(v)
		}
	}
}

// A cancellation whose acknowledgement gets lost takes the task out all the same.
func TestContractLostAcknowledgementOfACancellation(t *testing.T) {
	if testing.Short() {
		t.Skip("the client library waits for the acknowledgement for some seconds")
	}
	r := newRig(t)
	far, line := r.behind()
	c := far.connect()
	f := echo[int]("echo").Submit(r.ctx, c, 1)
	r.flush(c)
	drop, dropped := first(proxy.IsPubAck("ANTFLOW_default_RESULTS"))
	line.Drop(proxy.ToClient, drop)
	f.Cancel()
	r.await("the acknowledgement", dropped)
	fail(r, f, antflow.ErrCanceled)
	r.until("an empty backlog", func() bool { return r.status(c).Backlog == 0 })
}

// A result that is lost on its way to the client comes again.
func TestContractResultLost(t *testing.T) {
	r := newRig(t)
	far, line := r.behind()
	c := far.connect()
	task := echo[int]("echo")
	r.serve(handlers(task))
	get(r, task.Submit(r.ctx, c, 0))
	drop, dropped := first(func(f *proxy.Frame) bool {
		return f.Op == "MSG" && strings.HasPrefix(f.Subject, "antflow.default.result.")
	})
	line.Drop(proxy.ToClient, drop)
	lost := task.Submit(r.ctx, c, 1)
	r.await("its result", dropped)
	for i := range 3 {
		if v := get(r, task.Submit(r.ctx, c, i)); v != i {
			t.Error(v)
		}
	}
	if v := get(r, lost); v != 1 {
		t.Error(v)
	}
}

// Somebody makes the stream of results anew; those that come are told.
func TestContractResultsAnew(t *testing.T) {
	if testing.Short() {
		t.Skip("a client looks after its feed each quarter of a minute")
	}
	r := newRig(t)
	_, js := r.raw()
	task := echo[int]("echo")
	c := r.connect()
	r.serve(handlers(task))
	for i := range 20 {
		get(r, task.Submit(r.ctx, c, i))
	}
	s, err := js.Stream(r.ctx, "ANTFLOW_default_RESULTS")
	if err != nil {
		t.Fatal(err)
	}
	cfg := s.CachedInfo().Config
	if err := js.DeleteStream(r.ctx, cfg.Name); err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(r.ctx, jetstream.StreamConfig(cfg)); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if v := get(r, task.Submit(r.ctx, c, i)); v != i {
			t.Error(v)
		}
	}
}
