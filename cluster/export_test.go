package cluster

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/antflow/antflow"
)

// Names, for the tests in cluster_test.

type (
	Space   = space
	TaskKey string
	Place   = place
	Level   = level
)

func NewSpace(name string) Space                         { return space{name} }
func NewKey(session, id string) TaskKey                  { return TaskKey(session + "." + id) }
func (k TaskKey) Parts() (session, id string)            { session, id, _ = strings.Cut(string(k), "."); return }
func (p Place) Parts() (queue, level string)             { return p.queue, p.level }
func (p Place) Key() TaskKey                             { return TaskKey(p.key) }
func (s Space) Task(q string, l Level, k TaskKey) string { return s.task(q, l, string(k)) }
func (s Space) Consumed(q string, l Level) string        { return s.consumed(q, l) }
func (s Space) Consumer(q string, l Level) string        { return s.consumer(q, l) }
func (s Space) Result(k TaskKey) string                  { return s.result(string(k)) }
func (s Space) Attempt(k TaskKey) string                 { return s.attempt(string(k)) }
func (s Space) Streams() []string                        { return []string{s.tasks(), s.results(), s.inputs(), s.values()} }

var (
	LevelOf    = levelOf
	ParsePlace = parsePlace
	IDOf       = idOf
	Token      = token
	Failure    = failure
)

// ParseKey is the key at the end of s.
func ParseKey(s string) (TaskKey, bool) {
	k, ok := keyOf(s)
	return TaskKey(k), ok
}

const (
	Levels    = levels
	MostToken = mostToken
)

// Messages.

const (
	Schema     = schema
	MostInline = mostInline
	EndOK      = endOK
)

// WireOptions are what a call says to the worker.
type WireOptions = options

// Extras are what is unusual about a message.
type Extras struct {
	Key, Codec, Object string
	Options            WireOptions
}

func (x Extras) extras() extras { return extras{x.Key, x.Codec, x.Object, x.Options} }

func (x *extras) exported() Extras { return Extras{x.Key, x.codec(), x.Object, x.options} }

// TaskMessage is the message of a task with the settings s.
func TaskMessage(task string, s *antflow.TaskSettings, c Codec, object string, payload []byte) []byte {
	x := extras{Key: s.Key, Object: object, options: optionsOf(task, s)}
	x.encodedBy(c.Name())
	return newTask(task, x, payload)
}

func NewTaskMessage(name string, x Extras, payload []byte) []byte {
	return newTask(name, x.extras(), payload)
}

// A ParsedTask is what a message says of a task.
type ParsedTask struct {
	Name string
	Extras
	Payload []byte
}

func ParseTask(p Place, data []byte) (ParsedTask, error) {
	t, err := parseTask(p, data)
	return ParsedTask{t.name, t.exported(), t.payload}, err
}

// A ParsedResult is what a message says of a result.
type ParsedResult struct {
	End         string
	Attempts    int
	Queued, Ran time.Duration
	Worker      string
	Extras
	Payload []byte
}

func NewResultMessage(r ParsedResult) []byte {
	return newResult(outcome{r.End, r.Attempts, r.Queued, r.Ran, r.Worker}, r.extras(), r.Payload)
}

func ParseResult(data []byte) (ParsedResult, error) {
	r, err := parseResult(data)
	return ParsedResult{r.end, r.attempts, r.queued, r.ran, r.worker, r.exported(), r.payload}, err
}

// Fate is what became of a message, by the answer to it.
func Fate(err error) string {
	return [...]string{"stored", "existing", "full", "unknown", "refused"}[fateOf(err)]
}

// Clock is what the broker's clock shows at t, if it showed then at the moment at.
func Clock(then, at, t time.Time) time.Time { return (&broker{then: then, at: at}).clock(t) }

// Errors.

const (
	MostErrors     = mostErrors
	MostErrorText  = mostErrorText
	MostErrorDepth = mostErrorDepth
)

type (
	WireError = wireError
	ErrorKind = errorKind
)

func registryOf(opts []Option) *registry {
	s := clientSettings{settings: newSettings()}
	for _, o := range opts {
		o.applyClient(&s)
	}
	return &s.registry
}

// EncodeError is what a worker with these options sends of err.
func EncodeError(err error, opts ...Option) []byte { return encode(registryOf(opts).encode(err)) }

// DecodeError is what a client with these options makes of it.
func DecodeError(data []byte, opts ...Option) (error, error) {
	w := new(wireError)
	if err := json.Unmarshal(data, w); err != nil {
		return nil, err
	}
	return registryOf(opts).decode(w), nil
}

func (e *RemoteError) Inner() []error { return e.inner }

// Options.

// A Worked is what a worker makes of the options of a call.
type Worked struct {
	Attempt antflow.TaskSettings // of one attempt, on the executor
	Task    antflow.TaskSettings // to decide on another one
}

// With has a worker look at the options of calls of h, one after the other.
func With(h Handler, calls ...WireOptions) (worked []Worked, kept int) {
	w := newHandler(h)
	for _, o := range calls {
		c := w.with(o)
		worked = append(worked, Worked{antflow.SettingsOf(c.run), c.settings})
	}
	return worked, len(w.options)
}

const MostOptions = mostOptions

// Said is what options say, in words; the error is what they are wrong in.
type Said struct {
	Namespace, Session, Queue, Worker       string
	Codecs, Queues                          []string
	Replicas, Pending, Concurrency, Crashes int
	Backlog                                 int64
	Retention, Drain, Lease                 time.Duration
	NATS                                    int
	Health                                  *Health
	Executor                                *antflow.Executor
}

func (s *settings) say() (x Said, err error) {
	x = Said{Namespace: s.space.name, Replicas: s.replicas, Backlog: s.backlog, Retention: s.retention, NATS: len(s.nats)}
	for _, c := range s.codecs {
		x.Codecs = append(x.Codecs, c.Name())
	}
	return x, s.err
}

func SaidToClient(opts ...ClientOption) (Said, error) {
	s := clientSettings{settings: newSettings(), queue: defaultQueue}
	for _, o := range opts {
		o.applyClient(&s)
	}
	x, err := s.say()
	x.Session, x.Queue, x.Pending = s.session, s.queue, s.pending
	return x, err
}

func SaidToWorker(opts ...ServeOption) (Said, error) {
	s := serveSettings{settings: newSettings(), queues: []string{defaultQueue}, drain: defaultDrain, crashes: defaultCrashes}
	for _, o := range opts {
		o.applyServe(&s)
	}
	x, err := s.say()
	x.Worker, x.Queues, x.Concurrency, x.Crashes = s.name, s.queues, s.concurrency, s.crashes
	x.Drain, x.Lease, x.Health, x.Executor = s.drain, s.lease, s.health, s.executor
	return x, err
}
