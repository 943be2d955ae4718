package dashboard

import (
	"bytes"
	"math"
	"strconv"
	"strings"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/errtext"
)

// An exposition is metrics in the text format of Prometheus: all samples of a
// family together, after what it is.
type exposition struct{ families [families]bytes.Buffer }

// bounds are those of the buckets of histograms, in seconds.
var bounds = [...]float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 60, 300}

// labels are the names and values of labels, in turn.
type labels []string

// add adds a sample.
func (x *exposition) add(f family, value float64, l labels) {
	x.sample(f, "", value, l)
}

func (x *exposition) sample(f family, suffix string, value float64, l labels) {
	b := &x.families[f]
	b.WriteString(familyTexts[f].name)
	b.WriteString(suffix)
	for i := 0; i < len(l); i += 2 {
		if i == 0 {
			b.WriteByte('{')
		} else {
			b.WriteByte(',')
		}
		b.WriteString(l[i])
		b.WriteString(`="`)
		labelEscapes.WriteString(b, l[i+1])
		b.WriteByte('"')
	}
	if len(l) > 0 {
		b.WriteByte('}')
	}
	b.WriteByte(' ')
	b.WriteString(number(value))
	b.WriteByte('\n')
}

var labelEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// number has no exponent where it is a count.
func number(x float64) string {
	if x == math.Trunc(x) && math.Abs(x) < 1<<53 {
		return strconv.FormatInt(int64(x), 10)
	}
	return strconv.FormatFloat(x, 'g', -1, 64)
}

// histogram adds a distribution. Each of its own buckets is counted by the
// longest duration that may be in it. So what a bound counts never becomes less,
// which Prometheus would take for a restart.
func (x *exposition) histogram(f family, d antflow.Latency, l labels) {
	var counts [len(bounds) + 1]uint64
	for longest, n := range d.All() {
		i := 0
		for i < len(bounds) && longest.Seconds() > bounds[i] {
			i++
		}
		counts[i] += n
	}
	with := append(l[:len(l):len(l)], "le", "")
	sum := uint64(0)
	for i, n := range counts {
		with[len(l)+1] = "+Inf"
		if i < len(bounds) {
			with[len(l)+1] = strconv.FormatFloat(bounds[i], 'g', -1, 64)
		}
		sum += n
		x.sample(f, "_bucket", float64(sum), with)
	}
	x.sample(f, "_sum", d.Total().Seconds(), l)
	x.sample(f, "_count", float64(sum), l)
}

// text is all of it.
func (x *exposition) text() []byte {
	var b bytes.Buffer
	for f := range x.families {
		if x.families[f].Len() == 0 {
			continue
		}
		t := &familyTexts[f]
		b.WriteString("# HELP " + t.name + " " + t.help + "\n# TYPE " + t.name + " " + t.kind + "\n")
		b.Write(x.families[f].Bytes())
	}
	return b.Bytes()
}

// A distinct makes names fit for labels, each one different from those before.
type distinct map[string]bool

func (d distinct) name(text string) string {
	text = errtext.Clip(strings.ToValidUTF8(text, "\uFFFD"), mostName)
	name := text
	for n := 2; d[name]; n++ {
		name = text + " (" + strconv.Itoa(n) + ")"
	}
	d[name] = true
	return name
}
