package antflow_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/antflow/antflow"
)

func ExampleRetries() {
	ctx := context.Background()
	e := antflow.New(1)
	defer e.Close()

	calls := 0 // one attempt happens before the next
	f := antflow.Submit(ctx, e, func(ctx context.Context) (string, error) {
		if calls++; calls < 3 {
			return "", errors.New("connection refused")
		}
		return "connected", nil
	}, antflow.Retries(5), antflow.RetryDelay(time.Millisecond))

	fmt.Println(f.Result(ctx))
	fmt.Println(f.Attempts(), "attempts")
	// Output:
	// connected <nil>
	// 3 attempts
}

func ExampleRetryDelay() {
	ctx := context.Background()
	e := antflow.New(1)
	defer e.Close()

	start := time.Now()
	f := e.Go(ctx, func(ctx context.Context) error {
		return errors.New("no route to host")
	}, antflow.Retries(2), antflow.RetryDelay(time.Millisecond))

	_, err := f.Result(ctx)
	fmt.Println(err)
	fmt.Println("waited 1 ms and 2 ms:", time.Since(start) >= 3*time.Millisecond)
	// Output:
	// antflow: failed after 3 attempts: no route to host
	// waited 1 ms and 2 ms: true
}

func ExampleRetryBackoff() {
	ctx := context.Background()
	e := antflow.New(1)
	defer e.Close()

	everyMilli := antflow.ConstantBackoff(time.Millisecond).Jitter(0.2)
	f := e.Go(ctx, func(ctx context.Context) error {
		return errors.New("locked")
	}, antflow.Retries(3), antflow.RetryBackoff(everyMilli))

	_, err := f.Result(ctx)
	fmt.Println(err)
	// Output: antflow: failed after 4 attempts: locked
}

func ExampleBackoff() {
	errLocked := errors.New("locked")

	// Any function is a schedule, and may look at the error.
	var schedule antflow.Backoff = func(attempt int, err error) time.Duration {
		if errors.Is(err, errLocked) {
			return 50 * time.Millisecond
		}
		return time.Duration(attempt) * time.Second
	}
	fmt.Println(schedule(1, errLocked), schedule(2, errLocked))
	fmt.Println(schedule(1, errors.New("timeout")), schedule(2, errors.New("timeout")))
	// Output:
	// 50ms 50ms
	// 1s 2s
}

func ExampleBackoff_Jitter() {
	b := antflow.ConstantBackoff(time.Second).Jitter(0.2)

	d := b(1, errors.New("overloaded"))
	fmt.Println(800*time.Millisecond <= d && d <= 1200*time.Millisecond)
	// Output: true
}

func ExampleConstantBackoff() {
	b := antflow.ConstantBackoff(30 * time.Second)

	for attempt := 1; attempt <= 3; attempt++ {
		fmt.Println(b(attempt, nil))
	}
	// Output:
	// 30s
	// 30s
	// 30s
}

func ExampleExponentialBackoff() {
	b := antflow.ExponentialBackoff(100*time.Millisecond, time.Second)

	for attempt := 1; attempt <= 5; attempt++ {
		fmt.Println(b(attempt, nil))
	}
	// Output:
	// 100ms
	// 200ms
	// 400ms
	// 800ms
	// 1s
}

func ExampleRetryIf() {
	ctx := context.Background()
	e := antflow.New(2, antflow.WithTaskOptions(antflow.Retries(2), antflow.RetryDelay(0)))
	defer e.Close()

	errBusy := errors.New("busy")
	onlyBusy := antflow.RetryIf(func(err error) bool { return errors.Is(err, errBusy) })

	busy := e.Go(ctx, func(ctx context.Context) error { return errBusy }, onlyBusy)
	wrong := e.Go(ctx, func(ctx context.Context) error { return errors.New("wrong password") }, onlyBusy)
	e.Close()

	fmt.Println(busy.Err())
	fmt.Println(wrong.Err())
	// Output:
	// antflow: failed after 3 attempts: busy
	// wrong password
}

func ExamplePermanent() {
	ctx := context.Background()
	e := antflow.New(1)
	defer e.Close()

	errNotFound := errors.New("404 Not Found")
	f := e.Go(ctx, func(ctx context.Context) error {
		return antflow.Permanent(errNotFound) // another attempt would not find it either
	}, antflow.Retries(5))

	_, err := f.Result(ctx)
	fmt.Println(err == errNotFound, f.Attempts())
	// Output: true 1
}

func ExampleRetryAfter() {
	ctx := context.Background()
	e := antflow.New(1)
	defer e.Close()

	start := time.Now()
	f := antflow.Submit(ctx, e, func(ctx context.Context) (string, error) {
		if t, _ := antflow.TaskFrom(ctx); t.Attempt == 1 {
			// The server said when to come back.
			return "", antflow.RetryAfter(errors.New("429 Too Many Requests"), 2*time.Millisecond)
		}
		return "200 OK", nil
	}, antflow.Retries(3), antflow.RetryDelay(time.Hour))

	fmt.Println(f.Result(ctx))
	waited := time.Since(start)
	fmt.Println(waited >= 2*time.Millisecond, waited < time.Hour)
	// Output:
	// 200 OK <nil>
	// true true
}

func ExampleRetryError() {
	ctx := context.Background()
	e := antflow.New(1)
	defer e.Close()

	errRefused := errors.New("connection refused")
	f := e.Go(ctx, func(ctx context.Context) error { return errRefused }, antflow.Retries(2), antflow.RetryDelay(0))

	_, err := f.Result(ctx)
	if retried, ok := errors.AsType[*antflow.RetryError](err); ok {
		fmt.Println(retried.Attempts, "attempts, at last:", retried.Err)
	}
	fmt.Println(errors.Is(err, errRefused))
	// Output:
	// 3 attempts, at last: connection refused
	// true
}
