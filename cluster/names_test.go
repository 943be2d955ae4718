package cluster_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/quick"

	"github.com/antflow/antflow/cluster"
)

// What a subject is made of is found in it again, whatever the tokens are.
func TestSubjectsAreReadAsTheyAreWritten(t *testing.T) {
	for _, names := range [][4]string{
		{"default", "default", "S", "k1"},
		{"a", "b", "c", "d"},
		{"task", "task", "task", "task"},
		{"result", "p0", "result", "attempt"},
		{"-", "_", "-_", "_-"},
		{strings.Repeat("n", 64), strings.Repeat("q", 64), strings.Repeat("s", 64), strings.Repeat("i", 64)},
	} {
		space, queue, k := cluster.NewSpace(names[0]), names[1], cluster.NewKey(names[2], names[3])
		for l := range cluster.Levels {
			subject := space.Task(queue, l, k)
			p, ok := cluster.ParsePlace(subject)
			if q, level := p.Parts(); !ok || q != queue || level != l.String() || p.Key() != k {
				t.Errorf("%s: %+v, %v", subject, p, ok)
			}
			if got, ok := cluster.ParseKey(subject); !ok || got != k {
				t.Errorf("%s: %v, %v", subject, got, ok)
			}
			if filter := strings.TrimSuffix(space.Consumed(queue, l), ">"); !strings.HasPrefix(subject, filter) {
				t.Errorf("%s is not among %s>", subject, filter)
			}
		}
		for _, s := range []string{string(k), space.Result(k), space.Attempt(k)} {
			if got, ok := cluster.ParseKey(s); !ok || got != k {
				t.Errorf("%s: %v, %v", s, got, ok)
			}
			if p, ok := cluster.ParsePlace(s); ok {
				t.Errorf("%s is no task, and was taken for %+v", s, p)
			}
		}
	}
}

func TestParseKey(t *testing.T) {
	for s, want := range map[string]string{
		"":       "",
		".":      "",
		"a":      "",
		".a":     "",
		"a.":     "",
		"a.b.":   "",
		"a.b":    "a b",
		"x.a.b":  "a b",
		"x..a.b": "a b",
	} {
		k, ok := cluster.ParseKey(s)
		got := ""
		if session, id := k.Parts(); ok {
			got = session + " " + id
		}
		if got != want {
			t.Errorf("%q: %q, want %q", s, got, want)
		}
	}
	err := quick.Check(func(s string) bool {
		k, ok := cluster.ParseKey(s)
		session, id := k.Parts()
		return !ok || strings.HasSuffix(s, string(k)) && id != "" && !strings.Contains(session+id, ".")
	}, nil)
	if err != nil {
		t.Error(err)
	}
}

func TestParsePlace(t *testing.T) {
	for _, s := range []string{
		"", ".", "......", "antflow.default.task", "antflow.default.result.q.p0.s.i",
		"antflow.default.task.q.p0.s", "antflow.default.task.q.p0.s.i.j", "task.q.p0.s.i",
	} {
		if p, ok := cluster.ParsePlace(s); ok {
			t.Errorf("%q: %+v", s, p)
		}
	}
}

// Namespaces, queues and levels have names of their own on the broker.
func TestNamesDiffer(t *testing.T) {
	seen := make(map[string]string)
	note := func(name, of string) {
		if other, ok := seen[name]; ok {
			t.Errorf("%s and %s are both called %s", of, other, name)
		}
		seen[name] = of
	}
	for _, n := range []string{"a", "A", "a_TASKS", "TASKS", "-", "_"} {
		space := cluster.NewSpace(n)
		for i, s := range space.Streams() {
			note(s, fmt.Sprintf("stream %d of %s", i, n))
			if strings.ContainsAny(s, " .*>/\\") {
				t.Errorf("%q is no name of a stream", s)
			}
		}
	}
	space := cluster.NewSpace("n")
	for _, q := range []string{"q", "q_p0", "q_p1", "_", "p0"} {
		for l := range cluster.Levels {
			note(space.Consumer(q, l), fmt.Sprintf("level %v of %s", l, q))
			note(space.Consumed(q, l), fmt.Sprintf("level %v of %s", l, q))
		}
	}
}

func TestLevels(t *testing.T) {
	const most = int(^uint(0) >> 1)
	for priority, want := range map[int]string{most: "p0", 1: "p0", 0: "p1", -1: "p2", -most - 1: "p2"} {
		if got := cluster.LevelOf(priority).String(); got != want {
			t.Errorf("priority %d: %s, want %s", priority, got, want)
		}
	}
}

// The ID of a key is a token, the same for the same task and key, and another
// one for others, also where the two together are the same text.
func TestIDOf(t *testing.T) {
	seen := make(map[string]string)
	for _, x := range [][2]string{
		{"resize", "cat.jpg"}, {"resizecat", ".jpg"}, {"", "resizecat.jpg"}, {"resizecat.jpg", ""},
		{"6", ":resize"}, {"6:", "resize"}, {"", ""}, {"a", "\x00"}, {"a\x00", ""}, {"a", "ä/../*.>"}, {"a", strings.Repeat("k", 1<<20)},
	} {
		id := cluster.IDOf(x[0], x[1])
		if err := cluster.Token("ID", id); err != nil {
			t.Error(err)
		}
		if again := cluster.IDOf(x[0], x[1]); again != id {
			t.Errorf("%.40q: %s, and then %s", x, id, again)
		}
		if other, ok := seen[id]; ok {
			t.Errorf("%.40q and %s have one ID", x, other)
		}
		seen[id] = fmt.Sprintf("%.40q", x)
	}
	err := quick.Check(func(a, b, c, d string) bool {
		return (cluster.IDOf(a, b) == cluster.IDOf(c, d)) == (a == c && b == d)
	}, nil)
	if err != nil {
		t.Error(err)
	}
	// Sessions that go on with another version find their results by this.
	if id := cluster.IDOf("resize", "cat.jpg"); id != "kqs9uN0UHXL0xTOxMzdux8g" {
		t.Errorf("the ID of a key is not what it was: %s", id)
	}
}

func TestToken(t *testing.T) {
	for _, name := range []string{"a", "Z", "0", "-", "_", "a-b_C9", strings.Repeat("x", cluster.MostToken)} {
		if err := cluster.Token("queue", name); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"", " ", "a b", "a.b", "*", ">", "a/b", "ä", "\x00", "a\n", "\xff", strings.Repeat("x", cluster.MostToken+1)} {
		err := cluster.Token("queue", name)
		want := fmt.Sprintf("antflow: cluster: the queue %q must be 1 to 64 letters, digits, - or _", name)
		if err == nil || err.Error() != want {
			t.Errorf("%q: %v", name, err)
		}
	}
}
