package antflow_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/antflow/antflow"
)

func ExampleNewGroup() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()

	// Different things at the same time, all of them needed.
	var page struct {
		user   string
		orders []int
	}
	g := antflow.NewGroup(ctx, e)
	g.Go(func(ctx context.Context) error {
		page.user = "ada"
		return nil
	})
	g.Go(func(ctx context.Context) error {
		page.orders = []int{17, 23}
		return nil
	})
	if err := g.Wait(); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(page.user, page.orders)
	// Output: ada [17 23]
}

func ExampleGroup_Go() {
	type folder struct {
		size    int64
		folders []folder
	}
	root := folder{1, []folder{{10, nil}, {20, []folder{{300, nil}}}}}
	ctx := context.Background()
	e := antflow.New(2)
	defer e.Close()

	// A task may add further ones to its group.
	var total atomic.Int64
	g := antflow.NewGroup(ctx, e)
	var visit func(folder)
	visit = func(f folder) {
		g.Go(func(ctx context.Context) error {
			total.Add(f.size)
			for _, sub := range f.folders {
				visit(sub)
			}
			return nil
		})
	}
	visit(root)
	fmt.Println(g.Wait(), total.Load())
	// Output: <nil> 331
}

func ExampleGroup_Wait() {
	ctx := context.Background()
	e := antflow.New(2)
	defer e.Close()

	g := antflow.NewGroup(ctx, e)
	g.Go(func(ctx context.Context) error {
		<-ctx.Done() // a server that serves until it is told to stop
		return ctx.Err()
	})
	g.Go(func(ctx context.Context) error {
		return errors.New("the database is gone")
	})
	fmt.Println(g.Wait()) // the failure, not the cancellation that it caused
	// Output: the database is gone
}

func ExampleCollectErrors() {
	ctx := context.Background()
	e := antflow.New(2)
	defer e.Close()

	g := antflow.NewGroup(ctx, e, antflow.CollectErrors())
	for _, field := range []string{"name", "mail", "age"} {
		g.Go(func(ctx context.Context) error {
			if field == "name" {
				return nil
			}
			return fmt.Errorf("%s is missing", field)
		})
	}
	fmt.Println(g.Wait())
	// Output:
	// mail is missing
	// age is missing
}

func ExampleWait() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()

	// Ask two mirrors, take the first good answer, and stop the other one.
	mirror := func(name string, up bool) *antflow.Future[string] {
		return antflow.Submit(ctx, e, func(ctx context.Context) (string, error) {
			if !up {
				<-ctx.Done()
				return "", ctx.Err()
			}
			return "the file from " + name, nil
		})
	}
	mirrors := []*antflow.Future[string]{mirror("Oslo", false), mirror("Porto", true)}

	done, pending, err := antflow.Wait(ctx, mirrors, antflow.FirstSuccess)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, f := range pending {
		f.Cancel()
	}
	fmt.Println(done[0].Result(ctx))
	fmt.Println(len(pending), "canceled")
	// Output:
	// the file from Porto <nil>
	// 1 canceled
}

func ExampleWait_poll() {
	ctx := context.Background()
	e := antflow.New(1)
	defer e.Close()

	finish := make(chan struct{})
	futures := []*antflow.Future[struct{}]{
		e.Go(ctx, func(ctx context.Context) error { return nil }),
		e.Go(ctx, func(ctx context.Context) error { <-finish; return nil }),
	}
	futures[0].Result(ctx)

	// With a context that has ended, Wait looks and doesn't wait.
	ended, cancel := context.WithCancel(ctx)
	cancel()
	done, pending, err := antflow.Wait(ended, futures, antflow.AllCompleted)
	fmt.Println(len(done), len(pending), errors.Is(err, context.Canceled))
	close(finish)
	// Output: 1 1 true
}

func ExampleReturnWhen() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()

	checks := []*antflow.Future[struct{}]{
		e.Go(ctx, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }),
		e.Go(ctx, func(ctx context.Context) error { return errors.New("bad checksum") }),
	}
	done, pending, _ := antflow.Wait(ctx, checks, antflow.FirstError)
	fmt.Println(done[0].Err())
	pending[0].Cancel()
	// Output: bad checksum
}

func ExampleWaitN() {
	ctx := context.Background()
	e := antflow.New(3)
	defer e.Close()

	// Two of three replicas are enough.
	replicas := make([]*antflow.Future[struct{}], 3)
	for i := range replicas {
		replicas[i] = e.Go(ctx, func(ctx context.Context) error {
			if i == 1 {
				<-ctx.Done() // this one is out of reach
				return ctx.Err()
			}
			return nil
		})
	}
	stored, missing, err := antflow.WaitN(ctx, replicas, 2)
	fmt.Println(len(stored), "stored,", len(missing), "missing,", err)
	for _, f := range missing {
		f.Cancel()
	}
	// Output: 2 stored, 1 missing, <nil>
}

func ExampleAsCompleted() {
	ctx := context.Background()
	e := antflow.New(3)
	defer e.Close()

	names := []string{"ada", "grace", "edsger"}
	futures := make([]*antflow.Future[int], len(names))
	for i, name := range names {
		futures[i] = antflow.Submit(ctx, e, func(ctx context.Context) (int, error) {
			return len(name), nil
		}, antflow.TaskName(name))
	}
	for f, err := range antflow.AsCompleted(ctx, futures) {
		if err != nil {
			fmt.Println(err) // ctx ended, and some are not done
			break
		}
		length, err := f.Result(ctx)
		fmt.Println(f, length, err)
	}
	// Unordered output:
	// task 0 "ada" succeeded 3 <nil>
	// task 1 "grace" succeeded 5 <nil>
	// task 2 "edsger" succeeded 6 <nil>
}

func ExampleWaitable() {
	ctx := context.Background()
	e := antflow.New(2)
	defer e.Close()

	count := antflow.Submit(ctx, e, func(ctx context.Context) (int, error) { return 3, nil })
	title := antflow.Submit(ctx, e, func(ctx context.Context) (string, error) { return "Contents", nil })

	// Futures of different types in one list.
	_, _, err := antflow.Wait(ctx, []antflow.Waitable{count, title}, antflow.AllCompleted)
	n, _ := count.Result(ctx)
	s, _ := title.Result(ctx)
	fmt.Println(n, s, err)
	// Output: 3 Contents <nil>
}
