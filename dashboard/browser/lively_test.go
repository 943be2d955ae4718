package browser_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/dashboard"
	"github.com/antflow/antflow/pipeline"
)

// lively is a crawler that works in waves, is limited, retries and fails now and
// then, beside a pipeline for its images: what pictures are made of.
type lively struct {
	e     *antflow.Executor
	limit antflow.Semaphore
	items pipeline.Monitor
	all   sync.WaitGroup

	mu   sync.Mutex // guards rand
	rand *rand.Rand
}

// newLively begins to work; it ends with the test.
func newLively(t *testing.T) (*lively, *site) {
	l := &lively{e: newExecutor(t, 8, antflow.ExecutorName("crawl"), antflow.QueueLimit(400)), limit: antflow.NewSemaphore(7), rand: rand.New(rand.NewPCG(4, 2))}
	images := newExecutor(t, 5)
	s := newSite(t, dashboard.Handler(dashboard.Executor(l.e), dashboard.Pipeline("thumbnails", &l.items), dashboard.Title("Crawler"), dashboard.AllowActions(everybody)))
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() { cancel(); l.all.Wait() })
	l.all.Go(func() { l.crawl(ctx) })
	l.all.Go(func() { l.report(ctx) })
	l.all.Go(func() { l.thumbnails(ctx, images) })
	return l, s
}

func (l *lively) float() float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rand.Float64()
}

// take works for about that time, and now and then for much longer.
func (l *lively) take(ctx context.Context, d time.Duration) error {
	l.mu.Lock()
	d = time.Duration(float64(d) * (0.4 + 0.8*l.rand.ExpFloat64()))
	l.mu.Unlock()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// crawl has pages come in waves: more than are done, then fewer.
func (l *lively) crawl(ctx context.Context) {
	opts := antflow.JoinOptions(
		antflow.TaskName("fetch page"), antflow.Retries(2), antflow.Timeout(2*time.Second),
		antflow.RetryBackoff(antflow.ExponentialBackoff(300*time.Millisecond, 3*time.Second).Jitter(0.3)), antflow.WithSemaphore(l.limit),
	)
	for page := 0; ctx.Err() == nil; page++ {
		l.take(ctx, map[bool]time.Duration{true: 8 * time.Millisecond, false: 45 * time.Millisecond}[page%700 < 500])
		l.e.Go(ctx, func(ctx context.Context) error { return l.fetch(ctx, page) }, opts)
	}
}

func (l *lively) fetch(ctx context.Context, page int) error {
	antflow.SetStatus(ctx, fmt.Sprintf("GET example.org/wiki/page-%d", page))
	if err := l.take(ctx, 70*time.Millisecond); err != nil {
		return err
	}
	switch p := l.float(); {
	case p < 0.05:
		return fmt.Errorf("page %d: read tcp: %w", page, errReset)
	case p < 0.065:
		return antflow.Permanent(fmt.Errorf("page %d: status 404 Not Found", page))
	case p < 0.075:
		return fmt.Errorf("page %d: %w", page, context.DeadlineExceeded)
	}
	l.e.Go(context.WithoutCancel(ctx), func(ctx context.Context) error { return l.parse(ctx, page) }, antflow.TaskName("parse page"), antflow.Priority(1))
	if page%6 == 0 {
		l.e.Go(context.WithoutCancel(ctx), func(ctx context.Context) error { return l.take(ctx, 30*time.Millisecond) }, antflow.TaskName("update index"), antflow.Priority(1))
	}
	return nil
}

func (l *lively) parse(ctx context.Context, page int) error {
	if err := l.take(ctx, 22*time.Millisecond); err != nil {
		return err
	}
	switch p := l.float(); {
	case p < 0.004:
		var links []string
		_ = links[page] // the bug: a page without links
	case p < 0.012:
		return fmt.Errorf("page %d: unexpected end of input at byte %d", page, page*31)
	}
	return nil
}

// report has a long task now and then, which waits for its parts.
func (l *lively) report(ctx context.Context) {
	for day := 1; ctx.Err() == nil; day++ {
		l.take(ctx, 3*time.Second)
		l.e.Go(ctx, func(ctx context.Context) error {
			for part := range 9 {
				antflow.SetStatus(ctx, fmt.Sprintf("day %d, part %d of 9", day, part+1))
				f := l.e.Go(ctx, func(ctx context.Context) error { return l.take(ctx, 120*time.Millisecond) }, antflow.TaskName("sum up"), antflow.Priority(1))
				if _, err := f.Result(ctx); err != nil {
					return err
				}
			}
			return nil
		}, antflow.TaskName("daily report"), antflow.Priority(2))
	}
}

// thumbnails is the pipeline, in which decoding can't keep up.
func (l *lively) thumbnails(ctx context.Context, e *antflow.Executor) {
	stage := func(name string, workers int, d time.Duration, bad float64, err error, opts ...pipeline.StageOption) pipeline.Pipeline[int, int] {
		return pipeline.Stage(name, func(ctx context.Context, n int) (int, error) {
			antflow.SetStatus(ctx, fmt.Sprintf("image-%d.png", n))
			if err := l.take(ctx, d); err != nil {
				return n, err
			}
			if l.float() < bad {
				return n, fmt.Errorf("image %d: %w", n, err)
			}
			return n, nil
		}, append(opts, pipeline.Workers(workers))...)
	}
	p := pipeline.Then(pipeline.Then(pipeline.Then(
		stage("load", 2, 25*time.Millisecond, 0.02, errReset, antflow.Retries(2)), stage("decode", 2, 80*time.Millisecond, 0.03, errors.New("not a PNG file"))),
		stage("scale", 2, 35*time.Millisecond, 0, nil)), stage("store", 1, 15*time.Millisecond, 0.003, errors.New("disk quota exceeded")))
	images := func(yield func(int) bool) {
		for n := 0; ctx.Err() == nil && yield(n); n++ {
		}
	}
	for range p.RunUnordered(ctx, e, images, pipeline.WithMonitor(&l.items), pipeline.Window(48)) {
	}
}
