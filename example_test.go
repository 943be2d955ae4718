package antflow_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing/fstest"
	"time"

	"github.com/antflow/antflow"
)

func Example() {
	files := fstest.MapFS{
		"intro.txt": {Data: []byte("a few words")},
		"body.txt":  {Data: []byte("many more words than that")},
		"end.txt":   {Data: []byte("bye")},
	}
	names := []string{"intro.txt", "body.txt", "end.txt"}
	ctx := context.Background()

	e := antflow.New(antflow.DefaultMaxWorkers)
	defer e.Close()
	words, err := antflow.MapSlice(ctx, e, names, func(ctx context.Context, name string) (int, error) {
		text, err := files.ReadFile(name)
		return len(strings.Fields(string(text))), err
	})
	fmt.Println(words, err)
	// Output: [3 5 1] <nil>
}

func ExampleNew() {
	e := antflow.New(8) // at most 8 tasks run at any instant
	defer e.Close()

	fmt.Println(e.MaxWorkers(), "allowed,", e.Stats().Workers, "there while there is nothing to do")
	// Output: 8 allowed, 0 there while there is nothing to do
}

func ExampleSubmit() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()

	// The arguments of a task are what its function captures.
	text := "the quick brown fox"
	words := antflow.Submit(ctx, e, func(ctx context.Context) (int, error) {
		return len(strings.Fields(text)), nil
	})
	digest := antflow.Submit(ctx, e, func(ctx context.Context) ([32]byte, error) {
		return sha256.Sum256([]byte(text)), nil
	})

	n, err := words.Result(ctx) // an int
	fmt.Println(n, err)
	sum, err := digest.Result(ctx) // a [32]byte
	fmt.Printf("%x %v\n", sum[:4], err)
	// Output:
	// 4 <nil>
	// 9ecb3656 <nil>
}

func ExampleExecutor_Go() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()

	var cache []string
	warm := e.Go(ctx, func(ctx context.Context) error {
		cache = strings.Fields("alpha beta gamma")
		return nil
	})

	// Other work goes here. What the task wrote is visible to whoever saw its
	// future done.
	if _, err := warm.Result(ctx); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(cache)
	// Output: [alpha beta gamma]
}

func ExampleExecutor_Close() {
	ctx := context.Background()
	e := antflow.New(2)

	var sent atomic.Int64
	for range 100 {
		e.Go(ctx, func(ctx context.Context) error {
			sent.Add(1)
			return nil
		})
	}
	e.Close() // waits for all that was accepted
	fmt.Println(sent.Load())

	late := e.Go(ctx, func(ctx context.Context) error { return nil })
	fmt.Println(late.Err())
	// Output:
	// 100
	// antflow: the executor is shut down
}

func ExampleExecutor_Shutdown() {
	ctx := context.Background()
	e := antflow.New(2)
	f := e.Go(ctx, func(ctx context.Context) error {
		<-ctx.Done() // a connection that the peer keeps open
		return ctx.Err()
	})

	// The soft stop first, and when that takes too long the hard one.
	grace, cancel := context.WithTimeout(ctx, 3*time.Millisecond)
	defer cancel()
	if err := e.Shutdown(grace); err != nil {
		fmt.Println(err)
		err = e.Shutdown(ctx, antflow.CancelRunning())
		fmt.Println(err)
	}
	fmt.Println(f.State())
	// Output:
	// antflow: wait ended: 1 task unfinished: context deadline exceeded
	// <nil>
	// canceled
}

func ExampleNoWait() {
	ctx := context.Background()
	e := antflow.New(1)
	f := antflow.Submit(ctx, e, func(ctx context.Context) (string, error) {
		return "report written", nil
	})

	// No further task is accepted; those that were still run.
	e.Shutdown(ctx, antflow.NoWait())
	fmt.Println(f.Result(ctx))

	e.Close() // waits for the end after all
	// Output: report written <nil>
}

func ExampleCancelQueued() {
	ctx := context.Background()
	e := antflow.New(1)
	finish := make(chan struct{})
	running := e.Go(ctx, func(ctx context.Context) error {
		<-finish
		return nil
	})
	queued := e.Go(ctx, func(ctx context.Context) error { return nil })

	// What runs may finish, what is queued never starts.
	e.Shutdown(ctx, antflow.CancelQueued(), antflow.NoWait())
	fmt.Println(queued.State(), errors.Is(queued.Err(), antflow.ErrShutdown))

	close(finish)
	e.Close()
	fmt.Println(running.State())
	// Output:
	// canceled true
	// succeeded
}

func ExampleCancelRunning() {
	ctx := context.Background()
	e := antflow.New(1)
	watcher := e.Go(ctx, func(ctx context.Context) error {
		for {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(time.Millisecond):
				// look for changes
			}
		}
	})

	e.Shutdown(ctx, antflow.CancelRunning()) // returns when the watcher did
	fmt.Println(watcher.State())
	fmt.Println(watcher.Err())
	// Output:
	// canceled
	// antflow: canceled: the executor is shut down
}

func ExampleExecutor_Resize() {
	ctx := context.Background()
	e := antflow.New(1)
	defer e.Close()

	// These two can only finish together, which takes two workers.
	baton := make(chan string)
	give := e.Go(ctx, func(ctx context.Context) error {
		baton <- "baton"
		return nil
	})
	take := antflow.Submit(ctx, e, func(ctx context.Context) (string, error) {
		return <-baton, nil
	})
	fmt.Println(give.IsDone(), take.State())

	e.Resize(2)
	fmt.Println(take.Result(ctx))
	// Output:
	// false pending
	// baton <nil>
}

func ExampleExecutor_MaxWorkers() {
	e := antflow.New(4)
	defer e.Close()

	e.Resize(2 * e.MaxWorkers())
	fmt.Println(e.MaxWorkers())
	// Output: 8
}

func ExampleExecutor_Stats() {
	ctx := context.Background()
	e := antflow.New(4)
	for n := range 10 {
		e.Go(ctx, func(ctx context.Context) error {
			if n == 3 {
				return errors.New("no such user")
			}
			return nil
		})
	}
	e.Close()

	s := e.Stats()
	fmt.Println(s.Submitted, "submitted,", s.Succeeded, "succeeded,", s.Failed, "failed")
	fmt.Println(s.Running+s.Blocked+s.Queued+s.Waiting, "unfinished")
	// Output:
	// 10 submitted, 9 succeeded, 1 failed
	// 0 unfinished
}

func ExampleQueueLimit() {
	ctx := context.Background()
	e := antflow.New(1, antflow.QueueLimit(2))
	defer e.Close()

	// Submit waits for room, so the producer can't run away from the worker:
	// one task runs, two are queued, and a fourth is being submitted.
	var read, handled atomic.Int64
	ahead := int64(0)
	for range 1000 {
		ahead = max(ahead, read.Add(1)-handled.Load())
		e.Go(ctx, func(ctx context.Context) error {
			handled.Add(1)
			return nil
		})
	}
	fmt.Println("at most 4 ahead:", ahead <= 4)
	// Output: at most 4 ahead: true
}

func ExampleWithTaskOptions() {
	ctx := context.Background()
	e := antflow.New(4, antflow.WithTaskOptions(
		antflow.Retries(3),
		antflow.RetryDelay(time.Millisecond),
	))
	defer e.Close()

	unreachable := func(ctx context.Context) error { return errors.New("host unreachable") }
	usual := e.Go(ctx, unreachable)
	once := e.Go(ctx, unreachable, antflow.Retries(0)) // the call's own options win
	e.Close()

	fmt.Println(usual.Attempts(), once.Attempts())
	// Output: 4 1
}

func ExampleExecutorName() {
	ctx := context.Background()
	e := antflow.New(1, antflow.ExecutorName("thumbnails"))
	defer e.Close()

	f := antflow.Submit(ctx, e, func(ctx context.Context) (string, error) {
		me, _ := antflow.TaskFrom(ctx)
		return me.Executor, nil
	})
	fmt.Println(f.Result(ctx))
	// Output: thumbnails <nil>
}
