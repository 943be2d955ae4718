package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/antflow/antflow/cluster/embedded/internal/proxy"
)

// A lab is one run of a scenario: the brokers, the workers and the submitters,
// all of them processes of their own, and what they did.
type lab struct {
	ctx      context.Context
	dir      string
	log      io.Writer // of the children's standard error
	random   *rand.Rand
	seed     uint64
	replicas int
	bare     bool // the streams aren't made beforehand
	short    bool
	verbose  bool
	limit    time.Duration // of each wait
	history  *history

	brokers []*process
	url     string // of all of them
	nc      *nats.Conn
	js      jetstream.JetStream

	mu       sync.Mutex
	children []*process
	proxies  []*proxy.Proxy
	names    map[string]int
	notes    []string // what the scenario did and saw
}

// note tells something for the table.
func (l *lab) note(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.notes = append(l.notes, fmt.Sprintf(format, args...))
}

// size is the first of two numbers in the short form.
func (l *lab) size(short, full int) int {
	if l.short {
		return short
	}
	return full
}

// between is a random time.
func (l *lab) between(least, most time.Duration) time.Duration {
	return least + time.Duration(l.random.Int64N(int64(most-least)+1))
}

// pause waits for a random time.
func (l *lab) pause(least, most time.Duration) { time.Sleep(l.between(least, most)) }

// name makes a name that no other process of the run has.
func (l *lab) name(role string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.names[role]++
	return fmt.Sprintf("%s%d", role, l.names[role])
}

// launch starts a child that ends with the lab.
func (l *lab) launch(o order) (*process, error) {
	o.Journal = filepath.Join(l.dir, o.Name+".jsonl")
	o.Seed, o.Verbose, o.Timeout = l.seed, l.verbose, 10*l.limit
	p, err := launch(o, l.log)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	l.children = append(l.children, p)
	l.mu.Unlock()
	return p, nil
}

// gone notes that a process is no more, which the process itself can't.
func (l *lab) gone(p *process) error {
	j, err := openJournal(filepath.Join(l.dir, "lab.jsonl"))
	if err != nil {
		return err
	}
	defer j.f.Close()
	j.add(event{Kind: evGone, Client: p.o.Name, Worker: p.o.Name})
	return nil
}

// crash kills a process.
func (l *lab) crash(p *process) error {
	p.kill()
	return l.gone(p)
}

// until waits until cond holds of the history.
func (l *lab) until(what string, cond func(*history) bool) error {
	return l.untilIn(l.limit, what, cond)
}

func (l *lab) untilIn(limit time.Duration, what string, cond func(*history) bool) error {
	for end := time.Now().Add(limit); ; time.Sleep(5 * time.Millisecond) {
		if err := l.history.refresh(); err != nil {
			return err
		}
		if cond(l.history) {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("after %v still not: %s (submitted %d, started %d, ended %d, resolved %d)", limit, what,
				l.history.count(evSubmit), l.history.count(evStart), l.history.count(evEnd), l.history.count(evResolve))
		}
	}
}

// atLeast is a condition for until.
func atLeast(kind eventKind, n int) func(*history) bool {
	return func(h *history) bool { return h.count(kind) >= n }
}

// countIs is a condition for until: n events that keep accepts, or more.
func countIs(n int, keep func(*event) bool) func(*history) bool {
	return func(h *history) bool { return h.where(keep) >= n }
}

// worker starts a worker.
func (l *lab) worker(w workerOrder) (*process, error) { return l.workerAt(l.url, w) }

// workerAt starts a worker at a proxy, or at all brokers.
func (l *lab) workerAt(url string, w workerOrder) (*process, error) {
	if w.Crashes == 0 {
		w.Crashes = 50 // crashes are the weather here; one scenario is about their limit
	}
	p, err := l.launch(order{Role: "worker", Name: l.name("w"), URL: url, Pinned: url != l.url, Replicas: l.replicas, Worker: &w})
	if err != nil {
		return nil, err
	}
	return p, p.awaitReady(l.limit)
}

// workers starts several. The first one makes the consumers.
func (l *lab) workers(n int, w workerOrder) (list []*process, err error) {
	for range n {
		p, err := l.worker(w)
		if err != nil {
			return nil, err
		}
		list = append(list, p)
		if err := l.consumersThere(); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// consumersThere waits until the consumers of the workers answer, for which they
// need leaders.
func (l *lab) consumersThere() error {
	for _, level := range []string{"p0", "p1", "p2"} {
		err := l.poll("there is a consumer for "+level, func(ctx context.Context) (bool, error) {
			_, err := l.js.Consumer(ctx, taskStream, "w_default_"+level)
			return err == nil, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// submitter starts a submitter, with a session of its own unless it says one.
func (l *lab) submitter(s submitOrder) (*process, error) { return l.submitterAt(l.url, s, 0) }

func (l *lab) submitterAt(url string, s submitOrder, backlog int) (*process, error) {
	name := l.name("c")
	if s.Session == "" {
		s.Session = "session-" + name
	}
	p, err := l.launch(order{Role: "submitter", Name: name, URL: url, Pinned: url != l.url, Replicas: l.replicas, Backlog: backlog, Submit: &s})
	if err != nil {
		return nil, err
	}
	return p, p.awaitReady(l.limit)
}

// proxy puts a proxy before a broker.
func (l *lab) proxy(b *process) (*proxy.Proxy, error) {
	p, err := proxy.New(local(b.o.Broker.Port))
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	l.proxies = append(l.proxies, p)
	l.mu.Unlock()
	return p, nil
}

// close ends all that the run started.
func (l *lab) close() {
	if l.nc != nil {
		l.nc.Close()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.children {
		p.kill()
	}
	for _, p := range l.proxies {
		p.Close()
	}
}

// newLab makes a folder for a run.
func newLab(cfg *config, replicas int, seed uint64) (*lab, error) {
	dir, err := os.MkdirTemp(cfg.dir, "run-")
	if err != nil {
		return nil, err
	}
	l := &lab{
		ctx:      context.Background(),
		dir:      dir,
		log:      cfg.log,
		random:   rand.New(rand.NewPCG(seed, 1)),
		seed:     seed,
		replicas: replicas,
		short:    cfg.short,
		verbose:  cfg.verbose,
		limit:    cfg.limit,
		history:  newHistory(dir),
		names:    make(map[string]int),
	}
	return l, nil
}

// settle waits until the submitters have all results and the queue is empty, and
// holds the history against what is stored.
func (l *lab) settle(submitters ...*process) (figures, error) {
	var failed []error
	for _, p := range submitters {
		if err := p.awaitExit(l.limit); err != nil {
			failed = append(failed, err)
			l.crash(p) // so that the rest can be checked
		}
	}
	left, err := l.emptied()
	failed = append(failed, err)
	stored, err := l.stored()
	if err := first(err, l.history.refresh()); err != nil {
		failed = append(failed, fmt.Errorf("no results to hold the history against: %w", err))
		return figures{}, errors.Join(failed...)
	}
	x, found := check(l.history.all(), stored, left)
	for _, v := range found {
		failed = append(failed, errors.New(v.String()))
	}
	if err := errors.Join(failed...); err != nil {
		return x, fmt.Errorf("%w\n%s", err, l.lastNotes())
	}
	return x, nil
}

// lastNotes are what processes noted, for who looks for the reason of a failure.
func (l *lab) lastNotes() string {
	var b strings.Builder
	for _, e := range l.history.all() {
		if e.Kind == evNote {
			fmt.Fprintln(&b, "noted:", e.Text)
		}
	}
	return b.String()
}
