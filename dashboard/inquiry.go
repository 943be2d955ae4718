package dashboard

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/errtext"
)

const (
	statusTime = 2 * time.Second       // that a call has
	statusLate = statusTime + interval // after which one is thought to hang
	noAnswer   = "there is no answer within 2 seconds"
)

// An inquirer calls a status function, which is the user's and may be slow, hang
// or panic. There is one call at a time, and all who want to know then wait for
// its answer: so one that hangs costs one goroutine, however many ask.
type inquirer struct {
	status func(context.Context) (antflow.ClusterStatus, error)

	mu      sync.Mutex
	running *inquiry // nil: none
}

// An inquiry is a call.
type inquiry struct {
	began  time.Time
	cancel context.CancelFunc
	done   chan struct{} // closed once there is the report
	report report

	// Guarded by mu, and fixed once done is closed.
	asked     bool // by a request
	abandoned bool // the report is of no use, since the call was told to end
}

// A report is what came of a call.
type report struct {
	at    time.Time
	facts *clusterFacts // nil: there is a fault
	fault string
}

// join begins a call, or takes part in the one that there is. It does not block.
func (i *inquirer) join(request bool) *inquiry {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.running == nil {
		// Not the context of a request: others may wait for the same answer.
		ctx, cancel := context.WithTimeout(context.Background(), statusTime)
		i.running = &inquiry{began: time.Now(), cancel: cancel, done: make(chan struct{})}
		go i.call(ctx, i.running)
	}
	i.running.asked = i.running.asked || request
	return i.running
}

// leave tells a call to end that only a sampling wanted.
func (i *inquirer) leave(q *inquiry) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.running == q && !q.asked {
		q.abandoned = true
		q.cancel()
	}
}

func (i *inquirer) call(ctx context.Context, q *inquiry) {
	q.report.fault = "(the status function ended its goroutine)" // if it doesn't return
	defer func() {
		q.report.at = time.Now()
		i.mu.Lock()
		i.running = nil
		i.mu.Unlock()
		q.cancel()
		close(q.done)
	}()
	s, fault := i.ask(ctx)
	if q.report.fault = fault; fault == "" {
		// Here, since it takes its time with a cluster that is large.
		q.report.facts = factsOf(&s)
	}
}

func (i *inquirer) ask(ctx context.Context) (s antflow.ClusterStatus, fault string) {
	defer func() {
		if v := recover(); v != nil {
			fault = errtext.Clip(fmt.Sprintf("(the status function panicked: %v)", v), mostText)
		}
	}()
	s, err := i.status(ctx)
	if err != nil {
		if fault = textOf(err); fault == "" {
			fault = "(an error without a text)"
		}
	}
	return s, fault
}

// over reports whether there is an answer.
func (q *inquiry) over() bool {
	select {
	case <-q.done:
		return true
	default:
		return false
	}
}

// hangs reports whether the call goes on long after its context has ended.
func (q *inquiry) hangs(now time.Time) bool { return now.Sub(q.began) >= statusLate }

// wait returns the answer of q, or that it takes too long.
func (i *inquirer) wait(ctx context.Context, q *inquiry) report {
	for {
		r := q.wait(ctx)
		if !q.over() || !q.abandoned || ctx.Err() != nil {
			return r
		}
		q = i.join(true)
	}
}

// wait does not wait for a call that hangs already.
func (q *inquiry) wait(ctx context.Context) report {
	ctx, cancel := context.WithDeadline(ctx, q.began.Add(statusLate))
	defer cancel()
	select {
	case <-q.done:
		return q.report
	case <-ctx.Done():
	}
	if q.over() { // both at once
		return q.report
	}
	return report{at: time.Now(), fault: noAnswer}
}
