package cluster

import (
	"context"
	"encoding/json"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// A feed asks the broker for tasks. There is a source for each level of each
// queue, and one rule: what is asked for is what the worker has free slots for,
// of the first source in order that has a task.
//
// To find that one, sources are probed: asked for as many tasks as there are free
// slots, to be answered at once. A source that has no more than it sent is known
// to be empty. When all are, each has its bell: a request for one task that the
// broker answers when there is one, for some seconds. A bell may ring when the
// slot it was for is taken, by a task of another source; then that task is given
// back if it does not start soon.
//
// One source must not keep the others waiting. One that refuses requests is left
// out until its consumer was looked at, see consumers.go; one that does not answer
// has a bell and nothing else until it does, whatever others have.
//
// Each request has a deadline here, too. What a broken connection or a new
// leader makes of requests that wait is then no concern of anybody's: they are
// made again.
type feed struct {
	w       *worker
	sources []*source // of the first level of all queues, then of the second, then the third
	send    func(*pull) error
	ensure  func(context.Context, string, level) error // that the source's consumer is there

	mu       sync.Mutex    // a leaf; nothing is published under it
	answered chan struct{} // of capacity 1: a request was

	opened  bool
	stopped bool
	taken   int       // tasks that are to run, or run, here
	inside  int       // of them, those that the executor has
	turn    int       // of the queues
	last    time.Time // when a task ended here
	pace    float64   // nanoseconds that a task takes, of late; 0: not known
	timer   *time.Timer

	repairs bool          // repair is going to be called, or is under way
	pause   time.Duration // before it: longer each time in vain
	mend    *time.Timer   // that calls it
}

const (
	probeTime   = 2 * time.Second
	bellTime    = 100 * time.Millisecond // the first bell
	mostBell    = 5 * time.Second
	emptyTime   = 5 * time.Millisecond // that a source without a bell is taken for empty
	shortTask   = time.Millisecond     // tasks that take less are read ahead
	aheadTime   = 2 * time.Millisecond // by as many as take so long
	mostAhead   = 256
	mostWaiting = 64 // tasks that may wait here for a semaphore or a limiter
	feedTick    = time.Second
	patience    = 50 * time.Millisecond // that a task waits here for a slot
)

// open begins to ask.
func (f *feed) open(w *worker) error {
	f.prepare(w)
	for _, s := range f.sources {
		s.subject = "$JS.API.CONSUMER.MSG.NEXT." + w.space.tasks() + "." + w.space.consumer(s.queue, s.level)
		s.inbox = w.nc.NewInbox()
		sub, err := w.nc.Subscribe(s.inbox+".*", s.receive)
		if err != nil {
			return err
		}
		// A pull brings no more than was asked for, so there is nothing to limit.
		if err := sub.SetPendingLimits(-1, -1); err != nil {
			return err
		}
		s.sub = sub
	}
	f.begin()
	return nil
}

// prepare makes the sources.
func (f *feed) prepare(w *worker) {
	f.w, f.answered, f.send, f.ensure = w, make(chan struct{}, 1), publish, w.ensureConsumer
	f.mu.Lock()
	defer f.mu.Unlock()
	for l := range levels {
		for _, queue := range w.set.queues {
			f.sources = append(f.sources, &source{f: f, queue: queue, level: l})
		}
	}
}

// begin asks for the first time.
func (f *feed) begin() {
	f.mu.Lock()
	f.opened = true
	f.timer = time.AfterFunc(feedTick, f.tick)
	f.mu.Unlock()
	f.fill()
}

// halt asks for nothing any more. What comes nevertheless is given back.
func (f *feed) halt() {
	f.mu.Lock()
	f.stopped = true
	if f.timer != nil {
		f.timer.Stop()
	}
	if f.mend != nil {
		f.mend.Stop()
	}
	f.mu.Unlock()
}

// quiet returns when no task is on its way: all requests have been answered or
// have run out. To listen no more before that would lose what the broker is just
// sending, until the lease of that is over; to withdraw the bells, which the server
// drops when nobody listens, would have it count a delivery that is none, and so a
// crash. It takes no longer than bells do.
func (f *feed) quiet() {
	for end := time.Now().Add(mostBell + time.Second); f.waits() && f.w.nc.Status() == nats.CONNECTED && time.Now().Before(end); {
		select {
		case <-f.answered:
		case <-time.After(bellTime):
		}
	}
}

// waits reports whether there are requests without an answer.
func (f *feed) waits() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.sources {
		if s.probe != 0 || s.bell != 0 {
			return true
		}
	}
	return false
}

// A pull is a request for tasks.
type pull struct {
	Batch   int           `json:"batch"`
	Expires time.Duration `json:"expires,omitempty"`
	NoWait  bool          `json:"no_wait,omitempty"`

	s      *source
	number uint64
}

// fill asks for as many tasks as there are free slots.
func (f *feed) fill() {
	f.mu.Lock()
	pulls, waits := f.pullsLocked(time.Now())
	f.mu.Unlock()
	if waits {
		f.w.hasten()
	}
	for _, p := range pulls {
		if f.send(p) != nil {
			p.s.failed(p.number) // there is no connection; see reconnected
		}
	}
}

// publish sends a pull.
func publish(p *pull) error {
	data, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return p.s.f.w.nc.PublishRequest(p.s.subject, p.s.inbox+"."+strconv.FormatUint(p.number, 10), data)
}

// pullsLocked decides what to ask for now. waits tells that a task of ours may be
// waiting for a slot: whoever has them, on an executor that has other tasks, too.
func (f *feed) pullsLocked(now time.Time) (pulls []*pull, waits bool) {
	if f.stopped {
		return nil, false
	}
	// The executor may have other tasks as well. Those of its tasks that wait for
	// a semaphore or a limiter, or for other tasks, leave their slots to us.
	e := f.w.e.Stats()
	waits = e.Queued > 0 && f.inside > 0
	coming := f.taken - f.inside
	for _, s := range f.sources {
		coming += s.asked
	}
	free := e.MaxWorkers - e.Running - e.Queued - coming - max(e.Waiting-mostWaiting, 0)
	ahead := f.aheadLocked(e.MaxWorkers)
	want := free + ahead
	if want <= 0 || ahead > 0 && free <= 0 && want <= ahead/2 {
		return nil, waits // rather some at once, later
	}
	n := len(f.w.set.queues)
	for l := range levels {
		for i := range n {
			s := f.sources[int(l)*n+(i+f.turn)%n]
			if !s.broken.IsZero() {
				continue
			}
			if s.silent {
				if s.bell == 0 {
					pulls = append(pulls, s.ringLocked(now))
				}
				continue
			}
			if s.probe != 0 {
				return pulls, waits // its answer comes first
			}
			if s.empty && (s.bell != 0 || now.Sub(s.emptyAt) < emptyTime) {
				continue
			}
			f.turn = (f.turn + i + 1) % n
			s.serial++
			s.probe, s.asked, s.due = s.serial, want, now.Add(probeTime)
			return append(pulls, &pull{Batch: want, NoWait: true, s: s, number: s.serial}), waits
		}
	}
	for _, s := range f.sources {
		if s.bell == 0 && s.broken.IsZero() {
			pulls = append(pulls, s.ringLocked(now))
		}
	}
	return pulls, waits
}

// aheadLocked is how many tasks may wait here for a slot: none, unless tasks are
// so short that to ask for each would take longer.
func (f *feed) aheadLocked(slots int) int {
	if f.pace == 0 || f.pace > float64(shortTask) {
		return 0
	}
	return int(min(float64(slots)*float64(aheadTime)/f.pace, mostAhead))
}

// signal wakes quiet.
func (f *feed) signal() {
	select {
	case f.answered <- struct{}{}:
	default:
	}
}

// tick gives up requests that nobody answered, and asks again.
func (f *feed) tick() {
	f.mu.Lock()
	if f.stopped {
		f.mu.Unlock()
		return
	}
	now := time.Now()
	for _, s := range f.sources {
		if s.probe != 0 && now.After(s.due) {
			s.probe, s.asked, s.silent, s.patient = 0, 0, true, 0
		}
		if s.bell != 0 && now.After(s.rung) {
			s.bell, s.silent = 0, true
		}
	}
	f.timer.Reset(feedTick)
	f.mu.Unlock()
	f.fill()
}

// reconnected forgets all requests: the broker has.
func (f *feed) reconnected() {
	f.mu.Lock()
	if !f.opened {
		f.mu.Unlock()
		return // it has asked for nothing yet
	}
	for _, s := range f.sources {
		s.probe, s.asked, s.bell = 0, 0, 0
		s.empty, s.silent = false, false
	}
	f.repairSoonLocked()
	f.mu.Unlock()
	f.fill()
}

// handed is told that the executor got a task. Until then it counts twice, so who
// looked for free slots meanwhile has found one less: the caller has them looked
// for again.
func (f *feed) handed() {
	f.mu.Lock()
	f.inside++
	f.mu.Unlock()
}

// ended is told that the executor has done with it, and how long it ran; 0: it
// did not.
func (f *feed) ended(ran time.Duration) {
	f.mu.Lock()
	f.taken--
	f.inside--
	f.last = time.Now()
	if ran > 0 {
		const weight = 1.0 / 32
		if f.pace == 0 {
			f.pace = float64(ran)
		}
		f.pace += weight * (float64(ran) - f.pace)
	}
	f.mu.Unlock()
	f.fill()
}

// freed is told that a task is not here any more, which the executor never got.
func (f *feed) freed() {
	f.mu.Lock()
	f.taken--
	f.mu.Unlock()
	f.fill()
}

// lastEnd is when the executor had last done with a task.
func (f *feed) lastEnd() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last
}
