package dashboard_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/dashboard"
)

const second = time.Second

// The first message has all there is, so that a page is complete at once.
func TestHello(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := antflow.New(2, antflow.ExecutorName("crawl"), antflow.QueueLimit(100))
		h := dashboard.Handler(dashboard.Executor(e), dashboard.Executor(antflow.New(1)), dashboard.Title("my <title>"))
		submit(t, e, 4, nap(second), antflow.TaskName("nap"))
		antflow.Submit(context.Background(), e, func(context.Context) (int, error) {
			return 0, errors.New("no such host 17")
		}, antflow.TaskName("fetch"))
		settle(e)
		antflow.Submit(context.Background(), e, func(ctx context.Context) (int, error) {
			antflow.SetStatus(ctx, "page 3 of 9")
			return nap(time.Minute)(ctx)
		}, antflow.TaskName("long"))
		time.Sleep(second / 2)

		p := watch(t, h)
		hello := p.hello(t)
		sameKeys(t, "hello", hello, "title actions interval now boot sources ticks detail")
		if hello["title"] != "my <title>" || hello["actions"] != false || hello["interval"] != 250.0 ||
			hello["now"] != float64(time.Now().UnixMilli()) {
			t.Errorf("%v", hello)
		}
		if b, _ := hello["boot"].(string); len(b) != 16 {
			t.Errorf("boot: %v", b)
		}
		if s := fmt.Sprint(hello["sources"]); s != "[map[kind:executor name:crawl] map[kind:executor name:executor 2]]" {
			t.Errorf("sources: %s", s)
		}
		if ticks := hello["ticks"].([]any); len(ticks) != 1 {
			t.Errorf("%d ticks", len(ticks))
		}
		figures := at(hello, "ticks", 0, "s", 0)
		sameKeys(t, "figures", figures,
			"max workers running blocked queued waiting submitted succeeded failed canceled retries rejected limit lost rate q r eta")
		if values(figures, "max running submitted succeeded failed limit rate") != "2 1 6 4 1 100 <nil>" {
			t.Errorf("%v", figures)
		}
		if details := hello["detail"].([]any); len(details) != 2 {
			t.Errorf("%d details", len(details))
		}
		d := at(hello, "detail", 0)
		sameKeys(t, "detail", d, "s names workers failures")
		sameKeys(t, "name", at(d, "names", 0), "name submitted succeeded failed canceled retries running q r")
		if at(d, "names", 0, "name") != "nap" || at(d, "names", 0, "submitted") != 4.0 {
			t.Errorf("%v", at(d, "names"))
		}
		if r := at(d, "names", 0, "r").([]any); len(r) != 3 || r[0].(float64) < 700 || r[2].(float64) > 1000 {
			t.Errorf("the running times are %v", r)
		}
		sameKeys(t, "workers", at(d, "workers"), "total rows")
		row := at(d, "workers", "rows", 0)
		sameKeys(t, "row", row, "w id name attempt blocked since status stuck")
		since := float64(time.Now().Add(-second / 2).UnixMilli())
		if at(d, "workers", "total") != 1.0 ||
			values(row, "w id name attempt status stuck") != "0 5 long 1 page 3 of 9 false" || at(row, "since") != since {
			t.Errorf("%v", row)
		}
		sameKeys(t, "failures", at(d, "failures"), "failed groups")
		group := at(d, "failures", "groups", 0)
		sameKeys(t, "group", group, "key name kind failed retried first last text")
		if values(group, "name kind text failed") != "fetch no such host # no such host 17 1" {
			t.Errorf("%v", group)
		}
		sameKeys(t, "the idle one's", at(hello, "detail", 1), "s names workers failures")

		// The next viewer has what the first one was told of, no matter how.
		time.Sleep(3*second + second/8)
		first := of(p.read(t), "tick")
		q := watch(t, h)
		hello = q.hello(t)
		ticks := hello["ticks"].([]any)
		if len(ticks) != 13 || len(first) != 12 || fmt.Sprint(ticks[12]) != fmt.Sprint(any(first[11].data)) {
			t.Errorf("%d ticks, after %d: %v", len(ticks), len(first), ticks[len(ticks)-1])
		}
		settle(e)
	})
}

// Four times a second there are figures, of that quarter.
func TestTicks(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := antflow.New(4)
		h := dashboard.Handler(dashboard.Executor(e))
		p := watch(t, h)
		p.hello(t)
		start := time.Now()
		time.Sleep(10 * time.Millisecond) // so that no task ends at the instant of a tick
		for range 4000 {
			antflow.Submit(context.Background(), e, nap(50*time.Millisecond)) // 80 a second
		}
		time.Sleep(20*second + second/8)
		ticks := of(p.read(t), "tick")
		if len(ticks) != 80 {
			t.Fatalf("%d ticks in 20 seconds", len(ticks))
		}
		for i, m := range ticks {
			sameKeys(t, "tick", m.data, "t s")
			if want := float64(start.Add(time.Duration(i+1) * second / 4).UnixMilli()); m.data["t"] != want {
				t.Errorf("tick %d at %v, not %v", i, m.data["t"], want)
			}
		}
		s := at(ticks[79].data, "s", 0)
		if rate := at(s, "rate").(float64); rate != 80 {
			t.Errorf("rate %v", rate)
		}
		// 20 seconds at 80 a second are done, so there are 30 more to come.
		if eta := at(s, "eta").(float64); eta < 29_500 || eta > 30_500 {
			t.Errorf("eta %v", eta)
		}
		if q := at(s, "q", 0).(float64); q < 20_000*3/4 || q > 20_000 {
			t.Errorf("those that started in the last quarter have waited for %v", q)
		}
		if r := at(s, "r", 2).(float64); r < 50*3/4 || r > 50 {
			t.Errorf("p99 of running: %v", r)
		}
		time.Sleep(31 * second)
		ticks = of(p.read(t), "tick")
		if s := at(ticks[len(ticks)-1].data, "s", 0); at(s, "rate") != 0.0 || at(s, "q") != nil ||
			at(s, "r") != nil || at(s, "eta") != nil || at(s, "succeeded") != 4000.0 {
			t.Errorf("at rest: %v", s)
		}
	})
}

// Only what has changed is told again.
func TestDetailsAreNews(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := antflow.New(4)
		p := watch(t, dashboard.Handler(dashboard.Executor(e)))
		p.hello(t)
		time.Sleep(5*second + second/8)
		if d := of(p.read(t), "detail"); len(d) > 0 {
			t.Errorf("nothing has changed: %v", d)
		}
		antflow.Submit(context.Background(), e, nap(2*second), antflow.TaskName("nap"))
		time.Sleep(second)
		d := of(p.read(t), "detail")
		if len(d) != 1 {
			t.Fatalf("%v", d)
		}
		sameKeys(t, "a start", d[0].data, "s names workers")
		time.Sleep(2 * second)
		d = of(p.read(t), "detail")
		if len(d) != 1 {
			t.Fatalf("%v", d)
		}
		sameKeys(t, "an end", d[0].data, "s names workers stream")
	})
}

// The task stream has each attempt that ended, or a fair sample of them.
func TestStream(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := antflow.New(3)
		h := dashboard.Handler(dashboard.Executor(e))
		p := watch(t, h)
		p.hello(t)
		begin := time.Now()
		tries := 0
		antflow.Submit(context.Background(), e, func(ctx context.Context) (int, error) {
			time.Sleep(100 * time.Millisecond)
			if tries++; tries == 1 {
				return 0, errors.New("not yet")
			}
			return 0, nil
		}, antflow.TaskName("try"), antflow.Retries(1), antflow.RetryDelay(50*time.Millisecond))
		canceled := antflow.Submit(context.Background(), e, func(ctx context.Context) (int, error) {
			<-ctx.Done()
			return 0, ctx.Err()
		}, antflow.TaskName("cancel"))
		antflow.Submit(context.Background(), e, func(context.Context) (int, error) { panic("boom") },
			antflow.TaskName("fail"))
		never := antflow.New(1)
		antflow.Submit(context.Background(), e, nap(0), antflow.WithRateLimit(noLimit{}), antflow.TaskName("none")).Cancel()
		time.Sleep(10 * time.Millisecond)
		canceled.Cancel()
		never.Close()
		time.Sleep(second)
		var spans []string
		for _, m := range of(p.read(t), "detail") {
			stream, ok := m.data["stream"]
			if !ok {
				continue
			}
			sameKeys(t, "stream", stream, "skipped spans")
			for _, s := range at(stream, "spans").([]any) {
				ms := func(i int) float64 { return at(s, i).(float64) - float64(begin.UnixMilli()) }
				spans = append(spans, fmt.Sprintf("w%v id%v %v %v-%v %v %v", at(s, 0), at(s, 1), at(s, 2), ms(3),
					ms(4), at(s, 5), at(s, 6)))
			}
		}
		want := []string{
			"w2 id2 fail 0-0 failed 1",
			"w1 id1 cancel 0-10 canceled 1",
			"w0 id0 try 0-100 retrying 1",
			"w0 id0 try 150-250 succeeded 2",
		}
		if strings.Join(spans, "\n") != strings.Join(want, "\n") {
			t.Errorf("the stream is\n%s", strings.Join(spans, "\n"))
		}
	})
}

// noLimit never lets anybody through.
type noLimit struct{}

func (noLimit) Wait(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

func TestStreamIsSampled(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const workers, n = 8, 20_000
		e := antflow.New(workers)
		h := dashboard.Handler(dashboard.Executor(e))
		p := watch(t, h)
		p.hello(t)
		start := float64(time.Now().UnixMilli())
		submit(t, e, n, nap(time.Millisecond))
		time.Sleep(second)
		total, messages, early := 0.0, 0, 0
		byWorker := map[any]int{}
		for _, m := range of(p.read(t), "detail") {
			stream, ok := m.data["stream"]
			if !ok {
				continue
			}
			spans := at(stream, "spans").([]any)
			if len(spans) > 400 {
				t.Errorf("%d spans in one message", len(spans))
			}
			last := 0.0
			for _, s := range spans {
				if end := at(s, 4).(float64); end < last {
					t.Error("the spans are not in order")
				} else {
					last = end
				}
				byWorker[at(s, 0)]++
				if math.Mod(at(s, 4).(float64)-start, 500) < 250 {
					early++
				}
			}
			total += at(stream, "skipped").(float64) + float64(len(spans))
			messages++
		}
		if total != n {
			t.Errorf("%v attempts, not %d", total, n)
		}
		// All workers do the same in lockstep, so all have about as many.
		for w := range workers {
			if share := float64(byWorker[float64(w)]) / float64(messages); share < 25 || share > 75 {
				t.Errorf("worker %d has %v spans a message", w, share)
			}
		}
		// Each message is of half a second, and has as many of both halves of that.
		if share := float64(early) / float64(messages*400); share < 0.4 || share > 0.6 {
			t.Errorf("%v of the spans are of the first half of their time", share)
		}
		if spans := at(watch(t, h).hello(t), "detail", 0, "stream", "spans").([]any); len(spans) != 1000 {
			t.Errorf("%d spans for a new viewer", len(spans))
		}
	})
}

// A worker is stuck that takes ten times longer than others of its name do.
func TestStuck(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := antflow.New(4)
		h := dashboard.Handler(dashboard.Executor(e))
		submit(t, e, 20, nap(3*second), antflow.TaskName("usual"))
		submit(t, e, 20, nap(second/4), antflow.TaskName("usual"))
		submit(t, e, 20, nap(second/2), antflow.TaskName("quick"))
		start := time.Now()
		for _, name := range []string{"usual", "quick", "new"} {
			antflow.Submit(context.Background(), e, nap(time.Minute), antflow.TaskName(name))
		}
		stuck := func() string {
			text := ""
			for _, row := range at(getJSON(t, h, "/snapshot.json"), "sources", 0, "tasks", "rows").([]any) {
				if at(row, "stuck").(bool) {
					text += at(row, "name").(string) + " "
				}
			}
			return text
		}
		for _, tt := range []struct {
			after time.Duration
			want  string
		}{{9 * second, ""}, {11 * second, "quick "}, {29 * second, "quick "}, {31 * second, "usual quick "}} {
			time.Sleep(time.Until(start.Add(tt.after)))
			// 3 seconds are known to within a quarter.
			if got := stuck(); got != tt.want && tt.after != 29*second {
				t.Errorf("after %v %q are stuck", tt.after, got)
			}
		}
		settle(e)
	})
}

// Of many workers those are shown that have worked the longest.
func TestManyWorkers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const n = 1000
		e := antflow.New(n)
		h := dashboard.Handler(dashboard.Executor(e))
		start := time.Now()
		// In the end each worker has one of the later tasks, which began in another
		// order than that of the workers, one each millisecond.
		for _, i := range rand.Perm(n) {
			antflow.Submit(context.Background(), e, nap(time.Duration(i+1)*time.Millisecond))
		}
		for range n {
			antflow.Submit(context.Background(), e, nap(time.Minute))
		}
		time.Sleep(2 * second)
		workers := at(watch(t, h).hello(t), "detail", 0, "workers")
		rows := at(workers, "rows").([]any)
		if at(workers, "total") != float64(n) || len(rows) != 200 {
			t.Fatalf("%v workers, %d shown", at(workers, "total"), len(rows))
		}
		for i, row := range rows {
			if want := float64(start.UnixMilli() + int64(i) + 1); at(row, "since") != want {
				t.Fatalf("row %d is since %v, not %v", i, at(row, "since"), want)
			}
		}
		settle(e)
	})
}
