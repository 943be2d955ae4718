package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"sync/atomic"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/pipeline"
)

func ExampleItemError() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()

	load := pipeline.Stage("load", func(_ context.Context, name string) (string, error) {
		if name == "b.txt" {
			return "", fs.ErrNotExist
		}
		return "text", nil
	}, antflow.Retries(2), antflow.RetryDelay(0))
	for _, err := range load.Run(ctx, e, slices.Values([]string{"a.txt", "b.txt"})) {
		if failed, ok := errors.AsType[*pipeline.ItemError](err); ok {
			fmt.Println(failed.Stage, failed.Item.ID, failed.Attempts)
			fmt.Println(errors.Is(err, fs.ErrNotExist))
			fmt.Println(err)
		}
	}
	// Output:
	// load 1 3
	// true
	// antflow: stage "load": item 1: failed after 3 attempts: file does not exist
}

func ExampleFailFast() {
	ctx := context.Background()
	e := antflow.New(2)
	defer e.Close()

	parse := pipeline.Stage("parse", func(_ context.Context, s string) (int, error) { return strconv.Atoi(s) })
	sum := 0
	for n, err := range parse.Run(ctx, e, slices.Values([]string{"x", "1", "2"}), pipeline.FailFast()) {
		if err != nil {
			fmt.Println(err)
			return // nothing comes after it
		}
		sum += n
	}
	fmt.Println(sum)
	// Output: antflow: stage "parse": item 0: strconv.Atoi: parsing "x": invalid syntax
}

func ExampleRun_DeadLetters() {
	ctx := context.Background()
	e := antflow.New(2)
	defer e.Close()

	var down atomic.Bool
	down.Store(true)
	send := pipeline.Stage("send", func(_ context.Context, mail string) (string, error) {
		if down.Load() {
			return "", errors.New("no route to host")
		}
		return mail + " sent", nil
	}, pipeline.Buffer(10))
	run := send.Start(ctx, e)
	run.Feed(ctx, "invoice")
	run.Feed(ctx, "reminder")
	run.Close()

	// What failed is fed to another run. The loop ends, since the first run is
	// over; while a run goes on it waits for the next failure.
	down.Store(false)
	again := send.Start(ctx, e)
	for mail, failed := range run.DeadLetters(ctx) {
		fmt.Println(failed)
		fmt.Println(again.Feed(ctx, mail).Result(ctx))
	}
	again.Close()
	// Output:
	// antflow: stage "send": item 0: no route to host
	// invoice sent <nil>
	// antflow: stage "send": item 1: no route to host
	// reminder sent <nil>
}

func ExampleDeadLetterLimit() {
	ctx := context.Background()
	e := antflow.New(2)
	defer e.Close()

	// A run of weeks whose failures nobody collects keeps the latest.
	check := pipeline.Stage("check", func(_ context.Context, host string) (bool, error) {
		return false, errors.New("no answer")
	}, pipeline.Buffer(10))
	run := check.Start(ctx, e, pipeline.DeadLetterLimit(2))
	for _, host := range []string{"a", "b", "c", "d"} {
		run.Feed(ctx, host)
	}
	run.Close()
	for host := range run.DeadLetters(ctx) {
		fmt.Println(host)
	}
	// Output:
	// c
	// d
}

func ExampleRun_Dropped() {
	ctx := context.Background()
	e := antflow.New(2)
	defer e.Close()

	check := pipeline.Stage("check", func(_ context.Context, host string) (bool, error) {
		return false, errors.New("no answer")
	}, pipeline.Buffer(10))
	run := check.Start(ctx, e, pipeline.DeadLetterLimit(1))
	for _, host := range []string{"a", "b", "c"} {
		run.Feed(ctx, host)
	}
	run.Close()
	for host := range run.DeadLetters(ctx) {
		fmt.Println(host, "and", run.Dropped(), "more")
	}
	// Output: c and 2 more
}

func ExampleMonitor_Failures() {
	ctx := context.Background()
	e := antflow.New(2)
	defer e.Close()

	parse := pipeline.Stage("parse", func(_ context.Context, s string) (int, error) { return strconv.Atoi(s) })
	check := pipeline.Filter("check", func(_ context.Context, n int) (bool, error) {
		if n > 100 {
			return false, fmt.Errorf("%d is too much", n)
		}
		return true, nil
	})
	var m pipeline.Monitor
	inputs := slices.Values([]string{"1", "200", "x", "", "99999999999999999999", "300", "400"})
	for range pipeline.Then(parse, check).Run(ctx, e, inputs, pipeline.WithMonitor(&m)) {
	}
	for _, g := range m.Failures() {
		fmt.Printf("%d at %s: %s\n", g.Count, g.Stage, g.Kind)
	}
	// Output:
	// 3 at check: # is too much
	// 2 at parse: invalid syntax
	// 1 at parse: value out of range
}

func ExampleFailureGroup() {
	ctx := context.Background()
	e := antflow.New(2)
	defer e.Close()

	save := pipeline.Stage("save", func(_ context.Context, user string) (int, error) {
		return 0, fmt.Errorf("user %q: disk full", user)
	})
	var m pipeline.Monitor
	users := slices.Values([]string{"ann", "bob"})
	key := pipeline.Key(func(user string) string { return user })
	for range save.Run(ctx, e, users, key, pipeline.WithMonitor(&m)) {
	}
	for _, g := range m.Failures() {
		fmt.Println(g.Count, "failed at", g.Stage, "like this:", g.Kind)
		fmt.Println("the first:", g.First.Err)
		fmt.Println("they are:", g.Items)
	}
	// Output:
	// 2 failed at save like this: user "…": disk full
	// the first: user "ann": disk full
	// they are: [item "ann" item "bob"]
}

func ExampleStep() {
	ctx := context.Background()
	e := antflow.New(8)
	defer e.Close()

	// Fifty jobs at a time, but two uploads. A job that waits for its upload
	// keeps its place among the fifty, and no worker of the executor.
	uploads := antflow.NewSemaphore(2)
	var now, excess atomic.Int64
	upload := pipeline.Step("upload", func(_ context.Context, file string) (string, error) {
		if now.Add(1) > 2 {
			excess.Add(1)
		}
		now.Add(-1)
		return "job of " + file, nil
	}, antflow.WithSemaphore(uploads), antflow.Retries(3))
	poll := pipeline.Step("poll", func(_ context.Context, job string) (string, error) {
		return job + " is done", nil
	})
	p := pipeline.Stage("job", pipeline.Chain(upload, poll), pipeline.Workers(50))
	files := make([]string, 100)
	n := 0
	for _, err := range p.Run(ctx, e, slices.Values(files)) {
		if err == nil {
			n++
		}
	}
	fmt.Println(n, "jobs,", excess.Load(), "uploads beyond the limit")
	// Output: 100 jobs, 0 uploads beyond the limit
}

func ExampleStepError() {
	ctx := context.Background()
	e := antflow.New(2)
	defer e.Close()

	debit := pipeline.Step("debit", func(_ context.Context, cents int) (int, error) { return cents, nil })
	credit := pipeline.Step("credit", func(_ context.Context, cents int) (int, error) {
		return 0, errors.New("account closed")
	})
	p := pipeline.Stage("transfer", pipeline.Chain(debit, credit))
	for _, err := range p.Run(ctx, e, slices.Values([]int{500})) {
		if step, ok := errors.AsType[*pipeline.StepError](err); ok {
			fmt.Println("it was the", step.Step)
		}
		fmt.Println(err)
	}
	// Output:
	// it was the credit
	// antflow: stage "transfer": item 0: step "credit": account closed
}

func ExampleChain() {
	ctx := context.Background()
	e := antflow.New(2)
	defer e.Close()

	// With the retries at the stage it is all or nothing: what fails in the
	// second function begins with the first one again.
	failures := 1
	begin := func(_ context.Context, order string) (string, error) {
		fmt.Println("begin", order)
		return order, nil
	}
	commit := func(_ context.Context, order string) (string, error) {
		if failures > 0 {
			failures--
			return "", errors.New("conflict")
		}
		return "committed " + order, nil
	}
	p := pipeline.Stage("book", pipeline.Chain(begin, commit), antflow.Retries(2), antflow.RetryDelay(0))
	for text, err := range p.Run(ctx, e, slices.Values([]string{"order 1"})) {
		fmt.Println(text, err)
	}
	// Output:
	// begin order 1
	// begin order 1
	// committed order 1 <nil>
}
