package embedded_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/cluster"
)

// These tests write messages that no client and no worker of this version does.

// subjects are those of a call with a key, of the session raw.
func subjects(task, key string) (input, result, attempt string) {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d:%s%s", len(task), task, key))
	id := "raw.k" + base64.RawURLEncoding.EncodeToString(sum[:16])
	return "antflow.default.task.default.p1." + id, "antflow.default.result." + id, "antflow.default.attempt." + id + ".1"
}

func publish(r *rig, js jetstream.JetStream, subject string, data string) {
	r.t.Helper()
	if _, err := js.PublishMsg(r.ctx, &nats.Msg{Subject: subject, Data: []byte(data)}); err != nil {
		r.t.Fatal(subject, ": ", err)
	}
}

// keep is a task that keeps a record of its calls.
func keep(name string, calls chan<- string) *antflow.Task[string, string] {
	return antflow.NewTask(name, func(_ context.Context, s string) (string, error) {
		calls <- s
		return s, nil
	}, antflow.Retries(3))
}

// Each of the messages fails its task, in words, and the worker goes on.
func TestContractStrangeTasks(t *testing.T) {
	r := newRig(t)
	_, js := r.raw()
	c := r.connect(cluster.Session("raw"))
	calls := make(chan string, 100)
	task := keep("task", calls)
	messages := []struct {
		data string
		err  error
		says string
	}{
		{"99 \"task\"\n\"x\"", cluster.ErrSchema, `"99"`},
		{"0 \"task\"\n\"x\"", cluster.ErrSchema, `"0"`},
		{"\"x\"", cluster.ErrSchema, ""},
		{"\x00\xff garbage", cluster.ErrSchema, ""},
		{"", cluster.ErrSchema, ""},
		{"\n\n\n", cluster.ErrSchema, ""},
		{"1 task\n\"x\"", cluster.ErrDecode, "task"},
		{"1\n\"x\"", cluster.ErrDecode, ""},
		{"1 \"who?\"\n\"x\"", cluster.ErrNoHandler, "who?"},
		{"1 \"task\"\n\"x", cluster.ErrDecode, "task"},
		{"1 \"task\"\n", cluster.ErrDecode, "task"},
		{"1 \"task\"", cluster.ErrDecode, "task"},
		{"1 \"task\" {\"retries\":-1}\n\"x\"", cluster.ErrDecode, "-1"},
		{"1 \"task\" nonsense\n\"x\"", cluster.ErrDecode, "first line"},
		{"1 \"task\" {\"codec\":\"morse\"}\n\"x\"", cluster.ErrDecode, `"morse"`},
		{"1 \"task\" {\"object\":\"nowhere\"}\n", nil, "not found"},
	}
	var fs []*antflow.Future[string]
	for i, m := range messages {
		key := fmt.Sprint("key ", i)
		input, _, _ := subjects("task", key)
		publish(r, js, input, m.data)
		fs = append(fs, task.Submit(r.ctx, c, "x", antflow.Key(key)))
	}
	r.flush(c)
	if s := r.status(c); s.Backlog != uint64(len(messages)) {
		t.Fatalf("%d tasks: the subjects are others by now", s.Backlog)
	}
	var log journal
	r.serve(handlers(task), cluster.Logger(log.logger()))
	for i, m := range messages {
		var is []error
		if m.err != nil {
			is = append(is, m.err)
		}
		if says(t, fail(r, fs[i], is...), m.says); t.Failed() {
			t.Fatalf("that was message %d: %q", i, m.data)
		}
	}
	get(r, task.Submit(r.ctx, c, "after"))
	if s := receive(r, calls); s != "after" || len(calls) > 0 {
		t.Errorf("the function was called with %q, and %d times more", s, len(calls))
	}
	r.until("an empty backlog", func() bool { return r.status(c).Backlog == 0 })
}

// Subjects that no task has, and words that no client says.
func TestContractStrangeSubjects(t *testing.T) {
	r := newRig(t)
	conn, js := r.raw()
	c := r.connect()
	var log journal
	calls := make(chan string, 100)
	task := keep("task", calls)
	for _, s := range []string{"task.default.p1.x", "task.default.p1.a.b.c", "task.default.p1.a.b", "attempt.x.y.z", "attempt.x", "result.x"} {
		m := &nats.Msg{Subject: "antflow.default." + s, Data: []byte("1 \"task\"\n?")}
		if _, err := js.PublishMsg(r.ctx, m); err != nil {
			t.Log(s, ": ", err) // the streams don't have it
		}
	}
	r.serve(handlers(task), cluster.Logger(log.logger()), cluster.Concurrency(1))
	for _, s := range []string{"cancel", "workers"} {
		for _, data := range []string{"", "?", "a.b", "\x00\xff", "{}", `[1,2]`} {
			if err := conn.PublishRequest("antflow.default."+s, conn.NewRespInbox(), []byte(data)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		get(r, task.Submit(r.ctx, c, fmt.Sprint(i)))
	}
	r.until("an empty backlog", func() bool { return r.status(c).Backlog == 0 })
	for i := range 10 {
		if s := receive(r, calls); s != fmt.Sprint(i) {
			t.Errorf("the function was called with %q", s)
		}
	}
	if n := strings.Count(log.String(), "\n"); n > 50 {
		t.Errorf("%d lines in the log: it goes round in circles", n)
	}
}

func TestContractStrangeResults(t *testing.T) {
	r := newRig(t)
	_, js := r.raw()
	calls := make(chan string, 100)
	task := keep("task", calls)
	for i, m := range []struct {
		data string
		err  error
		says string
	}{
		{"77 ok 1 0 0 \"w\"\n\"x\"", cluster.ErrSchema, `"77"`},
		{"\"x\"", cluster.ErrSchema, ""},
		{"", cluster.ErrSchema, ""},
		{"1 perhaps 1 0 0 \"w\"\n\"x\"", cluster.ErrDecode, "perhaps"},
		{"1\n\"x\"", cluster.ErrDecode, ""},
		{"1 ok 1 0 0 w\n\"x\"", cluster.ErrDecode, ""},
		{"1 ok 1 0 0 \"w\"\n\"x", cluster.ErrDecode, ""},
		{"1 ok 1 0 0 \"w\" {\"codec\":\"morse\"}\n\"x\"", cluster.ErrDecode, `"morse"`},
		{"1 error 1 0 0 \"w\"\n?", cluster.ErrDecode, ""},
		{"1 ok 1 0 0 \"w\"\n\"x\"", nil, ""},
		{"1 ok many nanoseconds ? \"w\"\n\"x\"", nil, ""},
		{"1 ok -1 -2 -3 \"w\"\n\"x\"", nil, ""},
	} {
		key := fmt.Sprint("key ", i)
		_, result, _ := subjects("task", key)
		c := r.connect(cluster.Session("raw")) // which waits while the result comes
		early := task.Submit(r.ctx, c, "x", antflow.Key(key))
		r.flush(c)
		publish(r, js, result, m.data)
		late := task.Submit(r.ctx, r.connect(cluster.Session("raw")), "x", antflow.Key(key)) // and one that finds it
		for _, f := range []*antflow.Future[string]{early, late} {
			if m.err == nil && m.says == "" {
				if v := get(r, f); v != "x" {
					t.Errorf("%d: %q", i, v)
				}
				continue
			}
			var is []error
			if m.err != nil {
				is = append(is, m.err)
			}
			if says(t, fail(r, f, is...), m.says); t.Failed() {
				t.Fatalf("that was message %d: %q", i, m.data)
			}
		}
	}
}

// A result whose payload is an object that isn't there any more: no future may
// wait for it for ever.
func TestContractResultObjectMissing(t *testing.T) {
	r := newRig(t)
	ctx, cancel := context.WithTimeout(r.ctx, 10*time.Second)
	t.Cleanup(cancel)
	r.ctx = ctx
	_, js := r.raw()
	_, result, _ := subjects("echo", "k")
	c := r.connect(cluster.Session("raw"))
	f := echo[string]("echo").Submit(r.ctx, c, "x", antflow.Key("k"))
	r.flush(c)
	publish(r, js, result, "1 ok 1 0 0 \"w\" {\"object\":\"nowhere\"}\n")
	says(t, fail(r, f), "not found")
}

// Notes of attempts that make no sense don't keep a task from its end.
func TestContractStrangeMarks(t *testing.T) {
	r := newRig(t)
	_, js := r.raw()
	c := r.connect(cluster.Session("raw"))
	calls := make(chan string, 100)
	task := keep("task", calls)
	var fs []*antflow.Future[string]
	for i, data := range []string{
		`?`,
		``,
		`{}`,
		`{"kind":"odd","n":-3,"attempts":-7}`,
		`{"kind":"failed","n":1,"attempts":-7}`,
		`{"kind":"failed","n":1,"attempts":2,"failed":-7,"crashed":-1}`,
		`{"kind":"began","n":9223372036854775807,"attempts":9223372036854775807}`,
	} {
		key := fmt.Sprint("key ", i)
		_, _, attempt := subjects("task", key)
		publish(r, js, attempt, data)
		// With a queue timeout the worker looks at the notes first.
		fs = append(fs, task.Submit(r.ctx, c, "x", antflow.Key(key), antflow.QueueTimeout(time.Hour)))
	}
	r.flush(c)
	r.serve(handlers(task), cluster.Lease(time.Second))
	for i, f := range fs {
		select {
		case <-f.Done():
			if err := f.Err(); err != nil {
				says(t, err)
			}
		case <-r.ctx.Done():
			t.Fatalf("%d: %v waits for ever", i, f)
		}
	}
	get(r, task.Submit(r.ctx, c, "after"))
}
