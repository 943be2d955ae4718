package antflow

import (
	"context"
	"errors"
	"time"
)

// This file is for packages that build on this one: what they need to know of
// an executor, of options and of a context to pass them on rightly.

// TaskSettings is what task options say, for those who pass options on and
// have to know some of it. See [SettingsOf]. The fields are there to be read:
// [TaskSettings.Again] goes by the options.
type TaskSettings struct {
	Name         string        // as [TaskName]
	Priority     int           // as [Priority]
	Retries      int           // as [Retries]
	Timeout      time.Duration // as [Timeout]; 0: none
	QueueTimeout time.Duration // as [QueueTimeout]; 0: none
	Semaphore    Semaphore     // as [WithSemaphore]; nil: none
	RateLimit    RateLimiter   // as [WithRateLimit]; nil: none

	spec spec
}

// SettingsOf returns what the options say together, later ones winning. What
// none of them says is zero. A nil option panics.
func SettingsOf(opts ...TaskOption) TaskSettings {
	s := spec{retryDelay: defaultRetryDelay}
	applyTaskOptions(&s, opts)
	return TaskSettings{
		spec:         s,
		Name:         s.name,
		Priority:     s.priority,
		Retries:      int(s.retries),
		Timeout:      s.timeout,
		QueueTimeout: s.queueTimeout,
		Semaphore:    s.sem,
		RateLimit:    s.limiter,
	}
}

// Again says what would become of a task with these settings after it has been
// called attempts times and has failed with err: whether it would be called
// again, and after which delay. crashed tells that err is a panic or a Goexit of
// the task, which are only retried if [RetryIf] says so. It calls what was given
// to [RetryIf] and [RetryBackoff], and passes on their panics. attempts below 1
// and a nil err panic.
func (s TaskSettings) Again(attempts int, err error, crashed bool) (delay time.Duration, again bool) {
	must(attempts >= 1, "TaskSettings.Again(%d): the attempts must be at least 1", attempts)
	must(err != nil, "TaskSettings.Again: the error must not be nil")
	again, delay = s.spec.again(attempts, err, crashed)
	return delay, again
}

// WithoutDefaults makes a task have nothing of what [WithTaskOptions] says. It
// is for tasks that a library needs for itself, which an executor's default
// timeout or semaphore isn't meant for. It undoes what options before it say,
// too.
func WithoutDefaults() TaskOption {
	return taskOption(func(s *spec) {
		// Without the functions of the defaults it is not like other specs.
		own := s.own || s.sem != nil || s.limiter != nil || s.backoff != nil || s.retryIf != nil
		*s = spec{e: s.e, retryDelay: defaultRetryDelay, own: own}
	})
}

// TaskOptions returns the executor's defaults as one option: what
// [WithTaskOptions] said. It does not block.
func (e *Executor) TaskOptions() TaskOption {
	must(e != nil, "Executor.TaskOptions: the executor is nil")
	return taskOption(func(s *spec) {
		own := s.e
		*s = e.defaults
		s.e, s.own = own, true
	})
}

// Closing returns a channel that is closed when the first [Executor.Shutdown]
// begins, for those who keep producing until then. It does not block, and
// keeps nothing alive.
func (e *Executor) Closing() <-chan struct{} {
	must(e != nil, "Executor.Closing: the executor is nil")
	e.mu.Lock()
	defer e.unlock()
	if e.closing == nil {
		e.closing = make(chan struct{})
		if e.closed.Load() {
			e.wakeLocked(e.closing)
		}
	}
	return e.closing
}

// Accepts reports whether a task submitted with ctx now would be accepted: it
// is not after a [Executor.Shutdown], but for a ctx of one of the executor's
// running tasks until [CancelQueued]. It does not block, and counts neither a
// full queue nor the end of ctx as a refusal. A nil ctx panics.
func (e *Executor) Accepts(ctx context.Context) bool {
	must(e != nil, "Executor.Accepts: the executor is nil")
	must(ctx != nil, "Executor.Accepts(nil): the context must not be nil")
	if !e.closed.Load() {
		return true
	}
	own := e.ownAttempt(ctx)
	e.mu.Lock()
	defer e.unlock()
	return own.lasts() && !e.canceling
}

// WithoutTask returns ctx without the task that it belongs to, if any: its end
// and its values stay, but waits through it lend no slot, [TaskFrom] finds
// nothing, and a Submit with it is one from outside. A nil ctx panics.
func WithoutTask(ctx context.Context) context.Context {
	must(ctx != nil, "WithoutTask(nil): the context must not be nil")
	if attemptOf(ctx) == nil {
		return ctx
	}
	return outsideContext{ctx}
}

// outsideContext hides the task of the context that it wraps.
type outsideContext struct{ context.Context }

// Value implements [context.Context].
func (c outsideContext) Value(key any) any {
	switch key.(type) {
	case attemptKey, infoKey, ownKey, statusKey:
		return nil
	}
	return c.Context.Value(key)
}

// RetryAfterOf reports whether err, as a task returned it, has the mark of
// [RetryAfter] anywhere in its chain, and its delay. It is for those who slow
// down when a service asks for it.
func RetryAfterOf(err error) (time.Duration, bool) {
	if m, ok := errors.AsType[*retryAfterError](err); ok {
		return m.d, true
	}
	return 0, false
}

// Unmarked is err without the marks of [Permanent] and [RetryAfter], where they
// are outermost: what a future has of an error that its task returned.
func Unmarked(err error) error { return stripMarks(err) }
