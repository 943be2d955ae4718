package embedded_test

import (
	"bytes"
	"context"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/cluster"
)

// A delay that is longer than marks are kept: the failure is counted, the delay is
// served, and nobody is told of it twice.
func TestContractRetryDelayBeyondRetention(t *testing.T) {
	r := newRig(t)
	r.forgetful(time.Second)
	const delay = 2500 * time.Millisecond
	at := make(chan time.Time, 100)
	task := failing("task", nil, func(int) error {
		at <- time.Now()
		return antflow.RetryAfter(io.EOF, delay)
	}, antflow.Retries(1))
	r.serve(handlers(task))
	c := r.connect()
	var retrying atomic.Int32
	defer c.Executor().Observe(func(e antflow.Event) { retrying.Add(1) }, antflow.EventRetrying)()
	f := task.Submit(r.ctx, c, 1)
	fail(r, f, io.EOF)
	if n := len(at); n != 2 || f.Attempts() != 2 {
		t.Fatalf("%d calls, %d attempts", n, f.Attempts())
	}
	if first, second := <-at, <-at; second.Sub(first) < delay-time.Millisecond {
		t.Errorf("a delay of %v", second.Sub(first))
	}
	r.until("the events", func() bool { return retrying.Load() > 0 })
	if n := retrying.Load(); n != 1 {
		t.Errorf("it was told %d times that the task is retried", n)
	}
}

// An attempt that runs for longer than marks are kept is noted all the time, so
// that a crash is counted; and what it ends with comes after that.
func TestContractLongAttemptIsNoted(t *testing.T) {
	r := newRig(t)
	const retention = 2 * time.Second
	js := r.forgetful(retention)
	results, err := js.Stream(r.ctx, "ANTFLOW_default_RESULTS")
	if err != nil {
		t.Fatal(err)
	}
	var calls atomic.Int32
	open := make(chan struct{})
	task := antflow.NewTask("task", func(ctx context.Context, _ int) (int, error) {
		info, _ := antflow.TaskFrom(ctx)
		if calls.Add(1) == 1 {
			<-open
			return 0, io.EOF
		}
		return info.Attempt, nil
	}, antflow.Retries(1), antflow.RetryDelay(time.Millisecond), antflow.QueueTimeout(time.Minute)) // which has the first attempt noted
	r.serve(handlers(task), cluster.Lease(time.Second))
	began := time.Now()
	f := task.Submit(r.ctx, r.connect(), 1)
	noted := func() bool {
		m, err := results.GetLastMsgForSubject(r.ctx, "antflow.default.attempt.>")
		return err == nil && bytes.Contains(m.Data, []byte(`"kind":"began"`))
	}
	r.until("the note of the attempt", noted)
	for time.Since(began) < 2*retention {
		if !noted() {
			t.Fatal("there is no note of the attempt after ", time.Since(began))
		}
		time.Sleep(10 * time.Millisecond) // By the real clock: marks expire by the broker's.
	}
	close(open)
	if n := get(r, f); n != 2 || calls.Load() != 2 {
		t.Errorf("attempt %d, %d calls", n, calls.Load())
	}
}
