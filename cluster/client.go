package cluster

import (
	"context"
	"crypto/rand"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/antflow/antflow"
)

// A Client submits tasks to a cluster, and gets their results. It is an
// [antflow.Runner]: pass it to the methods of [antflow.Task]. Make one with
// [Connect]; its methods are safe for concurrent use.
//
// The futures are those of package antflow, with these differences: a task
// settles as canceled when the cancellation is recorded, and not before Cancel
// returns, and then its function may still run for a moment; [antflow.Queue] and
// [antflow.Key] mean something; [antflow.RetryIf], [antflow.RetryBackoff],
// [antflow.WithSemaphore] and [antflow.WithRateLimit] work in the worker's
// process if they are options of the task, and as options of the call they fail
// it, since no function crosses to another machine.
type Client struct {
	*broker
	books   *antflow.Executor // of all tasks of this client
	io      *antflow.Executor // for requests that wait for the broker
	session string
	queue   string
	unique  string // starts the IDs of tasks without a key
	next    atomic.Uint64
	ctx     context.Context // ends with the connection
	cancel  context.CancelCauseFunc
	feed    jetstream.ConsumeContext // of results
	watched chan struct{}            // closed when watch has ended
	up      atomic.Bool              // all of it is there, and may be ended

	// window has a place for each task that the broker has not acknowledged.
	window chan struct{}

	mu      sync.Mutex // a leaf; nothing is published under it
	pending map[string]*entry
	held    []*entry      // to be published again
	full    bool          // some of them because the backlog is full
	again   *time.Timer   // for the held
	pause   time.Duration // before they are
	flushed []chan struct{}
	unacked int

	closing sync.Once
	ending  sync.Once
	ended   chan struct{} // closed when the connection is
}

const mostUnacked = 4096

// Connect connects to the broker at url, or at one of several with commas
// between them, and makes the streams of the namespace if they aren't there.
// ctx is for that only. It blocks until the client can be used, or returns why
// it can't. Use [Client.Close] or [Client.Detach] at the end. A nil ctx or
// option panics.
func Connect(ctx context.Context, url string, opts ...ClientOption) (*Client, error) {
	must(ctx != nil, "Connect: the context must not be nil")
	s := clientSettings{settings: newSettings(), queue: defaultQueue}
	for i, o := range opts {
		must(o != nil, "Connect: nil ClientOption at index %d", i)
		o.applyClient(&s)
	}
	c := &Client{
		session: s.session,
		queue:   s.queue,
		unique:  rand.Text()[:8] + "-",
		window:  make(chan struct{}, mostUnacked),
		pending: make(map[string]*entry),
		watched: make(chan struct{}),
		ended:   make(chan struct{}),
		io:      antflow.New(ioWorkers),
	}
	if c.session == "" {
		c.session = rand.Text()
	}
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	c.books = antflow.New(1, antflow.ExecutorName("cluster "+s.space.name), antflow.QueueLimit(s.pending))
	b, err := s.dial(ctx, url, "antflow client", callbacks{reconnected: c.reconnected, closed: c.lost}, publishing(c.answered)...)
	if err != nil {
		return nil, err
	}
	c.broker = b
	if err := c.listen(ctx); err != nil {
		b.close()
		return nil, err
	}
	go c.watch()
	c.up.Store(true)
	if b.nc.IsClosed() {
		c.lost(nats.ErrConnectionClosed) // since nobody was told before
	}
	return c, nil
}

// ioWorkers is how many requests of a client wait for answers at a time.
const ioWorkers = 64

// Session returns the name of the client's session.
func (c *Client) Session() string { return c.session }

// Executor returns the executor that has the client's books: its tasks, their
// figures, events and failures. It is for what shows executors, such as package
// dashboard, and for its Stats, Snapshot, Observe and Cancel. Its number of
// workers says nothing, and what is submitted to it runs in this process.
func (c *Client) Executor() *antflow.Executor { return c.books }

// An entry is a task of this client that has no result yet.
type entry struct {
	c     *Client
	id    string
	queue string
	level level

	// Guarded by c.mu.
	since   time.Time // when it was submitted, or looked after
	msg     *nats.Msg // until the broker has it
	state   entryState
	calls   []antflow.Remote // more than one where a key was submitted again
	joined  *entry           // that has the calls of this one
	asked   bool             // its cancellation
	unsure  bool             // it was published, and the broker may have it
	late    bool             // its queue timeout has passed
	timer   *time.Timer      // for that
	refuses bool             // a full backlog fails it
}

type entryState uint8

const (
	entryNew     entryState = iota // nothing was done for it yet
	entryUnacked                   // it was, and the answer is to come
	entryHeld                      // it is in held
	entryStored                    // the broker has it, or had it
)

func (e *entry) key() key { return key{e.c.session, e.id} }

func (e *entry) subject() string { return e.c.space.task(e.queue, e.level, e.key()) }

// RunCall implements [antflow.Runner]. It is called by the methods of
// [antflow.Task].
func (c *Client) RunCall(ctx context.Context, call antflow.Call) antflow.Waitable {
	must(ctx != nil, "Client.RunCall: the context must not be nil")
	must(call != nil, "Client.RunCall: the call must not be nil")
	s := call.Settings()
	e := &entry{c: c, queue: orElse(s.Queue, c.queue), level: levelOf(s.Priority), since: time.Now(), refuses: s.NonBlocking}
	remote := call.Remote(ctx, c.books, e.cancel)
	if remote.Future().IsDone() {
		return remote.Future()
	}
	err := e.compose(ctx, call, &s)
	if err == nil && remote.Observed() {
		e.msg.Header[headerTell] = []string{"1"}
	}
	if err == nil {
		e.calls = []antflow.Remote{remote}
		err = c.begin(ctx, e, s.Key != "", s.QueueTimeout)
	}
	if err != nil {
		remote.Settle(antflow.RemoteEnd{Err: err, Canceled: ctx.Err() != nil})
	}
	return remote.Future()
}

// compose makes the message of a call.
func (e *entry) compose(ctx context.Context, call antflow.Call, s *antflow.TaskSettings) error {
	if len(s.Local) > 0 {
		return failure("%s can't be an option of a call that another process runs; give it to NewTask, where the worker has it", s.Local[0])
	}
	if err := token("queue", e.queue); err != nil {
		return err
	}
	if e.id = e.c.unique + strconv.FormatUint(e.c.next.Add(1), 36); s.Key != "" {
		e.id = idOf(call.Task(), s.Key)
	}
	codec := e.c.codecs[0]
	var data []byte
	var err error
	if p := guard(func() { data, err = codec.Marshal(call.Input()) }); p != nil {
		err = failure("panic: %v", p)
	}
	if err != nil {
		return failure("the input of task %q does not encode as %s: %v", call.Task(), codec.Name(), err)
	}
	e.msg = newTask(e.subject(), call.Task(), s, codec)
	e.msg.Data, err = e.c.outsource(ctx, e.msg.Header, e.key().String()+".input", data)
	return err
}

// begin publishes the task of an entry, or joins the one that is there. It
// blocks while there is no room in the window.
func (c *Client) begin(ctx context.Context, e *entry, keyed bool, limit time.Duration) error {
	select {
	case c.window <- struct{}{}:
	default:
		if err := antflow.Blocking(ctx, func() error { return c.awaitRoom(ctx) }); err != nil {
			return err
		}
	}
	c.mu.Lock()
	if c.ctx.Err() != nil {
		c.mu.Unlock()
		<-c.window
		return context.Cause(c.ctx)
	}
	if other := c.pending[e.id]; other != nil {
		other.calls = append(other.calls, e.calls...)
		e.joined = other
		asked := e.asked
		c.mu.Unlock()
		<-c.window
		if asked {
			other.cancel()
		}
		return nil
	}
	c.pending[e.id] = e
	c.unacked++
	if limit > 0 {
		e.timer = time.AfterFunc(limit, e.expire)
	}
	c.mu.Unlock()
	if keyed {
		c.request(func(ctx context.Context) error { return c.find(ctx, e) })
	} else {
		c.publish(e)
	}
	return nil
}

// awaitRoom takes a place in the window.
func (c *Client) awaitRoom(ctx context.Context) error {
	select {
	case c.window <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-c.ctx.Done():
		return context.Cause(c.ctx)
	}
}

// persistent has a request to the broker made until it is answered.
var persistent = antflow.JoinOptions(
	antflow.Retries(1<<30),
	antflow.RetryBackoff(antflow.ExponentialBackoff(20*time.Millisecond, 2*time.Second).Jitter(0.2)),
)

// request has fn, which waits for the broker, called on a goroutine of its own
// until it returns nil or the client is closed.
func (c *Client) request(fn func(context.Context) error) {
	c.io.Go(c.ctx, fn, persistent)
}

// find looks for the result of a task that may have been published before, by
// another process or unknown to this one, and publishes it if there is none. What
// is stored from here on is told by the feed of results, which began before. While
// the task is on the broker, to publish it again does nothing.
func (c *Client) find(ctx context.Context, e *entry) error {
	m, err := last(ctx, c.broker.results, c.space.result(e.key()))
	if err != nil {
		return err
	}
	if m == nil {
		c.publish(e)
		return nil
	}
	c.acknowledged(e)
	c.resolve(e.id, m.Header, m.Data)
	return nil
}

// publish sends the task of an entry that has a place in the window. One whose
// cancellation was asked for before is not sent.
func (c *Client) publish(e *entry) {
	c.mu.Lock()
	m := e.msg
	if m == nil || c.pending[e.id] != e {
		c.mu.Unlock()
		return
	}
	if (e.asked || e.late) && !e.unsure {
		end := e.unsentLocked()
		c.mu.Unlock()
		c.settle(e.id, end)
		return
	}
	e.state = entryUnacked
	c.mu.Unlock()
	if _, err := c.js.PublishMsgAsync(m); err != nil {
		c.answered(m, err)
	}
}

// unsentLocked is how a task ends that is not to be published any more.
func (e *entry) unsentLocked() antflow.RemoteEnd {
	if e.asked {
		return antflow.RemoteEnd{Canceled: true}
	}
	return antflow.RemoteEnd{Err: antflow.ErrQueueTimeout}
}

// answered is told what became of a published task. See publishing for what it
// must not do.
func (c *Client) answered(m *nats.Msg, err error) {
	k, _ := parseKey(m.Subject)
	c.mu.Lock()
	e := c.pending[k.id]
	if e == nil || e.msg != m {
		c.mu.Unlock()
		return // its result was quicker
	}
	var end antflow.RemoteEnd
	switch f := fateOf(err); {
	case f == stored || f == existing:
		c.ackedLocked(e)
		c.pause = 0
		asked, late := e.asked, e.late
		c.mu.Unlock()
		switch {
		case asked:
			c.withdraw(e)
		case late:
			c.giveUp(e)
		}
		return
	case f == full && (e.asked || e.late) && !e.unsure:
		end = e.unsentLocked()
	case f == full && e.refuses:
		end.Err = antflow.ErrQueueFull
	case f == refused:
		end.Err = failure("the broker refuses the task: %v", err)
	default:
		e.unsure = e.unsure || f == unknown
		c.holdLocked(e, f)
		c.mu.Unlock()
		return
	}
	c.mu.Unlock()
	go c.settle(e.id, end) // callbacks may submit
}

// ackedLocked notes that the broker has the task.
func (c *Client) ackedLocked(e *entry) {
	if e.msg == nil {
		return
	}
	e.msg, e.state = nil, entryStored
	<-c.window
	if c.unacked--; c.unacked == 0 {
		for _, flushed := range c.flushed {
			close(flushed)
		}
		c.flushed = nil
	}
}

func (c *Client) acknowledged(e *entry) {
	c.mu.Lock()
	c.ackedLocked(e)
	c.mu.Unlock()
}

const (
	firstPause = 5 * time.Millisecond
	mostPause  = time.Second
	probes     = 64 // tasks that are sent at a time while the backlog is full
)

// holdLocked keeps a task to publish it again: soon, if the broker may have been
// away, and when there is room, if it is full.
func (c *Client) holdLocked(e *entry, f fate) {
	e.state = entryHeld
	if f == full {
		c.full = true
	}
	c.held = append(c.held, e)
	if c.again == nil {
		c.pause = min(max(2*c.pause, firstPause), mostPause)
		c.again = time.AfterFunc(c.pause, c.republish)
	}
}

// reconnected has what is held sent at once.
func (c *Client) reconnected() {
	c.mu.Lock()
	c.pause = 0
	if c.again != nil {
		c.again.Reset(firstPause)
	}
	c.mu.Unlock()
}

// republish sends what is held. While the backlog is full it sends a few, to
// find out whether it still is.
func (c *Client) republish() {
	c.mu.Lock()
	c.again = nil
	if c.ctx.Err() != nil {
		c.mu.Unlock()
		return
	}
	n := len(c.held)
	if c.full {
		n = min(n, probes)
	}
	var sure, unsure []*entry
	for _, e := range c.held[:n] {
		if e.unsure {
			unsure = append(unsure, e)
		} else {
			sure = append(sure, e)
		}
	}
	c.held = c.held[n:]
	if len(c.held) == 0 {
		c.held, c.full = nil, false
	} else {
		c.again = time.AfterFunc(c.pause, c.republish)
	}
	c.mu.Unlock()
	for _, e := range unsure {
		c.request(func(ctx context.Context) error { return c.find(ctx, e) })
	}
	for _, e := range sure {
		c.publish(e)
	}
}

// take takes an entry out, for whoever is to settle its calls.
func (c *Client) take(id string) *entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.pending[id]
	if e == nil {
		return nil
	}
	delete(c.pending, id)
	c.ackedLocked(e)
	if e.timer != nil {
		e.timer.Stop()
	}
	if c.full && c.again != nil && c.pause > firstPause { // there should be room
		c.pause = firstPause
		c.again.Reset(firstPause)
	}
	return e
}

// settle settles the calls of an entry.
func (c *Client) settle(id string, end antflow.RemoteEnd) {
	if e := c.take(id); e != nil {
		for _, call := range e.calls {
			call.Settle(end)
		}
	}
}
