package browser_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/antflow/antflow/dashboard"
	"github.com/chromedp/chromedp"
)

func everybody(*http.Request) bool { return true }

// ask makes a request as no browser would, and returns the status.
func ask(t *testing.T, method, url, body string, header ...string) (int, string) {
	t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
		} else {
			r.Header.Set(header[i], header[i+1])
		}
	}
	client := http.Client{Timeout: patience}
	defer client.CloseIdleConnections()
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

const resizeTo7 = `{"source":0,"do":"resize","workers":7}`

// An action from another site is refused, whatever else is right.
func TestForeignActions(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	site := s.serve(t, dashboard.AllowActions(everybody))
	action := site.url(mount + "action")
	for _, c := range []struct {
		want   int
		header []string
	}{
		{http.StatusForbidden, []string{"Origin", "http://" + elsewhere}},
		{http.StatusForbidden, []string{"Origin", "null"}},
		{http.StatusForbidden, []string{"Sec-Fetch-Site", "cross-site"}},
		{http.StatusForbidden, []string{"Sec-Fetch-Site", "same-site"}},
		{http.StatusForbidden, []string{"Host", elsewhere}},
		{http.StatusOK, []string{"Origin", "http://" + site.addr, "Sec-Fetch-Site", "same-origin"}},
	} {
		s.e.Resize(3)
		code, text := ask(t, "POST", action, resizeTo7, append(c.header, "Content-Type", "application/json")...)
		if code != c.want || code == http.StatusOK != (s.e.MaxWorkers() == 7) {
			t.Errorf("%q: %d %s; %d workers", c.header, code, text, s.e.MaxWorkers())
		}
	}
}

// wait looks until a condition holds, by the real clock, which the browser has.
func wait(t *testing.T, what func() string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it never comes to that, but to %s", what())
		}
	}
}

// A page of another site, in a browser that may see the dashboard, tries what it
// can do without being asked whether it may.
func TestForeignPage(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	site := s.serve(t, dashboard.AllowActions(everybody))
	action := site.url(mount + "action")
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, `<!doctype html><title>evil</title><link rel="icon" href="data:,">
			<iframe src="%s"></iframe><iframe name="sink"></iframe>
			<form method="post" enctype="text/plain" target="sink" action="%s"><input name='%s"stage":"' value='"}'></form>`,
			site.url(mount), action, strings.TrimSuffix(resizeTo7, "}")+",")
	}))
	defer evil.Close()
	tb := newTab(t)
	tb.do(chromedp.Navigate(strings.Replace(evil.URL, "127.0.0.1", elsewhere, 1)))
	var all []string
	wait(t, func() string { return strings.Join(all, "\n") }, func() bool {
		all = append(all, tb.problems.take()...)
		return strings.Contains(strings.Join(all, "\n"), "frame-ancestors 'none'")
	})
	tb.problems.allow("") // from here on they are its own

	refused := func(n int) {
		t.Helper()
		wait(t, site.refusals, func() bool { return strings.Count(site.refusals(), "POST "+mount+"action Forbidden") == n })
	}
	tb.await(fmt.Sprintf(`fetch(%q, { method: "POST", mode: "no-cors", credentials: "include", body: %q })`, action, resizeTo7))
	refused(1)
	tb.eval(`document.querySelector("form").submit()`)
	refused(2)
	tb.eval(fmt.Sprintf(`navigator.sendBeacon(%q, %q)`, action, resizeTo7))
	refused(3)
	answer := func(path, more string) string {
		return get[string](tb, fmt.Sprintf(`fetch(%q, {%s}).then((r) => "answered " + r.status, () => "refused")`, site.url(mount+path), more))
	}
	if got := answer("action", `method: "POST", headers: { "Content-Type": "application/json" }, body: "{}"`); got != "refused" {
		t.Errorf("an action in JSON is %s", got)
	}
	for _, path := range []string{"snapshot.json", "tasks.json", "task.json?id=1", "failures.json", "metrics", "events"} {
		if got := answer(path, ""); got != "refused" {
			t.Errorf("%s is %s", path, got)
		}
	}
	if s.e.MaxWorkers() != 3 {
		t.Errorf("there are %d workers", s.e.MaxWorkers())
	}
}

// A site whose name resolves to this machine gets nothing, though the browser
// takes what is there for a part of it.
func TestForeignHost(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	site := s.serve(t, dashboard.Hosts("proxied.example"))
	for _, path := range []string{"", "app.js", "events", "snapshot.json", "tasks.json", "task.json", "failures.json", "metrics", "action"} {
		for host, served := range map[string]bool{
			elsewhere: false, elsewhere + site.port(): false, "127.0.0.1.elsewhere.example": false,
			"localhost" + site.port(): true, "antflow.localhost": true, "proxied.example": true, "[::1]:80": true,
		} {
			if path == "events" && served {
				continue // it doesn't end
			}
			code, text := ask(t, "GET", site.url(mount+path), "", "Host", host)
			if served == (code == http.StatusForbidden) {
				t.Errorf("%q for %q: %d %.100s", path, host, code, text)
			}
		}
	}
	tb := newTab(t)
	tb.problems.allow("403 (Forbidden)", "favicon.ico")
	foreign := "http://" + elsewhere + site.port() + mount
	tb.do(chromedp.Navigate(foreign))
	if text := tb.text("body"); !strings.HasPrefix(text, `antflow: the host "elsewhere.example`) {
		t.Errorf("the page says %q", text)
	}
	// Of the same origin, so nothing but the name of the host is in the way.
	for _, path := range []string{"snapshot.json", "events", "metrics"} {
		if code := get[int](tb, fmt.Sprintf(`fetch(%q).then((r) => r.status)`, foreign+path)); code != http.StatusForbidden {
			t.Errorf("%s is answered by %d", path, code)
		}
	}
	tb.problems.origin = ""
	tb.do(chromedp.Navigate("http://localhost" + site.port() + strings.TrimSuffix(mount, "/"))) // which is sent on
	tb.live()
}
