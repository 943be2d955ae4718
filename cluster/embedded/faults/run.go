package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// A trial is one run of a scenario.
type trial struct {
	s        *scenario
	replicas int
	seed     uint64
	x        figures
	notes    []string
	took     time.Duration
	err      error
}

// runAll runs what is asked for.
func runAll(cfg *config) []*trial {
	var all []*trial
	for i := range scenarios {
		s := &scenarios[i]
		for round := range cfg.rounds {
			for _, replicas := range []int{1, 3} {
				asked := replicas == 1 && s.r1 && cfg.r1 || replicas == 3 && s.r3 && cfg.r3
				if cfg.short {
					asked = asked && s.short == replicas
				}
				if asked && cfg.names.MatchString(s.name) {
					seed := hash(cfg.seed, fmt.Sprint(s.name, replicas, round))
					all = append(all, &trial{s: s, replicas: replicas, seed: seed})
				}
			}
		}
	}
	var wg sync.WaitGroup
	slots := make(chan struct{}, cfg.parallel)
	for _, o := range all {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			o.run(cfg)
			o.tell(cfg.log)
		})
	}
	wg.Wait()
	return all
}

// run runs the scenario.
func (o *trial) run(cfg *config) {
	began := time.Now()
	defer func() { o.took = time.Since(began) }()
	l, err := newLab(cfg, o.replicas, o.seed)
	if err != nil {
		o.err = err
		return
	}
	defer func() {
		l.close()
		if !cfg.keep {
			os.RemoveAll(l.dir)
		}
	}()
	l.bare = o.s.bare
	if o.err = l.startBrokers(); o.err != nil {
		return
	}
	o.x, o.err = o.s.run(l)
	o.notes = l.notes
}

func (o *trial) tell(w io.Writer) {
	verdict := "ok"
	if o.err != nil {
		verdict = "FAILED: " + o.err.Error()
	}
	fmt.Fprintf(w, "%-18s R%d %6.1fs  %s\n    %s\n    %s\n", o.s.name, o.replicas, o.took.Seconds(), verdict, strings.Join(o.notes, "; "), o.x.text())
}

// table prints all outcomes as Markdown.
func table(w io.Writer, cfg *config, all []*trial, took time.Duration) {
	fmt.Fprintf(w, "| Scenario | Servers | Tasks | Executions | Most of one task | What happened | Promises |\n|---|--:|--:|--:|--:|---|---|\n")
	failed := 0
	for _, o := range all {
		verdict := "kept"
		if o.err != nil {
			failed++
			verdict = "**broken**"
		}
		what := strings.Join(o.notes, "; ")
		fmt.Fprintf(w, "| %s: %s | %d | %d | %d | %d | %s | %s |\n", o.s.name, o.s.what, o.replicas, o.x.Tasks, o.x.Executions, o.x.MostExecutions, what, verdict)
	}
	fmt.Fprintf(w, "\n%d runs in %v, %d of which broke a promise or did not get so far. Seed %d.\n", len(all), took.Round(time.Second), failed, cfg.seed)
}
