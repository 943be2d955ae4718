package embedded

import (
	"fmt"
	"sync"

	"github.com/nats-io/nats-server/v2/server"
)

// fatalLog is the log of the servers. It keeps the first message of something
// that a server can't go on without, and drops all others. There is no other way
// to hear of it: where the server is a program, its log ends the process, and
// without a log it stays as it is, and never gets ready.
type fatalLog struct {
	mu    sync.Mutex
	first error
}

var _ server.Logger = (*fatalLog)(nil)

// Fatalf keeps the error that the message is about, so that it can be matched,
// or the message if it is about none.
func (l *fatalLog) Fatalf(format string, v ...any) {
	err := fmt.Errorf(format, v...)
	for _, x := range v {
		if cause, ok := x.(error); ok {
			err = cause
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.first == nil {
		l.first = err
	}
}

func (l *fatalLog) fatal() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.first
}

func (l *fatalLog) Noticef(string, ...any) {}
func (l *fatalLog) Warnf(string, ...any)   {}
func (l *fatalLog) Errorf(string, ...any)  {}
func (l *fatalLog) Debugf(string, ...any)  {}
func (l *fatalLog) Tracef(string, ...any)  {}
