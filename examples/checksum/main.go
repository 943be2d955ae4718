// Command checksum prints the SHA-256 of every regular file under the given
// directories, in GNU sha256sum's format, hashing several files at a time:
//
//	checksum [-workers n] [-retries n] [-timeout d] path...
//
// The lines come in the order of the walk, however the reading went, so two
// runs can be compared and sha256sum can check them:
//
//	checksum src docs | sha256sum -c --quiet
//
// Names are printed as find prints them: the argument as given, then the way
// from there. Symbolic links are not followed. What can't be read is reported
// on standard error while the rest goes on, and a summary comes last. The exit
// status is 0 when every file was hashed, 1 when something failed, 2 for wrong
// usage and 130 after Ctrl-C.
//
// The tree is walked no further ahead than antflow.Map's window, so memory
// depends on the largest single directory and not on the size of the tree.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/antflow/antflow"
)

const usage = `usage: checksum [-workers n] [-retries n] [-timeout d] path...
  -workers n   files hashed at a time (default: one for each CPU)
  -retries n   further attempts for a file that can't be read (default 0)
  -timeout d   longest time for one attempt at one file, as 30s (default: none)
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	// No context ends a read that hangs in the kernel, so the second Ctrl-C
	// must find the default action back in its place.
	context.AfterFunc(ctx, stop)
	// The default action kills the process without a summary; ignored, a
	// closed pipe is an error of Write like any other.
	signal.Ignore(syscall.SIGPIPE)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	cfg, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, usage)
		return 0
	}
	if err != nil {
		fmt.Fprintf(stderr, "checksum: %v\n%s", err, usage)
		return 2
	}

	start := time.Now()
	e := antflow.New(cfg.workers)
	defer e.Close()
	sums := antflow.Map(ctx, e, walk(cfg.roots), hash,
		antflow.Retries(cfg.retries),
		antflow.RetryIf(transient),
		antflow.Timeout(cfg.timeout))

	out := newLineWriter(stdout)
	var t totals
	for s, err := range sums {
		var item *antflow.ItemError
		switch {
		case err == nil:
			t.files++
			t.bytes += s.size
			err = out.WriteLine(s.line())
		case errors.Is(err, antflow.ErrCanceled) || !errors.As(err, &item):
			// Only ctx cancels here, and only its end ends the loop early.
			t.interrupted, err = true, nil
		default:
			t.failed++
			fmt.Fprintf(stderr, "checksum: %s\n", describe(item.Err))
			err = nil
		}
		if err != nil {
			break // nobody reads on; leaving the loop cancels what is under way
		}
	}
	outErr := out.Close()
	if outErr != nil {
		fmt.Fprintf(stderr, "checksum: output: %v\n", outErr)
	}
	t.elapsed = time.Since(start)
	fmt.Fprintf(stderr, "checksum: %v\n", t)

	switch {
	case t.interrupted:
		return 130
	case t.failed > 0 || outErr != nil:
		return 1
	}
	return 0
}

type config struct {
	workers, retries int
	timeout          time.Duration
	roots            []string
}

func parse(args []string) (config, error) {
	var cfg config
	flags := flag.NewFlagSet("checksum", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // run prints the error, once and with its prefix
	flags.IntVar(&cfg.workers, "workers", runtime.GOMAXPROCS(0), "")
	flags.IntVar(&cfg.retries, "retries", 0, "")
	flags.DurationVar(&cfg.timeout, "timeout", 0, "")
	if err := flags.Parse(args); err != nil {
		return cfg, err
	}
	cfg.roots = flags.Args()
	switch {
	case cfg.workers < 1:
		return cfg, fmt.Errorf("-workers must be at least 1, not %d", cfg.workers)
	case cfg.retries < 0:
		return cfg, fmt.Errorf("-retries must not be negative, as %d is", cfg.retries)
	case cfg.timeout < 0:
		return cfg, fmt.Errorf("-timeout must not be negative, as %v is", cfg.timeout)
	case len(cfg.roots) == 0:
		return cfg, errors.New("no file or directory given")
	}
	return cfg, nil
}

type totals struct {
	files, failed int
	bytes         int64
	elapsed       time.Duration
	interrupted   bool
}

func (t totals) String() string {
	seconds := t.elapsed.Seconds()
	rate := 0.0
	if seconds > 0 {
		rate = float64(t.bytes) / 1e6 / seconds
	}
	s := fmt.Sprintf("%d files, %d bytes, %.2f s, %.1f MB/s", t.files, t.bytes, seconds, rate)
	if t.failed > 0 {
		s += fmt.Sprintf(", %d failed", t.failed)
	}
	if t.interrupted {
		s += ", interrupted"
	}
	return s
}
