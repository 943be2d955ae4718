package main

import (
	"maps"
	"net/http"
	"slices"
	"time"
)

// report prints what happened, from both sides' books.
func report(out *printer, b *batch, books map[int]*record) {
	var ended, attempts [len(outcomeNames)]int
	got, sent := map[int]int{}, map[int]int{}
	unanswered, abandoned := 0, 0
	var whole, single []time.Duration
	for _, c := range b.calls {
		o := c.outcome()
		ended[o]++
		attempts[o] += c.attempts
		unanswered += c.unanswered
		single = append(single, c.latencies...)
		if c.attempts > 0 {
			whole = append(whole, c.end.Sub(c.start))
		}
		for status, n := range c.answers {
			got[status] += n
		}
	}
	for _, rec := range books {
		abandoned += rec.abandoned
		for status, n := range rec.answers {
			sent[status] += n
		}
	}

	out.printf("\n%-9s %8s %8s\n", "outcome", "orders", "attempts")
	for o, name := range outcomeNames {
		out.printf("%-9s %8d %8d\n", name, ended[o], attempts[o])
	}
	out.printf("%-9s %8d %8d, %d of them retries\n\n", "in all", len(b.calls), sum(got)+unanswered, b.stats.Retries)
	out.printf("%-9s %8s %8s\n", "status", "client", "server")
	for _, status := range slices.Sorted(maps.Keys(sent)) {
		out.printf("%-9d %8d %8d  %s\n", status, got[status], sent[status], http.StatusText(status))
	}
	out.printf("%-9s %8d %8d  timed out or hung up\n\n", "none", unanswered, abandoned)
	out.printf("%-9s %8s %8s %8s\n", "seconds", "median", "95%", "longest")
	for _, row := range []struct {
		name string
		took []time.Duration
	}{{"answer", single}, {"order", whole}} {
		slices.Sort(row.took)
		out.printf("%-9s %8.3f %8.3f %8.3f\n", row.name, quantile(row.took, 0.5), quantile(row.took, 0.95), quantile(row.took, 1))
	}
	out.printf("\nelapsed   %.3f s\n", b.elapsed.Seconds())
}

// quantile is in seconds, of a sorted list.
func quantile(sorted []time.Duration, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[int(q*float64(len(sorted)-1))].Seconds()
}
