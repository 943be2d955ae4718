package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/cluster"
)

const taskName = "work"

// beWorker serves until it is told to end.
func beWorker(o *order, j *journal) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	x := &executions{o: o, j: j}
	opts := []cluster.ServeOption{
		cluster.WorkerName(o.Name),
		cluster.Concurrency(o.Worker.Slots),
		cluster.MostCrashes(o.Worker.Crashes),
	}
	if o.Worker.Lease > 0 {
		opts = append(opts, cluster.Lease(o.Worker.Lease))
	}
	if o.Worker.Drain > 0 {
		opts = append(opts, cluster.DrainTimeout(o.Worker.Drain))
	}
	for _, opt := range common(o) {
		opts = append(opts, opt)
	}
	handlers := []cluster.Handler{antflow.NewTask(taskName, x.run)}
	ready()
	for {
		began := time.Now()
		err := cluster.Serve(ctx, o.URL, handlers, opts...)
		if err == nil || ctx.Err() != nil || time.Since(began) > serveStarts {
			return err
		}
		// It could not begin, since the broker is away. Whatever supervises
		// workers starts them again; here that is this loop.
		j.add(event{Kind: evNote, Worker: o.Name, Text: fmt.Sprintf("worker %s does not begin: %v", o.Name, err)})
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// serveStarts is how long Serve may take to find that it can't begin.
const serveStarts = time.Minute

// executions are those of one worker.
type executions struct {
	o *order
	j *journal
}

// run is the function of all tasks. What it returns is different for each
// execution, so a future tells which one it is of.
func (x *executions) run(ctx context.Context, w work) (string, error) {
	info, _ := cluster.InfoFrom(ctx)
	e := event{Kind: evStart, ID: w.ID, Broker: info.ID, Worker: x.o.Name, PID: os.Getpid(), Attempt: info.Attempt}
	x.j.add(e)
	e.Kind = evEnd
	e.Value = fmt.Sprintf("token:%s/%s/%d/%s", w.ID, x.o.Name, info.Attempt, rand.Text()[:8])
	select {
	case <-time.After(span(x.o.Seed, w.ID, w.Least, w.Most)):
	case <-stopped(ctx, w.Stubborn):
		e.End = endCanceled
		x.j.add(e)
		return "", ctx.Err()
	}
	switch {
	case w.Poison:
		killSelf()
	case w.Fails || info.Attempt <= w.Failures:
		e.End = endError
		x.j.add(e)
		return "", errors.New("it fails with " + e.Value)
	}
	e.End = endOK
	x.j.add(e)
	return e.Value, nil
}

// stopped is closed when ctx ends, unless that is of no concern.
func stopped(ctx context.Context, stubborn bool) <-chan struct{} {
	if stubborn {
		return nil
	}
	return ctx.Done()
}

// span is between least and most: the same for the same seed and ID.
func span(seed uint64, id string, least, most time.Duration) time.Duration {
	if most <= least {
		return least
	}
	return least + time.Duration(hash(seed, id)%uint64(most-least))
}

var token = regexp.MustCompile(`token:[A-Za-z0-9_./-]+`)

// valueOf is what a text tells of the value that is in it: of a result, of an
// error, and of what the broker stores for both.
func valueOf(e end, text string) string {
	switch {
	case e == endCanceled || e == endFull || e == endDetached:
		return ""
	case token.MatchString(text):
		return token.FindString(text)
	case strings.Contains(text, cluster.ErrCrashed.Error()) || strings.Contains(text, "cluster.ErrCrashed"):
		return "crashed"
	}
	return "? " + text
}

// storedValue is valueOf for the payload of a result.
func storedValue(e end, payload []byte) string {
	var text string
	if e == endOK && json.Unmarshal(payload, &text) == nil {
		return valueOf(e, text)
	}
	return valueOf(e, string(payload))
}
