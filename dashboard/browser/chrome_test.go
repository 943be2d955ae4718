package browser_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// elsewhere is a name that this browser resolves to this machine, as a foreign
// site could have it.
const elsewhere = "elsewhere.example"

func TestMain(m *testing.M) { os.Exit(run(m)) }

// run has all that the tests and the browser write in one directory, and sees to
// it that nothing of the browser is left.
func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "antflow-browser-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	os.Setenv("TMPDIR", dir)
	code := m.Run()
	if err := errors.Join(chrome.close(), nothingLeft(dir)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// nothingLeft looks for profiles in dir, and for processes that use it.
func nothingLeft(dir string) error {
	left, err := filepath.Glob(filepath.Join(dir, "chromedp-runner*"))
	processes, _ := filepath.Glob("/proc/[0-9]*/cmdline") // none where there is no such file system
	for _, p := range processes {
		if line, err := os.ReadFile(p); err == nil && bytes.Contains(line, []byte(dir)) {
			left = append(left, p+": "+string(bytes.ReplaceAll(line, []byte{0}, []byte{' '})))
		}
	}
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("the browser left %.1000q", left)
	}
	return err
}

// chrome is the browser of all tests.
var chrome browser

// A browser starts when a test first asks for it.
type browser struct {
	once sync.Once
	ctx  context.Context // to make tabs in
	err  error
}

var errNone = errors.New("there is no Chromium: install it, on Debian by apt-get install -y chromium")

// need returns the browser, and skips the test where there is none.
func (b *browser) need(t *testing.T) context.Context {
	t.Helper()
	b.once.Do(b.start)
	switch {
	case errors.Is(b.err, errNone) && os.Getenv("CI") != "true":
		t.Skip(b.err)
	case b.err != nil:
		t.Fatal(b.err)
	}
	return b.ctx
}

func find() (string, error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errNone
}

func (b *browser) start() {
	path, err := find()
	if err != nil {
		b.err = err
		return
	}
	// The allocator makes a directory for the profile, and removes it.
	allocator, _ := chromedp.NewExecAllocator(context.Background(),
		chromedp.ExecPath(path),
		chromedp.Env("HOME="+filepath.Join(os.TempDir(), "home")),
		chromedp.Headless,
		chromedp.NoSandbox, // no foreign page is loaded
		chromedp.NoFirstRun,
		chromedp.NoDefaultBrowserCheck,
		chromedp.WindowSize(int(desktop.width), int(desktop.height)),
		chromedp.Flag("host-resolver-rules", "MAP "+elsewhere+" 127.0.0.1"),
		chromedp.Flag("disable-gpu", true),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-extensions", true),
		chromedp.Flag("disable-breakpad", true),
		chromedp.Flag("disable-dev-shm-usage", true), // which is small in containers
		chromedp.Flag("force-color-profile", "srgb"),
		// A tab behind another one is to go on.
		chromedp.Flag("disable-background-timer-throttling", true),
		chromedp.Flag("disable-backgrounding-occluded-windows", true),
		chromedp.Flag("disable-renderer-backgrounding", true),
	)
	ctx, _ := chromedp.NewContext(allocator)
	if err := chromedp.Do(ctx); err != nil {
		b.err = fmt.Errorf("%s does not start: %w", path, err)
		return
	}
	b.ctx = ctx
}

// close ends it, and waits until it has ended.
func (b *browser) close() error {
	if b.ctx == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(b.ctx, 20*time.Second)
	defer cancel()
	return chromedp.Cancel(ctx)
}
