package dashboard_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/dashboard"
	"github.com/antflow/antflow/internal/testkit"
)

// A cluster is one without a broker: it says what a test has it say, after a
// while.
type cluster struct {
	calls, now, most atomic.Int64 // of status: so far, at this moment, at the same time

	began time.Time

	mu     sync.Mutex
	delay  time.Duration
	deaf   bool // to its context
	status antflow.ClusterStatus
	fail   func() error
}

func newCluster() *cluster {
	return &cluster{began: time.Now(), delay: 300 * time.Millisecond, status: antflow.ClusterStatus{
		Backlog: 1300, Limit: 2000, Results: 77,
		Queues: []antflow.QueueStatus{
			{Queue: "images", Priority: 1, Waiting: 200, Taken: 3, Redelivered: 1},
			{Queue: "images", Waiting: 1000},
			{Queue: "mail", Priority: -1, Waiting: 90, Taken: 4, Redelivered: 2, Requests: 5},
		},
		Workers: []antflow.WorkerStatus{
			{Name: "a-1", State: "serving", Queues: []string{"mail"}, Tasks: []string{"send", "sort"}, MaxWorkers: 8, Running: 3, Held: 5, Finished: 40, Up: time.Hour},
			{Name: "a-12", State: "disconnected", Queues: []string{"images"}, MaxWorkers: 4, Running: 1, Held: 1, Up: time.Minute},
		},
	}}
}

func (c *cluster) Status(ctx context.Context) (antflow.ClusterStatus, error) {
	c.calls.Add(1)
	if n := c.now.Add(1); n > c.most.Load() {
		c.most.Store(n)
	}
	defer c.now.Add(-1)
	c.mu.Lock()
	delay := c.delay
	if c.deaf {
		ctx = context.Background()
	}
	c.mu.Unlock()
	if err := testkit.Sleep(ctx, delay); err != nil {
		return antflow.ClusterStatus{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.status
	s.Queues, s.Workers = append([]antflow.QueueStatus{}, s.Queues...), append([]antflow.WorkerStatus{}, s.Workers...)
	for i := range s.Workers {
		s.Workers[i].Up += time.Since(c.began)
	}
	if c.fail != nil {
		return s, c.fail()
	}
	return s, nil
}

func (c *cluster) change(fn func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fn()
}

// latest are the figures of the last tick that has some of a source.
func latest(t *testing.T, messages []message, source int) object {
	t.Helper()
	ticks := of(messages, "tick")
	for i := len(ticks) - 1; i >= 0; i-- {
		if f := at(ticks[i].data, "s", source); f != nil {
			return f.(object)
		}
	}
	t.Fatalf("no figures in %d ticks", len(ticks))
	return nil
}

const (
	figureKeys = "backlog limit results waiting taken redelivered queues workers serving draining disconnected stopped broken " +
		"max running held finished unserved neglected away"
	processKeys = "name state queues tasks max running held finished rate since"
)

// What a cluster says is there within a moment, and is all of it.
func TestCluster(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster()
		h := dashboard.Handler(dashboard.Cluster("", c.Status), dashboard.Cluster("prod", c.Status))
		began := time.Now()
		p := watch(t, h)
		hello := p.hello(t)
		if s := fmt.Sprint(hello["sources"]); s != "[map[kind:cluster name:cluster 1] map[kind:cluster name:prod]]" {
			t.Errorf("sources: %s", s)
		}
		sameKeys(t, "figures before an answer", at(hello, "ticks", 0, "s", 0), "at error done depths")
		time.Sleep(second/2 + second/8)
		messages := p.read(t)
		f := latest(t, messages, 0)
		sameKeys(t, "figures", f, figureKeys+" at error done depths")
		if got := values(f, figureKeys); got != "1300 2000 77 1290 7 3 2 2 1 0 1 0 0 12 4 6 40 1 [map[queue:images waiting:1200]] [a-12]" {
			t.Errorf("the figures are %s", got)
		}
		answered := float64(began.Add(300 * time.Millisecond).UnixMilli())
		if at(f, "at") != answered || f["error"] != "" || fmt.Sprint(f["depths"]) != "[map[queue:images waiting:1200] map[queue:mail waiting:90]]" {
			t.Errorf("%v", f)
		}
		d := of(messages, "detail")[0].data
		sameKeys(t, "detail", d, "s queues workers")
		row := at(d, "queues", "rows", 2)
		sameKeys(t, "queue", row, "queue priority waiting taken redelivered requests workers unserved")
		if values(row, "queue priority waiting taken redelivered requests workers unserved") != "mail -1 90 4 2 5 1 false" ||
			at(d, "queues", "rows", 0, "unserved") != true || at(d, "queues", "total") != 2.0 {
			t.Errorf("%v", at(d, "queues"))
		}
		row = at(d, "workers", "rows", 0)
		sameKeys(t, "worker", row, processKeys)
		if values(row, processKeys) != fmt.Sprint("a-1 serving [mail] [send sort] 8 3 5 40 <nil> ", float64(began.Add(-time.Hour).UnixMilli())) {
			t.Errorf("%v", row)
		}
		time.Sleep(5 * second)
		messages = p.read(t)
		if n := len(of(messages, "detail")); n != 2 { // a rate, once for each source
			t.Errorf("%d details where nothing changes", n)
		}
		s := at(getJSON(t, h, "/snapshot.json"), "sources", 1)
		sameKeys(t, "state", s, figureKeys+" kind name error")
		if values(s, "kind name error backlog") != "cluster prod  1300" || at(s, "queues", "total") != 2.0 ||
			at(s, "workers", "rows", 1, "name") != "a-12" || at(s, "workers", "rows", 1, "rate") != nil {
			t.Errorf("%v", s)
		}
	})
}

// One that takes its time is asked no more than once at a time, and the figures
// of others come when they are due.
func TestClusterIsSlow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster()
		c.delay = 1500 * time.Millisecond
		h := dashboard.Handler(dashboard.Cluster("", c.Status), dashboard.Executor(antflow.New(1)))
		p := watch(t, h)
		p.hello(t)
		for range 5 {
			go get(h, "/snapshot.json")
			go get(h, "/metrics")
			time.Sleep(2 * second)
		}
		time.Sleep(second / 8)
		ticks := of(p.read(t), "tick")
		if len(ticks) != 40 || at(ticks[39].data, "s", 1) == nil {
			t.Errorf("%d ticks in 10 seconds", len(ticks))
		}
		for i := 1; i < len(ticks); i++ {
			if gap := ticks[i].data["t"].(float64) - ticks[i-1].data["t"].(float64); gap != 250 {
				t.Errorf("%v ms between two ticks", gap)
			}
		}
		if c.most.Load() != 1 || c.calls.Load() < 6 || c.calls.Load() > 8 {
			t.Errorf("%d calls, up to %d at a time", c.calls.Load(), c.most.Load())
		}
		time.Sleep(2 * second)
	})
}

// One that hangs, whatever its context says, costs one goroutine and nobody else
// anything. It is shown to hang, with the figures from before, until it doesn't.
func TestClusterHangs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster()
		h := dashboard.Handler(dashboard.Cluster("", c.Status), dashboard.Executor(antflow.New(1)), dashboard.Cluster("other", newCluster().Status))
		before := goroutines(t)
		p := watch(t, h)
		time.Sleep(2*second + second/8)
		p.hello(t)
		c.change(func() { c.delay, c.deaf = time.Minute, true })
		time.Sleep(10 * second)
		f := latest(t, p.read(t), 0)
		if values(f, "error backlog") != "there is no answer within 2 seconds 1300" {
			t.Errorf("%v", f)
		}
		calls, start := c.calls.Load(), time.Now()
		for range 50 {
			s := getJSON(t, h, "/snapshot.json")
			if values(at(s, "sources", 0), "kind error") != "cluster there is no answer within 2 seconds" {
				t.Fatalf("%v", s)
			}
			sameKeys(t, "state", at(s, "sources", 0), "kind name error")
			if at(s, "sources", 2, "error") != "" {
				t.Errorf("%v", at(s, "sources", 2))
			}
		}
		// Each waits for the other cluster, and not for the one that hangs.
		if d := time.Since(start); d > 50*300*time.Millisecond {
			t.Errorf("50 requests take %v", d)
		}
		wantMetrics(t, scrape(t, h), map[string]float64{`antflow_cluster_up{cluster="cluster 1"}`: 0, `antflow_cluster_up{cluster="other"}`: 1})
		time.Sleep(second / 2)
		// A viewer, the sampling, and the call.
		if n := goroutines(t) - before; n > 3+1 || c.calls.Load() != calls {
			t.Errorf("%d goroutines, and %d calls more", n, c.calls.Load()-calls)
		}
		if n := len(of(p.read(t), "tick")); n < 60 {
			t.Errorf("%d ticks", n)
		}
		c.change(func() { c.delay, c.deaf = 0, false })
		time.Sleep(time.Minute)
		if f := latest(t, p.read(t), 0); f["error"] != "" || at(f, "at").(float64) < float64(time.Now().Add(-2*second).UnixMilli()) {
			t.Errorf("it answers again, and %v", f)
		}
	})
}

// A request to one that begins to hang waits for 2 seconds, as long as that.
func TestClusterHasADeadline(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var left time.Duration
		heeds := func(ctx context.Context) (antflow.ClusterStatus, error) {
			deadline, _ := ctx.Deadline()
			left = time.Until(deadline)
			<-ctx.Done()
			return antflow.ClusterStatus{}, ctx.Err()
		}
		h := dashboard.Handler(dashboard.Cluster("", heeds), dashboard.Cluster("", func(context.Context) (antflow.ClusterStatus, error) {
			time.Sleep(time.Minute)
			return antflow.ClusterStatus{}, nil
		}))
		start := time.Now()
		s := getJSON(t, h, "/snapshot.json")
		if d := time.Since(start); d < 2*second || d > 5*second/2 || left != 2*second {
			t.Errorf("the request took %v, its deadline was in %v", d, left)
		}
		if at(s, "sources", 0, "error") != "context deadline exceeded" || at(s, "sources", 1, "error") != "there is no answer within 2 seconds" {
			t.Errorf("%v", s)
		}
		time.Sleep(time.Minute)
	})
}

// An error is shown as what it is, and so is a panic; what was known before is
// still there, and when that was.
func TestClusterFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for want, fail := range map[string]func() error{
			"nats: no servers available for connection":                        func() error { return errors.New("nats: no servers available for connection") },
			"<script>alert(1)</script>":                                        func() error { return errors.New("<script>alert(1)</script>") },
			"(the status function panicked: boom)":                             func() error { panic("boom") },
			"(the Error method panicked)":                                      func() error { return angry{} },
			"(the status function ended its goroutine)":                        func() error { runtime.Goexit(); return nil },
			"(an error without a text)":                                        func() error { return errors.New("") },
			strings.Repeat("long ", 204) + "l…":                                func() error { return errors.New(strings.Repeat("long ", 1e6)) },
			"(the status function panicked: " + strings.Repeat("x", 990) + "…": func() error { panic(strings.Repeat("x", 1e6)) },
		} {
			c := newCluster()
			h := dashboard.Handler(dashboard.Cluster("", c.Status))
			p := watch(t, h)
			time.Sleep(second)
			known := latest(t, p.read(t), 0)["at"]
			c.change(func() { c.fail = fail })
			time.Sleep(3 * second)
			f := latest(t, p.read(t), 0)
			if f["error"] != want || f["at"] != known || known == nil || f["backlog"] != 1300.0 {
				t.Errorf("%.60q: %.200v, known at %v", want, f, known)
			}
			s := at(getJSON(t, h, "/snapshot.json"), "sources", 0)
			sameKeys(t, "state", s, "kind name error")
			if at(s, "error") != want {
				t.Errorf("%.200v", s)
			}
			if found := scrape(t, h); len(found) != 1 || found[`antflow_cluster_up{cluster="cluster 1"}`].value != 0 {
				t.Errorf("%v", found)
			}
			// Who comes later is told as well.
			q := watch(t, h)
			if ticks := at(q.hello(t), "ticks").([]any); !strings.Contains(fmt.Sprint(ticks[len(ticks)-5:]), "error:"+want) {
				t.Errorf("the last ticks are %.500v", ticks[len(ticks)-5:])
			}
			c.change(func() { c.fail = nil })
			time.Sleep(2 * second)
			if f := latest(t, p.read(t), 0); f["error"] != "" || at(f, "at").(float64) <= known.(float64) {
				t.Errorf("it is well again, and %v", f)
			}
			p.leave()
			q.leave()
		}
	})
}

// Nobody is asked until somebody looks, and nobody after.
func TestClusterAtRest(t *testing.T) {
	bubble(t, func(t *testing.T) {
		before := goroutines(t)
		c := newCluster()
		h := dashboard.Handler(dashboard.Cluster("", c.Status))
		getJSON(t, h, "/tasks.json")
		get(h, "/")
		time.Sleep(time.Hour)
		if n := goroutines(t) - before; n != 0 || c.calls.Load() != 0 {
			t.Fatalf("%d goroutines, and %d calls", n, c.calls.Load())
		}
		getJSON(t, h, "/snapshot.json")
		if n := goroutines(t) - before; n != 0 || c.calls.Load() != 1 {
			t.Errorf("%d goroutines, and %d calls", n, c.calls.Load())
		}
		p, q := watch(t, h), watch(t, h)
		time.Sleep(10*second + second/8)
		if n := c.calls.Load(); n != 1+11 { // one a second, for all viewers
			t.Errorf("%d calls", n)
		}
		p.leave()
		q.leave()
		time.Sleep(11 * second)
		calls := c.calls.Load()
		time.Sleep(time.Hour)
		if n := goroutines(t) - before; n != 0 || c.calls.Load() != calls {
			t.Errorf("%d goroutines, and %d calls after all have left", n, c.calls.Load()-calls)
		}
	})
}

// What a cluster hasn't is answered by nothing of it, and not by an error of the
// server.
func TestClusterHasNoTasks(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster()
		h := dashboard.Handler(dashboard.Cluster("", c.Status), dashboard.AllowActions(always))
		watch(t, h)
		time.Sleep(second)
		page := getJSON(t, h, "/tasks.json?q=x&state=failed")
		if values(page, "watched kept total tasks") != "true 0 0 []" {
			t.Errorf("%v", page)
		}
		if l := getJSON(t, h, "/failures.json"); values(l, "failed groups") != "0 []" {
			t.Errorf("%v", l)
		}
		if w := get(h, "/task.json?id=7"); w.Code != http.StatusNotFound {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		for _, do := range []string{"cancel", "drain", "resize", "<b>"} {
			wantAnswer(t, post(h, fmt.Sprintf(`{"do":%q,"id":7,"workers":3}`, do)), http.StatusBadRequest,
				fmt.Sprintf("%q is nothing that a cluster can be asked for", do))
		}
		synctest.Wait()
	})
}
