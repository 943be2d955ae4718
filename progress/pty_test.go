//go:build unix

package progress_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/progress"
	"github.com/charmbracelet/x/vt"
	"github.com/creack/pty"
)

// A realTerminal is a pseudo-terminal, and all that was written to it.
type realTerminal struct {
	t           *testing.T
	master, tty *os.File
	w, h        int

	mu   sync.Mutex
	raw  []byte
	over chan struct{} // nobody has the terminal open any more
}

func newRealTerminal(t *testing.T, w, h int) *realTerminal {
	t.Helper()
	atTerminal(t)
	master, tty, err := pty.Open()
	if err != nil {
		t.Skip("no pseudo-terminals here:", err)
	}
	x := &realTerminal{t: t, master: master, tty: tty, w: w, h: h, over: make(chan struct{})}
	if err := pty.Setsize(master, &pty.Winsize{Cols: uint16(w), Rows: uint16(h)}); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(x.over)
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf)
			x.mu.Lock()
			x.raw = append(x.raw, buf[:n]...)
			x.mu.Unlock()
			if err != nil { // EIO, when the other side is closed
				return
			}
		}
	}()
	t.Cleanup(func() {
		x.close()
		master.Close()
	})
	return x
}

// close waits for all that was written.
func (x *realTerminal) close() {
	x.tty.Close()
	<-x.over
}

func (x *realTerminal) written() []byte {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Clone(x.raw)
}

// replay calls frame for the lines after each frame, and returns those at the
// end. Lines are not clipped, so one that is too long wraps.
func (x *realTerminal) replay(frame func(lines []string)) []string {
	screen := &terminal{vt: vt.NewEmulator(x.w, x.h)}
	rest := x.written()
	for {
		end := bytes.Index(rest, []byte("\x1b[?7h"))
		if end < 0 {
			break
		}
		end += len("\x1b[?7h")
		screen.vt.Write(bytes.ReplaceAll(rest[:end], []byte("\x1b[?7l"), nil))
		if frame != nil {
			frame(screen.all())
		}
		rest = rest[end:]
	}
	screen.vt.Write(rest)
	return screen.all()
}

// wait returns when the terminal got a text.
func (x *realTerminal) wait(text string) {
	x.t.Helper()
	// On the real clock, since it is another process or the kernel that is waited for.
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if bytes.Contains(x.written(), []byte(text)) {
			return
		}
	}
	x.t.Fatalf("%q did not come: %q", text, x.written())
}

// Each level in a real terminal: after each frame there are the logs, then a
// display that begins with its first line, and nothing else.
func TestRealTerminal(t *testing.T) {
	row := regexp.MustCompile(`^(task +done .*|(fetch|save) .*|worker  task .*| +\d  (fetch|save) .*|failed  at .*)$`)
	for _, width := range []int{80, 40} {
		for level := progress.Compact; level <= progress.Full; level++ {
			t.Run(fmt.Sprint(level, " ", width), func(t *testing.T) {
				noLeak(t)
				x := newRealTerminal(t, width, 24)
				e := antflow.New(3, antflow.ExecutorName("crawler"))
				logs := log.New(progress.Log(x.tty), "", 0)
				stop := progress.Show(e, level, progress.Output(x.tty), progress.Interval(100*time.Millisecond))
				for i := range 60 {
					e.Go(context.Background(), func(ctx context.Context) error {
						antflow.SetStatus(ctx, fmt.Sprintf("\x1b[35mpage %d of 世界\x1b[m, which has a long name", i))
						if i%10 == 0 {
							logs.Printf("log %d", i/10)
						}
						time.Sleep(20 * time.Millisecond) // so that there are a few frames
						if i%7 == 0 {
							return errors.New("connection refused")
						}
						return nil
					}, antflow.TaskName([]string{"fetch", "save"}[i%2]))
				}
				e.Close()
				stop()
				x.close()
				frames := 0
				check := func(lines []string) {
					logged := slices.IndexFunc(lines, func(line string) bool { return !strings.HasPrefix(line, "log ") })
					for i, line := range lines[:logged] {
						if line != fmt.Sprint("log ", i) {
							t.Errorf("frame %d: log %d is %q", frames, i, line)
						}
					}
					for i, line := range lines[logged:] {
						first := strings.HasPrefix(line, "crawler  ") || strings.HasPrefix(line, "crawler: ")
						if i == 0 && !first || i > 0 && !row.MatchString(line) || level == progress.Compact && i > 0 {
							t.Errorf("frame %d, line %d: %q of\n%s", frames, i, line, strings.Join(lines, "\n"))
						}
					}
					frames++
				}
				end := x.replay(check)
				check(end)
				if !strings.HasPrefix(end[6], "crawler: 60 of 60 done, ") || len(end) != []int{7, 10, 13}[level] || frames < 5 {
					t.Errorf("after %d frames:\n%s", frames, strings.Join(end, "\n"))
				}
			})
		}
	}
}

// The size is asked for with each frame.
func TestRealResize(t *testing.T) {
	x := newRealTerminal(t, 80, 24)
	for range progress.Slice(make([]int, 10), progress.Title("numbers"), progress.Output(x.tty)) {
		x.wait("\r\x1b[?7lnumbers  " + strings.Repeat("░", 30))
		pty.Setsize(x.master, &pty.Winsize{Cols: 40, Rows: 24})
		x.wait("\x1b[?7lnumbers  " + strings.Repeat("░", 20) + "  0/10")
		break
	}
}

// Children, run by TestMain: programs on a terminal.
var children = map[string]func(){
	// Results go to standard output without more ado, which is a pipe.
	"pipe": func() {
		for i := range progress.Slice(make([]int, 5), progress.Title("child")) {
			fmt.Printf("result %d\n", i)
			time.Sleep(50 * time.Millisecond)
		}
	},
	// Everything is the same terminal.
	"terminal": func() {
		out := progress.Log(os.Stdout)
		log.SetOutput(progress.Log(os.Stderr))
		log.SetFlags(0)
		for i := range progress.Slice([]int{0, 1, 2, 3, 4}, progress.Title("child")) {
			fmt.Fprintf(out, "result %d\n", i)
			log.Printf("log %d", i)
			time.Sleep(50 * time.Millisecond)
		}
	},
	"panic": func() {
		e := antflow.New(1)
		defer progress.Show(e, progress.Title("child"))()
		panic("on purpose")
	},
	"exit": func() {
		progress.Show(antflow.New(1), progress.Title("child"))
		os.Exit(3)
	},
	"hang": func() {
		progress.Show(antflow.New(1), progress.Title("child"))
		time.Sleep(time.Minute)
	},
}

func TestMain(m *testing.M) {
	if child := children[os.Getenv("PROGRESS_TEST_CHILD")]; child != nil {
		child()
		return
	}
	os.Exit(m.Run())
}

// child starts this program again, with the terminal as its standard error. out
// is its standard output.
func (x *realTerminal) child(name string, out io.Writer) *exec.Cmd {
	x.t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "PROGRESS_TEST_CHILD="+name, "GORACE=atexit_sleep_ms=10")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = x.tty, out, x.tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		x.t.Fatal(err)
	}
	return cmd
}

// inOrder checks the state of the terminal: lines wrap, and the cursor is there.
func (x *realTerminal) inOrder() {
	x.t.Helper()
	raw := x.written()
	if off, on := bytes.LastIndex(raw, []byte("\x1b[?7l")), bytes.LastIndex(raw, []byte("\x1b[?7h")); off < 0 || on < off {
		x.t.Errorf("lines don't wrap any more: %q", raw)
	}
	if bytes.Contains(raw, []byte("\x1b[?25l")) {
		x.t.Errorf("the cursor is hidden: %q", raw)
	}
}

func TestStandardOutputIsUntouched(t *testing.T) {
	x := newRealTerminal(t, 80, 24)
	var out bytes.Buffer
	if err := x.child("pipe", &out).Wait(); err != nil {
		t.Error(err)
	}
	x.close()
	if out.String() != strings.Repeat("result 0\n", 5) {
		t.Errorf("standard output is %q", out.String())
	}
	x.inOrder()
	if end := x.replay(nil); len(end) != 1 || !strings.HasPrefix(end[0], "child: 5 of 5 done, took ") {
		t.Errorf("left: %q", end)
	}
}

func TestResultsAndLogsOnOneTerminal(t *testing.T) {
	x := newRealTerminal(t, 80, 24)
	if err := x.child("terminal", x.tty).Wait(); err != nil {
		t.Error(err)
	}
	x.close()
	var want []string
	for i := range 5 {
		want = append(want, fmt.Sprint("result ", i), fmt.Sprint("log ", i))
	}
	end := x.replay(nil)
	if len(end) != 11 || !slices.Equal(end[:10], want) || !strings.HasPrefix(end[10], "child: 5 of 5 done, took ") {
		t.Errorf("left:\n%s", strings.Join(end, "\n"))
	}
}

func TestPanicUnwinds(t *testing.T) {
	x := newRealTerminal(t, 80, 24)
	if err := x.child("panic", nil).Wait(); err == nil {
		t.Error("the child ended well")
	}
	x.close()
	x.inOrder()
	if end := x.replay(nil); !strings.HasPrefix(end[0], "child: 0 done, took ") || !strings.HasPrefix(end[1], "panic: on purpose") {
		t.Errorf("left:\n%s", strings.Join(end, "\n"))
	}
}

// A program that ends without stop, or is killed, leaves the terminal in order.
func TestEndWithoutStop(t *testing.T) {
	for _, name := range []string{"exit", "hang"} {
		x := newRealTerminal(t, 80, 24)
		cmd := x.child(name, nil)
		if name == "hang" {
			x.wait("\x1b[?7h")
			cmd.Process.Signal(os.Interrupt)
		}
		if err := cmd.Wait(); err == nil {
			t.Errorf("%s: the child ended well", name)
		}
		x.close()
		x.inOrder()
		if end := x.replay(nil); len(end) != 1 || !strings.HasPrefix(end[0], "child  0 done") {
			t.Errorf("%s left:\n%s", name, strings.Join(end, "\n"))
		}
	}
}

// Where standard error is no terminal, there is no sequence.
func TestStandardErrorIsPiped(t *testing.T) {
	atTerminal(t)
	for name, env := range map[string]string{"piped": "CI=", "piped in CI": "CI=true"} {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "PROGRESS_TEST_CHILD=pipe", "GORACE=atexit_sleep_ms=10", env)
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		if err := cmd.Run(); err != nil {
			t.Error(err)
		}
		noControls(t, errs.String())
		if got := errs.String(); strings.Count(got, "\n") != 1 || !strings.HasPrefix(got, "child: 5 of 5 done, took ") {
			t.Errorf("%s: %q", name, got)
		}
		if out.String() != strings.Repeat("result 0\n", 5) {
			t.Errorf("%s: standard output is %q", name, out.String())
		}
	}
}

// In CI, and on a terminal that knows nothing, lines are plain.
func TestRealTerminalPlain(t *testing.T) {
	for _, env := range [][2]string{{"CI", "true"}, {"TERM", "dumb"}} {
		x := newRealTerminal(t, 80, 24)
		t.Setenv(env[0], env[1])
		if err := x.child("pipe", nil).Wait(); err != nil {
			t.Error(err)
		}
		x.close()
		if got := string(x.written()); strings.Contains(got, "\x1b") || !strings.HasPrefix(got, "child: 5 of 5 done, took ") {
			t.Errorf("%v: %q", env, got)
		}
	}
}
