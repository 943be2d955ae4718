package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/antflow/antflow/cluster/embedded/internal/proxy"
)

// chaos is all faults together, in a random order and at random times, and tasks
// of all kinds.
func chaos(l *lab) (x figures, err error) {
	c := &turmoil{l: l, did: make(map[string]int)}
	for i := range c.workers {
		if err := c.begin(i); err != nil {
			return x, err
		}
	}
	submitters, err := c.submit(l.size(600, 3000))
	if err != nil {
		return x, err
	}
	faults := l.size(8, 25)
	for range faults {
		l.pause(200*time.Millisecond, 1200*time.Millisecond)
		if err := c.fault(); err != nil {
			return x, err
		}
	}
	for _, p := range c.workers { // what is stopped or dead by now must not be all there is
		if err := p.signal(sigContinue); err != nil {
			return x, err
		}
	}
	if x, err = l.settle(submitters...); err != nil {
		return x, fmt.Errorf("after %s: %w", c.text(), err)
	}
	l.note("%s; %d of %d tasks ran more than once, %d at most", c.text(), x.Repeated, x.Tasks, x.MostExecutions)
	return x, nil
}

// A turmoil is what chaos does its faults to. A worker has a proxy in front.
type turmoil struct {
	l       *lab
	workers [4]*process
	proxies [4]*proxy.Proxy
	client  *proxy.Proxy
	did     map[string]int
}

func (c *turmoil) text() string {
	var parts []string
	for _, what := range slices.Sorted(maps.Keys(c.did)) {
		parts = append(parts, fmt.Sprintf("%d × %s", c.did[what], what))
	}
	return strings.Join(parts, ", ")
}

// begin starts a worker, at a proxy that it shares with its predecessors.
func (c *turmoil) begin(i int) (err error) {
	if c.proxies[i] == nil {
		if c.proxies[i], err = c.l.proxy(c.l.brokers[i%len(c.l.brokers)]); err != nil {
			return err
		}
	}
	c.workers[i], err = c.l.workerAt(c.proxies[i].URL(), workerOrder{Slots: 4, Lease: lease, Drain: 2 * time.Second})
	if err == nil {
		err = c.l.consumersThere()
	}
	return err
}

// submit starts the submitters: two that have the same tasks, one that cancels
// some, and one with a bad line.
func (c *turmoil) submit(n int) (all []*process, err error) {
	most := 20 * time.Millisecond
	pause := 4 * time.Millisecond
	slow := func(b batch) batch { b.Pause = pause; return b }
	failing := slow(one("f", n/10, 0, most))
	failing.Work.Fails = true
	again := slow(one("again", n/10, 0, most))
	again.Work.Failures, again.Retries, again.Delay = 2, 100, 300*time.Millisecond
	long := slow(one("long", 5, 3*lease, 4*lease))
	same := submitOrder{Session: "same", Batches: []batch{long, failing, again, slow(one("t", n/2, 0, most))}}
	canceled := slow(one("x", n/2, 0, most))
	canceled.Cancel, canceled.CancelIn = 50, 200*time.Millisecond
	other := slow(one("u", n/2, 0, most))
	other.Unkeyed = true
	if c.client, err = c.l.proxy(c.l.brokers[0]); err != nil {
		return nil, err
	}
	for _, s := range []struct {
		url string
		submitOrder
	}{{c.l.url, same}, {c.l.url, same}, {c.l.url, submitOrder{Batches: []batch{canceled}}}, {c.client.URL(), submitOrder{Batches: []batch{other}}}} {
		p, err := c.l.submitterAt(s.url, s.submitOrder, 0)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

// fault does one thing.
func (c *turmoil) fault() error {
	l := c.l
	i := l.random.IntN(len(c.workers))
	switch l.random.IntN(7) {
	case 0:
		c.did["worker killed"]++
		return first(l.crash(c.workers[i]), c.begin(i))
	case 1:
		c.did["worker stopped"]++
		p := c.workers[i]
		if err := p.signal(sigStop); err != nil {
			return err
		}
		l.pause(0, 2*lease)
		return p.signal(sigContinue)
	case 2:
		c.did["worker cut off"]++
		return c.cut(c.proxies[i])
	case 3:
		c.did["acknowledgements lost"]++
		p := c.proxies[i]
		p.Drop(proxy.ToServer, proxy.Nth(2, proxy.IsAck))
		l.pause(100*time.Millisecond, lease)
		p.Drop(proxy.ToServer, nil)
		return nil
	case 4:
		c.did["submitter cut off"]++
		return c.cut(c.client)
	case 5:
		c.did["server killed"]++
		return l.bounce(l.random.IntN(len(l.brokers)), false, l.between(0, lease))
	}
	c.did["worker replaced"]++
	p := c.workers[i]
	// It may have to give up what it can't tell the broker.
	if err := p.end(l.limit); err != nil && !p.gone() {
		return err
	}
	return c.begin(i)
}

// cut cuts a connection, of which nobody is told at first.
func (c *turmoil) cut(p *proxy.Proxy) error {
	p.Stall(proxy.ToServer, true)
	p.Stall(proxy.ToClient, c.l.random.IntN(2) == 0)
	c.l.pause(0, lease)
	p.Cut(true)
	p.Stall(proxy.ToServer, false)
	p.Stall(proxy.ToClient, false)
	c.l.pause(0, 2*lease)
	p.Cut(false)
	return nil
}
