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
	var info *jetstream.StreamInfo
	err := insist(ctx, func(ctx context.Context) (err error) {
		info, err = c.broker.results.Info(ctx)
		return err
	})
	if err != nil {
		return failure("the stream %s: %v", c.space.results(), err)
	}
	var feed jetstream.Consumer
	err = insist(ctx, func(ctx context.Context) (err error) {
		feed, err = c.broker.results.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{
			FilterSubjects: []string{
				c.space.prefix() + "result." + c.session + ".>",
				c.space.prefix() + "attempt." + c.session + ".>",
			},
			DeliverPolicy: jetstream.DeliverByStartSequencePolicy,
			OptStartSeq:   info.State.LastSeq + 1,
		})
		return err
	})
	if err != nil {
		return failure("the results of session %s: %v", c.session, err)
	}
	c.feed, err = feed.Consume(c.told,
		jetstream.PullMaxMessages(1000),
		jetstream.PullExpiry(feedExpiry),
		jetstream.PullHeartbeat(feedExpiry/5),
		jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
			c.log.Debug("antflow: the feed of results", "err", err)
		}),
	)
	if err == nil {
		_, err = c.nc.Subscribe(c.space.started(c.session), c.began)
	}
	if err != nil {
		return failure("the results of session %s: %v", c.session, err)
	}
	return nil
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
		c.resolve(id, m.Headers(), m.Data())
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
	var a mark
	if err := json.Unmarshal(data, &a); err != nil || a.Attempts < 1 && (a.Kind == markBegan || a.Kind == markFailed) {
		c.log.Warn("antflow: a note of an attempt makes no sense", "task", subject, "err", err)
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
func (c *Client) resolve(id string, h nats.Header, data []byte) {
	e := c.take(id)
	if e == nil {
		return
	}
	settle := func(end antflow.RemoteEnd) {
		for _, call := range e.calls {
			call.Settle(end)
		}
	}
	if object := h.Get(headerObject); object != "" {
		c.request(func(ctx context.Context) error {
			data, err := c.fetch(ctx, object)
			if err == nil || missing(err) {
				settle(c.endOf(e, h, data, err))
				return nil
			}
			return err
		})
		return
	}
	settle(c.endOf(e, h, data, nil))
}

// endOf reads a result.
func (c *Client) endOf(e *entry, h nats.Header, data []byte, err error) antflow.RemoteEnd {
	o, malformed := parseOutcome(h.Get(headerResult))
	end := antflow.RemoteEnd{Attempts: o.attempts, Queued: o.queued, Ran: o.ran, Err: malformed}
	switch {
	case malformed != nil:
		return end
	case err != nil:
		end.Err = failure("%v: the result of task %s: %v", ErrDecode, e.key, err)
		return end
	}
	switch o.end {
	case endOK:
		name := orElse(h.Get(headerCodec), JSON.Name())
		codec := c.codec(name)
		if codec == nil {
			end.Err = failure("%v: the result of task %s is encoded as %q, which this client has no codec for", ErrDecode, e.key, clip(name))
			return end
		}
		end.Decode = func(out any) error {
			if err := codec.Unmarshal(data, out); err != nil {
				return failure("%v: the result of task %s: %v", ErrDecode, e.key, err)
			}
			return nil
		}
	case endCanceled:
		end.Canceled = true
		end.Err = c.errorOf(data)
	case endError:
		if end.Err = c.errorOf(data); end.Err == nil {
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
