package antflow_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/dashboard"
	"github.com/antflow/antflow/pipeline"
)

var _, _ = readmeProgram, readmeDashboard

// readmeProgram is the README's first program. It asks a server in the world,
// so it is compiled here and not run.
func readmeProgram() {
	ctx := context.Background()
	e := antflow.New(8) // at most eight at a time
	defer e.Close()     // waits for all that was submitted

	f := antflow.Submit(ctx, e, func(ctx context.Context) (int, error) {
		req, err := http.NewRequestWithContext(ctx, "GET", "https://go.dev/", nil)
		if err != nil {
			return 0, err
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0, err
		}
		return res.StatusCode, res.Body.Close()
	}, antflow.Retries(3), antflow.Timeout(5*time.Second))

	status, err := f.Result(ctx)
	fmt.Println(status, err)
}

func Example_readmeMap() {
	ctx := context.Background()
	e := antflow.New(8)
	defer e.Close()
	urls := []string{"/a", "/broken", "/c"}
	fetch := func(ctx context.Context, url string) (string, error) {
		if url == "/broken" {
			return "", antflow.Permanent(errors.New("404 Not Found"))
		}
		return "page " + url, nil
	}

	for page, err := range antflow.Map(ctx, e, slices.Values(urls), fetch, antflow.Retries(2)) {
		if err != nil {
			fmt.Println("failed:", err)
			continue
		}
		fmt.Println(page)
	}
	// Output:
	// page /a
	// failed: antflow: item 1: 404 Not Found
	// page /c
}

func Example_readmeAsCompleted() {
	ctx := context.Background()
	e := antflow.New(1)
	defer e.Close()
	var futures []*antflow.Future[int]
	for i := range 3 {
		futures = append(futures, antflow.Submit(ctx, e, func(context.Context) (int, error) { return i * i, nil }))
	}

	for f, err := range antflow.AsCompleted(ctx, futures) {
		if err != nil {
			break // ctx ended: "antflow: wait ended: 2 of 4 futures unfinished: context deadline exceeded"
		}
		value, err := f.Result(ctx)
		fmt.Println(value, err)
	}
	// Unordered output:
	// 0 <nil>
	// 1 <nil>
	// 4 <nil>
}

// everyMillisecond is a rate limit of the simplest kind.
type everyMillisecond struct{}

func (everyMillisecond) Wait(context.Context) error { time.Sleep(time.Millisecond); return nil }

func Example_readmeOptions() {
	ctx := context.Background()
	e := antflow.New(8)
	defer e.Close()
	connections, perSecond := antflow.NewSemaphore(4), everyMillisecond{}

	opts := antflow.JoinOptions(
		antflow.Retries(5),
		antflow.RetryBackoff(antflow.ExponentialBackoff(50*time.Millisecond, time.Second).Jitter(0.2)),
		antflow.Timeout(2*time.Second),     // of each attempt
		antflow.WithSemaphore(connections), // golang.org/x/sync/semaphore fits
		antflow.WithRateLimit(perSecond),   // golang.org/x/time/rate fits
	)
	f := e.Go(ctx, func(ctx context.Context) error {
		if info, _ := antflow.TaskFrom(ctx); info.Attempt == 1 {
			return antflow.RetryAfter(errors.New("429 Too Many Requests"), time.Millisecond)
		}
		return nil
	}, opts)
	_, err := f.Result(ctx)
	fmt.Println(err, f.Attempts())
	// Output: <nil> 2
}

type node struct {
	bytes    int
	children []node
}

func size(ctx context.Context, e *antflow.Executor, dir node) (int, error) {
	total := dir.bytes
	futures := make([]*antflow.Future[int], len(dir.children))
	for i, child := range dir.children {
		futures[i] = antflow.Submit(ctx, e, func(ctx context.Context) (int, error) { return size(ctx, e, child) })
	}
	for _, f := range futures {
		n, err := f.Result(ctx) // lends this task's worker while it waits
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}

func Example_readmeNesting() {
	ctx := context.Background()
	e := antflow.New(1)
	defer e.Close()
	tree := node{1, []node{{2, []node{{3, nil}, {4, nil}}}, {5, nil}}}
	f := antflow.Submit(ctx, e, func(ctx context.Context) (int, error) { return size(ctx, e, tree) })
	fmt.Println(f.Result(ctx))
	// Output: 15 <nil>
}

func Example_readmePipeline() {
	ctx := context.Background()
	e := antflow.New(16)
	defer e.Close()
	fetchPage := func(_ context.Context, url string) (string, error) { return "page " + url, nil }
	parsePage := func(_ context.Context, page string) ([]string, error) {
		if page == "page /b" {
			return nil, io.ErrUnexpectedEOF
		}
		return strings.Fields(page), nil
	}
	savePage := func(_ context.Context, words []string) (string, error) { return "saved " + words[1], nil }
	urls := slices.Values([]string{"/a", "/b", "/c"})

	fetch := pipeline.Stage("fetch", fetchPage, pipeline.Workers(10), antflow.Retries(3))
	parse := pipeline.Stage("parse", parsePage, pipeline.Workers(4))
	save := pipeline.Stage("save", savePage, pipeline.Workers(2))
	p := pipeline.Then(pipeline.Then(fetch, parse), save) // a Pipeline[URL, ID]

	for id, err := range p.Run(ctx, e, urls) {
		fmt.Println(id, err) // antflow: stage "parse": item 7: unexpected EOF
	}
	// Output:
	// saved /a <nil>
	//  antflow: stage "parse": item 1: unexpected EOF
	// saved /c <nil>
}

// readmeDashboard serves on a port of its own choice, so it is compiled here and
// not run.
func readmeDashboard(ctx context.Context, urls []string, fetch func(context.Context, string) (string, error)) {
	e := antflow.New(8, antflow.ExecutorName("crawl"))
	http.Handle("/debug/antflow/", dashboard.Handler(dashboard.Executor(e)))
	go http.ListenAndServe("localhost:8080", nil) // open http://localhost:8080/debug/antflow/

	for page, err := range antflow.Map(ctx, e, slices.Values(urls), fetch, antflow.TaskName("fetch"), antflow.Retries(2)) {
		fmt.Println(page, err)
	}
}

// TestReadme holds the README to this file: each of its snippets is in it, and
// the whole program at its beginning is a program. What needs another module is in
// an example there.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var source []byte
	for _, file := range []string{"example_readme_test.go", "cluster/embedded/example_readme_test.go"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		source = append(source, text...)
	}
	snippets := regexp.MustCompile("(?ms)^```go\n(.*?)^```").FindAllStringSubmatch(string(readme), -1)
	if len(snippets) < 5 {
		t.Fatalf("%d snippets", len(snippets))
	}
	for i, s := range snippets {
		text := s[1]
		if i == 0 {
			_, body, ok := strings.Cut(text, "func main() {")
			if !ok || !strings.HasPrefix(text, "package main\n") {
				t.Errorf("the first snippet is no program:\n%s", text)
			}
			text = body
		}
		if !strings.Contains(unindented(string(source)), unindented(text)) {
			t.Errorf("this file does not contain the snippet:\n%s", text)
		}
	}
	if lines := strings.Count(string(readme), "\n"); lines > 200 {
		t.Errorf("the README has %d lines", lines)
	}
}
