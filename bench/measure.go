package bench

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// stuckAfter is how long one run may take before it counts as a deadlock.
const stuckAfter = 10 * time.Minute

// A Line is what was measured of one contender in one respect.
type Line struct {
	Metric    string // what the values are of; empty in a timed row, whose unit tells
	Contender string
	Unit      string
	Values    []float64 // one for each round
	Ratios    []float64 // to the base in the same round; none for the base itself
	Bytes     []float64 // for each operation; of a timed row only
	Allocs    []float64
	Goal      Goal
}

// Met reports whether the medians meet the goal, and whether there is one.
func (l *Line) Met() (met, judged bool) {
	return l.Goal.met(Median(l.Values), Median(l.Ratios), Median(l.Allocs))
}

// A Result is a row with what was measured, by contender or, in a row of
// probes, by metric and then contender.
type Result struct {
	Row    Row
	Ops    int
	Rounds int
	Cores  []float64 // that were free before each run
	Lines  []*Line

	Profile *Profile // when a goal was missed and it was asked for
}

// Probed reports whether the row consists of probes.
func (r *Result) Probed() bool { return r.Row.Cases[0].Probe != nil }

// Disturbed reports whether something else kept the cores busy, by the median
// of what was free.
func (r *Result) Disturbed() bool { return busy(Median(r.Cores)) }

func busy(cores float64) bool { return cores < 0.85*float64(runtime.GOMAXPROCS(0)) }

// Settings say how thoroughly to measure.
type Settings struct {
	Rounds   int
	Short    bool          // the small number of operations, and a single round
	Profile  bool          // profile antflow in each timed row that misses a goal
	Patience time.Duration // how long to wait in all, in each row, for the cores to be free
}

// Measure runs the contenders of the row in turn, in several rounds, each time
// beginning with another one, and compares them round by round. While something
// else keeps the cores busy it waits, as long as its patience lasts.
func Measure(row Row, s Settings) (*Result, error) {
	r := &Result{Row: row, Ops: row.Ops, Rounds: s.Rounds}
	if row.MaxRounds > 0 {
		r.Rounds = min(s.Rounds, row.MaxRounds)
	}
	if s.Short {
		r.Ops, r.Rounds = row.ShortOps, 1
	}
	for _, c := range row.Cases {
		if err := Verify(row, c, min(1000, r.Ops)); err != nil {
			return nil, err
		}
	}
	m := &measurement{result: r, patience: s.Patience, lines: make(map[[2]string]*Line)}
	for round := range r.Rounds {
		for i := range row.Cases {
			c := row.Cases[(round+i)%len(row.Cases)]
			if c.Absent != "" {
				continue
			}
			if err := m.measure(c); err != nil {
				return nil, fmt.Errorf("%s, %s: %w", row.Name, c.Contender, err)
			}
		}
	}
	m.finish()
	if met, judged := Tally([]*Result{r}); s.Profile && met < judged && !r.Probed() {
		var err error
		if r.Profile, err = profileCase(r.missing(), r.Ops); err != nil {
			return nil, fmt.Errorf("%s, profile: %w", row.Name, err)
		}
	}
	return r, nil
}

// missing is the first case that has a goal of its own and misses it, or else
// the base, which peers are to be slower than.
func (r *Result) missing() Case {
	for i, l := range r.Lines { // as many as cases, of a timed row
		if met, judged := l.Met(); judged && !met && l.Goal.kind != slower {
			return r.Row.Cases[i]
		}
	}
	return r.Row.Cases[0]
}

// Verify runs n operations of a timed contender, whose result it checks and,
// in a row that counts, the number of tasks that ran.
func Verify(row Row, c Case, n int) error {
	if c.Open == nil {
		return nil
	}
	var count atomic.Int64
	runner := c.Open(func() { count.Add(1) })
	err := runner.Run(n)
	runner.Close()
	if err == nil && row.Counts {
		err = check(count.Load(), int64(n))
	}
	if err != nil {
		return fmt.Errorf("%s, %s: %w", row.Name, c.Contender, err)
	}
	return nil
}

// A measurement gathers the lines of a row.
type measurement struct {
	result   *Result
	patience time.Duration // what is left of it
	order    []string      // metrics in the order of their first appearance
	lines    map[[2]string]*Line
}

// awaitCores returns when the cores are free, or the patience has run out.
func (m *measurement) awaitCores() {
	cores := freeCores()
	for busy(cores) && m.patience > 0 {
		const pause = 50 * time.Millisecond
		time.Sleep(pause)
		m.patience -= pause
		cores = freeCores()
	}
	m.result.Cores = append(m.result.Cores, cores)
}

func (m *measurement) measure(c Case) error {
	stuck := time.AfterFunc(stuckAfter, func() {
		debug.SetTraceback("all")
		panic(fmt.Sprintf("%s, %s: no end after %v", m.result.Row.Name, c.Contender, stuckAfter))
	})
	defer stuck.Stop()
	runtime.GC()
	m.awaitCores()
	if c.Probe != nil {
		values, err := c.Probe(m.result.Ops)
		for _, v := range values {
			l := m.line(v.Name, c.Contender)
			l.Unit, l.Goal = v.Unit, v.Goal
			l.Values = append(l.Values, v.X)
		}
		return err
	}
	ns, bytes, allocs, err := timed(c, m.result.Ops)
	l := m.line("", c.Contender)
	l.Unit, l.Goal = "ns", c.Goal
	l.Values = append(l.Values, ns)
	l.Bytes = append(l.Bytes, bytes)
	l.Allocs = append(l.Allocs, allocs)
	return err
}

// timed runs n operations of the case, after some to warm up, and returns what
// one costs.
func timed(c Case, n int) (ns, bytes, allocs float64, err error) {
	runner := c.Open(nothing)
	defer runner.Close()
	if err := runner.Run(min(1000, n)); err != nil {
		return 0, 0, 0, err
	}
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	err = runner.Run(n)
	elapsed := time.Since(start)
	runtime.ReadMemStats(&after)
	each := func(x uint64) float64 { return float64(x) / float64(n) }
	return each(uint64(elapsed)), each(after.TotalAlloc - before.TotalAlloc), each(after.Mallocs - before.Mallocs), err
}

func (m *measurement) line(metric, contender string) *Line {
	key := [2]string{metric, contender}
	l := m.lines[key]
	if l == nil {
		l = &Line{Metric: metric, Contender: contender}
		m.lines[key] = l
		known := false
		for _, s := range m.order {
			known = known || s == metric
		}
		if !known {
			m.order = append(m.order, metric)
		}
	}
	return l
}

// finish puts the lines in order and relates them to the base.
func (m *measurement) finish() {
	cases := m.result.Row.Cases
	for _, metric := range m.order {
		base := m.lines[[2]string{metric, cases[0].Contender}]
		for _, c := range cases {
			l := m.lines[[2]string{metric, c.Contender}]
			if l == nil {
				continue
			}
			if base != nil && l != base && !m.result.Row.Apart {
				l.Ratios = Ratios(l.Values, base.Values)
			}
			m.result.Lines = append(m.result.Lines, l)
		}
	}
}
