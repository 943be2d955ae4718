package otelantflow

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/antflow/antflow"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// The keys of attributes that only spans have.
const (
	keyID       = attribute.Key("antflow.task.id")
	keyPriority = attribute.Key("antflow.task.priority")
	keyQueued   = attribute.Key("antflow.task.queue.duration")
	keyAttempt  = attribute.Key("antflow.task.attempt")
	keyAttempts = attribute.Key("antflow.task.attempts")
	keyDelay    = attribute.Key("antflow.retry.delay")

	keyExceptionType    = attribute.Key("exception.type")
	keyExceptionMessage = attribute.Key("exception.message")
	keyExceptionStack   = attribute.Key("exception.stacktrace")
)

// The names of events.
const (
	eventRetry     = "antflow.retry"
	eventException = "exception"
)

// startOptions are what the spans of tasks of a name are started with: of one
// whose submitter waits, and of one on its own. A sampler decides by them, so
// nothing is here that it needn't know, and they are made once.
func (h *hooks) startOptions(name string) (joined, detached []trace.SpanStartOption) {
	kind := trace.WithSpanKind(trace.SpanKindInternal)
	attributes := trace.WithAttributes(append(named(keyExecutor, h.executor), named(keyTask, name)...)...)
	return []trace.SpanStartOption{kind, attributes},
		[]trace.SpanStartOption{kind, attributes, trace.WithNewRoot()}
}

// startTask starts the span of a task.
func (h *hooks) startTask(ctx context.Context, l *labels, a antflow.AttemptStart) context.Context {
	name := a.Task.Name
	joined, detached := l.joined, l.detached
	if name != l.task {
		name = valid(name)
		joined, detached = h.startOptions(name)
	}
	opts := joined
	if !a.Joined {
		opts = detached
		if submitter := trace.SpanContextFromContext(ctx); submitter.IsValid() {
			opts = slices.Concat(opts, []trace.SpanStartOption{trace.WithLinks(trace.Link{SpanContext: submitter})})
		}
	}
	ctx, span := h.t.tracer.Start(ctx, name, opts...)
	if span.IsRecording() {
		span.SetAttributes(
			keyID.Int64(int64(a.Task.ID)),
			keyPriority.Int(a.Task.Priority),
			keyQueued.Float64(a.Queued.Seconds()),
		)
	}
	return &spanned{Context: ctx, h: h, id: a.Task.ID, labels: l, task: span}
}

// startRetry starts the span of an attempt after the first one. Its context
// comes from that of this attempt, which has its own end.
func (h *hooks) startRetry(ctx context.Context, first *spanned, a antflow.AttemptStart) context.Context {
	name := valid(a.Task.Name)
	joined, _ := h.startOptions(name)
	ctx, span := h.t.tracer.Start(trace.ContextWithSpan(ctx, first.task), name+" retry", joined...)
	if span.IsRecording() {
		span.SetAttributes(keyID.Int64(int64(a.Task.ID)), keyAttempt.Int(a.Task.Attempt))
	}
	return &spanned{Context: ctx, h: h, id: a.Task.ID, labels: first.labels, task: first.task, attempt: span}
}

// failed tells the spans that an attempt has. The first attempt's error is an
// event of the task's span, but the last one is left to the end of the task,
// where it is known whether that failed or was canceled.
func (c *spanned) failed(a antflow.AttemptEnd, kind string) {
	if a.Retry && c.task.IsRecording() {
		if c.attempt == nil {
			addException(c.task, a.Err)
		}
		c.task.AddEvent(eventRetry, trace.WithAttributes(
			keyAttempt.Int(a.Task.Attempt),
			keyDelay.Float64(a.Delay.Seconds()),
			keyError.String(kind),
		))
	}
	if c.attempt != nil && c.attempt.IsRecording() {
		addException(c.attempt, a.Err)
		c.attempt.SetAttributes(keyError.String(kind))
		c.attempt.SetStatus(codes.Error, textOf(a.Err))
	}
}

// settled tells the task's span how it ended.
func (c *spanned) settled(e antflow.TaskEnd) {
	if !c.task.IsRecording() {
		return
	}
	c.task.SetAttributes(keyAttempts.Int(e.Task.Attempt))
	switch e.State {
	case antflow.StateSucceeded:
		c.task.SetAttributes(keyOutcome.String(succeeded))
	case antflow.StateCanceled:
		c.task.SetAttributes(keyOutcome.String(canceled))
	default:
		c.task.SetAttributes(keyOutcome.String(failed), keyError.String(errorType(e.Err)))
		c.task.SetStatus(codes.Error, textOf(e.Err))
		addException(c.task, e.Err)
	}
}

// addException records an error as the event that OpenTelemetry has for it, a
// panic with its stack. [trace.Span.RecordError] would know neither that stack
// nor what this package's errors wrap.
func addException(span trace.Span, err error) {
	if r, ok := err.(*antflow.RetryError); ok {
		err = r.Err
	}
	attributes := []attribute.KeyValue{
		keyExceptionType.String(fmt.Sprintf("%T", err)),
		keyExceptionMessage.String(textOf(err)),
	}
	if p, ok := errors.AsType[*antflow.PanicError](err); ok {
		attributes = append(attributes, keyExceptionStack.String(valid(string(p.Stack))))
	}
	span.AddEvent(eventException, trace.WithAttributes(attributes...))
}

// errorType is the kind of an error.
func errorType(err error) string { return ask(err, antflow.ErrorKind) }

// textOf is the text of an error.
func textOf(err error) string { return ask(err, error.Error) }

// ask calls the methods of an error, which are the user's code. If they panic,
// its type has to do: spans are ended and attempts measured all the same.
func ask(err error, what func(error) string) (text string) {
	defer func() {
		if recover() != nil {
			text = fmt.Sprintf("%T", err)
		}
	}()
	return valid(what(err))
}
