package antflow_test

import (
	"fmt"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// packages are the directories of those that must have an example for each
// exported name, and of which names.
var packages = []struct {
	dir   string
	types bool // for types as well as for functions and methods
	least int  // names; fewer were not all found
}{
	{".", false, 50},
	{"pipeline", true, 70},
	{"dashboard", false, 7},
}

// guides are the pages whose snippets are taken from examples. Those are named
// after the topic, as in Example_pythonMap, and in files that are, as in
// example_python_map_test.go.
var guides = []struct {
	page, dir, topic string
	table            bool // each row of it names an example
}{
	{"docs/coming-from-python.md", ".", "python", true},
	{"docs/coming-from-antflow.md", "pipeline", "antflow", true},
	{"docs/pipelines.md", "pipeline", "guide", false},
	{"docs/observability.md", "examples/observability", "observability", false},
	{"docs/cluster.md", "cluster/embedded", "cluster", false},
}

// withoutExample are the methods that speak for themselves: those of the
// interfaces error and fmt.Formatter, and of package errors.
var withoutExample = []string{"Error", "Unwrap", "Is", "Format", "String"}

// TestExampleExists demands an example for each exported function and method,
// those included that a type has from an embedded one that is not exported.
func TestExampleExists(t *testing.T) {
	for _, p := range packages {
		examples := parsedExamples(t, p.dir)
		files := parsedFiles(t, p.dir, func(name string) bool { return !strings.HasSuffix(name, "_test.go") })
		names := exportedFuncs(files)
		if p.types {
			names = append(names, exportedTypes(files)...)
		}
		if len(names) < p.least {
			t.Fatalf("found only %d exported names in %s: %v", len(names), p.dir, names)
		}
		for _, name := range names {
			if _, method, ok := strings.Cut(name, "_"); ok && slices.Contains(withoutExample, method) {
				continue
			}
			if examples[name] == nil {
				t.Errorf("%s: %s has no Example%s", p.dir, strings.ReplaceAll(name, "_", "."), name)
			}
		}
	}
}

// TestExampleOutput demands that each example runs: one without an output
// comment is only compiled.
func TestExampleOutput(t *testing.T) {
	for _, p := range packages {
		for name, x := range parsedExamples(t, p.dir) {
			if x.Output == "" && !x.EmptyOutput {
				t.Errorf("%s: Example%s has no output comment", p.dir, name)
			}
		}
	}
}

// TestGuides holds the guides to the examples: each snippet, and each row of a
// table, is one that runs, and none is missing there.
func TestGuides(t *testing.T) {
	exampleName := regexp.MustCompile(`\bExample[A-Z_]\w*`)
	snippet := regexp.MustCompile("(?ms)^```go\n(.*?)^```")
	for _, g := range guides {
		text, err := os.ReadFile(g.page)
		if err != nil {
			t.Fatal(err)
		}
		guide := string(text)
		examples := parsedExamples(t, g.dir)
		shown := make(map[string]bool) // the names of those that are on the page
		for _, name := range exampleName.FindAllString(guide, -1) {
			name = strings.TrimPrefix(name, "Example")
			if shown[name] = true; examples[name] == nil {
				t.Errorf("%s names Example%s, which does not exist", g.page, name)
			}
		}

		rows := 0
		for line := range strings.Lines(guide) {
			if g.table && strings.HasPrefix(line, "| ") && !strings.Contains(line, "| Example |") {
				rows++
				if !exampleName.MatchString(line) {
					t.Errorf("a row of %s names no example: %s", g.page, line)
				}
			}
		}
		if g.table && rows == 0 {
			t.Errorf("%s has no table", g.page)
		}

		// The sources, cut where a function begins.
		var parts []string
		for name := range parsedFiles(t, g.dir, func(name string) bool { return strings.HasPrefix(name, "example_"+g.topic) }) {
			source, err := os.ReadFile(filepath.Join(g.dir, name))
			if err != nil {
				t.Fatal(err)
			}
			parts = append(parts, strings.Split(unindented(string(source)), "\nfunc ")...)
		}
		snippets := snippet.FindAllStringSubmatch(guide, -1)
		if len(snippets) == 0 {
			t.Errorf("%s has no snippets in Go", g.page)
		}
		for _, s := range snippets {
			var of []string
			for _, part := range parts {
				if strings.Contains(part, "\n"+unindented(s[1])) {
					name, _, _ := strings.Cut(strings.TrimPrefix(part, "Example"), "(")
					of = append(of, name)
				}
			}
			switch len(of) {
			case 0:
				t.Errorf("no example contains this snippet of %s:\n%s", g.page, s[1])
			case 1: // what several have in common shows none of them
				shown[of[0]] = true
			}
		}
		for name := range examples {
			if strings.HasPrefix(name, "_"+g.topic) && !shown[name] {
				t.Errorf("%s does not show Example%s", g.page, name)
			}
		}
	}
}

// unindented is the text with each line trimmed.
func unindented(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		fmt.Fprintln(&b, strings.TrimSpace(line))
	}
	return b.String()
}

// parsedFiles are the Go files of a directory that are to be kept, by name.
func parsedFiles(t *testing.T, dir string, keep func(name string) bool) map[string]*ast.File {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string]*ast.File)
	fset := token.NewFileSet()
	for _, path := range paths {
		if name := filepath.Base(path); keep(name) {
			files[name], err = parser.ParseFile(fset, path, nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	return files
}

// parsedExamples are a package's examples, by name without the "Example".
func parsedExamples(t *testing.T, dir string) map[string]*doc.Example {
	t.Helper()
	files := parsedFiles(t, dir, func(name string) bool { return strings.HasSuffix(name, "_test.go") })
	examples := make(map[string]*doc.Example)
	for _, x := range doc.Examples(slices.Collect(maps.Values(files))...) {
		examples[x.Name] = x
	}
	return examples
}

// exportedTypes returns the names of the exported types.
func exportedTypes(files map[string]*ast.File) []string {
	var names []string
	for _, file := range files {
		for _, decl := range file.Decls {
			d, ok := decl.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, spec := range d.Specs {
				if ts, ok := spec.(*ast.TypeSpec); ok && ts.Name.IsExported() {
					names = append(names, ts.Name.Name)
				}
			}
		}
	}
	slices.Sort(names)
	return names
}

// exportedFuncs returns the names of the exported functions, and of the
// exported methods of exported types in the form Type_Method, sorted.
func exportedFuncs(files map[string]*ast.File) []string {
	var names []string
	methods := make(map[string][]string)  // by type
	embedded := make(map[string][]string) // types by the struct that embeds them
	for _, file := range files {
		for _, decl := range file.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				switch {
				case !d.Name.IsExported():
				case d.Recv == nil:
					names = append(names, d.Name.Name)
				default:
					typ := typeName(d.Recv.List[0].Type)
					methods[typ] = append(methods[typ], d.Name.Name)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					ts, ok := spec.(*ast.TypeSpec)
					if !ok {
						continue
					}
					st, ok := ts.Type.(*ast.StructType)
					if !ok {
						continue
					}
					for _, f := range st.Fields.List {
						if len(f.Names) == 0 {
							embedded[ts.Name.Name] = append(embedded[ts.Name.Name], typeName(f.Type))
						}
					}
				}
			}
		}
	}
	var methodsOf func(typ string) []string
	methodsOf = func(typ string) []string {
		all := slices.Clone(methods[typ])
		for _, inner := range embedded[typ] {
			if !ast.IsExported(inner) { // else they are that one's
				all = append(all, methodsOf(inner)...)
			}
		}
		return all
	}
	for _, typ := range slices.Concat(slices.Collect(maps.Keys(methods)), slices.Collect(maps.Keys(embedded))) {
		if ast.IsExported(typ) {
			for _, m := range methodsOf(typ) {
				names = append(names, typ+"_"+m)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// typeName is the name of a receiver's or an embedded field's type, without
// pointer and type parameters; of a type from elsewhere it is empty.
func typeName(x ast.Expr) string {
	switch x := x.(type) {
	case *ast.Ident:
		return x.Name
	case *ast.StarExpr:
		return typeName(x.X)
	case *ast.IndexExpr:
		return typeName(x.X)
	case *ast.IndexListExpr:
		return typeName(x.X)
	}
	return ""
}
