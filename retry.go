package antflow

import (
	"errors"
	"math"
	"math/rand/v2"
	"time"
)

const (
	defaultRetryDelay = 100 * time.Millisecond
	maxRetryDelay     = time.Minute
)

// A Backoff is a schedule of retries: the delay after a failed attempt, 1
// being the first, and its error. A delay of 0 or less retries at once. It
// runs on the worker and must be safe for concurrent use; its panic fails the
// task with a [*PanicError].
type Backoff func(attempt int, err error) time.Duration

// ConstantBackoff waits d before each retry. A negative d panics.
func ConstantBackoff(d time.Duration) Backoff {
	must(d >= 0, "ConstantBackoff(%v): the delay must not be negative", d)
	return func(int, error) time.Duration { return d }
}

// ExponentialBackoff waits first before the first retry and twice as long
// before each further one, up to max. 0 for max is no limit. Negative
// arguments panic.
func ExponentialBackoff(first, max time.Duration) Backoff {
	must(first >= 0, "ExponentialBackoff: the first delay %v must not be negative", first)
	must(max >= 0, "ExponentialBackoff: the longest delay %v must not be negative", max)
	if max == 0 {
		max = math.MaxInt64
	}
	return func(attempt int, _ error) time.Duration { return doubled(first, max, attempt) }
}

// doubled is first after the first attempt and twice as long after each
// further one, up to max.
func doubled(first, max time.Duration, attempt int) time.Duration {
	if first == 0 {
		return 0
	}
	// Shifting the limit down instead of the delay up can't overflow.
	doublings := min(uint(attempt)-1, 63)
	if first > max>>doublings {
		return max
	}
	return first << doublings
}

// Jitter returns b with each delay multiplied by a random factor between
// 1-fraction and 1+fraction, so that tasks that failed together don't come
// back together. A fraction outside of 0 to 1 and a nil b panic.
func (b Backoff) Jitter(fraction float64) Backoff {
	must(b != nil, "Backoff.Jitter: the schedule must not be nil")
	must(fraction >= 0 && fraction <= 1, "Backoff.Jitter(%v): the fraction must be between 0 and 1", fraction)
	return func(attempt int, err error) time.Duration {
		d := float64(b(attempt, err)) * (1 + fraction*(2*rand.Float64()-1))
		if d >= math.MaxInt64 {
			return math.MaxInt64
		}
		return time.Duration(d)
	}
}

// retries reports whether an attempt that ended with err is to be followed by
// another one, and after how long. It calls the user's code.
func (t *task) retries(err error, crashed bool) (bool, time.Duration) {
	return t.spec.again(t.Attempts(), err, crashed)
}

// again is retries of a task with n attempts.
func (s *spec) again(n int, err error, crashed bool) (bool, time.Duration) {
	if n > int(s.retries) {
		return false, 0
	}
	if permanent := (*permanentError)(nil); errors.As(err, &permanent) {
		return false, 0
	}
	plain := stripMarks(err)
	if s.retryIf != nil {
		if !s.retryIf(plain) {
			return false, 0
		}
	} else if crashed {
		return false, 0
	}
	if after := (*retryAfterError)(nil); errors.As(err, &after) {
		return true, after.d
	}
	if s.backoff != nil {
		return true, s.backoff(n, plain)
	}
	return true, doubled(s.retryDelay, max(s.retryDelay, maxRetryDelay), n)
}

// dueBefore is the order of the timers: by time, then by start order.
func dueBefore(a, b *task) bool {
	if a.x.when != b.x.when {
		return a.x.when < b.x.when
	}
	return startsBefore(a, b)
}

// scheduleLocked has t looked at by ring when its time comes: the end of a
// retry's delay, or of the QueueTimeout of a task that didn't start.
func (e *Executor) scheduleLocked(t *task, when time.Time) {
	if e.epoch.IsZero() {
		e.epoch = time.Now()
	}
	t.extra().when = when.Sub(e.epoch)
	e.timers.push(t)
	e.setTimerLocked()
}

func (e *Executor) unscheduleLocked(t *task) {
	if t.x != nil && t.x.timer != 0 {
		e.timers.remove(t)
		e.setTimerLocked()
	}
}

// setTimerLocked makes the one timer fit the first task of the heap. A timer
// counts among the active from its start to its stop, or to the end of its
// function, so that no shutdown completes under one that fires.
func (e *Executor) setTimerLocked() {
	first := e.timers.top()
	if e.timer != nil {
		if first != nil && first.x.when == e.timerAt {
			return
		}
		if e.timer.Stop() {
			e.active.Add(-1)
		}
		e.timer = nil
	}
	if first == nil {
		return
	}
	e.active.Add(1)
	e.timerAt = first.x.when
	e.timerRun++
	run := e.timerRun
	// Never 0: timers that are due at once crash the race detector in a bubble
	// of testing/synctest (Go 1.26).
	e.timer = time.AfterFunc(max(e.timerAt-time.Since(e.epoch), 1), func() { e.ring(run) })
}

// ring takes every task whose time has come out of the timers. One that was
// stopped too late finds nothing due, or what a later one would have found.
func (e *Executor) ring(run uint64) {
	defer e.leave()
	var expired []*task
	e.mu.Lock()
	e.assignLocked()
	now := time.Since(e.epoch)
	for t := e.timers.top(); t != nil && t.x.when <= now; t = e.timers.top() {
		e.timers.remove(t)
		switch t.phase {
		case phaseDelay:
			e.resumeLocked(t)
		case phaseAdmission:
			e.rejectLocked(t, ErrQueueTimeout)
		default:
			e.leaveLocked(t)
			e.countLocked(t, StateFailed, queueTimeout)
			expired = append(expired, t)
		}
	}
	if run == e.timerRun {
		e.timer = nil
	}
	e.setTimerLocked()
	e.dispatchLocked()
	e.unlock()
	e.failAll(expired, ErrQueueTimeout)
}
