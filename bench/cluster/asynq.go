package clusterbench

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

// asynq has no futures. A handler may keep a result with its task, for an
// Inspector that asks for it: once for each task and each look. Here the handler
// publishes it on a channel of the same Redis instead, and the submitter
// subscribes: one message for each task, at once, and nothing to poll, which
// costs asynq the least. Nobody keeps that message; who isn't there misses it.
const asynqChannel = "results"

// asynqSubmitters submit at the same time, since a submission waits for its
// answer and there are none of several tasks.
const asynqSubmitters = 16

// asynqCheck is how long a server that found no task waits until it looks again;
// a second unless told otherwise, which would be most of a round trip.
const asynqCheck = time.Millisecond

// silent is the logger of who wants no log of connections that end.
type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

func openAsynq(ctx context.Context) (*contender, error) {
	s, err := newSite()
	if err != nil {
		return nil, err
	}
	c, err := asynqAt(ctx, s)
	if err != nil {
		s.close()
		return nil, err
	}
	return c, nil
}

func asynqAt(ctx context.Context, s *site) (*contender, error) {
	redis.SetLogger(silent{})
	options, err := startRedis(ctx, s)
	if err != nil {
		return nil, err
	}
	rdb := redis.NewClient(options)
	s.onClose(func() { rdb.Close() })
	server := asynq.NewServerFromRedisClient(rdb, asynq.Config{
		Concurrency:       handlers,
		TaskCheckInterval: asynqCheck,
		LogLevel:          asynq.FatalLevel,
	})
	err = server.Start(asynq.HandlerFunc(func(ctx context.Context, t *asynq.Task) error {
		var in int
		if err := json.Unmarshal(t.Payload(), &in); err != nil {
			return err
		}
		data, err := json.Marshal(outcome{in, 2 * in})
		if err != nil {
			return err
		}
		return rdb.Publish(ctx, asynqChannel, data).Err()
	}))
	if err != nil {
		return nil, err
	}
	s.onClose(server.Shutdown)
	back := rdb.Subscribe(ctx, asynqChannel)
	s.onClose(func() { back.Close() })
	if _, err := back.Receive(ctx); err != nil { // that it is subscribed
		return nil, err
	}
	client := asynq.NewClientFromRedisClient(rdb)
	batch := func(ctx context.Context, first, n int) error {
		return asynqBatch(ctx, client, back, first, n)
	}
	return &contender{batch: batch, close: s.close}, nil
}

func asynqBatch(ctx context.Context, client *asynq.Client, back *redis.PubSub, first, n int) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	inputs := make(chan int)
	var submitters sync.WaitGroup
	defer submitters.Wait()
	for range min(asynqSubmitters, n) {
		submitters.Go(func() {
			for i := range inputs {
				data, err := json.Marshal(i)
				if err == nil {
					_, err = client.EnqueueContext(ctx, asynq.NewTask("double", data))
				}
				if err != nil {
					cancel(fmt.Errorf("submission: %w", err))
				}
			}
		})
	}
	go func() {
		defer close(inputs)
		for i := range n {
			inputs <- first + i
		}
	}()
	for t := newTally(first, n); t.left > 0; {
		m, err := back.ReceiveMessage(ctx)
		if err != nil {
			return fmt.Errorf("%d of %d results are missing: %w", t.left, n, context.Cause(ctx))
		}
		var o outcome
		if err := json.Unmarshal([]byte(m.Payload), &o); err != nil {
			return err
		}
		if err := t.add(o.In, o.Out); err != nil {
			return err
		}
	}
	return nil
}

// startRedis starts a server whose log of what was written goes to the disk each
// second, the default of such logs; without one, Debian's default, an answered
// task is in memory until a snapshot some minutes later. Snapshots are off, since
// the log has it all.
func startRedis(ctx context.Context, s *site) (*redis.Options, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	password := rand.Text()
	config := filepath.Join(s.dir, "redis.conf")
	text := fmt.Sprintf("bind 127.0.0.1\nport %s\nrequirepass %s\ndir %s\nappendonly yes\nsave \"\"\n", port, password, s.dir)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	options := &redis.Options{Addr: net.JoinHostPort("127.0.0.1", port), Password: password}
	probe := redis.NewClient(options)
	defer probe.Close()
	err = s.program(func() error { return probe.Ping(ctx).Err() }, redisServer, config)
	if err != nil {
		return nil, fmt.Errorf("redis: %w", err)
	}
	return options, nil
}
