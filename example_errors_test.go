package antflow_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/antflow/antflow"
)

func ExamplePanicError() {
	ctx := context.Background()
	e := antflow.New(1)
	defer e.Close()

	f := antflow.Submit(ctx, e, func(ctx context.Context) (int, error) {
		weekdays := []string{"Mon", "Tue"}
		day := 2
		return len(weekdays[day]), nil
	})
	_, err := f.Result(ctx)
	fmt.Println(err)
	if p, ok := errors.AsType[*antflow.PanicError](err); ok {
		fmt.Println("with a stack:", len(p.Stack) > 0) // %+v prints it
	}
	// Output:
	// antflow: panic: runtime error: index out of range [2] with length 2
	// with a stack: true
}

func ExampleWaitError() {
	ctx := context.Background()
	e := antflow.New(1)
	defer e.Close()

	begin := make(chan struct{})
	f := e.Go(ctx, func(ctx context.Context) error {
		<-begin
		<-ctx.Done()
		return ctx.Err()
	}, antflow.Timeout(2*time.Millisecond))

	explain := func(err error) {
		_, waiting := errors.AsType[*antflow.WaitError](err)
		fmt.Println(waiting, errors.Is(err, context.DeadlineExceeded))
	}
	ended, cancel := context.WithTimeout(ctx, 0)
	defer cancel()
	_, err := f.Result(ended)
	explain(err) // the reader's patience ended, the task goes on

	close(begin)
	_, err = f.Result(ctx)
	explain(err) // the task ran out of its own time
	// Output:
	// true true
	// false true
}
