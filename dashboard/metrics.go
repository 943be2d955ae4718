package dashboard

import "net/http"

// family is a metric, with all its labels.
type family int

const (
	tasksSubmitted family = iota
	tasksFinished
	tasksRejected
	taskRetries
	tasksNow
	workersNow
	queueCapacity
	taskDuration
	taskQueueDuration
	lostEvents
	pipelineInputs
	pipelineResults
	pipelineItems
	stageItems
	stageWorkers
	stageBlocked
	stageVisits
	stageRetries
	stageQueued
	stageWorked
	clusterUp
	clusterBacklog
	clusterLimit
	clusterResults
	clusterWaiting
	clusterTaken
	clusterRedelivered
	clusterRequests
	clusterWorkers
	clusterSlots
	clusterRunning
	clusterHeld
	clusterFinished
	families
)

var familyTexts = [families]struct{ name, kind, help string }{
	tasksSubmitted:    {"antflow_tasks_submitted_total", "counter", "Tasks accepted so far."},
	tasksFinished:     {"antflow_tasks_total", "counter", "Tasks that have finished, by outcome."},
	tasksRejected:     {"antflow_tasks_rejected_total", "counter", "Tasks that were never accepted."},
	taskRetries:       {"antflow_task_retries_total", "counter", "Further attempts decided on."},
	tasksNow:          {"antflow_tasks", "gauge", "Tasks that have not finished, by state."},
	workersNow:        {"antflow_workers", "gauge", "Slots for tasks, by state."},
	queueCapacity:     {"antflow_queue_capacity", "gauge", "Limit of the tasks that have not started, where there is one."},
	taskDuration:      {"antflow_task_duration_seconds", "histogram", "Time of attempts."},
	taskQueueDuration: {"antflow_task_queue_duration_seconds", "histogram", "Time from the submission of tasks to their first start."},
	lostEvents:        {"antflow_lost_events_total", "counter", "Events that observers missed, too far behind."},
	pipelineInputs:    {"antflow_pipeline_inputs_total", "counter", "Inputs pulled or fed so far."},
	pipelineResults:   {"antflow_pipeline_results_total", "counter", "Results so far, failures among them."},
	pipelineItems:     {"antflow_pipeline_items", "gauge", "Items in the run."},
	stageItems:        {"antflow_pipeline_stage_items", "gauge", "Items at a stage or on their way into it, by state."},
	stageWorkers:      {"antflow_pipeline_stage_workers", "gauge", "Limit of the workers of a stage."},
	stageBlocked:      {"antflow_pipeline_stage_blocked_workers", "gauge", "Workers of items that have no room downstream."},
	stageVisits:       {"antflow_pipeline_stage_visits_total", "counter", "Visits to a stage that have ended, by outcome."},
	stageRetries:      {"antflow_pipeline_stage_retries_total", "counter", "Further attempts at a stage."},
	stageQueued:       {"antflow_pipeline_stage_queue_mean_seconds", "gauge", "Mean time at a stage before the first call."},
	stageWorked:       {"antflow_pipeline_stage_work_mean_seconds", "gauge", "Mean time in calls of a stage's function."},

	clusterUp:          {"antflow_cluster_up", "gauge", "Whether the cluster tells its state: 1, or 0 with none of the others."},
	clusterBacklog:     {"antflow_cluster_backlog", "gauge", "Tasks that have not finished."},
	clusterLimit:       {"antflow_cluster_backlog_limit", "gauge", "Limit of the backlog, where there is one."},
	clusterResults:     {"antflow_cluster_results", "gauge", "Messages that are kept of finished tasks and of attempts."},
	clusterWaiting:     {"antflow_cluster_queue_waiting", "gauge", "Tasks that no worker has."},
	clusterTaken:       {"antflow_cluster_queue_taken", "gauge", "Tasks that workers have, or that wait for a retry."},
	clusterRedelivered: {"antflow_cluster_queue_redelivered", "gauge", "Of these, tasks that were taken more than once."},
	clusterRequests:    {"antflow_cluster_queue_requests", "gauge", "Requests of workers that wait for a task."},
	clusterWorkers:     {"antflow_cluster_workers", "gauge", "Workers that have answered, by state."},
	clusterSlots:       {"antflow_cluster_worker_slots", "gauge", "Slots for tasks of a worker."},
	clusterRunning:     {"antflow_cluster_worker_running", "gauge", "Tasks of a worker that have a slot."},
	clusterHeld:        {"antflow_cluster_worker_held", "gauge", "Tasks that a worker has from the broker, running or not."},
	clusterFinished:    {"antflow_cluster_worker_finished_total", "counter", "Tasks whose outcome a worker has reported."},
}

// serveMetrics answers a scrape. The labels are bounded as the names are.
func (h *handler) serveMetrics(w http.ResponseWriter, r *http.Request) {
	reports := h.reports(r)
	var x exposition
	for i, src := range h.sources {
		src.metrics(&x, reports[i])
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	w.Write(x.text())
}

func (src *executorSource) metrics(x *exposition, _ report) {
	s := src.e.Snapshot()
	of := labels{"executor", src.Name}
	by := func(label, value string) labels { return labels{"executor", src.Name, label, value} }
	x.add(tasksSubmitted, float64(s.Submitted), of)
	x.add(tasksFinished, float64(s.Succeeded), by("outcome", "succeeded"))
	x.add(tasksFinished, float64(s.Failed), by("outcome", "failed"))
	x.add(tasksFinished, float64(s.Canceled), by("outcome", "canceled"))
	x.add(tasksRejected, float64(s.Rejected), of)
	x.add(taskRetries, float64(s.Retries), of)
	x.add(tasksNow, float64(s.Queued), by("state", "queued"))
	x.add(tasksNow, float64(s.Waiting), by("state", "waiting"))
	x.add(tasksNow, float64(s.Running), by("state", "running"))
	x.add(tasksNow, float64(s.Blocked), by("state", "blocked"))
	x.add(workersNow, float64(s.Running), by("state", "busy"))
	x.add(workersNow, float64(max(s.MaxWorkers-s.Running, 0)), by("state", "idle"))
	if s.QueueLimit > 0 {
		x.add(queueCapacity, float64(s.QueueLimit), of)
	}
	x.add(lostEvents, float64(s.Lost), of)
	names := make(distinct)
	for i := range s.Names {
		n := &s.Names[i]
		named := by("name", names.name(n.Name))
		x.histogram(taskDuration, n.RunTime, named)
		x.histogram(taskQueueDuration, n.QueueTime, named)
	}
}

func (src *pipelineSource) metrics(x *exposition, _ report) {
	s := src.m.Snapshot()
	of := labels{"pipeline", src.Name}
	x.add(pipelineInputs, float64(s.Inputs), of)
	x.add(pipelineResults, float64(s.Results), of)
	x.add(pipelineItems, float64(s.Items), of)
	names := make(distinct)
	for i := range s.Stages {
		st := &s.Stages[i]
		name := names.name(st.Name)
		of := labels{"pipeline", src.Name, "stage", name}
		by := func(label, value string) labels { return labels{"pipeline", src.Name, "stage", name, label, value} }
		x.add(stageItems, float64(st.Incoming), by("state", "incoming"))
		x.add(stageItems, float64(st.Waiting), by("state", "waiting"))
		x.add(stageItems, float64(st.Running), by("state", "running"))
		x.add(stageItems, float64(st.Delayed), by("state", "delayed"))
		x.add(stageWorkers, float64(st.Workers), of)
		x.add(stageBlocked, float64(st.Blocked), of)
		x.add(stageVisits, float64(st.Done), by("outcome", "done"))
		x.add(stageVisits, float64(st.Failed), by("outcome", "failed"))
		x.add(stageVisits, float64(st.Skipped), by("outcome", "skipped"))
		x.add(stageVisits, float64(st.Canceled), by("outcome", "canceled"))
		x.add(stageRetries, float64(st.Retried), of)
		x.add(stageQueued, st.Queued.Seconds(), of)
		x.add(stageWorked, st.Worked.Seconds(), of)
	}
}

// levelNames are the priorities of queues, as they are in queueFacts.
var levelNames = map[int]string{1: "high", 0: "normal", -1: "low"}

func (src *clusterSource) metrics(x *exposition, a report) {
	of := labels{"cluster", src.Name}
	f := a.facts
	if f == nil {
		x.add(clusterUp, 0, of)
		return
	}
	x.add(clusterUp, 1, of)
	x.add(clusterBacklog, float64(f.figures.Backlog), of)
	if f.figures.Limit > 0 {
		x.add(clusterLimit, float64(f.figures.Limit), of)
	}
	x.add(clusterResults, float64(f.figures.Results), of)
	for i := range f.firstQueues {
		q := &f.firstQueues[i]
		of := labels{"cluster", src.Name, "queue", q.Queue, "priority", levelNames[q.Priority]}
		x.add(clusterWaiting, float64(q.Waiting), of)
		x.add(clusterTaken, float64(q.Taken), of)
		x.add(clusterRedelivered, float64(q.Redelivered), of)
		x.add(clusterRequests, float64(q.Requests), of)
	}
	by := func(state string) labels { return labels{"cluster", src.Name, "state", state} }
	x.add(clusterWorkers, float64(f.figures.Serving), by("serving"))
	x.add(clusterWorkers, float64(f.figures.Draining), by("draining"))
	x.add(clusterWorkers, float64(f.figures.Disconnected), by("disconnected"))
	x.add(clusterWorkers, float64(f.figures.Stopped), by("stopped"))
	x.add(clusterWorkers, float64(f.figures.Broken), by("broken"))
	for i := range f.firstWorkers {
		w := &f.firstWorkers[i]
		of := labels{"cluster", src.Name, "worker", w.Name}
		x.add(clusterSlots, float64(w.Max), of)
		x.add(clusterRunning, float64(w.Running), of)
		x.add(clusterHeld, float64(w.Held), of)
		x.add(clusterFinished, float64(w.Finished), of)
	}
}
