package cluster

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/antflow/antflow"
)

// What messages look like. The payload of a task is its input and that of a
// result its value or its error, and everything else is in headers: as few as
// can be, since each is paid for by four processes. The usual ones have one.
//
// A message of another schema is refused as a whole: the number changes when
// somebody who doesn't know of the change would do the wrong thing.
const schema = "1"

const (
	headerTask    = "Antflow-Task"    // of a task: the schema, and the task's name in quotes
	headerResult  = "Antflow-Result"  // of a result: the schema, the end, and figures
	headerMark    = "Antflow-Attempt" // of a mark: the schema
	headerKey     = "Antflow-Key"     // for people
	headerCodec   = "Antflow-Codec"   // where it isn't JSON
	headerOptions = "Antflow-Options" // where there are some
	headerObject  = "Antflow-Object"  // the payload is this object

	// headerExpect has the broker refuse the message if there is one on its
	// subject. The streams would, too, but while several servers agree on a
	// message only this is certain.
	headerExpect = "Nats-Expected-Last-Subject-Sequence"
)

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

// text is empty for the usual options.
func (o options) text() string {
	if o == (options{}) {
		return ""
	}
	data, err := json.Marshal(o)
	if err != nil {
		panic(prefix + err.Error()) // it has nothing but numbers and a string
	}
	return string(data)
}

// newTask is the message of a task, but for its payload.
func newTask(subject, task string, s *antflow.TaskSettings, codec Codec) *nats.Msg {
	h := nats.Header{headerExpect: {"0"}, headerTask: {schema + " " + strconv.QuoteToASCII(task)}}
	if codec != JSON {
		h[headerCodec] = []string{codec.Name()}
	}
	if s.Key != "" {
		h[headerKey] = []string{strconv.QuoteToASCII(s.Key)}
	}
	if text := optionsOf(task, s).text(); text != "" {
		h[headerOptions] = []string{text}
	}
	return &nats.Msg{Subject: subject, Header: h}
}

// A task is what a message says of one.
type task struct {
	place
	name    string
	codec   string
	object  string
	options options
	payload []byte
}

// parseTask reads a task. The error is a result for it.
func parseTask(p place, h nats.Header, payload []byte) (t task, err error) {
	t = task{place: p, codec: JSON.Name(), object: h.Get(headerObject), payload: payload}
	v, name, _ := strings.Cut(h.Get(headerTask), " ")
	if v != schema {
		return t, failure("%v: a task of schema %q, and this worker knows %q", ErrSchema, clip(v), schema)
	}
	if t.name, err = strconv.Unquote(name); err != nil {
		return t, failure("%v: the header %s is %q", ErrDecode, headerTask, clip(h.Get(headerTask)))
	}
	if c := h.Get(headerCodec); c != "" {
		t.codec = c
	}
	if text := h.Get(headerOptions); text != "" {
		if err := json.Unmarshal([]byte(text), &t.options); err != nil {
			return t, failure("%v: the header %s: %v", ErrDecode, headerOptions, err)
		}
		o := &t.options
		if o.Retries < 0 || o.RetryDelay < 0 || o.Timeout < 0 || o.QueueTimeout < 0 {
			return t, failure("%v: the header %s has a negative number: %s", ErrDecode, headerOptions, clip(text))
		}
	}
	return t, nil
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

// An outcome is what the header of a result tells.
type outcome struct {
	end         string
	attempts    int
	queued, ran time.Duration
	worker      string
}

func (o outcome) text() string {
	b := make([]byte, 0, 64)
	b = append(b, schema...)
	b = append(append(b, ' '), o.end...)
	b = strconv.AppendInt(append(b, ' '), int64(o.attempts), 10)
	b = strconv.AppendInt(append(b, ' '), int64(o.queued), 10)
	b = strconv.AppendInt(append(b, ' '), int64(o.ran), 10)
	return string(append(append(b, ' '), orElse(o.worker, noWorker)...))
}

// noWorker stands for the worker of a result that none has made. A header can't
// end with a blank.
const noWorker = "-"

// parseOutcome reads an outcome. Of the figures, which nothing depends on, those
// that can't be read are zero.
func parseOutcome(text string) (o outcome, err error) {
	parts := strings.SplitN(text, " ", 6)
	if parts[0] != schema {
		return o, failure("%v: a result of schema %q, and this client knows %q", ErrSchema, clip(parts[0]), schema)
	}
	if len(parts) != 6 || parts[1] != endOK && parts[1] != endError && parts[1] != endCanceled {
		return o, failure("%v: the header %s is %q", ErrDecode, headerResult, clip(text))
	}
	o.end = parts[1]
	o.attempts, _ = strconv.Atoi(parts[2])
	queued, _ := strconv.ParseInt(parts[3], 10, 64)
	ran, _ := strconv.ParseInt(parts[4], 10, 64)
	o.queued, o.ran, o.worker = time.Duration(queued), time.Duration(ran), orElse(parts[5], noWorker)
	return o, nil
}

// newResult is the message of a result. codec is of a value.
func newResult(subject string, o outcome, codec string, payload []byte) *nats.Msg {
	h := nats.Header{headerExpect: {"0"}, headerResult: {o.text()}}
	if codec != "" && codec != JSON.Name() {
		h[headerCodec] = []string{codec}
	}
	return &nats.Msg{Subject: subject, Header: h, Data: payload}
}

// A mark is what is noted of the attempts of a task that doesn't go the usual
// way: the first attempt leaves none unless it fails and is retried. Each has a
// subject of its own, so two workers can't both write the next one; and each
// has the sums, so the last one is enough.
type mark struct {
	Kind     markKind      `json:"kind"`
	N        int           `json:"n"`        // of this task, from 1
	Attempts int           `json:"attempts"` // that have begun, as far as is known
	Failed   int           `json:"failed"`   // of them, those that returned an error
	Crashed  int           `json:"crashed"`  // begun, without any word since
	Err      *wireError    `json:"err,omitempty"`
	Delay    time.Duration `json:"delay,omitempty"`
	Ran      time.Duration `json:"ran,omitempty"`
	Worker   string        `json:"worker,omitempty"`
}

type markKind string

const (
	markBegan    markKind = "began"    // an attempt of a task that was delivered before
	markFailed   markKind = "failed"   // and another one follows
	markReturned markKind = "returned" // the worker gave it back, unfinished
	markExpired  markKind = "expired"  // its queue timeout has passed; it never begins
)
