package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCompare(t *testing.T) {
	dir := t.TempDir()
	svg, doc := filepath.Join(dir, "chart.svg"), filepath.Join(dir, "page.md")
	if err := os.WriteFile(doc, []byte("<!-- compare: begin -->\n<!-- compare: end -->\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr strings.Builder
	args := []string{"-short", "-rows", "^(group-empty|memory-queued)$", "-svg", svg, "-doc", doc}
	if code := run(args, &stdout, &stderr); code != 0 {
		t.Fatalf("exit status %d: %s", code, &stderr)
	}
	for _, want := range []string{"compare -short -rows", "GOMAXPROCS", "### group-empty", "### memory-queued", "pond ResultPool"} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("no %q in\n%s", want, &stdout)
		}
	}
	page, err := os.ReadFile(doc)
	if err != nil || !strings.Contains(string(page), stdout.String()) {
		t.Errorf("the page is not what was printed: %q, %v", page, err)
	}
	if chart, err := os.ReadFile(svg); err != nil || !strings.HasPrefix(string(chart), "<svg ") {
		t.Errorf("chart %q, %v", chart, err)
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
