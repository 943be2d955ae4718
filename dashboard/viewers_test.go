package dashboard_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/dashboard"
)

// goroutines is how many there are in this bubble, once all of them wait. Outside
// there may be samplers of other tests, which the real clock will end.
func goroutines(t *testing.T) int {
	t.Helper()
	synctest.Wait()
	buf := make([]byte, 8<<20)
	own := regexp.MustCompile(`synctest bubble \d+\]`).Find(buf[:runtime.Stack(buf, false)])
	n := runtime.Stack(buf, true)
	if own == nil || n == len(buf) {
		t.Fatalf("the stacks have %d bytes", n)
	}
	return bytes.Count(buf[:n], own)
}

// Nothing runs until somebody looks, and nothing ten seconds after.
func TestSamplerComesAndGoes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		before := goroutines(t)
		h := newHandler()
		getJSON(t, h, "/snapshot.json")
		getJSON(t, h, "/tasks.json")
		time.Sleep(time.Hour)
		if n := goroutines(t) - before; n != 0 {
			t.Fatalf("%d goroutines at rest", n)
		}
		p := watch(t, h)
		time.Sleep(5 * second)
		if n := goroutines(t) - before; n != 2 {
			t.Errorf("%d goroutines with a viewer", n)
		}
		p.leave()
		time.Sleep(10 * second)
		if n := goroutines(t) - before; n != 1 {
			t.Errorf("%d goroutines in the grace", n)
		}
		time.Sleep(second / 4)
		if n := goroutines(t) - before; n != 0 {
			t.Errorf("%d goroutines after it", n)
		}
		if ticks := watch(t, h).hello(t)["ticks"].([]any); len(ticks) != 1 {
			t.Errorf("the history of those before is still there: %d ticks", len(ticks))
		}
	})
}

// A page that connects again within the grace finds its history, without a gap.
func TestReconnect(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := newHandler()
		p := watch(t, h)
		time.Sleep(5*second + second/8)
		for range 10 {
			p.leave()
			time.Sleep(9 * second)
			p = watch(t, h)
			time.Sleep(second / 4)
			p.hello(t)
		}
		ticks := watch(t, h).hello(t)["ticks"].([]any)
		if want := 1 + (5+10*9)*4 + 10; len(ticks) != want {
			t.Errorf("%d ticks, not %d", len(ticks), want)
		}
		for i := 1; i < len(ticks); i++ {
			if gap := at(ticks[i], "t").(float64) - at(ticks[i-1], "t").(float64); gap != 250 {
				t.Fatalf("%v ms between two ticks", gap)
			}
		}
	})
}

// All viewers share one sampler, and are told the same.
func TestManyViewers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const n = 200
		e := antflow.New(4)
		h := dashboard.Handler(dashboard.Executor(e))
		before := goroutines(t)
		pages := make([]*page, n)
		for i := range pages {
			pages[i] = watch(t, h)
			time.Sleep(20 * time.Millisecond) // fewer than are greeted
		}
		if got := goroutines(t) - before; got != n+1 {
			t.Errorf("%d goroutines for %d viewers", got, n)
		}
		for range 400 {
			antflow.Submit(context.Background(), e, nap(100*time.Millisecond))
		}
		time.Sleep(second / 8)
		for _, p := range pages {
			if data := p.take(); !bytes.HasPrefix(data, []byte("event: hello\n")) {
				t.Fatalf("the stream begins with %.100s", data)
			}
		}
		time.Sleep(10 * second)
		want := pages[0].take()
		if m := parse(t, want); len(of(m, "tick")) != 40 || len(of(m, "detail")) < 19 {
			t.Errorf("%d messages", len(m))
		}
		for i, p := range pages[1:] {
			if got := p.take(); !bytes.Equal(got, want) {
				t.Fatalf("viewer %d was told %.200s", i, got)
			}
		}
	})
}

// Who joins at any instant has each tick once: in the first message, or after.
func TestNoTickIsMissed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := newHandler()
		watch(t, h)
		for range 40 {
			p := watch(t, h)
			time.Sleep(2 * second)
			messages := p.read(t)
			var times []float64
			for _, tick := range messages[0].data["ticks"].([]any) {
				times = append(times, at(tick, "t").(float64))
			}
			for _, m := range of(messages, "tick") {
				times = append(times, m.data["t"].(float64))
			}
			for i := 1; i < len(times); i++ {
				if times[i]-times[i-1] != 250 {
					t.Fatalf("%v ms between two ticks", times[i]-times[i-1])
				}
			}
		}
	})
}

// A viewer that doesn't read is dropped in time, and no other one notices.
func TestStuckViewer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := newHandler()
		good, never, later := watch(t, h), &page{stuck: true}, watch(t, h)
		never.open(t, h)
		good.hello(t)
		later.hello(t)
		start := time.Now()
		<-never.done
		if d := time.Since(start); d != 10*second {
			t.Errorf("one that never reads is there for %v", d)
		}
		good.read(t)
		later.getStuck()
		start = time.Now()
		<-later.done
		if d := time.Since(start); d < 10*second || d > 11*second {
			t.Errorf("one that stops to read is there for %v", d)
		}
		time.Sleep(second / 8)
		if n := len(of(good.read(t), "tick")); n < 40 || n > 44 {
			t.Errorf("the other one has %d ticks", n)
		}
	})
}

// One that reads, but too slowly, is dropped when it is ten seconds behind, not
// only when a write fails.
func TestSlowViewer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := newHandler()
		good, slow := watch(t, h), &page{pace: 2 * second}
		slow.open(t, h)
		good.hello(t)
		start := time.Now()
		<-slow.done
		// It takes one message in two seconds while there are eight or more.
		if d := time.Since(start); d < 9*second || d > 20*second {
			t.Errorf("it was there for %v", d)
		}
		if n := len(of(good.read(t), "tick")); n < 9*4 {
			t.Errorf("the other one has %d ticks", n)
		}
	})
}

// The same holds within a long message, such as the first one.
func TestSlowViewerOfLongMessage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := newHandler()
		watch(t, h)
		time.Sleep(5 * time.Minute)
		slow := &page{pace: 8 * second} // of 32 KiB
		start := time.Now()
		slow.open(t, h)
		<-slow.done
		if d := time.Since(start); d < 9*second || d > 25*second {
			t.Errorf("it was there for %v", d)
		}
		if data := slow.take(); bytes.HasSuffix(data, []byte("\n\n")) {
			t.Errorf("it got the whole message of %d bytes", len(data))
		}
	})
}

// A stream is ended by an error of the connection.
func TestBrokenConnection(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := &page{broken: errors.New("connection reset by peer")}
		p.open(t, newHandler())
		synctest.Wait()
		select {
		case <-p.done:
		default:
			t.Error("it goes on")
		}
	})
}

// Pages that come and go, all at the same time, leave nothing behind: the end
// of the bubble checks that, too.
func TestStorm(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := antflow.New(4)
		h := dashboard.Handler(dashboard.Executor(e))
		before := goroutines(t)
		for round := range 5 {
			pages := make([]*page, 300)
			for i := range pages {
				pages[i] = &page{stuck: i%17 == 0}
				pages[i].open(t, h)
				if rand.IntN(4) == 0 {
					pages[rand.IntN(i+1)].cancel()
				}
				if rand.IntN(10) == 0 {
					time.Sleep(time.Duration(1+rand.IntN(300)) * time.Millisecond)
				}
				antflow.Submit(context.Background(), e, nap(time.Millisecond))
			}
			for _, p := range pages {
				p.leave()
			}
			time.Sleep(time.Duration(round*6) * second) // less than the grace, and more
		}
		time.Sleep(afterwards)
		if n := goroutines(t) - before; n != 0 {
			t.Errorf("%d goroutines are left", n)
		}
	})
}

// Those who come when there are too many are told so.
func TestTooManyViewers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := newHandler()
		pages := make([]*page, 1024)
		for i := range pages {
			pages[i] = watch(t, h)
		}
		synctest.Wait()
		w := get(h, "/events")
		want := "antflow: too many viewers, or the server shuts down\n"
		if w.Code != http.StatusServiceUnavailable || w.Body.String() != want || w.Header().Get("Retry-After") != "10" {
			t.Errorf("%d %q", w.Code, w.Body)
		}
		time.Sleep(16 * second) // until all of them were greeted
		pages[7].leave()
		watch(t, h).hello(t)
	})
}

// Those who do nothing but reconnect get the first message, which is the
// largest, 16 times between two ticks, all together.
func TestGreetingsAreFew(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := newHandler()
		calm := watch(t, h)
		calm.hello(t)
		greeted := 0
		for round := range 8 { // of 250 ms each
			for range 40 {
				p := watch(t, h)
				if len(p.take()) > 0 {
					greeted++
				}
				p.leave()
			}
			if want := 16*(round+1) - 1; greeted != want {
				t.Fatalf("round %d: %d greetings, want %d", round, greeted, want)
			}
			time.Sleep(250 * time.Millisecond)
		}
		late := watch(t, h)
		late.hello(t)
		if n := len(calm.read(t)); n < 8 {
			t.Errorf("the other viewer got %d messages", n)
		}
	})
}

// The stream says what it is, and proxies that they are not to hold it back.
func TestStreamHeaders(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := watch(t, newHandler())
		p.hello(t)
		h := p.Header()
		if h.Get("Content-Type") != "text/event-stream" || h.Get("Cache-Control") != "no-store" ||
			h.Get("X-Accel-Buffering") != "no" {
			t.Errorf("%v", h)
		}
	})
}

// noFlush is a writer that can't stream, as some middleware has it.
type noFlush struct{ w *httptest.ResponseRecorder }

func (n noFlush) Header() http.Header            { return n.w.Header() }
func (n noFlush) WriteHeader(code int)           { n.w.WriteHeader(code) }
func (n noFlush) Write(data []byte) (int, error) { return n.w.Write(data) }

func TestWriterThatCantStream(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := httptest.NewRecorder()
		newHandler().ServeHTTP(noFlush{w}, httptest.NewRequest("GET", "/events", nil))
		want := "antflow: the server can't stream: the dashboard_test.noFlush that the handler was given has no Flush\n"
		if w.Code != http.StatusInternalServerError || w.Body.String() != want {
			t.Errorf("%d %q", w.Code, w.Body)
		}
		time.Sleep(afterwards)
	})
}

// An Error method that panics, or is a nuisance in another way, ends nothing.
func TestErrorsThatPanic(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := antflow.New(1)
		h := dashboard.Handler(dashboard.Executor(e))
		p := watch(t, h)
		p.hello(t)
		submit(t, e, 3, func(context.Context) (int, error) { return 0, angry{} }, antflow.TaskName("angry"))
		submit(t, e, 1, func(context.Context) (int, error) { return 0, errors.New(strings.Repeat("long ", 1e6)) },
			antflow.TaskName("long"))
		time.Sleep(second)
		if len(of(p.read(t), "tick")) == 0 {
			t.Error("the stream has ended")
		}
		tasks := getJSON(t, h, "/tasks.json?state=failed")["tasks"].([]any)
		if len(tasks) != 4 || at(tasks, 1, "error") != "(the Error method panicked)" {
			t.Errorf("%.500v", tasks)
		}
		if n := len(fmt.Sprint(at(tasks, 0, "error"))); n != 1024 {
			t.Errorf("%d bytes of an error", n)
		}
	})
}

type angry struct{}

func (angry) Error() string { panic("no text for you") }
