// Package embedded runs the broker of package cluster inside the process: a NATS
// server with JetStream, for development, examples and tests.
//
//	broker, err := embedded.Start(dir)
//	...
//	defer broker.Close()
//	client, err := cluster.Connect(ctx, broker.URL())
//
// It is the server that runs in production, so what works here works there; but
// it dies with the process, and listens on a loopback address only.
package embedded

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// A Broker is one server, or several that are one cluster, in this process. Its
// methods are safe for concurrent use.
type Broker struct {
	servers []*server.Server
	log     fatalLog // of all of them
}

// An Option is for [Start] and [StartCluster].
type Option func(*server.Options)

// Port has the server listen on that port, where 0 is any free one and the
// default. Of a cluster it is the first server's, and the others follow. A port
// outside of 0 to 65535 panics.
func Port(n int) Option {
	must(n >= 0 && n <= 65535, "Port(%d): the port must be from 0 to 65535", n)
	return func(o *server.Options) {
		if n != 0 {
			o.Port = n
		}
	}
}

// SyncAlways has each write synced to the disk before it is acknowledged, so
// that an acknowledged task survives the loss of power too, at the cost of most
// of the speed. Without it the server syncs every two minutes: what it
// acknowledged survives its death, but not that of the machine.
func SyncAlways() Option {
	return func(o *server.Options) { o.SyncAlways = true }
}

// Configure changes options of the server that have no function here.
func Configure(fn func(*server.Options)) Option {
	must(fn != nil, "Configure(nil): the function must not be nil")
	return fn
}

// ready is how long servers may take to start.
const ready = 30 * time.Second

// Start starts a server that keeps its streams in dir, which is made if it isn't
// there, and finds those that are there already. It blocks until clients can
// connect, or returns why they can't: the port is taken, say, or dir can't be
// written to. Use [Broker.Close] at the end. Two servers must not have the same
// dir at the same time. An empty dir and a nil option panic.
func Start(dir string, opts ...Option) (*Broker, error) {
	must(dir != "", "Start: the directory must not be empty")
	b := new(Broker)
	if err := b.start(options("Start", "antflow", dir, opts)); err != nil {
		return nil, err
	}
	return b.await(dir, func() bool { return b.servers[0].ReadyForConnections(time.Millisecond) })
}

// StartCluster starts n servers that are one cluster, each with a folder of its
// own in dir, for streams with as many replicas as that. It is [Start] in
// everything else; to find the streams again takes the same n. n below 1 panics.
func StartCluster(dir string, n int, opts ...Option) (*Broker, error) {
	must(dir != "", "StartCluster: the directory must not be empty")
	must(n >= 1, "StartCluster(%d): the number of servers must be at least 1", n)
	if n == 1 {
		return Start(filepath.Join(dir, serverName(0)), opts...) // it would wait for others
	}
	return startCluster(dir, n, opts, freePorts)
}

// startCluster takes the ports of the routes from free. Somebody else may have
// taken one when the server comes to listen on it; then there are others.
func startCluster(dir string, n int, opts []Option, free func(int) ([]int, error)) (*Broker, error) {
	for tries := 1; ; tries++ {
		ports, err := free(n)
		if err != nil {
			return nil, fmt.Errorf("antflow: embedded: %w", err)
		}
		b, err := startClusterOn(ports, dir, opts)
		if err == nil || tries == mostTries || !takenOf(ports, err) {
			return b, err
		}
	}
}

const mostTries = 10

// takenOf reports whether one of the ports is in use, by the error of a start.
func takenOf(ports []int, err error) bool {
	var op *net.OpError
	if !errors.As(err, &op) || !errors.Is(err, syscall.EADDRINUSE) {
		return false
	}
	addr, ok := op.Addr.(*net.TCPAddr)
	return ok && slices.Contains(ports, addr.Port)
}

// startClusterOn starts a server for each of the ports, on which they listen for
// one another.
func startClusterOn(ports []int, dir string, opts []Option) (*Broker, error) {
	var routes []*url.URL
	for _, port := range ports {
		routes = append(routes, &url.URL{Scheme: "nats", Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(port))})
	}
	b := new(Broker)
	for i, port := range ports {
		name := serverName(i)
		o := options("StartCluster", name, filepath.Join(dir, name), opts)
		if o.Port > 0 {
			o.Port += i
		}
		o.Cluster = server.ClusterOpts{Name: "antflow", Host: "127.0.0.1", Port: port}
		o.Routes = routes
		if err := b.start(o); err != nil {
			return nil, err
		}
	}
	return b.await(dir, b.formed)
}

func serverName(i int) string { return "antflow-" + strconv.Itoa(i+1) }

// start starts one more server. If it can't, none is left.
func (b *Broker) start(o *server.Options) error {
	s, err := server.NewServer(o)
	if err != nil {
		b.Close()
		return fmt.Errorf("antflow: embedded: %w", err)
	}
	s.SetLogger(&b.log, false, false)
	b.servers = append(b.servers, s)
	s.Start()
	return nil
}

// await blocks until is holds of the servers. If one can't go on before that, or
// it takes too long, none is left.
func (b *Broker) await(dir string, is func() bool) (*Broker, error) {
	for end := time.Now().Add(ready); !is(); time.Sleep(5 * time.Millisecond) {
		err := b.log.fatal()
		if err == nil && time.Now().After(end) {
			err = fmt.Errorf("not ready after %v", ready)
		}
		if err != nil {
			b.Close()
			return nil, fmt.Errorf("antflow: embedded: the server in %s: %w", dir, err)
		}
	}
	return b, nil
}

// formed reports whether all servers know of one another and have a leader.
func (b *Broker) formed() bool {
	leader := false
	for _, s := range b.servers {
		if !s.ReadyForConnections(time.Millisecond) {
			return false
		}
		leader = leader || s.JetStreamIsLeader() && len(s.JetStreamClusterPeers()) == len(b.servers)
	}
	return leader
}

// options are those of a server with that name, for the function called caller.
func options(caller, name, dir string, opts []Option) *server.Options {
	o := &server.Options{
		ServerName: name,
		Host:       "127.0.0.1",
		Port:       server.RANDOM_PORT,
		JetStream:  true,
		StoreDir:   dir,
		NoLog:      true,
		NoSigs:     true,
	}
	for i, opt := range opts {
		must(opt != nil, "%s: nil Option at index %d", caller, i)
		opt(o)
	}
	return o
}

// URL is where clients and workers connect to; of a cluster all addresses, with
// commas between them.
func (b *Broker) URL() string {
	urls := ""
	for i, s := range b.servers {
		if i > 0 {
			urls += ","
		}
		urls += s.ClientURL()
	}
	return urls
}

// Servers are the servers, for what this package has no method for.
func (b *Broker) Servers() []*server.Server { return append([]*server.Server(nil), b.servers...) }

// Close stops the servers and blocks until they have. What they keep stays in the
// directory. It may be called more than once, and returns nil.
func (b *Broker) Close() error {
	for _, s := range b.servers {
		s.Shutdown()
	}
	for _, s := range b.servers {
		s.WaitForShutdown()
	}
	return nil
}

// freePorts are ports that nobody listens on at this moment.
func freePorts(n int) (ports []int, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// must panics with the package's prefix when the caller broke a rule of the
// API; the message names the value.
func must(ok bool, format string, args ...any) {
	if !ok {
		panic("antflow: embedded: " + fmt.Sprintf(format, args...))
	}
}
