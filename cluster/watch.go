package cluster

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/antflow/antflow"
)

const (
	watchEvery = 15 * time.Second
	watchAfter = time.Minute // a task without word for so long is looked after
	watchMost  = 256         // tasks each time
)

// watch looks after tasks that nothing was heard of for a while. Nothing should
// get lost; but streams are purged by operators, and results expire, and a future
// that waits for what will never come is the worst of errors.
func (c *Client) watch() {
	defer close(c.watched)
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	lost := false // the feed may be
	var made time.Time
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-c.back:
			lost = true
			select { // one that is lost at once is not made again at once
			case <-time.After(insistTime - time.Since(made)):
			case <-c.ctx.Done():
				return
			}
		case <-ticker.C:
		}
		if lost || c.waiting() {
			if err := c.refollow(c.ctx, lost); err != nil {
				c.worry("the results are not listened to yet", err)
			} else if lost {
				lost, made = false, time.Now()
			}
		}
		for _, e := range c.silent(time.Now().Add(-watchAfter)) {
			if err := c.check(c.ctx, e); err != nil {
				break // the broker is away
			}
		}
	}
}

// waiting reports whether there are unfinished tasks.
func (c *Client) waiting() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.pending) > 0
}

// silent returns some of the tasks that the broker has, and that nobody has
// looked after since.
func (c *Client) silent(since time.Time) []*entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found []*entry
	for _, e := range c.pending {
		if e.state == entryStored && e.since.Before(since) {
			if found = append(found, e); len(found) == watchMost {
				break
			}
		}
	}
	for _, e := range found {
		e.since = time.Now()
	}
	return found
}

// check finds out where a task is: it waits or runs, or it has a result, or it
// is gone.
func (c *Client) check(ctx context.Context, e *entry) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	c.mu.Lock()
	canceled := e.canceled
	c.mu.Unlock()
	if canceled != nil { // its message can't be taken out; that need not be waited for any longer
		c.settle(e, c.endOf(e, canceled, nil))
		return nil
	}
	task, err := last(ctx, c.tasks, e.subject())
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		task, err = nil, nil // and no result either, if somebody deletes streams
	}
	if err != nil || task != nil {
		return err
	}
	// The result is written before the task is taken out, so this one is late
	// enough.
	result, err := last(ctx, c.broker.results, c.space.result(e.key))
	switch {
	case err != nil && !errors.Is(err, jetstream.ErrStreamNotFound):
		return err
	case result != nil:
		go c.resolve(e.id, result.Data)
	default:
		c.settle(e, antflow.RemoteEnd{Err: failure("%v: task %s", ErrLost, e.key)})
	}
	return nil
}
