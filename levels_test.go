package antflow_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/testkit"
)

// ranked is a task of the simple model of TestManyPriorities: those that wait
// are searched for the one to start next.
type ranked struct {
	id       uint64
	priority int
	scope    int
	f        *antflow.Future[int] // nil: one of a group
}

func before(a, b ranked) bool {
	return a.priority > b.priority || a.priority == b.priority && a.id < b.id
}

// priorities is a crowd of tasks of many priorities on an executor with one
// worker, which does what it is told to.
type priorities struct {
	t       *testing.T
	r       *rand.Rand
	e       *antflow.Executor
	waiting []ranked
	next    uint64
	ctxs    [4]context.Context
	cancels [4]context.CancelFunc
	groups  [4]map[int]*antflow.Group
	running bool
	started chan uint64
	proceed chan struct{}
}

func (p *priorities) open(scope int) {
	p.ctxs[scope], p.cancels[scope] = context.WithCancel(context.Background())
	if scope == 0 { // one that never ends
		p.ctxs[0], p.cancels[0] = context.Background(), func() {}
	}
	p.groups[scope] = make(map[int]*antflow.Group)
}

func (p *priorities) submit(priority int) {
	x := ranked{id: p.next, priority: priority, scope: p.r.IntN(4)}
	p.next++
	run := func(context.Context) (int, error) {
		p.started <- x.id
		<-p.proceed
		return 0, nil
	}
	switch p.r.IntN(4) {
	case 0: // a light one, mostly
		g := p.groups[x.scope][priority]
		if g == nil {
			g = antflow.NewGroup(p.ctxs[x.scope], p.e, antflow.Priority(priority), antflow.CollectErrors())
			p.groups[x.scope][priority] = g
		}
		g.Go(func(ctx context.Context) error { _, err := run(ctx); return err })
	case 1: // one that is not plain
		x.f = antflow.Submit(p.ctxs[x.scope], p.e, run, antflow.Priority(priority), antflow.QueueTimeout(time.Hour))
	default:
		x.f = antflow.Submit(p.ctxs[x.scope], p.e, run, antflow.Priority(priority))
	}
	p.waiting = append(p.waiting, x)
	synctest.Wait()
	p.expectStart()
}

// expectStart looks whether the right one has started, if the worker is free.
func (p *priorities) expectStart() {
	if p.running || len(p.waiting) == 0 {
		return
	}
	first := slices.IndexFunc(p.waiting, func(x ranked) bool {
		return !slices.ContainsFunc(p.waiting, func(y ranked) bool { return before(y, x) })
	})
	x := p.waiting[first]
	p.waiting = slices.Delete(p.waiting, first, first+1)
	p.running = true
	select {
	case id := <-p.started:
		if id != x.id {
			p.t.Fatalf("task %d started, not %d", id, x.id)
		}
	default:
		p.t.Fatalf("task %d has not started", x.id)
	}
}

func (p *priorities) finish() {
	if !p.running {
		return
	}
	p.running = false
	p.proceed <- struct{}{}
	synctest.Wait()
	p.expectStart()
}

func (p *priorities) cancelOne() {
	i := p.r.IntN(len(p.waiting) + 1)
	if i == len(p.waiting) || p.waiting[i].f == nil {
		return
	}
	f := p.waiting[i].f
	p.waiting = slices.Delete(p.waiting, i, i+1)
	if !f.Cancel() || f.State() != antflow.StateCanceled {
		p.t.Fatalf("task %d was not canceled: %v", f.ID(), f)
	}
}

// cancelScope ends the context of what waits; a running task goes on.
func (p *priorities) cancelScope(scope int) {
	if scope == 0 {
		return
	}
	p.cancels[scope]()
	p.open(scope)
	p.waiting = slices.DeleteFunc(p.waiting, func(x ranked) bool { return x.scope == scope })
	synctest.Wait()
	p.expectStart()
}

func (p *priorities) check() {
	if err := p.e.CheckInvariants(); err != nil {
		p.t.Fatal(err)
	}
	if s := p.e.Stats(); s.Queued != len(p.waiting) {
		p.t.Fatalf("%d tasks wait: %+v", len(p.waiting), s)
	}
}

// Tasks of many priorities, in start order, whatever is canceled meanwhile, and
// though levels come and go and are used again.
func TestManyPriorities(t *testing.T) {
	rounds := 30
	if testing.Short() {
		rounds = 6
	}
	for seed := range uint64(rounds) {
		testkit.Bubble(t, func(t *testing.T) {
			p := &priorities{t: t, r: rand.New(rand.NewPCG(seed, 7)), e: antflow.New(1), started: make(chan uint64, 1), proceed: make(chan struct{})}
			for scope := range p.ctxs {
				p.open(scope)
			}
			spread := []int{3, 20, 500}[seed%3]
			for range 600 {
				switch k := p.r.IntN(100); {
				case k < 55:
					for range 1 + p.r.IntN(3) {
						p.submit(p.r.IntN(spread) - spread/2)
					}
				case k < 60:
					p.submit((p.r.IntN(spread) - spread/2) << (strconv.IntSize - 24))
				case k < 85:
					for range 1 + p.r.IntN(6) {
						p.finish()
					}
				case k < 95:
					p.cancelOne()
				case k < 97:
					p.cancelScope(p.r.IntN(4))
				case k < 98:
					for p.running { // which empties the queue
						p.finish()
					}
				default:
					p.check()
				}
			}
			p.check()
			for p.running {
				p.finish()
			}
			p.check()
			p.e.Close()
			for scope := range p.cancels {
				p.cancels[scope]()
				for _, g := range p.groups[scope] {
					g.Wait()
				}
			}
		})
	}
}

// Levels that are used again while several submit, cancel and work: each task
// runs once or is canceled, and nothing is left.
func TestLevelsUnderLoad(t *testing.T) {
	testkit.NoLeak(t)
	n := 3000
	if testing.Short() {
		n = 500
	}
	e := antflow.New(4)
	var ran, canceled atomic.Int64
	var submitters sync.WaitGroup
	for i := range 4 {
		submitters.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 3))
			ctx, cancel := context.WithCancel(context.Background())
			var mine []*antflow.Future[int]
			for range n {
				mine = append(mine, antflow.Submit(ctx, e, func(context.Context) (int, error) { ran.Add(1); return 0, nil }, antflow.Priority(r.IntN(300))))
				switch r.IntN(50) {
				case 0:
					cancel()
					ctx, cancel = context.WithCancel(context.Background())
				case 1, 2, 3:
					mine[r.IntN(len(mine))].Cancel()
				case 4:
					antflow.Wait(context.Background(), mine, antflow.AllCompleted)
				}
			}
			for _, f := range mine {
				if _, err := f.Result(context.Background()); err != nil {
					canceled.Add(1)
				}
			}
			cancel()
		})
	}
	submitters.Wait()
	e.Close()
	if s := e.Stats(); int(s.Succeeded+s.Canceled+s.Rejected) != 4*n || int64(s.Succeeded) != ran.Load() || int64(s.Canceled+s.Rejected) != canceled.Load() {
		t.Errorf("%d ran and %d canceled of %d: %+v", ran.Load(), canceled.Load(), 4*n, s)
	}
	if err := e.CheckInvariants(); err != nil {
		t.Error(err)
	}
}
