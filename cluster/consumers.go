package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// ensureConsumers makes the consumers of the queues, unless they are there, and
// notes their lease.
func (w *worker) ensureConsumers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, setupTimeout)
	defer cancel()
	for _, queue := range w.set.queues {
		for l := range levels {
			if err := w.ensureConsumer(ctx, queue, l); err != nil {
				return err
			}
		}
	}
	return nil
}

// ensureConsumer makes the consumer of one level of a queue, unless it is there.
// Who gives no lease works with that of the consumer; of several, with the
// shortest.
func (w *worker) ensureConsumer(ctx context.Context, queue string, l level) error {
	cfg := jetstream.ConsumerConfig{
		Durable:       w.space.consumer(queue, l),
		Description:   fmt.Sprintf("antflow: tasks of queue %s", queue),
		FilterSubject: w.space.consumed(queue, l),
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       orElse(w.set.lease, defaultLease),
		MaxDeliver:    -1, // or it would stay in the stream, and nobody would get it
		MaxAckPending: -1, // delayed naks count among these
		MaxWaiting:    1 << 14,
	}
	var c jetstream.Consumer
	err := insist(ctx, func(ctx context.Context) (err error) {
		c, err = w.tasks.Consumer(ctx, cfg.Durable)
		if errors.Is(err, jetstream.ErrConsumerNotFound) {
			c, err = w.tasks.CreateConsumer(ctx, cfg)
			if consumerExists(err) { // somebody was quicker, with another lease
				if c, err = w.tasks.Consumer(ctx, cfg.Durable); errors.Is(err, jetstream.ErrConsumerNotFound) {
					err = errAgain // and that is not through yet
				}
			}
		}
		return err
	})
	if err != nil {
		return failure("the consumer %s: %v", cfg.Durable, err)
	}
	have := c.CachedInfo().Config
	switch {
	case have.AckPolicy != cfg.AckPolicy || have.FilterSubject != cfg.FilterSubject || have.MaxDeliver != cfg.MaxDeliver || len(have.BackOff) > 0:
		return failure("the consumer %s exists, and is not one of this package's", cfg.Durable)
	case w.set.lease != 0 && have.AckWait != w.set.lease:
		return failure("the consumer %s exists with a lease of %v, and this process wants %v", cfg.Durable, have.AckWait, w.set.lease)
	}
	w.mu.Lock()
	if w.lease == 0 || have.AckWait < w.lease {
		w.lease = have.AckWait
	}
	w.mu.Unlock()
	return nil
}

// consumerExists reports whether err says that there is a consumer of that name,
// which is not as it should be made; the server has two codes for that.
func consumerExists(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && (api.ErrorCode == jetstream.JSErrCodeConsumerExists || api.ErrorCode == jetstream.JSErrCodeConsumerNameExists)
}

const (
	brokenTime = 250 * time.Millisecond // before a repair
	mostBroken = 5 * time.Second        // between two repairs in vain
	repairTime = 5 * time.Second        // for a consumer
)

// brokenLocked is told that a request was refused: no leader, or no consumer. Not
// again before its consumer was looked at, which may have been made again by
// somebody, and not be what it was. Other sources go on meanwhile.
func (s *source) brokenLocked(now time.Time) {
	if s.broken.IsZero() {
		s.broken = now
	}
	s.f.repairLocked()
}

// repairLocked has repair called in a while, unless it is going to be, or is: one
// is enough for all sources, and requests that wait for a broker in trouble don't
// pile up.
func (f *feed) repairLocked() {
	if f.repairs || f.stopped {
		return
	}
	f.repairs = true
	f.pause = min(max(2*f.pause, brokenTime), mostBroken)
	f.mend = time.AfterFunc(f.pause, func() {
		f.w.io.Go(f.w.ctx, func(ctx context.Context) error { f.repair(ctx); return nil })
	})
}

// repairSoonLocked is for when the reason of the pause may be gone.
func (f *feed) repairSoonLocked() {
	if f.mend == nil || !f.mend.Stop() {
		return
	}
	f.repairs, f.pause = false, 0
	f.repairLocked()
}

// repair sees to it that the consumers of broken sources are there, and asks
// again.
func (f *feed) repair(ctx context.Context) {
	for _, s := range f.sources {
		f.mu.Lock()
		broken := !s.broken.IsZero() && !f.stopped
		f.mu.Unlock()
		if !broken {
			continue
		}
		try, cancel := context.WithTimeout(ctx, repairTime)
		err := f.ensure(try, s.queue, s.level)
		answered := try.Err() == nil
		cancel()
		s.repaired(time.Now(), err, answered)
	}
	f.mu.Lock()
	f.repairs = false
	left := false
	for _, s := range f.sources {
		left = left || !s.broken.IsZero()
	}
	if left {
		f.repairLocked()
	} else {
		f.pause = 0
	}
	f.mu.Unlock()
	f.fill()
}

// repaired is told what came of looking at the consumer. From a consumer that is
// not what it should be nothing is taken: its lease may be shorter than that by
// which this worker gives word. That nobody answers is believed after a while
// only: to elect a leader takes some seconds.
func (s *source) repaired(now time.Time, err error, answered bool) {
	f := s.f
	f.mu.Lock()
	known := s.why != nil
	switch {
	case err == nil:
		s.broken, s.why = time.Time{}, nil
	case answered || now.Sub(s.broken) >= setupTimeout:
		s.why = err
	}
	broken := s.why != nil
	f.mu.Unlock()
	switch {
	case broken && !known:
		f.w.log.Error("antflow: no tasks of a queue", "queue", s.queue, "err", err)
	case known && !broken:
		f.w.log.Info("antflow: tasks of a queue again", "queue", s.queue)
	}
}

// broken reports whether there are sources that can't be asked.
func (f *feed) broken() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.sources {
		if s.why != nil {
			return true
		}
	}
	return false
}
