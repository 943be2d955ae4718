package main

import (
	"context"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"hash/fnv"
	"io"
	"io/fs"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/pipeline"
)

const (
	readers     = 4 // wait more than they compute
	retries     = 5
	retryDelay  = time.Millisecond
	readTimeout = 10 * time.Second // of one attempt
	batchSize   = 100              // lines of one write

	write = "write" // the stage
)

// stages is what happens to a file. The result is the number of lines that
// were written at a time.
func stages(cfg config, out *output) pipeline.Pipeline[file, int] {
	sources := pipeline.Then(
		pipeline.Filter("new", out.lacks),
		pipeline.Stage("read", cfg.read, pipeline.Workers(readers),
			antflow.Retries(retries),
			antflow.RetryDelay(retryDelay),
			antflow.RetryIf(transient),
			antflow.Timeout(readTimeout)))
	syntax := pipeline.Then(sources, pipeline.Stage("parse", parseFile, pipeline.Workers(cfg.workers)))
	records := pipeline.Then(syntax, pipeline.Stage("measure", measure, pipeline.Workers(cfg.workers)))
	batches := pipeline.Then(records, pipeline.Batch[record](batchSize, 0))
	return pipeline.Then(batches, pipeline.Stage(write, out.write, pipeline.InOrder()))
}

// file is one input: a Go file, or what the walk failed at, which fails where
// it would be read.
type file struct {
	path string
	err  error
}

func (f file) key() string { return f.path }

// walk lists the Go files under root, in lexical order within each directory,
// as far as the caller asks.
func walk(root string) iter.Seq[file] {
	return func(yield func(file) bool) {
		// The error is nil: the callback returns none but SkipAll.
		_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			wanted := err != nil || d.Type().IsRegular() && filepath.Ext(path) == ".go"
			if wanted && !yield(file{path, err}) {
				return fs.SkipAll
			}
			return nil
		})
	}
}

// open is os.Open but in tests.
var open = func(name string) (io.ReadCloser, error) { return os.Open(name) }

type source struct {
	path string
	text []byte
}

func (cfg config) read(ctx context.Context, f file) (source, error) {
	if f.err != nil {
		return source{}, antflow.Permanent(f.err)
	}
	if call, _ := pipeline.CallFrom(ctx); cfg.fails(f.path, call.Attempt) {
		return source{}, errFlaky
	}
	r, err := open(f.path)
	if err != nil {
		return source{}, err
	}
	defer r.Close()
	text, err := io.ReadAll(&ctxReader{ctx, r})
	return source{f.path, text}, err
}

var errFlaky = errors.New("the reader is flaky")

// fails decides by the seed alone, whoever reads the file and whenever.
func (cfg config) fails(path string, attempt int) bool {
	h := fnv.New64a()
	io.WriteString(h, cfg.rel(path))
	rng := rand.New(rand.NewPCG(cfg.seed^h.Sum64(), uint64(attempt)))
	return rng.Float64() < cfg.flaky
}

// rel is the name of a file within the tree, with slashes.
func (cfg config) rel(path string) string {
	if rel, err := filepath.Rel(cfg.root, path); err == nil {
		path = rel
	}
	return filepath.ToSlash(path)
}

// transient reports whether another attempt may fare better.
func transient(err error) bool {
	return !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission)
}

// ctxReader fails once ctx has ended. A context can't stop a read under way,
// so between two of them is where the timeout and Ctrl-C take hold.
type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *ctxReader) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.r.Read(p)
}

type parsed struct {
	path   string
	pos    *token.File
	syntax *ast.File
}

func parseFile(_ context.Context, s source) (parsed, error) {
	fset := token.NewFileSet()
	syntax, err := parser.ParseFile(fset, s.path, s.text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return parsed{}, err
	}
	return parsed{s.path, fset.File(syntax.FileStart), syntax}, nil
}

// record is one line of output to be.
type record struct {
	Path       string `json:"path"` // the first: see head
	Package    string `json:"package"`
	Bytes      int    `json:"bytes"`
	Lines      int    `json:"lines"`
	Imports    int    `json:"imports"`
	Functions  int    `json:"functions"` // and methods, as far as they have a name
	Statements int    `json:"statements"`
	Comments   int    `json:"comments"`
}

func measure(_ context.Context, p parsed) (record, error) {
	r := record{
		Path:    p.path,
		Package: p.syntax.Name.Name,
		Bytes:   p.pos.Size(),
		Lines:   p.pos.LineCount(),
		Imports: len(p.syntax.Imports),
	}
	for _, group := range p.syntax.Comments {
		r.Comments += len(group.List)
	}
	ast.Inspect(p.syntax, func(n ast.Node) bool {
		switch n.(type) {
		case *ast.FuncDecl:
			r.Functions++
		case *ast.BlockStmt, *ast.EmptyStmt:
		case ast.Stmt:
			r.Statements++
		}
		return true
	})
	return r, nil
}
