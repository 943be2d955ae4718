package pipeline_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/testkit"
	"github.com/antflow/antflow/pipeline"
)

// A nosy context looks at the run whenever it is asked for something. Were it
// asked under the run's lock, it would wait for that for ever.
type nosy struct {
	context.Context
	m *pipeline.Monitor
}

func (n nosy) Err() error {
	n.m.Items()
	return n.Context.Err()
}

func (n nosy) Done() <-chan struct{} {
	n.m.Items()
	return n.Context.Done()
}

func (n nosy) Deadline() (time.Time, bool) {
	n.m.Items()
	return n.Context.Deadline()
}

func (n nosy) Value(key any) any {
	n.m.Items()
	return n.Context.Value(key)
}

func TestContextsAreNotAskedUnderTheLock(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(2)
		defer e.Close()
		p := pipeline.Stage("s", func(ctx context.Context, x int) (int, error) {
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
			return x, ctx.Err()
		}, pipeline.Workers(1))
		var m pipeline.Monitor
		for _, end := range []time.Duration{0, 1500 * time.Millisecond, time.Minute} {
			ctx, cancel := context.WithTimeout(t.Context(), end)
			for range p.Run(nosy{ctx, &m}, e, upTo(3), pipeline.WithMonitor(&m)) {
			}
			run := p.Start(nosy{ctx, &m}, e, pipeline.WithMonitor(&m), pipeline.Window(2))
			own, stop := context.WithTimeout(t.Context(), end)
			var futures []*antflow.Future[int]
			for i := range 4 {
				futures = append(futures, run.Feed(nosy{own, &m}, i))
			}
			err := run.Close()
			if end > 0 && (err == nil) != (end == time.Minute) { // with 0 there may have been nothing to end
				t.Errorf("end %v: %v", end, err)
			}
			for _, f := range futures {
				if _, err := f.Result(t.Context()); err != nil && !errors.Is(err, antflow.ErrCanceled) && !errors.Is(err, pipeline.ErrClosed) {
					t.Errorf("end %v: %v", end, err)
				}
			}
			stop()
			cancel()
		}
	})
}
