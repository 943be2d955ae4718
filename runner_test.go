package antflow_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/testkit"
)

// Whichever runner a program chooses, its futures are alike.
func TestRunnersAreAlike(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		type point struct{ X, Y int }
		add := antflow.NewTask("add", func(ctx context.Context, p point) (int, error) {
			switch {
			case p.X < 0:
				return 7, fmt.Errorf("bad %w", errTest)
			case p.Y < 0:
				return 8, testkit.Sleep(ctx, time.Hour)
			}
			return p.X + p.Y, nil
		})
		e, books := antflow.New(2, antflow.ExecutorName("here")), antflow.New(1)
		for name, r := range map[string]antflow.Runner{
			"executor": e, "forwarded": &forward{to: e}, "farm": newFarm(books, add), "forwarded twice": &forward{to: &forward{to: newFarm(books, add)}},
		} {
			if v, err := add.Submit(t.Context(), r, point{1, 2}).Result(t.Context()); v != 3 || err != nil {
				t.Errorf("%s: %d, %v", name, v, err)
			}
			f := add.Submit(t.Context(), r, point{-1, 2})
			if v, err := f.Result(t.Context()); v != 0 || !errors.Is(err, errTest) || f.State() != antflow.StateFailed {
				t.Errorf("%s: %d, %v", name, v, err)
			}
			f = add.Submit(t.Context(), r, point{1, -1})
			synctest.Wait()
			if f.State() != antflow.StateRunning || f.Attempts() != 1 || !f.Cancel() {
				t.Errorf("%s: %v", name, f)
			}
			if v, err := f.Result(t.Context()); v != 0 || !errors.Is(err, antflow.ErrCanceled) || !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %d, %v", name, v, err)
			}
			if !strings.Contains(f.String(), `"add"`) {
				t.Errorf("%s: %v", name, f)
			}
			rest(t, e)
			rest(t, books)
		}
		for _, e := range []*antflow.Executor{e, books} {
			e.Close()
			if s := e.Stats(); s.Submitted != 6 || s.Succeeded != 2 || s.Failed != 2 || s.Canceled != 2 {
				t.Errorf("%+v", s)
			}
		}
	})
}

// The call's options win over the task's, and those over the executor's.
func TestTaskOptions(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(1, antflow.ExecutorName("e"), antflow.WithTaskOptions(antflow.Retries(1), antflow.Priority(1), antflow.RetryDelay(time.Second), antflow.TaskName("default")))
		defer e.Close()
		var last antflow.TaskInfo
		fail := func(ctx context.Context, _ int) (int, error) {
			last, _ = antflow.TaskFrom(ctx)
			return 0, errTest
		}
		plain := antflow.NewTask("plain", fail)
		own := antflow.NewTask("own", fail, antflow.Retries(2), antflow.Priority(2))
		named := antflow.NewTask("known elsewhere", fail, antflow.TaskName("shown"))
		for name, c := range map[string]struct {
			task *antflow.Task[int, int]
			opts taskOptions
			want antflow.TaskInfo
		}{
			"the executor's":   {plain, nil, antflow.TaskInfo{Name: "plain", Attempt: 2, Priority: 1}},
			"the task's":       {own, nil, antflow.TaskInfo{Name: "own", Attempt: 3, Priority: 2}},
			"the call's":       {own, taskOptions{antflow.Retries(0), antflow.Priority(0), antflow.TaskName("x")}, antflow.TaskInfo{Name: "x", Attempt: 1}},
			"the task's label": {named, nil, antflow.TaskInfo{Name: "shown", Attempt: 2, Priority: 1}},
			"a preset":         {plain, taskOptions{own.Options()}, antflow.TaskInfo{Name: "own", Attempt: 3, Priority: 2}},
			"without defaults": {plain, taskOptions{antflow.WithoutDefaults()}, antflow.TaskInfo{Attempt: 1}},
			"a key":            {plain, taskOptions{antflow.Key("k"), antflow.Queue("q")}, antflow.TaskInfo{Name: "plain", Attempt: 2, Priority: 1}},
		} {
			for how, r := range map[string]antflow.Runner{"": e, ", forwarded": &forward{to: e}} {
				f := c.task.Submit(t.Context(), r, 1, c.opts...)
				f.Result(t.Context())
				c.want.Executor, c.want.ID = "e", f.ID()
				if last != c.want || f.Attempts() != c.want.Attempt {
					t.Errorf("%s%s: %+v, want %+v", name, how, last, c.want)
				}
			}
		}
		if named.Name() != "known elsewhere" || antflow.SettingsOf(named.Options()).Name != "shown" {
			t.Errorf("%q, %q", named.Name(), antflow.SettingsOf(named.Options()).Name)
		}
	})
}

// What a runner is told of a call.
func TestCallTellsAll(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(1)
		defer e.Close()
		input := &struct{ n int }{7}
		task := antflow.NewTask("t", func(_ context.Context, in *struct{ n int }) (int, error) { return in.n, nil },
			antflow.Retries(3), antflow.RetryIf(func(error) bool { return false }), antflow.Key("task's"))
		own := context.WithValue(t.Context(), tapeKey{}, 1)
		r := runnerFunc(func(ctx context.Context, c antflow.Call) antflow.Waitable {
			s := c.Settings()
			if ctx != own || c.Task() != "t" || c.Input() != any(input) || s.Name != "n" || s.Key != "k" || s.Retries != 3 || s.Timeout != time.Minute || !slices.Equal(s.Local, []string{"WithSemaphore"}) {
				t.Errorf("%v, %q, %v, %+v", ctx, c.Task(), c.Input(), s)
			}
			return e.RunCall(ctx, c)
		})
		f := task.Submit(own, r, input, antflow.Timeout(time.Minute), antflow.WithSemaphore(antflow.NewSemaphore(1)), antflow.Key("k"), antflow.TaskName("n"))
		if v, err := f.Result(own); v != 7 || err != nil {
			t.Error(v, err)
		}
	})
}

func TestTaskInvoke(t *testing.T) {
	type in struct{ A, B int }
	task := antflow.NewTask("t", func(ctx context.Context, x in) (string, error) {
		if x.B == 0 {
			panic("mine")
		}
		return fmt.Sprint(x.A / x.B), ctx.Err()
	})
	calls := 0
	out, err := task.Invoke(t.Context(), func(to any) error {
		calls++
		*to.(*in) = in{6, 2}
		return nil
	})
	if out != any("3") || err != nil || calls != 1 {
		t.Errorf("%v, %v after %d calls of the decoder", out, err, calls)
	}
	if out, err := task.Invoke(t.Context(), func(any) error { return io.EOF }); out != nil || err != io.EOF {
		t.Errorf("%v, %v", out, err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if out, err := task.Invoke(ended, func(to any) error { to.(*in).B = 1; return nil }); out != any("0") || err != context.Canceled {
		t.Errorf("%v, %v", out, err)
	}
	defer func() {
		if v := recover(); v != "mine" {
			t.Errorf("the function's panic came out as %v", v)
		}
	}()
	task.Invoke(t.Context(), func(any) error { return nil })
}

// A runner that returns anything but the future of the call, or begins a call
// twice, is wrong.
func TestWrongRunners(t *testing.T) {
	testkit.NoLeak(t)
	e := antflow.New(1)
	defer e.Close()
	task := antflow.NewTask("t", func(context.Context, int) (int, error) { return 1, nil })
	other := task.Submit(t.Context(), e, 1)
	for want, r := range map[string]runnerFunc{
		"returned a <nil>, which is not":                    func(context.Context, antflow.Call) antflow.Waitable { return nil },
		"returned a *antflow.Future[int], which is not":     func(context.Context, antflow.Call) antflow.Waitable { return other },
		"returned a *antflow.Future[string], which is not":  func(context.Context, antflow.Call) antflow.Waitable { return antflow.NewPromise[string]().Future() },
		"returned a *antflow.Future[float64], which is not": func(context.Context, antflow.Call) antflow.Waitable { return (*antflow.Future[float64])(nil) },
		`Executor.RunCall: the call of "t" was begun before`: func(ctx context.Context, c antflow.Call) antflow.Waitable {
			e.RunCall(ctx, c)
			return e.RunCall(ctx, c)
		},
		`Call.Remote: the call of "t" was begun before`: func(ctx context.Context, c antflow.Call) antflow.Waitable {
			e.RunCall(ctx, c)
			return c.Remote(ctx, e, func() {}).Future()
		},
	} {
		func() {
			defer func() {
				text := fmt.Sprint(recover())
				if !strings.HasPrefix(text, "antflow: ") || !strings.Contains(text, want) || !strings.Contains(text, `"t"`) {
					t.Errorf("the panic %q, want %q", text, want)
				}
			}()
			task.Submit(t.Context(), r, 1)
		}()
	}
}

func TestTaskArguments(t *testing.T) {
	ctx := t.Context()
	e := antflow.New(1)
	fn := func(context.Context, int) (int, error) { return 0, nil }
	task := antflow.NewTask("t", fn)
	var none *antflow.Task[int, int]
	var noExecutor *antflow.Executor
	var noContext context.Context
	inputs := slices.Values([]int{1})
	for what, call := range map[string]func(){
		"NewTask without a name":           func() { antflow.NewTask("", fn) },
		"NewTask without a function":       func() { antflow.NewTask[int, int]("t", nil) },
		"NewTask with a nil option":        func() { antflow.NewTask("t", fn, antflow.Retries(1), nil) },
		"Submit of no task":                func() { none.Submit(ctx, e, 1) },
		"Submit without a context":         func() { task.Submit(noContext, e, 1) },
		"Submit without a runner":          func() { task.Submit(ctx, nil, 1) },
		"Submit on a nil executor":         func() { task.Submit(ctx, noExecutor, 1) },
		"Submit with a nil option":         func() { task.Submit(ctx, e, 1, nil) },
		"Submit elsewhere, nil option":     func() { task.Submit(ctx, &forward{to: e}, 1, nil) },
		"Map of no task":                   func() { none.Map(ctx, e, inputs) },
		"Map without a context":            func() { task.Map(noContext, e, inputs) },
		"Map without a runner":             func() { task.Map(ctx, nil, inputs) },
		"Map on a nil executor":            func() { task.Map(ctx, noExecutor, inputs) },
		"Map without inputs":               func() { task.Map(ctx, e, nil) },
		"Map with a nil option":            func() { task.Map(ctx, &forward{to: e}, inputs, nil) },
		"MapUnordered of no task":          func() { none.MapUnordered(ctx, e, inputs) },
		"MapUnordered without a context":   func() { task.MapUnordered(noContext, e, inputs) },
		"MapUnordered without a runner":    func() { task.MapUnordered(ctx, nil, inputs) },
		"MapUnordered without inputs":      func() { task.MapUnordered(ctx, &forward{to: e}, nil) },
		"Invoke of no task":                func() { none.Invoke(ctx, func(any) error { return nil }) },
		"Invoke without a context":         func() { task.Invoke(noContext, func(any) error { return nil }) },
		"Invoke without a decoder":         func() { task.Invoke(ctx, nil) },
		"RunCall of no executor":           func() { noExecutor.RunCall(ctx, nil) },
		"RunCall without a call":           func() { e.RunCall(ctx, nil) },
		"RunCall without a context":        func() { e.RunCall(noContext, nil) },
		"Remote without a context":         func() { task.Submit(ctx, remoteWith(noContext, e, func() {}), 1) },
		"Remote without an executor":       func() { task.Submit(ctx, remoteWith(ctx, nil, func() {}), 1) },
		"Remote without a cancel function": func() { task.Submit(ctx, remoteWith(ctx, e, nil), 1) },
	} {
		mustPanic(t, what, call)
	}
	if s := e.Stats(); s.Submitted != 0 {
		t.Errorf("%+v", s)
	}
}

func remoteWith(ctx context.Context, e *antflow.Executor, cancel func()) antflow.Runner {
	return runnerFunc(func(_ context.Context, c antflow.Call) antflow.Waitable { return c.Remote(ctx, e, cancel).Future() })
}

// A call on an executor is one allocation, as a closure's task is, and the input
// is in it.
func TestTaskAllocatesOnce(t *testing.T) {
	testkit.NoLeak(t)
	e := antflow.New(1)
	block := make(chan struct{})
	e.Go(context.Background(), func(context.Context) error { <-block; return nil })
	type input struct {
		name string
		n    [4]int
	}
	small := antflow.NewTask("small", func(_ context.Context, n int) (int, error) { return n, nil })
	large := antflow.NewTask("large", func(_ context.Context, in input) (string, error) { return in.name + strconv.Itoa(in.n[0]), nil },
		antflow.Retries(3), antflow.RetryDelay(time.Hour), antflow.Priority(1000))
	if n := testing.AllocsPerRun(1000, func() { small.Submit(context.Background(), e, 1<<30) }); n != 1 {
		t.Errorf("%v allocations for a small input", n)
	}
	if n := testing.AllocsPerRun(1000, func() { large.Submit(context.Background(), e, input{name: "x"}) }); n != 1 {
		t.Errorf("%v allocations for a large input", n)
	}
	close(block)
	e.Close()
}

// Once a call has ended nothing keeps its input, not even the future, nor what
// the runner gave along with it.
func TestCallsRetainNothing(t *testing.T) {
	testkit.NoLeak(t)
	type big [1 << 16]byte
	task := antflow.NewTask("t", func(_ context.Context, in *big) (int, error) { return int(in[0]), nil })
	books := antflow.New(1)
	end := antflow.RemoteEnd{Err: errTest}
	for name, r := range map[string]antflow.Runner{"executor": books, "forwarded": &forward{to: books}, "elsewhere": nil} {
		for _, after := range []string{"the end", "a refusal"} {
			var input, values, canceler weak.Pointer[big]
			f := func() *antflow.Future[int] {
				in, value := new(big), new(big)
				input, values = weak.Make(in), weak.Make(value)
				ctx, cancel := context.WithCancel(context.WithValue(t.Context(), tapeKey{}, value))
				defer cancel()
				run := r
				if run == nil {
					kept := new(big)
					canceler = weak.Make(kept)
					run = runnerFunc(func(ctx context.Context, c antflow.Call) antflow.Waitable {
						remote := c.Remote(ctx, books, func() { kept[0]++ })
						remote.Settle(end)
						return remote.Future()
					})
				}
				if after == "a refusal" {
					cancel()
				}
				f := task.Submit(ctx, run, in)
				f.Result(t.Context())
				return f
			}()
			f.Result(t.Context())
			for i := 0; i < 100 && (input.Value() != nil || canceler.Value() != nil); i++ {
				runtime.GC()
			}
			if input.Value() != nil || canceler.Value() != nil {
				t.Errorf("%s, after %s: the input is kept: %v, the canceler: %v", name, after, input.Value() != nil, canceler.Value() != nil)
			}
			runtime.KeepAlive(f)
			f = nil
			for i := 0; i < 100 && values.Value() != nil; i++ {
				runtime.GC()
				runtime.Gosched()
			}
			if values.Value() != nil {
				t.Errorf("%s, after %s: the context is kept", name, after)
			}
		}
	}
	runtime.KeepAlive(books)
	books.Close()
}

// A Call can be made in this package only.
func TestCallIsSealed(t *testing.T) {
	sealed := false
	for m := range reflect.TypeFor[antflow.Call]().Methods() {
		sealed = sealed || !m.IsExported()
	}
	if !sealed {
		t.Error("anybody can make a Call")
	}
}
