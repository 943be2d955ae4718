package antflow_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/testkit"
)

// The snapshot tells what each worker does, and what it says of itself.
func TestSnapshotOfTasks(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(2, antflow.ExecutorName("crawl"), antflow.QueueLimit(9))
		e.Measure()
		start := time.Now()
		sleep := func(ctx context.Context) error { return testkit.Sleep(ctx, time.Minute) }
		e.Go(t.Context(), func(ctx context.Context) error {
			antflow.SetStatus(ctx, "waits for its child")
			return errors.Join(e.Go(ctx, sleep, antflow.TaskName("child")).Err(), e.Go(ctx, sleep, antflow.Priority(3)).Err(), e.Go(ctx, sleep).Err(), func() error { _, err := e.Go(ctx, sleep).Result(ctx); return err }())
		}, antflow.TaskName("parent"))
		synctest.Wait()
		time.Sleep(time.Second)
		s := e.Snapshot()
		if s.Executor != "crawl" || !s.Observed || s.QueueLimit != 9 || !s.Time.Equal(time.Now()) {
			t.Errorf("%+v", s)
		}
		if s.Stats != e.Stats() {
			t.Errorf("%+v", s.Stats)
		}
		// The waited-for task comes first, then the one of priority 3.
		want := []antflow.TaskStatus{
			{Task: antflow.TaskInfo{ID: 0, Name: "parent", Executor: "crawl", Attempt: 1}, Worker: 0, Blocked: true, Since: start, Status: "waits for its child"},
			{Task: antflow.TaskInfo{ID: 1, Name: "child", Executor: "crawl", Attempt: 1}, Worker: 1, Since: start},
			{Task: antflow.TaskInfo{ID: 4, Name: "antflow_test.TestSnapshotOfTasks.func1.1", Executor: "crawl", Attempt: 1}, Worker: 2, Since: start},
		}
		if len(s.Tasks) != len(want) {
			t.Fatalf("%+v", s.Tasks)
		}
		for i, got := range s.Tasks {
			if !got.Since.Equal(want[i].Since) {
				t.Errorf("task %d since %v", i, got.Since)
			}
			got.Since = want[i].Since
			if got != want[i] {
				t.Errorf("task %d is\n%+v\nwant\n%+v", i, got, want[i])
			}
		}
		e.Close()
		if s := e.Snapshot(); len(s.Tasks) != 0 {
			t.Errorf("%+v", s.Tasks)
		}
	})
}

// A status is over with the attempt, is cut where it is long, and is nobody
// else's.
func TestStatusOfTasks(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(1)
		antflow.SetStatus(t.Context(), "of nobody")
		status := func() string { return e.Snapshot().Tasks[0].Status }
		var first context.Context
		calls := 0
		task := func(ctx context.Context) error {
			calls++
			if got := status(); got != "" {
				t.Errorf("attempt %d begins with %q", calls, got)
			}
			if first == nil {
				first = ctx
			}
			antflow.SetStatus(ctx, "one")
			antflow.SetStatus(context.WithValue(ctx, tapeKey{}, 1), strings.Repeat("ü", 1000))
			if got := status(); len(got) > 256 || len(got) < 250 || !strings.HasSuffix(got, "ü…") {
				t.Errorf("%d bytes: %q", len(got), got)
			}
			antflow.SetStatus(antflow.WithoutTask(ctx), "of nobody")
			before := status()
			if calls == 2 {
				antflow.SetStatus(first, "of the attempt before")
			}
			if got := status(); got != before {
				t.Errorf("%q", got)
			}
			return errTest
		}
		e.Go(t.Context(), func(ctx context.Context) error {
			antflow.SetStatus(ctx, "nobody looks")
			return nil
		}).Result(t.Context())
		e.Measure()
		e.Go(t.Context(), task, antflow.Retries(1)).Result(t.Context())
		other := antflow.New(1) // which nobody observes
		e.Go(t.Context(), func(ctx context.Context) error {
			_, err := other.Go(ctx, func(ctx context.Context) error {
				antflow.SetStatus(ctx, "of the child")
				antflow.ForEach(ctx, other, slices.Values([]int{1}), func(ctx context.Context, _ int) error {
					antflow.SetStatus(ctx, "of an item")
					return nil
				})
				return nil
			}).Result(ctx)
			if got := status(); got != "" {
				t.Errorf("the parent's status is %q", got)
			}
			return err
		}).Result(t.Context())
		e.Close()
		antflow.SetStatus(first, "too late")
		if calls != 2 {
			t.Errorf("%d calls", calls)
		}
	})
}

// Names are those of the options or of the functions.
func TestNames(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(1)
		e.Measure()
		ctx := t.Context()
		e.Go(ctx, nothing)
		e.Go(ctx, nothing, antflow.TaskName("named"))
		antflow.Submit(ctx, e, func(context.Context) (int, error) { return 0, nil })
		g := antflow.NewGroup(ctx, e)
		g.Go(nothing)
		g.Wait()
		antflow.MapSlice(ctx, e, []int{1}, double)
		for range antflow.Map(ctx, e, slices.Values([]int{1}), double) {
		}
		for range antflow.Map2(ctx, e, slices.All([]int{1}), sum) {
		}
		for range antflow.MapUnordered(ctx, e, slices.Values([]int{1}), generic[map[string]fs.FileInfo]) {
		}
		antflow.ForEach(ctx, e, slices.Values([]int{1}), new(method).each)
		e.Close()
		var names []string
		for _, n := range e.Snapshot().Names {
			names = append(names, fmt.Sprint(n.Name, " ", n.Submitted))
		}
		want := []string{
			"antflow_test.nothing 2", "named 1", "antflow_test.TestNames.func1.1 1", "antflow_test.double 2",
			"antflow_test.sum 1", "antflow_test.generic[...] 1", "antflow_test.(*method).each 1",
		}
		if !slices.Equal(names, want) {
			t.Errorf("%q", names)
		}
	})
}

func double(_ context.Context, n int) (int, error)       { return 2 * n, nil }
func sum(_ context.Context, a, b int) (int, error)       { return a + b, nil }
func generic[T any](_ context.Context, _ int) (T, error) { var none T; return none, nil }

type method struct{}

func (*method) each(context.Context, int) error { return nil }

// However many names and errors there are, and how long, little is kept of them.
func TestSnapshotIsBounded(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(2)
		var longest int
		e.Observe(func(ev antflow.Event) { longest = max(longest, len(ev.Task.Name)) })
		long := strings.Repeat("<b>ä</b>", 1<<17)
		const n = 1000
		for i := range n {
			e.Go(t.Context(), func(ctx context.Context) error {
				antflow.SetStatus(ctx, long)
				return &kinds[i%len(kinds)]
			}, antflow.TaskName(fmt.Sprint("name ", i, long)))
		}
		e.Close()
		s := e.Snapshot()
		if len(s.Names) != 257 || len(s.Failures) != 257 || longest > 128 {
			t.Errorf("%d names, %d groups, a name of %d bytes", len(s.Names), len(s.Failures), longest)
		}
		if last := s.Names[256]; last.Name != "(other)" || last.Submitted != n-256 || last.Failed != n-256 {
			t.Errorf("the rest: %q, %d submitted", last.Name, last.Submitted)
		}
		var failed uint64
		for _, g := range s.Failures {
			failed += g.Failed
			if len(g.Name) > 128 || len(g.Kind) > 200 || len(g.Tasks) > 10 {
				t.Fatalf("%d bytes of a name, %d of a kind, %d tasks", len(g.Name), len(g.Kind), len(g.Tasks))
			}
			for _, x := range g.Tasks {
				if len(x.Text) > 1<<10 || len(x.Task.Name) > 128 {
					t.Fatalf("a text of %d bytes, a name of %d", len(x.Text), len(x.Task.Name))
				}
			}
		}
		if failed != n || s.Failures[0].Failed != n-256 {
			t.Errorf("%d failed, %d in the first group", failed, s.Failures[0].Failed)
		}
	})
}

// A longError has a long text.
type longError struct{ _ int }

func (l *longError) Error() string { return strings.Repeat("so long ", 1<<15) }

var kinds [10]longError

// Failures are grouped by name and kind, with the last tasks of each.
func TestFailures(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(1)
		e.Measure()
		start := time.Now()
		fail := func(name string, err func(i int) error, opts ...antflow.TaskOption) {
			i := 0
			e.Go(t.Context(), func(ctx context.Context) error {
				testkit.Sleep(ctx, time.Second)
				i++
				return err(i)
			}, append(opts, antflow.TaskName(name))...)
		}
		for i := range 12 {
			fail("fetch", func(int) error { return fmt.Errorf("host %d: %w", i, syscall.ECONNREFUSED) })
		}
		fail("parse", func(i int) error { return fmt.Errorf("line %d", i) }, antflow.Retries(2), antflow.RetryDelay(0))
		fail("parse", func(int) error { panic(fmt.Sprint("index ", 7)) })
		fail("parse", func(int) error { return panickingError{} })
		e.Close()
		s := e.Snapshot()
		var groups []string
		for _, g := range s.Failures {
			groups = append(groups, fmt.Sprintf("%s: %s: %d failed, %d retried, %v to %v, %d tasks", g.Name, g.Kind, g.Failed, g.Retried, g.First.Sub(start), g.Last.Sub(start), len(g.Tasks)))
		}
		want := []string{
			"fetch: connection refused: 12 failed, 0 retried, 1s to 12s, 10 tasks",
			"parse: line #: 1 failed, 2 retried, 13s to 15s, 1 tasks",
			"parse: panic: index #: 1 failed, 0 retried, 16s to 16s, 1 tasks",
			"parse: antflow_test.panickingError: 1 failed, 0 retried, 17s to 17s, 1 tasks",
		}
		if !slices.Equal(groups, want) {
			t.Fatalf("%s", strings.Join(groups, "\n"))
		}
		if x := s.Failures[0].Tasks[0]; x.Task.ID != 2 || x.Text != "host 2: connection refused" || x.Ran != time.Second || x.Time.Sub(start) != 3*time.Second {
			t.Errorf("%+v", x)
		}
		if x := s.Failures[1].Tasks[0]; x.Task.Attempt != 3 || x.Text != "line 3" {
			t.Errorf("%+v", x)
		}
		if stack := s.Failures[2].Stack; !strings.Contains(stack, "snapshot_test.go") || len(stack) > 8<<10 || s.Failures[1].Stack != "" {
			t.Errorf("stack: %q", stack)
		}
		if text := s.Failures[3].Tasks[0].Text; !strings.Contains(text, "panicked") {
			t.Errorf("%q", text)
		}
	})
}

type panickingError struct{}

func (panickingError) Error() string { panic("no text") }

func TestErrorKind(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{nil, ""},
		{errors.New("row 17 of 20: \"abc\" is `no` number"), "row # of #: \"…\" is `…` number"},
		{fmt.Errorf("outer: %w", &fs.PathError{Op: "open", Path: "x", Err: syscall.ENOENT}), "no such file or directory"},
		{errors.Join(fmt.Errorf("a: %w", context.DeadlineExceeded), errTest), "context deadline exceeded"},
		{&kinds[0], "*antflow_test.longError"},
		{&antflow.RetryError{Attempts: 3, Err: errTest}, "test failure"},
		{&antflow.PanicError{Value: errTest}, "panic: test failure"},
		{antflow.Permanent(errTest), "test failure"},
		{antflow.ErrQueueTimeout, "the queue timeout passed before the task started"},
		{antflow.ErrGoexit, "the task called runtime.Goexit"},
	} {
		if got := antflow.ErrorKind(c.err); got != c.want {
			t.Errorf("%v is %q, want %q", c.err, got, c.want)
		}
	}
}

// Cancel finds a task wherever it is.
func TestCancelByID(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(1, antflow.WithTaskOptions(antflow.Retries(1), antflow.RetryDelay(time.Hour)))
		before := e.Go(t.Context(), func(ctx context.Context) error { return testkit.Sleep(ctx, time.Hour) })
		synctest.Wait()
		e.Measure()
		delayed := e.Go(t.Context(), func(context.Context) error { return errTest }, antflow.Priority(1))
		before.Cancel()
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		running := e.Go(ctx, func(ctx context.Context) error { return testkit.Sleep(ctx, time.Hour) })
		synctest.Wait()
		queued := e.Go(ctx, nothing)
		low := e.Go(t.Context(), nothing, antflow.Priority(-1))
		timed := e.Go(t.Context(), nothing, antflow.QueueTimeout(time.Hour))
		for _, f := range []*antflow.Future[struct{}]{delayed, queued, low, timed, running} {
			if !e.Cancel(f.ID()) {
				t.Errorf("%v was not found", f)
			}
			synctest.Wait()
			if f.State() != antflow.StateCanceled || e.Cancel(f.ID()) {
				t.Errorf("%v", f)
			}
		}
		if e.Cancel(before.ID()) || e.Cancel(77) {
			t.Error("a task was found that is not there")
		}
		e.Close()
		if err := e.CheckInvariants(); err != nil {
			t.Error(err)
		}
	})
}

// The figures by name are those of the same instant as the others, also of tasks
// that end without having started.
func TestSnapshotsAreOfOneInstant(t *testing.T) {
	testkit.NoLeak(t)
	e := antflow.New(1)
	e.Measure()
	block := make(chan struct{})
	e.Go(t.Context(), func(context.Context) error { <-block; return nil })
	stop := make(chan struct{})
	check := func() {
		s := e.Snapshot()
		var by antflow.NameStats
		for _, n := range s.Names {
			by.Submitted += n.Submitted
			by.Failed += n.Failed
			by.Canceled += n.Canceled
		}
		var failed uint64
		for _, g := range s.Failures {
			failed += g.Failed
		}
		if by.Submitted != s.Submitted || by.Canceled != s.Canceled || by.Failed != s.Failed || failed != s.Failed {
			t.Errorf("by name %d, %d canceled, %d failed, %d in groups; %+v", by.Submitted, by.Canceled, by.Failed, failed, s.Stats)
		}
	}
	checked := testkit.Started(func() {
		for {
			select {
			case <-stop:
				return
			default:
				check()
			}
		}
	})
	for round := range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		for range 500 {
			e.Go(ctx, nothing)
		}
		e.Go(t.Context(), nothing, antflow.QueueTimeout(time.Microsecond)).Result(t.Context())
		if round%2 == 0 {
			e.Go(t.Context(), nothing).Cancel()
		}
		cancel()
	}
	close(stop)
	<-checked
	close(block)
	e.Close()
	check()
}
