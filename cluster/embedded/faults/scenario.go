package main

import (
	"fmt"
	"time"
)

// A scenario is a fault, and what has to hold in spite of it.
type scenario struct {
	name   string
	what   string // the fault, for the table
	r1, r3 bool   // with one broker; with three, which replicate
	short  int    // brokers in the short form; 0: it is not in it
	bare   bool   // the streams aren't made beforehand
	run    func(*lab) (figures, error)
}

// scenarios are all of them.
var scenarios = []scenario{
	{"first-start", "all processes start at once, with brokers that have no streams", true, true, 3, true, firstStart},
	{"worker-kill", "workers are killed in the middle of tasks", true, true, 1, false, workerKill},
	{"ack-lost", "a worker is killed after its results are stored and before the acknowledgements arrive", true, true, 1, false, ackLost},
	{"worker-stop", "a worker is stopped beyond its lease, and goes on when others have run its tasks", true, true, 1, false, workerStop},
	{"worker-stop-short", "a worker is stopped beyond its lease, and goes on while others run its tasks", true, true, 0, false, workerStopShort},
	{"worker-cut", "a worker's connection is cut for longer than its lease", true, true, 1, false, workerCut},
	{"server-kill", "a server is killed and started again in a batch", true, true, 1, false, serverKill},
	{"leader-kill", "the server that leads the streams is killed in a batch", false, true, 3, false, leaderKill},
	{"rolling-restart", "all servers are restarted in a batch, one after the other", false, true, 0, false, rollingRestart},
	{"minority-stop", "a server is stopped in a batch, and goes on later", false, true, 0, false, minorityStop},
	{"submitter-cut", "the submitter's connection is cut, again and again", true, true, 1, false, submitterCut},
	{"submitter-kill", "the submitter is killed; another one submits the same keys in the same session", true, true, 1, false, submitterKill},
	{"puback-lost", "acknowledgements of submissions get lost", true, true, 1, false, pubAckLost},
	{"resubmit", "keys are submitted again, of finished and of queued tasks, also after a restart", true, true, 1, false, resubmit},
	{"backlog-full", "more tasks are submitted than the backlog takes", true, true, 1, true, backlogFull},
	{"poison", "a task kills each worker that runs it", true, true, 1, false, poison},
	{"long-task", "a task takes five leases", true, true, 1, false, longTask},
	{"retry-delay", "a task waits for its retry, and the only slot is free meanwhile", true, true, 1, false, retryDelay},
	{"cancel-races", "tasks are canceled while they are queued, run and finish", true, true, 1, false, cancelRaces},
	{"cancel-again", "one of two clients cancels what both have submitted", true, true, 1, false, cancelAgain},
	{"drain", "all workers are replaced in a batch, one after the other", true, true, 1, false, drain},
	{"idle-restart", "a server is killed and started again while nothing is to do", true, true, 1, false, idleRestart},
	{"chaos", "all of that together, in a random order", true, true, 0, false, chaos},
}

const lease = time.Second

// one is a submission of n tasks with keys, which each take so long.
func one(prefix string, n int, least, most time.Duration) batch {
	return batch{Prefix: prefix, To: n, Work: work{Least: least, Most: most}}
}

// need is an error unless ok.
func need(ok bool, format string, args ...any) error {
	if ok {
		return nil
	}
	return fmt.Errorf(format, args...)
}

// first returns the first error.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
