package antflow

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/antflow/antflow/internal/option"
)

// A Remote is the executor's side of a task that runs elsewhere; [Call.Remote]
// makes it. The executor keeps its books of the task, shows it in its figures and
// events, waits for it in a shutdown, and has no worker for it. Whoever runs it
// tells what happens by these methods, which are safe for concurrent use and
// don't block. News that come late or twice change nothing, nor do any after the
// end. News that never come are done without: the event of a start that is only
// heard of with its end comes right before that, with the time when it was. A
// [Tracer] is not called: it belongs where the function runs.
type Remote interface {
	// Future is the future of the call, for [Runner] to return.
	Future() Waitable

	// Started tells that an attempt, 1 for the first, has begun. The one before,
	// if it is not known to be over, is over then.
	Started(attempt int)

	// Retrying tells that an attempt has failed and that another one follows.
	Retrying(r RemoteRetry)

	// Settle settles the task, and runs the callbacks of its future. It reports
	// false, and calls no decoder, when somebody else settled it before, or does.
	Settle(end RemoteEnd) bool
}

// RemoteRetry is how an attempt failed that another one follows; see [Remote].
type RemoteRetry struct {
	Attempt int           // 1 for the first
	Err     error         // what it failed with
	Delay   time.Duration // until the next one is due
	Ran     time.Duration // the attempt's time, if its start was not told of
}

// RemoteEnd is the end of a task that ran elsewhere; see [Remote].
type RemoteEnd struct {
	// Decode stores the result in out, a pointer to it. It is called of a task
	// that succeeded. What it returns other than nil fails the task, as do its
	// panic, by a [*PanicError], and [runtime.Goexit], by [ErrGoexit].
	Decode func(out any) error

	// Err is what the task failed with; nil: it succeeded. As it is it becomes
	// the future's error, but for a cancellation.
	Err error

	// Canceled tells that the task was canceled. Then the future's error is the
	// cancellation that was asked for here, or one of nobody in particular, and
	// Is Err as well, or without one what the last attempt failed with.
	Canceled bool

	Attempts int           // how often the function was called; those told of count anyway
	Queued   time.Duration // before the last attempt, if its start was not told of
	Ran      time.Duration // the last attempt's time, if its start was not told of
}

// remote is what makes a task one that runs elsewhere. It is in one of three
// phases, by what is known of it, and in e.remotes; it has no slot in any of
// them. As everybody else, who settles it takes it out of the books under e.mu
// first.
type remote struct {
	t       *task
	cancel  func()
	claimed atomic.Bool // by the settle that counts

	// Guarded by e.mu.
	asked *cancelError // the first cancellation that was asked for, if not by the context
	told  bool         // cancel was called, or is about to be
	stop  func() bool  // of what waits for the end of the context
}

// remoteOptions are all the options that a task has which runs elsewhere, whatever
// the executor's defaults are.
type remoteOptions struct {
	name         string
	priority     int
	queueTimeout time.Duration // of the admission; what comes then is the runner's
	nonBlocking  bool
}

func (o *remoteOptions) applyTask(s *spec) {
	withoutDefaults(s)
	s.name, s.priority, s.queueTimeout, s.nonBlocking = o.name, o.priority, o.queueTimeout, o.nonBlocking
}

func (o *remoteOptions) applyGroup(b *batchSpec) { o.applyTask(&b.task) }
func (o *remoteOptions) applyMap(b *batchSpec)   { o.applyTask(&b.task) }

// StageOption implements [option.Stage].
func (o *remoteOptions) StageOption(option.Seal) {}

// decoder is the typed side of a [Remote].
type decoder interface {
	decode(func(out any) error) error
}

// isRemote reports whether t runs elsewhere.
func (t *task) isRemote() bool { return t.x != nil && t.x.remote != nil }

// remoteLocked is enqueueLocked for a task that runs elsewhere.
func (e *Executor) remoteLocked(t *task) {
	e.moveLocked(t, phaseRemote)
	e.remotes.pushBack(t)
}

// watch has the cancellation asked for when the task's context ends. It is
// called once the task was submitted. Until stop succeeds, or to the end of
// ended, it counts among the active.
func (r *remote) watch() {
	t := r.t
	e := t.spec.e
	e.mu.Lock()
	open := isRemotePhase(t.phase)
	if !open {
		r.cancel = nil // nothing of the runner's is kept
	} else if t.done != nil {
		e.active.Add(1)
	}
	e.unlock()
	if !open || t.done == nil {
		return
	}
	stop := context.AfterFunc(t.ctx, r.ended)
	e.mu.Lock()
	r.stop = stop
	open = isRemotePhase(t.phase)
	e.unlock()
	if !open && stop() { // its settling was too early to do that
		e.leave()
	}
}

// ended is called at the end of the context.
func (r *remote) ended() {
	e := r.t.spec.e
	defer e.leave()
	e.mu.Lock()
	ask := r.askLocked(nil)
	e.unlock()
	ask()
}

// askLocked notes that the cancellation was asked for, by the context if asked
// is nil, and returns what is to be called without the lock.
func (r *remote) askLocked(asked *cancelError) (ask func()) {
	if !isRemotePhase(r.t.phase) {
		return func() {}
	}
	if r.asked == nil && !r.told {
		r.asked = asked
	}
	if r.told {
		return func() {}
	}
	r.told = true
	return r.cancel
}

// started notes the start of an attempt. If another one runs, for all that is
// known, that has ended without a word.
func (r *remote) started(attempt int) {
	must(attempt >= 1, "Remote.Started(%d): the attempt must be at least 1", attempt)
	t := r.t
	e := t.spec.e
	e.mu.Lock()
	defer e.unlock()
	if !isRemotePhase(t.phase) || attempt <= t.Attempts() {
		return // it is over, or the news come late
	}
	if e.watched.Load() && t.record() == nil {
		e.journal.foundLocked(t)
	}
	if rec := t.record(); rec != nil && rec.worker >= 0 {
		e.journal.endLocked(rec)
		rec.since = e.journal.now()
	}
	t.word.Store(wordOf(t.State(), attempt-1)) // which the journal counts on from
	e.moveLocked(t, phaseRemoteRunning)
	t.word.Store(wordOf(StateRunning, attempt))
	e.firstStartLocked(t)
}

// firstStartLocked takes t out of the backlog, once.
func (e *Executor) firstStartLocked(t *task) {
	if !t.has(hasStarted) {
		t.flags |= hasStarted
		e.backlog--
		e.admitLocked()
	}
}

// retrying notes that an attempt failed.
func (r *remote) retrying(x RemoteRetry) {
	must(x.Attempt >= 1, "Remote.Retrying: the attempt %d must be at least 1", x.Attempt)
	must(x.Err != nil, "Remote.Retrying: the error must not be nil")
	t := r.t
	e := t.spec.e
	f := r.describe(x.Err)
	e.mu.Lock()
	defer e.unlock()
	if !isRemotePhase(t.phase) || x.Attempt < t.Attempts() || t.phase == phaseRemoteDelay && x.Attempt == t.Attempts() {
		return
	}
	e.totals.retries++
	if rec := t.record(); rec != nil {
		rec.attempt = int32(x.Attempt)
		e.journal.unheardLocked(t, rec, x.Ran)
		e.journal.retryingLocked(t, rec, &ending{err: x.Err, delay: max(x.Delay, 0), failure: f})
	}
	t.setError(x.Err)
	t.word.Store(wordOf(StatePending, x.Attempt))
	e.moveLocked(t, phaseRemoteDelay)
	e.firstStartLocked(t)
}

// describe is what is kept of err, whose methods are foreign, if t is observed.
func (r *remote) describe(err error) failure {
	e := r.t.spec.e
	e.mu.Lock()
	observed := r.t.record() != nil || e.watched.Load() // which a start makes it
	e.unlock()
	if !observed {
		return failure{}
	}
	return describe(err)
}

// unheardLocked makes up for the start of an attempt that nobody told of, now
// that it is over: it began so long ago as it ran, and gets a worker's number for
// being counted and told of.
func (j *journal) unheardLocked(t *task, r *record, ran time.Duration) {
	if r.worker >= 0 {
		return
	}
	r.worker = j.workers.take(t)
	r.began = j.now() - max(ran, 0)
	r.figures.running++
	j.noteLocked(t, r, &note{kind: EventStarted, at: max(r.began, 1), took: max(r.began-r.since, 0)})
}

// settle has the task settled by the first who says what its end is.
func (r *remote) settle(end RemoteEnd, typed decoder) bool {
	must(end.Err != nil || end.Canceled || end.Decode != nil, "Remote.Settle: there is neither an error nor a decoder")
	must(end.Attempts >= 0, "Remote.Settle: the number of attempts %d must not be negative", end.Attempts)
	// One that was refused settled before anybody got r, and nobody but the
	// claimer settles another one.
	if r.t.settledState() || !r.claimed.CompareAndSwap(false, true) {
		return false
	}
	ended := false
	defer func() {
		if !ended { // foreign code ended this goroutine
			end.Err = ErrGoexit
			r.end(&end, nil, describe(ErrGoexit))
		}
	}()
	var by *cancelError
	var f failure
	if end.Canceled {
		by = askedByCancel
		if ctx := r.t.ctx; ctx.Err() != nil {
			by = canceledBy(ctx)
		}
	} else {
		if end.Err == nil {
			end.Err = typed.decode(end.Decode)
		}
		if end.Err != nil {
			f = r.describe(end.Err)
		}
	}
	ended = true
	r.end(&end, by, f)
	return true
}

// end takes t out of the books, publishes it and tells of it. It was canceled if
// by is not nil, for that reason unless another one was asked for.
func (r *remote) end(end *RemoteEnd, by *cancelError, f failure) {
	t := r.t
	e := t.spec.e
	e.mu.Lock()
	state, err := StateSucceeded, end.Err
	switch {
	case by != nil:
		state = StateCanceled
		if err == nil {
			err = t.error() // of the last attempt
		}
		if r.asked != nil {
			by = r.asked
		}
		err = by.with(err)
	case err != nil:
		state = StateFailed
	}
	attempts := max(end.Attempts, t.Attempts()) // those that were told of have been
	rec := t.record()
	if rec != nil {
		if rec.attempt = int32(attempts); attempts > t.Attempts() {
			if attempts == 1 {
				rec.figures.queueTime.add(max(end.Queued, 0))
			}
			e.journal.unheardLocked(t, rec, end.Ran)
		}
	}
	e.leaveLocked(t)
	ran := e.countLocked(t, state, f)
	t.word.Store(wordOf(t.State(), attempts))
	t.publish(state, err)
	if rec != nil {
		e.journal.settledEventLocked(t, rec, ran)
	}
	stop := r.stop
	r.stop, r.cancel = nil, nil // nothing of the runner's is kept
	e.active.Add(1)
	e.unlock()
	defer e.leave()
	callbacks := t.notify()
	if stop != nil && stop() {
		e.leave()
	}
	e.call(callbacks)
}

func isRemotePhase(p phase) bool {
	return p == phaseRemote || p == phaseRemoteRunning || p == phaseRemoteDelay
}

// askRemotesLocked asks for the cancellation of those that keep accepts, and
// returns what is to be called without the lock.
func (e *Executor) askRemotesLocked(asked *cancelError, keep func(*task) bool) (asks []func()) {
	for t := e.remotes.front; t != nil; t = t.x.next {
		if keep(t) {
			asks = append(asks, t.x.remote.askLocked(asked))
		}
	}
	return asks
}
