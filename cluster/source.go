package cluster

import (
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// A source is a consumer of the broker. All but the first block is guarded by
// feed.mu.
type source struct {
	f       *feed
	queue   string
	level   level
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
	silent  bool      // the last request was not answered
	broken  time.Time // when it refused, and is not asked until its consumer was looked at; zero: it did not
	why     error     // what is wrong with that
}

// ringLocked is the next bell of a source.
func (s *source) ringLocked(now time.Time) *pull {
	s.serial++
	s.patient = min(max(2*s.patient, bellTime), mostBell)
	s.bell, s.rung = s.serial, now.Add(s.patient+feedTick)
	return &pull{Batch: 1, Expires: s.patient, s: s, number: s.serial}
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
	s.patient, s.silent = 0, false
	f.signal()
	s.empty, s.emptyAt = meta.NumPending == 0, time.Now()
	f.taken++
	stopped := f.stopped
	f.mu.Unlock()
	f.w.deliver(m, meta, stopped)
	f.fill()
}

// ended is told that the broker has done with a request.
func (s *source) ended(number uint64, status, text string) {
	f := s.f
	now := time.Now()
	f.mu.Lock()
	known := s.endLocked(number)
	refused := status != "404" && status != "408"
	switch {
	case !known:
	case refused:
		s.brokenLocked(now)
	default:
		s.silent, s.empty, s.emptyAt = false, true, now
	}
	f.mu.Unlock()
	if !known {
		return
	}
	if refused {
		f.w.log.Debug("antflow: a request for tasks was refused", "status", status, "text", text)
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

// failed is told that a request could not be sent.
func (s *source) failed(number uint64) {
	s.f.mu.Lock()
	s.endLocked(number)
	s.empty, s.emptyAt = true, time.Now()
	s.f.mu.Unlock()
}
