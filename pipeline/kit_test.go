package pipeline_test

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/testkit"
	"github.com/antflow/antflow/pipeline"
)

// A record is what a stage was called for: with which items, when, and how
// many calls there were at a time.
type record struct {
	mu        sync.Mutex
	start     time.Time
	now, most int
	at        map[int][]time.Duration
}

func newRecord() *record {
	return &record{start: time.Now(), at: make(map[int][]time.Duration)}
}

// begin notes the begin of a call and returns its number among those with x.
func (r *record) begin(x int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now++
	r.most = max(r.most, r.now)
	r.at[x] = append(r.at[x], time.Since(r.start))
	return len(r.at[x])
}

func (r *record) end() {
	r.mu.Lock()
	r.now--
	r.mu.Unlock()
}

// String tells when each item's calls began.
func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.TrimPrefix(fmt.Sprint(r.at), "map")
}

// taking is a stage function whose calls take d and are recorded.
func (r *record) taking(d time.Duration) func(context.Context, int) (int, error) {
	return func(_ context.Context, x int) (int, error) {
		r.begin(x)
		defer r.end()
		time.Sleep(d)
		return x, nil
	}
}

// A source counts how many inputs it was asked for: 0, 1 and so on.
type source struct{ asked atomic.Int64 }

func (s *source) first(n int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := range n {
			s.asked.Add(1)
			if !yield(i) {
				return
			}
		}
	}
}

const endless = 1 << 30

func upTo(n int) iter.Seq[int] { return new(source).first(n) }

// results ranges over a run to its end.
func results[T any](seq iter.Seq2[T, error]) (values []T, errs []error) {
	for v, err := range seq {
		if err != nil {
			errs = append(errs, err)
		} else {
			values = append(values, v)
		}
	}
	return values, errs
}

func same(_ context.Context, x int) (int, error) { return x, nil }

// inBubble runs test in a bubble with an executor, which it closes.
func inBubble(t *testing.T, workers int, test func(t *testing.T, e *antflow.Executor), opts ...antflow.Option) {
	t.Helper()
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(workers, opts...)
		defer e.Close()
		test(t, e)
	})
}

func expect(t *testing.T, what string, got, want any) {
	t.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		t.Errorf("%s: %s, want %s", what, g, w)
	}
}

func join3[A, B, C, D any](a pipeline.Pipeline[A, B], b pipeline.Pipeline[B, C], c pipeline.Pipeline[C, D]) pipeline.Pipeline[A, D] {
	return pipeline.Then(pipeline.Then(a, b), c)
}

// panicOf is what fn panics with.
func panicOf(fn func()) (text string) {
	defer func() { text = fmt.Sprint(recover()) }()
	fn()
	return ""
}

// checkMessage checks that a message begins with the package's prefix, has it
// only once, and contains the words.
func checkMessage(t *testing.T, text string, words ...string) {
	t.Helper()
	if !strings.HasPrefix(text, "antflow: ") || strings.Count(text, "antflow:") != 1 {
		t.Errorf("the message is %q", text)
	}
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("the message %q does not say %q", text, w)
		}
	}
}

var nilContext context.Context // which vet and staticcheck would complain about
