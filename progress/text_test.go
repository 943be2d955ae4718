package progress_test

import (
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/antflow/antflow/progress"
)

func TestNumbers(t *testing.T) {
	for n, want := range map[uint64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", 1<<64 - 1: "18,446,744,073,709,551,615"} {
		if got := progress.Count(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
	for v, want := range map[float64]string{
		0.0001: "0.4/h", 0.002: "7.2/h", 0.016: "58/h", 0.0167: "1.0/min", 0.5: "30/min", 0.99: "59/min", 1: "1.0/s", 9.94: "9.9/s",
		9.96: "10/s", 81.4: "81/s", 1234: "1,234/s", 1e300: "1,000,000,000,000,000/s",
	} {
		if got := progress.Speed(v); got != want {
			t.Errorf("%v is %q, want %q", v, got, want)
		}
	}
}

func TestTimes(t *testing.T) {
	const day = 24 * time.Hour
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 0: "0s", 499 * time.Millisecond: "0s", 500 * time.Millisecond: "1s", 59 * time.Second: "59s",
		59500 * time.Millisecond: "1m00s", 125 * time.Second: "2m05s", time.Hour - time.Second: "59m59s", time.Hour: "1h00m",
		day - time.Second: "23h59m", day: "1d00h", 99*day + 5*time.Hour: "99d05h", 100 * day: "over 100 days", 1<<63 - 1: "over 100 days",
	} {
		if got := progress.Span(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		-1: "0s", 0: "0s", 1: "0.0µs", 1234: "1.2µs", 99 * time.Microsecond: "99µs", 999 * time.Microsecond: "999µs",
		999600: "1.0ms", 9960 * time.Microsecond: "10ms", 345 * time.Millisecond: "345ms", 999600 * time.Microsecond: "1.0s",
		12 * time.Second: "12s", 59400 * time.Millisecond: "59s", 59600 * time.Millisecond: "1m00s", 2 * time.Hour: "2h00m",
	} {
		if got := progress.Took(d); got != want {
			t.Errorf("%v took %q, want %q", d, got, want)
		}
	}
}

func TestClean(t *testing.T) {
	for s, want := range map[string]string{
		"plain":                    "plain",
		" two\nlines\r\n":          "two lines",
		"tab\there":                "tab here",
		"\x1b[31mred\x1b[0m":       "�[31mred�[0m",
		"\x1b]0;title\x07":         "�]0;title�",
		"\u009b31mC1":              "�31mC1",
		"\x9b31mbyte":              "�31mbyte",
		"bell\a del\x7f nul\x00":   "bell� del� nul�",
		"\u202eright to left":      "right to left",
		"zero\u200bwidth\ufeff":    "zerowidth",
		"世界":                       "世界",
		"family 👨\u200d👩\u200d👧":   "family 👨\u200d👩\u200d👧",
		"line\u2028separator":      "line separator",
		"no\u00a0break":            "no break",
		strings.Repeat("x", 512):   strings.Repeat("x", 512),
		strings.Repeat("x", 513):   strings.Repeat("x", 512) + "…",
		strings.Repeat("世", 1<<18): strings.Repeat("世", 170) + "…",
	} {
		if got := progress.Clean(s); got != want {
			t.Errorf("%.40q is %.40q, want %.40q", s, got, want)
		}
	}
}

// Whatever comes in, no terminal acts on what comes out, and it is no wider than
// it is said to be.
func FuzzClean(f *testing.F) {
	f.Add("\x1b[2J\u009b1A\x9d", 3)
	f.Add("世界e\u0301\u0301👨\u200d👩", 4)
	f.Fuzz(func(t *testing.T, s string, width int) {
		got := progress.Clean(s)
		if !utf8.ValidString(got) || len(got) > 4*1024 {
			t.Errorf("%q is %q", s, got)
		}
		for _, c := range got {
			if unicode.IsControl(c) || unicode.IsSpace(c) && c != ' ' || c >= 0x202a && c <= 0x202e {
				t.Errorf("%q is %q, with %U", s, got, c)
			}
		}
		width %= 100
		if short := progress.Cut(got, width); progress.Cells(short) > max(width, 0) {
			t.Errorf("%q is %d cells, not %d", short, progress.Cells(short), width)
		}
	})
}

func TestShare(t *testing.T) {
	for _, test := range []struct {
		n          int
		need, want []int
	}{
		{0, []int{1, 2}, []int{0, 0}},
		{-3, []int{1}, []int{0}},
		{5, nil, nil},
		{10, []int{1, 2, 3}, []int{1, 2, 3}},
		{4, []int{1, 20, 20}, []int{1, 2, 1}},
		{9, []int{20, 1, 20}, []int{4, 1, 4}},
		{2, []int{5, 5, 5}, []int{1, 1, 0}},
		{7, []int{0, 9}, []int{0, 7}},
	} {
		got := progress.Share(test.n, test.need)
		for i := range got {
			if got[i] != test.want[i] {
				t.Errorf("%d among %v: %v, want %v", test.n, test.need, got, test.want)
				break
			}
		}
	}
}
