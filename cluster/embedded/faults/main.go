// Command faults runs a cluster of processes, does to them what happens to
// machines and networks, and holds what they did against what package cluster
// promises: tasks run at least once, and each one has exactly one result, which
// all of its futures see.
//
//	go run ./cluster/embedded/faults [-short] [-run REGEXP] [-r1] [-r3]
//	    [-rounds N] [-parallel N] [-seed N] [-limit DURATION] [-keep] [-v]
//
// Brokers, workers and submitters are processes of this program, killed and
// stopped by signals. Each appends what it does to a history, and in the end a
// checker goes through that and through what the broker has stored. It prints
// Markdown on standard output, and tells on standard error where it is. It exits
// with status 1 when a promise is broken, and 2 for wrong usage.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"regexp"
	"syscall"
	"time"
)

func main() {
	if child() {
		return
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// config is what the command line says.
type config struct {
	short    bool
	verbose  bool
	keep     bool // the folders of runs
	r1, r3   bool
	rounds   int
	parallel int
	seed     uint64
	limit    time.Duration
	names    *regexp.Regexp
	dir      string // for all runs; each has a folder in it
	log      io.Writer
}

func run(args []string, stdout, stderr io.Writer) int {
	cfg, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(stderr, "faults:", err)
		return 2
	}
	if cfg.dir, err = os.MkdirTemp("", "antflow-faults-"); err != nil {
		fmt.Fprintln(stderr, "faults:", err)
		return 1
	}
	defer cfg.tidy()
	go func() {
		interrupted := make(chan os.Signal, 1)
		signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
		<-interrupted
		alive.Range(func(p, _ any) bool { p.(*process).kill(); return true })
		cfg.tidy()
		os.Exit(exitFailed)
	}()
	began := time.Now()
	outcomes := runAll(cfg)
	table(stdout, cfg, outcomes, time.Since(began))
	for _, o := range outcomes {
		if o.err != nil {
			return 1
		}
	}
	return 0
}

// tidy removes what the runs left.
func (c *config) tidy() {
	if c.keep {
		fmt.Fprintln(c.log, "kept:", c.dir)
		return
	}
	os.RemoveAll(c.dir)
}

func parse(args []string, stderr io.Writer) (*config, error) {
	cfg := &config{log: &synced{w: stderr}}
	flags := flag.NewFlagSet("faults", flag.ContinueOnError)
	flags.SetOutput(stderr)
	pattern := flags.String("run", "", "run the scenarios whose names match the `regexp` only")
	flags.BoolVar(&cfg.short, "short", false, "the short form: each scenario once, with few tasks")
	flags.BoolVar(&cfg.verbose, "v", false, "print what the library logs, and the history of what fails")
	flags.BoolVar(&cfg.keep, "keep", false, "keep the folders of runs, which have the history of each process")
	flags.BoolVar(&cfg.r1, "r1", false, "with one server only")
	flags.BoolVar(&cfg.r3, "r3", false, "with three servers only")
	flags.IntVar(&cfg.rounds, "rounds", 0, "`number` of runs of each scenario, each with a seed of its own (default 2, in the short form 1)")
	flags.IntVar(&cfg.parallel, "parallel", 0, "`number` of scenarios at a time (default 4, in the short form 6)")
	flags.Uint64Var(&cfg.seed, "seed", 0, "`seed` of the random times (default: a random one)")
	flags.DurationVar(&cfg.limit, "limit", 2*time.Minute, "the `time` that each step may take")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("unknown argument %q", flags.Arg(0))
	}
	if cfg.rounds < 0 || cfg.parallel < 0 || cfg.limit <= 0 {
		return nil, errors.New("-rounds, -parallel and -limit must be positive")
	}
	if cfg.rounds == 0 {
		cfg.rounds = 2
		if cfg.short {
			cfg.rounds = 1
		}
	}
	if cfg.parallel == 0 {
		cfg.parallel = 4
		if cfg.short {
			cfg.parallel = 6
		}
	}
	if cfg.seed == 0 {
		cfg.seed = rand.Uint64()>>32 + 1
	}
	if !cfg.r1 && !cfg.r3 {
		cfg.r1, cfg.r3 = true, true
	}
	var err error
	cfg.names, err = regexp.Compile(*pattern)
	return cfg, err
}
