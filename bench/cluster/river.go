package clusterbench

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

type riverArgs struct {
	N int `json:"n"`
}

func (riverArgs) Kind() string { return "double" }

// riverWorker records the result with the job. Of the jobs that River works at a
// time as many run it as there are slots.
type riverWorker struct {
	river.WorkerDefaults[riverArgs]
	slots chan struct{}
}

func (w *riverWorker) Work(ctx context.Context, job *river.Job[riverArgs]) error {
	w.slots <- struct{}{}
	defer func() { <-w.slots }()
	return river.RecordOutput(ctx, 2*job.Args.N)
}

const (
	// riverBatch is how many jobs are inserted by one statement, the fastest of
	// River's ways to.
	riverBatch = 5000

	// riverAhead is how many jobs River works at a time where it may fetch more
	// than have a slot: a fetch is a statement, and brings as many.
	riverAhead = 1000

	// riverConnections is more than it needs.
	riverConnections = 16
)

// openRiver opens River with as many workers, which each have a job. The results
// come from its subscription to completed jobs, which is of the process that
// works them, after their rows are written; to poll the rows would take longer.
func openRiver(workers int) opening {
	return func(ctx context.Context) (*contender, error) {
		s, err := newSite()
		if err != nil {
			return nil, err
		}
		c, err := riverAt(ctx, s, workers)
		if err != nil {
			s.close()
			return nil, err
		}
		return c, nil
	}
}

func riverAt(ctx context.Context, s *site, workers int) (*contender, error) {
	pool, err := startPostgres(ctx, s)
	if err != nil {
		return nil, err
	}
	driver := riverpgxv5.New(pool)
	log := slog.New(slog.DiscardHandler)
	migrator, err := rivermigrate.New(driver, &rivermigrate.Config{Logger: log})
	if err != nil {
		return nil, err
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return nil, err
	}
	registered := river.NewWorkers()
	river.AddWorker(registered, &riverWorker{slots: make(chan struct{}, handlers)})
	client, err := river.NewClient(driver, &river.Config{
		Queues:            map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: workers}},
		Workers:           registered,
		Logger:            log,
		FetchCooldown:     river.FetchCooldownMin, // a tenth of a second unless told otherwise
		FetchPollInterval: 100 * time.Millisecond,
	})
	if err != nil {
		return nil, err
	}
	// More than River has room for are dropped.
	events, unsubscribe := client.SubscribeConfig(&river.SubscribeConfig{
		ChanSize: 100_000,
		Kinds:    []river.EventKind{river.EventKindJobCompleted},
	})
	s.onClose(unsubscribe)
	if err := client.Start(context.WithoutCancel(ctx)); err != nil {
		return nil, err
	}
	s.onClose(func() { client.StopAndCancel(context.Background()) })
	batch := func(ctx context.Context, first, n int) error { return riverBatches(ctx, client, events, first, n) }
	return &contender{batch: batch, close: s.close}, nil
}

func riverBatches[Tx any](ctx context.Context, client *river.Client[Tx], events <-chan *river.Event, first, n int) error {
	inserted := make(chan error, 1)
	go func() {
		for from := first; from < first+n; from += riverBatch {
			jobs := make([]river.InsertManyParams, min(riverBatch, first+n-from))
			for i := range jobs {
				jobs[i].Args = riverArgs{from + i}
			}
			if _, err := client.InsertManyFast(ctx, jobs); err != nil {
				inserted <- err
				return
			}
		}
	}()
	for t := newTally(first, n); t.left > 0; {
		select {
		case e := <-events:
			var args riverArgs
			var out int
			if err := json.Unmarshal(e.Job.EncodedArgs, &args); err != nil {
				return err
			}
			if err := json.Unmarshal(e.Job.Output(), &out); err != nil {
				return err
			}
			if err := t.add(args.N, out); err != nil {
				return err
			}
		case err := <-inserted:
			return err
		case <-ctx.Done():
			return fmt.Errorf("%d of %d results are missing: %w", t.left, n, ctx.Err())
		}
	}
	return nil
}

// startPostgres makes a database and starts its server, with the settings that
// it comes with. It listens on a socket in the folder alone, which nobody else
// may enter, so nobody needs a password.
func startPostgres(ctx context.Context, s *site) (*pgxpool.Pool, error) {
	as, err := postgresUser(s.dir)
	if err != nil {
		return nil, err
	}
	data := filepath.Join(s.dir, "data")
	initdb := append(as, filepath.Join(postgresDir, "initdb"), "--pgdata", data, "--username", "bench",
		"--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync")
	if out, err := exec.CommandContext(ctx, initdb[0], initdb[1:]...).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	pool, err := pgxpool.New(ctx, fmt.Sprintf("host=%s user=bench dbname=postgres pool_max_conns=%d", s.dir, riverConnections))
	if err != nil {
		return nil, err
	}
	server := append(as, filepath.Join(postgresDir, "postgres"), "-D", data, "-k", s.dir, "-h", "")
	if err := s.program(func() error { return pool.Ping(ctx) }, server...); err != nil {
		pool.Close()
		return nil, fmt.Errorf("postgres: %w", err)
	}
	s.onClose(pool.Close)
	return pool, nil
}

// postgresUser is what commands of PostgreSQL begin with, which refuses to be
// root. Where this process is, it gives the folder to the user of the package.
func postgresUser(dir string) (as []string, err error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, err
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return nil, err
	}
	return []string{"setpriv", "--reuid", u.Uid, "--regid", u.Gid, "--init-groups", "--"}, os.Chown(dir, uid, gid)
}
