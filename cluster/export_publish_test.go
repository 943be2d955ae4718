package cluster

import "github.com/nats-io/nats.go"

// A Publisher publishes without waiting.
type Publisher struct{ p *publisher }

func NewPublisher(nc *nats.Conn, answered func(*nats.Msg, error)) (*Publisher, error) {
	p, err := newPublisher(nc, answered)
	return &Publisher{p}, err
}

// Replicated has it be one to servers that agree on messages.
func (p *Publisher) Replicated() { p.p.unique = true }

func (p *Publisher) Publish(m *nats.Msg) error { return p.p.publish(m) }
func (p *Publisher) Disconnected()             { p.p.disconnected() }
func (p *Publisher) Stop()                     { p.p.stop() }
