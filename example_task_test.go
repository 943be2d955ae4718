package antflow_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/antflow/antflow"
)

func ExampleTaskName() {
	ctx := context.Background()
	e := antflow.New(1)
	defer e.Close()

	f := e.Go(ctx, func(ctx context.Context) error { return nil }, antflow.TaskName("thumbnail of cat.jpg"))
	f.Result(ctx)
	fmt.Println(f)
	// Output: task 0 "thumbnail of cat.jpg" succeeded
}

func ExampleTaskFrom() {
	ctx := context.Background()
	e := antflow.New(1)
	defer e.Close()

	// A function that logs needs to be handed nothing but its context.
	logf := func(ctx context.Context, text string) {
		if t, ok := antflow.TaskFrom(ctx); ok {
			text = fmt.Sprintf("%s, attempt %d: %s", t.Name, t.Attempt, text)
		}
		fmt.Println(text)
	}
	f := e.Go(ctx, func(ctx context.Context) error {
		logf(ctx, "connecting")
		if t, _ := antflow.TaskFrom(ctx); t.Attempt == 1 {
			return errors.New("connection refused")
		}
		return nil
	}, antflow.TaskName("sync"), antflow.Retries(1), antflow.RetryDelay(time.Millisecond))
	f.Result(ctx)
	logf(ctx, "the end")
	// Output:
	// sync, attempt 1: connecting
	// sync, attempt 2: connecting
	// the end
}

func ExamplePriority() {
	ctx := context.Background()
	e := antflow.New(1)
	defer e.Close()

	busy := make(chan struct{})
	e.Go(ctx, func(ctx context.Context) error {
		<-busy // until then the others queue
		return nil
	})
	report := func(name string) func(context.Context) error {
		return func(context.Context) error {
			fmt.Println(name)
			return nil
		}
	}
	e.Go(ctx, report("nightly backup"), antflow.Priority(-1))
	e.Go(ctx, report("first mail"))
	e.Go(ctx, report("second mail"))
	e.Go(ctx, report("a user waits for this"), antflow.Priority(10))
	close(busy)
	// Output:
	// a user waits for this
	// first mail
	// second mail
	// nightly backup
}

func ExampleNonBlocking() {
	ctx := context.Background()
	e := antflow.New(1, antflow.QueueLimit(1))
	defer e.Close()

	busy := make(chan struct{})
	work := func(ctx context.Context) error {
		<-busy
		return nil
	}
	e.Go(ctx, work) // runs
	e.Go(ctx, work) // fills the queue

	// A server that has no room says so at once instead of making its client
	// wait.
	f := e.Go(ctx, work, antflow.NonBlocking())
	if errors.Is(f.Err(), antflow.ErrQueueFull) {
		fmt.Println("503 Service Unavailable")
	}
	close(busy)
	// Output: 503 Service Unavailable
}

func ExampleJoinOptions() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()

	// A preset for all calls of one service.
	billing := antflow.JoinOptions(
		antflow.TaskName("billing"),
		antflow.Retries(2),
		antflow.RetryDelay(time.Millisecond),
		antflow.WithSemaphore(antflow.NewSemaphore(10)),
	)
	f := e.Go(ctx, func(ctx context.Context) error { return errors.New("bad gateway") }, billing)
	f.Result(ctx)
	fmt.Println(f)
	fmt.Println(f.Err())
	// Output:
	// task 0 "billing" failed
	// antflow: failed after 3 attempts: bad gateway
}

func ExampleTimeout() {
	ctx := context.Background()
	e := antflow.New(1)
	defer e.Close()

	f := antflow.Submit(ctx, e, func(ctx context.Context) (string, error) {
		if t, _ := antflow.TaskFrom(ctx); t.Attempt == 1 {
			<-ctx.Done() // the first request gets no answer
			return "", ctx.Err()
		}
		return "answer", nil
	}, antflow.Timeout(2*time.Millisecond), antflow.Retries(1), antflow.RetryDelay(0))
	fmt.Println(f.Result(ctx))
	// Output: answer <nil>
}

func ExampleQueueTimeout() {
	ctx := context.Background()
	e := antflow.New(1)
	defer e.Close()

	busy := make(chan struct{})
	e.Go(ctx, func(ctx context.Context) error {
		<-busy
		return nil
	})
	// An answer that comes later than this is of no use to anybody.
	f := antflow.Submit(ctx, e, func(ctx context.Context) (string, error) {
		return "quote", nil
	}, antflow.QueueTimeout(2*time.Millisecond))

	_, err := f.Result(ctx)
	fmt.Println(errors.Is(err, antflow.ErrQueueTimeout), f.Attempts())
	close(busy)
	// Output: true 0
}

func ExampleWithSemaphore() {
	ctx := context.Background()
	e := antflow.New(8)

	// Many workers, but the database takes two queries at a time. Those that
	// wait for their permit keep no worker from other tasks.
	var queries, most atomic.Int64
	database := antflow.WithSemaphore(antflow.NewSemaphore(2))
	for range 20 {
		e.Go(ctx, func(ctx context.Context) error {
			n := queries.Add(1)
			defer queries.Add(-1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			return nil
		}, database)
	}
	e.Close()
	fmt.Println("more than two at a time:", most.Load() > 2)
	// Output: more than two at a time: false
}

func ExampleNewSemaphore() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()

	// Tasks and code outside of them may share one.
	device := antflow.NewSemaphore(1)
	device.Acquire(ctx, 1)
	f := antflow.Submit(ctx, e, func(ctx context.Context) (string, error) {
		return "printed", nil
	}, antflow.WithSemaphore(device))
	fmt.Println(f.State(), device.TryAcquire(1))

	device.Release(1)
	fmt.Println(f.Result(ctx))
	// Output:
	// pending false
	// printed <nil>
}

// A tickLimiter lets one event pass per tick. Limiter of
// golang.org/x/time/rate does more, and fits as it is.
type tickLimiter struct{ ticks <-chan time.Time }

func (l tickLimiter) Wait(ctx context.Context) error {
	select {
	case <-l.ticks:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func ExampleWithRateLimit() {
	ctx := context.Background()
	e := antflow.New(4)

	start := time.Now()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	limit := antflow.WithRateLimit(tickLimiter{ticker.C})
	for range 3 {
		e.Go(ctx, func(ctx context.Context) error { return nil }, limit)
	}
	e.Close()
	fmt.Println("three starts took three ticks:", time.Since(start) >= 3*time.Millisecond)
	// Output: three starts took three ticks: true
}

func ExampleBlocking() {
	ctx := context.Background()
	e := antflow.New(1)
	defer e.Close()

	lines := make(chan string)
	reader := antflow.Submit(ctx, e, func(ctx context.Context) (line string, err error) {
		err = antflow.Blocking(ctx, func() error {
			select {
			case line = <-lines:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		return line, err
	})
	// The reader has lent the only slot, so there is one for the writer.
	e.Go(ctx, func(ctx context.Context) error {
		lines <- "hello"
		return nil
	})
	fmt.Println(reader.Result(ctx))
	// Output: hello <nil>
}
