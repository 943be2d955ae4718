package futures_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/antflow/antflow"
)

// kitBig is something worth to be collected.
type kitBig [1 << 12]byte

// kitAlive collects garbage and counts what of it is still alive.
func kitAlive(refs ...weak.Pointer[kitBig]) (n int) {
	for range 5 {
		synctest.Wait()
		runtime.GC()
		n = 0
		for _, ref := range refs {
			if ref.Value() != nil {
				n++
			}
		}
		if n == 0 {
			break
		}
	}
	return n
}

func kitNewBig() (*kitBig, weak.Pointer[kitBig]) {
	big := new(kitBig)
	return big, weak.Make(big)
}

// The executor, the ctx and the future live on; the function and what it captured don't. The result lives with its future.
func TestAFinishedTaskIsNotRetained(t *testing.T) {
	type end struct {
		fn   func(ctx context.Context, captured *kitBig, result *kitBig) (*kitBig, error)
		opts []antflow.TaskOption
		act  func(*antflow.Future[*kitBig])
	}
	cancel := func(f *antflow.Future[*kitBig]) { f.Cancel() }
	for name, c := range map[string]end{
		"success": {func(_ context.Context, _, result *kitBig) (*kitBig, error) { return result, nil }, nil, nil},
		"failure": {func(_ context.Context, _, result *kitBig) (*kitBig, error) { return result, errBoom }, nil, nil},
		"panic":   {func(context.Context, *kitBig, *kitBig) (*kitBig, error) { panic("mine") }, nil, nil},
		"Goexit":  {func(context.Context, *kitBig, *kitBig) (*kitBig, error) { runtime.Goexit(); return nil, nil }, nil, nil},
		"retries": {func(context.Context, *kitBig, *kitBig) (*kitBig, error) { return nil, errBoom },
			[]antflow.TaskOption{antflow.Retries(2)}, nil},
		"timeout": {func(ctx context.Context, _, _ *kitBig) (*kitBig, error) { <-ctx.Done(); return nil, ctx.Err() },
			[]antflow.TaskOption{antflow.Timeout(time.Second)}, nil},
		"canceled while running": {func(ctx context.Context, _, _ *kitBig) (*kitBig, error) { <-ctx.Done(); return nil, ctx.Err() }, nil, cancel},
		"canceled in a delay": {func(context.Context, *kitBig, *kitBig) (*kitBig, error) { return nil, errBoom },
			[]antflow.TaskOption{antflow.Retries(2), antflow.RetryDelay(1000 * time.Hour)}, cancel},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := kitNew(t, 2)
				ctx, cancelCtx := context.WithCancel(t.Context())
				defer cancelCtx()
				f, captured, result := kitSubmitBig(ctx, e, c.fn, c.opts)
				synctest.Wait()
				if c.act != nil {
					c.act(f)
				}
				<-f.Done()
				kitEq(t, "what the function captured", kitAlive(captured), 0)
				if name == "success" {
					if v := kitValue(t, f); v != result.Value() || v == nil {
						t.Error("the result is not its future's")
					}
				}
				runtime.KeepAlive(f)
				f = nil
				kitEq(t, "the result without its future", kitAlive(result), 0)
				runtime.KeepAlive(e)
			})
		})
	}
}

//go:noinline
func kitSubmitBig(ctx context.Context, e *antflow.Executor, fn func(ctx context.Context, captured, result *kitBig) (*kitBig, error),
	opts []antflow.TaskOption) (*antflow.Future[*kitBig], weak.Pointer[kitBig], weak.Pointer[kitBig]) {
	captured, in := kitNewBig()
	result, out := kitNewBig()
	f := antflow.Submit(ctx, e, func(ctx context.Context) (*kitBig, error) {
		v, err := fn(ctx, captured, result)
		captured[0]++
		return v, err
	}, opts...)
	return f, in, out
}

func TestACanceledQueuedTaskIsNotRetained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := kitNew(t, 1)
		gate := make(chan struct{})
		e.Go(t.Context(), func(context.Context) error { <-gate; return nil })
		synctest.Wait()
		f, captured, _ := kitSubmitBig(t.Context(), e, func(context.Context, *kitBig, *kitBig) (*kitBig, error) { return nil, nil }, nil)
		f.Cancel()
		kitEq(t, "what it captured, with the worker still busy", kitAlive(captured), 0)
		runtime.KeepAlive(f)
		close(gate)
	})
}

// While the loop runs, what is done and yielded is not retained; afterwards nothing is, though iterator and executor live.
func TestMapRetainsNothingDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := kitNew(t, 2)
		var inputs, results []weak.Pointer[kitBig]
		source := func(yield func(*kitBig) bool) {
			for range 40 {
				big, ref := kitNewBig()
				inputs = append(inputs, ref)
				if !yield(big) {
					return
				}
			}
		}
		var slot [40]weak.Pointer[kitBig]
		var made atomic.Int64
		seq := antflow.Map(t.Context(), e, source, func(_ context.Context, in *kitBig) (*kitBig, error) {
			in[0]++
			big, ref := kitNewBig()
			slot[made.Add(1)-1] = ref
			return big, nil
		}, antflow.Window(4))
		n := 0
		for range seq {
			if n++; n == 30 {
				synctest.Wait()
				results = append(results, slot[:made.Load()]...)
				// In flight are the window's 4, and each of 2 workers may have one in hand.
				if alive := kitAlive(inputs...); alive > 6 {
					t.Errorf("%d of %d inputs are alive", alive, len(inputs))
				}
				if alive := kitAlive(results...); alive > 6 {
					t.Errorf("%d of %d results are alive", alive, len(results))
				}
			}
		}
		kitEq(t, "yields", n, 40)
		kitEq(t, "inputs alive at the end", kitAlive(inputs...), 0)
		kitEq(t, "results alive at the end", kitAlive(slot[:]...), 0)
		runtime.KeepAlive(seq)
		runtime.KeepAlive(e)
	})
}

func TestForEachAndGroupRetainNothingDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := kitNew(t, 1)
		inputs := make([]weak.Pointer[kitBig], 30)
		next := 0
		source := func(yield func(*kitBig) bool) {
			for i := range inputs {
				var big *kitBig
				big, inputs[i] = kitNewBig()
				if !yield(big) {
					return
				}
			}
		}
		err := antflow.ForEach(t.Context(), e, source, func(_ context.Context, in *kitBig) error {
			in[0]++
			time.Sleep(time.Millisecond)
			if next++; next == 20 {
				runtime.GC()
				done := 0
				for _, ref := range inputs[:18] { // finished; that the worker has just left 18 behind is allowed
					if ref.Value() != nil {
						done++
					}
				}
				kitEq(t, "inputs of finished items alive in the 20th", done, 0)
			}
			return nil
		})
		kitEq(t, "ForEach", err, nil)
		kitEq(t, "inputs alive after ForEach", kitAlive(inputs...), 0)

		g := antflow.NewGroup(t.Context(), e)
		refs := make([]weak.Pointer[kitBig], 10)
		for i := range refs {
			refs[i] = kitGoBig(g)
		}
		synctest.Wait()
		kitEq(t, "functions alive before Wait", kitAlive(refs...), 0)
		kitEq(t, "Wait", g.Wait(), nil)
		runtime.KeepAlive(e)
	})
}

//go:noinline
func kitGoBig(g *antflow.Group) weak.Pointer[kitBig] {
	big, ref := kitNewBig()
	g.Go(func(context.Context) error { big[0]++; return nil })
	return ref
}

// The pending future lives on; what was waited for beside it, and the ctx of the wait, don't.
func TestWaitsLeaveNothingRegistered(t *testing.T) {
	type key struct{}
	first := func(ctx context.Context, list []*antflow.Future[*kitBig]) {
		antflow.Wait(ctx, list, antflow.FirstCompleted)
	}
	for name, c := range map[string]struct {
		wait  func(ctx context.Context, list []*antflow.Future[*kitBig])
		ended bool // by its ctx, not by its condition
	}{
		"Wait":  {first, false},
		"WaitN": {func(ctx context.Context, list []*antflow.Future[*kitBig]) { antflow.WaitN(ctx, list, 1) }, false},
		"AsCompleted left": {func(ctx context.Context, list []*antflow.Future[*kitBig]) {
			for range antflow.AsCompleted(ctx, list) {
				break
			}
		}, false},
		"Wait ended": {func(ctx context.Context, list []*antflow.Future[*kitBig]) {
			antflow.Wait(ctx, list, antflow.AllCompleted)
		}, true},
		"AsCompleted ended": {func(ctx context.Context, list []*antflow.Future[*kitBig]) { kitDrain(antflow.AsCompleted(ctx, list)) }, true},
		"Result ended":      {func(ctx context.Context, list []*antflow.Future[*kitBig]) { list[0].Result(ctx) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				pending := antflow.NewPromise[*kitBig]()
				var refs []weak.Pointer[kitBig]
				for range 3 {
					refs = append(refs, kitWaitBig(t.Context(), pending.Future(), key{}, c.wait)...)
				}
				if c.ended {
					kitAt(t, "end", start, 6*time.Second)
				} else {
					kitAt(t, "end", start, 3*time.Second)
				}
				time.Sleep(time.Minute) // package time keeps a stopped timer, and so its ctx, until it would have fired
				kitEq(t, "alive beside the pending future", kitAlive(refs...), 0)
				kitEq(t, "done", pending.Future().IsDone(), false)
				pending.SetResult(nil)
			})
		})
	}
}

// kitWaitBig waits for pending and another future that settles with something big after 1s, under a ctx that carries
// something big and ends after 2s.
//
//go:noinline
func kitWaitBig(ctx context.Context, pending *antflow.Future[*kitBig], key any,
	wait func(context.Context, []*antflow.Future[*kitBig])) []weak.Pointer[kitBig] {
	carried, inCtx := kitNewBig()
	result, inFuture := kitNewBig()
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, key, carried), 2*time.Second)
	defer cancel()
	other := antflow.NewPromise[*kitBig]()
	time.AfterFunc(time.Second, func() { other.SetResult(result) })
	wait(ctx, []*antflow.Future[*kitBig]{pending, other.Future()})
	return []weak.Pointer[kitBig]{inCtx, inFuture}
}

func TestPollingLeavesNothingRegistered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pending := antflow.NewPromise[*kitBig]()
		futures := []*antflow.Future[*kitBig]{pending.Future(), antflow.NewPromise[*kitBig]().Future()}
		ctx := kitDeadCtx()
		heap := func() uint64 {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return m.HeapObjects
		}
		poll := func(n int) {
			for range n {
				_, _, err := antflow.Wait(ctx, futures, antflow.FirstCompleted)
				if _, ok := errors.AsType[*antflow.WaitError](err); !ok {
					t.Fatal(err)
				}
				pending.Future().Result(ctx)
				kitDrain(antflow.AsCompleted(ctx, slices.Clone(futures)))
			}
		}
		poll(10)
		before := heap()
		poll(5000)
		// 15000 waits that left anything would show; the rest of the process may have a few hundred to itself.
		if after := heap(); after > before+2000 {
			t.Errorf("%d objects before, %d after", before, after)
		}
		pending.SetResult(nil)
	})
}
