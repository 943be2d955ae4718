// Command etl measures every Go file of a tree, that of the standard library
// unless told otherwise, and writes a line of JSON for each:
//
//	etl [-o file] [-workers n] [-flaky p] [-seed n] [-check] [directory]
//
// The files go through a pipeline of stages, each with workers of its own: new,
// read, parse, measure, and write, with a hundred lines at a time. Reading
// fails now and then, as it would from a remote store, and is tried again:
// -flaky says how often and -seed when. What doesn't parse, and the standard
// library has some of that for its tests, is reported in the end and holds up
// nothing else.
//
// A run that was interrupted is resumed by another one like it: files that have
// a line in the output are skipped, a torn last line is dropped, and new lines
// come behind the old ones. Files are told by their absolute names. Failures
// have no line, so they are tried again.
//
// With -check the output is read back and compared with what a plain loop over
// the same files finds; so it must have the lines of one tree alone.
//
// The exit status is 0 when there is a line for every file that parses; 1 when
// a file could not be read, the output could not be written, or the check found
// a difference; 2 for wrong usage and 130 after Ctrl-C.
//
// Apart from the names that the output had at the start, memory depends on the
// pipeline's window and the size of the files, and not on their number.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"go/build"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/pipeline"
)

const usage = `usage: etl [-o file] [-workers n] [-flaky p] [-seed n] [-check] [directory]
  -o file      where the lines go, and a former run is resumed (default: etl.jsonl in the temporary directory)
  -workers n   of each stage that computes (default: one for each CPU)
  -flaky p     the part of the reads that fail, from 0 to 1 (default 0.05)
  -seed n      which ones (default 1)
  -check       compare the output with what a plain loop finds
  directory    to measure (default: the source of the standard library)
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	context.AfterFunc(ctx, stop)   // the second Ctrl-C kills
	signal.Ignore(syscall.SIGPIPE) // a closed pipe is an error of Write like any other
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	cfg, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, usage)
		return 0
	}
	if err != nil {
		fmt.Fprintf(stderr, "etl: %v\n%s", err, usage)
		return 2
	}
	out, err := openOutput(cfg)
	if err != nil {
		fmt.Fprintf(stderr, "etl: %v\n", err)
		return 1
	}

	var m pipeline.Monitor
	err = measureAll(ctx, cfg, out, &m)
	report(stderr, cfg, out, &m)
	switch _, interrupted := errors.AsType[*antflow.WaitError](err); {
	case interrupted:
		fmt.Fprintln(stderr, "etl: interrupted; the same command goes on from here")
		return 130
	case err != nil:
		fmt.Fprintf(stderr, "etl: output: %v\n", err)
		return 1
	}

	if cfg.check {
		problems, err := check(ctx, cfg, &m)
		switch {
		case ctx.Err() != nil:
			fmt.Fprintln(stderr, "etl: the check was interrupted")
			return 130
		case err != nil:
			problems = append(problems, err.Error())
		}
		for _, problem := range problems {
			fmt.Fprintf(stderr, "etl: check: %s\n", problem)
		}
		if len(problems) > 0 {
			return 1
		}
		fmt.Fprintln(stderr, "check: a plain loop over the files finds the same")
	}
	if _, others := failed(&m); others > 0 {
		return 1
	}
	return 0
}

// measureAll is the job. Its error is that of the output, or a
// *antflow.WaitError when ctx has ended.
func measureAll(ctx context.Context, cfg config, out *output, m *pipeline.Monitor) (err error) {
	p := stages(cfg, out)
	e := antflow.New(p.Workers())
	defer func() {
		e.Close() // the loop does not wait for a write that is under way
		err = errors.Join(err, out.file.Close())
	}()
	for _, err := range p.Run(ctx, e, walk(cfg.root), pipeline.Key(file.key), pipeline.WithMonitor(m)) {
		item, ok := errors.AsType[*pipeline.ItemError](err)
		switch {
		case err == nil || ok && item.Stage != write: // the monitor has the failures
		case ok:
			return item.Err // the lines of this batch are lost, so the rest is of no use
		default:
			return err
		}
	}
	return nil
}

type config struct {
	root, output string
	workers      int
	flaky        float64
	seed         uint64
	check        bool
}

func parse(args []string) (config, error) {
	var cfg config
	flags := flag.NewFlagSet("etl", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // run prints the error, once and with its prefix
	flags.StringVar(&cfg.output, "o", filepath.Join(os.TempDir(), "etl.jsonl"), "")
	flags.IntVar(&cfg.workers, "workers", runtime.GOMAXPROCS(0), "")
	flags.Float64Var(&cfg.flaky, "flaky", 0.05, "")
	flags.Uint64Var(&cfg.seed, "seed", 1, "")
	flags.BoolVar(&cfg.check, "check", false, "")
	if err := flags.Parse(args); err != nil {
		return cfg, err
	}
	switch {
	case flags.NArg() > 1:
		return cfg, fmt.Errorf("unexpected argument %q", flags.Arg(1))
	case cfg.workers < 1:
		return cfg, fmt.Errorf("-workers must be at least 1, not %d", cfg.workers)
	case !(cfg.flaky >= 0 && cfg.flaky <= 1): // nor NaN
		return cfg, fmt.Errorf("-flaky must be from 0 to 1, not %v", cfg.flaky)
	case flags.NArg() == 1:
		cfg.root = flags.Arg(0)
	case build.Default.GOROOT == "":
		return cfg, errors.New("no standard library here, so a directory has to be given")
	default:
		cfg.root = filepath.Join(build.Default.GOROOT, "src")
	}
	// Some distributions have a link for src, which WalkDir does not follow.
	root, err := filepath.EvalSymlinks(cfg.root)
	if err == nil {
		cfg.root, err = filepath.Abs(root)
	}
	return cfg, err
}
