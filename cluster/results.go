package cluster

import (
	"context"
	"encoding/json"
	"strings"
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

// follow has what is recorded from a number on come to told.
func (c *Client) follow(ctx context.Context, from uint64) error {
	var feed jetstream.Consumer
	err := insist(ctx, func(ctx context.Context) (err error) {
		feed, err = c.broker.results.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{
			FilterSubjects: []string{
				c.space.prefix() + "result." + c.session + ".>",
				c.space.prefix() + "attempt." + c.session + ".>",
			},
			DeliverPolicy: jetstream.DeliverByStartSequencePolicy,
			OptStartSeq:   from,
		})
		return err
	})
	if err != nil {
		return err
	}
	c.newest.Store(nil)
	consuming, err := feed.Consume(c.told,
		jetstream.PullMaxMessages(1000),
		jetstream.PullExpiry(feedExpiry),
		jetstream.PullHeartbeat(feedExpiry/5),
		jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
			c.log.Debug("antflow: the feed of results", "err", err)
		}),
	)
	if err == nil {
		c.feed = consuming
	}
	return err
}

// refollow begins from the beginning if the stream has fewer messages than the
// feed has seen: somebody has made it anew, or the broker has lost its end. The
// feed would wait for the next number for ever.
func (c *Client) refollow(ctx context.Context) error {
	newest := c.newest.Load()
	if newest == nil {
		return nil
	}
	meta, err := (*newest).Metadata()
	if err != nil {
		return err
	}
	info, err := c.broker.results.Info(ctx)
	if err != nil || info.State.LastSeq >= meta.Sequence.Stream {
		return err
	}
	c.log.Warn("antflow: the stream of results is not what it was", "stream", info.Config.Name, "last", info.State.LastSeq, "seen", meta.Sequence.Stream)
	c.feed.Stop()
	return c.follow(ctx, 1)
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
	c.newest.Store(&m)
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

// resolve settles the calls of a task with its result.
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
