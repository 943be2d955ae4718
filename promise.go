package antflow

import (
	"context"
	"errors"
	"sync/atomic"
)

// A Promise is the write side of a [Future], for adapters of other kinds of
// asynchronous work and for tests. Its methods are safe for concurrent use.
type Promise[T any] struct {
	future   Future[T]
	onCancel atomic.Pointer[func()]
	claimed  atomic.Bool
	asked    atomic.Bool // the first Cancel took the onCancel function
}

// promises is how many were made.
var promises atomic.Uint64

// NewPromise returns a promise whose future is pending. It belongs to no
// executor.
func NewPromise[T any]() *Promise[T] {
	p := new(Promise[T])
	p.future.runner = p
	p.future.id = promises.Add(1)
	return p
}

// Future returns the promise's future, always the same one.
func (p *Promise[T]) Future() *Future[T] { return &p.future }

// SetResult settles the future with v, and runs its callbacks. It reports
// false, and changes nothing, when the promise was settled before.
func (p *Promise[T]) SetResult(v T) bool {
	if !p.claimed.CompareAndSwap(false, true) {
		return false
	}
	p.future.value = v
	noExecutor.call(p.future.settle(StateSucceeded, nil))
	return true
}

// SetError settles the future with err, and runs its callbacks. An err that
// Is [ErrCanceled] settles it as canceled. It reports false, and changes
// nothing, when the promise was settled before. A nil err panics.
func (p *Promise[T]) SetError(err error) bool {
	must(err != nil, "Promise.SetError(nil): the error must not be nil; use SetResult")
	state := StateFailed
	if errors.Is(err, ErrCanceled) {
		state = StateCanceled
	}
	if !p.claimed.CompareAndSwap(false, true) {
		return false
	}
	noExecutor.call(p.future.settle(state, err))
	return true
}

// OnCancel has fn called by the first [Future.Cancel] of a future that is not
// done; the settling is then left to the promise. Without it Cancel settles
// the future as canceled. When Cancel was called before OnCancel there is
// nothing left to ask, and fn is not called. A nil fn and a second call panic.
func (p *Promise[T]) OnCancel(fn func()) {
	must(fn != nil, "Promise.OnCancel(nil): the function must not be nil")
	must(p.onCancel.CompareAndSwap(nil, &fn), "Promise.OnCancel: there is a function already, one is the limit")
}

// noExecutor is the executor of promises.
var noExecutor *Executor

// canceler is the runner of a future without an executor.
type canceler interface{ cancelTask() bool }

func (p *Promise[T]) cancelTask() bool {
	if fn := p.onCancel.Load(); fn != nil {
		if p.claimed.Load() {
			return false
		}
		if p.asked.CompareAndSwap(false, true) {
			(*fn)()
		}
		return true
	}
	return p.SetError(askedByCancel)
}

// A promise runs nothing and owns no function.
func (p *Promise[T]) invoke(context.Context) error { return nil }
func (p *Promise[T]) drop()                        {}
func (p *Promise[T]) settled()                     {}
func (p *Promise[T]) function() (any, bool)        { return nil, false }
