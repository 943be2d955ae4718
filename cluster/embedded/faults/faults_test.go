package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if child() {
		return
	}
	os.Exit(m.Run())
}

// TestFaultsShort is the short form of the command, and under -short that with
// one server.
func TestFaultsShort(t *testing.T) {
	cfg, err := parse([]string{"-short"}, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	cfg.log = &synced{w: &log}
	cfg.r3 = !testing.Short()
	cfg.dir = t.TempDir()
	trials := runAll(cfg)
	for _, o := range trials {
		t.Run(o.s.name, func(t *testing.T) {
			if o.err != nil {
				t.Errorf("%v\n%s\n%s", o.err, strings.Join(o.notes, "; "), o.x.text())
			}
		})
	}
	if strings.Contains(log.String(), "DATA RACE") {
		t.Error("a child process has a data race")
	}
	if t.Failed() {
		t.Logf("seed %d\n%s", cfg.seed, &log)
	}
}

// All that is asked of the command line.
func TestParse(t *testing.T) {
	for _, test := range []struct {
		args string
		want string // of the error; empty: none
	}{
		{"", ""},
		{"-short -seed 7 -run worker", ""},
		{"-r3 -rounds 3 -parallel 1 -limit 10s -keep -v", ""},
		{"-run (", "error parsing regexp"},
		{"-rounds -1", "must be positive"},
		{"-limit 0s", "must be positive"},
		{"more", "unknown argument"},
	} {
		cfg, err := parse(strings.Fields(test.args), new(bytes.Buffer))
		if test.want == "" && (err != nil || cfg.rounds < 1 || cfg.parallel < 1 || cfg.seed == 0 || !cfg.r1 && !cfg.r3) {
			t.Errorf("%q: %+v, %v", test.args, cfg, err)
		}
		if test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%q: the error is %v, want %q", test.args, err, test.want)
		}
	}
}

// A scenario that asks for what doesn't happen fails in time, and leaves no
// process and no folder.
func TestLabCleansUp(t *testing.T) {
	tmp := t.TempDir()
	var l *lab
	o := &trial{replicas: 1, seed: 1, s: &scenario{name: "nothing", run: func(x *lab) (figures, error) {
		l = x
		if _, err := x.worker(workerOrder{Slots: 1}); err != nil {
			return figures{}, err
		}
		return figures{}, x.untilIn(50*time.Millisecond, "it happens", func(*history) bool { return false })
	}}}
	o.run(&config{log: &synced{w: new(bytes.Buffer)}, limit: time.Minute, dir: tmp})
	if o.err == nil || !strings.Contains(o.err.Error(), "after 50ms still not: it happens") {
		t.Errorf("the error is %v", o.err)
	}
	if l == nil || len(l.children) != 2 {
		t.Fatalf("the lab is %+v", l)
	}
	for _, p := range l.children {
		if !p.gone() {
			t.Errorf("%s is still there", p.o.Name)
		}
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// The history has what whole lines say, and the last one when it is whole.
func TestHistory(t *testing.T) {
	dir := t.TempDir()
	j, err := openJournal(dir + "/a.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	h := newHistory(dir)
	j.add(event{Kind: evStart, ID: "x"})
	j.f.WriteString(`{"kind":"end",`)
	if err := h.refresh(); err != nil || len(h.all()) != 1 {
		t.Errorf("%v, %v", h.all(), err)
	}
	j.f.WriteString(`"id":"x"}` + "\n")
	if err := h.refresh(); err != nil || h.count(evEnd) != 1 || h.starts()["x"] != 1 {
		t.Errorf("%v, %v", h.all(), err)
	}
	j.f.WriteString("nonsense\n")
	if err := h.refresh(); err == nil {
		t.Error("a line that is no event is no error")
	}
}
