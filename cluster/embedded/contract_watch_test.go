package embedded_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/cluster"
	"github.com/antflow/antflow/cluster/embedded"
	"github.com/antflow/antflow/cluster/embedded/internal/proxy"
)

func TestContractHealth(t *testing.T) {
	r := newRig(t)
	var idle cluster.Health
	if s := idle.Status(); s.State != "stopped" {
		t.Errorf("before Serve: %+v", s)
	}
	if status, _ := probe(&idle); status != http.StatusServiceUnavailable {
		t.Errorf("before Serve: %d", status)
	}
	g := newGate("gate")
	w := r.serve(handlers(g, echo[int]("echo")), cluster.WorkerName("W"), cluster.Queues("x", "y"), cluster.Concurrency(3))
	c := r.connect(cluster.DefaultQueue("x"))
	get(r, echo[int]("echo").Submit(r.ctx, c, 1))
	f := g.Submit(r.ctx, c, 1)
	g.next(r)
	r.until("the report of the first task", func() bool { return w.health.Status().Finished == 1 })
	s := w.health.Status()
	if s.Name != "W" || s.State != "serving" || s.MaxWorkers != 3 || s.Running != 1 || s.Held != 1 || s.Up <= 0 ||
		!slices.Equal(s.Queues, []string{"x", "y"}) || !slices.Contains(s.Tasks, "gate") || len(s.Tasks) != 2 {
		t.Errorf("%+v", s)
	}
	srv := httptest.NewServer(w.health)
	defer srv.Close()
	resp, err := http.Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	var got antflow.WorkerStatus
	err = json.NewDecoder(resp.Body).Decode(&got)
	if err != nil || resp.StatusCode != http.StatusOK || got.Name != "W" || got.State != "serving" || got.Running != 1 {
		t.Errorf("%d, %+v, %v", resp.StatusCode, got, err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Error(err)
	}
	g.let()
	get(r, f)
	if err := r.broker.Close(); err != nil {
		t.Fatal(err)
	}
	r.until("disconnected", func() bool { return w.health.Status().State == "disconnected" })
	if status, body := probe(w.health); status != http.StatusServiceUnavailable {
		t.Errorf("without a broker: %d, %s", status, body)
	}
	if err := w.stop(); err != nil {
		t.Error("Serve ended without a broker: ", err)
	}
	if status, body := probe(w.health); status != http.StatusServiceUnavailable || w.health.Status().State != "stopped" {
		t.Errorf("after Serve: %d, %s", status, body)
	}
}

// A worker that has its consumers still to make does not take tasks.
func TestContractHealthBeforeTheQueues(t *testing.T) {
	r := newRig(t)
	far, line := r.behind()
	line.Drop(proxy.ToServer, func(f *proxy.Frame) bool { return strings.HasPrefix(f.Subject, "$JS.API.CONSUMER.") })
	health := new(cluster.Health)
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(r.ctx)
	go func() { done <- cluster.Serve(ctx, far.url, handlers(echo[int]("echo")), cluster.ReportTo(health)) }()
	r.until("a question for consumers", func() bool { return line.Dropped.Load() > 0 })
	if status, body := probe(health); status != http.StatusServiceUnavailable {
		t.Errorf("without queues: %d, %s", status, body)
	}
	line.Drop(proxy.ToServer, nil)
	r.until("a worker that serves", func() bool { return health.Status().State == "serving" })
	cancel()
	if err := receive(r, done); err != nil {
		t.Error(err)
	}
}

func TestContractStatus(t *testing.T) {
	r := newRig(t)
	g := newGate("gate")
	c := r.connect(cluster.Backlog(50))
	var fs []*antflow.Future[int]
	for i := range 6 {
		fs = append(fs, g.Submit(r.ctx, c, i, antflow.Priority(i%3-1)))
	}
	fs = append(fs, g.Submit(r.ctx, c, 6, antflow.Queue("elsewhere")))
	r.flush(c)
	s := r.status(c)
	if s.Backlog != 7 || s.Limit != 50 || s.Results != 0 || len(s.Workers) != 0 || s.Time.IsZero() {
		t.Errorf("%+v", s)
	}
	r.serve(handlers(g), cluster.WorkerName("B"), cluster.Queues("elsewhere"))
	r.serve(handlers(g), cluster.WorkerName("A"), cluster.Concurrency(1))
	g.next(r)
	g.next(r)
	s = r.status(c)
	if len(s.Workers) != 2 || s.Workers[0].Name != "A" || s.Workers[1].Name != "B" || s.Workers[0].Running != 1 {
		t.Errorf("%+v", s.Workers)
	}
	count := make(map[string]int)
	for _, q := range s.Queues {
		count[q.Queue] += int(q.Waiting) + q.Taken
		if q.Priority < -1 || q.Priority > 1 {
			t.Errorf("%+v", q)
		}
	}
	if count["default"] != 6 || count["elsewhere"] != 1 || s.Backlog != 7 {
		t.Errorf("%v of %+v", count, s)
	}
	g.let()
	for _, f := range fs {
		get(r, f)
	}
	r.until("an empty backlog", func() bool { s = r.status(c); return s.Backlog == 0 })
	if s.Results < 7 {
		t.Errorf("%+v", s)
	}
}

// The books of a client are those of an executor.
func TestContractEvents(t *testing.T) {
	r := newRig(t)
	g := newGate("gate")
	bad := failing("bad", nil, func(int) error { return errors.New("bad") }, antflow.Retries(1), antflow.RetryDelay(1))
	c := r.connect()
	var mu sync.Mutex
	kinds := make(map[uint64][]antflow.EventKind)
	names := make(map[uint64]string)
	stop := c.Executor().Observe(func(e antflow.Event) {
		mu.Lock()
		defer mu.Unlock()
		kinds[e.Task.ID] = append(kinds[e.Task.ID], e.Kind)
		names[e.Task.ID] = e.Task.Name
	})
	canceled := g.Submit(r.ctx, c, 0)
	r.flush(c)
	if !c.Executor().Cancel(canceled.ID()) {
		t.Error("the executor's Cancel does not find the task")
	}
	fail(r, canceled, antflow.ErrCanceled)
	r.serve(handlers(bad, g))
	f := g.Submit(r.ctx, c, 1, antflow.TaskName("label"))
	g.next(r)
	r.until("the news of the start", func() bool { return c.Executor().Stats().Running == 1 })
	snap := c.Executor().Snapshot()
	if len(snap.Tasks) != 1 || snap.Tasks[0].Task.Name != "label" || !snap.Observed {
		t.Errorf("%+v", snap)
	}
	failed := bad.Submit(r.ctx, c, 2)
	fail(r, failed)
	g.let()
	get(r, f)
	s := c.Executor().Stats()
	if s.Submitted != 3 || s.Succeeded != 1 || s.Failed != 1 || s.Canceled != 1 || s.Retries != 1 || s.Running != 0 {
		t.Errorf("%+v", s)
	}
	stop()
	mu.Lock()
	defer mu.Unlock()
	want := map[uint64][]antflow.EventKind{
		canceled.ID(): {antflow.EventSubmitted, antflow.EventCanceled},
		f.ID():        {antflow.EventSubmitted, antflow.EventStarted, antflow.EventSucceeded},
	}
	for id, list := range want {
		if !slices.Equal(kinds[id], list) {
			t.Errorf("the events of %s: %v, not %v", names[id], kinds[id], list)
		}
	}
	// Of a start that is heard of when the attempt is over there is no event.
	list := slices.DeleteFunc(slices.Clone(kinds[failed.ID()]), func(k antflow.EventKind) bool { return k == antflow.EventStarted })
	if !slices.Equal(list, []antflow.EventKind{antflow.EventSubmitted, antflow.EventRetrying, antflow.EventFailed}) {
		t.Errorf("the events of %s: %v", names[failed.ID()], kinds[failed.ID()])
	}
	if names[f.ID()] != "label" || names[failed.ID()] != "bad" {
		t.Errorf("%v", names)
	}
	snap = c.Executor().Snapshot()
	if len(snap.Failures) != 1 || snap.Failures[0].Name != "bad" {
		t.Errorf("%+v", snap.Failures)
	}
}

func TestContractOn(t *testing.T) {
	r := newRig(t)
	e := antflow.New(2, antflow.ExecutorName("shown"))
	defer func() { _ = e.Close() }()
	g := newGate("gate")
	named := antflow.NewTask("named", func(ctx context.Context, _ int) (string, error) {
		info, _ := antflow.TaskFrom(ctx)
		return info.Executor, nil
	})
	started := make(chan string, 100)
	stop := e.Observe(func(ev antflow.Event) { started <- ev.Task.Name }, antflow.EventStarted)
	defer stop()
	w := r.serve(handlers(g, named), cluster.On(e))
	c := r.connect()
	if name := get(r, named.Submit(r.ctx, c, 1)); name != "shown" {
		t.Errorf("it ran on %q", name)
	}
	var fs []*antflow.Future[int]
	for i := range 5 {
		fs = append(fs, g.Submit(r.ctx, c, i))
	}
	g.next(r)
	g.next(r)
	snap := e.Snapshot()
	if snap.Running != 2 || len(snap.Tasks) != 2 || snap.Tasks[0].Task.Name != "gate" || w.health.Status().MaxWorkers != 2 {
		t.Errorf("%+v", snap)
	}
	e.Resize(4)
	g.next(r)
	g.next(r)
	r.until("the new number", func() bool { s := w.health.Status(); return s.MaxWorkers == 4 && s.Running == 4 })
	g.let()
	for _, f := range fs {
		get(r, f)
	}
	if err := w.stop(); err != nil {
		t.Error(err)
	}
	if receive(r, started) != "named" || receive(r, started) != "gate" {
		t.Error("the events have other names")
	}
	if v, err := antflow.Submit(r.ctx, e, func(context.Context) (int, error) { return 6, nil }).Result(r.ctx); v != 6 || err != nil {
		t.Errorf("the executor was shut down: %v, %v", v, err)
	}
}

func TestContractOnAndConcurrency(t *testing.T) {
	r := newRig(t)
	e := antflow.New(2)
	defer func() { _ = e.Close() }()
	defer func() {
		if v := recover(); v != nil {
			t.Log(v) // that is a way to say it, too
		}
	}()
	says(t, r.begin(r.url, cluster.On(e), cluster.Concurrency(3)), "3")
}

func TestContractCluster(t *testing.T) {
	t.Parallel()
	b, err := embedded.StartCluster(t.TempDir(), 3)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	r := &rig{t: t, ctx: ctx, broker: b, url: b.URL()}
	task := echo[int]("echo")
	c := r.connect(cluster.Replicas(3))
	r.serve(handlers(task), cluster.Replicas(3))
	for i := range 20 {
		if v := get(r, task.Submit(r.ctx, c, i)); v != i {
			t.Error(v)
		}
	}
	if n := len(b.Servers()); n != 3 {
		t.Errorf("%d servers", n)
	}
}
