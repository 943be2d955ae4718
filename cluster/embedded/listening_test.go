package embedded_test

import (
	"bufio"
	"encoding/hex"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// listening are the addresses that this process listens on, as Linux tells it;
// none elsewhere.
func listening(t *testing.T) (addrs []net.IP) {
	own := make(map[string]bool) // sockets, by their inodes
	files, _ := filepath.Glob("/proc/self/fd/*")
	for _, f := range files {
		if target, err := os.Readlink(f); err == nil && strings.HasPrefix(target, "socket:[") {
			own[strings.Trim(target, "socket:[]")] = true
		}
	}
	for _, table := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		f, err := os.Open(table)
		if err != nil {
			continue
		}
		defer f.Close()
		for lines := bufio.NewScanner(f); lines.Scan(); {
			const local, state, inode, listens = 1, 3, 9, "0A"
			fields := strings.Fields(lines.Text())
			if len(fields) > inode && fields[state] == listens && own[fields[inode]] {
				addrs = append(addrs, parseHex(t, fields[local]))
			}
		}
	}
	return addrs
}

// parseHex reads an address of those tables: words of four bytes, the last byte
// first on little-endian machines. A loopback address read the wrong way round
// is none, so that would fail and not pass.
func parseHex(t *testing.T, s string) net.IP {
	host, _, _ := strings.Cut(s, ":")
	b, err := hex.DecodeString(host)
	if err != nil {
		t.Fatal(err)
	}
	for word := range slices.Chunk(b, 4) {
		slices.Reverse(word)
	}
	return net.IP(b)
}
