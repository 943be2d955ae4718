package cluster

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
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
// Each request has a deadline here, too. What a broken connection or a new
// leader makes of requests that wait is then no concern of anybody's: they are
// made again.
type feed struct {
	w       *worker
	sources []*source // of the first level of all queues, then of the second, then the third

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
}

// A source is a consumer of the broker. All but the first block is guarded by
// feed.mu.
type source struct {
	f       *feed
	subject string // of requests
	inbox   string // of answers, with the number of the request
	sub     *nats.Subscription

	serial  uint64        // of the last request
	probe   uint64        // the number of the probe that is under way; 0: none
	asked   int           // tasks that the probe may still bring
	due     time.Time     // when it is given up
	bell    uint64        // the number of the bell; 0: none
	rung    time.Time     // when that is given up
	patient time.Duration // how long the next bell may wait: longer each time in vain
	empty   bool          // at the time of:
	emptyAt time.Time
}

const (
	probeTime   = 2 * time.Second
	bellTime    = 100 * time.Millisecond // the first bell
	mostBell    = 5 * time.Second
	emptyTime   = 5 * time.Millisecond // that a source without a bell is taken for empty
	brokenTime  = 250 * time.Millisecond
	shortTask   = time.Millisecond     // tasks that take less are read ahead
	aheadTime   = 2 * time.Millisecond // by as many as take so long
	mostAhead   = 256
	mostWaiting = 64 // tasks that may wait here for a semaphore or a limiter
	feedTick    = time.Second
	patience    = 50 * time.Millisecond // that a task waits here for a slot
)

// open begins to ask.
func (f *feed) open(w *worker) error {
	f.w, f.answered = w, make(chan struct{}, 1)
	for l := range levels {
		for _, queue := range w.set.queues {
			s := &source{
				f:       f,
				subject: "$JS.API.CONSUMER.MSG.NEXT." + w.space.tasks() + "." + w.space.consumer(queue, l),
				inbox:   w.nc.NewInbox(),
			}
			sub, err := w.nc.Subscribe(s.inbox+".*", s.receive)
			if err != nil {
				return err
			}
			// A pull brings no more than was asked for, so there is nothing to limit.
			if err := sub.SetPendingLimits(-1, -1); err != nil {
				return err
			}
			s.sub = sub
			f.sources = append(f.sources, s)
		}
	}
	f.mu.Lock()
	f.opened = true
	f.timer = time.AfterFunc(feedTick, f.tick)
	f.mu.Unlock()
	f.fill()
	return nil
}

// halt asks for nothing any more. What comes nevertheless is given back.
func (f *feed) halt() {
	f.mu.Lock()
	f.stopped = true
	if f.timer != nil {
		f.timer.Stop()
	}
	f.mu.Unlock()
}

// quiet returns when no task is on its way: all requests have been answered or
// have run out. To listen no more before that would lose what the broker is just
// sending, until the lease of that is over. It takes no longer than bells do.
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
	pulls := f.pullsLocked(time.Now())
	f.mu.Unlock()
	for _, p := range pulls {
		data, err := json.Marshal(p)
		if err == nil {
			err = f.w.nc.PublishRequest(p.s.subject, p.s.inbox+"."+strconv.FormatUint(p.number, 10), data)
		}
		if err != nil {
			p.s.failed(p.number) // there is no connection; see reconnected
		}
	}
}

// pullsLocked decides what to ask for now.
func (f *feed) pullsLocked(now time.Time) (pulls []*pull) {
	if f.stopped {
		return nil
	}
	// The executor may have other tasks as well. Those of its tasks that wait for
	// a semaphore or a limiter, or for other tasks, leave their slots to us.
	e := f.w.e.Stats()
	coming := f.taken - f.inside
	for _, s := range f.sources {
		coming += s.asked
	}
	free := e.MaxWorkers - e.Running - e.Queued - coming - max(e.Waiting-mostWaiting, 0)
	ahead := f.aheadLocked(e.MaxWorkers)
	want := free + ahead
	if want <= 0 || ahead > 0 && free <= 0 && want <= ahead/2 {
		return nil // rather some at once, later
	}
	n := len(f.w.set.queues)
	for l := range levels {
		for i := range n {
			s := f.sources[int(l)*n+(i+f.turn)%n]
			if s.probe != 0 {
				return nil // its answer comes first
			}
			if s.empty && (s.bell != 0 || now.Sub(s.emptyAt) < emptyTime) {
				continue
			}
			f.turn = (f.turn + i + 1) % n
			s.serial++
			s.probe, s.asked, s.due = s.serial, want, now.Add(probeTime)
			return []*pull{{Batch: want, NoWait: true, s: s, number: s.serial}}
		}
	}
	for _, s := range f.sources {
		if s.bell == 0 {
			s.serial++
			s.patient = min(max(2*s.patient, bellTime), mostBell)
			s.bell, s.rung = s.serial, now.Add(s.patient+feedTick)
			pulls = append(pulls, &pull{Batch: 1, Expires: s.patient, s: s, number: s.serial})
		}
	}
	return pulls
}

// aheadLocked is how many tasks may wait here for a slot: none, unless tasks are
// so short that to ask for each would take longer.
func (f *feed) aheadLocked(slots int) int {
	if f.pace == 0 || f.pace > float64(shortTask) {
		return 0
	}
	return int(min(float64(slots)*float64(aheadTime)/f.pace, mostAhead))
}

// receive is told of a task, or of the end of a request.
func (s *source) receive(m *nats.Msg) {
	if len(m.Data) == 0 && m.Header != nil && m.Header.Get("Status") != "" {
		at := strings.LastIndexByte(m.Subject, '.')
		number, err := strconv.ParseUint(m.Subject[at+1:], 10, 64)
		if err == nil {
			s.ended(number, m.Header.Get("Status"), m.Header.Get("Description"))
		}
		return
	}
	meta, err := m.Metadata()
	if err != nil {
		s.f.w.log.Warn("antflow: not a task", "subject", m.Subject, "err", err)
		return
	}
	f := s.f
	f.mu.Lock()
	if s.asked > 0 {
		if s.asked--; s.asked == 0 {
			s.probe = 0
		}
	} else {
		s.bell = 0
	}
	s.patient = 0
	f.signal()
	s.empty, s.emptyAt = meta.NumPending == 0, time.Now()
	f.taken++
	stopped := f.stopped
	waits := f.taken > f.w.e.MaxWorkers()
	f.mu.Unlock()
	f.w.deliver(m, meta, stopped)
	if waits {
		f.w.hasten()
	}
	f.fill()
}

// ended is told that the broker has done with a request.
func (s *source) ended(number uint64, status, text string) {
	f := s.f
	f.mu.Lock()
	known := s.endLocked(number)
	if known {
		s.empty, s.emptyAt = true, time.Now()
	}
	broken := status != "404" && status != "408"
	f.mu.Unlock()
	if !known {
		return
	}
	if broken {
		f.w.log.Debug("antflow: a request for tasks was refused", "status", status, "text", text)
		// No leader, or no consumer: not again at once.
		time.AfterFunc(brokenTime, f.repair)
		return
	}
	f.fill()
}

// endLocked forgets a request.
func (s *source) endLocked(number uint64) (known bool) {
	switch number {
	case s.probe:
		s.probe, s.asked = 0, 0
	case s.bell:
		s.bell = 0
	default:
		return false
	}
	s.f.signal()
	return true
}

// signal wakes quiet.
func (f *feed) signal() {
	select {
	case f.answered <- struct{}{}:
	default:
	}
}

// failed is told that a request could not be sent.
func (s *source) failed(number uint64) {
	s.f.mu.Lock()
	s.endLocked(number)
	s.empty, s.emptyAt = true, time.Now()
	s.f.mu.Unlock()
}

// repair sees to it that the consumers are there, and asks again.
func (f *feed) repair() {
	f.mu.Lock()
	stopped := f.stopped
	f.mu.Unlock()
	if stopped {
		return
	}
	f.w.request(func(ctx context.Context) error {
		if _, err := f.w.ensureConsumers(ctx); err != nil {
			return err
		}
		f.fill()
		return nil
	})
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
			s.probe, s.asked, s.empty = 0, 0, false
		}
		if s.bell != 0 && now.After(s.rung) {
			s.bell, s.empty = 0, false
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
		s.probe, s.asked, s.bell, s.empty = 0, 0, 0, false
	}
	f.mu.Unlock()
	f.fill()
}

// handed is told that the executor got a task.
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
