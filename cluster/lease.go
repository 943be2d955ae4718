package cluster

import (
	"context"
	"strings"
	"time"

	"github.com/antflow/antflow"
)

// beat gives word of all that is held, three times in a lease, which may become
// shorter meanwhile. It also looks after what has been held for long.
func (w *worker) beat() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-w.ctx.Done():
			return
		case <-timer.C:
		}
		var replies []string
		var long []string
		var aging []*delivery
		w.words.Lock()
		w.mu.Lock()
		third := w.lease / 3
		for k, d := range w.held {
			replies = append(replies, d.reply)
			if d.running && time.Since(d.came) > third && !w.rechecks {
				long = append(long, k)
			}
			if d.running && !d.noted.IsZero() && w.aged(d.noted) {
				d.noted = time.Now()
				aging = append(aging, d)
			}
		}
		w.rechecks = w.rechecks || len(long) > 0
		w.mu.Unlock()
		timer.Reset(third)
		for _, reply := range replies {
			w.respond(reply, ackProgress)
		}
		w.words.Unlock()
		if len(long) > 0 {
			w.io.Go(w.ctx, func(ctx context.Context) error { return w.recheck(ctx, long) })
		}
		for _, d := range aging {
			w.request(d.renew)
		}
	}
}

// recheck looks whether tasks that have run for long have results: they may have
// been canceled, and the news of that got lost. One round at a time: a broker that
// is slow to answer gets no more of these than it answers.
func (w *worker) recheck(ctx context.Context, long []string) error {
	defer func() {
		w.mu.Lock()
		w.rechecks = false
		w.mu.Unlock()
	}()
	for _, k := range long {
		result, err := last(ctx, w.results, w.space.result(k))
		if err != nil {
			return err
		}
		if result != nil {
			w.revoke(k)
		}
	}
	return nil
}

// observe has the feed look for tasks when one lends its slot.
func (w *worker) observe() (stop func()) {
	return w.e.Observe(func(antflow.Event) { w.feed.fill() }, antflow.EventBlocked)
}

// hasten has hurry called in a while.
func (w *worker) hasten() {
	w.mu.Lock()
	if !w.hurries {
		w.hurries = true
		time.AfterFunc(patience, w.hurry)
	}
	w.mu.Unlock()
}

// hurry gives back what waits here for a slot while no task ends, so that another
// worker may have it. Tasks that wait for a semaphore or a rate limit of this
// process are as well off here.
func (w *worker) hurry() {
	if w.ctx.Err() != nil {
		return
	}
	stuck := time.Since(w.feed.lastEnd()) >= patience
	waits := false
	w.mu.Lock()
	late := w.stopLocked(func(d *delivery) bool {
		if d.running || d.ended || d.future == nil || d.stopped || d.calls.settings.Semaphore != nil || d.calls.settings.RateLimit != nil {
			return false
		}
		late := stuck && time.Since(d.came) >= patience
		waits = waits || !late
		return late
	})
	w.hurries = waits
	if waits {
		time.AfterFunc(patience, w.hurry)
	}
	w.mu.Unlock()
	cancelAll(late)
}

// tellAfter is how long a task runs before its client is told, more or less.
// Shorter ones are told of by their results.
const tellAfter = 20 * time.Millisecond

// tell tells clients which of their tasks have begun.
func (w *worker) tell() {
	if w.ctx.Err() != nil {
		return
	}
	starts := make(map[string][]start) // by session
	w.mu.Lock()
	w.telling = false
	for k, d := range w.held {
		switch {
		case !d.running || d.told:
		case time.Since(d.began) >= tellAfter/2:
			d.told = true
			session, id, _ := strings.Cut(k, ".")
			starts[session] = append(starts[session], start{id, d.attempts})
		default:
			w.telling = true
		}
	}
	if w.telling {
		time.AfterFunc(tellAfter, w.tell)
	}
	w.mu.Unlock()
	for session, list := range starts {
		w.respond(w.space.started(session), string(encode(list)))
	}
}
