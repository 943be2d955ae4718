package bench

import (
	"bytes"
	"fmt"
	"os"
)

// The output is put between these lines of a page.
const (
	pageBegin = "<!-- compare: begin -->\n"
	pageEnd   = "<!-- compare: end -->\n"
)

// UpdatePage replaces what is between the marks in the named file.
func UpdatePage(name string, output []byte) error {
	page, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	page, err = replaceMarked(page, output)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return os.WriteFile(name, page, 0o644)
}

func replaceMarked(page, output []byte) ([]byte, error) {
	head, rest, ok := bytes.Cut(page, []byte(pageBegin))
	_, tail, ok2 := bytes.Cut(rest, []byte(pageEnd))
	if !ok || !ok2 {
		return nil, fmt.Errorf("no lines %q and %q", pageBegin, pageEnd)
	}
	return bytes.Join([][]byte{head, []byte(pageBegin + "\n"), output, []byte("\n" + pageEnd), tail}, nil), nil
}
