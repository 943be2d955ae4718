package antflow_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/testkit"
)

// FuzzErrors wraps errors in one another at random and holds the result
// against the rules for messages and for errors.Is.
func FuzzErrors(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7})
	f.Add([]byte{8, 4, 5, 6})
	f.Fuzz(func(t *testing.T, choices []byte) {
		root := errors.New("root")
		err := root
		users := false // a user's error has text of ours in it
		for _, c := range choices[:min(len(choices), 20)] {
			switch c % 8 {
			case 0:
				err = &antflow.ItemError{Index: int(c), Err: err}
			case 1:
				err = &antflow.RetryError{Attempts: int(c), Err: err}
			case 2:
				err = &antflow.WaitError{Err: err}
			case 3:
				err = &antflow.PanicError{Value: err}
			case 4:
				err = antflow.Permanent(err)
			case 5:
				err = antflow.RetryAfter(err, time.Duration(c))
			case 6:
				users = users || strings.Contains(err.Error(), "antflow: ")
				err = fmt.Errorf("wrapped: %w", err)
			case 7:
				err = errors.Join(err)
				users = users || strings.HasPrefix(err.Error(), "antflow: ")
			}
		}
		text := err.Error()
		if n := strings.Count(text, "antflow: "); n > 1 && !users {
			t.Errorf("the prefix occurs %d times: %s", n, text)
		}
		if !errors.Is(err, root) || !strings.HasSuffix(text, "root") {
			t.Errorf("the root is lost: %s", text)
		}
		items := antflow.ItemErrors(err)
		var item *antflow.ItemError
		if found := errors.As(err, &item); found != (len(items) == 1) || found && items[0] != item {
			t.Errorf("ItemErrors found %d, errors.As found %v", len(items), found)
		}
	})
}

// FuzzBackoff looks for schedules that overflow or leave their bounds.
func FuzzBackoff(f *testing.F) {
	f.Add(int64(time.Second), int64(time.Minute), 1, 0.5)
	f.Add(int64(math.MaxInt64), int64(0), 100, 1.0)
	f.Fuzz(func(t *testing.T, first, most int64, attempt int, fraction float64) {
		if first < 0 || most < 0 || attempt < 1 || !(fraction >= 0 && fraction <= 1) {
			t.Skip()
		}
		limit := time.Duration(most)
		if most == 0 {
			limit = math.MaxInt64
		}
		b := antflow.ExponentialBackoff(time.Duration(first), time.Duration(most))
		d, next := b(attempt, nil), b(attempt+1, nil)
		if attempt < math.MaxInt && (d < 0 || d > limit || next < d) {
			t.Errorf("%v, then %v, with the limit %v", d, next, limit)
		}
		if attempt == 1 && d != min(time.Duration(first), limit) {
			t.Errorf("the first delay is %v", d)
		}
		j := b.Jitter(fraction)(attempt, nil)
		low, high := float64(d)*(1-fraction), float64(d)*(1+fraction)
		if j < 0 || float64(j) < low*0.999999-1 || float64(j) > high*1.000001+1 {
			t.Errorf("%v with jitter %v is %v", d, fraction, j)
		}
	})
}

// FuzzRetry holds the number of attempts, the delays and the final error of a
// task against the rules, in fake time.
func FuzzRetry(f *testing.F) {
	f.Add(uint8(3), uint8(2), uint8(0))
	f.Add(uint8(5), uint8(9), uint8(0b101))
	f.Fuzz(func(t *testing.T, retries, failures, marks uint8) {
		retries, failures = retries%8, failures%10
		testkit.Bubble(t, func(t *testing.T) {
			e := antflow.New(1)
			defer e.Close()
			root := errors.New("root")
			var waits time.Duration
			start := time.Now()
			fut := e.Go(context.Background(), func(ctx context.Context) error {
				info, _ := antflow.TaskFrom(ctx)
				if info.Attempt > int(failures) {
					return nil
				}
				if marks>>(info.Attempt%8)&1 == 1 {
					return antflow.RetryAfter(root, time.Hour)
				}
				return root
			}, antflow.Retries(int(retries)), antflow.RetryBackoff(antflow.ConstantBackoff(time.Second)))
			_, err := fut.Result(context.Background())
			attempts := min(int(failures), int(retries)) + 1
			for n := 1; n < attempts; n++ {
				if marks>>(n%8)&1 == 1 {
					waits += time.Hour
				} else {
					waits += time.Second
				}
			}
			if fut.Attempts() != attempts || time.Since(start) != waits {
				t.Errorf("%d attempts in %v, want %d in %v", fut.Attempts(), time.Since(start), attempts, waits)
			}
			var retried *antflow.RetryError
			switch {
			case failures <= retries:
				if err != nil {
					t.Error(err)
				}
			case attempts == 1:
				if err != root {
					t.Errorf("%v is not fn's own error", err)
				}
			case !errors.As(err, &retried) || retried.Err != root || retried.Attempts != attempts:
				t.Errorf("%v is no RetryError of %d attempts", err, attempts)
			}
		})
	})
}
