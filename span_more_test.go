package antflow_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/testkit"
)

func nothing(context.Context) error { return nil }

// Of groups whose tasks take turns on a worker each is told of its own.
func TestGroupsThatTakeTurns(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e, free := held()
		synctest.Wait()
		block := make(chan struct{})
		groups := make([]*antflow.Group, 3)
		for i := range groups {
			groups[i] = antflow.NewGroup(t.Context(), e)
		}
		for range 3 {
			for _, g := range groups {
				for range 3 {
					g.Go(nothing)
				}
			}
		}
		for _, g := range groups[1:] {
			g.Go(func(context.Context) error { <-block; return nil })
		}
		free()
		synctest.Wait()
		for i, g := range groups {
			ended := testkit.Started(func() { g.Wait() })
			if testkit.Blocked(ended) != (i > 0) {
				t.Errorf("group %d: a wait blocks: %v", i, i == 0)
			}
			defer func() { <-ended }()
		}
		close(block)
		rest(t, e)
	})
}

// A level is not used for other tasks before those that took its last ones have
// left it.
func TestLevelIsLeftBeforeItIsUsedAgain(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(2)
		one, other := make(chan struct{}), make(chan struct{})
		block := make(chan struct{})
		on := func(c chan struct{}) func(context.Context) error {
			return func(context.Context) error { <-c; return nil }
		}
		e.Go(t.Context(), on(one))
		e.Go(t.Context(), on(other))
		synctest.Wait()
		e.Go(t.Context(), nothing, antflow.Priority(10))
		e.Go(t.Context(), on(block), antflow.Priority(10))
		close(one)
		synctest.Wait() // a worker has taken the last one, and told nobody
		e.Go(t.Context(), nothing, antflow.Priority(20))
		e.Go(t.Context(), nothing, antflow.Priority(30))
		e.Go(t.Context(), nothing, antflow.Priority(40))
		if err := e.CheckInvariants(); err != nil {
			t.Error(err)
		}
		close(block)
		synctest.Wait()
		if s := e.Stats(); s.Succeeded != 6 || s.Running != 1 {
			t.Errorf("%+v", s)
		}
		close(other)
		rest(t, e)
	})
}

// A shutdown that cancels what runs reaches the items that run, and no other is
// called.
func TestCancelRunningFindsItems(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(3)
		block := make(chan struct{})
		var called atomic.Int64
		finished := startMapSlice(t.Context(), e, 1000, func(ctx context.Context, i int) (int, error) {
			if called.Add(1) > 500 {
				<-block
				if cause := context.Cause(ctx); !errors.Is(cause, antflow.ErrShutdown) {
					t.Errorf("item %d: %v", i, cause)
				}
				return 0, ctx.Err()
			}
			return i, nil
		}, antflow.CollectErrors())
		synctest.Wait()
		shutdown(e, antflow.CancelRunning())
		synctest.Wait()
		close(block)
		if err := <-finished; !errors.Is(err, antflow.ErrShutdown) {
			t.Error(err)
		}
		if s := e.Stats(); s.Succeeded != 500 || called.Load() != 503 || s.Submitted != s.Succeeded+s.Canceled {
			t.Errorf("%d called: %+v", called.Load(), s)
		}
		rest(t, e)
	})
}

// Items that take long are taken one by one, so they start in order.
func TestLongItemsStartInOrder(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		const workers, n = 3, 2000
		e := antflow.New(workers)
		var started, far atomic.Int64
		_, err := antflow.MapSlice(t.Context(), e, indexes(n), func(_ context.Context, i int) (int, error) {
			if d := started.Add(1) - 1 - int64(i); max(d, -d) > 2*workers {
				far.Add(1)
			}
			time.Sleep(time.Millisecond)
			return i, nil
		})
		if err != nil || far.Load() > 10 {
			t.Errorf("%v, %d of %d items out of order", err, far.Load(), n)
		}
		rest(t, e)
	})
}

// What several stuck workers have ahead comes before what is behind it, as soon
// as somebody has noticed.
func TestItemsOfStuckWorkersComeFirst(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(3)
		const n = 6000
		block := make(chan struct{})
		var mu sync.Mutex
		var stuck, slow []int
		started := make(map[int]bool)
		finished := startMapSlice(t.Context(), e, n, func(_ context.Context, i int) (int, error) {
			mu.Lock()
			stops, waits := i >= 3000 && len(stuck) < 2, len(stuck) == 2
			switch {
			case stops:
				stuck = append(stuck, i)
			case waits:
				slow = append(slow, i)
			}
			started[i] = true
			mu.Unlock()
			switch {
			case stops:
				<-block
			case waits:
				time.Sleep(time.Millisecond)
			}
			return i, nil
		})
		time.Sleep(500 * time.Millisecond)
		synctest.Wait()
		mu.Lock()
		late := slices.Max(slow[100:])
		for _, i := range stuck {
			if i+1 < late && !started[i+1] {
				t.Errorf("%d waits behind a stuck item, and %d started", i+1, late)
			}
		}
		mu.Unlock()
		close(block)
		if err := <-finished; err != nil {
			t.Error(err)
		}
		rest(t, e)
	})
}

// The context of an item is that of no other one, whoever asks it for more while
// the item ends.
func TestLateQuestionIsOfItsItem(t *testing.T) {
	testkit.NoLeak(t)
	e := antflow.New(1)
	rounds := 1000
	if testing.Short() {
		rounds = 300
	}
	for range rounds {
		const n = 40
		asked := make([]chan (<-chan struct{}), n)
		for i := range asked {
			asked[i] = make(chan (<-chan struct{}), 1)
		}
		_, err := antflow.MapSlice(t.Context(), e, indexes(n), func(ctx context.Context, i int) (int, error) {
			if i > 0 && i%3 == 0 { // the one before has ended
				select {
				case <-<-asked[i-1]:
				case <-time.After(2 * time.Second):
					t.Errorf("item %d has ended, and its context has not", i-1)
				}
			}
			if i%3 == 2 {
				ready := make(chan struct{})
				go func() {
					close(ready)
					asked[i] <- ctx.Done()
				}()
				<-ready
			}
			return i, nil
		})
		if err != nil || t.Failed() {
			t.Fatal(err)
		}
	}
	e.Close()
}

// A task that is not accepted leaves nothing of its context with the executor.
func TestRefusedContextIsNotRetained(t *testing.T) {
	testkit.NoLeak(t)
	type big struct{ _ [1 << 16]byte }
	type key struct{}
	for _, closed := range []bool{false, true} {
		e := antflow.New(1)
		if closed {
			e.Close()
		}
		v := new(big)
		kept := weak.Make(v)
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, v))
		cancel()
		if s := e.Go(ctx, nothing).State(); s != antflow.StateCanceled {
			t.Error(s)
		}
		ctx, v = nil, nil
		for range 5 {
			runtime.GC()
		}
		if kept.Value() != nil {
			t.Errorf("closed %v: a context is retained", closed)
		}
		runtime.KeepAlive(e)
	}
}

// Nor does a Submit that blocked in vain, though no worker is there to end.
func TestContextOfBlockedSubmitIsNotRetained(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		type big struct{ _ [1 << 16]byte }
		type key struct{}
		sem := antflow.NewSemaphore(1)
		sem.TryAcquire(1)
		e := antflow.New(1, antflow.QueueLimit(1))
		e.Go(t.Context(), nothing, antflow.WithSemaphore(sem))
		synctest.Wait()
		kept := func() weak.Pointer[big] {
			v := new(big)
			ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, v))
			ended := testkit.Started(func() { e.Go(ctx, nothing) })
			if !testkit.Blocked(ended) {
				t.Error("a Submit to a full queue does not block")
			}
			cancel()
			<-ended
			return weak.Make(v)
		}()
		for range 5 {
			synctest.Wait()
			runtime.GC()
		}
		if kept.Value() != nil {
			t.Error("a context is retained")
		}
		sem.Release(1)
		rest(t, e)
	})
}

// A wait that is over leaves nothing on the futures that are not done.
func TestWaitForSomeLeavesNothing(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		waits := map[string]func(fs []antflow.Waitable){
			"FirstCompleted": func(fs []antflow.Waitable) { antflow.Wait(t.Context(), fs, antflow.FirstCompleted) },
			"FirstSuccess":   func(fs []antflow.Waitable) { antflow.Wait(t.Context(), fs, antflow.FirstSuccess) },
			"WaitN":          func(fs []antflow.Waitable) { antflow.WaitN(t.Context(), fs, 2) },
		}
		for name, wait := range waits {
			ps := make([]*antflow.Promise[int], 4)
			fs := make([]antflow.Waitable, len(ps))
			for i := range ps {
				ps[i] = antflow.NewPromise[int]()
				fs[i] = ps[i].Future()
			}
			done := testkit.Started(func() { wait(fs) })
			synctest.Wait()
			ps[0].SetResult(0)
			ps[1].SetResult(1)
			<-done
			for _, f := range fs[2:] {
				if !antflow.Unseated(f) {
					t.Errorf("%s: a future still knows of the wait", name)
				}
			}
		}
	})
}

// A window of one goes on with each result that is yielded.
func TestWindowOfOneGoesOn(t *testing.T) {
	testkit.NoLeak(t)
	e := antflow.New(2)
	inputs := 30_000
	if testing.Short() {
		inputs = 20_000
	}
	seen := 0
	for _, err := range antflow.Map(t.Context(), e, func(yield func(int) bool) {
		for i := 0; i < inputs && yield(i); i++ {
		}
	}, func(_ context.Context, i int) (int, error) { return i, nil }, antflow.Window(1), antflow.ResultTimeout(10*time.Second)) {
		if err != nil {
			t.Fatal(err)
		}
		seen++
	}
	if seen != inputs {
		t.Errorf("%d of %d results", seen, inputs)
	}
	e.Close()
}

// A context of any type will do, though not all can be compared.
func TestAnyTypeOfContext(t *testing.T) {
	type listed struct {
		context.Context
		list []int
	}
	e := antflow.New(1)
	for _, ctx := range []context.Context{listed{t.Context(), nil}, listed{context.Background(), nil}, &listed{t.Context(), nil}} {
		for range 3 {
			f := e.Go(ctx, func(got context.Context) error {
				if got.Err() != nil {
					return got.Err()
				}
				return nil
			})
			if _, err := f.Result(t.Context()); err != nil {
				t.Error(err)
			}
		}
	}
	e.Close()
}

// A MapSlice of which all items have succeeded has no error, whatever ended
// meanwhile.
func TestEndAfterLastItem(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(1)
		ctx, cancel := context.WithCancel(t.Context())
		_, err := antflow.MapSlice(ctx, e, indexes(1000), func(_ context.Context, i int) (int, error) {
			if i == 999 {
				cancel()
				shutdown(e)
			}
			return i, nil
		})
		if err != nil {
			t.Error(err)
		}
		rest(t, e)
	})
}
