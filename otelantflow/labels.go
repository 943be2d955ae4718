package otelantflow

import (
	"strings"
	"sync"
	"unicode/utf8"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
)

// A vocabulary bounds the values of an attribute of metrics: the first ones
// are told apart.
type vocabulary struct {
	limit int
	mu    sync.Mutex
	known map[string]bool
}

// What comes after the first ones is other, as OpenTelemetry has it for
// error.type. An executor bounds its figures, too, with its own word for them.
const (
	other      = "_OTHER"
	otherNames = "(other)"
)

// word returns what metrics say for a value.
func (v *vocabulary) word(value string) string {
	switch value = valid(value); value {
	case "":
		return ""
	case otherNames:
		return other
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.known[value] {
		if len(v.known) >= v.limit {
			return other
		}
		if v.known == nil {
			v.known = make(map[string]bool)
		}
		v.known[strings.Clone(value)] = true
	}
	return value
}

// valid makes a text UTF-8. With anything else in it, an exporter may refuse
// all that it was to send.
func valid(text string) string {
	if utf8.ValidString(text) {
		return text
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}

// labels are the attributes of an executor's tasks of one name, kept ready so
// that a measurement makes none.
type labels struct {
	executor, task string // as metrics have them
	recorded       []metric.RecordOption

	// Of the task's span, with the name itself: only if metrics have that.
	joined, detached []trace.SpanStartOption

	mu     sync.RWMutex
	failed map[string][]metric.RecordOption // by error type as metrics have it
}

func newLabels(executor, task string) *labels {
	l := &labels{executor: executor, task: task, failed: make(map[string][]metric.RecordOption)}
	l.recorded = l.record("")
	return l
}

func (l *labels) record(errorType string) []metric.RecordOption {
	s := series{executor: l.executor, task: l.task, errorType: errorType}
	return []metric.RecordOption{with(s.attributes()...)}
}

// recordFailed is what goes with an attempt that failed.
func (l *labels) recordFailed(errorType string) []metric.RecordOption {
	l.mu.RLock()
	opts := l.failed[errorType]
	l.mu.RUnlock()
	if opts == nil {
		opts = l.record(errorType)
		l.mu.Lock()
		l.failed[errorType] = opts
		l.mu.Unlock()
	}
	return opts
}
