package cluster

import (
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/nats-io/nats.go"

	"github.com/antflow/antflow"
)

// An Option is for [Connect] as well as for [Serve].
type Option interface {
	ClientOption
	ServeOption
}

// A ClientOption is for [Connect].
type ClientOption interface{ applyClient(*clientSettings) }

// A ServeOption is for [Serve].
type ServeOption interface{ applyServe(*serveSettings) }

// settings are what clients and workers have in common.
type settings struct {
	space     space
	nats      []nats.Option
	codecs    []Codec // the first one encodes
	registry  registry
	log       *slog.Logger
	replicas  int
	backlog   int64
	retention time.Duration
	err       error // of an option
}

type clientSettings struct {
	settings
	session string
	queue   string
	pending int
}

type serveSettings struct {
	settings
	name        string
	concurrency int
	queues      []string
	executor    *antflow.Executor
	drain       time.Duration
	lease       time.Duration
	crashes     int
	health      *Health
}

type (
	option       func(*settings)
	clientOption func(*clientSettings)
	serveOption  func(*serveSettings)
)

func (o option) applyClient(s *clientSettings)       { o(&s.settings) }
func (o option) applyServe(s *serveSettings)         { o(&s.settings) }
func (o clientOption) applyClient(s *clientSettings) { o(s) }
func (o serveOption) applyServe(s *serveSettings)    { o(s) }

const (
	defaultNamespace = "default"
	defaultQueue     = "default"
	defaultBacklog   = 1 << 20
	defaultRetention = 24 * time.Hour
	defaultLease     = 30 * time.Second
	defaultDrain     = time.Minute
	defaultCrashes   = 3
)

func newSettings() settings {
	return settings{
		space:    space{defaultNamespace},
		codecs:   []Codec{JSON, Gob},
		registry: registry{values: make(map[string]error), types: make(map[string]reflect.Type)},
		log:      slog.New(slog.DiscardHandler),
	}
}

// codec returns the codec of that name, or nil.
func (s *settings) codec(name string) Codec {
	for _, c := range s.codecs {
		if c.Name() == name {
			return c
		}
	}
	return nil
}

// Namespace keeps the tasks of one system apart from those of others on the
// same broker. All its processes need the same; the default is "default". It is
// up to 64 letters, digits, - and _, or Connect and Serve return an error.
func Namespace(name string) Option {
	return option(func(s *settings) {
		if err := token("namespace", name); err != nil {
			s.err = err
		}
		s.space.name = name
	})
}

// NATS passes options on to nats.go: [nats.UserCredentials], [nats.Token],
// [nats.RootCAs], [nats.ClientCert], [nats.Name] and all others. They come after
// those of this package, which has connections reconnect for ever.
func NATS(opts ...nats.Option) Option {
	opts = slices.Clone(opts)
	return option(func(s *settings) { s.nats = append(s.nats, opts...) })
}

// Codecs are the codecs that messages may have, besides [JSON] and [Gob]. The
// first one encodes the inputs of a client. A codec that is nil panics, and so does
// one whose name isn't 1 to 64 letters, digits, - and _, or is that of another.
func Codecs(codecs ...Codec) Option {
	names := map[string]bool{JSON.Name(): true, Gob.Name(): true}
	for i, c := range codecs {
		must(c != nil, "Codecs: nil Codec at index %d", i)
		name := c.Name()
		must(token("codec", name) == nil, "Codecs: the name %q at index %d must be 1 to %d letters, digits, - or _", clip(name), i, mostToken)
		must(!names[name] || c == JSON || c == Gob, "Codecs: two codecs are called %q", name)
		names[name] = true
	}
	codecs = slices.Clone(codecs)
	return option(func(s *settings) { s.codecs = append(slices.Clip(codecs), JSON, Gob) })
}

// ErrorType has errors of the type E cross from the worker to the client as
// what they are, so that [errors.As] finds them: as JSON, under that name. Both
// sides need the option. What E wraps is lost, but for what its JSON has. An error
// that says something else once it is JSON, such as one with unexported fields,
// crosses as a [*RemoteError]. An empty name panics, and so does the name of
// another type when both are used.
func ErrorType[E error](name string) Option {
	must(name != "", "ErrorType: the name must not be empty")
	t := reflect.TypeFor[E]()
	must(t.Kind() != reflect.Interface, "ErrorType[%v](%q): the type must not be an interface", t, name)
	return option(func(s *settings) {
		other := s.registry.types[name]
		must(other == nil || other == t, "ErrorType[%v](%q): that is what %v is called", t, name, other)
		s.registry.types[name] = t
	})
}

// ErrorValue has err, a value that is compared with [errors.Is], cross from the
// worker to the client as what it is, under that name. Both sides need the
// option. The values of this module, those of package context and the usual
// ones of io, io/fs and os are known anyway. An empty name, and an err that is
// nil or not comparable, panic, and so does the name of another one when both are
// used.
func ErrorValue(name string, err error) Option {
	must(name != "", "ErrorValue: the name must not be empty")
	must(err != nil, "ErrorValue(%q, nil): the error must not be nil", name)
	must(reflect.TypeOf(err).Comparable(), "ErrorValue(%q): a %T is not comparable", name, err)
	return option(func(s *settings) {
		other := s.registry.values[name]
		must(other == nil || other == err, "ErrorValue(%q, %q): that is what %q is called", name, err, other)
		s.registry.values[name] = err
	})
}

// Logger has what an operator may want to know written to l: reconnections,
// messages that make no sense, retries of what concerns no task alone. A nil l
// panics.
func Logger(l *slog.Logger) Option {
	must(l != nil, "Logger(nil): the logger must not be nil")
	return option(func(s *settings) { s.log = l })
}

// Replicas is on how many servers the streams are kept, if this process is the
// first and makes them: 1, the default, 3 or 5. Where the streams exist, it
// must be what they have.
func Replicas(n int) Option {
	must(n == 1 || n == 3 || n == 5, "Replicas(%d): the number must be 1, 3 or 5", n)
	return option(func(s *settings) { s.replicas = n })
}

// Backlog is how many tasks the broker keeps of the namespace that are
// unfinished; while there are so many, a task that is NonBlocking fails, and others
// wait at their clients. A client finds out by the broker's answer, which Submit
// does not wait for; it has up to 4096 tasks that wait so, and then Submit blocks.
// It is a setting of the stream, as [Replicas] is; the default is 1,048,576. n
// below 1 panics.
func Backlog(n int) Option {
	must(n >= 1, "Backlog(%d): the number must be at least 1", n)
	return option(func(s *settings) { s.backlog = int64(n) })
}

// Retention is how long results are kept, whether read or not, and what is noted of
// the attempts of tasks: a task that no worker gets to for so long, or for half of
// that if it waits for a retry, begins to count its failures and crashes anew. So
// it should be well above the [Lease]. It is a setting of the stream, as [Replicas]
// is; the default is 24 hours. d below a minute panics.
func Retention(d time.Duration) Option {
	must(d >= time.Minute, "Retention(%v): the time must be at least a minute", d)
	return option(func(s *settings) { s.retention = d })
}

// Session names the session of the client. The tasks of a session with a
// [antflow.Key] are the same tasks whoever submits them, so a program that
// starts again with the same session and submits the same keys gets the
// results that are there, and waits for the rest. Without it each client has a
// session of its own. It is up to 64 letters, digits, - and _, or Connect returns
// an error.
func Session(name string) ClientOption {
	return clientOption(func(s *clientSettings) {
		if err := token("session", name); err != nil {
			s.err = err
		}
		s.session = name
	})
}

// DefaultQueue is the queue of the client's tasks that have no [antflow.Queue];
// the default is "default". It is up to 64 letters, digits, - and _, or Connect
// returns an error.
func DefaultQueue(name string) ClientOption {
	return clientOption(func(s *clientSettings) {
		if err := token("queue", name); err != nil {
			s.err = err
		}
		s.queue = name
	})
}

// MostPending is how many unfinished tasks the client may have; while there are
// so many, Submit blocks, or fails a task that is NonBlocking. 0, the default,
// is no limit but that of the broker's [Backlog]; a negative n panics.
func MostPending(n int) ClientOption {
	must(n >= 0, "MostPending(%d): the number must not be negative", n)
	return clientOption(func(s *clientSettings) { s.pending = n })
}

// WorkerName is what the worker is called in results, logs and [Client.Status]; the
// default is the host's name with the number of the process. It is up to 64
// printable characters, blanks only between others, or Serve returns an error.
func WorkerName(name string) ServeOption {
	return serveOption(func(s *serveSettings) {
		if len(name) > mostToken || name == "" || name != strings.TrimSpace(name) || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
			s.err = failure("the name of the worker %q must be 1 to %d printable characters, blanks only between others", clip(name), mostToken)
		}
		s.name = name
	})
}

// Concurrency is how many tasks run at the same time in this process; the
// default is the number of CPUs. n below 1 panics.
func Concurrency(n int) ServeOption {
	must(n >= 1, "Concurrency(%d): the number must be at least 1", n)
	return serveOption(func(s *serveSettings) { s.concurrency = n })
}

// Queues are the queues that the worker serves; the default is "default". Among
// tasks of the same priority they take turns. With a name that isn't 1 to 64
// letters, digits, - and _, Serve returns an error.
func Queues(names ...string) ServeOption {
	names = slices.Clone(names)
	must(len(names) > 0, "Queues: there must be one")
	return serveOption(func(s *serveSettings) {
		for _, name := range names {
			if err := token("queue", name); err != nil {
				s.err = err
			}
		}
		s.queues = names
	})
}

// On has the tasks run on e, which may have other tasks as well and is shown by
// whatever shows executors. Its number of workers is the worker's concurrency,
// also when it is resized; [Concurrency] must not be given. Its default options of
// tasks don't count: those of the task and the call do. It is not shut down. A nil e
// panics.
func On(e *antflow.Executor) ServeOption {
	must(e != nil, "On(nil): the executor must not be nil")
	return serveOption(func(s *serveSettings) { s.executor = e })
}

// DrainTimeout is how long running tasks may take to finish once Serve's
// context has ended; the default is a minute. Then their contexts are canceled, and
// they are given back, also those whose functions return an error then: any but one
// that is marked by [antflow.Permanent], which is their result. A negative d
// panics.
func DrainTimeout(d time.Duration) ServeOption {
	must(d >= 0, "DrainTimeout(%v): the time must not be negative", d)
	return serveOption(func(s *serveSettings) { s.drain = d })
}

// Lease is for how long the broker waits for word of a task that a worker has,
// before it gives it to another one. A worker gives word three times in that,
// so it is not how long a task may take. It is a setting of the consumers, as
// [Replicas] is of the streams; the default is 30 seconds. A worker without the
// option goes by what the consumers have. d below a second panics.
func Lease(d time.Duration) ServeOption {
	must(d >= time.Second, "Lease(%v): the time must be at least a second", d)
	return serveOption(func(s *serveSettings) { s.lease = d })
}

// MostCrashes is how often a task may take its worker down with it, and be given
// to another one; then it fails with [ErrCrashed]. Of tasks for which that is the
// last time a worker runs one at a time, so those that only shared a worker with
// the one that takes it down get through. The default is 3. A negative n panics.
func MostCrashes(n int) ServeOption {
	must(n >= 0, "MostCrashes(%d): the number must not be negative", n)
	return serveOption(func(s *serveSettings) { s.crashes = n })
}

// ReportTo has h tell how the worker is. A nil h panics.
func ReportTo(h *Health) ServeOption {
	must(h != nil, "ReportTo(nil): the health must not be nil")
	return serveOption(func(s *serveSettings) { s.health = h })
}
