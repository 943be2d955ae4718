package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/pipeline"
)

// The examples of docs/pipelines.md. Those of one test file are in one package
// with the others, so what they share has names that say where it belongs.

type webPage struct {
	url, text string
	links     []string
}

var webSite = map[string]webPage{
	"/":     {"/", "welcome", []string{"/docs", "/blog"}},
	"/docs": {"/docs", "how to build an ant hill", []string{"/", "/api"}},
	"/api":  {"/api", "func Dig(ctx context.Context) error", []string{"/docs"}},
	"/blog": {"/blog", "today we dug", []string{"/"}},
}

func fetchPage(_ context.Context, url string) (webPage, error) {
	if page, ok := webSite[url]; ok {
		return page, nil
	}
	return webPage{}, antflow.Permanent(errors.New("404 Not Found"))
}

func countWords(_ context.Context, page webPage) (int, error) {
	return len(strings.Fields(page.text)), nil
}

var webURLs = slices.Values([]string{"/", "/docs", "/missing", "/blog"})

func Example_guideFirst() {
	ctx := context.Background()

	fetch := pipeline.Stage("fetch", fetchPage, pipeline.Workers(10), antflow.Retries(3))
	count := pipeline.Stage("count", countWords, pipeline.Workers(2))
	p := pipeline.Then(fetch, count) // a Pipeline[string, int]

	e := antflow.New(p.Workers())
	defer e.Close()
	for words, err := range p.Run(ctx, e, webURLs) {
		fmt.Println(words, err)
	}
	// Output:
	// 1 <nil>
	// 6 <nil>
	// 0 antflow: stage "fetch": item 2: 404 Not Found
	// 3 <nil>
}

func Example_guideOptions() {
	ctx := context.Background()
	e := antflow.New(8)
	defer e.Close()
	connections := antflow.NewSemaphore(4)

	fetch := pipeline.Stage("fetch", fetchPage,
		pipeline.Workers(10),               // pages at a time
		pipeline.Buffer(20),                // pages that may wait for a worker
		antflow.Retries(3),                 // of each page
		antflow.Timeout(5*time.Second),     // of each attempt
		antflow.WithSemaphore(connections)) // shared with whoever else is given it
	long := pipeline.Filter("long", func(_ context.Context, page webPage) (bool, error) {
		return len(page.text) > 10, nil // the others leave without a result
	})

	for page := range pipeline.Then(fetch, long).Run(ctx, e, slices.Values([]string{"/", "/docs"})) {
		fmt.Println(page.url)
	}
	// Output: /docs
}

func Example_guideEndless() {
	ctx := context.Background()
	e := antflow.New(8)
	defer e.Close()

	numbers := func(yield func(int) bool) {
		for n := 1; yield(n); n++ { // endless
		}
	}
	square := pipeline.Stage("square", func(_ context.Context, n int) (int, error) { return n * n, nil }, pipeline.Workers(8))
	for n, err := range square.Run(ctx, e, numbers, pipeline.Window(50)) { // at most 50 are in memory
		if err != nil || n > 1000 {
			fmt.Println(n, err)
			break
		}
	}
	// Output: 1024 <nil>
}

func Example_guideFailures() {
	ctx := context.Background()
	e := antflow.New(8)
	defer e.Close()
	fetch := pipeline.Stage("fetch", fetchPage)
	process := func(webPage) {}

	job := func() error {
		name := pipeline.Key(func(url string) string { return url })
		for page, err := range fetch.Run(ctx, e, webURLs, name) {
			if failed, ok := errors.AsType[*pipeline.ItemError](err); ok {
				fmt.Println(failed.Stage, failed.Item.Key, failed.Attempts, failed.Err)
				continue // the others go on
			}
			if err != nil {
				return err // the run is at its end: ctx has ended, or the executor is shut down
			}
			process(page)
		}
		return nil
	}
	fmt.Println(job())
	// Output:
	// fetch /missing 1 404 Not Found
	// <nil>
}

func Example_guideSummary() {
	ctx := context.Background()
	e := antflow.New(8)
	defer e.Close()
	fetch := pipeline.Stage("fetch", fetchPage)

	var m pipeline.Monitor
	for range fetch.Run(ctx, e, webURLs, pipeline.WithMonitor(&m)) {
	}
	for _, g := range m.Failures() {
		fmt.Println(g.Count, "failed at", g.Stage+":", g.Kind, g.Items)
	}
	// Output: 1 failed at fetch: # Not Found [item 2]
}

func Example_guideDeadLetters() {
	ctx := context.Background()
	e := antflow.New(8)
	defer e.Close()
	fetch := pipeline.Stage("fetch", fetchPage)

	run := fetch.Start(ctx, e)
	for url := range webURLs {
		run.Feed(ctx, url)
	}
	run.Close()

	again := fetch.Start(ctx, e) // an hour later, say
	for url, failed := range run.DeadLetters(ctx) {
		fmt.Println(failed)
		again.Feed(ctx, strings.TrimSuffix(url, "missing"))
	}
	fmt.Println(again.Close(), len(again.Failures()))
	// Output:
	// antflow: stage "fetch": item 2: 404 Not Found
	// <nil> 0
}

func Example_guideFeed() {
	ctx := context.Background()
	e := antflow.New(8)
	defer e.Close()
	fetch := pipeline.Stage("fetch", fetchPage, pipeline.Workers(4))
	count := pipeline.Stage("count", countWords, pipeline.Workers(2))

	run := pipeline.Then(fetch, count).Start(ctx, e)
	docs := run.Feed(ctx, "/docs", pipeline.WithKey("manual"), pipeline.WithPriority(10))
	cached := pipeline.FeedAt(ctx, run, "count", webPage{text: "was fetched before"})
	missing := run.Feed(ctx, "/missing")

	fmt.Println(docs.Result(ctx)) // a *antflow.Future[int]: its Cancel cancels the item, wherever it is
	fmt.Println(cached.Result(ctx))
	fmt.Println(missing.Result(ctx))
	fmt.Println(run.Close()) // waits for what was fed; nil though an item failed
	// Output:
	// 6 <nil>
	// 3 <nil>
	// 0 antflow: stage "fetch": item 2: 404 Not Found
	// <nil>
}

func Example_guideCrawl() {
	ctx := context.Background()
	e := antflow.New(8)
	defer e.Close()

	var run *pipeline.Run[string, webPage]
	var seen sync.Map
	crawl := pipeline.Stage("crawl", func(ctx context.Context, url string) (webPage, error) {
		page, err := fetchPage(ctx, url)
		for _, link := range page.links {
			if _, known := seen.LoadOrStore(link, true); !known {
				run.Feed(context.WithoutCancel(ctx), link)
			}
		}
		return page, err
	}, pipeline.Workers(4))
	run = crawl.Start(ctx, e)
	seen.Store("/", true)
	run.Feed(ctx, "/")
	fmt.Println(run.Close(), run.Snapshot().Results, "pages") // the last one had no new link
	// Output: <nil> 4 pages
}

func Example_guideFlatMap() {
	ctx := context.Background()
	e := antflow.New(8)
	defer e.Close()
	fetch := pipeline.Stage("fetch", fetchPage, pipeline.Workers(4))

	links := pipeline.FlatMap("links", func(_ context.Context, page webPage) iter.Seq2[string, error] {
		return func(yield func(string, error) bool) {
			for _, link := range page.links {
				if !yield(link, nil) {
					return
				}
			}
		}
	})
	count := pipeline.Reduce("count", func() int { return 0 },
		func(_ context.Context, n int, link string) (int, error) { return n + 1, nil })
	p := pipeline.Then(pipeline.Then(fetch, links), count)
	for n := range p.Run(ctx, e, slices.Values([]string{"/", "/docs", "/blog"})) {
		fmt.Println(n, "links") // one result, when all inputs are through
	}
	// Output: 5 links
}

func Example_guideBatch() {
	ctx := context.Background()
	e := antflow.New(8)
	defer e.Close()

	insert := pipeline.Stage("insert", func(_ context.Context, rows []string) ([]int, error) {
		fmt.Println("INSERT", rows) // returns the number of each row
		return []int{len(rows[0]), len(rows[1])}, nil
	}, antflow.Retries(3))
	batched := pipeline.Then(pipeline.Batch[string](2, time.Second), insert)
	run := pipeline.Then(batched, pipeline.Unbatch[int]()).Start(ctx, e)

	ant, termite := run.Feed(ctx, "ant"), run.Feed(ctx, "termite")
	fmt.Println(ant.Result(ctx)) // the first element of what insert returned
	fmt.Println(termite.Result(ctx))
	run.Close()
	// Output:
	// INSERT [ant termite]
	// 3 <nil>
	// 7 <nil>
}
