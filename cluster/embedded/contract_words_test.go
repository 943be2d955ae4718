package embedded_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/cluster"
)

// Once a task is given back for later no word keeps it, which would put its lease
// in the place of its delay. It is a matter of microseconds, so every second run
// may meet it.
func TestContractLastWord(t *testing.T) {
	r := newRig(t)
	conn, _ := r.raw()
	var mu sync.Mutex
	later := make(map[string]bool)
	kept, back := 0, 0
	sub, err := conn.Subscribe("$JS.ACK.>", func(m *nats.Msg) {
		mu.Lock()
		defer mu.Unlock()
		switch word := string(m.Data); {
		case strings.HasPrefix(word, "-NAK"):
			later[m.Subject] = true
			back++
		case later[m.Subject]:
			kept++
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if err = sub.SetPendingLimits(-1, -1); err != nil {
		t.Fatal(err)
	}
	fails := antflow.NewTask("fails", func(_ context.Context, n int) (int, error) {
		// By the real clock: to end when the worker gives word of all that it has.
		time.Sleep(time.Duration(n%100) * time.Millisecond)
		return 0, errors.New("again")
	}, antflow.Retries(1), antflow.RetryDelay(time.Hour))
	r.serve(handlers(fails), cluster.Concurrency(2000), cluster.Lease(time.Second))
	c := r.connect()
	const wave = 4000
	// By the real clock: some beats, of which there are three in a second.
	for n, end := wave, time.Now().Add(1500*time.Millisecond); time.Now().Before(end); n += wave {
		for i := range wave {
			fails.Submit(r.ctx, c, i)
		}
		r.until("the first attempts", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return back >= n
		})
	}
	mu.Lock()
	defer mu.Unlock()
	if kept > 0 {
		t.Errorf("%d of %d tasks were kept after they were given back", kept, back)
	}
}
