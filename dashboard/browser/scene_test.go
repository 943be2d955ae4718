package browser_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/dashboard"
	"github.com/antflow/antflow/pipeline"
)

// A gate keeps tasks from going on until it is opened, for one of them or for
// all.
type gate chan struct{}

// pass waits at the gate; it gives up when the task is told to end.
func (g gate) pass(ctx context.Context) error {
	select {
	case <-g:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// newExecutor makes an executor that ends with the test, whatever it does then.
func newExecutor(t *testing.T, workers int, opts ...antflow.Option) *antflow.Executor {
	e := antflow.New(workers, opts...)
	t.Cleanup(func() { e.Shutdown(context.Background(), antflow.CancelRunning()) })
	return e
}

// settled waits for futures, however they end.
func settled[T any](futures ...*antflow.Future[T]) {
	for _, f := range futures {
		f.Result(context.Background())
	}
}

var errReset = errors.New("connection reset by peer")

// A scene is an executor and a pipeline in a state of which each figure is
// known: nothing moves before a gate is opened.
//
//	executor  3 workers, all running; 1 blocked, 2 waiting, 5 queued;
//	          40 succeeded, 4 failed for 2 reasons, 1 canceled, 2 retries
//	pipeline  load, decode and store; decode holds up the others
type scene struct {
	e     *antflow.Executor
	run   *pipeline.Run[int, int]
	pages gate // the 2 running tasks of that name, and what is queued
	lock  gate // the holder of the permit
	day   gate // the blocked one
	image gate // what is decoded
}

func newScene(t *testing.T) *scene {
	s := &scene{e: newExecutor(t, 3, antflow.ExecutorName("crawl")), pages: make(gate), lock: make(gate), day: make(gate), image: make(gate)}
	s.e.Measure()
	s.past()
	s.present()
	s.flow(t)
	return s
}

// past is what was done before somebody looks.
func (s *scene) past() {
	ctx := context.Background()
	tried := 0
	for range 40 {
		settled(s.e.Go(ctx, func(context.Context) error {
			if tried++; tried <= 2 {
				return errReset
			}
			return nil
		}, antflow.TaskName("parse page"), antflow.Retries(2)))
	}
	for n := range 3 {
		settled(s.e.Go(ctx, func(context.Context) error { return fmt.Errorf("page %d: %w", n, errReset) }, antflow.TaskName("fetch page")))
	}
	settled(s.e.Go(ctx, func(context.Context) error {
		var links []string
		_ = links[len(links)]
		return nil
	}, antflow.TaskName("parse page")))
	begun := make(chan struct{})
	f := s.e.Go(ctx, func(ctx context.Context) error {
		close(begun)
		<-ctx.Done()
		return ctx.Err()
	}, antflow.TaskName("parse page"))
	<-begun
	f.Cancel()
	settled(f)
}

// present is what is there to be looked at.
func (s *scene) present() {
	ctx := context.Background()
	permit := antflow.NewSemaphore(1)
	for range 3 {
		s.e.Go(ctx, s.lock.pass, antflow.TaskName("upload"), antflow.WithSemaphore(permit))
	}
	s.e.Go(ctx, func(ctx context.Context) error {
		antflow.SetStatus(ctx, "day 3 of 7")
		return antflow.Blocking(ctx, func() error { return s.day.pass(ctx) })
	}, antflow.TaskName("report"))
	for n := range 2 {
		s.e.Go(ctx, func(ctx context.Context) error {
			antflow.SetStatus(ctx, fmt.Sprintf("https://example.org/page/%d", n))
			return s.pages.pass(ctx)
		}, antflow.TaskName("fetch page"))
	}
	for until := s.e.Stats(); until.Running < 3 || until.Blocked < 1 || until.Waiting < 2; until = s.e.Stats() {
		time.Sleep(time.Millisecond) // between two looks: no bubble has a browser
	}
	for range 5 {
		s.e.Go(ctx, s.pages.pass, antflow.TaskName("fetch page"))
	}
}

// flow is the pipeline.
func (s *scene) flow(t *testing.T) {
	e := newExecutor(t, 4, antflow.ExecutorName("images"))
	load := pipeline.Stage("load", func(_ context.Context, n int) (int, error) {
		if n%5 == 4 {
			return n, errors.New("not a PNG file")
		}
		return n, nil
	}, pipeline.Workers(2), pipeline.Buffer(12))
	decode := pipeline.Stage("decode", func(ctx context.Context, n int) (int, error) {
		antflow.SetStatus(ctx, fmt.Sprintf("image-%d.png", n))
		return n, s.image.pass(ctx)
	}, pipeline.Workers(2), pipeline.Buffer(3))
	store := pipeline.Stage("store", func(_ context.Context, n int) (int, error) { return n, nil }, pipeline.Workers(2))
	s.run = pipeline.Then(pipeline.Then(load, decode), store).Start(context.Background(), e, pipeline.Window(32))
	t.Cleanup(func() { s.run.Stop() })
	for n := range 12 {
		s.run.Feed(context.Background(), n, pipeline.WithKey(fmt.Sprintf("image-%d", n)))
	}
}

// serve shows the scene, the executor first.
func (s *scene) serve(t *testing.T, opts ...dashboard.Option) *site {
	t.Helper()
	return newSite(t, s.handler(opts...))
}

func (s *scene) handler(opts ...dashboard.Option) http.Handler {
	return dashboard.Handler(append(opts, dashboard.Executor(s.e), dashboard.Pipeline("thumbnails", &s.run.Monitor), dashboard.Title("Scene"))...)
}

// The views of the scene's sources.
var (
	executorViews = []string{"#/overview", "#/tasks", "#/workers", "#/failures"}
	pipelineViews = []string{"#/overview?source=1", "#/stages?source=1", "#/tasks?source=1", "#/failures?source=1"}
)
