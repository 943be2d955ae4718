package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/antflow/antflow/pipeline"
)

// report prints what happened.
func report(w io.Writer, cfg config, out *output, m *pipeline.Monitor) {
	s := m.Snapshot()
	skipped := uint64(0)
	for _, st := range s.Stages {
		skipped += st.Skipped
	}
	unparsed, others := failed(m)
	fmt.Fprintf(w, "%d files of %s in %.2f s: %d measured, %d failed, %d had a line\n",
		s.Inputs, cfg.root, s.Elapsed.Seconds(), out.now.files, unparsed+others, skipped)
	fmt.Fprintf(w, "%d lines of code, %d functions in %s\n",
		out.before.lines+out.now.lines, out.before.functions+out.now.functions, cfg.output)

	fmt.Fprintf(w, "\n%-9s %8s %8s %8s %8s %8s %8s\n", "stage", "workers", "done", "failed", "retries", "ms each", "seconds")
	for _, st := range s.Stages {
		ended := st.Done + st.Failed + st.Skipped
		fmt.Fprintf(w, "%-9s %8d %8d %8d %8d %8.3f %8.2f\n", st.Name, st.Workers, st.Done, st.Failed, st.Retried,
			float64(st.Worked)/float64(time.Millisecond), st.Worked.Seconds()*float64(ended))
	}
	for _, g := range m.Failures() {
		fmt.Fprintf(w, "\n%d failed at %s (%s): %s\nthe first: %v\n", g.Count, g.Stage, g.Kind, names(cfg, g), g.First.Err)
	}
}

// names are a few of those that failed.
func names(cfg config, g pipeline.FailureGroup) string {
	var some []string
	for _, item := range g.Items[:min(3, len(g.Items))] {
		some = append(some, cfg.rel(item.Key))
	}
	if more := g.Count - uint64(len(some)); more > 0 {
		some = append(some, fmt.Sprintf("%d more", more))
	}
	return strings.Join(some, ", ")
}

// failed counts the files that don't parse, and what else failed.
func failed(m *pipeline.Monitor) (unparsed, others int) {
	for _, g := range m.Failures() {
		if _, ok := errors.AsType[scanner.ErrorList](g.First); ok {
			unparsed += int(g.Count)
		} else {
			others += int(g.Count)
		}
	}
	return unparsed, others
}

// check compares the output, and what the run says of the failures, with a
// plain loop over the same files.
func check(ctx context.Context, cfg config, m *pipeline.Monitor) (problems []string, err error) {
	f, err := os.Open(cfg.output)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	_, got, _, err := load(f)
	if err != nil {
		return nil, err
	}
	want, failures, err := count(ctx, cfg.root)
	if err != nil {
		return nil, err
	}
	unparsed, others := failed(m)
	for _, row := range []struct {
		what      string
		got, want int
	}{
		{"files", int(m.Snapshot().Inputs), want.files + failures},
		{"files that parse", got.files, want.files},
		{"files that fail", unparsed + others, failures},
		{"lines of code", got.lines, want.lines},
		{"functions", got.functions, want.functions},
	} {
		if row.got != row.want {
			problems = append(problems, fmt.Sprintf("%d %s, but a plain loop finds %d", row.got, row.what, row.want))
		}
	}
	return problems, nil
}

// count is the whole job in a plain loop, and shares no code with the stages.
func count(ctx context.Context, root string) (t totals, failures int, err error) {
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			failures++
			return nil
		}
		if !d.Type().IsRegular() || !strings.HasSuffix(path, ".go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			failures++
			return nil
		}
		syntax, err := parser.ParseFile(token.NewFileSet(), path, text, parser.SkipObjectResolution)
		if err != nil {
			failures++
			return nil
		}
		t.files++
		t.lines += bytes.Count(text, []byte("\n"))
		if !bytes.HasSuffix(text, []byte("\n")) {
			t.lines++
		}
		for _, decl := range syntax.Decls {
			if _, ok := decl.(*ast.FuncDecl); ok {
				t.functions++
			}
		}
		return nil
	})
	return t, failures, err
}
