package cluster

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
)

// The names on the broker. A namespace has streams whose subjects have at
// most one message each:
//
//	antflow.<namespace>.task.<queue>.<level>.<session>.<id>       the tasks
//	antflow.<namespace>.result.<session>.<id>                     their results
//	antflow.<namespace>.attempt.<session>.<id>.<n>                what became of attempts
//	antflow.<namespace>.input.<session>.<id>.<unique>.<parts>.<n> parts of large inputs
//	antflow.<namespace>.value.<session>.<id>.<unique>.<parts>.<n> and of large results
//
// Results and attempts are in one stream, so that one consumer tells a session all
// of it. Inputs and values have one each, with the first large one. Next to the
// streams there are subjects that nothing keeps: workers tell a session of starts,
// who cancels tells the workers, and who asks them how they are gets an answer.
type space struct{ name string }

// level is what becomes of a priority: one consumer for each, and so the next
// task of the first level that has one.
type level int

const (
	urgent  level = iota // Priority above 0
	normal               // 0
	patient              // below
	levels
)

func levelOf(priority int) level {
	switch {
	case priority > 0:
		return urgent
	case priority < 0:
		return patient
	}
	return normal
}

func (l level) String() string { return [...]string{"p0", "p1", "p2"}[l] }

func (s space) prefix() string  { return "antflow." + s.name + "." }
func (s space) tasks() string   { return "ANTFLOW_" + s.name + "_TASKS" }
func (s space) results() string { return "ANTFLOW_" + s.name + "_RESULTS" }
func (s space) inputs() string  { return "ANTFLOW_" + s.name + "_INPUTS" }
func (s space) values() string  { return "ANTFLOW_" + s.name + "_VALUES" }

// consumer is the name of the durable consumer of a level of a queue.
func (s space) consumer(queue string, l level) string { return "w_" + queue + "_" + l.String() }

func (s space) consumed(queue string, l level) string {
	return s.prefix() + "task." + queue + "." + l.String() + ".>"
}

// task, result and attempt take the text of a key.
func (s space) task(queue string, l level, k string) string {
	return s.prefix() + "task." + queue + "." + l.String() + "." + k
}

// anyTask is where a task may be, whatever its queue and level.
func (s space) anyTask(k string) string { return s.prefix() + "task.*.*." + k }

func (s space) result(k string) string        { return s.prefix() + "result." + k }
func (s space) attempt(k string) string       { return s.prefix() + "attempt." + k }
func (s space) started(session string) string { return s.prefix() + "started." + session }
func (s space) canceled() string              { return s.prefix() + "cancel" }
func (s space) workers() string               { return s.prefix() + "workers" }

// A place is where in the subjects a task is. Its key is which task that is: the
// session and the ID within it, each one token, with a dot between them.
type place struct{ queue, level, key string }

func (p place) session() string { return p.key[:strings.IndexByte(p.key, '.')] }

// keyOf is the key at the end of a subject, or of what else ends with it.
func keyOf(s string) (key string, ok bool) {
	at := strings.LastIndexByte(s, '.')
	if at <= 0 || at == len(s)-1 {
		return "", false
	}
	return s[strings.LastIndexByte(s[:at], '.')+1:], true
}

// parseKey is the two parts of a key, or of what ends with one.
func parseKey(s string) (session, id string, ok bool) {
	k, ok := keyOf(s)
	if !ok {
		return "", "", false
	}
	session, id, _ = strings.Cut(k, ".")
	return session, id, true
}

func parsePlace(subject string) (p place, ok bool) {
	rest := subject
	next := func() (token string) {
		token, rest, _ = strings.Cut(rest, ".")
		return token
	}
	root, _, kind := next(), next(), next()
	p = place{queue: next(), level: next(), key: rest}
	session, id, ok := strings.Cut(rest, ".")
	return p, ok && root == "antflow" && kind == "task" && session != "" && id != "" && !strings.Contains(id, ".")
}

// idOf is the ID of the calls of a task with a key: the same for the same. A
// key may be anything, and a token may not.
func idOf(task, k string) string {
	h := sha256.New()
	fmt.Fprintf(h, "%d:%s%s", len(task), task, k)
	return "k" + base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:16])
}

const mostToken = 64

// token checks a name that is to be a token of a subject.
func token(what, name string) error {
	ok := name != "" && len(name) <= mostToken
	for _, r := range name {
		ok = ok && (r == '-' || r == '_' || '0' <= r && r <= '9' || 'A' <= r && r <= 'Z' || 'a' <= r && r <= 'z')
	}
	if !ok {
		return failure("the %s %q must be 1 to %d letters, digits, - or _", what, name, mostToken)
	}
	return nil
}
