package pipeline

import (
	"errors"

	"github.com/antflow/antflow"
)

// adaptive is what [Adaptive] says.
type adaptive struct{ min, max int }

// Adaptive lets a stage find out by itself how many workers it should have,
// between min and max: more while the time of a call holds, fewer when calls
// take longer or the service says that it is overloaded. It begins with min.
//
// The law: calls are looked at in rounds of as many as there are workers, and 8
// at least. L is the mean time of a round's calls that succeeded, and B the
// least L so far, which grows by 2% with each round, so that it follows a
// service that got slower for good.
//
//   - A call that fails as overloaded ends the round, and the workers become 7/10
//     of what they were.
//   - L > 2B: they become 9/10.
//   - L ≤ 1.5B, and all of them were in use: they become twice as many, or, after
//     they have once become fewer, one more.
//
// Calls that began before the workers became fewer don't make them fewer again.
// An error is one of overload if it was marked by [antflow.RetryAfter], or if it
// is a timeout, as [context.DeadlineExceeded] is; [OverloadIf] replaces that.
// Fractions are rounded down. Of this option and [Workers] the later one counts;
// [Pipeline.Workers] counts max. min below 1 and max below min panic.
func Adaptive(min, max int) StageOption {
	must(min >= 1, "Adaptive(%d, %d): the least number of workers must be at least 1", min, max)
	must(max >= min, "Adaptive(%d, %d): the most workers must not be fewer than the least", min, max)
	return stageOption(func(d *stageDef) {
		d.adapt = &adaptive{min: min, max: max}
		d.workers = min
	})
}

// OverloadIf says which errors mean that a service is overloaded, for a stage
// with [Adaptive] workers. fn sees what each call returned, must be quick, and
// safe for concurrent use. A nil fn panics, and a stage without such workers does.
func OverloadIf(fn func(error) bool) StageOption {
	must(fn != nil, "OverloadIf(nil): the function must not be nil")
	return stageOption(func(d *stageDef) { d.overloaded = fn })
}

func overloaded(err error) bool {
	if _, ok := antflow.RetryAfterOf(err); ok {
		return true
	}
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// adapting is the state of that in a run.
type adapting struct {
	*adaptive
	least   int64 // B, in ns; 0: there was no round
	slowed  bool  // the workers have once become fewer
	changed int64 // when they last did

	calls, succeeded int // of this round
	sum              int64
	full             bool
}

const (
	leastRound = 8
	leastTime  = int64(100e3) // ns; shorter calls differ for other reasons
)

// calledLocked takes note of a call that is over, in a pool that has it as
// running still.
func (a *adapting) calledLocked(p *pool, now, worked int64, o *outcome) {
	if a == nil || now-worked < a.changed {
		return
	}
	if p.idle() == 0 {
		a.full = true
	}
	if o.overload {
		a.fewer(p, now, 7)
		return
	}
	a.calls++
	if o.err == nil {
		a.succeeded++
		a.sum += worked
	}
	if a.calls < max(leastRound, p.limit) {
		return
	}
	if a.succeeded > 0 {
		time := max(a.sum/int64(a.succeeded), leastTime)
		a.least += a.least / 50
		if a.least == 0 || time < a.least {
			a.least = time
		}
		switch {
		case time > 2*a.least:
			a.fewer(p, now, 9)
			return
		case time <= a.least+a.least/2 && a.full:
			n := p.limit + 1
			if !a.slowed {
				n = 2 * p.limit
			}
			p.limit = min(n, a.max)
		}
	}
	a.round()
}

// fewer makes the workers tenths of what they are, and at least one fewer.
func (a *adapting) fewer(p *pool, now int64, tenths int) {
	p.limit = max(min(p.limit*tenths/10, p.limit-1), a.min)
	a.slowed = true
	a.changed = now
	a.round()
}

// round begins a round.
func (a *adapting) round() { a.calls, a.succeeded, a.sum, a.full = 0, 0, 0, false }
