package antflow_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/testkit"
)

func indexes(n int) []int {
	is := make([]int, n)
	for i := range is {
		is[i] = i
	}
	return is
}

// startMapSlice maps the indexes below n on a goroutine, and sends the error.
func startMapSlice(ctx context.Context, e *antflow.Executor, n int, fn func(context.Context, int) (int, error), opts ...antflow.GroupOption) <-chan error {
	finished := make(chan error)
	go func() {
		_, err := antflow.MapSlice(ctx, e, indexes(n), fn, opts...)
		finished <- err
	}()
	return finished
}

// watchFigures checks all the time until stop that the figures of Stats add up.
func watchFigures(t *testing.T, e *antflow.Executor, maxRunning int) (stop func()) {
	end := make(chan struct{})
	var watcher sync.WaitGroup
	watcher.Go(func() {
		for {
			s := e.Stats()
			if s.Submitted != s.Succeeded+s.Failed+s.Canceled+uint64(s.Running+s.Queued+s.Blocked+s.Waiting) || s.Running > maxRunning || s.Queued < 0 {
				t.Errorf("%+v", s)
			}
			select {
			case <-end:
				return
			default:
				runtime.Gosched()
			}
		}
	})
	return func() { close(end); watcher.Wait() }
}

// Nothing waits behind a slow item while a worker is free, however many short
// ones were before it.
func TestSlowItemStrandsNothing(t *testing.T) {
	for _, workers := range []int{2, 3, 8} {
		testkit.Bubble(t, func(t *testing.T) {
			e := antflow.New(workers)
			const n = 10_000
			slow := make(map[int]bool)
			for i := range workers - 1 { // somewhere within the chunks
				slow[1003+137*i] = true
			}
			block := make(chan struct{})
			var ended atomic.Int64
			finished := startMapSlice(t.Context(), e, n, func(_ context.Context, i int) (int, error) {
				if slow[i] {
					<-block
				}
				ended.Add(1)
				return i, nil
			})
			synctest.Wait()
			if got := ended.Load(); got != int64(n-len(slow)) {
				t.Errorf("%d items have ended, want all but %d of %d", got, len(slow), n)
			}
			if s := e.Stats(); s.Running != len(slow) || s.Queued != 0 || s.Succeeded != uint64(n-len(slow)) {
				t.Errorf("%+v", s)
			}
			if err := e.CheckInvariants(); err != nil {
				t.Error(err)
			}
			close(block)
			if err := <-finished; err != nil {
				t.Error(err)
			}
			rest(t, e)
		})
	}
}

// While all workers are at slow items the rest is queued, whoever's chunk it
// was in, and starts in order.
func TestItemsBehindSlowOnesStayQueued(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(2)
		const n, first = 4000, 2000
		var mu sync.Mutex
		var started []int
		blocks := make(chan struct{})
		finished := startMapSlice(t.Context(), e, n, func(_ context.Context, i int) (int, error) {
			if i >= first {
				mu.Lock()
				started = append(started, i)
				mu.Unlock()
				<-blocks
			}
			return i, nil
		})
		synctest.Wait()
		s := e.Stats()
		if s.Running != 2 || s.Queued == 0 || s.Submitted != s.Succeeded+uint64(s.Running+s.Queued) {
			t.Errorf("%+v", s)
		}
		// What was ahead of the slow ones is overdue and comes first, once a
		// worker has noticed: after as many items as it has contexts for.
		for range 200 {
			time.Sleep(time.Second)
			blocks <- struct{}{}
			synctest.Wait()
		}
		mu.Lock()
		early := 0
		for _, i := range started {
			if i > first+len(started)+10 {
				early++
			}
		}
		if early > 40 || !slices.Contains(started, first) {
			t.Errorf("%d of %d items started before what was ahead of slow ones: %d", early, len(started), started[:100])
		}
		mu.Unlock()
		if err := e.CheckInvariants(); err != nil {
			t.Error(err)
		}
		close(blocks)
		if err := <-finished; err != nil {
			t.Error(err)
		}
		rest(t, e)
	})
}

// What a worker has ahead that is stuck comes before what is behind it.
func TestItemsOfStuckWorkerComeFirst(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(2)
		const n, stuck = 4000, 2000
		block := make(chan struct{})
		var mu sync.Mutex
		var started []int // but for the stuck one
		finished := startMapSlice(t.Context(), e, n, func(_ context.Context, i int) (int, error) {
			switch {
			case i == stuck:
				<-block
			case i > stuck:
				mu.Lock()
				started = append(started, i)
				mu.Unlock()
				time.Sleep(time.Millisecond)
			}
			return i, nil
		})
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		mu.Lock()
		if !slices.Contains(started, stuck+1) {
			t.Errorf("%d", started)
		}
		mu.Unlock()
		close(block)
		if err := <-finished; err != nil {
			t.Error(err)
		}
		rest(t, e)
	})
}

// With one worker the items start in order, and what comes before the rest of
// them does so after the item that runs.
func TestChunkIsCutByWhatComesFirst(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(1)
		const n = 3000
		order := make([]int, 0, n+3)
		note := func(x int) func(context.Context) error {
			return func(context.Context) error { order = append(order, x); return nil }
		}
		_, err := antflow.MapSlice(t.Context(), e, indexes(n), func(ctx context.Context, i int) (int, error) {
			order = append(order, i)
			switch i {
			case 1000:
				e.Go(t.Context(), note(-1), antflow.Priority(1))
			case 2000:
				if _, err := e.Go(ctx, note(-2)).Result(ctx); err != nil {
					return 0, err
				}
				order = append(order, -3) // as soon as it is over
			}
			return i, nil
		})
		if err != nil {
			t.Error(err)
		}
		want := slices.Insert(indexes(n), 2001, -2, -3)
		want = slices.Insert(want, 1001, -1)
		if !slices.Equal(order, want) {
			for i := range order {
				if order[i] != want[i] {
					t.Fatalf("%d starts at place %d, want %d", order[i], i, want[i])
				}
			}
		}
		rest(t, e)
	})
}

// Fewer workers take effect as items finish, not as chunks do.
func TestResizeCutsChunks(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(4)
		var running, most atomic.Int64
		var resized atomic.Int64 // when, in ns
		_, err := antflow.MapSlice(t.Context(), e, indexes(6000), func(_ context.Context, i int) (int, error) {
			n := running.Add(1)
			defer running.Add(-1)
			if i == 1500 {
				e.Resize(1)
				resized.Store(time.Now().UnixNano())
			}
			if at := resized.Load(); at > 0 {
				if time.Since(time.Unix(0, at)) > 5*time.Millisecond { // and all that ran then have ended
					most.Store(max(most.Load(), n))
				}
				time.Sleep(time.Millisecond)
			}
			return i, nil
		})
		if err != nil || most.Load() > 1 {
			t.Errorf("%v, %d at once", err, most.Load())
		}
		rest(t, e)
	})
}

// The figures add up while workers go through chunks, and IDs are those of the
// order of submission.
func TestItemsAreCounted(t *testing.T) {
	testkit.NoLeak(t)
	e := antflow.New(4)
	const n = 100_000
	before := e.Go(t.Context(), func(context.Context) error { return nil })
	stop := watchFigures(t, e, 4)
	ids, err := antflow.MapSlice(t.Context(), e, indexes(n), func(ctx context.Context, i int) (uint64, error) {
		info, ok := antflow.TaskFrom(ctx)
		if !ok || info.Attempt != 1 {
			return 0, fmt.Errorf("%+v, %v", info, ok)
		}
		return info.ID - uint64(i), nil
	}, antflow.Retries(1))
	stop()
	if err != nil {
		t.Fatal(err)
	}
	for i, id := range ids {
		if id != before.ID()+1 {
			t.Fatalf("item %d has ID %d", i, id+uint64(i))
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if s := e.Stats(); s.Succeeded != n+1 || s.Submitted != n+1 {
		t.Errorf("%+v", s)
	}
}

// What is submitted together starts in order, also when quick tasks are followed
// by slow ones; of a MapSlice as long as there are not hundreds of quick ones.
func TestStartsInOrderAfterQuickOnes(t *testing.T) {
	type starter func(e *antflow.Executor, n int, fn func(context.Context, int) (int, error))
	ctx := context.Background()
	seq := func(n int) func(func(int) bool) { return slices.Values(indexes(n)) }
	for name, kind := range map[string]struct {
		quick []int
		start starter
	}{
		"MapSlice": {[]int{0, 2, 10, 100}, func(e *antflow.Executor, n int, fn func(context.Context, int) (int, error)) {
			antflow.MapSlice(ctx, e, indexes(n), fn)
		}},
		"ForEach": {[]int{0, 10, 1000}, func(e *antflow.Executor, n int, fn func(context.Context, int) (int, error)) {
			antflow.ForEach(ctx, e, seq(n), func(ctx context.Context, i int) error { _, err := fn(ctx, i); return err })
		}},
		"Map": {[]int{0, 10, 1000}, func(e *antflow.Executor, n int, fn func(context.Context, int) (int, error)) {
			for range antflow.Map(ctx, e, seq(n), fn) {
			}
		}},
		"Group": {[]int{0, 10, 1000}, func(e *antflow.Executor, n int, fn func(context.Context, int) (int, error)) {
			g := antflow.NewGroup(ctx, e)
			for i := range n {
				g.Go(func(ctx context.Context) error { _, err := fn(ctx, i); return err })
			}
			g.Wait()
		}},
		"Submit": {[]int{0, 10, 1000}, func(e *antflow.Executor, n int, fn func(context.Context, int) (int, error)) {
			futures := make([]*antflow.Future[int], n)
			for i := range n {
				futures[i] = antflow.Submit(ctx, e, func(ctx context.Context) (int, error) { return fn(ctx, i) })
			}
			antflow.Wait(ctx, futures, antflow.AllCompleted)
		}},
	} {
		for _, workers := range []int{1, 2, 5} {
			for _, quick := range kind.quick {
				testkit.Bubble(t, func(t *testing.T) {
					e := antflow.New(workers)
					begin := time.Now()
					at := make([]time.Duration, quick+40)
					kind.start(e, len(at), func(_ context.Context, i int) (int, error) {
						at[i] = time.Since(begin)
						if i >= quick {
							time.Sleep(time.Second)
						}
						return 0, nil
					})
					if !slices.IsSorted(at) {
						t.Errorf("%s, %d workers, %d quick ones: %v", name, workers, quick, at[quick:])
					}
					rest(t, e)
				})
			}
		}
	}
}
