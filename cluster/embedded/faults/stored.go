package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// queued is how many tasks the broker has.
func (l *lab) queued() (n int, err error) {
	err = l.poll("the stream answers", func(ctx context.Context) (bool, error) {
		s, err := l.js.Stream(ctx, taskStream)
		if err != nil {
			return false, err
		}
		n = int(s.CachedInfo().State.Msgs)
		return true, nil
	})
	return n, err
}

// emptied waits until the queue is empty, and returns what is left in it if it
// never is.
func (l *lab) emptied() (left []string, err error) {
	err = l.poll("the queue is empty", func(ctx context.Context) (bool, error) {
		s, err := l.js.Stream(ctx, taskStream)
		if err != nil {
			return false, err
		}
		if s.CachedInfo().State.Msgs == 0 {
			return true, nil
		}
		info, err := s.Info(ctx, jetstream.WithSubjectFilter(">"))
		if err != nil {
			return false, err
		}
		left = left[:0]
		for subject := range info.State.Subjects {
			left = append(left, subject)
		}
		return false, nil
	})
	if err == nil {
		left = nil
	}
	return left, err
}

// stored reads all results that the broker has.
func (l *lab) stored() (records []record, err error) {
	err = l.poll("all results are read", func(ctx context.Context) (bool, error) {
		records, err = l.readResults(ctx)
		return err == nil, err
	})
	return records, err
}

func (l *lab) readResults(ctx context.Context) (records []record, err error) {
	prefix := "antflow." + namespace + ".result."
	s, err := l.js.Stream(ctx, resultStream)
	if err != nil {
		return nil, err
	}
	c, err := s.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{FilterSubjects: []string{prefix + ">"}})
	if err != nil {
		return nil, err
	}
	info, err := c.Info(ctx)
	if err != nil {
		return nil, err
	}
	// The consumer is on a replica that may be behind; the leader knows how many
	// there are.
	leader, err := s.Info(ctx, jetstream.WithSubjectFilter(prefix+">"))
	if err != nil {
		return nil, err
	}
	want := int(info.NumPending)
	if n := len(leader.State.Subjects); want != n {
		return nil, fmt.Errorf("the replica that is read has %d results, and the leader %d", want, n)
	}
	for len(records) < want {
		batch, err := c.Fetch(min(want-len(records), 1000), jetstream.FetchMaxWait(2*time.Second))
		if err != nil {
			return nil, err
		}
		for m := range batch.Messages() {
			// The schema, the end, and figures.
			line, payload, _ := bytes.Cut(m.Data(), []byte("\n"))
			outcome := strings.Fields(string(line))
			if len(outcome) < 2 {
				return nil, fmt.Errorf("a result without an end is stored at %s: %.200q", m.Subject(), m.Data())
			}
			e := end(outcome[1])
			records = append(records, record{strings.TrimPrefix(m.Subject(), prefix), e, storedValue(e, payload)})
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("%d of %d results were read: %w", len(records), want, errors.Join(ctx.Err(), batch.Error()))
		}
	}
	return records, nil
}
