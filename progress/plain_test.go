package progress_test

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/progress"
)

// A file keeps what is written, and when.
type file struct {
	bytes.Buffer
	start time.Time
	at    []time.Duration
}

func (f *file) Write(p []byte) (int, error) {
	f.at = append(f.at, time.Since(f.start))
	return f.Buffer.Write(p)
}

// Where it is no terminal there are plain lines, at growing intervals, and one at
// the end, whatever the level.
func TestPlainLines(t *testing.T) {
	atTerminal(t)
	t.Setenv("NO_COLOR", "")
	for _, level := range []progress.Level{progress.Compact, progress.Detailed, progress.Full} {
		synctest.Test(t, func(t *testing.T) {
			f := &file{start: time.Now()}
			e := antflow.New(2, antflow.ExecutorName("craw\x1bler"))
			stop := progress.Show(e, level, progress.Output(f), progress.Total(1000))
			if e.Snapshot().Observed {
				t.Error("the executor is observed")
			}
			for range 1000 {
				e.Go(context.Background(), func(context.Context) error {
					time.Sleep(490 * time.Millisecond)
					return nil
				})
			}
			e.Close()
			stop()
			want := []time.Duration{1, 3, 7, 15, 31, 63, 123, 183, 243, 245}
			if len(f.at) != len(want) {
				t.Fatalf("lines at %v", f.at)
			}
			for i, at := range f.at {
				if at.Round(time.Millisecond) != want[i]*time.Second {
					t.Errorf("line %d at %v, want %v s", i, at, want[i])
				}
			}
			lines := strings.Split(f.String(), "\n")
			for i, want := range map[int]string{
				0: "craw�ler: 4/1,000, 0%, 4.0/s, ETA 4m09s, 2 running, 994 waiting",
				8: "craw�ler: 990/1,000, 99%, 4.1/s, ETA 2s, 2 running, 8 waiting",
				9: "craw�ler: 1,000 of 1,000 done, took 4m05s, 4.1/s",
			} {
				if lines[i] != want {
					t.Errorf("line %d is\n%s, want\n%s", i, lines[i], want)
				}
			}
			noControls(t, f.String())
		})
	}
}

func noControls(t *testing.T, text string) {
	t.Helper()
	for _, c := range text {
		if c < ' ' && c != '\n' || c >= 0x7f && c < 0xa0 {
			t.Errorf("%q has %U", text, c)
		}
	}
}

// On a terminal they are written, too, if it is a poor one or nobody looks.
func TestPlainOnTerminal(t *testing.T) {
	for _, test := range []struct {
		name, value string
		moves       bool
	}{
		{"TERM", "dumb", false},
		{"TERM", "", false},
		{"TERM", "linux", true},
		{"CI", "true", false},
		{"CI", "1", false},
		{"CI", "woodpecker", false},
		{"CI", "false", true},
		{"CI", "0", true},
	} {
		x := newTerminal(t, 80, 24)
		t.Setenv(test.name, test.value)
		synctest.Test(t, func(t *testing.T) {
			for range progress.Slice([]int{1, 2, 3}, x.here(), progress.Title("numbers")) {
				time.Sleep(900 * time.Millisecond)
			}
		})
		if moves := strings.Contains(x.raw.String(), "\x1b"); moves != test.moves {
			t.Errorf("%s=%s: moves %v", test.name, test.value, moves)
		}
		if !test.moves && x.raw.String() != "numbers: 1/3, 33%, 1.0/s, ETA 2s\nnumbers: 3 of 3 done, took 2.7s, 1.1/s\n" {
			t.Errorf("%s=%s: %q", test.name, test.value, x.raw.String())
		}
	}
}

func TestPlainInterval(t *testing.T) {
	atTerminal(t)
	synctest.Test(t, func(t *testing.T) {
		f := &file{start: time.Now()}
		for range progress.Slice([]int{1, 2, 3}, progress.Output(f), progress.Interval(5*time.Second)) {
			time.Sleep(9 * time.Second)
		}
		want := []time.Duration{5, 10, 15, 20, 25, 27}
		if len(f.at) != len(want) {
			t.Fatalf("lines at %v", f.at)
		}
		for i, at := range f.at {
			if at != want[i]*time.Second {
				t.Errorf("line %d at %v", i, at)
			}
		}
	})
}
