package antflow_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/antflow/antflow"
)

// Events go to any logger; here failures and retries alone, as warnings.
func ExampleExecutor_Observe() {
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{} // so that the output is always the same
			}
			return a
		},
	}))
	e := antflow.New(8)
	e.Observe(func(ev antflow.Event) {
		logger.Warn("task "+ev.Kind.String(), "name", ev.Task.Name, "id", ev.Task.ID,
			"attempt", ev.Task.Attempt, "delay", ev.Delay, "err", ev.Err)
	}, antflow.EventRetrying, antflow.EventFailed)

	ctx := context.Background()
	e.Go(ctx, func(context.Context) error { return errors.New("no route to host") },
		antflow.TaskName("fetch"), antflow.Retries(1), antflow.RetryDelay(time.Millisecond))
	e.Close() // everything is told by then
	// Output:
	// level=WARN msg="task retrying" name=fetch id=0 attempt=1 delay=1ms err="no route to host"
	// level=WARN msg="task failed" name=fetch id=0 attempt=2 delay=0s err="antflow: failed after 2 attempts: no route to host"
}

// What an executor did, by the name of the tasks, and why some failed.
func ExampleExecutor_Snapshot() {
	e := antflow.New(8)
	e.Measure()
	parse := func(_ context.Context, n int) error {
		if n%5 == 0 {
			return fmt.Errorf("line %d: unexpected end", n)
		}
		return nil
	}
	antflow.ForEach(context.Background(), e, slices.Values([]int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}), parse,
		antflow.TaskName("parse"), antflow.CollectErrors())

	s := e.Snapshot()
	fmt.Println(s.Succeeded, "of", s.Submitted, "succeeded")
	for _, n := range s.Names {
		fmt.Println(n.Name, "failed", n.Failed, "of", n.RunTime.Count())
	}
	for _, g := range s.Failures {
		fmt.Printf("%d times: %s\n", g.Failed, g.Kind)
	}
	// Output:
	// 8 of 10 succeeded
	// parse failed 2 of 10
	// 2 times: line #: unexpected end
}

func ExampleExecutor_Measure() {
	e := antflow.New(2)
	stop := e.Measure()
	e.Go(context.Background(), func(context.Context) error { return nil }).Result(context.Background())
	stop()
	fmt.Println(e.Snapshot().RunTime.Count())
	// Output: 1
}

// The status tells a human what a task is doing.
func ExampleSetStatus() {
	e := antflow.New(2)
	e.Measure()
	e.Go(context.Background(), func(ctx context.Context) error {
		antflow.SetStatus(ctx, "page 1 of 3")
		for _, t := range e.Snapshot().Tasks {
			fmt.Printf("worker %d: %s: %s\n", t.Worker, t.Task.Name, t.Status)
		}
		return nil
	}, antflow.TaskName("scan"))
	e.Close()
	// Output: worker 0: scan: page 1 of 3
}

// A task is canceled by its ID, as a tool does that has no future of it.
func ExampleExecutor_Cancel() {
	e := antflow.New(1)
	e.Measure()
	f := antflow.Submit(context.Background(), e, func(ctx context.Context) (int, error) {
		<-ctx.Done()
		return 0, ctx.Err()
	})
	fmt.Println(e.Cancel(f.ID()), e.Cancel(1000))
	_, err := f.Result(context.Background())
	fmt.Println(err)
	// Output:
	// true false
	// antflow: canceled
}

// A tracer that passes a request's number on to the task's function.
type numbered struct{}

type numberKey struct{}

func (numbered) AttemptStart(ctx context.Context, a antflow.AttemptStart) context.Context {
	return context.WithValue(ctx, numberKey{}, fmt.Sprintf("%s-%d.%d", a.Task.Name, a.Task.ID, a.Task.Attempt))
}
func (numbered) AttemptEnd(ctx context.Context, a antflow.AttemptEnd) {
	fmt.Println("end of", ctx.Value(numberKey{}), "retry:", a.Retry)
}
func (numbered) TaskEnd(_ context.Context, t antflow.TaskEnd) { fmt.Println("task", t.State) }

func ExampleWithTracer() {
	e := antflow.New(1, antflow.WithTracer(numbered{}))
	e.Go(context.Background(), func(ctx context.Context) error {
		fmt.Println("in", ctx.Value(numberKey{}))
		if info, _ := antflow.TaskFrom(ctx); info.Attempt == 1 {
			return errors.New("not yet")
		}
		return nil
	}, antflow.TaskName("load"), antflow.Retries(1), antflow.RetryDelay(0))
	e.Close()
	// Output:
	// in load-0.1
	// end of load-0.1 retry: true
	// in load-0.2
	// end of load-0.2 retry: false
	// task succeeded
}

func ExampleErrorKind() {
	_, err := os.Open("/no/such/file")
	fmt.Println(antflow.ErrorKind(err))
	fmt.Println(antflow.ErrorKind(fmt.Errorf("fetch: %w", context.DeadlineExceeded)))
	fmt.Println(antflow.ErrorKind(errors.New("row 17: 3 columns")))
	// Output:
	// no such file or directory
	// context deadline exceeded
	// row #: # columns
}
