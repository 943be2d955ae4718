package cluster_test

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"math"
	"net/textproto"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/cluster"
)

// crossed are headers as they come out of the broker: nats.go takes the white
// space around a value off, and makes spaces of line breaks.
func crossed(h nats.Header) nats.Header {
	h = maps.Clone(h)
	for name, values := range h {
		values = slices.Clone(values)
		for i, v := range values {
			values[i] = strings.NewReplacer("\r", " ", "\n", " ").Replace(textproto.TrimString(v))
		}
		h[name] = values
	}
	return h
}

var place, _ = cluster.ParsePlace("antflow.n.task.q.p1.s.i")

// otherCodec is one that has to be named.
type otherCodec struct{ cluster.Codec }

func (otherCodec) Name() string { return "other" }

func TestTaskMessage(t *testing.T) {
	backoff := antflow.RetryBackoff(func(int, error) time.Duration { return 0 })
	for name, test := range map[string]struct {
		task    string
		codec   cluster.Codec
		opts    []antflow.TaskOption
		want    cluster.WireOptions
		headers int
	}{
		"usual":       {"resize", cluster.JSON, nil, cluster.WireOptions{Retries: 0}, 2},
		"gob":         {"resize", cluster.Gob, nil, cluster.WireOptions{}, 3},
		"other codec": {"resize", otherCodec{cluster.JSON}, nil, cluster.WireOptions{}, 3},
		"key":         {"resize", cluster.JSON, []antflow.TaskOption{antflow.Key("ä\n\x00\xff")}, cluster.WireOptions{}, 3},
		"not the worker's": {"resize", cluster.JSON, []antflow.TaskOption{antflow.NonBlocking(), antflow.Queue("q"), antflow.RetryDelay(time.Hour)},
			cluster.WireOptions{}, 2},
		"all": {"resize", cluster.JSON, []antflow.TaskOption{
			antflow.TaskName("ä <cat>.jpg\n"), antflow.Retries(math.MaxInt32), antflow.RetryDelay(math.MaxInt64),
			antflow.Timeout(1), antflow.QueueTimeout(time.Hour), antflow.Priority(math.MinInt32),
		}, cluster.WireOptions{
			Label: "ä <cat>.jpg\n", Retries: math.MaxInt32, RetryDelay: math.MaxInt64,
			Timeout: 1, QueueTimeout: time.Hour, Priority: math.MinInt32,
		}, 3},
		"default delay": {"resize", cluster.JSON, []antflow.TaskOption{antflow.Retries(1)},
			cluster.WireOptions{Retries: 1, RetryDelay: 100 * time.Millisecond}, 3},
		"schedule": {"resize", cluster.JSON, []antflow.TaskOption{antflow.Retries(1), backoff},
			cluster.WireOptions{Retries: 1, Backoff: true}, 3},
		"schedule for nothing": {"resize", cluster.JSON, []antflow.TaskOption{backoff}, cluster.WireOptions{}, 2},
		"strange name":         {" a\r\nNats-Msg-Id: x\x00\xff\u2028'\"` ", cluster.JSON, nil, cluster.WireOptions{}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			s := antflow.SettingsOf(append([]antflow.TaskOption{antflow.TaskName(test.task)}, test.opts...)...)
			m := cluster.NewTaskMessage("subject", test.task, &s, test.codec)
			if len(m.Header) != test.headers || m.Subject != "subject" || m.Header.Get(cluster.HeaderExpect) != "0" {
				t.Errorf("the message: %+v", m)
			}
			got, err := cluster.ParseTask(place, crossed(m.Header), []byte("payload"))
			if err != nil || got.Name != test.task || got.Codec != test.codec.Name() || got.Options != test.want {
				t.Errorf("%+v, %v", got, err)
			}
			if string(got.Payload) != "payload" || got.Object != "" {
				t.Errorf("%+v", got)
			}
		})
	}
}

// What another version, or somebody else, may have written is refused with a
// text that says why.
func TestTaskOfAnotherVersion(t *testing.T) {
	const name = cluster.Schema + ` "resize"`
	for _, test := range []struct {
		task, options string
		is            error
		says          string
	}{
		{"", "", cluster.ErrSchema, `a task of schema ""`},
		{"2 \"resize\"", "", cluster.ErrSchema, `a task of schema "2", and this worker knows "1"`},
		{`"resize"`, "", cluster.ErrSchema, `schema "\"resize\""`},
		{strings.Repeat("9", 1<<20), "", cluster.ErrSchema, "999"},
		{cluster.Schema, "", cluster.ErrDecode, cluster.HeaderTask},
		{cluster.Schema + " resize", "", cluster.ErrDecode, cluster.HeaderTask},
		{name, "{", cluster.ErrDecode, cluster.HeaderOptions},
		{name, "[]", cluster.ErrDecode, cluster.HeaderOptions},
		{name, `{"retries":1.5}`, cluster.ErrDecode, "retries"},
		{name, `{"retries":-1}`, cluster.ErrDecode, `negative number: {"retries":-1}`},
		{name, `{"delay":-1}`, cluster.ErrDecode, "negative"},
		{name, `{"timeout":-1}`, cluster.ErrDecode, "negative"},
		{name, `{"queueTimeout":-1}`, cluster.ErrDecode, "negative"},
		{name, `{"timeout":1e30}`, cluster.ErrDecode, "timeout"},
	} {
		h := nats.Header{}
		if test.task != "" {
			h.Set(cluster.HeaderTask, test.task)
		}
		if test.options != "" {
			h.Set(cluster.HeaderOptions, test.options)
		}
		_, err := cluster.ParseTask(place, h, nil)
		if !errors.Is(err, test.is) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%.40q, %q: %v", test.task, test.options, err)
		}
		if n := strings.Count(err.Error(), "antflow: "); n != 1 || len(err.Error()) > 2*cluster.MostErrorText {
			t.Errorf("the prefix %d times in %d bytes: %.80s", n, len(err.Error()), err)
		}
	}
	// Headers that are unknown are no reason to refuse a task, nor are options.
	h := nats.Header{"Antflow-New": {"x"}, cluster.HeaderTask: {name}, cluster.HeaderOptions: {`{"new": [1], "priority": 7}`}}
	if got, err := cluster.ParseTask(place, h, nil); err != nil || got.Options != (cluster.WireOptions{Priority: 7}) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestResultMessage(t *testing.T) {
	for _, want := range []cluster.Outcome{
		{End: cluster.EndOK},
		{End: "error", Attempts: math.MaxInt32, Queued: math.MaxInt64, Ran: 1, Worker: "host-1"},
		{End: "canceled", Worker: "a name  with spaces 1 2 3"},
		{End: cluster.EndOK, Attempts: 1, Ran: time.Second, Worker: "ä"},
	} {
		m := cluster.NewResultMessage("subject", want, "", []byte("x"))
		if m.Header.Get(cluster.HeaderExpect) != "0" || len(m.Header) != 2 || string(m.Data) != "x" {
			t.Errorf("the message: %+v", m)
		}
		got, err := cluster.ParseOutcome(crossed(m.Header).Get(cluster.HeaderResult))
		if want.Worker != "" && (err != nil || got != want) {
			t.Errorf("%+v became %+v, %v", want, got, err)
		}
	}
	for codec, want := range map[string]string{"": "", "json": "", "gob": "gob"} {
		m := cluster.NewResultMessage("subject", cluster.Outcome{End: cluster.EndOK}, codec, nil)
		if got := m.Header.Get(cluster.HeaderCodec); got != want {
			t.Errorf("codec %q: the header says %q", codec, got)
		}
	}
	for text, is := range map[string]error{
		"":                     cluster.ErrSchema,
		"ok":                   cluster.ErrSchema,
		"2 ok 1 2 3 w":         cluster.ErrSchema,
		"1":                    cluster.ErrDecode,
		"1 ok":                 cluster.ErrDecode,
		"1 fine 1 2 3 w":       cluster.ErrDecode,
		"1  1 2 3 w":           cluster.ErrDecode,
		"1 ok one two three w": nil, // nothing depends on the figures
	} {
		got, err := cluster.ParseOutcome(text)
		if !errors.Is(err, is) || err == nil && got != (cluster.Outcome{End: cluster.EndOK, Worker: "w"}) {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
}

// FuzzTask has anything at all come as a task or a result: it is read, or
// refused with an error of this package, and what was read is written the same.
func FuzzTask(f *testing.F) {
	f.Add("antflow.n.task.q.p1.s.i", `1 "resize"`, "gob", `{"retries":3,"delay":5,"backoff":true}`, "1 ok 1 2 3 host-1", []byte("{}"))
	f.Add("antflow.n.result.s.i", `2 'r'`, "", `{"label":"\ud800","priority":-1}`, "1 error -1 -2 -3  ", []byte{0xff})
	f.Add("", "1 `a`", " ", `{"timeout":9223372036854775807}`, "1 canceled 99999999999999999999 x y z", []byte(nil))
	h := antflow.NewTask("resize", func(context.Context, int) (int, error) { return 0, nil }, antflow.Retries(1))
	f.Fuzz(func(t *testing.T, subject, name, codec, options, outcome string, payload []byte) {
		_, _ = cluster.ParseKey(subject)
		p, _ := cluster.ParsePlace(subject)
		header := nats.Header{cluster.HeaderTask: {name}, cluster.HeaderCodec: {codec}, cluster.HeaderOptions: {options}}
		got, err := cluster.ParseTask(p, header, payload)
		if err != nil {
			if !errors.Is(err, cluster.ErrSchema) && !errors.Is(err, cluster.ErrDecode) {
				t.Errorf("the error is %v", err)
			}
		} else {
			if !bytes.Equal(got.Payload, payload) || got.Name == "" && !strings.Contains(name, "\"\"") && !strings.Contains(name, "``") {
				t.Errorf("%+v", got)
			}
			cluster.With(h, got.Options)
			again := header
			again[cluster.HeaderOptions] = []string{got.Options.Text()}
			if second, err := cluster.ParseTask(p, again, payload); err != nil || second.Options != got.Options {
				t.Errorf("%+v became %+v, %v", got, second, err)
			}
		}
		if o, err := cluster.ParseOutcome(outcome); err == nil {
			m := cluster.NewResultMessage("s", o, "", nil)
			if second, err := cluster.ParseOutcome(m.Header.Get(cluster.HeaderResult)); err != nil || second != o {
				t.Errorf("%+v became %+v, %v", o, second, err)
			}
		}
	})
}
