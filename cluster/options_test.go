package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/cluster"
)

type uncomparable []string

func (uncomparable) Error() string { return "uncomparable" }

// nicknamed is a codec of another name.
type nicknamed struct {
	cluster.Codec
	name string
}

func (n nicknamed) Name() string { return n.name }

// Mistakes in the program panic, with a text that names what is wrong.
func TestMistakesPanic(t *testing.T) {
	ctx := context.Background()
	double := antflow.NewTask("double", double)
	serve := func(handlers []cluster.Handler, opts ...cluster.ServeOption) func() {
		return func() { cluster.Serve(ctx, "nats://127.0.0.1:1", handlers, opts...) }
	}
	var none context.Context
	e := antflow.New(1)
	for says, call := range map[string]func(){
		"Connect: the context must not be nil":         func() { cluster.Connect(none, "") },
		"Connect: nil ClientOption at index 1":         func() { cluster.Connect(ctx, "", cluster.Session("s"), nil) },
		"Serve: the context must not be nil":           func() { cluster.Serve(none, "", nil) },
		"Serve: nil ServeOption at index 0":            serve([]cluster.Handler{double}, nil),
		"Serve: nil Handler at index 1":                serve([]cluster.Handler{double, nil}),
		`Serve: two handlers are called "double"`:      serve([]cluster.Handler{double, double}),
		"Serve: Concurrency(3) has no meaning with On": serve([]cluster.Handler{double}, cluster.Concurrency(3), cluster.On(e)),
		"Serve: there must be a handler":               serve(nil),
		"InfoFrom(nil): the context must not be nil":   func() { cluster.InfoFrom(none) },
		"Codecs: nil Codec at index 1":                 func() { cluster.Codecs(cluster.Gob, nil) },
		`Codecs: the name "" at index 0 must be`:       func() { cluster.Codecs(nicknamed{cluster.Gob, ""}) },
		`Codecs: the name "a b" at index 1 must be`:    func() { cluster.Codecs(cluster.Gob, nicknamed{cluster.Gob, "a b"}) },
		`Codecs: two codecs are called "json"`:         func() { cluster.Codecs(nicknamed{cluster.Gob, "json"}) },
		`Codecs: two codecs are called "x"`:            func() { cluster.Codecs(nicknamed{cluster.Gob, "x"}, nicknamed{cluster.JSON, "x"}) },
		`ErrorType[*cluster_test.quotaError]("x"): that is what cluster_test.codeError is called`: serve([]cluster.Handler{double},
			cluster.ErrorType[codeError]("x"), cluster.ErrorType[codeError]("x"), cluster.ErrorType[*quotaError]("x")),
		`ErrorValue("x", "unexpected EOF"): that is what "EOF" is called`: serve([]cluster.Handler{double},
			cluster.ErrorValue("x", io.EOF), cluster.ErrorValue("x", io.EOF), cluster.ErrorValue("x", io.ErrUnexpectedEOF)),
		"Task.Name: the task is nil":                      serve([]cluster.Handler{(*antflow.Task[int, int])(nil)}),
		"Client.RunCall: the client must be one of":       func() { double.Submit(ctx, (*cluster.Client)(nil), 1) },
		"ErrorType: the name must not be empty":           func() { cluster.ErrorType[codeError]("") },
		`ErrorType[error]("e"): the type must not be`:     func() { cluster.ErrorType[error]("e") },
		"ErrorValue: the name must not be empty":          func() { cluster.ErrorValue("", io.EOF) },
		`ErrorValue("v", nil): the error must not be`:     func() { cluster.ErrorValue("v", nil) },
		`ErrorValue("v"): a cluster_test.uncomparable is`: func() { cluster.ErrorValue("v", uncomparable{}) },
		"Logger(nil): the logger must not be nil":         func() { cluster.Logger(nil) },
		"Replicas(0): the number must be":                 func() { cluster.Replicas(0) },
		"Replicas(6): the number must be":                 func() { cluster.Replicas(6) },
		"Backlog(0): the number must be at least 1":       func() { cluster.Backlog(0) },
		"Retention(59.999999999s): the time must be":      func() { cluster.Retention(time.Minute - 1) },
		"MostPending(-1): the number must not be":         func() { cluster.MostPending(-1) },
		"Concurrency(0): the number must be at least 1":   func() { cluster.Concurrency(0) },
		"Queues: there must be one":                       func() { cluster.Queues() },
		"On(nil): the executor must not be nil":           func() { cluster.On(nil) },
		"DrainTimeout(-1ns): the time must not be":        func() { cluster.DrainTimeout(-1) },
		"Lease(999.999999ms): the time must be at least":  func() { cluster.Lease(time.Second - 1) },
		"MostCrashes(-1): the number must not be":         func() { cluster.MostCrashes(-1) },
		"ReportTo(nil): the health must not be nil":       func() { cluster.ReportTo(nil) },
	} {
		t.Run(says, func(t *testing.T) {
			defer func() {
				text, _ := recover().(string)
				if rest, ok := strings.CutPrefix(text, "antflow: "); !ok || !strings.HasPrefix(strings.TrimPrefix(rest, "cluster: "), says) {
					t.Errorf("the panic is %q", text)
				}
			}()
			call()
		})
	}
}

// Names come from configurations, so a wrong one is an error, which Connect and
// Serve return before they connect to anybody.
func TestWrongNamesAreErrors(t *testing.T) {
	const nowhere = "nats://127.0.0.1:1"
	handlers := []cluster.Handler{antflow.NewTask("double", double)}
	for says, call := range map[string]func() error{
		`the namespace "a.b" must be`: func() error {
			_, err := cluster.Connect(t.Context(), nowhere, cluster.Namespace("a.b"))
			return err
		},
		`the session "" must be`: func() error {
			_, err := cluster.Connect(t.Context(), nowhere, cluster.Session(""))
			return err
		},
		`the queue "*" must be`: func() error {
			_, err := cluster.Connect(t.Context(), nowhere, cluster.DefaultQueue("*"), cluster.Session("fine"))
			return err
		},
		`the queue ">" must be`: func() error {
			return cluster.Serve(t.Context(), nowhere, handlers, cluster.Queues("fine", ">"))
		},
		`the namespace "` + strings.Repeat("x", 65) + `" must be`: func() error {
			return cluster.Serve(t.Context(), nowhere, handlers, cluster.Namespace(strings.Repeat("x", 65)))
		},
		"no connection to nats://127.0.0.1:1: dial tcp 127.0.0.1:1: ": func() error {
			_, err := cluster.Connect(t.Context(), nowhere)
			return err
		},
		"no connection to nats://user:xxxxx@127.0.0.1:1,nats://127.0.0.1:1: ": func() error {
			return cluster.Serve(t.Context(), "nats://user:secret@127.0.0.1:1,nats://127.0.0.1:1", handlers)
		},
	} {
		if err := call(); err == nil || !strings.HasPrefix(err.Error(), "antflow: cluster: "+says) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q is not what it says: %v", says, err)
		}
	}
}

func TestWhatOptionsSay(t *testing.T) {
	e, h := antflow.New(2), new(cluster.Health)
	both := []cluster.Option{
		cluster.Namespace("n"), cluster.Replicas(3), cluster.Backlog(7), cluster.Retention(time.Hour),
		cluster.Codecs(otherCodec{cluster.JSON}), cluster.Logger(slog.New(slog.DiscardHandler)),
		cluster.NATS(nats.Name("a")), cluster.NATS(nats.Token("b"), nats.Name("c")),
	}
	client, worker := []cluster.ClientOption{}, []cluster.ServeOption{}
	for _, o := range both {
		client, worker = append(client, o), append(worker, o)
	}
	common := cluster.Said{Namespace: "n", Replicas: 3, Backlog: 7, Retention: time.Hour, NATS: 3, Codecs: []string{"other", "json", "gob"}}

	want := common
	want.Session, want.Queue, want.Pending = "s", "q", 5
	got, err := cluster.SaidToClient(append(client, cluster.Session("s"), cluster.DefaultQueue("q"), cluster.MostPending(5))...)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("to a client:\n%+v, want\n%+v, %v", got, want, err)
	}
	want = common
	want.Worker, want.Queues, want.Concurrency, want.Crashes = "w", []string{"a", "b"}, 9, 0
	want.Drain, want.Lease, want.Health, want.Executor = 0, time.Second, h, e
	got, err = cluster.SaidToWorker(append(worker, cluster.WorkerName("w"), cluster.Queues("a", "b"), cluster.Concurrency(9),
		cluster.MostCrashes(0), cluster.DrainTimeout(0), cluster.Lease(time.Second), cluster.ReportTo(h), cluster.On(e))...)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("to a worker:\n%+v, want\n%+v, %v", got, want, err)
	}

	names := []string{"json", "gob"}
	if got, err := cluster.SaidToClient(); err != nil || !reflect.DeepEqual(got, cluster.Said{Namespace: "default", Queue: "default", Codecs: names}) {
		t.Errorf("nothing to a client: %+v, %v", got, err)
	}
	nothing := cluster.Said{Namespace: "default", Queues: []string{"default"}, Codecs: names, Drain: time.Minute, Crashes: 3}
	if got, err := cluster.SaidToWorker(); err != nil || !reflect.DeepEqual(got, nothing) {
		t.Errorf("nothing to a worker: %+v, %v", got, err)
	}
}

// Options keep what they were given, whatever becomes of the slice.
func TestOptionsKeepTheirArguments(t *testing.T) {
	codecs, queues := []cluster.Codec{cluster.Gob}, []string{"a"}
	c, q := cluster.Codecs(codecs...), cluster.Queues(queues...)
	codecs[0], queues[0] = nil, "*"
	for range 2 { // and can be given more than once
		got, err := cluster.SaidToWorker(c, q)
		if err != nil || fmt.Sprint(got.Codecs, got.Queues) != "[gob json gob] [a]" {
			t.Errorf("%+v, %v", got, err)
		}
	}
}

func double(_ context.Context, n int) (int, error) { return 2 * n, nil }

// How often and when a task runs again is what the call said; how to decide on
// it, where that takes a function, is what the worker's task says.
func TestOptionsOfTheCallAndOfTheTask(t *testing.T) {
	boom := errors.New("boom")
	steps := antflow.RetryBackoff(func(attempt int, err error) time.Duration { return time.Duration(attempt) * time.Hour })
	never := antflow.RetryIf(func(err error) bool { return err != boom })
	for name, test := range map[string]struct {
		own     []antflow.TaskOption
		call    cluster.WireOptions
		retries int
		delay   time.Duration // after the second failure
	}{
		"neither says anything":      {nil, cluster.WireOptions{}, 0, 0},
		"the task alone":             {[]antflow.TaskOption{antflow.Retries(5), antflow.RetryDelay(time.Hour)}, cluster.WireOptions{}, 0, 0},
		"the call alone":             {nil, cluster.WireOptions{Retries: 2, RetryDelay: time.Second}, 2, 2 * time.Second},
		"both":                       {[]antflow.TaskOption{antflow.Retries(5), antflow.RetryDelay(time.Hour)}, cluster.WireOptions{Retries: 3, RetryDelay: time.Second}, 3, 2 * time.Second},
		"at once":                    {[]antflow.TaskOption{antflow.RetryDelay(time.Hour)}, cluster.WireOptions{Retries: 3}, 3, 0},
		"the task's schedule":        {[]antflow.TaskOption{steps}, cluster.WireOptions{Retries: 3, Backoff: true}, 3, 2 * time.Hour},
		"a delay instead of it":      {[]antflow.TaskOption{steps}, cluster.WireOptions{Retries: 3, RetryDelay: time.Second}, 3, 2 * time.Second},
		"a schedule that isn't here": {nil, cluster.WireOptions{Retries: 3, Backoff: true}, 3, 200 * time.Millisecond},
		"the task's RetryIf":         {[]antflow.TaskOption{never}, cluster.WireOptions{Retries: 3, RetryDelay: time.Second}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			worked, _ := cluster.With(antflow.NewTask("double", double, test.own...), test.call)
			retries := 0
			for attempt := 1; attempt < 10; attempt++ {
				delay, again := worked[0].Task.Again(attempt, boom, false)
				if !again {
					break
				}
				if retries++; attempt == 2 && delay != test.delay {
					t.Errorf("the delay is %v", delay)
				}
			}
			if retries != test.retries {
				t.Errorf("%d retries", retries)
			}
			if _, again := worked[0].Task.Again(1, boom, true); again {
				t.Error("a panic is retried, though no RetryIf says so")
			}
			if worked[0].Attempt.Retries != 0 {
				t.Error("the executor retries as well")
			}
		})
	}
}

// An attempt has the times, the label and the priority of the call, and the
// semaphore and the limiter of the task.
func TestOptionsOfAnAttempt(t *testing.T) {
	sem := antflow.NewSemaphore(1)
	own := []antflow.TaskOption{
		antflow.WithSemaphore(sem), antflow.WithRateLimit(limiter{}), antflow.Priority(5), antflow.Timeout(time.Hour), antflow.QueueTimeout(time.Hour),
		antflow.TaskName("own"), antflow.Key("k"), antflow.Retries(3),
	}
	worked, kept := cluster.With(antflow.NewTask("double", double, own...),
		cluster.WireOptions{},
		cluster.WireOptions{Label: "called", Priority: -1, Timeout: time.Second, QueueTimeout: time.Minute},
		cluster.WireOptions{},
	)
	said := func(s antflow.TaskSettings) string {
		return fmt.Sprint(s.Name, " ", s.Priority, " ", s.Timeout, " ", s.QueueTimeout, " ", s.Semaphore == sem, " ", s.RateLimit == limiter{})
	}
	for i, want := range []string{"double 0 0s 0s true true", "called -1 1s 0s true true", "double 0 0s 0s true true"} {
		if got := said(worked[i].Attempt); got != want {
			t.Errorf("call %d: %q, want %q", i, got, want)
		}
	}
	if kept != 2 {
		t.Errorf("%d sets of options are kept for two", kept)
	}
}

type limiter struct{}

func (limiter) Wait(context.Context) error { return nil }

// A label or a timeout of its own for each call doesn't fill the memory.
func TestOptionsKeptAreLimited(t *testing.T) {
	calls := make([]cluster.WireOptions, 10*cluster.MostOptions)
	for i := range calls {
		calls[i] = cluster.WireOptions{Label: fmt.Sprint(i)}
	}
	worked, kept := cluster.With(antflow.NewTask("double", double), calls...)
	if kept > cluster.MostOptions {
		t.Errorf("%d sets of options are kept", kept)
	}
	for i, w := range worked {
		if w.Attempt.Name != fmt.Sprint(i) {
			t.Fatalf("call %d has the label %q", i, w.Attempt.Name)
		}
	}
}
