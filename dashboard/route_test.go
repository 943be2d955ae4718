package dashboard_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/dashboard"
)

// mounts are the ways in which a handler may be mounted, with the path that the
// page is to be found at.
func mounts(d http.Handler) map[string]http.Handler {
	mux := func(pattern string, h http.Handler) http.Handler {
		m := http.NewServeMux()
		m.Handle(pattern, h)
		return m
	}
	both := http.NewServeMux()
	both.Handle("/exact", d)
	both.Handle("/exact/", d)
	inner := http.NewServeMux()
	inner.Handle("/inner/", d)
	return map[string]http.Handler{
		"/":               d,
		"/debug/antflow/": mux("/debug/antflow/", d),
		"/a/b/c/":         mux("/a/b/c/", http.StripPrefix("/a/b/c", d)),
		"/slash/":         mux("/slash/", http.StripPrefix("/slash/", d)),
		"/exact/":         both,
		"/outer/inner/":   mux("/outer/", http.StripPrefix("/outer", inner)),
		"/wild/card/":     mux("/wild/{name}/", d),
		"/rest/of/it/":    mux("/rest/{path...}", d),
		"/method/":        mux("GET /method/", d),
		"/sp%20ace/":      http.StripPrefix("/sp ace", d),
	}
}

func newHandler(opts ...dashboard.Option) http.Handler {
	return dashboard.Handler(append(opts, dashboard.Executor(antflow.New(1)))...)
}

// Under every prefix the same pages are found, and nothing else is.
func TestPrefixes(t *testing.T) {
	for prefix, h := range mounts(newHandler()) {
		for name, kind := range map[string]string{
			"":              "text/html; charset=utf-8",
			"app.js":        "text/javascript; charset=utf-8",
			"app.css":       "text/css; charset=utf-8",
			"icon.svg":      "image/svg+xml",
			"uplot.LICENSE": "text/plain; charset=utf-8",
			"snapshot.json": "application/json",
			"tasks.json":    "application/json",
			"failures.json": "application/json",
			"metrics":       "text/plain; version=0.0.4; charset=utf-8",
		} {
			w := get(h, prefix+name)
			if w.Code != http.StatusOK || w.Header().Get("Content-Type") != kind || w.Body.Len() == 0 {
				t.Errorf("%s%s: %d %q, %d bytes", prefix, name, w.Code, w.Header().Get("Content-Type"), w.Body.Len())
			}
		}
		for _, name := range []string{"nothing", "app.css.map", "web", "index", "Metrics", "handler.go"} {
			if w := get(h, prefix+name); w.Code != http.StatusNotFound || !strings.HasPrefix(w.Body.String(), "antflow: ") {
				t.Errorf("%s%s: %d %.80q", prefix, name, w.Code, w.Body)
			}
		}
	}
}

// Without the slash at the end the page would look for its parts in the wrong
// place, so there is a redirect, which works wherever the path begins.
func TestMountWithoutSlash(t *testing.T) {
	d := newHandler()
	exact := http.NewServeMux()
	exact.Handle("/debug/antflow", d)
	exact.Handle("/debug/antflow/", d)
	for _, tt := range []struct {
		h          http.Handler
		path, want string
	}{
		{exact, "/debug/antflow", "/debug/antflow/"},
		{exact, "/debug/antflow?x=1&y=%20", "/debug/antflow/?x=1&y=%20"},
		{http.StripPrefix("/a/b", d), "/a/b", "/a/b/"},
		{http.StripPrefix("/a/b", d), "/a/b?q=//evil.example", "/a/b/?q=//evil.example"},
		{http.StripPrefix("/a/x:y", d), "/a/x:y", "/a/x:y/"},
		{http.StripPrefix("/a b", d), "/a%20b", "/a%20b/"},
		{http.StripPrefix("/a?b", d), "/a%3Fb", "/a%3Fb/"},
		{http.StripPrefix("//evil.example", d), "//evil.example", "//evil.example/"},
	} {
		w := get(tt.h, tt.path)
		base, err := url.ParseRequestURI(tt.path)
		if err != nil {
			t.Fatal(err)
		}
		location := w.Header().Get("Location")
		to, err := base.Parse(location)
		if w.Code != http.StatusTemporaryRedirect || err != nil || to.String() != tt.want ||
			!strings.HasPrefix(location, "./") {
			t.Errorf("%s: %d to %q, which is %v; %v", tt.path, w.Code, location, to, err)
		}
		if w := get(tt.h, tt.want); w.Code != http.StatusOK {
			t.Errorf("%s: %d", tt.want, w.Code)
		}
	}
}

// All answers have the headers that confine the page, whatever they are.
func TestSecurityHeaders(t *testing.T) {
	h := newHandler()
	requests := []*http.Request{
		httptest.NewRequest("POST", "/x/action", strings.NewReader("{}")),
		httptest.NewRequest("DELETE", "/x/", nil),
		httptest.NewRequest("HEAD", "/x/events", nil),
		fromLoopback(httptest.NewRequest("GET", "http://evil.example/x/", nil)),
	}
	for _, name := range []string{"", "app.js", "app.css", "uplot.js", "icon.svg", "snapshot.json", "tasks.json",
		"task.json", "failures.json", "metrics", "nothing"} {
		requests = append(requests, httptest.NewRequest("GET", "/x/"+name, nil))
	}
	answers := make([]*httptest.ResponseRecorder, len(requests))
	for i, r := range requests {
		answers[i] = do(h, r)
	}
	answers = append(answers, get(http.StripPrefix("/x", h), "/x"))
	for i, w := range answers {
		for name, want := range map[string]string{
			"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
				"base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
			"X-Content-Type-Options": "nosniff",
			"Referrer-Policy":        "no-referrer",
		} {
			if got := w.Header()[name]; len(got) != 1 || got[0] != want {
				t.Errorf("answer %d (%d): %s: %q", i, w.Code, name, got)
			}
		}
	}
}

func TestMethods(t *testing.T) {
	h := newHandler()
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "FOO"} {
		for _, name := range []string{"", "app.js", "events", "snapshot.json", "metrics", "action"} {
			if method == "GET" && name == "events" {
				continue
			}
			allow := ""
			switch {
			case name == "action" && method != "POST":
				allow = "POST"
			case name != "action" && method != "GET" && method != "HEAD":
				allow = "GET, HEAD"
			}
			w := do(h, httptest.NewRequest(method, "/"+name, nil))
			if (w.Code == http.StatusMethodNotAllowed) != (allow != "") || w.Header().Get("Allow") != allow {
				t.Errorf("%s /%s: %d, Allow %q", method, name, w.Code, w.Header().Get("Allow"))
			}
		}
	}
	if w := do(h, httptest.NewRequest("PUT", "/metrics",
		nil)); w.Body.String() != "antflow: the method \"PUT\" is not allowed here, but GET, HEAD\n" {
		t.Errorf("%q", w.Body)
	}
}

// A browser asks again for each file, and is told that it has it already.
func TestCaching(t *testing.T) {
	h := newHandler()
	for _, name := range []string{"", "app.js", "app.css"} {
		w := get(h, "/"+name)
		tag := w.Header().Get("Etag")
		if w.Header().Get("Cache-Control") != "no-cache" || tag == "" {
			t.Errorf("%q: %v", name, w.Header())
		}
		r := httptest.NewRequest("GET", "/"+name, nil)
		r.Header.Set("If-None-Match", tag)
		if w := do(h, r); w.Code != http.StatusNotModified || w.Body.Len() > 0 {
			t.Errorf("%q again: %d, %d bytes", name, w.Code, w.Body.Len())
		}
	}
	for _, name := range []string{"snapshot.json", "metrics", "nothing"} {
		if w := get(h, "/"+name); w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%q: %v", name, w.Header())
		}
	}
}

// A real server has HEAD answered without a body, and no stream begun.
func TestHead(t *testing.T) {
	srv := httptest.NewServer(newHandler())
	defer srv.Close()
	for _, name := range []string{"", "events", "snapshot.json"} {
		resp, err := srv.Client().Head(srv.URL + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK || len(body) > 0 {
			t.Errorf("%q: %d, %q", name, resp.StatusCode, body)
		}
	}
}
