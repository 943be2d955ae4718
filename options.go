package antflow

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"time"

	"github.com/antflow/antflow/internal/option"
)

// An Option configures an executor; see [New].
type Option interface{ applyExecutor(*Executor) }

// A TaskOption configures one task of [Submit], [Executor.Go] or [Group.Go].
// Given to a group or a map it applies to each of their tasks, and through
// [WithTaskOptions] to every task of an executor; package pipeline takes it
// for a stage. The innermost call's options win, and among them the later
// ones. Options are values without state: they may be kept, shared and used
// concurrently.
type TaskOption interface {
	GroupOption
	MapOption
	option.Stage
	applyTask(*spec)
}

// A GroupOption configures [NewGroup], [MapSlice] or [ForEach].
type GroupOption interface{ applyGroup(*batchSpec) }

// A MapOption configures [Map], [Map2] or [MapUnordered].
type MapOption interface{ applyMap(*batchSpec) }

// A BatchOption configures a group as well as a map.
type BatchOption interface {
	GroupOption
	MapOption
}

// A ShutdownOption chooses how [Executor.Shutdown] ends.
type ShutdownOption interface{ applyShutdown(*shutdownMode) }

// batchSpec is what the options say of a group or a map.
type batchSpec struct {
	task          spec
	concurrency   int // 0: no limit of its own
	window        int // 0: the default
	resultTimeout time.Duration
	collect       bool
}

type (
	executorOption func(*Executor)
	taskOption     func(*spec)
	keyOption      string
	queueOption    string
	priorityOption int // a function of its own would be an allocation for each task
	batchOption    func(*batchSpec)
	groupOption    func(*batchSpec)
	mapOption      func(*batchSpec)
	shutdownOption func(*shutdownMode)
)

func (o executorOption) applyExecutor(e *Executor)     { o(e) }
func (o taskOption) applyTask(s *spec)                 { o(s) }
func (o taskOption) applyGroup(b *batchSpec)           { o(&b.task) }
func (o taskOption) applyMap(b *batchSpec)             { o(&b.task) }
func (o taskOption) StageOption(option.Seal)           {}
func (o keyOption) StageOption(option.Seal)            {}
func (o queueOption) StageOption(option.Seal)          {}
func (o queueOption) applyGroup(b *batchSpec)          { o.applyTask(&b.task) }
func (o queueOption) applyMap(b *batchSpec)            { o.applyTask(&b.task) }
func (o keyOption) applyGroup(b *batchSpec)            { o.applyTask(&b.task) }
func (o keyOption) applyMap(b *batchSpec)              { o.applyTask(&b.task) }
func (o priorityOption) StageOption(option.Seal)       {}
func (o priorityOption) applyTask(s *spec)             { s.priority = int(o) }
func (o priorityOption) applyGroup(b *batchSpec)       { b.task.priority = int(o) }
func (o priorityOption) applyMap(b *batchSpec)         { b.task.priority = int(o) }
func (o batchOption) applyGroup(b *batchSpec)          { o(b) }
func (o batchOption) applyMap(b *batchSpec)            { o(b) }
func (o groupOption) applyGroup(b *batchSpec)          { o(b) }
func (o mapOption) applyMap(b *batchSpec)              { o(b) }
func (o shutdownOption) applyShutdown(m *shutdownMode) { o(m) }

func (o keyOption) applyTask(s *spec) {
	if s.told != nil {
		s.told.key = string(o)
	}
}

func (o queueOption) applyTask(s *spec) {
	if s.told != nil {
		s.told.queue = string(o)
	}
}

// must panics with the package's prefix when the caller broke a rule of the
// API; the message names the value.
func must(ok bool, format string, args ...any) {
	if !ok {
		panic(prefix + fmt.Sprintf(format, args...))
	}
}

// QueueLimit bounds the backlog: the accepted tasks whose first attempt has
// not started, queued or waiting for a permit or a rate limit. While n are
// there, [Submit] blocks until its context ends, a [QueueTimeout] passes or
// the executor shuts down; blocked calls are admitted first come, first
// served. Retries re-enter without limit, and so does a Submit through the
// context of one of the executor's own tasks, which blocking could deadlock.
// 0, the default, is no limit; a negative n panics.
func QueueLimit(n int) Option {
	must(n >= 0, "QueueLimit(%d): the limit must not be negative", n)
	return executorOption(func(e *Executor) { e.limit = n })
}

// WithTaskOptions sets defaults for every task of the executor. The options
// of a call win over them; see [WithoutDefaults].
func WithTaskOptions(opts ...TaskOption) Option {
	joined := JoinOptions(opts...)
	return executorOption(func(e *Executor) { joined.applyTask(&e.defaults) })
}

// ExecutorName labels the executor in [TaskInfo], events and metrics.
func ExecutorName(name string) Option {
	return executorOption(func(e *Executor) { e.name = name })
}

// Retries allows n further attempts after the first one fails; the default is
// 0. Panics, [runtime.Goexit] and cancellations are not retried unless
// [RetryIf] says so of the first two. A negative n panics.
func Retries(n int) TaskOption {
	must(n >= 0, "Retries(%d): the number of retries must not be negative", n)
	return taskOption(func(s *spec) { s.retries = int32(min(n, math.MaxInt32)) })
}

// RetryDelay sets the delay before the first retry; it doubles with each
// further one, up to a minute or d, whichever is longer. The default is 100
// milliseconds; 0 retries at once; a negative d panics. A task in its delay
// holds no worker, no goroutine, no permit and no place under
// [MaxConcurrency]. RetryDelay and [RetryBackoff] replace each other.
func RetryDelay(d time.Duration) TaskOption {
	must(d >= 0, "RetryDelay(%v): the delay must not be negative", d)
	return taskOption(func(s *spec) {
		s.retryDelay, s.backoff = d, nil
		if s.told != nil {
			s.told.local = slices.DeleteFunc(s.told.local, func(name string) bool { return name == "RetryBackoff" })
		}
	})
}

// RetryBackoff sets the schedule of the retries; see [Backoff]. A nil b
// panics. RetryBackoff and [RetryDelay] replace each other.
func RetryBackoff(b Backoff) TaskOption {
	must(b != nil, "RetryBackoff(nil): the schedule must not be nil")
	return taskOption(func(s *spec) {
		s.backoff, s.own = b, true
		s.tellLocal("RetryBackoff")
	})
}

// RetryIf says which errors are retried, within the number of [Retries].
// Without it every error is but panics and Goexit. The function sees what the
// attempt returned, without an outermost [Permanent] or [RetryAfter]; it runs
// on the worker and must be safe for concurrent use. Its panic fails the task
// with a [*PanicError]. A nil retry panics.
func RetryIf(retry func(error) bool) TaskOption {
	must(retry != nil, "RetryIf(nil): the function must not be nil")
	return taskOption(func(s *spec) {
		s.retryIf, s.own = retry, true
		s.tellLocal("RetryIf")
	})
}

// WithSemaphore makes each running attempt hold one permit of s. A task that
// waits for its permit holds no worker and no goroutine of its own; the
// waiters of one executor are served in start order. A task that lends its slot
// keeps its permit, so it must not wait for a task that needs the same one. An
// error from Acquire fails the task without a retry. s is compared with == to find the tasks
// that share it; a nil or incomparable s panics.
func WithSemaphore(s Semaphore) TaskOption {
	must(s != nil, "WithSemaphore(nil): the semaphore must not be nil")
	must(reflect.ValueOf(s).Comparable(), "WithSemaphore(%T): the semaphore must be comparable; pass a pointer", s)
	return taskOption(func(sp *spec) {
		sp.sem, sp.own = s, true
		sp.tellLocal("WithSemaphore")
	})
}

// WithRateLimit makes each attempt wait for one event of l before it starts.
// A task that waits for it holds no worker and no goroutine of its own; it
// holds its permit where it has a semaphore, too. An error from Wait fails
// the task without a retry. l is compared with == to find the tasks that
// share it; a nil or incomparable l panics.
func WithRateLimit(l RateLimiter) TaskOption {
	must(l != nil, "WithRateLimit(nil): the limiter must not be nil")
	must(reflect.ValueOf(l).Comparable(), "WithRateLimit(%T): the limiter must be comparable; pass a pointer", l)
	return taskOption(func(s *spec) {
		s.limiter, s.own = l, true
		s.tellLocal("WithRateLimit")
	})
}

// Timeout gives the context of each attempt a deadline d after its start.
// Waits before the start don't count. An attempt that fails by it is retried
// like any other. 0, the default, is no timeout; a negative d panics.
func Timeout(d time.Duration) TaskOption {
	must(d >= 0, "Timeout(%v): the timeout must not be negative", d)
	return taskOption(func(s *spec) { s.timeout = d })
}

// QueueTimeout is the longest time from the call of [Submit] to the task's
// first start. When it passes the future fails with [ErrQueueTimeout] and the
// task never runs. 0, the default, is no timeout; a negative d panics.
func QueueTimeout(d time.Duration) TaskOption {
	must(d >= 0, "QueueTimeout(%v): the timeout must not be negative", d)
	return taskOption(func(s *spec) { s.queueTimeout = d })
}

// Priority makes a task start before queued ones of lower priority; the
// default is 0, and among equals the order of submission decides. It does not
// interrupt what runs.
func Priority(n int) TaskOption { return priorityOption(n) }

// NonBlocking makes a task that meets a full queue (see [QueueLimit]) fail at
// once with [ErrQueueFull] where the call would block. It has no meaning for
// maps, [ForEach] and [MapSlice], which wait for room.
func NonBlocking() TaskOption { return taskOption(func(s *spec) { s.nonBlocking = true }) }

// TaskName labels the task in [TaskInfo], [Future.String], events, metrics
// and traces.
func TaskName(name string) TaskOption { return taskOption(func(s *spec) { s.name = name }) }

// JoinOptions makes one option of several, a preset to keep and pass on. A
// nil option panics.
func JoinOptions(opts ...TaskOption) TaskOption {
	opts = slices.Clone(opts)
	applyTaskOptions(new(spec), opts)
	return taskOption(func(s *spec) { applyTaskOptions(s, opts) })
}

// MaxConcurrency limits how many tasks of this call run at the same time, in
// addition to the executor's own limit. A task that lends its slot keeps its
// place, so it must not wait for one that needs the same place. n below 1
// panics.
func MaxConcurrency(n int) BatchOption {
	must(n >= 1, "MaxConcurrency(%d): the limit must be at least 1", n)
	return batchOption(func(b *batchSpec) { b.concurrency = n })
}

// CollectErrors makes a group, [MapSlice] or [ForEach] run everything and
// join all errors, in the order of submission, where it would stop at the
// first.
func CollectErrors() GroupOption { return groupOption(func(b *batchSpec) { b.collect = true }) }

// ResultTimeout is the longest wait for each next result of a map, counted
// from the moment it is asked for. When it passes, the iteration ends with a
// [*WaitError] that Is [context.DeadlineExceeded]. 0, the default, is no
// timeout; a negative d panics.
func ResultTimeout(d time.Duration) MapOption {
	must(d >= 0, "ResultTimeout(%v): the timeout must not be negative", d)
	return mapOption(func(b *batchSpec) { b.resultTimeout = d })
}

// Window bounds how many inputs of a map are pulled and not yet yielded. The
// default is 64 or four times [Executor.MaxWorkers], whichever is greater. n
// below 1 panics.
func Window(n int) MapOption {
	must(n >= 1, "Window(%d): the window must be at least 1", n)
	return mapOption(func(b *batchSpec) { b.window = n })
}

// shutdownMode is what the options of a Shutdown ask for.
type shutdownMode struct{ noWait, cancelQueued, cancelRunning bool }

// NoWait makes [Executor.Shutdown] return nil at once; accepted tasks still
// run. It is concurrent.futures' wait=False.
func NoWait() ShutdownOption { return shutdownOption(func(m *shutdownMode) { m.noWait = true }) }

// CancelQueued cancels the tasks whose first attempt has not started. It is
// concurrent.futures' cancel_futures=True.
func CancelQueued() ShutdownOption {
	return shutdownOption(func(m *shutdownMode) { m.cancelQueued = true })
}

// CancelRunning does what [CancelQueued] does, cancels the contexts of the
// running tasks, and cancels those that wait between two attempts.
func CancelRunning() ShutdownOption {
	return shutdownOption(func(m *shutdownMode) { m.cancelQueued, m.cancelRunning = true, true })
}
