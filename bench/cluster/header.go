package clusterbench

import (
	"strings"

	"github.com/antflow/antflow/bench"
)

// modules are those whose versions are printed.
var modules = []string{
	"github.com/nats-io/nats.go",
	"github.com/hibiken/asynq",
	"github.com/redis/go-redis/v9",
	"github.com/riverqueue/river",
	"github.com/riverqueue/river/riverdriver/riverpgxv5",
	"github.com/jackc/pgx/v5",
}

// A promise is what a system has promised about a task when it has acknowledged
// it, as it is set here.
type promise struct{ system, settings, process, power string }

var promises = []promise{
	{
		"antflow on JetStream",
		"file storage, one replica, sync_interval 2m: the defaults",
		"all survives: it is written to the file, not synced, before the acknowledgement",
		"up to two minutes are lost, unless the broker has `sync_interval: always` or three replicas with power of their own",
	},
	{
		"bare loop on JetStream",
		"the same, and nothing is acknowledged to who publishes",
		"what the broker had not read yet is lost",
		"up to two minutes are lost",
	},
	{
		"asynq on Redis",
		"appendonly yes, appendfsync everysec (its default), no snapshots",
		"all survives: it is written to the file, not synced, before the acknowledgement, but for up to two seconds while a sync is slow. Results are on a channel that nothing keeps",
		"a second or two are lost. As Debian installs it (snapshots only), minutes are lost, and that by the death of the server, too",
	},
	{
		"River on PostgreSQL",
		"fsync on, synchronous_commit on: the defaults",
		"all survives, results included",
		"all survives, on a disk that keeps what it was told to sync",
	},
}

// Header is what the output begins with: what the figures depend on, and what
// each system has promised for them.
func Header(args []string) string {
	var b strings.Builder
	b.WriteString(bench.Provenance("cluster", args, modules, Versions()...))
	b.WriteString("Figures are medians of the rounds, in which the contenders take turns, with the least and the greatest; a ratio is taken within\n")
	b.WriteString("each round. ✓ and ✗ tell whether the median meets the goal. Under each table is how many cores goroutines that compute got\n")
	b.WriteString("before each run; where that is less than GOMAXPROCS, something else ran, and the figures don't count.\n\n")
	b.WriteString("The systems don't promise the same, and syncing is most of what writing costs. What becomes of an acknowledged task:\n\n")
	b.WriteString("| | as measured | the server dies | the machine loses power |\n|---|---|---|---|\n")
	for _, p := range promises {
		b.WriteString("| " + strings.Join([]string{p.system, p.settings, p.process, p.power}, " | ") + " |\n")
	}
	b.WriteString("\n")
	return b.String()
}
