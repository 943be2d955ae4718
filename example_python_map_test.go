package antflow_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/antflow/antflow"
)

func Example_pythonMap() {
	ctx := context.Background()
	e := antflow.New(5)
	defer e.Close()

	square := func(ctx context.Context, n int) (int, error) { return n * n, nil }
	for n, err := range antflow.Map(ctx, e, slices.Values([]int{1, 2, 3}), square) {
		fmt.Println(n, err)
	}
	// Output:
	// 1 <nil>
	// 4 <nil>
	// 9 <nil>
}

func Example_pythonMapLazy() {
	ctx := context.Background()
	e := antflow.New(5)
	defer e.Close()

	var calls atomic.Int64
	count := func(ctx context.Context, n int) (int64, error) { return calls.Add(1), nil }
	results := antflow.Map(ctx, e, slices.Values([]int{1, 2, 3}), count)
	fmt.Println(calls.Load(), "calls") // nothing has been pulled yet

	for range results {
	}
	for range results { // a second run
	}
	fmt.Println(calls.Load(), "calls")
	// Output:
	// 0 calls
	// 6 calls
}

func Example_pythonMapList() {
	ctx := context.Background()
	e := antflow.New(5)
	defer e.Close()

	squares, err := antflow.MapSlice(ctx, e, []int{1, 2, 3}, func(ctx context.Context, n int) (int, error) {
		return n * n, nil
	})
	fmt.Println(squares, err)
	// Output: [1 4 9] <nil>
}

func Example_pythonMapIterables() {
	ctx := context.Background()
	e := antflow.New(5)
	defer e.Close()

	pairs := antflow.Zip(slices.Values([]int{1, 2}), slices.Values([]int{10, 20, 30}))
	add := func(ctx context.Context, a, b int) (int, error) { return a + b, nil }
	for sum, err := range antflow.Map2(ctx, e, pairs, add) {
		fmt.Println(sum, err)
	}
	// Output:
	// 11 <nil>
	// 22 <nil>
}

func Example_pythonMapErrors() {
	ctx := context.Background()
	e := antflow.New(5)
	defer e.Close()

	invert := func(ctx context.Context, n int) (int, error) {
		if n == 0 {
			return 0, errors.New("division by zero")
		}
		return 100 / n, nil
	}
	for n, err := range antflow.Map(ctx, e, slices.Values([]int{1, 0, 2}), invert) {
		if err != nil {
			fmt.Println(err)
			continue // or break
		}
		fmt.Println(n)
	}
	// Output:
	// 100
	// antflow: item 1: division by zero
	// 50
}

func Example_pythonMapTimeout() {
	ctx := context.Background()
	e := antflow.New(5)
	defer e.Close()

	hang := func(ctx context.Context, n int) (int, error) {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	timeout := antflow.ResultTimeout(2 * time.Millisecond)
	for _, err := range antflow.Map(ctx, e, slices.Values([]int{1, 2}), hang, timeout) {
		fmt.Println(errors.Is(err, context.DeadlineExceeded)) // once: it ends the map
	}
	// Output: true
}

func Example_pythonMapDeadline() {
	ctx := context.Background()
	e := antflow.New(5)
	defer e.Close()

	hang := func(ctx context.Context, n int) (int, error) {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	whole, cancel := context.WithTimeout(ctx, 2*time.Millisecond)
	defer cancel()
	for n, err := range antflow.Map(whole, e, slices.Values([]int{1, 2}), hang) {
		if _, ended := errors.AsType[*antflow.WaitError](err); ended {
			fmt.Println("no time left")
			break
		}
		if err == nil {
			fmt.Println(n)
		}
	}
	// Output: no time left
}

func Example_pythonMapBuffersize() {
	ctx := context.Background()
	e := antflow.New(5)
	defer e.Close()

	numbers := func(yield func(int) bool) {
		for n := 0; yield(n); n++ { // endless
		}
	}
	square := func(ctx context.Context, n int) (int, error) { return n * n, nil }
	for n, err := range antflow.Map(ctx, e, numbers, square, antflow.Window(10)) {
		if err != nil || n > 1000 {
			fmt.Println(n, err)
			break
		}
	}
	// Output: 1024 <nil>
}

func Example_pythonMapConcurrency() {
	ctx := context.Background()
	e := antflow.New(5)
	defer e.Close()

	var calls atomic.Int64
	atOnce := func(ctx context.Context, n int) (int64, error) {
		defer calls.Add(-1)
		return calls.Add(1), nil
	}
	most := int64(0)
	for n, err := range antflow.Map(ctx, e, slices.Values(make([]int, 20)), atOnce, antflow.MaxConcurrency(2)) {
		if err != nil {
			fmt.Println(err)
		}
		most = max(most, n)
	}
	fmt.Println("more than two at once:", most > 2)
	// Output: more than two at once: false
}

func Example_pythonAsCompleted() {
	ctx := context.Background()
	e := antflow.New(5)
	defer e.Close()

	var futures []*antflow.Future[int]
	for n := range 3 {
		futures = append(futures, antflow.Submit(ctx, e, func(ctx context.Context) (int, error) {
			return n * n, nil
		}))
	}
	for f, err := range antflow.AsCompleted(ctx, futures) {
		if err != nil {
			fmt.Println(err)
			break
		}
		fmt.Println(f.Result(ctx))
	}
	// Unordered output:
	// 0 <nil>
	// 1 <nil>
	// 4 <nil>
}

func Example_pythonAsCompletedTimeout() {
	ctx := context.Background()
	e := antflow.New(5)
	defer e.Close()
	finish := make(chan struct{})
	wait := func(ctx context.Context) error { <-finish; return nil }

	futures := []*antflow.Future[struct{}]{e.Go(ctx, wait), e.Go(ctx, wait)}
	limit, cancel := context.WithTimeout(ctx, time.Millisecond)
	defer cancel()
	for f, err := range antflow.AsCompleted(limit, futures) {
		fmt.Println(f == nil, err)
	}
	close(finish)
	// Output: true antflow: wait ended: 2 of 2 futures unfinished: context deadline exceeded
}

func Example_pythonWait() {
	ctx := context.Background()
	e := antflow.New(5)
	defer e.Close()

	futures := []*antflow.Future[struct{}]{
		e.Go(ctx, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }),
		e.Go(ctx, func(ctx context.Context) error { return errors.New("disk full") }),
	}
	done, pending, err := antflow.Wait(ctx, futures, antflow.FirstError)
	fmt.Println(len(done), len(pending), err)
	fmt.Println(done[0].Err())
	pending[0].Cancel()
	// Output:
	// 1 1 <nil>
	// disk full
}

func Example_pythonWaitTimeout() {
	ctx := context.Background()
	e := antflow.New(5)
	defer e.Close()
	finish := make(chan struct{})

	f := e.Go(ctx, func(ctx context.Context) error { <-finish; return nil })
	limit, cancel := context.WithTimeout(ctx, time.Millisecond)
	defer cancel()
	done, pending, err := antflow.Wait(limit, []*antflow.Future[struct{}]{f}, antflow.AllCompleted)
	fmt.Println(len(done), len(pending), errors.Is(err, context.DeadlineExceeded))
	close(finish)
	// Output: 0 1 true
}
