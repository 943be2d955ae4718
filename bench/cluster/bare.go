package clusterbench

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/antflow/antflow/cluster/embedded"
)

// The bare loop is what any queue on JetStream has to do at least: publish the
// task, consume it, publish the result, consume that. It has the streams of the
// cluster and their rules, and nothing else: no acknowledgement of what is
// published, no futures, no word of what became of a failure. What it publishes
// and the server doesn't take is lost.
const (
	bareTasks   = "bare.task."
	bareResults = "bare.result."
)

// bareWindow is how many tasks are under way. A server that is sent more than it
// can write drops what it wasn't asked to acknowledge, at 10,000 messages that
// wait.
const bareWindow = 4096

func openBare(ctx context.Context) (*contender, error) {
	s, err := newSite()
	if err != nil {
		return nil, err
	}
	c, err := bareAt(ctx, s)
	if err != nil {
		s.close()
		return nil, err
	}
	return c, nil
}

func bareAt(ctx context.Context, s *site) (*contender, error) {
	b, err := embedded.Start(s.dir)
	if err != nil {
		return nil, err
	}
	s.onClose(func() { b.Close() })
	submitter, err := s.jetStream(b.URL())
	if err != nil {
		return nil, err
	}
	worker, err := s.jetStream(b.URL())
	if err != nil {
		return nil, err
	}
	results, err := bareStreams(ctx, submitter)
	if err != nil {
		return nil, err
	}
	if err := bareWorker(ctx, s, worker); err != nil {
		return nil, err
	}
	outcomes := make(chan outcome, bareWindow)
	window := make(chan struct{}, bareWindow)
	consumer, err := results.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{FilterSubjects: []string{bareResults + ">"}})
	if err != nil {
		return nil, err
	}
	feed, err := consumer.Consume(func(m jetstream.Msg) {
		<-window
		in, _ := strconv.Atoi(strings.TrimPrefix(m.Subject(), bareResults))
		out, _ := strconv.Atoi(string(m.Data()))
		outcomes <- outcome{in, out}
	}, jetstream.PullMaxMessages(1000))
	if err != nil {
		return nil, err
	}
	s.onClose(feed.Stop)
	batch := func(ctx context.Context, first, n int) error {
		go func() {
			for i := first; i < first+n; i++ {
				window <- struct{}{}
				text := strconv.Itoa(i)
				submitter.Conn().Publish(bareTasks+text, []byte(text))
			}
		}()
		return newTally(first, n).collect(ctx, outcomes)
	}
	return &contender{batch: batch, close: s.close}, nil
}

// jetStream is a connection.
func (s *site) jetStream(url string) (jetstream.JetStream, error) {
	nc, err := nats.Connect(url)
	if err != nil {
		return nil, err
	}
	s.onClose(nc.Close)
	return jetstream.New(nc)
}

// bareStreams makes the two streams with the rules of the cluster's.
func bareStreams(ctx context.Context, js jetstream.JetStream) (results jetstream.Stream, err error) {
	for _, cfg := range []jetstream.StreamConfig{
		{Name: "TASKS", Subjects: []string{bareTasks + ">"}, Retention: jetstream.WorkQueuePolicy, MaxMsgs: 1 << 20},
		{Name: "RESULTS", Subjects: []string{bareResults + ">"}, MaxMsgs: -1, MaxAge: 24 * time.Hour},
	} {
		cfg.Storage = jetstream.FileStorage
		cfg.MaxBytes = -1
		cfg.Discard, cfg.DiscardNewPerSubject, cfg.MaxMsgsPerSubject = jetstream.DiscardNew, true, 1
		if results, err = js.CreateStream(ctx, cfg); err != nil {
			return nil, err
		}
	}
	return results, nil
}

// bareWorker runs as many handlers as the others have: each with a subscription
// of its own, which has one goroutine.
func bareWorker(ctx context.Context, s *site, js jetstream.JetStream) error {
	consumer, err := js.CreateConsumer(ctx, "TASKS", jetstream.ConsumerConfig{
		Durable:       "worker",
		AckPolicy:     jetstream.AckExplicitPolicy,
		MaxDeliver:    -1,
		MaxAckPending: -1,
	})
	if err != nil {
		return err
	}
	for range handlers {
		c, err := consumer.Consume(func(m jetstream.Msg) {
			in, _ := strconv.Atoi(string(m.Data()))
			js.Conn().Publish(bareResults+m.Subject()[len(bareTasks):], strconv.AppendInt(nil, int64(2*in), 10))
			m.Ack()
		})
		if err != nil {
			return err
		}
		s.onClose(c.Stop)
	}
	return nil
}
