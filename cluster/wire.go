package cluster

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/antflow/antflow"
)

// What messages look like. The first line of a task's says which task it is, and
// that of a result how the task ended; each begins with the schema, and may end
// with a JSON object of what is unusual. The input follows, or the value, or the
// error. There are no headers, which each of four processes would take apart:
// they cost a tenth of all.
//
// A message of another schema is refused as a whole: the number changes when
// somebody who doesn't know of the change would do the wrong thing.
const schema = "1"

// headerExpect has the broker refuse a message if there is one on its subject.
// The streams would, too, but while several servers agree on a message only this
// is certain.
const headerExpect = "Nats-Expected-Last-Subject-Sequence"

// message is a message that there may be one of on its subject.
func (b *broker) message(subject string, data []byte) *nats.Msg {
	m := &nats.Msg{Subject: subject, Data: data}
	if b.expects {
		m.Header = nats.Header{headerExpect: {"0"}}
	}
	return m
}

// split parts a message after the first line.
func split(data []byte) (head string, payload []byte) {
	line, payload, _ := bytes.Cut(data, []byte{'\n'})
	return string(line), payload
}

// Extras are what is unusual about a message.
type extras struct {
	Key    string `json:"key,omitempty"`    // of a task, for people
	Codec  string `json:"codec,omitempty"`  // where it isn't JSON
	Object string `json:"object,omitempty"` // that the payload is
	options
}

// endLine ends the first line, after what is usual.
func (x *extras) endLine(b []byte) []byte {
	if *x != (extras{}) {
		some := *x // which goes to the heap, and most have none
		b = append(append(b, ' '), encode(&some)...)
	}
	return append(b, '\n')
}

// parse reads what follows what is usual.
func (x *extras) parse(text string) error {
	if text == "" {
		return nil
	}
	some := *x
	err := json.Unmarshal([]byte(text), &some)
	if *x = some; err != nil {
		return failure("%v: the end of a first line: %v", ErrDecode, err)
	}
	return nil
}

// codec is the name of the codec that the payload is encoded by.
func (x *extras) codec() string { return orElse(x.Codec, JSON.Name()) }

// encodedBy notes the codec.
func (x *extras) encodedBy(name string) {
	if x.Codec = name; name == JSON.Name() {
		x.Codec = ""
	}
}

// options are what the options of a call say to the worker.
type options struct {
	Label        string        `json:"label,omitempty"` // if it isn't the task's name
	Retries      int           `json:"retries,omitempty"`
	RetryDelay   time.Duration `json:"delay,omitempty"`   // in nanoseconds, as the others
	Backoff      bool          `json:"backoff,omitempty"` // the schedule is a function that the task has
	Timeout      time.Duration `json:"timeout,omitempty"`
	QueueTimeout time.Duration `json:"queueTimeout,omitempty"`
	Priority     int           `json:"priority,omitempty"`
}

func optionsOf(task string, s *antflow.TaskSettings) options {
	o := options{
		Retries:      s.Retries,
		Timeout:      s.Timeout,
		QueueTimeout: s.QueueTimeout,
		Priority:     s.Priority,
	}
	if s.Name != task {
		o.Label = s.Name
	}
	if s.Retries > 0 {
		o.RetryDelay, o.Backoff = s.RetryDelay, s.Backoff != nil
	}
	return o
}

// newTask is the message of a task.
func newTask(name string, x extras, payload []byte) []byte {
	b := make([]byte, 0, len(schema)+len(name)+len(payload)+8)
	b = strconv.AppendQuoteToASCII(append(b, schema+" "...), name)
	return append(x.endLine(b), payload...)
}

// A task is what a message says of one.
type task struct {
	place
	name string
	extras
	payload []byte
}

// parseTask reads a task. The error is a result for it.
func parseTask(p place, data []byte) (t task, err error) {
	head, payload := split(data)
	t = task{place: p, payload: payload}
	v, rest, _ := strings.Cut(head, " ")
	if v != schema {
		return t, failure("%v: a task of schema %q, and this worker knows %q", ErrSchema, clip(v), schema)
	}
	if t.name, rest, err = unquote(rest); err != nil {
		return t, failure("%v: a task begins with %q", ErrDecode, clip(head))
	}
	if err := t.parse(rest); err != nil {
		return t, err
	}
	if o := &t.options; o.Retries < 0 || o.RetryDelay < 0 || o.Timeout < 0 || o.QueueTimeout < 0 {
		return t, failure("%v: a first line has a negative number:%s", ErrDecode, clip(rest))
	}
	return t, nil
}

// unquote reads the Go string that text begins with.
func unquote(text string) (s, rest string, err error) {
	quoted, err := strconv.QuotedPrefix(text)
	if err == nil {
		s, err = strconv.Unquote(quoted)
	}
	return s, text[len(quoted):], err
}

// A start is what workers tell of attempts that have begun, many in one message.
type start struct {
	ID      string `json:"id"`
	Attempt int    `json:"attempt"`
}

// ends of a task.
const (
	endOK       = "ok"
	endError    = "error"
	endCanceled = "canceled"
)

// An outcome is what the first line of a result tells.
type outcome struct {
	end         string
	attempts    int
	queued, ran time.Duration
	worker      string // empty: none has made it
}

// newResult is the message of a result.
func newResult(o outcome, x extras, payload []byte) []byte {
	b := make([]byte, 0, 48+len(o.worker)+len(payload))
	b = append(b, schema...)
	b = append(append(b, ' '), o.end...)
	b = strconv.AppendInt(append(b, ' '), int64(o.attempts), 10)
	b = strconv.AppendInt(append(b, ' '), int64(o.queued), 10)
	b = strconv.AppendInt(append(b, ' '), int64(o.ran), 10)
	b = strconv.AppendQuoteToASCII(append(b, ' '), o.worker)
	return append(x.endLine(b), payload...)
}

// A result is what a message says of how a task ended.
type result struct {
	outcome
	extras
	payload []byte
}

// parseResult reads a result. Of the figures, which nothing depends on, those
// that can't be are zero.
func parseResult(data []byte) (r result, err error) {
	head, payload := split(data)
	r.payload = payload
	rest := head
	next := func() (field string) {
		field, rest, _ = strings.Cut(rest, " ")
		return field
	}
	if v := next(); v != schema {
		return r, failure("%v: a result of schema %q, and this client knows %q", ErrSchema, clip(v), schema)
	}
	r.end = next()
	attempts, _ := strconv.Atoi(next())
	queued, _ := strconv.ParseInt(next(), 10, 64)
	ran, _ := strconv.ParseInt(next(), 10, 64)
	r.attempts, r.queued, r.ran = max(attempts, 0), max(time.Duration(queued), 0), max(time.Duration(ran), 0)
	r.worker, rest, err = unquote(rest)
	if err != nil || r.end != endOK && r.end != endError && r.end != endCanceled {
		return r, failure("%v: a result begins with %q", ErrDecode, clip(head))
	}
	return r, r.parse(rest)
}

// A mark is what is noted of the attempts of a task that doesn't go the usual
// way: the first attempt leaves none unless it fails and is retried. Each has a
// subject of its own, so two workers can't both write the next one; and each
// has the sums, so the last one is enough.
type mark struct {
	Kind     markKind      `json:"kind"`
	N        int           `json:"-"`        // of this task, from 1; the subject has it
	Attempts int           `json:"attempts"` // that have begun, as far as is known
	Failed   int           `json:"failed"`   // of them, those that returned an error
	Crashed  int           `json:"crashed"`  // begun, without any word since
	Err      *wireError    `json:"err,omitempty"`
	Delay    time.Duration `json:"delay,omitempty"`
	Rest     time.Duration `json:"rest,omitempty"` // of the delay, once the task comes back
	Ran      time.Duration `json:"ran,omitempty"`
	Worker   string        `json:"worker,omitempty"`
	By       string        `json:"by"` // which process, of several that call themselves the same
}

// parseMark reads a mark; false: it makes no sense, and counts as one that says
// nothing.
func parseMark(subject string, data []byte) (m mark, ok bool) {
	n, _ := strconv.ParseUint(subject[strings.LastIndexByte(subject, '.')+1:], 10, 31)
	err := json.Unmarshal(data, &m)
	if err != nil || min(m.Attempts, m.Failed, m.Crashed) < 0 || max(m.Attempts, m.Failed, m.Crashed) > 1<<30 ||
		m.Attempts == 0 && (m.Kind == markBegan || m.Kind == markFailed) {
		return mark{N: int(n)}, false
	}
	m.N = int(n)
	return m, true
}

type markKind string

const (
	markBegan    markKind = "began"    // an attempt of a task that was delivered before
	markFailed   markKind = "failed"   // and another one follows
	markReturned markKind = "returned" // the worker gave it back, unfinished
	markWaits    markKind = "waits"    // its delay is not over
	markExpired  markKind = "expired"  // its queue timeout has passed; it never begins
)
