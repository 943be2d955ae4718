package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/pipeline"
)

// work is what there is to do: pages that are crawled in waves, with their
// links and images, and thumbnails of the images. Nothing of it is real but the
// way in which it takes its time, waits for limits, is retried and fails.
type work struct {
	e     *antflow.Executor
	limit antflow.Semaphore // of connections

	mu   sync.Mutex // guards rand
	rand *rand.Rand
}

func newWork(e *antflow.Executor, seed uint64) *work {
	return &work{e: e, limit: antflow.NewSemaphore(5), rand: rand.New(rand.NewPCG(seed, 0))}
}

// chance reports true with the probability p.
func (w *work) chance(p float64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rand.Float64() < p
}

// around is a time near d, and now and then a much longer one.
func (w *work) around(d time.Duration) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Duration(float64(d) * (0.3 + w.rand.ExpFloat64()))
}

// take computes, or waits for a server, for about that time.
func (w *work) take(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(w.around(d))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// start begins to work, and returns a channel that is closed when that has
// ended, as ctx does.
func (w *work) start(ctx context.Context, items *pipeline.Monitor) <-chan struct{} {
	var all sync.WaitGroup
	all.Go(func() { w.crawl(ctx) })
	all.Go(func() { w.thumbnails(ctx, items) })
	all.Go(func() { w.reports(ctx) })
	done := make(chan struct{})
	go func() { all.Wait(); close(done) }()
	return done
}

// crawl submits pages in waves: more than can be done, then fewer.
func (w *work) crawl(ctx context.Context) {
	opts := antflow.JoinOptions(
		antflow.TaskName("fetch page"),
		antflow.Retries(3),
		antflow.RetryBackoff(antflow.ExponentialBackoff(200*time.Millisecond, 2*time.Second).Jitter(0.3)),
		antflow.WithSemaphore(w.limit),
		antflow.Timeout(1500*time.Millisecond),
	)
	for page := 0; ctx.Err() == nil; page++ {
		if page%400 < 250 {
			w.take(ctx, 10*time.Millisecond)
		} else {
			w.take(ctx, 70*time.Millisecond)
		}
		w.e.Go(ctx, func(ctx context.Context) error { return w.fetch(ctx, page) }, opts)
	}
}

var errReset = errors.New("connection reset by peer")

// fetch loads a page, and has what is in it parsed.
func (w *work) fetch(ctx context.Context, page int) error {
	antflow.SetStatus(ctx, fmt.Sprintf("https://example.org/page/%d", page))
	if err := w.take(ctx, 90*time.Millisecond); err != nil {
		return err
	}
	switch {
	case w.chance(0.08):
		return fmt.Errorf("page %d: %w", page, errReset)
	case w.chance(0.01):
		return antflow.Permanent(fmt.Errorf("page %d: status 404", page))
	}
	w.e.Go(context.WithoutCancel(ctx), func(ctx context.Context) error { return w.parse(ctx, page) },
		antflow.TaskName("parse page"), antflow.Priority(1))
	return nil
}

// parse computes for a moment, and knows a bug.
func (w *work) parse(ctx context.Context, page int) error {
	if err := w.take(ctx, 25*time.Millisecond); err != nil {
		return err
	}
	if w.chance(0.004) {
		var links []string
		_ = links[page] // the bug: a page without links
	}
	if w.chance(0.01) {
		return fmt.Errorf("page %d: unexpected <%s> at byte %d", page, "table", page*17)
	}
	return nil
}

// reports has a long task with children of its own now and then, which lends
// its worker while it waits for them.
func (w *work) reports(ctx context.Context) {
	for day := 1; ctx.Err() == nil; day++ {
		w.take(ctx, 4*time.Second)
		w.e.Go(ctx, func(ctx context.Context) error { return w.report(ctx, day) }, antflow.TaskName("report"), antflow.Priority(2))
	}
}

func (w *work) report(ctx context.Context, day int) error {
	const parts = 12
	for part := range parts {
		antflow.SetStatus(ctx, fmt.Sprintf("day %d %s", day, strings.Repeat("▮", part)+strings.Repeat("▯", parts-part)))
		f := w.e.Go(ctx, func(ctx context.Context) error { return w.take(ctx, 60*time.Millisecond) }, antflow.TaskName("sum up"))
		if _, err := f.Result(ctx); err != nil {
			return err
		}
	}
	return nil
}

// thumbnails runs the pipeline, in which decoding holds up the others.
func (w *work) thumbnails(ctx context.Context, items *pipeline.Monitor) {
	type image struct{ n int }
	stage := func(name string, d time.Duration, bad float64, opts ...pipeline.StageOption) pipeline.Pipeline[image, image] {
		return pipeline.Stage(name, func(ctx context.Context, i image) (image, error) {
			antflow.SetStatus(ctx, fmt.Sprintf("image-%d.png", i.n))
			if err := w.take(ctx, d); err != nil {
				return i, err
			}
			if w.chance(bad) {
				return i, fmt.Errorf("image %d: not a PNG file", i.n)
			}
			return i, nil
		}, opts...)
	}
	p := pipeline.Then(pipeline.Then(pipeline.Then(
		stage("load", 30*time.Millisecond, 0.01, pipeline.Workers(2), antflow.Retries(2)),
		stage("decode", 90*time.Millisecond, 0.03, pipeline.Workers(2))),
		stage("scale", 40*time.Millisecond, 0, pipeline.Workers(2))),
		stage("store", 15*time.Millisecond, 0.002, pipeline.Workers(1), antflow.Retries(1)))
	images := func(yield func(image) bool) {
		for n := 0; ctx.Err() == nil && yield(image{n}); n++ {
		}
	}
	// On an executor of its own, or the pages would wait for the images.
	e := antflow.New(4, antflow.ExecutorName("images"))
	defer e.Close()
	for range p.RunUnordered(ctx, e, images, pipeline.WithMonitor(items), pipeline.Window(64)) {
	}
}
