package progress_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/progress"
)

// Several loggers write while a display moves. After each frame, all that was
// logged is there, whole and in order, and then the display.
func TestLogsStayIntact(t *testing.T) {
	for _, level := range []progress.Level{progress.Compact, progress.Detailed, progress.Full} {
		x := newTerminal(t, 80, 12)
		const loggers, each = 4, 40
		next := make([]int, loggers)
		x.after = func(lines []string) {
			seen, display := make([]int, loggers), false
			for _, line := range lines {
				var logger, n int
				switch _, err := fmt.Sscanf(line, "logger %d says: line %d.", &logger, &n); {
				case strings.HasPrefix(line, "crawler"):
					display = true
				case err != nil && !display:
					t.Errorf("a foreign line: %q", line)
				case err == nil && (display || n != seen[logger] || !strings.HasSuffix(line, ".")):
					t.Errorf("a line that is out of order: %q", line)
				case err == nil:
					seen[logger]++
				}
			}
			if !display {
				t.Errorf("no display:\n%s", strings.Join(lines, "\n"))
			}
			copy(next, seen)
		}
		synctest.Test(t, func(t *testing.T) {
			e := antflow.New(loggers, antflow.ExecutorName("crawler"))
			stop := progress.Show(e, level, x.here(), progress.Interval(100*time.Millisecond))
			for i := range loggers {
				l := log.New(progress.Log(x), fmt.Sprintf("logger %d says: ", i), 0)
				e.Go(context.Background(), func(context.Context) error {
					for n := range each {
						time.Sleep(time.Duration(i+1) * 17 * time.Millisecond)
						l.Printf("line %d.", n)
					}
					return nil
				}, antflow.TaskName("log"))
			}
			e.Close()
			stop()
		})
		for i, n := range next {
			if n != each {
				t.Errorf("%v: %d lines of logger %d", level, n, i)
			}
		}
	}
}

// A line that is longer than the screen is wide wraps by itself, and the display
// is below all of it.
func TestLongLog(t *testing.T) {
	x := newTerminal(t, 40, 10)
	synctest.Test(t, func(t *testing.T) {
		for range progress.Slice([]int{1}, x.here()) {
			fmt.Fprintln(progress.Log(x), strings.Repeat("long ", 20))
		}
	})
	x.seen(`
long long long long long long long long
long long long long long long long long
long long long long
1 of 1 done, took 0s
`)
}

// Parts of lines are kept back until they are whole, or nobody minds.
func TestParts(t *testing.T) {
	x := newTerminal(t, 40, 10)
	w := progress.Log(x)
	synctest.Test(t, func(t *testing.T) {
		fmt.Fprint(w, "at once\r\n")
		for range progress.Slice([]int{1}, x.here()) {
			if n, err := fmt.Fprint(w, "one "); n != 4 || err != nil {
				t.Errorf("%d, %v", n, err)
			}
			x.seen("at once\n░░░░░░░░░░░░░░░░░░  0/1  0%  elapsed 0s")
			if n, err := fmt.Fprint(w, "line\r\nand a half"); n != 16 || err != nil {
				t.Errorf("%d, %v", n, err)
			}
			x.seen("at once\none line\n░░░░░░░░░░░░░░░░░░  0/1  0%  elapsed 0s")
		}
		x.seen("at once\none line\n1 of 1 done, took 0s\nand a half")
		fmt.Fprint(w, ", whole\r\n")
		x.seen("at once\none line\n1 of 1 done, took 0s\nand a half, whole")

		x.raw.Reset()
		for range progress.Slice([]int{1}, x.here()) {
			io.WriteString(w, strings.Repeat("x", 60<<10))
			if strings.Contains(x.raw.String(), "xxx") {
				t.Error("60 KiB were not kept back")
			}
			io.WriteString(w, strings.Repeat("x", 60<<10))
			if n := strings.Count(x.raw.String(), "x"); n != 120<<10 {
				t.Errorf("%d of 120 KiB are there", n)
			}
		}
	})
}

// A writer to something else passes everything on at once, and as it is.
func TestLogElsewhere(t *testing.T) {
	x := newTerminal(t, 40, 10)
	var file bytes.Buffer
	w := progress.Log(&file)
	synctest.Test(t, func(t *testing.T) {
		for range progress.Slice([]int{1}, x.here()) {
			fmt.Fprint(w, "part")
			if file.String() != "part" {
				t.Errorf("the file has %q", file.String())
			}
			fmt.Fprint(w, " of a line\n")
		}
	})
	if file.String() != "part of a line\n" || x.frames != 1 {
		t.Errorf("the file has %q after %d frames", file.String(), x.frames)
	}
}

// Where plain lines are written, logs don't come amid them either.
func TestLogAmongPlainLines(t *testing.T) {
	atTerminal(t)
	var file bytes.Buffer
	l := slog.New(slog.NewTextHandler(progress.Log(&file), &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	}))
	part := progress.Log(&file)
	synctest.Test(t, func(t *testing.T) {
		for range progress.Slice([]int{1, 2}, progress.Output(&file), progress.Title("numbers")) {
			fmt.Fprint(part, "half ")
			l.Info("hello")
			time.Sleep(900 * time.Millisecond)
			fmt.Fprint(part, "a line\n")
		}
	})
	want := "level=INFO msg=hello\nhalf a line\nlevel=INFO msg=hello\n" +
		"numbers: 1/2, 50%, 1.0/s, ETA 1s\nhalf a line\nnumbers: 2 of 2 done, took 1.8s, 1.1/s\n"
	if file.String() != want {
		t.Errorf("got\n%swant\n%s", file.String(), want)
	}
}

type brokenWriter struct{ n, calls int }

func (b *brokenWriter) Write(p []byte) (int, error) {
	b.calls++
	return b.n, errors.New("no space left")
}

func TestLogReturnsErrors(t *testing.T) {
	atTerminal(t)
	w := progress.Log(&brokenWriter{n: 3})
	if n, err := fmt.Fprint(w, "hello\n"); n != 3 || err == nil || err.Error() != "no space left" {
		t.Errorf("%d, %v", n, err)
	}
	// A display on it is quiet from then on, and the log isn't.
	b := &brokenWriter{n: 3}
	w = progress.Log(b)
	synctest.Test(t, func(t *testing.T) {
		for range progress.Slice([]int{1}, progress.Output(b)) {
			fmt.Fprint(w, "ab")
			if n, err := fmt.Fprint(w, "cde\n"); n != 1 || err == nil {
				t.Errorf("%d, %v", n, err)
			}
			time.Sleep(time.Hour)
		}
	})
	if b.calls != 2 {
		t.Errorf("it was written to %d times, not once for the log and once for the display", b.calls)
	}
}

// Everything at once, for the race detector.
func TestStorm(t *testing.T) {
	const runs = 9
	x := newTerminal(t, 80, 24)
	var file bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		e := antflow.New(4)
		shared := progress.Log(x)
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				own := progress.Log(x)
				for n := range runs {
					opts := []progress.Option{progress.Title(fmt.Sprint(i, "/", n)), progress.Level(n % 3), progress.WithExecutor(e), x.here()}
					if i%2 == 0 {
						opts = append(opts, progress.Output(&file))
					}
					inputs := progress.Inputs(progress.Slice(make([]int, 10), opts...), opts...)
					mapped := antflow.Map(ctx, e, inputs, func(ctx context.Context, v int) (int, error) {
						antflow.SetStatus(ctx, "busy")
						time.Sleep(time.Duration(i+1) * time.Millisecond)
						fmt.Fprint(shared, "shared ")
						fmt.Fprint(own, "own\n")
						return v, nil
					})
					for range progress.Results(mapped, opts...) {
						if n == 7 {
							break
						}
					}
				}
			})
		}
		wg.Wait()
		e.Close()
	})
	if n := strings.Count(file.String(), " done, took "); n != 4*runs*3 {
		t.Errorf("%d summaries", n)
	}
	owns := 0
	for _, line := range x.all() {
		owns += strings.Count(line, "own")
	}
	if most, left := 8*runs*10, 8*10; owns > most || owns < most-left { // by the loops that break
		t.Errorf("%d lines of up to %d", owns, most)
	}
}
