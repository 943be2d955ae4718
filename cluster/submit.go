package cluster

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/antflow/antflow"
)

// The way of a task to the broker. Up to mostUnacked are on it at a time, each
// with a place in the window: published and not yet acknowledged, or held to be
// published again.

// begin publishes the task of an entry, or joins the one that is there. It
// blocks while there is no room in the window.
func (c *Client) begin(ctx context.Context, e *entry, keyed bool, limit time.Duration) error {
	select {
	case c.window <- struct{}{}:
	default:
		if e.refuses {
			return antflow.ErrQueueFull
		}
		if err := antflow.Blocking(ctx, func() error { return c.awaitRoom(ctx, e, limit) }); err != nil {
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
		other.refuses = other.refuses && e.refuses
		e.joined = other
		asked := e.asked
		c.mu.Unlock()
		<-c.window
		c.forget(e.key, e.object)
		if asked {
			other.cancel()
		}
		return nil
	}
	c.pending[e.id] = e
	c.begun++
	e.number = c.begun
	c.unacked++
	e.unsure = keyed // another client, or an earlier one, may have published it
	look := keyed || e.agedLocked()
	if limit > 0 {
		e.timer = time.AfterFunc(limit-time.Since(e.since), e.expire)
	}
	c.mu.Unlock()
	if look {
		c.request(func(ctx context.Context) error { return c.find(ctx, e) })
	} else {
		c.publish(e)
	}
	return nil
}

// awaitRoom takes a place in the window.
func (c *Client) awaitRoom(ctx context.Context, e *entry, limit time.Duration) error {
	var late <-chan time.Time
	if limit > 0 {
		timer := time.NewTimer(limit - time.Since(e.since))
		defer timer.Stop()
		late = timer.C
	}
	ctx, done := e.abortable(ctx)
	defer done()
	select {
	case c.window <- struct{}{}:
		return nil
	case <-late:
		return antflow.ErrQueueTimeout
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-c.ctx.Done():
		return context.Cause(c.ctx)
	}
}

// abortable is a context for what is waited for before an entry is pending: it
// ends when the cancellation of the task is asked for.
func (e *entry) abortable(parent context.Context) (ctx context.Context, done func()) {
	c := e.c
	ctx, cancel := context.WithCancelCause(parent)
	c.mu.Lock()
	e.abort = func() { cancel(antflow.ErrCanceled) }
	if e.asked {
		e.abort()
	}
	c.mu.Unlock()
	return ctx, func() {
		c.mu.Lock()
		e.abort = nil
		c.mu.Unlock()
		cancel(nil)
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
	c.io.Go(c.ctx, c.worrying(fn), persistent)
}

// find looks for the result of a task that may have been published before, by
// another process or unknown to this one, and publishes it if there is none. What
// is stored from here on is told by the feed of results, which began before. While
// the task is on the broker, to publish it again does nothing.
func (c *Client) find(ctx context.Context, e *entry) error {
	m, err := last(ctx, c.broker.results, c.space.result(e.key))
	if err != nil {
		return err
	}
	c.mu.Lock()
	asked, late := e.asked, e.late
	if m != nil || asked || late {
		c.ackedLocked(e) // under the same lock: who asks for a cancellation from here on finds it stored
	}
	c.mu.Unlock()
	switch {
	case m != nil:
		go c.resolve(e.id, m.Data)
	case asked: // what was given up meanwhile isn't sent any more
		c.withdraw(e)
	case late:
		c.giveUp(e)
	default:
		return c.publishAged(ctx, e)
	}
	return nil
}

// publish sends the task of an entry that has a place in the window. One whose
// cancellation was asked for before is not sent.
func (c *Client) publish(e *entry) {
	c.mu.Lock()
	m := e.msg
	if m == nil || c.pending[e.id] != e || e.state == entryUnacked {
		c.mu.Unlock()
		return
	}
	if (e.asked || e.late) && !e.unsure {
		end := e.unsentLocked()
		c.mu.Unlock()
		c.settle(e, end)
		return
	}
	e.state = entryUnacked
	c.mu.Unlock()
	if err := c.pub.publish(m); err != nil {
		c.answered(m, err)
	}
}

// unsentLocked is how a task ends that is not to be published any more.
func (e *entry) unsentLocked() antflow.RemoteEnd {
	switch {
	case e.asked:
		return antflow.RemoteEnd{Canceled: true}
	case e.late:
		return antflow.RemoteEnd{Err: antflow.ErrQueueTimeout}
	}
	return antflow.RemoteEnd{Err: antflow.ErrQueueFull}
}

// rejected ends a task that the broker has no room for, but that it may have had
// before. It has not got it now, so it never had it unless there is a result.
func (c *Client) rejected(e *entry, end antflow.RemoteEnd) {
	c.request(func(ctx context.Context) error {
		m, err := last(ctx, c.broker.results, c.space.result(e.key))
		switch {
		case err != nil:
			return err
		case m != nil:
			go c.resolve(e.id, m.Data)
		default:
			c.settle(e, end)
		}
		return nil
	})
}

// answered is told what became of a published task.
func (c *Client) answered(m *nats.Msg, err error) {
	_, id, _ := parseKey(m.Subject)
	c.mu.Lock()
	e := c.pending[id]
	if e == nil || e.msg != m {
		c.mu.Unlock()
		return // its result was quicker
	}
	var end antflow.RemoteEnd
	f := fateOf(err)
	if f == unknown && !errors.Is(err, nats.ErrReconnectBufExceeded) { // without a connection nothing is sent
		e.unsure, e.doubt = true, true
	}
	switch {
	case f == stored || f == existing:
		c.ackedLocked(e)
		c.pause = 0
		asked, late, object := e.asked, e.late, e.object
		if f == stored {
			e.object = "" // the message has it
		}
		c.mu.Unlock()
		if f == existing && object != "" {
			c.disown(e, object)
		}
		switch {
		case asked:
			c.withdraw(e)
		case late:
			c.giveUp(e)
		}
		return
	case f == full && (e.asked || e.late || e.refuses):
		if end = e.unsentLocked(); e.unsure {
			c.mu.Unlock()
			c.rejected(e, end)
			return
		}
	case f == refused:
		if e.doubt {
			e.object = "" // a message may have it
		}
		end.Err = failure("the broker refuses the task: %v", err)
	case (e.asked || e.late) && !e.unsure:
		end = e.unsentLocked()
	default:
		c.holdLocked(e, f)
		c.mu.Unlock()
		return
	}
	c.mu.Unlock()
	c.settle(e, end)
}

// ackedLocked notes that the broker has the task.
func (c *Client) ackedLocked(e *entry) {
	if e.msg == nil {
		return
	}
	e.msg, e.state = nil, entryStored
	<-c.window
	c.unacked--
	c.flushes = slices.DeleteFunc(c.flushes, func(f *flush) bool {
		if e.number > f.upTo {
			return false
		}
		if f.left--; f.left == 0 {
			close(f.done)
		}
		return f.left == 0
	})
}

const (
	firstPause = 5 * time.Millisecond
	mostPause  = time.Second
	roomPause  = 100 * time.Millisecond
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
		most := mostPause
		if f == full {
			most = roomPause
		}
		c.pause = min(max(2*c.pause, firstPause), most)
		c.again = time.AfterFunc(c.pause, c.republish)
	}
}

// reconnected has what is held sent at once, and the results listened to anew.
func (c *Client) reconnected() {
	c.anew()
	c.mu.Lock()
	c.pause = 0
	c.soonLocked()
	c.mu.Unlock()
}

// soonLocked has what is held sent soon, unless republish is about to: a timer that
// has run out must not be set again, or there would be two from then on.
func (c *Client) soonLocked() {
	if c.again != nil && c.again.Stop() {
		c.again.Reset(firstPause)
	}
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
		if e.unsure || e.agedLocked() {
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

// takeLocked takes a pending entry out, for whoever is to settle its calls. Its
// task was never stored, has a result or is gone, so nobody needs the object that
// is the entry's own.
func (c *Client) takeLocked(e *entry) {
	delete(c.pending, e.id)
	e.spare = e.object
	c.ackedLocked(e)
	if e.timer != nil {
		e.timer.Stop()
	}
	if c.full && c.again != nil && c.pause > firstPause { // there should be room
		c.pause = firstPause
		c.soonLocked()
	}
}

// settle ends a task, unless somebody else does.
func (c *Client) settle(e *entry, end antflow.RemoteEnd) {
	c.mu.Lock()
	ours := c.pending[e.id] == e
	if ours {
		c.takeLocked(e)
	}
	c.mu.Unlock()
	if ours {
		go e.settle(end) // callbacks may end the client, which waits for whoever calls this
	}
}

// settle settles the calls of an entry that was taken out.
func (e *entry) settle(end antflow.RemoteEnd) {
	e.c.forget(e.key, e.spare)
	for _, call := range e.calls {
		call.Settle(end)
	}
}
