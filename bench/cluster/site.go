package clusterbench

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"
)

// A site is where a contender is: a folder, and the processes that work there.
// They end and it goes with close, or with this process.
type site struct {
	dir     string
	closing []func() // the last one first
}

func newSite() (*site, error) {
	dir, err := os.MkdirTemp("", "antflow-bench-")
	if err != nil {
		return nil, err
	}
	c, err := start("keeper", dir)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	s := &site{dir: dir}
	s.onClose(c.close)
	return s, nil
}

func (s *site) onClose(fn func()) { s.closing = append(s.closing, fn) }

func (s *site) close() {
	for i := len(s.closing) - 1; i >= 0; i-- {
		s.closing[i]()
	}
	s.closing = nil
}

// child starts a process of this program.
func (s *site) child(role string, args ...string) (*child, error) {
	c, err := start(role, args...)
	if err == nil {
		s.onClose(c.close)
	}
	return c, err
}

// program starts a program, and returns when ready says so.
func (s *site) program(ready func() error, command ...string) error {
	c, err := s.child("keeper", append([]string{s.dir}, command...)...)
	if err != nil {
		return err
	}
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if err = ready(); err == nil {
			return nil
		}
		select {
		case _, ok := <-c.lines: // and forget it
			if !ok {
				return errors.New(c.said.String())
			}
		default:
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s is not ready after %v: %v: %s", command[0], patience, err, c.said)
		}
	}
}

// freePort is a port of the loopback address that nobody listens on now.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port), nil
}
