package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// runCommand runs the program in a bubble, where no time passes, with pipes for
// its output.
func runCommand(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	synctest.Test(t, func(t *testing.T) { status = run(context.Background(), args, &out, &errs) })
	return status, out.String(), errs.String()
}

// Whatever the level, the pages are on standard output in their order, and
// standard error has plain lines.
func TestPiped(t *testing.T) {
	for _, args := range []string{"-level compact", "-level detailed", "-level full", "-level full -pipeline"} {
		status, stdout, stderr := runCommand(t, append(strings.Fields(args), "-pages", "100")...)
		if status != 0 {
			t.Errorf("%s: exit status %d", args, status)
		}
		if pages := strings.Split(stdout, "\n"); len(pages) != 99 || !strings.HasPrefix(pages[0], "page 1: ") ||
			!strings.HasPrefix(pages[6], "page 8: ") || !strings.HasPrefix(pages[97], "page 100: ") {
			t.Errorf("%s: standard output is\n%s", args, stdout)
		}
		lines := strings.Split(strings.TrimSuffix(stderr, "\n"), "\n")
		failed := 0
		for _, line := range lines {
			switch {
			case strings.HasSuffix(line, ": not found"):
				failed++
			case !strings.HasPrefix(line, "pages: "):
				t.Errorf("%s: standard error has %q", args, line)
			}
		}
		last := lines[len(lines)-1]
		if failed != 2 || !strings.HasPrefix(last, "pages: 100 of 100 done, took ") || !strings.HasSuffix(last, ", 2 failed") {
			t.Errorf("%s: standard error is\n%s", args, stderr)
		}
		if len(lines) < 4 || strings.ContainsAny(stdout+stderr, "\x1b\r") {
			t.Errorf("%s: standard error is %q", args, stderr)
		}
	}
}

func TestInterrupted(t *testing.T) {
	var out, errs bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), 1500*time.Millisecond)
		defer cancel()
		if status := run(ctx, nil, &out, &errs); status != 130 {
			t.Errorf("exit status %d", status)
		}
	})
	if !strings.Contains(errs.String(), " of 300 done, took 1.5s") {
		t.Errorf("standard error is %q", errs.String())
	}
}

func TestUsage(t *testing.T) {
	for args, says := range map[string]string{
		"-level low": `"low" is no level`,
		"-pages -1":  "progress: -pages must not be negative, but is -1\nusage: ",
		"-workers 0": "progress: -workers must be at least 1, not 0\nusage: ",
		"-nonsense":  "flag provided but not defined",
		"a":          `progress: unexpected argument "a"`,
	} {
		if status, stdout, stderr := runCommand(t, strings.Fields(args)...); status != 2 || stdout != "" || !strings.Contains(stderr, says) {
			t.Errorf("%s: %d, %q, %q", args, status, stdout, stderr)
		}
	}
	if status, stdout, stderr := runCommand(t, "-h"); status != 0 || stdout != usage || stderr != "" {
		t.Errorf("-h: %d, %q, %q", status, stdout, stderr)
	}
}
