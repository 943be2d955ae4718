package clusterbench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/antflow/antflow/cluster"
	"github.com/antflow/antflow/cluster/embedded"
)

// roleVariable tells a process of this program that it is a child, and which.
const roleVariable = "ANTFLOW_BENCH_ROLE"

// roles are what a child may be. Each ends when its standard input does, which is
// when the parent ends in whatever way: the system closes the pipe of a process
// that is killed, too. (A signal at the parent's death is Linux's alone, and
// comes at the end of the thread that started the child.)
var roles = map[string]func(args []string) error{
	"keeper": keep,
	"broker": serveBroker,
	"worker": serveTasks,
}

// Child does what is to be done if this process is a child of a contender, and
// exits. It returns at once if it isn't.
func Child() {
	role := os.Getenv(roleVariable)
	if role == "" {
		return
	}
	// What ends a command comes to all its processes, from the terminal and from
	// who ends it by its group. The parent decides, and a keeper has to outlive it.
	signal.Notify(make(chan os.Signal, 1), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	if err := roles[role](os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", role, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// keep sees to it that a folder goes and a program ends when the parent does:
// the program is told to by an interrupt, and killed if that doesn't help.
func keep(args []string) error {
	dir, program := args[0], args[1:]
	parent := make(chan struct{})
	go func() {
		io.Copy(io.Discard, os.Stdin)
		close(parent)
	}()
	if len(program) == 0 {
		<-parent
		return remove(dir)
	}
	cmd := exec.Command(program[0], program[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, os.Stdout, os.Stderr
	cmd.Env = os.Environ()
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		return fmt.Errorf("%s has ended: %v", program[0], err)
	case <-parent:
	}
	cmd.Process.Signal(os.Interrupt)
	select {
	case <-ended:
	case <-time.After(patience / 2):
		cmd.Process.Kill()
		<-ended
	}
	return nil
}

// remove removes a folder that others may be writing to, on their way out.
func remove(dir string) error {
	err := os.RemoveAll(dir)
	for range 100 {
		if err == nil {
			break
		}
		time.Sleep(100 * time.Millisecond)
		err = os.RemoveAll(dir)
	}
	return err
}

// serveBroker is a process that has nothing but the embedded broker.
func serveBroker(args []string) error {
	b, err := embedded.Start(args[0])
	if err != nil {
		return err
	}
	defer b.Close()
	fmt.Println(b.URL())
	answer()
	return nil
}

// serveTasks is a worker's process.
func serveTasks(args []string) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	served := make(chan error, 1)
	go func() { served <- serve(ctx, args[0]) }()
	go func() {
		answer()
		cancel()
	}()
	return <-served
}

func serve(ctx context.Context, url string) error {
	return cluster.Serve(ctx, url, []cluster.Handler{double}, cluster.Concurrency(handlers))
}

// answer answers each line with the bytes that are alive in the heap, until there
// are no more.
func answer() {
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		fmt.Println(alive())
	}
}

// patience is how long a child may take to begin or to end.
const patience = 30 * time.Second

// A child is a process of this program that does something else.
type child struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines chan string // that it prints; closed at the end of them
	said  *tail
}

func start(role string, args ...string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &child{cmd: exec.Command(self, args...), lines: make(chan string, 16), said: new(tail)}
	c.cmd.Env = append(os.Environ(), roleVariable+"="+role)
	c.cmd.Stderr = c.said
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(c.lines)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			fmt.Fprintln(c.said, lines.Text())
			select {
			case c.lines <- lines.Text():
			default: // nobody wants to know
			}
		}
	}()
	return c, nil
}

// line returns the next line that the child prints.
func (c *child) line() (string, error) {
	select {
	case s, ok := <-c.lines:
		if ok {
			return s, nil
		}
		return "", fmt.Errorf("a process has ended: %s", c.said)
	case <-time.After(patience):
		return "", fmt.Errorf("no word from a process for %v: %s", patience, c.said)
	}
}

// alive asks for the bytes that are alive in the child's heap.
func (c *child) alive() (float64, error) {
	if _, err := fmt.Fprintln(c.in); err != nil {
		return 0, err
	}
	s, err := c.line()
	if err != nil {
		return 0, err
	}
	return strconv.ParseFloat(s, 64)
}

// close ends the child.
func (c *child) close() {
	c.in.Close()
	late := time.AfterFunc(patience, func() { c.cmd.Process.Kill() })
	defer late.Stop()
	for range c.lines { // Wait would close the pipe
	}
	c.cmd.Wait()
}

// A tail keeps the end of what is written, for an error that tells of it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const mostSaid = 2000

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if extra := len(t.text) - mostSaid; extra > 0 {
		t.text = append(t.text[:0], t.text[extra:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.text))
}
