package browser_test

import (
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// mount is where the dashboard is on a site.
const mount = "/debug/antflow/"

// A site serves a dashboard on a port of the loopback device, which it keeps
// when it is started anew.
type site struct {
	t      *testing.T
	addr   string
	server *http.Server
	served chan struct{}

	mu      sync.Mutex
	refused []string // requests that were answered by an error
}

func newSite(t *testing.T, h http.Handler) *site {
	t.Helper()
	s := &site{t: t, addr: "127.0.0.1:0"}
	s.start(h)
	t.Cleanup(s.stop)
	return s
}

func (s *site) start(h http.Handler) {
	s.t.Helper()
	listener, err := net.Listen("tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.addr = listener.Addr().String()
	mux := http.NewServeMux()
	mux.Handle(mount, h)
	s.server = &http.Server{Handler: s.noting(mux), ReadHeaderTimeout: 10 * time.Second}
	s.served = make(chan struct{})
	go func(server *http.Server, served chan struct{}) {
		defer close(served)
		server.Serve(listener)
	}(s.server, s.served)
}

// stop ends it as a crash would: no connection is left.
func (s *site) stop() {
	s.server.Close()
	<-s.served
}

// url is that of a path.
func (s *site) url(path string) string { return "http://" + s.addr + path }

// port is that of the address, with the colon.
func (s *site) port() string { return s.addr[strings.LastIndexByte(s.addr, ':'):] }

// noting remembers the requests that are refused.
func (s *site) noting(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(&noted{ResponseWriter: w, s: s, r: r}, r)
	})
}

// noted is a writer of which the status is noted. What else it can do is found
// by http.ResponseController.
type noted struct {
	http.ResponseWriter
	s *site
	r *http.Request
}

func (n *noted) Unwrap() http.ResponseWriter { return n.ResponseWriter }

func (n *noted) WriteHeader(code int) {
	if code >= 400 {
		n.s.mu.Lock()
		n.s.refused = append(n.s.refused, n.r.Method+" "+n.r.URL.Path+" "+http.StatusText(code))
		n.s.mu.Unlock()
	}
	n.ResponseWriter.WriteHeader(code)
}

// refusals returns what was refused so far.
func (s *site) refusals() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.refused, "\n")
}
