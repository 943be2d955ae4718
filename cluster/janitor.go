package cluster

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// sweepMost is how often a janitor looks, at least.
const sweepMost = time.Hour

// sweep deletes orphans among the inputs, now and then.
func (w *worker) sweep() {
	ticker := time.NewTicker(min(sweepMost, w.keeps()/2))
	defer ticker.Stop()
	for {
		if err := w.sweepOnce(w.ctx); err != nil && w.ctx.Err() == nil {
			w.worry("inputs that nobody needs are not looked for", err)
		}
		select {
		case <-w.ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// sweepOnce deletes the inputs that no task needs. One that is younger than
// results get may be that of a task that is just submitted. A client that has one
// for longer touches it again before it submits the task: at a quarter of that
// time, so there is enough left between. Ages are by the broker's clock.
func (w *worker) sweepOnce(ctx context.Context) error {
	s := w.inputs
	stream, err := s.open(ctx, false)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(s.prefix+">"))
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		s.stream.Store(nil)
		return nil
	}
	if err != nil {
		return err
	}
	names := make(map[string]bool)
	for subject := range info.State.Subjects {
		names[subject[len(s.prefix):strings.LastIndexByte(subject, '.')]] = true
	}
	for name := range names {
		head, err := s.certain(ctx, s.part(name, 0))
		if head == nil && err == nil {
			head, err = s.certain(ctx, s.prefix+name+".*") // it came late, after the object was deleted
		}
		if err != nil {
			return err
		}
		if head == nil || info.TimeStamp.Sub(head.Time) < w.keeps() {
			continue
		}
		task, err := last(ctx, w.tasks, w.space.anyTask(keyOfObject(name)))
		if err != nil {
			return err
		}
		if task != nil {
			continue
		}
		if err := stream.Purge(ctx, jetstream.WithPurgeSubject(s.prefix+name+".*")); err != nil {
			return err
		}
	}
	return nil
}

// keyOfObject is the key that the name of an object begins with.
func keyOfObject(name string) string {
	at := strings.IndexByte(name, '.') + 1
	if end := strings.IndexByte(name[at:], '.'); end >= 0 {
		return name[:at+end]
	}
	return name
}
