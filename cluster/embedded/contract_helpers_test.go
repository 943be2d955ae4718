package embedded_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/cluster"
	"github.com/antflow/antflow/cluster/embedded"
)

// patience is how long a test waits for what must happen.
const patience = 40 * time.Second

// A rig is a broker with its clients and workers, for one test.
type rig struct {
	t      *testing.T
	ctx    context.Context
	broker *embedded.Broker
	url    string
}

func newRig(t *testing.T, opts ...embedded.Option) *rig {
	t.Helper()
	t.Parallel()
	return newSerialRig(t, opts...)
}

func newSerialRig(t *testing.T, opts ...embedded.Option) *rig {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return rig{t: t, ctx: ctx}.start(t.TempDir(), opts...)
}

func (r rig) start(dir string, opts ...embedded.Option) *rig {
	r.t.Helper()
	b, err := embedded.Start(dir, opts...)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = b.Close() })
	r.broker, r.url = b, b.URL()
	return &r
}

// connect connects a client, which is detached at the end.
func (r *rig) connect(opts ...cluster.ClientOption) *cluster.Client {
	r.t.Helper()
	c, err := cluster.Connect(r.ctx, r.url, opts...)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(c.Detach)
	return c
}

// A worker is a call of Serve that goes on.
type worker struct {
	t      *testing.T
	health *cluster.Health
	cancel context.CancelFunc
	done   chan struct{}
	err    error
}

// serve starts a worker and waits until it serves.
func (r *rig) serve(handlers []cluster.Handler, opts ...cluster.ServeOption) *worker {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	w := &worker{t: r.t, health: new(cluster.Health), cancel: cancel, done: make(chan struct{})}
	opts = append(opts, cluster.ReportTo(w.health))
	go func() {
		defer close(w.done)
		w.err = cluster.Serve(ctx, r.url, handlers, opts...)
	}()
	r.t.Cleanup(func() {
		cancel()
		r.await("the end of a worker", w.done)
	})
	r.until("a worker that serves", func() bool {
		select {
		case <-w.done:
			r.t.Fatal("Serve returned ", w.err)
		default:
		}
		return w.health.Status().State == "serving"
	})
	return w
}

// stop ends the context of the worker and returns what Serve did.
func (w *worker) stop() error {
	w.t.Helper()
	w.cancel()
	select {
	case <-w.done:
	case <-time.After(patience):
		w.t.Fatal("Serve did not return")
	}
	return w.err
}

// until waits for a condition that nothing tells of.
func (r *rig) until(what string, cond func() bool) {
	r.t.Helper()
	until(r.t, what, cond)
}

func until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	end := time.Now().Add(patience)
	for !cond() {
		if time.Now().After(end) {
			t.Fatal("waited in vain for ", what)
		}
		// By the real clock: the broker is a server, and no bubble holds it.
		time.Sleep(2 * time.Millisecond)
	}
}

// await waits for a channel to be closed or to have something.
func (r *rig) await(what string, ch <-chan struct{}) {
	r.t.Helper()
	select {
	case <-ch:
	case <-time.After(patience):
		r.t.Fatal("waited in vain for ", what)
	}
}

// get is the value of a future that succeeds.
func get[T any](r *rig, f *antflow.Future[T]) T {
	r.t.Helper()
	v, err := f.Result(r.ctx)
	if err != nil {
		r.t.Fatalf("%v: %v", f, err)
	}
	if s := f.State(); s != antflow.StateSucceeded {
		r.t.Errorf("%v succeeded and is %v", f, s)
	}
	return v
}

// fail is the error of a future that fails.
func fail[T any](r *rig, f *antflow.Future[T], is ...error) error {
	r.t.Helper()
	v, err := f.Result(r.ctx)
	var waited *antflow.WaitError
	if err == nil || r.ctx.Err() != nil && errors.As(err, &waited) {
		r.t.Fatalf("%v: %v, %v; a failure was expected", f, v, err)
	}
	for _, target := range is {
		if !errors.Is(err, target) {
			r.t.Errorf("the error is not %q but %q", target, err)
		}
	}
	want := antflow.StateFailed
	if errors.Is(err, antflow.ErrCanceled) {
		want = antflow.StateCanceled
	}
	if s := f.State(); s != want {
		r.t.Errorf("%v has the error %q and is %v, not %v", f, err, s, want)
	}
	if f.Err() != err {
		r.t.Errorf("Result said %v and Err %v", err, f.Err())
	}
	return err
}

// says checks that err is in the words of this module, and names the values.
func says(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Error("there is no error")
		return
	}
	text := err.Error()
	if !strings.HasPrefix(text, "antflow: ") || strings.Count(text, "antflow: ") != 1 {
		t.Errorf("the error does not begin with antflow, once: %s", text)
	}
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("the error does not name %q: %s", part, text)
		}
	}
}

// panics checks that fn panics in the words of this module.
func panics(t *testing.T, fn func(), parts ...string) {
	t.Helper()
	defer func() {
		t.Helper()
		v := recover()
		if v == nil {
			t.Errorf("no panic that names %q", parts)
			return
		}
		says(t, errors.New(fmt.Sprint(v)), parts...)
	}()
	fn()
}

// echo returns its input.
func echo[T any](name string, opts ...antflow.TaskOption) *antflow.Task[T, T] {
	return antflow.NewTask(name, func(_ context.Context, in T) (T, error) { return in, nil }, opts...)
}

// A gate is a task whose calls wait to be let through.
type gate struct {
	*antflow.Task[int, int]
	began chan int
	open  chan struct{}
	let   func()
}

func newGate(name string, opts ...antflow.TaskOption) *gate {
	g := &gate{began: make(chan int, 1000), open: make(chan struct{})}
	g.let = sync.OnceFunc(func() { close(g.open) })
	g.Task = antflow.NewTask(name, func(ctx context.Context, n int) (int, error) {
		g.began <- n
		select {
		case <-g.open:
			return n, nil
		case <-ctx.Done():
			return n, ctx.Err()
		}
	}, opts...)
	return g
}

// next waits for a call of the task to begin, and returns its input.
func (g *gate) next(r *rig) int {
	r.t.Helper()
	return receive(r, g.began)
}

func receive[T any](r *rig, ch <-chan T) (v T) {
	r.t.Helper()
	select {
	case v = <-ch:
	case <-time.After(patience):
		r.t.Fatal("waited in vain on a channel")
	}
	return v
}

func handlers(h ...cluster.Handler) []cluster.Handler { return h }

// status asks for the status with a context of its own.
func (r *rig) status(c *cluster.Client) antflow.ClusterStatus {
	r.t.Helper()
	s, err := c.Status(r.ctx)
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

func (r *rig) flush(c *cluster.Client) {
	r.t.Helper()
	if err := c.Flush(r.ctx); err != nil {
		r.t.Fatal(err)
	}
}

// raw is a connection that is none of package cluster.
func (r *rig) raw() (*nats.Conn, jetstream.JetStream) {
	r.t.Helper()
	conn, err := nats.Connect(r.url)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		r.t.Fatal(err)
	}
	return conn, js
}

// ended is a context that has ended.
func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// probe asks a health endpoint.
func probe(h http.Handler) (status int, body string) {
	rec := &recorder{header: make(http.Header), status: http.StatusOK}
	h.ServeHTTP(rec, nil)
	return rec.status, rec.body.String()
}

type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(status int)      { r.status = status }
func (r *recorder) Write(p []byte) (int, error) { return r.body.Write(p) }

// A journal is a logger whose lines can be read while it is written to.
type journal struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.String()
}

func (j *journal) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(j, &slog.HandlerOptions{Level: slog.LevelInfo}))
}

// stacks are the goroutines that run code of package cluster or nats.go, the
// caller's and the server's not among them.
func stacks() (found []string) {
	buf := make([]byte, 1<<20)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) {
			buf = buf[:n]
			break
		}
		buf = make([]byte, 2*len(buf))
	}
	for i, s := range strings.Split(string(buf), "\n\n") {
		if i > 0 && (strings.Contains(s, "antflow/cluster.") || strings.Contains(s, "nats-io/nats.go") ||
			strings.Contains(s, "antflow/antflow.")) {
			found = append(found, s)
		}
	}
	return found
}

// secret has the server ask for a token.
func secret(token string) embedded.Option {
	return embedded.Configure(func(o *server.Options) { o.Authorization = token })
}
