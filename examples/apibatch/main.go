// Command apibatch places a few hundred orders with an HTTP API that is slow,
// fails now and then and allows so many requests a second, and proves from both
// sides' books that every order was accounted for exactly once:
//
//	apibatch [-items n] [-workers n] [-seed n]
//
// The API is its own, served on a loopback port for as long as the batch runs.
// It answers 429 with Retry-After over its rate, 500 to some requests, 404 and
// 422 to orders that it will never take, and to some nothing in time, though it
// took the order. The seed decides which orders meet what; how often 429 is
// said depends on the clock too.
//
// The exit status is 0 when the books agree, whatever became of the orders; 1
// when they don't, or when the server or the output failed; 2 for wrong usage;
// 130 after Ctrl-C, if the books of what was done until then agree.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"
)

const usage = `usage: apibatch [-items n] [-workers n] [-seed n]
  -items n     orders to place (default 300)
  -workers n   of the executor (default 16)
  -seed n      which orders fail, and how (default 1)
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	context.AfterFunc(ctx, stop)   // the second Ctrl-C kills
	signal.Ignore(syscall.SIGPIPE) // a closed pipe is an error of Write, not the end of the server
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	return runOn(ctx, loopback, args, stdout, stderr)
}

// network is where the server listens and how the client gets there.
type network struct {
	listen func() (net.Listener, error)
	dial   func(ctx context.Context, network, addr string) (net.Conn, error)
}

var loopback = network{
	listen: func() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") },
	dial:   new(net.Dialer).DialContext,
}

func runOn(ctx context.Context, nw network, args []string, stdout, stderr io.Writer) int {
	cfg, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, usage)
		return 0
	}
	if err != nil {
		fmt.Fprintf(stderr, "apibatch: %v\n%s", err, usage)
		return 2
	}
	srv, err := serve(nw, cfg.seed)
	if err != nil {
		fmt.Fprintf(stderr, "apibatch: %v\n", err)
		return 1
	}

	out := &printer{w: stdout}
	out.printf("%d orders, %d workers, seed %d; %s takes %d requests/s\n",
		cfg.items, cfg.workers, cfg.seed, srv.url, serverRate)
	b := newBatch(cfg, srv.url, nw)
	b.run(ctx, out)
	books, err := srv.stop()
	if err != nil {
		fmt.Fprintf(stderr, "apibatch: %v\n", err)
		return 1 // with a request under way the books are not closed
	}

	report(out, b, books)
	problems := audit(b, books)
	for _, problem := range problems {
		fmt.Fprintf(stderr, "apibatch: %s\n", problem)
	}
	if len(problems) == 0 {
		out.printf("books     %d of %d orders accounted for exactly once\n", len(b.calls), cfg.items)
	}
	if out.err != nil {
		fmt.Fprintf(stderr, "apibatch: output: %v\n", out.err)
	}
	switch {
	case len(problems) > 0 || out.err != nil:
		return 1
	case b.stats.Canceled+b.stats.Rejected > 0:
		fmt.Fprintln(stderr, "apibatch: interrupted")
		return 130
	}
	return 0
}

type config struct {
	items, workers int
	seed           uint64
}

func parse(args []string) (config, error) {
	var cfg config
	flags := flag.NewFlagSet("apibatch", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // runOn prints the error, once and with its prefix
	flags.IntVar(&cfg.items, "items", 300, "")
	flags.IntVar(&cfg.workers, "workers", 16, "")
	flags.Uint64Var(&cfg.seed, "seed", 1, "")
	if err := flags.Parse(args); err != nil {
		return cfg, err
	}
	switch {
	case flags.NArg() > 0:
		return cfg, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case cfg.items < 1:
		return cfg, fmt.Errorf("-items must be at least 1, not %d", cfg.items)
	case cfg.workers < 1:
		return cfg, fmt.Errorf("-workers must be at least 1, not %d", cfg.workers)
	}
	return cfg, nil
}

// printer keeps the first error of its writer and is silent from then on.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) printf(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}
