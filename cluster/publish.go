package cluster

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A fate is what became of a message that was published.
type fate int

const (
	stored   fate = iota
	existing      // the subject has a message already
	full          // the stream takes no more
	unknown       // it may be stored or not: to be published again
	refused       // it never will be
)

// Codes of the server that tell fates. It uses one for two of them.
const (
	codeWrongSequence   = 10071 // the subject has a message
	codeSequenceRace    = 10164 // somebody is just publishing to the subject
	codeDuplicateRace   = 10158 // or the same message
	codeLimits          = 10077 // of the stream or of the subject
	codeAccountLimits   = 10002
	textSubjectOccupied = "per subject"
	textNoSequence      = ": 0" // the end of that of a wrong sequence, where the server could not look
)

// fateOf tells what became of a message by the answer to it.
func fateOf(err error) fate {
	if err == nil {
		return stored
	}
	if errors.Is(err, nats.ErrMaxPayload) || errors.Is(err, nats.ErrBadSubject) {
		return refused // and not sent
	}
	var e *jetstream.APIError
	if !errors.As(err, &e) {
		return unknown // no answer came, or will
	}
	switch e.ErrorCode {
	case codeWrongSequence:
		if strings.HasSuffix(e.Description, textNoSequence) {
			return unknown
		}
		return existing
	case codeSequenceRace, codeDuplicateRace:
		return unknown
	case codeLimits:
		if strings.Contains(e.Description, textSubjectOccupied) {
			return existing
		}
		return full
	case codeAccountLimits:
		return full
	}
	if e.Code >= 500 {
		return unknown
	}
	return refused
}

// ackTimeout is how long an acknowledgement may take. The publisher asks again
// then; the subject sees to it that nothing is stored twice.
const ackTimeout = 10 * time.Second

// A publisher publishes to streams without waiting, and tells answered of each
// message what became of it, once. nats.go has one, too; this one costs less, at
// the server as well: acknowledgements come to a few subjects that are used again
// and again, which the server finds in its cache, and nothing is made for a message
// but a place in a slice.
//
// So it has to be certain that what comes to a subject is about the message that
// it is used for now: a subject whose acknowledgement did not come in time is not
// used again, and a connection that breaks takes all of them with it. Where several
// servers agree on messages two may acknowledge the same one, the leader before an
// election and the leader after it; there no subject is used twice.
type publisher struct {
	nc       *nats.Conn
	answered func(*nats.Msg, error)
	unique   bool // each message has a subject of its own; set before the first

	mu sync.Mutex // a leaf; nothing is published under it
	in *inbox
}

// An inbox is where the acknowledgements of one connection come to.
type inbox struct {
	p      *publisher
	prefix string // of the subjects
	sub    *nats.Subscription

	// Guarded by publisher.mu.
	slots []slot
	free  []int // the one used last is used next
	out   int   // messages without an answer
	sweep *time.Timer
}

// A slot is a subject, and the message that it is used for.
type slot struct {
	reply string
	turn  uint64    // how often it has been used; 0 where that is not in the reply
	m     *nats.Msg // nil: none
	at    time.Time
}

func newPublisher(nc *nats.Conn, answered func(*nats.Msg, error)) (*publisher, error) {
	p := &publisher{nc: nc, answered: answered}
	in, err := p.newInbox()
	p.in = in
	return p, err
}

func (p *publisher) newInbox() (in *inbox, err error) {
	in = &inbox{p: p, prefix: p.nc.NewInbox() + "."}
	in.sub, err = p.nc.Subscribe(in.prefix+">", in.receive)
	if err == nil {
		err = in.sub.SetPendingLimits(-1, -1) // there are as many as were published
	}
	return in, err
}

// publish publishes m, which must not change any more. Unless it returns an error,
// answered will be told of m.
func (p *publisher) publish(m *nats.Msg) error {
	p.mu.Lock()
	in := p.in
	n := len(in.slots)
	if last := len(in.free) - 1; last >= 0 {
		n = in.free[last]
		in.free = in.free[:last]
	} else {
		in.slots = append(in.slots, slot{reply: in.prefix + strconv.Itoa(n)})
	}
	s := &in.slots[n]
	if p.unique {
		s.turn++
		s.reply = in.prefix + strconv.Itoa(n) + "." + strconv.FormatUint(s.turn, 10)
	}
	s.m, s.at = m, time.Now()
	own := nats.Msg{Subject: m.Subject, Reply: s.reply, Header: m.Header, Data: m.Data}
	if in.out++; in.sweep == nil {
		in.sweep = time.AfterFunc(ackTimeout/2, in.expire)
	}
	p.mu.Unlock()
	// Not m itself: from here on it may be given up, and be published again with
	// another reply by whoever is told of that.
	err := p.nc.PublishMsg(&own)
	if err != nil && in.take(n, func(s *slot) bool { return s.m == m }) == nil {
		return nil // somebody was told already
	}
	return err
}

// take frees a slot, for whoever is to tell of its message, if it is used for the
// one that is meant.
func (in *inbox) take(n int, meant func(*slot) bool) *nats.Msg {
	in.p.mu.Lock()
	defer in.p.mu.Unlock()
	if n >= len(in.slots) || in.slots[n].m == nil || !meant(&in.slots[n]) {
		return nil
	}
	m := in.slots[n].m
	in.slots[n].m = nil
	in.free = append(in.free, n)
	in.out--
	return m
}

var stores = []byte(`{"stream":`) // how the answer begins that a message is stored

// receive is told of an acknowledgement.
func (in *inbox) receive(answer *nats.Msg) {
	place, turn, _ := strings.Cut(answer.Subject[len(in.prefix):], ".")
	n, err := strconv.Atoi(place)
	if err != nil || n < 0 {
		return
	}
	used, _ := strconv.ParseUint(turn, 10, 64) // there is none where subjects are used again
	m := in.take(n, func(s *slot) bool { return s.turn == used })
	if m == nil {
		return
	}
	if bytes.HasPrefix(answer.Data, stores) {
		in.p.answered(m, nil)
		return
	}
	var a struct {
		Error *jetstream.APIError `json:"error"`
	}
	if json.Unmarshal(answer.Data, &a) != nil || a.Error == nil {
		in.p.answered(m, jetstream.ErrNoStreamResponse) // as while there is no leader
		return
	}
	in.p.answered(m, a.Error)
}

// expire gives up the slots whose acknowledgements are late, for good.
func (in *inbox) expire() {
	var late []*nats.Msg
	in.p.mu.Lock()
	for n := range in.slots {
		if s := &in.slots[n]; s.m != nil && time.Since(s.at) >= ackTimeout {
			late = append(late, s.m)
			s.m = nil
			in.out--
		}
	}
	in.sweep = nil
	if in.out > 0 {
		in.sweep = time.AfterFunc(ackTimeout/2, in.expire)
	}
	in.p.mu.Unlock()
	for _, m := range late {
		in.p.answered(m, nats.ErrTimeout)
	}
}

// disconnected gives up all acknowledgements that are to come: those of the next
// connection come to subjects of their own.
func (p *publisher) disconnected() {
	in, err := p.newInbox()
	if err != nil {
		return // the connection is closed for good
	}
	p.mu.Lock()
	old := p.in
	p.in = in
	var lost []*nats.Msg
	for n := range old.slots {
		if m := old.slots[n].m; m != nil {
			lost = append(lost, m)
			old.slots[n].m = nil
		}
	}
	old.out = 0
	if old.sweep != nil {
		old.sweep.Stop()
	}
	p.mu.Unlock()
	old.sub.Unsubscribe()
	for _, m := range lost {
		p.answered(m, nats.ErrDisconnected)
	}
}

// stop ends the timer.
func (p *publisher) stop() {
	p.mu.Lock()
	if p.in != nil && p.in.sweep != nil {
		p.in.sweep.Stop()
	}
	p.mu.Unlock()
}
