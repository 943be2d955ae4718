package main

import (
	"slices"
	"time"
)

// bulk starts three workers and a submitter of many short tasks.
func bulk(l *lab, n int) (*process, error) {
	if _, err := l.workers(3, workerOrder{Slots: 8, Lease: 2 * lease}); err != nil {
		return nil, err
	}
	keyed := one("k", n/2, 0, 5*time.Millisecond)
	other := one("u", n/2, 0, 5*time.Millisecond)
	other.Unkeyed = true
	return l.submitter(submitOrder{Batches: []batch{other, keyed}})
}

// serverKill kills a server, of which R1 has no other.
func serverKill(l *lab) (x figures, err error) {
	n := l.size(2000, 10_000)
	s, err := bulk(l, n)
	if err != nil {
		return x, err
	}
	kills := l.size(2, 4)
	for i := range kills {
		if err := l.until("tasks resolve", atLeast(evResolve, i*n/kills+n/10)); err != nil {
			return x, err
		}
		l.pause(0, 200*time.Millisecond)
		if err := l.bounce(l.random.IntN(len(l.brokers)), false, l.between(0, time.Second)); err != nil {
			return x, err
		}
	}
	if x, err = l.settle(s); err != nil {
		return x, err
	}
	l.note("%d kills; %d of %d tasks ran again; longest silence %v", kills, x.Repeated, x.Tasks, l.silence())
	return x, allOK(x)
}

// allOK is an error unless all tasks succeeded.
func allOK(x figures) error {
	return need(x.Stored[endOK] == x.Tasks, "%d of %d tasks succeeded", x.Stored[endOK], x.Tasks)
}

// silence is the longest time in which no future resolved, while some were open.
func (l *lab) silence() (longest time.Duration) {
	events := slices.Clone(l.history.all())
	slices.SortStableFunc(events, byTime)
	var since int64
	for _, e := range events {
		switch {
		case e.Kind == evResolve && since > 0:
			longest = max(longest, time.Duration(e.At-since))
			since = e.At
		case e.Kind == evResolve || e.Kind == evSubmit && since == 0:
			since = e.At
		}
	}
	return longest.Round(10 * time.Millisecond)
}

// leaderKill kills the server that leads the stream of tasks, then of results.
func leaderKill(l *lab) (x figures, err error) {
	n := l.size(2000, 10_000)
	s, err := bulk(l, n)
	if err != nil {
		return x, err
	}
	streams := []string{taskStream, resultStream}[:l.size(1, 2)]
	for i, stream := range streams {
		if err := l.until("tasks resolve", atLeast(evResolve, i*n/2+n/10)); err != nil {
			return x, err
		}
		at, err := l.leader(stream)
		if err != nil {
			return x, err
		}
		if err := l.bounce(at, false, l.between(time.Second, 4*time.Second)); err != nil {
			return x, err
		}
		if err := l.healthy(); err != nil {
			return x, err
		}
	}
	if x, err = l.settle(s); err != nil {
		return x, err
	}
	l.note("%d leaders were killed; %d of %d tasks ran again; longest silence %v", len(streams), x.Repeated, x.Tasks, l.silence())
	return x, allOK(x)
}

// rollingRestart restarts each server when the one before has caught up.
func rollingRestart(l *lab) (x figures, err error) {
	n := l.size(2000, 10_000)
	s, err := bulk(l, n)
	if err != nil {
		return x, err
	}
	for i := range l.brokers {
		if err := l.until("tasks resolve", atLeast(evResolve, i*n/4+n/10)); err != nil {
			return x, err
		}
		if err := l.bounce(i, true, l.between(0, 2*time.Second)); err != nil {
			return x, err
		}
		if err := l.healthy(); err != nil {
			return x, err
		}
	}
	if x, err = l.settle(s); err != nil {
		return x, err
	}
	l.note("%d servers were restarted; %d of %d tasks ran again; longest silence %v", len(l.brokers), x.Repeated, x.Tasks, l.silence())
	return x, allOK(x)
}

// minorityStop stops the leader for longer than the others wait for it, and then
// it comes back and thinks that nothing has happened.
func minorityStop(l *lab) (x figures, err error) {
	n := l.size(2000, 10_000)
	s, err := bulk(l, n)
	if err != nil {
		return x, err
	}
	for i, stream := range []string{taskStream, resultStream} {
		if err := l.until("tasks resolve", atLeast(evResolve, i*n/2+n/10)); err != nil {
			return x, err
		}
		at, err := l.leader(stream)
		if err != nil {
			return x, err
		}
		if err := l.brokers[at].signal(sigStop); err != nil {
			return x, err
		}
		l.pause(12*time.Second, 16*time.Second)
		if err := l.brokers[at].signal(sigContinue); err != nil {
			return x, err
		}
		if err := l.healthy(); err != nil {
			return x, err
		}
	}
	if x, err = l.settle(s); err != nil {
		return x, err
	}
	l.note("2 leaders were stopped; %d of %d tasks ran again; longest silence %v", x.Repeated, x.Tasks, l.silence())
	return x, allOK(x)
}

// firstStart has all processes begin at once, with brokers that have no streams.
func firstStart(l *lab) (x figures, err error) {
	var all []*process
	for range 4 {
		w, err := l.launch(order{Role: "worker", Name: l.name("w"), URL: l.url, Replicas: l.replicas, Worker: &workerOrder{Slots: 2}})
		if err != nil {
			return x, err
		}
		s, err := l.launch(order{Role: "submitter", Name: l.name("c"), URL: l.url, Replicas: l.replicas, Submit: &submitOrder{
			Session: l.name("session"), Batches: []batch{one(l.name("t")+"-", 10, 0, time.Millisecond)},
		}})
		if err != nil {
			return x, err
		}
		if err := w.awaitReady(l.limit); err != nil {
			return x, err
		}
		all = append(all, s)
	}
	began := time.Now()
	if err := l.until("all tasks resolve", atLeast(evResolve, 40)); err != nil {
		return x, err
	}
	took := time.Since(began)
	if x, err = l.settle(all...); err != nil {
		return x, err
	}
	l.note("the tasks were done after %v", took.Round(10*time.Millisecond))
	e, failed := l.history.find(func(e *event) bool { return e.Kind == evNote })
	return x, need(!failed, "%s", e.Text)
}

// idleRestart kills the server while workers and a client wait. What is submitted
// when it is back must not wait for anybody to notice something.
func idleRestart(l *lab) (x figures, err error) {
	const prompt = 3 * time.Second
	if _, err := l.workers(2, workerOrder{Slots: 4}); err != nil {
		return x, err
	}
	rounds := l.size(2, 4)
	order := submitOrder{Batches: []batch{one("first", 10, 0, 0)}}
	for range rounds {
		b := one("again", 10, 0, 0)
		b.From, b.To = 10*len(order.Batches), 10*len(order.Batches)+10
		b.Wait = true
		order.Batches = append(order.Batches, b)
	}
	s, err := l.submitter(order)
	if err != nil {
		return x, err
	}
	if err := l.until("the first tasks resolve", atLeast(evResolve, 10)); err != nil {
		return x, err
	}
	var longest time.Duration
	for i := range rounds {
		l.pause(500*time.Millisecond, 2*time.Second)
		at, err := l.leader(taskStream)
		if err != nil {
			return x, err
		}
		if err := l.bounce(at, i%2 == 1, l.between(0, time.Second)); err != nil {
			return x, err
		}
		if err := first(l.jetstreamReady(), l.healthy(), l.consumersThere()); err != nil {
			return x, err
		}
		time.Sleep(300 * time.Millisecond) // they try to connect each 100 to 200 ms
		began := time.Now()
		if err := s.say("go"); err != nil {
			return x, err
		}
		if err := l.until("the tasks resolve", atLeast(evResolve, 20+10*i)); err != nil {
			return x, err
		}
		longest = max(longest, time.Since(began))
	}
	if x, err = l.settle(s); err != nil {
		return x, err
	}
	l.note("%d restarts; ten tasks then took %v at most", rounds, longest.Round(time.Millisecond))
	return x, need(longest <= prompt, "ten tasks took %v after a restart, and %v is the limit", longest, prompt)
}
