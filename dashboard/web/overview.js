// The first screen: does it move, where does the time go, why did some fail?

import { $, h, hide, icon, keep, set, text, theirs } from "./dom.js";
import { ago, count, duration, percent, plural } from "./format.js";
import { Chart } from "./charts.js";
import { charts, line } from "./specs.js";
import { Cluster, backlogLines, depthLines } from "./cluster.js";
import { showCounters, showProgress, showVerdict } from "./counters.js";
import { namesTable } from "./names.js";
import { showFlow } from "./stages.js";
import { colorProperty, namedColors } from "./theme.js";
import { href } from "./route.js";

const mostReasons = 5;
const mostShares = 6;

export class Overview {
  constructor(app) {
    this.app = app;
    this.names = namesTable($("names"), app);
    this.cluster = new Cluster();
    for (const input of $("chart-span").querySelectorAll("input"))
      input.addEventListener("change", () => app.refresh());
  }

  show(source) {
    this.version = null;
    if (this.kind === source.kind) return;
    this.kind = source.kind;
    hide($("flow-cell"), source.kind !== "pipeline");
    hide($("names-cell"), source.kind !== "executor");
    hide($("queues-cell"), source.kind !== "cluster");
    hide($("why-all"), true);
    text($("h-where"), source.kind === "cluster" ? "Where tasks wait" : "Where the time goes");
    set($("view-overview"), "data-kind", source.kind);
    const figures = document.querySelectorAll("#view-overview figure");
    this.charts?.forEach((c) => c.end());
    this.charts = charts[source.kind].map((spec, i) => new Chart(figures[i], spec));
  }

  render(source, now, { connection, version }) {
    showVerdict(source, now, connection);
    showCounters(source);
    if (!source.figures) return;
    showProgress(source);
    this.showCharts(source);
    const cluster = source.kind === "cluster";
    set($("view-overview"), "data-aged", cluster && source.aged ? "" : null);
    if (cluster) {
      text($("h-why"), "Problems");
      this.cluster.showTroubles(source);
    } else text($("h-why"), source.failed > 0 ? `Why ${count(source.failed)} failed` : "Failures");
    if (version === this.version) return; // the rest only changes with details, and some with time
    this.version = version;
    if (cluster) {
      this.showDepths(source);
      this.cluster.render(source, now);
      return;
    }
    this.showReasons(source, now);
    if (source.kind === "pipeline") {
      showFlow($("overview-flow"), source, this.app);
      this.showVisits(source);
    } else {
      const shares = source.shareOf(now);
      this.showShares(source, now, shares);
      this.names.show(source, shares);
    }
  }

  showCharts(source) {
    const span = 1000 * Number($("chart-span").querySelector("input:checked").value);
    const to = source.t;
    // A run that has just begun fills its charts, too.
    const from = Math.max(to - span, Math.min(source.series.t[0], to - 15_000));
    if (source.kind === "pipeline") {
      const stages = source.figures.stages.slice(0, namedColors);
      const lines = (prefix) =>
        stages.map((st) => ({
          ...line(`${prefix} ${st.name}`, st.name, colorProperty(source.colorOf(st.name))),
          hint: st.name,
        }));
      this.charts[2].become(lines("wait"));
      this.charts[3].become(lines("rate"));
    }
    if (source.kind === "cluster") {
      this.charts[1].become(depthLines(source));
      this.charts[3].become(backlogLines(source));
    }
    for (const chart of this.charts) chart.update(source.series, from, to);
  }

  showShares(source, now, shares) {
    const named = shares.parts.filter((p) => p.part >= 0.005).slice(0, mostShares - 1);
    const rest = shares.parts.slice(named.length).reduce((sum, p) => sum + p.part, 0);
    const rows = named.map((p) => ({
      key: `n ${p.name}`,
      name: p.name,
      part: p.part,
      color: colorProperty(source.colorOf(p.name)),
      link: true,
    }));
    if (rest >= 0.005) rows.push({ key: "rest", name: "other names", part: rest, color: "--n-other" });
    if (shares.idle >= 0.005)
      rows.push({ key: "idle", name: "idle", part: shares.idle, color: "--idle", idle: true });
    const seconds = shares.from == null ? 0 : Math.max(1, Math.round((now - shares.from) / 1000));
    text($("where-note"), shares.from == null ? "" : `workers, last ${seconds >= 58 ? "minute" : `${seconds} s`}`);
    this.shareRows(source, rows, rows, (r) => percent(r.part));
  }

  // shareRows shows a bar, and below it the list that says the same in words.
  shareRows(source, parts, rows, value) {
    keep(
      $("where-bar"),
      parts,
      (r) => r.key,
      () => ({ el: h("i") }),
      ({ el }, r) => {
        el.style.width = `${100 * r.part}%`;
        el.style.backgroundColor = `var(${r.color})`;
        el.style.opacity = r.faint ? 0.4 : 1;
      },
    );
    keep(
      $("where"),
      rows,
      (r) => r.key,
      (r) => this.shareRow(r),
      (row, r) => {
        row.mark.style.backgroundColor = `var(${r.color})`;
        theirs(row.name, r.name);
        if (r.link) set(row.name, "href", href("tasks", source.index, { name: r.name }));
        text(row.value, value(r));
        hide(row.flag, !r.flag);
      },
    );
  }

  shareRow(r) {
    const mark = h("i", { class: "mark", "aria-hidden": "true" });
    const name = h(r.link ? "a" : "span", { class: "name" });
    const flag = h("span", { class: "flag s-stuck" }, icon("bottleneck"), "bottleneck");
    const value = h(r.times ? "span" : "b", { class: r.times ? "times" : null });
    return { el: h("li", { class: r.idle ? "idle" : null }, mark, name, flag, value), mark, name, flag, value };
  }

  // Of a pipeline the time is that of a visit: waiting and working, stage by
  // stage.
  showVisits(source) {
    const { stages, bottleneck } = source.figures;
    const total = stages.reduce((sum, st) => sum + st.queued + st.worked, 0);
    text($("where-note"), total > 0 ? `an item takes ${duration(total)} on average` : "");
    const rows = stages.map((st) => ({
      key: `st ${st.name}`,
      name: st.name,
      flag: st.name === bottleneck,
      times: true,
      color: colorProperty(source.colorOf(st.name)),
      queued: st.queued,
      worked: st.worked,
    }));
    const parts =
      total > 0
        ? rows.flatMap((r) => [
            { key: `${r.key} waits`, color: r.color, part: r.queued / total, faint: true },
            { key: `${r.key} works`, color: r.color, part: r.worked / total },
          ])
        : [];
    this.shareRows(source, parts, rows, (r) => `waits ${duration(r.queued)}, works ${duration(r.worked)}`);
  }

  showDepths(source) {
    const { queues, waiting } = source.figures;
    text($("where-note"), queues == null ? "" : plural(queues, "queue"));
    const rows = source.depths(mostShares).map((d) => ({
      key: d.queue == null ? "rest" : `q ${d.queue}`,
      name: d.queue ?? "other queues",
      part: waiting > 0 ? d.waiting / waiting : 0,
      color: d.queue == null ? "--n-other" : colorProperty(source.colorOf(d.queue)),
      waiting: d.waiting,
    }));
    this.shareRows(source, rows, rows, (r) => count(r.waiting));
  }

  showReasons(source, now) {
    const { groups } = source.failures;
    const rows = reasons(groups);
    const all = groups.filter((g) => g.failed > 0).length;
    hide($("why-all"), all < 2);
    text($("why-all"), `all ${count(all)} reasons`);
    set($("why-all"), "href", href("failures", source.index));
    if (rows.length === 0) rows.push(null);
    keep(
      $("why"),
      rows,
      (g) => g?.key ?? "none",
      (g) => (g ? makeReason() : makeCalm()),
      (row, g) => {
        if (!g) {
          text(
            row.note,
            source.figures.retries > 0
              ? `Nothing failed for good; ${plural(source.figures.retries, "retry", "retries")} helped`
              : "Nothing has failed",
          );
          return;
        }
        set(row.link, "href", href("failures", source.index, { key: g.key }));
        text(row.number, count(g.failed));
        theirs(row.name, g.name);
        theirs(row.words, g.text || g.kind, "(no text)");
        text(row.when, g.last == null ? "" : ago(now - g.last));
      },
    );
  }
}

// reasons are the most frequent ones, in an order that doesn't change with each
// failure, but the latest is always among the first three.
function reasons(groups) {
  const rows = groups.filter((g) => g.failed > 0).sort((a, b) => b.failed - a.failed);
  const latest = rows.reduce((a, b) => ((b.last ?? 0) > (a?.last ?? 0) ? b : a), null);
  if (rows.indexOf(latest) > 2) rows.splice(2, 0, ...rows.splice(rows.indexOf(latest), 1));
  return rows.slice(0, mostReasons);
}

function makeReason() {
  const number = h("b"),
    name = h("span", { class: "name" }),
    words = h("span", { class: "text" }),
    when = h("span", { class: "when" });
  const link = h(
    "a",
    null,
    h("span", { class: "times s-failed" }, icon("failed"), number),
    h("span", { class: "head" }, name, when),
    words,
  );
  return { el: h("li", null, link), link, number, name, words, when };
}

function makeCalm() {
  const note = h("span");
  return { el: h("li", { class: "fine s-done" }, icon("done"), note), note };
}
