package cluster

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// mostInline is how large a payload may be inside its message. Larger ones are
// objects, which only the message names: a consumer that reads ahead should not
// have to hold them.
const mostInline = 512 << 10

// mostInline is how large a payload may be inside its message here: a server may
// allow less than usual.
func (b *broker) mostInline() int {
	most := int(b.nc.MaxPayload())
	return min(mostInline, max(most-lineRoom, most/2))
}

const lineRoom = 64 << 10 // more than the first line takes, and a header

// mostPart is how large a part of an object may be. The leader answers with one in
// base64, and that is an answer of usual size as well.
const mostPart = 256 << 10

const partTimeout = 5 * time.Second // for an answer

func (b *broker) partSize() int { return min(mostPart, max(int(b.nc.MaxPayload())/2, 1)) }

// A store is a stream of objects: of inputs, which stay until they are deleted,
// since a task may wait for any time, or of values, which go when results do.
//
// An object is its parts, numbered from 1, and before them a head of number 0,
// which is empty and as old as the object was last said to be needed. Its name is
// the key of its task, something that no other one has, and the number of parts.
// So nothing that is stored ever changes, and whoever has the name knows what to
// read. Any replica may be asked for a part, but that there is none only the
// leader knows.
type store struct {
	b       *broker
	name    string // of the stream
	prefix  string // of the subjects
	expires bool
	stream  atomic.Pointer[jetstream.Stream] // nil: not looked for yet
}

// open returns the stream. It is made with the first object. No lock is held
// meanwhile: of two that make it at the same time both get the same.
func (s *store) open(ctx context.Context, create bool) (jetstream.Stream, error) {
	if stream := s.stream.Load(); stream != nil {
		return *stream, nil
	}
	ctx, cancel := context.WithTimeout(ctx, partTimeout) // that of a caller may be long, and the question lost
	defer cancel()
	stream, err := s.b.js.Stream(ctx, s.name)
	if create && errors.Is(err, jetstream.ErrStreamNotFound) {
		stream, err = s.b.js.CreateStream(ctx, s.config())
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // of another configuration
			stream, err = s.b.js.Stream(ctx, s.name)
		}
	}
	if err != nil {
		return nil, err
	}
	s.stream.Store(&stream)
	return stream, nil
}

func (s *store) config() jetstream.StreamConfig {
	results := s.b.results.CachedInfo().Config
	cfg := jetstream.StreamConfig{
		Name:              s.name,
		Description:       "antflow: inputs and values that are too large for messages",
		Subjects:          []string{s.prefix + ">"},
		Storage:           jetstream.FileStorage,
		Replicas:          results.Replicas,
		MaxMsgs:           -1,
		MaxBytes:          -1,
		Discard:           jetstream.DiscardNew,
		MaxMsgsPerSubject: 1, // a head, and a part that is sent again, take the place of the old one
		AllowDirect:       true,
		Duplicates:        100 * time.Millisecond,
	}
	if s.expires && results.MaxAge > 0 {
		// An object is there before the result that names it, and must not be gone
		// before it.
		cfg.MaxAge = results.MaxAge + results.MaxAge/2
	}
	return cfg
}

// An upload is an object that is being stored.
type upload struct {
	s     *store
	k     string // of its task
	name  string
	parts [][]byte
	sent  int       // messages, the head among them
	began time.Time // just before the head was sent
}

// upload begins to store data for a task.
func (s *store) upload(k string, data []byte) *upload {
	u := &upload{s: s, k: k}
	for size := s.b.partSize(); len(data) > 0; {
		n := min(size, len(data))
		u.parts = append(u.parts, data[:n:n])
		data = data[n:]
	}
	u.rename()
	return u
}

func (u *upload) rename() { u.name = u.k + "." + rand.Text() + "." + strconv.Itoa(len(u.parts)) }

// run stores what isn't stored yet. It may be called again after an error: a part
// that comes twice is the same. After so long that the first parts may be taken for
// an orphan's, or expire, it begins anew.
func (u *upload) run(ctx context.Context) error {
	if u.sent > 0 && u.s.b.aged(u.began) {
		u.sent = 0
		u.rename()
	}
	if u.sent == 0 {
		u.began = time.Now()
	}
	if _, err := u.s.open(ctx, true); err != nil {
		return err
	}
	for ; u.sent <= len(u.parts); u.sent++ {
		var data []byte
		if u.sent > 0 {
			data = u.parts[u.sent-1]
		}
		if err := u.s.publish(ctx, u.name, u.sent, data); err != nil {
			u.s.stream.Store(nil) // somebody may have deleted it
			return err
		}
	}
	return nil
}

// abandon deletes what is stored of an object that is not to be. The part that was
// sent last may be on its way, and would outlive a deletion; a head that is sent
// behind it, and has an answer, does not overtake it.
func (u *upload) abandon(ctx context.Context) {
	if err := u.s.touch(ctx, u.name); err != nil {
		u.s.b.log.Debug("antflow: an object was not finished", "object", u.name, "err", err)
	}
	u.s.discard(ctx, u.k, u.name)
}

// publish stores a part.
func (s *store) publish(ctx context.Context, name string, n int, data []byte) error {
	ctx, cancel := context.WithTimeout(ctx, partTimeout) // while there is no leader nobody answers
	defer cancel()
	_, err := s.b.js.PublishMsg(ctx, &nats.Msg{Subject: s.part(name, n), Data: data})
	return err
}

// touch says that an object is needed still.
func (s *store) touch(ctx context.Context, name string) error { return s.publish(ctx, name, 0, nil) }

func (s *store) part(name string, n int) string { return s.prefix + name + "." + strconv.Itoa(n) }

// partsOf is how many parts the object of a task has, by its name; 0: no object
// of that task is called so. A name comes in a message, and becomes part of
// subjects.
func partsOf(k, name string) int {
	rest, ok := strings.CutPrefix(name, k+".")
	unique, parts, ok2 := strings.Cut(rest, ".")
	n, err := strconv.ParseUint(parts, 10, 31)
	if !ok || !ok2 || err != nil || token("object", unique) != nil {
		return 0
	}
	return int(n)
}

var errNoObject = errors.New("object not found")

// fetch returns an object of a task.
func (s *store) fetch(ctx context.Context, k, name string) (data []byte, err error) {
	parts := partsOf(k, name)
	if parts == 0 {
		return nil, errNoObject
	}
	stream, err := s.open(ctx, false)
	for n := 1; err == nil && n <= parts; n++ {
		var m *jetstream.RawStreamMsg
		if m, err = last(ctx, stream, s.part(name, n)); err == nil && m == nil {
			m, err = s.certain(ctx, s.part(name, n))
		}
		switch {
		case err != nil:
		case m == nil:
			err = errNoObject
		default:
			data = append(data, m.Data...)
		}
	}
	return data, err
}

// certain is the last message of a subject, nil if there is none, by the leader of
// the stream.
func (s *store) certain(ctx context.Context, subject string) (*jetstream.RawStreamMsg, error) {
	ctx, cancel := context.WithTimeout(ctx, partTimeout)
	defer cancel()
	answer, err := s.b.nc.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+s.name, encode(map[string]string{"last_by_subj": subject}))
	if err != nil {
		return nil, err
	}
	var a struct {
		Error   *jetstream.APIError `json:"error"`
		Message *struct {
			Data []byte    `json:"data"`
			Time time.Time `json:"time"`
		} `json:"message"`
	}
	switch err := json.Unmarshal(answer.Data, &a); {
	case err != nil:
		return nil, err
	case a.Error != nil && a.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound:
		return nil, nil
	case a.Error != nil:
		return nil, a.Error
	case a.Message == nil:
		return nil, jetstream.ErrInvalidJetStreamResponse
	}
	return &jetstream.RawStreamMsg{Subject: subject, Data: a.Message.Data, Time: a.Message.Time}, nil
}

// missing reports whether an object, which could not be fetched, isn't there.
func missing(err error) bool {
	return errors.Is(err, errNoObject) || errors.Is(err, jetstream.ErrStreamNotFound)
}

// hopeless reports whether an object can't be stored or read, for a reason that
// does not pass. A server that is away while the stream is made may come back.
func hopeless(err error) bool {
	var e *jetstream.APIError
	return fateOf(err) == refused && !(errors.As(err, &e) && e.ErrorCode == codeNoPeers)
}

const codeNoPeers = 10005 // there are not enough servers for the replicas

// discard deletes an object that nobody needs any more. If that fails, a value
// goes when it is old enough, and an input is found by a janitor.
func (s *store) discard(ctx context.Context, k, name string) {
	if partsOf(k, name) == 0 {
		return
	}
	stream, err := s.open(ctx, false)
	if err == nil {
		err = stream.Purge(ctx, jetstream.WithPurgeSubject(s.prefix+name+".*"))
	}
	if err != nil && !missing(err) {
		s.b.log.Debug("antflow: an object was not deleted", "object", name, "err", err)
	}
}

// aged reports whether something that expires with results, or is an orphan when it
// is as old, may be so before long.
func (b *broker) aged(since time.Time) bool { return time.Since(since) > b.keeps()/4 }

// keeps is how long results are kept.
func (b *broker) keeps() time.Duration {
	return orElse(b.results.CachedInfo().Config.MaxAge, defaultRetention)
}
