package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"
)

// roleVariable has the order of a process that this command starts.
const roleVariable = "ANTFLOW_FAULTS_ORDER"

// An order is what a child process is to be and to do.
type order struct {
	Role    string `json:"role"`
	Name    string `json:"name"`    // of this process; each has its own
	Journal string `json:"journal"` // the file for its events
	Seed    uint64 `json:"seed"`
	Verbose bool   `json:"verbose,omitempty"` // with the log of the library

	URL      string        `json:"url,omitempty"` // of the broker
	Pinned   bool          `json:"pinned,omitempty"`
	Replicas int           `json:"replicas,omitempty"`
	Backlog  int           `json:"backlog,omitempty"`
	Timeout  time.Duration `json:"timeout,omitempty"` // that the process may take in all

	Broker *brokerOrder `json:"broker,omitempty"`
	Worker *workerOrder `json:"worker,omitempty"`
	Submit *submitOrder `json:"submit,omitempty"`
}

// A brokerOrder is for one server. A server without Routes is alone.
type brokerOrder struct {
	Dir    string   `json:"dir"`
	Port   int      `json:"port"`
	Route  int      `json:"route,omitempty"` // the port for the other servers
	Routes []string `json:"routes,omitempty"`
}

// A workerOrder is for a process that serves.
type workerOrder struct {
	Slots   int           `json:"slots"`
	Lease   time.Duration `json:"lease,omitempty"`
	Crashes int           `json:"crashes"`
	Drain   time.Duration `json:"drain,omitempty"`
}

// A submitOrder is for a process that submits, batch after batch, and then waits
// for all results.
type submitOrder struct {
	Session string  `json:"session"`
	Batches []batch `json:"batches"`
}

// A batch is some tasks that are submitted one after the other and then flushed.
type batch struct {
	Wait     bool          `json:"wait,omitempty"` // for a line from the parent
	Prefix   string        `json:"prefix"`         // of the IDs
	From     int           `json:"from"`           // their numbers
	To       int           `json:"to"`
	Pause    time.Duration `json:"pause,omitempty"`   // between two of them
	Unkeyed  bool          `json:"unkeyed,omitempty"` // the broker's IDs are then different each time
	NoFlush  bool          `json:"noFlush,omitempty"`
	NoBlock  bool          `json:"noBlock,omitempty"` // as antflow.NonBlocking
	Work     work          `json:"work"`
	Retries  int           `json:"retries,omitempty"`
	Delay    time.Duration `json:"delay,omitempty"`  // before a retry
	Cancel   int           `json:"cancel,omitempty"` // percent of the tasks that are canceled
	CancelIn time.Duration `json:"cancelIn,omitempty"`
}

// work is the input of a task.
type work struct {
	ID       string        `json:"id"`
	Least    time.Duration `json:"least,omitempty"` // that it takes, and
	Most     time.Duration `json:"most,omitempty"`
	Failures int           `json:"failures,omitempty"` // attempts that fail before one succeeds
	Fails    bool          `json:"fails,omitempty"`    // in the end
	Poison   bool          `json:"poison,omitempty"`   // it kills the process
	Stubborn bool          `json:"stubborn,omitempty"` // the end of its context is no concern of it
}

// Exit codes of the children.
const (
	exitFailed   = 1 // with a message
	exitBroken   = 3 // the harness itself doesn't work
	exitOrphan   = 4 // the parent is gone
	exitOvertime = 5
)

// child does what the order in the environment says and reports true, if there
// is one.
func child() bool {
	text := os.Getenv(roleVariable)
	if text == "" {
		return false
	}
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		fmt.Fprintln(os.Stderr, "faults: the order:", err)
		os.Exit(exitBroken)
	}
	j, err := openJournal(o.Journal)
	if err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		os.Exit(exitBroken)
	}
	time.AfterFunc(o.Timeout, func() {
		j.add(event{Kind: evNote, Client: o.Name, Text: fmt.Sprintf("%s %s takes more than %v", o.Role, o.Name, o.Timeout)})
		os.Exit(exitOvertime)
	})
	lines := parent()
	switch {
	case o.Broker != nil:
		err = beBroker(&o)
	case o.Worker != nil:
		err = beWorker(&o, j)
	case o.Submit != nil:
		err = beSubmitter(&o, j, lines)
	default:
		err = errors.New("an order without a role")
	}
	if err != nil {
		j.add(event{Kind: evNote, Client: o.Name, Text: fmt.Sprintf("%s %s: %v", o.Role, o.Name, err)})
		fmt.Fprintf(os.Stderr, "faults: %s %s: %v\n", o.Role, o.Name, err)
		os.Exit(exitFailed)
	}
	return true
}
