package bench

import (
	"strings"
	"testing"
)

func TestProfile(t *testing.T) {
	row := groupEmpty()
	p, err := profileCase(row.Cases[0], 10_000)
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, s := range p.Shares {
		sum += s.Part
	}
	if sum < 0.999 || sum > 1.001 || p.Cores <= 0 {
		t.Errorf("%v of the time in %v cores", sum, p.Cores)
	}
	text := p.String()
	for _, want := range []string{"antflow Group", "antflow's own code", "(*Executor)"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in %q", want, text)
		}
	}
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
