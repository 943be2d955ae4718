package pipeline

// figures count what happens in a pool.
type figures struct {
	entered, done, failed, skipped, canceled, retried uint64

	quick  int    // timed visits in a row that took next to no time
	sample uint64 // visits since then
	timed  uint64
	queued int64 // ns, of the timed visits
	worked int64
}

// A stage whose calls take less than quickCall is timed in samples: reading the
// clock would be most of its work.
const (
	quickCall  = 2000 // ns
	quickCalls = 16   // in a row, until that is believed
	sampleRate = 16   // one of so many
)

// samples reports whether the next visit is to be timed.
func (f *figures) samples() bool {
	if f.quick < quickCalls {
		return true
	}
	f.sample++
	return f.sample%sampleRate == 0
}

// left counts a visit that is over.
func (f *figures) left(v *visit, err error) {
	switch {
	case err == nil:
		f.done++
	case isSkip(err):
		f.skipped++
	}
	if v.worked < 0 {
		return
	}
	f.timed++
	f.queued += max(v.queued, 0)
	f.worked += v.worked
	if v.worked < quickCall {
		f.quick++
	} else {
		f.quick = 0
	}
}

// adaptive is the control of a stage's workers.
type adaptive struct{ min, max int }
