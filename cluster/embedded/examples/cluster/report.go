package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A report has the counts. Nothing of what the library promises goes into them:
// executions are what the workers said that they began, results are what came
// out of the loop.
type report struct {
	began   time.Time
	mu      sync.Mutex // guards what follows
	out     io.Writer
	files   []string
	sums    map[string]sum
	results map[string]int // by file
	failed  int
	begun   map[string]int // executions, by file
	running []int          // tasks in the hands of each worker
	by      []int          // results of each worker
	told    int            // quarters
	dead    []int
}

func newReport(out io.Writer, files []string, workers int) *report {
	return &report{
		began:   time.Now(),
		out:     out,
		files:   slices.Sorted(slices.Values(files)),
		sums:    make(map[string]sum),
		results: make(map[string]int),
		begun:   make(map[string]int),
		running: make([]int, workers+1),
		by:      make([]int, workers+1),
	}
}

func (r *report) say(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sayLocked(format, args...)
}

func (r *report) sayLocked(format string, args ...any) { fmt.Fprintf(r.out, format+"\n", args...) }

// noted is told of a word of a worker, and returns how many tasks that one runs.
func (r *report) noted(worker int, word, path string) (inHand int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch word {
	case began:
		r.begun[path]++
		r.running[worker]++
	case ended:
		r.running[worker]--
	}
	return r.running[worker]
}

// killed is told that a worker is dead, and had said its last.
func (r *report) killed(worker, pid int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dead = append(r.dead, worker)
	r.sayLocked("worker %d killed, pid %d, with %d tasks in its hands", worker, pid, r.running[worker])
}

// result is told of a result, and returns how many files have one.
func (r *report) result(path string, s sum, err error) (done int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.results[path]++
	if n, err := strconv.Atoi(s.Worker); err == nil {
		r.by[n]++
	}
	if err == nil {
		r.sums[path] = s
	} else {
		r.failed++
		r.sayLocked("cluster: %v", err)
	}
	done = len(r.results)
	if quarters := 4 * done / len(r.files); quarters > r.told {
		r.told = quarters
		r.sayLocked("%d of %d files; %s", done, len(r.files), r.perWorkerLocked())
	}
	return done
}

func (r *report) perWorkerLocked() string {
	var parts []string
	for worker, n := range r.by[1:] {
		parts = append(parts, fmt.Sprintf("worker %d: %d", worker+1, n))
	}
	return strings.Join(parts, ", ")
}

// print prints the checksums, by path.
func (r *report) print(out io.Writer) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := bufio.NewWriter(out)
	for _, path := range r.files {
		if s, ok := r.sums[path]; ok {
			w.WriteString(line(path, s))
		}
	}
	return w.Flush()
}

// summary tells what became of the files, and returns what is wrong in it.
func (r *report) summary(check, kill bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var wrong []error
	once, again, results := 0, 0, 0
	for _, path := range r.files {
		n := r.results[path]
		if results += n; n == 1 {
			once++
		} else {
			wrong = append(wrong, fmt.Errorf("%s has %d results", path, n))
		}
		if r.begun[path] > 1 {
			again++
		}
	}
	r.sayLocked("files:    %d", len(r.files))
	r.sayLocked("results:  %d; %d files have exactly one, %d failed", results, once, r.failed)
	r.sayLocked("by:       %s", r.perWorkerLocked())
	r.sayLocked("executed: %d files more than once", again)
	if len(r.dead) > 0 && again > 0 {
		r.sayLocked("          (they were in the hands of the dead, and count once all the same)")
	}
	if r.failed > 0 {
		wrong = append(wrong, fmt.Errorf("%d files could not be hashed", r.failed))
	}
	if kill && len(r.dead) == 0 {
		r.sayLocked("killed:   nobody; there are too few files for that")
	}
	if check {
		wrong = append(wrong, r.checkLocked())
	}
	return errors.Join(wrong...)
}

// checkLocked hashes the files here, and compares. One that was written to in
// the meantime proves nothing.
func (r *report) checkLocked() error {
	var wrong []error
	changed := 0
	for _, path := range r.files {
		s, ok := r.sums[path]
		if !ok {
			continue
		}
		digest, err := digestOf(path)
		if info, _ := os.Stat(path); err == nil && info != nil && info.ModTime().After(r.began) {
			changed++
		} else if err == nil && digest != s.Digest {
			err = fmt.Errorf("%s: the cluster says %x, and this process %x", path, s.Digest, digest)
		}
		if err != nil {
			wrong = append(wrong, err)
		}
	}
	r.sayLocked("checked:  %d are what this process says, %d are not, %d were changed meanwhile",
		len(r.sums)-len(wrong)-changed, len(wrong), changed)
	return errors.Join(wrong...)
}
