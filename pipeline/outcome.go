package pipeline

import (
	"errors"
	"runtime/debug"
	"time"

	"github.com/antflow/antflow"
)

// An outcome is what a call came to. To find it out may call methods of the
// user's errors, so it is made without the lock.
type outcome struct {
	err      error
	to       int   // the site where the item goes
	val      any   // the cell of its value there
	skip     bool  // err is ErrSkipped
	panicked bool  // it is a panic
	overload bool  // it says so, for a stage with adaptive workers
	refused  bool  // the executor takes no more tasks, not even those that a task of its own submits
	late     error // there was no call, since the context that the item was fed with has ended with err: its cause
	ended    bool  // err came when the context of the task had ended, which only ends with the run
	route    bool  // err is of a route behind the stage
	again    bool  // the stage's function is to be called again
	delay    time.Duration
	kind     string // of err
}

// fail makes o a failure that is not of a stage's function.
func (o *outcome) fail(err error) { *o = outcome{err: err, kind: antflow.ErrorKind(err), route: true} }

// judge makes the outcome of a call that returned err.
func (d *stageDef) judge(err error, o *outcome) {
	if err == nil {
		return
	}
	o.err = err
	o.skip = errors.Is(err, ErrSkipped)
	_, o.panicked = err.(*antflow.PanicError)
	o.overload = d.adapt != nil && d.overloaded(err)
	o.kind = antflow.ErrorKind(err)
}

// failed makes the outcome of a carrier's call that failed, and finds out whether
// there is to be another one. That calls the user's code, whose panic is the
// item's failure.
func (p *pool) failed(err error, crashed bool, attempt int, o *outcome) {
	defer func() {
		if v := recover(); v != nil {
			*o = outcome{}
			p.def.judge(panicError(v), o)
			o.wrap(attempt)
		}
	}()
	p.def.judge(err, o)
	o.panicked = crashed
	if p.settings.Retries > 0 && !o.skip {
		o.delay, o.again = p.settings.Again(attempt, err, crashed)
	}
	o.err = antflow.Unmarked(err)
	if !o.again && !o.skip {
		o.wrap(attempt)
	}
}

// wrap tells in the error how often the function was called.
func (o *outcome) wrap(attempts int) {
	if attempts > 1 {
		o.err = &antflow.RetryError{Attempts: attempts, Err: o.err}
	}
}

func panicError(v any) error {
	return &antflow.PanicError{Value: v, Stack: debug.Stack()}
}
