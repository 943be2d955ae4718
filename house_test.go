package antflow_test

import (
	"context"
	"go/build"
	"strings"
	"testing"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/testkit"
)

// The package imports the standard library alone, and nothing of it that
// brings a network stack along. Without unsafe it can't have a linkname either.
func TestImports(t *testing.T) {
	pkg, err := build.ImportDir(".", 0)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	var visit func(path, from string)
	visit = func(path, from string) {
		if seen[path] || path == "C" || path == "unsafe" {
			return
		}
		seen[path] = true
		first, _, _ := strings.Cut(path, "/")
		switch {
		case strings.Contains(first, "."):
			t.Errorf("%s imports %s", from, path)
			return
		case path == "net" || path == "net/http" || path == "testing":
			t.Errorf("%s imports %s", from, path)
		case first == "vendor":
			return
		}
		p, err := build.Import(path, "", 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, inner := range p.Imports {
			visit(inner, path)
		}
	}
	for _, path := range pkg.Imports {
		if path == "unsafe" || path == "C" {
			t.Errorf("%s imports %s", pkg.ImportPath, path)
		}
		visit(path, pkg.ImportPath)
	}
	if len(seen) < 10 {
		t.Errorf("only %d packages were looked at", len(seen))
	}
}

// A queued task is one allocation: task, future, function and context. Its
// options are shared with others.
func TestSubmitAllocatesOnce(t *testing.T) {
	testkit.NoLeak(t)
	e := antflow.New(1)
	block := make(chan struct{})
	e.Go(context.Background(), func(context.Context) error { <-block; return nil })
	fn := func(context.Context) (int, error) { return 0, nil }
	if n := testing.AllocsPerRun(1000, func() { antflow.Submit(context.Background(), e, fn) }); n != 1 {
		t.Errorf("%v allocations for a Submit", n)
	}
	goFn := func(context.Context) error { return nil }
	if n := testing.AllocsPerRun(1000, func() { e.Go(context.Background(), goFn) }); n != 1 {
		t.Errorf("%v allocations for a Go", n)
	}
	opts := []antflow.TaskOption{antflow.TaskName("name"), antflow.Retries(3), antflow.RetryDelay(time.Hour), antflow.Priority(1000)}
	if n := testing.AllocsPerRun(1000, func() { antflow.Submit(context.Background(), e, fn, opts...) }); n != 1 {
		t.Errorf("%v allocations for a Submit with options", n)
	}
	if n := testing.AllocsPerRun(1000, func() { antflow.Submit(context.Background(), e, fn, antflow.Priority(100)) }); n != 1 {
		t.Errorf("%v allocations for a Submit with a priority", n)
	}
	close(block)
	e.Close()
}
