package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/cluster"
)

// consumers answer a feed: none has a task.
type consumers struct {
	mu      sync.Mutex
	silent  map[string]bool
	refuse  map[string]bool
	asked   map[string]time.Time // for the last time
	probes  map[string]int
	ensured int
	now     int // repairs under way
	most    int
}

func newConsumers() *consumers {
	return &consumers{silent: make(map[string]bool), refuse: make(map[string]bool), asked: make(map[string]time.Time), probes: make(map[string]int)}
}

func named(queue string, l cluster.Level) string { return fmt.Sprint(queue, int(l)) }

func (c *consumers) send(r cluster.Request) {
	name := named(r.Queue, r.Level)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked[name] = time.Now()
	if r.Expires == 0 {
		c.probes[name]++
	}
	switch {
	case c.silent[name]:
	case c.refuse[name]:
		time.AfterFunc(time.Millisecond, func() { r.Answer("503") })
	case r.Expires == 0:
		time.AfterFunc(time.Millisecond, func() { r.Answer("404") })
	default:
		time.AfterFunc(r.Expires, func() { r.Answer("408") })
	}
}

// ensure takes a while, and fails for a source that is to refuse.
func (c *consumers) ensure(queue string, l cluster.Level) error {
	c.mu.Lock()
	c.ensured++
	c.now++
	c.most = max(c.most, c.now)
	c.mu.Unlock()
	time.Sleep(300 * time.Millisecond)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now--
	if c.refuse[named(queue, l)] {
		return errors.New("the stream is gone")
	}
	return nil
}

func (c *consumers) set(m map[string]bool, name string, to bool) {
	c.mu.Lock()
	m[name] = to
	c.mu.Unlock()
}

// fresh checks that no source but one was asked long ago.
func (c *consumers) fresh(t *testing.T, but string) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, queue := range []string{"a", "b"} {
		for l := range cluster.Level(cluster.Levels) {
			name := named(queue, l)
			if ago := time.Since(c.asked[name]); name != but && ago > cluster.MostBell+2*time.Second {
				t.Fatalf("while %s is out of order %s was not asked for %v", but, name, ago)
			}
		}
	}
}

// A consumer that does not answer keeps no other one waiting, and is asked on and on.
func TestFeedSilentConsumer(t *testing.T) {
	for _, name := range []string{"a0", "a1", "b1", "b2"} {
		synctest.Test(t, func(t *testing.T) {
			c := newConsumers()
			c.set(c.silent, name, true)
			f := cluster.NewFeed(1, c.send, c.ensure, "a", "b")
			defer f.Stop()
			time.Sleep(4 * time.Second) // the first request is waited for
			for range 60 {
				time.Sleep(time.Second)
				c.fresh(t, name)
			}
			if f.Broken() {
				t.Error("silence is taken for more than it is")
			}
			if n := c.probes[name]; n > 1 {
				t.Errorf("all have waited %d times for the answer of %s", n, name)
			}
			c.set(c.silent, name, false)
			c.fresh(t, "")
		})
	}
}

// A consumer that refuses keeps no other one waiting either. It is looked at by
// one repair at a time, less and less often, however often tasks end.
func TestFeedBrokenConsumer(t *testing.T) {
	for _, name := range []string{"a0", "a1", "b2"} {
		synctest.Test(t, func(t *testing.T) {
			c := newConsumers()
			c.set(c.refuse, name, true)
			f := cluster.NewFeed(1, c.send, c.ensure, "a", "b")
			defer f.Stop()
			for i := range 6000 {
				time.Sleep(10 * time.Millisecond)
				f.Fill()
				if i%100 == 99 {
					c.fresh(t, name)
				}
			}
			if !f.Broken() {
				t.Error("nobody is told of a queue that has no consumer")
			}
			if c.most != 1 || c.ensured > 20 || c.ensured < 5 {
				t.Errorf("%d repairs in a minute, %d at a time", c.ensured, c.most)
			}
			c.set(c.refuse, name, false)
			time.Sleep(cluster.MostBell + time.Second)
			if f.Broken() {
				t.Error("it is repaired, and nobody is told")
			}
			repairs := c.ensured
			for range 20 {
				time.Sleep(time.Second)
				c.fresh(t, "")
			}
			if c.ensured != repairs {
				t.Errorf("%d repairs of what is in order", c.ensured-repairs)
			}
		})
	}
}

// A consumer that refuses once, as when its leader goes, is not called broken.
func TestFeedRefusedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newConsumers()
		c.set(c.refuse, "a1", true)
		f := cluster.NewFeed(1, c.send, c.ensure, "a")
		defer f.Stop()
		time.Sleep(100 * time.Millisecond)
		c.set(c.refuse, "a1", false)
		for range 100 {
			time.Sleep(10 * time.Millisecond)
			if f.Broken() {
				t.Fatal("a repair that succeeds is told of")
			}
		}
		if c.ensured != 1 {
			t.Errorf("%d repairs", c.ensured)
		}
	})
}

// A task that starts after the broker was asked about it has free slots looked for:
// who looked while it began has found one less.
func TestFeedAfterLateStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newConsumers()
		f := cluster.NewFeed(2, c.send, c.ensure, "a")
		defer f.Stop()
		f.Taken(2)
		time.Sleep(1500 * time.Millisecond) // until no request is left, and not when some are given up
		c.mu.Lock()
		clear(c.asked)
		c.mu.Unlock()
		f.Taken(1)
		defer f.StartLate()()
		synctest.Wait()
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.asked) == 0 {
			t.Error("nobody asks for a task for the slot that is free")
		}
	})
}

// What was stopped before it began never does, even if a slot came at that moment.
func TestStoppedTaskDoesNotBegin(t *testing.T) {
	called := false
	err := cluster.RunStopped(antflow.NewTask("task", func(context.Context, int) (int, error) { called = true; return 0, nil }))
	if called || err == nil {
		t.Errorf("called: %v, %v", called, err)
	}
}
