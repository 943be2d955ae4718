package dashboard_test

import (
	"context"
	"fmt"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/dashboard"
)

// A cluster of any size makes messages of bounded ones, but its figures are of
// all of it.
func TestClusterIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		long := strings.Repeat("<b>name ", 1<<13) // 64 KiB
		many := make([]string, 200)
		for i := range many {
			many[i] = fmt.Sprint("many ", i)
		}
		c := newCluster()
		c.status = antflow.ClusterStatus{Backlog: 9, Results: math.MaxUint64}
		for i := range 1000 {
			name := fmt.Sprint("queue ", i)
			if i%10 == 0 {
				name = long[:len(long)-i]
			}
			for priority := -7; priority <= 7; priority++ { // more than there are
				c.status.Queues = append(c.status.Queues, antflow.QueueStatus{Queue: name, Priority: priority, Waiting: uint64(i)})
			}
		}
		for i := range 1000 {
			w := antflow.WorkerStatus{Name: fmt.Sprint("worker ", i), State: "serving", Queues: many, Tasks: []string{long, "x"}, Finished: 1}
			if i%10 < 3 {
				w.Name = long[:len(long)-i]
			}
			if i >= 990 {
				w.State = []string{"disconnected", long}[i%2]
			}
			c.status.Workers = append(c.status.Workers, w)
		}
		h := dashboard.Handler(dashboard.Cluster("", c.Status))
		p := watch(t, h)
		time.Sleep(2*second + second/8)
		messages := p.read(t)
		f := latest(t, messages, 0)
		if values(f, "workers serving disconnected finished queues unserved") != "1000 990 5 1000 1000 999" ||
			f["waiting"] != 15*999*500.0 || len(f["neglected"].([]any)) != 5 || len(f["away"].([]any)) != 5 ||
			len(f["depths"].([]any)) != 100 || at(f, "neglected", 0, "queue") != "queue 999" {
			t.Errorf("%.2000v", f)
		}
		d := of(messages, "detail")[0].data
		queues, workers := at(d, "queues", "rows").([]any), at(d, "workers", "rows").([]any)
		if len(queues) != 300 || at(queues[0], "queue") != "queue 999" || len(workers) != 200 || at(workers[0], "state") == "serving" {
			t.Errorf("%d queues, %d workers", len(queues), len(workers))
		}
		names := make(map[string]bool)
		for _, w := range workers {
			names[at(w, "name").(string)] = true
			if got := fmt.Sprint(at(w, "queues"), at(w, "tasks")); len(got) > 2000 || !strings.HasSuffix(fmt.Sprint(at(w, "queues")), "…]") {
				t.Fatalf("texts of %d bytes: %s", len(got), got)
			}
		}
		if len(names) != 200 {
			t.Errorf("%d names of 200 workers", len(names))
		}
		for _, m := range messages {
			if len(m.raw) > 1<<20 {
				t.Errorf("a %s has %d bytes", m.event, len(m.raw))
			}
		}
		if n := get(h, "/snapshot.json").Body.Len(); n > 1<<20 {
			t.Errorf("snapshot.json has %d bytes", n)
		}
		if found := scrape(t, h); len(found) > 300*4+200*4+10 {
			t.Errorf("%d samples", len(found))
		}
	})
}

func TestClusterMetrics(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, none := newCluster(), newCluster()
		none.status = antflow.ClusterStatus{Limit: -1} // as the broker has it for none
		strange := newCluster()
		for _, name := range []string{"", `quo"te`, `back\slash`, "new\nline", "\xff", "\xfe", "<script>", strings.Repeat("ö", 1000), "twice", "twice"} {
			strange.status.Queues = append(strange.status.Queues, antflow.QueueStatus{Queue: name, Priority: 3}, antflow.QueueStatus{Queue: name, Priority: 1, Waiting: 2})
			strange.status.Workers = append(strange.status.Workers, antflow.WorkerStatus{Name: name, State: name})
		}
		h := dashboard.Handler(dashboard.Cluster("prod", c.Status), dashboard.Cluster("prod", none.Status), dashboard.Cluster(`st"range`, strange.Status))
		found := scrape(t, h)
		wantMetrics(t, found, map[string]float64{
			`antflow_cluster_up{cluster="prod"}`:                                                              1,
			`antflow_cluster_backlog{cluster="prod"}`:                                                         1300,
			`antflow_cluster_backlog_limit{cluster="prod"}`:                                                   2000,
			`antflow_cluster_results{cluster="prod"}`:                                                         77,
			`antflow_cluster_queue_waiting{cluster="prod",queue="images",priority="high"}`:                    200,
			`antflow_cluster_queue_waiting{cluster="prod",queue="images",priority="normal"}`:                  1000,
			`antflow_cluster_queue_taken{cluster="prod",queue="mail",priority="low"}`:                         4,
			`antflow_cluster_queue_redelivered{cluster="prod",queue="mail",priority="low"}`:                   2,
			`antflow_cluster_queue_requests{cluster="prod",queue="mail",priority="low"}`:                      5,
			`antflow_cluster_workers{cluster="prod",state="serving"}`:                                         1,
			`antflow_cluster_workers{cluster="prod",state="disconnected"}`:                                    1,
			`antflow_cluster_workers{cluster="prod",state="broken"}`:                                          0,
			`antflow_cluster_worker_slots{cluster="prod",worker="a-1"}`:                                       8,
			`antflow_cluster_worker_running{cluster="prod",worker="a-1"}`:                                     3,
			`antflow_cluster_worker_held{cluster="prod",worker="a-1"}`:                                        5,
			`antflow_cluster_worker_finished_total{cluster="prod",worker="a-1"}`:                              40,
			`antflow_cluster_backlog{cluster="prod (2)"}`:                                                     0,
			`antflow_cluster_queue_waiting{cluster="st\"range",queue="new\nline",priority="high"}`:            2,
			`antflow_cluster_queue_waiting{cluster="st\"range",queue="twice",priority="high"}`:                4,
			`antflow_cluster_worker_held{cluster="st\"range",worker="twice (2)"}`:                             0,
			`antflow_cluster_queue_waiting{cluster="st\"range",queue="` + "\uFFFD" + ` (2)",priority="high"}`: 2,
		})
		if _, ok := found[`antflow_cluster_backlog_limit{cluster="prod (2)"}`]; ok {
			t.Error("a backlog without a limit has one")
		}
	})
}

// What is finished is counted from one answer to the next: also of a worker that
// begins anew, or doesn't answer in time for once.
func TestClusterCountsOn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster()
		c.delay = 0
		h := dashboard.Handler(dashboard.Cluster("", c.Status))
		p := watch(t, h)
		p.hello(t)
		next := func(want float64, workers ...antflow.WorkerStatus) {
			t.Helper()
			c.change(func() { c.status.Workers = workers })
			time.Sleep(second)
			if f := latest(t, p.read(t), 0); f["done"] != want {
				t.Errorf("%v are done, not %v", f["done"], want)
			}
		}
		worker := func(name string, finished uint64) antflow.WorkerStatus {
			return antflow.WorkerStatus{Name: name, State: "serving", Finished: finished, Up: time.Hour}
		}
		time.Sleep(3 * second / 8)
		next(10, worker("a-1", 50))
		next(30, worker("a-1", 70), worker("b", 1000)) // b was not seen to do it
		next(35, worker("b", 1005))                    // no answer of a-1 in time
		next(40, worker("a-1", 75), worker("b", 1005)) // here it is
		next(47, worker("a-1", 7), worker("b", 1005))  // another process of that name
		for n := range 20 {
			c.change(func() { c.status.Workers = []antflow.WorkerStatus{worker("a-1", 7+uint64(n)*3), worker("b", 1005)} })
			time.Sleep(second)
		}
		messages := of(p.read(t), "detail")
		rows := at(messages[len(messages)-1].data, "workers", "rows")
		if at(rows, 0, "rate") != 3.0 || at(rows, 1, "rate") != 0.0 {
			t.Errorf("the rates are %v, %v", at(rows, 0, "rate"), at(rows, 1, "rate"))
		}
	})
}

// A queue is served by workers that take tasks, or ask for some.
func TestClusterUnserved(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for _, tt := range []struct {
			state             string
			waiting           uint64
			requests, workers int
			want              bool
		}{
			{"serving", 5, 0, 1, false}, {"draining", 5, 0, 0, true}, {"disconnected", 5, 0, 0, true}, {"stopped", 5, 0, 0, true}, {"broken", 5, 0, 1, false},
			{"", 5, 0, 0, true}, {"draining", 5, 1, 0, false}, {"draining", 0, 0, 0, false},
		} {
			c := newCluster()
			c.status.Queues = []antflow.QueueStatus{{Queue: "q", Waiting: tt.waiting}, {Queue: "q", Priority: 1, Requests: tt.requests}}
			c.status.Workers = []antflow.WorkerStatus{{State: tt.state, Queues: []string{"p", "q"}}}
			s := at(getJSON(t, dashboard.Handler(dashboard.Cluster("", c.Status)), "/snapshot.json"), "sources", 0)
			row := at(s, "queues", "rows", 0)
			if at(row, "unserved") != tt.want || at(row, "workers") != float64(tt.workers) {
				t.Errorf("%+v: %v", tt, row)
			}
		}
	})
}

// A call that nobody wants any more is told to end, and what it says then is told
// to nobody: neither to a request nor to the next viewer.
func TestClusterIsLeft(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var left atomic.Int64
		h := dashboard.Handler(dashboard.Cluster("", func(ctx context.Context) (antflow.ClusterStatus, error) {
			select {
			case <-time.After(900 * time.Millisecond):
				return antflow.ClusterStatus{Backlog: 5}, nil
			case <-ctx.Done():
				left.Add(1)
				time.Sleep(200 * time.Millisecond)
				return antflow.ClusterStatus{}, ctx.Err()
			}
		}))
		leave := func(n int64) {
			t.Helper()
			p := watch(t, h)
			time.Sleep(second / 2)
			p.leave()
			for start := time.Now(); left.Load() < n && time.Since(start) < time.Minute; {
				time.Sleep(10 * time.Millisecond)
			}
			if left.Load() != n {
				t.Fatalf("%d calls were told to end", left.Load())
			}
		}
		leave(1)
		if s := at(getJSON(t, h, "/snapshot.json"), "sources", 0); values(s, "error backlog") != " 5" {
			t.Errorf("%v", s)
		}
		leave(2)
		q := watch(t, h)
		time.Sleep(4 * second)
		for _, m := range of(q.read(t), "tick") {
			if f := at(m.data, "s", 0); f != nil && at(f, "error") != "" {
				t.Errorf("%v", f)
			}
		}
		q.leave()
		time.Sleep(afterwards + second)
	})
}
