package progress_test

import (
	"go/build"
	"slices"
	"strings"
	"testing"
)

// Beside the standard library and antflow there is what knows terminals, and
// nothing else.
func TestImports(t *testing.T) {
	allowed := []string{
		"github.com/antflow/antflow", "github.com/antflow/antflow/pipeline",
		"github.com/clipperhouse/displaywidth", "golang.org/x/term", "golang.org/x/sys/windows",
	}
	for _, system := range []string{"linux", "darwin", "windows"} {
		target := build.Default
		target.GOOS = system
		p, err := target.ImportDir(".", 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range p.Imports {
			first, _, _ := strings.Cut(path, "/")
			if strings.Contains(first, ".") && !slices.Contains(allowed, path) || first == "net" {
				t.Errorf("%s: imports %s", system, path)
			}
		}
		if len(p.Imports) < 10 {
			t.Errorf("%s: only %d imports were looked at", system, len(p.Imports))
		}
	}
}
