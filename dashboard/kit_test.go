package dashboard_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/testkit"
)

// get asks a handler for a page.
func get(h http.Handler, target string) *httptest.ResponseRecorder {
	return do(h, httptest.NewRequest("GET", target, nil))
}

func do(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// object is JSON that a test looks into.
type object = map[string]any

// getJSON is the object at a page.
func getJSON(t *testing.T, h http.Handler, target string) object {
	t.Helper()
	w := get(h, target)
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("%s: %d %q: %s", target, w.Code, w.Header().Get("Content-Type"), w.Body)
	}
	return decode(t, w.Body.Bytes())
}

func decode(t *testing.T, data []byte) object {
	t.Helper()
	var v object
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatalf("%v in %.200s", err, data)
	}
	return v
}

// at is what is in JSON at a path of keys and indexes; it panics if there is
// nothing of the kind.
func at(v any, path ...any) any {
	for _, p := range path {
		switch p := p.(type) {
		case string:
			v = v.(object)[p]
		case int:
			v = v.([]any)[p]
		}
	}
	return v
}

// values are the values of some keys of an object.
func values(v any, keys string) string {
	var texts []string
	for k := range strings.FieldsSeq(keys) {
		texts = append(texts, fmt.Sprint(v.(object)[k]))
	}
	return strings.Join(texts, " ")
}

// sameKeys checks that an object has exactly these keys.
func sameKeys(t *testing.T, what string, v any, keys string) {
	t.Helper()
	o, ok := v.(object)
	want := strings.Fields(keys)
	for _, k := range want {
		if _, there := o[k]; !there {
			t.Errorf("%s has no %q: %v", what, k, v)
		}
	}
	if !ok || len(o) != len(want) {
		t.Errorf("%s has %d keys, not %d: %v", what, len(o), len(want), v)
	}
}

// A page is a viewer in a bubble: a stream of events that is read as fast as it
// comes, unless it is stuck.
type page struct {
	cancel context.CancelFunc
	done   chan struct{} // closed when the handler has returned

	mu       sync.Mutex
	header   http.Header
	code     int
	data     []byte
	deadline time.Time
	stuck    bool
	pace     time.Duration // of a write
	broken   error         // of each write
}

// bubble runs a test with fake time. In the end nobody looks for a while.
func bubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	testkit.Bubble(t, func(t *testing.T) {
		t.Cleanup(func() { time.Sleep(afterwards) })
		test(t)
	})
}

// watch opens a stream, which is closed at the end of the test.
func watch(t *testing.T, h http.Handler) *page { return new(page).open(t, h) }

func (p *page) open(t *testing.T, h http.Handler) *page {
	t.Cleanup(func() { p.leave() })
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel, p.done, p.header = cancel, make(chan struct{}), make(http.Header)
	r := httptest.NewRequestWithContext(ctx, "GET", "/debug/antflow/events", nil)
	go func() {
		defer close(p.done)
		h.ServeHTTP(p, r)
	}()
	return p
}

// leave closes the stream.
func (p *page) leave() {
	p.cancel()
	<-p.done
}

func (p *page) Header() http.Header { return p.header }

func (p *page) WriteHeader(code int) { p.code = code }

// Write of a stuck page blocks as that to a connection nobody reads from.
func (p *page) Write(data []byte) (int, error) {
	p.mu.Lock()
	stuck, left := p.stuck, time.Until(p.deadline)
	if !stuck {
		p.data = append(p.data, data...)
	}
	p.mu.Unlock()
	switch {
	case p.broken != nil:
		return 0, p.broken
	case stuck:
		time.Sleep(left)
		return 0, os.ErrDeadlineExceeded
	case p.pace > 0:
		time.Sleep(p.pace)
	}
	return len(data), nil
}

func (p *page) FlushError() error { return nil }

func (p *page) SetWriteDeadline(d time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deadline = d
	return nil
}

// get stuck: nothing is read from now on.
func (p *page) getStuck() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stuck = true
}

// afterwards is after how long nothing is left of a stream.
const afterwards = 10*time.Second + 250*time.Millisecond

// A message is one of the stream.
type message struct {
	event string
	data  object
	raw   string
}

// take returns what was written so far, and forgets it.
func (p *page) take() []byte {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	data := p.data
	p.data = nil
	return data
}

// read returns the messages so far, and forgets them.
func (p *page) read(t *testing.T) []message {
	t.Helper()
	return parse(t, p.take())
}

func parse(t *testing.T, data []byte) []message {
	t.Helper()
	if len(data) == 0 {
		return nil
	}
	body, whole := bytes.CutSuffix(data, []byte("\n\n"))
	if !whole {
		t.Fatalf("the stream ends within a message: %.200s", data)
	}
	var messages []message
	for text := range strings.SplitSeq(string(body), "\n\n") {
		kind, raw, ok := strings.Cut(text, "\n")
		event, ok1 := strings.CutPrefix(kind, "event: ")
		raw, ok2 := strings.CutPrefix(raw, "data: ")
		if !ok || !ok1 || !ok2 || strings.Contains(raw, "\n") {
			t.Fatalf("no message: %.200s", text)
		}
		messages = append(messages, message{event, decode(t, []byte(raw)), raw})
	}
	return messages
}

// hello is the first message, which has to be the only one of its kind.
func (p *page) hello(t *testing.T) object {
	t.Helper()
	messages := p.read(t)
	if len(messages) == 0 || messages[0].event != "hello" {
		t.Fatalf("the stream begins with %v", messages)
	}
	for _, m := range messages[1:] {
		if m.event == "hello" {
			t.Fatal("there is a second hello")
		}
	}
	return messages[0].data
}

// of are the messages of a kind.
func of(messages []message, event string) []message {
	var found []message
	for _, m := range messages {
		if m.event == event {
			found = append(found, m)
		}
	}
	return found
}

// nap is a task that takes a while.
func nap(d time.Duration) func(context.Context) (int, error) {
	return func(ctx context.Context) (int, error) {
		time.Sleep(d)
		return 0, nil
	}
}

// submit has n tasks run, and waits for them.
func submit(t *testing.T, e *antflow.Executor, n int, fn func(context.Context) (int, error), opts ...antflow.TaskOption) {
	t.Helper()
	for range n {
		antflow.Submit(context.Background(), e, fn, opts...)
	}
	settle(e)
}

// settle waits until nothing is left to do, and the observers were told.
func settle(e *antflow.Executor) {
	d := time.Millisecond
	for s := e.Stats(); s.Queued+s.Running+s.Waiting+s.Blocked > 0; s = e.Stats() {
		time.Sleep(d) // in a bubble
		d = min(2*d, time.Second)
	}
	synctest.Wait()
}

// mustPanic checks the text that fn panics with.
func mustPanic(t *testing.T, text string, fn func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if v := recover(); v != text {
			t.Errorf("panic %v, not %q", v, text)
		}
	}()
	fn()
}
