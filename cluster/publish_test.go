package cluster_test

import (
	"bufio"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/antflow/antflow/cluster"
)

// A mute is a server that notes where answers are to go to, and sends none.
type mute struct {
	mu      sync.Mutex
	replies []string
}

// InProcessConn implements [nats.InProcessConnProvider].
func (s *mute) InProcessConn() (net.Conn, error) {
	own, conn := net.Pipe()
	go s.serve(own)
	return conn, nil
}

func (s *mute) serve(conn net.Conn) {
	io.WriteString(conn, `INFO {"headers": true, "max_payload": 10000000}`+"\r\n")
	in := bufio.NewReader(conn)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		switch f := strings.Fields(line); f[0] {
		case "PING":
			io.WriteString(conn, "PONG\r\n")
		case "HPUB":
			n, _ := strconv.Atoi(f[len(f)-1])
			in.Discard(n + len("\r\n"))
			s.mu.Lock()
			s.replies = append(s.replies, f[2])
			s.mu.Unlock()
		}
	}
}

// A message that is given up may be published again while nats.go has not done
// with it yet. Each time it has a reply of its own.
func TestPublishAgainMeanwhile(t *testing.T) {
	s := new(mute)
	nc, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	header := make(nats.Header) // which takes a while
	for i := range 10000 {
		header.Set("X"+strconv.Itoa(i), "x")
	}
	told := false // of the message, once
	var p *cluster.Publisher
	p, err = cluster.NewPublisher(nc, func(m *nats.Msg, _ error) {
		if !told {
			told = true
			if err := p.Publish(m); err != nil {
				t.Error(err)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stop()
	for range 10 {
		told = false
		done := make(chan error)
		go func() { done <- p.Publish(&nats.Msg{Subject: "x", Header: header}) }()
		for !told {
			p.Disconnected()
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	p.Disconnected()
	s.mu.Lock()
	defer s.mu.Unlock()
	slices.Sort(s.replies)
	if n := len(s.replies); n != 20 || len(slices.Compact(slices.Clone(s.replies))) != n {
		t.Errorf("the replies of %d messages: %q", n, s.replies)
	}
}
