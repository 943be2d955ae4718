package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/antflow/antflow/cluster"
)

// freePorts are ports that nobody listens on at this moment.
func freePorts(n int) (ports []int, err error) {
	for range n {
		l, listenErr := net.Listen("tcp", "127.0.0.1:0")
		if listenErr != nil {
			return nil, errors.Join(err, listenErr)
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, err
}

// startBrokers starts the servers, as many as there are replicas, and connects
// to them.
func (l *lab) startBrokers() error {
	n := max(l.replicas, 1)
	ports, err := freePorts(2 * n)
	if err != nil {
		return err
	}
	var routes, urls []string
	for i := range n {
		urls = append(urls, "nats://"+local(ports[i]))
		if n > 1 {
			routes = append(routes, "nats://"+local(ports[n+i]))
		}
	}
	l.url = strings.Join(urls, ",")
	for i := range n {
		name := l.name("b")
		p, err := l.launch(order{Role: "broker", Name: name, Broker: &brokerOrder{
			Dir: filepath.Join(l.dir, name), Port: ports[i], Route: ports[n+i], Routes: routes,
		}})
		if err != nil {
			return err
		}
		l.brokers = append(l.brokers, p)
	}
	for _, b := range l.brokers {
		if err := b.awaitReady(l.limit); err != nil {
			return err
		}
	}
	l.nc, err = nats.Connect(l.url, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond), nats.Name("lab"))
	if err != nil {
		return err
	}
	if l.js, err = jetstream.New(l.nc); err != nil {
		return err
	}
	if err := l.jetstreamReady(); err != nil || l.bare {
		return err
	}
	return l.found()
}

// found has the streams made before anything else begins, so that the scenarios
// are about what they say. One of them is about the start.
func (l *lab) found() error {
	return l.poll("the streams are made", func(ctx context.Context) (bool, error) {
		c, err := cluster.Connect(ctx, l.url, cluster.Namespace(namespace), cluster.Replicas(max(l.replicas, 1)))
		if err != nil {
			return false, err
		}
		c.Detach()
		return true, nil
	})
}

// jetstreamReady waits until the servers have a leader.
func (l *lab) jetstreamReady() error {
	return l.poll("JetStream answers", func(ctx context.Context) (bool, error) {
		_, err := l.js.AccountInfo(ctx)
		return err == nil, err
	})
}

// poll waits until cond holds. An error of it is told if it never does.
func (l *lab) poll(what string, cond func(context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeout(l.ctx, l.limit)
	defer cancel()
	for {
		// Requests to a server that has just lost its leader may stay unanswered.
		once, done := context.WithTimeout(ctx, 10*time.Second)
		ok, err := cond(once)
		done()
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("after %v still not: %s (%v)", l.limit, what, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// restart starts a broker again, at the same ports and with what it has stored.
func (l *lab) restart(i int) error {
	o := l.brokers[i].o
	p, err := l.launch(o)
	if err != nil {
		return err
	}
	l.brokers[i] = p
	return p.awaitReady(l.limit)
}

// bounce ends a broker and starts it again after a while.
func (l *lab) bounce(i int, gently bool, away time.Duration) error {
	if gently {
		if err := l.brokers[i].end(l.limit); err != nil {
			return err
		}
	} else {
		l.brokers[i].kill()
	}
	time.Sleep(away)
	return l.restart(i)
}

// leader is the number of the broker that leads a stream.
func (l *lab) leader(stream string) (at int, err error) {
	err = l.poll(stream+" has a leader", func(ctx context.Context) (bool, error) {
		s, err := l.js.Stream(ctx, stream)
		if err != nil {
			return false, err
		}
		group := s.CachedInfo().Cluster
		if group == nil { // there is but one
			return true, nil
		}
		for i, b := range l.brokers {
			if group.Leader == b.o.Name {
				at = i
				return true, nil
			}
		}
		return false, nil
	})
	return at, err
}

// healthy waits until all replicas of both streams have what the leaders have.
func (l *lab) healthy() error {
	return l.poll("all replicas are current", func(ctx context.Context) (bool, error) {
		for _, name := range []string{taskStream, resultStream} {
			s, err := l.js.Stream(ctx, name)
			if err != nil {
				return false, err
			}
			info := s.CachedInfo().Cluster
			if l.replicas <= 1 {
				continue
			}
			if info == nil || info.Leader == "" || len(info.Replicas) != l.replicas-1 {
				return false, nil
			}
			for _, r := range info.Replicas {
				if !r.Current || r.Offline {
					return false, fmt.Errorf("%s: replica %s is %d behind", name, r.Name, r.Lag)
				}
			}
		}
		return true, nil
	})
}
