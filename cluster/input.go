package cluster

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/antflow/antflow"
)

// Inputs that are objects, from the client's side. An object is stored before the
// message that names it, and belongs to the entry until the broker is known to
// have that message. From then on it belongs to whoever takes the message out.
// What is left when a client dies in between is found by a janitor.

// attach returns the payload for a message of the entry: data, or nothing if that
// is too large, and then it is stored as an object. It blocks until that is done,
// also while the broker is away, unless ctx or the client ends; a broker that is
// there and doesn't take it is believed after a while, and at once if patient is
// false.
func (e *entry) attach(ctx context.Context, x *extras, data []byte, patient bool) ([]byte, error) {
	c := e.c
	if len(data) <= c.mostInline() {
		return data, nil
	}
	ctx, done := e.abortable(ctx)
	defer done()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(c.ctx, func() { cancel(context.Cause(c.ctx)) })()
	u := c.inputs.upload(e.key, data)
	pause, sent, since := firstPause, 0, time.Now()
	for {
		err := u.run(ctx)
		if err == nil {
			x.Object, e.object, e.fresh = u.name, u.name, u.began
			return nil, nil
		}
		if u.sent > sent || c.nc.Status() != nats.CONNECTED {
			sent, since = u.sent, time.Now()
		}
		switch {
		case ctx.Err() != nil:
			err = context.Cause(ctx)
		case !patient || hopeless(err) || time.Since(since) > setupTimeout:
			err = failure("a payload of %d bytes: %v", len(data), err)
		default:
			c.worry("an input is not stored yet", err)
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
			pause = min(2*pause, mostPause)
			continue
		}
		c.io.Go(c.ctx, func(ctx context.Context) error { u.abandon(ctx); return nil })
		return nil, err
	}
}

// forget deletes an object that no message names, soon.
func (c *Client) forget(k, name string) {
	if name != "" {
		c.io.Go(c.ctx, func(ctx context.Context) error { c.inputs.discard(ctx, k, name); return nil })
	}
}

// disown finds out whose the message is that is on the subject of an entry, and
// deletes the object of the entry if it isn't its own. If there is none any more,
// the task has a result, and needs no input.
func (c *Client) disown(e *entry, object string) {
	c.request(func(ctx context.Context) error {
		m, err := last(ctx, c.tasks, e.subject())
		if err != nil {
			return err
		}
		c.mu.Lock()
		e.object = ""
		c.mu.Unlock()
		if m == nil || objectOf(m.Subject, m.Data) != object {
			c.inputs.discard(ctx, e.key, object)
		}
		return nil
	})
}

// objectOf is the object that the message of a task names, if it does.
func objectOf(subject string, data []byte) string {
	p, _ := parsePlace(subject)
	t, _ := parseTask(p, data)
	return t.Object
}

// agedLocked reports whether the entry has an object that a janitor may take for
// an orphan before long.
func (e *entry) agedLocked() bool {
	return e.object != "" && e.c.aged(e.fresh)
}

// publishAged publishes the task of an entry that may have waited for long: then
// it says first that its object is needed still.
func (c *Client) publishAged(ctx context.Context, e *entry) error {
	c.mu.Lock()
	object, aged := e.object, e.agedLocked()
	c.mu.Unlock()
	if aged {
		now := time.Now()
		if err := c.inputs.touch(ctx, object); err != nil {
			return err
		}
		m, err := c.inputs.certain(ctx, c.inputs.part(object, partsOf(e.key, object)))
		if err != nil {
			return err
		}
		if m == nil {
			c.settle(e, antflow.RemoteEnd{Err: failure("the input of task %s is gone: there was no connection for longer than the retention", e.key)})
			return nil
		}
		c.mu.Lock()
		e.fresh = now
		c.mu.Unlock()
	}
	c.publish(e)
	return nil
}
