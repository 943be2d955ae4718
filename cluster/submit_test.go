package cluster_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow/cluster"
)

// What is held is sent sooner when there may be room or a connection, but not
// twice at the same time: who is about to send it, or does, goes on.
func TestSendAgainOnce(t *testing.T) {
	for name, event := range map[string]func(*cluster.Sender){
		"reconnected": (*cluster.Sender).Reconnected,
		"settled":     (*cluster.Sender).Settled,
	} {
		for _, begun := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				s := cluster.NewSender()
				calls := 0
				s.SendAgain(func() { calls++ }, time.Second)
				if begun {
					time.Sleep(time.Second)
					synctest.Wait()
				}
				event(s)
				time.Sleep(100 * time.Millisecond)
				synctest.Wait()
				if calls != 1 {
					t.Errorf("%s, begun: %v: sent %d times", name, begun, calls)
				}
			})
		}
	}
}

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
