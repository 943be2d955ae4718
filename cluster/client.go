package cluster

import (
	"context"
	"crypto/rand"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/antflow/antflow"
)

// A Client submits tasks to a cluster, and gets their results. It is an
// [antflow.Runner]: pass it to the methods of [antflow.Task]. Make one with
// [Connect]; its methods are safe for concurrent use.
//
// The futures are those of package antflow, with these differences: a task
// settles as canceled when the cancellation is recorded and its message is out of
// the queue, and not before Cancel returns, and then its function may still run for
// a moment; that a task runs is known some 20 milliseconds later, if it still does,
// and [antflow.CancelQueued] cancels those that are not known to have started;
// [antflow.Queue] and [antflow.Key] mean something; [antflow.RetryIf],
// [antflow.RetryBackoff], [antflow.WithSemaphore] and [antflow.WithRateLimit] work
// in the worker's process if they are options of the task, and as options of the
// call they fail it, since no function crosses to another machine.
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
	feed    *follower     // of results; of watch, when that has begun
	watched chan struct{} // closed when watch has ended
	back    chan struct{} // of capacity 1: the feed may be lost
	whole   atomic.Bool   // all of it is there, and may be ended

	// window has a place for each task that the broker has not acknowledged.
	window chan struct{}

	mu      sync.Mutex // a leaf; nothing is published under it
	pending map[string]*entry
	held    []*entry      // to be published again
	full    bool          // some of them because the backlog is full
	again   *time.Timer   // for the held
	pause   time.Duration // before they are
	begun   uint64        // how many entries there were
	unacked int           // of them, those that the broker doesn't have
	flushes []*flush

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
		back:    make(chan struct{}, 1),
		ended:   make(chan struct{}),
		io:      antflow.New(ioWorkers),
	}
	if c.session == "" {
		c.session = rand.Text()
	}
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	c.books = antflow.New(1, antflow.ExecutorName("cluster "+s.space.name), antflow.QueueLimit(s.pending))
	b, err := s.dial(ctx, url, "antflow client", callbacks{c.answered, c.reconnected, c.lost})
	if err != nil {
		return nil, err
	}
	c.broker = b
	if err := c.listen(ctx); err != nil {
		b.close()
		return nil, err
	}
	go c.watch()
	c.whole.Store(true)
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
	key   string // with the session
	queue string
	level level

	// Guarded by c.mu. Until the entry is pending only its RunCall uses them, but
	// for those of a cancellation.
	since       time.Time // when it was submitted, or looked after
	msg         *nats.Msg // until the broker has it
	state       entryState
	calls       []antflow.Remote // more than one where a key was submitted again
	joined      *entry           // that has the calls of this one
	asked       bool             // its cancellation
	unsure      bool             // it was published, and the broker may have it
	doubt       bool             // it was published by this entry, without an answer
	object      string           // the input, if that is an object and no message is known to have it
	spare       string           // the same, once the entry is taken out
	fresh       time.Time        // when that was stored, or said to be needed
	late        bool             // its queue timeout has passed
	timer       *time.Timer      // for that
	refuses     bool             // a full backlog fails it
	number      uint64           // as begun, when it began
	fetching    bool             // its result, which is an object
	abort       func()           // ends the wait of its Submit; nil: that doesn't wait
	withdraws   bool             // withdraw was called
	withdrawing bool             // and has not done yet
	canceled    *result          // what it has recorded, once the feed has told of that
}

type entryState uint8

const (
	entryNew     entryState = iota // nothing was done for it yet
	entryUnacked                   // it was, and the answer is to come
	entryHeld                      // it is in held
	entryStored                    // the broker has it, or had it
)

func (e *entry) subject() string { return e.c.space.task(e.queue, e.level, e.key) }

// RunCall implements [antflow.Runner]. It is called by the methods of
// [antflow.Task].
func (c *Client) RunCall(ctx context.Context, call antflow.Call) antflow.Waitable {
	must(ctx != nil, "Client.RunCall: the context must not be nil")
	must(call != nil, "Client.RunCall: the call must not be nil")
	must(c != nil && c.broker != nil, "Client.RunCall: the client must be one of Connect")
	s := call.Settings()
	e := &entry{c: c, queue: orElse(s.Queue, c.queue), level: levelOf(s.Priority), since: time.Now(), refuses: s.NonBlocking}
	e.id = c.idFor(call.Task(), s.Key)
	e.key = c.session + "." + e.id
	remote := call.Remote(ctx, c.books, e.cancel) // from here on it may be canceled
	if remote.Future().IsDone() {
		return remote.Future()
	}
	err := e.compose(ctx, call, &s)
	if err == nil {
		e.calls = []antflow.Remote{remote}
		err = c.begin(ctx, e, s.Key != "", s.QueueTimeout)
	}
	if err != nil {
		c.forget(e.key, e.object)
		end := antflow.RemoteEnd{Err: err, Canceled: ctx.Err() != nil}
		if err == antflow.ErrCanceled {
			end = antflow.RemoteEnd{Canceled: true}
		}
		remote.Settle(end)
	}
	return remote.Future()
}

// idFor is the ID of a task with that key, or of one more without.
func (c *Client) idFor(task, key string) string {
	if key != "" {
		return idOf(task, key)
	}
	return c.unique + strconv.FormatUint(c.next.Add(1), 36)
}

// compose makes the message of a call.
func (e *entry) compose(ctx context.Context, call antflow.Call, s *antflow.TaskSettings) error {
	if len(s.Local) > 0 {
		return failure("%s can't be an option of a call that another process runs; give it to NewTask, where the worker has it", s.Local[0])
	}
	if err := token("queue", e.queue); err != nil {
		return err
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
	x := extras{Key: clip(s.Key), options: optionsOf(call.Task(), s)}
	x.encodedBy(codec.Name())
	if data, err = e.attach(ctx, &x, data, !s.NonBlocking); err != nil {
		return err
	}
	e.msg = e.c.message(e.subject(), newTask(call.Task(), x, data))
	return nil
}
