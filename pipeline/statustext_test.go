package pipeline_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/testkit"
	"github.com/antflow/antflow/pipeline"
)

// What a call says of itself is the status of its item, and of no other one, as
// long as the call lasts.
func TestStatusOfItems(t *testing.T) {
	for _, opts := range [][]pipeline.StageOption{nil, {antflow.Timeout(time.Hour)}, {antflow.WithSemaphore(antflow.NewSemaphore(9))}} {
		testkit.Bubble(t, func(t *testing.T) {
			e := antflow.New(4)
			defer e.Close()
			var m pipeline.Monitor
			var kept context.Context
			stage := pipeline.Stage("scan", func(ctx context.Context, n int) (int, error) {
				if n == 0 {
					kept = ctx
				}
				if n == 3 { // this one says nothing
					return n, testkit.Sleep(ctx, 2*time.Second)
				}
				antflow.SetStatus(ctx, "begins")
				antflow.SetStatus(ctx, fmt.Sprintf("page %d", n))
				return n, testkit.Sleep(ctx, time.Duration(n+1)*time.Second)
			}, append(slices.Clone(opts), pipeline.Workers(4))...)
			done := testkit.Started(func() {
				for range stage.Run(t.Context(), e, slices.Values([]int{0, 1, 2, 3}), pipeline.WithMonitor(&m)) {
				}
			})
			texts := func() (all []string) {
				synctest.Wait()
				for _, s := range m.Items() {
					if s.State == pipeline.ItemRunning {
						all = append(all, s.Status)
					}
				}
				return all
			}
			if got := texts(); !slices.Equal(got, []string{"page 0", "page 1", "page 2", ""}) {
				t.Errorf("%q", got)
			}
			testkit.Sleep(t.Context(), 1500*time.Millisecond)
			antflow.SetStatus(kept, "too late")
			if got := texts(); !slices.Equal(got, []string{"page 1", "page 2", ""}) {
				t.Errorf("%q", got)
			}
			<-done
		})
	}
}

// A step that is a task of its own speaks for its item, and for itself.
func TestStatusOfSteps(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(1)
		defer e.Close()
		e.Measure()
		var m pipeline.Monitor
		say := func(text string, opts ...antflow.TaskOption) func(context.Context, int) (int, error) {
			return pipeline.Step(text, func(ctx context.Context, n int) (int, error) {
				antflow.SetStatus(ctx, text)
				return n, testkit.Sleep(ctx, time.Second)
			}, opts...)
		}
		stage := pipeline.Stage("scan", pipeline.Chain(say("in one"), say("in two", antflow.Timeout(time.Hour))))
		done := testkit.Started(func() {
			for range stage.Run(t.Context(), e, slices.Values([]int{0}), pipeline.WithMonitor(&m)) {
			}
		})
		for _, want := range []string{"in one", "in two"} {
			synctest.Wait()
			if items := m.Items(); len(items) != 1 || items[0].Status != want {
				t.Errorf("%+v, want %q", items, want)
			}
			time.Sleep(time.Second)
		}
		<-done
		if s := e.Snapshot(); !slices.ContainsFunc(s.Names, func(n antflow.NameStats) bool { return n.Name == "in two" }) {
			t.Errorf("%+v", s.Names)
		}
	})
}

// However many calls say something, little of it is kept.
func TestStatusTextsAreBounded(t *testing.T) {
	testkit.NoLeak(t)
	e := antflow.New(2)
	defer e.Close()
	var m pipeline.Monitor
	const n = 20_000
	inputs := func(yield func(int) bool) {
		for i := range n {
			if !yield(i) {
				return
			}
		}
	}
	stage := pipeline.Stage("scan", func(ctx context.Context, i int) (int, error) {
		antflow.SetStatus(ctx, strings.Repeat("é", 1_000))
		return i, nil
	})
	most := 0
	for range stage.Run(t.Context(), e, inputs, pipeline.WithMonitor(&m)) {
		for _, s := range m.Items() {
			if len(s.Status) > 256 || strings.ContainsRune(s.Status, '\uFFFD') {
				t.Fatalf("a status of %d bytes: %q", len(s.Status), s.Status)
			}
		}
		most = max(most, m.StatusTexts())
	}
	if most > 1_000 {
		t.Errorf("%d texts of %d were kept at once", most, n)
	}
}
