package dashboard_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/antflow/antflow/dashboard"
)

// at the address on which a request came in.
func localAddr(r *http.Request, addr string) *http.Request {
	a, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		panic(err)
	}
	return r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, a))
}

func fromLoopback(r *http.Request) *http.Request { return localAddr(r, "127.0.0.1:8080") }

// On a loopback address the Host has to be one that can't be another site's.
func TestHost(t *testing.T) {
	h := newHandler(dashboard.Hosts("dash.example.com", "Box", "10.1.2.3", "fd00::1"), dashboard.Hosts("second.example:80"))
	const loopback, loopback6, public = "127.0.0.1:8080", "[::1]:8080", "192.0.2.1:8080"
	for _, tt := range []struct {
		local, host string
		ok          bool
	}{
		{loopback, "localhost", true},
		{loopback, "localhost:8080", true},
		{loopback, "LocalHost:1", true},
		{loopback, "localhost.", true},
		{loopback, "app.localhost:8080", true},
		{loopback, "127.0.0.1", true},
		{loopback, "127.0.0.1:8080", true},
		{loopback, "127.255.255.254:8080", true},
		{loopback, "[::1]", true},
		{loopback, "[::1]:8080", true},
		{loopback, "[::ffff:127.0.0.1]:8080", true},
		{loopback6, "localhost:8080", true},
		{"[::ffff:127.0.0.1]:8080", "localhost:8080", true},
		{loopback, "dash.example.com", true},
		{loopback, "DASH.example.com:443", true},
		{loopback, "dash.example.com.:443", true},
		{loopback, "box:8080", true},
		{loopback, "10.1.2.3:99", true},
		{loopback, "[fd00::1]:99", true},
		{loopback, "second.example", true},

		{loopback, "evil.example", false},
		{loopback, "evil.example:8080", false},
		{loopback6, "evil.example:8080", false},
		{"[::ffff:127.0.0.1]:8080", "evil.example", false},
		{"127.0.0.2:8080", "evil.example", false},
		{loopback, "localhost.evil.example", false},
		{loopback, "notlocalhost", false},
		{loopback, ".localhost.example", false},
		{loopback, "127.0.0.1.evil.example", false},
		{loopback, "x.dash.example.com", false},
		{loopback, "192.0.2.1", false},
		{loopback, "[2001:db8::1]:8080", false},
		{loopback, "0.0.0.0:8080", false},
		{loopback, "", false},
		{loopback, ":8080", false},
		{loopback, "[]:8080", false},
		{loopback, "[::1", false},
		{loopback, "127.0.0.1:80:80", false},
		{loopback, "evil.example:localhost", false},
		{loopback, "localhost:8080.evil.example:1", false},

		{public, "evil.example", true},
		{public, "", true},
		{"[2001:db8::1]:8080", "anything", true},
	} {
		r := localAddr(httptest.NewRequest("GET", "/", nil), tt.local)
		r.Host = tt.host
		w := do(h, r)
		if want := map[bool]int{true: http.StatusOK, false: http.StatusForbidden}[tt.ok]; w.Code != want {
			t.Errorf("%q at %s: %d", tt.host, tt.local, w.Code)
		}
		if !tt.ok && !strings.HasPrefix(w.Body.String(), "antflow: the host ") {
			t.Errorf("%q: %q", tt.host, w.Body)
		}
	}
	// Each page is guarded, and a socket that is no network has no such sites.
	for _, name := range []string{"", "events", "metrics", "snapshot.json", "app.js", "action", "nothing"} {
		r := fromLoopback(httptest.NewRequest("GET", "http://evil.example/"+name, nil))
		if w := do(h, r); w.Code != http.StatusForbidden {
			t.Errorf("/%s: %d", name, w.Code)
		}
	}
	r := httptest.NewRequest("GET", "/", nil)
	r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, &net.UnixAddr{Name: "@", Net: "unix"}))
	if w := do(h, r); w.Code != http.StatusOK {
		t.Errorf("unix: %d", w.Code)
	}
}

func TestHostErrorNamesWhatToDo(t *testing.T) {
	r := fromLoopback(httptest.NewRequest("GET", "/", nil))
	r.Host = "dash.example.com"
	want := "antflow: the host \"dash.example.com\" is not served on a loopback address; name it with dashboard.Hosts\n"
	if w := do(newHandler(), r); w.Body.String() != want || w.Header().Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("%q", w.Body)
	}
}

// A real connection over loopback is known as one.
func TestHostOfServer(t *testing.T) {
	srv := httptest.NewServer(newHandler())
	defer srv.Close()
	for host, want := range map[string]int{"": 200, "localhost": 200, "evil.example": 403} {
		r, _ := http.NewRequest("GET", srv.URL+"/metrics", nil)
		if host != "" {
			r.Host = host
		}
		resp, err := srv.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%q: %d", host, resp.StatusCode)
		}
	}
}
