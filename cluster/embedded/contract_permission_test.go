package embedded_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/cluster"
	"github.com/antflow/antflow/cluster/embedded"
)

// The permissions that docs/cluster.md names are enough, for all that clients and
// workers do.
func TestContractPermissions(t *testing.T) {
	all := []string{"antflow.default.>", "$JS.API.>"}
	client := &server.Permissions{
		Publish:   &server.SubjectPermission{Allow: all},
		Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>", "antflow.default.started.>"}},
	}
	listens := &server.SubjectPermission{Allow: []string{"_INBOX.>", "antflow.default.cancel", "antflow.default.workers"}}
	all = append(all[:2:2], "$JS.ACK.>")
	for name, worker := range map[string]*server.Permissions{
		"inboxes": {
			Publish:   &server.SubjectPermission{Allow: append(all[:3:3], "_INBOX.>")},
			Subscribe: listens,
		},
		"allow_responses": {
			Publish:   &server.SubjectPermission{Allow: all},
			Subscribe: listens,
			Response:  &server.ResponsePermission{MaxMsgs: server.DEFAULT_ALLOW_RESPONSE_MAX_MSGS, Expires: server.DEFAULT_ALLOW_RESPONSE_EXPIRATION},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, embedded.Configure(func(o *server.Options) {
				o.Users = []*server.User{
					{Username: "client", Password: "client", Permissions: client},
					{Username: "worker", Password: "worker", Permissions: worker},
				}
			}))
			var log journal
			g := newGate("gate")
			big := antflow.NewTask("big", func(ctx context.Context, s string) (string, error) {
				if info, _ := antflow.TaskFrom(ctx); info.Attempt == 1 {
					return "", context.DeadlineExceeded
				}
				return s, nil
			}, antflow.Retries(1), antflow.RetryDelay(time.Millisecond))
			w := as(r, "worker").serve(handlers(g, big), cluster.Logger(log.logger()), cluster.WorkerName("W"))
			c := as(r, "client").connect(cluster.Logger(log.logger()), cluster.Session("s"))
			in := strings.Repeat("large ", 1<<20)
			for range 2 {
				if v := get(r, big.Submit(r.ctx, c, in, antflow.Key("k"))); v != in {
					t.Errorf("%d bytes came back", len(v))
				}
			}
			f := g.Submit(r.ctx, c, 1)
			g.next(r)
			r.until("a start that is told of", func() bool { return f.State() == antflow.StateRunning })
			if s := r.status(c); len(s.Workers) != 1 || s.Workers[0].Name != "W" || len(s.Queues) == 0 {
				t.Errorf("%+v", s)
			}
			f.Cancel()
			fail(r, f, antflow.ErrCanceled)
			r.until("the end of what was canceled", func() bool { return w.health.Status().Held == 0 })
			get(r, big.Submit(r.ctx, c, "x", antflow.QueueTimeout(time.Minute)))
			if err := w.stop(); err != nil {
				t.Error(err)
			}
			if log.String() != "" {
				t.Error(log.String())
			}
		})
	}
}
