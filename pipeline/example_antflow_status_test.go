package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/pipeline"
)

// The examples of docs/coming-from-antflow.md about identities and status.

func Example_antflowResults() {
	ctx := context.Background()
	e := antflow.New(2)
	defer e.Close()
	greet := pipeline.Stage("greet", func(_ context.Context, name string) (string, error) { return "hello " + name, nil })

	names := slices.Values([]string{"ann", "bob"})
	key := pipeline.Key(func(name string) string { return "user " + name })
	for r, err := range pipeline.Results(greet).Run(ctx, e, names, key) {
		fmt.Println(r.Item.ID, r.Item.Key, r.Value, err)
	}
	// Output:
	// 0 user ann hello ann <nil>
	// 1 user bob hello bob <nil>
}

func Example_antflowKey() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()

	type user struct{ id, name string }
	greet := pipeline.Stage("greet", func(_ context.Context, u user) (string, error) {
		if u.name == "" {
			return "", errors.New("no name")
		}
		return "hello " + u.name, nil
	})
	users := slices.Values([]user{{"user_1", "Alice"}, {"user_2", ""}})
	for text, err := range greet.Run(ctx, e, users, pipeline.Key(func(u user) string { return u.id })) {
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(text)
	}
	// Output:
	// hello Alice
	// antflow: stage "greet": item "user_2": no name
}

func Example_antflowEvents() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()
	failures := 1
	save := pipeline.Stage("save", func(_ context.Context, n int) (int, error) {
		if failures--; failures >= 0 {
			return 0, errors.New("conflict")
		}
		return n, nil
	}, antflow.Retries(1), antflow.RetryDelay(0))

	onEvent := pipeline.OnEvent(func(ev pipeline.Event) {
		switch ev.Kind {
		case pipeline.EventStarted: // on_task_start; "in_progress"
			fmt.Println(ev.Item, "at", ev.Stage, "attempt", ev.Attempt)
		case pipeline.EventAttemptFailed: // on_task_retry; "retrying"
			fmt.Println(ev.Item, "failed:", ev.Err)
		case pipeline.EventDone: // on_success; "completed"
			fmt.Println(ev.Item, "done")
		case pipeline.EventFailed: // on_failure, on_task_fail; "failed"
			fmt.Println(ev.Err)
		}
	})
	for range save.Run(ctx, e, slices.Values([]int{1}), onEvent) {
	}
	// Output:
	// item 0 at save attempt 1
	// item 0 failed: conflict
	// item 0 at save attempt 2
	// item 0 done
}

func Example_antflowStatus() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()
	finish := make(chan struct{})
	save := pipeline.Stage("save", func(_ context.Context, n int) (int, error) {
		<-finish
		return n, nil
	}, pipeline.Workers(2), pipeline.Buffer(5))

	run := save.Start(ctx, e, pipeline.History(1000))
	for n := range 3 {
		run.Feed(ctx, n, pipeline.WithKey(fmt.Sprint("user_", n)))
	}
	for _, it := range run.FindKey("user_2") { // get_status("user_2")
		fmt.Println(it.State, "at", it.Stage)
	}
	for _, it := range run.ItemsIn("save") { // what its workers do, and what waits for them
		fmt.Println(it.Item.Key, it.State)
	}
	close(finish)
	run.Close()
	fmt.Println(len(run.Items()), "in the run,", len(run.Recent()), "remembered")
	// Output:
	// waiting at save
	// user_0 running
	// user_1 running
	// user_2 waiting
	// 0 in the run, 3 remembered
}

func Example_antflowStats() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()
	even := pipeline.Filter("even", func(_ context.Context, n int) (bool, error) {
		if n == 3 {
			return false, errors.New("three")
		}
		return n%2 == 0, nil
	})

	var m pipeline.Monitor
	for range even.Run(ctx, e, slices.Values([]int{1, 2, 3, 4}), pipeline.WithMonitor(&m)) {
	}
	for _, st := range m.Snapshot().Stages {
		fmt.Println(st.Name, st.Waiting, st.Running, st.Done, st.Failed, st.Skipped)
	}
	// Output: even 0 0 2 1 1
}

func Example_antflowErrors() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()
	fetch := pipeline.Stage("fetch", func(_ context.Context, user string) (string, error) {
		return "", fmt.Errorf("no user %q", user)
	}, pipeline.Buffer(5))

	run := fetch.Start(ctx, e)
	run.Feed(ctx, "ann")
	run.Feed(ctx, "bob")
	run.Close()
	for _, g := range run.Failures() { // get_error_summary()
		fmt.Println(g.Count, g.Stage, g.Kind)
	}
	for user, failed := range run.DeadLetters(ctx) { // get_failed_items(), with the inputs
		fmt.Println(user, failed.Attempts, failed)
	}
	// Output:
	// 2 fetch no user "…"
	// ann 1 antflow: stage "fetch": item 0: no user "ann"
	// bob 1 antflow: stage "fetch": item 1: no user "bob"
}
