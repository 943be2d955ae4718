package main

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/antflow/antflow"
)

// audit compares the client's books with the server's, and returns what is
// wrong with either. It is told nothing of what should have happened.
func audit(b *batch, books map[int]*record) (problems []string) {
	find := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	for _, c := range b.calls {
		rec := books[c.id]
		if rec == nil {
			rec = new(record) // no request of it ever arrived
		}
		auditCall(c, rec, func(format string, args ...any) {
			find("order %d: "+format, append([]any{c.id}, args...)...)
		})
	}
	for _, id := range slices.Sorted(maps.Keys(books)) {
		if id < 0 || id >= len(b.calls) {
			find("order %d: the server has it, the client never placed it", id)
		}
	}
	auditStats(b, find)
	return problems
}

// auditCall needs no equality where the network has a say: a request may not
// arrive in time, an answer may be lost, and both look the same to the client,
// which has counted the attempt as unanswered.
func auditCall(c *call, rec *record, find func(format string, args ...any)) {
	if c.settled != 1 {
		find("settled %d times", c.settled)
	}
	if n := c.future.Attempts(); n != c.attempts {
		find("the executor counts %d attempts, the client %d", n, c.attempts)
	}
	if n := sum(c.answers) + c.unanswered; n != c.attempts {
		find("%d attempts, but %d of them ended", c.attempts, n)
	}
	if n := sum(rec.answers) + rec.abandoned; n != rec.requests {
		find("%d requests, but %d of them ended", rec.requests, n)
	}
	if rec.requests > c.attempts {
		find("%d attempts, but %d requests arrived", c.attempts, rec.requests)
	}
	for _, status := range slices.Sorted(maps.Keys(c.answers)) {
		if got, sent := c.answers[status], rec.answers[status]; got > sent {
			find("the client got %d answers with status %d, the server gave %d", got, status, sent)
		}
	}

	receipt, _ := c.future.Result(context.Background()) // settled: at once
	switch o := c.outcome(); o {
	case created:
		if receipt != rec.receipt || receipt == "" {
			find("the client has receipt %q, the server %q", receipt, rec.receipt)
		}
	case rejected:
		if rec.receipt != "" {
			find("rejected, but the server made it")
		}
		if rec.answers[http.StatusNotFound]+rec.answers[http.StatusUnprocessableEntity] == 0 {
			find("rejected, but not by the server")
		}
	default:
		if rec.receipt != "" && c.unanswered == 0 {
			find("%v, but the server made it and no answer was lost", o)
		}
	}
}

// auditStats holds the executor to its own counters.
func auditStats(b *batch, find func(format string, args ...any)) {
	var ended [len(outcomeNames)]uint64
	var retries uint64
	for _, c := range b.calls {
		ended[c.outcome()]++
		retries += uint64(max(c.attempts-1, 0))
	}
	got := b.stats
	want := antflow.Stats{
		MaxWorkers: b.workers,
		Submitted:  uint64(len(b.calls)) - got.Rejected,
		Succeeded:  ended[created],
		Failed:     ended[rejected] + ended[gaveUp],
		Canceled:   ended[canceled] - got.Rejected, // those that Ctrl-C kept from being admitted
		Retries:    retries,
		Rejected:   got.Rejected,
	}
	if ended[canceled] > 0 {
		want.Retries = got.Retries // a retry may have been decided on and canceled before it began
	}
	if got != want {
		find("the executor's counters are %+v and should be %+v", got, want)
	}
}

func sum(counts map[int]int) (n int) {
	for _, k := range counts {
		n += k
	}
	return n
}
