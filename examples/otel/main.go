// Command otel checks whether links lead anywhere, and then prints what
// OpenTelemetry has learned of that: the metrics, as Prometheus would read them,
// and the spans of the link that was the most trouble.
//
//	otel [-workers n] [-rate n] [url...]
//
// Without URLs it checks the pages of a site of its own, on the loopback
// interface, that is overloaded now and then. The exit status is 0 when every
// link leads somewhere, 1 when one doesn't and 2 for wrong usage.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"time"

	"github.com/antflow/antflow"
	"golang.org/x/time/rate"
)

type config struct {
	workers int
	rate    int // links a second
	urls    []string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	status := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	cfg, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		return 2
	}
	if len(cfg.urls) == 0 {
		s, err := serve()
		if err != nil {
			fmt.Fprintf(stderr, "otel: %v\n", err)
			return 1
		}
		defer s.close()
		cfg.urls = s.urls(60)
	}
	tel, err := newTelemetry()
	if err != nil {
		fmt.Fprintf(stderr, "otel: %v\n", err)
		return 1
	}
	broken := checkAll(ctx, cfg, tel, stdout)
	// At the end of a program the providers are shut down. What they have got
	// is read before; an exporter that pushes would send it with the shutdown.
	err = errors.Join(tel.report(stdout), tel.shutdown(context.WithoutCancel(ctx)))
	if err != nil {
		fmt.Fprintf(stderr, "otel: %v\n", err)
	}
	if broken > 0 || err != nil {
		return 1
	}
	return 0
}

func parse(args []string, stderr io.Writer) (cfg config, err error) {
	flags := flag.NewFlagSet("otel", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&cfg.workers, "workers", 8, "links checked at a `time`")
	flags.IntVar(&cfg.rate, "rate", 200, "links checked a `second`")
	if err = flags.Parse(args); err != nil {
		return cfg, err
	}
	cfg.urls = flags.Args()
	if cfg.workers < 1 || cfg.rate < 1 {
		err = errors.New("-workers and -rate must be at least 1")
		fmt.Fprintf(stderr, "otel: %v\n", err)
	}
	return cfg, err
}

// checkAll is the part of the program that is not about telemetry, but for two
// lines: the executor is one of tel's, and the span of the batch is what those
// of its tasks belong to.
func checkAll(ctx context.Context, cfg config, tel *telemetry, stdout io.Writer) (broken int) {
	e := tel.NewExecutor(cfg.workers, antflow.ExecutorName("links"))
	defer e.Close()
	ctx, span := tel.tracer.Start(ctx, "batch")
	defer span.End()

	c := &checker{tel: tel, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: cfg.workers}}}
	defer c.client.CloseIdleConnections()
	next := 0
	for _, err := range antflow.Map(ctx, e, slices.Values(cfg.urls), c.check,
		antflow.TaskName("check"),
		antflow.Retries(3),
		antflow.RetryDelay(20*time.Millisecond),
		antflow.Timeout(5*time.Second),
		antflow.WithRateLimit(rate.NewLimiter(rate.Limit(cfg.rate), max(cfg.rate/10, 1))),
	) {
		var wait *antflow.WaitError
		if errors.As(err, &wait) {
			fmt.Fprintln(stdout, err)
			broken++
			break
		}
		if err != nil {
			fmt.Fprintf(stdout, "%s: %v\n", cfg.urls[next], err)
			broken++
		}
		next++
	}
	fmt.Fprintf(stdout, "%d of %d links checked, %d broken\n", next, len(cfg.urls), broken)
	return broken
}

type checker struct {
	tel    *telemetry
	client *http.Client
}

// check is one attempt at a link. Its span is a child of the attempt's, which
// ctx has.
func (c *checker) check(ctx context.Context, url string) (int, error) {
	ctx, span := c.tel.tracer.Start(ctx, "GET")
	defer span.End()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, antflow.Permanent(err)
	}
	res, err := c.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return 0, err
	}
	switch status := statusError(res.StatusCode); {
	case status >= 500, status == http.StatusTooManyRequests:
		return 0, status
	case status >= 400:
		return 0, antflow.Permanent(status)
	}
	return res.StatusCode, nil
}

// statusError is an answer that is none. Its text is its kind: that of a 503 is
// "# Service Unavailable".
type statusError int

func (s statusError) Error() string { return fmt.Sprintf("%d %s", int(s), http.StatusText(int(s))) }
