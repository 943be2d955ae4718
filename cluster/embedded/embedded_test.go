package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/antflow/antflow/cluster/embedded"
	"github.com/antflow/antflow/internal/testkit"
)

// started is what a start function returned, and is closed with the test.
func started(t *testing.T) func(*embedded.Broker, error) *embedded.Broker {
	return func(b *embedded.Broker, err error) *embedded.Broker {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { b.Close() })
		return b
	}
}

// with calls fn with a connection that is closed before with returns.
func with(t *testing.T, b *embedded.Broker, fn func(ctx context.Context, js jetstream.JetStream)) {
	t.Helper()
	nc, err := nats.Connect(b.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	fn(ctx, js)
}

// fill makes a stream with n messages.
func fill(t *testing.T, b *embedded.Broker, replicas, n int) {
	t.Helper()
	with(t, b, func(ctx context.Context, js jetstream.JetStream) {
		t.Helper()
		cfg := jetstream.StreamConfig{Name: "S", Subjects: []string{"s.*"}, Replicas: replicas}
		if _, err := js.CreateStream(ctx, cfg); err != nil {
			t.Fatal(err)
		}
		for i := range n {
			if _, err := js.Publish(ctx, fmt.Sprintf("s.%d", i), []byte("kept")); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// kept checks that the stream is there and has n messages. A stream without a
// leader doesn't answer, and after a start replicas have to elect one, so a
// question is asked until somebody does.
func kept(t *testing.T, b *embedded.Broker, replicas, n int) {
	t.Helper()
	with(t, b, func(ctx context.Context, js jetstream.JetStream) {
		t.Helper()
		info, err := ask(ctx, js)
		for ; err != nil; info, err = ask(ctx, js) {
			if ctx.Err() != nil {
				t.Fatal(err)
			}
			// By the real clock: a server elects its leader when it does.
			time.Sleep(10 * time.Millisecond)
		}
		if info.State.Msgs != uint64(n) || info.Config.Replicas != replicas {
			t.Errorf("%d messages on %d servers, want %d on %d", info.State.Msgs, info.Config.Replicas, n, replicas)
		}
		if replicas > 1 && (info.Cluster == nil || info.Cluster.Leader == "" || len(info.Cluster.Replicas) != replicas-1) {
			t.Errorf("the stream's cluster is %+v", info.Cluster)
		}
	})
}

func ask(ctx context.Context, js jetstream.JetStream) (*jetstream.StreamInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	s, err := js.Stream(ctx, "S")
	if err != nil {
		return nil, err
	}
	return s.CachedInfo(), nil
}

// A port that is taken after it was found to be free is not the end of it.
func TestClusterOfTakenPorts(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	asked := 0
	b := started(t)(embedded.StartClusterFrom(t.TempDir(), 3, func(n int) ([]int, error) {
		ports, err := embedded.FreePorts(n)
		if asked++; err == nil && asked <= 2 {
			ports[asked] = l.Addr().(*net.TCPAddr).Port
		}
		return ports, err
	}))
	if asked != 3 {
		t.Errorf("asked %d times for ports, want 3", asked)
	}
	fill(t, b, 3, 1)
	kept(t, b, 3, 1)
}

func TestStreamsOutliveTheServer(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "if absent")
	b := started(t)(embedded.Start(dir))
	fill(t, b, 1, 100)
	b.Close()
	kept(t, started(t)(embedded.Start(dir)), 1, 100)
}

func TestCluster(t *testing.T) {
	dir := t.TempDir()
	b := started(t)(embedded.StartCluster(dir, 3))
	if n := len(b.Servers()); n != 3 || strings.Count(b.URL(), "nats://127.0.0.1:") != 3 {
		t.Errorf("%d servers at %s", n, b.URL())
	}
	fill(t, b, 3, 50)
	kept(t, b, 3, 50)
	b.Close()
	if testing.Short() {
		t.Skip("servers that start again elect a leader in their own time, which is some seconds")
	}
	kept(t, started(t)(embedded.StartCluster(dir, 3)), 3, 50)
}

// The streams of a cluster stay while one server of three is away.
func TestClusterWithoutOne(t *testing.T) {
	if testing.Short() {
		t.Skip("electing a new leader takes some seconds")
	}
	b := started(t)(embedded.StartCluster(t.TempDir(), 3))
	fill(t, b, 3, 10)
	for _, s := range b.Servers() {
		if s.JetStreamIsStreamLeader(server.DEFAULT_GLOBAL_ACCOUNT, "S") {
			s.Shutdown()
			s.WaitForShutdown()
		}
	}
	kept(t, b, 3, 10)
}

func TestClusterOfOne(t *testing.T) {
	dir := t.TempDir()
	b := started(t)(embedded.StartCluster(dir, 1))
	fill(t, b, 1, 5)
	b.Close()
	kept(t, started(t)(embedded.StartCluster(dir, 1)), 1, 5)
}

// takenAfterFree is a port that is taken during the test, while the one before is
// free.
func takenAfterFree(t *testing.T) int {
	t.Helper()
	for range 100 {
		taken, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := taken.Addr().(*net.TCPAddr).Port
		if free, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port-1)); err == nil {
			free.Close()
			t.Cleanup(func() { taken.Close() })
			return port
		}
		defer taken.Close()
	}
	t.Fatal("no two ports next to one another")
	return 0
}

// A port that is taken, and a directory that can't be used, are errors at once,
// which say what it is about, and nothing is left running.
func TestStartFails(t *testing.T) {
	port := takenAfterFree(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	invalid := embedded.Configure(func(o *server.Options) { o.ServerName = "a name" })
	for name, test := range map[string]struct {
		start func(dir string) (*embedded.Broker, error)
		is    error
		says  string
	}{
		"port": {func(dir string) (*embedded.Broker, error) {
			return embedded.Start(dir, embedded.Port(port))
		}, syscall.EADDRINUSE, fmt.Sprintf("127.0.0.1:%d", port)},
		"port of the second": {func(dir string) (*embedded.Broker, error) {
			return embedded.StartCluster(dir, 3, embedded.Port(port-1))
		}, syscall.EADDRINUSE, fmt.Sprintf("127.0.0.1:%d", port)},
		"no such port": {func(dir string) (*embedded.Broker, error) {
			return embedded.StartCluster(dir, 2, embedded.Port(65535))
		}, nil, "65536"},
		"file": {func(string) (*embedded.Broker, error) {
			return embedded.Start(file)
		}, nil, file},
		"file of a cluster": {func(string) (*embedded.Broker, error) {
			return embedded.StartCluster(file, 2)
		}, nil, file},
		"options": {func(dir string) (*embedded.Broker, error) {
			return embedded.Start(dir, invalid)
		}, nil, "server name"},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.NoLeak(t)
			begun := time.Now()
			b, err := test.start(t.TempDir())
			if err == nil || b != nil {
				t.Fatalf("%v, %v", b, err)
			}
			if text := err.Error(); !strings.HasPrefix(text, "antflow: embedded: ") || !strings.Contains(text, test.says) {
				t.Errorf("the error is %q, and should say %q", text, test.says)
			}
			if test.is != nil && !errors.Is(err, test.is) && runtime.GOOS != "windows" {
				t.Errorf("%q is no %v", err, test.is)
			}
			if took := time.Since(begun); took > 15*time.Second { // that it hangs for is 30
				t.Errorf("it took %v", took)
			}
		})
	}
}

func TestPort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	dir := t.TempDir()
	for range 3 { // Close gives it back
		b := started(t)(embedded.Start(dir, embedded.Port(port), embedded.Port(0)))
		if want := fmt.Sprintf("nats://127.0.0.1:%d", port); b.URL() != want {
			t.Errorf("it listens at %s, not at %s", b.URL(), want)
		}
		b.Close()
	}
	if b := started(t)(embedded.Start(dir, embedded.Port(0))); strings.HasSuffix(b.URL(), ":4222") {
		t.Errorf("not any port: %s", b.URL())
	}
}

func TestOptionsReachTheServer(t *testing.T) {
	b := started(t)(embedded.Start(t.TempDir(), embedded.SyncAlways(), embedded.Configure(func(o *server.Options) {
		o.MaxPayload = 12345
	})))
	if v, err := b.Servers()[0].Varz(nil); err != nil || v.MaxPayload != 12345 || !v.JetStream.Config.SyncAlways {
		t.Errorf("%+v, %v", v, err)
	}
	b.Servers()[0] = nil // what is returned is the caller's
	if b.Servers()[0] == nil {
		t.Error("Servers returned what the broker has")
	}
}

func TestCloseTwice(t *testing.T) {
	testkit.NoLeak(t)
	b := started(t)(embedded.Start(t.TempDir()))
	done := make(chan error)
	for range 3 {
		go func() { done <- b.Close() }()
	}
	for range 3 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	for _, s := range b.Servers() {
		if s.Running() {
			t.Errorf("%s still runs", s.Name())
		}
	}
	if nc, err := nats.Connect(b.URL()); err == nil {
		nc.Close()
		t.Error("something listens still")
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	testkit.NoLeak(t)
	dir := t.TempDir()
	for range 3 {
		b := started(t)(embedded.Start(dir))
		with(t, b, func(ctx context.Context, js jetstream.JetStream) {
			js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: "S", Subjects: []string{"s.*"}})
			js.Publish(ctx, "s.1", nil)
		})
		b.Close()
	}
}

func TestCloseOfAClusterLeavesNothing(t *testing.T) {
	testkit.NoLeak(t)
	b := started(t)(embedded.StartCluster(t.TempDir(), 3))
	fill(t, b, 3, 5)
	b.Close()
}

// Nothing but this machine can reach the servers.
func TestLoopbackOnly(t *testing.T) {
	one := started(t)(embedded.Start(t.TempDir()))
	three := started(t)(embedded.StartCluster(t.TempDir(), 3))
	for _, s := range append(one.Servers(), three.Servers()...) {
		for _, addr := range []net.Addr{s.Addr(), s.ClusterAddr(), s.MonitorAddr(), s.ProfilerAddr()} {
			// Some of these are interfaces that hold a nil pointer.
			if tcp, _ := addr.(*net.TCPAddr); tcp != nil && !tcp.IP.IsLoopback() {
				t.Errorf("%s listens on %v", s.Name(), tcp)
			}
		}
		if !s.Addr().(*net.TCPAddr).IP.IsLoopback() {
			t.Errorf("clients connect at %v", s.Addr())
		}
	}
	for _, addr := range listening(t) {
		if !addr.IsLoopback() {
			t.Errorf("this process listens on %v", addr)
		}
	}
}

func TestMistakesPanic(t *testing.T) {
	dir := t.TempDir()
	for says, call := range map[string]func(){
		"Start: the directory must not be empty":                    func() { embedded.Start("") },
		"Start: nil Option at index 1":                              func() { embedded.Start(dir, embedded.SyncAlways(), nil) },
		"StartCluster: the directory must not be empty":             func() { embedded.StartCluster("", 3) },
		"StartCluster(0): the number of servers must be at least 1": func() { embedded.StartCluster(dir, 0) },
		"StartCluster: nil Option at index 0":                       func() { embedded.StartCluster(dir, 3, nil) },
		"Port(-1): the port must be from 0 to 65535":                func() { embedded.Port(-1) },
		"Port(65536): the port must be from 0 to 65535":             func() { embedded.Port(65536) },
		"Configure(nil): the function must not be nil":              func() { embedded.Configure(nil) },
	} {
		t.Run(says, func(t *testing.T) {
			testkit.NoLeak(t)
			defer func() {
				if got := recover(); got != "antflow: embedded: "+says {
					t.Errorf("the panic is %v", got)
				}
			}()
			call()
		})
	}
}
