package antflow_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/antflow/antflow"
)

// The examples of docs/coming-from-python.md; those about maps are in
// example_python_map_test.go.

func Example_pythonExecutor() {
	ctx := context.Background()

	e := antflow.New(5)
	defer e.Close()

	f := antflow.Submit(ctx, e, func(ctx context.Context) (string, error) {
		return "hello", nil
	})
	fmt.Println(f.Result(ctx))
	// Output: hello <nil>
}

func Example_pythonSubmit() {
	ctx := context.Background()
	e := antflow.New(5)
	defer e.Close()

	square := func(n int) (int, error) { return n * n, nil }
	f := antflow.Submit(ctx, e, func(ctx context.Context) (int, error) {
		return square(7)
	})

	n, err := f.Result(ctx)
	if err != nil {
		fmt.Println("failed:", err)
		return
	}
	fmt.Println(n + 1) // an int, no assertion needed
	// Output: 50
}

func Example_pythonResult() {
	ctx := context.Background()
	e := antflow.New(5)
	defer e.Close()
	finish := make(chan int)

	f := antflow.Submit(ctx, e, func(ctx context.Context) (int, error) {
		return <-finish, nil
	})

	short, cancel := context.WithTimeout(ctx, time.Millisecond)
	defer cancel()
	_, err := f.Result(short)
	fmt.Println(errors.Is(err, context.DeadlineExceeded), f.IsDone())

	finish <- 49
	fmt.Println(f.Result(ctx)) // the task went on
	// Output:
	// true false
	// 49 <nil>
}

func Example_pythonException() {
	ctx := context.Background()
	e := antflow.New(5)
	defer e.Close()
	begin := make(chan struct{})

	f := e.Go(ctx, func(ctx context.Context) error {
		<-begin
		return errors.New("disk full")
	})
	fmt.Println(f.Err()) // not done yet

	close(begin)
	<-f.Done()
	fmt.Println(f.Err())
	// Output:
	// <nil>
	// disk full
}

func Example_pythonDone() {
	ctx := context.Background()
	e := antflow.New(1)
	defer e.Close()
	begun, finish := make(chan struct{}), make(chan struct{})

	f := e.Go(ctx, func(ctx context.Context) error {
		close(begun)
		<-finish
		return nil
	})
	<-begun
	fmt.Println(f.IsDone(), f.State() == antflow.StateRunning)

	close(finish)
	<-f.Done()
	fmt.Println(f.IsDone(), f.State() == antflow.StateCanceled)
	// Output:
	// false true
	// true false
}

func Example_pythonCancel() {
	ctx := context.Background()
	e := antflow.New(1)
	defer e.Close()

	running := e.Go(ctx, func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	})
	fmt.Println(running.Cancel()) // asked for

	_, err := running.Result(ctx)
	fmt.Println(errors.Is(err, antflow.ErrCanceled))
	fmt.Println(running.Cancel()) // nothing left to ask for
	// Output:
	// true
	// true
	// false
}

func Example_pythonAddDoneCallback() {
	ctx := context.Background()
	e := antflow.New(5)

	f := antflow.Submit(ctx, e, func(ctx context.Context) (int, error) { return 49, nil })
	f.OnDone(func(f *antflow.Future[int]) {
		n, err := f.Result(ctx)
		fmt.Println("callback:", n, err)
	})
	e.Close() // callbacks included
	// Output: callback: 49 <nil>
}

func Example_pythonSequenceID() {
	ctx := context.Background()
	e := antflow.New(5)
	defer e.Close()

	nop := func(ctx context.Context) error { return nil }
	fmt.Println(e.Go(ctx, nop).ID(), e.Go(ctx, nop).ID())
	// Output: 0 1
}

func Example_pythonSetResult() {
	p := antflow.NewPromise[int]()

	fmt.Println(p.SetResult(1))
	fmt.Println(p.SetResult(2)) // it stays 1
	fmt.Println(p.Future().Result(context.Background()))
	// Output:
	// true
	// false
	// 1 <nil>
}

func Example_pythonSetException() {
	p := antflow.NewPromise[int]()

	p.SetError(errors.New("disk full"))
	fmt.Println(p.Future().State(), p.Future().Err())
	// Output: failed disk full
}

func Example_pythonShutdown() {
	ctx := context.Background()
	e := antflow.New(5)
	f := e.Go(ctx, func(ctx context.Context) error { return nil })

	limit, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	fmt.Println(e.Shutdown(limit)) // waits, but not for ever
	fmt.Println(f.State())
	// Output:
	// <nil>
	// succeeded
}

func Example_pythonShutdownNoWait() {
	ctx := context.Background()
	e := antflow.New(5)
	f := antflow.Submit(ctx, e, func(ctx context.Context) (int, error) { return 49, nil })

	e.Shutdown(ctx, antflow.NoWait())

	// Without this line the end of main may come first.
	fmt.Println(f.Result(ctx))
	// Output: 49 <nil>
}

func Example_pythonShutdownCancelFutures() {
	ctx := context.Background()
	e := antflow.New(1)
	finish := make(chan struct{})
	running := e.Go(ctx, func(ctx context.Context) error { <-finish; return nil })
	queued := e.Go(ctx, func(ctx context.Context) error { return nil })

	e.Shutdown(ctx, antflow.NoWait(), antflow.CancelQueued())
	fmt.Println(running.IsDone(), queued.State())

	close(finish)
	e.Close()
	fmt.Println(running.State())
	// Output:
	// false canceled
	// succeeded
}

func Example_pythonShutdownError() {
	ctx := context.Background()
	e := antflow.New(5)
	e.Close()

	f := e.Go(ctx, func(ctx context.Context) error { return nil })
	fmt.Println(errors.Is(f.Err(), antflow.ErrShutdown))
	// Output: true
}

func Example_pythonWith() {
	var written atomic.Int64
	work := func(ctx context.Context) {
		e := antflow.New(1)
		defer e.Close()

		for range 3 {
			e.Go(ctx, func(ctx context.Context) error {
				written.Add(1)
				return nil
			})
		}
		panic("out of paper")
	}

	defer func() {
		fmt.Println(recover(), "after", written.Load(), "tasks")
	}()
	work(context.Background())
	// Output: out of paper after 3 tasks
}

func Example_pythonWithCancel() {
	var f *antflow.Future[struct{}]
	work := func(ctx context.Context) error {
		e := antflow.New(1)
		defer e.Close()
		ctx, cancel := context.WithCancel(ctx)
		defer cancel() // runs before Close

		f = e.Go(ctx, func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		})
		return errors.New("out of paper")
	}

	fmt.Println(work(context.Background()), f.State())
	// Output: out of paper canceled
}

func Example_pythonRetries() {
	ctx := context.Background()
	e := antflow.New(5)
	defer e.Close()

	calls := 0
	f := antflow.Submit(ctx, e, func(ctx context.Context) (int, error) {
		if calls++; calls < 3 {
			return 0, errors.New("connection refused")
		}
		return calls, nil
	}, antflow.Retries(3), antflow.RetryDelay(time.Millisecond))
	fmt.Println(f.Result(ctx))
	// Output: 3 <nil>
}

func Example_pythonRetriesFailed() {
	ctx := context.Background()
	e := antflow.New(5)
	defer e.Close()

	errRefused := errors.New("connection refused")
	f := e.Go(ctx, func(ctx context.Context) error {
		return errRefused
	}, antflow.Retries(2), antflow.RetryDelay(time.Millisecond))
	_, err := f.Result(ctx)
	fmt.Println(err)
	fmt.Println(errors.Is(err, errRefused))
	// Output:
	// antflow: failed after 3 attempts: connection refused
	// true
}

func Example_pythonSemaphore() {
	ctx := context.Background()
	e := antflow.New(100)

	limit := antflow.NewSemaphore(5)
	var calls, excess atomic.Int64
	for range 50 {
		e.Go(ctx, func(ctx context.Context) error {
			if calls.Add(1) > 5 {
				excess.Add(1)
			}
			calls.Add(-1)
			return nil
		}, antflow.WithSemaphore(limit))
	}
	e.Close()
	fmt.Println("calls beyond the limit:", excess.Load())
	// Output: calls beyond the limit: 0
}

func Example_pythonTaskTimeout() {
	ctx := context.Background()
	e := antflow.New(5)
	defer e.Close()

	f := e.Go(ctx, func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}, antflow.Timeout(time.Millisecond))
	_, err := f.Result(ctx)
	fmt.Println(f.State(), err)
	// Output: failed context deadline exceeded
}

func Example_pythonNesting() {
	ctx := context.Background()
	e := antflow.New(1)
	defer e.Close()

	outer := antflow.Submit(ctx, e, func(ctx context.Context) (int, error) {
		inner := antflow.Submit(ctx, e, func(ctx context.Context) (int, error) { return 8, nil })
		return inner.Result(ctx) // with the task's own context: it lends its slot
	})
	fmt.Println(outer.Result(ctx))
	// Output: 8 <nil>
}

func Example_pythonExceptions() {
	ctx := context.Background()
	e := antflow.New(5)
	defer e.Close()

	f := antflow.Submit(ctx, e, func(ctx context.Context) (int, error) {
		var quotas []int
		return quotas[len(quotas)-1], nil // a bug
	})
	_, err := f.Result(ctx)
	_, bug := errors.AsType[*antflow.PanicError](err)
	fmt.Println(bug, err)
	// Output: true antflow: panic: runtime error: index out of range [-1]
}
