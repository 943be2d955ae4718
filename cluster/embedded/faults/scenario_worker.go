package main

import (
	"slices"
	"strings"
	"time"

	"github.com/antflow/antflow/cluster/embedded/internal/proxy"
)

// workerKill kills workers while they run tasks. What ran there runs again.
func workerKill(l *lab) (x figures, err error) {
	w := workerOrder{Slots: 4, Lease: lease}
	workers, err := l.workers(3, w)
	if err != nil {
		return x, err
	}
	n := l.size(400, 2000)
	b := one("t", n, 5*time.Millisecond, 40*time.Millisecond)
	mixed := one("u", n/4, 5*time.Millisecond, 40*time.Millisecond)
	mixed.Unkeyed = true
	failing := one("f", n/10, 0, 20*time.Millisecond)
	failing.Work.Fails = true
	s, err := l.submitter(submitOrder{Batches: []batch{mixed, failing, b}})
	if err != nil {
		return x, err
	}
	kills := l.size(3, 8)
	for i := range kills {
		if err := l.until("tasks run", atLeast(evEnd, (i+1)*n/(2*kills))); err != nil {
			return x, err
		}
		l.pause(0, 50*time.Millisecond)
		at := l.random.IntN(len(workers))
		if err := l.crash(workers[at]); err != nil {
			return x, err
		}
		if workers[at], err = l.worker(w); err != nil {
			return x, err
		}
	}
	if x, err = l.settle(s); err != nil {
		return x, err
	}
	l.note("%d kills; %d of %d tasks ran again", kills, x.Repeated, x.Tasks)
	return x, need(x.Stored[endError] == n/10, "%d tasks failed, and %d were to", x.Stored[endError], n/10)
}

// ackLost kills a worker whose acknowledgements don't arrive: the results are
// stored, so whoever gets the tasks next must not run them.
func ackLost(l *lab) (x figures, err error) {
	p, err := l.proxy(l.brokers[0])
	if err != nil {
		return x, err
	}
	p.Drop(proxy.ToServer, proxy.IsAck)
	w := workerOrder{Slots: 4, Lease: lease}
	victim, err := l.workerAt(p.URL(), w)
	if err != nil {
		return x, err
	}
	n := l.size(20, 400)
	s, err := l.submitter(submitOrder{Batches: []batch{one("t", n, time.Millisecond, 10*time.Millisecond)}})
	if err != nil {
		return x, err
	}
	if err := l.until("all results are there", atLeast(evResolve, n)); err != nil {
		return x, err
	}
	if err := l.crash(victim); err != nil {
		return x, err
	}
	left, err := l.queued()
	if err != nil {
		return x, err
	}
	if _, err := l.workers(2, w); err != nil {
		return x, err
	}
	if x, err = l.settle(s); err != nil {
		return x, err
	}
	l.note("%d acknowledgements were swallowed and %d tasks delivered again; %d ran again", p.Dropped.Load(), left, x.Repeated)
	return x, first(
		need(left > 0, "no acknowledgement was lost, so this shows nothing"),
		need(x.Repeated == 0, "%d tasks ran although their results were stored", x.Repeated),
	)
}

// worker-stop: the second worker has ended the tasks before the first one goes on.
func workerStop(l *lab) (figures, error) { return stopWorker(l, true) }

// worker-stop-short: both run them at the same time.
func workerStopShort(l *lab) (figures, error) { return stopWorker(l, false) }

func stopWorker(l *lab, finish bool) (x figures, err error) {
	w := workerOrder{Slots: 4, Lease: lease}
	victim, err := l.worker(w)
	if err != nil {
		return x, err
	}
	n := l.size(12, 24)
	b := one("t", n, 400*time.Millisecond, 800*time.Millisecond)
	b.Work.Stubborn = true // or a worker would stop it when it sees the other one's result
	s, err := l.submitter(submitOrder{Batches: []batch{b}})
	if err != nil {
		return x, err
	}
	if err := l.until("the worker is busy", atLeast(evStart, w.Slots)); err != nil {
		return x, err
	}
	if err := victim.signal(sigStop); err != nil {
		return x, err
	}
	time.Sleep(50 * time.Millisecond) // what it wrote last is in its journal
	if err := l.history.refresh(); err != nil {
		return x, err
	}
	running := openOn(l.history, victim.o.Name)
	if _, err := l.worker(w); err != nil {
		return x, err
	}
	if err := l.takenOver(running, victim, finish); err != nil {
		return x, err
	}
	if err := victim.signal(sigContinue); err != nil {
		return x, err
	}
	err = l.until("the stopped worker ends its tasks", func(h *history) bool { return len(openOn(h, victim.o.Name)) == 0 })
	if err != nil {
		return x, err
	}
	if x, err = l.settle(s); err != nil {
		return x, err
	}
	l.note("%d tasks ran on both workers, %d results lost the race", x.Repeated, x.LostTheRace)
	won := l.history.where(func(e *event) bool {
		return e.Kind == evResolve && slices.Contains(running, e.ID) && strings.Contains(e.Value, "/"+victim.o.Name+"/")
	})
	return x, first(
		need(len(running) > 0 && x.LostTheRace > 0, "the stopped worker had %d tasks, and %d results lost the race: this shows nothing", len(running), x.LostTheRace),
		need(!finish || won == 0, "%d results of the stopped worker won, after another one had recorded one", won),
		need(x.MostExecutions <= 2, "a task ran %d times", x.MostExecutions),
	)
}

// workerCut cuts a worker off for longer than its lease. Others run its tasks, and
// it ends them as well: it can't know better.
func workerCut(l *lab) (x figures, err error) {
	p, err := l.proxy(l.brokers[0])
	if err != nil {
		return x, err
	}
	w := workerOrder{Slots: 4, Lease: lease}
	if _, err := l.workerAt(p.URL(), w); err != nil {
		return x, err
	}
	n := l.size(160, 500)
	b := one("t", n, 50*time.Millisecond, 300*time.Millisecond)
	b.Work.Stubborn = true
	s, err := l.submitter(submitOrder{Batches: []batch{b}})
	if err != nil {
		return x, err
	}
	if err := l.until("the worker is busy", atLeast(evStart, w.Slots)); err != nil {
		return x, err
	}
	if _, err := l.worker(w); err != nil {
		return x, err
	}
	cuts := l.size(2, 4)
	for i := range cuts {
		if i%2 == 1 { // nobody is told at first
			p.Stall(proxy.ToServer, true)
			p.Stall(proxy.ToClient, true)
			l.pause(lease/2, 2*lease)
		}
		p.Cut(true)
		p.Stall(proxy.ToServer, false)
		p.Stall(proxy.ToClient, false)
		l.pause(lease, 2*lease)
		p.Cut(false)
		l.pause(lease/2, lease)
	}
	if x, err = l.settle(s); err != nil {
		return x, err
	}
	l.note("%d cuts; %d of %d tasks ran on both workers, %d results lost the race", cuts, x.Repeated, x.Tasks, x.LostTheRace)
	return x, allOK(x)
}

// takenOver waits until other workers than the stopped one have its tasks, and
// have ended them if finish is true.
func (l *lab) takenOver(ids []string, stopped *process, finish bool) error {
	kind := evStart
	if finish {
		kind = evEnd
	}
	err := l.until("another worker has the stopped one's tasks", func(h *history) bool {
		return h.where(func(e *event) bool {
			return e.Kind == kind && e.Worker != stopped.o.Name && slices.Contains(ids, e.ID)
		}) >= len(ids)
	})
	if finish { // and has said so
		time.Sleep(100 * time.Millisecond)
	} else {
		l.pause(0, 600*time.Millisecond)
	}
	return err
}

// openOn are the tasks that run on a worker.
func openOn(h *history, worker string) (ids []string) {
	for _, e := range h.all() {
		if e.Worker != worker {
			continue
		}
		switch e.Kind {
		case evStart:
			ids = append(ids, e.ID)
		case evEnd:
			if at := slices.Index(ids, e.ID); at >= 0 {
				ids = slices.Delete(ids, at, at+1)
			}
		}
	}
	return ids
}

// drain replaces all workers the gentle way.
func drain(l *lab) (x figures, err error) {
	w := workerOrder{Slots: 4, Drain: l.limit}
	workers, err := l.workers(3, w)
	if err != nil {
		return x, err
	}
	n := l.size(400, 3000)
	s, err := l.submitter(submitOrder{Batches: []batch{
		one("t", n, 5*time.Millisecond, 60*time.Millisecond),
		{Prefix: "short", To: n, Unkeyed: true}, // of which workers read ahead
	}})
	if err != nil {
		return x, err
	}
	rounds := l.size(1, 3)
	for i := range rounds * len(workers) {
		if err := l.until("tasks run", atLeast(evEnd, (i+1)*3*n/2/(rounds*len(workers)))); err != nil {
			return x, err
		}
		at := i % len(workers)
		next, err := l.worker(w)
		if err != nil {
			return x, err
		}
		if err := workers[at].end(l.limit); err != nil {
			return x, err
		}
		workers[at] = next
	}
	if x, err = l.settle(s); err != nil {
		return x, err
	}
	l.note("%d workers were replaced; %d of %d tasks ran more than once", rounds*len(workers), x.Repeated, x.Tasks)
	return x, need(x.Stored[endOK] == x.Tasks, "%d of %d tasks succeeded", x.Stored[endOK], x.Tasks)
}
