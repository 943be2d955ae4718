package embedded_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/cluster"
)

func TestContractPayloads(t *testing.T) {
	r := newRig(t)
	same, sum := echo[[]byte]("same"), antflow.NewTask("sum", func(_ context.Context, in []byte) ([32]byte, error) { return sha256.Sum256(in), nil })
	grow := antflow.NewTask("grow", func(_ context.Context, n int) ([]byte, error) { return bytes.Repeat([]byte("ant"), n/3), nil })
	r.serve(handlers(same, sum, grow), cluster.Concurrency(2))
	for _, codec := range []cluster.Codec{cluster.JSON, cluster.Gob} {
		c := r.connect(cluster.Codecs(codec))
		for _, n := range []int{0, 1, 700_000, 1 << 20, 5 << 20} {
			if n > 1<<20 && codec == cluster.JSON {
				n = 3 << 20 // JSON makes it larger, and takes its time
			}
			in := make([]byte, n)
			rand.NewChaCha8([32]byte{byte(n)}).Read(in)
			a, b, d := same.Submit(r.ctx, c, in), sum.Submit(r.ctx, c, in), grow.Submit(r.ctx, c, n)
			if out := get(r, a); !bytes.Equal(out, in) {
				t.Errorf("%s, %d bytes: %d came back, other ones", codec.Name(), n, len(out))
			}
			if get(r, b) != sha256.Sum256(in) {
				t.Errorf("%s, %d bytes: the worker got others", codec.Name(), n)
			}
			if out := get(r, d); len(out) != n/3*3 {
				t.Errorf("%s: a result of %d bytes, not %d", codec.Name(), len(out), n/3*3)
			}
		}
	}
}

// Inputs and results of more than a message are there for whoever comes later,
// and those of a retry too.
func TestContractLargeWithKey(t *testing.T) {
	r := newRig(t)
	big := strings.Repeat("large ", 400_000)
	task := antflow.NewTask("task", func(ctx context.Context, in string) (string, error) {
		if info, _ := antflow.TaskFrom(ctx); info.Attempt == 1 {
			return "", errors.New("once more")
		}
		return in, nil
	}, antflow.Retries(1), antflow.RetryDelay(time.Millisecond))
	first := r.connect(cluster.Session("s"))
	task.Submit(r.ctx, first, big, antflow.Key("k"))
	r.flush(first)
	first.Detach()
	r.serve(handlers(task))
	for range 2 {
		c := r.connect(cluster.Session("s"))
		if out := get(r, task.Submit(r.ctx, c, big, antflow.Key("k"))); out != big {
			t.Errorf("%d bytes, not %d", len(out), len(big))
		}
		c.Detach()
	}
}

type shape struct {
	Name   string
	Sides  map[int]string
	Weight complex128
	inner  int
}

func TestContractGob(t *testing.T) {
	r := newRig(t)
	task := antflow.NewTask("task", func(_ context.Context, s shape) (shape, error) {
		s.Weight *= 2
		s.Sides[4] = "square"
		return s, nil
	})
	r.serve(handlers(task))
	in := shape{Name: "box", Sides: map[int]string{3: "triangle"}, Weight: 1 + 2i, inner: 5}
	out := get(r, task.Submit(r.ctx, r.connect(cluster.Codecs(cluster.Gob)), in))
	if out.Weight != 2+4i || out.Name != "box" || len(out.Sides) != 2 || out.inner != 0 {
		t.Errorf("%+v", out)
	}
	err := fail(r, task.Submit(r.ctx, r.connect(), in)) // JSON has no complex numbers
	says(t, err, "task", "complex128")
}

// backwards is JSON from right to left.
type backwards struct{ name string }

func (b backwards) Name() string { return b.name }

func (b backwards) Marshal(v any) ([]byte, error) {
	if v == "panic" {
		panic("cannot marshal that")
	}
	data, err := json.Marshal(v)
	slices.Reverse(data)
	return data, err
}

func (b backwards) Unmarshal(data []byte, v any) error {
	data = slices.Clone(data)
	slices.Reverse(data)
	return json.Unmarshal(data, v)
}

func TestContractCodec(t *testing.T) {
	r := newRig(t)
	task := echo[string]("echo")
	calls := make(chan string, 10)
	kept := antflow.NewTask("kept", func(_ context.Context, s string) (string, error) { calls <- s; return s, nil })
	r.serve(handlers(task), cluster.Codecs(backwards{"esrever"}))
	c := r.connect(cluster.Codecs(backwards{"esrever"}))
	if out := get(r, task.Submit(r.ctx, c, "from left to right")); out != "from left to right" {
		t.Errorf("%q", out)
	}
	get(r, task.Submit(r.ctx, r.connect(), "panic")) // JSON is there as well
	r.serve(handlers(kept), cluster.Queues("plain"), cluster.WorkerName("plain-one"))
	err := fail(r, kept.Submit(r.ctx, c, "x", antflow.Queue("plain"), antflow.Retries(3)), cluster.ErrDecode)
	says(t, err, `"esrever"`)
	get(r, kept.Submit(r.ctx, r.connect(), "y", antflow.Queue("plain")))
	if s := receive(r, calls); s != "y" || len(calls) > 0 {
		t.Errorf("the function was called with %q", s)
	}
	fail(r, task.Submit(r.ctx, c, "panic")) // and does not take the program down
}

func TestContractCodecOfResultPanics(t *testing.T) {
	r := newRig(t)
	var calls atomic.Int32
	task := antflow.NewTask("task", func(_ context.Context, s string) (string, error) { calls.Add(1); return s[1:], nil },
		antflow.Retries(2), antflow.RetryDelay(time.Millisecond))
	r.serve(handlers(task), cluster.Codecs(backwards{"esrever"}))
	c := r.connect(cluster.Codecs(backwards{"esrever"}))
	fail(r, task.Submit(r.ctx, c, "xpanic"))
	if n := calls.Load(); n != 1 {
		t.Errorf("a panic was retried: %d calls", n)
	}
	get(r, task.Submit(r.ctx, c, "and on"))
}

func TestContractUnknownHandler(t *testing.T) {
	r := newRig(t)
	r.serve(handlers(echo[int]("echo")), cluster.WorkerName("worker-7"))
	c := r.connect()
	f := echo[int]("stranger").Submit(r.ctx, c, 1, antflow.Retries(3))
	says(t, fail(r, f, cluster.ErrNoHandler), "stranger", "worker-7")
	get(r, echo[int]("echo").Submit(r.ctx, c, 1))
	r.until("an empty backlog", func() bool { return r.status(c).Backlog == 0 })
}

// Two declarations of one name, with other types.
func TestContractOtherTypes(t *testing.T) {
	r := newRig(t)
	calls := make(chan int, 10)
	r.serve(handlers(
		antflow.NewTask("in", func(_ context.Context, n int) (int, error) { calls <- n; return n, nil }, antflow.Retries(3)),
		echo[string]("out"),
	))
	c := r.connect()
	says(t, fail(r, echo[string]("in").Submit(r.ctx, c, "text"), cluster.ErrDecode), `"in"`, "string")
	if len(calls) > 0 {
		t.Errorf("the function was called with %d", <-calls)
	}
	out := antflow.NewTask("out", func(context.Context, string) (int, error) { return 0, nil })
	says(t, fail(r, out.Submit(r.ctx, c, "text"), cluster.ErrDecode), "result", "int")
	get(r, echo[int]("in").Submit(r.ctx, c, 1)) // the worker goes on
}

func TestContractUnencodable(t *testing.T) {
	r := newRig(t)
	nan := antflow.NewTask("nan", func(context.Context, int) (float64, error) { return math.NaN(), nil }, antflow.Retries(3))
	fn := antflow.NewTask("fn", func(context.Context, func()) (int, error) { return 0, nil })
	r.serve(handlers(nan, fn))
	c := r.connect()
	says(t, fail(r, nan.Submit(r.ctx, c, 1)), "nan", "NaN")
	says(t, fail(r, fn.Submit(r.ctx, c, func() {})), "fn", "func()")
	loop := make(map[string]any)
	loop["self"] = loop
	fail(r, echo[map[string]any]("loop").Submit(r.ctx, c, loop))
	r.until("an empty backlog", func() bool { return r.status(c).Backlog == 0 })
}

// The input is encoded when Submit returns, so that it may change after it.
func TestContractInputMayChange(t *testing.T) {
	r := newRig(t)
	c := r.connect()
	in := []int{1, 2, 3}
	f := echo[[]int]("echo").Submit(r.ctx, c, in)
	in[0] = 100
	r.serve(handlers(echo[[]int]("echo")))
	if out := get(r, f); out[0] != 1 {
		t.Errorf("%v", out)
	}
}

// What types can be is up to the codec.
func TestContractTypes(t *testing.T) {
	r := newRig(t)
	now := time.Now().Round(0)
	none := antflow.NewTask("none", func(context.Context, struct{}) (*int, error) { return nil, nil })
	r.serve(handlers(echo[time.Time]("time"), echo[map[string][]float64]("map"), echo[json.RawMessage]("raw"), none, echo[error]("iface")))
	c := r.connect()
	if v := get(r, echo[time.Time]("time").Submit(r.ctx, c, now)); !v.Equal(now) {
		t.Error(v)
	}
	m := map[string][]float64{"a": {1.5, -2}, "": nil, "ü": {}}
	if v := get(r, echo[map[string][]float64]("map").Submit(r.ctx, c, m)); fmt.Sprint(v) != fmt.Sprint(m) {
		t.Error(v)
	}
	if v := get(r, echo[json.RawMessage]("raw").Submit(r.ctx, c, json.RawMessage(`{"x":1}`))); string(v) != `{"x":1}` {
		t.Errorf("%s", v)
	}
	if v := get(r, none.Submit(r.ctx, c, struct{}{})); v != nil {
		t.Error(v)
	}
	fail(r, echo[error]("iface").Submit(r.ctx, c, errors.New("x")), cluster.ErrDecode)
}
