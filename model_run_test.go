package antflow_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
)

// A script is bytes that choose what happens, for the random test as well as
// for the fuzzer. At its end every choice is 0.
type script struct{ bytes []byte }

func (s *script) choose(n int) int {
	if len(s.bytes) == 0 {
		return 0
	}
	b := s.bytes[0]
	s.bytes = s.bytes[1:]
	return int(b) % n
}

// world has the executor and its model side by side.
type world struct {
	t       *testing.T
	s       *script
	m       *model
	e       *antflow.Executor
	ctxs    []context.Context
	cancels []context.CancelFunc
	unique  *rand.Rand
	log     []string
	ledger  *ledger // of an executor that is observed, or nil

	mu      sync.Mutex
	futures map[int]*antflow.Future[int] // by the model's number
}

// lasts makes a duration that no other has, so that no two things happen at
// the same instant, whose order would be anybody's.
func (w *world) lasts(most int) time.Duration {
	return time.Duration(1+w.s.choose(most))*time.Second + time.Duration(w.unique.IntN(1e9))
}

func (w *world) note(format string, args ...any) {
	w.log = append(w.log, fmt.Sprintf(format, args...))
}

func (w *world) plan(nested bool) plan {
	p := plan{
		priority: w.s.choose(3) - 1,
		lasts:    w.lasts(8),
		failures: w.s.choose(4),
		retries:  w.s.choose(4),
	}
	if w.s.choose(3) > 0 {
		p.delay = w.lasts(4)
	}
	if nested {
		if w.s.choose(2) == 0 {
			p.retries, p.failures = 0, 0
			for range 1 + w.s.choose(4) {
				c := w.plan(false)
				c.scope, c.queueTimeout, c.blocking = 0, 0, false
				p.children = append(p.children, c)
			}
		}
		return p
	}
	p.scope = w.s.choose(len(w.ctxs))
	p.blocking = w.s.choose(2) == 0
	if w.s.choose(4) == 0 {
		p.queueTimeout = w.lasts(6)
	}
	return p
}

func (w *world) keep(id int, f *antflow.Future[int]) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.futures[id] = f
}

func (w *world) submit(p plan) {
	id := len(w.m.tasks)
	w.note("submit %d: %+v", id, p)
	t := w.m.submit(p, nil)
	children := func(fs []*antflow.Future[int]) {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, f := range fs {
			w.futures[int(f.ID())] = f
		}
	}
	// A Submit that blocks must not block the script.
	go func() { w.keep(t.id, antflow.Submit(w.ctxs[p.scope], w.e, p.fn(w.e, children), p.options()...)) }()
	synctest.Wait()
}

// compare holds the executor against the model, at rest.
func (w *world) compare() {
	w.t.Helper()
	synctest.Wait()
	if err := w.e.CheckInvariants(); err != nil {
		w.fail("%v", err)
	}
	got := w.e.Stats()
	if got.Workers != got.Running+got.Blocked {
		w.fail("%d workers for %d running and %d blocked tasks", got.Workers, got.Running, got.Blocked)
	}
	got.Workers = 0
	if want := w.m.snapshot(); got != want {
		w.fail("stats\n got %+v\nwant %+v", got, want)
	}
	if w.ledger != nil {
		if err := w.ledger.compare(); err != nil {
			w.fail("%v", err)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range w.m.tasks {
		f := w.futures[t.id]
		if t.phase == modelBlockedSubmit {
			if f != nil {
				w.fail("Submit %d returned %v instead of blocking", t.id, f)
			}
			continue
		}
		if f == nil {
			w.fail("Submit %d still blocks", t.id)
		}
		if f.State() != t.state || f.Attempts() != t.attempts || f.ID() != uint64(t.id) {
			w.fail("task %d: %v, %v after %d attempts, want %v after %d", t.id, f, f.State(), f.Attempts(), t.state, t.attempts)
		}
		if !errors.Is(f.Err(), t.err) {
			w.fail("task %d: error %v, want %v", t.id, f.Err(), t.err)
		}
	}
}

func (w *world) fail(format string, args ...any) {
	w.t.Helper()
	for i, line := range w.log {
		w.t.Logf("%3d %s", i, line)
	}
	w.t.Fatalf(format, args...)
}

// step does one thing in both worlds.
func (w *world) step(nested bool) {
	switch op := w.s.choose(10); {
	case op < 4:
		w.submit(w.plan(nested))
	case op < 7:
		d := w.lasts(5)
		w.note("advance %v", d)
		w.m.advance(d)
		time.Sleep(d)
	case op == 7:
		if len(w.m.tasks) == 0 {
			return
		}
		t := w.m.tasks[w.s.choose(len(w.m.tasks))]
		if t.phase == modelBlockedSubmit || len(t.children) > 0 {
			return
		}
		w.note("cancel %d", t.id)
		w.mu.Lock()
		f := w.futures[t.id]
		w.mu.Unlock()
		want := w.m.cancelTask(t)
		if got := f.Cancel(); got != want {
			w.fail("Cancel of %d: %v", t.id, got)
		}
	case op == 8:
		n := w.m.max + 1 - 2*w.s.choose(2)
		if n < 1 {
			return
		}
		w.note("resize %d", n)
		w.m.max = n
		w.m.run()
		w.e.Resize(n)
	default:
		w.end(nested)
	}
}

// end ends something: a context, or the executor.
func (w *world) end(nested bool) {
	if nested {
		return
	}
	if k := w.s.choose(len(w.ctxs) + 1); k > 0 && k < len(w.ctxs) {
		// The end of a context frees slots and room in no certain order, and
		// the Submits that are blocked may start in either.
		waits := w.m.count(modelBlockedSubmit) > 0
		frees := slices.ContainsFunc(w.m.tasks, func(t *modelTask) bool {
			return t.scope == k && t.phase != modelBlockedSubmit && t.phase != modelSettled
		})
		if waits && frees {
			return
		}
		w.note("end context %d", k)
		w.m.cancelScope(k)
		w.cancels[k]()
		return
	}
	if w.s.choose(4) != 0 {
		return
	}
	mode := w.s.choose(3)
	w.note("shutdown %d", mode)
	w.m.shutdown(mode > 0, mode > 1)
	opts := [][]antflow.ShutdownOption{nil, {antflow.CancelQueued()}, {antflow.CancelRunning()}}[mode]
	w.e.Shutdown(w.t.Context(), append(opts, antflow.NoWait())...)
}

// play runs a script against both worlds and compares them after each step.
func play(t *testing.T, input []byte) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{input}
		nested := s.choose(2) == 1
		m := &model{max: 1 + s.choose(4), ended: make(map[int]bool)}
		if !nested {
			m.limit = s.choose(6)
		}
		w := &world{
			t: t, s: s, m: m, e: antflow.New(m.max, antflow.QueueLimit(m.limit)),
			unique:  rand.New(rand.NewPCG(1, uint64(len(input)))),
			futures: make(map[int]*antflow.Future[int]),
		}
		if s.choose(2) == 1 {
			w.ledger = newLedger(t, w.e, 0)
		}
		for range 3 {
			ctx, cancel := context.WithCancel(t.Context())
			w.ctxs, w.cancels = append(w.ctxs, ctx), append(w.cancels, cancel)
			defer cancel()
		}
		for len(s.bytes) > 0 {
			w.step(nested)
			w.compare()
		}
		w.note("drain")
		drained := make(chan error, 1)
		m.shutdown(false, false)
		go func() { drained <- w.e.Close() }()
		w.compare()
		m.advance(24 * time.Hour)
		if err := <-drained; err != nil {
			w.fail("Close: %v", err)
		}
		time.Sleep(m.now)
		w.compare()
	})
}

// TestModel plays random scripts. A failure names the seed; to play it alone,
// put it into the loop.
func TestModel(t *testing.T) {
	seeds := 300
	if testing.Short() {
		seeds = 50
	}
	base := rand.Uint64() >> 1
	for i := range seeds {
		seed := base + uint64(i)
		if !t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 0))
			input := make([]byte, 20+r.IntN(400))
			for i := range input {
				input[i] = byte(r.Uint32())
			}
			play(t, input)
		}) {
			return
		}
	}
}

// FuzzModel lets the fuzzer write the scripts.
func FuzzModel(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9})
	f.Add([]byte{1, 1, 0, 1, 1, 0, 0, 2, 0, 3, 3, 3, 3, 7, 7, 7, 4, 4, 4})
	f.Fuzz(play)
}
