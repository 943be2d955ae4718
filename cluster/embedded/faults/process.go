package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// alive are the children of all labs, for the end of this process.
var alive sync.Map // of *process

// A process is a child of this one.
type process struct {
	o      order
	cmd    *exec.Cmd
	in     io.WriteCloser
	began  chan struct{} // closed when it has said that it is ready, or is gone
	exited chan struct{} // closed when it is gone
	once   sync.Once
	code   int // after exited; -1: a signal ended it
}

// launch starts a process of the same program with an order.
func launch(o order, log io.Writer) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	p := &process{o: o, began: make(chan struct{}), exited: make(chan struct{})}
	p.cmd = exec.Command(self)
	p.cmd.Env = append(os.Environ(), roleVariable+"="+string(text))
	p.cmd.Stderr = log
	p.cmd.SysProcAttr = fate()
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	alive.Store(p, true)
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			p.once.Do(func() { close(p.began) })
		}
		p.cmd.Wait()
		alive.Delete(p)
		p.code = p.cmd.ProcessState.ExitCode()
		p.once.Do(func() { close(p.began) })
		close(p.exited)
	}()
	return p, nil
}

// awaitReady waits until the process has begun.
func (p *process) awaitReady(limit time.Duration) error {
	select {
	case <-p.began:
	case <-time.After(limit):
		return fmt.Errorf("%s %s is not ready after %v", p.o.Role, p.o.Name, limit)
	}
	if p.gone() {
		return fmt.Errorf("%s %s ended with code %d before it was ready", p.o.Role, p.o.Name, p.code)
	}
	return nil
}

// gone reports whether the process has ended.
func (p *process) gone() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// awaitExit waits for its end, and reports an error unless it ended well.
func (p *process) awaitExit(limit time.Duration) error {
	select {
	case <-p.exited:
	case <-time.After(limit):
		return fmt.Errorf("%s %s has not ended after %v", p.o.Role, p.o.Name, limit)
	}
	if p.code != 0 {
		return fmt.Errorf("%s %s ended with code %d", p.o.Role, p.o.Name, p.code)
	}
	return nil
}

// say writes a line to the process.
func (p *process) say(line string) error {
	_, err := fmt.Fprintln(p.in, line)
	return err
}

func (p *process) signal(s syscall.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil {
		return fmt.Errorf("%s %s: %w", p.o.Role, p.o.Name, err)
	}
	return nil
}

// kill ends the process as a crash does, and waits until it is gone.
func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.exited
}

// end asks the process to end, and waits.
func (p *process) end(limit time.Duration) error {
	if err := p.signal(syscall.SIGTERM); err != nil {
		return err
	}
	return p.awaitExit(limit)
}

// synced has several processes write to w.
type synced struct {
	mu sync.Mutex
	w  io.Writer
}

func (s *synced) Write(data []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(data)
}
