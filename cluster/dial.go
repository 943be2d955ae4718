package cluster

import (
	"context"
	"errors"
	"net"
	"sync"

	"github.com/nats-io/nats.go"
)

// A dialer dials for nats.go, which knows no contexts: while the first connection
// is made, the end of ctx ends dials and handshakes.
type dialer struct {
	dial func(ctx context.Context, network, address string) (net.Conn, error)
	skip bool // TLS is somebody else's

	mu   sync.Mutex
	ctx  context.Context // nil: there is a first connection, or won't be
	stop func() bool     // of what closes a connection at the end of ctx
	err  error           // of the last try
}

// use is the option of nats.go, after the others.
func (d *dialer) use(o *nats.Options) error {
	if custom := o.CustomDialer; custom != nil {
		d.dial = func(_ context.Context, network, address string) (net.Conn, error) {
			return custom.Dial(network, address)
		}
		if s, ok := custom.(interface{ SkipTLSHandshake() bool }); ok {
			d.skip = s.SkipTLSHandshake()
		}
	} else {
		var own net.Dialer
		if o.Dialer != nil {
			own = *o.Dialer
		}
		own.Timeout = orElse(own.Timeout, o.Timeout)
		if o.AllowMultipathTCP != nil {
			own.SetMultipathTCP(*o.AllowMultipathTCP)
		}
		d.dial = own.DialContext
	}
	o.CustomDialer = d
	return nil
}

// Dial implements [nats.CustomDialer].
func (d *dialer) Dial(network, address string) (net.Conn, error) {
	d.mu.Lock()
	ctx := d.ctx
	d.mu.Unlock()
	if ctx == nil {
		return d.dial(context.Background(), network, address)
	}
	conn, err := d.dial(ctx, network, address)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err = err; err == nil && d.ctx != nil {
		if d.stop != nil {
			d.stop()
		}
		d.stop = context.AfterFunc(ctx, func() { conn.Close() })
	}
	return conn, err
}

// SkipTLSHandshake is for nats.go.
func (d *dialer) SkipTLSHandshake() bool { return d.skip }

// connected is called when nats.go has connected, or failed with err: from here
// on ctx has no say. It returns what there is to say of that.
func (d *dialer) connected(err error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	ctx := d.ctx
	if d.ctx = nil; d.stop != nil {
		d.stop()
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, nats.ErrNoServers) && d.err != nil:
		return d.err // for why there are none
	}
	return err
}
