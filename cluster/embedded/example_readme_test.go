package embedded_test

import (
	"context"
	"fmt"
	"iter"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/cluster"
)

// readmeCluster has the lines of three programs in one, and a broker that isn't
// there, so it is compiled here and not run; Example does the same for real.
func readmeCluster(ctx context.Context, paths iter.Seq[string], hashFile func(context.Context, string) (string, error)) error {
	var Hash = antflow.NewTask("hash", hashFile, antflow.Retries(3)) // shared by all programs

	cluster.Serve(ctx, "nats://broker", []cluster.Handler{Hash}) // a worker, one of many, until ctx ends

	client, err := cluster.Connect(ctx, "nats://broker") // a submitter: the client is its runner
	for sum, err := range Hash.Map(ctx, client, paths) {
		fmt.Println(sum, err)
	}
	return err
}

var _ = readmeCluster
