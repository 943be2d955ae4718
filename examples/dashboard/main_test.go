package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// A page is what the program prints, while it runs.
type page struct {
	mu   sync.Mutex
	text bytes.Buffer
	news chan struct{}
}

func (p *page) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer func() { p.news <- struct{}{} }()
	return p.text.Write(b)
}

// The page is served where the program says, and what it shows moves. The clock
// is the real one, since a server is involved.
func TestServesWhatMoves(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	out := &page{news: make(chan struct{}, 1)}
	done := make(chan int, 1)
	var stderr bytes.Buffer
	go func() { done <- run(ctx, []string{"-addr", "localhost:0"}, out, &stderr) }()
	<-out.news
	url := regexp.MustCompile(`http://\S+`).FindString(out.text.String())
	if url == "" {
		t.Fatalf("no address in %q", out.text.String())
	}
	first := 0.0
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if n := submitted(t, url+"snapshot.json"); first == 0 {
			first = n
		} else if n > first {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("nothing moves")
		}
	}
	response, err := http.Get(strings.TrimSuffix(url, "antflow/"))
	if err != nil || response.StatusCode != http.StatusOK || !strings.HasSuffix(response.Request.URL.Path, "/antflow/") {
		t.Errorf("%+v, %v", response, err)
	}
	response.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	cancel()
	if code := <-done; code != 0 {
		t.Errorf("exit status %d: %s", code, stderr.String())
	}
}

// submitted sums up what a snapshot has under that name.
func submitted(t *testing.T, url string) (sum float64) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var all any
	if err := json.NewDecoder(response.Body).Decode(&all); err != nil {
		t.Fatal(err)
	}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for k, x := range v {
				if n, ok := x.(float64); ok && k == "submitted" {
					sum += n
				}
				walk(x)
			}
		case []any:
			for _, x := range v {
				walk(x)
			}
		}
	}
	walk(all)
	return sum
}

// It ends by itself when it is told to.
func TestEndsByItself(t *testing.T) {
	var out, stderr bytes.Buffer
	if code := run(t.Context(), []string{"-addr", "localhost:0", "-for", "1ms", "-actions"}, &out, &stderr); code != 0 {
		t.Errorf("exit status %d: %s", code, stderr.String())
	}
}

func TestWrongUsage(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"-h"}, 0, ""},
		{[]string{"x"}, 2, `dashboard: unexpected argument "x"`},
		{[]string{"-for", "-1s"}, 2, "dashboard: -for -1s: the duration must not be negative"},
		{[]string{"-what"}, 2, "dashboard: flag provided but not defined: -what"},
		{[]string{"-addr", "nowhere:port"}, 1, "dashboard: listen tcp"},
	} {
		var out, stderr bytes.Buffer
		if code := run(t.Context(), c.args, &out, &stderr); code != c.code || !strings.HasPrefix(stderr.String(), c.want) {
			t.Errorf("%q: exit status %d, %q", c.args, code, stderr.String())
		}
	}
}
