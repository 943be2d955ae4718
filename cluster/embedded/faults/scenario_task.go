package main

import (
	"slices"
	"time"
)

// backlogFull has more tasks than the broker takes, and no worker at first.
func backlogFull(l *lab) (x figures, err error) {
	backlog := l.size(60, 200)
	fill := one("fill", backlog, 0, 2*time.Millisecond)
	refused := one("refused", backlog/2, 0, 0)
	refused.NoBlock, refused.NoFlush = true, true
	waits := one("waits", 5*backlog, 0, 2*time.Millisecond)
	waits.Wait = true
	s, err := l.submitterAt(l.url, submitOrder{Session: "same", Batches: []batch{fill, refused, waits}}, backlog)
	if err != nil {
		return x, err
	}
	full := func(e *event) bool { return e.Kind == evResolve && e.End == endFull }
	if err := l.until("what doesn't block is refused", countIs(backlog/2, full)); err != nil {
		return x, err
	}
	// What is in the queue already needs no room.
	there := fill
	there.NoBlock = true
	same, err := l.submitterAt(l.url, submitOrder{Session: "same", Batches: []batch{there}}, backlog)
	if err != nil {
		return x, err
	}
	if err := l.until("the same tasks are accepted again", atLeast(evAccepted, 2)); err != nil {
		return x, err
	}
	if err := s.say("go"); err != nil {
		return x, err
	}
	time.Sleep(time.Second)
	queued, err := l.queued()
	if err != nil {
		return x, err
	}
	if err := l.history.refresh(); err != nil {
		return x, err
	}
	flushed := l.history.count(evAccepted) // of what was in the queue before
	if _, err := l.workers(2, workerOrder{Slots: 4}); err != nil {
		return x, err
	}
	if x, err = l.settle(s, same); err != nil {
		return x, err
	}
	l.note("backlog %d: %d refused, %d more got through once workers came", backlog, x.Resolved[endFull], x.Tasks-backlog-x.Resolved[endFull])
	return x, first(
		need(queued == backlog, "the broker has %d tasks, and its backlog is %d", queued, backlog),
		need(flushed == 2, "Flush returned %d times, and twice is right, while the backlog was full", flushed),
		need(x.Resolved[endFull] == backlog/2, "%d tasks were refused", x.Resolved[endFull]),
		need(x.Stored[endOK] == 6*backlog, "%d of %d tasks succeeded", x.Stored[endOK], 6*backlog),
	)
}

// poison has a task that kills its workers, which are started again each time.
func poison(l *lab) (x figures, err error) {
	const crashes = 2
	w := workerOrder{Slots: 2, Lease: lease, Crashes: crashes}
	workers, err := l.workers(2, w)
	if err != nil {
		return x, err
	}
	bad := one("bad", 1, 100*time.Millisecond, 300*time.Millisecond)
	bad.Work.Poison = true
	n := l.size(200, 600)
	s, err := l.submitter(submitOrder{Batches: []batch{bad, one("t", n, 5*time.Millisecond, 20*time.Millisecond)}})
	if err != nil {
		return x, err
	}
	died := 0
	progress := 0
	for end := time.Now().Add(l.limit); !s.gone() && time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		for i, p := range workers {
			if !p.gone() {
				continue
			}
			died++
			if err := l.history.refresh(); err != nil {
				return x, err
			}
			progress = max(progress, l.history.count(evEnd))
			if err := l.gone(p); err != nil {
				return x, err
			}
			if workers[i], err = l.worker(w); err != nil {
				return x, err
			}
		}
	}
	if x, err = l.settle(s); err != nil {
		return x, err
	}
	starts := l.history.starts()["bad0"]
	l.note("the task ran %d times and then failed; %d other tasks had ended by its last time, all %d did", starts, progress, n)
	_, failed := l.history.find(func(e *event) bool { return e.Kind == evResolve && e.ID == "bad0" && e.Value == "crashed" })
	return x, first(
		need(failed, "the task did not fail with ErrCrashed"),
		need(starts == crashes+1 && died == starts, "the task ran %d times and %d workers died, with MostCrashes(%d)", starts, died, crashes),
		need(x.Stored[endError] == 1 && x.Stored[endOK] == n, "stored: %v", x.Stored),
		need(progress > 0, "no other task made progress"),
	)
}

// longTask has tasks that take five leases.
func longTask(l *lab) (x figures, err error) {
	if _, err := l.workers(2, workerOrder{Slots: 2, Lease: lease}); err != nil {
		return x, err
	}
	s, err := l.submitter(submitOrder{Batches: []batch{one("long", 3, 5*lease, 5*lease+lease/2)}})
	if err != nil {
		return x, err
	}
	if x, err = l.settle(s); err != nil {
		return x, err
	}
	l.note("3 tasks of %v ran %d times, with a lease of %v", 5*lease, x.Executions, lease)
	return x, first(allOK(x), need(x.Executions == x.Tasks, "%d tasks ran %d times", x.Tasks, x.Executions))
}

// retryDelay has a task that waits for another attempt, with a single slot.
func retryDelay(l *lab) (x figures, err error) {
	if _, err := l.worker(workerOrder{Slots: 1}); err != nil {
		return x, err
	}
	const delay = 2 * time.Second
	again := one("again", 3, 0, 0)
	again.Retries, again.Delay, again.Work.Failures = 2, delay, 1
	n := l.size(30, 60)
	s, err := l.submitter(submitOrder{Batches: []batch{again, one("t", n, 5*time.Millisecond, 20*time.Millisecond)}})
	if err != nil {
		return x, err
	}
	if x, err = l.settle(s); err != nil {
		return x, err
	}
	var failed, retried, last int64 // the earliest failure, the earliest retry, the end of the others
	var ids []string
	waited := time.Hour
	ends := make(map[string]int64)
	all := slices.Clone(l.history.all())
	slices.SortStableFunc(all, byTime)
	for _, e := range all {
		is := len(e.ID) > 5 && e.ID[:5] == "again"
		switch {
		case is && e.Kind == evEnd && e.Attempt == 1:
			ends[e.ID] = e.At
			ids = append(ids, e.ID)
			if failed == 0 {
				failed = e.At
			}
		case is && e.Kind == evStart && e.Attempt == 2:
			waited = min(waited, time.Duration(e.At-ends[e.ID]))
			if retried == 0 {
				retried = e.At
			}
		case !is && e.Kind == evEnd:
			last = max(last, e.At)
		}
	}
	between := l.history.where(func(e *event) bool { return e.Kind == evEnd && e.At > failed && e.At < retried && e.ID[:1] == "t" })
	l.note("%d tasks waited %v for their retries, and %d of %d others ran meanwhile", len(ids), waited.Round(time.Millisecond), between, n)
	return x, first(allOK(x),
		need(len(ids) == 3 && retried > 0, "%d tasks failed at first", len(ids)),
		need(waited >= delay-10*time.Millisecond, "a retry came after %v", waited),
		need(between >= n/3, "%d of %d tasks ran while the others waited", between, n),
		need(x.Executions == x.Tasks+3, "%d executions of %d tasks", x.Executions, x.Tasks),
	)
}

// cancelRaces cancels tasks at any moment of their lives.
func cancelRaces(l *lab) (x figures, err error) {
	if _, err := l.workers(2, workerOrder{Slots: 8, Lease: 2 * lease}); err != nil {
		return x, err
	}
	n := l.size(2000, 10_000)
	part := func(prefix string, n int, within time.Duration, w work) batch {
		return batch{Prefix: prefix, To: n, NoFlush: true, Cancel: 100, CancelIn: within, Work: w}
	}
	some := part("some", n/5, 100*time.Millisecond, work{Most: 10 * time.Millisecond})
	some.Cancel = 50
	retries := part("retries", n/10, 500*time.Millisecond, work{Most: 5 * time.Millisecond, Failures: 1})
	retries.Retries, retries.Delay = 1, 200*time.Millisecond
	finish := part("finish", n/5, 50*time.Millisecond, work{Most: time.Millisecond})
	finish.Pause = time.Millisecond // so that the queue is short, and they race with their ends
	s, err := l.submitter(submitOrder{Batches: []batch{
		finish,
		part("stubborn", n/5, 300*time.Millisecond, work{Most: 10 * time.Millisecond, Stubborn: true}),
		some,
		retries,
		part("once", n/10, 0, work{Most: 10 * time.Millisecond}), // before they are published
		part("late", n/5, time.Second, work{Most: 10 * time.Millisecond}),
	}})
	if err != nil {
		return x, err
	}
	if x, err = l.settle(s); err != nil {
		return x, err
	}
	l.note("%d tasks: %d canceled, %d succeeded all the same; %d never ran", x.Tasks, x.Resolved[endCanceled], x.Resolved[endOK], x.Tasks-x.Ran)
	return x, need(x.Resolved[endCanceled] > n/20 && x.Resolved[endOK] > n/20, "resolved: %v: this shows little", x.Resolved)
}

// cancelAgain has two clients of one session with the same tasks, of which one
// cancels. They are one task each, so both see the same.
func cancelAgain(l *lab) (x figures, err error) {
	if _, err := l.workers(1, workerOrder{Slots: 4}); err != nil {
		return x, err
	}
	n := l.size(300, 1500)
	b := one("t", n, 0, 10*time.Millisecond)
	keeps, err := l.submitter(submitOrder{Session: "same", Batches: []batch{b}})
	if err != nil {
		return x, err
	}
	if err := l.until("the tasks are accepted", atLeast(evAccepted, 1)); err != nil {
		return x, err
	}
	b.Cancel, b.NoFlush = 50, true
	once, late := b, b
	once.To = n / 2
	late.From, late.CancelIn = n/2, 500*time.Millisecond
	cancels, err := l.submitter(submitOrder{Session: "same", Batches: []batch{once, late}})
	if err != nil {
		return x, err
	}
	if x, err = l.settle(keeps, cancels); err != nil {
		return x, err
	}
	l.note("%d tasks: %d were canceled by one client, for both", x.Tasks, x.Stored[endCanceled])
	return x, need(x.Stored[endCanceled] > n/10, "stored: %v: this shows little", x.Stored)
}
