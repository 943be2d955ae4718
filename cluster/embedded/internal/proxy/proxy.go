// Package proxy is a bad network between the clients and the servers of NATS, for
// tests.
package proxy

import (
	"bufio"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A Direction is one of the two of a connection.
type Direction int

const (
	ToServer Direction = iota
	ToClient
)

// A Proxy stands between a client and a server, and can do to the connection what
// a network does. What it drops are whole frames, so the connection remains one.
type Proxy struct {
	listener net.Listener
	target   string
	Dropped  atomic.Int64 // frames

	mu      sync.Mutex
	changed sync.Cond // stall or closed
	conns   map[net.Conn]bool
	cut     bool                 // connections are refused
	stall   [2]bool              // nothing passes in that direction, for now
	drop    [2]func(*Frame) bool // frames that don't pass
	delay   [2]time.Duration     // before a frame passes
	closed  bool
}

// New listens on a port of its own.
func New(target string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{listener: l, target: target, conns: make(map[net.Conn]bool)}
	p.changed.L = &p.mu
	go p.accept()
	return p, nil
}

func (p *Proxy) URL() string { return "nats://" + p.listener.Addr().String() }

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		go p.connect(client)
	}
}

func (p *Proxy) connect(client net.Conn) {
	if !p.add(client) {
		return
	}
	server, err := net.DialTimeout("tcp", p.target, 5*time.Second)
	if err != nil {
		p.remove(client)
		return
	}
	if !p.add(server) {
		p.remove(client)
		return
	}
	var both sync.WaitGroup
	both.Go(func() { p.pass(ToServer, client, server) })
	both.Go(func() { p.pass(ToClient, server, client) })
	both.Wait()
}

// pass passes frames on, until one of the two connections ends; then the other
// one does.
func (p *Proxy) pass(d Direction, from, to net.Conn) {
	defer p.remove(from)
	defer p.remove(to)
	r := bufio.NewReaderSize(from, 64<<10)
	w := bufio.NewWriterSize(to, 64<<10)
	for {
		f, err := readFrame(r)
		if err != nil {
			return
		}
		passes, wait := p.verdict(d, &f)
		if wait > 0 {
			time.Sleep(wait)
		}
		if !passes {
			p.Dropped.Add(1)
		} else if _, err := w.Write(f.raw); err != nil {
			return
		}
		// Those before a dropped one don't wait for those behind it.
		if r.Buffered() == 0 {
			if err := w.Flush(); err != nil {
				return
			}
		}
	}
}

func (p *Proxy) verdict(d Direction, f *Frame) (passes bool, wait time.Duration) {
	p.mu.Lock()
	for p.stall[d] && !p.closed {
		p.changed.Wait()
	}
	drop, wait := p.drop[d], p.delay[d]
	p.mu.Unlock()
	return drop == nil || !drop(f), wait
}

func (p *Proxy) add(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cut || p.closed {
		c.Close()
		return false
	}
	p.conns[c] = true
	return true
}

func (p *Proxy) remove(c net.Conn) {
	c.Close()
	p.mu.Lock()
	delete(p.conns, c)
	p.mu.Unlock()
}

// Cut cuts all connections and refuses new ones, or no longer does.
func (p *Proxy) Cut(cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = cut
	if cut {
		p.closeLocked()
	}
}

func (p *Proxy) closeLocked() {
	for c := range p.conns {
		c.Close()
	}
}

// Stall holds everything in one direction, or no longer does. The other side
// isn't told. What is held is lost if the connection is cut before the end of it,
// and late otherwise.
func (p *Proxy) Stall(d Direction, stall bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stall[d] = stall
	p.changed.Broadcast()
}

// Drop drops the frames that drop accepts; nil: none. It is called by several
// goroutines.
func (p *Proxy) Drop(d Direction, drop func(*Frame) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drop[d] = drop
}

// Delay has each frame wait, and those behind it: a slow network.
func (p *Proxy) Delay(d Direction, wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay[d] = wait
}

func (p *Proxy) Close() {
	p.listener.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.changed.Broadcast()
	p.closeLocked()
}

// Nth accepts the n-th of each n frames that match.
func Nth(n int64, match func(*Frame) bool) func(*Frame) bool {
	var seen atomic.Int64
	return func(f *Frame) bool { return match(f) && seen.Add(1)%n == 0 }
}
