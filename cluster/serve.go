package cluster

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/nats-io/nats.go"

	"github.com/antflow/antflow"
)

// A Handler is a task as a worker knows it: an [*antflow.Task] of any types.
type Handler interface {
	// Name is the name of the task.
	Name() string

	// Options are the task's own. The worker goes by those of them that are
	// functions, semaphores and limiters; the numbers come with the call.
	Options() antflow.TaskOption

	// Invoke calls the function, with the input that decode stores in a pointer
	// to one.
	Invoke(ctx context.Context, decode func(in any) error) (out any, err error)
}

// A worker takes tasks from the broker and runs them on an executor.
//
// A delivery is held from when it comes until the broker has been told what
// became of it, and there is word of it three times in each lease meanwhile.
// Free slots are asked for, and no more than those, but for tasks that take less
// than a millisecond; see feed.go.
type worker struct {
	*broker
	set      serveSettings
	handlers map[string]*handler
	e        *antflow.Executor // that runs the tasks
	io       *antflow.Executor // for requests that wait for the broker
	ctx      context.Context   // of all that it does; its end is the end of it
	cancel   context.CancelCauseFunc
	runs     context.Context // of the tasks
	began    time.Time

	finished atomic.Uint64 // tasks whose outcome the broker has

	gone chan error // of capacity 1: the connection is closed, and not by us

	feed      feed
	unobserve func()

	words    sync.Mutex           // held while word is given of what is held; before mu
	mu       sync.Mutex           // a leaf; nothing is published under it
	lease    time.Duration        // of the consumers, the shortest
	held     map[string]*delivery // by key
	alone    *delivery            // the one that must not crash any more; see examine.go
	again    []*delivery          // whose results are to be published again
	retry    *time.Timer          // for those
	draining bool
	revoked  map[string]bool // keys of the last tasks that were canceled, and not held

	revokedBefore map[string]bool
	leaving       int           // deliveries that are not held any more, with a last word to be said
	empty         chan struct{} // closed when there are neither; nil: nobody waits for that
	hurries       bool          // hurry is going to be called
	telling       bool          // tell is
	rechecks      bool          // recheck is, or is under way
	unheard       bool          // the connection is closed for good
}

// Serve runs the tasks of a cluster that handlers are there for, until ctx ends:
// it connects to the broker at url, or at one of several with commas between
// them, takes tasks from the queues as it has slots for them, and records what
// becomes of them. Any number of processes may do the same.
//
// When ctx ends Serve takes no more tasks, gives back those that have not
// started, and lets the others finish, for no longer than [DrainTimeout]; then
// their contexts are canceled and they are given back as well, whatever error they
// return, unless that is marked by [antflow.Permanent]. It returns nil
// when all of that is done. Functions that don't return even then are reported as
// an error; others will run their tasks. The same happens when the executor that
// was given by [On] is shut down. It returns an error, at once, when it
// can't begin, and when the connection is closed for good, which the options given
// by [NATS] may say: then the contexts of its tasks are canceled, and it waits for
// them for up to DrainTimeout, or some seconds if that is less. ctx is the parent of
// the contexts of tasks as far as its values go, but not its end. A nil ctx, handler
// or option panics, and so do two handlers with one name.
func Serve(ctx context.Context, url string, handlers []Handler, opts ...ServeOption) error {
	must(ctx != nil, "Serve: the context must not be nil")
	s := serveSettings{
		settings: newSettings(),
		queues:   []string{defaultQueue},
		drain:    defaultDrain,
		crashes:  defaultCrashes,
	}
	for i, o := range opts {
		must(o != nil, "Serve: nil ServeOption at index %d", i)
		o.applyServe(&s)
	}
	w := newWorker(ctx, s, handlers)
	b, err := w.set.dial(ctx, url, "antflow worker "+w.set.name, callbacks{w.answered, w.feed.reconnected, w.lost})
	if err != nil {
		return unlessEnded(ctx, err)
	}
	w.broker = b
	if err := w.open(ctx); err != nil {
		w.shut(err)
		return unlessEnded(ctx, err)
	}
	w.set.health.attach(w) // not before it takes tasks
	defer w.set.health.detach(w)
	select {
	case <-ctx.Done():
		return w.drainAll(context.Cause(ctx))
	case <-w.e.Closing(): // it is somebody else's
		return w.drainAll(antflow.ErrShutdown)
	case err := <-w.gone:
		return w.abandon(err)
	}
}

// newWorker returns a worker that has no connection yet.
func newWorker(ctx context.Context, s serveSettings, handlers []Handler) *worker {
	w := &worker{
		set:      s,
		handlers: make(map[string]*handler),
		io:       antflow.New(ioWorkers),
		runs:     context.WithoutCancel(ctx),
		began:    time.Now(),
		gone:     make(chan error, 1),
		held:     make(map[string]*delivery),
		revoked:  make(map[string]bool),
	}
	w.ctx, w.cancel = context.WithCancelCause(context.Background())
	must(len(handlers) > 0, "Serve: there must be a handler")
	for i, h := range handlers {
		must(h != nil, "Serve: nil Handler at index %d", i)
		must(w.handlers[h.Name()] == nil, "Serve: two handlers are called %q", h.Name())
		w.handlers[h.Name()] = newHandler(h)
	}
	if w.set.name == "" {
		host, _ := os.Hostname()
		host = strings.Map(func(r rune) rune {
			if r <= ' ' || !unicode.IsPrint(r) {
				return '_'
			}
			return r
		}, host)
		w.set.name = fmt.Sprintf("%s-%d", host, os.Getpid())
	}
	if w.e = s.executor; w.e == nil {
		w.e = antflow.New(orElse(s.concurrency, runtime.NumCPU()), antflow.ExecutorName("worker "+w.set.name))
	} else {
		must(s.concurrency == 0, "Serve: Concurrency(%d) has no meaning with On; the executor has its number of workers", s.concurrency)
	}
	return w
}

// unlessEnded is err, unless it comes from the end of ctx: then all is done.
func unlessEnded(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// open begins to take tasks.
func (w *worker) open(ctx context.Context) error {
	if err := w.ensureConsumers(ctx); err != nil {
		return err
	}
	if err := w.attend(); err != nil {
		return failure("the workers' subjects: %v", err)
	}
	if err := w.feed.open(w); err != nil {
		return failure("the queues %v: %v", w.set.queues, err)
	}
	w.unobserve = w.observe()
	go w.beat()
	go w.sweep()
	return nil
}

// attend listens to who cancels tasks, and who asks for workers.
func (w *worker) attend() error {
	_, err := w.nc.Subscribe(w.space.canceled(), func(m *nats.Msg) {
		if k, ok := keyOf(string(m.Data)); ok {
			w.revoke(k)
		}
	})
	if err != nil {
		return err
	}
	_, err = w.nc.Subscribe(w.space.workers(), func(m *nats.Msg) { m.Respond(encode(w.status())) })
	return err
}

// request has fn, which waits for the broker, called on a goroutine of its own
// until it returns nil or the worker ends.
func (w *worker) request(fn func(context.Context) error) {
	w.io.Go(w.ctx, w.worrying(fn), persistent)
}

// lost is told that the connection is closed, and won't be again.
func (w *worker) lost(err error) {
	w.mu.Lock()
	w.unheard = true
	w.idleNowLocked()
	w.mu.Unlock()
	select {
	case w.gone <- err:
	default:
	}
}

// shut closes the connection, and ends what uses it.
func (w *worker) shut(cause error) {
	w.cancel(cause)
	if w.unobserve != nil {
		w.unobserve()
	}
	w.feed.halt()
	w.io.Shutdown(context.Background(), antflow.CancelRunning())
	w.mu.Lock()
	if w.retry != nil {
		w.retry.Stop()
	}
	w.mu.Unlock()
	w.close()
}

// drainAll ends the worker, and loses nothing.
func (w *worker) drainAll(cause error) error {
	end := time.Now().Add(w.set.drain)
	w.takeNoMore()
	w.stopHeld(func(d *delivery) bool { return !d.running })
	quiet := make(chan struct{})
	go func() { // which tasks that run need not wait for
		defer close(quiet)
		w.feed.quiet()
	}()
	drained := await(quiet, time.Until(end)) && w.awaitEmpty(time.Until(end))
	if !drained {
		w.stopHeld(func(*delivery) bool { return true })
		<-quiet
		drained = w.awaitEmpty(lastWords)
	}
	if w.nc.Status() == nats.CONNECTED {
		w.nc.FlushTimeout(lastWords)
	}
	if left := w.dismiss(cause, drained); left > 0 {
		return failure("%d tasks did not end when the worker did (%v); others will run them", left, cause)
	}
	return nil
}

// abandon ends the worker when its connection is closed for good, and nothing of
// its tasks can be told any more: they are to end, so that others have them alone.
func (w *worker) abandon(cause error) error {
	w.takeNoMore()
	w.stopHeld(func(*delivery) bool { return true })
	w.dismiss(cause, w.awaitEmpty(max(w.set.drain, lastWords)))
	return failure("the connection is closed: %v", cause)
}

func (w *worker) takeNoMore() {
	w.feed.halt()
	w.mu.Lock()
	w.draining = true
	w.mu.Unlock()
}

// dismiss ends all that is the worker's, and returns how many tasks the broker
// takes for being here still. idle tells that none of them runs.
func (w *worker) dismiss(cause error, idle bool) (left int) {
	w.mu.Lock()
	left = len(w.held)
	w.mu.Unlock()
	if w.set.executor == nil {
		w.e.Shutdown(context.Background(), antflow.NoWait(), antflow.CancelRunning())
		if idle {
			w.e.Close()
		}
	}
	w.shut(cause)
	return left
}

// stopHeld stops the deliveries that are held, as far as which accepts them, since
// the worker ends.
func (w *worker) stopHeld(which func(*delivery) bool) {
	w.mu.Lock()
	futures := w.stopLocked(which)
	w.mu.Unlock()
	cancelAll(futures)
}

// stopLocked asks those for their end, and returns the futures to be canceled
// without the lock. What has not begun now never does: see run.
func (w *worker) stopLocked(which func(*delivery) bool) (futures []*antflow.Future[struct{}]) {
	for _, d := range w.held {
		if which(d) {
			d.stopped = true
			if d.future != nil {
				futures = append(futures, d.future)
			}
		}
	}
	return futures
}

func cancelAll(futures []*antflow.Future[struct{}]) {
	for _, f := range futures {
		f.Cancel()
	}
}

// awaitEmpty waits until the worker is idle, and reports whether that came in time.
func (w *worker) awaitEmpty(d time.Duration) bool {
	w.mu.Lock()
	if w.idleLocked() {
		w.mu.Unlock()
		return true
	}
	empty := make(chan struct{})
	w.empty = empty
	w.mu.Unlock()
	return await(empty, d)
}

// lastWords is how long the end of a worker may take after the tasks.
const lastWords = 5 * time.Second

func await(c <-chan struct{}, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-c:
		return true
	case <-t.C:
		return false
	}
}
