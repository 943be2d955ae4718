package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clusterbench "github.com/antflow/antflow/bench/cluster"
)

// commandVariable has the arguments of a process that is the command.
const commandVariable = "ANTFLOW_BENCH_COMMAND"

func TestMain(m *testing.M) {
	clusterbench.Child()
	if args := os.Getenv(commandVariable); args != "" {
		os.Exit(run(strings.Fields(args), os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// tempDir is where the command puts its folders. It isn't t.TempDir, which
// PostgreSQL's user may not enter, nor a socket have in its name.
func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "antflow-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", dir)
	return dir
}

func entries(t *testing.T, dir string) int {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// TestShort runs all that can be measured here, once.
func TestShort(t *testing.T) {
	if testing.Short() {
		t.Skip("it measures each contender once")
	}
	doc := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(doc, []byte("<!-- compare: begin -->\n<!-- compare: end -->\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	temp := tempDir(t)
	var stdout, stderr strings.Builder
	if code := run([]string{"-short", "-doc", doc}, &stdout, &stderr); code != 0 {
		t.Fatalf("exit status %d: %s", code, &stderr)
	}
	for _, want := range []string{
		"cluster -short", "GOMAXPROCS", "nats-server ", "| River on PostgreSQL |", "### throughput", "### round-trip", "### memory",
		"bare loop ≥ 0.5x", "antflow ≤ 3x", "submitter, growth",
	} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("no %q in\n%s", want, &stdout)
		}
	}
	page, err := os.ReadFile(doc)
	if err != nil || !strings.Contains(string(page), stdout.String()) {
		t.Errorf("the page is not what was printed: %q, %v", page, err)
	}
	if n := entries(t, temp); n > 0 {
		t.Errorf("%d folders are left", n)
	}
}

// A command that is killed leaves no folder, so no process that has one either.
func TestKilled(t *testing.T) {
	temp := tempDir(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), commandVariable+"=-rows throughput -patience 0")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for entries(t, temp) == 0 {
		// By the real clock: another process begins.
		time.Sleep(time.Millisecond)
	}
	// By the real clock: another process, to be killed in the middle.
	time.Sleep(500 * time.Millisecond) // wherever it is then
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	// By the real clock: processes clean up behind one that was killed.
	for end := time.Now().Add(time.Minute); entries(t, temp) > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d folders are left", entries(t, temp))
		}
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{{"-rows", "("}, {"-rounds", "0"}, {"stray"}, {"-unknown"}} {
		var stdout, stderr strings.Builder
		if code := run(args, &stdout, &stderr); code != 2 || stderr.Len() == 0 {
			t.Errorf("%q: exit status %d, %q", args, code, &stderr)
		}
	}
	var stdout, stderr strings.Builder
	if code := run([]string{"-rows", "nothing matches"}, &stdout, &stderr); code != 1 {
		t.Errorf("no row matches: exit status %d", code)
	}
}
