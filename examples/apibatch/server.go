package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	serverRate  = 200 // requests a second, from which on it says 429
	serverBurst = 40
	stall       = 10 * attemptTimeout // an answer that comes too late
)

// server is the API while it listens.
type server struct {
	url  string
	api  *api
	http *http.Server
	end  chan error // what Serve returned
}

func serve(nw network, seed uint64) (*server, error) {
	l, err := nw.listen()
	if err != nil {
		return nil, err
	}
	a := &api{seed: seed, limit: rate.NewLimiter(serverRate, serverBurst), books: map[int]*record{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /orders/{id}", a.order)
	s := &server{
		url:  "http://" + l.Addr().String(),
		api:  a,
		http: &http.Server{Handler: mux},
		end:  make(chan error, 1),
	}
	go func() { s.end <- s.http.Serve(l) }()
	return s, nil
}

// stop ends the server and hands out its books, which nobody writes to then.
func (s *server) stop() (map[int]*record, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*stall)
	defer cancel()
	if err := s.http.Shutdown(ctx); err != nil {
		s.http.Close()
		return nil, fmt.Errorf("stopping the server: %w", err)
	}
	if err := <-s.end; err != http.ErrServerClosed {
		return nil, fmt.Errorf("serving: %w", err)
	}
	return s.api.books, nil
}

// record is the server's account of one order.
type record struct {
	requests  int         // that reached it
	answers   map[int]int // it gave, by status
	abandoned int         // requests whose caller hung up first
	admitted  int         // requests that were not over the rate
	receipt   string      // of the order that was made, else ""
}

type api struct {
	seed  uint64
	limit *rate.Limiter

	mu    sync.Mutex // guards books and the records in it
	books map[int]*record
}

// order makes an order. The id is the idempotency key: a caller that never saw
// the answer asks again and gets the receipt of the order that it has made.
func (a *api) order(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.Atoi(r.PathValue("id"))
	if err != nil {
		http.Error(w, "no such order", http.StatusBadRequest)
		return
	}
	v := a.decide(id)
	if v.delay > 0 {
		select {
		case <-time.After(v.delay):
		case <-r.Context().Done():
			a.note(id, func(rec *record) { rec.abandoned++ })
			return
		}
	}
	// Before the first byte goes out: the caller may not know of an answer
	// that the books don't have, while the reverse happens on any network.
	a.note(id, func(rec *record) { rec.answers[v.status]++ })
	switch v.status {
	case http.StatusOK:
		fmt.Fprintln(w, v.receipt)
	case http.StatusTooManyRequests:
		w.Header().Set("Retry-After", "1") // the header counts in whole seconds
		fallthrough
	default:
		http.Error(w, http.StatusText(v.status), v.status)
	}
}

func (a *api) note(id int, fn func(*record)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	rec := a.books[id]
	if rec == nil {
		rec = &record{answers: map[int]int{}}
		a.books[id] = rec
	}
	fn(rec)
}

type verdict struct {
	status  int
	delay   time.Duration
	receipt string
}

// decide settles what the order's next request gets. Only requests within the
// rate advance an order's fate, so the clock has no say in how it ends.
func (a *api) decide(id int) (v verdict) {
	a.note(id, func(rec *record) {
		rec.requests++
		if !a.limit.Allow() {
			v = verdict{status: http.StatusTooManyRequests}
			return
		}
		rec.admitted++
		f := fateOf(a.seed, id)
		v = verdict{status: f.status, delay: f.delay}
		if rec.admitted <= f.failures {
			v.status = http.StatusInternalServerError
		}
		if v.status != http.StatusOK {
			return
		}
		if rec.receipt == "" {
			rec.receipt = fmt.Sprintf("receipt-%d-%x", id, a.seed)
			if f.late {
				v.delay = stall
			}
		}
		v.receipt = rec.receipt
	})
	return v
}

// fate is what an order meets, whoever asks and whenever.
type fate struct {
	status   int           // in the end
	failures int           // 500s before that
	late     bool          // the order is made, but the first answer stalls
	delay    time.Duration // of every other answer
}

func fateOf(seed uint64, id int) fate {
	rng := rand.New(rand.NewPCG(seed, uint64(id)))
	f := fate{status: http.StatusOK, delay: time.Duration(5+rng.IntN(30)) * time.Millisecond}
	switch p := rng.IntN(100); {
	case p < 4:
		f.status = http.StatusNotFound
	case p < 7:
		f.status = http.StatusUnprocessableEntity
	case p < 9:
		f.status = http.StatusInternalServerError // whenever it is asked
	case p < 24:
		f.failures = 1 + rng.IntN(2)
	case p < 30:
		f.late = true
	case p < 32:
		f.failures, f.late = 1, true
	}
	return f
}
