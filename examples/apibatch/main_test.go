package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a network in memory. Its connections block on channels, so inside
// a bubble the server's delays and the client's timeouts take no real time.
func pipes() network {
	l := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	return network{
		listen: func() (net.Listener, error) { return l, nil },
		dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			near, far := net.Pipe()
			select {
			case l.conns <- far:
				return near, nil
			case <-l.closed:
				return nil, net.ErrClosed
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		},
	}
}

type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// want fails the test when the program did not end with status, or said other
// than texts on the stream given.
func want(t *testing.T, status, wantStatus int, stream string, texts ...string) {
	t.Helper()
	if status != wantStatus {
		t.Errorf("exit status %d, want %d", status, wantStatus)
	}
	for _, text := range texts {
		if !strings.Contains(stream, text) {
			t.Errorf("lacks %q", text)
		}
	}
	if t.Failed() {
		t.Log(stream)
	}
}

func TestEveryOrderMeetsItsFate(t *testing.T) {
	for _, test := range []struct{ items, workers, seed int }{
		{1, 1, 1}, {30, 1, 2}, {100, 3, 3}, {300, 16, 1}, {300, 16, 4}, {300, 400, 5},
	} {
		t.Run(fmt.Sprint(test), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var stdout, stderr bytes.Buffer
				status := runOn(t.Context(), pipes(), []string{
					"-items", fmt.Sprint(test.items), "-workers", fmt.Sprint(test.workers), "-seed", fmt.Sprint(test.seed),
				}, &stdout, &stderr)

				var ended [len(outcomeNames)]int
				for id := range test.items {
					switch fateOf(uint64(test.seed), id).status {
					case http.StatusOK:
						ended[created]++
					case http.StatusInternalServerError:
						ended[gaveUp]++
					default:
						ended[rejected]++
					}
				}
				want(t, status, 0, stdout.String()+stderr.String(),
					fmt.Sprintf("books     %[1]d of %[1]d orders accounted for exactly once\n", test.items),
					"first completed", "as completed", " 100%\n",
					fmt.Sprintf("%d done, 0 pending\n", test.items))
				for o, n := range ended {
					if text := fmt.Sprintf("\n%-9s %8d ", outcome(o), n); !strings.Contains(stdout.String(), text) {
						t.Errorf("lacks %q:\n%s", text, &stdout)
					}
				}
				if stderr.Len() > 0 {
					t.Errorf("standard error:\n%s", &stderr)
				}
			})
		})
	}
}

func TestServerSaysAllThatItMaySay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		_, books := finished(t, 300)
		if took := time.Since(start); took < time.Second || took > 10*time.Second {
			t.Errorf("took %v", took)
		}
		answers, abandoned := map[int]int{}, 0
		for _, rec := range books {
			abandoned += rec.abandoned
			for status, n := range rec.answers {
				answers[status] += n
			}
		}
		for _, status := range []int{200, 404, 422, 429, 500} {
			if answers[status] == 0 {
				t.Errorf("no %d", status)
			}
		}
		if len(answers) != 5 || abandoned == 0 {
			t.Errorf("answers %v, %d abandoned", answers, abandoned)
		}
	})
}

// finished is a batch whose books agree, and the server's.
func finished(t *testing.T, items int) (*batch, map[int]*record) {
	t.Helper()
	cfg, nw := config{items: items, workers: 16, seed: 1}, pipes()
	srv, err := serve(nw, cfg.seed)
	if err != nil {
		t.Fatal(err)
	}
	b := newBatch(cfg, srv.url, nw)
	b.run(t.Context(), &printer{w: io.Discard})
	books, err := srv.stop()
	if err != nil {
		t.Fatal(err)
	}
	if problems := audit(b, books); problems != nil {
		t.Fatalf("before anything was tampered with: %q", problems)
	}
	return b, books
}

// tamperings are what audit must find, each by the words it has for it.
var tamperings = []struct {
	name, says string
	tamper     func(b *batch, books map[int]*record)
}{
	{"an order lost by the server", `the server ""`, func(b *batch, books map[int]*record) {
		delete(books, first(b, created).id)
	}},
	{"an order made for nobody", "order 1000: the server has it, the client never placed it", func(_ *batch, books map[int]*record) {
		books[1000] = &record{receipt: "x"}
	}},
	{"receipts swapped", "the client has receipt", func(b *batch, books map[int]*record) {
		books[first(b, created).id].receipt = "receipt-of-another"
	}},
	{"a rejected order made", "rejected, but the server made it", func(b *batch, books map[int]*record) {
		books[first(b, rejected).id].receipt = "x"
	}},
	{"a rejection out of nowhere", "rejected, but not by the server", func(b *batch, books map[int]*record) {
		rec := books[first(b, rejected).id]
		rec.answers = map[int]int{http.StatusTeapot: rec.requests}
	}},
	{"an order made after all", "gave up, but the server made it", func(b *batch, books map[int]*record) {
		books[first(b, gaveUp).id].receipt = "x"
	}},
	{"a request too many", "requests arrived", func(b *batch, books map[int]*record) {
		rec := books[first(b, created).id]
		rec.requests, rec.abandoned = 100, rec.abandoned+100-rec.requests
	}},
	{"a request without an end", "requests, but", func(b *batch, books map[int]*record) {
		books[first(b, created).id].abandoned--
	}},
	{"an answer never given", "answers with status 200, the server gave 1", func(b *batch, _ map[int]*record) {
		first(b, created).answers[http.StatusOK]++
	}},
	{"an attempt without an end", "attempts, but", func(b *batch, _ map[int]*record) {
		first(b, created).answers = nil
	}},
	{"an attempt too many", "the executor counts", func(b *batch, _ map[int]*record) {
		first(b, created).attempts++
	}},
	{"a future never yielded", "settled 0 times", func(b *batch, _ map[int]*record) {
		first(b, created).settled--
	}},
	{"a future yielded twice", "settled 2 times", func(b *batch, _ map[int]*record) {
		first(b, created).settled++
	}},
	{"a counter that is off", "the executor's counters are", func(b *batch, _ map[int]*record) {
		b.stats.Retries++
	}},
}

// first finds a call of which each attempt was answered: where an answer is
// missing, audit must allow for more.
func first(b *batch, o outcome) *call {
	for _, c := range b.calls {
		if c.outcome() == o && c.unanswered == 0 {
			return c
		}
	}
	panic("no order ended as " + o.String())
}

func TestAuditFinds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, test := range tamperings {
			b, books := finished(t, 100)
			test.tamper(b, books)
			if problems := strings.Join(audit(b, books), "\n"); !strings.Contains(problems, test.says) {
				t.Errorf("%s: not %q in %q", test.name, test.says, problems)
			}
		}
	})
}

// A stranger places an order at the same server, through a door of its own.
func TestMismatchIsExitStatusOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nw := pipes()
		stranger := &http.Client{Transport: &http.Transport{DialContext: nw.dial, DisableKeepAlives: true}}
		var done atomic.Bool // no sync.Once: fake time stands still while others wait for its lock
		meddled := nw
		meddled.dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if done.CompareAndSwap(false, true) {
				resp, err := stranger.Post("http://pipe/orders/12345", "", nil)
				if err != nil {
					t.Error(err)
				} else {
					resp.Body.Close()
				}
			}
			return nw.dial(ctx, network, addr)
		}
		var stdout, stderr bytes.Buffer
		status := runOn(t.Context(), meddled, []string{"-items", "20"}, &stdout, &stderr)
		want(t, status, 1, stderr.String(), "apibatch: order 12345: the server has it, the client never placed it\n")
		if strings.Contains(stdout.String(), "exactly once") {
			t.Errorf("claims that the books agree:\n%s", &stdout)
		}
	})
}

func TestInterrupt(t *testing.T) {
	for _, after := range []time.Duration{1, 50 * time.Millisecond, 700 * time.Millisecond, 1500 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(after, cancel)
			start := time.Now()
			var stdout, stderr bytes.Buffer
			status := runOn(ctx, pipes(), nil, &stdout, &stderr)
			want(t, status, 130, stdout.String()+stderr.String(),
				"books     300 of 300 orders accounted for exactly once\n", "apibatch: interrupted\n")
			// The server polls while it shuts down, half a second at most.
			if took := time.Since(start) - after; took > time.Second {
				t.Errorf("interrupted after %v, took %v to end", after, took)
			}
		})
	}
}

// The one test on a real network, hence in real time: the server's delays and
// an order that is answered too late take about a second.
func TestLoopback(t *testing.T) {
	var stdout, stderr bytes.Buffer
	status := run(t.Context(), []string{"-items", "12", "-seed", "7"}, &stdout, &stderr)
	want(t, status, 0, stdout.String()+stderr.String(), "http://127.0.0.1:", "12 of 12 orders")
}

func TestUsage(t *testing.T) {
	for _, test := range []struct{ args, says string }{
		{"-items 0", "apibatch: -items must be at least 1, not 0\nusage: "},
		{"-workers -1", "apibatch: -workers must be at least 1, not -1\n"},
		{"-seed x", `"x"`},
		{"-nonsense", "apibatch: flag provided but not defined: -nonsense\n"},
		{"orders.csv", `apibatch: unexpected argument "orders.csv"` + "\n"},
	} {
		var stdout, stderr bytes.Buffer
		status := runOn(t.Context(), pipes(), strings.Fields(test.args), &stdout, &stderr)
		want(t, status, 2, stderr.String(), test.says, "usage: apibatch ")
		if stdout.Len() > 0 {
			t.Errorf("%s: standard output: %q", test.args, &stdout)
		}
	}
	var stdout, stderr bytes.Buffer
	if status := run(t.Context(), []string{"-h"}, &stdout, &stderr); status != 0 || stdout.String() != usage || stderr.Len() > 0 {
		t.Errorf("-h: %d, %q, %q", status, &stdout, &stderr)
	}
}

func TestNoListener(t *testing.T) {
	nw := network{listen: func() (net.Listener, error) { return nil, errors.New("no port left") }}
	var stderr bytes.Buffer
	status := runOn(t.Context(), nw, nil, io.Discard, &stderr)
	want(t, status, 1, stderr.String(), "apibatch: no port left\n")
}

func TestClosedOutput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		r.Close()
		var stderr bytes.Buffer
		status := runOn(t.Context(), pipes(), []string{"-items", "5"}, w, &stderr)
		want(t, status, 1, stderr.String(), "apibatch: output: io: read/write on closed pipe\n")
	})
}

func TestRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // where now is a whole second, as the header needs it
		for _, test := range []struct {
			value string
			d     time.Duration
			ok    bool
		}{
			{"", 0, false},
			{"soon", 0, false},
			{"0", 0, true},
			{"3", 3 * time.Second, true},
			{time.Now().Add(5 * time.Second).UTC().Format(http.TimeFormat), 5 * time.Second, true},
		} {
			d, ok := retryAfter(http.Header{"Retry-After": {test.value}})
			if d != test.d || ok != test.ok {
				t.Errorf("%q: %v, %v", test.value, d, ok)
			}
		}
	})
}
