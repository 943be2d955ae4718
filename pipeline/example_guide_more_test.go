package pipeline_test

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/pipeline"
)

// The examples of docs/pipelines.md from its section on branches on.

func Example_guideRoute() {
	ctx := context.Background()
	e := antflow.New(8)
	defer e.Close()
	stage := func(name string) pipeline.Pipeline[string, string] {
		return pipeline.Stage(name, func(_ context.Context, s string) (string, error) { return s + " " + name, nil })
	}
	isScan := func(s string) bool { return strings.HasSuffix(s, ".png") }
	isForeign := func(s string) bool { return strings.HasPrefix(s, "fr-") }

	ocr, translate, index := stage("ocr"), stage("translate"), stage("index")
	text := pipeline.Route(
		pipeline.When(isForeign, translate),
		pipeline.Otherwise(pipeline.Pass[string]()))
	p := pipeline.Then(pipeline.Route(
		pipeline.When(isScan, pipeline.Then(ocr, text)),
		pipeline.Otherwise(text)), index) // translate occurs twice, and is one stage
	for doc := range p.Run(ctx, e, slices.Values([]string{"a.txt", "fr-b.png", "fr-c.txt"})) {
		fmt.Println(doc)
	}
	// Output:
	// a.txt index
	// fr-b.png ocr translate index
	// fr-c.txt translate index
}

func Example_guideTee() {
	ctx := context.Background()
	e := antflow.New(8)
	defer e.Close()
	stage := func(name string) pipeline.Pipeline[string, string] {
		return pipeline.Stage(name, func(_ context.Context, s string) (string, error) { return s + " " + name, nil })
	}
	stored, live := slices.Values([]string{"a"}), slices.Values([]string{"b"})

	p := pipeline.Tee(stage("archived"), stage("indexed")) // each item in both
	for doc := range p.Run(ctx, e, pipeline.Merge(stored, live)) {
		fmt.Println(doc)
	}
	// Unordered output:
	// a archived
	// a indexed
	// b archived
	// b indexed
}

func Example_guideKnown() {
	ctx := context.Background()
	e := antflow.New(8)
	defer e.Close()
	written := map[string]webPage{"/missing": {"/missing", "it was there once", nil}}
	fetch := pipeline.Stage("fetch", fetchPage)

	p := pipeline.Known(func(url string) (webPage, bool) {
		page, ok := written[url] // by the run that was interrupted
		return page, ok
	}, fetch)
	for page, err := range p.Run(ctx, e, slices.Values([]string{"/missing", "/blog"})) {
		fmt.Println(page.text, err)
	}
	// Output:
	// it was there once <nil>
	// today we dug <nil>
}

func Example_guideSteps() {
	ctx := context.Background()
	e := antflow.New(50)
	defer e.Close()
	uploadFile := func(_ context.Context, file string) (string, error) { return "job of " + file, nil }
	pollJob := func(_ context.Context, job string) (string, error) { return job + " is done", nil }

	upload := pipeline.Step("upload", uploadFile,
		antflow.Retries(3), antflow.WithSemaphore(antflow.NewSemaphore(2))) // two uploads at a time
	poll := pipeline.Step("poll", pollJob, antflow.Retries(100))
	job := pipeline.Stage("job", pipeline.Chain(upload, poll), pipeline.Workers(50)) // fifty jobs
	for done, err := range job.Run(ctx, e, slices.Values([]string{"a", "b"})) {
		fmt.Println(done, err)
	}
	// Output:
	// job of a is done <nil>
	// job of b is done <nil>
}

func Example_guideResults() {
	ctx := context.Background()
	e := antflow.New(8)
	defer e.Close()
	fetch := pipeline.Stage("fetch", fetchPage)
	count := pipeline.Stage("count", countWords)

	p := pipeline.Results(pipeline.Then(fetch, count))
	for r, err := range p.Run(ctx, e, slices.Values([]string{"/docs"})) {
		fmt.Println(r.Value, err, r.Item)
		for _, v := range r.Visits { // with v.Queued and v.Worked, the times
			fmt.Println(v.Stage, v.Attempts)
		}
	}
	// Output:
	// 6 <nil> item 0
	// fetch 1
	// count 1
}

func Example_guideMonitor() {
	ctx := context.Background()
	e := antflow.New(8)
	defer e.Close()
	release := make(chan struct{})
	saveRow := func(_ context.Context, row string) (string, error) {
		<-release
		return row, nil
	}
	run := pipeline.Stage("save", saveRow, pipeline.Buffer(10)).Start(ctx, e)
	for _, row := range []string{"a", "b", "c"} {
		run.Feed(ctx, row, pipeline.WithKey(row))
	}

	s := run.Snapshot()
	fmt.Println(s.Items, "in the run,", s.Stages[0].Waiting, "wait for", s.Stages[0].Name)
	for _, it := range run.FindKey("a") {
		fmt.Println(it.Item.Key, "is", it.State, "at", it.Stage)
	}
	if slow := s.Bottleneck(); slow != "" {
		run.Resize(slow, 4)
		fmt.Println(slow, "has", run.Snapshot().Stages[0].Workers, "workers now")
	}
	close(release)
	run.Close()
	// Output:
	// 3 in the run, 2 wait for save
	// a is running at save
	// save has 4 workers now
}

func Example_guideEvents() {
	ctx := context.Background()
	e := antflow.New(8)
	defer e.Close()
	fetch := pipeline.Stage("fetch", fetchPage)

	log := pipeline.OnEvent(func(ev pipeline.Event) {
		switch ev.Kind {
		case pipeline.EventAttemptFailed, pipeline.EventFailed:
			fmt.Println(ev.Stage, ev.Item, ev.Kind, "at attempt", ev.Attempt)
		}
	})
	for range fetch.Run(ctx, e, webURLs, log) {
	}
	// Output: fetch item 2 failed at attempt 1
}

func Example_guideAdaptive() {
	ctx := context.Background()
	e := antflow.New(64)
	defer e.Close()

	fetch := pipeline.Stage("fetch", fetchPage,
		pipeline.Adaptive(2, 64), // begins with two
		antflow.Retries(5))       // a page that met a 429 is tried again
	for page, err := range fetch.Run(ctx, e, slices.Values([]string{"/docs"})) {
		fmt.Println(page.url, err)
	}
	// Output: /docs <nil>
}
