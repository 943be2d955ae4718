package embedded_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/cluster"
	"github.com/antflow/antflow/cluster/embedded"
)

// Sum is in a package that all programs share.
var Sum = antflow.NewTask("sum", sum, antflow.Retries(3), antflow.Timeout(time.Minute))

func sum(_ context.Context, text string) (string, error) {
	if text == "" {
		return "", antflow.Permanent(&EmptyError{Limit: 1})
	}
	return fmt.Sprintf("%x", sha256.Sum256([]byte(text)))[:8], nil
}

// EmptyError is an error that both sides know.
type EmptyError struct{ Limit int }

func (e *EmptyError) Error() string { return fmt.Sprintf("at least %d bytes", e.Limit) }

// startBroker starts one for an example.
func startBroker() (broker *embedded.Broker, stop func()) {
	dir, err := os.MkdirTemp("", "antflow")
	if err != nil {
		panic(err)
	}
	broker, err = embedded.Start(dir)
	if err != nil {
		panic(err)
	}
	return broker, func() { broker.Close(); os.RemoveAll(dir) }
}

func Example_cluster() {
	broker, stopBroker := startBroker()
	defer stopBroker()
	// Mostly a program of its own, with a context that ends with SIGTERM.
	worker, stop := context.WithCancel(context.Background())
	served := make(chan error)
	go func() {
		err := cluster.Serve(worker, broker.URL(), []cluster.Handler{Sum}, cluster.Concurrency(8))
		served <- err
	}()

	submit := func(ctx context.Context) error {
		client, err := cluster.Connect(ctx, broker.URL())
		if err != nil {
			return err
		}
		defer client.Close() // waits for all results
		texts := slices.Values([]string{"a", "b", "c"})
		for sum, err := range Sum.Map(ctx, client, texts) {
			fmt.Println(sum, err)
		}
		return nil
	}
	fmt.Println(submit(context.Background()))
	stop()
	fmt.Println(<-served)
	// Output:
	// ca978112 <nil>
	// 3e23e816 <nil>
	// 2e7d2c03 <nil>
	// <nil>
	// <nil>
}

func Example_clusterSession() {
	broker, stopBroker := startBroker()
	defer stopBroker()
	ctx := context.Background()
	interrupted := ctx // mostly one that ends with SIGINT
	nightly := func(end func(*cluster.Client)) []*antflow.Future[string] {
		client, err := cluster.Connect(ctx, broker.URL(), cluster.Session("nightly-2026-11-29"))
		if err != nil {
			panic(err)
		}
		defer end(client)
		defer context.AfterFunc(interrupted, client.Detach)() // the futures fail, the tasks don't
		ctx := context.WithoutCancel(interrupted)             // for Submit
		var futures []*antflow.Future[string]
		for _, name := range []string{"a", "b"} {
			futures = append(futures, Sum.Submit(ctx, client, name, antflow.Key(name)))
		}
		client.Flush(ctx) // the broker has them
		return futures
	}
	// A submitter that goes away before there is a worker.
	for _, f := range nightly((*cluster.Client).Detach) {
		fmt.Println(f.Err())
	}

	worker, stop := context.WithCancel(ctx)
	served := make(chan error)
	go func() { served <- cluster.Serve(worker, broker.URL(), []cluster.Handler{Sum}) }()
	// The same program once more: the same tasks.
	for _, f := range nightly(func(c *cluster.Client) { c.Close() }) {
		fmt.Println(f.Result(ctx))
	}
	stop()
	<-served
	// Output:
	// antflow: cluster: the client was detached before the result came
	// antflow: cluster: the client was detached before the result came
	// ca978112 <nil>
	// 3e23e816 <nil>
}

func Example_clusterErrors() {
	broker, stopBroker := startBroker()
	defer stopBroker()
	ctx, stop := context.WithCancel(context.Background())
	empty := cluster.ErrorType[*EmptyError]("empty") // an option of both sides
	served := make(chan error)
	go func() { served <- cluster.Serve(ctx, broker.URL(), []cluster.Handler{Sum}, empty) }()
	client, err := cluster.Connect(ctx, broker.URL(), empty)
	if err != nil {
		panic(err)
	}

	_, err = Sum.Submit(ctx, client, "").Result(ctx)
	if e, ok := errors.AsType[*EmptyError](err); ok {
		fmt.Println(e, e.Limit)
	}
	client.Close()
	stop()
	<-served
	// Output: at least 1 bytes 1
}

func Example_clusterHealth() {
	broker, stopBroker := startBroker()
	defer stopBroker()
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error)

	health := new(cluster.Health)
	http.Handle("/healthz", health)
	go func() {
		served <- cluster.Serve(ctx, broker.URL(), []cluster.Handler{Sum}, cluster.ReportTo(health))
	}()

	code := func() int {
		answer := httptest.NewRecorder()
		http.DefaultServeMux.ServeHTTP(answer, httptest.NewRequest("GET", "/healthz", nil))
		return answer.Code
	}
	for code() != http.StatusOK {
		time.Sleep(time.Millisecond) // by the real clock: it connects
	}
	stop()
	<-served
	fmt.Println(code(), health.Status().State)
	// Output: 503 stopped
}
