package main

import (
	"slices"
	"time"

	"github.com/antflow/antflow/cluster/embedded/internal/proxy"
)

// submitterCut cuts the submitter off, in turns: connections are cut; nothing
// comes from it any more; nothing comes to it.
func submitterCut(l *lab) (x figures, err error) {
	p, err := l.proxy(l.brokers[0])
	if err != nil {
		return x, err
	}
	if _, err := l.workers(2, workerOrder{Slots: 4}); err != nil {
		return x, err
	}
	n := l.size(600, 3000)
	keyed := one("k", n/2, 0, 10*time.Millisecond)
	keyed.Pause = 2 * time.Millisecond
	other := one("u", n/2, 0, 10*time.Millisecond)
	other.Unkeyed, other.Pause = true, 2*time.Millisecond
	s, err := l.submitterAt(p.URL(), submitOrder{Batches: []batch{other, keyed}}, 0)
	if err != nil {
		return x, err
	}
	cuts := l.size(2, 6)
	for i := range cuts {
		if err := l.until("tasks are submitted", atLeast(evSubmit, (i+1)*n/(cuts+1))); err != nil {
			return x, err
		}
		switch i % 3 {
		case 1:
			p.Stall(proxy.ToServer, true)
		case 2:
			p.Stall(proxy.ToClient, true)
		}
		if i%3 > 0 {
			l.pause(100*time.Millisecond, time.Second)
		}
		p.Cut(true)
		p.Stall(proxy.ToServer, false)
		p.Stall(proxy.ToClient, false)
		l.pause(500*time.Millisecond, time.Duration(l.size(1500, 4000))*time.Millisecond)
		p.Cut(false)
		p.Delay(proxy.ToClient, l.between(0, time.Millisecond)) // it is a bad line from now on
	}
	if x, err = l.settle(s); err != nil {
		return x, err
	}
	l.note("%d cuts; %d of %d tasks ran again", cuts, x.Repeated, x.Tasks)
	return x, allOK(x)
}

// submitterKill kills the submitter in the middle. The next one submits the same
// keys, and more: what is finished is not run again, and what is not is waited for.
func submitterKill(l *lab) (x figures, err error) {
	if _, err := l.workers(2, workerOrder{Slots: 4}); err != nil {
		return x, err
	}
	n := l.size(300, 1500)
	b := one("t", n, 2*time.Millisecond, 30*time.Millisecond)
	kills := l.size(1, 4)
	for i := range kills {
		s, err := l.submitter(submitOrder{Session: "same", Batches: []batch{b}})
		if err != nil {
			return x, err
		}
		before := l.history.count(evResolve)
		if err := l.until("tasks resolve", atLeast(evResolve, before+(2*i+1)*n/(2*kills))); err != nil {
			return x, err
		}
		if err := l.crash(s); err != nil {
			return x, err
		}
	}
	more := b
	more.From, more.To = n, n+n/5
	s, err := l.submitter(submitOrder{Session: "same", Batches: []batch{b, more, b}})
	if err != nil {
		return x, err
	}
	if x, err = l.settle(s); err != nil {
		return x, err
	}
	replayed, again, raced := replays(l.history)
	l.note("%d kills; %d finished tasks were submitted again and %d of them ran again; %d ran again that were not",
		kills, replayed, again, raced)
	return x, first(allOK(x),
		need(again == 0, "%d tasks ran again that were finished when they were submitted again", again),
		need(x.Tasks == n+n/5 && replayed > n/4, "%d tasks, %d of them submitted again when they were finished: this shows nothing", x.Tasks, replayed),
	)
}

// replays counts the tasks that were submitted again when they were finished, how
// many ran again without a reason, and how many with one: they were submitted
// again before they were finished, and may have ended just between the client's
// question for a result and the arrival of the task.
func replays(h *history) (replayed, again, raced int) {
	type life struct {
		submits       []int64
		starts        int
		firstResolved int64
	}
	lives := make(map[string]*life)
	events := slices.Clone(h.all())
	slices.SortStableFunc(events, byTime)
	for _, e := range events {
		t := lives[e.ID]
		if t == nil {
			t = new(life)
			lives[e.ID] = t
		}
		switch e.Kind {
		case evSubmit:
			t.submits = append(t.submits, e.At)
		case evStart:
			t.starts++
		case evResolve:
			if t.firstResolved == 0 {
				t.firstResolved = e.At
			}
		}
	}
	for _, t := range lives {
		if len(t.submits) < 2 || t.firstResolved == 0 {
			continue
		}
		if t.submits[len(t.submits)-1] > t.firstResolved {
			replayed++
		}
		if t.starts < 2 {
			continue
		}
		if slices.ContainsFunc(t.submits[1:], func(at int64) bool { return at < t.firstResolved }) {
			raced++
		} else {
			again++
		}
	}
	return replayed, again, raced
}

// pubAckLost swallows acknowledgements of submissions. The client submits again,
// and the broker must not take those for other tasks.
func pubAckLost(l *lab) (x figures, err error) {
	p, err := l.proxy(l.brokers[0])
	if err != nil {
		return x, err
	}
	n := l.size(200, 1000)
	keyed := one("k", n/2, 0, 2*time.Millisecond)
	keyed.NoFlush = true
	other := one("u", n/2, 0, 2*time.Millisecond)
	other.Unkeyed = true
	p.Drop(proxy.ToClient, proxy.Nth(3, proxy.IsPubAck(taskStream)))
	s, err := l.submitterAt(p.URL(), submitOrder{Batches: []batch{keyed, other}}, 0)
	if err != nil {
		return x, err
	}
	// There is no worker, so that no result tells the client that the broker has
	// the task.
	if err := l.until("all are accepted", atLeast(evAccepted, 1)); err != nil {
		return x, err
	}
	queued, err := l.queued()
	if err != nil {
		return x, err
	}
	if _, err := l.workers(2, workerOrder{Slots: 4}); err != nil {
		return x, err
	}
	if x, err = l.settle(s); err != nil {
		return x, err
	}
	l.note("%d acknowledgements were swallowed; %d of %d tasks were queued, %d ran again", p.Dropped.Load(), queued, x.Tasks, x.Repeated)
	return x, first(allOK(x),
		need(p.Dropped.Load() > 0, "no acknowledgement was lost: this shows nothing"),
		need(queued == n, "%d tasks are queued, and %d were submitted", queued, n),
		need(x.Repeated == 0, "%d tasks ran more than once", x.Repeated),
	)
}

// window is longer than the streams would remember IDs of messages, if those had
// some.
const window = 500 * time.Millisecond

// resubmit submits keys again, of tasks that are finished and of some that are
// queued: soon, later, and when the server has started again.
func resubmit(l *lab) (x figures, err error) {
	w := workerOrder{Slots: 4}
	worker, err := l.worker(w)
	if err != nil {
		return x, err
	}
	n := l.size(50, 300)
	b := one("t", n, 0, 5*time.Millisecond)
	again := func() (*process, error) { return l.submitter(submitOrder{Session: "same", Batches: []batch{b}}) }
	done, err := again()
	if err != nil {
		return x, err
	}
	if err := first(done.awaitExit(l.limit), worker.end(l.limit)); err != nil {
		return x, err
	}
	b.To = 2 * n // half of them are finished; the others wait for a worker
	var waiting []*process
	for i := range 3 {
		s, err := again()
		if err != nil {
			return x, err
		}
		waiting = append(waiting, s)
		if err := l.until("all are accepted", atLeast(evAccepted, 2+i)); err != nil {
			return x, err
		}
		time.Sleep(window)
		if i == 1 {
			if err := first(l.bounce(0, false, 0), l.jetstreamReady()); err != nil {
				return x, err
			}
		}
	}
	if _, err := l.worker(w); err != nil {
		return x, err
	}
	if x, err = l.settle(waiting...); err != nil {
		return x, err
	}
	l.note("%d keys were submitted up to 4 times; %d ran again", x.Tasks, x.Repeated)
	return x, first(allOK(x), need(x.Repeated == 0, "%d tasks ran more than once", x.Repeated))
}
