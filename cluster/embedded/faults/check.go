package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A record is a result that the broker has stored.
type record struct {
	Broker string // what the broker calls the task
	End    end
	Value  string
}

// A violation is a promise that a history breaks.
type violation struct {
	rule string
	text string
}

func (v violation) String() string { return v.rule + ": " + v.text }

// The promises. Each has a test that shows how the checker finds it broken.
const (
	ruleOnce     = "a future resolves once"
	ruleResolves = "an accepted task resolves at each future"
	ruleKnown    = "nothing resolves, runs or is stored that nobody submitted"
	ruleSame     = "all futures of a task see the same"
	ruleStored   = "a future sees what is stored"
	ruleOne      = "a task has one stored result"
	ruleKept     = "an accepted task has a stored result"
	ruleRefused  = "a refused task leaves no trace"
	ruleMade     = "a stored value is that of an execution"
	ruleEmpty    = "nothing is left in the queue"
)

// figures are what a history is like, where there is no right and wrong: a task
// may run more than once.
type figures struct {
	Tasks, Accepted int
	Resolved        map[end]int // futures
	Stored          map[end]int
	Executions      int
	Ran             int // tasks that ran
	Repeated        int // tasks that ran more than once
	MostExecutions  int
	LostTheRace     int // executions that returned a value, which isn't the stored one
}

// A known is a task, with all that a history says of it.
type known struct {
	id       string
	futures  []*future
	starts   int
	values   []string // of executions that ended
	returned []string // of them, those that succeeded
	stored   []record
	accepted bool
}

type future struct {
	name     string
	gone     bool // its process is no more
	accepted bool
	canceled bool // that was asked for
	ends     []event
}

// A checker holds a history against the promises.
type checker struct {
	tasks    map[string]*known
	broker   map[string]string // what the broker calls a task → what the harness does
	futures  map[string]*future
	clients  map[string][]*future
	found    []violation
	reported map[string]int // violations of a rule
}

// mostReported violations of a rule are told one by one.
const mostReported = 5

// check holds a history against what the broker has in the end: the stored
// results, and the subjects of tasks that are still queued.
func check(events []event, stored []record, left []string) (figures, []violation) {
	c := &checker{
		tasks:    make(map[string]*known),
		broker:   make(map[string]string),
		futures:  make(map[string]*future),
		clients:  make(map[string][]*future),
		reported: make(map[string]int),
	}
	// The files of the processes were read one after the other, and what one
	// says may refer to what another one did earlier.
	events = slices.Clone(events)
	slices.SortStableFunc(events, byTime)
	for _, e := range events {
		if e.Kind == evSubmit {
			c.submitted(e)
		}
	}
	for _, e := range events {
		if e.Kind == evStart && e.Broker != "" && c.tasks[e.ID] != nil {
			c.broker[e.Broker] = e.ID
		}
	}
	for _, e := range events {
		c.take(e)
	}
	for _, r := range stored {
		c.keep(r)
	}
	for _, subject := range left {
		c.report(ruleEmpty, "%s", subject)
	}
	for _, id := range slices.Sorted(maps.Keys(c.tasks)) {
		c.judge(c.tasks[id])
	}
	for rule, n := range c.reported {
		if n > mostReported {
			c.found = append(c.found, violation{rule, fmt.Sprintf("and %d more", n-mostReported)})
		}
	}
	return c.figures(), c.found
}

// byTime is the order in which events happened.
func byTime(a, b event) int { return cmp.Compare(a.At, b.At) }

func (c *checker) report(rule, format string, args ...any) {
	if c.reported[rule]++; c.reported[rule] <= mostReported {
		c.found = append(c.found, violation{rule, fmt.Sprintf(format, args...)})
	}
}

func futureName(client string, n int) string { return fmt.Sprintf("%s#%d", client, n) }

func (c *checker) submitted(e event) {
	t := c.tasks[e.ID]
	if t == nil {
		t = &known{id: e.ID}
		c.tasks[e.ID] = t
	}
	f := &future{name: futureName(e.Client, e.Future)}
	t.futures = append(t.futures, f)
	c.futures[f.name] = f
	c.clients[e.Client] = append(c.clients[e.Client], f)
	if e.Broker != "" {
		c.broker[e.Broker] = e.ID
	}
}

// take takes an event in, other than submissions.
func (c *checker) take(e event) {
	t := c.tasks[e.ID]
	f := c.futures[futureName(e.Client, e.Future)]
	switch e.Kind {
	case evAccepted:
		// The numbers of a client's futures are in the order of submission.
		for i, f := range c.clients[e.Client] {
			f.accepted = f.accepted || i < e.Future
		}
	case evGone:
		for _, f := range c.clients[e.Client] {
			f.gone = true
		}
	case evCancel:
		if f != nil {
			f.canceled = true
		}
	case evResolve:
		if f == nil || t == nil {
			c.report(ruleKnown, "future %s of task %s resolves", futureName(e.Client, e.Future), e.ID)
			return
		}
		f.ends = append(f.ends, e)
	case evStart:
		if t == nil {
			c.report(ruleKnown, "task %s runs on %s", e.ID, e.Worker)
			return
		}
		t.starts++
	case evEnd:
		if t != nil {
			t.values = append(t.values, e.Value)
			if e.End == endOK {
				t.returned = append(t.returned, e.Value)
			}
		}
	}
}

// keep takes a stored result in.
func (c *checker) keep(r record) {
	t := c.tasks[c.broker[r.Broker]]
	if t == nil {
		c.report(ruleKnown, "a result %s %q of task %s is stored", r.End, r.Value, r.Broker)
		return
	}
	t.stored = append(t.stored, r)
}

// judge holds a task against the promises.
func (c *checker) judge(t *known) {
	var seen *event
	for _, f := range t.futures {
		t.accepted = t.accepted || f.accepted && !f.refused() && !f.withdrawn(t)
		c.judgeFuture(t, f)
		for i := range f.ends {
			e := &f.ends[i]
			if e.End == endFull || e.End == endDetached {
				continue
			}
			if seen != nil && (seen.End != e.End || seen.Value != e.Value) {
				c.report(ruleSame, "task %s: %s sees %s %q, and %s sees %s %q", t.id,
					futureName(seen.Client, seen.Future), seen.End, seen.Value, f.name, e.End, e.Value)
			}
			seen = e
		}
	}
	if len(t.stored) > 1 {
		c.report(ruleOne, "task %s has %d: %v", t.id, len(t.stored), t.stored)
	}
	if t.accepted && len(t.stored) == 0 {
		c.report(ruleKept, "task %s has none (%d executions)", t.id, t.starts)
	}
	for _, r := range t.stored {
		if r.End == endOK && !slices.Contains(t.values, r.Value) {
			c.report(ruleMade, "task %s: %q is stored, and its executions returned %q", t.id, r.Value, t.values)
		}
	}
	if t.refused() && (t.starts > 0 || len(t.stored) > 0) {
		c.report(ruleRefused, "task %s was refused at each future, and has %d executions and %d results", t.id, t.starts, len(t.stored))
	}
}

func (c *checker) judgeFuture(t *known, f *future) {
	switch {
	case len(f.ends) > 1:
		c.report(ruleOnce, "%s of task %s did so %d times", f.name, t.id, len(f.ends))
	case len(f.ends) == 0 && !f.gone:
		c.report(ruleResolves, "%s of task %s does not (accepted: %t, %d executions, %d results)", f.name, t.id, f.accepted, t.starts, len(t.stored))
	}
	for _, e := range f.ends {
		switch {
		case e.End == endFull || e.End == endDetached:
		case f.withdrawn(t):
			// It was canceled before the broker had it, so nobody else knows.
		case len(t.stored) == 0:
			c.report(ruleStored, "%s of task %s sees %s %q, and nothing is stored", f.name, t.id, e.End, e.Value)
		case t.stored[0].End != e.End || t.stored[0].Value != e.Value:
			c.report(ruleStored, "%s of task %s sees %s %q, and %s %q is stored", f.name, t.id, e.End, e.Value, t.stored[0].End, t.stored[0].Value)
		}
	}
}

// withdrawn reports whether the future was canceled while its task was in this
// process alone.
func (f *future) withdrawn(t *known) bool {
	return f.canceled && len(f.ends) > 0 && f.ends[0].End == endCanceled && t.starts == 0 && len(t.stored) == 0
}

// refused reports whether all futures say that the broker does not have the task.
func (t *known) refused() bool {
	return !slices.ContainsFunc(t.futures, func(f *future) bool { return !f.refused() })
}

func (f *future) refused() bool { return len(f.ends) > 0 && f.ends[0].End == endFull }

func (c *checker) figures() figures {
	x := figures{Tasks: len(c.tasks), Resolved: make(map[end]int), Stored: make(map[end]int)}
	for _, t := range c.tasks {
		if t.accepted {
			x.Accepted++
		}
		for _, f := range t.futures {
			for _, e := range f.ends {
				x.Resolved[e.End]++
			}
		}
		for _, r := range t.stored {
			x.Stored[r.End]++
			for _, v := range t.returned {
				if v != r.Value {
					x.LostTheRace++
				}
			}
		}
		x.Executions += t.starts
		if t.starts > 0 {
			x.Ran++
		}
		if t.starts > 1 {
			x.Repeated++
		}
		x.MostExecutions = max(x.MostExecutions, t.starts)
	}
	return x
}

// text tells the figures in a line.
func (x figures) text() string {
	ends := func(m map[end]int) string {
		var parts []string
		for _, e := range slices.Sorted(maps.Keys(m)) {
			parts = append(parts, fmt.Sprintf("%d %s", m[e], e))
		}
		return strings.Join(parts, ", ")
	}
	return fmt.Sprintf("%d tasks, %d accepted; futures: %s; stored: %s; %d executions, %d tasks more than once (most: %d), %d results lost the race",
		x.Tasks, x.Accepted, ends(x.Resolved), ends(x.Stored), x.Executions, x.Repeated, x.MostExecutions, x.LostTheRace)
}
