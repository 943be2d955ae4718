// Command progress crawls a site that is made up, and shows how far it has come:
//
//	progress [-level compact|detailed|full] [-pages n] [-workers n] [-pipeline]
//
// The display is on standard error. The pages go to standard output, and what
// failed to standard error, both above the display where that is on the same
// terminal:
//
//	progress -level full
//	progress -level full >pages
//
// With -pipeline the same is done by the stages of a pipeline. There is no
// network: a page takes as long as its number says, some fail at first and some
// for good. The exit status is 0, 2 for wrong usage and 130 after Ctrl-C.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"iter"
	"log"
	"os"
	"os/signal"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/pipeline"
	"github.com/antflow/antflow/progress"
)

const usage = `usage: progress [-level compact|detailed|full] [-pages n] [-workers n] [-pipeline]
  -level l    how much is shown (default detailed)
  -pages n    how many pages there are (default 300)
  -workers n  pages fetched at a time (default 8)
  -pipeline   fetch, parse and save in the stages of a pipeline
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C kills
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

type config struct {
	level          progress.Level
	pages, workers int
	pipeline       bool
}

func parse(args []string) (cfg config, err error) {
	flags := flag.NewFlagSet("progress", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.TextVar(&cfg.level, "level", progress.Detailed, "")
	flags.IntVar(&cfg.pages, "pages", 300, "")
	flags.IntVar(&cfg.workers, "workers", 8, "")
	flags.BoolVar(&cfg.pipeline, "pipeline", false, "")
	switch err = flags.Parse(args); {
	case err != nil:
	case flags.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case cfg.pages < 0:
		err = fmt.Errorf("-pages must not be negative, but is %d", cfg.pages)
	case cfg.workers < 1:
		err = fmt.Errorf("-workers must be at least 1, not %d", cfg.workers)
	}
	return cfg, err
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	cfg, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, usage)
		return 0
	}
	if err != nil {
		fmt.Fprintf(stderr, "progress: %v\n%s", err, usage)
		return 2
	}

	e := antflow.New(cfg.workers)
	defer e.Close()
	// What is written through these comes above the display.
	pages := progress.Log(stdout)
	failures := log.New(progress.Log(stderr), "", 0)
	for page, err := range cfg.crawl(ctx, e, stderr) {
		switch {
		case ctx.Err() != nil:
			return 130
		case err != nil:
			failures.Print(err)
		default:
			fmt.Fprintln(pages, page)
		}
	}
	return 0
}

// crawl yields the pages as they come, in their order, and shows it.
func (cfg config) crawl(ctx context.Context, e *antflow.Executor, stderr io.Writer) iter.Seq2[page, error] {
	opts := []progress.Option{cfg.level, progress.Output(stderr), progress.Title("pages"), progress.Total(cfg.pages)}
	if !cfg.pipeline {
		site := site{e}
		pages := antflow.Map(ctx, e, numbers(cfg.pages), site.fetch, antflow.TaskName("fetch"), antflow.Retries(2))
		return progress.Results(pages, append(opts, progress.WithExecutor(e))...)
	}
	m := new(pipeline.Monitor)
	pages := cfg.stages().Run(ctx, e, numbers(cfg.pages), pipeline.WithMonitor(m))
	return progress.Results(pages, append(opts, progress.WithMonitor(m))...)
}

func (cfg config) stages() pipeline.Pipeline[int, page] {
	fetch := pipeline.Stage("fetch", download, pipeline.Workers(cfg.workers), antflow.Retries(2))
	scale := pipeline.Stage("scale", withImage, pipeline.Workers(2))
	return pipeline.Then(fetch, scale)
}

func numbers(n int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := 1; i <= n && yield(i); i++ {
		}
	}
}
