package embedded_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/cluster"
	"github.com/antflow/antflow/cluster/embedded/internal/proxy"
)

// With no time to drain functions are told at once, though the broker says nothing
// of the requests that wait.
func TestContractDrainTimeoutWithoutAnswers(t *testing.T) {
	r := newRig(t)
	far, line := r.behind()
	began, told := make(chan struct{}, 1), make(chan struct{})
	task := antflow.NewTask("task", func(ctx context.Context, n int) (int, error) {
		if info, _ := cluster.InfoFrom(ctx); info.Worker == "B" {
			return n, nil
		}
		began <- struct{}{}
		<-ctx.Done()
		close(told)
		return 0, ctx.Err()
	})
	c := r.connect()
	w := far.serve(handlers(task), cluster.Concurrency(2), cluster.WorkerName("A"), cluster.DrainTimeout(0))
	f := task.Submit(r.ctx, c, 3)
	r.await("the start", began)
	line.Stall(proxy.ToServer, true)
	line.Stall(proxy.ToClient, true)
	start := time.Now()
	w.cancel()
	r.await("the end of the function's context", told)
	if d := time.Since(start); d > 4*time.Second {
		t.Errorf("the function ran %v longer", d)
	}
	line.Stall(proxy.ToServer, false)
	line.Stall(proxy.ToClient, false)
	if err := w.stop(); err != nil {
		t.Error(err)
	}
	r.serve(handlers(task), cluster.WorkerName("B"))
	if v := get(r, f); v != 3 {
		t.Error(v)
	}
}

// What a function says of its cancellation by the worker is no failure of the task,
// whatever it calls it, but for an error that is marked as permanent.
func TestContractErrorsWhenDrained(t *testing.T) {
	for name, failure := range map[string]error{
		"text":      errors.New("rpc error: code = Canceled"),
		"wrapped":   &http.MaxBytesError{},
		"retried":   antflow.RetryAfter(io.EOF, time.Hour),
		"permanent": antflow.Permanent(io.EOF),
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			began := make(chan struct{}, 1)
			task := antflow.NewTask("task", func(ctx context.Context, n int) (int, error) {
				if info, _ := cluster.InfoFrom(ctx); info.Worker == "B" {
					return n, nil
				}
				began <- struct{}{}
				<-ctx.Done()
				return 0, failure
			})
			c := r.connect()
			a := r.serve(handlers(task), cluster.WorkerName("A"), cluster.DrainTimeout(0))
			f := task.Submit(r.ctx, c, 7)
			r.await("the start", began)
			if err := a.stop(); err != nil {
				t.Error(err)
			}
			r.serve(handlers(task), cluster.WorkerName("B"))
			if name == "permanent" {
				fail(r, f, io.EOF)
			} else if v := get(r, f); v != 7 {
				t.Error(v)
			}
		})
	}
}

// When the connection is closed for good, Serve ends what runs before it returns.
func TestContractClosedForGood(t *testing.T) {
	for _, on := range []string{"an executor of its own", "another one"} {
		t.Run(on, func(t *testing.T) {
			r := newRig(t)
			e := antflow.New(2)
			defer func() { _ = e.Shutdown(context.Background(), antflow.CancelRunning()) }()
			began, ended := make(chan struct{}, 1), make(chan struct{})
			task := antflow.NewTask("task", func(ctx context.Context, _ int) (int, error) {
				began <- struct{}{}
				<-ctx.Done()
				// By the real clock: Serve could return in that time.
				time.Sleep(50 * time.Millisecond)
				close(ended)
				return 0, ctx.Err()
			})
			opts := []cluster.ServeOption{cluster.NATS(nats.NoReconnect())}
			if on == "another one" {
				opts = append(opts, cluster.On(e))
			}
			w := r.serve(handlers(task), opts...)
			task.Submit(r.ctx, r.connect(), 1)
			r.await("the start", began)
			if err := r.broker.Close(); err != nil {
				t.Fatal(err)
			}
			r.await("the end of Serve", w.done)
			says(t, w.err, "closed")
			select {
			case <-ended:
			default:
				t.Error("Serve has returned, and its task goes on")
				r.await("the end of the task", ended)
			}
		})
	}
}
