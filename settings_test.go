package antflow_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/testkit"
)

type anyLimit struct{}

func (anyLimit) Wait(context.Context) error { return nil }

// said is the settings without what only Again knows.
func said(s antflow.TaskSettings) string {
	return fmt.Sprint(s.Name, " ", s.Priority, " ", s.Retries, " ", s.Timeout, " ", s.QueueTimeout, " ", s.Semaphore != nil, " ", s.RateLimit != nil)
}

func TestSettingsOf(t *testing.T) {
	sem := antflow.NewSemaphore(1)
	all := antflow.JoinOptions(antflow.TaskName("n"), antflow.Priority(-2), antflow.Retries(3), antflow.Timeout(time.Second),
		antflow.QueueTimeout(time.Minute), antflow.WithSemaphore(sem), antflow.WithRateLimit(anyLimit{}))
	for name, c := range map[string]struct {
		opts taskOptions
		want string
	}{
		"nothing":         {nil, " 0 0 0s 0s false false"},
		"all":             {taskOptions{all}, "n -2 3 1s 1m0s true true"},
		"later ones win":  {taskOptions{all, antflow.Retries(0), antflow.Timeout(0), antflow.TaskName("m")}, "m -2 0 0s 1m0s true true"},
		"no defaults":     {taskOptions{all, antflow.WithoutDefaults()}, " 0 0 0s 0s false false"},
		"behind it":       {taskOptions{all, antflow.WithoutDefaults(), antflow.Retries(1)}, " 0 1 0s 0s false false"},
		"other options":   {taskOptions{antflow.NonBlocking(), antflow.RetryDelay(time.Hour)}, " 0 0 0s 0s false false"},
		"large numbers":   {taskOptions{antflow.Priority(math.MaxInt32), antflow.Retries(math.MaxInt32)}, " 2147483647 2147483647 0s 0s false false"},
		"small numbers":   {taskOptions{antflow.Priority(math.MinInt32)}, " -2147483648 0 0s 0s false false"},
		"not of the last": {taskOptions{antflow.JoinOptions(antflow.Priority(1)), antflow.JoinOptions()}, " 1 0 0s 0s false false"},
	} {
		if got := said(antflow.SettingsOf(c.opts...)); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	if s := antflow.SettingsOf(all); s.Semaphore != sem || s.RateLimit != (anyLimit{}) {
		t.Errorf("other values than were given: %v, %v", s.Semaphore, s.RateLimit)
	}
	mustPanic(t, "SettingsOf(nil)", func() { antflow.SettingsOf(antflow.Retries(1), nil) })
}

// mustPanic checks that fn panics as for a programmer error.
func mustPanic(t *testing.T, what string, fn func()) {
	t.Helper()
	defer func() {
		if text, ok := recover().(string); !ok || len(text) < 9 || text[:9] != "antflow: " {
			t.Errorf("%s: the panic is %v", what, text)
		}
	}()
	fn()
}

// A panic that RetryIf or a Backoff has passes through Again, so it's the
// caller's to handle.
func TestAgain(t *testing.T) {
	refused := errors.New("refused")
	only := func(want error) func(error) bool { return func(err error) bool { return err == want } }
	for name, c := range map[string]struct {
		opts     taskOptions
		attempts int
		err      error
		crashed  bool
		delay    time.Duration
		again    bool
	}{
		"none":                      {nil, 1, refused, false, 0, false},
		"the first":                 {taskOptions{antflow.Retries(2)}, 1, refused, false, 100 * time.Millisecond, true},
		"the second":                {taskOptions{antflow.Retries(2)}, 2, refused, false, 200 * time.Millisecond, true},
		"no further one":            {taskOptions{antflow.Retries(2)}, 3, refused, false, 0, false},
		"at most a minute":          {taskOptions{antflow.Retries(99)}, 50, refused, false, time.Minute, true},
		"another delay":             {taskOptions{antflow.Retries(9), antflow.RetryDelay(time.Second)}, 3, refused, false, 4 * time.Second, true},
		"at once":                   {taskOptions{antflow.Retries(9), antflow.RetryDelay(0)}, 3, refused, false, 0, true},
		"a schedule":                {taskOptions{antflow.Retries(9), antflow.RetryBackoff(antflow.ConstantBackoff(time.Hour))}, 3, refused, false, time.Hour, true},
		"permanent":                 {taskOptions{antflow.Retries(9)}, 1, antflow.Permanent(refused), false, 0, false},
		"permanent inside":          {taskOptions{antflow.Retries(9)}, 1, fmt.Errorf("x: %w", antflow.Permanent(refused)), false, 0, false},
		"permanent beats RetryIf":   {taskOptions{antflow.Retries(9), antflow.RetryIf(only(refused))}, 1, antflow.Permanent(refused), false, 0, false},
		"RetryAfter":                {taskOptions{antflow.Retries(9)}, 2, antflow.RetryAfter(refused, time.Second), false, time.Second, true},
		"RetryAfter grants nothing": {nil, 1, antflow.RetryAfter(refused, time.Second), false, 0, false},
		"RetryIf says no":           {taskOptions{antflow.Retries(9), antflow.RetryIf(only(io.EOF))}, 1, refused, false, 0, false},
		"RetryIf beats RetryAfter":  {taskOptions{antflow.Retries(9), antflow.RetryIf(only(io.EOF))}, 1, antflow.RetryAfter(refused, 0), false, 0, false},
		"RetryIf sees no mark":      {taskOptions{antflow.Retries(9), antflow.RetryIf(only(refused))}, 1, antflow.RetryAfter(refused, 5), false, 5, true},
		"a crash":                   {taskOptions{antflow.Retries(9)}, 1, antflow.ErrGoexit, true, 0, false},
		"a crash that RetryIf takes": {taskOptions{antflow.Retries(9), antflow.RetryIf(only(antflow.ErrGoexit)), antflow.RetryDelay(7)},
			1, antflow.ErrGoexit, true, 7, true},
	} {
		delay, again := antflow.SettingsOf(c.opts...).Again(c.attempts, c.err, c.crashed)
		if delay != c.delay || again != c.again {
			t.Errorf("%s: %v, %v, want %v, %v", name, delay, again, c.delay, c.again)
		}
	}
	if _, again := (antflow.TaskSettings{}).Again(1, refused, false); again {
		t.Error("the zero value retries")
	}
	mustPanic(t, "Again(nil)", func() { antflow.SettingsOf().Again(1, nil, false) })
	defer func() {
		if v := recover(); v != "mine" {
			t.Errorf("the panic of RetryIf came out as %v", v)
		}
	}()
	antflow.SettingsOf(antflow.Retries(1), antflow.RetryIf(func(error) bool { panic("mine") })).Again(1, refused, false)
}

// What Again says is what an executor does.
func TestAgainIsWhatAnExecutorDoes(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		opts := antflow.JoinOptions(antflow.Retries(4), antflow.RetryDelay(time.Second))
		fail := func(attempt int) error {
			if attempt == 2 {
				return antflow.RetryAfter(io.EOF, time.Hour)
			}
			return io.EOF
		}
		want, attempts := time.Duration(0), 1
		for s := antflow.SettingsOf(opts); ; attempts++ {
			delay, again := s.Again(attempts, fail(attempts), false)
			if !again {
				break
			}
			want += delay
		}

		e := antflow.New(1)
		defer e.Close()
		start := time.Now()
		f := e.Go(t.Context(), func(ctx context.Context) error {
			task, _ := antflow.TaskFrom(ctx)
			return fail(task.Attempt)
		}, opts)
		f.Result(t.Context())
		if got := time.Since(start); got != want || f.Attempts() != attempts {
			t.Errorf("%d attempts took %v, but Again says %d and %v", f.Attempts(), got, attempts, want)
		}
	})
}

func TestWithoutDefaults(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		sem := antflow.NewSemaphore(1)
		sem.Acquire(t.Context(), 1) // a task that needs it never starts
		calls := 0
		e := antflow.New(1, antflow.WithTaskOptions(antflow.WithSemaphore(sem), antflow.Retries(5), antflow.RetryDelay(time.Hour),
			antflow.RetryIf(func(error) bool { return true }), antflow.TaskName("default"), antflow.Priority(3), antflow.Timeout(time.Second)))
		look := func(ctx context.Context) error {
			calls++
			if _, ok := ctx.Deadline(); ok {
				t.Error("it has a timeout")
			}
			if task, _ := antflow.TaskFrom(ctx); task.Name != "own" || task.Priority != 0 {
				t.Errorf("it is %+v", task)
			}
			return io.EOF
		}
		for range 2 { // specs are shared and found again
			f := e.Go(t.Context(), look, antflow.TaskName("lost"), antflow.WithoutDefaults(), antflow.TaskName("own"))
			if _, err := f.Result(t.Context()); err != io.EOF || f.Attempts() != 1 {
				t.Errorf("%d attempts, %v", f.Attempts(), err)
			}
		}
		other := e.Go(t.Context(), func(context.Context) error { return nil })
		synctest.Wait()
		if calls != 2 || other.IsDone() {
			t.Errorf("%d calls; the task with the defaults is %v", calls, other)
		}
		// Its own retries have the usual delay, and not that of the defaults.
		start := time.Now()
		e.Go(t.Context(), func(context.Context) error { return io.EOF }, antflow.WithoutDefaults(), antflow.Retries(1)).Result(t.Context())
		if d := time.Since(start); d != 100*time.Millisecond {
			t.Errorf("the retry came after %v", d)
		}
		sem.Release(1)
		e.Close()
	})
}

func TestTaskOptionsAreTheDefaults(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(1, antflow.WithTaskOptions(antflow.TaskName("n"), antflow.Retries(1)), antflow.WithTaskOptions(antflow.RetryDelay(time.Hour)))
		if got, want := said(antflow.SettingsOf(e.TaskOptions())), "n 0 1 0s 0s false false"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
		if got, want := said(antflow.SettingsOf(antflow.New(1).TaskOptions())), " 0 0 0s 0s false false"; got != want {
			t.Errorf("of an executor without: %q, want %q", got, want)
		}

		// They may be given to another executor, and win over what is before them.
		other := antflow.New(1, antflow.WithTaskOptions(antflow.Retries(9)))
		start := time.Now()
		f := other.Go(t.Context(), func(context.Context) error { return io.EOF }, antflow.Priority(5), e.TaskOptions())
		f.Result(t.Context())
		if d := time.Since(start); d != time.Hour || f.Attempts() != 2 {
			t.Errorf("%d attempts in %v", f.Attempts(), d)
		}
		e.Close()
		other.Close()
	})
	mustPanic(t, "TaskOptions of nil", func() { (*antflow.Executor)(nil).TaskOptions() })
}

func TestMarks(t *testing.T) {
	cause := errors.New("cause")
	for name, c := range map[string]struct {
		err      error
		after    time.Duration
		marked   bool
		unmarked error // nil: the same
	}{
		"nil":                {nil, 0, false, nil},
		"plain":              {cause, 0, false, nil},
		"Permanent":          {antflow.Permanent(cause), 0, false, cause},
		"RetryAfter":         {antflow.RetryAfter(cause, time.Second), time.Second, true, cause},
		"RetryAfter at once": {antflow.RetryAfter(cause, 0), 0, true, cause},
		"both":               {antflow.Permanent(antflow.RetryAfter(cause, 3)), 3, true, cause},
		"twice":              {antflow.RetryAfter(antflow.RetryAfter(cause, 3), 4), 4, true, cause},
		"inside":             {fmt.Errorf("x: %w", antflow.RetryAfter(cause, 3)), 3, true, nil},
		"joined":             {errors.Join(io.EOF, antflow.RetryAfter(cause, 3)), 3, true, nil},
		"around":             {&antflow.RetryError{Attempts: 2, Err: antflow.RetryAfter(cause, 3)}, 3, true, nil},
	} {
		if d, ok := antflow.RetryAfterOf(c.err); d != c.after || ok != c.marked {
			t.Errorf("%s: RetryAfterOf is %v, %v", name, d, ok)
		}
		want := c.unmarked
		if want == nil {
			want = c.err
		}
		if got := antflow.Unmarked(c.err); got != want {
			t.Errorf("%s: Unmarked is %v, want %v", name, got, want)
		}
	}
}

// What a future has of an error is what Unmarked makes of it.
func TestUnmarkedIsWhatAFutureHas(t *testing.T) {
	e := antflow.New(1)
	defer e.Close()
	cause := errors.New("cause")
	for _, err := range []error{cause, antflow.Permanent(cause), antflow.RetryAfter(cause, 0), fmt.Errorf("x: %w", antflow.Permanent(cause))} {
		f := e.Go(t.Context(), func(context.Context) error { return err })
		if _, got := f.Result(t.Context()); got != antflow.Unmarked(err) {
			t.Errorf("%v, want %v", got, antflow.Unmarked(err))
		}
	}
}

func TestSettingsForRunners(t *testing.T) {
	s := antflow.SettingsOf()
	if s.Key != "" || s.Queue != "" || s.NonBlocking || s.RetryDelay != 100*time.Millisecond || s.Local != nil {
		t.Errorf("of nothing: %+v", s)
	}
	local := antflow.JoinOptions(antflow.RetryIf(func(error) bool { return true }), antflow.WithRateLimit(anyLimit{}))
	s = antflow.SettingsOf(antflow.Key("a"), antflow.Key("b"), antflow.Queue("q"), antflow.NonBlocking(), antflow.RetryDelay(time.Second), local)
	if s.Key != "b" || s.Queue != "q" || !s.NonBlocking || s.RetryDelay != time.Second || s.Local != nil {
		t.Errorf("of several: %+v", s)
	}
	s = antflow.SettingsOf(antflow.RetryDelay(time.Second), antflow.RetryBackoff(antflow.ConstantBackoff(5)))
	if s.RetryDelay != 0 || s.Backoff(1, errTest) != 5 {
		t.Errorf("of a schedule: %+v", s)
	}
	s = antflow.SettingsOf(antflow.Key("a"), antflow.Queue("q"), antflow.NonBlocking(), antflow.WithoutDefaults())
	if s.Key != "" || s.Queue != "" || s.NonBlocking {
		t.Errorf("without defaults: %+v", s)
	}
	if s = antflow.SettingsOf(antflow.Key("a"), antflow.Key("")); s.Key != "" {
		t.Errorf("of an empty key: %+v", s)
	}
}

// Local names what the call's options have that is of this process.
func TestSettingsOfCallAreLocal(t *testing.T) {
	e := antflow.New(1, antflow.WithTaskOptions(antflow.WithSemaphore(antflow.NewSemaphore(1))))
	defer e.Close()
	retryIf := antflow.RetryIf(func(error) bool { return true })
	backoff := antflow.RetryBackoff(antflow.ConstantBackoff(1))
	limit, sem := antflow.WithRateLimit(anyLimit{}), antflow.WithSemaphore(antflow.NewSemaphore(1))
	task := antflow.NewTask("t", func(context.Context, int) (int, error) { return 0, nil }, retryIf, limit)
	for name, c := range map[string]struct {
		opts taskOptions
		want []string
	}{
		"nothing":            {nil, nil},
		"what travels":       {taskOptions{antflow.Retries(1), antflow.Timeout(1), antflow.QueueTimeout(1), antflow.Priority(1), antflow.Key("k"), antflow.RetryDelay(1)}, nil},
		"all":                {taskOptions{backoff, retryIf, sem, limit}, []string{"RetryBackoff", "RetryIf", "WithSemaphore", "WithRateLimit"}},
		"twice":              {taskOptions{sem, sem}, []string{"WithSemaphore"}},
		"replaced":           {taskOptions{backoff, retryIf, antflow.RetryDelay(1)}, []string{"RetryIf"}},
		"undone":             {taskOptions{backoff, sem, antflow.WithoutDefaults(), limit}, []string{"WithRateLimit"}},
		"a preset":           {taskOptions{antflow.JoinOptions(sem, retryIf)}, []string{"WithSemaphore", "RetryIf"}},
		"an executor's":      {taskOptions{backoff, e.TaskOptions()}, []string{"WithSemaphore"}},
		"another task's own": {taskOptions{task.Options()}, []string{"RetryIf", "WithRateLimit"}},
	} {
		r := &forward{to: e, seen: func(call antflow.Call) {
			if got := call.Settings().Local; !slices.Equal(got, c.want) {
				t.Errorf("%s: %q, want %q", name, got, c.want)
			}
		}}
		task.Submit(t.Context(), r, 1, c.opts...).Result(t.Context())
	}
}

// WithTaskInfo changes what a task hears of itself, and nothing of what it is.
func TestWithTaskInfo(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(1)
		info := antflow.TaskInfo{ID: 7, Name: "of somebody else", Executor: "elsewhere", Attempt: 3, Priority: 2}
		is := func(ctx context.Context, want antflow.TaskInfo) {
			t.Helper()
			if got, ok := antflow.TaskFrom(ctx); got != want || ok != (want != antflow.TaskInfo{}) {
				t.Errorf("%+v, %v", got, ok)
			}
		}
		f := e.Go(t.Context(), func(ctx context.Context) error {
			own, _ := antflow.TaskFrom(ctx)
			told := antflow.WithTaskInfo(ctx, info)
			is(told, info)
			is(context.WithValue(told, tapeKey{}, 1), info)
			is(antflow.WithTaskInfo(told, own), own)
			is(antflow.WithoutTask(told), antflow.TaskInfo{})
			is(ctx, own)
			_, err := e.Go(told, func(ctx context.Context) error { // which waits lend for
				is(ctx, antflow.TaskInfo{ID: 1, Name: "child", Attempt: 1})
				return nil
			}, antflow.TaskName("child")).Result(told)
			return err
		}, antflow.TaskName("parent"))
		if _, err := f.Result(t.Context()); err != nil {
			t.Error(err)
		}
		outside := antflow.WithTaskInfo(t.Context(), info)
		is(outside, info)
		is(antflow.WithoutTask(outside), antflow.TaskInfo{})
		mustPanic(t, "WithTaskInfo(nil)", func() { var none context.Context; antflow.WithTaskInfo(none, info) })
		e.Close()
	})
}
