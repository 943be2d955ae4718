package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/antflow/antflow"
	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"
)

// The limits of golang.org/x are antflow's as they are.
var (
	_ antflow.Semaphore   = (*semaphore.Weighted)(nil)
	_ antflow.RateLimiter = (*rate.Limiter)(nil)
)

const (
	maxRetries     = 8
	attemptTimeout = 300 * time.Millisecond
	connections    = 12 // fewer than workers: the API's limit is not the executor's
	// A guess at the server's rate, and as guesses are, too high: so 429 comes up.
	clientRate  = serverRate * 6 / 5
	clientBurst = 20
)

// policy is how every order is placed, in one place.
func policy() antflow.TaskOption {
	return antflow.JoinOptions(
		antflow.Retries(maxRetries),
		antflow.RetryBackoff(antflow.ExponentialBackoff(40*time.Millisecond, 250*time.Millisecond).Jitter(0.3)),
		antflow.Timeout(attemptTimeout),
		antflow.WithSemaphore(semaphore.NewWeighted(connections)),
		antflow.WithRateLimit(rate.NewLimiter(clientRate, clientBurst)),
	)
}

// call is the client's account of one order. Its attempts write to it without
// a lock, as they come one after another; once the future is done, anyone reads.
type call struct {
	id         int
	future     *antflow.Future[string]
	settled    int // times that AsCompleted yielded the future
	attempts   int
	answers    map[int]int // by status
	unanswered int         // attempts that ended without an answer: timeouts, hang-ups
	start, end time.Time   // from Submit to the end of the last attempt
	latencies  []time.Duration
}

type client struct {
	http *http.Client
	url  string
}

func newClient(url string, nw network) *client {
	return &client{url: url, http: &http.Client{Transport: &http.Transport{
		DialContext:         nw.dial,
		MaxIdleConnsPerHost: connections,
	}}}
}

// place is the task: one attempt at one order. It tells the executor by the
// kind of its error whether and when to try again.
func (cl *client) place(ctx context.Context, c *call) (receipt string, err error) {
	c.attempts++
	began := time.Now()
	defer func() { c.end = time.Now() }()

	req, err := http.NewRequestWithContext(ctx, http.MethodPost, fmt.Sprintf("%s/orders/%d", cl.url, c.id), nil)
	if err != nil {
		c.unanswered++
		return "", antflow.Permanent(err)
	}
	resp, err := cl.http.Do(req)
	if err != nil {
		c.unanswered++
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	if err != nil {
		c.unanswered++
		return "", err
	}
	c.answers[resp.StatusCode]++
	c.latencies = append(c.latencies, time.Since(began))

	failure := &statusError{resp.StatusCode}
	switch status := resp.StatusCode; {
	case status == http.StatusOK:
		return strings.TrimSpace(string(body)), nil
	case status == http.StatusTooManyRequests:
		if d, ok := retryAfter(resp.Header); ok {
			return "", antflow.RetryAfter(failure, d)
		}
		return "", failure
	case status >= 400 && status < 500:
		return "", antflow.Permanent(failure)
	}
	return "", failure
}

// retryAfter reads the header in either of its forms.
func retryAfter(h http.Header) (time.Duration, bool) {
	value := h.Get("Retry-After")
	if seconds, err := strconv.Atoi(value); err == nil {
		return time.Duration(seconds) * time.Second, true
	}
	if at, err := http.ParseTime(value); err == nil {
		return time.Until(at), true
	}
	return 0, false
}

type statusError struct{ status int }

func (e *statusError) Error() string {
	return fmt.Sprintf("status %d %s", e.status, http.StatusText(e.status))
}

// outcome is what became of an order.
type outcome int

const (
	created  outcome = iota
	rejected         // by the API, for good
	gaveUp           // out of retries; an answer may have been lost
	canceled         // by Ctrl-C
)

var outcomeNames = [...]string{"created", "rejected", "gave up", "canceled"}

func (o outcome) String() string { return outcomeNames[o] }

// outcome may be asked for once the call's future is done.
func (c *call) outcome() outcome {
	switch c.future.State() {
	case antflow.StateSucceeded:
		return created
	case antflow.StateCanceled:
		return canceled
	}
	// Through a *antflow.RetryError too: the last error is what it unwraps to.
	if e, ok := errors.AsType[*statusError](c.future.Err()); ok && e.status < 500 && e.status != http.StatusTooManyRequests {
		return rejected
	}
	return gaveUp
}
