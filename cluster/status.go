package cluster

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/antflow/antflow"
)

// statusWait is how long workers may take to answer.
const statusWait = 250 * time.Millisecond

// Status asks the broker and the workers how they are. It blocks for the answers,
// for workers a quarter of a second after the first; ctx ends that early, with
// what came by then, but for the broker's answers, without which the error is a
// [*antflow.WaitError]. It is another one, at once, while there is no connection.
// A nil ctx panics.
func (c *Client) Status(ctx context.Context) (antflow.ClusterStatus, error) {
	must(ctx != nil, "Client.Status(nil): the context must not be nil")
	if c.nc.Status() != nats.CONNECTED {
		return antflow.ClusterStatus{}, failure("no status: there is no connection to the broker")
	}
	workers := antflow.Submit(ctx, c.io, c.workers)
	s := antflow.ClusterStatus{Time: time.Now()}
	err := insist(ctx, func(ctx context.Context) error { return c.ask(ctx, &s) })
	if err != nil {
		if ctx.Err() != nil {
			return s, &antflow.WaitError{Err: context.Cause(ctx)}
		}
		return s, failure("no status: %v", err)
	}
	s.Workers, _ = workers.Result(ctx)
	return s, nil
}

// ask asks the broker.
func (c *Client) ask(ctx context.Context, s *antflow.ClusterStatus) error {
	tasks, err := c.tasks.Info(ctx)
	if err != nil {
		return err
	}
	results, err := c.broker.results.Info(ctx)
	if err != nil {
		return err
	}
	s.Backlog, s.Limit, s.Results = tasks.State.Msgs, tasks.Config.MaxMsgs, results.State.Msgs
	s.Queues, err = c.queues(ctx)
	return err
}

// queues asks for the consumers of the stream of tasks.
func (c *Client) queues(ctx context.Context) (list []antflow.QueueStatus, err error) {
	consumers := c.tasks.ListConsumers(ctx)
	for info := range consumers.Info() {
		name, ok := strings.CutPrefix(info.Name, "w_")
		at := strings.LastIndexByte(name, '_')
		if !ok || at < 0 {
			continue
		}
		q := antflow.QueueStatus{
			Queue: name[:at], Waiting: info.NumPending, Taken: info.NumAckPending, Redelivered: info.NumRedelivered, Requests: info.NumWaiting,
		}
		for l := range levels {
			if l.String() == name[at+1:] {
				q.Priority = int(normal - l)
			}
		}
		list = append(list, q)
	}
	slices.SortFunc(list, func(a, b antflow.QueueStatus) int {
		if a.Queue != b.Queue {
			return strings.Compare(a.Queue, b.Queue)
		}
		return b.Priority - a.Priority
	})
	return list, consumers.Err()
}

// workers asks all workers at once, and takes what comes in time.
func (c *Client) workers(ctx context.Context) (list []antflow.WorkerStatus, err error) {
	inbox := c.nc.NewInbox()
	sub, err := c.nc.SubscribeSync(inbox)
	if err != nil {
		return nil, err
	}
	defer sub.Unsubscribe()
	if err := c.nc.PublishRequest(c.space.workers(), inbox, nil); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, statusWait)
	defer cancel()
	for {
		m, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			break
		}
		var r antflow.WorkerStatus
		if len(m.Data) > 0 && json.Unmarshal(m.Data, &r) == nil {
			list = append(list, r)
		} else if m.Header.Get("Status") == noResponders {
			break
		}
	}
	slices.SortFunc(list, func(a, b antflow.WorkerStatus) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// noResponders is the status of the answer that nobody will answer.
const noResponders = "503"
