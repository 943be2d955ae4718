// Command cluster prints the SHA-256 of every file under a folder, as sha256sum
// does, hashed by several processes of which one is killed amid its work:
//
//	go run ./cluster/embedded/examples/cluster [flags] [folder]
//
// It needs nothing but Go. The broker is in this process, and the workers are
// copies of it. After a third of the results worker 2 gets SIGKILL; the broker
// misses word of the tasks that it had, gives them to the others, and every file
// has its result, once. The checksums go to standard output and the story to
// standard error, so this checks them:
//
//	go run ./cluster/embedded/examples/cluster | sha256sum -c --quiet
//
// The folder is the current one by default, and .git is left out. The flags:
//
//	-workers n      processes that hash files (default 3)
//	-concurrency n  files that each of them hashes at a time (default 4)
//	-delay d        time that hashing a file takes longer than it has to, so that
//	                the kill meets tasks that run (default 80ms)
//	-kill=false     kill nobody
//	-check=false    don't hash the files here as well, to compare
//
// The exit status is 0 when every file has one result and that is right, 1 when
// something went wrong, 2 for wrong usage and 130 after Ctrl-C.
//
// Of a real system these are three programs: main.go has the one that submits,
// worker.go the one that serves, work.go the package that both share; and the
// broker is installed. report.go is about this demonstration alone.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/cluster"
	"github.com/antflow/antflow/cluster/embedded"
)

func main() {
	if job := os.Getenv(workerEnv); job != "" {
		os.Exit(serve(job))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends it at once
	os.Exit(command(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// command is the program, with an exit status.
func command(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	cfg, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintf(stderr, "cluster: %v\n", err)
		return 2
	}
	switch err := run(ctx, cfg, stdout, stderr); {
	case ctx.Err() != nil:
		fmt.Fprintln(stderr, "cluster: interrupted")
		return 130
	case err != nil:
		fmt.Fprintf(stderr, "cluster: %v\n", err)
		return 1
	}
	return 0
}

type config struct {
	folder               string
	workers, concurrency int
	delay                time.Duration
	kill, check          bool
}

func parse(args []string, stderr io.Writer) (cfg config, err error) {
	flags := flag.NewFlagSet("cluster", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&cfg.workers, "workers", 3, "`processes` that hash files")
	flags.IntVar(&cfg.concurrency, "concurrency", 4, "`files` that each of them hashes at a time")
	flags.DurationVar(&cfg.delay, "delay", 80*time.Millisecond, "`time` that hashing a file takes longer than it has to")
	flags.BoolVar(&cfg.kill, "kill", true, "kill worker 2 after a third of the results")
	flags.BoolVar(&cfg.check, "check", true, "hash the files here as well, and compare")
	if err := flags.Parse(args); err != nil {
		return cfg, err
	}
	cfg.folder = "."
	if flags.NArg() > 0 {
		cfg.folder = flags.Arg(0)
	}
	switch {
	case flags.NArg() > 1:
		err = fmt.Errorf("one folder at most, not also %q", flags.Arg(1))
	case cfg.workers < 1:
		err = fmt.Errorf("-workers must be at least 1, not %d", cfg.workers)
	case cfg.concurrency < 1:
		err = fmt.Errorf("-concurrency must be at least 1, not %d", cfg.concurrency)
	case cfg.delay < 0:
		err = fmt.Errorf("-delay must not be negative, as %v is", cfg.delay)
	case cfg.kill && cfg.workers < 2:
		err = errors.New("nobody would be left: -workers 1 needs -kill=false")
	}
	return cfg, err
}

// run starts a broker and workers, has all files hashed, and tells of it.
func run(ctx context.Context, cfg config, stdout, stderr io.Writer) error {
	files, err := walk(cfg.folder)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "antflow-cluster-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	broker, err := embedded.Start(dir)
	if err != nil {
		return err
	}
	defer broker.Close()

	// A worker that ends when nobody asked it to is the end of it all.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r := newReport(stderr, files, cfg.workers)
	team, err := hire(cfg, broker.URL(), r, cancel)
	if err != nil {
		return err
	}
	err = checksums(ctx, cfg, broker.URL(), files, r, team)
	team.dismiss()
	if err != nil {
		return err
	}
	if err := r.print(stdout); err != nil {
		return err
	}
	return r.summary(cfg.check, cfg.kill)
}

// checksums has the workers hash the files. What it says of a cluster is all
// that there is to say: with an *antflow.Executor instead of the client, the same
// loop hashes them in this process.
func checksums(ctx context.Context, cfg config, url string, files []string, r *report, team *team) error {
	// A session and keys, here the places in the list, make a run with the same
	// list the same one, wherever the broker outlives the program: what has a
	// result isn't done again. And the names of files are bytes, which Gob keeps
	// and JSON doesn't.
	client, err := cluster.Connect(ctx, url, cluster.Session("checksums"), cluster.Codecs(cluster.Gob))
	if err != nil {
		return err
	}
	defer client.Detach() // unlike Close it doesn't wait, and nothing is left to wait for

	inputs := func(yield func(file) bool) {
		for _, path := range files {
			if !yield(file{path, cfg.delay}) {
				return
			}
		}
	}
	window := antflow.Window(max(64, 2*cfg.workers*cfg.concurrency))
	for it, err := range hash.MapUnordered(ctx, client, inputs, antflow.Key("file"), window) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if item, ok := errors.AsType[*antflow.ItemError](err); ok {
			err = item.Err // the place in the list says nothing to people
		}
		done := r.result(it.Input.Path, it.Value, err)
		if cfg.kill && 3*done >= len(files) {
			team.killSecond()
		}
	}
	return context.Cause(ctx)
}
