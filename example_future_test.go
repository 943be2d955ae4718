package antflow_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/antflow/antflow"
)

func ExampleFuture_Result() {
	ctx := context.Background()
	e := antflow.New(1)
	defer e.Close()

	delivery := make(chan string)
	f := antflow.Submit(ctx, e, func(ctx context.Context) (string, error) {
		return <-delivery, nil
	})

	// The context limits this wait, not the task.
	short, cancel := context.WithTimeout(ctx, time.Millisecond)
	defer cancel()
	_, err := f.Result(short)
	fmt.Println(err)

	delivery <- "parcel"
	fmt.Println(f.Result(ctx))
	// Output:
	// antflow: wait ended: context deadline exceeded
	// parcel <nil>
}

func ExampleFuture_Done() {
	ctx := context.Background()
	e := antflow.New(1)
	defer e.Close()

	f := antflow.Submit(ctx, e, func(ctx context.Context) (int, error) { return 42, nil })

	interrupt := make(chan struct{})
	select {
	case <-f.Done():
		fmt.Println(f.Result(ctx)) // at once
	case <-interrupt:
		f.Cancel()
	}
	// Output: 42 <nil>
}

func ExampleFuture_IsDone() {
	ctx := context.Background()
	e := antflow.New(1)
	defer e.Close()

	finish := make(chan struct{})
	f := e.Go(ctx, func(ctx context.Context) error {
		<-finish
		return nil
	})
	fmt.Println(f.IsDone())

	close(finish)
	f.Result(ctx)
	fmt.Println(f.IsDone())
	// Output:
	// false
	// true
}

func ExampleFuture_Err() {
	ctx := context.Background()
	e := antflow.New(2)

	futures := make(map[string]*antflow.Future[struct{}])
	for _, host := range []string{"db", "cache", "mail"} {
		futures[host] = e.Go(ctx, func(ctx context.Context) error {
			if host == "cache" {
				return errors.New("connection refused")
			}
			return nil
		})
	}
	e.Close() // so all are done, and Err, which doesn't wait, tells how it went

	for host, f := range futures {
		if err := f.Err(); err != nil {
			fmt.Println(host, "is down:", err)
		}
	}
	// Output: cache is down: connection refused
}

func ExampleFuture_Cancel() {
	ctx := context.Background()
	e := antflow.New(1)
	defer e.Close()

	running := e.Go(ctx, func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	})
	queued := e.Go(ctx, func(ctx context.Context) error { return nil })

	// A queued task never starts, and is canceled when Cancel returns.
	fmt.Println(queued.Cancel(), queued.State())

	// A running one is told by its context, and decides itself when to stop.
	fmt.Println(running.Cancel())
	_, err := running.Result(ctx)
	fmt.Println(errors.Is(err, antflow.ErrCanceled), errors.Is(err, context.Canceled))

	fmt.Println(running.Cancel()) // nothing is left to cancel
	// Output:
	// true canceled
	// true
	// true true
	// false
}

func ExampleFuture_OnDone() {
	ctx := context.Background()
	e := antflow.New(1)

	f := antflow.Submit(ctx, e, func(ctx context.Context) (int, error) { return 1024, nil }, antflow.TaskName("upload"))
	f.OnDone(func(f *antflow.Future[int]) {
		bytes, err := f.Result(ctx) // done, so this doesn't block
		fmt.Println(f, bytes, err)
	})
	e.Close() // waits for the callback, too
	// Output: task 0 "upload" succeeded 1024 <nil>
}

func ExampleFuture_State() {
	ctx := context.Background()
	e := antflow.New(1)
	defer e.Close()

	started, finish := make(chan struct{}), make(chan struct{})
	first := e.Go(ctx, func(ctx context.Context) error {
		close(started)
		<-finish
		return nil
	})
	second := e.Go(ctx, func(ctx context.Context) error { return errors.New("no such file") })

	<-started
	fmt.Println(first.State(), second.State())
	close(finish)
	e.Close()
	fmt.Println(first.State(), second.State())
	// Output:
	// running pending
	// succeeded failed
}

func ExampleFuture_ID() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()

	for range 3 {
		f := e.Go(ctx, func(ctx context.Context) error {
			return nil // here it is the ID of TaskFrom
		})
		fmt.Println(f.ID())
	}
	// Output:
	// 0
	// 1
	// 2
}

func ExampleFuture_Attempts() {
	ctx := context.Background()
	e := antflow.New(1)
	defer e.Close()

	f := e.Go(ctx, func(ctx context.Context) error {
		return errors.New("timeout")
	}, antflow.Retries(2), antflow.RetryDelay(time.Millisecond))
	f.Result(ctx)
	fmt.Println(f.Attempts())
	// Output: 3
}

func ExampleFuture_String() {
	ctx := context.Background()
	e := antflow.New(1)
	named := e.Go(ctx, func(ctx context.Context) error { return nil }, antflow.TaskName("import users.csv"))
	plain := e.Go(ctx, func(ctx context.Context) error { return errors.New("denied") })
	e.Close()

	fmt.Println(named)
	fmt.Println(plain)
	// Output:
	// task 0 "import users.csv" succeeded
	// task 1 failed
}

func ExampleNewPromise() {
	ctx := context.Background()

	// A library that calls back becomes a future.
	lookUp := func(name string, callback func(addr string, err error)) {
		go callback("192.0.2.1", nil)
	}
	resolve := func(name string) *antflow.Future[string] {
		p := antflow.NewPromise[string]()
		lookUp(name, func(addr string, err error) {
			if err != nil {
				p.SetError(err)
				return
			}
			p.SetResult(addr)
		})
		return p.Future()
	}
	fmt.Println(resolve("example.com").Result(ctx))
	// Output: 192.0.2.1 <nil>
}

func ExamplePromise_Future() {
	p := antflow.NewPromise[int]()

	// The two sides: keep p, and hand out f, which can only be read.
	f := p.Future()
	fmt.Println(f.State())
	p.SetResult(1)
	fmt.Println(f.State())
	// Output:
	// pending
	// succeeded
}

func ExamplePromise_SetResult() {
	p := antflow.NewPromise[string]()

	// The first answer counts; the others learn that they came too late.
	fmt.Println(p.SetResult("from the cache"))
	fmt.Println(p.SetResult("from the origin"))
	fmt.Println(p.Future().Result(context.Background()))
	// Output:
	// true
	// false
	// from the cache <nil>
}

func ExamplePromise_SetError() {
	failed, canceled := antflow.NewPromise[int](), antflow.NewPromise[int]()

	failed.SetError(errors.New("disk full"))
	canceled.SetError(fmt.Errorf("the user went away: %w", antflow.ErrCanceled))

	fmt.Println(failed.Future().State(), failed.Future().Err())
	fmt.Println(canceled.Future().State())
	// Output:
	// failed disk full
	// canceled
}

func ExamplePromise_OnCancel() {
	p := antflow.NewPromise[string]()
	timer := time.AfterFunc(time.Hour, func() { p.SetResult("an hour passed") })
	p.OnCancel(func() {
		if timer.Stop() {
			p.SetError(antflow.ErrCanceled)
		}
	})

	f := p.Future()
	fmt.Println(f.Cancel(), f.State())
	// Output: true canceled
}
