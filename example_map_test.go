package antflow_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/antflow/antflow"
)

func ExampleMap() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()

	fields := slices.Values([]string{"1", "2", "three", "4"})
	parse := func(ctx context.Context, s string) (int, error) { return strconv.Atoi(s) }

	for n, err := range antflow.Map(ctx, e, fields, parse) {
		if err != nil {
			fmt.Println(err)
			continue // break would cancel the rest
		}
		fmt.Println(n)
	}
	// Output:
	// 1
	// 2
	// antflow: item 2: strconv.Atoi: parsing "three": invalid syntax
	// 4
}

func ExampleMap_endless() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()

	numbers := func(yield func(int) bool) {
		for n := 1_000_000; yield(n); n++ {
		}
	}
	isPrime := func(ctx context.Context, n int) (string, error) {
		for d := 2; d*d <= n; d++ {
			if n%d == 0 {
				return "", nil
			}
		}
		return strconv.Itoa(n), nil
	}
	// Only a window of the inputs is pulled, and leaving the loop ends it all.
	for prime, err := range antflow.Map(ctx, e, numbers, isPrime) {
		if err != nil || prime != "" {
			fmt.Println(prime, err)
			break
		}
	}
	// Output: 1000003 <nil>
}

func ExampleMap2() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()

	words := slices.All([]string{"zero", "one", "two"}) // index and value
	repeat := func(ctx context.Context, n int, word string) (string, error) {
		return strings.Repeat(word, n), nil
	}
	for s, err := range antflow.Map2(ctx, e, words, repeat) {
		fmt.Printf("%q %v\n", s, err)
	}
	// Output:
	// "" <nil>
	// "one" <nil>
	// "twotwo" <nil>
}

func ExampleMapUnordered() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()

	hosts := slices.Values([]string{"alpha", "beta", "gamma"})
	ping := func(ctx context.Context, host string) (int, error) {
		if host == "beta" {
			return 0, errors.New("no answer")
		}
		return len(host), nil
	}
	// Whoever answers first comes first; the item tells who it is.
	for item, err := range antflow.MapUnordered(ctx, e, hosts, ping) {
		if err != nil {
			fmt.Println(item.Input, "failed:", err)
			continue
		}
		fmt.Println(item.Input, "answered in", item.Value)
	}
	// Unordered output:
	// alpha answered in 5
	// beta failed: antflow: item 1: no answer
	// gamma answered in 5
}

func ExampleMapSlice() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()

	lengths, err := antflow.MapSlice(ctx, e, []string{"a", "bb", "ccc"},
		func(ctx context.Context, s string) (int, error) { return len(s), nil })
	fmt.Println(lengths, err)
	// Output: [1 2 3] <nil>
}

func ExampleForEach() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()

	// The lines of a file, or any other sequence.
	lines := strings.Lines("one\ntwo\nthree\n")
	var letters atomic.Int64
	err := antflow.ForEach(ctx, e, lines, func(ctx context.Context, line string) error {
		letters.Add(int64(len(strings.TrimSpace(line))))
		return nil
	})
	fmt.Println(letters.Load(), err)
	// Output: 11 <nil>
}

func ExampleForEach_firstError() {
	ctx := context.Background()
	e := antflow.New(2)
	defer e.Close()

	err := antflow.ForEach(ctx, e, slices.Values([]string{"big.iso", "notes.txt"}),
		func(ctx context.Context, name string) error {
			if name == "notes.txt" {
				return errors.New("disk full")
			}
			<-ctx.Done() // a long copy, which the failure of the other one stops
			return ctx.Err()
		})
	fmt.Println(err)
	// Output: antflow: item 1: disk full
}

func ExampleZip() {
	names := slices.Values([]string{"x", "y", "z"})
	values := slices.Values([]int{1, 2})

	for name, value := range antflow.Zip(names, values) {
		fmt.Println(name, value)
	}
	// Output:
	// x 1
	// y 2
}

func ExampleMaxConcurrency() {
	ctx := context.Background()
	e := antflow.New(8)
	defer e.Close()

	// The legacy system takes one call at a time; the other workers are free
	// for other tasks.
	var mu sync.Mutex
	err := antflow.ForEach(ctx, e, slices.Values(make([]int, 20)), func(ctx context.Context, _ int) error {
		if !mu.TryLock() {
			return errors.New("two at a time")
		}
		defer mu.Unlock()
		return nil
	}, antflow.MaxConcurrency(1))
	fmt.Println(err)
	// Output: <nil>
}

func ExampleResultTimeout() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()

	hosts := slices.Values([]string{"silent.example"})
	ask := func(ctx context.Context, host string) (string, error) {
		<-ctx.Done() // no answer comes
		return "", ctx.Err()
	}
	for answer, err := range antflow.Map(ctx, e, hosts, ask, antflow.ResultTimeout(2*time.Millisecond)) {
		fmt.Println(answer, errors.Is(err, context.DeadlineExceeded))
		fmt.Println(err)
	}
	// Output:
	//  true
	// antflow: wait ended: no further result after 0 within 2ms: context deadline exceeded
}

func ExampleWindow() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()

	var pulled atomic.Int64
	rows := func(yield func(int) bool) { // of a table too large for memory
		for row := range 1000 {
			pulled.Add(1)
			if !yield(row) {
				return
			}
		}
	}
	double := func(ctx context.Context, n int) (int, error) { return 2 * n, nil }

	written, ahead := int64(0), int64(0)
	for range antflow.Map(ctx, e, rows, double, antflow.Window(10)) {
		ahead = max(ahead, pulled.Load()-written)
		written++
	}
	fmt.Println(written, "rows, more than 10 in memory:", ahead > 10)
	// Output: 1000 rows, more than 10 in memory: false
}

func ExampleItemErrors() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()

	fields := []string{"1", "zwei", "3", "vier"}
	numbers, err := antflow.MapSlice(ctx, e, fields, func(ctx context.Context, s string) (int, error) {
		n, err := strconv.Atoi(s)
		if err != nil {
			return 0, errors.New("not a number")
		}
		return n, nil
	}, antflow.CollectErrors())

	fmt.Println(numbers)
	for _, failed := range antflow.ItemErrors(err) {
		fmt.Printf("%q: %v\n", fields[failed.Index], failed.Err)
	}
	// Output:
	// [1 0 3 0]
	// "zwei": not a number
	// "vier": not a number
}

func ExampleItemError() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()

	paths := []string{"a.txt", "../secret", "b.txt"}
	_, err := antflow.MapSlice(ctx, e, paths, func(ctx context.Context, path string) (int, error) {
		if strings.HasPrefix(path, "..") {
			return 0, errors.New("outside of the root")
		}
		return len(path), nil
	})
	if item, ok := errors.AsType[*antflow.ItemError](err); ok {
		fmt.Println(paths[item.Index], "is", item.Err)
	}
	// Output: ../secret is outside of the root
}
