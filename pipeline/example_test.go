package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/pipeline"
)

func Example() {
	ctx := context.Background()
	pages := map[string]string{"/a": "a few words", "/b": "many more words than that"}

	fetch := pipeline.Stage("fetch", func(ctx context.Context, url string) (string, error) {
		if page, ok := pages[url]; ok {
			return page, nil
		}
		return "", antflow.Permanent(errors.New("404 Not Found"))
	}, pipeline.Workers(10), antflow.Retries(3))
	count := pipeline.Stage("count", func(ctx context.Context, page string) (int, error) {
		return len(strings.Fields(page)), nil
	}, pipeline.Workers(2))
	p := pipeline.Then(fetch, count) // takes strings, gives ints

	e := antflow.New(p.Workers())
	defer e.Close()
	for words, err := range p.Run(ctx, e, slices.Values([]string{"/a", "/missing", "/b"})) {
		fmt.Println(words, err)
	}
	// Output:
	// 3 <nil>
	// 0 antflow: stage "fetch": item 1: 404 Not Found
	// 5 <nil>
}

func ExampleStage() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()

	parse := pipeline.Stage("parse", func(ctx context.Context, line string) (int, error) {
		if line == "" {
			return 0, pipeline.ErrSkipped // neither a result nor a failure
		}
		return strconv.Atoi(line)
	}, pipeline.Workers(4))
	for n, err := range parse.Run(ctx, e, slices.Values([]string{"1", "", "two", "3"})) {
		fmt.Println(n, err)
	}
	// Output:
	// 1 <nil>
	// 0 antflow: stage "parse": item 2: strconv.Atoi: parsing "two": invalid syntax
	// 3 <nil>
}

func ExampleStageOption() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()

	// A preset: options of this package and of the root beside one another.
	patient := []pipeline.StageOption{
		pipeline.Workers(4),
		antflow.Retries(5),
		antflow.RetryDelay(time.Millisecond),
	}
	calls := 0
	fetch := pipeline.Stage("fetch", func(ctx context.Context, url string) (string, error) {
		if calls++; calls < 3 {
			return "", errors.New("connection refused")
		}
		return "page " + url, nil
	}, patient...)
	for page, err := range fetch.Run(ctx, e, slices.Values([]string{"/a"})) {
		fmt.Println(page, err, "after", calls, "calls")
	}
	// Output: page /a <nil> after 3 calls
}

func ExamplePipeline() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()
	text := func(name string, fn func(string) string) pipeline.Pipeline[string, string] {
		return pipeline.Stage(name, func(_ context.Context, s string) (string, error) { return fn(s), nil })
	}

	// Pipelines are values: parts of others, and run as often as one likes.
	tidy := pipeline.Then(text("trim", strings.TrimSpace), text("lower", strings.ToLower))
	title := pipeline.Then(tidy, text("title", func(s string) string { return strings.ToUpper(s[:1]) + s[1:] }))
	for _, p := range []pipeline.Pipeline[string, string]{tidy, title} {
		for s, err := range p.Run(ctx, e, slices.Values([]string{" HELLO ", "World"})) {
			fmt.Printf("%q %v\n", s, err)
		}
	}
	// Output:
	// "hello" <nil>
	// "world" <nil>
	// "Hello" <nil>
	// "World" <nil>
}

func ExampleThen() {
	ctx := context.Background()
	e := antflow.New(2)
	defer e.Close()

	parse := pipeline.Stage("parse", func(_ context.Context, s string) (int, error) { return strconv.Atoi(s) })
	half := pipeline.Stage("half", func(_ context.Context, n int) (float64, error) { return float64(n) / 2, nil })
	p := pipeline.Then(parse, half) // a Pipeline[string, float64]; the other way round doesn't compile

	for x, err := range p.Run(ctx, e, slices.Values([]string{"1", "4"})) {
		fmt.Println(x, err)
	}
	// Output:
	// 0.5 <nil>
	// 2 <nil>
}

func ExamplePipeline_Run() {
	ctx := context.Background()
	e := antflow.New(8)
	defer e.Close()

	numbers := func(yield func(int) bool) {
		for n := 0; yield(n); n++ { // endless
		}
	}
	invert := pipeline.Stage("invert", func(_ context.Context, n int) (int, error) {
		return 100 / n, nil // a bug fails its item, and no other one
	}, pipeline.Workers(8))
	for n, err := range invert.Run(ctx, e, numbers) {
		if _, failed := errors.AsType[*pipeline.ItemError](err); failed {
			fmt.Println(err)
			continue
		}
		if err != nil {
			break // ctx has ended, or the executor is shut down
		}
		fmt.Println(n)
		if n < 40 {
			break // stops the pulling, and cancels what is under way
		}
	}
	// Output:
	// antflow: stage "invert": item 0: panic: runtime error: integer divide by zero
	// 100
	// 50
	// 33
}

func ExamplePipeline_RunUnordered() {
	ctx := context.Background()
	e := antflow.New(2)
	defer e.Close()

	enough := make(chan struct{})
	work := pipeline.Stage("work", func(_ context.Context, n int) (int, error) {
		if n == 0 {
			<-enough // it takes longer than the others
		}
		return n, nil
	}, pipeline.Workers(2))
	for n, err := range work.RunUnordered(ctx, e, slices.Values([]int{0, 1, 2})) {
		fmt.Println(n, err)
		if n == 2 {
			close(enough)
		}
	}
	// Output:
	// 1 <nil>
	// 2 <nil>
	// 0 <nil>
}

func ExamplePipeline_Start() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()

	square := pipeline.Stage("square", func(_ context.Context, n int) (int, error) { return n * n, nil })
	run := square.Start(ctx, e)
	f := run.Feed(ctx, 7)
	fmt.Println(f.Result(ctx))
	fmt.Println(run.Close())
	// Output:
	// 49 <nil>
	// <nil>
}

func ExamplePipeline_Stages() {
	nop := func(_ context.Context, n int) (int, error) { return n, nil }
	even := func(n int) bool { return n%2 == 0 }
	p := pipeline.Then(
		pipeline.Stage("fetch", nop),
		pipeline.Route(
			pipeline.When(even, pipeline.Stage("halve", nop)),
			pipeline.Otherwise(pipeline.Stage("triple", nop))))
	fmt.Println(p.Stages())
	// Output: [fetch halve triple]
}

func ExampleRunOption() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()

	// What all runs of a program have in common.
	common := []pipeline.RunOption{
		pipeline.Window(100),
		pipeline.Key(func(url string) string { return url }),
	}
	fetch := pipeline.Stage("fetch", func(_ context.Context, url string) (string, error) {
		return "", errors.New("connection refused")
	})
	for _, err := range fetch.Run(ctx, e, slices.Values([]string{"/a"}), append(common, pipeline.FailFast())...) {
		fmt.Println(err)
	}
	// Output: antflow: stage "fetch": item "/a": connection refused
}
