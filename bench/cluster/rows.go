package clusterbench

import (
	"github.com/antflow/antflow/bench"
)

// Rows returns the table of what is measured, with the peers whose servers
// [Find] has found.
func Rows() []bench.Row { return []bench.Row{throughput(), roundTrip(), memory()} }

func throughput() bench.Row {
	return bench.Row{
		Name: "throughput",
		Title: "Tasks that are submitted at once, one after another, until all results are back: an int in, an int out, eight handlers at a time. " +
			"The ratios are of the time, so 5x is a fifth of antflow's rate. The bare loop is JetStream without the cluster: the limit to come near.",
		Ops:      50_000,
		ShortOps: 300,
		Cases: []bench.Case{
			{Contender: "antflow", Probe: probeBatch(openAntflow, bench.Goal{})},
			{Contender: "antflow in three processes", Probe: probeBatch(openAntflowApart, bench.Goal{})},
			{Contender: "bare loop", Probe: probeBatch(openBare, bench.Slower(0.5))},
			onRedis(probeBatch(openAsynq, bench.Slower(5))),
			onPostgres("River", probeBatch(openRiver(handlers), bench.Slower(5))),
			onPostgres("River, reading ahead", probeBatch(openRiver(riverAhead), bench.Slower(5))),
		},
	}
}

func roundTrip() bench.Row {
	return bench.Row{
		Name: "round-trip",
		Title: "One task at a time: submitted when the result of the one before is back. Peers are told to look for tasks as often as they can be " +
			"(asynq polls each millisecond, and each second by default). River writes what has ended in batches, by a ticker.",
		Ops:      2_000,
		ShortOps: 10,
		Cases: []bench.Case{
			{Contender: "bare loop", Probe: probeRoundTrip(openBare, bench.Goal{})},
			{Contender: "antflow", Probe: probeRoundTrip(openAntflow, bench.Within(3))},
			{Contender: "antflow in three processes", Probe: probeRoundTrip(openAntflowApart, bench.Goal{})},
			onRedis(probeRoundTrip(openAsynq, bench.Goal{})),
			onPostgres("River", probeRoundTrip(openRiver(handlers), bench.Goal{})),
		},
	}
}

func memory() bench.Row {
	return bench.Row{
		Name: "memory",
		Title: "A million tasks through Task.Map with the window that it has by default; broker, worker and submitter are three processes. What is " +
			"alive in the heap of each, by a look at each hundredth after a collection: the median of the last tenth beside that of the first. " +
			"A byte for each task would be 0.95 MiB. The broker keeps each result for 24 hours, and its subject in memory.",
		Ops:       1_000_000,
		ShortOps:  300,
		MaxRounds: 1,
		Cases:     []bench.Case{{Contender: "antflow", Probe: probeMemory}},
	}
}

func onRedis(probe func(int) ([]bench.Value, error)) bench.Case {
	return bench.Case{Contender: "asynq on Redis", Probe: probe, Absent: absence(redisServer, "redis-server")}
}

func onPostgres(name string, probe func(int) ([]bench.Value, error)) bench.Case {
	return bench.Case{Contender: name + " on PostgreSQL", Probe: probe, Absent: absence(postgresDir, "postgresql")}
}
