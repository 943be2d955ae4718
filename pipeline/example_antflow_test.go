package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/pipeline"
)

// The examples of docs/coming-from-antflow.md.

func Example_antflowStage() {
	ctx := context.Background()
	e := antflow.New(15)
	defer e.Close()
	fetchUser := func(_ context.Context, id int) (string, error) { return fmt.Sprint("user ", id), nil }
	saveUser := func(_ context.Context, user string) (int, error) { return len(user), nil }

	fetch := pipeline.Stage("fetch", fetchUser, pipeline.Workers(10))
	save := pipeline.Stage("save", saveUser, pipeline.Workers(5))
	p := pipeline.Then(fetch, save) // takes what fetchUser takes, gives what saveUser returns

	for n, err := range p.Run(ctx, e, slices.Values([]int{1, 22})) {
		fmt.Println(n, err)
	}
	// Output:
	// 6 <nil>
	// 7 <nil>
}

func Example_antflowValidation() {
	defer func() { fmt.Println(recover()) }()
	nop := func(_ context.Context, n int) (int, error) { return n, nil }

	pipeline.Then(pipeline.Stage("save", nop), pipeline.Stage("save", nop))
	// Output: antflow: pipeline: two stages are named "save"
}

func Example_antflowRun() {
	ctx := context.Background()
	e := antflow.New(2)
	defer e.Close()

	invert := pipeline.Stage("invert", func(_ context.Context, n int) (int, error) {
		if n == 0 {
			return 0, errors.New("division by zero")
		}
		return 100 / n, nil
	}, pipeline.Workers(2))
	for range 2 { // each is a run of its own
		var results []int
		for n, err := range invert.Run(ctx, e, slices.Values([]int{1, 0, 2})) {
			if err != nil {
				fmt.Println(err)
				continue
			}
			results = append(results, n)
		}
		fmt.Println(results)
	}
	// Output:
	// antflow: stage "invert": item 1: division by zero
	// [100 50]
	// antflow: stage "invert": item 1: division by zero
	// [100 50]
}

func Example_antflowStream() {
	ctx := context.Background()
	e := antflow.New(2)
	defer e.Close()
	invert := pipeline.Stage("invert", func(_ context.Context, n int) (int, error) {
		if n == 0 {
			return 0, errors.New("division by zero")
		}
		return 100 / n, nil
	}, pipeline.Workers(2))

	numbers := func(yield func(int) bool) {
		for n := 0; yield(n); n++ { // endless
		}
	}
	for n, err := range invert.RunUnordered(ctx, e, numbers) {
		if err != nil {
			continue // it failed, and the loop goes on
		}
		if n == 0 {
			fmt.Println("enough")
			break
		}
	}
	// Output: enough
}

func Example_antflowFeed() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()
	read := pipeline.Stage("read", func(_ context.Context, file string) (string, error) { return "text of " + file, nil })
	save := pipeline.Stage("save", func(_ context.Context, text string) (int, error) { return len(text), nil })

	run := pipeline.Then(read, save).Start(ctx, e)
	f := run.Feed(ctx, "a.txt")
	g := pipeline.FeedAt(ctx, run, "save", "text that was read before")
	fmt.Println(f.Result(ctx)) // this item's result; the others don't matter
	fmt.Println(g.Result(ctx))
	run.Close()
	// Output:
	// 13 <nil>
	// 25 <nil>
}

func Example_antflowPriority() {
	ctx := context.Background()
	e := antflow.New(1)
	defer e.Close()
	busy := make(chan struct{})
	serve := pipeline.Stage("serve", func(_ context.Context, who string) (string, error) {
		<-busy
		fmt.Println(who)
		return who, nil
	}, pipeline.Buffer(10))
	run := serve.Start(ctx, e)
	run.Feed(ctx, "the first")

	run.Feed(ctx, "maintenance", pipeline.WithPriority(-10))
	run.Feed(ctx, "regular") // 0
	run.Feed(ctx, "vip", pipeline.WithPriority(10))
	close(busy)
	run.Close()
	// Output:
	// the first
	// vip
	// regular
	// maintenance
}

func Example_antflowRetries() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()
	calls := 0
	fetchUser := func(_ context.Context, id int) (string, error) {
		calls++
		return "", antflow.RetryAfter(errors.New("connection refused"), 0) // the example has no time
	}

	fetch := pipeline.Stage("fetch", fetchUser,
		antflow.Retries(2), // three attempts
		antflow.RetryBackoff(antflow.ConstantBackoff(time.Second)))

	for _, err := range fetch.Run(ctx, e, slices.Values([]int{7})) {
		fmt.Println(calls, err)
	}
	// Output: 3 antflow: stage "fetch": item 0: failed after 3 attempts: connection refused
}

func Example_antflowPerTask() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()
	failures := 1
	validateRow := func(_ context.Context, row string) (string, error) {
		fmt.Println("validate")
		return row, nil
	}
	storeRow := func(_ context.Context, row string) (int, error) {
		fmt.Println("store")
		if failures--; failures >= 0 {
			return 0, errors.New("connection refused")
		}
		return len(row), nil
	}

	again := antflow.JoinOptions(antflow.Retries(2), antflow.RetryDelay(time.Millisecond))
	process := pipeline.Stage("process", pipeline.Chain(
		pipeline.Step("validate", validateRow, again),
		pipeline.Step("store", storeRow, again)))
	for n, err := range process.Run(ctx, e, slices.Values([]string{"row"})) {
		fmt.Println(n, err)
	}
	// Output:
	// validate
	// store
	// store
	// 3 <nil>
}

func Example_antflowPerStage() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()
	failures := 1
	begin := func(_ context.Context, order string) (string, error) {
		fmt.Println("begin")
		return order, nil
	}
	commit := func(_ context.Context, order string) (*string, error) {
		fmt.Println("commit")
		if failures--; failures >= 0 {
			return nil, errors.New("conflict")
		}
		return nil, nil // a nil result is a result
	}

	book := pipeline.Stage("book", pipeline.Chain(begin, commit),
		antflow.Retries(2), antflow.RetryDelay(time.Millisecond))
	for receipt, err := range book.Run(ctx, e, slices.Values([]string{"order"})) {
		fmt.Println(receipt, err)
	}
	// Output:
	// begin
	// commit
	// begin
	// commit
	// <nil> <nil>
}

func Example_antflowLimits() {
	ctx := context.Background()
	e := antflow.New(50)
	defer e.Close()
	uploadFile := func(_ context.Context, file string) (string, error) { return file + " uploaded", nil }
	pollStatus := func(_ context.Context, job string) (string, error) { return job + " and done", nil }

	two := antflow.WithSemaphore(antflow.NewSemaphore(2))
	job := pipeline.Stage("job", pipeline.Chain(
		pipeline.Step("upload", uploadFile, two),
		pipeline.Step("poll", pollStatus)), pipeline.Workers(50))
	for text, err := range job.Run(ctx, e, slices.Values([]string{"a.jsonl"})) {
		fmt.Println(text, err)
	}
	// Output: a.jsonl uploaded and done <nil>
}

func Example_antflowUnpack() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()

	type size struct{ width, height int }
	area := pipeline.Stage("area", func(_ context.Context, s size) (int, error) {
		return s.width * s.height, nil
	})
	for n, err := range area.Run(ctx, e, slices.Values([]size{{2, 3}})) {
		fmt.Println(n, err)
	}
	// Output: 6 <nil>
}

func Example_antflowSkip() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()
	upper := pipeline.Stage("upper", func(_ context.Context, s string) (string, error) { return strings.ToUpper(s), nil })
	isDone := func(s string) bool { return s == strings.ToUpper(s) }

	p := pipeline.Route(
		pipeline.When(isDone, pipeline.Pass[string]()), // as it is, past the stage
		pipeline.Otherwise(upper))
	for s, err := range p.Run(ctx, e, slices.Values([]string{"ant", "BEE"})) {
		fmt.Println(s, err)
	}
	// Output:
	// ANT <nil>
	// BEE <nil>
}

func Example_antflowQueueCapacity() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()
	work := func(_ context.Context, n int) (int, error) { return n, nil }

	buffered := pipeline.Stage("work", work, pipeline.Workers(2), pipeline.Buffer(1000))
	n := 0
	for range buffered.Run(ctx, e, slices.Values(make([]int, 5000)), pipeline.Window(2000)) {
		n++
	}
	fmt.Println(n)
	// Output: 5000
}

func Example_antflowWith() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()
	square := pipeline.Stage("square", func(_ context.Context, n int) (int, error) { return n * n, nil })

	var f *antflow.Future[int]
	work := func() error {
		run := square.Start(ctx, e)
		defer run.Close() // waits for all that was fed

		f = run.Feed(ctx, 7)
		return errors.New("out of paper")
	}
	fmt.Println(work())
	fmt.Println(f.Result(ctx))
	// Output:
	// out of paper
	// 49 <nil>
}

func Example_antflowShutdown() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()
	wait := pipeline.Stage("wait", func(ctx context.Context, n int) (int, error) {
		<-ctx.Done()
		return 0, ctx.Err()
	}, pipeline.Buffer(5))

	run := wait.Start(ctx, e)
	f, g := run.Feed(ctx, 1), run.Feed(ctx, 2)
	err := run.Stop() // no further call, and the one under way is told by its context
	fmt.Println(f.State(), g.State(), errors.Is(err, pipeline.ErrStopped))
	// Output: canceled canceled true
}
