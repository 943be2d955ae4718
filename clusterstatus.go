package antflow

import "time"

// ClusterStatus is the state of a [Runner] that is many machines, as far as its
// broker and its workers tell. Package cluster has one.
type ClusterStatus struct {
	Time    time.Time
	Backlog uint64        // unfinished tasks
	Limit   int64         // of them; 0: none
	Results uint64        // messages that are kept of finished tasks and of attempts
	Queues  []QueueStatus // by name, those of high priority first
	Workers []WorkerStatus
}

// QueueStatus is the state of one queue of a cluster at one level of priority.
type QueueStatus struct {
	Queue       string
	Priority    int    // of the level: 1, 0 or -1, for those above 0, of 0, and below
	Waiting     uint64 // tasks that no worker has
	Taken       int    // tasks that workers have, or that wait for a retry
	Redelivered int    // of them, those that were taken more than once
	Requests    int    // of workers that wait for a task
}

// WorkerStatus is the state of one worker process of a cluster.
type WorkerStatus struct {
	Name       string
	State      string   // "serving", "draining", "disconnected", "stopped", or "broken": a queue of it has no consumer to ask
	Queues     []string // that it serves
	Tasks      []string // that it has handlers for
	MaxWorkers int      // of its executor
	Running    int      // tasks with a slot
	Held       int      // tasks that it has from the broker, running or not
	Finished   uint64   // tasks whose outcome it has reported
	Up         time.Duration
}
