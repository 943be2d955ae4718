package antflow_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/testkit"
)

// A crashingSemaphore does something else in one of its methods.
type crashingSemaphore struct {
	antflow.Semaphore
	in    string
	crash func()
}

func (s *crashingSemaphore) TryAcquire(n int64) bool {
	if s.in == "TryAcquire" {
		s.crash()
	}
	return s.in != "Acquire" && s.Semaphore.TryAcquire(n)
}

func (s *crashingSemaphore) Acquire(ctx context.Context, n int64) error {
	if s.in == "Acquire" {
		s.crash()
	}
	return s.Semaphore.Acquire(ctx, n)
}

func (s *crashingSemaphore) Release(n int64) {
	s.Semaphore.Release(n)
	if s.in == "Release" {
		s.crash()
	}
}

type crashingLimiter struct{ crash func() }

func (l *crashingLimiter) Wait(context.Context) error { l.crash(); return nil }

// Whatever user code a worker or a pump runs, and however that ends, the
// task's future settles, and the next task runs.
func TestCrashAnywhere(t *testing.T) {
	ends := map[string]struct {
		crash func()
		is    func(error) bool
	}{
		"panic": {func() { panic(errTest) }, func(err error) bool {
			p, ok := errors.AsType[*antflow.PanicError](err)
			return ok && errors.Is(err, errTest) && strings.Contains(string(p.Stack), "TestCrashAnywhere")
		}},
		"Goexit": {runtime.Goexit, func(err error) bool { return errors.Is(err, antflow.ErrGoexit) }},
	}
	for how, end := range ends {
		fail := func(context.Context) error { return errTest }
		noop := func(context.Context) error { return nil }
		sem := func(in string) antflow.TaskOption {
			return antflow.WithSemaphore(&crashingSemaphore{antflow.NewSemaphore(1), in, end.crash})
		}
		for where, c := range map[string]struct {
			fn  func(context.Context) error
			opt antflow.TaskOption
		}{
			"fn":         {func(context.Context) error { end.crash(); return nil }, antflow.Retries(3)},
			"RetryIf":    {fail, antflow.RetryIf(func(error) bool { end.crash(); return true })},
			"Backoff":    {fail, antflow.RetryBackoff(func(int, error) time.Duration { end.crash(); return 0 })},
			"TryAcquire": {noop, sem("TryAcquire")},
			"Acquire":    {noop, sem("Acquire")},
			"Release":    {noop, sem("Release")},
			"Wait":       {noop, antflow.WithRateLimit(&crashingLimiter{end.crash})},
		} {
			t.Run(where+" "+how, func(t *testing.T) {
				testkit.Bubble(t, func(t *testing.T) {
					e := antflow.New(1)
					for range 3 {
						f := e.Go(t.Context(), c.fn, antflow.Retries(1), c.opt)
						next := e.Go(t.Context(), noop)
						if _, err := f.Result(t.Context()); !end.is(err) || f.State() != antflow.StateFailed {
							t.Errorf("%v: %v", f, err)
						}
						if _, err := next.Result(t.Context()); err != nil {
							t.Errorf("the next task: %v", err)
						}
						rest(t, e)
					}
					e.Close()
				})
			})
		}
	}
}

// A callback that ends its goroutine takes neither the ones after it nor the
// worker along.
func TestGoexitInCallback(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := antflow.New(1)
		called := 0
		run := func(end func(f *antflow.Future[struct{}])) {
			f := e.Go(t.Context(), sleep(time.Second))
			for i := range 3 {
				f.OnDone(func(*antflow.Future[struct{}]) {
					if called++; i%2 == 0 {
						runtime.Goexit()
					}
				})
			}
			next := e.Go(t.Context(), sleep(time.Second))
			end(f)
			next.Result(t.Context())
			rest(t, e)
		}
		run(func(*antflow.Future[struct{}]) {})
		blocker := e.Go(t.Context(), sleep(time.Second))
		run(func(f *antflow.Future[struct{}]) { <-testkit.Started(func() { f.Cancel() }) })
		blocker.Result(t.Context())
		blocker = e.Go(t.Context(), sleep(time.Second))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		f := e.Go(ctx, sleep(time.Second))
		f.OnDone(func(*antflow.Future[struct{}]) { called++; runtime.Goexit() })
		f.OnDone(func(*antflow.Future[struct{}]) { called++ })
		cancel()
		synctest.Wait()
		if called != 8 {
			t.Errorf("%d callbacks ran, want 8", called)
		}
		blocker.Result(t.Context())
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
}

// The panic of a callback, and that of a source whose loop was left, take
// their course: in a process of their own.
func TestPanicsThatCrash(t *testing.T) {
	switch os.Getenv("ANTFLOW_CRASH") {
	case "callback":
		e := antflow.New(1)
		release := make(chan struct{})
		f := e.Go(context.Background(), func(context.Context) error { <-release; return nil })
		f.OnDone(func(*antflow.Future[struct{}]) { panic("crash of a callback") })
		close(release)
		select {}
	case "source":
		e := antflow.New(1)
		left := make(chan struct{})
		source := func(yield func(int) bool) {
			yield(1)
			<-left
			panic("crash of a source")
		}
		for range antflow.Map(context.Background(), e, source, func(_ context.Context, n int) (int, error) { return n, nil }) {
			break
		}
		close(left)
		select {}
	}
	for _, what := range []string{"callback", "source"} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestPanicsThatCrash$")
		cmd.Env = append(os.Environ(), "ANTFLOW_CRASH="+what)
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), "panic: crash of a "+what) {
			t.Errorf("%s: %v\n%s", what, err, out)
		}
	}
}
