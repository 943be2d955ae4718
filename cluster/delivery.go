package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"runtime"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/antflow/antflow"
)

// A handler is a Handler with what the worker makes of its options.
type handler struct {
	Handler
	mu      sync.Mutex
	options map[options]*called
}

// called is what calls with the same options have in common.
type called struct {
	run      antflow.TaskOption   // of one attempt, on the executor
	settings antflow.TaskSettings // of the task, to decide on another attempt
}

const mostOptions = 256

func newHandler(h Handler) *handler {
	return &handler{Handler: h, options: make(map[options]*called)}
}

// with returns what calls with these options have.
func (h *handler) with(o options) *called {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.options[o]
	if c != nil {
		return c
	}
	own := h.Options()
	c = &called{
		run: antflow.JoinOptions(antflow.WithoutDefaults(), own, antflow.TaskName(orElse(o.Label, h.Name())), antflow.Retries(0),
			antflow.Timeout(o.Timeout), antflow.QueueTimeout(0), antflow.Priority(o.Priority), antflow.NonBlocking()),
	}
	retries := antflow.JoinOptions(own, antflow.Retries(o.Retries))
	if !o.Backoff {
		retries = antflow.JoinOptions(retries, antflow.RetryDelay(o.RetryDelay))
	}
	c.settings = antflow.SettingsOf(retries)
	if len(h.options) == mostOptions {
		clear(h.options)
	}
	h.options[o] = c
	return c
}

// A delivery is a task that the broker has given to this worker, until the
// broker knows what became of it.
type delivery struct {
	w     *worker
	task  task
	h     *handler
	calls *called
	since time.Time // when the task was submitted, by the broker's clock
	came  time.Time

	redelivered bool // the broker has given it to somebody before
	asked       bool // the broker was asked something before the start

	noting   sync.Mutex    // held while a note is written, after the first one
	unsure   bool          // whether a renewed mark has the next number; guarded by it
	last     mark          // the last one that was noted of the task; its N is 0 when there is none
	next     *mark         // the one that is being noted before it starts, if one has to be
	pause    time.Duration // before that, if it doesn't start yet
	attempts int           // that have begun, this one included
	began    time.Time
	ran      time.Duration
	fetched  bool   // the task's payload was, which is an object
	payload  []byte // the result
	returned bool   // the function has, and the codec: no panic, no Goexit
	err      error  // what it returned, which the future has without its marks
	object   string // the result, if it is one
	cut      bool   // that was an error, after its context was canceled

	// Guarded by w.mu.
	reply   string // where the broker wants to know
	future  *antflow.Future[struct{}]
	running bool      // the attempt has begun, and not ended
	told    bool      // the client was told of that
	ended   bool      // the function doesn't run any more
	stopped bool      // it was asked to stop, since the worker ends
	revoked bool      // the task has a result already
	result  *nats.Msg // that is published
	refused bool      // the broker has refused one
	noted   time.Time // when it was noted that the attempt runs; zero: it was not
}

// deliver takes a task in.
func (w *worker) deliver(m *nats.Msg, meta *nats.MsgMetadata, stopped bool) {
	p, ok := parsePlace(m.Subject)
	if !ok {
		w.log.Warn("antflow: not a task", "subject", m.Subject)
		w.respond(m.Reply, ackTerm)
		w.feed.freed()
		return
	}
	d := &delivery{w: w, reply: m.Reply, since: meta.Timestamp, came: time.Now(), attempts: 1, redelivered: meta.NumDelivered > 1}
	w.mu.Lock()
	if other := w.held[p.key]; other != nil {
		// This worker has it, and the broker thinks that it died. The answer
		// goes to the later delivery.
		other.reply = m.Reply
		w.mu.Unlock()
		w.feed.freed()
		return
	}
	w.held[p.key] = d
	stopped = stopped || w.draining
	revoked := w.revoked[p.key] || w.revokedBefore[p.key]
	w.mu.Unlock()
	var err error
	d.task, err = parseTask(p, m.Data)
	switch {
	case revoked:
		d.ask(d.examine) // which sees for itself
	case stopped:
		d.giveBack()
	case err != nil:
		d.refuse(err)
	case d.redelivered || d.task.options.QueueTimeout > 0:
		d.ask(d.examine)
	default:
		d.start()
	}
}

// ask makes a request for the task before it starts, if it does.
func (d *delivery) ask(fn func(context.Context) error) {
	d.asked = true
	d.w.request(fn)
}

// start has the executor run the task.
func (d *delivery) start() {
	w := d.w
	if d.h = w.handlers[d.task.name]; d.h == nil {
		d.refuse(failure("%v: %q, on worker %s", ErrNoHandler, d.task.name, w.set.name))
		return
	}
	if d.task.Object != "" && !d.fetched {
		d.ask(func(ctx context.Context) error {
			data, err := w.inputs.fetch(ctx, d.task.key, d.task.Object)
			switch {
			case err == nil:
				d.task.payload, d.fetched = data, true
				d.start()
			case missing(err):
				d.refuse(failure("%v: the input of task %s: %v", ErrDecode, d.task.key, err))
			case hopeless(err):
				d.refuse(failure("the input of task %s could not be fetched: %v", d.task.key, err))
			default:
				return err
			}
			return nil
		})
		return
	}
	d.calls = d.h.with(d.task.options)
	future := w.e.Go(w.runs, d.run, d.calls.run)
	w.feed.handed()
	w.mu.Lock()
	d.future = future
	stop := d.stopped || d.revoked
	w.mu.Unlock()
	if stop {
		future.Cancel()
	}
	future.OnDone(d.done)
	if d.asked {
		w.feed.fill() // who takes tasks in has them looked for after each that starts at once
	}
}

// run is the task of the executor.
func (d *delivery) run(ctx context.Context) error {
	w := d.w
	w.mu.Lock()
	if d.stopped || d.revoked { // who asked for that counts on it
		w.mu.Unlock()
		return errNotBegun
	}
	d.began, d.running = time.Now(), true
	if !w.telling {
		w.telling = true
		time.AfterFunc(tellAfter, w.tell)
	}
	w.mu.Unlock()
	info, _ := antflow.TaskFrom(ctx)
	info.Attempt = d.attempts
	ctx = antflow.WithTaskInfo(ctx, info)
	ctx = context.WithValue(ctx, infoKey{}, d)
	codec := w.codec(d.task.codec())
	if codec == nil {
		d.returned = true
		return antflow.Permanent(failure("%v: the input of task %s is encoded as %q, which worker %s has no codec for",
			ErrDecode, d.task.key, clip(d.task.codec()), w.set.name))
	}
	out, err := d.h.Invoke(ctx, func(in any) error {
		if err := codec.Unmarshal(d.task.payload, in); err != nil {
			return antflow.Permanent(failure("%v: the input of task %q: %v", ErrDecode, d.task.name, err))
		}
		return nil
	})
	d.ran = time.Since(d.began)
	if err != nil {
		d.cut = errors.Is(ctx.Err(), context.Canceled)
	} else {
		if d.payload, err = codec.Marshal(out); err != nil {
			err = antflow.Permanent(failure("the result of task %q does not encode as %s: %v", d.task.name, codec.Name(), err))
		}
	}
	d.returned, d.err = true, err
	return err
}

// done is called when the executor has done with the task.
func (d *delivery) done(f *antflow.Future[struct{}]) {
	w := d.w
	w.mu.Lock()
	d.running, d.ended = false, true
	stopped, revoked := d.stopped, d.revoked
	w.idleNowLocked()
	w.mu.Unlock()
	if d.ran == 0 && !d.began.IsZero() {
		d.ran = time.Since(d.began)
	}
	w.feed.ended(d.ran)
	err := f.Err()
	canceled := f.State() == antflow.StateCanceled && !permanent(d.err)
	switch {
	case revoked:
		d.acknowledge()
	case err == nil:
		d.succeed()
	case stopped && (d.began.IsZero() || canceled && d.cut):
		d.giveBackLater() // it did not start, or did not finish for that, whatever it calls it
	case d.began.IsZero() && (errors.Is(err, antflow.ErrShutdown) || err == antflow.ErrQueueFull),
		canceled && errors.Is(err, antflow.ErrShutdown):
		d.giveBackLater() // the executor is somebody else's, who has shut it down, or has more for it to do
	default:
		d.fail(err)
	}
}

// errNotBegun is what a task returns that was stopped before it began.
var errNotBegun = errors.New(prefix + "stopped before it began")

// permanent reports whether err is marked as by [antflow.Permanent]: then nothing
// else would be tried again either.
func permanent(err error) bool {
	if err == nil {
		return false
	}
	_, again := anyError.Again(1, err, false)
	return !again
}

var anyError = antflow.SettingsOf(antflow.Retries(1))

func stack() []byte {
	b := make([]byte, 16<<10)
	return b[:runtime.Stack(b, false)]
}

// encode is the JSON of what is always fit for it.
func encode(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(prefix + err.Error())
	}
	return data
}
