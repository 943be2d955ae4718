// Command compare measures antflow beside its peers and prints how they relate.
//
//	go run ./bench/cmd/compare [-rows REGEXP] [-rounds N] [-short] [-heavy]
//	    [-profile] [-patience DURATION] [-svg FILE] [-doc FILE]
//
// It prints Markdown on standard output, and tells on standard error where it
// is. With -profile it tells where antflow's time goes in the rows that miss a
// goal. With -svg it draws the ratios as well, and with -doc it replaces what is
// between the marks in a page by what it printed. It exits with status 1 when a
// contender's result is wrong, and 2 for wrong usage; a goal that is missed is
// no error.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"time"

	"github.com/antflow/antflow/bench"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

type config struct {
	rows     *regexp.Regexp
	settings bench.Settings
	heavy    bool
	svg, doc string
}

func run(args []string, stdout, stderr io.Writer) int {
	cfg, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(stderr, "compare:", err)
		return 2
	}
	if err := compare(cfg, args, stdout, stderr); err != nil {
		fmt.Fprintln(stderr, "compare:", err)
		return 1
	}
	return 0
}

func parse(args []string, stderr io.Writer) (config, error) {
	var cfg config
	flags := flag.NewFlagSet("compare", flag.ContinueOnError)
	flags.SetOutput(stderr)
	pattern := flags.String("rows", "", "measure the rows that match the `regexp` only")
	flags.IntVar(&cfg.settings.Rounds, "rounds", 9, "`number` of rounds")
	flags.BoolVar(&cfg.settings.Short, "short", false, "everything once, and little of it; the figures mean nothing")
	flags.BoolVar(&cfg.settings.Profile, "profile", false, "tell where the time goes in rows that miss a goal")
	flags.BoolVar(&cfg.heavy, "heavy", false, "also the rows that take gigabytes")
	flags.DurationVar(&cfg.settings.Patience, "patience", 30*time.Second, "in each row, wait as `long` in all for cores that are busy otherwise")
	flags.StringVar(&cfg.svg, "svg", "", "draw a chart into the `file`")
	flags.StringVar(&cfg.doc, "doc", "", "put the output between the marks of the `page`")
	if err := flags.Parse(args); err != nil {
		return cfg, err
	}
	if flags.NArg() > 0 {
		return cfg, fmt.Errorf("unknown argument %q", flags.Arg(0))
	}
	if cfg.settings.Rounds < 1 {
		return cfg, fmt.Errorf("-rounds %d: at least one", cfg.settings.Rounds)
	}
	if cfg.settings.Short {
		cfg.settings.Patience = 0
	}
	var err error
	cfg.rows, err = regexp.Compile(*pattern)
	return cfg, err
}

func compare(cfg config, args []string, stdout, stderr io.Writer) error {
	rows := bench.Select(bench.Rows(), cfg.rows, cfg.heavy)
	if len(rows) == 0 {
		return fmt.Errorf("no row matches %q", cfg.rows)
	}
	var results []*bench.Result
	for i, row := range rows {
		start := time.Now()
		result, err := bench.Measure(row, cfg.settings)
		if err != nil {
			return err
		}
		results = append(results, result)
		note := ""
		if result.Disturbed() {
			note = ", disturbed: something else kept the cores busy"
		}
		fmt.Fprintf(stderr, "%2d/%d %s (%v%s)\n", i+1, len(rows), row.Name, time.Since(start).Round(time.Millisecond), note)
	}
	var out bytes.Buffer
	if err := bench.WriteHeader(&out, args); err != nil {
		return err
	}
	if err := bench.WriteTable(&out, results); err != nil {
		return err
	}
	if _, err := stdout.Write(out.Bytes()); err != nil {
		return err
	}
	if cfg.svg != "" {
		if err := writeChart(cfg.svg, results); err != nil {
			return err
		}
	}
	if cfg.doc != "" {
		return bench.UpdatePage(cfg.doc, out.Bytes())
	}
	return nil
}

func writeChart(name string, results []*bench.Result) error {
	var chart bytes.Buffer
	if err := bench.WriteChart(&chart, results); err != nil {
		return err
	}
	return os.WriteFile(name, chart.Bytes(), 0o644)
}
