// Package dashboard shows executors, pipelines and clusters as a web page, while
// they work:
//
//	http.Handle("/debug/antflow/", dashboard.Handler(dashboard.Executor(e)))
//
// The page comes with the program and loads nothing from elsewhere. It shows
// the figures of tasks, what each worker does, the recent tasks with their
// attempts, failures by their kinds, and the stages of pipelines; of a cluster
// its queues, its backlog and its workers. Below the path of the page there is
// also
//
//   - metrics: the figures in the text format of Prometheus,
//   - snapshot.json: the figures, the workers and the failures of this instant,
//   - tasks.json, task.json, failures.json: what the page searches by; tasks.json
//     takes q, name, state and limit, all of them take source, a number,
//   - events: what the page lives on, as server-sent events,
//   - action: takes {"source": 0, "do": "cancel", "id": 7}, or "resize" with
//     "workers" and, of a pipeline, "stage", or "drain", as JSON by POST.
//
// Times there are milliseconds, those of day since 1970. A source that is not
// named is the first, number 0.
//
// # Who may see it
//
// Whoever reaches the handler can read names of tasks, texts of errors and
// stacks, as with net/http/pprof: keep it from the public, by the address that
// is listened on or by authentication in front. Inputs of items are only shown
// with [FormatInput], and nothing can be changed without [AllowActions]. What
// browsers could be talked into is ruled out: the page runs no script but its
// own, other sites can neither frame it nor post to it, and on a loopback
// address only known names of the host are served, see [Hosts].
//
// # Clusters
//
// How a cluster is, its broker and its workers are asked: once a second while
// somebody looks, and by each request for metrics or snapshot.json, which then
// takes as long. There is one call at a time, which has 2 seconds; after that the
// cluster is shown not to answer. While there is no answer the page has the error,
// and greys the last figures; snapshot.json has only the error, and metrics only
// antflow_cluster_up, which is 0. The tasks of a cluster are with the executors
// that submit them, so here there are none to look for, no failures and no actions.
//
// No worker is said to serve a queue when tasks wait there, while none that has
// answered serves it and none asks the broker for its tasks. A queue that none has
// ever served is not known to the broker; its tasks are seen in the backlog alone.
//
// # What it costs
//
// The executors of a handler keep figures; see [antflow.Executor.Measure].
// While somebody looks, and for 10 seconds more, one goroutine takes a snapshot
// of each source four times a second, and the executors are observed. All
// viewers share that and its messages; one that can't keep up is dropped and
// connects again. Memory is bounded: for each executor 4096 recent tasks with 16
// attempts each, five minutes of figures, 256 names and kinds of failures, texts
// up to 1 KiB; of each cluster 100 queues and 200 workers. Where there are more
// steps of tasks than anybody could look at, those of some of the tasks are left
// out of the recent ones, but of no figure. When nobody looks there is no
// goroutine and no timer, and what was collected is gone; only a status function
// of a cluster that ignores the end of its context has a goroutine until it
// returns.
//
// A server that shuts down by [http.Server.Shutdown] does not have to wait for
// open pages: their streams end.
package dashboard

// How it is made.
//
// A handler has sources, which ask an executor, a monitor or a cluster, and a hub.
// The hub has viewers and, while there are some, a sampling, which has a probe for
// each source. The sampling's goroutine makes the messages, and gives them to the
// viewers' queues without ever waiting for one; each viewer's queue is emptied
// by the goroutine of its request, whose writes have deadlines.
//
// A call to a cluster has a goroutine of its own, so that the figures of others
// don't wait for it: the sampling begins it at one tick, and looks at later ones
// whether it is over.
//
// There are three kinds of locks, and none is held while another one is taken,
// or an executor's, or while anything of the user's is called. hub.mu guards who
// looks, and the messages for those who come next: a viewer gets the first
// message, which has all there is, and is told of news from then on, in one
// section of it, so nothing is missing or there twice. store.mu guards the recent
// tasks of one executor, which are written by the executor's observation and read
// by requests. inquirer.mu guards which call to a cluster is under way.
//
// All that a sampling has collected goes when it ends. It ends itself; see hub.
