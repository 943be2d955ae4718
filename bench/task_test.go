package bench_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/antflow/antflow"
)

// BenchmarkTask shows what a task with a name costs on an executor, beside a
// closure, and one that is given the name at each call.
func BenchmarkTask(b *testing.B) {
	ctx := context.Background()
	double := func(_ context.Context, n int) (int, error) { return 2 * n, nil }
	task := antflow.NewTask("double", double)
	for _, way := range []struct {
		name   string
		submit func(e *antflow.Executor, n int) *antflow.Future[int]
	}{
		{"closure", func(e *antflow.Executor, n int) *antflow.Future[int] {
			return antflow.Submit(ctx, e, func(ctx context.Context) (int, error) { return double(ctx, n) })
		}},
		{"closure-with-name", func(e *antflow.Executor, n int) *antflow.Future[int] {
			return antflow.Submit(ctx, e, func(ctx context.Context) (int, error) { return double(ctx, n) }, antflow.TaskName("double"))
		}},
		{"task", func(e *antflow.Executor, n int) *antflow.Future[int] { return task.Submit(ctx, e, n) }},
	} {
		b.Run(way.name, func(b *testing.B) {
			inBatches(b, way.submit)
		})
	}
}

// inBatches measures tasks that are submitted a thousand at a time.
func inBatches(b *testing.B, submit func(e *antflow.Executor, n int) *antflow.Future[int]) {
	e := antflow.New(2)
	defer e.Close()
	b.ReportAllocs()
	futures := make([]*antflow.Future[int], 0, 1000)
	for n := 0; b.Loop(); n++ {
		if futures = append(futures, submit(e, n)); len(futures) == cap(futures) {
			antflow.Wait(context.Background(), futures, antflow.AllCompleted)
			futures = futures[:0]
		}
	}
}

// BenchmarkCallback shows what a callback adds to a task that uses some of its
// goroutine's stack.
func BenchmarkCallback(b *testing.B) {
	ctx := context.Background()
	decode := func(context.Context) (n int, err error) { return n, json.Unmarshal([]byte("42"), &n) }
	for _, way := range []struct {
		name string
		then func(*antflow.Future[int])
	}{
		{"without", nil},
		{"with", func(*antflow.Future[int]) {}},
	} {
		b.Run(way.name, func(b *testing.B) {
			inBatches(b, func(e *antflow.Executor, _ int) *antflow.Future[int] {
				f := antflow.Submit(ctx, e, decode)
				if way.then != nil {
					f.OnDone(way.then)
				}
				return f
			})
		})
	}
}
