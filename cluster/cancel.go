package cluster

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/antflow/antflow"
)

// cancel is called when the cancellation of a task is asked for. It must not
// block. What was never published is settled by publish; all else is decided on
// the broker, by withdraw.
func (e *entry) cancel() {
	c := e.c
	c.mu.Lock()
	if e.joined != nil {
		e = e.joined
	}
	e.asked = true
	state, abort := e.stateLocked(), e.abort
	c.mu.Unlock()
	if abort != nil {
		abort()
	}
	switch state {
	case entryHeld:
		c.request(func(context.Context) error { c.publish(e); return nil })
	case entryStored:
		c.withdraw(e)
	}
}

// stateLocked is the state of an entry, but new for one that was taken out, since
// nothing is to be done for that.
func (e *entry) stateLocked() entryState {
	if e.c.pending[e.id] != e {
		return entryNew
	}
	return e.state
}

// withdraw cancels a task that the broker may have. To record a result that says
// so is what cancels it: whoever records one first decides how the task ended,
// here as everywhere. That its message is taken out of the queue, and that the
// worker which may have it is told, only saves work; but the task is not settled
// before, so that nobody takes it for canceled who begins to serve it, or ends the
// client, while it is still there.
func (c *Client) withdraw(e *entry) {
	c.mu.Lock()
	again := e.withdraws
	e.withdraws, e.withdrawing = true, e.withdrawing || !again
	c.mu.Unlock()
	if again {
		return
	}
	recorded := false
	c.request(func(ctx context.Context) error {
		if !recorded {
			m := c.message(c.space.result(e.key), newResult(outcome{end: endCanceled}, extras{}, nil))
			_, err := c.js.PublishMsg(ctx, m)
			switch fateOf(err) {
			case stored, existing: // by us, perhaps, and the answer was lost
			case refused:
				c.log.Error("antflow: the broker refuses a cancellation", "task", e.key, "err", err)
				c.withdrawn(e)
				return nil
			default:
				return err
			}
			recorded = true
		}
		// Twice: to the worker that has it, and to one that gets it meanwhile.
		tell := func() error { return c.nc.Publish(c.space.canceled(), []byte(e.key)) }
		if err := errors.Join(tell(), c.dequeue(ctx, e), tell()); err != nil {
			return err
		}
		c.withdrawn(e)
		return nil
	})
}

// withdrawn settles a task whose cancellation is recorded, if the feed has told
// of that; otherwise the feed does.
func (c *Client) withdrawn(e *entry) {
	c.mu.Lock()
	e.withdrawing = false
	r := e.canceled
	c.mu.Unlock()
	if r != nil {
		c.settle(e, c.endOf(e, r, nil))
	}
}

// dequeue takes a task that has a result out of the queue.
//
// By its number, and not as a purge of the subject: a purge moves the consumer's
// floor past deliveries that are under way, whose delayed naks the server then
// ignores.
func (c *Client) dequeue(ctx context.Context, e *entry) error {
	m, err := last(ctx, c.tasks, e.subject())
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	if m == nil || err != nil {
		return err
	}
	if err := c.tasks.DeleteMsg(ctx, m.Sequence); err != nil && fateOf(err) == unknown {
		return err
	}
	c.inputs.discard(ctx, e.key, objectOf(m.Subject, m.Data))
	return nil
}

// expire is called when the queue timeout of a task has passed.
func (e *entry) expire() {
	c := e.c
	c.mu.Lock()
	e.late = true
	state := e.stateLocked()
	c.mu.Unlock()
	switch state {
	case entryHeld:
		c.publish(e)
	case entryStored:
		c.giveUp(e)
	}
}

// giveUp fails a task that has not started in time. Whether it has is decided by
// who writes the next mark of it; a worker writes one before the first attempt of
// a task with a queue timeout.
func (c *Client) giveUp(e *entry) {
	c.request(func(ctx context.Context) error {
		m, err := c.lastMark(ctx, e.key)
		if err != nil {
			return err
		}
		if m.Kind != markExpired {
			if m.Attempts > 0 {
				return nil
			}
			ok, err := c.note(ctx, e.key, mark{Kind: markExpired, N: m.N + 1})
			if err == nil && !ok {
				err = errAgain
			}
			if err != nil {
				return err
			}
		}
		data := newResult(outcome{end: endError}, extras{}, encode(c.registry.encode(antflow.ErrQueueTimeout)))
		_, err = c.js.PublishMsg(ctx, c.message(c.space.result(e.key), data))
		switch fateOf(err) {
		case stored, existing:
			return c.dequeue(ctx, e)
		case refused:
			c.log.Error("antflow: the broker refuses the end of a task", "task", e.key, "err", err)
			return nil
		}
		return err
	})
}

// errAgain has a request made again.
var errAgain = errors.New("somebody else was quicker")
