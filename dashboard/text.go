package dashboard

import (
	"fmt"
	"math"
	"time"

	"github.com/antflow/antflow/internal/errtext"
)

// What is shown of texts that come from users, in bytes, as package antflow has
// it. The ellipsis that says that a text was cut is among these.
const (
	mostName = 128
	mostText = 1 << 10
)

// textOf is what err says. The method is the user's code, on our goroutine.
func textOf(err error) string {
	if err == nil {
		return ""
	}
	return called("the Error method", err.Error)
}

// called is the text that a function of the user's returns, cut.
func called(what string, fn func() string) (text string) {
	defer func() {
		if v := recover(); v != nil {
			text = fmt.Sprintf("(%s panicked)", what)
		}
	}()
	return errtext.Clip(fn(), mostText)
}

// millis is a duration in milliseconds, to three decimals.
func millis(d time.Duration) float64 { return round(float64(d) / float64(time.Millisecond)) }

// unix is a time in Unix milliseconds, to three decimals.
func unix(t time.Time) float64 { return float64(t.UnixMicro()) / 1e3 }

// unixOrNil is null for no time.
func unixOrNil(t time.Time) *float64 {
	if t.IsZero() {
		return nil
	}
	return new(unix(t))
}

// round is what JSON can have of x.
func round(x float64) float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return 0
	}
	return math.Round(x*1e3) / 1e3
}
