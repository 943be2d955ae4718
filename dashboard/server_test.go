package dashboard_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/antflow/antflow/internal/testkit"
)

// connect opens a stream at a real server, and returns its lines.
func connect(t *testing.T, url string) (*bufio.Scanner, io.Closer) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	return lines, resp.Body
}

// readUntil reads on to the n-th event of a kind.
func readUntil(t *testing.T, lines *bufio.Scanner, event string, n int) {
	t.Helper()
	for n > 0 {
		if !lines.Scan() {
			t.Fatalf("the stream has ended: %v", lines.Err())
		}
		if lines.Text() == "event: "+event {
			n--
		}
	}
}

// The limits of a server for requests that have an end don't end the stream.
func TestServerTimeouts(t *testing.T) {
	srv := httptest.NewUnstartedServer(newHandler())
	// Shorter than the time between two ticks, which is of the real clock here.
	srv.Config.ReadTimeout, srv.Config.WriteTimeout = 100*time.Millisecond, 100*time.Millisecond
	srv.Start()
	defer srv.Close()
	lines, body := connect(t, srv.URL+"/events")
	defer body.Close()
	readUntil(t, lines, "hello", 1)
	readUntil(t, lines, "tick", 3)
}

// A graceful shutdown doesn't wait for the pages that are open.
func TestServerShutdown(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: newHandler()}
	other := httptest.NewServer(srv.Handler)
	defer other.Close()
	served := testkit.Started(func() { srv.Serve(l) })
	var streams []*bufio.Scanner
	for range 3 {
		lines, body := connect(t, "http://"+l.Addr().String()+"/events")
		defer body.Close()
		readUntil(t, lines, "hello", 1)
		streams = append(streams, lines)
	}
	stays, body := connect(t, other.URL+"/events")
	defer body.Close()
	// So long only if it is broken.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := srv.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	<-served
	for _, lines := range streams {
		for lines.Scan() {
		}
		if err := lines.Err(); err != nil {
			t.Errorf("the stream was cut off: %v", err)
		}
	}
	readUntil(t, stays, "tick", 2)
}

// A page that connects over HTTP/2 shares its connection with other requests.
func TestHTTP2(t *testing.T) {
	srv := httptest.NewUnstartedServer(newHandler())
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	resp, err := srv.Client().Get(srv.URL + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.ProtoMajor != 2 {
		t.Fatal(resp.Proto)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	readUntil(t, lines, "tick", 1)
	other, err := srv.Client().Get(srv.URL + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(other.Body)
	other.Body.Close()
	if err != nil || !strings.HasPrefix(string(text), "# HELP ") {
		t.Errorf("%v: %.100q", err, text)
	}
	readUntil(t, lines, "tick", 1)
}
