package browser_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/antflow/antflow"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// picture is a PNG of what the window shows.
func (tb *tab) picture() []byte {
	tb.t.Helper()
	data, err := chromedp.Run(tb.ctx, func(ctx context.Context, t *chromedp.Target) ([]byte, error) {
		shot, err := cdp.Call(ctx, t, page.CaptureScreenshot, page.CaptureScreenshotParams{Format: page.CaptureScreenshotFormatPng})
		return shot.Data, err
	})
	if err != nil {
		tb.t.Fatal(err)
	}
	return data
}

// TestScreenshots writes what the views look like to the directory that
// ANTFLOW_SCREENSHOTS names.
func TestScreenshots(t *testing.T) {
	dir := os.Getenv("ANTFLOW_SCREENSHOTS")
	if dir == "" {
		t.Skip("set ANTFLOW_SCREENSHOTS to a directory for pictures of all views")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	l, s := newLively(t)
	tb := open(t, s, "")
	wait(t, func() string { return fmt.Sprint(l.e.Stats()) }, func() bool { return l.e.Stats().Failed >= 5 })
	tb.await(`new Promise((done) => setTimeout(done, 5000))`) // so that there is something in the charts
	failure := get[string](tb, `fetch("failures.json").then((r) => r.json()).then((f) => f.groups[0].key)`)
	for _, place := range append(append([]string{"#/failures?key=" + failure}, executorViews...), pipelineViews...) {
		tb.visit(place)
		name := strings.TrimPrefix(strings.NewReplacer("?source=1", "-pipeline", "?key="+failure, "-details", "#/", "").Replace(place), "#/")
		tb.shoot(dir, name, func(at size) {
			if strings.HasPrefix(place, "#/failures") && at == desktop {
				tb.until(`look.rows("#group").length > 0`) // it comes beside the table
			}
		})
	}
	t.Run("cluster", func(t *testing.T) { shootCluster(t, dir) })
}

// shootCluster has a cluster that moves, then one with problems, then none.
func shootCluster(t *testing.T, dir string) {
	c := newCluster()
	tb := open(t, c.serve(t), "")
	shoot := func(state string) {
		for _, view := range clusterViews {
			tb.visit(view)
			tb.shoot(dir, strings.TrimPrefix(view, "#/")+"-cluster"+state, func(size) {})
		}
	}
	for n := range 100 {
		c.change(func(s *antflow.ClusterStatus) {
			s.Workers[0].Finished += 2
			s.Workers[1].Finished++
			s.Queues[1].Waiting = 1000 + uint64(n*7%300)
			s.Backlog = 206 + s.Queues[1].Waiting
		})
		time.Sleep(100 * time.Millisecond) // the work, which the browser sees by its clock
	}
	shoot("")
	c.change(func(s *antflow.ClusterStatus) {
		s.Backlog = 9650
		s.Queues = append(s.Queues, antflow.QueueStatus{Queue: "reports", Waiting: 8400, Taken: 3, Redelivered: 3})
		s.Workers = append(s.Workers,
			antflow.WorkerStatus{Name: "a-12", State: "disconnected", Queues: []string{"reports"}, Tasks: []string{"report"}, MaxWorkers: 4, Running: 3, Held: 3, Up: time.Minute},
			antflow.WorkerStatus{Name: "b-1", State: "draining", Queues: []string{"mail"}, Tasks: []string{"send"}, MaxWorkers: 2, Running: 1, Held: 1, Finished: 90, Up: time.Hour})
	})
	tb.visit("#/overview")
	tb.untilText("#verdict-word", "Not served")
	shoot("-problems")
	c.fail(errors.New("antflow: no status: nats: no servers available for connection"))
	tb.visit("#/overview")
	tb.untilText("#verdict-word", "No answer")
	shoot("-away")
}

// shoot writes pictures of the view, in both sizes and schemes.
func (tb *tab) shoot(dir, name string, settle func(size)) {
	tb.t.Helper()
	for _, at := range []size{desktop, phone} {
		for _, scheme := range []string{"light", "dark"} {
			tb.prefer("prefers-color-scheme", scheme)
			tb.resize(at)
			settle(at)
			high := min(2000, get[int64](tb, `document.documentElement.scrollHeight`))
			tb.resize(size{at.width, high})
			path := filepath.Join(dir, fmt.Sprintf("%s-%d-%s.png", name, at.width, scheme))
			if err := os.WriteFile(path, tb.picture(), 0o644); err != nil {
				tb.t.Fatal(err)
			}
		}
	}
}

// TestDocsScreenshots makes the pictures of the documentation, in the directory
// that ANTFLOW_DOCS_SCREENSHOTS names. It runs for more than a minute, for charts
// that are full.
func TestDocsScreenshots(t *testing.T) {
	dir := os.Getenv("ANTFLOW_DOCS_SCREENSHOTS")
	if dir == "" {
		t.Skip("set ANTFLOW_DOCS_SCREENSHOTS to the directory of the documentation for its pictures")
	}
	_, s := newLively(t)
	tb := open(t, s, "")
	tb.prefer("prefers-color-scheme", "light")
	tb.eval(`document.querySelector("#chart-span input[value='60']").click()`)
	tb.resize(size{1280, 910})
	time.Sleep(time.Minute) // of real work, which fills the charts
	figure := func(id string) string {
		return fmt.Sprintf(`Number(document.querySelector(%q).textContent)`, counter(id))
	}
	tb.until(figure("running") + ` === 8 && ` + figure("blocked") + ` > 0 && ` + figure("queued") + ` > 20`)
	write := func(name string) {
		t.Helper()
		data, err := shrink(tb.picture())
		if err != nil {
			t.Fatal(err)
		}
		if len(data) > 150<<10 {
			t.Errorf("%s has %d bytes", name, len(data))
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("dashboard.png")
	panicked := get[string](tb, `fetch("failures.json").then((r) => r.json()).then((f) => f.groups.find((g) => g.stack)?.key ?? "")`)
	tb.visit("#/failures?key=" + panicked)
	tb.until(`document.querySelector("#group .stack").checkVisibility()`)
	if at, err := os.Getwd(); err != nil || strings.Contains(tb.text("#group .stack"), at) {
		t.Fatalf("the stack has the paths of this machine; use -trimpath (%v)", err)
	}
	tb.resize(size{1280, 760})
	write("dashboard-failures.png")
}

// shrink gives a picture of a page a palette, which is smaller by half.
func shrink(data []byte) ([]byte, error) {
	src, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	box := src.Bounds()
	counts := make(map[color.RGBA]int)
	at := func(x, y int) color.RGBA { return color.RGBAModel.Convert(src.At(x, y)).(color.RGBA) }
	for y := box.Min.Y; y < box.Max.Y; y++ {
		for x := box.Min.X; x < box.Max.X; x++ {
			counts[at(x, y)]++
		}
	}
	colors := make([]color.RGBA, 0, len(counts))
	for c := range counts {
		colors = append(colors, c)
	}
	slices.SortFunc(colors, func(a, b color.RGBA) int {
		if n := counts[b] - counts[a]; n != 0 {
			return n
		}
		return bytes.Compare([]byte{a.R, a.G, a.B}, []byte{b.R, b.G, b.B})
	})
	palette := paletteOf(colors)
	index := make(map[color.RGBA]uint8, len(counts))
	for c := range counts {
		index[c] = uint8(palette.Index(c))
	}
	dst := image.NewPaletted(box, palette)
	for y := box.Min.Y; y < box.Max.Y; y++ {
		for x := box.Min.X; x < box.Max.X; x++ {
			dst.SetColorIndex(x, y, index[at(x, y)])
		}
	}
	var out bytes.Buffer
	err = (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, dst)
	return out.Bytes(), err
}

// paletteOf chooses 256 of the colours, which are in the order of their
// frequency. Half of them are the most frequent ones, which are of areas; the
// others are to be far from those that are there, or the few that mark something
// would be lost among the many at the edges of letters.
func paletteOf(colors []color.RGBA) color.Palette {
	var palette color.Palette
	for _, c := range colors[:min(len(colors), 128)] {
		palette = append(palette, c)
	}
	for _, apart := range []int{48, 32, 20, 12, 8, 4, 2, 1} {
		for _, c := range colors {
			if len(palette) == 256 {
				return palette
			}
			if !slices.ContainsFunc(palette, func(p color.Color) bool { return distance(p.(color.RGBA), c) < apart }) {
				palette = append(palette, c)
			}
		}
	}
	return palette
}

func distance(a, b color.RGBA) int {
	d := func(x, y uint8) int { return max(int(x)-int(y), int(y)-int(x)) }
	return max(d(a.R, b.R), d(a.G, b.G), d(a.B, b.B))
}
