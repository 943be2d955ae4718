package cluster

import (
	"context"
	"encoding/json"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/antflow/antflow"
)

// listen begins to follow what is recorded of the session's tasks: from here on
// all of it comes to told, in order and without a gap. What was recorded before
// is looked up by who needs it.
func (c *Client) listen(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, setupTimeout)
	defer cancel()
	err := c.follow(ctx, c.lastSeq+1)
	if err == nil {
		_, err = c.nc.Subscribe(c.space.started(c.session), c.began)
	}
	if err != nil {
		return failure("the results of session %s: %v", c.session, err)
	}
	return nil
}

// A follower is a consumer of what is recorded of a session, from a number on. It
// is never repaired: one that has a gap, or may have, is left, and another one made
// that goes on after the last message that was told. What both tell is told twice,
// which does no harm.
type follower struct {
	c         *Client
	consuming jetstream.ConsumeContext
	next      uint64        // of the consumer's numbers, which have no gap; 0: there was one
	seen      atomic.Uint64 // the stream's number of the last message that was told
}

// follow makes a follower, which begins with the message of a number.
func (c *Client) follow(ctx context.Context, from uint64) error {
	var consumer jetstream.Consumer
	err := insist(ctx, func(ctx context.Context) (err error) {
		consumer, err = c.broker.results.CreateConsumer(ctx, jetstream.ConsumerConfig{
			Description: "antflow: results of session " + c.session,
			FilterSubjects: []string{
				c.space.prefix() + "result." + c.session + ".>",
				c.space.prefix() + "attempt." + c.session + ".>",
			},
			DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
			OptStartSeq:       from,
			AckPolicy:         jetstream.AckNonePolicy,
			Replicas:          1,
			MemoryStorage:     true,
			InactiveThreshold: time.Minute,
		})
		return err
	})
	if err != nil {
		return err
	}
	f := &follower{c: c, next: 1}
	f.seen.Store(from - 1)
	f.consuming, err = consumer.Consume(f.receive,
		jetstream.PullMaxMessages(1000),
		jetstream.PullExpiry(feedExpiry),
		jetstream.PullHeartbeat(feedExpiry/5),
		jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
			c.log.Debug("antflow: the feed of results", "err", err)
			c.anew()
		}),
	)
	if err == nil {
		c.feed = f
	}
	return err
}

// receive is told of a message of the stream.
func (f *follower) receive(m jetstream.Msg) {
	meta, err := m.Metadata()
	if err != nil || meta.Sequence.Consumer != f.next {
		f.next = 0
		f.c.anew()
		return
	}
	f.next++
	f.c.told(m)
	f.seen.Store(meta.Sequence.Stream)
}

// anew has another follower made.
func (c *Client) anew() {
	select {
	case c.back <- struct{}{}:
	default:
	}
}

// refollow makes another follower, if the present one may be lost; and one from the
// beginning if the stream has fewer messages than were told, since somebody has
// made it anew, or the broker has lost its end.
func (c *Client) refollow(ctx context.Context, lost bool) error {
	var info *jetstream.StreamInfo
	err := insist(ctx, func(ctx context.Context) (err error) {
		info, err = c.broker.results.Info(ctx)
		return err
	})
	seen := c.feed.seen.Load()
	switch {
	case err != nil:
		return err
	case info.State.LastSeq < seen:
		c.log.Warn("antflow: the stream of results is not what it was", "stream", info.Config.Name, "last", info.State.LastSeq, "seen", seen)
		seen = 0
	case !lost:
		return nil
	}
	c.feed.consuming.Stop()
	return c.follow(ctx, seen+1)
}

// began is told of attempts that have begun, if all goes well: nothing keeps
// these messages.
func (c *Client) began(m *nats.Msg) {
	var starts []start
	if err := json.Unmarshal(m.Data, &starts); err != nil {
		c.log.Warn("antflow: not a list of starts", "err", err)
		return
	}
	for _, s := range starts {
		if s.Attempt < 1 {
			continue
		}
		for _, call := range c.callsOf(s.ID) {
			call.Started(s.Attempt)
		}
	}
}

// callsOf are the calls of an unfinished task; none where there isn't one.
func (c *Client) callsOf(id string) []antflow.Remote {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.pending[id]
	if e == nil {
		return nil
	}
	return e.calls[:len(e.calls):len(e.calls)]
}

// feedExpiry is how long a request for results may wait for one. The feed is
// taken up anew if no sign of life comes for two fifths of it.
const feedExpiry = 10 * time.Second

// told is told of a result, or of an attempt.
func (c *Client) told(m jetstream.Msg) {
	subject := m.Subject()[len(c.space.prefix()):]
	if rest, ok := strings.CutPrefix(subject, "attempt."); ok {
		c.attempted(rest, m.Data())
		return
	}
	if _, id, ok := parseKey(subject); ok {
		c.resolve(id, m.Data())
	}
}

// attempted tells the calls of what became of an attempt.
func (c *Client) attempted(subject string, data []byte) {
	at := strings.LastIndexByte(subject, '.')
	_, id, ok := parseKey(subject[:max(at, 0)])
	if !ok {
		return
	}
	calls := c.callsOf(id)
	if len(calls) == 0 {
		return
	}
	a, ok := parseMark(subject, data)
	if !ok {
		c.log.Warn("antflow: a note of an attempt makes no sense", "task", subject)
		return
	}
	for _, call := range calls {
		switch a.Kind {
		case markBegan:
			call.Started(a.Attempts)
		case markFailed:
			call.Retrying(antflow.RemoteRetry{
				Attempt: a.Attempts,
				Err:     c.registry.decode(a.Err),
				Delay:   a.Delay,
				Ran:     a.Ran,
			})
		}
	}
}

// resolve settles the calls of a task with its result. Callbacks may end the
// client, so what the end of it waits for, as requests, calls it on a goroutine of
// its own.
func (c *Client) resolve(id string, data []byte) {
	r, err := parseResult(data)
	c.mu.Lock()
	e := c.pending[id]
	if e == nil {
		c.mu.Unlock()
		return
	}
	if err == nil && r.Object != "" {
		c.ackedLocked(e)
		fetching := e.fetching
		e.fetching = true
		c.mu.Unlock()
		if !fetching {
			c.resolveObject(e, r)
		}
		return
	}
	if err == nil && r.end == endCanceled && e.withdrawing {
		canceled := r
		e.canceled = &canceled // withdraw settles it
		c.mu.Unlock()
		return
	}
	c.takeLocked(e)
	c.mu.Unlock()
	e.settle(c.endOf(e, &r, err))
}

// resolveObject does so with a result whose payload is an object. The entry is
// pending until that is here, so that the end of the client settles it, too.
func (c *Client) resolveObject(e *entry, r result) {
	c.request(func(ctx context.Context) error {
		data, err := c.values.fetch(ctx, e.key, r.Object)
		switch {
		case err == nil:
			r.payload = data
		case missing(err):
			err = failure("%v: the result of task %s: %v", ErrDecode, e.key, err)
		case hopeless(err):
			err = failure("the result of task %s could not be fetched: %v", e.key, err)
		default:
			return err
		}
		c.settle(e, c.endOf(e, &r, err))
		return nil
	})
}

// endOf is how a task ends with a result, of which err says why it can't be read.
func (c *Client) endOf(e *entry, r *result, err error) antflow.RemoteEnd {
	end := antflow.RemoteEnd{Attempts: r.attempts, Queued: r.queued, Ran: r.ran, Err: err}
	if err != nil {
		return end
	}
	switch r.end {
	case endOK:
		codec := c.codec(r.codec())
		if codec == nil {
			end.Err = failure("%v: the result of task %s is encoded as %q, which this client has no codec for", ErrDecode, e.key, clip(r.codec()))
			return end
		}
		data := r.payload
		end.Decode = func(out any) error {
			if err := codec.Unmarshal(data, out); err != nil {
				return failure("%v: the result of task %s: %v", ErrDecode, e.key, err)
			}
			return nil
		}
	case endCanceled:
		end.Canceled = true
		end.Err = c.errorOf(r.payload)
	case endError:
		if end.Err = c.errorOf(r.payload); end.Err == nil {
			end.Err = failure("%v: the error of task %s", ErrDecode, e.key)
		}
	}
	return end
}

// errorOf decodes an error; nil when there is none.
func (c *Client) errorOf(data []byte) error {
	if len(data) == 0 {
		return nil
	}
	w := new(wireError)
	if err := json.Unmarshal(data, w); err != nil {
		return failure("%v: an error: %v", ErrDecode, err)
	}
	return c.registry.decode(w)
}
