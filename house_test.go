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

// The packages of the root module import the standard library and one another
// alone, and nothing of it that brings a network stack along, but for the
// dashboard, which nothing imports. Without unsafe they can't have a linkname
// either.
func TestImports(t *testing.T) {
	const module = "github.com/antflow/antflow"
	seen := make(map[string]bool)
	network := false
	var visit func(p *build.Package)
	visit = func(p *build.Package) {
		own := strings.HasPrefix(p.Dir, ".")
		if own && !network && p.Dir == "./dashboard" {
			t.Error("something imports the dashboard")
		}
		for _, path := range p.Imports {
			if own && (path == "unsafe" || path == "C") {
				t.Errorf("%s imports %s", p.Dir, path)
			}
			if seen[path] || path == "C" || path == "unsafe" {
				continue
			}
			seen[path] = true
			var inner *build.Package
			var err error
			first, _, _ := strings.Cut(path, "/")
			dir, inside := strings.CutPrefix(path, module)
			switch {
			case inside:
				inner, err = build.ImportDir("."+dir, 0)
			case strings.Contains(first, "."):
				if own { // the standard library has what it vendors
					t.Errorf("%s imports %s", p.Dir, path)
				}
				continue
			case path == "testing" || !network && (path == "net" || path == "net/http"):
				t.Errorf("%s imports %s", p.Dir, path)
				continue
			case first == "vendor":
				continue
			default:
				inner, err = build.Import(path, "", 0)
			}
			if err != nil {
				t.Fatal(err)
			}
			visit(inner)
		}
	}
	for _, dir := range []string{".", "./pipeline", "./dashboard"} {
		network = dir == "./dashboard"
		pkg, err := build.ImportDir(dir, 0)
		if err != nil {
			t.Fatal(err)
		}
		visit(pkg)
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
