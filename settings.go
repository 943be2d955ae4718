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
	Key          string        // as [Key]
	Queue        string        // as [Queue]
	Priority     int           // as [Priority]
	NonBlocking  bool          // as [NonBlocking]
	Retries      int           // as [Retries]
	RetryDelay   time.Duration // as [RetryDelay], also by default; not with Backoff
	Backoff      Backoff       // as [RetryBackoff]; nil: none
	Timeout      time.Duration // as [Timeout]; 0: none
	QueueTimeout time.Duration // as [QueueTimeout]; 0: none
	Semaphore    Semaphore     // as [WithSemaphore]; nil: none
	RateLimit    RateLimiter   // as [WithRateLimit]; nil: none

	// Local are the names of those options of a [Call], without its task's own,
	// that no other process can follow: functions, semaphores and limiters.
	Local []string

	spec spec
}

// SettingsOf returns what the options say together, later ones winning. What
// none of them says is zero. A nil option panics.
func SettingsOf(opts ...TaskOption) TaskSettings {
	s := settingsOf(0, opts)
	s.Local = nil
	return s
}

// settingsOf is SettingsOf where the first of the options are the task's own.
func settingsOf(own int, opts []TaskOption) TaskSettings {
	s := spec{retryDelay: defaultRetryDelay, told: new(told)}
	applyTaskOptions(&s, opts[:own])
	s.told.local = nil
	applyTaskOptions(&s, opts[own:])
	return s.settings()
}

// settings is what s says, to whom it is told.
func (s spec) settings() TaskSettings {
	t := TaskSettings{
		Name:         s.name,
		Key:          s.told.key,
		Queue:        s.told.queue,
		Priority:     s.priority,
		NonBlocking:  s.nonBlocking,
		Retries:      int(s.retries),
		Backoff:      s.backoff,
		Timeout:      s.timeout,
		QueueTimeout: s.queueTimeout,
		Semaphore:    s.sem,
		RateLimit:    s.limiter,
		Local:        s.told.local,
	}
	if s.backoff == nil {
		t.RetryDelay = s.retryDelay
	}
	s.told = nil
	t.spec = s
	return t
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
func WithoutDefaults() TaskOption { return taskOption(withoutDefaults) }

func withoutDefaults(s *spec) {
	// Without the functions of the defaults it is not like other specs.
	own := s.own || s.sem != nil || s.limiter != nil || s.backoff != nil || s.retryIf != nil
	*s = spec{e: s.e, retryDelay: defaultRetryDelay, own: own, told: s.told}
	s.tellAnew()
}

// TaskOptions returns the executor's defaults as one option: what
// [WithTaskOptions] said. It does not block.
func (e *Executor) TaskOptions() TaskOption {
	must(e != nil, "Executor.TaskOptions: the executor is nil")
	return taskOption(func(s *spec) {
		own, told := s.e, s.told
		*s = e.defaults
		s.e, s.own, s.told = own, true, told
		s.tellAnew()
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
	if attemptOf(ctx) == nil && ctx.Value(infoKey{}) == nil {
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

// WithTaskInfo returns ctx such that [TaskFrom] tells info of it, and not what the
// task is that it belongs to, which it stays otherwise. It is for those who run
// tasks of somebody else's as tasks of an executor. A nil ctx panics.
func WithTaskInfo(ctx context.Context, info TaskInfo) context.Context {
	must(ctx != nil, "WithTaskInfo(nil): the context must not be nil")
	return &toldContext{ctx, info}
}

// toldContext has the info that it tells.
type toldContext struct {
	context.Context
	info TaskInfo
}

// Value implements [context.Context].
func (c *toldContext) Value(key any) any {
	if _, ok := key.(infoKey); ok {
		return &c.info
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
