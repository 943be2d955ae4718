package cluster

import (
	"context"
	"crypto/rand"
	"errors"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A broker is a connection to NATS, and the streams of a namespace there.
type broker struct {
	settings
	nc *nats.Conn
	js jetstream.JetStream

	tasks, results jetstream.Stream
	pub            *publisher
	expects        bool        // messages have to say that they expect none on their subject
	up             atomic.Bool // all of this is there
	closing        atomic.Bool // by us
	nonce          string      // of this connection, for what it notes
	lastSeq        uint64      // of the results, at the beginning
	then, at       time.Time   // one moment by the broker's clock and by this one

	inputs, values *store       // of large payloads
	worried        atomic.Int64 // when an operator was last told that something goes on failing
}

// callbacks are what is told of the connection.
type callbacks struct {
	answered    func(*nats.Msg, error) // of each message that is published
	reconnected func()
	closed      func(error) // for good, and not by close
}

// setupTimeout is for the first requests. Where a cluster elects leaders they
// take a few seconds.
const setupTimeout = 30 * time.Second

// dial connects, and sees to it that the streams are there.
func (s *settings) dial(ctx context.Context, urls, name string, call callbacks) (*broker, error) {
	if s.err != nil {
		return nil, s.err
	}
	b := &broker{settings: *s, nonce: rand.Text()}
	b.inputs = &store{b: b, name: b.space.inputs(), prefix: b.space.prefix() + "input."}
	b.values = &store{b: b, name: b.space.values(), prefix: b.space.prefix() + "value.", expires: true}
	d := &dialer{ctx: ctx}
	dial := []nats.Option{
		nats.Name(name),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(100 * time.Millisecond),
		nats.ReconnectJitter(100*time.Millisecond, 100*time.Millisecond),
		nats.PingInterval(10 * time.Second),
		// What can't be sent now is kept here, with its answer, and sent again.
		nats.ReconnectBufSize(-1),
		nats.DisconnectErrHandler(func(nc *nats.Conn, err error) {
			if !nc.IsClosed() {
				b.log.Warn("antflow: disconnected from the broker", "err", err)
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			b.log.Info("antflow: connected to the broker again", "url", nc.ConnectedUrlRedacted())
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			b.log.Warn("antflow: the broker reports an error", "err", err)
		}),
		nats.IgnoreAuthErrorAbort(), // credentials are changed while programs run
	}
	dial = append(append(dial, s.nats...), b.tell(call), d.use)
	nc, err := nats.Connect(urls, dial...)
	if err := d.connected(err); err != nil {
		return nil, failure("no connection to %s: %v", redacted(urls), err)
	}
	b.nc = nc
	b.js, err = jetstream.New(nc)
	if err == nil {
		b.pub, err = newPublisher(nc, call.answered)
	}
	if err == nil {
		err = b.setup(ctx)
		b.pub.unique = b.expects
	}
	if err != nil {
		b.close()
		return nil, err
	}
	b.up.Store(true)
	return b, nil
}

// tell has the callbacks called besides those that the options before it have.
func (b *broker) tell(call callbacks) nats.Option {
	return func(o *nats.Options) error {
		disconnected, reconnected, closed := o.DisconnectedErrCB, o.ReconnectedCB, o.ClosedCB
		o.DisconnectedErrCB = func(nc *nats.Conn, err error) {
			if disconnected != nil {
				disconnected(nc, err)
			}
			if b.up.Load() {
				b.pub.disconnected()
			}
		}
		o.ReconnectedCB = func(nc *nats.Conn) {
			if reconnected != nil {
				reconnected(nc)
			}
			call.reconnected()
		}
		o.ClosedCB = func(nc *nats.Conn) {
			if closed != nil {
				closed(nc)
			}
			if !b.closing.Load() {
				call.closed(orElse(nc.LastError(), nats.ErrConnectionClosed))
			}
		}
		return nil
	}
}

// insist makes a request until it is answered or ctx ends. One that waits for an
// answer which is lost, as while there is no leader, is made again. That nobody
// listens is believed after a while.
func insist(ctx context.Context, fn func(context.Context) error) error {
	deaf := time.Now().Add(3 * insistTime)
	for {
		try, cancel := context.WithTimeout(ctx, insistTime)
		err := fn(try)
		cancel()
		var api *jetstream.APIError
		if err == nil || errors.As(err, &api) && api.Code != 503 {
			return err
		}
		select {
		case <-time.After(insistTime / 10):
		case <-ctx.Done():
		}
		over := ctx.Err() != nil
		if errors.Is(err, nats.ErrNoResponders) && (over || time.Now().After(deaf)) {
			return failure("there is no JetStream: %v", err)
		}
		if over {
			return err
		}
	}
}

const insistTime = time.Second

// setup makes the streams, or looks whether they are what this process takes
// them for. It never changes one: two versions of a program would take turns.
func (b *broker) setup(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, setupTimeout)
	defer cancel()
	tasks := jetstream.StreamConfig{
		Name:        b.space.tasks(),
		Description: "antflow: tasks that wait or run",
		Subjects:    []string{b.space.prefix() + "task.>"},
		Retention:   jetstream.WorkQueuePolicy,
		MaxMsgs:     orElse(b.backlog, defaultBacklog),
		MaxBytes:    -1,
	}
	results := jetstream.StreamConfig{
		Name:        b.space.results(),
		Description: "antflow: results, and what became of attempts",
		Subjects:    []string{b.space.prefix() + "result.>", b.space.prefix() + "attempt.>"},
		Retention:   jetstream.LimitsPolicy,
		MaxMsgs:     -1,
		MaxBytes:    -1,
		MaxAge:      orElse(b.retention, defaultRetention),
	}
	streams := []*jetstream.Stream{&b.tasks, &b.results}
	for i, cfg := range []*jetstream.StreamConfig{&tasks, &results} {
		cfg.Storage = jetstream.FileStorage
		cfg.Replicas = orElse(b.replicas, 1)
		cfg.Discard = jetstream.DiscardNew
		cfg.DiscardNewPerSubject = true
		cfg.MaxMsgsPerSubject = 1
		cfg.Duplicates = 100 * time.Millisecond // no message has an ID
		var err error
		if *streams[i], err = b.ensureStream(ctx, cfg); err != nil {
			return err
		}
		b.expects = b.expects || (*streams[i]).CachedInfo().Config.Replicas > 1
	}
	err := insist(ctx, func(ctx context.Context) error {
		before := time.Now()
		info, err := b.results.Info(ctx)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			err = errAgain // by a server that has not heard of it yet
		}
		if err != nil {
			return err
		}
		b.lastSeq = info.State.LastSeq
		b.then, b.at = info.TimeStamp, before.Add(time.Since(before)/2)
		return nil
	})
	if err == errAgain {
		err = jetstream.ErrStreamNotFound
	}
	if err != nil {
		return failure("the stream %s: %v", results.Name, err)
	}
	return nil
}

// clock is what the broker's clock showed at t of this one, which may differ, and
// may be set meanwhile: what counts is the time that passed.
func (b *broker) clock(t time.Time) time.Time { return b.then.Add(t.Sub(b.at)) }

func (b *broker) now() time.Time { return b.clock(time.Now()) }

// ensureStream makes a stream, unless it is there.
func (b *broker) ensureStream(ctx context.Context, cfg *jetstream.StreamConfig) (jetstream.Stream, error) {
	var s jetstream.Stream
	err := insist(ctx, func(ctx context.Context) (err error) {
		s, err = b.js.Stream(ctx, cfg.Name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			s, err = b.js.CreateStream(ctx, *cfg)
			if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // somebody was quicker, with another configuration
				if s, err = b.js.Stream(ctx, cfg.Name); errors.Is(err, jetstream.ErrStreamNotFound) {
					err = errAgain // and that is not through yet
				}
			}
		}
		return err
	})
	if err != nil {
		return nil, failure("the stream %s with %d replicas: %v", cfg.Name, cfg.Replicas, err)
	}
	return s, b.verify(cfg, &s.CachedInfo().Config)
}

// verify reports in what a stream differs from what this process can work with,
// or was told to expect.
func (b *broker) verify(want, have *jetstream.StreamConfig) error {
	for _, x := range []struct {
		what       string
		want, have any
		matters    bool
	}{
		{"retention", want.Retention, have.Retention, true},
		{"discard policy", want.Discard, have.Discard, true},
		{"discard_new_per_subject", want.DiscardNewPerSubject, have.DiscardNewPerSubject, true},
		{"max_msgs_per_subject", want.MaxMsgsPerSubject, have.MaxMsgsPerSubject, true},
		{"replicas", want.Replicas, have.Replicas, b.replicas != 0},
		{"max_msgs", want.MaxMsgs, have.MaxMsgs, b.backlog != 0 || want.Retention == jetstream.LimitsPolicy},
		{"max_age", want.MaxAge, have.MaxAge, b.retention != 0 || want.Retention == jetstream.WorkQueuePolicy},
		{"max_bytes", want.MaxBytes, have.MaxBytes, true},
	} {
		if x.matters && x.want != x.have {
			return failure("the stream %s exists with %s %v, and this process wants %v", want.Name, x.what, x.have, x.want)
		}
	}
	return nil
}

// worry tells the operator of what fails and is tried again. While there is no
// connection that is to be expected, and of what lasts one word is enough now and
// then.
func (b *broker) worry(what string, err error) {
	if b.nc.Status() != nats.CONNECTED {
		return
	}
	at, now := b.worried.Load(), time.Now().UnixNano()
	if at == 0 || now-at >= int64(worryPause) {
		if b.worried.CompareAndSwap(at, now) {
			b.log.Warn("antflow: "+what, "err", err)
		}
	}
}

const (
	worryPause = 10 * time.Second
	worryAfter = time.Second // that a request has failed
)

// worrying is fn, which is called again and again until it returns nil, with a
// word of it to the operator if that takes a while.
func (b *broker) worrying(fn func(context.Context) error) func(context.Context) error {
	var since time.Time
	return func(ctx context.Context) error {
		err := fn(ctx)
		switch {
		case err == nil || err == errAgain || ctx.Err() != nil:
		case since.IsZero():
			since = time.Now()
		case time.Since(since) >= worryAfter:
			b.worry("the broker does not do what it is asked for", err)
		}
		return err
	}
}

// close closes the connection.
func (b *broker) close() {
	b.closing.Store(true)
	b.nc.Close()
	if b.pub != nil {
		b.pub.stop()
	}
}

// last returns the last message of a subject, nil if there is none. The leader
// of the stream answers, so it has all that was acknowledged to anybody; direct
// access, which the streams don't have, would ask any replica.
func last(ctx context.Context, s jetstream.Stream, subject string) (*jetstream.RawStreamMsg, error) {
	m, err := s.GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	return m, err
}

// redacted is a list of URLs without passwords.
func redacted(urls string) string {
	list := strings.Split(urls, ",")
	for i, u := range list {
		if parsed, err := url.Parse(strings.TrimSpace(u)); err == nil {
			list[i] = parsed.Redacted()
		} else {
			list[i] = "(an address that doesn't parse)"
		}
	}
	return strings.Join(list, ",")
}

func orElse[T comparable](v, other T) T {
	var zero T
	if v == zero {
		return other
	}
	return v
}
