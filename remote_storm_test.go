package antflow_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/testkit"
)

// Invariant 22: everything at once, beside tasks that run here.
func TestRemoteStorm(t *testing.T) {
	rounds := 60
	if testing.Short() {
		rounds = 10
	}
	for range rounds {
		seed := rand.Uint64()
		testkit.Bubble(t, func(t *testing.T) { blowElsewhere(t, seed) })
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func blowElsewhere(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 0))
	e := antflow.New(2, antflow.QueueLimit(r.IntN(10)))
	h := newByHand(e)
	h.calls = make(chan *handCall, 1000)
	l := (*ledger)(nil)
	var all sync.WaitGroup
	switch r.IntN(3) {
	case 0:
		l = newLedger(t, e, 0)
	case 1:
		all.Go(func() { observeNowAndThen(e) })
	}
	var mu sync.Mutex
	var futures []*antflow.Future[int]
	for range 3 {
		seed := r.Uint64()
		all.Go(func() {
			r := rand.New(rand.NewPCG(seed, 1))
			for range 20 {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				f := doubling.Submit(ctx, []antflow.Runner{e, h}[r.IntN(2)], 1, antflow.Priority(r.IntN(2)))
				mu.Lock()
				futures = append(futures, f)
				mu.Unlock()
				switch r.IntN(6) {
				case 0:
					f.Cancel()
				case 1:
					cancel()
				case 2:
					antflow.Submit(ctx, e, func(ctx context.Context) (int, error) { return f.Result(ctx) })
				case 3:
					time.Sleep(time.Duration(r.IntN(3)) * time.Millisecond)
				}
			}
		})
	}
	submitted := testkit.Started(all.Wait)
	var ends sync.WaitGroup
	serve := testkit.Started(func() {
		for seed := seed; ; seed++ {
			select {
			case call := <-h.calls:
				ends.Go(func() { playRemote(call, rand.New(rand.NewPCG(seed, 2))) })
			case <-submitted:
				if len(h.calls) == 0 {
					return
				}
			}
		}
	})
	mode := r.IntN(4)
	if mode > 0 {
		time.Sleep(time.Duration(r.IntN(20)) * time.Millisecond)
		e.Shutdown(t.Context(), [][]antflow.ShutdownOption{nil, {antflow.NoWait()}, {antflow.NoWait(), antflow.CancelQueued()}, {antflow.NoWait(), antflow.CancelRunning()}}[mode]...)
	}
	<-serve
	if r.IntN(2) == 0 {
		ends.Wait()
	}
	e.Close()
	ends.Wait()
	for _, f := range futures {
		if !f.IsDone() {
			t.Errorf("%v after the shutdown", f)
		}
	}
	rest(t, e)
	if l != nil {
		if err := l.compare(); err != nil {
			t.Error(err)
		}
	}
}

// playRemote is the life of a call, told by several goroutines, some of it twice.
func playRemote(call *handCall, r *rand.Rand) {
	time.Sleep(time.Duration(r.IntN(4)) * time.Millisecond)
	end := value(2)
	end.Attempts = 1 + r.IntN(3)
	for n := 1; n < end.Attempts; n++ {
		call.Started(n)
		time.Sleep(time.Duration(r.IntN(3)) * time.Millisecond)
		call.Retrying(antflow.RemoteRetry{Attempt: n, Err: errTest, Delay: time.Millisecond})
		time.Sleep(time.Millisecond)
	}
	call.Started(end.Attempts)
	switch r.IntN(4) {
	case 0:
		end.Err = errTest
	case 1:
		end.Canceled = true
	case 2:
		end.Decode = func(any) error { panic(errTest) }
	}
	var all sync.WaitGroup
	for range 1 + r.IntN(2) {
		all.Go(func() { call.Settle(end) })
	}
	call.Started(end.Attempts)
	all.Wait()
}
