package embedded_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/cluster"
	"github.com/antflow/antflow/cluster/embedded"
)

// refused checks that neither Connect nor Serve can begin, and say why. Serve
// has no other end here than that.
func (r *rig) refused(url string, opts []cluster.Option, parts ...string) {
	r.t.Helper()
	var connect []cluster.ClientOption
	var serve []cluster.ServeOption
	for _, o := range opts {
		connect, serve = append(connect, o), append(serve, o)
	}
	ctx, cancel := context.WithTimeout(r.ctx, 8*time.Second)
	defer cancel()
	c, err := cluster.Connect(ctx, url, connect...)
	if err == nil {
		c.Detach()
	}
	if ctx.Err() != nil {
		r.t.Errorf("Connect did not return by itself; %v", err)
	}
	says(r.t, err, parts...)
	says(r.t, r.begin(url, serve...), parts...)
}

// begin calls Serve, which is expected to return by itself.
func (r *rig) begin(url string, opts ...cluster.ServeOption) error {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.ctx, 8*time.Second)
	defer cancel()
	err := cluster.Serve(ctx, url, handlers(echo[int]("echo")), opts...)
	if ctx.Err() != nil {
		r.t.Errorf("Serve did not return by itself; %v", err)
	}
	return err
}

func TestContractWrongURL(t *testing.T) {
	r := newRig(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "nats://" + l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	r.refused(nobody, nil, nobody)
	r.refused("://nonsense", nil, "nonsense")
	r.refused("", nil)
	c, err := cluster.Connect(r.ctx, nobody+","+r.url) // one of several is enough
	if err != nil {
		t.Fatal(err)
	}
	c.Detach()
	if _, err = cluster.Connect(ended(), r.url); !errors.Is(err, context.Canceled) {
		t.Errorf("Connect with an ended context: %v", err)
	}
}

// A server that accepts connections and says nothing: ctx ends that.
func TestContractSilentServer(t *testing.T) {
	r := newRig(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	ctx, cancel := context.WithTimeout(r.ctx, 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err = cluster.Connect(ctx, "nats://"+l.Addr().String())
	says(t, err, l.Addr().String())
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("it took %v: %v", d, err)
	}
}

func TestContractWithoutJetStream(t *testing.T) {
	r := newRig(t)
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(patience) {
		t.Fatal("the server is not ready")
	}
	r.refused(s.ClientURL(), nil, "JetStream")
}

func TestContractMismatch(t *testing.T) {
	r := newRig(t)
	first := []cluster.Option{cluster.Backlog(100), cluster.Retention(2 * time.Hour), cluster.Replicas(1)}
	r.connect(first[0], first[1], first[2])
	r.refused(r.url, []cluster.Option{cluster.Backlog(200), first[1]}, "200", "100")
	r.refused(r.url, []cluster.Option{first[0], cluster.Retention(3 * time.Hour)}, "3h", "2h")
	r.refused(r.url, []cluster.Option{first[0], first[1], cluster.Replicas(3)}, "3", "1")
	r.connect(first[0], first[1])
	r.serve(handlers(echo[int]("echo")), first[0], first[1], cluster.Lease(2*time.Second))
	says(t, r.begin(r.url, first[0], first[1], cluster.Lease(3*time.Second)), "2s", "3s")
	// Another namespace has streams of its own.
	r.connect(cluster.Namespace("other"), cluster.Backlog(300))
}

// Three replicas on one server: it can't begin, and does not hang.
func TestContractTooManyReplicas(t *testing.T) {
	r := newRig(t)
	r.refused(r.url, []cluster.Option{cluster.Replicas(3)}, "3")
}

func TestContractInvalidNames(t *testing.T) {
	r := newRig(t)
	long := strings.Repeat("x", 65)
	for _, name := range []string{"", "a.b", "two words", "*", ">", "ü", long} {
		quoted := fmt.Sprintf("%q", name)
		try := func(opts ...cluster.ClientOption) (err error) {
			defer func() {
				if v := recover(); v != nil {
					err = errors.New(fmt.Sprint(v))
				}
			}()
			c, err := cluster.Connect(r.ctx, r.url, opts...)
			if err == nil {
				c.Detach()
			}
			return err
		}
		says(t, try(cluster.Namespace(name)), quoted)
		says(t, try(cluster.Session(name)), quoted)
		says(t, try(cluster.DefaultQueue(name)), quoted)
		says(t, func() (err error) {
			defer func() {
				if v := recover(); v != nil {
					err = errors.New(fmt.Sprint(v))
				}
			}()
			return r.begin(r.url, cluster.Queues(name))
		}(), quoted)
		if name != "" { // an empty one is none
			says(t, fail(r, echo[int]("echo").Submit(r.ctx, r.connect(), 1, antflow.Queue(name))), quoted)
		}
	}
	r.connect(cluster.Namespace(long[:64]), cluster.Session(long[:64]), cluster.DefaultQueue(long[:64]))
}

func TestContractToken(t *testing.T) {
	r := newRig(t, secret("open sesame"))
	r.refused(r.url, nil, "uthoriz")
	r.refused(r.url, []cluster.Option{cluster.NATS(nats.Token("wrong"))}, "uthoriz")
	token := cluster.NATS(nats.Token("open sesame"))
	r.serve(handlers(echo[int]("echo")), token)
	get(r, echo[int]("echo").Submit(r.ctx, r.connect(token), 1))
}

func TestContractTLS(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}, DNSNames: []string{"localhost"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err = os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	r := newRig(t, embedded.Configure(func(o *server.Options) {
		o.TLSConfig = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
		o.TLSTimeout = 10
	}))
	r.refused(r.url, nil, "certificate")
	ca := cluster.NATS(nats.RootCAs(file))
	r.serve(handlers(echo[int]("echo")), ca)
	c := r.connect(ca)
	get(r, echo[int]("echo").Submit(r.ctx, c, 1))
}

func TestContractBadArguments(t *testing.T) {
	h := handlers(echo[int]("echo"))
	ctx := context.Background()
	var none context.Context
	for _, c := range []struct {
		fn   func()
		says string
	}{
		{func() { cluster.Backlog(0) }, "0"},
		{func() { cluster.Retention(59 * time.Second) }, "59s"},
		{func() { cluster.Lease(999 * time.Millisecond) }, "999ms"},
		{func() { cluster.MostCrashes(-1) }, "-1"},
		{func() { cluster.MostPending(-2) }, "-2"},
		{func() { cluster.Concurrency(0) }, "0"},
		{func() { cluster.DrainTimeout(-time.Second) }, "-1s"},
		{func() { cluster.ReportTo(nil) }, "nil"},
		{func() { cluster.On(nil) }, "nil"},
		{func() { cluster.Logger(nil) }, "nil"},
		{func() { cluster.Codecs(cluster.JSON, nil) }, "nil"},
		{func() { cluster.ErrorType[*limitError]("") }, ""},
		{func() { cluster.ErrorValue("", errHouse) }, ""},
		{func() { cluster.ErrorValue("x", nil) }, "nil"},
		{func() { cluster.ErrorValue("x", incomparable{"a"}) }, "incomparable"},
		{func() { _, _ = cluster.Connect(none, "nats://127.0.0.1:1") }, "nil"},
		{func() { _, _ = cluster.Connect(ctx, "nats://127.0.0.1:1", nil) }, "nil"},
		{func() { _ = cluster.Serve(none, "nats://127.0.0.1:1", h) }, "nil"},
		{func() { _ = cluster.Serve(ctx, "nats://127.0.0.1:1", h, nil) }, "nil"},
		{func() { _ = cluster.Serve(ctx, "nats://127.0.0.1:1", handlers(nil)) }, "nil"},
		{func() { _ = cluster.Serve(ctx, "nats://127.0.0.1:1", handlers(h[0], echo[string]("echo"))) }, `"echo"`},
		{func() { cluster.InfoFrom(none) }, "nil"},
		{func() { _, _ = embedded.Start("") }, ""},
		{func() { _, _ = embedded.Start(t.TempDir(), nil) }, "nil"},
		{func() { _, _ = embedded.StartCluster(t.TempDir(), 0) }, "0"},
		{func() { embedded.Port(65536) }, "65536"},
	} {
		panics(t, c.fn, c.says)
	}
}

type incomparable []string

func (i incomparable) Error() string { return strings.Join(i, " ") }
