// Command dashboard keeps an executor and a pipeline busy with work that comes
// in waves, is retried and fails now and then, and serves the dashboard that
// shows it:
//
//	dashboard [-addr host:port] [-actions] [-for duration] [-seed n]
//
// It prints the address of the page and runs until Ctrl-C. With -actions tasks
// may be canceled, workers added and the executor drained from the page, by
// whoever reaches it: the default address is of this machine alone.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/dashboard"
	"github.com/antflow/antflow/pipeline"
)

const usage = `usage: dashboard [-addr host:port] [-actions] [-for duration] [-seed n]
  -addr host:port   where to serve the page (default localhost:8080; port 0 takes a free one)
  -actions          let the page cancel tasks, change the number of workers, and drain
  -for duration     end by itself after that time (default: run until Ctrl-C)
  -seed n           of the work (default 1)
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	context.AfterFunc(ctx, stop) // the second Ctrl-C kills
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// A config is what the command line says.
type config struct {
	addr     string
	actions  bool
	duration time.Duration
	seed     uint64
}

func parse(args []string) (cfg config, err error) {
	flags := flag.NewFlagSet("dashboard", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&cfg.addr, "addr", "localhost:8080", "")
	flags.BoolVar(&cfg.actions, "actions", false, "")
	flags.DurationVar(&cfg.duration, "for", 0, "")
	flags.Uint64Var(&cfg.seed, "seed", 1, "")
	if err := flags.Parse(args); err != nil {
		return cfg, err
	}
	switch {
	case flags.NArg() > 0:
		return cfg, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case cfg.duration < 0:
		return cfg, fmt.Errorf("-for %v: the duration must not be negative", cfg.duration)
	}
	return cfg, nil
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	cfg, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, usage)
		return 0
	}
	if err != nil {
		fmt.Fprintf(stderr, "dashboard: %v\n%s", err, usage)
		return 2
	}
	if err := serve(ctx, cfg, stdout); err != nil {
		fmt.Fprintf(stderr, "dashboard: %v\n", err)
		return 1
	}
	return 0
}

// serve works and shows it, until ctx ends or the time is over.
func serve(ctx context.Context, cfg config, stdout io.Writer) error {
	if cfg.duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, cfg.duration)
		defer cancel()
	}
	e := antflow.New(8, antflow.ExecutorName("crawl"), antflow.QueueLimit(500))
	defer e.Shutdown(context.WithoutCancel(ctx), antflow.CancelRunning())
	var items pipeline.Monitor

	opts := []dashboard.Option{dashboard.Executor(e), dashboard.Pipeline("thumbnails", &items), dashboard.Title("A lively executor")}
	if cfg.actions {
		opts = append(opts, dashboard.AllowActions(func(*http.Request) bool { return true }))
	}
	mux := http.NewServeMux()
	mux.Handle("/antflow/", dashboard.Handler(opts...))
	mux.Handle("/", http.RedirectHandler("/antflow/", http.StatusFound))

	listener, err := net.Listen("tcp", cfg.addr)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	fmt.Fprintf(stdout, "The dashboard is at http://%s/antflow/\nCtrl-C ends it.\n", listener.Addr())

	work := newWork(e, cfg.seed)
	done := work.start(ctx, &items)
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	<-done
	return server.Shutdown(context.WithoutCancel(ctx))
}
