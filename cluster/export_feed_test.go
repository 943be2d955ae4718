package cluster

import (
	"context"
	"time"

	"github.com/antflow/antflow"
)

// A Feed is the feed of a worker that has no broker.
type Feed struct{ f *feed }

// A Request is a pull. Answer tells what the broker says of it, as long as nobody
// has; that may be never.
type Request struct {
	Queue   string
	Level   Level
	Batch   int
	Expires time.Duration // 0: to be answered at once
	Answer  func(status string)
}

// NewFeed returns a feed for those queues, whose requests go to send, and whose
// repairs to ensure.
func NewFeed(slots int, send func(Request), ensure func(queue string, l Level) error, queues ...string) *Feed {
	s := serveSettings{settings: newSettings(), concurrency: slots, queues: queues}
	w := newWorker(context.Background(), s, []Handler{antflow.NewTask("late", func(ctx context.Context, _ int) (int, error) {
		<-ctx.Done()
		return 0, ctx.Err()
	})})
	w.broker = &broker{settings: s.settings}
	f := &w.feed
	f.prepare(w)
	f.send = func(p *pull) error {
		send(Request{p.s.queue, Level(p.s.level), p.Batch, p.Expires, func(status string) { p.s.ended(p.number, status, "") }})
		return nil
	}
	f.ensure = func(_ context.Context, queue string, l level) error { return ensure(queue, Level(l)) }
	f.begin()
	return &Feed{f}
}

func (f *Feed) Fill()        { f.f.fill() }
func (f *Feed) Broken() bool { return f.f.broken() }

// Taken has n of the slots be taken, for all that the feed knows, before it looks again.
func (f *Feed) Taken(n int) {
	f.f.mu.Lock()
	f.f.taken = n
	f.f.mu.Unlock()
}

// StartLate starts a task that is among those taken, after the broker was asked
// about it. The task runs until end is called.
func (f *Feed) StartLate() (end func()) {
	w := f.f.w
	d := newDelivery(w, "late")
	d.asked = true
	d.start()
	return func() { w.revoke(d.task.key) }
}

// RunStopped runs a task that was stopped right before.
func RunStopped(h Handler) error {
	s := serveSettings{settings: newSettings()}
	d := newDelivery(newWorker(context.Background(), s, []Handler{h}), h.Name())
	d.h, d.stopped = d.w.handlers[h.Name()], true
	return d.run(context.Background())
}

// newDelivery is a delivery of the task of that name, which the worker holds.
func newDelivery(w *worker, name string) *delivery {
	d := &delivery{w: w, attempts: 1, task: task{place: place{key: "session.id"}, name: name, payload: []byte("0")}}
	w.mu.Lock()
	w.held[d.task.key] = d
	w.mu.Unlock()
	return d
}

// Stop ends the feed with its worker.
func (f *Feed) Stop() {
	w := f.f.w
	w.cancel(nil)
	f.f.halt()
	_ = w.io.Shutdown(context.Background(), antflow.CancelRunning())
	_ = w.e.Close()
}

const MostBell = mostBell
