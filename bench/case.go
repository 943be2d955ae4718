package bench

import (
	"fmt"
	"regexp"
)

// Workers is the number of workers of each pool where a row says nothing else.
const Workers = 8

// A Row is a piece of work and those who do it. The first case is the base,
// which the others are compared with.
type Row struct {
	Name  string
	Title string // what is done, and what an operation is
	Floor string // what keeps a goal that is missed out of reach

	Ops       int     // operations of one round, or the size of a probe
	ShortOps  int     // the same for a quick look and for tests
	MaxRounds int     // unless 0, rounds beyond are left out: for what is slow, or hardly varies
	Ideal     float64 // unless 0, the ns that an operation would take if nothing had a cost
	Heavy     bool    // it takes gigabytes, and runs when asked for only
	Apart     bool    // its cases do different things, which are not compared
	Counts    bool    // an operation calls the task that Open was given, once
	Cases     []Case
}

// A Case is one contender in a row. It has either Open or Probe, or is absent.
type Case struct {
	Contender string
	Goal      Goal
	Absent    string // why it can't be measured here; not the first one of a row

	// Open makes ready whatever outlives a run, such as a pool. Rows that
	// count have the tasks call task.
	Open func(task func()) Runner

	// Probe measures at the given size and returns its findings, the same
	// ones in the same order each time.
	Probe func(n int) ([]Value, error)
}

// A Runner is an opened contender.
type Runner struct {
	Run   func(n int) error // does n operations; the error tells of a wrong result
	Close func()
}

// A Value is a finding of a probe.
type Value struct {
	Name string // what it is the value of
	Unit string
	X    float64
	Goal Goal
}

// Rows returns the table of everything that is measured.
func Rows() []Row {
	return []Row{
		groupEmpty(),
		futuresBatch(),
		futuresCancelable(),
		roundTrip(),
		mapOrdered(),
		mapSlice(),
		mapSliceCPU(),
		mapSliceMixed(),
		mapVariants(),
		submitters(),
		sleeps(),
		memoryQueued(),
		memoryTenMillion(),
		waiting(),
		retryDelays(),
		retryDelaysMillion(),
		priorities(),
		priorityGrowth(),
		latency(),
		fairness(),
		longAndShort(),
		pipelineThree(),
		pipelineIO(),
		pipelineLongIO(),
		pipelineMemory(),
		pipelineFeed(),
		pipelineRoundTrip(),
		pipelineBatch(),
		pipelineParts(),
		observedEvents(),
		observedWork(),
		observedMemory(), // before the dashboards, which stay for some seconds
		dashboardViewers(),
	}
}

// Select returns the rows whose name matches the pattern, the heavy ones only
// if wanted.
func Select(rows []Row, pattern *regexp.Regexp, heavy bool) []Row {
	var selected []Row
	for _, r := range rows {
		if pattern.MatchString(r.Name) && (heavy || !r.Heavy) {
			selected = append(selected, r)
		}
	}
	return selected
}

// check compares the result of a run with what it must be.
func check(got, want int64) error {
	if got != want {
		return fmt.Errorf("wrong result: got %d, want %d", got, want)
	}
	return nil
}

// sumBelow is 0 + 1 + … + n-1.
func sumBelow(n int) int64 { return int64(n) * int64(n-1) / 2 }

// nothing closes a runner that holds nothing.
func nothing() {}
