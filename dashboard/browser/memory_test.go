package browser_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/antflow/antflow/dashboard"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/heapprofiler"
	"github.com/chromedp/cdproto/memory"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// object is JSON of any kind.
type object = map[string]any

// record returns the first of each kind of message that a dashboard sends.
func record(t *testing.T, url string) map[string]object {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 16<<20)
	found := make(map[string]object)
	for event := ""; len(found) < 3 && lines.Scan(); {
		if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
			event = name
		} else if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			var m object
			if err := json.Unmarshal([]byte(data), &m); err != nil {
				t.Fatal(err)
			}
			if event != "detail" || m["stream"] != nil && m["names"] != nil && m["failures"] != nil {
				found[event] = m
			}
		}
	}
	if len(found) < 3 {
		t.Fatalf("only %d kinds of messages came: %v", len(found), lines.Err())
	}
	return found
}

// A replay sends what a dashboard would in hours, as fast as the page takes it:
// with other tasks, names and failures each time.
type replay struct {
	http.Handler
	messages map[string]object
	more     chan int // ticks to send
	done     chan struct{}
}

func (p *replay) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.HasSuffix(r.URL.Path, "/events") {
		p.Handler.ServeHTTP(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	send := func(event string, m object) {
		data, _ := json.Marshal(m)
		fmt.Fprintf(w, "event: %s\ndata: %s\n\n", event, data)
		out.Flush()
	}
	send("hello", p.messages["hello"])
	begun := p.messages["tick"]["t"].(float64)
	for n := 0; ; {
		select {
		case <-r.Context().Done():
			return
		case more := <-p.more:
			for end := n + more; n < end; n++ {
				p.advance(begun, n)
				send("tick", p.messages["tick"])
				if n%8 == 0 {
					send("detail", p.messages["detail"])
				}
			}
			p.done <- struct{}{}
		}
	}
}

// advance turns the messages into those of another instant.
func (p *replay) advance(begun float64, n int) {
	tick := p.messages["tick"]
	now := begun + 250*float64(n)
	tick["t"] = now
	figures := tick["s"].([]any)[0].(object)
	figures["succeeded"] = figures["succeeded"].(float64) + 2500
	figures["failed"] = float64(n)
	detail := p.messages["detail"]
	for i, x := range detail["stream"].(object)["spans"].([]any) {
		span := x.([]any)
		span[1], span[2] = float64(n*400+i), fmt.Sprintf("task %d", n*40+i%40)
		span[3], span[4] = now-200-float64(i%50), now-float64(i%200)
	}
	for i, x := range detail["names"].([]any) {
		x.(object)["name"] = fmt.Sprintf("task %d", n*100+i)
	}
	for i, x := range detail["failures"].(object)["groups"].([]any) {
		x.(object)["key"] = fmt.Sprintf("key%d", n*20+i)
		x.(object)["text"] = fmt.Sprintf("error %d %s", n*20+i, strings.Repeat("x", 500))
	}
}

// widen gives a message as many names as there can be.
func widen(detail object) {
	names := detail["names"].([]any)
	for i := len(names); i < 100; i++ {
		names = append(names, maps.Clone(names[0].(object)))
	}
	detail["names"] = names
}

// use is what a page has.
type use struct {
	heap             float64 // MB
	nodes, listeners int64
}

func useOf(tb *tab) (u use) {
	tb.t.Helper()
	tb.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		if _, err := cdp.Call(ctx, t, heapprofiler.CollectGarbage, cdp.Empty{}); err != nil {
			return err
		}
		heap, err := cdp.Call(ctx, t, runtime.GetHeapUsage, cdp.Empty{})
		if err != nil {
			return err
		}
		dom, err := cdp.Call(ctx, t, memory.GetDOMCounters, cdp.Empty{})
		u = use{heap.UsedSize / (1 << 20), dom.Nodes, dom.JsEventListeners}
		return err
	}))
	return u
}

// The memory of a page doesn't grow with the time for which it is open: after
// 45 minutes of ticks it is what it was after 7, when the charts were full, though all names, tasks and errors were new ones.
func TestMemoryIsBounded(t *testing.T) {
	slow(t)
	t.Parallel()
	e := newExecutor(t, 8)
	h := dashboard.Handler(dashboard.Executor(e))
	ctx, cancel := context.WithCancel(context.Background())
	_, ended := flood(ctx, e, 5000)
	messages := record(t, newSite(t, h).url(mount+"events"))
	cancel()
	<-ended
	widen(messages["detail"])
	p := &replay{Handler: h, messages: messages, more: make(chan int), done: make(chan struct{})}
	tb := open(t, newSite(t, p), "")
	tb.unheard()
	views := []string{"#/overview", "#/tasks", "#/workers", "#/failures"}
	pass := func(ticks int) {
		t.Helper()
		for range 4 {
			for _, view := range views { // each of them draws what came
				p.more <- ticks / 16
				<-p.done
				tb.visit(view)
			}
		}
		tb.visit("#/overview")
		tb.untilText(counter("failed"), countOf(p.messages["tick"]["s"].([]any)[0].(object)["failed"].(float64)))
	}
	pass(1600)
	before := useOf(tb)
	pass(9600)
	after := useOf(tb)
	t.Logf("after 1600 ticks %+v, after 11200 %+v", before, after)
	// To keep all ticks, or the details of some, takes more than that.
	if after.heap > before.heap+1 || after.heap > 50 {
		t.Errorf("the heap is %.1f MB, and was %.1f MB", after.heap, before.heap)
	}
	if after.nodes > before.nodes*5/4+1000 || after.listeners > before.listeners+50 {
		t.Errorf("there are %d nodes and %d listeners, and were %d and %d", after.nodes, after.listeners, before.nodes, before.listeners)
	}
}

// countOf is how the page writes a number below 10,000.
func countOf(n float64) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%d,%03d", int(n)/1000, int(n)%1000)
}
