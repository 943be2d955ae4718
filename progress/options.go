package progress

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/pipeline"
)

// An Option configures a display. Options are values without state: they may be
// kept, shared and used concurrently. Later ones win.
type Option interface{ apply(*config) }

// A Level says how much a display shows. It is an [Option]; the default is
// [Compact]. Where plain lines are written, all levels are the same.
type Level uint8

// The levels. Each shows what the ones before it show.
const (
	Compact  Level = iota // one line: a bar, the counts, the rate and the ETA
	Detailed              // a row for each task name, or for each stage
	Full                  // what the workers are doing, and the failures
	levels
)

var levelNames = [levels]string{"compact", "detailed", "full"}

// String returns the level's name in lower case.
func (l Level) String() string {
	if l < levels {
		return levelNames[l]
	}
	return fmt.Sprintf("Level(%d)", uint8(l))
}

// MarshalText returns what [Level.String] does. With [Level.UnmarshalText] a
// level can be read by [flag.TextVar]. The error is nil.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText sets the level of that name. Any other text is an error.
func (l *Level) UnmarshalText(text []byte) error {
	for i, name := range levelNames {
		if string(text) == name {
			*l = Level(i)
			return nil
		}
	}
	return fmt.Errorf("%s%q is no level; there are compact, detailed and full", prefix, text)
}

func (l Level) apply(c *config) {
	must(l < levels, "%v is no level", l)
	c.level = l
}

// config is what the options say together.
type config struct {
	out      output
	title    string
	level    Level
	total    uint64
	totalSet bool
	interval time.Duration // 0: the default
	more     []opener      // what WithExecutor and WithMonitor add
}

type option func(*config)

func (o option) apply(c *config) { o(c) }

func configOf(name string, opts []Option) *config {
	c := new(config)
	for i, o := range opts {
		must(o != nil, "%s: nil Option at index %d", name, i)
		o.apply(c)
	}
	if c.out.w == nil {
		c.out = outputOf(os.Stderr)
	}
	return c
}

// Total says how many there are to be: tasks, inputs or results, whatever the
// display counts. Without it the total of a sequence is unknown, and else it is
// what has been submitted or taken in, once that has stopped growing. A negative n
// panics.
func Total(n int) Option {
	must(n >= 0, "Total(%d): the total must not be negative", n)
	return option(func(c *config) { c.total, c.totalSet = uint64(n), true })
}

// Title is what a display begins with. The default is the name of the executor,
// as [antflow.ExecutorName], or else nothing.
func Title(text string) Option {
	text = clean(text)
	return option(func(c *config) { c.title = text })
}

// Output is where a display is; the default is [os.Stderr]. It is a terminal if
// w is an [*os.File] that is one, or anything with its SyscallConn method. A nil
// w and a writer of [Log] panic.
func Output(w io.Writer) Option {
	must(w != nil, "Output(nil): the writer must not be nil")
	_, above := w.(*logWriter)
	must(!above, "Output: a writer of Log writes above displays, and can't have one")
	return option(func(c *config) { c.out = outputOf(w) })
}

// Interval sets the time between two frames on a terminal, and between two lines
// elsewhere. Without it there are five frames a second, and lines at intervals
// that grow from a second to a minute. A d below 100 milliseconds panics.
func Interval(d time.Duration) Option {
	must(d >= leastInterval, "Interval(%v): the interval must be at least %v", d, leastInterval)
	return option(func(c *config) { c.interval = d })
}

// WithExecutor adds the rows of e, the names, workers and failures of its tasks,
// to a display that counts something else: a map's inputs or results. A nil e
// panics.
func WithExecutor(e *antflow.Executor) Option {
	must(e != nil, "WithExecutor(nil): the executor must not be nil")
	return option(func(c *config) { c.more = append(c.more, openExecutor(e)) })
}

// WithMonitor adds the rows of the run that m looks into, its stages, items and
// failures, to a display that counts something else: the results of
// [pipeline.Pipeline.Run]. A nil m panics.
func WithMonitor(m *pipeline.Monitor) Option {
	must(m != nil, "WithMonitor(nil): the monitor must not be nil")
	return option(func(c *config) { c.more = append(c.more, openMonitor(m)) })
}

const prefix = "antflow: "

// must panics with the prefix of all packages here when the caller broke a rule
// of the API; the message names the value.
func must(ok bool, format string, args ...any) {
	if !ok {
		panic(prefix + fmt.Sprintf(format, args...))
	}
}
