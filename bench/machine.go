package bench

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
)

// peers are the modules whose versions are printed.
var peers = []string{
	"github.com/alitto/pond/v2",
	"github.com/gammazero/workerpool",
	"github.com/panjf2000/ants/v2",
	"github.com/sourcegraph/conc",
	"golang.org/x/sync",
}

// WriteHeader writes what the figures depend on: the machine, the versions and
// the command with its arguments. It returns the first error of w.
func WriteHeader(w io.Writer, args []string) error {
	var b strings.Builder
	b.WriteString(Provenance("compare", args, peers))
	fmt.Fprintf(&b, "%d workers, unless a row says otherwise. Figures are medians of the rounds, in which the contenders take turns.\n", Workers)
	b.WriteString("A ratio is taken within each round: 4x took four times as long as the first contender of the row, or that much more\n")
	b.WriteString("of whatever the unit is. ✓ and ✗ tell whether the median meets the goal. Under each table is how many cores goroutines\n")
	b.WriteString("that compute got before each run; where that is less than GOMAXPROCS, something else ran, and the figures don't count.\n\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// Provenance is the block that output of the command with that name begins with:
// how it was called, the machine, the versions of those of the modules that the
// running binary was linked with, and what else there is to say, in a line each.
func Provenance(command string, args, modules []string, more ...string) string {
	lines := []string{
		"```",
		strings.Join(append([]string{"$ go run ./bench/cmd/" + command}, args...), " "),
		fmt.Sprintf("%s %s/%s, GOMAXPROCS %d, %s", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0), cpuModel()),
	}
	lines = append(append(lines, linked(modules)...), more...)
	return strings.Join(lines, "\n") + "\n```\n\n"
}

func cpuModel() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return "unknown CPU"
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		key, value, _ := strings.Cut(s.Text(), ":")
		if strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown CPU"
}

// linked lists those of the modules that the running binary was linked with.
func linked(modules []string) []string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil
	}
	var versions []string
	for _, m := range info.Deps {
		if slices.Contains(modules, m.Path) {
			versions = append(versions, m.Path+" "+m.Version)
		}
	}
	return versions
}
