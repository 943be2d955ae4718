// Command cluster measures the cluster beside other task queues, and prints how
// they relate.
//
//	go run ./bench/cmd/cluster [-rows REGEXP] [-rounds N] [-short] [-install]
//	    [-patience DURATION] [-doc FILE]
//
// It starts the servers that the contenders need, on loopback addresses, and ends
// them. Peers whose server is not installed are not measured, and that is no
// error; with -install they are installed from Debian's packages. It prints
// Markdown on standard output, and tells on standard error where it is. With
// -doc it replaces what is between the marks in a page by what it printed. It
// exits with status 1 when a result is wrong or missing, and 2 for wrong usage; a
// goal that is missed is no error.
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
	clusterbench "github.com/antflow/antflow/bench/cluster"
)

func main() {
	clusterbench.Child()
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

type config struct {
	rows     *regexp.Regexp
	settings bench.Settings
	install  bool
	doc      string
}

func run(args []string, stdout, stderr io.Writer) int {
	cfg, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(stderr, "cluster:", err)
		return 2
	}
	if err := measure(cfg, args, stdout, stderr); err != nil {
		fmt.Fprintln(stderr, "cluster:", err)
		return 1
	}
	return 0
}

func parse(args []string, stderr io.Writer) (config, error) {
	var cfg config
	flags := flag.NewFlagSet("cluster", flag.ContinueOnError)
	flags.SetOutput(stderr)
	pattern := flags.String("rows", "", "measure the rows that match the `regexp` only")
	flags.IntVar(&cfg.settings.Rounds, "rounds", 5, "`number` of rounds")
	flags.BoolVar(&cfg.settings.Short, "short", false, "everything once, and little of it; the figures mean nothing")
	flags.DurationVar(&cfg.settings.Patience, "patience", 30*time.Second, "in each row, wait as `long` in all for cores that are busy otherwise")
	flags.BoolVar(&cfg.install, "install", false, "install the servers that are missing, by apt-get")
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

func measure(cfg config, args []string, stdout, stderr io.Writer) error {
	clusterbench.Find()
	if cfg.install {
		if err := clusterbench.Install(stderr); err != nil {
			return err
		}
	}
	rows := bench.Select(clusterbench.Rows(), cfg.rows, true)
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
		fmt.Fprintf(stderr, "%d/%d %s (%v%s)\n", i+1, len(rows), row.Name, time.Since(start).Round(time.Millisecond), note)
	}
	var out bytes.Buffer
	out.WriteString(clusterbench.Header(args))
	if err := bench.WriteTable(&out, results); err != nil {
		return err
	}
	if _, err := stdout.Write(out.Bytes()); err != nil {
		return err
	}
	if cfg.doc != "" {
		return bench.UpdatePage(cfg.doc, out.Bytes())
	}
	return nil
}
