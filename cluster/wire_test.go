package cluster_test

import (
	"context"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/cluster"
)

var place, _ = cluster.ParsePlace("antflow.n.task.q.p1.s.i")

// otherCodec is one that has to be named.
type otherCodec struct{ cluster.Codec }

func (otherCodec) Name() string { return "other" }

func TestTaskMessage(t *testing.T) {
	backoff := antflow.RetryBackoff(func(int, error) time.Duration { return 0 })
	const usual = "1 \"resize\"\npay\nload"
	for name, test := range map[string]struct {
		task  string
		codec cluster.Codec
		opts  []antflow.TaskOption
		want  cluster.WireOptions
		text  string // "": any
	}{
		"usual":       {"resize", cluster.JSON, nil, cluster.WireOptions{}, usual},
		"gob":         {"resize", cluster.Gob, nil, cluster.WireOptions{}, "1 \"resize\" {\"codec\":\"gob\"}\npay\nload"},
		"other codec": {"resize", otherCodec{cluster.JSON}, nil, cluster.WireOptions{}, ""},
		"key":         {"resize", cluster.JSON, []antflow.TaskOption{antflow.Key("ä\n\x00")}, cluster.WireOptions{}, ""},
		"not the worker's": {"resize", cluster.JSON, []antflow.TaskOption{antflow.NonBlocking(), antflow.Queue("q"), antflow.RetryDelay(time.Hour)},
			cluster.WireOptions{}, usual},
		"all": {"resize", cluster.JSON, []antflow.TaskOption{
			antflow.TaskName("ä <cat>.jpg\n"), antflow.Retries(math.MaxInt32), antflow.RetryDelay(math.MaxInt64),
			antflow.Timeout(1), antflow.QueueTimeout(time.Hour), antflow.Priority(math.MinInt32),
		}, cluster.WireOptions{
			Label: "ä <cat>.jpg\n", Retries: math.MaxInt32, RetryDelay: math.MaxInt64,
			Timeout: 1, QueueTimeout: time.Hour, Priority: math.MinInt32,
		}, ""},
		"default delay": {"resize", cluster.JSON, []antflow.TaskOption{antflow.Retries(1)},
			cluster.WireOptions{Retries: 1, RetryDelay: 100 * time.Millisecond}, ""},
		"schedule": {"resize", cluster.JSON, []antflow.TaskOption{antflow.Retries(1), backoff},
			cluster.WireOptions{Retries: 1, Backoff: true}, ""},
		"schedule for nothing": {"resize", cluster.JSON, []antflow.TaskOption{backoff}, cluster.WireOptions{}, usual},
		"strange name":         {" a\r\nb {\"codec\":\"gob\"} \x00\xff\u2028'\"` ", cluster.JSON, nil, cluster.WireOptions{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := antflow.SettingsOf(append([]antflow.TaskOption{antflow.TaskName(test.task)}, test.opts...)...)
			for _, object := range []string{"", "an object"} {
				data := cluster.TaskMessage(test.task, &s, test.codec, object, []byte("pay\nload"))
				if test.text != "" && object == "" && string(data) != test.text {
					t.Errorf("the message: %q", data)
				}
				got, err := cluster.ParseTask(place, data)
				want := cluster.ParsedTask{test.task, cluster.Extras{s.Key, test.codec.Name(), object, test.want}, []byte("pay\nload")}
				if err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("%+v became %+v, %v", want, got, err)
				}
			}
		})
	}
}

// What another version, or somebody else, may have written is refused with a
// text that says why.
func TestTaskOfAnotherVersion(t *testing.T) {
	const name = cluster.Schema + ` "resize"`
	for _, test := range []struct {
		head string
		is   error
		says string
	}{
		{"", cluster.ErrSchema, `a task of schema ""`},
		{"2 \"resize\"", cluster.ErrSchema, `a task of schema "2", and this worker knows "1"`},
		{`"resize"`, cluster.ErrSchema, `schema "\"resize\""`},
		{strings.Repeat("9", 1<<20), cluster.ErrSchema, "999"},
		{cluster.Schema, cluster.ErrDecode, `begins with "1"`},
		{cluster.Schema + " resize", cluster.ErrDecode, "resize"},
		{cluster.Schema + ` "resize`, cluster.ErrDecode, "resize"},
		{name + "x", cluster.ErrDecode, "first line"},
		{name + " {", cluster.ErrDecode, "first line"},
		{name + " []", cluster.ErrDecode, "first line"},
		{name + ` {"retries":1.5}`, cluster.ErrDecode, "retries"},
		{name + ` {"codec":1}`, cluster.ErrDecode, "codec"},
		{name + ` {"retries":-1}`, cluster.ErrDecode, `negative number: {"retries":-1}`},
		{name + ` {"delay":-1}`, cluster.ErrDecode, "negative"},
		{name + ` {"timeout":-1}`, cluster.ErrDecode, "negative"},
		{name + ` {"queueTimeout":-1}`, cluster.ErrDecode, "negative"},
		{name + ` {"timeout":1e30}`, cluster.ErrDecode, "timeout"},
	} {
		for _, end := range []string{"", "\n", "\npayload"} {
			_, err := cluster.ParseTask(place, []byte(test.head+end))
			if !errors.Is(err, test.is) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%.40q: %v", test.head, err)
				continue
			}
			if n := strings.Count(err.Error(), "antflow: "); n != 1 || len(err.Error()) > 2*cluster.MostErrorText {
				t.Errorf("the prefix %d times in %d bytes: %.80s", n, len(err.Error()), err)
			}
		}
	}
	// What is unknown of the unusual is no reason to refuse a task.
	got, err := cluster.ParseTask(place, []byte(name+` {"new": [1], "priority": 7}`))
	if err != nil || got.Options != (cluster.WireOptions{Priority: 7}) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestResultMessage(t *testing.T) {
	for text, want := range map[string]cluster.ParsedResult{
		"1 ok 0 0 0 \"\"\nx": {End: cluster.EndOK},
		"1 error 2147483647 9223372036854775807 1 \"host-1\"\nx": {
			End: "error", Attempts: math.MaxInt32, Queued: math.MaxInt64, Ran: 1, Worker: "host-1"},
		"1 canceled 0 0 0 \"a name  with \\\"spaces\\\" 1\\n2 \"\nx": {End: "canceled", Worker: "a name  with \"spaces\" 1\n2 "},
		"1 ok 1 0 1000000000 \"\\u00e4\" {\"codec\":\"gob\",\"object\":\"o\"}\nx": {
			End: cluster.EndOK, Attempts: 1, Ran: time.Second, Worker: "ä", Extras: cluster.Extras{Codec: "gob", Object: "o"}},
	} {
		want.Payload = []byte("x")
		data := cluster.NewResultMessage(want)
		if string(data) != text {
			t.Errorf("the message: %q", data)
		}
		if want.Codec == "" {
			want.Codec = "json"
		}
		got, err := cluster.ParseResult(data)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v became %+v, %v", want, got, err)
		}
	}
	for text, is := range map[string]error{
		"":                                 cluster.ErrSchema,
		"ok":                               cluster.ErrSchema,
		`2 ok 1 2 3 "w"`:                   cluster.ErrSchema,
		"1":                                cluster.ErrDecode,
		"1 ok":                             cluster.ErrDecode,
		"1 ok 1 2 3":                       cluster.ErrDecode,
		"1 ok 1 2 3 w":                     cluster.ErrDecode,
		`1 fine 1 2 3 "w"`:                 cluster.ErrDecode,
		`1  1 2 3 "w"`:                     cluster.ErrDecode,
		`1 ok 1 2 3 "w" {`:                 cluster.ErrDecode,
		`1 ok one two three "w"`:           nil, // nothing depends on the figures
		`1 ok -1 -2 -3 "w"`:                nil,
		`1 ok 99999999999999999999 0 0"w"`: cluster.ErrDecode,
	} {
		got, err := cluster.ParseResult([]byte(text))
		if !errors.Is(err, is) {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
		if got.Attempts < 0 || got.Queued < 0 || got.Ran < 0 {
			t.Errorf("%q: %+v", text, got)
		}
		if is == nil && (got.End != cluster.EndOK || got.Worker != "w") {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

// FuzzTask has anything at all come as a task or a result: it is read, or
// refused with an error of this package, and what was read is written the same.
func FuzzTask(f *testing.F) {
	f.Add("antflow.n.task.q.p1.s.i", []byte("1 \"resize\" {\"retries\":3,\"delay\":5,\"backoff\":true}\n{}"))
	f.Add("antflow.n.result.s.i", []byte("1 \"r\" {\"label\":\"\\ud800\",\"priority\":-1}"))
	f.Add("", []byte("1 `a` {\"timeout\":9223372036854775807,\"codec\":\"json\"}\n\xff"))
	f.Add("a.b", []byte("1 ok 1 2 3 \"host-1\"\n{}"))
	f.Add("a.b", []byte("1 error -1 -2 -3  \"\""))
	f.Add("a.b", []byte("1 canceled 99999999999999999999 x y \"z\" {\"object\":\"o\"}\n\n"))
	h := antflow.NewTask("resize", func(context.Context, int) (int, error) { return 0, nil }, antflow.Retries(1))
	f.Fuzz(func(t *testing.T, subject string, data []byte) {
		_, _ = cluster.ParseKey(subject)
		p, _ := cluster.ParsePlace(subject)
		known := func(err error) {
			if !errors.Is(err, cluster.ErrSchema) && !errors.Is(err, cluster.ErrDecode) {
				t.Errorf("the error is %v", err)
			}
		}
		task, err := cluster.ParseTask(p, data)
		if err != nil {
			known(err)
		} else {
			cluster.With(h, task.Options)
			again, err := cluster.ParseTask(p, cluster.NewTaskMessage(task.Name, task.Extras, task.Payload))
			again.Payload, task.Payload = append([]byte{}, again.Payload...), append([]byte{}, task.Payload...)
			if err != nil || !reflect.DeepEqual(again, task) {
				t.Errorf("%+v became %+v, %v", task, again, err)
			}
		}
		result, err := cluster.ParseResult(data)
		if err != nil {
			known(err)
			return
		}
		again, err := cluster.ParseResult(cluster.NewResultMessage(result))
		again.Payload, result.Payload = append([]byte{}, again.Payload...), append([]byte{}, result.Payload...)
		if err != nil || !reflect.DeepEqual(again, result) {
			t.Errorf("%+v became %+v, %v", result, again, err)
		}
	})
}
