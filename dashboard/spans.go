package dashboard

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
)

const (
	mostSpans = 400  // in a message
	keptSpans = 1000 // for a new viewer
)

// A span is an attempt that has ended.
type span struct {
	worker, attempt int
	id              uint64
	name, outcome   string
	start, end      float64 // Unix milliseconds
}

// MarshalJSON makes an array of it, for there are many.
func (s span) MarshalJSON() ([]byte, error) {
	return json.Marshal([...]any{s.worker, s.id, s.name, s.start, s.end, s.outcome, s.attempt})
}

// A sample is of the spans that ended since it was taken last: mostSpans of
// them at most, each with the same chance, so that no worker and no time is
// preferred.
type sample struct {
	seen int
	kept []span
}

func (s *sample) add(x span) {
	s.seen++
	if len(s.kept) < mostSpans {
		s.kept = append(s.kept, x)
	} else if i := rand.IntN(s.seen); i < mostSpans {
		s.kept[i] = x
	}
}

// miss counts one that can't be among them.
func (s *sample) miss() { s.seen++ }

// take returns the sample in the order of time, and begins another one.
func (s *sample) take() streamView {
	v := streamView{Skipped: s.seen - len(s.kept), Spans: s.kept}
	*s = sample{}
	slices.SortFunc(v.Spans, func(a, b span) int {
		switch {
		case a.end < b.end:
			return -1
		case a.end > b.end:
			return 1
		}
		return 0
	})
	return v
}

// streamView is attempts that have ended.
type streamView struct {
	Skipped int    `json:"skipped"`
	Spans   []span `json:"spans"`
}
