package cluster

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/antflow/antflow"
)

// A Sender is a client that has no broker, with one task that is held to be
// published again.
type Sender struct {
	c *Client
	e *entry
}

// noResults is a stream that has none.
type noResults struct{ jetstream.Stream }

func (noResults) GetLastMsgForSubject(context.Context, string) (*jetstream.RawStreamMsg, error) {
	return nil, jetstream.ErrMsgNotFound
}

func NewSender() *Sender {
	c := &Client{
		broker:  &broker{settings: newSettings(), results: noResults{}},
		io:      antflow.New(1),
		ctx:     context.Background(),
		window:  make(chan struct{}, 1),
		pending: make(map[string]*entry),
	}
	c.io.Close() // which makes no requests
	c.window <- struct{}{}
	e := &entry{c: c, id: "id", key: "session.id", unsure: true, msg: new(nats.Msg), state: entryHeld}
	c.pending[e.id] = e
	return &Sender{c, e}
}

// Find looks for the result of the task.
func (s *Sender) Find(ctx context.Context) error { return s.c.find(ctx, s.e) }

// Cancel is that of the task, Late the end of its queue timeout.
func (s *Sender) Cancel() { s.e.cancel() }
func (s *Sender) Late()   { s.e.late = true }

// Withdraws reports whether the task's cancellation is to be recorded.
func (s *Sender) Withdraws() bool { return s.e.withdraws }

// SendAgain has fn called as what is held is sent again, after a pause.
func (s *Sender) SendAgain(fn func(), pause time.Duration) {
	s.c.full, s.c.pause = true, pause
	s.c.again = time.AfterFunc(pause, fn)
}

// Reconnected and Settled are events that have what is held sent soon.
func (s *Sender) Reconnected() { s.c.reconnected() }
func (s *Sender) Settled()     { s.c.settle(s.e, antflow.RemoteEnd{}) }
