package antflow_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The pages name tests for what they claim. Each is there, in some package; a
// star stands for the rest of a name.
func TestDocsNameTests(t *testing.T) {
	declared := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	var names strings.Builder // one in each line
	err := filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, m := range declared.FindAllSubmatch(source, -1) {
			names.WriteString("\n" + string(m[1]) + "\n")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	pages, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	named := 0
	for _, page := range append(pages, "README.md", "CONTRIBUTING.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile("`(Test[A-Z]\\w*)(\\*?)`").FindAllStringSubmatch(string(text), -1) {
			named++
			want := "\n" + m[1]
			if m[2] == "" {
				want += "\n"
			}
			if !strings.Contains(names.String(), want) {
				t.Errorf("%s names %s%s, which does not exist", page, m[1], m[2])
			}
		}
	}
	if named < 100 {
		t.Errorf("only %d names were found", named)
	}
}
