package antflow_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/testkit"
)

// Whoever waits for one future after the other allocates for none of them: what
// a Submit and its Result cost is the future.
func TestResultAllocatesNothing(t *testing.T) {
	testkit.NoLeak(t)
	e := antflow.New(1)
	defer e.Close()
	ctx := context.Background()
	fn := func(context.Context) (int, error) { return 1, nil }
	if n := testing.AllocsPerRun(1000, func() { antflow.Submit(ctx, e, fn).Result(ctx) }); n != 1 {
		t.Errorf("%v allocations for a Submit and its Result", n)
	}
}

// What waits in Result is used again, by other goroutines and in other bubbles,
// and each is told of its own future.
func TestResultsInBubblesAndOutside(t *testing.T) {
	testkit.NoLeak(t)
	read := func(t *testing.T, pause func()) {
		ctx := context.Background()
		e := antflow.New(2)
		defer e.Close()
		for i := range 100 {
			start := make(chan struct{})
			f := antflow.Submit(ctx, e, func(context.Context) (int, error) { <-start; pause(); return i, nil })
			var all sync.WaitGroup
			for reader := range 4 {
				all.Go(func() {
					if reader == 3 {
						<-f.Done()
					}
					if v, err := f.Result(ctx); v != i || err != nil {
						t.Errorf("result %d of %d, error %v", v, i, err)
					}
				})
			}
			close(start)
			all.Wait()
		}
	}
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() { synctest.Test(t, func(t *testing.T) { read(t, func() { time.Sleep(time.Second) }) }) })
		all.Go(func() { read(t, func() {}) })
	}
	all.Wait()
}

// Result waits durably: time passes in a bubble meanwhile, and nobody else's.
func TestResultLetsTimePass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := antflow.New(1)
		defer e.Close()
		start := time.Now()
		f := e.Go(context.Background(), func(context.Context) error { time.Sleep(time.Hour); return nil })
		if _, err := f.Result(context.Background()); err != nil || time.Since(start) != time.Hour {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}
