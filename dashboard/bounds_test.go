package dashboard_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/dashboard"
)

// What is kept is bounded: failures are kept longer than what succeeded, and what
// runs longer than either.
func TestStoreIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := antflow.New(8)
		h := dashboard.Handler(dashboard.Executor(e))
		watch(t, h)
		time.Sleep(second / 8)
		antflow.Submit(context.Background(), e, nap(time.Hour), antflow.TaskName("long"))
		for range 100 {
			antflow.Submit(context.Background(), e, func(context.Context) (int, error) {
				return 0, errors.New("no")
			}, antflow.TaskName("bad"))
		}
		for range 6 {
			for range 1000 {
				antflow.Submit(context.Background(), e, nap(time.Millisecond), antflow.TaskName("good"))
			}
			time.Sleep(second)
		}
		page := getJSON(t, h, "/tasks.json")
		if page["kept"] != 4096.0 || at(page, "tasks", 0, "id").(float64) < 6000 {
			t.Errorf("%v tasks are kept, the latest is %v", page["kept"], at(page, "tasks", 0, "id"))
		}
		if got := getJSON(t, h, "/tasks.json?state=failed")["total"]; got != 100.0 {
			t.Errorf("%v failures", got)
		}
		if got := ids(t, h, "/tasks.json?name=long"); got != "0" {
			t.Errorf("the long one: %q", got)
		}
		// Failures don't drive everything else out. That is seen to when others come.
		for range 7 {
			for range 500 {
				antflow.Submit(context.Background(), e, func(context.Context) (int, error) {
					return 0, errors.New("no")
				}, antflow.TaskName("bad"))
			}
			time.Sleep(second)
		}
		page = getJSON(t, h, "/tasks.json?state=failed")
		if good := getJSON(t, h, "/tasks.json?state=succeeded")["total"].(float64); page["kept"] != 4096.0 ||
			good < 1500 || good > 2048 {
			t.Errorf("%v failures, %v others", page["total"], good)
		}
		e.Shutdown(context.Background(), antflow.CancelRunning())
	})
}

// Of those that wait, the first to come are kept, since they start first. One that
// overtakes them is there once it starts.
func TestStoreOfManyQueued(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx := context.Background()
		e := antflow.New(1)
		h := dashboard.Handler(dashboard.Executor(e))
		watch(t, h)
		time.Sleep(second / 8)
		antflow.Submit(ctx, e, nap(time.Hour))
		for range 10_000 {
			antflow.Submit(ctx, e, nap(time.Minute))
			time.Sleep(time.Millisecond) // not so many at a time that some are left out
		}
		urgent := antflow.Submit(ctx, e, nap(time.Minute), antflow.Priority(1)).ID()
		time.Sleep(second)
		page := getJSON(t, h, "/tasks.json")
		if page["kept"] != 4096.0 || at(page, "tasks", 0, "id") != 4095.0 ||
			ids(t, h, fmt.Sprint("/tasks.json?q=", urgent)) != "" {
			t.Errorf("%v are kept, the latest is %v", page["kept"], at(page, "tasks", 0, "id"))
		}
		e.Resize(2)
		time.Sleep(second)
		page = getJSON(t, h, "/tasks.json?limit=2")
		if page["kept"] != 4096.0 || at(page, "tasks", 0, "id") != float64(urgent) || at(page, "tasks", 1, "id") != 4094.0 {
			t.Errorf("%v are kept, the latest are %v", page["kept"], page["tasks"])
		}
		if attempts := getJSON(t, h, "/task.json?id=0")["attempts"].([]any); len(attempts) != 1 {
			t.Errorf("the first one has the attempts %v", attempts)
		}
		e.Shutdown(ctx, antflow.CancelRunning())
		synctest.Wait()
		if page := getJSON(t, h, "/tasks.json"); page["kept"] != 4096.0 {
			t.Errorf("%v are kept", page["kept"])
		}
	})
}

// Memory doesn't grow with the tasks, however long their names and errors are.
func TestMemoryIsFlat(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := antflow.New(4)
		h := dashboard.Handler(dashboard.Executor(e))
		p := watch(t, h)
		long := strings.Repeat("<script>äöü ", 1<<20/12)
		heap := func() uint64 {
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		run := func() {
			for i := range 5000 {
				name, text := long[:1000], long[:10_000]
				if i%500 == 0 {
					name, text = long, long
				}
				antflow.Submit(context.Background(), e, func(context.Context) (int, error) {
					return 0, errors.New(text[i:])
				},
					antflow.TaskName(name[i/100:]), antflow.Retries(1), antflow.RetryDelay(time.Millisecond))
				time.Sleep(time.Millisecond)
			}
			time.Sleep(second)
			p.take()
		}
		run()
		before := heap()
		run()
		// All that is kept is there already. One of the names is a megabyte.
		if after := heap(); after > before+4<<20 {
			t.Errorf("%d KiB became %d", before>>10, after>>10)
		}
		for _, target := range []string{"/tasks.json?limit=1000", "/snapshot.json", "/failures.json", "/metrics"} {
			if n := get(h, target).Body.Len(); n > 8<<20 {
				t.Errorf("%s has %d bytes", target, n)
			}
		}
	})
}

// At rates at which nobody could follow, some tasks are left out, but no figure is
// wrong and rare failures are there.
func TestLoadIsShed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := antflow.New(1)
		h := dashboard.Handler(dashboard.Executor(e))
		p := watch(t, h)
		p.hello(t)
		ctx := context.Background()
		for range 12 { // 4 times 8000 tasks a second
			for range 8000 {
				antflow.Submit(ctx, e, func(context.Context) (int, error) { return 0, nil })
			}
			antflow.Submit(ctx, e, func(context.Context) (int, error) { return 0, errors.New("rare") },
				antflow.TaskName("rare"))
			settle(e)
			time.Sleep(second / 4)
		}
		if got := getJSON(t, h, "/tasks.json?state=failed")["total"]; got != 12.0 {
			t.Errorf("%v failures", got)
		}
		ticks := of(p.read(t), "tick")
		if got := at(ticks[len(ticks)-1].data, "s", 0, "succeeded"); got != 96_000.0 {
			t.Errorf("%v succeeded", got)
		}
		// Once it is quiet, all of them are there again.
		time.Sleep(second)
		first := e.Stats().Submitted
		submit(t, e, 100, nap(time.Millisecond), antflow.TaskName("quiet"))
		if got := getJSON(t, h, "/tasks.json?name=quiet&state=succeeded")["total"]; got != 100.0 {
			t.Errorf("%v of 100 from %d on", got, first)
		}
	})
}
