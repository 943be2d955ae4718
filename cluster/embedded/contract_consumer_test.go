package embedded_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/cluster"
	"github.com/antflow/antflow/cluster/embedded/internal/proxy"
)

// consumerOf is the name of the consumer for the usual tasks of a queue.
func consumerOf(queue string) (stream, name, filter string) {
	space := "antflow.default.task." + queue + ".p1.>"
	return "ANTFLOW_default_TASKS", "w_" + queue + "_p1", space
}

// One queue whose consumer is gone and can't be made again: the others go on, its
// worker tells, does not flood the broker, and serves the queue again when it can.
func TestContractBrokenQueue(t *testing.T) {
	r := newRig(t)
	conn, js := r.raw()
	c := r.connect()
	task := echo[int]("task")
	w := r.serve(handlers(task), cluster.Queues("a", "b"), cluster.Concurrency(1))
	get(r, task.Submit(r.ctx, c, 0, antflow.Queue("a")))
	var made atomic.Int32
	if _, err := conn.Subscribe("$JS.API.CONSUMER.CREATE.>", func(*nats.Msg) { made.Add(1) }); err != nil {
		t.Fatal(err)
	}
	stream, name, filter := consumerOf("a")
	if err := js.DeleteConsumer(r.ctx, stream, name); err != nil {
		t.Fatal(err)
	}
	thief := jetstream.ConsumerConfig{Durable: "thief", FilterSubject: filter, AckPolicy: jetstream.AckExplicitPolicy}
	if _, err := js.CreateConsumer(r.ctx, stream, thief); err != nil {
		// The worker was quicker: it has one again.
		if err := js.DeleteConsumer(r.ctx, stream, name); err != nil {
			t.Fatal(err)
		}
		if _, err = js.CreateConsumer(r.ctx, stream, thief); err != nil {
			t.Fatal(err)
		}
	}
	waits := task.Submit(r.ctx, c, -1, antflow.Queue("a"))
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); {
		for i := range 20 {
			if v := get(r, task.Submit(r.ctx, c, i, antflow.Queue("b"))); v != i {
				t.Errorf("%d: %d", i, v)
			}
		}
	}
	r.until("a worker that tells", func() bool { return w.health.Status().State == "broken" })
	if status, body := probe(w.health); status != http.StatusServiceUnavailable {
		t.Errorf("a worker that can't take tasks of a queue has status %d: %s", status, body)
	}
	if n := made.Load(); n > 20 {
		t.Errorf("the worker asked for its consumer %d times in some seconds", n)
	}
	if waits.IsDone() {
		t.Errorf("%v without a consumer", waits)
	}
	if err := js.DeleteConsumer(r.ctx, stream, "thief"); err != nil {
		t.Fatal(err)
	}
	get(r, waits)
	r.until("a worker that serves again", func() bool { return w.health.Status().State == "serving" })
}

// A consumer that somebody made again with another lease than the worker's: it
// does not take tasks that it would give word of too seldom.
func TestContractAnotherLease(t *testing.T) {
	r := newRig(t)
	_, js := r.raw()
	c := r.connect()
	task := echo[int]("task")
	w := r.serve(handlers(task), cluster.Queues("a"), cluster.Lease(20*time.Second))
	get(r, task.Submit(r.ctx, c, 0, antflow.Queue("a")))
	stream, name, filter := consumerOf("a")
	r.until("a request that waits for a task, and is told", func() bool {
		return slices.ContainsFunc(r.status(c).Queues, func(q antflow.QueueStatus) bool { return q.Priority == 0 && q.Requests == 1 })
	})
	if err := js.DeleteConsumer(r.ctx, stream, name); err != nil {
		t.Fatal(err)
	}
	cfg := jetstream.ConsumerConfig{Durable: name, FilterSubject: filter, AckPolicy: jetstream.AckExplicitPolicy, AckWait: 2 * time.Second, MaxAckPending: -1}
	if _, err := js.CreateConsumer(r.ctx, stream, cfg); err != nil {
		t.Fatal(err)
	}
	r.until("a worker that tells", func() bool { return w.health.Status().State == "broken" })
	f := task.Submit(r.ctx, c, 1, antflow.Queue("a"))
	r.flush(c)
	// By the real clock: in that time it would have come.
	time.Sleep(500 * time.Millisecond)
	if f.IsDone() {
		t.Errorf("%v by a worker of another lease", f)
	}
	if err := js.DeleteConsumer(r.ctx, stream, name); err != nil { // which the worker makes again
		t.Fatal(err)
	}
	get(r, f)
	r.until("a worker that serves again", func() bool { return w.health.Status().State == "serving" })
}

// A worker without a lease of its own goes by that of each queue, so by the
// shortest: its tasks are not given to others while they run.
func TestContractTwoLeases(t *testing.T) {
	r := newRig(t)
	c := r.connect()
	calls := make(chan int, 10)
	slow := antflow.NewTask("slow", func(_ context.Context, n int) (int, error) {
		calls <- n
		// By the real clock: a task that is longer than the shorter lease.
		time.Sleep(2500 * time.Millisecond)
		return n, nil
	})
	if err := r.serve(handlers(slow), cluster.Queues("a"), cluster.Lease(time.Second)).stop(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		r.serve(handlers(slow), cluster.Queues("a", "b"))
	}
	f := slow.Submit(r.ctx, c, 1, antflow.Queue("a"))
	if get(r, f); f.Attempts() != 1 || len(calls) != 1 {
		t.Errorf("%d attempts, %d calls", f.Attempts(), len(calls))
	}
}

// Two workers are the first ones at the same time. One has made the consumer, with
// a lease, after the other one has seen that there is none.
func TestContractFirstWorkers(t *testing.T) {
	r := newRig(t)
	_, js := r.raw()
	r.connect() // so that there are streams
	stream, name, filter := consumerOf("a")
	var once sync.Once
	other, line := r.behind()
	line.Drop(proxy.ToServer, func(f *proxy.Frame) bool {
		if strings.HasPrefix(f.Subject, "$JS.API.CONSUMER.CREATE."+stream+"."+name) {
			once.Do(func() {
				cfg := jetstream.ConsumerConfig{Durable: name, FilterSubject: filter, AckPolicy: jetstream.AckExplicitPolicy, AckWait: 2 * time.Second, MaxAckPending: -1}
				if _, err := js.CreateConsumer(r.ctx, stream, cfg); err != nil {
					t.Error(err)
				}
			})
		}
		return false // it goes on, too late
	})
	w := other.serve(handlers(echo[int]("echo")), cluster.Queues("a"))
	get(r, echo[int]("echo").Submit(r.ctx, r.connect(), 1, antflow.Queue("a")))
	if err := w.stop(); err != nil {
		t.Error(err)
	}
}
