package clusterbench

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nats-io/nats-server/v2/server"
)

// The programs of the peers, once [Find] has looked for them.
var (
	redisServer string // empty if there is none
	postgresDir string // where initdb and postgres are; empty if there are none
)

// Find looks for the servers of the peers. Those that aren't there are not
// measured.
func Find() {
	redisServer, _ = exec.LookPath("redis-server")
	postgresDir = ""
	if path, err := exec.LookPath("initdb"); err == nil {
		postgresDir = filepath.Dir(path)
		return
	}
	// Debian has one folder for each version, and none of them in PATH.
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err == nil && len(found) > 0 {
		postgresDir = filepath.Dir(slices.MaxFunc(found, func(a, b string) int {
			if len(a) != len(b) {
				return len(a) - len(b)
			}
			return strings.Compare(a, b)
		}))
	}
}

// Install installs the servers that aren't there from Debian's packages, as
// root or by sudo, and looks for them again. What apt-get says goes to w.
func Install(w io.Writer) error {
	var packages []string
	if redisServer == "" {
		packages = append(packages, "redis-server")
	}
	if postgresDir == "" {
		packages = append(packages, "postgresql")
	}
	if len(packages) == 0 {
		return nil
	}
	for _, args := range [][]string{
		{"apt-get", "update", "-qq"},
		append([]string{"env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "-qq", "--no-install-recommends"}, packages...),
	} {
		if os.Getuid() != 0 {
			args = append([]string{"sudo"}, args...)
		}
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Stdout, cmd.Stderr = w, w
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%s: %w", strings.Join(args, " "), err)
		}
	}
	Find()
	return nil
}

// absence tells why a peer is not measured; empty: it is.
func absence(program, packet string) string {
	if program != "" {
		return ""
	}
	return packet + " is not installed"
}

// Versions are those of the servers, in a line each.
func Versions() []string {
	lines := []string{"nats-server " + server.VERSION + ", in the process"}
	for _, program := range []string{redisServer, postgresDir} {
		if program == "" {
			continue
		}
		if program == postgresDir {
			program = filepath.Join(program, "postgres")
		}
		out, err := exec.Command(program, "--version").Output()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			continue
		}
		text, _, _ := strings.Cut(strings.TrimSpace(string(out)), " sha=")
		lines = append(lines, text)
	}
	return lines
}
