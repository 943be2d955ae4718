package pipeline

import "github.com/antflow/antflow"

// A RunOption configures one run of a pipeline.
type RunOption interface{ applyRun(*settings) }

// settings are what the options of a run say.
type settings struct {
	window   int
	failFast bool
	key      any // func(In) string
	prio     any // func(In) int
	onEvent  func(Event)
	monitor  *Monitor
	history  int
	letters  int
	still    int // for tests: after so many calls a stage counts as quick, also where the clock stands still; 0: it doesn't
}

type runOption func(*settings)

func (o runOption) applyRun(s *settings) { o(s) }

// Window bounds how many inputs are in the run at a time: pulled or fed, and
// neither yielded, which one is when the loop's body returns, nor settled, nor in
// a batch. So it may be smaller than a batch. The parts that a stage makes of
// them, and the batches, are bounded in the same way for each place where that
// happens; in an ordered run half of that is for the parts of the item whose turn
// it is, so that those of later ones don't hold them up. The default is 256 or
// four times the workers of all stages, whichever is greater. n below 1 panics.
func Window(n int) RunOption {
	must(n >= 1, "Window(%d): the window must be at least 1", n)
	return runOption(func(s *settings) { s.window = n })
}

// FailFast ends the run with the first item in time that fails, and that failure
// is its error; what else there is gets canceled. A loop gets the results that
// are ready before it, in an ordered run those without a gap, and then the
// failure.
func FailFast() RunOption { return runOption(func(s *settings) { s.failFast = true }) }

// Key names the inputs: the key goes with the item and what is made of it, into
// errors and status. fn
// is called once for each input, by whoever brings it. A nil fn panics, and
// running a pipeline of another type of inputs does.
func Key[In any](fn func(In) string) RunOption {
	must(fn != nil, "Key(nil): the function must not be nil")
	return runOption(func(s *settings) { s.key = fn })
}

// PriorityBy gives the inputs a priority that goes with the item: in each stage
// those of a higher one come first, and among equals those that came first. The
// default is 0. fn is called once for each input, by whoever brings it. A nil
// fn panics, and running a pipeline of another type of inputs does.
func PriorityBy[In any](fn func(In) int) RunOption {
	must(fn != nil, "PriorityBy(nil): the function must not be nil")
	return runOption(func(s *settings) { s.prio = fn })
}

// A FeedOption says more of one input given to [Run.Feed].
type FeedOption func(*fed)

type fed struct {
	key  string
	prio int
}

// WithKey names the input; see [Key].
func WithKey(key string) FeedOption { return func(f *fed) { f.key = key } }

// WithPriority gives the input a priority; see [PriorityBy].
func WithPriority(n int) FeedOption { return func(f *fed) { f.prio = n } }

// labels are how a run finds keys and priorities of inputs.
type labels[In any] struct {
	key  func(In) string
	prio func(In) int
}

func labelsOf[In any](where string, s *settings) (l labels[In]) {
	var ok bool
	if s.key != nil {
		l.key, ok = s.key.(func(In) string)
		must(ok, "%s: Key is given a %T, but the inputs are of type %T", where, s.key, *new(In))
	}
	if s.prio != nil {
		l.prio, ok = s.prio.(func(In) int)
		must(ok, "%s: PriorityBy is given a %T, but the inputs are of type %T", where, s.prio, *new(In))
	}
	return l
}

// label returns what the run's options make of an input.
func (l labels[In]) label(x In) (given fed) {
	if l.prio != nil {
		given.prio = l.prio(x)
	}
	if l.key != nil {
		given.key = l.key(x)
	}
	return given
}

// settingsOf applies the options of a run of p on ex.
func (p *plan) settingsOf(where string, ex *antflow.Executor, opts []RunOption) settings {
	must(ex != nil, "%s: the executor must not be nil", where)
	s := settings{window: max(256, 4*p.workers()), letters: mostFailures}
	for i, o := range opts {
		must(o != nil, "%s: nil RunOption at index %d", where, i)
		o.applyRun(&s)
	}
	return s
}
