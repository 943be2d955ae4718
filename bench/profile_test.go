package bench

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/pprof/profile"
)

func TestProfile(t *testing.T) {
	p, err := profileCase(groupEmpty().Cases[0], 10_000)
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, s := range p.Shares {
		sum += s.Part
	}
	// Which functions the samples hit is chance; that they are all counted is not.
	if p.Contender != "antflow Group" || sum < 0.999 || sum > 1.001 || p.Cores <= 0 {
		t.Errorf("%v of the time of %s in %v cores", sum, p.Contender, p.Cores)
	}
}

func TestReadProfile(t *testing.T) {
	push, run := "github.com/antflow/antflow.push[...]", "github.com/antflow/antflow.(*Executor).run"
	pipe := "github.com/antflow/antflow/pipeline.(*pool).take"
	raw := encoded(t, map[string]int64{ // milliseconds of stacks, the innermost first
		push + " " + run:               150,
		run:                            30,
		pipe:                           20,
		"runtime.mallocgc " + run:      250,
		"runtime.schedule":             30,
		"runtime.memmove " + run:       18,
		"sync/atomic.AddInt64 " + push: 2,
	})
	p, err := readProfile("antflow Group", raw, 250*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	want := "Profile of antflow Group, 2 cores in use: allocating 50%, antflow's own code 40%, switching goroutines 6%, " +
		"the rest 4%. Dearest of its own functions: push 30%, (*Executor).run 6%, pipeline.(*pool).take 4%."
	if got := p.String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestReadProfileOfRubbish(t *testing.T) {
	if p, err := readProfile("antflow Group", strings.NewReader("rubbish"), time.Second); err == nil {
		t.Errorf("read %v", p)
	}
}

// encoded is a profile of the stacks, as runtime/pprof would have written it.
func encoded(t *testing.T, stacks map[string]int64) io.Reader {
	t.Helper()
	p := &profile.Profile{
		SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}},
	}
	for stack, ms := range stacks {
		s := &profile.Sample{Value: []int64{1, ms * int64(time.Millisecond)}}
		for name := range strings.FieldsSeq(stack) {
			id := uint64(len(p.Function) + 1)
			p.Function = append(p.Function, &profile.Function{ID: id, Name: name})
			p.Location = append(p.Location, &profile.Location{ID: id, Line: []profile.Line{{Function: p.Function[id-1]}}})
			s.Location = append(s.Location, p.Location[id-1])
		}
		p.Sample = append(p.Sample, s)
	}
	var raw bytes.Buffer
	if err := p.Write(&raw); err != nil {
		t.Fatal(err)
	}
	return &raw
}

func TestKindOf(t *testing.T) {
	own := "github.com/antflow/antflow.(*Executor).work"
	for _, c := range []struct {
		stack []string // the innermost first
		want  string
	}{
		{[]string{own}, "antflow's own code"},
		{[]string{"runtime.memclrNoHeapPointers", "runtime.mallocgc", own}, "allocating"},
		{[]string{"runtime.scanobject", "runtime.gcAssistAlloc", "runtime.mallocgc", own}, "collecting garbage"},
		{[]string{"sync/atomic.(*Uint64).Add", own}, "atomic operations"},
		{[]string{"internal/sync.(*Mutex).lockSlow", own}, "waiting for locks"},
		{[]string{"main.double", own}, "the rest"},
		{nil, "the rest"},
	} {
		if got := kindOf(c.stack); got != c.want {
			t.Errorf("%q is %s, want %s", c.stack, got, c.want)
		}
	}
}
