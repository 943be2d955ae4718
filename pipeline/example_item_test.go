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

func ExampleKey() {
	ctx := context.Background()
	e := antflow.New(2)
	defer e.Close()

	type user struct{ email, name string }
	greet := pipeline.Stage("greet", func(_ context.Context, u user) (string, error) {
		if u.name == "" {
			return "", errors.New("no name")
		}
		return "Dear " + u.name, nil
	})
	users := slices.Values([]user{{"ann@example.com", "Ann"}, {"bob@example.com", ""}})
	for text, err := range greet.Run(ctx, e, users, pipeline.Key(func(u user) string { return u.email })) {
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(text)
	}
	// Output:
	// Dear Ann
	// antflow: stage "greet": item "bob@example.com": no name
}

func ExampleWithKey() {
	ctx := context.Background()
	e := antflow.New(2)
	defer e.Close()

	// The key is what the caller calls it, whatever is in the input.
	pay := pipeline.Stage("pay", func(_ context.Context, cents int) (int, error) {
		return 0, antflow.Permanent(errors.New("insufficient funds"))
	})
	run := pay.Start(ctx, e)
	defer run.Close()
	f := run.Feed(ctx, 1999, pipeline.WithKey("order 2871"))
	_, err := f.Result(ctx)
	fmt.Println(err)
	// Output: antflow: stage "pay": item "order 2871": insufficient funds
}

func ExamplePriorityBy() {
	ctx := context.Background()
	e := antflow.New(1)
	defer e.Close()

	// The first job keeps the only worker busy until the others wait for it.
	var m pipeline.Monitor
	work := pipeline.Stage("work", func(_ context.Context, job string) (string, error) {
		for job == "first" && m.Snapshot().Stages[0].Waiting < 3 {
			time.Sleep(time.Millisecond) // by the real clock: an example has no other
		}
		return job, nil
	}, pipeline.Buffer(10))
	urgent := pipeline.PriorityBy(func(job string) int {
		return strings.Count(job, "!")
	})
	jobs := slices.Values([]string{"first", "backup", "mail!", "alarm!!!"})
	for job, err := range work.RunUnordered(ctx, e, jobs, urgent, pipeline.WithMonitor(&m)) {
		fmt.Println(job, err)
	}
	// Output:
	// first <nil>
	// alarm!!! <nil>
	// mail! <nil>
	// backup <nil>
}

func ExampleWithPriority() {
	ctx := context.Background()
	e := antflow.New(1)
	defer e.Close()

	busy := make(chan struct{})
	work := pipeline.Stage("work", func(_ context.Context, job string) (string, error) {
		<-busy // until all have been fed
		fmt.Println(job)
		return job, nil
	}, pipeline.Buffer(10)) // so the feeding doesn't wait for room
	run := work.Start(ctx, e)
	run.Feed(ctx, "first")
	run.Feed(ctx, "backup", pipeline.WithPriority(-1))
	run.Feed(ctx, "mail")
	run.Feed(ctx, "alarm", pipeline.WithPriority(10))
	close(busy)
	run.Close()
	// Output:
	// first
	// alarm
	// mail
	// backup
}

func ExampleFeedOption() {
	ctx := context.Background()
	e := antflow.New(2)
	defer e.Close()

	// Options win over what Key and PriorityBy make of the input.
	vip := []pipeline.FeedOption{pipeline.WithPriority(100), pipeline.WithKey("vip")}
	who := pipeline.Stage("who", func(ctx context.Context, name string) (string, error) {
		item, _ := pipeline.ItemFrom(ctx)
		return item.Key, nil
	})
	run := who.Start(ctx, e, pipeline.Key(func(name string) string { return "guest " + name }))
	defer run.Close()
	fmt.Println(run.Feed(ctx, "Ann").Result(ctx))
	fmt.Println(run.Feed(ctx, "Bob", vip...).Result(ctx))
	// Output:
	// guest Ann <nil>
	// vip <nil>
}

func ExampleItem() {
	ctx := context.Background()
	e := antflow.New(1)
	defer e.Close()

	// In a stage of batches the members tell which inputs are there.
	save := pipeline.Stage("save", func(ctx context.Context, rows []string) (string, error) {
		item, _ := pipeline.ItemFrom(ctx)
		return fmt.Sprint(item, " ", item.Members), nil
	})
	p := pipeline.Then(pipeline.Batch[string](2, 0), save)
	for text, err := range p.Run(ctx, e, slices.Values([]string{"a", "b", "c"})) {
		fmt.Println(text, err)
	}
	// Output:
	// item 0 and 1 more [0 1] <nil>
	// item 2 [2] <nil>
}

func ExampleCall() {
	ctx := context.Background()
	e := antflow.New(2)
	defer e.Close()

	// A server that knows the key does what it is asked for once, however often
	// it is asked.
	pay := pipeline.Stage("pay", func(ctx context.Context, order int) (string, error) {
		call, _ := pipeline.CallFrom(ctx)
		if call.Attempt < 3 {
			return "", errors.New("no answer")
		}
		return fmt.Sprint("idempotency key ", call.Stage, "-", order, ", attempt ", call.Attempt), nil
	}, antflow.Retries(5), antflow.RetryDelay(time.Millisecond))
	for text, err := range pay.Run(ctx, e, slices.Values([]int{2871})) {
		fmt.Println(text, err)
	}
	// Output: idempotency key pay-2871, attempt 3 <nil>
}

func ExampleCallFrom() {
	ctx := context.Background()
	e := antflow.New(2)
	defer e.Close()

	// One logger for all stages.
	logf := func(ctx context.Context, text string) {
		if call, ok := pipeline.CallFrom(ctx); ok {
			text = fmt.Sprint(call.Stage, ", ", call.Item, ", attempt ", call.Attempt, ": ", text)
		}
		fmt.Println(text)
	}
	fetch := pipeline.Stage("fetch", func(ctx context.Context, url string) (string, error) {
		logf(ctx, "connecting")
		if call, _ := pipeline.CallFrom(ctx); call.Attempt == 1 {
			return "", errors.New("connection refused")
		}
		return url, nil
	}, antflow.Retries(1), antflow.RetryDelay(0))
	for range fetch.Run(ctx, e, slices.Values([]string{"/a"})) {
	}
	logf(ctx, "the end")
	// Output:
	// fetch, item 0, attempt 1: connecting
	// fetch, item 0, attempt 2: connecting
	// the end
}

func ExampleItemFrom() {
	ctx := context.Background()
	e := antflow.New(2)
	defer e.Close()

	// A function that logs needs to be handed nothing but its context.
	logf := func(ctx context.Context, text string) {
		if item, ok := pipeline.ItemFrom(ctx); ok {
			text = item.String() + ": " + text
		}
		fmt.Println(text)
	}
	fetch := pipeline.Stage("fetch", func(ctx context.Context, url string) (string, error) {
		logf(ctx, "connecting")
		return url, nil
	})
	for range fetch.Run(ctx, e, slices.Values([]string{"/a", "/b"})) {
	}
	logf(ctx, "the end")
	// Output:
	// item 0: connecting
	// item 1: connecting
	// the end
}
