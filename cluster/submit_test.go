package cluster_test

import (
	"sync"
	"testing"

	"github.com/antflow/antflow/cluster"
)

// A task is canceled also when that is asked for while it is found to be late.
func TestCancelWhileFound(t *testing.T) {
	for range 20000 {
		s := cluster.NewSender()
		s.Late()
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := s.Find(t.Context()); err != nil {
				t.Error(err)
			}
		})
		wg.Go(s.Cancel)
		wg.Wait()
		if !s.Withdraws() {
			t.Fatal("the cancellation is forgotten")
		}
	}
}
