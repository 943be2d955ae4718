package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/antflow/antflow/internal/testkit"
)

// parentEnv makes the program of this test; it has the arguments.
const parentEnv = "ANTFLOW_EXAMPLE_PARENT"

func TestMain(m *testing.M) {
	if job := os.Getenv(workerEnv); job != "" {
		os.Exit(serve(job))
	}
	if args := os.Getenv(parentEnv); args != "" {
		os.Unsetenv(parentEnv)
		os.Exit(command(context.Background(), strings.Split(args, "\n"), os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// tree makes n files, of which the content is the name, and what is to be left
// out, and returns their root and their lines.
func tree(t *testing.T, n int) (root, lines string) {
	t.Helper()
	root = t.TempDir()
	names := []string{"ünï", " leading", "-n"}
	if runtime.GOOS != "windows" {
		names = append(names, "invalid\xff", "new\nline", `back\slash`)
	}
	for i := len(names); i < n; i++ {
		names = append(names, filepath.Join(fmt.Sprintf("d%d", i%3), fmt.Sprintf("f%03d", i)))
	}
	all := append(slices.Clone(names), filepath.Join(".git", "HEAD"))
	for i, name := range all {
		all[i] = filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(all[i]), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(all[i], []byte(all[i]), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	paths := all[:n]
	slices.Sort(paths)
	for _, path := range paths {
		lines += line(path, sum{Digest: sha256.Sum256([]byte(path))})
	}
	return root, lines
}

// story is a standard error that is looked at while it is written.
type story struct {
	mu   sync.Mutex
	text bytes.Buffer
	tell func(text string) // is told of each line
}

func (s *story) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tell != nil {
		s.tell(string(p))
	}
	return s.text.Write(p)
}

func (s *story) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// number returns the number at the parentheses of the pattern, or -1.
func (s *story) number(pattern string) int {
	found := regexp.MustCompile(pattern).FindStringSubmatch(s.String())
	if found == nil {
		return -1
	}
	n, _ := strconv.Atoi(found[1])
	return n
}

func (s *story) says(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(s.String(), text) {
			t.Errorf("it doesn't say %q", text)
		}
	}
	if t.Failed() {
		t.Logf("it says:\n%s", s)
	}
}

func TestEachResultComesOnceThoughAWorkerIsKilled(t *testing.T) {
	testkit.NoLeak(t)
	const n = 60
	root, lines := tree(t, n)
	var stdout bytes.Buffer
	stderr := new(story)
	if status := command(t.Context(), []string{"-delay", "30ms", root}, &stdout, stderr); status != 0 {
		t.Errorf("exit status %d", status)
	}
	if stdout.String() != lines {
		t.Errorf("standard output:\n%s\nwant:\n%s", &stdout, lines)
	}
	stderr.says(t, "worker 3 started, pid ", "worker 2 killed, pid ", " tasks in its hands\n",
		"files:    60\n", "results:  60; 60 files have exactly one, 0 failed\n", "checked:  60 are", ", 0 are not")
	inHand, again := stderr.number(`with (\d+) tasks in its hands`), stderr.number(`executed: (\d+) files`)
	if inHand < 1 || again < inHand {
		t.Errorf("%d tasks died with the worker, and %d were executed again", inHand, again)
	}
	byWorkers := 0
	for _, found := range regexp.MustCompile(`worker \d: (\d+)`).FindAllStringSubmatch(stderr.String()[strings.Index(stderr.String(), "by: "):], -1) {
		k, _ := strconv.Atoi(found[1])
		byWorkers += k
	}
	if byWorkers != n {
		t.Errorf("the workers have %d results together", byWorkers)
	}
}

func TestNobodyIsKilled(t *testing.T) {
	root, lines := tree(t, 20)
	var stdout bytes.Buffer
	stderr := new(story)
	args := []string{"-delay", "0", "-kill=false", "-check=false", "-workers", "1", "-concurrency", "2", root}
	if status := command(t.Context(), args, &stdout, stderr); status != 0 || stdout.String() != lines {
		t.Errorf("exit status %d\n%s", status, &stdout)
	}
	stderr.says(t, "results:  20; 20 files have exactly one", "by:       worker 1: 20\n", "executed: 0 files")
	if text := stderr.String(); strings.Contains(text, "killed") || strings.Contains(text, "checked") {
		t.Errorf("it says:\n%s", text)
	}
}

func TestFolderThatIsNotThere(t *testing.T) {
	missing, empty := filepath.Join(t.TempDir(), "missing"), t.TempDir()
	for folder, says := range map[string]string{
		missing: "cluster: " + (&fs.PathError{Op: "lstat", Path: missing, Err: fs.ErrNotExist}).Error()[:len("lstat ")+len(missing)],
		empty:   "cluster: there is no file in " + empty + "\n",
	} {
		var stdout bytes.Buffer
		stderr := new(story)
		if status := command(t.Context(), []string{folder}, &stdout, stderr); status != 1 || stdout.Len() > 0 {
			t.Errorf("exit status %d\n%s", status, &stdout)
		}
		stderr.says(t, says)
	}
}

func TestUsage(t *testing.T) {
	for args, says := range map[string]string{
		"a b":            `cluster: one folder at most, not also "b"`,
		"-workers 0":     "cluster: -workers must be at least 1, not 0",
		"-workers 1":     "cluster: nobody would be left: -workers 1 needs -kill=false",
		"-concurrency 0": "cluster: -concurrency must be at least 1, not 0",
		"-delay -1s":     "cluster: -delay must not be negative, as -1s is",
		"-nonsense":      "-nonsense",
	} {
		stderr := new(story)
		if status := command(t.Context(), strings.Fields(args), io.Discard, stderr); status != 2 {
			t.Errorf("%s: exit status %d", args, status)
		}
		stderr.says(t, says)
	}
	if status := command(t.Context(), []string{"-h"}, io.Discard, io.Discard); status != 0 {
		t.Errorf("-h: exit status %d", status)
	}
}

func TestWhatIsWrongIsTold(t *testing.T) {
	root := t.TempDir()
	right, other, gone := filepath.Join(root, "right"), filepath.Join(root, "other"), filepath.Join(root, "gone")
	for _, path := range []string{right, other} {
		if err := os.WriteFile(path, nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	stderr := new(story)
	r := newReport(stderr, []string{right, other, gone, "twice", "never"}, 2)
	r.began = time.Now().Add(time.Hour)
	digest, _ := digestOf(right)
	r.result(right, sum{digest, "1"}, nil)
	r.result(other, sum{Worker: "2"}, nil)
	r.result(gone, sum{}, errors.New("gone: no such file"))
	r.result("twice", sum{}, io.EOF)
	r.result("twice", sum{}, io.EOF)
	err := r.summary(true, true)
	if err == nil {
		t.Fatal("nothing is wrong")
	}
	for _, text := range []string{"twice has 2 results", "never has 0 results", "3 files could not be hashed", other + ": the cluster says 0000"} {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%q is not in the error:\n%v", text, err)
		}
	}
	stderr.says(t, "cluster: gone: no such file\n", "3 files have exactly one, 3 failed", "killed:   nobody", "checked:  1 are what this process says, 1 are not, 0 were")
}

var pid = regexp.MustCompile(`worker (\d) started, pid (\d+)\n`)

// gone waits for the end of the workers of which text tells.
func gone(t *testing.T, text string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		return // os.Process.Signal can't ask there
	}
	found := pid.FindAllStringSubmatch(text, -1)
	if len(found) == 0 {
		t.Fatalf("there were no workers:\n%s", text)
	}
	for _, f := range found {
		n, _ := strconv.Atoi(f[2])
		p, err := os.FindProcess(n)
		// By the real clock: a process ends when it does.
		for end := time.Now().Add(3 * grace); err == nil && p.Signal(syscall.Signal(0)) == nil; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				p.Kill()
				t.Errorf("worker %s lives", f[1])
			}
		}
	}
}

func TestInterruptEndsTheWorkers(t *testing.T) {
	testkit.NoLeak(t)
	root, _ := tree(t, 200)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stderr := &story{tell: func(text string) {
		if strings.Contains(text, " of 200 files") {
			cancel()
		}
	}}
	var stdout bytes.Buffer
	if status := command(ctx, []string{root}, &stdout, stderr); status != 130 || stdout.Len() > 0 {
		t.Errorf("exit status %d\n%s", status, &stdout)
	}
	stderr.says(t, "cluster: interrupted\n")
	gone(t, stderr.String())
}

// A worker that dies by itself is not waited for.
func TestAWorkerThatDiesEndsIt(t *testing.T) {
	root, _ := tree(t, 200)
	stderr := new(story)
	stderr.tell = func(text string) {
		if strings.Contains(text, " of 200 files") {
			n, _ := strconv.Atoi(pid.FindStringSubmatch(stderr.text.String())[2])
			if p, err := os.FindProcess(n); err == nil {
				p.Kill()
			}
		}
	}
	if status := command(t.Context(), []string{"-kill=false", root}, io.Discard, stderr); status != 1 {
		t.Errorf("exit status %d", status)
	}
	stderr.says(t, "cluster: worker 1 ended, and was not asked to: ")
	gone(t, stderr.String())
}

// The workers end when the parent is killed, which then can't tell them.
func TestWorkersDieWithTheParent(t *testing.T) {
	root, _ := tree(t, 200)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	parent := exec.Command(self)
	parent.Env = append(os.Environ(), parentEnv+"="+root, "TMPDIR="+t.TempDir())
	stderr := new(story)
	stderr.tell = func(text string) {
		if strings.Contains(text, " of 200 files") {
			parent.Process.Kill()
		}
	}
	parent.Stderr = stderr
	if err := parent.Run(); err == nil {
		t.Error("the parent was not killed")
	}
	gone(t, stderr.String())
}
