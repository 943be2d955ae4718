package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

const (
	good   = 130 // files that parse, in most trees: more than a batch
	few    = 20  // in others
	broken = 12  // that don't
)

// tree makes a tree of n Go files, with 5 lines and one function each, of
// broken ones, and of some that only look like Go files.
func tree(t *testing.T, n int) (root string) {
	t.Helper()
	root = resolved(t, t.TempDir())
	for i := range n {
		put(t, goodFile(root, i), fmt.Sprintf("package p\n\nfunc f%d() int {\n\treturn %d\n}\n", i, i))
	}
	for i := range broken {
		put(t, filepath.Join(root, "p", fmt.Sprintf("broken%d.go", i)), "package p\n\nfunc {\n")
	}
	put(t, filepath.Join(root, "p", "README"), "package")
	if err := os.Mkdir(filepath.Join(root, "p", "dir.go"), 0o777); err != nil {
		t.Fatal(err)
	}
	return root
}

// resolved is dir by the name that the program has for it.
func resolved(t *testing.T, dir string) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// goodFile is the file at place i of the walk among those that parse.
func goodFile(root string, i int) string {
	return filepath.Join(root, fmt.Sprintf("q%d", i/100), fmt.Sprintf("f%02d.go", i%100))
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// lines is the output for the first n good files of a tree.
func lines(root string, n int) string {
	var b strings.Builder
	for i := range n {
		path := goodFile(root, i)
		info, err := os.Stat(path)
		if err != nil {
			panic(err)
		}
		fmt.Fprintf(&b, `{"path":%q,"package":"p","bytes":%d,"lines":5,"imports":0,"functions":1,"statements":1,"comments":0}`+"\n",
			path, info.Size())
	}
	return b.String()
}

// measured is the output of a run over a tree that nothing happened to.
func measured(t *testing.T, root string) (output string) {
	t.Helper()
	output = filepath.Join(t.TempDir(), "out")
	status, stderr := runCommand(t.Context(), "-o", output, "-flaky", "0", root)
	want(t, status, 0, stderr)
	return output
}

func runCommand(ctx context.Context, args ...string) (status int, stderr string) {
	var errs bytes.Buffer
	status = run(ctx, args, io.Discard, &errs)
	return status, errs.String()
}

// want fails the test when the program did not end with status, or did not say
// each of texts.
func want(t *testing.T, status, wantStatus int, stderr string, texts ...string) {
	t.Helper()
	if status != wantStatus {
		t.Errorf("exit status %d, want %d", status, wantStatus)
	}
	for _, text := range texts {
		if !strings.Contains(stderr, text) {
			t.Errorf("lacks %q", text)
		}
	}
	if t.Failed() {
		t.Log(stderr)
	}
}

// fakeOpen replaces open for one test and counts its calls.
func fakeOpen(t *testing.T, fake func(name string) (io.ReadCloser, error)) *atomic.Int64 {
	real, calls := open, new(atomic.Int64)
	t.Cleanup(func() { open = real })
	open = func(name string) (io.ReadCloser, error) {
		calls.Add(1)
		return fake(name)
	}
	return calls
}

func osOpen(name string) (io.ReadCloser, error) { return os.Open(name) }

func TestEveryFileHasItsLine(t *testing.T) {
	root := tree(t, good)
	for _, workers := range []string{"1", "4", "100"} {
		output := filepath.Join(t.TempDir(), "out")
		status, stderr := runCommand(t.Context(), "-workers", workers, "-flaky", "0", "-check", "-o", output, root)
		want(t, status, 0, stderr,
			fmt.Sprintf("%d files of %s in ", good+broken, root),
			fmt.Sprintf(" s: %d measured, %d failed, 0 had a line\n", good, broken),
			fmt.Sprintf("%d lines of code, %d functions in %s\n", 5*good, good, output),
			"check: a plain loop over the files finds the same\n")
		if got := get(t, output); got != lines(root, good) {
			t.Errorf("%s workers: wrong output:\n%s", workers, got)
		}
	}
}

func TestMeasures(t *testing.T) {
	root, output := t.TempDir(), filepath.Join(t.TempDir(), "out")
	path := filepath.Join(resolved(t, root), "<&>.go")
	text := `// Package a is documented.
package a

import "fmt"
import "os"

/* two
lines */

type t struct{ f func() }

func (t) m() {
	if x := 1; x > 0 {
		func() { fmt.Println(x) }()
	}; // empty
}

func main() { os.Exit(0) }`
	put(t, path, text)
	status, stderr := runCommand(t.Context(), "-check", "-o", output, root)
	want(t, status, 0, stderr)
	line := fmt.Sprintf(`{"path":%q,"package":"a","bytes":%d,"lines":18,"imports":2,"functions":2,"statements":5,"comments":3}`+"\n", path, len(text))
	if got := get(t, output); got != line {
		t.Errorf("got %swant %s", got, line)
	}
}

func TestFailuresAreReportedAndTheRestDone(t *testing.T) {
	root, output := tree(t, good), filepath.Join(t.TempDir(), "out")
	locked := goodFile(root, good-1)
	opened := fakeOpen(t, func(name string) (io.ReadCloser, error) {
		if name == locked {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
		}
		return os.Open(name)
	})
	status, stderr := runCommand(t.Context(), "-workers", "1", "-flaky", "0", "-o", output, root)
	want(t, status, 1, stderr,
		fmt.Sprintf(" s: %d measured, %d failed, ", good-1, broken+1),
		fmt.Sprintf("\n%d failed at parse (scanner.ErrorList): p/broken", broken),
		fmt.Sprintf(".go, %d more\nthe first: %s", broken-3, filepath.Join(root, "p", "broken")),
		".go:3:6: expected 'IDENT'",
		"\n1 failed at read (permission denied): q1/f29.go\nthe first: open "+locked+": permission denied\n")
	if got := get(t, output); got != lines(root, good-1) {
		t.Errorf("got:\n%s", got)
	}
	if n := opened.Load(); n != good+broken {
		t.Errorf("%d files opened, want %d: no retry makes a file readable", n, good+broken)
	}
}

func TestFlakyReadsAreRetried(t *testing.T) {
	root := tree(t, few)
	for _, flaky := range []string{"0", "0.3", "1"} {
		output := filepath.Join(t.TempDir(), "out")
		args := []string{"-flaky", flaky, "-seed", "7", "-o", output, root}
		cfg, err := parse(args)
		if err != nil {
			t.Fatal(err)
		}
		read, retried, lost := 0, 0, 0
		for f := range walk(root) {
			attempt := 1
			for attempt <= retries+1 && cfg.fails(f.path, attempt) {
				attempt++
			}
			if attempt > retries+1 {
				lost++
				retried += retries
			} else {
				read++
				retried += attempt - 1
			}
		}
		synctest.Test(t, func(t *testing.T) {
			status, stderr := runCommand(t.Context(), args...)
			want(t, status, min(lost, 1), stderr, fmt.Sprintf("\nread      %8d %8d %8d %8d ", readers, read, lost, retried))
			if lost > 0 {
				want(t, status, 1, stderr, fmt.Sprintf("\n%d failed at read (the reader is flaky): ", lost), "after 6 attempts")
			}
		})
		if n := strings.Count(get(t, output), "\n"); lost == 0 && n != few || flaky == "1" && n != 0 {
			t.Errorf("flaky %s: %d lines", flaky, n)
		}
		if flaky == "0.3" && (retried < 5 || lost > 1) {
			t.Errorf("flaky 0.3: %d retries, %d lost", retried, lost)
		}
	}
}

// endless is a file that never ends, at a second for each read; in a bubble, so
// of fake time.
type endless struct{}

func (endless) Read(p []byte) (int, error) { time.Sleep(time.Second); return len(p), nil }
func (endless) Close() error               { return nil }

func TestTimeout(t *testing.T) {
	root, output := tree(t, few), filepath.Join(t.TempDir(), "out")
	synctest.Test(t, func(t *testing.T) {
		fakeOpen(t, func(name string) (io.ReadCloser, error) {
			if name == goodFile(root, few-1) {
				return endless{}, nil
			}
			return os.Open(name)
		})
		start := time.Now()
		status, stderr := runCommand(t.Context(), "-flaky", "0", "-o", output, root)
		want(t, status, 1, stderr, "\n1 failed at read (context deadline exceeded): q0/f19.go\n", "after 6 attempts")
		if took := time.Since(start); took < 6*readTimeout || took > 7*readTimeout {
			t.Errorf("took %v", took)
		}
	})
	if got := get(t, output); got != lines(root, few-1) {
		t.Errorf("got:\n%s", got)
	}
}

func TestResume(t *testing.T) {
	root := tree(t, good)
	output := measured(t, root)
	whole := get(t, output)
	second := strings.Index(whole, "\n") + 1
	for _, size := range []int{0, 1, len(head), 50, second - 1, second, second + 1, len(whole) / 2, len(whole) - 1, len(whole)} {
		if err := os.WriteFile(output, []byte(whole[:size]), 0o666); err != nil {
			t.Fatal(err)
		}
		opened := fakeOpen(t, osOpen)
		status, stderr := runCommand(t.Context(), "-flaky", "0", "-check", "-o", output, root)
		had := strings.Count(whole[:size], "\n")
		want(t, status, 0, stderr, fmt.Sprintf(" s: %d measured, %d failed, %d had a line\n", good-had, broken, had),
			fmt.Sprintf("%d lines of code, %d functions in ", 5*good, good))
		if n := opened.Load(); n != int64(good-had+broken) {
			t.Errorf("%d bytes there: %d files read, want %d", size, n, good-had+broken)
		}
		if get(t, output) != whole {
			t.Errorf("%d bytes there: the output is not that of a single run", size)
		}
	}
}

func TestInterrupt(t *testing.T) {
	root := tree(t, good)
	for _, test := range []struct{ at, had int }{{0, 0}, {99, 0}, {100, 100}, {good - 1, 100}} {
		output := filepath.Join(t.TempDir(), "out")
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			fakeOpen(t, func(name string) (io.ReadCloser, error) {
				if name == goodFile(root, test.at) {
					time.Sleep(time.Second) // in the bubble: until all before it is written
					cancel()
				}
				return os.Open(name)
			})
			status, stderr := runCommand(ctx, "-flaky", "0", "-check", "-o", output, root)
			want(t, status, 130, stderr, fmt.Sprintf(" s: %d measured, ", test.had),
				"etl: interrupted; the same command goes on from here\n")
			if strings.Contains(stderr, "canceled") {
				t.Errorf("an interrupted file counts as failed:\n%s", stderr)
			}
		})
		if got := get(t, output); got != lines(root, test.had) {
			t.Errorf("interrupted at %d:\n%s", test.at, got)
		}
		status, stderr := runCommand(t.Context(), "-flaky", "0", "-check", "-o", output, root)
		want(t, status, 0, stderr, fmt.Sprintf(" s: %d measured, %d failed, %d had a line\n", good-test.had, broken, test.had))
		if got := get(t, output); got != lines(root, good) {
			t.Errorf("interrupted at %d and resumed:\n%s", test.at, got)
		}
	}
}

func TestInterruptedBeforeTheStart(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	output := filepath.Join(t.TempDir(), "out")
	status, stderr := runCommand(ctx, "-check", "-o", output, tree(t, few))
	want(t, status, 130, stderr, " s: 0 measured, 0 failed, 0 had a line\n", "etl: interrupted")
	if got := get(t, output); got != "" {
		t.Errorf("got:\n%s", got)
	}
}

func TestCheckFinds(t *testing.T) {
	for _, test := range []struct {
		name   string
		tamper func(t *testing.T, root, output string)
		says   []string
	}{
		{"a wrong number of lines", func(t *testing.T, _, output string) {
			put(t, output, strings.Replace(get(t, output), `"lines":5`, `"lines":6`, 1))
		}, []string{"101 lines of code, but a plain loop finds 100"}},
		{"a wrong number of functions", func(t *testing.T, _, output string) {
			put(t, output, strings.Replace(get(t, output), `"functions":1`, `"functions":0`, 1))
		}, []string{"19 functions, but a plain loop finds 20"}},
		{"a file that has changed", func(t *testing.T, root, _ string) {
			put(t, goodFile(root, 0), "package p\n")
		}, []string{"100 lines of code, but a plain loop finds 96", "20 functions, but a plain loop finds 19"}},
		{"a file that has gone", func(t *testing.T, root, _ string) {
			os.Remove(goodFile(root, 0))
		}, []string{"20 files that parse, but a plain loop finds 19"}},
		{"a file that parses no more", func(t *testing.T, root, _ string) {
			put(t, goodFile(root, 0), "package")
		}, []string{"20 files that parse, but a plain loop finds 19", "12 files that fail, but a plain loop finds 13"}},
		{"a failure that was none", func(t *testing.T, root, _ string) {
			fakeOpen(t, func(name string) (io.ReadCloser, error) {
				return os.Open(strings.ReplaceAll(name, filepath.Join("p", "broken0.go"), filepath.Join("q0", "f00.go")))
			})
		}, []string{"21 files that parse, but a plain loop finds 20", "11 files that fail, but a plain loop finds 12"}},
		{"a file that the run doesn't see", func(t *testing.T, root, _ string) {
			fakeOpen(t, func(name string) (io.ReadCloser, error) {
				put(t, filepath.Join(root, "a.go"), "package")
				return os.Open(name)
			})
		}, []string{"32 files, but a plain loop finds 33", "12 files that fail, but a plain loop finds 13"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			root := tree(t, few)
			output := measured(t, root)
			test.tamper(t, root, output)
			status, stderr := runCommand(t.Context(), "-workers", "1", "-flaky", "0", "-check", "-o", output, root)
			want(t, status, 1, stderr)
			for _, says := range test.says {
				want(t, status, 1, stderr, "etl: check: "+says+"\n")
			}
		})
	}
}

func TestForeignOutputIsLeftAlone(t *testing.T) {
	root := t.TempDir()
	line := `{"path":"a.go","lines":1}` + "\n"
	for _, test := range []struct{ text, says string }{
		{"x", "line 1 is none of this program"},
		{"package main\n", "line 1 is none of this program"},
		{"{}\n", "line 1 is none of this program"},
		{line + "\n", "line 2 is none of this program"},
		{line + `{"path":"b.go"` + "\n", "line 2 is none of this program"},
		{line + `{"line":"`, "line 2 is none of this program"},
		{line + line, "line 2 is another one for a.go"},
	} {
		output := filepath.Join(t.TempDir(), "out")
		put(t, output, test.text)
		status, stderr := runCommand(t.Context(), "-o", output, root)
		want(t, status, 1, stderr, "etl: "+output+": "+test.says+"\n")
		if got := get(t, output); got != test.text {
			t.Errorf("%q became %q", test.text, got)
		}
	}
}

func TestOutputFails(t *testing.T) {
	root := tree(t, few)
	status, stderr := runCommand(t.Context(), "-o", root, root)
	want(t, status, 1, stderr, "etl: open "+root+": ")
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip(err)
	}
	status, stderr = runCommand(t.Context(), "-o", "/dev/full", "-flaky", "0", root)
	want(t, status, 1, stderr, " s: 0 measured, ", "\netl: output: write /dev/full: no space left on device\n")
	status, stderr = runCommand(t.Context(), "-o", "/dev/full", "-check", root)
	want(t, status, 1, stderr, "etl: /dev/full can't be read back, which -check does\n")
}

func TestUsage(t *testing.T) {
	for _, test := range []struct{ args, says string }{
		{"-workers 0", "etl: -workers must be at least 1, not 0\nusage: "},
		{"-flaky 1.1", "etl: -flaky must be from 0 to 1, not 1.1\n"},
		{"-flaky NaN", "etl: -flaky must be from 0 to 1, not NaN\n"},
		{"-seed x", `"x"`},
		{"-nonsense", "etl: flag provided but not defined: -nonsense\n"},
		{"a b", `etl: unexpected argument "b"` + "\n"},
		{"no/such/tree", "etl: "},
	} {
		status, stderr := runCommand(t.Context(), strings.Fields(test.args)...)
		want(t, status, 2, stderr, test.says, "usage: etl ")
	}
	var stdout, stderr bytes.Buffer
	if status := run(t.Context(), []string{"-h"}, &stdout, &stderr); status != 0 || stdout.String() != usage || stderr.Len() > 0 {
		t.Errorf("-h: %d, %q, %q", status, &stdout, &stderr)
	}
	cfg, err := parse(nil)
	if _, statErr := os.Stat(filepath.Join(cfg.root, "fmt", "print.go")); err != nil || statErr != nil {
		t.Errorf("the standard library: %v, %v", err, statErr)
	}
}
