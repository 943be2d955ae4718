// What the page knows: the model that messages change and views read.

import { Series, Shares } from "./series.js";
import { Spans } from "./spans.js";
import { namedColors } from "./theme.js";

const smooth = 2000; // ms, over which the charts count
const steady = 3000; // ms, over which the big figure counts
const shareTime = 60_000;
const mostColored = 2000; // names whose colour is remembered

export class Model {
  constructor() {
    this.title = "";
    this.boot = null;
    this.actions = false;
    this.sources = [];
    this.offset = 0; // the server's clock minus ours
    this.frozen = null; // the server's time at which the page was paused
    this.arrived = null; // our time of the last message
  }

  // now is the server's time, or that of the pause: ages stand still with the
  // rest, or the page would show a state that there never was.
  now() {
    return this.frozen ?? Date.now() + this.offset;
  }

  hello(m) {
    this.arrived = Date.now();
    this.title = m.title;
    this.actions = m.actions;
    this.offset = m.now - Date.now();
    const same = m.boot === this.boot && this.sources.length === m.sources.length;
    this.boot = m.boot;
    const before = this.sources;
    this.sources = m.sources.map((s, i) => {
      const source = new kinds[s.kind](i, s);
      if (same && before[i].kind === s.kind) source.inherit(before[i]);
      return source;
    });
    for (const tick of m.ticks) this.apply(tick);
    for (const d of m.detail ?? []) this.detail(d, true);
  }

  tick(m) {
    this.arrived = Date.now();
    // The clocks may drift, and one of them may be set: the newest tick can't be
    // of the future, nor can it be long on its way.
    const ahead = m.t - (Date.now() + this.offset);
    if (ahead > 0 || ahead < -30_000) this.offset = m.t - Date.now();
    this.apply(m);
  }

  apply(m) {
    m.s.forEach((figures, i) => figures && this.sources[i]?.tick(m.t, figures));
  }

  detail(m, again = false) {
    this.arrived = Date.now();
    this.sources[m.s]?.detail(this.now(), m, again);
  }
}

class Source {
  constructor(index, { kind, name }) {
    this.index = index;
    this.kind = kind;
    this.name = name;
    this.figures = null;
    this.t = null;
    this.series = new Series();
    this.failures = { failed: 0, groups: [] };
    this.version = 0; // counts details
    this.moved = null; // when something finished last
    this.colors = new Map();
  }

  // colorOf numbers the names in the order in which they came up, so that colours
  // never change.
  colorOf(name) {
    let n = this.colors.get(name);
    if (n === undefined) {
      n = this.colors.size;
      if (n < mostColored) this.colors.set(name, n);
    }
    return n < namedColors ? n : -1;
  }

  detail(t, d) {
    this.version++;
    const failures = d.failures ?? d.stages;
    if (failures) this.failures = { failed: failures.failed, groups: failures.groups ?? [] };
  }

  note(t, finished) {
    if (this.finished != null && finished > this.finished) this.moved = t;
    this.finished = finished;
  }

  // rate is what finishes in a second, or null before that is known.
  get rate() {
    return this.series.slope("finished", steady);
  }

  inherit(before) {
    this.series = before.series; // the server may have a shorter memory
    this.colors = before.colors;
    this.moved = before.moved;
  }
}

const quantiles = ["50", "95", "99"];

class ExecutorSource extends Source {
  constructor(index, about) {
    super(index, about);
    this.names = [];
    this.workers = { total: 0, rows: [] };
    this.spans = new Spans();
    this.shares = new Shares();
  }

  inherit(before) {
    super.inherit(before);
    this.spans = before.spans;
    this.shares = before.shares;
  }

  tick(t, f) {
    this.figures = f;
    this.t = t;
    const finished = f.succeeded + f.failed + f.canceled;
    this.note(t, finished);
    const values = {
      finished,
      failures: f.failed,
      queued: f.queued,
      waiting: f.waiting,
      running: f.running,
      blocked: f.blocked,
    };
    quantiles.forEach((p, i) => {
      values[`raw q${p}`] = f.q?.[i];
      values[`raw r${p}`] = f.r?.[i];
    });
    const { series } = this;
    if (!series.push(t, values)) return;
    // What is drawn depends on what was just pushed.
    series.put("rate", series.slope("finished", smooth));
    series.put("failing", series.slope("failures", smooth));
    for (const p of quantiles) {
      series.put(`q${p}`, series.smooth(`raw q${p}`, smooth));
      series.put(`r${p}`, series.smooth(`raw r${p}`, smooth));
    }
  }

  detail(t, d, again) {
    super.detail(t, d);
    if (d.names) this.names = d.names;
    if (d.workers) this.workers = { total: d.workers.total, rows: d.workers.rows ?? [] };
    if (d.stream) this.spans.push(t, d.stream.spans ?? [], d.stream.skipped, again);
    // Those that take the most time get the colours that are left.
    const time = (n) => (n.succeeded + n.failed) * (n.r?.[0] ?? 0);
    for (const n of [...this.names].sort((a, b) => time(b) - time(a))) this.colorOf(n.name);
  }

  // sample is called twice a second, changed or not: what runs on is time, too.
  sample(t) {
    if (!this.figures) return;
    const counts = [];
    for (const n of this.names) if (n.running > 0) counts.push(n.name, n.running);
    this.shares.push(t, this.figures.max, counts);
  }

  shareOf(now) {
    return this.shares.over(now - shareTime);
  }

  get left() {
    const f = this.figures;
    return f ? f.queued + f.waiting + f.running + f.blocked : 0;
  }

  get failed() {
    return this.figures?.failed ?? 0;
  }
}

class PipelineSource extends Source {
  tick(t, f) {
    this.figures = f;
    this.t = t;
    this.note(t, f.results);
    for (const st of f.stages) this.colorOf(st.name);
    const sum = (key) => f.stages.reduce((n, st) => n + st[key], 0);
    const values = {
      finished: f.results,
      waiting: sum("waiting") + sum("incoming"),
      running: sum("running"),
      delayed: sum("delayed"),
      held: f.held,
      batched: f.batched,
    };
    for (const st of f.stages) {
      values[`wait ${st.name}`] = st.waiting + st.incoming;
      values[`rate ${st.name}`] = st.rate;
    }
    if (this.series.push(t, values)) this.series.put("rate", this.series.slope("finished", smooth));
  }

  sample() {}

  get left() {
    const f = this.figures;
    return f && !f.over ? f.items : 0;
  }

  get failed() {
    return this.figures?.stages.reduce((n, st) => n + st.failed, 0) ?? 0;
  }
}

class ClusterSource extends Source {
  constructor(index, about) {
    super(index, about);
    this.queues = { total: 0, rows: [] };
    this.workers = { total: 0, rows: [] };
  }

  // A tick tells again what is known, or that there is no answer: of that time
  // nothing is known.
  tick(t, f) {
    if (f.at == null && !f.error) return;
    const news = this.figures?.at !== f.at;
    this.figures = f;
    this.t = t;
    if (f.error) this.series.push(t, {});
    else if (news) this.push(t, f);
  }

  push(t, f) {
    this.note(t, f.done);
    const { backlog, waiting, taken, running, redelivered } = f;
    const values = { finished: f.done, backlog, taken, running, redelivered, limit: f.limit > 0 ? f.limit : null };
    let others = waiting;
    for (const d of byWaiting(f.depths)) {
      if (this.colorOf(d.queue) < 0) continue; // there is no end to names
      values[`wait ${d.queue}`] = d.waiting;
      others -= d.waiting;
    }
    values["wait"] = Math.max(0, others);
    if (this.series.push(t, values)) this.series.put("rate", this.series.slope("finished", steady));
  }

  detail(t, d) {
    super.detail(t, d);
    if (d.queues) this.queues = { total: d.queues.total, rows: d.queues.rows ?? [] };
    if (d.workers) this.workers = { total: d.workers.total, rows: d.workers.rows ?? [] };
  }

  // depths are the queues in which the most tasks wait, and all others as one
  // that has no name.
  depths(most) {
    const f = this.figures;
    if (f.at == null) return [];
    const list = byWaiting(f.depths);
    if (list.length <= most && f.queues === list.length) return list;
    const first = list.slice(0, most - 1);
    return [...first, { queue: null, waiting: first.reduce((n, d) => n - d.waiting, f.waiting) }];
  }

  sample() {}

  // aged is whether the figures are those of an earlier time, or there are none.
  get aged() {
    return Boolean(this.figures?.error);
  }

  get rate() {
    return this.aged ? null : super.rate;
  }

  get left() {
    return this.figures?.backlog ?? 0;
  }

  get failed() {
    return 0;
  }
}

const byWaiting = (depths) => [...depths].sort((a, b) => b.waiting - a.waiting);
const kinds = { executor: ExecutorSource, pipeline: PipelineSource, cluster: ClusterSource };
