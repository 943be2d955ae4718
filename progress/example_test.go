package progress_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/pipeline"
	"github.com/antflow/antflow/progress"
)

// The displays of these examples are on standard error.

func Example() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()

	urls := []string{"/a", "/b", "/c"}
	fetch := func(_ context.Context, url string) (int, error) { return len(url), nil }
	for size, err := range progress.Results(antflow.Map(ctx, e, slices.Values(urls), fetch), progress.Total(len(urls))) {
		if err != nil {
			break
		}
		fmt.Println(size)
	}
	// Output:
	// 2
	// 2
	// 2
}

func ExampleShow() {
	ctx := context.Background()
	e := antflow.New(4, antflow.ExecutorName("crawler"))
	stop := progress.Show(e, progress.Full)
	defer stop()

	f := antflow.Submit(ctx, e, func(ctx context.Context) (int, error) {
		antflow.SetStatus(ctx, "page 1 of 3")
		return 1, nil
	}, antflow.TaskName("fetch"))
	fmt.Println(f.Result(ctx))
	e.Close()
	// Output: 1 <nil>
}

func ExampleShowPipeline() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()

	square := pipeline.Stage("square", func(_ context.Context, n int) (int, error) { return n * n, nil })
	run := square.Start(ctx, e)
	stop := progress.ShowPipeline(&run.Monitor, progress.Detailed, progress.Total(3))
	for n := range 3 {
		run.Feed(ctx, n)
	}
	run.Close()
	stop()
	fmt.Println(run.Snapshot().Results)
	// Output: 3
}

func ExampleInputs() {
	lines := strings.Lines("a\nb\nc\n") // of which nobody knows how many there are
	for line := range progress.Inputs(lines, progress.Title("lines")) {
		fmt.Print(line)
	}
	// Output:
	// a
	// b
	// c
}

func ExampleSlice() {
	sum := 0
	for n := range progress.Slice([]int{1, 2, 3}) {
		sum += n
	}
	fmt.Println(sum)
	// Output: 6
}

func ExampleResults() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()

	half := pipeline.Stage("half", func(_ context.Context, n int) (int, error) {
		if n%2 == 1 {
			return 0, errors.New("odd")
		}
		return n / 2, nil
	})
	inputs := []int{1, 2, 3, 4}
	for v, err := range progress.Results(half.Run(ctx, e, slices.Values(inputs)), progress.Total(len(inputs))) {
		fmt.Println(v, err)
	}
	// Output:
	// 0 antflow: stage "half": item 0: odd
	// 1 <nil>
	// 0 antflow: stage "half": item 2: odd
	// 2 <nil>
}

// Where results and logs may go to the terminal of the display, they go through
// Log.
func ExampleLog() {
	results := progress.Log(os.Stdout)
	log.SetOutput(progress.Log(os.Stderr))
	defer log.SetOutput(os.Stderr)
	for n := range progress.Slice([]int{1, 2}) {
		fmt.Fprintln(results, "result", n)
	}
	// Output:
	// result 1
	// result 2
}

func ExampleLog_slog() {
	text := slog.NewTextHandler(progress.Log(os.Stdout), &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{} // which is another one each time
			}
			return a
		},
	})
	logger := slog.New(text)
	for n := range progress.Slice([]int{1, 2}) {
		logger.Info("done", "n", n)
	}
	// Output:
	// level=INFO msg=done n=1
	// level=INFO msg=done n=2
}

func ExampleLevel() {
	flags := flag.NewFlagSet("crawl", flag.ExitOnError)
	var level progress.Level
	flags.TextVar(&level, "progress", progress.Compact, "compact, detailed or full")
	flags.Parse([]string{"-progress", "full"})
	fmt.Println(level)
	// Output: full
}

func ExampleTotal() {
	ctx := context.Background()
	e := antflow.New(4)
	defer progress.Show(e, progress.Total(1000))() // a map submits them as its results are taken
	defer e.Close()

	numbers := make([]int, 1000)
	sum := 0
	for n := range antflow.Map(ctx, e, slices.Values(numbers), func(context.Context, int) (int, error) { return 1, nil }) {
		sum += n
	}
	fmt.Println(sum)
	// Output: 1000
}

// In a file there are plain lines, the last one of which sums up.
func ExampleOutput() {
	var file bytes.Buffer
	for range progress.Slice([]int{1, 2, 3}, progress.Output(&file), progress.Title("numbers")) {
	}
	summary, _, _ := strings.Cut(file.String(), ", took ")
	fmt.Println(summary)
	// Output: numbers: 3 of 3 done
}

func ExampleTitle() {
	var file bytes.Buffer
	for _, name := range []string{"even", "odd"} {
		for range progress.Slice([]int{1, 2, 3}, progress.Title(name), progress.Output(&file)) {
		}
	}
	for line := range strings.Lines(file.String()) {
		summary, _, _ := strings.Cut(line, ", took ")
		fmt.Println(summary)
	}
	// Output:
	// even: 3 of 3 done
	// odd: 3 of 3 done
}

// In the log of a long job, a line each ten minutes is enough.
func ExampleInterval() {
	for n := range progress.Slice([]int{1, 2}, progress.Interval(10*time.Minute)) {
		fmt.Println(n)
	}
	// Output:
	// 1
	// 2
}

// The first line counts results, for which there is a total; beneath are the
// tasks.
func ExampleWithExecutor() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()

	squares := antflow.Map(ctx, e, slices.Values([]int{1, 2, 3}), func(_ context.Context, n int) (int, error) { return n * n, nil })
	for n := range progress.Results(squares, progress.Total(3), progress.WithExecutor(e), progress.Full) {
		fmt.Println(n)
	}
	// Output:
	// 1
	// 4
	// 9
}

func ExampleWithMonitor() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()

	var m pipeline.Monitor
	square := pipeline.Stage("square", func(_ context.Context, n int) (int, error) { return n * n, nil })
	squares := square.Run(ctx, e, slices.Values([]int{1, 2, 3}), pipeline.WithMonitor(&m))
	for n := range progress.Results(squares, progress.Total(3), progress.WithMonitor(&m), progress.Detailed) {
		fmt.Println(n)
	}
	// Output:
	// 1
	// 4
	// 9
}
