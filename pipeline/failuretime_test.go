package pipeline_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/testkit"
	"github.com/antflow/antflow/pipeline"
)

// A group of failures knows when it began, and when it went on.
func TestTimesOfFailures(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(1)
		defer e.Close()
		var m pipeline.Monitor
		start := time.Now()
		stage := pipeline.Stage("load", func(ctx context.Context, n int) (int, error) {
			testkit.Sleep(ctx, time.Second)
			if n == 2 {
				return 0, context.DeadlineExceeded
			}
			return 0, errors.New("not there")
		})
		for range stage.Run(t.Context(), e, slices.Values([]int{0, 1, 2, 3}), pipeline.WithMonitor(&m)) {
		}
		for i, want := range [][2]time.Duration{{time.Second, 4 * time.Second}, {3 * time.Second, 3 * time.Second}} {
			g := m.Failures()[i]
			if got := [2]time.Duration{g.Since.Sub(start), g.Last.Sub(start)}; got != want {
				t.Errorf("%s: from %v to %v", g.Kind, got[0], got[1])
			}
		}
	})
}
