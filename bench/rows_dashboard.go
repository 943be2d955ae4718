package bench

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/dashboard"
)

func dashboardViewers() Row {
	return Row{
		Name: "dashboard-viewers",
		Title: "The tasks of observe-work without and with a dashboard, and those who look at it over HTTP on loopback. They are in the same process, " +
			"so what they read and throw away has to be done on the same cores.",
		Ops:      100_000,
		ShortOps: 200,
		Counts:   true,
		Cases: []Case{
			{Contender: "not observed", Open: openObserved(nil)},
			{Contender: "nobody looks", Goal: Within(1.1), Open: openViewed(0, readOn)},
			{Contender: "one viewer", Goal: Within(1.1), Open: openViewed(1, readOn)},
			{Contender: "200 viewers", Goal: Within(1.1), Open: openViewed(200, readOn)},
			{Contender: "50 that stop reading", Goal: Within(1.1), Open: openViewed(50, stopReading)},
			{Contender: "one that reconnects all the time", Goal: Within(1.1), Open: openViewed(1, reconnect)},
		},
	}
}

// A viewer looks at a stream of events until its context ends.
type viewer func(ctx context.Context, client *http.Client, url string)

func readOn(ctx context.Context, client *http.Client, url string) {
	if res := get(ctx, client, url); res != nil {
		defer res.Body.Close()
		io.Copy(io.Discard, res.Body)
	}
}

func stopReading(ctx context.Context, client *http.Client, url string) {
	if res := get(ctx, client, url); res != nil {
		defer res.Body.Close()
		<-ctx.Done()
	}
}

func reconnect(ctx context.Context, client *http.Client, url string) {
	for ctx.Err() == nil {
		if res := get(ctx, client, url); res != nil {
			io.CopyN(io.Discard, res.Body, 1)
			res.Body.Close()
		}
	}
}

func get(ctx context.Context, client *http.Client, url string) *http.Response {
	r, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		panic(err) // the URL is the server's own
	}
	res, err := client.Do(r)
	if err != nil {
		return nil // the server has ended, or refuses
	}
	return res
}

// openViewed opens tasks that compute under a dashboard with viewers.
func openViewed(viewers int, view viewer) func(func()) Runner {
	return func(task func()) Runner {
		var close func()
		r := openObserved(func(e *antflow.Executor) {
			close = openViewers(dashboard.Handler(dashboard.Executor(e)), viewers, view)
		})(task)
		end := r.Close
		r.Close = func() { close(); end() }
		return r
	}
}

// openViewers has a dashboard looked at until the returned function is called.
// It returns once all viewers are connected.
func openViewers(h http.Handler, n int, view viewer) (close func()) {
	var connected sync.WaitGroup
	connected.Add(n)
	arrived := make(chan struct{}, n) // as many as are to be waited for
	for range n {
		arrived <- struct{}{}
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-arrived:
			connected.Done()
		default:
		}
		h.ServeHTTP(w, r)
	}))
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for range n {
		// A connection each, with little room for what is not read.
		transport := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := new(net.Dialer).DialContext(ctx, network, addr)
			if t, ok := c.(*net.TCPConn); ok {
				t.SetReadBuffer(4 << 10)
			}
			return c, err
		}}
		all.Go(func() {
			defer transport.CloseIdleConnections()
			view(ctx, &http.Client{Transport: transport}, server.URL+"/events")
		})
	}
	connected.Wait()
	return func() {
		cancel()
		all.Wait()
		server.CloseClientConnections()
		server.Close()
	}
}
