package antflow_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/antflow/antflow"
)

func ExampleTaskSettings() {
	// A package that takes task options for what it submits, but does the
	// calls with a timeout itself, has to know whether there is one.
	limit := func(opts ...antflow.TaskOption) string {
		var s antflow.TaskSettings = antflow.SettingsOf(opts...)
		if s.Timeout == 0 {
			return "no limit"
		}
		return s.Timeout.String()
	}
	fmt.Println(limit(antflow.Retries(3)))
	fmt.Println(limit(antflow.Retries(3), antflow.Timeout(time.Second)))
	// Output:
	// no limit
	// 1s
}

func ExampleSettingsOf() {
	preset := antflow.JoinOptions(antflow.TaskName("billing"), antflow.Retries(5))
	s := antflow.SettingsOf(preset, antflow.Retries(1)) // later ones win
	fmt.Println(s.Name, s.Retries, s.Semaphore)
	// Output: billing 1 <nil>
}

func ExampleTaskSettings_Again() {
	// A loop that does without an executor what one would do.
	call := func(fn func() error, opts ...antflow.TaskOption) error {
		s := antflow.SettingsOf(opts...)
		for attempt := 1; ; attempt++ {
			err := fn()
			if err == nil {
				return nil
			}
			delay, again := s.Again(attempt, err, false)
			if !again {
				return antflow.Unmarked(err)
			}
			fmt.Println("again after", delay)
			time.Sleep(delay) // by the real clock, as a program would
		}
	}
	calls := 0
	err := call(func() error {
		if calls++; calls == 3 {
			return antflow.Permanent(errors.New("unknown user"))
		}
		return errors.New("connection refused")
	}, antflow.Retries(5), antflow.RetryDelay(time.Millisecond))
	fmt.Println(err)
	// Output:
	// again after 1ms
	// again after 2ms
	// unknown user
}

func ExampleWithoutDefaults() {
	ctx := context.Background()
	e := antflow.New(2, antflow.WithTaskOptions(antflow.TaskName("job"), antflow.Timeout(time.Minute)))
	defer e.Close()

	hasDeadline := func(ctx context.Context) (bool, error) {
		_, ok := ctx.Deadline()
		return ok, nil
	}
	f := antflow.Submit(ctx, e, hasDeadline)
	g := antflow.Submit(ctx, e, hasDeadline, antflow.WithoutDefaults())
	fmt.Println(f.Result(ctx))
	fmt.Println(g.Result(ctx))
	// Output:
	// true <nil>
	// false <nil>
}

func ExampleExecutor_TaskOptions() {
	e := antflow.New(2, antflow.WithTaskOptions(antflow.Retries(3)))
	defer e.Close()

	// What a task of this executor would have with an option of its own.
	s := antflow.SettingsOf(e.TaskOptions(), antflow.TaskName("sync"))
	fmt.Println(s.Name, s.Retries)
	// Output: sync 3
}

func ExampleExecutor_Closing() {
	ctx := context.Background()
	e := antflow.New(1)

	// A producer goes on until the executor is shut down by somebody else.
	ended := make(chan struct{})
	ticks := make(chan int)
	go func() {
		defer close(ended)
		for n := 0; ; n++ {
			select {
			case ticks <- n:
			case <-e.Closing():
				return
			}
		}
	}()
	fmt.Println(<-ticks, <-ticks)
	e.Shutdown(ctx)
	<-ended
	fmt.Println("the producer has ended")
	// Output:
	// 0 1
	// the producer has ended
}

func ExampleExecutor_Accepts() {
	ctx := context.Background()
	e := antflow.New(1)
	begun, shut := make(chan struct{}), make(chan struct{})
	f := antflow.Submit(ctx, e, func(ctx context.Context) (bool, error) {
		close(begun)
		<-shut
		return e.Accepts(ctx), nil // its own subtasks are accepted work still
	})
	<-begun
	fmt.Println(e.Accepts(ctx))
	e.Shutdown(ctx, antflow.NoWait())
	fmt.Println(e.Accepts(ctx))
	close(shut)
	fmt.Println(f.Result(ctx))
	// Output:
	// true
	// false
	// true <nil>
}

func ExampleWithoutTask() {
	ctx := context.Background()
	e := antflow.New(1)
	defer e.Close()

	f := e.Go(ctx, func(ctx context.Context) error {
		outside := antflow.WithoutTask(ctx)
		_, ok := antflow.TaskFrom(outside)
		fmt.Println(ok, outside.Err())
		return nil
	})
	f.Result(ctx)
	// Output: false <nil>
}

func ExampleRetryAfterOf() {
	// A client that slows down for all calls when one was told to.
	slowDown := func(err error) {
		if d, ok := antflow.RetryAfterOf(err); ok {
			fmt.Println("pause for", d)
		}
	}
	slowDown(errors.New("404 Not Found"))
	slowDown(fmt.Errorf("upload: %w", antflow.RetryAfter(errors.New("429 Too Many Requests"), 2*time.Second)))
	// Output: pause for 2s
}

func ExampleUnmarked() {
	errGone := errors.New("410 Gone")
	err := antflow.Permanent(errGone)
	fmt.Println(err == errGone, antflow.Unmarked(err) == errGone)
	// Output: false true
}

func ExampleWithTaskInfo() {
	ctx := context.Background()
	e := antflow.New(1)
	defer e.Close()

	logf := func(ctx context.Context, text string) {
		task, _ := antflow.TaskFrom(ctx)
		fmt.Printf("%s %d: %s\n", task.Name, task.ID, text)
	}
	// A job of another system, run as a task: what it logs names the job.
	f := e.Go(ctx, func(ctx context.Context) error {
		ctx = antflow.WithTaskInfo(ctx, antflow.TaskInfo{ID: 4711, Name: "invoice", Attempt: 1})
		logf(ctx, "sent")
		return nil
	}, antflow.TaskName("job runner"))
	f.Result(ctx)
	// Output: invoice 4711: sent
}
