package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// tree makes files, of which the content is the name, and returns their root.
func tree(t *testing.T, names ...string) string {
	t.Helper()
	root := t.TempDir()
	for _, name := range names {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(name), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func runCommand(ctx context.Context, args ...string) (status int, stdout, stderr string) {
	var out, errs bytes.Buffer
	status = run(ctx, args, &out, &errs)
	return status, out.String(), errs.String()
}

// want fails the test when run did not end with status, or did not say each
// of texts on standard error.
func want(t *testing.T, status, wantStatus int, stderr string, texts ...string) {
	t.Helper()
	if status != wantStatus {
		t.Errorf("exit status %d, want %d", status, wantStatus)
	}
	for _, text := range texts {
		if !strings.Contains(stderr, text) {
			t.Errorf("standard error lacks %q", text)
		}
	}
	if t.Failed() {
		t.Logf("standard error:\n%s", stderr)
	}
	for line := range strings.Lines(stderr) {
		if status != 2 && !strings.HasPrefix(line, "checksum: ") {
			t.Errorf("line without the program's name: %q", line)
		}
	}
}

// lines is the output for names in a directory made by tree: root is the
// argument that was given.
func lines(root string, names ...string) string {
	var b strings.Builder
	for _, name := range names {
		fmt.Fprintf(&b, "%x  %s/%s\n", sha256.Sum256([]byte(name)), root, name)
	}
	return b.String()
}

func TestOutputIsInWalkOrder(t *testing.T) {
	var names []string
	for i := range 300 { // more than Map's window
		names = append(names, fmt.Sprintf("d%d/f%03d", i%3, i))
	}
	root := tree(t, names...)
	slices.Sort(names)
	for _, workers := range []string{"1", "4", "100"} {
		status, stdout, stderr := runCommand(t.Context(), "-workers", workers, root)
		want(t, status, 0, stderr, "300 files, 2100 bytes, ", " MB/s")
		if stdout != lines(root, names...) {
			t.Errorf("%s workers: wrong output:\n%s", workers, stdout)
		}
	}
}

func TestPathsAreAsGiven(t *testing.T) {
	root := tree(t, ".hidden", "a/b")
	t.Chdir(root)
	for _, test := range []struct {
		arg   string
		names []string
	}{
		{".", []string{"./.hidden", "./a/b"}},
		{"./", []string{"./.hidden", "./a/b"}},
		{"a", []string{"a/b"}},
		{"a/", []string{"a/b"}},
		{"./a", []string{"./a/b"}},
		{"a/../a", []string{"a/../a/b"}},
		{"a/b", []string{"a/b"}},
		{"./a//b", []string{"./a//b"}},
		{root, []string{root + "/.hidden", root + "/a/b"}},
	} {
		status, stdout, stderr := runCommand(t.Context(), test.arg)
		want(t, status, 0, stderr)
		var got []string
		for line := range strings.Lines(stdout) {
			got = append(got, strings.TrimSuffix(line[2*sha256.Size+2:], "\n"))
		}
		if filepath.Separator == '/' && !slices.Equal(got, test.names) {
			t.Errorf("%q: %q, want %q", test.arg, got, test.names)
		}
	}
}

// oddNames are what a file may be called and a line of output may not hold.
func oddNames(t *testing.T) []string {
	if runtime.GOOS == "windows" {
		t.Skip("such names can't be made here")
	}
	return []string{
		" leading", "-n", "#comment", "*star", `back\slash`, `ends in \`, "carriage\rreturn", "new\nline",
		"quo\"te'", "tab\t", "ünï", `\n`,
	}
}

func TestOddNames(t *testing.T) {
	names := oddNames(t)
	root := tree(t, names...)
	slices.Sort(names)
	status, stdout, stderr := runCommand(t.Context(), root)
	want(t, status, 0, stderr)
	var expected strings.Builder
	for _, name := range names {
		line := lines(root, name)
		line = strings.TrimSuffix(line, "\n")
		if strings.ContainsAny(name, "\\\n\r") {
			line = `\` + strings.ReplaceAll(line, `\`, `\\`)
			line = strings.ReplaceAll(line, "\n", `\n`)
			line = strings.ReplaceAll(line, "\r", `\r`)
		}
		expected.WriteString(line + "\n")
	}
	if stdout != expected.String() {
		t.Errorf("got:\n%s\nwant:\n%s", stdout, &expected)
	}
}

func TestSha256sumAgrees(t *testing.T) {
	version, _ := exec.Command("sha256sum", "--version").Output()
	var major int
	// GNU's escapes carriage returns since version 9; others have other formats.
	fmt.Sscanf(string(version), "sha256sum (GNU coreutils) %d", &major)
	if major < 9 {
		t.Skip("no sha256sum of GNU coreutils 9 or later here")
	}
	names := oddNames(t)
	root := tree(t, append(names, "dir/a", "dir/b/c", "invalid\xffutf8")...)
	status, stdout, stderr := runCommand(t.Context(), root)
	want(t, status, 0, stderr)

	check := exec.Command("sha256sum", "-c", "--strict", "--quiet")
	check.Stdin = strings.NewReader(stdout)
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("sha256sum -c: %v\n%s", err, out)
	}

	list := exec.Command("sha256sum")
	for f := range walk([]string{root}) {
		list.Args = append(list.Args, f.name)
	}
	if out, err := list.Output(); err != nil || string(out) != stdout {
		t.Errorf("sha256sum prints (%v)\n%s\nand checksum\n%s", err, out, stdout)
	}
}

func TestOnlyRegularFiles(t *testing.T) {
	root := tree(t, "dir/file", "target")
	link := filepath.Join(root, "link")
	if err := os.Symlink(filepath.Join(root, "dir"), link); err != nil {
		t.Skip(err)
	}
	if err := os.Symlink("target", filepath.Join(root, "tolink")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", filepath.Join(root, "dangling")); err != nil {
		t.Fatal(err)
	}
	status, stdout, stderr := runCommand(t.Context(), root)
	want(t, status, 0, stderr, "2 files, ")
	if stdout != lines(root, "dir/file", "target") {
		t.Errorf("got:\n%s", stdout)
	}

	status, stdout, stderr = runCommand(t.Context(), link)
	want(t, status, 1, stderr, "/link: neither a directory nor a regular file", "0 files, ", "1 failed")
	if stdout != "" {
		t.Errorf("a link was followed:\n%s", stdout)
	}
}

func TestUnreadableIsReportedAndTheRestDone(t *testing.T) {
	root := tree(t, "a", "locked\n", "z")
	opened := fakeOpen(t, func(name string) (io.ReadCloser, error) {
		if strings.HasSuffix(name, "locked\n") {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
		}
		return os.Open(name)
	})
	missing := filepath.Join(root, "missing")
	status, stdout, stderr := runCommand(t.Context(), "-retries", "3", missing, root)
	want(t, status, 1, stderr,
		"checksum: "+missing+": no such file or directory\n",
		"checksum: "+root+`/locked\n: permission denied`+"\n",
		"2 files, 2 bytes, ", ", 2 failed\n")
	if stdout != lines(root, "a", "z") {
		t.Errorf("got:\n%s", stdout)
	}
	if opened.Load() != 3 {
		t.Errorf("%d files opened, want 3: no retry makes a file readable", opened.Load())
	}
}

// A directory can vanish, or turn out unreadable, when its parent has been
// listed. Pulling by hand stops the walk just there.
func TestWalkReportsADirectoryAndGoesOn(t *testing.T) {
	root := tree(t, "a", "b/gone", "c/d")
	next, stop := iter.Pull(walk([]string{root}))
	defer stop()
	if f, _ := next(); f.name != root+"/a" || f.err != nil {
		t.Fatalf("first: %+v", f)
	}
	if err := os.RemoveAll(filepath.Join(root, "b")); err != nil {
		t.Fatal(err)
	}
	if f, _ := next(); f.name != root+"/b" || !errors.Is(f.err, fs.ErrNotExist) {
		t.Errorf("second: %+v", f)
	}
	if f, _ := next(); f.name != root+"/c/d" || f.err != nil {
		t.Errorf("third: %+v", f)
	}
	if f, ok := next(); ok {
		t.Errorf("one more: %+v", f)
	}
}

func TestUsage(t *testing.T) {
	for _, test := range []struct{ args, says string }{
		{"", "checksum: no file or directory given\nusage: "},
		{"-workers 2", "checksum: no file or directory given\nusage: "},
		{"-workers 0 .", "checksum: -workers must be at least 1, not 0\n"},
		{"-workers -3 .", "-3"},
		{"-workers many .", `"many"`},
		{"-retries -1 .", "checksum: -retries must not be negative, as -1 is\n"},
		{"-timeout -1s .", "checksum: -timeout must not be negative, as -1s is\n"},
		{"-timeout soon .", `"soon"`},
		{"-nonsense .", "checksum: flag provided but not defined: -nonsense\n"},
	} {
		t.Run(test.args, func(t *testing.T) {
			status, stdout, stderr := runCommand(t.Context(), strings.Fields(test.args)...)
			want(t, status, 2, stderr, test.says, "usage: checksum ")
			if stdout != "" {
				t.Errorf("standard output: %q", stdout)
			}
		})
	}
	status, stdout, stderr := runCommand(t.Context(), "-h")
	if status != 0 || stdout != usage || stderr != "" {
		t.Errorf("-h: %d, %q, %q", status, stdout, stderr)
	}
}

func TestEmptyTree(t *testing.T) {
	status, stdout, stderr := runCommand(t.Context(), t.TempDir())
	want(t, status, 0, stderr, "0 files, 0 bytes, ")
	if stdout != "" {
		t.Errorf("got %q", stdout)
	}
}
