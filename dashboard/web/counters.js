// The big figures of the overview, and the bar below them.

import { $, h, icon, keep, set, setIcon, text } from "./dom.js";
import { about, count, duration, full, percent, plural, rate } from "./format.js";
import { classOf, iconOf } from "./states.js";
import { verdictOf } from "./verdict.js";

const sumOf = (f, key) => f.stages.reduce((n, st) => n + st[key], 0);

function queueNote(f) {
  const parts = [];
  if (f.limit > 0) parts.push(`of ${count(f.limit)}`);
  if (f.rejected > 0) parts.push(`${count(f.rejected)} rejected`);
  return parts.join(", ");
}

function limitNote(f) {
  return f.limit > 0 ? `of ${count(f.limit)}, ${percent(f.backlog / f.limit)}` : "unfinished, no limit";
}

function servingNote(f) {
  return f.disconnected > 0 ? `${count(f.disconnected)} disconnected` : `${count(f.serving)} serving`;
}

// The counters of each kind: {id, state, label, value, note}.
const counters = {
  executor: [
    { id: "queued", state: "queued", label: "Queued", value: (f) => f.queued, note: queueNote },
    { id: "waiting", state: "waiting", label: "Waiting", value: (f) => f.waiting, note: () => "permit, rate, retry" },
    {
      id: "running",
      state: "running",
      label: "Running",
      value: (f) => f.running,
      note: (f) => `of ${plural(f.max, "worker")}`,
    },
    { id: "blocked", state: "blocked", label: "Blocked", value: (f) => f.blocked, note: () => "on other tasks" },
    {
      id: "done",
      state: "done",
      label: "Done",
      value: (f) => f.succeeded,
      note: (f) => (f.canceled > 0 ? `${count(f.canceled)} canceled` : `of ${count(f.submitted)}`),
    },
    {
      id: "failed",
      state: "failed",
      label: "Failed",
      value: (f) => f.failed,
      note: (f) => (f.retries > 0 ? plural(f.retries, "retry", "retries") : "no retries"),
    },
  ],
  pipeline: [
    { id: "inputs", state: "moving", label: "In", value: (f) => f.inputs, note: (f) => `${count(f.items)} inside` },
    {
      id: "waiting",
      state: "waiting",
      label: "Waiting",
      value: (f) => sumOf(f, "waiting") + sumOf(f, "incoming"),
      note: (f) => `${count(sumOf(f, "delayed"))} for a retry`,
    },
    {
      id: "running",
      state: "running",
      label: "Running",
      value: (f) => sumOf(f, "running"),
      note: (f) => `of ${plural(sumOf(f, "workers"), "worker")}`,
    },
    {
      id: "blocked",
      state: "blocked",
      label: "Blocked",
      value: (f) => sumOf(f, "blocked"),
      note: () => "no room downstream",
    },
    {
      id: "done",
      state: "done",
      label: "Out",
      value: (f) => f.results,
      note: (f) => (f.held > 0 ? `${count(f.held)} held for order` : ""),
    },
    {
      id: "failed",
      state: "failed",
      label: "Failed",
      value: (f) => sumOf(f, "failed"),
      note: (f) => plural(sumOf(f, "retried"), "retry", "retries"),
    },
  ],
  cluster: [
    {
      id: "waiting",
      state: "queued",
      label: "Waiting",
      value: (f) => f.waiting,
      note: (f) => `in ${plural(f.queues, "queue")}`,
    },
    {
      id: "taken",
      state: "running",
      label: "Taken",
      value: (f) => f.taken,
      note: (f) => `${count(f.running)} running`,
    },
    {
      id: "redelivered",
      state: "retrying",
      label: "Redelivered",
      value: (f) => f.redelivered,
      note: () => "taken again",
    },
    { id: "backlog", state: "moving", label: "Backlog", value: (f) => f.backlog, note: limitNote },
    { id: "results", state: "done", label: "Results", value: (f) => f.results, note: () => "messages kept" },
    { id: "workers", state: "serving", label: "Workers", value: (f) => f.workers, note: servingNote },
  ],
};

export function showVerdict(source, now, connection) {
  const v =
    connection === "live" || connection === "paused"
      ? verdictOf(source, now)
      : { ...verdictOf(source, now), note: "as far as is known; the connection is lost" };
  const el = $("verdict");
  set(el, "class", `verdict s-${v.icon}`);
  set(el, "data-verdict", v.word.toLowerCase().replace(/\W+/g, "-"));
  setIcon(el.querySelector("svg"), v.icon);
  text($("verdict-word"), v.word);
  text($("verdict-rate"), rate(source?.rate));
  text($("verdict-unit"), source?.kind === "pipeline" ? "results/s" : "tasks/s");
  text($("verdict-note"), v.note);
}

export function showCounters(source) {
  const f = source.figures;
  const known = f && f.at !== null; // of a cluster there may be no more than an error
  keep(
    $("counters"),
    counters[source.kind],
    (c) => `${source.kind} ${c.id}`,
    makeCounter,
    ({ el, value, note }, c) => {
      const n = known ? c.value(f) : null;
      text(value, count(n));
      set(value, "title", n >= 1e7 ? full(n) : null);
      set(el, "data-zero", n === 0 ? "" : null);
      set(el, "data-long", count(n).length > 6 ? "" : null); // a million needs a smaller type
      text(note, known ? c.note(f) : "");
    },
  );
}

function makeCounter(c) {
  const value = h("dd", { class: "n" });
  const note = h("dd", { class: "note" });
  const el = h(
    "div",
    { "data-counter": c.id, class: classOf(c.state) },
    h("dt", null, icon(iconOf(c.state)), c.label),
    value,
    note,
  );
  return { el, value, note };
}

// The progress of an executor is of what was submitted; that of a pipeline is
// of what is inside, for nobody knows what is still to come. A cluster has no end;
// its bar is how much of the backlog is taken, and how much room is left.
export function showProgress(source) {
  const f = source.figures;
  if (!f) return;
  const { parts, total, finished, words } = progress[source.kind](source, f);
  const bar = $("progress");
  set(bar, "aria-label", source.kind === "cluster" ? "Backlog" : "Finished");
  keep(
    bar,
    parts,
    (p) => p.id,
    (p) => ({ el: h("i", { "data-part": p.id, class: p.class }) }),
    ({ el }, p) => {
      el.style.width = `${total > 0 ? (100 * p.n) / total : 0}%`;
    },
  );
  set(bar, "aria-valuenow", total > 0 ? Math.floor((100 * finished) / total) : 0);
  set(bar, "aria-valuetext", words);
  text($("progress-text"), words);
}

function ofExecutor(source, f) {
  const finished = f.succeeded + f.failed + f.canceled;
  const total = finished + source.left;
  const parts = [
    { id: "done", class: "f-done", n: f.succeeded },
    { id: "failed", class: "f-failed", n: f.failed },
    { id: "canceled", class: "f-canceled", n: f.canceled },
    { id: "running", class: "f-running", n: f.running + f.blocked },
  ];
  let words;
  if (total === 0) words = "Nothing was submitted yet";
  else if (source.left === 0) words = `All ${count(total)} finished`;
  else {
    const eta = f.eta == null ? "time left unknown" : `about ${about(f.eta)}`;
    words = `${percent(finished / total)} of ${count(total)} · ${count(source.left)} left · ${eta}`;
  }
  return { parts, total, finished, words };
}

function ofPipeline(source, f) {
  const parts = [
    { id: "done", class: "f-done", n: f.results },
    { id: "running", class: "f-running", n: f.items },
  ];
  const words = [`${count(f.inputs)} in`, `${count(f.results)} out`, `${count(f.items)} inside`];
  if (f.batched > 0) words.push(`${count(f.batched)} in batches`);
  words.push(`${f.over ? "took" : "for"} ${duration(f.elapsed)}`);
  return { parts, total: f.results + f.items, finished: f.results, words: words.join(" · ") };
}

function ofCluster(source, f) {
  if (f.at == null) return { parts: [], total: 0, finished: 0, words: "Nothing is known yet" };
  const total = Math.max(f.limit, f.backlog);
  const taken = Math.min(f.taken, f.backlog);
  const parts = [
    { id: "taken", class: "f-running", n: taken },
    { id: "waiting", class: "f-queued", n: f.backlog - taken },
  ];
  const room = f.limit > 0 ? `${percent(f.backlog / f.limit)} of ${count(f.limit)}` : "no limit";
  const words = `${plural(f.backlog, "unfinished task")} · ${room}`;
  return { parts, total, finished: f.limit > 0 ? Math.min(f.backlog, total) : 0, words };
}

const progress = { executor: ofExecutor, pipeline: ofPipeline, cluster: ofCluster };
