package cluster_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow/cluster"
)

// The broker's clock may differ from this one, and what time says of the day here
// may be set: the time that passed counts.
func TestClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at := time.Now()
		then := at.Add(-time.Hour)
		time.Sleep(time.Minute)
		set := time.Now() // it has the time that passed beside the one of the day
		if got := cluster.Clock(then, at, set); !got.Equal(then.Add(time.Minute)) {
			t.Errorf("%v after %v", got, then)
		}
	})
}
