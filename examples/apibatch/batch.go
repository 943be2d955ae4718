package main

import (
	"context"
	"time"

	"github.com/antflow/antflow"
)

// batch is one run of the client, and afterwards its books.
type batch struct {
	client  *client
	workers int
	calls   []*call // by id
	stats   antflow.Stats
	elapsed time.Duration
}

func newBatch(cfg config, url string, nw network) *batch {
	b := &batch{client: newClient(url, nw), workers: cfg.workers}
	for id := range cfg.items {
		b.calls = append(b.calls, &call{id: id, answers: map[int]int{}})
	}
	return b
}

// run places all orders and returns when each has settled; at the end of ctx
// they do so promptly.
func (b *batch) run(ctx context.Context, out *printer) {
	start := time.Now()
	e := antflow.New(b.workers, antflow.WithTaskOptions(policy()))
	defer func() {
		e.Close()
		b.client.http.CloseIdleConnections()
		b.stats, b.elapsed = e.Stats(), time.Since(start)
	}()
	futures := make([]*antflow.Future[string], len(b.calls))
	for i, c := range b.calls {
		c.start = time.Now()
		c.future = antflow.Submit(ctx, e, func(ctx context.Context) (string, error) {
			return b.client.place(ctx, c)
		})
		futures[i] = c.future
	}

	// The end of ctx cancels the orders, and the waits must outlive it to see
	// that: books closed before would lack what is under way.
	b.follow(context.WithoutCancel(ctx), futures, func(stage, format string, args ...any) {
		out.printf("%-15s %6.3f s  "+format+"\n", append([]any{stage, time.Since(start).Seconds()}, args...)...)
	})
}

// follow watches one set of futures in the four ways there are.
func (b *batch) follow(ctx context.Context, futures []*antflow.Future[string], say func(stage, format string, args ...any)) {
	done, pending, _ := antflow.Wait(ctx, futures, antflow.FirstCompleted)
	say("first completed", "order %d %v; %d pending", done[0].ID(), b.of(done[0]).outcome(), len(pending))

	done, pending, _ = antflow.Wait(ctx, futures, antflow.FirstError)
	for _, f := range done {
		if f.State() == antflow.StateFailed {
			say("first error", "order %d: %v; %d done, %d pending", f.ID(), f.Err(), len(done), len(pending))
			break
		}
	}

	seen, total := 0, len(futures)
	for f, err := range antflow.AsCompleted(ctx, futures) {
		if err != nil {
			break // can't be, ctx never ends; the audit would tell
		}
		b.of(f).settled++
		seen++
		if quarter := seen * 4 / total; quarter > (seen-1)*4/total {
			say("as completed", "%3d%%", quarter*25)
		}
	}

	done, pending, _ = antflow.Wait(ctx, futures, antflow.AllCompleted)
	say("all completed", "%d done, %d pending", len(done), len(pending))
}

// of finds a future's call: IDs count the submissions, and no other task was
// submitted to this executor.
func (b *batch) of(f *antflow.Future[string]) *call { return b.calls[f.ID()] }
