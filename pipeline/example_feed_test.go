package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/pipeline"
)

func ExampleRun() {
	ctx := context.Background()
	e := antflow.New(8)
	defer e.Close()

	// A run lasts as long as there may be something to do. Many goroutines may
	// feed it, such as the handlers of a server; each has its own futures.
	size := pipeline.Stage("size", func(_ context.Context, file string) (int, error) {
		return len(file), nil
	}, pipeline.Workers(4))
	run := size.Start(ctx, e)
	var futures []*antflow.Future[int]
	for _, file := range []string{"cat.jpg", "zebra.jpg"} {
		futures = append(futures, run.Feed(ctx, file))
	}
	for f, err := range antflow.AsCompleted(ctx, futures) {
		if err != nil {
			break
		}
		fmt.Println(f.Result(ctx))
	}
	run.Close()
	// Unordered output:
	// 7 <nil>
	// 9 <nil>
}

func ExampleRun_Feed() {
	ctx := context.Background()
	e := antflow.New(2)
	defer e.Close()

	resize := pipeline.Stage("resize", func(ctx context.Context, file string) (string, error) {
		if file == "huge.jpg" {
			<-ctx.Done() // it would take for ever
			return "", ctx.Err()
		}
		return "small-" + file, nil
	}, pipeline.Workers(2))
	run := resize.Start(ctx, e)
	defer run.Close()

	cat := run.Feed(ctx, "cat.jpg")
	huge := run.Feed(ctx, "huge.jpg")
	fmt.Println(cat.Result(ctx))
	huge.Cancel() // this item alone, wherever it is
	_, err := huge.Result(ctx)
	fmt.Println(errors.Is(err, antflow.ErrCanceled))
	// Output:
	// small-cat.jpg <nil>
	// true
}

func ExampleFeedAt() {
	ctx := context.Background()
	e := antflow.New(2)
	defer e.Close()

	download := pipeline.Stage("download", func(_ context.Context, url string) ([]byte, error) {
		return nil, antflow.Permanent(errors.New("the server is gone"))
	})
	count := pipeline.Stage("count", func(_ context.Context, text []byte) (int, error) {
		return len(text), nil
	})
	run := pipeline.Then(download, count).Start(ctx, e)
	defer run.Close()

	// This one was downloaded before, so it enters where the others come from
	// the download.
	f := pipeline.FeedAt(ctx, run, "count", []byte("from the cache"))
	fmt.Println(f.Result(ctx))
	// Output: 14 <nil>
}

func ExampleRun_Close() {
	ctx := context.Background()
	e := antflow.New(2)
	defer e.Close()

	save := pipeline.Stage("save", func(_ context.Context, rows []int) (int, error) { return len(rows), nil })
	run := pipeline.Then(pipeline.Batch[int](100, 0), save).Start(ctx, e)
	f := run.Feed(ctx, 1)
	g := run.Feed(ctx, 2)
	fmt.Println(run.Close()) // the batch is not full, but it is the last one
	fmt.Println(f.Result(ctx))
	fmt.Println(g.Result(ctx))

	late := run.Feed(ctx, 3)
	fmt.Println(errors.Is(late.Err(), pipeline.ErrClosed))
	// Output:
	// <nil>
	// 2 <nil>
	// 2 <nil>
	// true
}

func ExampleRun_Shutdown() {
	ctx := context.Background()
	e := antflow.New(2)
	defer e.Close()

	finish := make(chan struct{})
	work := pipeline.Stage("work", func(context.Context, int) (string, error) {
		<-finish
		return "done", nil
	})
	run := work.Start(ctx, e)
	f := run.Feed(ctx, 1)

	patience, cancel := context.WithTimeout(ctx, time.Millisecond)
	defer cancel()
	fmt.Println(run.Shutdown(patience)) // nothing new is taken in, what runs goes on
	close(finish)
	fmt.Println(run.Shutdown(ctx))
	fmt.Println(f.Result(ctx))
	// Output:
	// antflow: wait ended: context deadline exceeded
	// <nil>
	// done <nil>
}

func ExampleRun_Stop() {
	ctx := context.Background()
	e := antflow.New(2)
	defer e.Close()

	begun := make(chan struct{})
	work := pipeline.Stage("work", func(ctx context.Context, n int) (int, error) {
		close(begun)
		<-ctx.Done()
		return 0, context.Cause(ctx)
	})
	run := work.Start(ctx, e)
	f := run.Feed(ctx, 1)
	g := run.Feed(ctx, 2) // waits for the stage's only worker
	<-begun

	fmt.Println(errors.Is(run.Stop(), pipeline.ErrStopped)) // the calls have returned by now
	fmt.Println(f.State(), errors.Is(f.Err(), pipeline.ErrStopped))
	fmt.Println(g.State())
	// Output:
	// true
	// canceled true
	// canceled
}
