package main

import (
	"bufio"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A direction of a connection.
type direction int

const (
	toServer direction = iota
	toClient
)

// A proxy stands between a client and a server, and can do to the connection what
// a network does. What it drops are whole frames, so the connection remains one.
type proxy struct {
	listener net.Listener
	target   string
	dropped  atomic.Int64

	mu      sync.Mutex
	changed sync.Cond // stall or closed
	conns   map[net.Conn]bool
	cut     bool                 // connections are refused
	stall   [2]bool              // nothing passes in that direction, for now
	drop    [2]func(*frame) bool // frames that don't pass
	delay   [2]time.Duration     // before a frame passes
	closed  bool
}

// newProxy listens on a port of its own.
func newProxy(target string) (*proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: l, target: target, conns: make(map[net.Conn]bool)}
	p.changed.L = &p.mu
	go p.accept()
	return p, nil
}

func (p *proxy) url() string { return "nats://" + p.listener.Addr().String() }

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		go p.connect(client)
	}
}

func (p *proxy) connect(client net.Conn) {
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
	both.Go(func() { p.pass(toServer, client, server) })
	both.Go(func() { p.pass(toClient, server, client) })
	both.Wait()
}

// pass passes frames on, until one of the two connections ends; then the other
// one does.
func (p *proxy) pass(d direction, from, to net.Conn) {
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
			p.dropped.Add(1)
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

func (p *proxy) verdict(d direction, f *frame) (passes bool, wait time.Duration) {
	p.mu.Lock()
	for p.stall[d] && !p.closed {
		p.changed.Wait()
	}
	drop, wait := p.drop[d], p.delay[d]
	p.mu.Unlock()
	return drop == nil || !drop(f), wait
}

func (p *proxy) add(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cut || p.closed {
		c.Close()
		return false
	}
	p.conns[c] = true
	return true
}

func (p *proxy) remove(c net.Conn) {
	c.Close()
	p.mu.Lock()
	delete(p.conns, c)
	p.mu.Unlock()
}

// setCut cuts all connections and refuses new ones, or no longer does.
func (p *proxy) setCut(cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = cut
	if cut {
		p.closeLocked()
	}
}

func (p *proxy) closeLocked() {
	for c := range p.conns {
		c.Close()
	}
}

// setStall holds everything in one direction, or no longer does. The other side
// isn't told. What is held is lost if the connection is cut before the end of it,
// and late otherwise.
func (p *proxy) setStall(d direction, stall bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stall[d] = stall
	p.changed.Broadcast()
}

// setDrop drops the frames that drop accepts; nil: none. It is called by several
// goroutines.
func (p *proxy) setDrop(d direction, drop func(*frame) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drop[d] = drop
}

// setDelay has each frame wait, and those behind it: a slow network.
func (p *proxy) setDelay(d direction, wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay[d] = wait
}

func (p *proxy) close() {
	p.listener.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.changed.Broadcast()
	p.closeLocked()
}

// nth accepts the n-th of each n frames that match.
func nth(n int64, match func(*frame) bool) func(*frame) bool {
	var seen atomic.Int64
	return func(f *frame) bool { return match(f) && seen.Add(1)%n == 0 }
}
