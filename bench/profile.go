package bench

import (
	"bytes"
	"fmt"
	"io"
	"runtime/pprof"
	"slices"
	"strings"
	"time"

	"github.com/google/pprof/profile"
)

// A Profile tells where the processors' time goes while a contender works.
type Profile struct {
	Contender string
	Cores     float64 // that were in use, on average
	Shares    []Share // of kinds of work, the greatest first
	Functions []Share // of antflow's own functions, by themselves, the greatest first
}

// A Share is a part of the whole, from 0 to 1.
type Share struct {
	Name string
	Part float64
}

// ownCode are the prefixes of antflow's functions.
var ownCode = []string{"github.com/antflow/antflow.", "github.com/antflow/antflow/pipeline."}

// kinds are what a sample is counted as, by the first one of which a function is
// on the stack.
var kinds = []struct {
	name      string
	functions []string // prefixes
}{
	{"collecting garbage", []string{"runtime.gcBgMarkWorker", "runtime.gcAssistAlloc", "runtime.bgsweep", "runtime.bgscavenge",
		"runtime.gcWriteBarrier", "gcWriteBarrier", "runtime.wbBufFlush", "runtime.gcStart", "runtime.gcMarkDone"}},
	{"growing stacks", []string{"runtime.newstack"}},
	{"allocating", []string{"runtime.mallocgc", "runtime.growslice", "runtime.makechan"}},
	{"waiting for locks", []string{"internal/sync.(*Mutex).lockSlow", "internal/sync.(*Mutex).unlockSlow"}},
	{"switching goroutines", []string{"runtime.mcall", "runtime.schedule", "runtime.goready", "runtime.ready", "runtime.newproc",
		"runtime.selectgo", "runtime.chanrecv", "runtime.chansend", "runtime.closechan", "runtime.gopark", "runtime.Gosched",
		"runtime.mstart", "runtime.park_m", "runtime.goschedImpl", "runtime.semrelease", "runtime.semacquire", "time.Sleep"}},
	{"atomic operations", []string{"sync/atomic.", "internal/runtime/atomic."}},
	{"antflow's own code", ownCode},
}

// profiledFor is how long a contender works for its profile.
const profiledFor = time.Second

// profileCase profiles a timed contender, n operations at a time.
func profileCase(c Case, n int) (*Profile, error) {
	runner := c.Open(nothing)
	defer runner.Close()
	var raw bytes.Buffer
	if err := pprof.StartCPUProfile(&raw); err != nil {
		return nil, err
	}
	start := time.Now()
	var err error
	for err == nil && time.Since(start) < profiledFor {
		err = runner.Run(n)
	}
	elapsed := time.Since(start)
	pprof.StopCPUProfile()
	if err != nil {
		return nil, err
	}
	return readProfile(c.Contender, &raw, elapsed)
}

func readProfile(contender string, raw io.Reader, elapsed time.Duration) (*Profile, error) {
	parsed, err := profile.Parse(raw)
	if err != nil {
		return nil, err
	}
	total := 0.0
	shares, functions := make(map[string]float64), make(map[string]float64)
	for _, s := range parsed.Sample {
		ns := float64(s.Value[1])
		total += ns
		stack := stackOf(s)
		kind := kindOf(stack)
		shares[kind] += ns
		if len(stack) > 0 && hasPrefix(stack[0], ownCode) {
			functions[shortName(stack[0])] += ns
		}
	}
	p := &Profile{Contender: contender, Cores: total / float64(elapsed)}
	p.Shares, p.Functions = sorted(shares, total), sorted(functions, total)
	return p, nil
}

// stackOf lists the functions of a sample, the innermost first.
func stackOf(s *profile.Sample) []string {
	var stack []string
	for _, l := range s.Location {
		for _, line := range l.Line {
			stack = append(stack, line.Function.Name)
		}
	}
	return stack
}

func kindOf(stack []string) string {
	for _, kind := range kinds {
		for _, f := range stack {
			if hasPrefix(f, kind.functions) &&
				(kind.name != "atomic operations" && kind.name != "antflow's own code" || f == stack[0]) {
				return kind.name
			}
		}
	}
	return "the rest"
}

func hasPrefix(f string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(f, prefix) })
}

// shortName is the name of one of antflow's functions without its type
// arguments, and with its package only where that isn't antflow itself.
func shortName(f string) string {
	f = strings.TrimLeft(strings.TrimPrefix(f, "github.com/antflow/antflow"), "./")
	for {
		from := strings.IndexByte(f, '[')
		to := strings.LastIndexByte(f, ']')
		if from < 0 || to < from {
			return f
		}
		f = f[:from] + f[to+1:]
	}
}

func sorted(parts map[string]float64, total float64) []Share {
	var shares []Share
	for name, x := range parts {
		shares = append(shares, Share{name, x / total})
	}
	slices.SortFunc(shares, func(a, b Share) int {
		if a.Part != b.Part {
			if a.Part > b.Part {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Name, b.Name)
	})
	return shares
}

// String is the profile in a sentence or two.
func (p *Profile) String() string {
	list := func(shares []Share, most int) string {
		var parts []string
		for _, s := range shares[:min(most, len(shares))] {
			if s.Part >= 0.01 {
				parts = append(parts, fmt.Sprintf("%s %.0f%%", s.Name, 100*s.Part))
			}
		}
		return strings.Join(parts, ", ")
	}
	return fmt.Sprintf("Profile of %s, %s cores in use: %s. Dearest of its own functions: %s.",
		p.Contender, formatValue(p.Cores), list(p.Shares, 8), list(p.Functions, 6))
}
