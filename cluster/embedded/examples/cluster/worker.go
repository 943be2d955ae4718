package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/antflow/antflow/cluster"
)

// workerEnv makes a worker of this program. It has a job.
const workerEnv = "ANTFLOW_EXAMPLE_WORKER"

// A job is what a worker has to know.
type job struct {
	URL         string
	Name        string
	Concurrency int
}

const (
	lease = 2 * time.Second // so long the tasks of the dead wait; 30 s by default
	grace = 5 * time.Second // for a worker to end
)

// serve is the program of a worker: it runs tasks until its standard input ends.
// It does at the latest when the parent is dead, however that died.
func serve(text string) int {
	var j job
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	signal.Ignore(os.Interrupt) // the terminal sends Ctrl-C to the workers too, and the parent decides
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		io.Copy(io.Discard, os.Stdin)
		time.AfterFunc(grace, func() { os.Exit(1) }) // the broker may be gone as well
		cancel()
	}()
	err := cluster.Serve(ctx, j.URL, []cluster.Handler{hash},
		cluster.WorkerName(j.Name),
		cluster.Concurrency(j.Concurrency),
		cluster.Lease(lease),
		cluster.DrainTimeout(grace/10))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// Words of a worker about a file, on its standard output. What was written is
// there for the parent to read, also when the worker is killed next.
const (
	began = "began"
	ended = "ended"
)

func note(word, path string) { fmt.Printf("%s %q\n", word, path) }

// A team is the workers, as the parent sees them.
type team struct{ workers []*worker }

type worker struct {
	number    int
	cmd       *exec.Cmd
	stdin     io.Closer
	stderr    bytes.Buffer
	doomed    atomic.Bool // to be killed while it works
	dismissed atomic.Bool // it was asked to end
	ended     chan struct{}
}

// hire starts the workers. lost is called when one ends by itself.
func hire(cfg config, url string, r *report, lost func(error)) (*team, error) {
	t := new(team)
	for i := range cfg.workers {
		w, err := start(i+1, job{url, strconv.Itoa(i + 1), cfg.concurrency}, r, lost)
		if err != nil {
			t.dismiss()
			return nil, err
		}
		t.workers = append(t.workers, w)
	}
	return t, nil
}

func start(number int, j job, r *report, lost func(error)) (*worker, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(j)
	if err != nil {
		return nil, err
	}
	w := &worker{number: number, cmd: exec.Command(self), ended: make(chan struct{})}
	w.cmd.Env = append(os.Environ(), workerEnv+"="+string(text))
	w.cmd.Stderr = &w.stderr
	stdout, err := w.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if w.stdin, err = w.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := w.cmd.Start(); err != nil {
		return nil, err
	}
	r.say("worker %d started, pid %d", number, w.cmd.Process.Pid)
	go w.follow(stdout, j.Concurrency, r, lost)
	return w, nil
}

// follow reads what the worker says to its end, and kills it if it is doomed: as
// soon as it has begun tasks that it can't have finished yet, for more than half
// of its slots.
func (w *worker) follow(stdout io.Reader, concurrency int, r *report, lost func(error)) {
	defer close(w.ended)
	killed := false
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		word, quoted, _ := strings.Cut(lines.Text(), " ")
		path, err := strconv.Unquote(quoted)
		if err != nil {
			continue
		}
		inHand := r.noted(w.number, word, path)
		if word == began && 2*inHand > concurrency && w.doomed.CompareAndSwap(true, false) {
			killed = w.cmd.Process.Kill() == nil
		}
	}
	switch err := w.cmd.Wait(); {
	case killed:
		r.killed(w.number, w.cmd.Process.Pid)
	case !w.dismissed.Load():
		lost(fmt.Errorf("worker %d ended, and was not asked to: %v\n%s", w.number, err, w.stderr.Bytes()))
	case err != nil:
		r.say("worker %d did not end as it should: %v\n%s", w.number, err, w.stderr.Bytes())
	}
}

// killSecond has worker 2 killed, once.
func (t *team) killSecond() {
	if w := t.workers[1]; !w.dismissed.Swap(true) {
		w.doomed.Store(true)
	}
}

// dismiss ends the workers, and blocks until they have.
func (t *team) dismiss() {
	for _, w := range t.workers {
		w.dismissed.Store(true)
		w.stdin.Close()
	}
	for _, w := range t.workers {
		<-w.ended
	}
}
