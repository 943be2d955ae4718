package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// An event is a line of the history. Each process appends to a file of its own,
// one write for each event, so what a process did before it was killed is there,
// and nothing of it is torn but perhaps the last line.
type event struct {
	At   int64     `json:"at"` // nanoseconds since 1970; all processes have the same clock
	Kind eventKind `json:"kind"`
	ID   string    `json:"id,omitempty"` // of the task, as the harness calls it

	// Of submissions, and what becomes of them.
	Client string `json:"client,omitempty"` // a process that submits; a new name after each start
	Future int    `json:"future,omitempty"` // its number at that client, from 1
	Broker string `json:"broker,omitempty"` // what the broker calls the task; empty: not known here
	End    end    `json:"end,omitempty"`
	Value  string `json:"value,omitempty"` // of the result or the error; different for each execution

	// Of executions.
	Worker  string `json:"worker,omitempty"`
	PID     int    `json:"pid,omitempty"`
	Attempt int    `json:"attempt,omitempty"`

	Text string `json:"text,omitempty"`
}

type eventKind string

const (
	evSubmit   eventKind = "submit"   // Future, of ID, exists from here on
	evAccepted eventKind = "accepted" // the broker has all futures of Client up to Future
	evCancel   eventKind = "cancel"   // of Future was asked for
	evResolve  eventKind = "resolve"  // Future is done
	evStart    eventKind = "start"    // an execution begins
	evEnd      eventKind = "end"      // and ends
	evGone     eventKind = "gone"     // Client, or Worker, is no more; what it has open stays so
	evNote     eventKind = "note"     // Text, for people
)

// end is how a task ended, as far as a future or a stored result tells.
type end string

const (
	endOK       end = "ok"
	endError    end = "error"
	endCanceled end = "canceled"
	endFull     end = "full"     // the backlog was, and the future is the only one to know
	endDetached end = "detached" // the client was
)

// A journal is where a process appends its events.
type journal struct{ f *os.File }

func openJournal(path string) (*journal, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	return &journal{f}, nil
}

// add appends an event. A history with a gap proves nothing, so the process ends
// where that fails.
func (j *journal) add(e event) {
	e.At = time.Now().UnixNano()
	line, err := json.Marshal(e)
	if err == nil {
		_, err = j.f.Write(append(line, '\n'))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "faults: the journal:", err)
		os.Exit(exitBroken)
	}
}

// A history is what all processes of a run appended so far.
type history struct {
	mu     sync.Mutex
	dir    string
	read   map[string]int64 // bytes of each file that are in events
	events []event
	counts map[eventKind]int
}

func newHistory(dir string) *history {
	return &history{dir: dir, read: make(map[string]int64), counts: make(map[eventKind]int)}
}

// refresh reads what was appended since.
func (h *history) refresh() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	paths, err := filepath.Glob(filepath.Join(h.dir, "*.jsonl"))
	if err != nil {
		return err
	}
	for _, path := range paths {
		if err := h.readLocked(path); err != nil {
			return err
		}
	}
	return nil
}

func (h *history) readLocked(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	data, err := io.ReadAll(io.NewSectionReader(f, h.read[path], 1<<40))
	if err != nil {
		return err
	}
	for {
		at := bytes.IndexByte(data, '\n')
		if at < 0 {
			return nil
		}
		var e event
		if err := json.Unmarshal(data[:at], &e); err != nil {
			return fmt.Errorf("%s: %q: %w", path, data[:at], err)
		}
		h.events = append(h.events, e)
		h.counts[e.Kind]++
		h.read[path] += int64(at + 1)
		data = data[at+1:]
	}
}

// count is how many events of a kind there are.
func (h *history) count(kind eventKind) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.counts[kind]
}

// all returns the events so far; they don't change.
func (h *history) all() []event {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.events[:len(h.events):len(h.events)]
}

// find returns the first event that keep accepts.
func (h *history) find(keep func(*event) bool) (event, bool) {
	all := h.all()
	for i := range all {
		if keep(&all[i]) {
			return all[i], true
		}
	}
	return event{}, false
}

// where counts the events that keep accepts.
func (h *history) where(keep func(*event) bool) (n int) {
	all := h.all()
	for i := range all {
		if keep(&all[i]) {
			n++
		}
	}
	return n
}

// starts is how often each task ran, so far.
func (h *history) starts() map[string]int {
	starts := make(map[string]int)
	for _, e := range h.all() {
		if e.Kind == evStart {
			starts[e.ID]++
		}
	}
	return starts
}
