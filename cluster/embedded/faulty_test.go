package embedded_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/cluster"
	"github.com/antflow/antflow/cluster/embedded"
)

// An error that is larger than a message may be is cut, so that the note of a
// failed attempt can be written, and the task is tried again.
func TestLargeErrorThatIsRetried(t *testing.T) {
	b := started(t)(embedded.Start(t.TempDir()))
	fails := antflow.NewTask("fails", func(context.Context, int) (int, error) {
		var all []error
		for range 20 {
			all = append(all, errors.New(strings.Repeat("x", 60<<10)))
		}
		return 0, errors.Join(all...)
	}, antflow.Retries(1), antflow.RetryDelay(0))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	c := serving(t, b.URL(), fails)
	if _, err := fails.Submit(ctx, c, 1).Result(ctx); ctx.Err() != nil {
		t.Errorf("it goes on for ever: %.200v", err)
	}
}

// A question to a stream without a leader is lost, so Connect asks again. Which of
// the tries meets that moment, right after the servers have started, is luck.
func TestConnectToAClusterThatJustStarted(t *testing.T) {
	if testing.Short() {
		t.Skip("each try takes some seconds")
	}
	for try := range 1 {
		dir := t.TempDir()
		b := started(t)(embedded.StartCluster(dir, 3))
		c, err := cluster.Connect(t.Context(), b.URL(), cluster.Replicas(3))
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		b.Close()
		b = started(t)(embedded.StartCluster(dir, 3))
		begun := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
		c, err = cluster.Connect(ctx, b.URL())
		cancel()
		if err != nil {
			t.Fatalf("try %d, after %v: %v", try, time.Since(begun), err)
		}
		c.Close()
		b.Close()
	}
}

// serving is a client of a worker that serves h.
func serving(t *testing.T, url string, h cluster.Handler) *cluster.Client {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- cluster.Serve(ctx, url, []cluster.Handler{h}, cluster.DrainTimeout(0)) }()
	c, err := cluster.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Detach()
		stop()
		<-served
	})
	return c
}
