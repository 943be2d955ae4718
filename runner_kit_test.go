package antflow_test

import (
	"context"
	"encoding/json"
	"sync"
	"sync/atomic"

	"github.com/antflow/antflow"
)

// A farm is a runner that has a process of its own, nearly: what goes to it and
// comes back is text. It runs each call at once, on a goroutine, once.
type farm struct {
	books *antflow.Executor
	tasks map[string]invoker
	calls atomic.Int64
	keys  sync.Map // of the calls, by input
}

// An invoker is a task of any type.
type invoker interface {
	Name() string
	Invoke(ctx context.Context, decode func(in any) error) (any, error)
}

func newFarm(books *antflow.Executor, tasks ...invoker) *farm {
	f := &farm{books: books, tasks: make(map[string]invoker)}
	for _, t := range tasks {
		f.tasks[t.Name()] = t
	}
	return f
}

func (f *farm) RunCall(ctx context.Context, c antflow.Call) antflow.Waitable {
	f.calls.Add(1)
	in, err := json.Marshal(c.Input())
	f.keys.Store(string(in), c.Settings().Key)
	inside, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r := c.Remote(ctx, f.books, cancel)
	if r.Future().IsDone() {
		return r.Future()
	}
	go func() {
		defer cancel()
		end := antflow.RemoteEnd{Err: err}
		if err == nil {
			r.Started(1)
			end = f.work(inside, c.Task(), in)
		}
		r.Settle(end)
	}()
	return r.Future()
}

func (f *farm) work(ctx context.Context, task string, in []byte) antflow.RemoteEnd {
	end := antflow.RemoteEnd{Attempts: 1}
	out, err := f.tasks[task].Invoke(antflow.WithoutTask(ctx), func(to any) error { return json.Unmarshal(in, to) })
	if err != nil {
		end.Err, end.Canceled = err, ctx.Err() != nil
		return end
	}
	data, err := json.Marshal(out)
	if err != nil {
		end.Err = err
	}
	end.Decode = func(to any) error { return json.Unmarshal(data, to) }
	return end
}

// forward hands each call to another runner, and counts them.
type forward struct {
	to    antflow.Runner
	calls atomic.Int64
	seen  func(antflow.Call)
}

func (f *forward) RunCall(ctx context.Context, c antflow.Call) antflow.Waitable {
	f.calls.Add(1)
	if f.seen != nil {
		f.seen(c)
	}
	return f.to.RunCall(ctx, c)
}

type runnerFunc func(context.Context, antflow.Call) antflow.Waitable

func (r runnerFunc) RunCall(ctx context.Context, c antflow.Call) antflow.Waitable { return r(ctx, c) }

// byHand is a runner that only keeps the calls, to be told of by the test.
type byHand struct {
	books *antflow.Executor
	calls chan *handCall
}

// A handCall is a call of it.
type handCall struct {
	antflow.Remote
	asked atomic.Int32 // how often it was asked to cancel it
}

func newByHand(books *antflow.Executor) *byHand {
	return &byHand{books, make(chan *handCall, 100)}
}

func (h *byHand) RunCall(ctx context.Context, c antflow.Call) antflow.Waitable {
	r := new(handCall)
	r.Remote = c.Remote(ctx, h.books, func() { r.asked.Add(1) })
	h.calls <- r
	return r.Future()
}

// submit submits a call of doubling, and returns what is known of it on both sides.
func (h *byHand) submit(ctx context.Context, in int, opts ...antflow.TaskOption) (*antflow.Future[int], *handCall) {
	f := doubling.Submit(ctx, h, in, opts...)
	return f, <-h.calls
}

var doubling = antflow.NewTask("double", func(_ context.Context, n int) (int, error) { return 2 * n, nil })

// value is the end of a call that succeeded.
func value(n int) antflow.RemoteEnd {
	return antflow.RemoteEnd{Attempts: 1, Decode: func(out any) error { *out.(*int) = n; return nil }}
}
