package embedded_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/cluster"
	"github.com/antflow/antflow/cluster/embedded/internal/proxy"
)

const crashVariable = "ANTFLOW_CONTRACT_CRASH"

// Exit 7 is the end of a worker that a task took down.
var fatalTask = antflow.NewTask("fatal", func(ctx context.Context, n int) (int, error) {
	if os.Getenv(crashVariable) != "" {
		os.Exit(7)
	}
	info, _ := cluster.InfoFrom(ctx)
	return info.Attempt, nil
})

// The other process of the two tests below.
func TestContractCrashHelper(t *testing.T) {
	url := os.Getenv(crashVariable)
	if url == "" {
		t.Skip("it is run by other tests, in a process of its own")
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	t.Fatal(cluster.Serve(ctx, url, handlers(fatalTask), cluster.Lease(time.Second), cluster.MostCrashes(1)))
}

// crash runs a worker until it dies of a task.
func (r *rig) crash() {
	r.t.Helper()
	exe, err := os.Executable()
	if err != nil {
		r.t.Fatal(err)
	}
	cmd := exec.CommandContext(r.ctx, exe, "-test.run=^TestContractCrashHelper$")
	cmd.Env = append(os.Environ(), crashVariable+"="+r.url)
	if out, err := cmd.CombinedOutput(); cmd.ProcessState.ExitCode() != 7 {
		r.t.Fatalf("the worker ended with %v:\n%s", err, out)
	}
}

func TestContractCrashOnce(t *testing.T) {
	r := newRig(t)
	c := r.connect()
	f := fatalTask.Submit(r.ctx, c, 1)
	r.crash()
	r.serve(handlers(fatalTask), cluster.Lease(time.Second), cluster.MostCrashes(1))
	if n := get(r, f); n != 2 || f.Attempts() != 2 {
		t.Errorf("attempt %d of %d", n, f.Attempts())
	}
}

func TestContractCrashTooOften(t *testing.T) {
	r := newRig(t)
	c := r.connect()
	f := fatalTask.Submit(r.ctx, c, 1)
	r.crash()
	r.crash()
	r.serve(handlers(fatalTask), cluster.Lease(time.Second), cluster.MostCrashes(1))
	says(t, fail(r, f, cluster.ErrCrashed), "2")
}

// Tasks that must not crash any more run one at a time on a worker, others beside
// them.
func TestContractLastTimeAlone(t *testing.T) {
	r := newRig(t)
	far, line := r.behind()
	const n = 3
	began, open, fresh := make(chan struct{}, n), make(chan struct{}), make(chan struct{})
	var running, most atomic.Int64
	task := antflow.NewTask("task", func(ctx context.Context, i int) (int, error) {
		info, _ := cluster.InfoFrom(ctx)
		switch {
		case info.Worker == "A":
			began <- struct{}{}
			<-open
		case i == n:
			close(fresh)
		default:
			if now := running.Add(1); now > most.Load() {
				most.Store(now)
			}
			<-fresh
			// By the real clock: that another one would come meanwhile can't be waited for.
			time.Sleep(100 * time.Millisecond)
			running.Add(-1)
		}
		return i, nil
	})
	c := r.connect()
	var fs []*antflow.Future[int]
	for i := range n {
		fs = append(fs, task.Submit(r.ctx, c, i))
	}
	far.serve(handlers(task), cluster.WorkerName("A"), cluster.Lease(time.Second), cluster.Concurrency(n))
	for range n {
		receive(r, began)
	}
	line.Stall(proxy.ToServer, true)
	line.Stall(proxy.ToClient, true)
	r.serve(handlers(task), cluster.WorkerName("B"), cluster.Lease(time.Second), cluster.MostCrashes(1), cluster.Concurrency(n+1))
	r.until("an attempt", func() bool { return running.Load() > 0 })
	fs = append(fs, task.Submit(r.ctx, c, n))
	for i, f := range fs {
		if v := get(r, f); v != i {
			t.Errorf("%d returned %d", i, v)
		}
	}
	if m := most.Load(); m != 1 {
		t.Errorf("%d of them ran at a time", m)
	}
	close(open)
	line.Stall(proxy.ToServer, false)
	line.Stall(proxy.ToClient, false)
}

// A worker that is cut off for longer than its lease: another one runs the task,
// and there is one result, the first.
func TestContractCutOff(t *testing.T) {
	r := newRig(t)
	far, line := r.behind()
	began, open := make(chan string, 10), make(chan struct{})
	defer close(open)
	task := antflow.NewTask("task", func(ctx context.Context, _ int) (string, error) {
		info, _ := cluster.InfoFrom(ctx)
		began <- info.Worker
		if info.Worker == "A" {
			<-open
		}
		return info.Worker, nil
	})
	c := r.connect(cluster.Session("s"))
	w := far.serve(handlers(task), cluster.WorkerName("A"), cluster.Lease(time.Second))
	f := task.Submit(r.ctx, c, 1, antflow.Key("k"))
	if name := receive(r, began); name != "A" {
		t.Fatal(name)
	}
	line.Stall(proxy.ToServer, true)
	line.Stall(proxy.ToClient, true)
	r.serve(handlers(task), cluster.WorkerName("B"), cluster.Lease(time.Second))
	v := get(r, f)
	line.Stall(proxy.ToServer, false)
	line.Stall(proxy.ToClient, false)
	if v != "B" || f.Attempts() < 2 {
		t.Errorf("the result is of %s, after %d attempts", v, f.Attempts())
	}
	open <- struct{}{}
	r.until("the end of the first attempt", func() bool { s := w.health.Status(); return s.Running == 0 && s.Held == 0 })
	if v := get(r, task.Submit(r.ctx, r.connect(cluster.Session("s")), 1, antflow.Key("k"))); v != "B" {
		t.Errorf("the result is of %s by now", v)
	}
	if len(began) != 1 {
		t.Errorf("%d further attempts", len(began))
	}
}

func TestContractLost(t *testing.T) {
	if os.Getenv("ANTFLOW_CONTRACT_SLOW") == "" {
		t.Skip("a client looks after silent tasks each minute; set ANTFLOW_CONTRACT_SLOW")
	}
	r := newRig(t)
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	t.Cleanup(cancel)
	r.ctx = ctx
	_, js := r.raw()
	c := r.connect()
	f := echo[int]("echo").Submit(r.ctx, c, 1)
	r.flush(c)
	names := js.StreamNames(r.ctx)
	var purged int
	for name := range names.Name() {
		if strings.HasSuffix(name, "_TASKS") {
			s, err := js.Stream(r.ctx, name)
			if err != nil {
				t.Fatal(err)
			}
			if err = s.Purge(r.ctx); err != nil {
				t.Fatal(err)
			}
			purged++
		}
	}
	if purged != 1 {
		t.Fatalf("%d streams of tasks", purged)
	}
	says(t, fail(r, f, cluster.ErrLost))
}
