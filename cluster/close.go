package cluster

import (
	"context"
	"slices"

	"github.com/antflow/antflow"
)

// Flush blocks until the broker has all tasks that were submitted before; from
// then on they don't need this process. When ctx ends first it returns a
// [*antflow.WaitError]. A nil ctx panics.
func (c *Client) Flush(ctx context.Context) error {
	must(ctx != nil, "Client.Flush(nil): the context must not be nil")
	c.mu.Lock()
	if c.unacked == 0 {
		c.mu.Unlock()
		return nil
	}
	f := &flush{upTo: c.begun, left: c.unacked, done: make(chan struct{})}
	c.flushes = append(c.flushes, f)
	c.mu.Unlock()
	return antflow.Blocking(ctx, func() error {
		select {
		case <-f.done:
			return nil
		case <-c.ctx.Done():
			return context.Cause(c.ctx)
		case <-ctx.Done():
			c.mu.Lock()
			c.flushes = slices.DeleteFunc(c.flushes, func(other *flush) bool { return other == f })
			c.mu.Unlock()
			return &antflow.WaitError{Err: context.Cause(ctx)}
		}
	})
}

// A flush waits for the broker to have the entries up to a number.
type flush struct {
	upTo uint64
	left int // of them, those that it doesn't have
	done chan struct{}
}

// Shutdown stops admission, waits for the results of all tasks, and closes the
// connection; the options are those of [antflow.Executor.Shutdown]. When ctx ends
// first it returns a [*antflow.WaitError], and the client goes on; it may be
// called again. With [antflow.NoWait] it returns at once, and the connection is
// closed after the last result. A nil ctx or option panics.
func (c *Client) Shutdown(ctx context.Context, opts ...antflow.ShutdownOption) error {
	must(ctx != nil, "Client.Shutdown(nil): the context must not be nil")
	if err := c.books.Shutdown(ctx, append(opts[:len(opts):len(opts)], antflow.NoWait())...); err != nil {
		return err
	}
	c.closing.Do(func() {
		go func() {
			c.books.Close()
			// Cancellations are recorded, but workers may still have to be told.
			ctx, cancel := context.WithTimeout(context.Background(), lastWords)
			defer cancel()
			c.io.Shutdown(ctx)
			c.end(antflow.ErrShutdown)
		}()
	})
	if err := c.books.Shutdown(ctx, opts...); err != nil {
		return err
	}
	if s := c.books.Stats(); s.Running+s.Queued+s.Waiting > 0 {
		return nil // NoWait is among the options
	}
	select {
	case <-c.ended:
		return nil
	case <-ctx.Done():
		return &antflow.WaitError{Err: context.Cause(ctx)}
	}
}

// Close is [Client.Shutdown] with a background context: it waits for the results
// of all tasks. It is made for defer.
func (c *Client) Close() error { return c.Shutdown(context.Background()) }

// Detach closes the client without waiting: futures that have no result fail with
// [ErrDetached], and their tasks go on. Tasks that the broker doesn't have yet
// are lost to it; see [Client.Flush]. Another client with the same [Session] may
// submit the same keys, and gets their results. It may be called more than once.
func (c *Client) Detach() { c.abandon(ErrDetached) }

// lost is told that the connection is closed, and won't be again: options of
// nats.go may say so.
func (c *Client) lost(err error) {
	if c.whole.Load() && c.ctx.Err() == nil {
		go c.abandon(failure("the connection is closed: %v", err))
	}
}

// abandon ends the client, and fails what has no result with cause.
func (c *Client) abandon(cause error) {
	c.books.Shutdown(context.Background(), antflow.NoWait())
	c.end(cause)
	c.mu.Lock()
	entries := c.pending
	c.pending = make(map[string]*entry)
	for _, e := range entries {
		if e.timer != nil {
			e.timer.Stop() // it would keep the entry
		}
	}
	c.mu.Unlock()
	for _, e := range entries {
		for _, call := range e.calls {
			call.Settle(antflow.RemoteEnd{Err: cause})
		}
	}
}

// end closes the connection, and ends what uses it.
func (c *Client) end(cause error) {
	c.ending.Do(func() {
		defer close(c.ended)
		c.cancel(cause)
		<-c.watched
		c.feed.consuming.Stop()
		c.io.Shutdown(context.Background(), antflow.CancelRunning())
		c.mu.Lock()
		if c.again != nil {
			c.again.Stop()
		}
		c.mu.Unlock()
		c.close()
	})
	<-c.ended
}
