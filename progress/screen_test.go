package progress_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/progress"
)

// nasty are texts that would spoil a screen.
var nasty = []string{
	"",
	"\x1b[2J\x1b[1;1Hcleared",
	"\x1b]0;title\x07\x1bP+q\x1b\\\x1bc",
	"\u009b31m\x9d0;title\x9c",
	"line\nbreak\r\nand\ttab\vand\fmore\x08\x08\x08",
	strings.Repeat("x", 1<<20),
	strings.Repeat("世界", 1<<18),
	strings.Repeat("\x1b[31m", 1<<17),
	"👨\u200d👩\u200d👧\u200d👦 family, flags 🇩🇪🇫🇷, thumb 👍🏽",
	"e" + strings.Repeat("\u0301", 600),
	"\u202eright to left\u202c \u05e9\u05dc\u05d5\u05dd",
	"no UTF-8: \xff\xfe\xc3",
	"\x00\x01\x7f\u2028\u2029\ufeff",
}

var allowed = regexp.MustCompile("\r\n|\r|\x1b\\[[0-9]+A|\x1b\\[[KJ]|\x1b\\[\\?7[lh]|\x1b\\[(2|31|32|33)?m")

// Whatever the texts and the size, each frame fits: no line wraps, none is left
// over of the one before, and the terminal gets no sequence but ours.
func TestAnyTextAtAnySize(t *testing.T) {
	x := newTerminal(t, 80, 24)
	t.Setenv("TERM", "linux") // which cuts lines, as the emulator does
	t.Setenv("NO_COLOR", "")
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		e := antflow.New(len(nasty))
		stop := progress.Show(e, progress.Full, x.here(), progress.Title(nasty[2]), progress.Total(1<<30))
		for i, text := range nasty {
			e.Go(ctx, func(context.Context) error { return errors.New(text) }, antflow.TaskName(fmt.Sprint(i, text)))
			e.Go(ctx, func(ctx context.Context) error {
				antflow.SetStatus(ctx, text)
				<-ctx.Done()
				return nil
			}, antflow.TaskName(text))
		}
		time.Sleep(50 * time.Millisecond) // frames come in between
		rng := rand.New(rand.NewPCG(1, 2))
		for range 100 {
			w, h := 1+rng.IntN(130), 1+rng.IntN(60)
			x.resize(w, h)
			time.Sleep(200 * time.Millisecond)
			lines := x.screen()
			if len(lines) == 0 || len(lines) > max(h-1, 1) {
				t.Errorf("%d lines of %d:\n%s", len(lines), h, strings.Join(lines, "\n"))
			}
			for _, line := range lines {
				if n := progress.Cells(line); n > max(w-1, 1) {
					t.Errorf("%d cells of %d: %q", n, w, line)
				}
			}
		}
		x.resize(80, 60)
		time.Sleep(200 * time.Millisecond)
		if lines := x.screen(); len(lines) < 40 || !strings.HasPrefix(lines[0], "�]0;title��P+q�\\�c") {
			t.Errorf("not all is shown:\n%s", strings.Join(lines, "\n"))
		}
		e.Shutdown(ctx, antflow.CancelRunning())
		stop()
	})
	for _, c := range allowed.ReplaceAllString(x.raw.String(), "") {
		if c < ' ' || c >= 0x7f && c < 0xa0 || c == 0x202e {
			t.Fatalf("the terminal got %U", c)
		}
	}
}

// twoLines is a display of two lines, the second one long, below a log.
func twoLines(t *testing.T, x *terminal, then func()) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		e := antflow.New(1)
		log := progress.Log(x)
		stop := progress.Show(e, progress.Full, x.here(), progress.Title("title"))
		e.Go(context.Background(), func(ctx context.Context) error {
			antflow.SetStatus(ctx, "a long status that takes all of the line at forty columns")
			time.Sleep(time.Minute)
			return nil
		}, antflow.TaskName("name"))
		for i := range 5 {
			fmt.Fprintln(log, "line", i)
		}
		time.Sleep(450 * time.Millisecond)
		then()
		e.Close()
		stop()
	})
}

const narrow = `
line 0
line 1
line 2
line 3
line 4
title  0 done  elapsed 1s  1 running
task  done  failed  running  p50  p95
name     0       0        1
worker  task    for  status
     0  name  600ms  a long status tha…
`

// A terminal that cuts its lines: nothing above the display is lost.
func TestNarrowerIsCut(t *testing.T) {
	x := newTerminal(t, 80, 24)
	t.Setenv("TERM", "linux")
	twoLines(t, x, func() {
		x.resize(40, 24)
		time.Sleep(200 * time.Millisecond)
		x.seen(narrow)
	})
}

// A terminal that breaks them anew: nothing of the display is left over.
func TestNarrowerReflows(t *testing.T) {
	x := newTerminal(t, 80, 24)
	twoLines(t, x, func() {
		before := len(x.screen())
		x.reflow(40)
		if len(x.screen()) <= before {
			t.Error("no line is broken")
		}
		time.Sleep(200 * time.Millisecond)
		x.seen(narrow)
	})
}

// What was printed without a line break before the display stays, and so does
// what is printed directly amid a display of one line.
func TestForeignText(t *testing.T) {
	x := newTerminal(t, 40, 10)
	synctest.Test(t, func(t *testing.T) {
		fmt.Fprint(x, "working... ")
		for i := range progress.Slice([]int{1, 2}, x.here()) {
			time.Sleep(250 * time.Millisecond)
			fmt.Fprintf(x, " result %d\r\n", i)
		}
	})
	x.seen(`
working...
░░░░░░░░░░░░░░░░░░  0/2  0%  elapsed 0s
result 1
███████░░░░░░░  1/2  50%  2.5/s  ETA 1s
result 2
2 of 2 done, took 500ms, 4.0/s
`)
}

// Long names leave room for the rest, and where there is none the count and the
// names are what is left.
func TestNarrow(t *testing.T) {
	for width, want := range map[int]string{
		80: `
title  0 done  elapsed 0s  1 running
task                        done  failed  running  retries  p50  p95
a long name that is to be…     0       0        1        0
worker  task                        attempt    for  status
     0  a long name that is to be…        1  200ms  a status that is long, too
`,
		40: `
title  0 done  elapsed 0s  1 running
task         done  failed  running  p50
a long nam…     0       0        1
task             for  status
a long name …  200ms  a status that is…
`,
		20: `
title  0 done
task      done
a long …     0
task        for
a long …  200ms
`,
		12: `
0 done
task
a long …
task
a long …
`,
		4: `
0 …
ta…
a …
ta…
a …
`,
	} {
		x := newTerminal(t, width, 24)
		synctest.Test(t, func(t *testing.T) {
			e := antflow.New(1)
			stop := progress.Show(e, progress.Full, progress.Title("title"), x.here())
			e.Go(context.Background(), func(ctx context.Context) error {
				antflow.SetStatus(ctx, "a status that is long, too")
				time.Sleep(time.Second)
				return nil
			}, antflow.TaskName("a long name that is to be cut, since it takes more than a third"))
			time.Sleep(250 * time.Millisecond)
			x.seen(want)
			e.Close()
			stop()
		})
	}
}

// A terminal of unknown size is taken for one of 80 by 24.
func TestUnknownSize(t *testing.T) {
	x := newTerminal(t, 80, 24)
	synctest.Test(t, func(t *testing.T) {
		option := progress.Terminal(x, func() (w, h int) { return 0, 0 })
		for range progress.Slice([]int{1, 2}, option, progress.Title(strings.Repeat("x", 100))) {
			time.Sleep(250 * time.Millisecond)
		}
	})
	x.seen(strings.Repeat("x", 38) + "…: 2 of 2 done, took 500ms, 4.0/s")
}

// There are five frames a second, or as many as Interval says, and no more when
// much is going on.
func TestFrames(t *testing.T) {
	for _, test := range []struct {
		opts []progress.Option
		want int
	}{
		{nil, 1 + 50},
		{[]progress.Option{progress.Interval(100 * time.Millisecond)}, 1 + 100},
		{[]progress.Option{progress.Interval(time.Minute)}, 1},
	} {
		x := newTerminal(t, 80, 24)
		synctest.Test(t, func(t *testing.T) {
			for i := range progress.Slice(make([]int, 10_000), append(test.opts, x.here())...) {
				_ = i
				time.Sleep(time.Millisecond)
			}
		})
		if x.frames < test.want-1 || x.frames > test.want {
			t.Errorf("%v: %d frames, want %d", test.opts, x.frames, test.want)
		}
	}
}
