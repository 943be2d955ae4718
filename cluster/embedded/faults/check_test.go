package main

import (
	"slices"
	"testing"
)

// right is a history that breaks no promise: a task with two futures at two
// clients that ran twice, and one whose client was killed.
func right() ([]event, []record) {
	return []event{
		{At: 1, Kind: evSubmit, Client: "c1", Future: 1, ID: "a", Broker: "s.ka"},
		{At: 2, Kind: evSubmit, Client: "c1", Future: 2, ID: "b"},
		{At: 3, Kind: evAccepted, Client: "c1", Future: 2},
		{At: 4, Kind: evStart, ID: "a", Broker: "s.ka", Worker: "w1"},
		{At: 5, Kind: evStart, ID: "a", Broker: "s.ka", Worker: "w2"},
		{At: 6, Kind: evEnd, ID: "a", End: endOK, Value: "a-w2"},
		{At: 7, Kind: evEnd, ID: "a", End: endOK, Value: "a-w1"},
		{At: 8, Kind: evResolve, Client: "c1", Future: 1, ID: "a", End: endOK, Value: "a-w2"},
		{At: 9, Kind: evGone, Client: "c1"},
		{At: 10, Kind: evStart, ID: "b", Broker: "s.1", Worker: "w2"},
		{At: 11, Kind: evEnd, ID: "b", End: endError, Value: "b-w2"},
		{At: 12, Kind: evSubmit, Client: "c2", Future: 1, ID: "a", Broker: "s.ka"},
		{At: 13, Kind: evResolve, Client: "c2", Future: 1, ID: "a", End: endOK, Value: "a-w2"},
	}, []record{{"s.ka", endOK, "a-w2"}, {"s.1", endError, "b-w2"}}
}

func TestCheckerAcceptsRight(t *testing.T) {
	events, stored := right()
	x, found := check(events, stored, nil)
	if len(found) > 0 {
		t.Errorf("a right history: %v", found)
	}
	if x.Tasks != 2 || x.Accepted != 2 || x.Executions != 3 || x.Repeated != 1 || x.MostExecutions != 2 || x.LostTheRace != 1 {
		t.Errorf("figures %+v", x)
	}
	// Refused, and canceled before it was published: only the client knows.
	events = append(events,
		event{At: 20, Kind: evSubmit, Client: "c3", Future: 1, ID: "x", Broker: "s.kx"},
		event{At: 21, Kind: evSubmit, Client: "c3", Future: 2, ID: "y", Broker: "s.ky"},
		event{At: 22, Kind: evCancel, Client: "c3", Future: 2, ID: "y"},
		event{At: 23, Kind: evResolve, Client: "c3", Future: 1, ID: "x", End: endFull},
		event{At: 24, Kind: evResolve, Client: "c3", Future: 2, ID: "y", End: endCanceled},
		event{At: 25, Kind: evAccepted, Client: "c3", Future: 2},
	)
	if _, found := check(events, stored, nil); len(found) > 0 {
		t.Errorf("with tasks that the broker never had: %v", found)
	}
}

// The order in which the files are read is of no concern.
func TestCheckerSorts(t *testing.T) {
	events, stored := right()
	slices.Reverse(events)
	if _, found := check(events, stored, nil); len(found) > 0 {
		t.Errorf("a right history, backwards: %v", found)
	}
}

func TestCheckerFindsWrong(t *testing.T) {
	without := func(kind eventKind, id string) func([]event, []record) ([]event, []record, []string) {
		return func(events []event, stored []record) ([]event, []record, []string) {
			return slices.DeleteFunc(events, func(e event) bool { return e.Kind == kind && e.ID == id }), stored, nil
		}
	}
	plus := func(more ...event) func([]event, []record) ([]event, []record, []string) {
		return func(events []event, stored []record) ([]event, []record, []string) {
			return append(events, more...), stored, nil
		}
	}
	for _, test := range []struct {
		name  string
		rules []string // that are broken, and no other
		wrong func([]event, []record) ([]event, []record, []string)
	}{
		{"a future resolves twice", []string{ruleOnce},
			plus(event{At: 20, Kind: evResolve, Client: "c2", Future: 1, ID: "a", End: endOK, Value: "a-w2"})},
		{"a future never resolves", []string{ruleResolves}, func(events []event, stored []record) ([]event, []record, []string) {
			return slices.DeleteFunc(events, func(e event) bool { return e.Kind == evResolve && e.Client == "c2" }), stored, nil
		}},
		{"and its client is alive", []string{ruleResolves}, without(evGone, "")},
		{"a resolution of what nobody submitted", []string{ruleKnown},
			plus(event{At: 20, Kind: evResolve, Client: "c2", Future: 9, ID: "z", End: endOK, Value: "z"})},
		{"an execution of what nobody submitted", []string{ruleKnown},
			plus(event{At: 20, Kind: evStart, ID: "z", Broker: "s.z", Worker: "w1"})},
		{"a stored result of what nobody submitted", []string{ruleKnown}, func(events []event, stored []record) ([]event, []record, []string) {
			return events, append(stored, record{"s.z", endOK, "z"}), nil
		}},
		{"two futures see different values", []string{ruleSame, ruleStored},
			plus(
				event{At: 20, Kind: evSubmit, Client: "c3", Future: 1, ID: "a", Broker: "s.ka"},
				event{At: 21, Kind: evResolve, Client: "c3", Future: 1, ID: "a", End: endOK, Value: "a-w1"},
			)},
		{"all futures see the value that lost", []string{ruleStored}, func(events []event, stored []record) ([]event, []record, []string) {
			return events, []record{{"s.ka", endOK, "a-w1"}, stored[1]}, nil
		}},
		{"success is seen and an error stored", []string{ruleStored}, func(events []event, stored []record) ([]event, []record, []string) {
			return events, []record{{"s.ka", endError, "a-w2"}, stored[1]}, nil
		}},
		{"two results are stored", []string{ruleOne}, func(events []event, stored []record) ([]event, []record, []string) {
			return events, append(stored, stored[1]), nil
		}},
		{"the result of a resolved task is gone", []string{ruleKept, ruleStored}, func(events []event, stored []record) ([]event, []record, []string) {
			return events, stored[1:], nil
		}},
		{"an accepted task is lost", []string{ruleKept}, func(events []event, stored []record) ([]event, []record, []string) {
			return events, stored[:1], nil
		}},
		{"a stored value that nothing returned", []string{ruleMade}, without(evEnd, "a")},
		{"a refused task runs", []string{ruleRefused},
			plus(
				event{At: 20, Kind: evSubmit, Client: "c3", Future: 1, ID: "x", Broker: "s.kx"},
				event{At: 21, Kind: evResolve, Client: "c3", Future: 1, ID: "x", End: endFull},
				event{At: 22, Kind: evStart, ID: "x", Broker: "s.kx", Worker: "w1"},
			)},
		{"a canceled task that ran leaves no result", []string{ruleStored},
			plus(
				event{At: 20, Kind: evSubmit, Client: "c3", Future: 1, ID: "x", Broker: "s.kx"},
				event{At: 21, Kind: evCancel, Client: "c3", Future: 1, ID: "x"},
				event{At: 22, Kind: evStart, ID: "x", Broker: "s.kx", Worker: "w1"},
				event{At: 23, Kind: evResolve, Client: "c3", Future: 1, ID: "x", End: endCanceled},
			)},
		{"a task is canceled that nobody canceled", []string{ruleStored},
			plus(
				event{At: 20, Kind: evSubmit, Client: "c3", Future: 1, ID: "x", Broker: "s.kx"},
				event{At: 21, Kind: evResolve, Client: "c3", Future: 1, ID: "x", End: endCanceled},
			)},
		{"a task is left in the queue", []string{ruleEmpty}, func(events []event, stored []record) ([]event, []record, []string) {
			return events, stored, []string{"antflow.faults.task.default.p1.s.ka"}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			events, stored := right()
			_, found := check(test.wrong(events, stored))
			var rules []string
			for _, v := range found {
				rules = append(rules, v.rule)
			}
			slices.Sort(rules)
			want := slices.Sorted(slices.Values(test.rules))
			if !slices.Equal(slices.Compact(rules), want) {
				t.Errorf("found %v, want %q", found, want)
			}
		})
	}
}

// Many violations of one rule are told in few lines.
func TestCheckerSummarizes(t *testing.T) {
	events, stored := right()
	_, found := check(events, stored, make([]string, 100))
	if len(found) != mostReported+1 || found[mostReported].text != "and 95 more" {
		t.Errorf("%d lines, the last one %v", len(found), found[len(found)-1])
	}
}
