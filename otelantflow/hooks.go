package otelantflow

import (
	"context"
	"sync"

	"github.com/antflow/antflow"
	"go.opentelemetry.io/otel/trace"
)

// hooks is the tracer of one executor. It records the times of attempts and
// makes their spans.
type hooks struct {
	t        *Telemetry
	m        *member
	executor string // its name
	word     string // the same as metrics have it

	mu     sync.RWMutex
	labels map[string]*labels // by task name as metrics have it
}

// spanned is the context of an attempt that has a span. It is found again by its
// executor's hooks as the key and by the task: so no span is ever taken for this
// task's that is another one's around it, or the program's.
type spanned struct {
	context.Context
	h       *hooks
	id      uint64
	labels  *labels
	task    trace.Span
	attempt trace.Span // nil for the first attempt, which has the task's
}

// Value implements [context.Context].
func (c *spanned) Value(key any) any {
	if h, ok := key.(*hooks); ok && h == c.h {
		return c
	}
	return c.Context.Value(key)
}

// find returns the attempt's context in one that was derived from it, or nil.
func (h *hooks) find(ctx context.Context, t antflow.TaskInfo) *spanned {
	if c, ok := ctx.Value(h).(*spanned); ok && c.id == t.ID {
		return c
	}
	return nil
}

// AttemptStart implements [antflow.Tracer].
func (h *hooks) AttemptStart(ctx context.Context, a antflow.AttemptStart) context.Context {
	h.m.started()
	l := h.labelsOf(a.Task.Name)
	in := h.t.instruments
	if a.First == nil {
		ctx = h.startTask(ctx, l, a)
		in.queueDuration.Record(ctx, a.Queued.Seconds(), l.recorded...)
	} else if first := h.find(a.First, a.Task); first != nil {
		ctx = h.startRetry(ctx, first, a)
	}
	if a.RateWait > 0 {
		in.rateDuration.Record(ctx, a.RateWait.Seconds(), l.recorded...)
	}
	return ctx
}

// AttemptEnd implements [antflow.Tracer].
func (h *hooks) AttemptEnd(ctx context.Context, a antflow.AttemptEnd) {
	c := h.find(ctx, a.Task)
	if c == nil {
		return
	}
	if c.attempt != nil {
		defer c.attempt.End()
	}
	in := h.t.instruments
	if a.Err == nil {
		in.duration.Record(c, a.Ran.Seconds(), c.labels.recorded...)
		return
	}
	kind := errorType(a.Err)
	if in.duration.Enabled(c) {
		in.duration.Record(c, a.Ran.Seconds(), c.labels.recordFailed(h.t.errorTypes.word(kind))...)
	}
	c.failed(a, kind)
}

// TaskEnd implements [antflow.Tracer].
func (h *hooks) TaskEnd(ctx context.Context, e antflow.TaskEnd) {
	if c := h.find(ctx, e.Task); c != nil {
		defer c.task.End()
		c.settled(e)
	}
}

// labelsOf returns what is kept ready for the tasks of a name.
func (h *hooks) labelsOf(name string) *labels {
	h.mu.RLock()
	l := h.labels[name]
	h.mu.RUnlock()
	if l != nil {
		return l
	}
	word := h.t.taskNames.word(name)
	h.mu.Lock()
	defer h.mu.Unlock()
	if l = h.labels[word]; l == nil {
		l = newLabels(h.word, word)
		l.joined, l.detached = h.startOptions(word)
		h.labels[word] = l
	}
	return l
}
