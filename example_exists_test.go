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

const pythonGuide = "docs/coming-from-python.md"

// withoutExample are the methods that speak for themselves: those of the
// interfaces error and fmt.Formatter, and of package errors.
var withoutExample = []string{"Error", "Unwrap", "Is", "Format", "String"}

// TestExampleExists demands an example for each exported function and method,
// those included that a type has from an embedded one.
func TestExampleExists(t *testing.T) {
	examples := parsedExamples(t)
	names := exportedFuncs(parsedFiles(t, func(name string) bool { return !strings.HasSuffix(name, "_test.go") }))
	if len(names) < 50 {
		t.Fatalf("found only %d exported functions and methods: %v", len(names), names)
	}
	for _, name := range names {
		if _, method, ok := strings.Cut(name, "_"); ok && slices.Contains(withoutExample, method) {
			continue
		}
		if examples[name] == nil {
			t.Errorf("%s has no Example%s", strings.ReplaceAll(name, "_", "."), name)
		}
	}
}

// TestExampleOutput demands that each example runs: one without an output
// comment is only compiled.
func TestExampleOutput(t *testing.T) {
	for name, x := range parsedExamples(t) {
		if x.Output == "" && !x.EmptyOutput {
			t.Errorf("Example%s has no output comment", name)
		}
	}
}

// TestPythonGuide holds the guide to the examples: each row of its table and
// each snippet is one that runs, and none is missing there.
func TestPythonGuide(t *testing.T) {
	text, err := os.ReadFile(pythonGuide)
	if err != nil {
		t.Fatal(err)
	}
	guide := string(text)
	examples := parsedExamples(t)

	exampleName := regexp.MustCompile(`\bExample[A-Z_]\w*`)
	named := make(map[string]bool)
	for _, name := range exampleName.FindAllString(guide, -1) {
		named[strings.TrimPrefix(name, "Example")] = true
	}
	for name := range named {
		if examples[name] == nil {
			t.Errorf("the guide names Example%s, which does not exist", name)
		}
	}
	for name := range examples {
		if strings.HasPrefix(name, "_python") && !named[name] {
			t.Errorf("the guide does not name Example%s", name)
		}
	}

	rows := 0
	for line := range strings.Lines(guide) {
		if strings.HasPrefix(line, "|") && !strings.HasPrefix(line, "|---") && !strings.HasPrefix(line, "| Python") {
			rows++
			if !exampleName.MatchString(line) {
				t.Errorf("a row names no example: %s", line)
			}
		}
	}
	if rows == 0 {
		t.Error("the guide has no table")
	}

	source := "\n"
	for name := range parsedFiles(t, func(name string) bool { return strings.HasPrefix(name, "example_python") }) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		source += unindented(string(text))
	}
	snippets := regexp.MustCompile("(?ms)^```go\n(.*?)^```").FindAllStringSubmatch(guide, -1)
	if len(snippets) == 0 {
		t.Error("the guide has no snippets in Go")
	}
	for _, s := range snippets {
		if !strings.Contains(source, "\n"+unindented(s[1])) {
			t.Errorf("no example contains this snippet:\n%s", s[1])
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

func parsedFiles(t *testing.T, keep func(name string) bool) map[string]*ast.File {
	t.Helper()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string]*ast.File)
	fset := token.NewFileSet()
	for _, name := range names {
		if keep(name) {
			files[name], err = parser.ParseFile(fset, name, nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	return files
}

// parsedExamples are the package's examples, by name without the "Example".
func parsedExamples(t *testing.T) map[string]*doc.Example {
	t.Helper()
	files := parsedFiles(t, func(name string) bool { return strings.HasSuffix(name, "_test.go") })
	examples := make(map[string]*doc.Example)
	for _, x := range doc.Examples(slices.Collect(maps.Values(files))...) {
		examples[x.Name] = x
	}
	return examples
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
			all = append(all, methodsOf(inner)...)
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
