package main

import (
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// site is a small site that is overloaded: every seventh page only answers at
// the second request, and every twentieth at the third.
type site struct {
	server *http.Server
	url    string
	served chan struct{} // closed when the server is gone

	mu       sync.Mutex
	requests map[int]int // by page
}

func serve() (*site, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &site{url: "http://" + l.Addr().String(), served: make(chan struct{}), requests: make(map[int]int)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{page}", s.page)
	s.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		defer close(s.served)
		s.server.Serve(l)
	}()
	return s, nil
}

func (s *site) close() {
	s.server.Close()
	<-s.served
}

// urls returns those of n pages.
func (s *site) urls(n int) []string {
	urls := make([]string, n)
	for i := range urls {
		urls[i] = fmt.Sprintf("%s/%d", s.url, i+1)
	}
	return urls
}

func (s *site) page(w http.ResponseWriter, r *http.Request) {
	var page int
	if _, err := fmt.Sscan(r.PathValue("page"), &page); err != nil {
		http.NotFound(w, r)
		return
	}
	s.mu.Lock()
	s.requests[page]++
	n := s.requests[page]
	s.mu.Unlock()
	if page%7 == 0 && n < 2 || page%20 == 0 && n < 3 {
		http.Error(w, "try again later", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintf(w, "page %d", page)
}
