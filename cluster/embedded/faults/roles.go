package main

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/antflow/antflow/cluster"
	"github.com/antflow/antflow/cluster/embedded"
)

// namespace of all runs; each run has brokers of its own.
const namespace = "faults"

// parent returns the lines that the parent writes. The process ends when the
// parent does.
func parent() <-chan string {
	lines := make(chan string, 16)
	go func() {
		in := bufio.NewScanner(os.Stdin)
		for in.Scan() {
			lines <- in.Text()
		}
		os.Exit(exitOrphan)
	}()
	return lines
}

// ready tells the parent that the process has begun.
func ready() { fmt.Println("ready") }

// beBroker runs one server until it is told to end.
func beBroker(o *order) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	b, err := embedded.Start(o.Broker.Dir, embedded.Port(o.Broker.Port), embedded.Configure(func(s *server.Options) {
		s.ServerName = o.Name
		if o.Verbose {
			s.NoLog, s.LogFile, s.Logtime = false, o.Broker.Dir+".log", true
		}
		if len(o.Broker.Routes) == 0 {
			return
		}
		s.Cluster = server.ClusterOpts{Name: namespace, Host: "127.0.0.1", Port: o.Broker.Route}
		for _, r := range o.Broker.Routes {
			if u, err := url.Parse(r); err == nil {
				s.Routes = append(s.Routes, u)
			}
		}
	}))
	if err != nil {
		return err
	}
	if o.Verbose {
		for _, s := range b.Servers() {
			s.ConfigureLogger()
		}
	}
	ready()
	<-ctx.Done()
	return b.Close()
}

// common are the options that a worker and a client need.
func common(o *order) []cluster.Option {
	opts := []cluster.Option{cluster.Namespace(namespace)}
	if o.Pinned { // or it would learn of a way around the proxy
		opts = append(opts, cluster.NATS(nats.IgnoreDiscoveredServers(), nats.DontRandomize()))
	}
	if o.Replicas > 0 {
		opts = append(opts, cluster.Replicas(o.Replicas))
	}
	if o.Backlog > 0 {
		opts = append(opts, cluster.Backlog(o.Backlog))
	}
	if o.Verbose {
		opts = append(opts, cluster.Logger(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("process", o.Name)))
	}
	return opts
}

// resultStream and taskStream are the streams of the namespace.
const (
	taskStream   = "ANTFLOW_" + namespace + "_TASKS"
	resultStream = "ANTFLOW_" + namespace + "_RESULTS"
)

func local(port int) string { return "127.0.0.1:" + strconv.Itoa(port) }
