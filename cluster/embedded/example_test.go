package embedded_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"strings"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/cluster"
	"github.com/antflow/antflow/cluster/embedded"
)

// In production the worker is another program, and the broker a server that was
// installed; what the two calls of package cluster say stays the same.
func ExampleStart() {
	dir, err := os.MkdirTemp("", "broker")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	broker, err := embedded.Start(dir)
	if err != nil {
		log.Fatal(err)
	}
	defer broker.Close()

	greet := antflow.NewTask("greet", func(ctx context.Context, name string) (string, error) {
		return "hello, " + name, nil
	})
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error)
	go func() { served <- cluster.Serve(ctx, broker.URL(), []cluster.Handler{greet}) }()

	client, err := cluster.Connect(ctx, broker.URL())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(greet.Submit(ctx, client, "ant").Result(ctx))
	client.Close()
	stop()
	fmt.Println(<-served)
	// Output:
	// hello, ant <nil>
	// <nil>
}

func ExampleStartCluster() {
	dir, err := os.MkdirTemp("", "brokers")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	brokers, err := embedded.StartCluster(dir, 3)
	if err != nil {
		log.Fatal(err)
	}
	defer brokers.Close()
	fmt.Println(len(strings.Split(brokers.URL(), ",")), "addresses")

	// Whoever connects first makes the streams, with a copy on each server.
	client, err := cluster.Connect(context.Background(), brokers.URL(), cluster.Replicas(3))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(client.Close())
	// Output:
	// 3 addresses
	// <nil>
}

// A broker that other programs on this machine are to find needs a port that
// they know.
func ExamplePort() {
	dir, err := os.MkdirTemp("", "broker")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	const free = 0 // 4222 is the usual one
	broker, err := embedded.Start(dir, embedded.Port(free))
	if err != nil {
		log.Fatal(err) // somebody has that port
	}
	defer broker.Close()
	fmt.Println(strings.TrimRight(broker.URL(), "0123456789"))
	// Output: nats://127.0.0.1:
}

func ExampleSyncAlways() {
	dir, err := os.MkdirTemp("", "broker")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	broker, err := embedded.Start(dir, embedded.SyncAlways())
	if err != nil {
		log.Fatal(err)
	}
	defer broker.Close()
	fmt.Println("what is acknowledged survives a loss of power")
	// Output: what is acknowledged survives a loss of power
}

func ExampleConfigure() {
	dir, err := os.MkdirTemp("", "broker")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	broker, err := embedded.Start(dir, embedded.Configure(func(o *server.Options) {
		o.JetStreamMaxStore = 1 << 30 // bytes on the disk
	}))
	if err != nil {
		log.Fatal(err)
	}
	defer broker.Close()
	limits := broker.Servers()[0].JetStreamConfig()
	fmt.Println(limits.MaxStore>>20, "MiB")
	// Output: 1024 MiB
}
