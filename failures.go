package antflow

import (
	"cmp"
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/antflow/antflow/internal/errtext"
)

// A failure is what is kept of an error.
type failure struct {
	kind, text, stack string
}

const (
	mostGroups   = 256
	mostFailures = 10 // kept of each
	mostText     = 1 << 10
	mostStack    = 8 << 10
	mostDepth    = 100 // of a chain of errors, which may be a ring
)

// queueTimeout is what is kept of [ErrQueueTimeout].
var queueTimeout = describe(ErrQueueTimeout)

// describe asks an error what it is. Its methods are the user's code.
func describe(err error) (f failure) {
	f.kind = fmt.Sprintf("%T", err)
	f.text = "(its text is not to be had: the Error method panicked)"
	guard(func() error {
		for inner, n := err, 0; inner != nil && n < mostDepth; inner, n = innerOf(inner), n+1 {
			if p, ok := inner.(*PanicError); ok {
				f.stack = string(p.Stack[:min(len(p.Stack), mostStack)])
				break
			}
		}
		f.kind = ErrorKind(err)
		f.text = strings.Clone(errtext.Clip(err.Error(), mostText))
		return nil
	})
	return f
}

// ErrorKind names the kind of an error, to group failures by: the type of the
// innermost one, or its text without numbers and quoted parts where the type
// only carries a text. A panic's begins with "panic: ". The form may change. It
// calls the methods of err. A nil err is "".
func ErrorKind(err error) string {
	if err == nil {
		return ""
	}
	for range mostDepth {
		if p, ok := err.(*PanicError); ok {
			return "panic: " + pattern(fmt.Sprint(p.Value))
		}
		inner := innerOf(err)
		if inner == nil {
			break
		}
		err = inner
	}
	switch err := err.(type) {
	case sentinel:
		return err.bare()
	case plainError:
		return err.bare()
	}
	if err == context.DeadlineExceeded || err == context.Canceled {
		return err.Error()
	}
	kind := fmt.Sprintf("%T", err)
	switch t := reflect.TypeOf(err); {
	case t.Kind() <= reflect.Float64, t.Kind() == reflect.String, // such as syscall.Errno
		strings.HasPrefix(kind, "*errors."), strings.HasPrefix(kind, "*fmt."):
		return pattern(err.Error())
	}
	return kind
}

// innerOf is what err wraps, the first where these are several, or nil.
func innerOf(err error) error {
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		return e.Unwrap()
	case interface{ Unwrap() []error }:
		if errs := e.Unwrap(); len(errs) > 0 {
			return errs[0]
		}
	}
	return nil
}

// pattern is a text with its numbers and quoted parts left out, so that texts
// that differ in these alone are the same.
func pattern(text string) string {
	var b strings.Builder
	quote := rune(0)
	number := false
	for _, c := range text {
		switch {
		case quote != 0:
			if c == quote {
				quote = 0
				b.WriteRune(c)
			}
			continue
		case c == '"' || c == '`':
			quote = c
			b.WriteRune(c)
			b.WriteRune('…')
		case c >= '0' && c <= '9':
			if !number {
				b.WriteRune('#')
			}
		default:
			b.WriteRune(c)
		}
		number = c >= '0' && c <= '9'
		if b.Len() > 120 {
			b.WriteRune('…')
			break
		}
	}
	return b.String()
}

// failureGroups are the failures of an executor's tasks, in a bounded form.
type failureGroups struct {
	groups map[failureKey]*failureGroup
	order  []*failureGroup
}

type failureKey struct{ name, kind string }

type failureGroup struct {
	failureKey
	failed, retried uint64
	first, last     time.Duration
	stack           string
	tasks           [mostFailures]failedTask // a ring: the next one is at failed%mostFailures
}

type failedTask struct {
	info TaskInfo
	at   time.Duration
	ran  time.Duration
	text string
}

// of returns the group of a failure.
func (f *failureGroups) of(r *record, x failure, now time.Duration) *failureGroup {
	k := failureKey{r.figures.name, x.kind}
	g := f.groups[k]
	if g == nil && len(f.order) >= mostGroups {
		k = failureKey{otherNames, otherNames}
		g = f.groups[k]
	}
	if g == nil {
		g = &failureGroup{failureKey: k, first: now, stack: x.stack}
		if f.groups == nil {
			f.groups = make(map[failureKey]*failureGroup)
		}
		f.groups[k] = g
		f.order = append(f.order, g)
	}
	g.last = now
	return g
}

// retried notes an attempt that failed and that another one follows.
func (f *failureGroups) retried(r *record, x failure, now time.Duration) {
	f.of(r, x, now).retried++
}

// failed notes a task that failed.
func (f *failureGroups) failed(t *task, r *record, x failure, now, ran time.Duration) {
	g := f.of(r, x, now)
	info := t.observedInfo(r)
	g.tasks[g.failed%mostFailures] = failedTask{info, now, ran, x.text}
	g.failed++
}

// list returns all groups, the most frequent first.
func (f *failureGroups) list(epoch time.Time) []FailureGroup {
	if len(f.order) == 0 {
		return nil
	}
	list := make([]FailureGroup, len(f.order))
	for i, g := range f.order {
		list[i] = FailureGroup{
			Name:    g.name,
			Kind:    g.kind,
			Failed:  g.failed,
			Retried: g.retried,
			First:   epoch.Add(g.first),
			Last:    epoch.Add(g.last),
			Stack:   g.stack,
			Tasks:   g.list(epoch),
		}
	}
	slices.SortStableFunc(list, func(a, b FailureGroup) int {
		if c := cmp.Compare(b.Failed, a.Failed); c != 0 {
			return c
		}
		return cmp.Compare(b.Retried, a.Retried)
	})
	return list
}

func (g *failureGroup) list(epoch time.Time) []Failure {
	n := min(g.failed, mostFailures)
	tasks := make([]Failure, 0, n)
	for i := g.failed - n; i < g.failed; i++ {
		x := &g.tasks[i%mostFailures]
		tasks = append(tasks, Failure{Task: x.info, Time: epoch.Add(x.at), Ran: x.ran, Text: x.text})
	}
	return tasks
}
