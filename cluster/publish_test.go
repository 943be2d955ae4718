package cluster_test

import (
	"bufio"
	"fmt"
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
	conn    net.Conn
	sid     string // of the last subscription
}

// newMute is one, with a connection to it.
func newMute(t *testing.T) (*mute, *nats.Conn) {
	t.Helper()
	s := new(mute)
	nc, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return s, nc
}

// answer sends an answer, and returns when it was received.
func (s *mute) answer(t *testing.T, nc *nats.Conn, reply, ack string) {
	t.Helper()
	s.mu.Lock()
	fmt.Fprintf(s.conn, "MSG %s %s %d\r\n%s\r\n", reply, s.sid, len(ack), ack)
	s.mu.Unlock()
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
}

// reply is where the last answer is to go to.
func (s *mute) reply(t *testing.T, nc *nats.Conn) string {
	t.Helper()
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.replies[len(s.replies)-1]
}

// InProcessConn implements [nats.InProcessConnProvider].
func (s *mute) InProcessConn() (net.Conn, error) {
	own, conn := net.Pipe()
	s.conn = own
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
		case "SUB":
			s.mu.Lock()
			s.sid = f[len(f)-1]
			s.mu.Unlock()
		case "PUB", "HPUB":
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
	s, nc := newMute(t)
	header := make(nats.Header) // which takes a while
	for i := range 10000 {
		header.Set("X"+strconv.Itoa(i), "x")
	}
	told := false // of the message, once
	var p *cluster.Publisher
	var err error
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

// Servers that agree on a message may both answer. What the second one says is not
// about the message that comes next.
func TestSecondAnswer(t *testing.T) {
	s, nc := newMute(t)
	told := make(chan *nats.Msg, 10)
	p, err := cluster.NewPublisher(nc, func(m *nats.Msg, err error) {
		if err != nil {
			t.Error(err)
		}
		told <- m
	})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stop()
	p.Replicated()
	var last string
	for range 3 {
		m := &nats.Msg{Subject: "x"}
		if err := p.Publish(m); err != nil {
			t.Fatal(err)
		}
		reply := s.reply(t, nc)
		if last != "" {
			s.answer(t, nc, last, `{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 1"}}`)
		}
		s.answer(t, nc, reply, `{"stream":"S","seq":1}`)
		if got := <-told; got != m {
			t.Error("another message is acknowledged")
		}
		last = reply
	}
}
