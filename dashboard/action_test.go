package dashboard_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/dashboard"
	"github.com/antflow/antflow/pipeline"
)

// post asks for an action, as the page does unless headers say otherwise.
func post(h http.Handler, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", "http://example.com/debug/antflow/action", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return do(h, r)
}

func always(*http.Request) bool { return true }

// wantAnswer checks an answer to post; the text is an error's unless the code is
// 200.
func wantAnswer(t *testing.T, w *httptest.ResponseRecorder, code int, text string) {
	t.Helper()
	want, kind := "antflow: "+text+"\n", "text/plain; charset=utf-8"
	if code == http.StatusOK {
		want, kind = `{"done":true}`, "application/json"
	}
	if w.Code != code || w.Body.String() != want || w.Header().Get("Content-Type") != kind {
		t.Errorf("%d %q %q, not %d %q", w.Code, w.Header().Get("Content-Type"), w.Body, code, want)
	}
}

// Nothing can be done unless it was allowed, each time.
func TestActionsAreRefused(t *testing.T) {
	e := antflow.New(1)
	const resize = `{"do":"resize","workers":4}`
	const refused = "actions are not allowed; see dashboard.AllowActions"
	wantAnswer(t, post(dashboard.Handler(dashboard.Executor(e)), resize), http.StatusForbidden, refused)
	asked := 0
	h := dashboard.Handler(dashboard.Executor(e), dashboard.AllowActions(func(r *http.Request) bool {
		asked++
		_, password, _ := r.BasicAuth()
		return password == "secret"
	}))
	wantAnswer(t, post(h, resize), http.StatusForbidden, refused)
	wantAnswer(t, post(h, resize, "Authorization", "Basic eDp3cm9uZw=="), http.StatusForbidden, refused)
	if e.MaxWorkers() != 1 {
		t.Fatal("it was done nevertheless")
	}
	wantAnswer(t, post(h, resize, "Authorization", "Basic eDpzZWNyZXQ="), http.StatusOK, "")
	if e.MaxWorkers() != 4 || asked != 3 {
		t.Errorf("%d workers; it was asked %d times", e.MaxWorkers(), asked)
	}
}

// Other sites can't make a browser act, and are refused before anybody is asked.
func TestActionsOfOtherSites(t *testing.T) {
	e := antflow.New(1)
	asked := 0
	h := dashboard.Handler(dashboard.Executor(e), dashboard.AllowActions(func(*http.Request) bool { asked++; return true }))
	const resize = `{"do":"resize","workers":4}`
	for _, headers := range [][]string{
		{"Sec-Fetch-Site", "cross-site"},
		{"Sec-Fetch-Site", "same-site"},
		{"Origin", "http://evil.example"},
		{"Origin", "null"},
		{"Origin", "http://example.com.evil.example"},
		{"Sec-Fetch-Site", "cross-site", "Origin", "http://example.com"},
	} {
		w := post(h, resize, headers...)
		if w.Code != http.StatusForbidden ||
			!strings.HasPrefix(w.Body.String(), "antflow: the request comes from another site: ") {
			t.Errorf("%q: %d %q", headers, w.Code, w.Body)
		}
	}
	// What a form may send without being asked is no action.
	for _, kind := range []string{"text/plain", "application/x-www-form-urlencoded",
		"multipart/form-data; boundary=x", ""} {
		w := post(h, resize, "Content-Type", kind)
		if w.Code != http.StatusUnsupportedMediaType {
			t.Errorf("%q: %d %q", kind, w.Code, w.Body)
		}
	}
	if e.MaxWorkers() != 1 || asked != 4 {
		t.Errorf("%d workers; it was asked %d times", e.MaxWorkers(), asked)
	}
	for _, headers := range [][]string{
		{"Sec-Fetch-Site", "same-origin", "Origin", "http://example.com"},
		{"Sec-Fetch-Site", "none"},
		{"Origin", "http://example.com"},
		{"Content-Type", "application/json; charset=utf-8"},
		{},
	} {
		wantAnswer(t, post(h, resize, headers...), http.StatusOK, "")
	}
}

// Nothing is canceled that was not named.
func TestCancelOfNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := antflow.New(1)
		defer e.Close()
		h := dashboard.Handler(dashboard.Executor(e), dashboard.AllowActions(func(*http.Request) bool { return true }))
		f := e.Go(t.Context(), func(ctx context.Context) error { time.Sleep(second); return ctx.Err() })
		synctest.Wait()
		w := post(h, `{"do": "cancel"}`)
		if want := "antflow: the id of the task to cancel is missing\n"; w.Code != http.StatusBadRequest || w.Body.String() != want {
			t.Errorf("%d %q", w.Code, w.Body)
		}
		if _, err := f.Result(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestBadActions(t *testing.T) {
	h := dashboard.Handler(dashboard.Executor(antflow.New(1)), dashboard.Pipeline("", new(pipeline.Monitor)),
		dashboard.AllowActions(always))
	for body, want := range map[string]string{
		``:                                  "the body is no action: EOF",
		`{`:                                 "the body is no action: unexpected EOF",
		`{}{}`:                              "the body is no action: there is more than one",
		`{"do":"resize","nr":1}`:            `the body is no action: json: unknown field "nr"`,
		`{"do":"resize"}`:                   "0 workers: the number must be from 1 to 1048576",
		`{"do":"resize","workers":-1}`:      "-1 workers: the number must be from 1 to 1048576",
		`{"do":"resize","workers":1048577}`: "1048577 workers: the number must be from 1 to 1048576",
		`{"do":"drain","source":2}`:         "source 2 is no number from 0 to 1",
		`{"do":"drain","source":-1}`:        "source -1 is no number from 0 to 1",
		`{}`:                                `"" is nothing that an executor can be asked for`,
		`{"do":"explode"}`:                  `"explode" is nothing that an executor can be asked for`,
		`{"do":"drain","source":1}`:         `"drain" is nothing that a pipeline can be asked for`,
		`{"do":"cancel","id":1,"source":1}`: `"cancel" is nothing that a pipeline can be asked for`,
	} {
		wantAnswer(t, post(h, body), http.StatusBadRequest, want)
	}
	if w := post(h, `{"do":"`+strings.Repeat("x", 1<<20)+`"}`); w.Code != http.StatusBadRequest || w.Body.Len() > 200 {
		t.Errorf("%d, %d bytes", w.Code, w.Body.Len())
	}
	wantAnswer(t, post(h, `{"do":"resize","workers":2,"source":1,"stage":"x"}`), http.StatusConflict,
		`pipeline: Resize("x", 2): the monitor has no run`)
	wantAnswer(t, post(h, `{"do":"cancel","id":7}`), http.StatusConflict, "task 7 has settled, or there is none")
}

func TestActions(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := antflow.New(1)
		m := new(pipeline.Monitor)
		h := dashboard.Handler(dashboard.Executor(e), dashboard.Pipeline("etl", m), dashboard.AllowActions(always))
		running := antflow.Submit(context.Background(), e, func(ctx context.Context) (int, error) {
			<-ctx.Done()
			return 0, ctx.Err()
		})
		queued := antflow.Submit(context.Background(), e, nap(time.Minute))
		for _, f := range []*antflow.Future[int]{queued, running} {
			wantAnswer(t, post(h, fmt.Sprintf(`{"do":"cancel","id":%d}`, f.ID())), http.StatusOK, "")
			time.Sleep(time.Millisecond)
			if f.State() != antflow.StateCanceled {
				t.Errorf("task %d: %v", f.ID(), f.State())
			}
			wantAnswer(t, post(h, fmt.Sprintf(`{"do":"cancel","id":%d}`, f.ID())), http.StatusConflict,
				fmt.Sprintf("task %d has settled, or there is none", f.ID()))
		}
		wantAnswer(t, post(h, `{"source":0,"do":"resize","workers":7}`), http.StatusOK, "")
		if e.MaxWorkers() != 7 {
			t.Errorf("%d workers", e.MaxWorkers())
		}

		stage := pipeline.Stage("parse", func(_ context.Context, x int) (int, error) {
			time.Sleep(time.Second)
			return x, nil
		})
		other := antflow.New(9)
		run := stage.Start(context.Background(), other, pipeline.WithMonitor(m))
		run.Feed(context.Background(), 1)
		wantAnswer(t, post(h, `{"source":1,"do":"resize","workers":5,"stage":"parse"}`), http.StatusOK, "")
		if n := m.Snapshot().Stages[0].Workers; n != 5 {
			t.Errorf("%d workers", n)
		}
		wantAnswer(t, post(h, `{"source":1,"do":"resize","workers":5,"stage":"pars"}`), http.StatusConflict,
			`pipeline: Resize("pars", 5): there is no stage of that name`)
		run.Close()

		accepted := antflow.Submit(context.Background(), e, nap(time.Minute))
		wantAnswer(t, post(h, `{"do":"drain"}`), http.StatusOK, "")
		refused := antflow.Submit(context.Background(), e, nap(time.Minute))
		settle(e)
		if accepted.State() != antflow.StateSucceeded || refused.Err() != antflow.ErrShutdown {
			t.Errorf("after a drain: %v, %v", accepted.State(), refused.Err())
		}
	})
}
