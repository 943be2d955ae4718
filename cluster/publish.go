package cluster

import (
	"errors"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A fate is what became of a message that was published.
type fate int

const (
	stored   fate = iota
	existing      // the subject has a message already
	full          // the stream takes no more
	unknown       // it may be stored or not: to be published again
	refused       // it never will be
)

// Codes of the server that tell fates. It uses one for two of them.
const (
	codeWrongSequence   = 10071 // the subject has a message
	codeSequenceRace    = 10164 // somebody is just publishing to the subject
	codeDuplicateRace   = 10158 // or the same message
	codeLimits          = 10077 // of the stream or of the subject
	textSubjectOccupied = "per subject"
)

// fateOf tells what became of a message by the answer to it.
func fateOf(err error) fate {
	if err == nil {
		return stored
	}
	if errors.Is(err, nats.ErrMaxPayload) || errors.Is(err, nats.ErrBadSubject) {
		return refused // and not sent
	}
	var e *jetstream.APIError
	if !errors.As(err, &e) {
		return unknown // no answer came, or will
	}
	switch e.ErrorCode {
	case codeWrongSequence:
		return existing
	case codeSequenceRace, codeDuplicateRace:
		return unknown
	case codeLimits:
		if strings.Contains(e.Description, textSubjectOccupied) {
			return existing
		}
		return full
	}
	if e.Code >= 500 {
		return unknown
	}
	return refused
}

// ackTimeout is how long an acknowledgement may take. The publisher asks again
// then; the subject sees to it that nothing is stored twice.
const ackTimeout = 10 * time.Second

// publishing are the options of a JetStream context whose asynchronous publishes
// are told to answered. That must not publish, or wait for who does: the library
// calls it under its lock.
func publishing(answered func(*nats.Msg, error)) []jetstream.JetStreamOpt {
	return []jetstream.JetStreamOpt{
		jetstream.WithPublishAsyncMaxPending(1 << 20), // what is under way is limited elsewhere
		jetstream.WithPublishAsyncTimeout(ackTimeout),
		jetstream.WithPublishAsyncAckHandler(func(_ jetstream.JetStream, m *nats.Msg, _ *jetstream.PubAck) { answered(m, nil) }),
		jetstream.WithPublishAsyncErrHandler(func(_ jetstream.JetStream, m *nats.Msg, err error) { answered(m, err) }),
	}
}
